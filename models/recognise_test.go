package models_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/civil"
	"github.com/kontoflow/kontoflow/models"
)

// What the client calls accounts is no evidence: the bank's names are known behind theirs.
func TestRenamedAccountsAreRecognised(t *testing.T) {
	t.Parallel()
	s := open(t)
	a := access(t, s)
	account := func(handle, name string) banks.Account {
		return banks.Account{ResourceID: handle, IBAN: "DE12900900420000012345", Currency: "EUR", Name: name}
	}
	first := put(t, s, a.ID, []banks.Account{account("1", "A"), account("2", "B")})
	require.NoError(t, s.DB.Exec(`UPDATE accounts SET name = 'B', renamed = true WHERE id = ?`, first[0]).Error)
	second := put(t, s, a.ID, []banks.Account{account("1", "B"), account("2", "A")})
	require.Equal(t, []uuid.UUID{first[1], first[0]}, second)
}

// One of two accounts with the same IBAN moves to another access: neither access takes the other's back.
func TestPartedTwins(t *testing.T) {
	t.Parallel()
	s := open(t)
	first := access(t, s)
	all := []banks.Account{
		{ResourceID: "1", IBAN: "DE12900900420000012345", Currency: "EUR", Type: banks.Giro},
		{ResourceID: "2", IBAN: "DE12900900420000012345", Currency: "EUR", Type: banks.Savings}}
	ids := put(t, s, first.ID, all)
	require.Len(t, ids, 2)
	done := upgraded(t, s, first, banks.Giro)
	require.Len(t, done.Created, 1)
	slices.Reverse(all)
	for range 2 {
		require.Equal(t, []uuid.UUID{ids[1]}, put(t, s, first.ID, all))
		require.Equal(t, []uuid.UUID{ids[0]}, put(t, s, done.Created[0], all))
		all[0].ResourceID, all[1].ResourceID = "7", "8"
	}
	require.Empty(t, put(t, s, first.ID, all[1:]), "the one that stayed is gone, and the other one is not it")
}

// upgraded moves the access's accounts of some types, or all where none is named, to a new method of its bank.
func upgraded(t *testing.T, s *models.Store, from models.Access, kinds ...banks.AccountType) *models.Upgrade {
	t.Helper()
	require.NoError(t, s.DB.Take(&from, "id = ?", from.ID).Error)
	method := models.AccessMethod{ID: models.NewID(), BankID: from.BankID, Type: "API"}
	for _, kind := range kinds {
		method.SupportedAccountTypes = append(method.SupportedAccountTypes, string(kind))
	}
	require.NoError(t, s.SealConnection(&method, banks.Connection{Protocol: "XS2A", URL: "https://new.bank.example"}))
	require.NoError(t, s.DB.Create(&method).Error)
	require.NoError(t, models.Supersede(s.DB, from.AccessMethodID, method.ID, civil.Day(2026, 1, 1), true))
	running, err := queue(s, from.ID)
	require.NoError(t, err)
	_, err = s.OpenSession(t.Context(), running)
	require.NoError(t, err)
	done, err := s.Upgrade(t.Context(), running)
	require.NoError(t, err)
	_, err = s.End(t.Context(), running, done.Code)
	require.NoError(t, err)
	return done
}

// real is an account as the bank has it; how it is listed depends on protocol and consent.
type real struct {
	number   string // ten digits
	currency string
	kind     banks.AccountType
	name     string
	handle   string
}

// listing is how accounts are listed: over FinTS with bank code and number without leading zeros, over XS2A with the IBAN.
func listing(accounts []real, xs2a bool) []banks.Account {
	all := make([]banks.Account, len(accounts))
	for i, r := range accounts {
		all[i] = banks.Account{ResourceID: r.handle, Currency: r.currency, Name: r.name, Type: r.kind}
		if xs2a {
			all[i].IBAN, all[i].BankCode, all[i].Number = "DE12"+"90090042"+r.number, "90090042", r.number
		} else {
			all[i].BankCode, all[i].Number = "90090042", fmt.Sprint(mustNumber(r.number))
		}
	}
	return all
}

func mustNumber(digits string) (n int) {
	if _, err := fmt.Sscan(digits, &n); err != nil {
		panic(err)
	}
	return n
}

