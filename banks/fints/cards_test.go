package fints_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/fints/syntax"
	"github.com/kontoflow/kontoflow/internal/civil"
)

const cardNumber = "5232000000004711"

// segment parses a segment as it is on the wire.
func segment(t *testing.T, wire string) syntax.Segment {
	t.Helper()
	all, err := syntax.Parse([]byte(wire + "'"))
	require.NoError(t, err)
	require.Len(t, all, 1)
	return all[0]
}

// dikku is the answer to DKKKU, of a card with this balance and these entries.
func dikku(t *testing.T, balance string, entries ...string) []syntax.Segment {
	return []syntax.Segment{segment(t, "DIKKU:4:2:3+"+cardNumber+"++"+balance+"+20260210+20260310+"+strings.Join(entries, "+"))}
}

// cardBank is a bank that has a giro account and a card with an order of its own.
func cardBank(t *testing.T, order string, answer func(*syntax.Segment) []syntax.Segment) *script {
	s := newScript(t)
	s.more = []syntax.Segment{parameters("DIKKUS", 2, "90", "N", "J"), parameters("HIKKUS", 1, "370", "N", "J", "N")}
	s.listed = []syntax.Segment{upd("4711951500", "", "DE67900900424711951500", "1", "EUR", "Giro", "HKSPA", "HKSAL", "HKKAZ"),
		upd(cardNumber, "17", "", "50", "EUR", "Visa", order)}
	s.orders = orders{"HKSPA": ibans, "HKSAL": balance, "HKKAZ": giro, order: answer}
	return s
}

func (c *customer) card() banks.Account {
	accounts, err := c.provider.Accounts(c.t.Context(), &c.conv)
	require.NoError(c.t, err)
	require.Len(c.t, accounts, 2)
	return accounts[1]
}

// A credit card is read with DKKKU: amounts, original amounts, days, texts and the balance; in
// pages and windows.
func TestCardStatements(t *testing.T) {
	t.Parallel()
	s := cardBank(t, "DKKKU", func(o *syntax.Segment) []syntax.Segment {
		require.Equal(t, 2, o.Version)
		require.Equal(t, syntax.Text(cardNumber, "17", "280", "90090042"), o.At(0))
		require.Equal(t, []string{cardNumber, "17"}, []string{o.Get(1, 0), o.Get(2, 0)})
		require.Equal(t, "20251202", o.Get(3, 0), "90 days are kept")
		if o.Get(6, 0) == "" {
			return append(dikku(t, "D:1234,56:EUR:20260301:120000",
				cardNumber+":20260226:20260227::12,34:EUR:D:1,:12,34:EUR:D:KIOSK AM TOR:BERLIN:::::::: J:1001:5411",
				cardNumber+":20260225:20260226::50,:USD:D:0,9:45,:EUR:D:PIXELWERKE:NEW YORK::::::::J:1002:5734"),
				feedback("HIRMS", 3, []string{"3040", "Es liegen weitere Informationen vor", "NEXT"}))
		}
		require.Equal(t, "NEXT", o.Get(6, 0))
		return dikku(t, "D:1234,56:EUR:20260301:120000",
			cardNumber+":20260210:20260210::0,:EUR:C:1,:1000,:EUR:C:Ausgleich Kartenabrechnung:::::::::J:1003",
			cardNumber+":20260228:::7,5:EUR:D:1,:7,5:EUR:D:CAF\xc9?+BAR:::::::::N:1004")
	})
	c := s.customer()
	require.NoError(t, c.connect())
	card := c.card()
	require.Equal(t, []any{banks.CreditCard, cardNumber, "", "Visa"}, []any{card.Type, card.Number, card.Unread, card.Name})
	r, err := c.read(card, banks.Window{})
	require.NoError(t, err)
	require.Equal(t, 2, r.pages)
	var got []string
	for _, e := range r.entries {
		got = append(got, fmt.Sprintf("%s %s %s %s %v %s%s %q %q", e.TransactionID, e.BookingDate, e.ValueDate, e.Amount.String()+e.Currency, e.Pending,
			e.OriginalAmount, e.OriginalCurrency, e.Counterparty.Name, strings.Join(e.Remittance, "|")))
	}
	require.Equal(t, []string{
		`1001 2026-02-27 2026-02-26 -12.34EUR false 0 "KIOSK AM TOR" "KIOSK AM TOR|BERLIN"`,
		`1002 2026-02-26 2026-02-25 -45EUR false -50USD "PIXELWERKE" "PIXELWERKE|NEW YORK"`,
		`1003 2026-02-10 2026-02-10 1000EUR false 0 "" "Ausgleich Kartenabrechnung"`,
		`1004  2026-02-28 -7.5EUR true 0 "CAFÉ+BAR" "CAFÉ+BAR"`,
	}, got)
	require.Equal(t, map[string]string{"exchange_rate": "0.9", "merchant_category_code": "5734", "transaction_date": "2026-02-25"}, r.entries[1].AdditionalInfo)
	require.Len(t, r.last.Balances, 1)
	b := r.last.Balances[0]
	require.Equal(t, "closingBooked -1234.56 EUR 2026-03-01", fmt.Sprint(b.Type, " ", b.Amount, " ", b.Currency, " ", b.Date))
	require.Equal(t, banks.Window{From: civil.Day(2025, 12, 2), To: today}, r.last.Covered)
	require.True(t, r.last.PendingCovered)
	require.Zero(t, r.last.Unreadable)
}

