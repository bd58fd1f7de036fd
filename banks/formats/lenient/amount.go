package lenient

import (
	"strings"

	"github.com/shopspring/decimal"
	"golang.org/x/text/currency"
)

// Bounds of an amount: a number of more digits is no amount of money.
const (
	maxAmountText     = 64
	maxAmountDigits   = 18 // before the decimal sign
	maxAmountDecimals = 12
)

// Amount reads a decimal amount as banks write it: at most 18 digits before the decimal sign, which is a point or a
// comma; what follows the twelfth digit behind it is rounded. A sign may stand before or behind the number, be U+2212
// or another dash, and have blanks beside it. Thousands may be separated ("1,234.56", "1.234,56", "1 234.56",
// "1'234.56"). A number may be written as Java writes doubles ("1.2345678E7").
//
// A single point or comma is the decimal sign. Only "1,234" could mean one thousand or one and a bit, and is not read;
// "1.234" is what JSON and XML mean by it, and "0,234" is no thousand.
func Amount(s string) (decimal.Decimal, bool) {
	if d, ok := plainAmount(s); ok { // nearly all of them
		return d, true
	}
	return writtenAmount(s)
}

// plainAmount reads an optional sign, digits and a point.
func plainAmount(s string) (decimal.Decimal, bool) {
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
				return decimal.Decimal{}, false
			}
			value = value*10 + int64(c-'0')
			if point {
				scale++
			}
		case c == '.' && !point:
			point = true
		default:
			return decimal.Decimal{}, false
		}
	}
	if digits == 0 || scale > maxAmountDecimals {
		return decimal.Decimal{}, false
	}
	if negative {
		value = -value
	}
	return decimal.New(value, -int32(scale)), true
}

// writtenAmount reads all the other forms.
func writtenAmount(s string) (decimal.Decimal, bool) {
	if len(s) > maxAmountText {
		return decimal.Decimal{}, false
	}
	number, negative, ok := withoutSign(s)
	if !ok {
		return decimal.Decimal{}, false
	}
	number, exponent, ok := withoutExponent(number)
	if !ok {
		return decimal.Decimal{}, false
	}
	number, ok = withoutThousands(number)
	if !ok {
		return decimal.Decimal{}, false
	}
	whole, decimals, _ := strings.Cut(number, ".")
	if whole+decimals == "" || strings.Trim(whole+decimals, "0123456789") != "" {
		return decimal.Decimal{}, false
	}
	d, err := decimal.NewFromString("0" + number)
	if err != nil {
		return decimal.Decimal{}, false
	}
	d = d.Shift(int32(exponent))
	if d.NumDigits()+int(d.Exponent()) > maxAmountDigits {
		return decimal.Decimal{}, false
	}
	d = d.Round(maxAmountDecimals)
	if d.Exponent() > 0 {
		d = d.Round(0) // 1E3 as 1000
	}
	if negative {
		d = d.Neg()
	}
	return d, true
}

// withoutSign takes a sign off, before or behind the number, and the blanks around both.
func withoutSign(s string) (number string, negative, ok bool) {
	s = strings.TrimFunc(s, isBlank)
	for _, sign := range []struct {
		text     string
		negative bool
	}{{"-", true}, {"+", false}, {"\u2212", true}, {"\u2013", true}, {"\u2010", true}, {"\u2011", true}, {"\uFF0D", true}, {"\uFE63", true}, {"\uFF0B", false}} {
		rest, before := strings.CutPrefix(s, sign.text)
		if !before {
			if rest, ok = strings.CutSuffix(s, sign.text); !ok {
				continue
			}
		}
		return strings.TrimFunc(rest, isBlank), sign.negative, true
	}
	return s, false, true
}

func isBlank(r rune) bool {
	switch r {
	case ' ', '\t', '\r', '\n', '\u00A0', '\u2007', '\u2009', '\u202F':
		return true
	}
	return false
}

// withoutExponent takes "E7" off.
func withoutExponent(s string) (number string, exponent int, ok bool) {
	at := strings.IndexAny(s, "eE")
	if at < 0 {
		return s, 0, true
	}
	digits, negative := s[at+1:], false
	if digits != "" && (digits[0] == '-' || digits[0] == '+') {
		negative, digits = digits[0] == '-', digits[1:]
	}
	if digits == "" || len(digits) > 2 || strings.Trim(digits, "0123456789") != "" {
		return "", 0, false
	}
	for _, c := range []byte(digits) {
		exponent = exponent*10 + int(c-'0')
	}
	if negative {
		exponent = -exponent
	}
	return s[:at], exponent, true
}

// withoutThousands leaves the signs between thousands out, and makes the decimal sign a point.
func withoutThousands(s string) (number string, ok bool) {
	point := strings.LastIndexAny(s, ".,")
	whole, decimals := s, ""
	if point >= 0 {
		whole, decimals = s[:point], s[point+1:]
		same := strings.IndexByte(whole, s[point]) >= 0
		switch {
		case same: // "1.234.567": there is no decimal sign
			whole, decimals = s, ""
		case s[point] == ',' && len(decimals) == 3 && len(whole) > 0 && len(whole) <= 3 && whole[0] != '0':
			return "", false
		}
	}
	groups, ok := splitThousands(whole)
	if !ok {
		return "", false
	}
	number = strings.Join(groups, "")
	if decimals != "" {
		number += "." + decimals
	}
	return number, true
}

// splitThousands cuts "1 234 567" at its separators, which have to be the same everywhere, and three digits apart.
func splitThousands(s string) (groups []string, ok bool) {
	groups = strings.FieldsFunc(s, func(r rune) bool { return isBlank(r) || isThousandsSign(r) })
	if len(groups) <= 1 {
		return groups, strings.Join(groups, "") == s
	}
	separator := rune(0)
	for _, r := range s {
		if !isBlank(r) && !isThousandsSign(r) {
			continue
		}
		if separator != 0 && r != separator {
			return nil, false
		}
		separator = r
	}
	if strings.Join(groups, string(separator)) != s || len(groups[0]) > 3 {
		return nil, false
	}
	for _, group := range groups[1:] {
		if len(group) != 3 {
			return nil, false
		}
	}
	return groups, true
}

func isThousandsSign(r rune) bool {
	switch r {
	case '.', ',', '\'', '\u2019', '_':
		return true
	}
	return false
}

// WithoutNoise rounds an amount to the digits of its currency where the rest is noise of binary floating-point numbers:
// 101.960000000017 EUR is 101.96. Noise has more than five decimals and comes to less than a hundredth of the
// currency's smallest unit. Everything else stays as it is.
func WithoutNoise(amount decimal.Decimal, code string) decimal.Decimal {
	if amount.Exponent() >= -5 {
		return amount
	}
	digits := Digits(code)
	rounded := amount.Round(int32(digits))
	if amount.Sub(rounded).Abs().LessThan(decimal.New(1, -int32(digits)-2)) {
		return rounded
	}
	return amount
}

// Digits is how many decimals a currency has (ISO 4217); 2 where it is not known.
func Digits(code string) int {
	if code == "EUR" {
		return 2
	}
	unit, err := currency.ParseISO(code)
	if err != nil {
		return 2
	}
	digits, _ := currency.Standard.Rounding(unit)
	return digits
}
