package sandbox

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Config is the command line of `kontoflow bank`.
type Config struct {
	Listen    string        `help:"Address to listen on." env:"BANK_LISTEN" default:"127.0.0.1:8085"`
	PublicURL string        `help:"Base of the links in the bank's answers. Default: as the request addressed it." env:"BANK_PUBLIC_URL" name:"public-url"`
	Seed      uint64        `help:"Seed of all generated accounts and bookings." env:"BANK_SEED" default:"1"`
	Password  string        `help:"Password of every customer." env:"BANK_PASSWORD" default:"demo"`
	TAN       string        `help:"Right answer to every challenge." env:"BANK_TAN" default:"111111"`
	Slow      time.Duration `help:"How long the persona 'slow' lets one wait." env:"BANK_SLOW" default:"3s"`
}

// Run serves a bank until ctx ends.
func Run(ctx context.Context, config Config) error {
	listener, err := net.Listen("tcp", config.Listen)
	if err != nil {
		return fmt.Errorf("bank: listen: %w", err)
	}
	slog.Info("sandbox bank is open", "address", "http://"+listener.Addr().String())
	return Serve(ctx, listener, New(Options{
		Seed: config.Seed, Password: config.Password, TAN: config.TAN, PublicURL: config.PublicURL, Slow: config.Slow, Logger: slog.Default(),
	}))
}

// Serve serves a bank on listener until ctx ends, and closes it.
func Serve(ctx context.Context, listener net.Listener, b *Bank) error {
	server := &http.Server{
		Handler:           b.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(b.options.Logger.Handler(), slog.LevelDebug),
	}
	stop := context.AfterFunc(ctx, func() {
		wait, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		if server.Shutdown(wait) != nil {
			_ = server.Close() // endless answers do not end by themselves
		}
	})
	defer stop()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("bank: serve: %w", err)
	}
	return nil
}
