package remittance

import (
	"strings"

	"github.com/kontoflow/kontoflow/internal/iban"
)

// maxCreditor is how long a creditor identifier is at most (EPC262-08).
const maxCreditor = 35

// creditorLengths are the lengths of creditor identifiers in the countries whose direct debits are seen in Germany.
var creditorLengths = map[string]int{"DE": 18, "AT": 18, "CH": 18, "LU": 26, "NL": 19, "FR": 13, "ES": 16, "IT": 23}

// creditor takes a creditor identifier off a value. Blanks may stand in it where lines ended.
func creditor(value string) (id, rest string, ok bool) {
	first, rest := firstWord(value)
	first = strings.TrimRight(first, ",;.")
	if ok = isCreditor(first); ok && (isWhole(first) || !mayGoOn(rest)) {
		return first, rest, true
	}
	var b [maxCreditor]byte
	n := 0
	for left := value; left != ""; {
		var word string
		if word, left = firstWord(left); !isCapitalsOrDigits(word) || n+len(word) > len(b) {
			break
		}
		n += copy(b[n:], word)
		known := n >= 2 && creditorLengths[string(b[:2])] > 0
		if all := string(b[:n]); isCreditor(all) && (isWhole(all) || !known && !mayGoOn(left)) {
			return all, left, true
		}
	}
	return first, rest, ok
}

// isCreditor judges by the form: country, check digits, business code, and at least one character more.
func isCreditor(s string) bool {
	return len(s) >= 8 && len(s) <= maxCreditor && isUpper(s[:2]) && isDigits(s[2:4]) && isCapitalsOrDigits(s)
}

// isWhole reports whether an identifier is as long as those of its country.
func isWhole(id string) bool { return creditorLengths[id[:2]] == len(id) }

// mayGoOn reports whether a text may be the rest of an identifier.
func mayGoOn(text string) bool {
	word, _ := firstWord(text)
	return word != "" && isCapitalsOrDigits(word) && strings.ContainsAny(word, "0123456789")
}

func isCapitalsOrDigits(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'A' || c > 'Z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// account takes an IBAN off a value. Blanks may stand anywhere in it. What is no IBAN is kept whole.
func account(value string) (number, rest string) {
	length := 0
	if len(value) >= 2 {
		length = iban.Length(strings.ToUpper(value[:2]))
	}
	for i, n := 0, 0; i < len(value) && length > 0; i++ {
		if value[i] == ' ' {
			continue
		}
		if !isAlphanumeric(value[i]) {
			break
		}
		if n++; n < length {
			continue
		}
		if i+1 < len(value) && isAlphanumeric(value[i+1]) {
			break
		}
		return strings.ReplaceAll(value[:i+1], " ", ""), strings.TrimLeft(value[i+1:], " ,;.")
	}
	return value, ""
}

// bic takes a BIC of 8 or 11 characters off a value, in which a line may have ended.
func bic(value string) (code, rest string) {
	word, rest := firstWord(value)
	second, after := firstWord(rest)
	switch n := len(word) + len(second); {
	case len(word) < 8 && (n == 8 || n == 11), len(word) == 8 && second == "XXX", len(word) > 8 && n == 11:
		return word + second, after
	}
	return strings.TrimRight(word, ",;."), rest
}
