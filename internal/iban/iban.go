// Package iban checks, splits and masks international bank account numbers (ISO 13616).
package iban

import (
	"errors"
	"strings"
)

// An IBAN is an account number in its electronic form: upper case, no blanks. The zero value is none.
type IBAN string

// Why a string is not an IBAN. The errors never quote it.
var (
	ErrForm     = errors.New("not an IBAN: two letters, two digits and up to 30 letters and digits")
	ErrCountry  = errors.New("not an IBAN: no country of the registry")
	ErrLength   = errors.New("not an IBAN: wrong length for its country")
	ErrChecksum = errors.New("not an IBAN: wrong check digits")
)

// Parse reads an IBAN strictly: what a person typed, or what we send.
func Parse(s string) (IBAN, error) {
	i, err := ParseLenient(s)
	if err != nil {
		return "", err
	}
	if !i.ChecksumOK() {
		return "", ErrChecksum
	}
	return i, nil
}

// ParseLenient reads an IBAN whose check digits may be wrong: banks send such, and mean an account by them. Masked card
// numbers and the like are no IBANs here either.
func ParseLenient(s string) (IBAN, error) {
	i := Normalize(s)
	if len(i) < 5 || len(i) > 34 {
		return "", ErrForm
	}
	for at := range len(i) {
		letter, digit := i[at] >= 'A' && i[at] <= 'Z', i[at] >= '0' && i[at] <= '9'
		if at < 2 && !letter || (at == 2 || at == 3) && !digit || !letter && !digit {
			return "", ErrForm
		}
	}
	switch length, known := lengths[i[:2]]; {
	case !known:
		return "", ErrCountry
	case len(i) != length:
		return "", ErrLength
	}
	if i[:2] == "DE" && strings.ContainsFunc(i[4:], func(r rune) bool { return r > '9' }) {
		return "", ErrForm
	}
	return IBAN(i), nil
}

// Normalize removes blanks, hyphens and the word IBAN in front, and writes capitals. It checks nothing.
func Normalize(s string) string {
	clean := true
	for i := range len(s) {
		if s[i] <= ' ' || s[i] == '-' || s[i] >= 'a' {
			clean = false
			break
		}
	}
	if !clean {
		s = strings.Map(func(r rune) rune {
			switch {
			case r >= 'a' && r <= 'z':
				return r - 'a' + 'A'
			case r <= ' ' || r == '-' || r == '\u00a0' || r == '\u202f' || r == '\u200b':
				return -1
			}
			return r
		}, s)
	}
	for _, prefix := range [...]string{"IBAN:", "IBAN"} {
		if rest, found := strings.CutPrefix(s, prefix); found {
			return rest
		}
	}
	return s
}

// ChecksumOK reports whether the check digits are right (ISO 7064, MOD 97-10), and not 00, 01 or 99, which it never gives.
func (i IBAN) ChecksumOK() bool {
	if len(i) < 5 || i[2:4] < "02" || i[2:4] > "98" {
		return false
	}
	remainder := 0
	for _, part := range [...]IBAN{i[4:], i[:4]} {
		for at := range len(part) {
			if c := part[at]; c <= '9' {
				remainder = (remainder*10 + int(c-'0')) % 97
			} else {
				remainder = (remainder*100 + int(c-'A') + 10) % 97
			}
		}
	}
	return remainder == 1
}

// Country is the ISO 3166 code in front.
func (i IBAN) Country() string {
	if len(i) < 2 {
		return ""
	}
	return string(i[:2])
}

// German splits a German IBAN into bank code (8 digits) and account number (10 digits, with its leading zeros).
func (i IBAN) German() (bankCode, account string, ok bool) {
	if i.Country() != "DE" || len(i) != lengths["DE"] {
		return "", "", false
	}
	return string(i[4:12]), string(i[12:]), true
}

// FromGerman makes the IBAN of a German bank code and account number, with its check digits.
func FromGerman(bankCode, account string) (IBAN, error) {
	if len(bankCode) != 8 || account == "" || len(account) > 10 {
		return "", ErrLength
	}
	bban := bankCode + strings.Repeat("0", 10-len(account)) + account
	if strings.ContainsFunc(bban, func(r rune) bool { return r < '0' || r > '9' }) {
		return "", ErrForm
	}
	remainder := 0
	for _, digit := range bban + "131400" { // "DE00" moved to the end, letters as numbers
		remainder = (remainder*10 + int(digit-'0')) % 97
	}
	check := 98 - remainder
	return IBAN("DE" + string([]byte{byte('0' + check/10), byte('0' + check%10)}) + bban), nil
}

// Format writes the IBAN in groups of four, as it is printed on paper.
func (i IBAN) Format() string {
	var b strings.Builder
	for at := 0; at < len(i); at += 4 {
		if at > 0 {
			b.WriteByte(' ')
		}
		b.WriteString(string(i[at:min(at+4, len(i))]))
	}
	return b.String()
}

// Mask shows enough of any account number to recognise one's own, and too little to know another's: country and the last
// four of an IBAN, the last two of anything else. Masked ones may be shown; logs hold none at all.
func Mask(s string) string {
	s = Normalize(s)
	if i, err := ParseLenient(s); err == nil {
		return string(i[:2]) + "…" + string(i[len(i)-4:])
	}
	if len(s) < 6 {
		return "…"
	}
	return "…" + strings.ToValidUTF8(s[len(s)-2:], "")
}

// Length is how many characters the IBANs of a country have; 0 where there are none.
func Length(country string) int { return lengths[country] }
