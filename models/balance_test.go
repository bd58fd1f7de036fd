package models_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"
	"pgregory.net/rapid"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/civil"
	"github.com/kontoflow/kontoflow/models"
)

// said is a balance as tests write it; an empty day is none, an empty currency the account's.
func said(kind, amount, currency string, day civil.Date) banks.Balance {
	return banks.Balance{Type: kind, Amount: decimal.RequireFromString(amount), Currency: currency, Date: day}
}

// asked is one answer of the bank with balances, and when it was asked for.
type asked struct {
	at       time.Time
	balances []banks.Balance
}

// storedBalances are an account's by type, each as amount, currency and day.
func storedBalances(t require.TestingT, tx *gorm.DB, account uuid.UUID) map[string]string {
	var rows []models.Balance
	require.NoError(t, tx.Where("account_id = ?", account).Find(&rows).Error)
	all := make(map[string]string)
	for _, b := range rows {
		currency := ""
		if b.Currency != nil {
			currency = *b.Currency
		}
		all[b.Type] = fmt.Sprintf("%s %s %s", b.Amount, currency, b.Date)
	}
	return all
}

// shownBalance is the amount that the API shows of an account; "": none.
func shownBalance(t require.TestingT, tx *gorm.DB, account uuid.UUID) (amount string) {
	var amounts []string
	err := tx.Raw(`SELECT l.amount::text FROM accounts k JOIN LATERAL (`+models.ShownBalance+`) l ON true WHERE k.id = ?`, account).Scan(&amounts).Error
	require.NoError(t, err)
	if len(amounts) == 0 {
		return ""
	}
	return amounts[0]
}

