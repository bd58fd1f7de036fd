package up

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"go.temporal.io/sdk/client"

	"github.com/kontoflow/kontoflow/internal/child"
	"github.com/kontoflow/kontoflow/internal/pgserver"
	"github.com/kontoflow/kontoflow/worker"
)

const (
	databaseName = "kontoflow"
	namespace    = "default"
)

// ground is what Kontoflow stands on: a PostgreSQL and a Temporal server, private ones or the operator's own.
type ground struct {
	DatabaseURL     string
	TemporalAddress string
	TemporalUI      string // address of the UI; empty where the Temporal server is not ours

	postgres  *pgserver.Server
	temporal  *child.Process
	devServer string // the binary that temporal runs
}

type groundOptions struct {
	Dir             string
	DatabaseURL     string // a PostgreSQL that runs already
	TemporalAddress string // a Temporal server that runs already
	DevServer       string // path of kontoflow-devserver; empty: beside us, in ./bin, or built from ./devserver
	PostgresPort    int    // preferred ports; 0: any
	TemporalPort    int
	UIPort          int
	Throwaway       bool
	Say             func(format string, args ...any)
}

// startGround brings up what the options do not already name.
func startGround(ctx context.Context, opts groundOptions) (_ *ground, err error) {
	g := &ground{DatabaseURL: opts.DatabaseURL, TemporalAddress: opts.TemporalAddress}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.Stop())
		}
	}()
	if g.DatabaseURL == "" || g.TemporalAddress == "" {
		g.postgres, err = pgserver.Start(ctx, pgserver.Options{
			Dir:       filepath.Join(opts.Dir, "postgres"),
			Port:      opts.PostgresPort,
			Throwaway: opts.Throwaway,
			Say:       opts.Say,
		})
		if err != nil {
			return nil, err
		}
	}
	if g.DatabaseURL == "" {
		if err := g.postgres.CreateDatabase(ctx, databaseName); err != nil {
			return nil, err
		}
		g.DatabaseURL = g.postgres.URL(databaseName)
	}
	if g.TemporalAddress == "" {
		if err := g.startTemporal(ctx, opts); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// Died tells of a server of ours that ended by itself.
func (g *ground) Died() <-chan string {
	died := make(chan string, 2)
	if g.postgres != nil {
		go func() {
			<-g.postgres.Done()
			died <- "PostgreSQL"
		}()
	}
	if g.temporal != nil {
		go func() {
			<-g.temporal.Done()
			died <- "the Temporal server"
		}()
	}
	return died
}

// Stop ends what was started, in the order in which one needs the other.
func (g *ground) Stop() error {
	var errs []error
	if g.temporal != nil {
		errs = append(errs, g.temporal.Stop(syscall.SIGTERM, 15*time.Second))
	}
	if g.postgres != nil {
		errs = append(errs, g.postgres.Stop())
	}
	return errors.Join(errs...)
}

func (g *ground) startTemporal(ctx context.Context, opts groundOptions) error {
	var err error
	if g.devServer, err = findDevServer(ctx, opts); err != nil {
		return err
	}
	free, err := freeAddresses(opts.TemporalPort, opts.UIPort)
	if err != nil {
		return err
	}
	address, ui := free[0], free[1]
	log, err := openLog(opts.Dir, "temporal")
	if err != nil {
		return err
	}
	defer log.Close()

	cmd := exec.Command(g.devServer, "--address", address, "--ui-address", ui, "--namespace", namespace, "--with-parent")
	cmd.Env = append(os.Environ(), "DATABASE_URL="+g.postgres.URL("postgres"))
	cmd.Stdout, cmd.Stderr = log, log
	if _, err := cmd.StdinPipe(); err != nil { // closes with us, on every system: no server outlives us to meet the next one
		return err
	}
	if g.temporal, err = child.Start(cmd, syscall.SIGKILL); err != nil {
		return err
	}
	if err := g.awaitTemporal(ctx, address); err != nil {
		return fmt.Errorf("starting the Temporal server (its log is %s): %w", log.Name(), err)
	}
	g.TemporalAddress, g.TemporalUI = address, "http://"+ui
	return nil
}

// awaitTemporal returns once the server answers and the namespace with its search attributes is usable.
func (g *ground) awaitTemporal(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	quiet := slog.New(slog.NewTextHandler(io.Discard, nil))
	for {
		err := func() error {
			c, err := client.DialContext(ctx, client.Options{HostPort: address, Namespace: namespace, Logger: quiet})
			if err != nil {
				return err
			}
			defer c.Close()
			return worker.RegisterSearchAttributes(ctx, c, namespace)
		}()
		if err == nil {
			return nil
		}
		select {
		case <-g.temporal.Done():
			return errors.New("it ended at once")
		case <-ctx.Done():
			return err
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func findDevServer(ctx context.Context, opts groundOptions) (string, error) {
	const name = "kontoflow-devserver"
	if opts.DevServer != "" {
		return filepath.Abs(opts.DevServer)
	}
	candidates := []string{filepath.Join("bin", name)}
	if self, err := os.Executable(); err == nil {
		candidates = append([]string{filepath.Join(filepath.Dir(self), name)}, candidates...)
	}
	for _, path := range candidates {
		if _, err := os.Stat(path); err == nil {
			return filepath.Abs(path)
		}
	}
	if _, err := os.Stat("devserver/go.mod"); err != nil {
		return "", fmt.Errorf("%s is neither beside this binary nor in ./bin: build it (make build), or set TEMPORAL_ADDRESS to a server that runs already", name)
	}
	path, err := filepath.Abs(filepath.Join("bin", name))
	if err != nil {
		return "", err
	}
	opts.Say("building the Temporal development server (some minutes the first time)")
	build := exec.CommandContext(ctx, "go", "build", "-o", path, ".")
	build.Dir = "devserver"
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building %s: %w\n%s", name, err, out)
	}
	return path, nil
}

// freeAddresses are different loopback addresses: with the preferred ports where those are free, else with others.
func freeAddresses(preferred ...int) ([]string, error) {
	var addresses []string
	for _, port := range preferred {
		l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
				return nil, fmt.Errorf("finding a free port: %w", err)
			}
		}
		defer l.Close() // when all are found
		addresses = append(addresses, l.Addr().String())
	}
	return addresses, nil
}

func openLog(dir, name string) (*os.File, error) {
	dir = filepath.Join(dir, "log")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	return os.OpenFile(filepath.Join(dir, name+".log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
}
