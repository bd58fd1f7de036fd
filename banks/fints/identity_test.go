package fints_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/fints/syntax"
)

// hispa is an answer to HKSPA. Each account is IBAN, number, sub-account.
func hispa(accounts ...[3]string) func(*syntax.Segment) []syntax.Segment {
	return func(*syntax.Segment) []syntax.Segment {
		answer := syntax.New("HISPA", 1)
		for _, a := range accounts {
			bic := ""
			if a[0] != "" {
				bic = "DEMODE01"
			}
			answer.Elements = append(answer.Elements, syntax.Text("J", a[0], bic, a[1], a[2], "280", "90090042"))
		}
		return []syntax.Segment{answer}
	}
}

// listed are the accounts that a bank with these lists is found to have.
func listed(t require.TestingT, s *script) []banks.Account {
	c := s.customer()
	require.NoError(t, c.connect())
	accounts, err := c.provider.Accounts(c.t.Context(), &c.conv)
	require.NoError(t, err)
	return accounts
}

// HISPA and HIUPD spell one account differently. Two accounts stay two.
func TestOneAccountInTwoSpellings(t *testing.T) {
	t.Parallel()
	const iban, other = "DE67900900424711951500", "DE40900900424711951501"
	type row struct {
		user []syntax.Segment
		sepa [][3]string
		want []string // IBAN, number, currency
	}
	own := func(number, sub, iban, currency string) syntax.Segment {
		return upd(number, sub, iban, "1", currency, "Giro", "HKSPA", "HKKAZ")
	}
	for name, test := range map[string]row{
		"the same":                          {[]syntax.Segment{own("4711951500", "", "", "EUR")}, [][3]string{{iban, "4711951500", ""}}, []string{iban + " 4711951500 EUR"}},
		"EUR as sub-account":                {[]syntax.Segment{own("4711951500", "", "", "EUR")}, [][3]string{{iban, "4711951500", "EUR"}}, []string{iban + " 4711951500 EUR"}},
		"EUR as sub-account, the other way": {[]syntax.Segment{own("4711951500", "EUR", "", "EUR")}, [][3]string{{iban, "4711951500", ""}}, []string{iban + " 4711951500 EUR"}},
		"00 as sub-account":                 {[]syntax.Segment{own("4711951500", "", "", "EUR")}, [][3]string{{iban, "4711951500", "00"}}, []string{iban + " 4711951500 EUR"}},
		"000 as sub-account":                {[]syntax.Segment{own("4711951500", "000", "", "EUR")}, [][3]string{{iban, "4711951500", ""}}, []string{iban + " 4711951500 EUR"}},
		"blanks as sub-account":             {[]syntax.Segment{own("4711951500", " ", "", "EUR")}, [][3]string{{iban, "4711951500", "  "}}, []string{iban + " 4711951500 EUR"}},
		"zeros before the number":           {[]syntax.Segment{own("1951500", "", "", "EUR")}, [][3]string{{"DE59900900420001951500", "0001951500", ""}}, []string{"DE59900900420001951500 1951500 EUR"}},
		"blanks in the number":              {[]syntax.Segment{own("4711951500", "", "", "EUR")}, [][3]string{{iban, "47 1195 1500", ""}}, []string{iban + " 4711951500 EUR"}},
		"no number in HISPA":                {[]syntax.Segment{own("4711951500", "", "", "EUR")}, [][3]string{{iban, "", ""}}, []string{iban + " 4711951500 EUR"}},
		"number and sub-account in the IBAN": {[]syntax.Segment{own("47119515", "00", "", "EUR")}, [][3]string{{iban, "", ""}},
			[]string{iban + " 47119515 EUR"}},
		"no number in HIUPD":             {[]syntax.Segment{own("", "", iban, "EUR")}, [][3]string{{iban, "4711951500", ""}}, []string{iban + " 4711951500 EUR"}},
		"no IBAN in HISPA":               {[]syntax.Segment{own("4711951500", "", iban, "EUR")}, [][3]string{{"", "4711951500", "EUR"}}, []string{iban + " 4711951500 EUR"}},
		"the IBAN in both, other number": {[]syntax.Segment{own("4711951500", "", iban, "EUR")}, [][3]string{{iban, "1500", ""}}, []string{iban + " 4711951500 EUR"}},
		"listed twice": {[]syntax.Segment{own("4711951500", "", "", "EUR"), own("4711951500", "", "", "EUR")}, [][3]string{{iban, "4711951500", ""}, {iban, "4711951500", "EUR"}},
			[]string{iban + " 4711951500 EUR"}},
		"two currencies under one IBAN": {[]syntax.Segment{own("4711951500", "", iban, "EUR"), own("4711951500", "", iban, "USD")}, [][3]string{{iban, "4711951500", ""}},
			[]string{iban + " 4711951500 EUR", iban + " 4711951500 USD"}},
		"two currencies, told by the sub-account": {[]syntax.Segment{own("4711951500", "", "", "EUR"), own("4711951500", "", "", "USD")},
			[][3]string{{iban, "4711951500", "EUR"}, {iban, "4711951500", "USD"}}, []string{iban + " 4711951500 EUR", iban + " 4711951500 USD"}},
		"a currency that only HISPA has": {[]syntax.Segment{own("4711951500", "", "", "EUR")}, [][3]string{{iban, "4711951500", ""}, {iban, "4711951500", "CHF"}},
			[]string{iban + " 4711951500 EUR", iban + " 4711951500 CHF"}},
		"two sub-accounts": {[]syntax.Segment{own("4711951500", "01", "", "EUR"), own("4711951500", "02", "", "EUR")}, [][3]string{{iban, "4711951500", "01"}, {other, "4711951500", "2"}},
			[]string{iban + " 4711951500 EUR", other + " 4711951500 EUR"}},
		"a sub-account that only HISPA has": {[]syntax.Segment{own("4711951500", "", iban, "EUR")}, [][3]string{{iban, "4711951500", ""}, {other, "4711951500", "01"}},
			[]string{iban + " 4711951500 EUR", other + " 4711951500 EUR"}},
		"a sub-account of three letters": {[]syntax.Segment{own("4711951500", "GIR", "", "EUR")}, [][3]string{{iban, "04711951500", "GIR"}}, []string{iban + " 4711951500 EUR"}},
		"number and sub-account in one":  {[]syntax.Segment{own("47119515", "01", "", "EUR")}, [][3]string{{iban, "4711951501", ""}}, []string{iban + " 47119515 EUR"}},
		"the IBAN's own number":          {[]syntax.Segment{own("4711951500", "", "", "EUR")}, [][3]string{{iban, "1500", ""}}, []string{iban + " 4711951500 EUR"}},
		"another number":                 {[]syntax.Segment{own("4711951500", "", "", "EUR")}, [][3]string{{other, "4711951501", ""}}, []string{" 4711951500 EUR", other + " 4711951501 EUR"}},
		"only HISPA has accounts":        {nil, [][3]string{{iban, "4711951500", ""}, {"", "4711951502", ""}}, []string{iban + " 4711951500 EUR", " 4711951502 EUR"}},
		"two accounts of one number":     {[]syntax.Segment{own("4711951500", "", iban, "EUR"), upd("4711951500", "", "", "50", "EUR", "Visa", "DKKKU")}, [][3]string{{iban, "4711951500", ""}}, []string{iban + " 4711951500 EUR", " 4711951500 EUR"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.listed, s.orders = test.user, orders{"HKSPA": hispa(test.sepa...)}
			if test.user == nil {
				s.listed = []syntax.Segment{}
			}
			var got, handles []string
			for _, a := range listed(t, s) {
				got = append(got, strings.Join([]string{a.IBAN, a.Number, a.Currency}, " "))
				handles = append(handles, a.ResourceID)
			}
			require.Equal(t, test.want, got)
			slices.Sort(handles)
			require.Len(t, slices.Compact(handles), len(got), "two accounts with one handle")
		})
	}
}

