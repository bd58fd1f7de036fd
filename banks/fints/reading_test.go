package fints_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/fints/syntax"
	"github.com/kontoflow/kontoflow/internal/civil"
)

// orders answers orders by name.
type orders = map[string]func(order *syntax.Segment) []syntax.Segment

const camt08 = "urn:iso:std:iso:20022:tech:xsd:camt.052.001.08"

// camtDay is a camt.052 with one booked entry, or with none.
func camtDay(entries int) []byte {
	entry := `<Ntry><Amt Ccy="EUR">1.00</Amt><CdtDbtInd>CRDT</CdtDbtInd><Sts><Cd>BOOK</Cd></Sts><BookgDt><Dt>2026-02-27</Dt></BookgDt></Ntry>`
	return []byte(`<Document xmlns="` + camt08 + `"><BkToCstmrAcctRpt><Rpt>` + strings.Repeat(entry, entries) + `</Rpt></BkToCstmrAcctRpt></Document>`)
}

// refuse answers an order with return codes.
func refuse(codes ...[]string) func(*syntax.Segment) []syntax.Segment {
	return func(order *syntax.Segment) []syntax.Segment {
		return []syntax.Segment{feedback("HIRMS", order.Number, codes...)}
	}
}

// giro answers HKKAZ with one entry.
func giro(*syntax.Segment) []syntax.Segment {
	return statement("", ":61:260227D12,34NMSCNONREF//A1")
}

// reading is what a whole reading of an account brings.
type reading struct {
	entries []banks.Entry
	last    banks.Page
	pages   int
}

func (c *customer) read(account banks.Account, window banks.Window) (r reading, err error) {
	for cursor := ""; ; {
		page, err := c.provider.Transactions(c.t.Context(), &c.conv, account, window, cursor)
		c.reload()
		if err != nil {
			return r, err
		}
		r.entries, r.last, r.pages = append(r.entries, page.Entries...), page, r.pages+1
		if cursor = page.Next; cursor == "" {
			return r, nil
		}
		require.Less(c.t, r.pages, 50)
	}
}

// first logs in, and reads the first account's entries.
func (c *customer) first(window banks.Window) (reading, error) {
	require.NoError(c.t, c.connect())
	accounts, err := c.provider.Accounts(c.t.Context(), &c.conv)
	require.NoError(c.t, err)
	return c.read(accounts[0], window)
}

// again is another synchronization of the same access.
func (c *customer) again() {
	c.conv.Dialog = nil
	c.reload()
	c.seen = nil
}

func ids(entries []banks.Entry) (all []string) {
	for i := range entries {
		if !entries[i].Pending {
			all = append(all, entries[i].TransactionID)
		}
	}
	return all
}

// upd is an account in the user parameters (HIUPD).
func upd(number, sub, iban, kind, currency, product string, orders ...string) syntax.Segment {
	s := syntax.New("HIUPD", 6, syntax.Text(number, sub, "280", "90090042"), syntax.Text(iban), syntax.Text("demo"), syntax.Text(kind), syntax.Text(currency),
		syntax.Text("Käthe"), syntax.Text("Müller"), syntax.Text(product), syntax.Empty())
	for _, order := range orders {
		s.Elements = append(s.Elements, syntax.Text(order, "1"))
	}
	return s
}

// parameters are those of an order in the bank parameters.
func parameters(name string, version int, values ...string) syntax.Segment {
	one := syntax.Text("1")
	return syntax.New(name, version, one, one, one, syntax.Text(values...))
}

