// Command kontoflow-devserver is a Temporal server and its UI in one process, on a PostgreSQL of yours. It is what
// `make run` and the tests use; it listens on loopback only and checks nobody's identity, so it is no server for
// production (see docker-compose.yml for the topology that is).
//
// It creates the databases temporal and temporal_visibility and their schema where they are missing, serves all four
// Temporal services and registers the namespace. Then it says so in one line on standard output. It ends on SIGTERM,
// SIGINT, and, where --with-parent is given, when its standard input closes.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

type settings struct {
	databaseURL string
	address     string
	uiAddress   string
	namespace   string
	retention   time.Duration
	withParent  bool
}

func main() {
	var s settings
	flag.StringVar(&s.databaseURL, "database-url", os.Getenv("DATABASE_URL"), "PostgreSQL to keep the state in, its user may create databases (env DATABASE_URL)")
	flag.StringVar(&s.address, "address", "127.0.0.1:7233", "where the Temporal frontend listens")
	flag.StringVar(&s.uiAddress, "ui-address", "", "where the Temporal UI listens; empty: no UI")
	flag.StringVar(&s.namespace, "namespace", "default", "namespace to register")
	flag.DurationVar(&s.retention, "retention", 7*24*time.Hour, "how long closed workflows are kept; at least a day")
	flag.BoolVar(&s.withParent, "with-parent", false, "end when standard input closes")
	flag.Parse()

	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if s.withParent {
		go func() {
			_, _ = io.Copy(io.Discard, os.Stdin)
			stop()
		}()
	}
	if err := run(ctx, s); err != nil {
		fmt.Fprintln(os.Stderr, "kontoflow-devserver:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, s settings) error {
	database, err := parseDatabase(s.databaseURL)
	if err != nil {
		return err
	}
	if err := database.applySchema(); err != nil {
		return err
	}
	server, err := startServer(ctx, database, s.address)
	if err != nil {
		return err
	}
	defer server.Stop()
	if err := registerNamespace(ctx, s.address, s.namespace, s.retention); err != nil {
		return err
	}
	if s.uiAddress != "" {
		ui, err := startUI(s.uiAddress, s.address, s.namespace)
		if err != nil {
			return err
		}
		defer ui.Stop()
	}
	fmt.Println("serving", s.address, s.uiAddress)
	<-ctx.Done()
	return nil
}
