package worker

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/otel/exporters/prometheus"
	"go.opentelemetry.io/otel/metric"
	sdk "go.opentelemetry.io/otel/sdk/metric"

	"github.com/kontoflow/kontoflow/models"
)

// serveMetrics serves the worker's and the SDK's metrics in Prometheus's format at http://listen/metrics until ctx
// ends. An empty address serves none.
func serveMetrics(ctx context.Context, listen string) (metric.Meter, error) {
	if listen == "" {
		return nil, nil
	}
	exporter, err := prometheus.New()
	if err != nil {
		return nil, fmt.Errorf("export metrics: %w", err)
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		return nil, fmt.Errorf("listen for metrics: %w", err)
	}
	routes := http.NewServeMux()
	routes.Handle("GET /metrics", promhttp.Handler())
	server := &http.Server{Handler: routes, ReadHeaderTimeout: 10 * time.Second}
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			slog.ErrorContext(ctx, "the metrics are no longer served", "error", err)
		}
	}()
	context.AfterFunc(ctx, func() { _ = server.Close() })
	return sdk.NewMeterProvider(sdk.WithReader(exporter)).Meter("kontoflow"), nil
}

// observe measures for how long what the store has to do is not done.
func observe(meter metric.Meter, store *models.Store) {
	for _, waits := range []struct {
		name, description string
		since             func(context.Context) (time.Time, error)
	}{
		{"kontoflow_auto_sync_oldest_seconds", "How long the access waits that is due for its automatic synchronization for the longest time.", store.DueSince},
		{"kontoflow_revocation_oldest_seconds", "Age of the oldest revocation that a bank is owed.", store.OwedSince},
	} {
		observed := func(ctx context.Context, o metric.Float64Observer) error {
			since, err := waits.since(ctx)
			if err != nil {
				return err
			}
			age := 0.0
			if !since.IsZero() {
				age = store.Now().Sub(since).Seconds()
			}
			o.Observe(age)
			return nil
		}
		// The names are constants: it cannot fail.
		_, _ = meter.Float64ObservableGauge(waits.name, metric.WithDescription(waits.description), metric.WithUnit("s"), metric.WithFloat64Callback(observed))
	}
}
