package version

import (
	"runtime/debug"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestBuild(t *testing.T) {
	t.Parallel()
	revision := func(modified string) []debug.BuildSetting {
		return []debug.BuildSetting{{Key: "vcs.revision", Value: "0a1b2c"}, {Key: "vcs.modified", Value: modified}}
	}
	for name, row := range map[string]struct {
		release string
		info    debug.BuildInfo
		says    string
	}{
		"released":               {"v1.2.3", debug.BuildInfo{GoVersion: "go1.26.8", Settings: revision("false")}, "kontoflow v1.2.3 (0a1b2c) go1.26.8"},
		"installed as a module":  {"", debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Version: "v1.2.4"}}, "kontoflow v1.2.4 go1.26.8"},
		"built from a checkout":  {"", debug.BuildInfo{GoVersion: "go1.26.8", Main: debug.Module{Version: "(devel)"}, Settings: revision("true")}, "kontoflow devel (0a1b2c+changes) go1.26.8"},
		"built without anything": {"", debug.BuildInfo{GoVersion: "go1.26.8"}, "kontoflow devel go1.26.8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, row.says, of(row.release, &row.info).String())
		})
	}
	require.Contains(t, Current().String(), "go1.")
}