// The specified order for cards (HKKKU) has another layout, and its bank says what goes along.
func TestCardStatementsOfHKKKU(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		flags   []string // period and account
		account syntax.Element
		from    string
		covered civil.Date
	}{
		"with days":                 {[]string{"J", "N"}, nil, "20260220", civil.Day(2026, 2, 20)},
		"with days and the account": {[]string{"J", "J"}, syntax.Text("", "", cardNumber, "17", "280", "90090042"), "20260220", civil.Day(2026, 2, 20)},
		"without days":              {[]string{"N", "N"}, nil, "", civil.Day(2026, 2, 27)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := cardBank(t, "HKKKU", func(o *syntax.Segment) []syntax.Segment {
				require.Equal(t, 1, o.Version)
				require.Equal(t, test.account, o.At(0))
				require.Equal(t, []string{cardNumber, "17", test.from}, []string{o.Get(1, 0), o.Get(2, 0), o.Get(3, 0)})
				return []syntax.Segment{segment(t, "HIKKU:4:1:3+5232XXXXXXXX4711+17+D:250,00:EUR:20260301+20260210+20260310"+
					"+5232XXXXXXXX4711:20260226:20260227:20260310:20260228:75,:CAD:D:1,6:47,53:EUR:D:BUCHPIXEL:75 CAD KURS 1,6:::::::124:Buchpixel GmbH:T-1:N:2001:::"+
					"+5232XXXXXXXX4711:20260226:20260227:::::::0,89:EUR:D:Auslandsentgelt:::::::::::J:2001:AEE1:02-2026+::::::::::::::::::::::::::::")}
			})
			s.more[1] = parameters("HIKKUS", 1, append([]string{"370", "N"}, test.flags...)...)
			c := s.customer()
			require.NoError(t, c.connect())
			r, err := c.read(c.card(), banks.Window{From: civil.Day(2026, 2, 20)})
			require.NoError(t, err)
			require.Len(t, r.entries, 2, "the empty one is none")
			e := r.entries[0]
			require.Equal(t, "2001 2026-02-27 2026-02-28 -47.53 EUR -75 CAD Buchpixel GmbH BUCHPIXEL|75 CAD KURS 1,6", fmt.Sprint(e.TransactionID, " ", e.BookingDate, " ", e.ValueDate,
				" ", e.Amount, " ", e.Currency, " ", e.OriginalAmount, " ", e.OriginalCurrency, " ", e.Counterparty.Name, " ", strings.Join(e.Remittance, "|")))
			require.Equal(t, map[string]string{"exchange_rate": "1.6", "country": "124", "terminal": "T-1", "transaction_date": "2026-02-26", "card": "5232XXXXXXXX4711"}, e.AdditionalInfo)
			require.Len(t, r.last.Balances, 1)
			require.Equal(t, test.covered, r.last.Covered.From)
		})
	}
}

