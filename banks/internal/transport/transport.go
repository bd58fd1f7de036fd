// Package transport is how adapters reach banks over HTTP: whom they trust, which connections stay open, and what can be
// done where no answer comes.
package transport

import (
	"container/list"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kontoflow/kontoflow/banks"
)

// Settings of the connections to banks.
type Settings struct {
	Connect time.Duration // TCP and TLS, each
	Answer  time.Duration // until the bank's answer begins
	HTTP2   bool
}

// A Client reaches one bank.
type Client struct {
	*http.Client
	turns *turns // nil: the bank declares no limit
}

// Turn waits until the bank may be asked again; call it before each request. All conversations of this process that use the
// connection share its turns. The interactive ones, which somebody waits for, go first; the others take what these leave.
func (c *Client) Turn(ctx context.Context, doing string, interactive bool) error {
	if c.turns == nil {
		return nil
	}
	err := c.turns.wait(ctx, interactive)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return &banks.Error{Kind: banks.Transient, Code: banks.CodeTemporary,
			Err: fmt.Errorf("%s: too many requests wait for the bank", doing)}
	default:
		return Unreachable(doing, err)
	}
}

// NewClient makes the HTTP client for a bank: it trusts the connection's roots, shows its certificate, and follows no redirect,
// which would carry the PIN, the consent or a token to where the bank's answer says.
func NewClient(c *banks.Connection, s Settings) (*Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAPEM != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(c.CAPEM)) {
			return nil, errors.New("no certificate in ca_pem")
		}
	}
	if c.TLS != nil {
		pair, err := tls.X509KeyPair([]byte(c.TLS.CertificatePEM), []byte(c.TLS.KeyPEM))
		if err != nil {
			return nil, fmt.Errorf("read TLS client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	client := &Client{Client: &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: s.Connect}).DialContext,
			TLSClientConfig:        config,
			TLSHandshakeTimeout:    s.Connect,
			ResponseHeaderTimeout:  s.Answer,
			MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConnsPerHost:    16,
			IdleConnTimeout:        90 * time.Second,
			ForceAttemptHTTP2:      s.HTTP2,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	if c.RequestsPerSecond > 0 {
		client.turns = newTurns(c.RequestsPerSecond)
	}
	return client, nil
}

// DoOnce is Do for a request that the bank counts: it goes out once. Do repeats a GET by itself where a connection breaks that
// was in use before (net/http, Transport), as often as it finds such a connection; but the bank may have read it each time. sent
// says whether the bank may have the request. Cancel its context in the end.
func (c *Client) DoOnce(r *http.Request) (response *http.Response, sent bool, err error) {
	ctx, abandon := context.WithCancelCause(r.Context())
	var onTheWay atomic.Bool
	response, err = c.Do(r.WithContext(httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(got httptrace.GotConnInfo) {
			switch {
			case overHTTP2(got.Conn): // repeats only what the bank says it has not looked at (RFC 9113, section 8.7)
				onTheWay.Store(true)
			case onTheWay.Load():
				abandon(io.ErrUnexpectedEOF)
				_ = got.Conn.Close() // so that nothing is written to it before anybody sees that
			}
		},
		WroteRequest: func(wrote httptrace.WroteRequestInfo) {
			if wrote.Err == nil {
				onTheWay.Store(true)
			}
		},
	})))
	return response, onTheWay.Load(), err
}

func overHTTP2(conn net.Conn) bool {
	secured, ok := conn.(*tls.Conn)
	return ok && secured.ConnectionState().NegotiatedProtocol == "h2"
}

// Banks keeps the banks used last, with their open connections. It is safe for concurrent use.
type Banks[B interface{ CloseIdleConnections() }] struct {
	most int
	dial func(*banks.Connection) (B, error)

	mu     sync.Mutex
	byKey  map[[32]byte]*list.Element // of *kept[B]
	recent *list.List                 // most recently used first
}

type kept[B any] struct {
	key  [32]byte
	bank B
}

// NewBanks keeps at most so many; dial makes one that is not there, without talking to it.
func NewBanks[B interface{ CloseIdleConnections() }](most int, dial func(*banks.Connection) (B, error)) *Banks[B] {
	return &Banks[B]{most: most, dial: dial, byKey: map[[32]byte]*list.Element{}, recent: list.New()}
}

// Of is the bank that c leads to. It is shared by all connections that do not differ in what makes it.
func (b *Banks[B]) Of(c *banks.Connection) (bank B, err error) {
	identity, err := json.Marshal([]any{c.URL, c.OAuth, c.TLS, c.Signing, c.CAPEM, c.RequestsPerSecond})
	if err != nil {
		return bank, fmt.Errorf("read connection: %w", err)
	}
	key := sha256.Sum256(identity)
	b.mu.Lock()
	defer b.mu.Unlock()
	if e, ok := b.byKey[key]; ok {
		b.recent.MoveToFront(e)
		return e.Value.(*kept[B]).bank, nil
	}
	if bank, err = b.dial(c); err != nil {
		return bank, err
	}
	b.byKey[key] = b.recent.PushFront(&kept[B]{key, bank})
	if b.recent.Len() > b.most {
		oldest := b.recent.Remove(b.recent.Back()).(*kept[B])
		delete(b.byKey, oldest.key)
		oldest.bank.CloseIdleConnections()
	}
	return bank, nil
}

// Unreachable classifies a request that got no answer, or a part of one. Whether the bank received it is not known. The
// error names neither addresses nor what the bank sent.
func Unreachable(doing string, err error) *banks.Error {
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		err = wrapped.Err // its text has the URL
	}
	var network net.Error
	var operation *net.OpError
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	kind := banks.Transient
	switch {
	case errors.Is(err, context.Canceled):
		err = context.Canceled
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		err = errors.New("no answer in time")
	case errors.As(err, &certificate):
		err, kind = banks.ErrUntrusted, banks.Rejected
	case errors.As(err, &name):
		err = errors.New("the bank's host name is not known")
	case errors.As(err, &operation):
		err = fmt.Errorf("%s: %w", operation.Op, operation.Err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		err = io.ErrUnexpectedEOF
	default: // what the bank sent is no HTTP; the error quotes it
		err = fmt.Errorf("no HTTP (%T)", err)
	}
	return &banks.Error{Kind: kind, Code: banks.CodeTemporary, Err: fmt.Errorf("%s: %w", doing, err)}
}

// Outage is from which Retry-After on a 503 is no hiccup any more.
const Outage = 5 * time.Minute

// RetryAfter reads the header in both of its forms (RFC 9110, 10.2.3), and at most a day; 0: there is none.
func RetryAfter(h http.Header, now time.Time) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	var d time.Duration
	if seconds, err := strconv.ParseInt(value, 10, 32); err == nil {
		d = time.Duration(seconds) * time.Second
	} else if at, err := http.ParseTime(value); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), 24*time.Hour)
}
