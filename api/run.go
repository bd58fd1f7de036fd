package api

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Config is how the API is served. Its tags make it the flags and environment of `kontoflow api`.
type Config struct {
	Listen         string        `default:"127.0.0.1:8080" env:"LISTEN" placeholder:"HOST:PORT" help:"Where the API listens."`
	MetricsListen  string        `default:"" env:"METRICS_LISTEN" placeholder:"HOST:PORT" help:"Where Prometheus finds the API's metrics at /metrics; empty: nowhere."`
	TLSCertificate string        `env:"TLS_CERTIFICATE" placeholder:"PATH" type:"path" help:"Certificate chain in PEM; with it the API speaks TLS."`
	TLSKey         string        `env:"TLS_KEY" placeholder:"PATH" type:"path" help:"The certificate's private key in PEM."`
	DrainTimeout   time.Duration `default:"20s" env:"DRAIN_TIMEOUT" help:"How long running requests may take when the API is told to end."`
	PasswordLength int           `default:"8" env:"PASSWORD_MIN_LENGTH" help:"How many characters a new user's password has at least."`
	Limits         LimitSettings `embed:""`
}

// Run serves the API until ctx ends, then lets running requests finish.
func Run(ctx context.Context, config Config, o Options) error {
	listener, err := net.Listen("tcp", config.Listen)
	if err != nil {
		return fmt.Errorf("listen for the API: %w", err)
	}
	return Serve(ctx, listener, config, o)
}

// Serve is Run on a listener that is open already; it closes it.
func Serve(ctx context.Context, listener net.Listener, config Config, o Options) error {
	defer listener.Close()
	o.PasswordLength = config.PasswordLength
	o.Limits = config.Limits.orDefaults()
	if err := o.Limits.check(); err != nil {
		return err
	}
	if config.TLSCertificate != "" || config.TLSKey != "" {
		pair, err := tls.LoadX509KeyPair(config.TLSCertificate, config.TLSKey)
		if err != nil {
			return fmt.Errorf("read the API's certificate: %w", err)
		}
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12,
			NextProtos: []string{"h2", "http/1.1"}})
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	o.Metrics = registry

	s := New(o)
	defer s.Close()
	server := &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		WriteTimeout:      requestTimeout + 15*time.Second, // event streams move theirs on
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
	}
	server.RegisterOnShutdown(s.Close) // waits and streams end, or they would hold the shutdown up

	failed := make(chan error, 2)
	go func() { failed <- server.Serve(listener) }()
	if config.MetricsListen != "" {
		metricsListener, err := net.Listen("tcp", config.MetricsListen)
		if err != nil {
			server.Close()
			return fmt.Errorf("listen for the API's metrics: %w", err)
		}
		mux := http.NewServeMux()
		mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
		metrics := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
		defer metrics.Close()
		go func() { failed <- metrics.Serve(metricsListener) }()
	}
	s.log.InfoContext(ctx, "the API listens", "address", listener.Addr().String(), "public_url", s.publicURL)

	select {
	case err := <-failed:
		server.Close()
		return fmt.Errorf("serve the API: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), config.DrainTimeout)
	defer cancel()
	if err := server.Shutdown(drain); err != nil && !errors.Is(err, http.ErrServerClosed) {
		server.Close()
		s.log.WarnContext(ctx, "requests were cut off at the end", "error", err)
	}
	return nil
}
