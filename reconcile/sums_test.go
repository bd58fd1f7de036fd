package reconcile_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/reconcile"
)

// TestSumsAndParts: what a bank first booked as one sum and sends as its parts later, or the other way round, is there once,
// and after one read. Where anything speaks against it, missing rows are flagged first, as always.
func TestSumsAndParts(t *testing.T) {
	t.Parallel()
	part := func(d int, amount, name, reference string) banks.Entry {
		e := booked(d, amount, name, "Gehalt "+name)
		e.EntryReference = reference
		return e
	}
	dated := func(e banks.Entry, valued int) banks.Entry {
		e.ValueDate = day(valued)
		return e
	}
	const sum, other = "-600", "-90.50"
	everyday := booked(9, other, "Stadtwerke", "Abschlag") // is there in every answer
	batch := booked(10, sum, "", "Sammelauftrag 3 Posten")
	parts := []banks.Entry{part(10, "-100", "Erika", "S1"), part(10, "-200", "Björn", "S2"), part(10, "-300", "Zoë", "S3")}
	referenced := []banks.Entry{part(10, "-100", "Erika", "S1"), part(10, "-200", "Björn", "S1"), part(10, "-300", "Zoë", "S1")}
	unrelated := part(10, "-17", "Bäcker", "")
	foreign := func(entries []banks.Entry, currency string) (all []banks.Entry) {
		for _, e := range entries {
			e.Currency = currency
			all = append(all, e)
		}
		return all
	}
	with := func(all []banks.Entry, more ...banks.Entry) []banks.Entry {
		return append(append([]banks.Entry{}, all...), more...)
	}
	later := complete(day(1), day(13), 2)
	incomplete, noList := later, later
	incomplete.Complete = false
	noList.NoBooked = true
	elsewhere := complete(day(11), day(13), 2)
	for name, c := range map[string]struct {
		before, after []banks.Entry
		window        reconcile.Window
		removed       int // of before, at once
	}{
		"a sum, then its parts":                     {[]banks.Entry{batch}, parts, later, 1},
		"the parts, then their sum":                 {parts, []banks.Entry{batch}, later, 3},
		"beside other new ones, by their reference": {[]banks.Entry{batch}, with(referenced, unrelated), later, 1},
		"beside other missing ones":                 {with(referenced, unrelated), []banks.Entry{batch}, later, 3},
		"two sums of a day, each with its reference": {[]banks.Entry{batch, booked(10, "-50", "", "Sammelauftrag 2 Posten")},
			with(referenced, part(10, "-20", "A", "T1"), part(10, "-30", "B", "T1")), later, 2},
		"money in and out": {[]banks.Entry{booked(10, "-60", "", "Saldo")}, []banks.Entry{part(10, "-100", "A", ""), part(10, "40", "B", "")}, later, 1},
		"of today": {[]banks.Entry{booked(12, sum, "", "Sammelauftrag")},
			[]banks.Entry{part(12, "-250", "A", ""), part(12, "-350", "B", "")}, complete(day(1), day(12), 2), 1},

		"the sum is still there":                      {[]banks.Entry{batch}, with(parts, batch), later, 0},
		"a cent less":                                 {[]banks.Entry{batch}, []banks.Entry{part(10, "-100", "A", ""), part(10, "-499.99", "B", "")}, later, 0},
		"parts of other days":                         {[]banks.Entry{batch}, []banks.Entry{part(9, "-100", "A", ""), part(11, "-500", "B", "")}, later, 0},
		"one of the parts is of another day":          {[]banks.Entry{batch}, []banks.Entry{part(10, "-100", "A", ""), part(11, "-500", "B", "")}, later, 0},
		"another currency":                            {[]banks.Entry{batch}, foreign(parts, "CHF"), later, 0},
		"others of the day without a reference":       {[]banks.Entry{batch}, with(parts, unrelated), later, 0},
		"a day that was not asked for":                {[]banks.Entry{batch}, parts, elsewhere, 0},
		"a read that was broken off":                  {[]banks.Entry{batch}, parts, incomplete, 0},
		"an answer that is no list":                   {[]banks.Entry{batch}, parts, noList, 0},
		"pending parts":                               {[]banks.Entry{batch}, pendingOnes(parts), later, 0},
		"a value date outside the window":             {[]banks.Entry{dated(batch, -20)}, parts, complete(day(5), day(13), 2), 0},
		"twice the sum, once its parts: only one":     {[]banks.Entry{batch, batch}, parts, later, 1},
		"the parts were there before, beside the sum": {with(parts, batch), parts, later, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var a account
			a.read(complete(day(1), day(13), 1), with(c.before, everyday)...)
			a.known = day(9)
			plan := a.read(c.window, with(c.after, everyday)...)
			require.Len(t, plan.Removed, c.removed)
			require.Equal(t, c.removed, a.count(reconcile.Removed))
			if c.removed == 0 {
				return
			}
			again := c.window
			again.Run = number(3)
			for _, w := range []reconcile.Window{c.window, again} { // the same run again, and the next one
				plan = a.read(w, with(c.after, everyday)...)
				for _, o := range plan.Sent {
					require.Equal(t, reconcile.Unchanged, o.Change)
				}
			}
		})
	}
}

func pendingOnes(entries []banks.Entry) (all []banks.Entry) {
	for _, e := range entries {
		e.Pending = true
		all = append(all, e)
	}
	return all
}

// Sums that became parts are no reason to doubt the answer, however many they are.
func TestManySumsAreNotDoubtful(t *testing.T) {
	t.Parallel()
	var sums, parts []banks.Entry
	for i := range 10 {
		sums = append(sums, booked(1+i, fmt.Sprint(-30-i), "", "Sammelauftrag"))
		parts = append(parts, booked(1+i, "-10", "A", fmt.Sprint(i)), booked(1+i, fmt.Sprint(-20-i), "B", fmt.Sprint(i)))
	}
	var a account
	a.read(complete(day(-30), day(13), 1), sums...)
	plan := a.read(complete(day(-30), day(13), 2), parts...)
	require.Zero(t, plan.Doubtful)
	require.Len(t, plan.Removed, 10)
	require.Equal(t, 20, a.count(reconcile.Live))
}

// The cost does not explode where a day has very many rows that could be sums and very many that could be parts.
func TestSumsAreLinear(t *testing.T) {
	t.Parallel()
	const n = 20_000
	stored, sent := make([]reconcile.Stored, n), make([]banks.Entry, n)
	for i := range n {
		e := booked(10, "-2", "Kunde", fmt.Sprint("alt ", i))
		e.EndToEndID = fmt.Sprint("E", i)
		stored[i] = reconcile.Stored{ID: number(uint64(i + 1)), Facts: facts([]banks.Entry{e})[0]}
		sent[i] = booked(10, "-1", fmt.Sprint("Neu ", i), "neu")
		sent[i].EndToEndID = fmt.Sprint("F", i/2)
	}
	plan := reconcile.Match(stored, facts(sent), complete(day(1), day(13), 2))
	require.Len(t, plan.Removed, n/2)
}
