// Package temporalclient connects to Temporal the same way in every part.
package temporalclient

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"go.opentelemetry.io/otel/metric"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/contrib/opentelemetry"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
)

// Options say where the server is. What they leave empty comes from Temporal's own environment configuration
// (TEMPORAL_ADDRESS, TEMPORAL_NAMESPACE, TEMPORAL_API_KEY, TEMPORAL_TLS_…, or a profile file).
type Options struct {
	Address   string // host:port
	Namespace string
	Lazy      bool         // connect at the first call, so that a process starts although the server is down
	Logger    *slog.Logger // nil: slog's default
	Meter     metric.Meter // nil: no metrics
	Codec     *Codec       // nil: payloads go as they are, and none that is sealed opens
}

// Dial connects, and returns when the server answered, or at once where the client is lazy.
func Dial(o Options) (client.Client, error) {
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return nil, fmt.Errorf("read Temporal's environment configuration: %w", err)
	}
	if o.Address != "" {
		options.HostPort = o.Address
	}
	if o.Namespace != "" {
		options.Namespace = o.Namespace
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	options.Logger = log.NewStructuredLogger(o.Logger)
	if o.Meter != nil {
		options.MetricsHandler = opentelemetry.NewMetricsHandler(opentelemetry.MetricsHandlerOptions{Meter: o.Meter})
	}
	if o.Codec == nil {
		o.Codec = &Codec{}
	}
	options.DataConverter = o.Codec.DataConverter()
	options.FailureConverter = temporal.NewDefaultFailureConverter(temporal.DefaultFailureConverterOptions{
		DataConverter: options.DataConverter, EncodeCommonAttributes: o.Codec.seals}) // messages and stacks, too
	dial := client.Dial
	if o.Lazy {
		dial = client.NewLazyClient
	}
	c, err := dial(options)
	if err != nil {
		return nil, fmt.Errorf("connect to Temporal at %s: %w", options.HostPort, err)
	}
	return c, nil
}

// Unreachable reports whether an error of Dial may pass: nobody listens yet, or the server is starting.
func Unreachable(err error) bool {
	var unavailable *serviceerror.Unavailable
	return errors.As(err, &unavailable) || errors.Is(err, context.DeadlineExceeded)
}