// What cannot be read of a card's statement, and where there is none.
func TestCardStatementsAsTheyAre(t *testing.T) {
	t.Parallel()
	entry := cardNumber + ":20260226:20260227::12,34:EUR:D:1,:12,34:EUR:D:KIOSK::::::::: J:1001"
	for name, test := range map[string]struct {
		answer  []syntax.Segment
		entries int
		left    int
		covered bool
		place   string // in the error
	}{
		"no entries, a balance":    {[]syntax.Segment{segment(t, "DIKKU:4:2:3+"+cardNumber+"++C:0,:EUR:20260301")}, 0, 0, true, ""},
		"neither":                  {[]syntax.Segment{segment(t, "DIKKU:4:2:3+"+cardNumber)}, 0, 0, true, ""},
		"3010 and no list":         {[]syntax.Segment{feedback("HIRMS", 3, []string{"3010", "Zur Kreditkarte liegen keine Umsätze vor"})}, 0, 0, true, ""},
		"no list":                  {nil, 0, 0, false, ""},
		"an amount":                {dikku(t, "C:0,:EUR:20260301", entry, strings.ReplaceAll(entry, "12,34", "12,,34")), 0, 0, false, "DIKKU, element 8: amount"},
		"a sign":                   {dikku(t, "C:0,:EUR:20260301", strings.ReplaceAll(entry, ":D:", ":X:")), 0, 0, false, "DIKKU, element 7: amount"},
		"a currency":               {dikku(t, "C:0,:EUR:20260301", strings.ReplaceAll(entry, "12,34:EUR:D:KIOSK", "12,34:EU:D:KIOSK")), 0, 0, false, "DIKKU, element 7: currency"},
		"cut off":                  {dikku(t, "C:0,:EUR:20260301", cardNumber+":20260226:20260227::12,34"), 0, 0, false, "DIKKU, element 7: amount"},
		"no currency":              {dikku(t, "C:0,:EUR:20260301", strings.ReplaceAll(entry, ":EUR:", "::")), 1, 0, true, ""},
		"Soll and Haben":           {dikku(t, "C:0,:EUR:20260301", strings.ReplaceAll(entry, ":D:", ":S:")), 1, 0, true, ""},
		"a day":                    {dikku(t, "C:0,:EUR:20260301", strings.Replace(entry, "20260227", "20260230", 1)), 1, 1, true, ""},
		"no day at all":            {dikku(t, "C:0,:EUR:20260301", strings.Replace(entry, "20260226:20260227", ":", 1)), 1, 0, true, ""},
		"the original amount":      {dikku(t, "C:0,:EUR:20260301", strings.Replace(entry, "12,34:EUR:D:1,", "x:USD:D:1,", 1)), 1, 1, true, ""},
		"the balance":              {dikku(t, "C:x:EUR:20260301", entry), 1, 1, true, ""},
		"a balance without a sign": {dikku(t, ":12,:EUR:20260301", entry), 1, 1, true, ""},
		"a head with one more":     {[]syntax.Segment{segment(t, "DIKKU:4:2:3+"+cardNumber+"+17+18+C:0,:EUR:20260301+20260210+20260310+"+entry)}, 1, 0, true, ""},
		"one place more":           {dikku(t, "C:0,:EUR:20260301", strings.Replace(entry, "1,:12,34", "1,::12,34", 1)), 1, 0, true, ""},
		"several segments":         {append(dikku(t, "C:0,:EUR:20260301", entry), dikku(t, "C:0,:EUR:20260301", entry)...), 2, 0, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := cardBank(t, "DKKKU", func(*syntax.Segment) []syntax.Segment { return test.answer })
			c := s.customer()
			require.NoError(t, c.connect())
			r, err := c.read(c.card(), banks.Window{})
			if test.place != "" {
				requireError(t, err, banks.Rejected, banks.CodeBankCannot)
				require.Contains(t, err.Error(), test.place)
				require.NotContains(t, err.Error(), cardNumber)
				return
			}
			require.NoError(t, err)
			require.Len(t, r.entries, test.entries)
			require.Equal(t, test.left, r.last.Unreadable.Count, "%+v", r.last.Unreadable)
			require.Equal(t, test.covered, !r.last.Covered.To.IsZero())
			for _, e := range r.entries {
				require.False(t, e.Pending)
				require.False(t, e.BookingDate.IsZero())
				require.Equal(t, "-12.34 EUR", e.Amount.String()+" "+e.Currency)
			}
		})
	}
}

