package api

import (
	"strings"
	"time"

	"github.com/kontoflow/kontoflow/internal/civil"
)

// A moment is a day or an instant that a caller names.
type moment struct {
	day     civil.Date // as written: no time zone is applied
	at      time.Time  // the instant; of a day its first one in UTC
	instant bool
}

// momentLayouts are the instants that clients write. Java writes the offset without a colon, others leave it out: it is
// UTC then.
var momentLayouts = []string{"2006-01-02T15:04:05Z07:00", "2006-01-02T15:04:05Z0700", "2006-01-02T15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02T15:04"}

// parseMoment reads a day (2026-01-31) or an instant (2026-01-31T08:15:00.000Z).
func parseMoment(s string) (moment, bool) {
	if len(s) < len(time.DateOnly) {
		return moment{}, false
	}
	day, err := civil.Parse(s[:len(time.DateOnly)])
	if err != nil {
		return moment{}, false
	}
	if len(s) == len(time.DateOnly) {
		return moment{day: day, at: day.Time()}, true
	}
	// A plus that was not escaped arrives as a blank. So does the one between day and clock of some languages.
	clock := s[len(time.DateOnly)+1:]
	if s[len(time.DateOnly)] != 'T' && s[len(time.DateOnly)] != ' ' {
		return moment{}, false
	}
	clock = strings.Replace(clock, " ", "+", 1)
	for _, layout := range momentLayouts {
		if at, err := time.Parse(layout, s[:len(time.DateOnly)]+"T"+clock); err == nil {
			return moment{day: day, at: at.UTC(), instant: true}, true
		}
	}
	return moment{}, false
}

// bound is the moment as a limit from below of a column that has days, or instants.
func (m moment) bound(days bool) time.Time {
	if days {
		return m.day.Time()
	}
	return m.at
}

// after is the first value of such a column behind the moment: a day ends with its last instant, and an instant is as
// wide as the milliseconds in which instants are shown.
func (m moment) after(days bool) time.Time {
	if days || !m.instant {
		return m.day.AddDays(1).Time()
	}
	return m.at.Truncate(time.Millisecond).Add(time.Millisecond)
}