// HISPAS says whether the national account number may go along with an IBAN. Where the bank refuses
// the account all the same, the other form is tried once, and what worked is kept.
func TestNameOfAccount(t *testing.T) {
	t.Parallel()
	whole := syntax.Text("DE67900900424711951500", "DEMODE01", "4711951500", "", "280", "90090042")
	international := syntax.Text("DE67900900424711951500", "DEMODE01")
	for name, test := range map[string]struct {
		flag    string                            // of HISPAS
		accepts func(account syntax.Element) bool // nil: both
		refusal []string
		want    []syntax.Element // that the statements were asked for with, in both synchronizations
		fails   bool
	}{
		"the bank takes the whole account":    {flag: "J", want: []syntax.Element{whole, whole}},
		"the bank takes IBAN and BIC only":    {flag: "N", want: []syntax.Element{international, international}},
		"the bank does not say":               {flag: "", want: []syntax.Element{whole, whole}},
		"says J, and takes IBAN and BIC only": {"J", isShort, []string{"9010", "Kontonummer ist ungültig."}, []syntax.Element{whole, international, international}, false},
		"says N, and wants the whole":         {"N", isWhole, []string{"9210", "Keine gültige Kontoverbindung des Kunden"}, []syntax.Element{international, whole, whole}, false},
		"says nothing, and names the element": {"", isShort, []string{"9210:2", "Auftrag abgelehnt"}, []syntax.Element{whole, international, international}, false},
		"a part of the element":               {"", isShort, []string{"9210:2,3", "Wert unzulässig"}, []syntax.Element{whole, international, international}, false},
		"a syntax error":                      {"J", isShort, []string{"9130", "Syntaxfehler"}, []syntax.Element{whole, international, international}, false},
		"in English":                          {"J", isShort, []string{"9210", "Unknown account"}, []syntax.Element{whole, international, international}, false},
		"the IBAN is not known":               {"N", isWhole, []string{"9215", "IBAN nicht bekannt"}, []syntax.Element{international, whole, whole}, false},
		"refused in either form":              {"J", isNone, []string{"9210", "Kontonummer ist ungültig."}, []syntax.Element{whole, international}, true},
		"the order is not for the account":    {"J", isNone, []string{"9210", "Auftrag für dieses Konto nicht zugelassen"}, []syntax.Element{whole}, true},
		"the account is blocked":              {"J", isNone, []string{"9210", "Das Konto ist gesperrt"}, []syntax.Element{whole}, true},
		"a failure of the bank":               {"J", isNone, []string{"9010", "Interner Fehler 4711"}, []syntax.Element{whole}, true},
	} {
		for _, order := range []string{"HKCAZ", "HKKAZ"} {
			t.Run(name+", "+order, func(t *testing.T) {
				t.Parallel()
				s := newScript(t)
				s.more = []syntax.Segment{parameters("HISPAS", 3, "J", test.flag, "N", "N", "0")}
				s.camt, s.orderable = []string{camt08}, []string{"HKSPA", order}
				var asked []syntax.Element
				answer := func(o *syntax.Segment) []syntax.Segment {
					asked = append(asked, o.At(0))
					if test.accepts != nil && !test.accepts(o.At(0)) {
						code, element, _ := strings.Cut(test.refusal[0], ":")
						refusal := feedback("HIRMS", o.Number)
						refusal.Elements = []syntax.Element{syntax.Text(code, element, test.refusal[1])}
						return []syntax.Segment{refusal}
					}
					if order == "HKCAZ" {
						return []syntax.Segment{syntax.New("HICAZ", 1, o.At(0), o.At(1), syntax.Binary(camtDay(1)))}
					}
					return giro(o)
				}
				s.orders = orders{"HKSPA": ibans, order: answer}
				c := s.customer()
				_, err := c.first(banks.Window{})
				if test.fails {
					require.Error(t, err)
					require.Equal(t, test.want, asked)
					return
				}
				require.NoError(t, err)
				c.again()
				_, err = c.first(banks.Window{})
				require.NoError(t, err)
				require.Equal(t, test.want, asked)
			})
		}
	}
}

func isShort(account syntax.Element) bool { return len(account) == 2 }
func isWhole(account syntax.Element) bool { return len(account) == 6 }
func isNone(syntax.Element) bool          { return false }

// The balance is asked for in the same form, and the bank is not asked again in the one that it
// refused.
func TestNameOfAccountInBalances(t *testing.T) {
	t.Parallel()
	for _, version := range []int{7, 8} {
		s := newScript(t)
		s.more = []syntax.Segment{parameters("HISPAS", 2, "J", "N", "N", "N")}
		if version == 7 {
			s.more = append(s.more, parameters("HISALS", 7))
		}
		var asked []string
		s.orders = orders{"HKSPA": ibans, "HKSAL": func(o *syntax.Segment) []syntax.Segment {
			asked = append(asked, fmt.Sprintf("%d:%d", o.Version, len(o.At(0))))
			if len(o.At(0)) == 2 {
				return refuse([]string{"9210", "Kontoverbindung unvollständig"})(o)
			}
			return balance(o)
		}}
		c := s.customer()
		for range 2 {
			require.NoError(t, c.connect())
			accounts, err := c.provider.Accounts(t.Context(), &c.conv)
			require.NoError(t, err)
			require.Len(t, accounts[0].Balances, 2)
			c.again()
		}
		require.Equal(t, []string{"8:2", "8:6", "8:6"}, asked)
	}
}

