package mt940

import (
	"strings"
	"unicode/utf8"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/formats/lenient"
	"github.com/kontoflow/kontoflow/banks/formats/remittance"
)

// tagSize is what ":86:" takes of a line.
const tagSize = 4

// Bounds of the texts of an entry, in bytes.
const (
	maxName       = 256
	maxShort      = 64
	maxRemittance = 4096
)

// subfieldWidth is how much a subfield holds.
const subfieldWidth = 27

// text keeps a field 86 for the entry that it belongs to: all of them up to the next field. Behind a balance it speaks of the
// statement.
func (s *statement) text(f *field) {
	if !s.open {
		return
	}
	if f.isCut || len(f.value) > maxText {
		s.count("86", "text")
		f.value = lenient.Cut(f.value, maxText)
	}
	if f.tag == "NS" {
		s.old = f.value
		return
	}
	if len(s.texts) < maxLines {
		s.texts = append(s.texts, f.value)
	}
}

// describe completes the last entry with its text.
func (s *statement) describe() {
	if !s.open {
		return
	}
	s.open = false
	if len(s.texts) == 0 && s.old == "" {
		return
	}
	d := &s.details
	d.reset()
	for i, text := range s.texts {
		if len(s.texts) > 1 && i == 0 && isBareCode(text) {
			d.key = padded(strings.TrimSpace(text))
			continue
		}
		d.read(s, text)
	}
	d.fill(s, &s.report.Entries[len(s.report.Entries)-1])
	s.texts, s.old = s.texts[:0], ""
}

// details is what the fields 86 of an entry say.
type details struct {
	key, bookingText, primanota, extension string
	bank, account, iban                    string
	names                                  []string
	purpose                                []string // subfields
	before, after                          string   // text without structure, before and behind them
}

func (d *details) reset() { *d = details{names: d.names[:0], purpose: d.purpose[:0]} }

// read reads one field 86. Structured, it begins with the Geschäftsvorfallcode, and a sign that then stands before the number
// of each subfield; that is nearly always a question mark.
func (d *details) read(s *statement, text string) {
	var buf [8]string
	lines := linesOf(buf[:0], text)
	code, separator, rest := structure(remittance.JoinWrapped(lines, tagSize))
	if separator == 0 {
		d.addText(remittance.JoinField(lines, tagSize))
		return
	}
	if code != "" {
		d.key = code
	}
	for rest != "" {
		key, value := rest[:2], rest[2:]
		value, rest = cutSubfield(key, value, separator)
		d.take(s, key, value)
	}
}

// cutSubfield cuts a value where the next subfield begins. In a text, the sign before another number is a sign.
func cutSubfield(key, value string, separator byte) (own, rest string) {
	for at := 0; ; at++ {
		i := strings.IndexByte(value[at:], separator)
		if i < 0 {
			return value, ""
		}
		at += i
		if next := value[at+1:]; len(next) >= 2 && isDigit(next[0]) && isDigit(next[1]) && (isKnown(next[:2]) || !isPurpose(key)) {
			return value[:at], next
		}
	}
}

// isPurpose: 00 may be repeated, and then is the purpose.
func isPurpose(key string) bool { return key[0] == '2' || key == "00" || key >= "60" && key <= "63" }

// isKnown knows the subfields of the specification, and 38, in which some banks write an IBAN.
func isKnown(key string) bool {
	return isPurpose(key) || key == "10" || key >= "30" && key <= "34" || key == "38"
}

func (d *details) take(s *statement, key, value string) {
	set := func(field *string) {
		if *field == "" {
			*field = lenient.Text(value, maxShort)
		}
	}
	switch {
	case key == "00" && d.bookingText == "":
		d.bookingText = s.bounded(value, maxName, "86", "booking text")
	case isPurpose(key):
		d.purpose = append(d.purpose, value)
	case key == "10":
		set(&d.primanota)
	case key == "30":
		set(&d.bank)
	case key == "31":
		set(&d.account)
	case key == "32" || key == "33":
		d.names = append(d.names, value)
	case key == "34":
		set(&d.extension)
	case key == "38":
		set(&d.iban)
	default:
		s.count("86", "a subfield")
	}
}

// addText adds text without structure.
func (d *details) addText(text string) {
	to := &d.before
	if len(d.purpose) > 0 {
		to = &d.after
	}
	*to = strings.TrimSpace(*to + " " + text)
}

// fill puts what the fields said into the entry.
func (d *details) fill(s *statement, e *banks.Entry) {
	e.BookingKey, e.BookingText, e.PrimanotaCode = d.key, d.bookingText, d.primanota
	put(e, "text_key_extension", d.extension)
	d.fillParty(s, &e.Counterparty)
	text := d.remittance(s)
	if e.OriginalCurrency == "" && strings.IndexByte(text, '/') >= 0 {
		s.original(e, "86", strings.Join(d.purpose, "")+d.before)
	}
	var buf [8]remittance.Tag
	purpose, tags := remittance.Split(text, buf[:0])
	for _, tag := range tags {
		fillTag(e, tag)
	}
	if len(tags) == 0 {
		e.Remittance = d.lines()
	}
	if e.Remittance == nil && purpose != "" {
		e.Remittance = []string{purpose}
	}
	if s.old == "" {
		return
	}
	if old := lenient.Text(oldText(s.old), maxText); len(e.Remittance) == 0 {
		e.Remittance = []string{old}
	} else {
		put(e, "ns", old)
	}
}

