package rules_test

import (
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/rules"
)

// TestRecognise lists accounts twice, and says which listed account the second time is which of the first time.
func TestRecognise(t *testing.T) {
	t.Parallel()
	const iban, other = "DE12900900420000012345", "DE55900900420000099999"
	giro := func(handle, name string) banks.Account {
		return banks.Account{ResourceID: handle, IBAN: iban, Currency: "EUR", Name: name, Type: banks.Giro}
	}
	savings := func(handle, name string) banks.Account {
		a := giro(handle, name)
		a.Type = banks.Savings
		return a
	}
	sub := func(handle, number, name string) banks.Account {
		a := giro(handle, name)
		a.Number = number
		return a
	}
	bare := func(handle, name string) banks.Account {
		return banks.Account{ResourceID: handle, Currency: "EUR", Name: name, Type: banks.PayPal}
	}
	for name, c := range map[string]struct {
		first, second []banks.Account
		same          []int // for each of the second: its place in the first list; -1: new
	}{
		"twins under their handles, in another order": {
			[]banks.Account{giro("a", ""), giro("b", "")}, []banks.Account{giro("b", ""), giro("a", "")}, []int{1, 0}},
		"twins with new handles, told apart by name": {
			[]banks.Account{giro("a", "Haushalt"), giro("b", "Urlaub")}, []banks.Account{giro("x", "Urlaub"), giro("y", "Haushalt")}, []int{1, 0}},
		"names in capitals, as another protocol writes them": {
			[]banks.Account{giro("a", "Haushalt  Konto"), giro("b", "Urlaub")}, []banks.Account{giro("x", "URLAUB"), giro("y", "HAUSHALT KONTO")}, []int{1, 0}},
		"handles that number the list, in another order": {
			[]banks.Account{giro("1", "Haushalt"), giro("2", "Urlaub")}, []banks.Account{giro("1", "Urlaub"), giro("2", "Haushalt")}, []int{1, 0}},
		"twins with new handles and names, told apart by type": {
			[]banks.Account{giro("a", "A"), savings("b", "B")}, []banks.Account{savings("x", "C"), giro("y", "D")}, []int{1, 0}},
		"twins with new handles, told apart by sub-account": {
			[]banks.Account{sub("a", "1234501", ""), sub("b", "1234502", "")}, []banks.Account{sub("x", "001234502", ""), sub("y", "1234501", "")}, []int{1, 0}},
		"twins with new handles and nothing else: their order": {
			[]banks.Account{giro("a", ""), giro("b", ""), giro("c", "")}, []banks.Account{giro("x", ""), giro("y", ""), giro("z", "")}, []int{0, 1, 2}},
		"one twin is renamed, both have new handles": {
			[]banks.Account{giro("a", "Haushalt"), giro("b", "Urlaub")}, []banks.Account{giro("x", "Urlaub"), giro("y", "Familie")}, []int{1, 0}},
		"a third twin comes first": {
			[]banks.Account{giro("a", ""), giro("b", "")}, []banks.Account{giro("c", ""), giro("a", ""), giro("b", "")}, []int{-1, 0, 1}},
		"the first twin is gone": {
			[]banks.Account{giro("a", "Haushalt"), giro("b", "Urlaub")}, []banks.Account{giro("x", "Urlaub")}, []int{1}},
		"a card with the account's IBAN": {
			[]banks.Account{{ResourceID: "a", IBAN: iban, Currency: "EUR"}, {ResourceID: "a2", IBAN: iban, Currency: "EUR", Card: true}},
			[]banks.Account{{ResourceID: "a2", IBAN: iban, Currency: "EUR", Card: true}, {ResourceID: "a", IBAN: iban, Currency: "EUR"}}, []int{1, 0}},
		"a card, and the account is gone": {
			[]banks.Account{{ResourceID: "a", IBAN: iban, Currency: "EUR"}}, []banks.Account{{ResourceID: "x", IBAN: iban, Currency: "EUR", Card: true}}, []int{-1}},
		"numbers with and without leading zeros": {
			[]banks.Account{{ResourceID: "a", BankCode: "12030", Number: "0012345", Currency: "EUR"}, {ResourceID: "b", BankCode: "12030", Number: "54321", Currency: "EUR"}},
			[]banks.Account{{ResourceID: "x", BankCode: "12030", Number: "0000054321", Currency: "EUR"}, {ResourceID: "y", BankCode: "12030", Number: "12345", Currency: "EUR"}}, []int{1, 0}},
		"a number without bank code, then the IBAN": {
			[]banks.Account{{ResourceID: "a", Number: "12345", Currency: "EUR"}}, []banks.Account{{ResourceID: "x", IBAN: iban, Currency: "EUR"}}, []int{0}},
		"the IBAN, then a number without bank code": {
			[]banks.Account{{ResourceID: "a", IBAN: iban, Currency: "EUR"}}, []banks.Account{{ResourceID: "x", Number: "0000012345", Currency: "EUR"}}, []int{0}},
		"a number that only ends alike": {
			[]banks.Account{{ResourceID: "a", IBAN: iban, Currency: "EUR"}}, []banks.Account{{ResourceID: "x", Number: "2345", Currency: "EUR"}}, []int{-1}},
		"two currencies under one IBAN stay two": {
			[]banks.Account{{ResourceID: "a", IBAN: iban, Currency: "EUR"}, {ResourceID: "b", IBAN: iban, Currency: "USD"}},
			[]banks.Account{{ResourceID: "b", IBAN: iban, Currency: "USD"}, {ResourceID: "a", IBAN: iban, Currency: "EUR"}}, []int{1, 0}},
		"an account of several currencies has none": {
			[]banks.Account{{ResourceID: "a", IBAN: iban, Currency: "XXX"}}, []banks.Account{{ResourceID: "x", IBAN: iban, Currency: "EUR"}}, []int{0}},
		"no number: its handle": {
			[]banks.Account{bare("a", ""), bare("b", "")}, []banks.Account{bare("b", ""), bare("a", "")}, []int{1, 0}},
		"no number: its name": {
			[]banks.Account{bare("a", "Euro"), bare("b", "Reise")}, []banks.Account{bare("x", "Reise"), bare("y", "Euro")}, []int{1, 0}},
		"no number: the only one": {
			[]banks.Account{bare("a", "")}, []banks.Account{bare("x", "")}, []int{0}},
		"no number: another name is another account": {
			[]banks.Account{bare("a", "Euro")}, []banks.Account{bare("x", "Reise")}, []int{-1}},
		"no number: several without names may be any": {
			[]banks.Account{bare("a", ""), bare("b", "")}, []banks.Account{bare("x", ""), bare("y", "")}, []int{-1, -1}},
		"a handle that stands there twice": {
			[]banks.Account{giro("a", "Haushalt"), giro("a", "Haushalt")}, []banks.Account{giro("a", "Haushalt"), giro("a", "HAUSHALT")}, []int{0}},
		"a card in both lists": {
			[]banks.Account{{ResourceID: "a", Number: "5232********1234", Currency: "EUR", Card: true}, {ResourceID: "a", Number: "5232********1234", Currency: "EUR"}},
			[]banks.Account{{ResourceID: "a", Number: "5232********1234", Currency: "EUR", Card: true}}, []int{0}},
		"an account and a card that have the same handle by chance": {
			[]banks.Account{{ResourceID: "1", IBAN: iban, Currency: "EUR"}, {ResourceID: "1", Number: "5232********1234", Currency: "EUR", Card: true}},
			[]banks.Account{{ResourceID: "1", Number: "5232********1234", Currency: "EUR", Card: true}, {ResourceID: "1", IBAN: iban, Currency: "EUR"}}, []int{1, 0}},
		"another number": {
			[]banks.Account{{ResourceID: "a", IBAN: iban, Currency: "EUR"}}, []banks.Account{{ResourceID: "a", IBAN: other, Currency: "EUR"}}, []int{-1}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			known := rules.Distinct(c.first)
			require.Equal(t, c.same, rules.Recognise(known, rules.Distinct(c.second)))
		})
	}
}