// TestEveryListedAccountIsStored lists any accounts, and then again and again: in another order, with new handles, with
// other names for some, and over another protocol after an upgrade. There are as many accounts as were listed, and each
// keeps its id as long as handle, name, type or order tell it from those with its number.
func TestEveryListedAccountIsStored(t *testing.T) {
	t.Parallel()
	s := open(t)
	kinds := []banks.AccountType{banks.Giro, banks.Savings, banks.DailySavings, banks.Loan}
	rapid.Check(t, func(rt *rapid.T) {
		number := 0
		fresh := func(prefix string) string { number++; return fmt.Sprint(prefix, number) }
		accounts := make([]real, rapid.IntRange(1, 8).Draw(rt, "accounts"))
		for i := range accounts {
			accounts[i] = real{number: fmt.Sprintf("%010d", rapid.IntRange(1, 3).Draw(rt, "number")),
				currency: rapid.SampledFrom([]string{"EUR", "EUR", "USD"}).Draw(rt, "currency"),
				kind:     rapid.SampledFrom(kinds).Draw(rt, "kind"), name: fresh("Konto "), handle: fresh("h")}
		}
		a, xs2a := access(t, s), rapid.Bool().Draw(rt, "XS2A at once")
		ids := make(map[string]uuid.UUID) // by the account's own name, which never changes
		own := make([]string, len(accounts))
		for i := range accounts {
			own[i] = fmt.Sprint(i)
		}
		check := func() {
			listed := listing(accounts, xs2a)
			for i := range listed {
				if rapid.IntRange(0, 5).Draw(rt, "twice") == 0 {
					listed = append(listed, listed[i])
				}
			}
			got := put(t, s, a.ID, listed)
			require.Len(rt, got, len(accounts))
			var stored int
			require.NoError(rt, s.DB.Raw(`SELECT count(*) FROM accounts WHERE access_id = ?`, a.ID).Scan(&stored).Error)
			require.Equal(rt, len(accounts), stored)
			for i, id := range got {
				if before, known := ids[own[i]]; known {
					require.Equal(rt, before, id, "account %s: %+v", own[i], accounts[i])
				}
				ids[own[i]] = id
			}
		}
		check()
		for range rapid.IntRange(1, 4).Draw(rt, "times") {
			what := rapid.SampledFrom([]string{"order", "names", "handles", "numbered handles", "protocol", "one more"}).Draw(rt, "what")
			if what != "handles" || rapid.Bool().Draw(rt, "and another order") {
				order := rapid.Permutation(indexes(len(accounts))).Draw(rt, "order")
				accounts, own = reordered(accounts, order), reordered(own, order)
			}
			switch what {
			case "names":
				for i := range accounts {
					if rapid.Bool().Draw(rt, "renamed") {
						accounts[i].name = fresh("Konto ")
					}
				}
			case "handles":
				for i := range accounts {
					accounts[i].handle = fresh("h")
				}
			case "numbered handles":
				for i := range accounts {
					accounts[i].handle = fmt.Sprint(i)
				}
			case "protocol":
				if !xs2a {
					upgraded(t, s, a)
					xs2a = true
					for i := range accounts {
						accounts[i].handle = fresh("x")
					}
				}
			case "one more":
				accounts = append(accounts, real{number: accounts[0].number, currency: accounts[0].currency, kind: accounts[0].kind,
					name: fresh("Konto "), handle: fresh("h")})
				own = append(own, fmt.Sprint(len(own)))
			}
			check()
		}
	})
}

// Whatever a bank lists, each account is stored once: with numbers and without, with the same IBAN, names and currencies,
// or with nothing but a handle. Listed again in another order, nothing is added and nothing is gone.
func TestAnyListIsStoredWhole(t *testing.T) {
	t.Parallel()
	s := open(t)
	account := rapid.Custom(func(t *rapid.T) banks.Account {
		from := func(what string, words ...string) string { return rapid.SampledFrom(words).Draw(t, what) }
		return banks.Account{IBAN: from("iban", "", "DE12900900420000012345", "AT611904300234573201"), Number: from("number", "", "12345", "0000012345", "00234573201"),
			BankCode: from("bank code", "", "90090042"), Currency: from("currency", "", "EUR", "USD", "XXX"), Name: from("name", "", "Konto", "KONTO", "Karte"),
			Type: banks.AccountType(from("type", "", string(banks.Giro), string(banks.Unknown))), Card: rapid.IntRange(0, 5).Draw(t, "card") == 0}
	})
	rapid.Check(t, func(rt *rapid.T) {
		listed := rapid.SliceOfN(account, 1, 10).Draw(rt, "listed")
		if rapid.Bool().Draw(rt, "handles") {
			for i := range listed {
				listed[i].ResourceID = fmt.Sprint("handle ", i)
			}
		}
		a := access(t, s)
		first := put(t, s, a.ID, listed)
		require.Len(rt, first, len(listed))
		for range 2 {
			listed = rapid.Permutation(listed).Draw(rt, "in another order")
			require.ElementsMatch(rt, first, put(t, s, a.ID, listed))
		}
	})
}

func indexes(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
	}
	return all
}

func reordered[T any](all []T, order []int) []T {
	out := make([]T, len(all))
	for i, from := range order {
		out[i] = all[from]
	}
	return out
}
