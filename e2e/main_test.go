package e2e_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain lets more of these tests run side by side than there are processors: they wait for banks most of the time.
func TestMain(m *testing.M) {
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", "16")
	}
	os.Exit(m.Run())
}