// A bank may offer any version of an order, and HKCAZ for any list of formats.
func TestVersionsOfOrders(t *testing.T) {
	t.Parallel()
	t.Run("balances", func(t *testing.T) {
		t.Parallel()
		for version, account := range map[int]syntax.Element{
			4: syntax.Text("4711951500", "280", "90090042"),
			5: syntax.Text("4711951500", "", "280", "90090042"),
			6: syntax.Text("4711951500", "", "280", "90090042"),
			7: syntax.Text("DE67900900424711951500", "DEMODE01", "4711951500", "", "280", "90090042"),
			8: syntax.Text("DE67900900424711951500", "DEMODE01", "4711951500", "", "280", "90090042"),
		} {
			s := newScript(t)
			s.only = map[string][]int{"HISALS": {version}}
			s.orders = orders{"HKSPA": ibans, "HKSAL": func(o *syntax.Segment) []syntax.Segment {
				require.Equal(t, version, o.Version)
				require.Equal(t, account, o.At(0))
				return balance(o)
			}}
			c := s.customer()
			require.NoError(t, c.connect())
			accounts, err := c.provider.Accounts(t.Context(), &c.conv)
			require.NoError(t, err)
			require.Len(t, accounts[0].Balances, 2, "version %d", version)
		}
	})
	t.Run("MT940", func(t *testing.T) {
		t.Parallel()
		for version, flag := range map[int]string{4: "", 5: "N", 6: "N", 7: "N"} {
			s := newScript(t)
			s.only = map[string][]int{"HIKAZS": {version}}
			s.orders = orders{"HKSPA": ibans, "HKKAZ": func(o *syntax.Segment) []syntax.Segment {
				require.Equal(t, version, o.Version)
				require.Equal(t, []string{flag, "20251202"}, []string{o.Get(1, 0), o.Get(2, 0)})
				return giro(o)
			}}
			r, err := s.customer().first(banks.Window{})
			require.NoError(t, err)
			require.Equal(t, []string{"A1"}, ids(r.entries))
		}
	})
	t.Run("formats", func(t *testing.T) {
		t.Parallel()
		urn := func(name string) string { return "urn:iso:std:iso:20022:tech:xsd:" + name }
		for want, offered := range map[string][]string{
			urn("camt.052.001.08"):   {urn("camt.052.001.02"), urn("camt.052.001.08"), urn("camt.052.001.13")},
			urn("camt.052.001.02"):   {urn("camt.053.001.08"), urn("camt.052.001.02"), urn("camt.052.001.06")},
			"camt.052.001.08_GBIC_4": {"camt.052.001.02_GBIC_1", "camt.052.001.08_GBIC_4"},
			"CAMT.052.001.06":        {"camt.052.001.03", "CAMT.052.001.06", "camt.052.001.04"},
			urn("camt.053.001.08"):   {urn("camt.053.001.02"), urn("camt.053.001.08")},
			urn("camt.052.001.13"):   {urn("camt.052.001.13")},
			"Umsätze als XML":        {"Umsätze als XML", "Umsätze als PDF"},
		} {
			s := newScript(t)
			s.camt = offered
			s.orders = orders{"HKSPA": ibans, "HKCAZ": func(o *syntax.Segment) []syntax.Segment {
				require.Equal(t, syntax.Text(want), o.At(1), "as the bank writes it, and one only")
				return []syntax.Segment{syntax.New("HICAZ", 1, o.At(0), o.At(1), syntax.Binary(camtDay(1)))}
			}}
			r, err := s.customer().first(banks.Window{})
			require.NoError(t, err)
			require.Len(t, r.entries, 1)
		}
	})
}

