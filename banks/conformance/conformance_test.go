package conformance_test

import (
	"testing"
	"time"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/conformance"
	"github.com/kontoflow/kontoflow/banks/fints"
	"github.com/kontoflow/kontoflow/banks/xs2a"
)

// adapters is the table: a new adapter adds a row, and nothing else.
var adapters = []conformance.Adapter{
	{
		Name: "xs2a", Type: "API", Bank: "demo",
		New: func(now func() time.Time, wait time.Duration) banks.Adapter {
			return xs2a.New(xs2a.Options{Now: now, AnswerTimeout: wait, WholeTimeout: wait})
		},
		Others: map[string]string{
			"recurring": "demo", "statements": "demo", "oauth": "demo", "prestep": "demo", "signed": "demo",
			"encrypted": "demo", "confirmation": "demo", "token": "methods", "apikey": "decoupled", "legacy": "demo",
			"signed-date": "exempt", "base-path": "demo", "start-put": "demo", "client-token": "demo", "password-token": "methods",
			"wrong-pin-sentence": "demo", "server-error": "demo",
		},
	},
	{
		Name: "fints", Type: "FINTS", Bank: "demo",
		New: func(now func() time.Time, wait time.Duration) banks.Adapter {
			return fints.New(fints.Options{Now: now, AnswerTimeout: wait, WholeTimeout: wait})
		},
		Others: map[string]string{
			"fints/onestep": "demo", "fints/no-anonymous": "demo", "fints/nomedium": "devices", "fints/eachlogin": "decoupled", "fints/renewed-bpd": "demo",
			"fints/few-polls": "decoupled",
			"fints/ibanonly":  "demo", "fints/whole-account": "demo", "fints/camtonly": "demo", "fints/short-history": "demo", "fints/cards": "card",
			"fints/new-cards": "card", "fints/spelling": "currencies", "fints/wants-tan": "demo", "fints/two-codes": "pending", "fints/ignores-dates": "demo",
			"fints/variant1": "photo", "fints/several-tans": "demo",
		},
		Without: []string{"redirect", "oauth", "consent"},
		Blind:   true, Sessions: true,
	},
}

func TestConformance(t *testing.T) {
	t.Parallel()
	for _, adapter := range adapters {
		t.Run(adapter.Name, func(t *testing.T) {
			t.Parallel()
			conformance.Run(t, adapter)
		})
	}
}
