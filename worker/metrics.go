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
