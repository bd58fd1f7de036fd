// Package mt940 reads SWIFT statements as German banks write them: MT940 (booked entries) and MT942 (those of the day, or
// not booked yet), with the structured field 86 of the Deutsche Kreditwirtschaft ("Messages – Finanzdatenformate",
// sections B.8 and B.9) and the SEPA tags in its remittance lines (EREF+, SVWZ+, …).
package mt940

import (
	"strconv"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"

	"kontoflow/plain"
	"kontoflow/providers"
	"kontoflow/providers/lenient"
)

// Report is what the statements say about an account.
type Report struct {
	Entries    []providers.Entry
	Balances   []providers.Balance
	Unreadable providers.Unreadable // what had to be left out or clamped
}

// Bounds of a file.
const (
	maxFile     = 32 << 20
	maxEntries  = 200_000
	maxBalances = 50
	maxText     = 2048 // bytes of one field 86, after which the rest is cut
	maxLines    = 100  // that one field spans
)

// Errors of reading. None quotes the file.
const (
	ErrTooLarge = providers.OwnError("the statement exceeds its bounds")
	ErrNone     = providers.OwnError("no MT940 or MT942 statement")
	ErrEntry    = providers.OwnError("an entry (field 61) cannot be read")
)

// Read reads all statements of a file; an empty one has none. currency stands in where the file names none. Text is ISO
// 8859-1, or UTF-8 where it is valid as that. An entry that cannot be read is an error: leaving it out would lose money.
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
	s := statement{report: report, currency: currency, preset: currency}
	known := false
	lines := lineReader{rest: file, old: !strings.Contains(file, "\n")}
	for f, ok := lines.field(); ok; f, ok = lines.field() {
		known = true
		if err := s.take(f); err != nil {
			return nil, err
		}
		if len(report.Entries) > maxEntries {
			return nil, ErrTooLarge
		}
	}
	if !known {
		return nil, ErrNone
	}
	return report, nil
}

// Complete cuts a file that breaks off somewhere behind its last complete statement: in the line "-" that ends one, or
// before the field 20 that begins another.
func Complete(file string) (statements, rest string) {
	end := 0
	for _, line := range []string{"\n", "@@"} {
		if strings.HasSuffix(strings.TrimRight(file, "\r\n@"), line+"-") {
			return file, ""
		}
		if at := strings.LastIndex(file, line+":20:"); at >= 0 {
			end = max(end, at+len(line))
		}
	}
	return file[:end], file[end:]
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
		if !ended && strings.HasPrefix(part, ":20:") {
			b.WriteString(lineEnd)
		}
		b.WriteString(part)
		ended = strings.HasSuffix(part, "\n") || strings.HasSuffix(part, "@@")
	}
	return b.String()
}

const lineEnd = "\r\n"

// field is one field with its lines joined as they came, the line ends left out; detail keeps the second and later lines
// of field 61, which is not folded but has lines of its own.
type field struct {
	tag    string // 61, 86, 60F
	value  string
	detail string
}

// lineReader cuts a file into fields. Lines end with CR LF, or in old files with @@.
type lineReader struct {
	rest string
	old  bool
	held string // line that begins the next field
	has  bool
}

func (r *lineReader) line() (string, bool) {
	if r.has {
		r.has = false
		return r.held, true
	}
	if r.rest == "" {
		return "", false
	}
	end := "\n"
	if r.old {
		end = "@@"
	}
	var line string
	line, r.rest, _ = strings.Cut(r.rest, end)
	return strings.TrimSuffix(line, "\r"), true
}

func (r *lineReader) field() (f field, ok bool) {
	for !ok {
		line, more := r.line()
		if !more {
			return f, false
		}
		f.tag, f.value, ok = tag(line)
	}
	for n := 0; ; n++ {
		line, more := r.line()
		if !more {
			return f, true
		}
		if _, _, next := tag(line); next || line == "-" {
			r.held, r.has = line, next
			return f, true
		}
		if n >= maxLines {
			continue
		}
		if f.tag == "61" {
			f.detail += line
		} else if len(f.value) < maxText {
			f.value += line
		}
	}
}

