package e2e_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/sandbox"
)

// TestReturns: what comes back shows who is on the other side, and why it came back, over every
// protocol and format. The entry's own parties are those of what it undoes, and one of them is
// always the account's holder.
func TestReturns(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	for _, format := range []struct {
		name, bank string
		named      bool // the bank writes names as they are
		coded      bool // the format has a place for the reason, the amount that went and the charges
	}{
		{name: "JSON", bank: "demo", named: true},
		{name: "camt", bank: "statements", named: true, coded: true},
		{name: "camt over FinTS", bank: "fints", coded: true},
		{name: "MT940", bank: "fints/whole-account"},
	} {
		t.Run(format.name, func(t *testing.T) {
			t.Parallel()
			c := s.in(t).newCustomer()
			login := "returns+" + strings.ReplaceAll(format.bank, "/", "-")
			y := c.sync(c.access(format.bank, login))
			require.Equal(t, "COMPLETED", y["status"], "%v", y)

			ledgers, err := s.bank.Ledgers(login)
			require.NoError(t, err)
			left := c.transactions()
			kinds := map[string]int{}
			for _, e := range ledgers[0].Entries {
				if e.Reason == "" {
					continue
				}
				kinds[e.GVC]++
				at := slices.IndexFunc(left, func(x object) bool { return isReturn(x, e, format.named) })
				require.GreaterOrEqual(t, at, 0, "%+v is not among %v", e, left)
				x := left[at]
				left = slices.Delete(left, at, at+1)
				purpose, _ := x["purpose"].(string)
				info, _ := x["additional_info"].(object)
				if !format.coded {
					require.Contains(t, purpose, "RUECKGABE "+e.Reason)
					require.Contains(t, purpose, e.ReasonText)
					continue
				}
				require.Equal(t, e.Reason, info["return_reason"])
				require.Equal(t, e.ReasonText, info["return_reason_text"])
				require.Equal(t, decimal.New(e.OriginalCents, -2).String(), info["original_amount"])
				require.Equal(t, e.Currency, info["original_currency"])
				if e.ChargeCents > 0 {
					require.Equal(t, decimal.New(e.ChargeCents, -2).String(), info["charges"])
				}
			}
			require.Len(t, kinds, 3, "returned transfers, direct debits and dues: %v", kinds)
		})
	}
}

// isReturn reports whether a stored transaction is an entry of the bank's, with the other side that
// it has.
func isReturn(x object, e sandbox.Entry, named bool) bool {
	name, _ := x["name"].(string)
	if named && name != e.Name || name == "" {
		return false
	}
	return bookedOn(x) == e.BookingDate.String() && x["iban"] == e.IBAN && x["amount"] == float64(e.Cents)/100
}
