package transport_test

import (
	"context"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/internal/transport"
)

// bank is what an adapter makes of a connection.
type bank struct{ closed bool }

func (b *bank) CloseIdleConnections() { b.closed = true }

func TestBanks(t *testing.T) {
	t.Parallel()
	made := 0
	known := transport.NewBanks(2, func(c *banks.Connection) (*bank, error) {
		if c.URL == "" {
			return nil, errors.New("no address")
		}
		made++
		return &bank{}, nil
	})
	of := func(c banks.Connection) *bank {
		b, err := known.Of(&c)
		require.NoError(t, err)
		return b
	}
	first := of(banks.Connection{URL: "1"})
	require.Same(t, first, of(banks.Connection{URL: "1", HistoryDays: 90}), "that makes no other connections")
	roots := of(banks.Connection{URL: "1", CAPEM: "roots"})
	require.NotSame(t, first, roots, "another trust")
	require.Same(t, first, of(banks.Connection{URL: "1"}))
	of(banks.Connection{URL: "2"})
	require.True(t, roots.closed, "used longest ago")
	require.False(t, first.closed)
	require.Same(t, first, of(banks.Connection{URL: "1"}))
	require.Equal(t, 3, made)
	require.NotSame(t, first, of(banks.Connection{URL: "1", RequestsPerSecond: 5}), "another pace")
	_, err := known.Of(&banks.Connection{})
	require.Error(t, err)
	require.Same(t, first, of(banks.Connection{URL: "1"}))
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	bank := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/" {
			t.Error("the redirect was followed")
		}
		http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
	}))
	t.Cleanup(bank.Close)
	client, err := transport.NewClient(&banks.Connection{URL: bank.URL}, transport.Settings{Connect: time.Minute, Answer: time.Minute})
	require.NoError(t, err)
	response, err := client.Get(bank.URL)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	require.Equal(t, http.StatusTemporaryRedirect, response.StatusCode)
}

// What a bank counts reaches it once, however many open connections break. What does not reach it is known as that.
func TestDoOnce(t *testing.T) {
	t.Parallel()
	for name, protocol := range map[string]func(*httptest.Server){
		"HTTP/1.1":          (*httptest.Server).Start,
		"HTTP/1.1 over TLS": (*httptest.Server).StartTLS,
		"HTTP/2":            func(s *httptest.Server) { s.EnableHTTP2 = true; s.StartTLS() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const connections = 5
			var lost atomic.Int32
			var meet sync.WaitGroup
			meet.Add(connections)
			bank := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/meet": // all at once, so that each has a connection
					meet.Done()
					meet.Wait()
				case "/lost":
					lost.Add(1)
					panic(http.ErrAbortHandler)
				}
			}))
			bank.Config.ErrorLog = log.New(io.Discard, "", 0)
			protocol(bank)
			t.Cleanup(bank.Close)
			connection := &banks.Connection{URL: bank.URL}
			if certificate := bank.Certificate(); certificate != nil {
				connection.CAPEM = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw}))
			}
			settings := transport.Settings{Connect: time.Minute, Answer: time.Minute, HTTP2: bank.EnableHTTP2}
			client, err := transport.NewClient(connection, settings)
			require.NoError(t, err)
			get := func(path string) *http.Request {
				r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, bank.URL+path, nil)
				require.NoError(t, err)
				return r
			}
			open := func() {
				var group sync.WaitGroup
				for range connections {
					group.Go(func() {
						if response, err := client.Do(get("/meet")); err != nil {
							t.Error(err)
						} else {
							_ = response.Body.Close()
						}
					})
				}
				group.Wait()
				meet.Add(connections)
			}

			open()
			_, sent, err := client.DoOnce(get("/lost"))
			require.Error(t, err)
			require.True(t, sent)
			require.Equal(t, banks.Transient, transport.Unreachable("read", err).Kind)
			require.EqualValues(t, 1, lost.Load())
			if !bank.EnableHTTP2 {
				open()
				_, err = client.Do(get("/lost"))
				require.Error(t, err)
				require.Greater(t, lost.Load(), int32(2), "as Do does")
			}

			response, sent, err := client.DoOnce(get("/"))
			require.NoError(t, err)
			require.True(t, sent)
			require.NoError(t, response.Body.Close())

			client.CloseIdleConnections()
			bank.Close()
			_, sent, err = client.DoOnce(get("/"))
			require.Error(t, err)
			require.False(t, sent, "nobody is there")
		})
	}
	untrusted := httptest.NewUnstartedServer(http.NotFoundHandler())
	untrusted.Config.ErrorLog = log.New(io.Discard, "", 0)
	untrusted.StartTLS()
	t.Cleanup(untrusted.Close)
	client, err := transport.NewClient(&banks.Connection{URL: untrusted.URL}, transport.Settings{Connect: time.Minute, Answer: time.Minute})
	require.NoError(t, err)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, untrusted.URL, nil)
	require.NoError(t, err)
	_, sent, err := client.DoOnce(r)
	require.Error(t, err)
	require.False(t, sent, "somebody else is there")
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	untrusted := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(untrusted.Close)
	client, err := transport.NewClient(&banks.Connection{URL: untrusted.URL}, transport.Settings{Connect: time.Minute, Answer: time.Minute})
	require.NoError(t, err)
	_, certificate := client.Get(untrusted.URL)
	require.Error(t, certificate)
	for name, test := range map[string]struct {
		err  error
		kind banks.Kind
		says string
	}{
		"cancelled":    {context.Canceled, banks.Transient, "context canceled"},
		"too late":     {context.DeadlineExceeded, banks.Transient, "no answer in time"},
		"refused":      {&net.OpError{Op: "dial", Net: "tcp", Addr: &net.TCPAddr{IP: net.IPv4(192, 0, 2, 1)}, Err: errors.New("connection refused")}, banks.Transient, "dial: connection refused"},
		"no such host": {&net.DNSError{Err: "no such host", Name: "canary.example", IsNotFound: true}, banks.Transient, "the bank's host name is not known"},
		"broken off":   {io.EOF, banks.Transient, "unexpected EOF"},
		"no HTTP":      {errors.New(`malformed HTTP response "canary"`), banks.Transient, "no HTTP (*errors.errorString)"},
		"certificate":  {certificate, banks.Rejected, "the bank's certificate is not trusted"},
	} {
		e := transport.Unreachable("read", &url.Error{Op: "Post", URL: "https://canary.example/v1?iban=DE", Err: test.err})
		require.Equal(t, test.kind, e.Kind, name)
		require.ErrorContains(t, e, "read: "+test.says, name)
		require.NotContains(t, e.Error(), "canary", name)
		require.NotContains(t, e.Error(), "192.0.2.1", name)
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "120": 2 * time.Minute, "Mon, 02 Mar 2026 12:05:00 GMT": 5 * time.Minute, "Mon, 02 Mar 2026 11:00:00 GMT": 0,
		"-5": 0, "soon": 0, "99999999": 24 * time.Hour, "99999999999999": 0,
	} {
		require.Equal(t, want, transport.RetryAfter(http.Header{"Retry-After": {value}}, now), value)
	}
}
