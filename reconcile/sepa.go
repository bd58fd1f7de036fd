package reconcile

import (
	"bytes"
	"strings"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/formats/remittance"
	"github.com/kontoflow/kontoflow/internal/iban"
)

// joinLines puts remittance lines together.
func joinLines(lines []string) string { return remittance.Join(withoutExcerpt(lines)) }

// withoutExcerpt leaves out a first line that the others repeat: banks send the text cut at 140 characters, and the
// whole of it again in lines.
func withoutExcerpt(lines []string) []string {
	if len(lines) < 2 {
		return lines
	}
	var a [256]byte
	var b [1024]byte
	first, rest := fold(a[:0], lines[0]), b[:0]
	for _, line := range lines[1:] {
		rest = fold(rest, line)
	}
	if len(first) >= 20 && bytes.HasPrefix(rest, first) || bytes.Equal(rest, first) {
		return lines[1:]
	}
	return lines
}

// take puts a tag's value into the field that is made for it; where the bank filled that otherwise, or there is none,
// it goes to the additional information.
func take(e *banks.Entry, t remittance.Tag) {
	var field *string
	switch t.Name {
	case "EREF":
		field = &e.EndToEndID
	case "KREF":
		field = &e.CustomerReference
	case "MREF":
		field = &e.MandateID
	case "CRED":
		field = &e.CreditorID
	case "PURP":
		field = &e.PurposeCode
	case "BIC":
		field = &e.Counterparty.BIC
	case "IBAN":
		field = &e.Counterparty.IBAN
	case "NAME":
		field = &e.Counterparty.Name
	}
	var a, b [64]byte
	given := fold(a[:0], t.Value)
	switch {
	case field != nil && placeholder(given):
	case field != nil && placeholder(fold(b[:0], *field)) && (t.Name != "IBAN" || isIBAN(t.Value)):
		*field = t.Value
	case field != nil && bytes.Equal(given, fold(b[:0], *field)):
	default:
		if e.AdditionalInfo == nil {
			e.AdditionalInfo = make(map[string]string)
		}
		e.AdditionalInfo[strings.ToLower(t.Name)] = t.Value
	}
}

func isIBAN(s string) bool {
	_, err := iban.ParseLenient(s)
	return err == nil
}