// However the two lists spell them: as many accounts are listed as there are, and each is read as
// itself.
func TestEveryAccountIsListedOnce(t *testing.T) {
	t.Parallel()
	s := newScript(t)
	rapid.Check(t, func(rt *rapid.T) {
		type account struct {
			number, sub, iban, currency string
		}
		var accounts []account
		distinct := map[string]bool{}
		for n := range rapid.IntRange(1, 6).Draw(rt, "accounts") {
			a := account{number: fmt.Sprintf("471195%04d", rapid.IntRange(0, 3).Draw(rt, "number")), currency: rapid.SampledFrom([]string{"EUR", "USD"}).Draw(rt, "currency"),
				sub: rapid.SampledFrom([]string{"", "", "1", "2"}).Draw(rt, "sub")}
			a.iban = "DE67900900424711" + a.number[4:] // accounts of one number share it
			if key := a.number + "/" + a.sub + "/" + a.currency; distinct[key] {
				continue
			} else {
				distinct[key] = true
			}
			_ = n
			accounts = append(accounts, a)
		}
		spell := func(a account, of string) (number, sub string) {
			number, sub = a.number, a.sub
			if rapid.Bool().Draw(rt, of+" zeros") {
				number = "00" + number
			}
			switch {
			case sub != "" && rapid.Bool().Draw(rt, of+" sub with zeros"):
				sub = "0" + sub
			case sub == "":
				sub = rapid.SampledFrom([]string{"", "00", " ", a.currency}).Draw(rt, of+" sub")
			}
			return number, sub
		}
		var user []syntax.Segment
		var sepa [][3]string
		for _, a := range accounts {
			number, sub := spell(a, "HIUPD")
			iban := ""
			if rapid.Bool().Draw(rt, "IBAN in HIUPD") {
				iban = a.iban
			}
			user = append(user, upd(number, sub, iban, "1", a.currency, "Giro", "HKSPA", "HKKAZ"))
			if number, sub = spell(a, "HISPA"); rapid.IntRange(0, 3).Draw(rt, "in HISPA") > 0 {
				sepa = append(sepa, [3]string{a.iban, number, sub})
			}
		}
		s.listed, s.orders = user, orders{"HKSPA": hispa(rapid.Permutation(sepa).Draw(rt, "order")...), "HKKAZ": giro}
		s.seen, s.dialogs = nil, map[string]int{}
		c := s.customer()
		require.NoError(rt, c.connect())
		got, err := c.provider.Accounts(t.Context(), &c.conv)
		require.NoError(rt, err)
		require.Len(rt, got, len(accounts))
		for i, a := range got {
			require.Equal(rt, accounts[i].currency, a.Currency)
			_, err := c.provider.Transactions(t.Context(), &c.conv, a, banks.Window{}, "")
			require.NoError(rt, err)
		}
	})
}

