package pgserver

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// account is the unprivileged user that the server runs as where we are root, which PostgreSQL refuses to run as.
// A nil account is ourselves.
type account struct {
	name     string
	uid, gid int
}

func unprivileged() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, errUID := strconv.Atoi(u.Uid)
		gid, errGID := strconv.Atoi(u.Gid)
		if errUID == nil && errGID == nil {
			return &account{name: name, uid: uid, gid: gid}, nil
		}
	}
	return nil, errors.New("PostgreSQL does not run as root, and there is neither a user postgres nor nobody: run kontoflow as an ordinary user")
}

func (a *account) apply(cmd *exec.Cmd) {
	if a == nil {
		return
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}}
	cmd.Env = append(os.Environ(), "HOME=/nonexistent")
}

func (a *account) own(path string) error {
	if a == nil {
		return nil
	}
	return os.Chown(path, a.uid, a.gid)
}

// reaches tells whether the account can work in dir, by doing it: a directory above, such as a root's home, may be
// closed to it.
func (a *account) reaches(dir string) bool {
	if a == nil {
		return true
	}
	cmd := exec.Command("/bin/sh", "-c", "exec test -w .")
	cmd.Dir = dir
	a.apply(cmd)
	return cmd.Run() == nil
}

// prepareDir makes the directory and hands it to the account; where the account cannot reach it, one below /var/lib
// that belongs to the same path.
func prepareDir(opts Options, a *account) (string, error) {
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return "", err
	}
	if err := makeDir(dir, a); err != nil {
		return "", err
	}
	if a.reaches(dir) {
		return dir, nil
	}
	sum := sha256.Sum256([]byte(dir))
	elsewhere := filepath.Join("/var/lib/kontoflow", hex.EncodeToString(sum[:6]))
	if err := makeDir(elsewhere, a); err != nil {
		return "", err
	}
	if !a.reaches(elsewhere) {
		return "", fmt.Errorf("user %s can work neither in %s nor in %s", a.name, dir, elsewhere)
	}
	if opts.Say != nil {
		opts.Say("PostgreSQL runs as user %s, who cannot reach %s: its data are in %s", a.name, dir, elsewhere)
	}
	return elsewhere, nil
}

func makeDir(dir string, a *account) error {
	if err := os.MkdirAll(filepath.Dir(dir), 0o755); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return a.own(dir)
}
