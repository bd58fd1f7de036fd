// Package version says which build of Kontoflow runs.
package version

import (
	"runtime/debug"
	"sync"
)

// release is the released version; the linker sets it (-X …/internal/version.release=v1.2.3).
var release string

// Build describes a build.
type Build struct {
	Version  string // "v1.2.3", or "devel" between releases
	Revision string // the commit, with "+changes" where files were changed since; "" where it is not known
	Go       string // "go1.26.8"
}

// Current is the build that runs.
var Current = sync.OnceValue(func() Build {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return of(release, &debug.BuildInfo{})
	}
	return of(release, info)
})

func of(release string, info *debug.BuildInfo) Build {
	b := Build{Version: release, Go: info.GoVersion}
	if b.Version == "" && info.Main.Version != "" && info.Main.Version != "(devel)" {
		b.Version = info.Main.Version
	}
	if b.Version == "" {
		b.Version = "devel"
	}
	changed := false
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			b.Revision = s.Value
		case "vcs.modified":
			changed = s.Value == "true"
		}
	}
	if changed && b.Revision != "" {
		b.Revision += "+changes"
	}
	return b
}

// String is the build in one line.
func (b Build) String() string {
	s := "kontoflow " + b.Version
	if b.Revision != "" {
		s += " (" + b.Revision + ")"
	}
	return s + " " + b.Go
}
