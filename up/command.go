package up

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"syscall"
	"time"

	"github.com/kontoflow/kontoflow/internal/child"
)

// Command brings up a throwaway PostgreSQL and Temporal server on free ports, runs the command with DATABASE_URL,
// TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE set, and ends them after it. Servers named in opts are used as they are.
// It returns the command's exit code.
func Command(ctx context.Context, opts Options, command []string) (int, error) {
	dir, err := os.MkdirTemp("", "kontoflow-ground-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o711); err != nil { // PostgreSQL may run as another user, see pgserver
		return 0, err
	}
	g, err := startGround(ctx, groundOptions{
		Dir:             dir,
		DatabaseURL:     opts.DatabaseURL,
		TemporalAddress: opts.TemporalAddress,
		DevServer:       opts.DevServer,
		Throwaway:       true,
		Say:             say,
	})
	if err != nil {
		return 0, err
	}
	code, err := runCommand(g, command)
	return code, errors.Join(err, g.Stop())
}

func runCommand(g *ground, command []string) (int, error) {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Env = append(os.Environ(),
		"DATABASE_URL="+g.DatabaseURL,
		"TEMPORAL_ADDRESS="+g.TemporalAddress,
		"TEMPORAL_NAMESPACE="+namespace,
	)
	if g.devServer != "" {
		cmd.Env = append(cmd.Env, "KONTOFLOW_DEVSERVER="+g.devServer)
	}
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	defer signal.Stop(signals)
	process, err := child.StartForeground(cmd, syscall.SIGTERM)
	if err != nil {
		return 0, err
	}
	died := g.Died()
	for {
		select {
		case name := <-died:
			say("%s ended by itself: so does the command", name)
			process.Signal(syscall.SIGTERM)
			time.AfterFunc(time.Minute, func() { process.Signal(os.Kill) })
		case sig := <-signals: // how it ends is the command's business, that it ends is ours
			process.Signal(sig)
			time.AfterFunc(time.Minute, func() { process.Signal(os.Kill) })
		case <-process.Done():
			var exit *exec.ExitError
			if errors.As(process.Err(), &exit) {
				if status, ok := exit.Sys().(syscall.WaitStatus); ok && status.Signaled() {
					return 128 + int(status.Signal()), nil
				}
				return exit.ExitCode(), nil
			}
			return 0, process.Err()
		}
	}
}

func say(format string, args ...any) { fmt.Fprintf(os.Stderr, "kontoflow: "+format+"\n", args...) }