// A bank that lists camt and does not give it is asked for MT940 at once, and first from the third
// synchronization on.
func TestCamtThatIsNotGiven(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func(*syntax.Segment) []syntax.Segment{
		"refused":  refuse([]string{"9010", "Auftrag wird für dieses Konto nicht unterstützt"}),
		"no list":  refuse([]string{"0020", "Auftrag ausgeführt"}),
		"no reply": func(*syntax.Segment) []syntax.Segment { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.camt = []string{camt08}
			s.orders = orders{"HKSPA": ibans, "HKCAZ": answer, "HKKAZ": giro}
			c := s.customer()
			for n, want := range []string{"HKCAZ HKKAZ", "HKCAZ HKKAZ", "HKKAZ"} {
				r, err := c.first(banks.Window{})
				require.NoError(t, err)
				require.Equal(t, []string{"A1"}, ids(r.entries))
				require.Equal(t, want, strings.Join(statements(s.seen), " "), "synchronization %d", n+1)
				c.again()
			}
		})
	}
}

// statements are the messages that ask for statements, of those that the bank has seen.
func statements(seen []string) []string {
	return slices.DeleteFunc(slices.Clone(seen), func(names string) bool {
		return !strings.Contains(names, "AZ") && !strings.Contains(names, "KKU")
	})
}

// The order that a bank wants HKTAN beside although its parameters say that it does not (9370) is
// sent again with it; from then on it goes along at once.
func TestOrderThatWantsHKTAN(t *testing.T) {
	t.Parallel()
	for name, code := range map[string]string{"of the order": "HIRMS", "of the message": "HIRMG"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			unless := func(answer func(*syntax.Segment) []syntax.Segment) func(*syntax.Segment) []syntax.Segment {
				return func(o *syntax.Segment) []syntax.Segment {
					if strings.Contains(s.seen[len(s.seen)-1], "HKTAN") {
						return answer(o)
					}
					reference := o.Number
					if code == "HIRMG" {
						reference = 0
					}
					return []syntax.Segment{feedback(code, reference, []string{"9370", "Anzahl Signaturen für diesen Auftrag unzureichend laut UPD oder BPD."})}
				}
			}
			s.orders = orders{"HKSPA": ibans, "HKSAL": unless(balance), "HKKAZ": unless(giro)}
			c := s.customer()
			_, err := c.first(banks.Window{})
			require.NoError(t, err)
			require.Contains(t, strings.Join(s.seen, ", "), "HKKAZ HKTAN4")
			logins := s.logins.Load()
			c.again()
			_, err = c.first(banks.Window{})
			require.NoError(t, err)
			require.Equal(t, []string{"HKIDN HKVVB HKTAN4", "HKSAL HKTAN4", "HKKAZ HKTAN4"}, s.seen)
			require.Equal(t, logins+1, s.logins.Load())
		})
	}
}