func (d *details) fillParty(s *statement, party *banks.Party) {
	if len(d.names) > 0 {
		party.Name = s.bounded(remittance.JoinSubfields(d.names), maxName, "86", "name")
	}
	if iban, ok := lenient.IBAN(d.account); ok {
		party.IBAN = iban
	} else if party.AccountNumber = d.account; d.iban != "" {
		party.IBAN, _ = lenient.IBAN(d.iban)
	}
	bank := d.bank
	if strings.IndexByte(bank, ' ') >= 0 { // a line ended in it
		bank = strings.ReplaceAll(bank, " ", "")
	}
	if len(bank) == 8 && isDigits(bank) {
		party.BankCode = bank
	} else {
		party.BIC = bank
	}
}

// remittance is the text of the entry in one line.
func (d *details) remittance(s *statement) string {
	text := d.before
	if len(d.purpose) > 0 {
		text = remittance.JoinSubfields(d.purpose)
	}
	if len(d.purpose) > 0 && d.before+d.after != "" {
		text = strings.TrimSpace(d.before + " " + text + " " + d.after)
	}
	text = s.bounded(text, maxRemittance, "86", "text")
	for i := 1; i < len(text); i++ {
		if text[i] == ' ' && text[i-1] == ' ' {
			return strings.Join(strings.Fields(text), " ")
		}
	}
	return text
}

// lines are the subfields of the remittance, where each ends with a word; nil where they are to be one line.
func (d *details) lines() (lines []string) {
	if len(d.purpose) < 2 || d.before+d.after != "" {
		return nil
	}
	for _, line := range d.purpose {
		if utf8.RuneCountInString(line) >= subfieldWidth {
			return nil
		}
		if line = lenient.Text(line, maxText); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// fillTag puts a SEPA tag into its field. The first one counts.
func fillTag(e *banks.Entry, tag remittance.Tag) {
	field := (*string)(nil)
	switch tag.Name {
	case "EREF":
		field = &e.EndToEndID
	case "KREF": // the whole one: the field 61 has room for 16 characters
		e.CustomerReference = tag.Value
		return
	case "MREF":
		field = &e.MandateID
	case "CRED":
		field = &e.CreditorID
	case "PURP":
		field = &e.PurposeCode
	case "NAME":
		field = &e.Counterparty.Name
	case "BIC":
		field = &e.Counterparty.BIC
	case "ABWA", "ABWE":
		put(e, "ultimate_party", tag.Value)
		return
	case "IBAN":
		if iban, ok := lenient.IBAN(tag.Value); ok && e.Counterparty.IBAN == "" {
			e.Counterparty.IBAN = iban
			return
		}
	}
	switch {
	case field != nil && *field == "":
		*field = tag.Value
	case field == nil || *field != tag.Value:
		put(e, strings.ToLower(tag.Name), tag.Value)
	}
}

func put(e *banks.Entry, key, value string) {
	if value == "" {
		return
	}
	if e.AdditionalInfo == nil {
		e.AdditionalInfo = map[string]string{}
	}
	e.AdditionalInfo[key] = value
}

// structure finds the code, the sign before subfields, and the first subfield; 0 where the text has none. Plain text may begin
// like that, so the first subfield has to be known, or another one has to follow; and with a sign that stands between
// numbers in texts, the booking text has to come first.
func structure(text string) (code string, separator byte, rest string) {
	i := junk(text)
	from := i
	for i < len(text) && isDigit(text[i]) {
		i++
	}
	code = text[from:i]
	for i < len(text) && text[i] == ' ' && code != "" {
		i++
	}
	if len(code) > 3 || len(text) < i+3 || !isDigit(text[i+1]) || !isDigit(text[i+2]) {
		return "", 0, ""
	}
	separator, rest = text[i], text[i+1:]
	first := rest[:2]
	switch {
	case separator == '?':
		if !isKnown(first) && (code == "" || !hasSubfield(rest, separator)) {
			return "", 0, ""
		}
	case code == "" || separator >= utf8.RuneSelf || isCapitalOrDigit(separator) || separator >= 'a' && separator <= 'z' || separator <= ' ',
		!isKnown(first), !hasSubfield(rest, separator),
		strings.IndexByte(".,:;-/+()*#&'\"", separator) >= 0 && first != "00":
		return "", 0, ""
	}
	return padded(code), separator, rest
}

// hasSubfield reports whether one follows the first.
func hasSubfield(rest string, separator byte) bool {
	_, next := cutSubfield("20", rest[2:], separator)
	return next != ""
}

func isBareCode(text string) bool {
	text = strings.TrimSpace(text)
	return text != "" && len(text) <= 3 && isDigits(text)
}

func isDigits(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return true
}

// padded gives a code back the zeros that some banks leave out.
func padded(code string) string {
	if code == "" || len(code) >= 3 {
		return code
	}
	return "000"[len(code):] + code
}

// linesOf appends the lines of a text, and leaves blank ones out. There is one at least.
func linesOf(lines []string, text string) []string {
	for rest := text; rest != ""; {
		var line string
		if line, rest = cutLine(rest); strings.Trim(line, " ") != "" {
			lines = append(lines, line)
		}
	}
	if len(lines) == 0 {
		lines = append(lines, "")
	}
	return lines
}

// oldText is the text of a field NS, which some banks write instead of 86: lines that begin with two digits.
func oldText(value string) string {
	lines := linesOf(nil, value)
	for i, line := range lines {
		if len(line) > 2 && isDigit(line[0]) && isDigit(line[1]) {
			lines[i] = strings.TrimSpace(line[2:])
		}
	}
	return strings.Join(lines, " ")
}
