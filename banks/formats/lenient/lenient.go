// Package lenient reads what banks write: texts, amounts, days, currencies and account numbers. Banks are lax with all
// of them, so little is refused here; but what comes out is fit to be stored and shown, and of bounded size.
package lenient

import (
	"html"
	"strings"
	"time"
	_ "time/tzdata" // Berlin's rules, on machines without a database of zones
	"unicode"
	"unicode/utf8"

	"github.com/microcosm-cc/bluemonday"

	"github.com/kontoflow/kontoflow/internal/civil"
)

// Text makes a bank's text fit to be stored and shown: valid UTF-8, no control and no format characters, no blanks at
// its ends, at most max bytes.
//
// Format characters (Unicode category Cf) are left out, all of them: marks of direction such as U+202E make a name read as
// another one, and the invisible ones hide what differs. That includes the joiners U+200C and U+200D. Some scripts want
// them, but none that the formats of banks can carry: those are Latin ("Messages – Finanzdatenformate", section B).
func Text(s string, max int) string {
	if isPlain(s) {
		return Cut(strings.Trim(s, " "), max)
	}
	return Cut(strings.TrimSpace(printable(s)), max)
}

// Line is Text, and keeps the blanks at both ends: they tell where a text was cut that fills several lines. Blanks beside the
// end of a line are indentation, and go.
func Line(s string, max int) string {
	if !isPlain(s) {
		if rest := strings.TrimLeftFunc(s, unicode.IsSpace); strings.ContainsAny(s[:len(s)-len(rest)], "\r\n") {
			s = rest
		}
		if rest := strings.TrimRightFunc(s, unicode.IsSpace); strings.ContainsAny(s[len(rest):], "\r\n") {
			s = rest
		}
		s = printable(s)
	}
	return Cut(s, max)
}

// isPlain reports whether s is printable ASCII, which is the common case.
func isPlain(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c >= 0x7f {
			return false
		}
	}
	return true
}

// printable leaves out what cannot be shown, and what changes how the rest is shown. Markup survives, and so may be
// cleaned with it.
func printable(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t' || r == '\r' || r == '\u2028' || r == '\u2029':
			return ' '
		case unicode.IsControl(r) || unicode.Is(unicode.Cf, r):
			return -1
		}
		return r
	}, s)
}

// Markup is HTML that was sanitized already, without control and format characters.
func Markup(s string) string {
	if isPlain(s) {
		return s
	}
	return printable(s)
}

// PlainText is Text without markup.
func PlainText(s string, max int) string {
	s = Cut(s, 4*max) // before it costs anything; tags and entities are longer than what they stand for
	if strings.ContainsAny(s, "<&") {
		s = html.UnescapeString(noTags.Sanitize(s))
	}
	return Text(s, max)
}

var noTags = bluemonday.StrictPolicy()

// Cut is s or the beginning of it, at most max bytes, and no broken character at the end.
func Cut(s string, max int) string {
	if len(s) <= max {
		return s
	}
	for max > 0 && !utf8.RuneStart(s[max]) {
		max--
	}
	return s[:max]
}

// Date reads a day, and is zero where there is none that can be read. See Day for what is understood.
func Date(s string) civil.Date {
	d, _ := Day(s)
	return d
}

// Day reads a day as banks write it: 2026-01-31, 20260131, 31.01.2026, each also with a zone (2026-01-31+01:00) or as
// the beginning of a date-time. The day is taken as written; no zone is ever applied. A day that the calendar does not
// have is clamped: 30 February is the last of February, as in the months of 30 days with which German banks reckon
// interest.
//
// ok is false where s says something that is not the day returned: it was clamped, or cannot be read and the day is
// zero. Empty text and placeholders (0001-01-01, 9999-12-31) are no day, and ok.
func Day(s string) (d civil.Date, ok bool) {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0, true
	}
	year, month, day, rest, ok := calendarDay(s)
	if !ok || !isClockOrZone(rest) {
		return 0, false
	}
	return CalendarDay(year, month, day)
}

