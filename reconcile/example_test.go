package reconcile_test

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/civil"
	"github.com/kontoflow/kontoflow/reconcile"
)

// A read finds the transaction of yesterday unchanged, and a second one that looks the same.
func ExampleMatch() {
	coffee := func() banks.Entry {
		return banks.Entry{
			TransactionID: "NOTPROVIDED",
			BookingDate:   civil.Day(2026, time.March, 2),
			Amount:        decimal.RequireFromString("-0.70"), Currency: "EUR",
			Counterparty: banks.Party{Name: "Automat Süd"},
			Remittance:   []string{"EREF+NOTPROVIDEDSVWZ+KAFFEE"},
		}
	}
	first, again := coffee(), coffee()
	sent := []reconcile.Facts{reconcile.Normalize(&first), reconcile.Normalize(&again)}
	stored := []reconcile.Stored{{ID: uuid.Must(uuid.NewV7()), Facts: sent[0]}}

	plan := reconcile.Match(stored, sent, reconcile.Window{
		From: civil.Day(2026, time.February, 17), Complete: true, Today: civil.Day(2026, time.March, 3),
	})
	fmt.Println(first.Remittance[0])
	for _, outcome := range plan.Sent {
		fmt.Println(outcome.Stored, outcome.Change == reconcile.New)
	}
	// Output:
	// KAFFEE
	// 0 false
	// -1 true
}
