package reconcile_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/reconcile"
)

func TestPagingDropsWhatAnEarlierPageBrought(t *testing.T) {
	t.Parallel()
	one, two, three := id(booked(3, "-1", "A", ""), "1"), id(booked(2, "-2", "B", ""), "2"), id(booked(1, "-3", "C", ""), "3")
	nameless := booked(2, "-4", "D", "")

	var p reconcile.Paging
	require.Equal(t, []int{0, 1, 2, 3, 4}, p.Fresh(facts([]banks.Entry{one, one, two, nameless, nameless})), "twins on one page are two")
	require.Equal(t, []int{1, 2}, p.Fresh(facts([]banks.Entry{two, nameless, three})))
	require.Empty(t, p.Fresh(facts([]banks.Entry{one, three})))
	require.Empty(t, p.Fresh(nil))

	var resumed reconcile.Paging
	resumed.Remember(facts([]banks.Entry{two}))
	require.Equal(t, []int{1}, resumed.Fresh(facts([]banks.Entry{two, three})))
}

// An id that names several entries is none, and of twins that share it one stands at a page's end and the other at the next
// one's beginning: they are two.
func TestPagingTrustsNoSharedIDs(t *testing.T) {
	t.Parallel()
	twin, other, third := id(booked(1, "-0.70", "A", ""), "day"), id(booked(1, "-3.40", "B", ""), "day"), id(booked(1, "-5", "C", ""), "day")
	for name, pages := range map[string][][]banks.Entry{
		"shared on the page before": {{other, twin}, {twin, third}},
		"shared on this page":       {{twin}, {twin, other}},
		"shared on this page, late": {{twin}, {other, twin}},
		"shared long ago":           {{other, third}, {twin}, {twin}},
	} {
		var read reconcile.Paging
		for _, page := range pages {
			require.Len(t, read.Fresh(facts(page)), len(page), name)
		}
		var resumed reconcile.Paging
		for _, page := range pages[:len(pages)-1] {
			resumed.Remember(facts(page))
		}
		last := pages[len(pages)-1]
		require.Len(t, resumed.Fresh(facts(last)), len(last), name)
	}
	var read reconcile.Paging
	read.Fresh(facts([]banks.Entry{twin}))
	require.Empty(t, read.Fresh(facts([]banks.Entry{twin})), "as far as anybody can see, it is the same")
}

// Bookings that arrive while the bank is read shift its pages: every one is brought once all the same.
func TestPagingOverShiftingPages(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 20).Draw(t, "page size")
		n := rapid.IntRange(0, 100).Draw(t, "entries")
		history := make([]banks.Entry, n)
		for i := range history {
			history[i] = id(booked(1, "-1", "A", ""), fmt.Sprint(i))
		}
		var p reconcile.Paging
		brought := map[string]int{}
		for offset := 0; offset < len(history); offset += size {
			page := history[offset:min(offset+size, len(history))]
			for _, i := range p.Fresh(facts(page)) {
				brought[page[i].TransactionID]++
			}
			for range rapid.IntRange(0, size-1).Draw(t, "arrive") { // newest first: everything moves down
				history = slices.Insert(history, 0, id(booked(2, "-1", "A", ""), fmt.Sprint("new", len(history))))
			}
		}
		for i := range n {
			require.Equal(t, 1, brought[fmt.Sprint(i)], "entry %d", i)
		}
	})
}

func TestPagingForgetsWhatIsLongPast(t *testing.T) {
	t.Parallel()
	page := make([]reconcile.Facts, 1<<12)
	fill := func(n int) []reconcile.Facts {
		for i := range page {
			page[i] = reconcile.Facts{IDs: [2]uint64{uint64(n*len(page) + i + 1)}}
		}
		return page
	}
	var p reconcile.Paging
	for n := range 8 {
		require.Len(t, p.Fresh(fill(n)), len(page))
	}
	require.Empty(t, p.Fresh(fill(4)), "the last 16,384 are remembered")
	require.Len(t, p.Fresh(fill(3)), len(page), "and no more")
}

func BenchmarkFirstLoad(b *testing.B) {
	const pages, size = 200, 1000
	entries := make([]banks.Entry, size)
	for i := range entries {
		e := id(card(booked(1, "-12.50", fmt.Sprint("Händler ", i%50), "")), fmt.Sprint("2026-11-22-08.15.47.", i))
		e.Amount = decimal.New(int64(-i), -2)
		e.Remittance = []string{"REWE SAGT DANKE. 45678901 Koeln DE", "2026-11-20T18:22 Debitk.1 2029-12"}
		entries[i] = e
	}
	b.ReportAllocs()
	for b.Loop() {
		var p reconcile.Paging
		for page := range pages {
			sent := make([]reconcile.Facts, size)
			for i := range entries {
				e := entries[i]
				e.EntryReference = fmt.Sprint(page, i)
				sent[i] = reconcile.Normalize(&e)
			}
			if len(p.Fresh(sent)) != size {
				b.Fatal("lost")
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*pages*size), "ns/entry")
}
