// Command kontoflow keeps bank accounts in sync. This file parses the command line and the environment, and hands over.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/kontoflow/kontoflow/internal/version"
)

// commands is the whole command line. Every setting is a flag and an environment variable.
type commands struct {
	Up            upCommand            `cmd:"" help:"Bring up everything on this machine and run one synchronization; or, with a command after --, bring up PostgreSQL and Temporal for that command."`
	API           apiCommand           `cmd:"" help:"Serve the HTTP API."`
	Worker        workerCommand        `cmd:"" help:"Run the workflows and talk to the banks."`
	Codec         codecCommand         `cmd:"" help:"Open sealed payloads for the Temporal UI and CLI (a codec server)."`
	Bank          bankCommand          `cmd:"" help:"Serve the sandbox bank."`
	Migrate       migrateCommand       `cmd:"" help:"Bring the database to the newest schema, and register the search attributes where a Temporal server is named."`
	Client        clientCommand        `cmd:"" help:"Create, change or list the clients (tenants) of the API."`
	Notifications notificationsCommand `cmd:"" help:"List or retry deliveries of notifications that were given up."`
	Catalog       catalogCommand       `cmd:"" help:"Import banks and their access methods."`
	Keys          keysCommand          `cmd:"" help:"Create or rotate the keyset that seals secrets in the database."`
	Version       versionCommand       `cmd:"" help:"Print which build this is."`

	LogLevel  string `env:"LOG_LEVEL" enum:"debug,info,warn,error" default:"info" help:"Least severity that is logged: debug, info, warn or error."`
	LogFormat string `env:"LOG_FORMAT" enum:"json,text" default:"json" help:"Format of the log on standard error: json or text."`
}

type versionCommand struct{}

// Run prints the build.
func (versionCommand) Run() error {
	_, err := fmt.Println(version.Current())
	return err
}

func main() {
	var c commands
	parsed := kong.Parse(&c,
		kong.Name("kontoflow"),
		kong.Description("Kontoflow keeps bank accounts in sync."),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
	)
	parsed.FatalIfErrorf(setUpLog(c.LogLevel, c.LogFormat))

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	parsed.BindTo(ctx, (*context.Context)(nil))
	parsed.FatalIfErrorf(parsed.Run())
}
