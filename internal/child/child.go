// Package child starts processes that end with this one.
package child

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// Process is a running child.
type Process struct {
	cmd   *exec.Cmd
	group bool
	done  chan struct{}
	err   error
}

// Start starts cmd in a process group of its own: a Ctrl-C at the terminal reaches only us, and we end our children in
// order. On Linux the kernel sends the child onDeath when we die, however that happens; elsewhere a child that has no
// other means of knowing outlives a kill -9 of us.
func Start(cmd *exec.Cmd, onDeath syscall.Signal) (*Process, error) {
	attributes(cmd).Setpgid = true
	return start(cmd, onDeath, true)
}

// StartForeground is Start for a child that shares our terminal: it stays in our process group, so that it may read
// from the terminal and is interrupted there together with us.
func StartForeground(cmd *exec.Cmd, onDeath syscall.Signal) (*Process, error) {
	return start(cmd, onDeath, false)
}

func start(cmd *exec.Cmd, onDeath syscall.Signal, group bool) (*Process, error) {
	dieWithParent(attributes(cmd), onDeath)
	p := &Process{cmd: cmd, group: group, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		// Linux takes the death of the thread that forked for the death of the parent: the thread has to stay.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", filepath.Base(cmd.Path), err)
	}
	return p, nil
}

func attributes(cmd *exec.Cmd) *syscall.SysProcAttr {
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	return cmd.SysProcAttr
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is how the ended process ended: nil, or the *exec.ExitError. Wait for Done first.
func (p *Process) Err() error { return p.err }

// Signal passes a signal on. A process that has ended already takes none, which is no error.
func (p *Process) Signal(sig os.Signal) {
	select {
	case <-p.done:
	default:
		_ = p.cmd.Process.Signal(sig)
	}
}

// Stop asks the process to end with sig, and after patience kills it.
func (p *Process) Stop(sig syscall.Signal, patience time.Duration) error {
	p.Signal(sig)
	select {
	case <-p.done:
	case <-time.After(patience):
		target := p.cmd.Process.Pid
		if p.group {
			target = -target // and whatever it started
		}
		_ = syscall.Kill(target, syscall.SIGKILL)
		<-p.done
		return fmt.Errorf("%s did not end within %s and was killed", filepath.Base(p.cmd.Path), patience)
	}
	var exit *exec.ExitError
	if errors.As(p.err, &exit) {
		return nil // it was asked to end; how it says so does not matter
	}
	return p.err
}
