package sandbox_test

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/fints"
	"github.com/kontoflow/kontoflow/banks/fints/syntax"
	"github.com/kontoflow/kontoflow/internal/civil"
	"github.com/kontoflow/kontoflow/sandbox"
)

// A fintsReader is Kontoflow's adapter at one of the FinTS banks.
type fintsReader struct {
	t        *testing.T
	provider banks.Adapter
	conv     banks.Conversation
}

func newFinTSReader(t *testing.T, bank *sandbox.Bank, path, bankCode, login string) *fintsReader {
	server := httptest.NewServer(bank.Handler())
	t.Cleanup(server.Close)
	return &fintsReader{t, fints.New(fints.Options{Now: bank.Now}), banks.Conversation{Interactive: true, Resumed: true,
		Connection:  banks.Connection{Protocol: "FINTS", URL: server.URL + "/" + path, BankCode: bankCode},
		Credentials: map[string]string{banks.CredentialLogin: login, banks.CredentialPIN: "demo"}}}
}

// accounts logs in, with a TAN where one is wanted, and lists the accounts.
func (r *fintsReader) accounts() []banks.Account {
	r.t.Helper()
	r.conv.Dialog, r.conv.Resumed = nil, true
	step, err := r.provider.Authorize(r.t.Context(), &r.conv)
	for err == nil && step.Status != banks.Ready {
		if step.Challenge != nil {
			answer := banks.Answer{Value: "111111"}
			for step, err = r.provider.Answer(r.t.Context(), &r.conv, answer); err == nil && step.Status == banks.Moving; {
				step, err = r.provider.Answer(r.t.Context(), &r.conv, answer)
			}
			continue
		}
		step, err = r.provider.Authorize(r.t.Context(), &r.conv)
	}
	require.NoError(r.t, err)
	accounts, err := r.provider.Accounts(r.t.Context(), &r.conv)
	require.NoError(r.t, err)
	return accounts
}

// read reads all pages of an account; what the last one says stands in the page.
func (r *fintsReader) read(account banks.Account, window banks.Window) (all banks.Page) {
	r.t.Helper()
	for cursor := ""; ; {
		page, err := r.provider.Transactions(r.t.Context(), &r.conv, account, window, cursor)
		require.NoError(r.t, err)
		page.Entries, page.Balances = append(all.Entries, page.Entries...), append(all.Balances, page.Balances...)
		all = page
		if cursor = page.Next; cursor == "" {
			return all
		}
	}
}

