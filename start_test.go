package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/internal/testground"
)

// A door stands before a server. It hangs up on the first callers, as if the server was not there yet.
type door struct {
	listener net.Listener
	callers  atomic.Int32
}

func newDoor(t *testing.T, server string, refuses int32) *door {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { listener.Close() })
	d := &door{listener: listener}
	go func() {
		for {
			caller, err := listener.Accept()
			if err != nil {
				return
			}
			if d.callers.Add(1) <= refuses {
				caller.Close()
				continue
			}
			go pass(caller, server)
		}
	}()
	return d
}

func pass(caller net.Conn, server string) {
	defer caller.Close()
	behind, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	defer behind.Close()
	go func() {
		_, _ = io.Copy(behind, caller)
		behind.Close()
	}()
	_, _ = io.Copy(caller, behind)
}

func (d *door) address() string { return d.listener.Addr().String() }

// The API and the worker wait for PostgreSQL and Temporal when they start before these.
func TestServersComeLate(t *testing.T) {
	t.Parallel()
	database, err := url.Parse(testground.Database(t))
	require.NoError(t, err)
	postgres, temporal := newDoor(t, database.Host, 3), newDoor(t, testground.Temporal(t), 2)
	database.Host = postgres.address()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	listen := free.Addr().String()
	require.NoError(t, free.Close())
	shared := []string{"--database-url", database.String(), "--vault-keys", testground.Keyset(t), "--task-queue", "late-" + uuid.NewString()}

	for name, row := range map[string]struct {
		arguments []string
		ready     string
	}{
		"api":    {[]string{"api", "--listen", listen}, "http://" + listen + "/ready"},
		"worker": {[]string{"worker", "--temporal-address", temporal.address(), "--auto-sync-every", "0", "--metrics-listen", "127.0.0.1:0"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			ended := make(chan error, 1)
			ctx, stop := context.WithCancel(t.Context())
			go func() { ended <- runUntil(ctx, append(row.arguments, shared...)...) }()
			require.Eventually(t, func() bool {
				select {
				case err := <-ended:
					require.NoError(t, err, "it ended instead of waiting")
				default:
				}
				if row.ready == "" {
					return temporal.callers.Load() >= 3 && postgres.callers.Load() > 3
				}
				answer, err := http.Get(row.ready)
				if err != nil {
					return false
				}
				answer.Body.Close()
				return answer.StatusCode == http.StatusOK
			}, 2*time.Minute, 20*time.Millisecond)
			stop()
			require.NoError(t, <-ended)
		})
	}
}

// What does not pass ends the process at once.
func TestAWrongDatabaseIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	database, err := url.Parse(testground.Database(t))
	require.NoError(t, err)
	database.Path = "/there_is_no_such_database"
	for _, command := range []string{"api", "worker"} {
		require.Error(t, runUntil(t.Context(), command, "--database-url", database.String(), "--vault-keys", testground.Keyset(t)))
	}
	require.Error(t, runUntil(t.Context(), "api", "--database-url", "postgres://%zz", "--vault-keys", testground.Keyset(t)))
}
