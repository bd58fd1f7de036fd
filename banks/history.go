package banks

import (
	"slices"

	"github.com/kontoflow/kontoflow/banks/formats/lenient"
	"github.com/kontoflow/kontoflow/internal/civil"
)

// historyRungs are the days of history that a bank is asked for, one after the other, where it
// refuses more. Today is among the days: a bank that counts it and gives 90 days is asked from 89
// days ago on.
var historyRungs = [...]int{730, 365, 180, 90, 60, 30}

const (
	// maxHistoryRequests bounds the requests for the first page of an account: one as asked, and
	// one for each rung.
	maxHistoryRequests = 1 + len(historyRungs)
	// shortestHistory is the fewest days, today among them, that a date in a refusal is taken for.
	// A later one is the time of the refusal, or the end of the period.
	shortestHistory = 7
)

// A Ladder finds how far back a bank can be asked. It begins with what is wanted. Each refusal
// leads to a shorter period: one that begins on the date that the bank names in its refusal, else
// the next rung of 730, 365, 180, 90, 60 and 30 days. There are at most seven requests, and without
// the customer at most two.
type Ladder struct {
	today    civil.Date
	from     civil.Date
	alone    bool
	named    bool // from is a date that the bank named
	requests int  // with the one for from
}

// NewLadder begins a ladder at from, which may be zero: as far back as the bank gives. alone says
// that the customer is not there.
func NewLadder(today, from civil.Date, alone bool) *Ladder {
	return &Ladder{today: today, from: from, alone: alone, requests: 1}
}

// From is the first day to ask for; zero: as far back as the bank gives.
func (l *Ladder) From() civil.Date { return l.from }

// Days is how many days From stands for, today among them; 0 where From is zero. It is what to
// remember for the next synchronization: see LadderStart.
func (l *Ladder) Days() int {
	if l.from.IsZero() {
		return 0
	}
	return int(l.today-l.from) + 1
}

// LadderStart is the first day to begin a ladder at, where from is wanted and the bank was found to
// give so many days (0: nothing is known).
func LadderStart(today, from civil.Date, days int) civil.Date {
	if days <= 0 {
		return from
	}
	return max(from, today.AddDays(1-days))
}

// Left is how many more requests the ladder has.
func (l *Ladder) Left() int {
	limit := maxHistoryRequests
	if l.alone {
		limit = 2
	}
	return max(0, limit-l.requests)
}

// Spend counts a request that was made for another reason, such as another booking status for the
// same period.
func (l *Ladder) Spend() { l.requests++ }

// Down goes one step down after the bank has refused From. refusal is what the bank said. It
// reports false, and stays where it is, where there is nothing shorter to ask for.
func (l *Ladder) Down(refusal string) bool {
	if l.Left() == 0 {
		return false
	}
	if day := l.namedDay(refusal); day != 0 {
		l.from, l.named = day, true
		l.requests++
		return true
	}
	days := l.nextRung()
	if days == 0 {
		return false
	}
	l.from, l.named = l.today.AddDays(1-days), false
	l.requests++
	return true
}

// Names reports whether a refusal names a date that the bank can be asked from.
func (l *Ladder) Names(refusal string) bool { return l.namedDay(refusal) != 0 }

// nextRung is the next shorter period in days; 0: there is none. Without the customer there is one
// step only, so it leads to what every bank shows without strong customer authentication.
func (l *Ladder) nextRung() int {
	var below []int
	for _, days := range historyRungs {
		if l.today.AddDays(1-days) > l.from && (!l.alone || days <= DaysWithoutSCA) {
			below = append(below, days)
		}
	}
	if !l.alone { // the shortest one is asked for in any case: where requests are few, leave out those before it
		for n := l.Left(); n > 0 && len(below) > n && len(below) > 1; {
			below = slices.Delete(below, len(below)-2, len(below)-1)
		}
	}
	if len(below) == 0 {
		return 0
	}
	return below[0]
}

// namedDay is the earliest date in a refusal that lies in the period that was refused; zero: there
// is none. A bank that names the very day that it has just refused, and that was taken from it,
// means the day after.
func (l *Ladder) namedDay(refusal string) civil.Date {
	latest := l.today.AddDays(1 - shortestHistory)
	var first civil.Date
	for _, day := range datesIn(refusal) {
		if day == l.from && l.named {
			day = day.AddDays(1)
		}
		if day > l.from && day <= latest && (first == 0 || day < first) {
			first = day
		}
	}
	return first
}

// Bounds of the search for dates in a refusal.
const (
	maxRefusal      = 16 << 10
	maxRefusalDates = 32
)

// datesIn finds the days in a text, in any of the forms that lenient.Day reads.
func datesIn(text string) (days []civil.Date) {
	text = lenient.Cut(text, maxRefusal)
	for i := 0; i < len(text) && len(days) < maxRefusalDates; i++ {
		if !isDigit(text, i) || isWord(text, i-1) {
			continue
		}
		for _, size := range []int{len("2026-01-31"), len("20260131")} {
			if i+size > len(text) || isDigit(text, i+size) {
				continue
			}
			if day, ok := lenient.Day(text[i : i+size]); ok && !day.IsZero() {
				days = append(days, day)
				break
			}
		}
	}
	return days
}

func isDigit(s string, i int) bool {
	return i >= 0 && i < len(s) && s[i] >= '0' && s[i] <= '9'
}

// isWord reports whether a digit behind s[i] would go on with a word or number.
func isWord(s string, i int) bool {
	if i < 0 {
		return false
	}
	c := s[i] | 0x20
	return isDigit(s, i) || c >= 'a' && c <= 'z'
}
