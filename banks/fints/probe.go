package fints

import (
	"context"
	"strings"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/fints/syntax"
)

// Probe asks for an anonymous dialog. A bank that refuses it is there, too. What it returns is what HIKOM names for https
// ("Formals", section D.5): the bank's own word about where it is, to be compared and never to be followed.
func (p *provider) Probe(ctx context.Context, c *banks.Connection) (addresses []string, err error) {
	const doing = "ask who is there"
	conv := banks.Conversation{Connection: banks.Connection{Protocol: c.Protocol, URL: c.URL, CAPEM: c.CAPEM, BankCode: c.BankCode,
		ProductID: c.ProductID, RequestsPerSecond: c.RequestsPerSecond}}
	_, err = with(p, &conv, func(t *talk) (struct{}, error) {
		identify := syntax.New("HKIDN", 2, syntax.Text(country, c.BankCode), syntax.Text(nobody), syntax.Text(noSystem), syntax.Text("0"))
		r, err := t.exchange(ctx, doing, envelope{dialog: newDialog, number: 1}, identify, t.prepare())
		if r == nil {
			return struct{}{}, err
		}
		addresses = namedAddresses(r)
		if id := r.DialogID; err == nil && id != "" && id != "0" {
			_, _ = t.exchange(ctx, "end the anonymous dialog", envelope{dialog: id, number: 2}, syntax.New("HKEND", 1, syntax.Text(id)))
		}
		return struct{}{}, nil
	})
	return addresses, err
}

// namedAddresses are the bank's addresses for https (communication service 3), as far as they are short enough to be any.
func namedAddresses(r *reply) (all []string) {
	const https, parameters, most = "3", 9, 512
	for _, s := range r.All("HIKOM") {
		for i := range min(parameters, max(0, len(s.Elements)-2)) {
			if address := strings.TrimSpace(s.Get(2+i, 1)); s.Get(2+i, 0) == https && address != "" && len(address) <= most {
				all = append(all, address)
			}
		}
	}
	return all
}
