package xs2a_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/formats/camt"
	"github.com/kontoflow/kontoflow/banks/formats/mt940"
	"github.com/kontoflow/kontoflow/banks/xs2a"
	"github.com/kontoflow/kontoflow/reconcile"
)

// A fieldRow is an input of a kind that banks are known to send, and the values that are right for it. The three
// formats have a file of rows each: fieldinputs_mt940_test.go, fieldinputs_camt_test.go, fieldinputs_json_test.go.
type fieldRow struct {
	kind   string // what is odd about it; at least three different rows for each kind
	name   string
	input  string // the file as the bank sends it
	preset string // the account's currency; empty: EUR

	entries    []inputEntry // in order, and no others; nil: not looked at
	balances   []string     // "closingBooked 2026-01-30 1030.5 EUR", in order; nil: not looked at
	unreadable int          // how many values had to be left out or clamped
	withheld   banks.Withheld
	fails      string // the place that the error names; the input is refused
}

// A inputEntry holds what is right for one entry. Empty fields are not looked at; "-" says that the field is empty.
type inputEntry struct {
	amount             string // "-12.5 EUR"
	original           string // "50 USD"
	booked, valued     string // days; "-": none
	pending            bool   // always looked at
	name, iban, number string
	text               string // the remittance for display, after normalization
	endToEnd, mandate  string
	creditor, customer string // creditor id, customer reference
	purpose            string // purpose code
	bookingText, key   string
	primanota          string
	id, reference      string // the bank's id of the transaction; its second one
	info               map[string]string
}

// A fieldResult is what a reader made of an input.
type fieldResult struct {
	entries    []banks.Entry
	balances   []banks.Balance
	unreadable banks.Unreadable
	withheld   banks.Withheld
}

// TestFieldInputs holds the policy of docs/reading.md over all three formats.
func TestFieldInputs(t *testing.T) {
	t.Parallel()
	formats := []struct {
		name string
		rows []fieldRow
		read func(input, currency string) (fieldResult, error)
	}{
		{"mt940", mt940Rows, func(input, currency string) (fieldResult, error) {
			r, err := mt940.Read(input, currency)
			if err != nil {
				return fieldResult{}, err
			}
			return fieldResult{entries: r.Entries, balances: r.Balances, unreadable: r.Unreadable}, nil
		}},
		{"camt", camtRows, func(input, currency string) (fieldResult, error) {
			r, err := camt.Read(strings.NewReader(input), currency)
			if err != nil {
				return fieldResult{}, err
			}
			return fieldResult{entries: r.Entries, balances: r.Balances, unreadable: r.Unreadable}, nil
		}},
		{"json", jsonRows, func(input, currency string) (fieldResult, error) {
			p, err := xs2a.ReadReport(strings.NewReader(input), currency)
			return fieldResult{entries: p.Entries, balances: p.Balances, unreadable: p.Unreadable, withheld: p.Withheld}, err
		}},
	}
	for _, format := range formats {
		for _, row := range format.rows {
			t.Run(format.name+"/"+row.kind+"/"+row.name, func(t *testing.T) {
				t.Parallel()
				preset := row.preset
				if preset == "" {
					preset = "EUR"
				}
				got, err := format.read(row.input, preset)
				if row.fails != "" {
					var place *banks.EntryError
					require.True(t, errors.As(err, &place), "want an error that names the entry, got %v", err)
					require.Contains(t, place.Place, row.fails)
					return
				}
				require.NoError(t, err)
				require.Equal(t, row.unreadable, got.unreadable.Count, got.unreadable.First)
				require.Equal(t, row.withheld, got.withheld)
				requireEntries(t, row.entries, got.entries)
				if row.balances != nil {
					balances := []string{}
					for _, b := range got.balances {
						balances = append(balances, strings.Join(strings.Fields(fmt.Sprint(b.Type, " ", b.Date, " ", b.Amount, " ", b.Currency)), " "))
					}
					require.Equal(t, row.balances, balances)
				}
			})
		}
	}
}

// TestFieldInputsAreMany holds what the table is worth: no kind rests on one or two inputs, and no input is there twice.
func TestFieldInputsAreMany(t *testing.T) {
	t.Parallel()
	kinds, inputs := map[string]int{}, map[string]bool{}
	for _, rows := range [][]fieldRow{mt940Rows, camtRows, jsonRows} {
		require.GreaterOrEqual(t, len(rows), 30)
		for _, row := range rows {
			kinds[row.kind]++
			require.NotEmpty(t, row.name)
			require.False(t, inputs[row.input+row.preset], "twice: %s", row.name)
			inputs[row.input+row.preset] = true
		}
	}
	require.GreaterOrEqual(t, len(inputs), 90)
	for kind, n := range kinds {
		require.GreaterOrEqual(t, n, 3, kind)
	}
}

func requireEntries(t *testing.T, want []inputEntry, got []banks.Entry) {
	t.Helper()
	if want == nil {
		return
	}
	require.Len(t, got, len(want))
	for i, w := range want {
		e := got[i]
		reconcile.Normalize(&e)
		require.Equal(t, w.pending, e.Pending, "entry %d: pending", i)
		for _, field := range []struct{ name, want, got string }{
			{"amount", w.amount, e.Amount.String() + " " + e.Currency},
			{"original", w.original, strings.TrimSuffix(e.OriginalAmount.String()+" "+e.OriginalCurrency, "0 ")},
			{"booked", w.booked, e.BookingDate.String()}, {"valued", w.valued, e.ValueDate.String()},
			{"name", w.name, e.Counterparty.Name}, {"iban", w.iban, e.Counterparty.IBAN}, {"number", w.number, e.Counterparty.AccountNumber},
			{"text", w.text, strings.Join(e.Remittance, " ")},
			{"end to end", w.endToEnd, e.EndToEndID}, {"mandate", w.mandate, e.MandateID},
			{"creditor", w.creditor, e.CreditorID}, {"customer reference", w.customer, e.CustomerReference},
			{"purpose", w.purpose, e.PurposeCode}, {"booking text", w.bookingText, e.BookingText}, {"booking key", w.key, e.BookingKey},
			{"primanota", w.primanota, e.PrimanotaCode}, {"id", w.id, e.TransactionID}, {"reference", w.reference, e.EntryReference},
		} {
			switch field.want {
			case "":
			case "-":
				require.Empty(t, field.got, "entry %d: %s", i, field.name)
			default:
				require.Equal(t, field.want, field.got, "entry %d: %s", i, field.name)
			}
		}
		for key, value := range w.info {
			require.Equal(t, value, e.AdditionalInfo[key], "entry %d: %s", i, key)
		}
	}
}