// CalendarDay is Day for a day in numbers.
func CalendarDay(year, month, day int) (d civil.Date, ok bool) {
	if month == 0 && day == 0 || year <= 1 || year >= 9999 {
		return 0, true // a placeholder
	}
	if month < 1 || month > 12 || day < 1 || day > 31 {
		return 0, false
	}
	ok = true
	if d = civil.Day(year, time.Month(month), day); day > 28 {
		if last := civil.Day(year, time.Month(month)+1, 0); d > last {
			d, ok = last, false
		}
	}
	if d < earliest || d > latest {
		return 0, true
	}
	return d, ok
}

// calendarDay takes a day off s. month and day are as written, whether or not the calendar has them.
func calendarDay(s string) (year, month, day int, rest string, ok bool) {
	form := ""
	switch {
	case hasForm(s, "dddd-dd-dd"):
		form = "yyyy-mm-dd"
	case hasForm(s, "dddd/dd/dd"):
		form = "yyyy/mm/dd"
	case hasForm(s, "dd.dd.dddd"):
		form = "dd.mm.yyyy"
	case hasForm(s, "dddddddd"):
		form = "yyyymmdd"
	default:
		return 0, 0, 0, "", false
	}
	for i := range len(form) {
		digit := int(s[i] - '0')
		switch form[i] {
		case 'y':
			year = year*10 + digit
		case 'm':
			month = month*10 + digit
		case 'd':
			day = day*10 + digit
		}
	}
	return year, month, day, s[len(form):], true
}

// hasForm reports whether s begins with form, in which d stands for a digit.
func hasForm(s, form string) bool {
	if len(s) < len(form) {
		return false
	}
	for i := range len(form) {
		isDigit := s[i] >= '0' && s[i] <= '9'
		if form[i] == 'd' && !isDigit || form[i] != 'd' && s[i] != form[i] {
			return false
		}
	}
	return true
}

// isClockOrZone reports whether what follows a day is nothing, a zone (Z, +01:00) or a clock (T12:00:00).
func isClockOrZone(s string) bool {
	if s == "" {
		return true
	}
	switch s[0] {
	case 'Z', 'z', '+', '-', 'T', 't', ' ':
	default:
		return false
	}
	return len(s) <= 40 && strings.Trim(s, "0123456789:.,+-TtZz ") == ""
}

// BerlinDay is Day, for messages whose bank is German: a date-time in UTC is the day that Berlin's clock shows then
// (2026-01-31T23:30:00Z is 1 February).
func BerlinDay(s string) (d civil.Date, ok bool) {
	s = strings.TrimSpace(s)
	if n := len(s); n > 11 && (s[n-1] == 'Z' || strings.HasSuffix(s, "+00:00")) {
		if at, err := time.Parse(time.RFC3339, strings.Replace(s, " ", "T", 1)); err == nil {
			if d := civil.On(at.In(berlin)); d >= earliest && d <= latest {
				return d, true
			}
		}
	}
	return Day(s)
}

var berlin = func() *time.Location {
	l, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		panic(err) // the zone's rules are built in: see the import of time/tzdata
	}
	return l
}()

// Days outside of these are placeholders ("0001-01-01", "9999-12-31") and no dates.
var (
	earliest = civil.Day(1970, 1, 2)
	latest   = civil.Day(2200, 1, 1)
)

// Currency is a currency code of ISO 4217, by its form; "" where there is none.
func Currency(s string) string {
	s = strings.ToUpper(strings.TrimSpace(s))
	if len(s) != 3 || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return ""
	}
	return s
}

// IBAN normalises what looks like an IBAN; its check digits are not judged, for banks send wrong ones. A masked card
// number is none.
func IBAN(s string) (string, bool) {
	if len(s) > 64 {
		return "", false
	}
	s = strings.ToUpper(strings.ReplaceAll(s, " ", ""))
	if len(s) < 15 || len(s) > 34 {
		return "", false
	}
	for i := 0; i < len(s); i++ {
		letter, digit := s[i] >= 'A' && s[i] <= 'Z', s[i] >= '0' && s[i] <= '9'
		if i < 2 && !letter || i >= 2 && i < 4 && !digit || !letter && !digit {
			return "", false
		}
	}
	return s, true
}