// Accounts that the bank has no order for are listed and not read, and it is not asked for them.
func TestAccountsThatAreNotRead(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.listed = []syntax.Segment{
		upd("4711951500", "", "DE67900900424711951500", "1", "EUR", "Giro", "HKSPA", "HKSAL", "HKKAZ"),
		upd(cardNumber, "", "", "50", "EUR", "Visa", "DKKKU"), // no DIKKUS
		upd("7001", "", "", "30", "EUR", "Depot", "HKWPD"),
		upd("7002", "", "", "33", "EUR", "Depot mit Saldo", "HKWPD", "HKSAL"),
		upd("7003", "", "", "60", "EUR", "Fondsdepot", "HKWPD"),
		upd("7004", "", "", "", "EUR", "Wertpapiere", "HKWPD"),
		upd("7005", "", "", "31", "EUR", "Verrechnungskonto", "HKKAZ"),
		upd("7006", "", "", "80", "EUR", "Lebensversicherung", "HKXYZ"),
		upd("7007", "", "", "30", "EUR", "Depot, nichts gesagt"),
		upd("7008", "", "", "70", "EUR", "Bausparen", "HKSAL"),
		upd("7009", "", "", "50", "EUR", "Karte, nichts gesagt"),
	}
	s.orders = orders{"HKSAL": balance, "HKKAZ": giro}
	c := s.customer()
	require.NoError(t, c.connect())
	accounts, err := c.provider.Accounts(t.Context(), &c.conv)
	require.NoError(t, err)
	var got []string
	for _, a := range accounts {
		got = append(got, strings.Join([]string{a.Number, string(a.Type), a.Unread, fmt.Sprint(len(a.Balances))}, " "))
	}
	require.Equal(t, []string{
		"4711951500 Giro account  2",
		cardNumber + " Credit card NO_STATEMENT_ORDER 0",
		"7001 Depot DEPOT 0",
		"7002 Depot DEPOT 2",
		"7003 Depot DEPOT 0",
		"7004 Depot DEPOT 0",
		"7005 Depot  0",
		"7006 Unknown NO_STATEMENT_ORDER 0",
		"7007 Depot DEPOT 0",
		"7008 Unknown NO_STATEMENT_ORDER 2",
		"7009 Credit card  2",
	}, got)
}

// A bank that offers DKKKU in a later version only is asked with the lowest that it offers, as if
// it were version 2.
func TestVersionsOfCardOrders(t *testing.T) {
	t.Parallel()
	for want, versions := range map[int][]int{2: {3, 2}, 3: {4, 3}, 5: {5}} {
		s := cardBank(t, "DKKKU", func(o *syntax.Segment) []syntax.Segment {
			require.Equal(t, want, o.Version)
			return []syntax.Segment{segment(t, fmt.Sprintf("DIKKU:4:%d:3+%s++C:1,:EUR:20260301+++%s:20260226:20260227::12,34:EUR:D:1,:12,34:EUR:D:KIOSK", want, cardNumber, cardNumber))}
		})
		s.only = map[string][]int{"DIKKUS": versions}
		c := s.customer()
		require.NoError(t, c.connect())
		r, err := c.read(c.card(), banks.Window{})
		require.NoError(t, err)
		require.Len(t, r.entries, 1)
	}
}
