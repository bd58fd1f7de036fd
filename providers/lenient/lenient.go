// Package lenient reads what banks write: texts, amounts, days, currencies and account numbers. Banks are lax with all
// of them, so little is refused here; but what comes out is fit to be stored and shown, and of bounded size.
package lenient

import (
	"html"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/microcosm-cc/bluemonday"
	"github.com/shopspring/decimal"

	"kontoflow/plain"
)

// Text makes a bank's text fit to be stored and shown: valid UTF-8, no control characters, at most max bytes.
func Text(s string, max int) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c < ' ' || c >= 0x7f {
			return scrub(s, max)
		}
	}
	return Cut(strings.Trim(s, " "), max)
}

func scrub(s string, max int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '\t' || r == '\r':
			return ' '
		case unicode.IsControl(r) || r == '\uFEFF':
			return -1
		}
		return r
	}, s)
	return Cut(strings.TrimSpace(s), max)
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

// Date reads a day, also out of a date-time; zero where there is none.
func Date(s string) plain.Date {
	if len(s) > 10 && (s[10] == 'T' || s[10] == ' ') {
		s = s[:10]
	}
	d, err := plain.Parse(s)
	if err != nil || d < earliest || d > latest {
		return 0
	}
	return d
}

// Days outside of these are placeholders ("0001-01-01", "9999-12-31") and no dates.
var (
	earliest = plain.Day(1970, 1, 2)
	latest   = plain.Day(2200, 1, 1)
)

// Amount reads a decimal amount: at most 18 digits before and 8 behind the point. Some banks write a comma.
func Amount(s string) (decimal.Decimal, bool) {
	negative := false
	if s != "" && (s[0] == '-' || s[0] == '+') {
		negative = s[0] == '-'
		s = s[1:]
	}
	var value int64
	digits, scale, point := 0, 0, false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c >= '0' && c <= '9':
			if digits++; digits > 18 {
				return longAmount(s, negative)
			}
			value = value*10 + int64(c-'0')
			if point {
				scale++
			}
		case (c == '.' || c == ',') && !point:
			point = true
		default:
			return decimal.Decimal{}, false
		}
	}
	if digits == 0 {
		return decimal.Decimal{}, false
	}
	if negative {
		value = -value
	}
	return decimal.New(value, -int32(scale)), true
}

var longDecimal = regexp.MustCompile(`^[0-9]{1,18}([.,][0-9]{1,12})?$`)

func longAmount(s string, negative bool) (decimal.Decimal, bool) {
	if !longDecimal.MatchString(s) {
		return decimal.Decimal{}, false
	}
	d, err := decimal.NewFromString(strings.Replace(s, ",", ".", 1))
	if negative {
		d = d.Neg()
	}
	return d, err == nil
}

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
