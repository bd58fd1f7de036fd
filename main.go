// Command kontoflow keeps bank accounts in sync. This file parses the command line and hands over.
package main

import (
	"context"
	"os"

	"github.com/alecthomas/kong"

	"kontoflow/up"
)

type commands struct {
	Up upCommand `cmd:"" help:"Bring up everything on this machine and run one synchronization; or, with a command after --, only what that command's tests need."`
}

type upCommand struct {
	DatabaseURL     string   `env:"DATABASE_URL" placeholder:"URL" help:"PostgreSQL to use instead of a private one."`
	TemporalAddress string   `env:"TEMPORAL_ADDRESS" placeholder:"HOST:PORT" help:"Temporal server to use instead of a private one."`
	DevServer       string   `name:"devserver" env:"KONTOFLOW_DEVSERVER" placeholder:"PATH" type:"path" help:"The kontoflow-devserver binary; by default beside this one or in ./bin."`
	Command         []string `arg:"" optional:"" passthrough:"" help:"Command to run with DATABASE_URL and TEMPORAL_ADDRESS set to throwaway servers."`
}

func (c *upCommand) Run(ctx context.Context) error {
	command := c.Command
	if len(command) > 0 && command[0] == "--" {
		command = command[1:]
	}
	code, err := up.Command(ctx, up.Options{DatabaseURL: c.DatabaseURL, TemporalAddress: c.TemporalAddress, DevServer: c.DevServer}, command)
	if err == nil && code != 0 {
		os.Exit(code)
	}
	return err
}

func main() {
	var c commands
	parsed := kong.Parse(&c, kong.Name("kontoflow"), kong.UsageOnError(), kong.BindTo(context.Background(), (*context.Context)(nil)))
	parsed.FatalIfErrorf(parsed.Run())
}
