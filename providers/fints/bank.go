package fints

import (
	"bytes"
	"container/list"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"kontoflow/providers"
	"kontoflow/providers/fints/syntax"
)

// A bank is one address of the catalog with its open connections. Nothing that a bank sends changes the address: what
// HIKOM names ("Formals", section D.5) is not looked at.
type bank struct {
	url    string
	client *http.Client
}

// banks keeps the connections of the banks used last.
type banks struct {
	options Options
	mu      sync.Mutex
	byKey   map[[32]byte]*list.Element // of *kindred
	recent  *list.List                 // most recently used first
}

type kindred struct {
	key  [32]byte
	bank *bank
}

func newBanks(options Options) *banks {
	return &banks{options: options, byKey: map[[32]byte]*list.Element{}, recent: list.New()}
}

// of returns the bank that c leads to.
func (b *banks) of(c *providers.Connection) (*bank, error) {
	key := sha256.Sum256([]byte(c.URL + "\x00" + c.CAPEM))
	b.mu.Lock()
	defer b.mu.Unlock()
	if e, ok := b.byKey[key]; ok {
		b.recent.MoveToFront(e)
		return e.Value.(*kindred).bank, nil
	}
	made, err := b.dial(c)
	if err != nil {
		return nil, err
	}
	b.byKey[key] = b.recent.PushFront(&kindred{key, made})
	if b.recent.Len() > b.options.MaxBanks {
		oldest := b.recent.Remove(b.recent.Back()).(*kindred)
		delete(b.byKey, oldest.key)
		oldest.bank.client.CloseIdleConnections()
	}
	return made, nil
}

func (b *banks) dial(c *providers.Connection) (*bank, error) {
	u, err := url.Parse(c.URL)
	if err != nil || !safeAddress(u) {
		return nil, errors.New("connection URL is neither https, nor http on loopback")
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAPEM != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(c.CAPEM)) {
			return nil, errors.New("no certificate in ca_pem")
		}
	}
	return &bank{url: u.String(), client: &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: b.options.ConnectTimeout}).DialContext,
			TLSClientConfig:        config,
			TLSHandshakeTimeout:    b.options.ConnectTimeout,
			ResponseHeaderTimeout:  b.options.AnswerTimeout,
			MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConnsPerHost:    16,
			IdleConnTimeout:        90 * time.Second,
		},
		// A redirect would carry the PIN to where the answer says.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// safeAddress reports whether u is https, or http on loopback, which is for sandboxes.
func safeAddress(u *url.URL) bool {
	if u.Hostname() == "" || u.User != nil {
		return false
	}
	switch u.Scheme {
	case "https":
		return true
	case "http":
		address, err := netip.ParseAddr(u.Hostname())
		return u.Hostname() == "localhost" || err == nil && address.IsLoopback()
	}
	return false
}

// post carries a message to the bank and its answer back, both as base64 ("Sicherheitsverfahren PIN/TAN", chapter B.1,
// and the HTTPS profile of "Formals"). An error that leaves open whether the bank processed the message is a *lost.
func (t *talk) post(ctx context.Context, doing string, wire []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, t.options.WholeTimeout)
	defer cancel()
	var connected atomic.Bool // from then on the bank may have read the message
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }})
	body := make([]byte, base64.StdEncoding.EncodedLen(len(wire)))
	base64.StdEncoding.Encode(body, wire)
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, t.bank.url, bytes.NewReader(body))
	if err != nil {
		return nil, misconfigured(fmt.Errorf("%s: build the request", doing))
	}
	request.Header.Set("Content-Type", "text/plain")
	request.Header.Set("User-Agent", "Kontoflow")
	for name, value := range t.conv.Connection.Headers {
		request.Header.Set(name, value)
	}
	started := time.Now()
	response, err := t.bank.client.Do(request)
	if err != nil {
		err = unreachable(doing, err)
		if connected.Load() {
			return nil, &lost{err}
		}
		return nil, err
	}
	defer response.Body.Close()
	t.options.Logger.DebugContext(ctx, "bank answered", "doing", doing, "status", response.StatusCode, "took", time.Since(started))
	if response.StatusCode != http.StatusOK {
		_, _ = io.CopyN(io.Discard, response.Body, 4<<10)
		return nil, refusedByHTTP(doing, response, t.options.Now())
	}
	encoded, err := io.ReadAll(io.LimitReader(response.Body, int64(maxEncoded)+1))
	switch {
	case err != nil:
		return nil, &lost{unreachable(doing, err)}
	case len(encoded) > maxEncoded:
		return nil, &lost{nonsense(doing, "the answer is too large")}
	}
	return decode(doing, encoded)
}

// maxEncoded is the size of the largest answer as base64, with line breaks.
var maxEncoded = base64.StdEncoding.EncodedLen(syntax.MaxMessage) * 66 / 64

// decode takes an answer out of base64. Some banks answer in clear.
func decode(doing string, encoded []byte) ([]byte, error) {
	encoded = bytes.TrimSpace(encoded)
	if bytes.HasPrefix(encoded, []byte("HNHBK:")) {
		return encoded, nil
	}
	reader := base64.NewDecoder(base64.StdEncoding, bytes.NewReader(encoded)) // skips line breaks
	wire, err := io.ReadAll(reader)
	if err != nil {
		return nil, &lost{nonsense(doing, "the answer is not base64")}
	}
	return wire, nil
}

// lost is a message without an answer: whether the bank processed it is not known.
type lost struct{ err error }

func (l *lost) Error() string { return l.err.Error() }
func (l *lost) Unwrap() error { return l.err }

func isLost(err error) bool {
	var l *lost
	return errors.As(err, &l)
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}
