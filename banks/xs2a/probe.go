package xs2a

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/internal/transport"
)

// Probe asks for the interface's address itself, without certificate, key or consent. Any answer over HTTP says that the
// bank is there, and so does a TLS alert of one that wants to see a certificate.
func (p *provider) Probe(ctx context.Context, c *banks.Connection) ([]string, error) {
	const doing = "ask who is there"
	bank, err := p.banks.Of(&banks.Connection{Protocol: c.Protocol, URL: c.URL, CAPEM: c.CAPEM, RequestsPerSecond: c.RequestsPerSecond})
	if err != nil {
		return nil, misconfigured(err)
	}
	if err := bank.Turn(ctx, doing, false); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, p.options.WholeTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, bank.base.String(), nil)
	if err != nil {
		return nil, misconfigured(fmt.Errorf("%s: build the request", doing))
	}
	request.Header.Set("User-Agent", p.options.UserAgent)
	response, err := bank.Do(request)
	var operation *net.OpError
	switch {
	case errors.As(err, &operation) && operation.Op == "remote error":
		return nil, nil
	case err != nil:
		return nil, transport.Unreachable(doing, err)
	}
	_, _ = io.CopyN(io.Discard, response.Body, 4<<10)
	return nil, response.Body.Close()
}