// tag takes ":61:" off a line.
func tag(line string) (tag, value string, ok bool) {
	if len(line) < 4 || line[0] != ':' || !digit(line[1]) || !digit(line[2]) {
		return "", "", false
	}
	switch {
	case line[3] == ':':
		return line[1:3], line[4:], true
	case len(line) > 4 && line[4] == ':' && line[3] >= 'A' && line[3] <= 'Z':
		return line[1:4], line[5:], true
	}
	return "", "", false
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// statement is the one being read.
type statement struct {
	report   *Report
	preset   string
	currency string
	open     bool // the last field was a 61, and its 86 may follow
}

func (s *statement) take(f field) error {
	entry := s.open
	s.open = false
	switch f.tag {
	case "20":
		s.currency = s.preset
	case "60F", "60M":
		s.balance(f.value, "openingBooked", f.tag == "60F")
	case "62F", "62M":
		s.balance(f.value, "closingBooked", f.tag == "62F")
	case "64":
		s.balance(f.value, "interimAvailable", true)
	case "34F":
		if currency := lenient.Currency(f.value[:min(3, len(f.value))]); currency != "" {
			s.currency = currency
		}
	case "61":
		e, err := s.entry(f)
		if err != nil {
			return err
		}
		s.report.Entries = append(s.report.Entries, e)
		s.open = true
	case "86":
		if entry { // behind a balance it speaks of the whole statement
			describe(&s.report.Entries[len(s.report.Entries)-1], lenient.Cut(f.value, maxText))
		}
	}
	return nil
}

// balance reads C, day (0 where there is none), currency and amount. Balances between the pages of a statement only tell
// the currency.
func (s *statement) balance(value, kind string, keep bool) {
	if value == "" || value[0] != 'C' && value[0] != 'D' {
		return
	}
	end := 1 // of the day
	for end < len(value) && digit(value[end]) {
		end++
	}
	day, rest := value[1:end], value[end:]
	if len(rest) < 4 {
		return
	}
	currency := lenient.Currency(rest[:3])
	amount, ok := lenient.Amount(strings.TrimSpace(rest[3:]))
	if currency == "" || !ok {
		return
	}
	s.currency = currency
	if !keep || len(s.report.Balances) >= maxBalances {
		return
	}
	if value[0] == 'D' {
		amount = amount.Neg()
	}
	s.report.Balances = append(s.report.Balances, providers.Balance{Type: kind, Amount: amount, Currency: currency, Date: date(day)})
}

// entry reads a field 61: value date, booking day, sign, amount, kind, references.
func (s *statement) entry(f field) (e providers.Entry, err error) {
	v := f.value
	if len(v) < 6 {
		return e, ErrEntry
	}
	e.ValueDate = date(v[:6])
	if e.ValueDate.IsZero() {
		return e, ErrEntry
	}
	v = v[6:]
	e.BookingDate = e.ValueDate
	if len(v) >= 4 && digit(v[0]) && digit(v[1]) && digit(v[2]) && digit(v[3]) {
		e.BookingDate = near(e.ValueDate, v[:4])
		v = v[4:]
	}
	negative := false
	switch {
	case strings.HasPrefix(v, "RC"): // a credit taken back
		negative, v = true, v[2:]
	case strings.HasPrefix(v, "RD"):
		v = v[2:]
	case strings.HasPrefix(v, "C"):
		v = v[1:]
	case strings.HasPrefix(v, "D"):
		negative, v = true, v[1:]
	default:
		return e, ErrEntry
	}
	if v != "" && !digit(v[0]) { // third letter of the currency
		v = v[1:]
	}
	end := 0
	for end < len(v) && (digit(v[end]) || v[end] == ',' || v[end] == '.') {
		end++
	}
	amount, ok := lenient.Amount(v[:end])
	if !ok {
		return e, ErrEntry
	}
	if negative {
		amount = amount.Neg()
	}
	e.Amount, e.Currency = amount, s.currency
	v = v[end:]
	if len(v) >= 4 { // N and the SWIFT booking key
		v = v[4:]
	}
	reference, bank, _ := strings.Cut(v, "//")
	if reference = lenient.Text(reference, 64); reference != "NONREF" {
		e.CustomerReference = reference
	}
	e.TransactionID = lenient.Text(bank, 64)
	original(&e, f.detail)
	return e, nil
}

// original reads the amount in its original currency: /OCMT/USD12,34/.
func original(e *providers.Entry, s string) {
	_, rest, found := strings.Cut(s, "/OCMT/")
	if !found || len(rest) < 4 {
		return
	}
	value, _, _ := strings.Cut(rest[3:], "/")
	amount, ok := lenient.Amount(value)
	currency := lenient.Currency(rest[:3])
	if !ok || currency == "" {
		return
	}
	if e.Amount.IsNegative() {
		amount = amount.Neg()
	}
	e.OriginalAmount, e.OriginalCurrency = amount, currency
}

// describe reads a field 86. Structured, it begins with the Geschäftsvorfallcode, and a sign that then stands before the
// number of each subfield; that is nearly always a question mark.
func describe(e *providers.Entry, text string) {
	if len(text) < 4 || !digit(text[0]) || !digit(text[1]) || !digit(text[2]) || !separates(text) {
		if text = lenient.Text(text, maxText); text != "" {
			e.Remittance = []string{text}
		}
		return
	}
	e.BookingKey = text[:3]
	separator := text[3]
	var remittance []string
	var name, account, bank string
	for rest := text[4:]; len(rest) >= 2; {
		key := rest[:2]
		value := rest[2:]
		rest = ""
		for i := 0; i+2 < len(value); i++ { // the sign counts only before two digits
			if value[i] == separator && digit(value[i+1]) && digit(value[i+2]) {
				rest = value[i+1:]
				value = value[:i]
				break
			}
		}
		switch {
		case key == "00":
			e.BookingText = lenient.Text(value, 256)
		case key == "10":
			e.PrimanotaCode = lenient.Text(value, 64)
		case key >= "20" && key <= "29" || key >= "60" && key <= "63":
			remittance = append(remittance, strings.TrimRight(value, "\r\n"))
		case key == "30":
			bank = lenient.Text(value, 64)
		case key == "31":
			account = lenient.Text(value, 64)
		case key == "32" || key == "33":
			name += value
		case key == "34":
			put(e, "text_key_extension", lenient.Text(value, 64))
		}
	}
	e.Counterparty.Name = lenient.Text(name, 256)
	if iban, ok := lenient.IBAN(account); ok {
		e.Counterparty.IBAN = iban
	} else {
		e.Counterparty.AccountNumber = account
	}
	if len(bank) == 8 && strings.Trim(bank, "0123456789") == "" {
		e.Counterparty.BankCode = bank
	} else {
		e.Counterparty.BIC = bank
	}
	if e.OriginalCurrency == "" {
		original(e, strings.Join(remittance, ""))
	}
	e.Remittance = sepa(e, remittance)
}

// separates reports whether a sign that cannot be text follows the code, and a number follows that.
func separates(text string) bool {
	c := text[3]
	letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || digit(c) || c == ' ' || c >= utf8.RuneSelf
	return !letter && len(text) >= 6 && digit(text[4]) && digit(text[5])
}

// tags are the SEPA tags in remittance lines (Deutsche Kreditwirtschaft, DFÜ-Abkommen, annex 3, section 8.2.5).
var tags = []string{"EREF", "KREF", "MREF", "CRED", "DEBT", "COAM", "OAMT", "SVWZ", "ABWA", "ABWE", "IBAN", "BIC", "PURP", "RREF", "RTRN"}

// sepa takes the tags out of the lines and returns what is the remittance. A line holds 27 characters: a longer value
// goes on in the next one, and ends at the next tag. Lines without any tag are returned as they are.
func sepa(e *providers.Entry, lines []string) []string {
	var values []struct{ tag, value string }
	var free []string
	for _, line := range lines {
		name, rest := "", line
		for _, t := range tags {
			if strings.HasPrefix(line, t) && len(line) > len(t) && (line[len(t)] == '+' || line[len(t)] == ':') {
				name, rest = t, strings.TrimPrefix(line[len(t)+1:], " ")
				break
			}
		}
		switch {
		case name != "":
			values = append(values, struct{ tag, value string }{name, rest})
		case len(values) > 0:
			values[len(values)-1].value += line
		case strings.TrimSpace(line) != "":
			free = append(free, lenient.Text(line, 256))
		}
	}
	for _, v := range values {
		value := lenient.Text(v.value, maxText)
		switch v.tag {
		case "EREF":
			e.EndToEndID = value
		case "KREF":
			e.CustomerReference = value
		case "MREF":
			e.MandateID = value
		case "CRED", "DEBT":
			e.CreditorID = value
		case "PURP":
			e.PurposeCode = value
		case "SVWZ":
			free = append(free, value)
		case "ABWA":
			put(e, "ultimate_party", value)
		case "ABWE":
			put(e, "ultimate_party", value)
		case "IBAN":
			if iban, ok := lenient.IBAN(value); ok && e.Counterparty.IBAN == "" {
				e.Counterparty.IBAN = iban
			}
		case "BIC":
			if e.Counterparty.BIC == "" {
				e.Counterparty.BIC = value
			}
		default:
			put(e, strings.ToLower(v.tag), value)
		}
	}
	return free
}

func put(e *providers.Entry, key, value string) {
	if value == "" {
		return
	}
	if e.AdditionalInfo == nil {
		e.AdditionalInfo = map[string]string{}
	}
	e.AdditionalInfo[key] = value
}

// date reads YYMMDD: years from 80 are of the last century.
func date(s string) plain.Date {
	if len(s) != 6 || strings.Trim(s, "0123456789") != "" {
		return 0
	}
	century := "20"
	if s[0] >= '8' {
		century = "19"
	}
	return lenient.Date(century + s[:2] + "-" + s[2:4] + "-" + s[4:])
}

// near is the day MMDD in the year that brings it next to the value date.
func near(value plain.Date, monthDay string) plain.Date {
	year := value.Time().Year()
	best := plain.Date(0)
	for _, y := range []int{year, year - 1, year + 1} {
		d := lenient.Date(strconv.Itoa(y) + "-" + monthDay[:2] + "-" + monthDay[2:])
		if !d.IsZero() && (best.IsZero() || distance(d, value) < distance(best, value)) {
			best = d
		}
	}
	if best.IsZero() { // 31 February
		return value
	}
	return best
}

func distance(a, b plain.Date) plain.Date {
	if a < b {
		return b - a
	}
	return a - b
}