// Accounts are found by their handles, and where those changed by what else is known of them: never
// another account's.
func TestAccountIsFoundAgain(t *testing.T) {
	t.Parallel()
	const iban = "DE67900900424711951500"
	for name, test := range map[string]struct {
		account banks.Account
		number  string // of the account that is read; "": none
	}{
		"the handle":                        {banks.Account{ResourceID: "90090042/4711951500/01/EUR"}, "4711951500 01"},
		"a handle in another spelling":      {banks.Account{ResourceID: "90090042/004711951500/1/EUR"}, "4711951500 01"},
		"another sub-account":               {banks.Account{ResourceID: "90090042/4711951500/03/EUR"}, ""},
		"the main account of sub-accounts":  {banks.Account{ResourceID: "90090042/4711951500//EUR"}, ""},
		"IBAN and currency":                 {banks.Account{IBAN: iban, Currency: "USD"}, "4711951502 "},
		"IBAN and another currency":         {banks.Account{IBAN: iban, Currency: "CHF"}, ""},
		"a number":                          {banks.Account{Number: "04711951502", BankCode: "90090042", Currency: "USD"}, "4711951502 "},
		"a number of another bank":          {banks.Account{Number: "4711951502", BankCode: "90090043", Currency: "USD"}, ""},
		"the handle of one with that IBAN":  {banks.Account{ResourceID: "90090042/4711951502//USD", IBAN: iban}, "4711951502 "},
		"the handle of one with other IBAN": {banks.Account{ResourceID: "90090042/4711951502//USD", IBAN: "DE40900900424711951501"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.listed = []syntax.Segment{upd("4711951500", "01", "", "1", "EUR", "Giro", "HKKAZ"), upd("4711951500", "02", "", "1", "EUR", "Giro", "HKKAZ"),
				upd("4711951502", "", iban, "1", "USD", "Giro", "HKKAZ")}
			s.only = map[string][]int{"HIKAZS": {6}}
			asked := ""
			s.orders = orders{"HKKAZ": func(o *syntax.Segment) []syntax.Segment {
				asked = o.Get(0, 0) + " " + o.Get(0, 1)
				return giro(o)
			}}
			c := s.customer()
			require.NoError(t, c.connect())
			_, err := c.read(test.account, banks.Window{})
			if test.number == "" {
				requireError(t, err, banks.Gone, banks.CodeAccountGone)
			} else {
				require.NoError(t, err)
			}
			require.Equal(t, test.number, asked)
		})
	}
}
