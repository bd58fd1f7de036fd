package e2e_test

import (
	"flag"
	"fmt"
	"os"
	"testing"
)

// TestMain lets more of these tests run side by side than there are processors: they wait for banks most of the time.
// Started by TestWorkerKilled and its like, this binary is a worker.
func TestMain(m *testing.M) {
	if settings := os.Getenv(workerEnvironment); settings != "" {
		if err := workUntilKilled(settings); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	given := false
	flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
	if !given {
		_ = flag.Set("test.parallel", "16")
	}
	os.Exit(m.Run())
}
