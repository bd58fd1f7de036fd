package reconcile_test

import (
	"fmt"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/civil"
	"github.com/kontoflow/kontoflow/reconcile"
)

// Identical amounts a few days apart are assigned as a whole: the pair that fits best may not be the one to take first.
func TestAssignmentIsNotGreedy(t *testing.T) {
	t.Parallel()
	var a account
	a.read(complete(day(1), day(20), 1), booked(8, "-10", "", "Alpha Beta"), booked(11, "-10", "", "Alpha"))
	// Greedily the second entry takes the first row, and the first entry is left with a row six days away.
	plan := a.read(complete(day(1), day(20), 2), booked(5, "-10", "", "Alpha Beta neu"), booked(9, "-10", "", "Alpha Beta alt"))
	sees(t, plan, 0, 1)
}

// A merchant's account on a day on which the bank rewrote everything: thousands of payments of one amount.
func TestThousandsOfIdenticalAmounts(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		n      int
		change func(i int, e *banks.Entry)
	}{
		"identical to the letter": {1_000, func(i int, e *banks.Entry) { e.Remittance = []string{"Abo"} }},
		"with references":         {1_000, func(i int, e *banks.Entry) { e.EndToEndID = fmt.Sprint("E2E-", i) }},
		"only the number differs": {10_000, func(i int, e *banks.Entry) { e.Remittance = []string{fmt.Sprint("Abo ", i)} }},
	} {
		var before, after []banks.Entry
		for i := range c.n {
			e := booked(10, "-9.99", "Kunde", "")
			c.change(i, &e)
			e.TransactionID = fmt.Sprint("old", i)
			before = append(before, e)
			e.TransactionID = fmt.Sprint("new", i)
			e.Counterparty.Name = "KD. NR."
			e.BookingDate = day(11)
			after = append(after, e)
		}
		var a account
		a.read(complete(day(1), day(12), 1), before...)
		for _, outcome := range a.read(complete(day(1), day(12), 2), after...).Sent {
			require.NotEqual(t, reconcile.New, outcome.Change, name)
		}
		require.Len(t, a.rows, c.n, name)
	}
}

func TestNothing(t *testing.T) {
	t.Parallel()
	require.Empty(t, reconcile.Match(nil, nil, reconcile.Window{}).Sent)
	plan := reconcile.Match(nil, facts([]banks.Entry{{}}), reconcile.Window{})
	require.Equal(t, []reconcile.Outcome{{Stored: -1}}, plan.Sent)
	plan = reconcile.Match([]reconcile.Stored{{ID: number(1)}}, nil, reconcile.Window{Complete: true, Today: day(5)})
	require.Empty(t, plan.Missing)
}

func TestLastComplete(t *testing.T) {
	t.Parallel()
	w := complete(day(1), day(20), 1)
	w.Known = day(10)
	require.Equal(t, day(19), w.LastComplete())
	w.To = day(15)
	require.Equal(t, day(15), w.LastComplete(), "the bank shortened it")
	w.To = day(5)
	require.Equal(t, day(10), w.LastComplete(), "never back")
	w.Complete = false
	require.Equal(t, day(10), w.LastComplete())
	require.Equal(t, day(10)-14, reconcile.Since(day(10)))
	require.Zero(t, reconcile.Since(0))
}

// sync is a read of the last two weeks: n stored, of which the bank repeats all, with new ones on top.
func sync(n, fresh int, reformatted bool) ([]reconcile.Stored, []reconcile.Facts, reconcile.Window) {
	first := day(1)
	var entries []banks.Entry
	for i := range n + fresh {
		e := booked(1, "-1", fmt.Sprint("Händler ", i%97), fmt.Sprint("Einkauf ", i, " sagt Danke"))
		e.BookingDate = first + civil.Date(i*14/(n+fresh))
		e.ValueDate = e.BookingDate
		e.Amount = decimal.New(int64(-100*(i%311)), -2)
		e.TransactionID = fmt.Sprint("2026-", i)
		entries = append(entries, e)
	}
	stored := make([]reconcile.Stored, n)
	for i, f := range facts(entries[:n]) {
		stored[i] = reconcile.Stored{ID: number(uint64(i + 1)), Facts: f}
	}
	if reformatted {
		for i := range entries {
			entries[i].TransactionID = "x" + entries[i].TransactionID
			entries[i].Counterparty.Name, entries[i].Remittance = "", []string{fmt.Sprint("DANKE ", i, " EINKAUF ", i%97)}
		}
	}
	return stored, facts(entries), complete(first, first+15, 1)
}

func BenchmarkMatch(b *testing.B) {
	for _, n := range []int{30, 1_000, 200_000} {
		for _, reformatted := range []bool{false, true} {
			b.Run(fmt.Sprintf("%d/rewritten=%v", n, reformatted), func(b *testing.B) {
				stored, sent, w := sync(n, 1+n/30, reformatted)
				b.ReportAllocs()
				for b.Loop() {
					if plan := reconcile.Match(stored, sent, w); len(plan.Sent) != len(sent) {
						b.Fatal("entries are missing from the plan")
					}
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(sent)), "ns/entry")
			})
		}
	}
}
