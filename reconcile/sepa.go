package reconcile

import (
	"bytes"
	"strings"
	"unicode/utf8"

	"kontoflow/providers"
	"kontoflow/providers/iban"
)

// A remittance carries the SEPA fields in tags where the format has no place for them (DK, FinTS data formats, MT940
// field 86): "EREF+RE-4711SVWZ+Rechnung 4711". Some banks write a colon.
type tag struct {
	name  string
	value string
}

var tagNames = [...]string{"EREF", "KREF", "MREF", "CRED", "DEBT", "SVWZ", "ABWA", "ABWE", "COAM", "OAMT", "PURP", "IBAN", "BIC"}

// joinLines puts remittance lines together. Formats cut at a fixed width and anywhere in a word: after a line that is
// exactly as wide as one of them the word goes on; after a shorter one, it ended.
func joinLines(lines []string) string {
	lines = withoutExcerpt(lines)
	if len(lines) == 1 {
		return lines[0]
	}
	widest, size := 0, len(lines)
	for _, line := range lines {
		widest = max(widest, utf8.RuneCountInString(line))
		size += len(line)
	}
	switch widest {
	case 27, 35, 65, 140: // MT940 and FinTS; EDIFACT and DTAUS; SWIFT; camt and XS2A
	default:
		widest = -1
	}
	var b strings.Builder
	b.Grow(size)
	for i, line := range lines {
		b.WriteString(line)
		if i < len(lines)-1 && utf8.RuneCountInString(line) != widest {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

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

// splitTags takes a remittance apart: its own text, and the tags with something in them.
func splitTags(text string, tags []tag) (purpose string, _ []tag) {
	at, name, end := nextTag(text, 0)
	if at < 0 {
		return text, tags
	}
	purpose = strings.TrimSpace(text[:at])
	for at >= 0 {
		following, nextName, nextEnd := nextTag(text, end)
		value := text[end:]
		if following >= 0 {
			value = text[end:following]
		}
		value = strings.TrimSpace(value)
		rest := ""
		switch {
		case name == "SVWZ":
			value, rest = "", value
		case text[end-1] == ':' && name != "ABWA" && name != "ABWE" && !(name == "IBAN" && isIBAN(value)):
			value, rest, _ = strings.Cut(value, " ") // written by hand, as it were: a reference is one word
		}
		if rest != "" {
			purpose = strings.TrimSpace(purpose + " " + rest)
		}
		if value != "" {
			tags = append(tags, tag{name, value})
		}
		at, name, end = following, nextName, nextEnd
	}
	return purpose, tags
}

// nextTag finds the first tag at or after from: where it begins, its name, and where its value begins; -1 if there is none.
func nextTag(text string, from int) (at int, name string, end int) {
	for i := from; i < len(text); i++ {
		if text[i] != '+' && text[i] != ':' {
			continue
		}
		for _, name := range tagNames {
			at := i - len(name)
			if at < from || text[at:i] != name {
				continue
			}
			// The long names stand for themselves before a plus; all others could be the end of a word.
			if at > 0 && isAlphanumeric(text[at-1]) && (text[i] == ':' || name == "IBAN" || name == "BIC" || name == "PURP") {
				continue
			}
			return at, name, i + 1
		}
	}
	return -1, "", 0
}

func isAlphanumeric(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c >= utf8.RuneSelf
}

// take puts a tag's value into the field that is made for it; where the bank filled that otherwise, or there is none,
// it goes to the additional information.
func take(e *providers.Entry, t tag) {
	var field *string
	switch t.name {
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
	}
	var a, b [64]byte
	given := fold(a[:0], t.value)
	switch {
	case field != nil && placeholder(given):
	case field != nil && placeholder(fold(b[:0], *field)) && (t.name != "IBAN" || isIBAN(t.value)):
		*field = t.value
	case field != nil && bytes.Equal(given, fold(b[:0], *field)):
	default:
		if e.AdditionalInfo == nil {
			e.AdditionalInfo = make(map[string]string)
		}
		e.AdditionalInfo[strings.ToLower(t.name)] = t.value
	}
}

func isIBAN(s string) bool {
	_, err := iban.ParseLenient(s)
	return err == nil
}