func TestNewestBalance(t *testing.T) {
	t.Parallel()
	const closing, interim, opening, expected, available = "closingBooked", "interimBooked", "openingBooked", "expected", "interimAvailable"
	at := func(month time.Month, day int) time.Time { return time.Date(2026, month, day, 9, 0, 0, 0, time.UTC) }
	jan20, jan25, mar1, mar2, mar3 := civil.Day(2026, 1, 20), civil.Day(2026, 1, 25), civil.Day(2026, 3, 1), civil.Day(2026, 3, 2), civil.Day(2026, 3, 3)
	s := open(t)
	for name, c := range map[string]struct {
		currency string // of the account
		answers  []asked
		stored   map[string]string
		shown    string
		changed  bool // by the last answer
	}{
		"an older statement after the bank's answer of today": {"EUR",
			[]asked{{at(3, 2), []banks.Balance{said(closing, "-1234.5", "EUR", mar2)}}, {at(3, 2), []banks.Balance{said(closing, "25", "EUR", jan25)}}},
			map[string]string{closing: "-1234.5 EUR 2026-03-02"}, "-1234.5", false},
		"a newer statement": {"EUR",
			[]asked{{at(3, 2), []banks.Balance{said(closing, "25", "EUR", jan25)}}, {at(3, 2), []banks.Balance{said(closing, "-1234.5", "EUR", mar2)}}},
			map[string]string{closing: "-1234.5 EUR 2026-03-02"}, "-1234.5", true},
		"many days in one answer, the newest in the middle": {"EUR",
			[]asked{{at(3, 2), []banks.Balance{said(closing, "1", "", jan25), said(closing, "3", "", mar2), said(closing, "2", "", mar1)}}},
			map[string]string{closing: "3  2026-03-02"}, "3", true},
		"the same day again: what was read later": {"EUR",
			[]asked{{at(3, 2), []banks.Balance{said(closing, "1", "EUR", mar2)}}, {at(3, 3), []banks.Balance{said(closing, "2", "EUR", mar2)}}},
			map[string]string{closing: "2 EUR 2026-03-02"}, "2", true},
		"the same day again, stored by a reading that began before": {"EUR",
			[]asked{{at(3, 3), []banks.Balance{said(closing, "2", "EUR", mar2)}}, {at(3, 2), []banks.Balance{said(closing, "1", "EUR", mar2)}}},
			map[string]string{closing: "2 EUR 2026-03-02"}, "2", false},
		"no day, then an older statement": {"EUR",
			[]asked{{at(3, 2), []banks.Balance{said(closing, "5", "EUR", 0)}}, {at(3, 2), []banks.Balance{said(closing, "4", "EUR", mar1)}}},
			map[string]string{closing: "5 EUR "}, "5", false},
		"no day, then a newer one": {"EUR",
			[]asked{{at(3, 1), []banks.Balance{said(closing, "5", "EUR", 0)}}, {at(3, 2), []banks.Balance{said(closing, "4", "EUR", mar2)}}},
			map[string]string{closing: "4 EUR 2026-03-02"}, "4", true},
		"an old day, then none": {"EUR",
			[]asked{{at(3, 1), []banks.Balance{said(closing, "5", "EUR", jan25)}}, {at(3, 2), []banks.Balance{said(closing, "4", "EUR", 0)}}},
			map[string]string{closing: "4 EUR "}, "4", true},
		"a later synchronization without a day": {"EUR",
			[]asked{{at(3, 2), []banks.Balance{said(closing, "5", "EUR", mar2)}}, {at(3, 3), []banks.Balance{said(closing, "4", "EUR", 0)}}},
			map[string]string{closing: "4 EUR "}, "4", true},
		"a day far in the future does not stay": {"EUR",
			[]asked{{at(3, 1), []banks.Balance{said(closing, "5", "EUR", civil.Day(2999, 1, 1))}}, {at(3, 3), []banks.Balance{said(closing, "4", "EUR", mar3)}}},
			map[string]string{closing: "4 EUR 2026-03-03"}, "4", true},
		"another currency, before and after the account's own": {"EUR",
			[]asked{{at(3, 2), []banks.Balance{said(closing, "350", "USD", mar2), said(closing, "500", "EUR", mar2), said(closing, "351", "USD", mar3)}}},
			map[string]string{closing: "500 EUR 2026-03-02"}, "500", true},
		"only another currency": {"EUR",
			[]asked{{at(3, 2), []banks.Balance{said(closing, "350", "USD", mar2)}}}, map[string]string{}, "", false},
		"an account without a currency takes the first": {"",
			[]asked{{at(3, 2), []banks.Balance{said(closing, "500", "EUR", mar2), said(closing, "350", "USD", mar2)}}, {at(3, 3), []banks.Balance{said(closing, "351", "USD", mar3), said(closing, "501", "EUR", mar3)}}},
			map[string]string{closing: "501 EUR 2026-03-03"}, "501", true},
		"an account of several currencies does so, too": {"XXX",
			[]asked{{at(3, 2), []banks.Balance{said(closing, "500", "EUR", mar2), said(closing, "350", "USD", mar2)}}},
			map[string]string{closing: "500 EUR 2026-03-02"}, "500", true},
		"the type does not win over the day": {"EUR",
			[]asked{{at(1, 20), []banks.Balance{said(interim, "1", "EUR", jan20)}}, {at(3, 1), []banks.Balance{said(closing, "2", "EUR", mar1)}}},
			map[string]string{interim: "1 EUR 2026-01-20", closing: "2 EUR 2026-03-01"}, "2", true},
		"the type decides between equal days": {"EUR",
			[]asked{{at(3, 1), []banks.Balance{said(opening, "0", "EUR", mar1), said(closing, "2", "EUR", mar1), said(interim, "3", "EUR", mar1)}}},
			map[string]string{opening: "0 EUR 2026-03-01", closing: "2 EUR 2026-03-01", interim: "3 EUR 2026-03-01"}, "3", true},
		"booked before what is expected or available, though older": {"EUR",
			[]asked{{at(3, 2), []banks.Balance{said(expected, "1", "EUR", mar2), said(closing, "2", "EUR", mar1), said(available, "3", "EUR", mar2)}}},
			map[string]string{expected: "1 EUR 2026-03-02", closing: "2 EUR 2026-03-01", available: "3 EUR 2026-03-02"}, "2", true},
		"expected before available": {"EUR",
			[]asked{{at(3, 2), []banks.Balance{said(available, "3", "EUR", mar2), said(expected, "1", "EUR", mar1)}}},
			map[string]string{expected: "1 EUR 2026-03-01", available: "3 EUR 2026-03-02"}, "1", true},
		"a booked one that the bank has long stopped sending": {"EUR",
			[]asked{{at(1, 20), []banks.Balance{said(closing, "1", "EUR", jan20)}}, {at(6, 20), []banks.Balance{said(available, "2", "EUR", 0)}}},
			map[string]string{closing: "1 EUR 2026-01-20", available: "2 EUR "}, "2", true},
		"a booked one of an old day that the bank still sends": {"EUR",
			[]asked{{at(1, 20), []banks.Balance{said(closing, "1", "EUR", jan20)}}, {at(6, 20), []banks.Balance{said(closing, "1", "EUR", jan20), said(available, "2", "EUR", 0)}}},
			map[string]string{closing: "1 EUR 2026-01-20", available: "2 EUR "}, "1", true},
		"the same amount with a later day is no change": {"EUR",
			[]asked{{at(3, 1), []banks.Balance{said(closing, "1", "EUR", mar1)}}, {at(3, 2), []banks.Balance{said(closing, "1", "EUR", mar2)}}},
			map[string]string{closing: "1 EUR 2026-03-02"}, "1", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, account := listed(t, s)
			require.NoError(t, s.DB.Exec(`UPDATE accounts SET currency = nullif(?, '') WHERE id = ?`, c.currency, account).Error)
			var changed bool
			for _, a := range c.answers {
				var err error
				changed, err = models.PutBalances(s.DB, account, a.balances, a.at)
				require.NoError(t, err)
			}
			require.Equal(t, c.stored, storedBalances(t, s.DB, account))
			require.Equal(t, c.shown, shownBalance(t, s.DB, account))
			require.Equal(t, c.changed, changed)
		})
	}
}

