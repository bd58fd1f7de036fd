package banks_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/civil"
)

var ladderToday = civil.Day(2026, 11, 30)

// climb plays a bank that gives so many days, today among them, and says the same words each time.
func climb(l *banks.Ladder, gives int, words string) (requests int, reached bool) {
	for requests = 1; ; requests++ {
		if from := l.From(); !from.IsZero() && from >= ladderToday.AddDays(1-gives) {
			return requests, true
		}
		if !l.Down(words) {
			return requests, false
		}
	}
}

func TestLadder(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		name     string
		from     civil.Date
		alone    bool
		gives    int
		words    string
		days     int // where it ends; 0: nowhere
		requests int
	}{
		{name: "as asked", from: civil.Day(2026, 10, 1), gives: 365, days: 61, requests: 1},
		{name: "two years", from: civil.Day(2006, 11, 30), gives: 730, days: 730, requests: 2},
		{name: "no beginning", gives: 400, days: 365, requests: 3},
		{name: "half a year", from: civil.Day(2006, 11, 30), gives: 200, days: 180, requests: 4},
		{name: "90 days, counted with today", from: civil.Day(2006, 11, 30), gives: 90, days: 90, requests: 5},
		{name: "89 days", from: civil.Day(2006, 11, 30), gives: 89, days: 60, requests: 6},
		{name: "30 days", from: civil.Day(2006, 11, 30), gives: 30, days: 30, requests: 7},
		{name: "less than that", from: civil.Day(2006, 11, 30), gives: 29, requests: 7},
		{name: "what the parameters say is one day too many", from: ladderToday.AddDays(-90), gives: 90, days: 90, requests: 2},
		{name: "a date is named", from: civil.Day(2006, 11, 30), gives: 400, words: "dateFrom must not be before 2025-10-27.", days: 400, requests: 2},
		{name: "in German", gives: 400, words: "Umsätze erst ab 27.10.2025", days: 400, requests: 2},
		{name: "beside the one that was asked for", from: civil.Day(2006, 11, 30), gives: 400, words: "2006-11-30 is not between 2025-10-27 and 2026-11-30", days: 400, requests: 2},
		{name: "as a date-time", gives: 400, words: `{"earliest":"2025-10-27T00:00:00Z","timestamp":"2026-11-30T10:11:12Z"}`, days: 400, requests: 2},
		{name: "the day before the first", from: civil.Day(2006, 11, 30), gives: 399, words: "only after 20251027", days: 399, requests: 3},
		{name: "a wrong date", from: civil.Day(2006, 11, 30), gives: 30, words: "since 2020-01-01", days: 30, requests: 7},
		{name: "the time of the refusal", from: civil.Day(2006, 11, 30), gives: 730, words: "2026-11-30 12:00:00 refused", days: 730, requests: 2},
		{name: "a number that is no date", from: civil.Day(2006, 11, 30), gives: 730, words: "id 1202601015 and x20260101", days: 730, requests: 2},
		{name: "two weeks", from: civil.Day(2006, 11, 30), gives: 14, words: "since 2026-11-17", days: 14, requests: 2},
		{name: "alone", from: civil.Day(2006, 11, 30), alone: true, gives: 365, days: 90, requests: 2},
		{name: "alone, with a date", from: civil.Day(2006, 11, 30), alone: true, gives: 365, words: "2026-01-01", days: 334, requests: 2},
		{name: "alone, one step only", from: civil.Day(2006, 11, 30), alone: true, gives: 60, requests: 2},
		{name: "alone, a short period", from: ladderToday.AddDays(-70), alone: true, gives: 60, days: 60, requests: 2},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			l := banks.NewLadder(ladderToday, row.from, row.alone)
			requests, reached := climb(l, row.gives, row.words)
			require.Equal(t, row.requests, requests)
			require.Equal(t, row.days > 0, reached)
			if reached {
				require.Equal(t, row.days, l.Days())
				require.Equal(t, l.From(), banks.LadderStart(ladderToday, row.from, l.Days()))
			}
		})
	}
	require.Equal(t, civil.Day(2020, 1, 1), banks.LadderStart(ladderToday, civil.Day(2020, 1, 1), 0))
}

// Whatever the bank gives and says, the ladder ends within seven requests. Where the bank names no
// date, it ends at the longest rung that the bank gives.
func TestLadderEnds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		words := rapid.OneOf(rapid.Just(""), rapid.String(), rapid.StringMatching(`(20[12][0-9]-[01][0-9]-[0-3][0-9] ){0,3}`)).Draw(t, "words")
		gives := rapid.IntRange(1, 5_000).Draw(t, "gives")
		from := civil.Date(0)
		if back := rapid.IntRange(0, 8_000).Draw(t, "back"); back > 0 {
			from = ladderToday.AddDays(-back)
		}
		alone := rapid.Bool().Draw(t, "alone")
		l := banks.NewLadder(ladderToday, from, alone)
		requests, reached := climb(l, gives, words)
		if alone {
			require.LessOrEqual(t, requests, 2)
			return
		}
		require.LessOrEqual(t, requests, 7)
		if words != "" {
			return
		}
		asIs := !from.IsZero() && from >= ladderToday.AddDays(1-gives)
		require.Equal(t, gives >= 30 || asIs, reached)
		if !reached || asIs {
			return
		}
		for _, days := range []int{730, 365, 180, 90, 60, 30} {
			if days <= gives {
				require.GreaterOrEqual(t, l.Days(), min(days, int(ladderToday-from)+1))
				break
			}
		}
	})
}
