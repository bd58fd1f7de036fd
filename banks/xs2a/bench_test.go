package xs2a_test

import (
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/xs2a"
	"github.com/kontoflow/kontoflow/sandbox"
)

// What the adapter costs in a synchronization under a valid consent: one account, 30 entries, the bank in the same
// process.
func BenchmarkPlainSynchronization(b *testing.B) {
	bank := sandbox.New(sandbox.Options{Password: pin, TAN: tan})
	server := httptest.NewServer(bank.Handler())
	defer server.Close()
	p := xs2a.New(xs2a.Options{Now: bank.Now})
	conv := conversation(banks.Connection{Protocol: "XS2A", URL: server.URL + "/demo"}, "thirty")
	step, err := p.Authorize(b.Context(), conv)
	for step.Status == banks.Moving && err == nil {
		step, err = p.Authorize(b.Context(), conv)
	}
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		conv.Dialog, conv.Resumed = nil, true
		if _, err := p.Authorize(b.Context(), conv); err != nil {
			b.Fatal(err)
		}
		accounts, err := p.Accounts(b.Context(), conv)
		if err != nil {
			b.Fatal(err)
		}
		page, err := p.Transactions(b.Context(), conv, accounts[0], banks.Window{}, "")
		if err != nil || len(page.Entries) != 30 {
			b.Fatal(len(page.Entries), err)
		}
	}
}