// Every FinTS bank that is odd where accounts are read, through the adapter: the accounts and
// entries are the ledger's, and the second time no order is sent in vain.
func TestAdapterReadsEveryFinTSBank(t *testing.T) {
	t.Parallel()
	const (
		all     = 0
		pending = -1 // are held back
		pages   = 5  // of 400 days, 99 days each
	)
	for _, test := range []struct {
		path, code, login string
		shows             int // days that are shown; all, or pending
		first, again      int // orders for statements
		others            int // accounts that are no part of the ledger
	}{
		{"fints", "90090042", "demo", all, pages, 1, 0},
		{"fints", "90090042", "currencies", all, 3 * pages, 3, 0},
		{"fints/ibanonly", "90090080", "demo", all, pages, 1, 0},
		{"fints/whole-account", "90090081", "demo", all, 1 + pages, 1, 0},
		{"fints/camtonly", "90090082", "demo", all, 14, 1, 0},
		{"fints/short-history", "90090083", "demo", 90, 4, 1, 0},
		{"fints/cards", "90090084", "card", all, pages + 4, 2, 1},
		{"fints/new-cards", "90090085", "card", all, pages + 4, 2, 0},
		{"fints/spelling", "90090086", "currencies", all, 3 * pages, 3, 0},
		{"fints/wants-tan", "90090087", "demo", all, 1 + pages, 1, 0},
		{"fints/two-codes", "90090088", "pending", pending, 5, 1, 0},
		{"fints/ignores-dates", "90090089", "demo", all, pages, pages, 0},
	} {
		t.Run(test.path+" "+test.login, func(t *testing.T) {
			t.Parallel()
			bank := sandbox.New(sandbox.Options{Now: clock})
			r := newFinTSReader(t, bank, test.path, test.code, test.login)
			orders := func() int { return bank.Counters().Calls[test.path+"/transactions"] }
			today := civil.On(bank.Now())
			ledgers, err := bank.Ledgers(test.login)
			require.NoError(t, err)
			before := 0
			for n, expected := range []int{test.first, test.again} {
				accounts := r.accounts()
				require.Len(t, accounts, len(ledgers)+test.others)
				for i, l := range ledgers {
					a := accounts[i]
					require.Empty(t, a.Unread)
					if l.MaskedPAN == "" {
						require.Equal(t, []string{l.IBAN, l.Currency}, []string{a.IBAN, a.Currency})
					}
					window := banks.Window{}
					if n > 0 {
						window.From = today.AddDays(-9)
					}
					page := r.read(a, window)
					if n > 0 && test.path != "fints/ignores-dates" {
						require.Equal(t, window.From, page.Covered.From)
						continue
					}
					requireLedger(t, l, page, test.shows, today)
					require.Equal(t, test.shows != pending, page.PendingCovered)
					balances := append(a.Balances, page.Balances...)
					require.NotEmpty(t, balances)
					require.True(t, decimal.New(l.Balance, -2).Equal(newest(balances).Amount), "%v", balances)
				}
				for _, a := range accounts[len(ledgers):] {
					require.Equal(t, []any{banks.Depot, banks.UnreadDepot}, []any{a.Type, a.Unread})
				}
				require.Equal(t, expected, orders()-before, "orders for statements")
				before = orders()
				require.NoError(t, r.provider.(banks.HangUpper).HangUp(t.Context(), &r.conv))
				bank.Advance(time.Minute)
			}
			require.Zero(t, bank.Counters().WrongPINs[test.login])
		})
	}
}

func newest(balances []banks.Balance) (best banks.Balance) {
	for _, b := range balances {
		if b.Type == "closingBooked" && b.Date >= best.Date {
			best = b
		}
	}
	return best
}

// requireLedger holds the entries of an account against the bank's own.
func requireLedger(t *testing.T, l sandbox.Ledger, page banks.Page, shows int, today civil.Date) {
	t.Helper()
	booked, waiting, sum := 0, 0, int64(0)
	for _, e := range l.Entries {
		switch {
		case e.Pending && shows < 0, !e.Pending && shows > 0 && e.BookingDate < today.AddDays(1-shows):
		case e.Pending:
			waiting++
		default:
			booked++
			sum += e.Cents
		}
	}
	total := decimal.Zero
	for _, e := range page.Entries {
		if e.Pending {
			waiting--
			continue
		}
		booked--
		total = total.Add(e.Amount)
		require.Equal(t, l.Currency, e.Currency)
		require.False(t, e.BookingDate.IsZero())
	}
	require.Zero(t, booked, "booked entries")
	require.Zero(t, waiting, "pending entries")
	require.True(t, decimal.New(sum, -2).Equal(total), "%s, and the ledger has %d cents", total, sum)
	require.Zero(t, page.Unreadable)
}

