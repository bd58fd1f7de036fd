package api

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"github.com/google/uuid"
)

// ID is how the contract's ids look in Go.
type ID = uuid.UUID

// Amount is an exact decimal on the wire: the digits as they are, never a float.
type Amount = json.Number

// Timestamp is an instant on the wire: RFC 3339 in UTC with milliseconds.
type Timestamp time.Time

const (
	timestampLayout = "2006-01-02T15:04:05.000Z"
	dayLayout       = "2006-01-02T00:00:00.000Z" // of a day on the wire: no zone is applied
)

// MarshalJSON writes "2026-01-31T08:15:00.000Z".
func (t Timestamp) MarshalJSON() ([]byte, error) {
	return appendTimestamp(make([]byte, 0, len(timestampLayout)+2), time.Time(t)), nil
}

// UnmarshalJSON reads any RFC 3339 instant.
func (t *Timestamp) UnmarshalJSON(b []byte) error { return json.Unmarshal(b, (*time.Time)(t)) }

// IsZero lets `omitzero` leave an absent instant out.
func (t Timestamp) IsZero() bool { return time.Time(t).IsZero() }

func timestamp(t *time.Time) Timestamp {
	if t == nil {
		return Timestamp{}
	}
	return Timestamp(*t)
}

func appendTimestamp(b []byte, t time.Time) []byte {
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, timestampLayout)
	return append(b, '"')
}

// text is the value behind an optional column, or "", which is left out.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// optional is nil for empty text: absent is absent.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// minorDigits lists the currencies of ISO 4217 whose smallest unit is not a hundredth.
var minorDigits = map[string]int{
	"BIF": 0, "CLP": 0, "DJF": 0, "GNF": 0, "ISK": 0, "JPY": 0, "KMF": 0, "KRW": 0, "PYG": 0, "RWF": 0, "UGX": 0,
	"UYI": 0, "VND": 0, "VUV": 0, "XAF": 0, "XOF": 0, "XPF": 0,
	"BHD": 3, "IQD": 3, "JOD": 3, "KWD": 3, "LYD": 3, "OMR": 3, "TND": 3, "CLF": 4, "UYW": 4,
}

func digitsOf(currency string) int {
	if digits, special := minorDigits[currency]; special {
		return digits
	}
	return 2
}

// appendAmount writes a NUMERIC's text with the digits of its currency. Digits beyond them stay where they are not
// zero: exact is more than pretty. With cents, it writes an integer in the smallest unit, what is below it cut off.
func appendAmount(b []byte, numeric, currency string, cents bool) []byte {
	digits := digitsOf(currency)
	whole, fraction, _ := strings.Cut(numeric, ".")
	for len(fraction) > digits && fraction[len(fraction)-1] == '0' {
		fraction = fraction[:len(fraction)-1]
	}
	if !cents {
		b = append(b, whole...)
		if len(fraction) > 0 || digits > 0 {
			b = append(b, '.')
		}
		b = append(b, fraction...)
		return appendZeros(b, digits-len(fraction))
	}
	if len(fraction) > digits {
		fraction = fraction[:digits]
	}
	sign := len(whole) > 0 && whole[0] == '-'
	unsigned := appendZeros([]byte(strings.TrimPrefix(whole, "-")+fraction), digits-len(fraction))
	unsigned = bytes.TrimLeft(unsigned, "0")
	switch {
	case len(unsigned) == 0:
		return append(b, '0')
	case sign:
		b = append(b, '-')
	}
	return append(b, unsigned...)
}

func appendZeros(b []byte, n int) []byte {
	for ; n > 0; n-- {
		b = append(b, '0')
	}
	return b
}

func amount(numeric, currency string) Amount {
	return Amount(appendAmount(nil, numeric, currency, false))
}