// Whatever a bank lists, no two listed accounts are one known account, and a list that is seen again is recognised whole
// where all its handles differ.
func TestRecogniseAnyList(t *testing.T) {
	t.Parallel()
	account := rapid.Custom(func(t *rapid.T) banks.Account {
		return banks.Account{
			ResourceID: rapid.SampledFrom([]string{"", "a", "b", "c"}).Draw(t, "handle"),
			IBAN:       rapid.SampledFrom([]string{"", "DE12900900420000012345", "DE55900900420000099999"}).Draw(t, "iban"),
			Number:     rapid.SampledFrom([]string{"", "12345", "0000012345", "99999"}).Draw(t, "number"),
			BankCode:   rapid.SampledFrom([]string{"", "90090042"}).Draw(t, "bank code"),
			Currency:   rapid.SampledFrom([]string{"", "EUR", "USD", "XXX"}).Draw(t, "currency"),
			Name:       rapid.SampledFrom([]string{"", "Haushalt", "HAUSHALT", "Urlaub"}).Draw(t, "name"),
			Type:       rapid.SampledFrom([]banks.AccountType{"", banks.Giro, banks.Savings}).Draw(t, "type"),
			Card:       rapid.Bool().Draw(t, "card"),
		}
	})
	list := rapid.SliceOfN(account, 0, 8)
	rapid.Check(t, func(t *rapid.T) {
		known, listed := rules.Distinct(list.Draw(t, "known")), rules.Distinct(list.Draw(t, "listed"))
		var taken []int
		for _, k := range rules.Recognise(known, listed) {
			if k < 0 {
				continue
			}
			require.Less(t, k, len(known))
			require.NotContains(t, taken, k, "one account is two")
			taken = append(taken, k)
		}
		for i := range known {
			known[i].ResourceID = string(rune('p' + i))
		}
		same := make([]int, len(known))
		for i := range same {
			same[i] = i
		}
		require.Equal(t, same, rules.Recognise(known, slices.Clone(known)))
	})
}