// What a card's entries say in either order: day, texts, the amount that was paid in another
// currency.
func TestCardsOverFinTS(t *testing.T) {
	t.Parallel()
	for path, code := range map[string]string{"fints/cards": "90090084", "fints/new-cards": "90090085"} {
		bank := sandbox.New(sandbox.Options{Now: clock})
		r := newFinTSReader(t, bank, path, code, "card")
		ledgers, err := bank.Ledgers("card")
		require.NoError(t, err)
		card := r.accounts()[1]
		require.Equal(t, banks.CreditCard, card.Type)
		require.Equal(t, ledgers[1].MaskedPAN, card.Number)
		byID := map[string]banks.Entry{}
		for _, e := range r.read(card, banks.Window{}).Entries {
			byID[e.TransactionID] = e
		}
		foreign := 0
		for _, want := range ledgers[1].Entries {
			e := byID[want.ID]
			require.Equal(t, want.Pending, e.Pending)
			require.True(t, decimal.New(want.Cents, -2).Equal(e.Amount))
			require.Contains(t, strings.Join(e.Remittance, ""), strings.Fields(want.Name)[0][:3])
			if !want.Pending {
				require.Equal(t, want.BookingDate, e.BookingDate)
			}
			if want.Foreign != "" {
				foreign++
				require.Equal(t, want.Foreign, e.OriginalCurrency)
				require.True(t, decimal.New(want.ForeignCents, -2).Abs().Equal(e.OriginalAmount.Abs()))
				require.NotEmpty(t, e.AdditionalInfo["exchange_rate"])
			}
		}
		require.Positive(t, foreign)
	}
}

// A bank that has no statements to give every other day: nothing is covered then.
func TestBusyFinTSBank(t *testing.T) {
	t.Parallel()
	bank := sandbox.New(sandbox.Options{Now: clock})
	r := newFinTSReader(t, bank, "fints/busy", "90090090", "demo")
	covered := map[banks.Withheld]int{}
	for range 4 {
		page := r.read(r.accounts()[0], banks.Window{})
		covered[page.Withheld]++
		require.Equal(t, page.Withheld == "", !page.Covered.To.IsZero())
		require.Equal(t, page.Withheld == "", len(page.Entries) > 0)
		bank.Advance(24 * time.Hour)
	}
	require.Equal(t, map[banks.Withheld]int{"": 2, banks.NoList: 2}, covered)
}

// The odd banks by hand: what they refuse, and with which code.
func TestFinTSBanksThatRefuse(t *testing.T) {
	t.Parallel()
	const iban = "DE67900900424711951500"
	short, whole := syntax.Text(iban, "DEMODE01XXX"), syntax.Text(iban, "DEMODE01XXX", "4711951500", "", "280", "90090042")
	kaz := func(version int, account syntax.Element, from string) syntax.Segment {
		return syntax.New("HKKAZ", version, account, syntax.Text("N"), syntax.Text(from))
	}
	for name, test := range map[string]struct {
		path, code string
		order      syntax.Segment
		tan        bool
		want       string
	}{
		"an account by number":     {"ibanonly", "90090080", syntax.New("HKSAL", 8, whole, syntax.Text("N")), false, "9210"},
		"an account by IBAN":       {"ibanonly", "90090080", syntax.New("HKSAL", 8, short, syntax.Text("N")), false, "0020"},
		"an order of former times": {"ibanonly", "90090080", syntax.New("HKSAL", 7, short, syntax.Text("N")), false, "9110"},
		"an account without one":   {"whole-account", "90090081", syntax.New("HKSAL", 7, short, syntax.Text("N")), false, "9210"},
		"a period":                 {"short-history", "90090083", kaz(7, whole, "20200101"), true, "9210"},
		"no HKTAN":                 {"wants-tan", "90090087", kaz(7, whole, ""), false, "9370"},
		"a card as an account":     {"cards", "90090084", syntax.New("DKKKU", 2, whole, syntax.Text("4711951500")), false, "9210"},
		"a card's order elsewhere": {"short-history", "90090083", syntax.New("DKKKU", 2, whole, syntax.Text("4711951500")), false, "9110"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newFinTSClient(t, sandbox.New(sandbox.Options{Now: clock}), "demo", "920").at(test.path, test.code)
			c.synchronize()
			answer := c.logIn("")
			if reference := answer.Find("HITAN").Get(2, 0); reference != "noref" {
				require.Subset(t, c.send("111111", tanStep("2", reference)).codes(), []string{"0020"})
			}
			segments := []syntax.Segment{test.order}
			if test.tan {
				segments = append(segments, tanFor(test.order.Name, ""))
			}
			require.Subset(t, c.send("", segments...).codes(), []string{test.want})
		})
	}
}
