package fints

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/fints/syntax"
	"github.com/kontoflow/kontoflow/banks/internal/transport"
)

// A bank is one address of the catalog with its open connections. Nothing that a bank sends changes
// the address: what HIKOM names ("Formals", section D.5) is not looked at.
type bank struct {
	url string
	*transport.Client
}

func (p *provider) dial(c *banks.Connection) (*bank, error) {
	u, err := url.Parse(c.URL)
	if err != nil || !banks.SafeAddress(u) {
		return nil, errors.New("connection URL is neither https, nor http on loopback")
	}
	client, err := transport.NewClient(c, transport.Settings{Connect: p.options.ConnectTimeout, Answer: p.options.AnswerTimeout})
	if err != nil {
		return nil, err
	}
	return &bank{url: u.String(), Client: client}, nil
}

// post carries a message to the bank and its answer back, both as base64 ("Sicherheitsverfahren
// PIN/TAN", chapter B.1, and the HTTPS profile of "Formals"). An error that leaves open whether the
// bank processed the message is a *lost.
func (t *talk) post(ctx context.Context, doing string, wire []byte) ([]byte, error) {
	if err := t.bank.Turn(ctx, doing, t.conv.Interactive); err != nil {
		return nil, &unsent{err}
	}
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
	response, err := t.bank.Do(request)
	if err != nil {
		err = transport.Unreachable(doing, err)
		if connected.Load() {
			return nil, &lost{err}
		}
		return nil, &unsent{err}
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
		return nil, &lost{transport.Unreachable(doing, err)}
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

// unsent is a message that never left.
type unsent struct{ err error }

func (u *unsent) Error() string { return u.err.Error() }
func (u *unsent) Unwrap() error { return u.err }

func isUnsent(err error) bool {
	var u *unsent
	return errors.As(err, &u)
}

// lost is a message without an answer: whether the bank processed it is not known.
type lost struct{ err error }

func (l *lost) Error() string { return l.err.Error() }
func (l *lost) Unwrap() error { return l.err }

func isLost(err error) bool {
	var l *lost
	return errors.As(err, &l)
}
