package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"

	"github.com/kontoflow/kontoflow/internal/await"
	"github.com/kontoflow/kontoflow/internal/temporalclient"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/vault"
)

// The settings that several commands share.

type databaseSettings struct {
	DatabaseURL string `env:"DATABASE_URL" required:"" placeholder:"URL" help:"PostgreSQL: postgres://user:password@host:port/database."`
}

type temporalSettings struct {
	TemporalAddress   string `env:"TEMPORAL_ADDRESS" placeholder:"HOST:PORT" help:"Frontend of the Temporal server (127.0.0.1:7233). TLS, API keys and profiles come from Temporal's own environment: TEMPORAL_TLS, TEMPORAL_TLS_CLIENT_CERT_PATH, TEMPORAL_TLS_CLIENT_KEY_PATH, TEMPORAL_TLS_SERVER_CA_CERT_PATH, TEMPORAL_API_KEY, TEMPORAL_CONFIG_FILE, TEMPORAL_PROFILE."`
	TemporalNamespace string `env:"TEMPORAL_NAMESPACE" placeholder:"NAME" help:"Namespace of the workflows (default)."`
	TaskQueue         string `env:"TASK_QUEUE" default:"kontoflow" placeholder:"NAME" help:"Task queue of the workflows (${default})."`
}

type vaultSettings struct {
	VaultKeys     string `env:"VAULT_KEYS" placeholder:"JSON" help:"Tink keyset that seals secrets in the database, as kontoflow keys writes it."`
	VaultKeysFile string `env:"VAULT_KEYS_FILE" type:"path" placeholder:"PATH" help:"File with the keyset, instead of VAULT_KEYS."`
}

// keyset is the keyset's JSON.
func (s vaultSettings) keyset() (string, error) {
	keys, err := keysetOf(s.VaultKeys, s.VaultKeysFile)
	if err == nil && keys == "" {
		return "", errors.New("VAULT_KEYS or VAULT_KEYS_FILE is missing: make a keyset with kontoflow keys create FILE")
	}
	return keys, err
}

// keysetOf is a keyset that is given itself or by its file; empty: neither is given.
func keysetOf(keys, file string) (string, error) {
	if keys != "" || file == "" {
		return keys, nil
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return "", fmt.Errorf("reading the keyset: %w", err)
	}
	return string(text), nil
}

func (s vaultSettings) open() (*vault.Vault, error) {
	keys, err := s.keyset()
	if err != nil {
		return nil, err
	}
	return vault.Open(keys)
}

// awaitStore is openStore for servers: where the database cannot be reached, it waits until it can.
func awaitStore(ctx context.Context, database databaseSettings, keys vaultSettings) (*models.Store, error) {
	return await.For(ctx, "PostgreSQL", func() (*models.Store, error) { return openStore(ctx, database, keys) }, models.Unreachable)
}

// openStore opens the database with the keys for what is sealed in it.
func openStore(ctx context.Context, database databaseSettings, keys vaultSettings) (*models.Store, error) {
	secrets, err := keys.open()
	if err != nil {
		return nil, err
	}
	return models.Open(ctx, database.DatabaseURL, secrets)
}

type codecSettings struct {
	TemporalCodecKeys     string `env:"TEMPORAL_CODEC_KEYS" placeholder:"JSON" help:"Tink keyset that seals payloads in Temporal, as kontoflow keys writes it, and another one than the vault's; by default they are not sealed."`
	TemporalCodecKeysFile string `env:"TEMPORAL_CODEC_KEYS_FILE" type:"path" placeholder:"PATH" help:"File with that keyset, instead of TEMPORAL_CODEC_KEYS."`
	TemporalCodecOpenOnly bool   `env:"TEMPORAL_CODEC_OPEN_ONLY" help:"Open what is sealed, but seal nothing: until all processes have the keys, and after sealing was switched off."`
}

// codec is nil where there are no keys.
func (s codecSettings) codec() (*temporalclient.Codec, error) {
	keys, err := keysetOf(s.TemporalCodecKeys, s.TemporalCodecKeysFile)
	if err != nil || keys == "" {
		return nil, err
	}
	return temporalclient.NewCodec(keys, s.TemporalCodecOpenOnly)
}

type publicSettings struct {
	PublicURL string `env:"PUBLIC_URL" default:"http://127.0.0.1:8080" placeholder:"URL" help:"Where customers' browsers reach the API: banks send them back to its /callback/redirect (${default})."`
}

// check refuses an address that would only be noticed when a bank sends the first customer back to it.
func (s publicSettings) check() error {
	u, err := url.Parse(s.PublicURL)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("PUBLIC_URL must be an http or https address without a query")
	}
	return nil
}

type receiverSettings struct {
	LoopbackReceivers bool `env:"LOOPBACK_RECEIVERS" help:"Let notifications go to receivers on this machine, over http, too: for development. API and worker both need it."`
}

type metricsSettings struct {
	MetricsListen string `env:"METRICS_LISTEN" placeholder:"HOST:PORT" help:"Where to serve Prometheus metrics, at /metrics; nowhere by default."`
}

func setUpLog(level, format string) error {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return err
	}
	options := &slog.HandlerOptions{Level: l}
	var handler slog.Handler = slog.NewJSONHandler(os.Stderr, options)
	if format == "text" {
		handler = slog.NewTextHandler(os.Stderr, options)
	}
	slog.SetDefault(slog.New(handler))
	return nil
}
