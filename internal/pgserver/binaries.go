package pgserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	embeddedpostgres "github.com/fergusstrange/embedded-postgres"
)

// oldest is the oldest major version that the migrations are written for.
const oldest = 15

// places is where packages put the server's binaries, which are rarely on the PATH.
var places = []string{
	"/usr/lib/postgresql/*/bin",            // Debian, Ubuntu
	"/usr/pgsql-*/bin",                     // Red Hat
	"/usr/libexec/postgresql*",             // Alpine
	"/opt/homebrew/opt/postgresql@*/bin",   // macOS
	"/usr/local/opt/postgresql@*/bin",      // macOS on Intel
	"/Applications/Postgres.app/*/*/*/bin", // macOS
	"/nix/var/nix/profiles/default/bin",    // Nix
	"/usr/local/pgsql/bin",                 // built from source
}

// binaries returns the directory of initdb and postgres: of the major version that the data were made with, or the
// newest where there are none yet. Where nothing is installed it installs it.
func binaries(ctx context.Context, version string, say func(string, ...any)) (string, error) {
	if say == nil {
		say = func(string, ...any) {}
	}
	bin, err := installed(ctx, version)
	if bin != "" || err != nil {
		return bin, err
	}
	if os.Geteuid() == 0 {
		if _, err := exec.LookPath("apt-get"); err != nil {
			return "", errors.New("PostgreSQL is not installed: install its server package (15 or newer), or set DATABASE_URL and TEMPORAL_ADDRESS to servers that run already")
		}
		say("PostgreSQL is not installed: installing it with apt-get")
		if err := aptInstall(ctx); err != nil {
			return "", fmt.Errorf("PostgreSQL is not installed, and apt-get could not do it: %w", err)
		}
		if bin, err := installed(ctx, version); bin != "" || err != nil {
			return bin, err
		}
		return "", errors.New("apt-get installed no PostgreSQL 15 or newer: install one, or set DATABASE_URL and TEMPORAL_ADDRESS to servers that run already")
	}
	say("PostgreSQL is not installed: downloading one (about 30 MB)")
	bin, err = download()
	if err != nil {
		return "", fmt.Errorf("PostgreSQL is not installed, and downloading it failed: install its server package (15 or newer), or set DATABASE_URL and TEMPORAL_ADDRESS to servers that run already: %w", err)
	}
	return bin, nil
}

func installed(ctx context.Context, version string) (string, error) {
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		if path, err = filepath.EvalSymlinks(path); err == nil {
			dirs = append(dirs, filepath.Dir(path))
		}
	}
	for _, place := range append(places, filepath.Join(downloads(), "bin")) {
		found, _ := filepath.Glob(place)
		dirs = append(dirs, found...)
	}
	best, newest := "", 0
	var seen []string
	for _, dir := range dirs {
		major := majorVersion(ctx, dir)
		if major < oldest {
			continue
		}
		if strconv.Itoa(major) == version {
			return dir, nil
		}
		seen = append(seen, strconv.Itoa(major))
		if major > newest {
			best, newest = dir, major
		}
	}
	if version != "" && best != "" {
		slices.Sort(seen)
		return "", fmt.Errorf("the data here are of PostgreSQL %s, installed is %s: install %s, or move the data away", version, strings.Join(slices.Compact(seen), ", "), version)
	}
	return best, nil
}

// majorVersion is that of the server in dir, 0 where there is none that can create clusters.
func majorVersion(ctx context.Context, dir string) int {
	if _, err := os.Stat(filepath.Join(dir, "initdb")); err != nil {
		return 0
	}
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output() // postgres (PostgreSQL) 15.18 (Debian …)
	if err != nil {
		return 0
	}
	_, version, _ := strings.Cut(string(out), ") ")
	digits := strings.IndexFunc(version, func(r rune) bool { return r < '0' || r > '9' })
	if digits < 0 {
		return 0
	}
	major, _ := strconv.Atoi(version[:digits])
	return major
}

// dataVersion is the major version that the cluster was made with, "" where there is no cluster.
func dataVersion(data string) string {
	version, _ := os.ReadFile(filepath.Join(data, "PG_VERSION"))
	return strings.TrimSpace(string(version))
}

func aptInstall(ctx context.Context) error {
	install := func() ([]byte, error) {
		cmd := exec.CommandContext(ctx, "apt-get", "install", "-y", "--no-install-recommends", "postgresql")
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		return cmd.CombinedOutput()
	}
	out, err := install()
	if err != nil { // a fresh image has no package lists
		if out, err = exec.CommandContext(ctx, "apt-get", "update").CombinedOutput(); err == nil {
			out, err = install()
		}
	}
	if err != nil {
		return fmt.Errorf("%w: %s", err, lastLines(string(out), 3))
	}
	return nil
}

func downloads() string {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	return filepath.Join(cache, "kontoflow", "postgresql-"+runtime.GOOS+"-"+runtime.GOARCH)
}

// download fetches and unpacks a PostgreSQL. The library does that only on the way to a running server, so one is
// started and stopped on the side.
func download() (string, error) {
	scratch, err := os.MkdirTemp("", "kontoflow-postgresql-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(scratch)
	port, err := choosePort(0)
	if err != nil {
		return "", err
	}
	postgres := embeddedpostgres.NewDatabase(embeddedpostgres.DefaultConfig().
		Version(embeddedpostgres.V17).
		Port(uint32(port)).
		CachePath(scratch).
		RuntimePath(filepath.Join(scratch, "runtime")).
		BinariesPath(downloads()).
		Logger(io.Discard))
	if err := postgres.Start(); err != nil {
		return "", err
	}
	if err := postgres.Stop(); err != nil {
		return "", err
	}
	return filepath.Join(downloads(), "bin"), nil
}