// Balances: of several that an answer has, the account's own; without a day, with noise, with a
// line of credit.
func TestBalances(t *testing.T) {
	t.Parallel()
	kti := syntax.Text("DE67900900424711951500", "DEMODE01", "4711951500", "", "280", "90090042")
	hisal := func(account syntax.Element, currency string, rest ...syntax.Element) syntax.Segment {
		return syntax.New("HISAL", 7, append([]syntax.Element{account, syntax.Text("Giro"), syntax.Text(currency)}, rest...)...)
	}
	for name, test := range map[string]struct {
		answer []syntax.Segment
		want   []string
	}{
		"without a day": {[]syntax.Segment{hisal(kti, "EUR", syntax.Text("C", "123,00", "EUR"), syntax.Empty(), syntax.Text("100,", "EUR"))},
			[]string{"closingBooked 123 EUR "}},
		"with three decimals": {[]syntax.Segment{hisal(kti, "TND", syntax.Text("D", "1,234", "TND", "20260301"))},
			[]string{"closingBooked -1.234 TND 2026-03-01"}},
		"with noise": {[]syntax.Segment{hisal(kti, "EUR", syntax.Text("C", "101,960000000017", "EUR", "20260301"))},
			[]string{"closingBooked 101.96 EUR 2026-03-01"}},
		"zero as a Java double": {[]syntax.Segment{hisal(kti, "EUR", syntax.Text("C", "1E-9", "EUR", "20260301"))},
			[]string{"closingBooked 0 EUR 2026-03-01"}},
		"what can be disposed of is signed": {[]syntax.Segment{hisal(kti, "EUR", syntax.Text("D", "10,", "EUR", "20260301"), syntax.Empty(), syntax.Empty(), syntax.Text("5,", "EUR", "D"))},
			[]string{"closingBooked -10 EUR 2026-03-01", "interimAvailable -5 EUR "}},
		"of several currencies": {[]syntax.Segment{
			hisal(syntax.Text("DE67900900424711951500", "DEMODE01"), "USD", syntax.Text("C", "350,", "USD", "20260301")),
			hisal(syntax.Text("DE67900900424711951500", "DEMODE01"), "EUR", syntax.Text("C", "500,", "EUR", "20260301"))},
			[]string{"closingBooked 500 EUR 2026-03-01"}},
		"of several sub-accounts": {[]syntax.Segment{
			hisal(syntax.Text("", "", "4711951500", "01", "280", "90090042"), "EUR", syntax.Text("C", "350,", "EUR", "20260301")),
			hisal(syntax.Text("", "", "4711951500", "00", "280", "90090042"), "EUR", syntax.Text("C", "500,", "EUR", "20260301"))},
			[]string{"closingBooked 500 EUR 2026-03-01"}},
		"unreadable": {[]syntax.Segment{hisal(kti, "EUR", syntax.Text("X", "zehn", "EUR"))}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			if strings.Contains(name, "decimals") {
				s.listed = []syntax.Segment{upd("4711951500", "", "DE67900900424711951500", "1", "TND", "Giro", "HKSAL", "HKKAZ")}
			}
			s.orders = orders{"HKSPA": ibans, "HKSAL": func(*syntax.Segment) []syntax.Segment { return test.answer }}
			c := s.customer()
			require.NoError(t, c.connect())
			accounts, err := c.provider.Accounts(t.Context(), &c.conv)
			require.NoError(t, err)
			var got []string
			for _, b := range accounts[0].Balances {
				got = append(got, fmt.Sprintf("%s %s %s %s", b.Type, b.Amount, b.Currency, b.Date))
			}
			require.Equal(t, test.want, got)
		})
	}
}

// A bank that sends entries of other days than were asked for: they are passed on as they are.
func TestEntriesOutsideTheWindow(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.orders = orders{"HKSPA": ibans, "HKKAZ": func(*syntax.Segment) []syntax.Segment {
		return statement("", ":61:250102D1,00NMSCNONREF//A1", ":61:260227D2,00NMSCNONREF//A2")
	}}
	window := banks.Window{From: civil.Day(2026, 2, 20), To: civil.Day(2026, 3, 2)}
	r, err := s.customer().first(window)
	require.NoError(t, err)
	require.Equal(t, []string{"A1", "A2"}, ids(r.entries))
	require.Equal(t, window, r.last.Covered)
}

// How many messages a synchronization costs: a first one, and a later one, with three accounts.
func TestMessagesOfASynchronization(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	for i := range 3 {
		s.listed = append(s.listed, upd(fmt.Sprintf("471195150%d", i), "", "", "1", "EUR", "Giro", "HKSPA", "HKSAL", "HKKAZ"))
	}
	s.orders = orders{"HKSAL": balance, "HKKAZ": giro, "HKSPA": func(*syntax.Segment) []syntax.Segment {
		answer := syntax.New("HISPA", 1)
		for i, iban := range []string{"DE67900900424711951500", "DE40900900424711951501", "DE13900900424711951502"} {
			answer.Elements = append(answer.Elements, syntax.Text("J", iban, "DEMODE01", fmt.Sprintf("471195150%d", i), "", "280", "90090042"))
		}
		return []syntax.Segment{answer}
	}}
	c := s.customer()
	synchronize := func() {
		require.NoError(t, c.connect())
		accounts, err := c.provider.Accounts(t.Context(), &c.conv)
		require.NoError(t, err)
		require.Len(t, accounts, 3)
		for _, a := range accounts {
			_, err := c.read(a, banks.Window{From: civil.Day(2026, 2, 20)})
			require.NoError(t, err)
		}
		require.NoError(t, c.provider.(banks.HangUpper).HangUp(t.Context(), &c.conv))
	}
	synchronize()
	require.Equal(t, []string{
		"HKIDN HKVVB", "HKEND", "HKIDN HKVVB HKSYN", "HKEND", "HKIDN HKVVB HKTAN4",
		"HKSPA", "HKSAL", "HKSAL", "HKSAL", "HKKAZ", "HKKAZ", "HKKAZ", "HKEND",
	}, s.seen)
	c.again()
	synchronize()
	require.Equal(t, []string{"HKIDN HKVVB HKTAN4", "HKSAL", "HKSAL", "HKSAL", "HKKAZ", "HKKAZ", "HKKAZ", "HKEND"}, s.seen,
		"nothing is asked again that is known")
}

