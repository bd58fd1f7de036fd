// Package mt940 reads SWIFT statements as German banks write them: MT940 (booked entries) and MT942 (those of the day, or
// not booked yet), with the structured field 86 of the Deutsche Kreditwirtschaft ("Messages – Finanzdatenformate",
// sections B.8 and B.9) and the SEPA tags in its remittance lines (EREF+, SVWZ+, …).
//
// A file is read in three steps. reader.go cuts it into fields: what begins a field is decided by the order of the fields
// and by the form of their content, since texts hold lines that look like tags. statement.go reads balances and entries
// (fields 60, 62, 64 and 61). details.go reads the text of an entry (field 86).
package mt940

import (
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"github.com/kontoflow/kontoflow/banks"
)

// Report is what the statements say about an account.
type Report struct {
	Entries    []banks.Entry
	Balances   []banks.Balance  // at most maxBalances, the newest of each type and currency among them
	Unreadable banks.Unreadable // what had to be left out or clamped
}

// Bounds of a file.
const (
	maxFile     = 32 << 20
	maxEntries  = 200_000
	maxBalances = 50
	maxText     = 2048 // bytes of one field 86, after which the rest is cut
	maxLines    = 100  // that one field spans
	maxLine     = 512  // bytes of a line that are looked at to tell what it is
)

// Errors of reading. None quotes the file.
const (
	ErrTooLarge = banks.OwnError("the statement exceeds its bounds")
	ErrNone     = banks.OwnError("no MT940 or MT942 statement")
	// ErrEntry goes with a *banks.EntryError that names the place.
	ErrEntry = banks.OwnError("an entry of a statement")
)

// Read reads all statements of a file; an empty one has none. currency stands in where the file names none. Text is ISO
// 8859-1, or UTF-8 where it is valid as that.
//
// The error wraps ErrEntry and a *banks.EntryError where the amount, sign or currency of an entry cannot be read:
// leaving it out would lose money. What else cannot be read is counted in Report.Unreadable.
func Read(file, currency string) (*Report, error) {
	if len(file) > maxFile {
		return nil, ErrTooLarge
	}
	report := &Report{}
	if strings.TrimSpace(file) == "" {
		return report, nil
	}
	if !utf8.ValidString(file) {
		decoded, err := charmap.Windows1252.NewDecoder().String(file)
		if err != nil {
			return nil, ErrNone
		}
		file = decoded
	}
	r := reader{file: lineEnds(file)}
	s := statement{report: report, currency: currency, preset: currency}
	known := false
	for f, ok := r.field(); ok; f, ok = r.field() {
		known = known || isOfStatements(f.tag)
		if err := s.take(&f); err != nil {
			return nil, err
		}
		if len(report.Entries) > maxEntries {
			return nil, ErrTooLarge
		}
	}
	if !known {
		return nil, ErrNone
	}
	s.end()
	report.Balances = newest(report.Balances)
	return report, nil
}

// isOfStatements: only a statement has the field. Others may stand in any text.
func isOfStatements(tag string) bool {
	switch tag {
	case "20", "60", "60F", "60M", "61", "62", "62F", "62M":
		return true
	}
	return false
}

// lineEnds makes all ends of lines those that the reader knows: \n, with or without \r before it. Old files end lines with @@
// or with \r alone.
func lineEnds(file string) string {
	feeds := strings.IndexByte(file, '\n') >= 0
	if at := strings.Index(file, "@@"); at >= 0 && (strings.Contains(file[at:], "@@:") || !feeds && strings.IndexByte(file, '\r') < 0) {
		return strings.ReplaceAll(file, "@@", "\n")
	}
	if !feeds && strings.IndexByte(file, '\r') >= 0 {
		return strings.ReplaceAll(file, "\r", "\n")
	}
	return file
}

// Complete cuts a file that breaks off somewhere behind its last complete statement: in the line "-" that ends one, or
// before the field 20 that begins another.
func Complete(file string) (statements, rest string) {
	end := 0
	for _, line := range []string{"\n", "@@"} {
		for before := file; ; {
			at := strings.LastIndex(before, line+":20:")
			if at < 0 {
				break
			}
			if BeginsStatement(file, at+len(line)) {
				end = max(end, at+len(line))
				break
			}
			before = before[:at]
		}
		if strings.HasSuffix(strings.TrimRight(file, "\r\n@ \x03"), line+"-") && isClosed(file[end:]) {
			return file, ""
		}
	}
	return file[:end], file[end:]
}

// isClosed reports whether a statement has a closing balance where it has an opening one: a line "-" ends it only then.
func isClosed(statement string) bool {
	return !strings.Contains(statement, ":60F:") && !strings.Contains(statement, ":60M:") ||
		strings.Contains(statement, ":62F:") || strings.Contains(statement, ":62M:")
}

// BeginsStatement reports whether the field ":20:" at a place of a file begins a statement, and is no line of a text.
func BeginsStatement(file string, at int) bool {
	if isNewStatement(file[at+len(":20:"):], false) {
		return true
	}
	before := strings.TrimRight(file[:at], "\r\n@ ")
	before = before[max(0, len(before)-maxLine):] // a balance is shorter than that
	if i := strings.LastIndexByte(before, '\n'); i >= 0 {
		before = before[i+1:]
	}
	if i := strings.LastIndex(before, "@@"); i >= 0 {
		before = before[i+len("@@"):]
	}
	if before == "" || before == "-" {
		return true
	}
	for _, tag := range []string{":62", ":64:", ":65:", ":90"} {
		if strings.HasPrefix(before, tag) {
			return true
		}
	}
	return false
}

// Join puts a file together that was cut into parts. A part that begins with a statement begins a line. It takes time and
// memory in proportion to the parts' size, however many there are.
func Join(parts ...string) string {
	size := 0
	for _, part := range parts {
		size += len(part) + len(lineEnd)
	}
	var b strings.Builder
	b.Grow(size)
	ended := true // the text so far ends a line
	for _, part := range parts {
		if part == "" {
			continue
		}
		if !ended && (strings.HasPrefix(part, ":20:") || strings.HasPrefix(part, "{1:")) {
			b.WriteString(lineEnd)
		}
		b.WriteString(part)
		ended = strings.HasSuffix(part, "\n") || strings.HasSuffix(part, "@@")
	}
	return b.String()
}

const lineEnd = "\r\n"
