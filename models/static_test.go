package models_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"kontoflow/models"
	"kontoflow/plain"
	"kontoflow/providers"
)

// TestStaticBank reads a bank that does not heed the days it is asked for: what lies before the window is recognised, at
// the second synchronization and at the tenth, with ids and without, and a really new one of an old day is added once.
func TestStaticBank(t *testing.T) {
	t.Parallel()
	s := open(t)
	dated := func(id string, booked, valued plain.Date, cents int64) providers.Entry {
		return providers.Entry{TransactionID: id, BookingDate: booked, ValueDate: valued, Amount: decimal.New(cents, -2), Currency: "EUR",
			Counterparty: providers.Party{Name: "Muster GmbH"}, Remittance: []string{fmt.Sprint("Rechnung ", cents)}}
	}
	old := []plain.Date{plain.Day(1999, 12, 31), plain.Day(2006, 2, 28), plain.Day(2025, 1, 2), plain.Day(2025, 11, 20), plain.Day(2026, 2, 1)}
	var all []providers.Entry
	for i, d := range old {
		all = append(all, dated(fmt.Sprint("t", i), d, d.AddDays(-2), int64(-100-i)), dated(fmt.Sprint("twin", i), d, 0, -70), dated(fmt.Sprint("twin", i, "b"), d, 0, -70))
	}
	for name, change := range map[string]func(e *providers.Entry, i, run int){
		"ids that stay":       func(*providers.Entry, int, int) {},
		"no ids":              func(e *providers.Entry, _, _ int) { e.TransactionID = "" },
		"the same id for all": func(e *providers.Entry, _, _ int) { e.TransactionID = "NOTPROVIDED" },
		"new ids each time":   func(e *providers.Entry, i, run int) { e.TransactionID = fmt.Sprint("run ", run, " no ", i) },
		"only value dates":    func(e *providers.Entry, _, _ int) { e.BookingDate, e.ValueDate = 0, e.BookingDate },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			session, account := listed(t, s)
			access := session.Access.ID
			now := time.Date(2026, 2, 10, 9, 0, 0, 0, time.UTC)
			answer := func(run int, entries []providers.Entry) []providers.Entry {
				sent := slices.Clone(entries)
				for i := range sent {
					change(&sent[i], i, run)
				}
				return sent
			}
			r, err := s.OpenReading(t.Context(), session.Sync.ID, account)
			require.NoError(t, err)
			require.NoError(t, r.PutPage(t.Context(), &providers.Page{Entries: answer(1, all), Covered: providers.Window{To: plain.On(now)}}, now))
			require.Equal(t, len(all), finish(t, s, access).TransactionsAdded)
			for run := 2; run <= 10; run++ {
				now = now.Add(25 * 24 * time.Hour) // from the fourth on, everything lies far before the window
				r := again(t, s, access, account)
				from := r.Since()
				require.NoError(t, r.PutWindow(t.Context(), answer(run, all), nil, providers.Window{From: from, To: plain.On(now)}, true, now))
				y := finish(t, s, access)
				require.Equal(t, [3]int{}, [3]int{y.TransactionsAdded, y.TransactionsModified, y.TransactionsRemoved}, "run %d", run)
			}
			more := append(slices.Clone(all), dated("late", old[1], 0, -4711), dated("twin late", old[2], 0, -70))
			for run, added := range []int{2, 0, 0} {
				r := again(t, s, access, account)
				require.NoError(t, r.PutWindow(t.Context(), answer(11+run, more), nil, providers.Window{From: r.Since(), To: plain.On(now)}, true, now))
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
	history := make([]providers.Entry, 3000) // one a day
	for i := range history {
		history[i] = providers.Entry{TransactionID: fmt.Sprint(i), BookingDate: plain.On(now).AddDays(-i), Amount: decimal.New(int64(-1-i), -2), Currency: "EUR"}
	}
	r, err := s.OpenReading(t.Context(), session.Sync.ID, account)
	require.NoError(t, err)
	require.NoError(t, r.PutPage(t.Context(), &providers.Page{Entries: slices.Clone(history), Covered: providers.Window{To: plain.On(now)}}, now))
	finish(t, s, session.Access.ID)

	for name, c := range map[string]struct {
		sent []providers.Entry
		rows int
	}{
		"nothing":             {nil, 26},
		"the window":          {history[:15], 26},
		"one entry of old":    {[]providers.Entry{history[2000]}, 26 + 21},
		"two that are near":   {[]providers.Entry{history[2000], history[2010]}, 26 + 31},
		"the whole history":   {history, 3000},
		"one on the border":   {[]providers.Entry{history[26]}, 37},
		"one without any day": {[]providers.Entry{{Amount: decimal.New(-1, 0), Currency: "EUR"}}, 26},
	} {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, c.rows, models.LoadedFor(t.Context(), s, account, plain.On(now).AddDays(-15), slices.Clone(c.sent)))
		})
	}
}