// The user parameters of a bank that sends them at every login are no reason to ask for IBANs
// again.
func TestUserParametersAtEveryLogin(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.listed = []syntax.Segment{upd("4711951500", "", "", "1", "EUR", "Giro", "HKSPA", "HKKAZ")}
	s.every = true
	s.orders = orders{"HKSPA": ibans, "HKKAZ": giro}
	c := s.customer()
	_, err := c.first(banks.Window{})
	require.NoError(t, err)
	require.Contains(t, s.seen, "HKSPA")
	c.again()
	_, err = c.first(banks.Window{})
	require.NoError(t, err)
	require.NotContains(t, s.seen, "HKSPA")

	s.listed = append(s.listed, upd("4711951501", "", "", "1", "EUR", "Giro", "HKSPA", "HKKAZ"))
	c.again()
	require.NoError(t, c.connect())
	accounts, err := c.provider.Accounts(t.Context(), &c.conv)
	require.NoError(t, err)
	require.Len(t, accounts, 2)
	require.Contains(t, s.seen, "HKSPA", "there is another account")
}

// Parameters that an earlier version of Kontoflow has stored lack what is read today: the bank is
// asked for them again.
func TestParametersOfAnEarlierVersion(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.orders = orders{"HKSPA": ibans, "HKKAZ": giro}
	c := s.customer()
	_, err := c.first(banks.Window{})
	require.NoError(t, err)
	var state map[string]any
	require.NoError(t, json.Unmarshal(c.conv.Lasting, &state))
	for _, part := range []string{"bank", "user"} {
		require.Contains(t, state[part], "reader")
		delete(state[part].(map[string]any), "reader")
	}
	state["bank"].(map[string]any)["orders"] = map[string]any{}
	c.conv.Lasting, err = json.Marshal(state)
	require.NoError(t, err)
	c.again()
	_, err = c.first(banks.Window{})
	require.NoError(t, err)
	require.Equal(t, []string{"HKIDN HKVVB HKTAN4", "HKKAZ"}, statementsAndLogins(s.seen))
}

func statementsAndLogins(seen []string) []string {
	return slices.DeleteFunc(slices.Clone(seen), func(names string) bool { return names == "HKSPA" || names == "HKSAL" })
}

// A bank that refuses an order without a reference to it, and without ending the dialog, is not
// logged in to again.
func TestOrderRefusedWithoutAReference(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	refused := func(text string) []syntax.Segment {
		return []syntax.Segment{feedback("HIRMG", 0, []string{"9050", "Die Nachricht enthält Fehler."}, []string{"9210", text})}
	}
	s.more = []syntax.Segment{parameters("HIKAZS", 6, "370", "N", "N")}
	s.orders = orders{"HKSPA": ibans, "HKKAZ": func(o *syntax.Segment) []syntax.Segment {
		if isWhole(o.At(0)) {
			return refused("Kontonummer ist ungültig")
		}
		return keeps(90, func(*syntax.Segment) []syntax.Segment { return refused("Zeitraum zu lang") })(o)
	}, "HKSAL": func(*syntax.Segment) []syntax.Segment { return refused("Der Auftrag ist nicht zugelassen") }}
	c := s.customer()
	require.NoError(t, c.connect())
	logins := s.logins.Load()
	accounts, err := c.provider.Accounts(t.Context(), &c.conv)
	require.NoError(t, err)
	r, err := c.read(accounts[0], banks.Window{})
	require.NoError(t, err)
	require.Equal(t, today.AddDays(-89), r.last.Covered.From)
	require.Equal(t, logins, s.logins.Load())
}