// The order in which answers arrive does not change what is stored and shown in the end: the list of accounts, pages in
// any order, and statements of later synchronizations that are older.
func TestNewestBalanceInAnyOrder(t *testing.T) {
	t.Parallel()
	s := open(t)
	_, account := listed(t, s)
	kinds := []string{"closingBooked", "interimBooked", "openingBooked", "expected", "interimAvailable"}
	first := civil.Day(2026, 1, 1)
	answer := rapid.Custom(func(t *rapid.T) asked {
		read := rapid.IntRange(0, 30).Draw(t, "read")
		a := asked{at: time.Date(2026, 1, 1+read, 12, 0, 0, 0, time.UTC)}
		a.balances = rapid.SliceOfNDistinct(rapid.Custom(func(t *rapid.T) banks.Balance {
			kind := rapid.IntRange(0, len(kinds)-1).Draw(t, "type")
			currency := rapid.SampledFrom([]string{"EUR", "", "USD"}).Draw(t, "currency")
			if rapid.IntRange(0, 4).Draw(t, "undated") == 0 { // as of the reading's day: the ledger of that day
				return banks.Balance{Type: kinds[kind], Amount: decimal.New(int64(1000*read+kind), -2), Currency: currency}
			}
			days := rapid.IntRange(0, read).Draw(t, "day")
			return banks.Balance{Type: kinds[kind], Amount: decimal.New(int64(1000*days+kind), -2), Currency: currency, Date: first.AddDays(days)}
		}), 1, 6, func(b banks.Balance) string { return fmt.Sprint(b.Type, b.Date, b.Currency == "USD") }).Draw(t, "balances")
		return a
	})
	rapid.Check(t, func(rt *rapid.T) {
		answers := rapid.SliceOfN(answer, 1, 6).Draw(rt, "answers")
		permuted := rapid.Permutation(answers).Draw(rt, "in another order")
		newest := func(all []asked) map[string]string { // by the definition: in the account's currency, of the newest day
			best, days := make(map[string]string), make(map[string]civil.Date)
			for _, a := range all {
				for _, b := range a.balances {
					day := b.Date
					if day.IsZero() {
						day = civil.On(a.at)
					}
					if b.Currency != "USD" && day >= days[b.Type] {
						best[b.Type], days[b.Type] = b.Amount.String(), day
					}
				}
			}
			return best
		}
		outcome := func(all []asked) (amounts map[string]string, shown string) {
			require.NoError(rt, s.DB.Where("account_id = ?", account).Delete(&models.Balance{}).Error)
			for _, a := range all {
				_, err := models.PutBalances(s.DB, account, a.balances, a.at)
				require.NoError(rt, err)
			}
			var rows []models.Balance
			require.NoError(rt, s.DB.Where("account_id = ?", account).Find(&rows).Error)
			amounts = make(map[string]string)
			for _, b := range rows {
				amounts[b.Type] = b.Amount.String()
			}
			return amounts, shownBalance(rt, s.DB, account)
		}
		stored, shown := outcome(answers)
		require.Equal(rt, newest(answers), stored)
		again, shownAgain := outcome(permuted)
		require.Equal(rt, stored, again)
		require.Equal(rt, shown, shownAgain)
	})
}

// Balances of pages count like those of the list of accounts.
func TestBalancesOfPages(t *testing.T) {
	t.Parallel()
	s := open(t)
	session, account := listed(t, s)
	r, err := s.OpenReading(t.Context(), session.Sync.ID, account)
	require.NoError(t, err)
	now := time.Date(2026, 3, 3, 8, 0, 0, 0, time.UTC)
	for _, page := range []banks.Page{
		{Entries: entries(1, 2), Next: "2", Balances: []banks.Balance{said("closingBooked", "30", "EUR", civil.Day(2026, 3, 2))}},
		{Entries: entries(3, 2), Next: "3", Balances: []banks.Balance{said("closingBooked", "20", "EUR", civil.Day(2026, 2, 2))}},
		{Entries: entries(5, 2), Balances: []banks.Balance{said("closingBooked", "10", "EUR", civil.Day(2026, 1, 2)), said("closingBooked", "7", "USD", civil.Day(2026, 3, 3))}},
	} {
		require.NoError(t, r.PutPage(t.Context(), &page, now))
	}
	require.Equal(t, map[string]string{"closingBooked": "30 EUR 2026-03-02"}, storedBalances(t, s.DB, account))
	_, err = s.End(t.Context(), session.Sync.ID, 0)
	require.NoError(t, err)

	id, err := queue(s, session.Access.ID)
	require.NoError(t, err)
	session, err = s.OpenSession(t.Context(), id)
	require.NoError(t, err)
	list(t, s, session)
	r, err = s.OpenReading(t.Context(), id, account)
	require.NoError(t, err)
	require.NoError(t, r.PutWindow(t.Context(), entries(1, 6), []banks.Balance{said("closingBooked", "25", "EUR", civil.Day(2026, 2, 27))}, banks.Window{}, true, now.Add(24*time.Hour)))
	require.Equal(t, map[string]string{"closingBooked": "30 EUR 2026-03-02"}, storedBalances(t, s.DB, account), "a later synchronization with an older statement")
}
