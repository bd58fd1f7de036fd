package models_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/civil"
	"github.com/kontoflow/kontoflow/models"
)

// TestStaticBank reads a bank that does not heed the days it is asked for: what lies before the window is recognised, at
// the second synchronization and at the tenth, with ids and without, and a really new one of an old day is added once.
func TestStaticBank(t *testing.T) {
	t.Parallel()
	s := open(t)
	dated := func(id string, booked, valued civil.Date, cents int64) banks.Entry {
		return banks.Entry{TransactionID: id, BookingDate: booked, ValueDate: valued, Amount: decimal.New(cents, -2), Currency: "EUR",
			Counterparty: banks.Party{Name: "Muster GmbH"}, Remittance: []string{fmt.Sprint("Rechnung ", cents)}}
	}
	old := []civil.Date{civil.Day(1999, 12, 31), civil.Day(2006, 2, 28), civil.Day(2025, 1, 2), civil.Day(2025, 11, 20), civil.Day(2026, 2, 1)}
	var all []banks.Entry
	for i, d := range old {
		all = append(all, dated(fmt.Sprint("t", i), d, d.AddDays(-2), int64(-100-i)), dated(fmt.Sprint("twin", i), d, 0, -70), dated(fmt.Sprint("twin", i, "b"), d, 0, -70))
	}
	for name, change := range map[string]func(e *banks.Entry, i, run int){
		"ids that stay":       func(*banks.Entry, int, int) {},
		"no ids":              func(e *banks.Entry, _, _ int) { e.TransactionID = "" },
		"the same id for all": func(e *banks.Entry, _, _ int) { e.TransactionID = "NOTPROVIDED" },
		"new ids each time":   func(e *banks.Entry, i, run int) { e.TransactionID = fmt.Sprint("run ", run, " no ", i) },
		"only value dates":    func(e *banks.Entry, _, _ int) { e.BookingDate, e.ValueDate = 0, e.BookingDate },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			session, account := listed(t, s)
			access := session.Access.ID
			now := time.Date(2026, 2, 10, 9, 0, 0, 0, time.UTC)
			answer := func(run int, entries []banks.Entry) []banks.Entry {
				sent := slices.Clone(entries)
				for i := range sent {
					change(&sent[i], i, run)
				}
				return sent
			}
			r, err := s.OpenReading(t.Context(), session.Sync.ID, account)
			require.NoError(t, err)
			require.NoError(t, r.PutPage(t.Context(), &banks.Page{Entries: answer(1, all), Covered: banks.Window{To: civil.On(now)}}, now))
			require.Equal(t, len(all), finish(t, s, access).TransactionsAdded)
			for run := 2; run <= 10; run++ {
				now = now.Add(25 * 24 * time.Hour) // from the fourth on, everything lies far before the window
				r := again(t, s, access, account)
				from := r.Since()
				require.NoError(t, r.PutWindow(t.Context(), answer(run, all), nil, banks.Window{From: from, To: civil.On(now)}, true, now))
				y := finish(t, s, access)
				require.Equal(t, [3]int{}, [3]int{y.TransactionsAdded, y.TransactionsModified, y.TransactionsRemoved}, "run %d", run)
			}
			more := append(slices.Clone(all), dated("late", old[1], 0, -4711), dated("twin late", old[2], 0, -70))
			for run, added := range []int{2, 0, 0} {
				r := again(t, s, access, account)
				require.NoError(t, r.PutWindow(t.Context(), answer(11+run, more), nil, banks.Window{From: r.Since(), To: civil.On(now)}, true, now))
				require.Equal(t, added, finish(t, s, access).TransactionsAdded)
			}
			booked, _, missed := there(t, s, account)
			require.Equal(t, [2]int{len(more), 0}, [2]int{booked, missed})
		})
	}
}

// An ordinary later reading loads the rows of its window, however long the history is; one with an old entry loads those
// around its day besides.
func TestLoadedRowsDependOnWhatWasSent(t *testing.T) {
	t.Parallel()
	s := open(t)
	session, account := listed(t, s)
	now := time.Date(2026, 2, 10, 9, 0, 0, 0, time.UTC)
	history := make([]banks.Entry, 3000) // one a day
	for i := range history {
		history[i] = banks.Entry{TransactionID: fmt.Sprint(i), BookingDate: civil.On(now).AddDays(-i), Amount: decimal.New(int64(-1-i), -2), Currency: "EUR"}
	}
	r, err := s.OpenReading(t.Context(), session.Sync.ID, account)
	require.NoError(t, err)
	require.NoError(t, r.PutPage(t.Context(), &banks.Page{Entries: slices.Clone(history), Covered: banks.Window{To: civil.On(now)}}, now))
	finish(t, s, session.Access.ID)

	for name, c := range map[string]struct {
		sent []banks.Entry
		rows int
	}{
		"nothing":             {nil, 26},
		"the window":          {history[:15], 26},
		"one entry of old":    {[]banks.Entry{history[2000]}, 26 + 21},
		"two that are near":   {[]banks.Entry{history[2000], history[2010]}, 26 + 31},
		"the whole history":   {history, 3000},
		"one on the border":   {[]banks.Entry{history[26]}, 37},
		"one without any day": {[]banks.Entry{{Amount: decimal.New(-1, 0), Currency: "EUR"}}, 26},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.rows, models.LoadedFor(t.Context(), s, account, civil.On(now).AddDays(-15), slices.Clone(c.sent)))
		})
	}
}