// A balance that is not to be had, for good or for the time being, and IBANs that are not, leave
// the accounts readable.
func TestOrdersThatAreRefusedAlone(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"Derzeit nicht verfügbar, bitte später erneut versuchen", "Wartungsarbeiten", "Auftrag abgelehnt", "Das Konto ist gesperrt"} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.orders = orders{"HKSPA": refuse([]string{"9210", text}), "HKSAL": refuse([]string{"9210", text}), "HKKAZ": giro}
			c := s.customer()
			r, err := c.first(banks.Window{})
			require.NoError(t, err)
			require.Equal(t, []string{"A1"}, ids(r.entries))

			s.orders["HKSPA"] = ibans
			c.again()
			require.NoError(t, c.connect())
			accounts, err := c.provider.Accounts(t.Context(), &c.conv)
			require.NoError(t, err)
			require.NotEmpty(t, accounts[0].IBAN, "what was refused once is asked for again")
		})
	}
}

// What cannot be read is counted, and where it is money the account fails and says where. A
// statement that cannot be read is not an empty one.
func TestUnreadableStatements(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		order   string
		answer  syntax.Segment
		entries int
		count   int
		place   string // in the error
	}{
		"MT940, a day that no calendar has": {"HKKAZ", syntax.New("HIKAZ", 7, syntax.Binary([]byte(":20:X\r\n:25:1\r\n:28C:0\r\n:60F:C260101EUR0,00\r\n:61:2602300302D6,00NMSCNONREF//A2\r\n:62F:C260301EUR1,00\r\n-"))), 1, 1, ""},
		"MT940, an amount":                  {"HKKAZ", syntax.New("HIKAZ", 7, syntax.Binary([]byte(":20:X\r\n:25:1\r\n:28C:0\r\n:60F:C260101EUR0,00\r\n:61:260227Dx12NMSCNONREF//A2\r\n:62F:C260301EUR1,00\r\n-"))), 0, 0, "61"},
		"camt, an amount":                   {"HKCAZ", syntax.New("HICAZ", 1, syntax.Empty(), syntax.Empty(), syntax.Binary([]byte(strings.Replace(string(camtDay(1)), "1.00", "12..34", 1)))), 0, 0, "amount"},
		"camt, a day":                       {"HKCAZ", syntax.New("HICAZ", 1, syntax.Empty(), syntax.Empty(), syntax.Binary([]byte(strings.Replace(string(camtDay(1)), "2026-02-27", "2026-02-30", 1)))), 1, 1, ""},
		"camt, cut off":                     {"HKCAZ", syntax.New("HICAZ", 1, syntax.Empty(), syntax.Empty(), syntax.Binary(camtDay(1)[:200])), 0, 0, "EOF"},
		"no camt":                           {"HKCAZ", syntax.New("HICAZ", 1, syntax.Empty(), syntax.Empty(), syntax.Binary([]byte("canary"))), 0, 0, "camt"},
		"no MT940":                          {"HKKAZ", syntax.New("HIKAZ", 7, syntax.Binary([]byte("canary"))), 0, 0, "MT940"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.orderable, s.camt = []string{"HKSPA", test.order}, []string{camt08}
			s.orders = orders{"HKSPA": ibans, test.order: func(*syntax.Segment) []syntax.Segment { return []syntax.Segment{test.answer} }}
			r, err := s.customer().first(banks.Window{})
			if test.place != "" {
				requireError(t, err, banks.Rejected, banks.CodeBankCannot)
				require.Contains(t, err.Error(), test.place)
				return
			}
			require.NoError(t, err)
			require.Len(t, r.entries, test.entries)
			require.Equal(t, test.count, r.last.Unreadable.Count)
		})
	}
}

// A challenge is kept in the sealed state, so that a bank cannot make it as large as a message.
func TestChallengeIsBounded(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	s.challenge = func(string) *challenge { return &challenge{text: strings.Repeat("Bitte ", 2<<20)} }
	c := s.customer()
	_, err := c.move(c.provider.Authorize)
	require.NoError(t, err)
	require.Less(t, len(c.conv.Dialog), 1<<20)
}
