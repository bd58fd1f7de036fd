// Package plain holds the calendar date of a booking: a day without a clock or a zone.
//
// Banks send booking and value dates as days. Turning them into instants and back moves them by a day
// as soon as two zones meet, so they stay days from the wire to the database.
package civil

import (
	"database/sql/driver"
	"fmt"
	"time"
)

// Date is a calendar day, counted from 1970-01-01, which is day 1. The zero value is "no date".
type Date int32

const layout = "2006-01-02"

// On returns the day that t shows on its own clock.
func On(t time.Time) Date {
	y, m, d := t.Date()
	return Date(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix()/86400) + 1
}

// Day returns the given calendar day; values outside their range carry over as in time.Date.
func Day(year int, month time.Month, day int) Date {
	return On(time.Date(year, month, day, 0, 0, 0, 0, time.UTC))
}

// Parse reads an ISO 8601 day, "2026-01-31". The year has four digits.
func Parse(s string) (Date, error) {
	t, err := time.Parse(layout, s)
	if err != nil {
		return 0, fmt.Errorf("not a date (want YYYY-MM-DD)")
	}
	return On(t), nil
}

// IsZero reports whether d is "no date".
func (d Date) IsZero() bool { return d == 0 }

// AddDays returns the day n days later; no date stays no date.
func (d Date) AddDays(n int) Date {
	if d == 0 {
		return 0
	}
	return d + Date(n)
}

// Time returns midnight UTC of d, and the zero time for no date.
func (d Date) Time() time.Time {
	if d == 0 {
		return time.Time{}
	}
	return time.Unix(int64(d-1)*86400, 0).UTC()
}

// String writes the day as "2026-01-31", and no date as "".
func (d Date) String() string {
	if d == 0 {
		return ""
	}
	return d.Time().Format(layout)
}

// MarshalText writes the day for JSON; use `omitempty` to leave no date out.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what MarshalText wrote; empty text is no date.
func (d *Date) UnmarshalText(b []byte) error {
	if len(b) == 0 {
		*d = 0
		return nil
	}
	v, err := Parse(string(b))
	if err == nil {
		*d = v
	}
	return err
}

// Value stores the day as a SQL DATE, and no date as NULL.
func (d Date) Value() (driver.Value, error) {
	if d == 0 {
		return nil, nil
	}
	return d.Time(), nil
}

// Scan reads a SQL DATE.
func (d *Date) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*d = 0
	case time.Time:
		*d = On(v)
	case string:
		return d.UnmarshalText([]byte(v))
	default:
		return fmt.Errorf("cannot read a date from %T", src)
	}
	return nil
}
