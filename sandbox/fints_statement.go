package sandbox

import (
	"strings"
	"unicode/utf8"

	"github.com/kontoflow/kontoflow/internal/civil"
)

// reword turns an entry into what it is over FinTS, where another system of the bank writes it: no ids, other texts,
// and card payments with the value date of their booking.
func reword(e *Entry) {
	e.ID, e.Reference = "", ""
	e.Name = upper.Replace(strings.ToUpper(e.Name))
	e.Remittance = umlauts.Replace(e.Remittance)
	e.ValueDate = max(e.ValueDate, e.BookingDate)
}

var umlauts = strings.NewReplacer("Ä", "Ae", "Ö", "Oe", "Ü", "Ue", "ä", "ae", "ö", "oe", "ü", "ue", "ß", "ss", "?", ".", "»", "\"", "«", "\"")

// statements writes MT940, one statement for each day with bookings ("Finanzdatenformate", section B.8).
func (c *fintsCall) statements(w *fintsWindow) []byte {
	a := w.account
	var m swift
	var list []booking
	sum := a.closing(w.from - 1)
	last := w.from - 1
	for day := w.from; day <= w.to; day++ {
		list = a.posted(list[:0], day, c.now)
		if len(list) == 0 {
			continue
		}
		m.line(":20:STARTUMS")
		m.line(":25:", a.swiftAccount())
		m.line(":28C:0")
		m.balance(":60F:", sum, a.currency, last)
		for i := range list {
			e := a.describe(&list[i], w.how)
			reword(&e)
			m.entry(&e)
			sum += e.Cents
		}
		m.balance(":62F:", sum, a.currency, day)
		if a.quirk == ragged {
			m.text.WriteString("-") // the next statement begins in the same line
		} else {
			m.line("-")
		}
		last = day
	}
	return m.latin()
}

// interim writes MT942: what is pending ("Finanzdatenformate", section B.9).
func (c *fintsCall) interim(w *fintsWindow) []byte {
	a := w.account
	list := a.pending(c.today)
	if len(list) == 0 {
		return nil
	}
	var m swift
	var debits, credits int
	var debit, credit int64
	m.line(":20:STARTDISPE")
	m.line(":25:", a.swiftAccount())
	m.line(":28C:0")
	m.line(":34F:", a.currency, "D0,")
	m.line(":13:", c.now.Format("0601021504"))
	for i := range list {
		e := a.describe(&list[i], w.how)
		reword(&e)
		m.entry(&e)
		if e.Cents < 0 {
			debits++
			debit -= e.Cents
		} else {
			credits++
			credit += e.Cents
		}
	}
	m.line(":90D:", decimal(int64(debits)), a.currency, swiftAmount(debit))
	m.line(":90C:", decimal(int64(credits)), a.currency, swiftAmount(credit))
	m.line("-")
	return m.latin()
}

// swiftAccount is field 25: bank code and account number.
func (a *account) swiftAccount() string {
	return bankCode + "/" + a.fintsNumber() + a.subAccount()
}

// swift is a SWIFT message in German dialect as it is written.
type swift struct{ text strings.Builder }

func (m *swift) line(parts ...string) {
	for _, p := range parts {
		m.text.WriteString(p)
	}
	m.text.WriteString("\r\n")
}

// latin is the message in ISO 8859-1, as banks send it.
func (m *swift) latin() []byte {
	text := latin(m.text.String())
	if text == "" {
		return nil
	}
	out := make([]byte, 0, len(text))
	for _, r := range text {
		out = append(out, byte(r))
	}
	return out
}

func (m *swift) balance(tag string, cents int64, currency string, day civil.Date) {
	side := "C"
	if cents < 0 {
		side, cents = "D", -cents
	}
	m.line(tag, side, day.Time().Format("060102"), currency, swiftAmount(cents))
}

// swiftAmount writes an amount with a comma and two decimals.
func swiftAmount(cents int64) string {
	return strings.Replace(string(appendCents(nil, cents)), ".", ",", 1)
}

// entry writes fields 61 and 86.
func (m *swift) entry(e *Entry) {
	side, cents := "C", e.Cents
	if cents < 0 {
		side, cents = "D", -cents
	}
	value := e.ValueDate
	if value.IsZero() {
		value = e.BookingDate
	}
	code := "NTRF"
	switch {
	case e.Reason != "":
		code = "NRTI"
	case e.GVC == "105":
		code = "NDDT"
	case e.GVC == "117":
		code = "NSTO"
	case e.GVC == "808":
		code = "NCHG"
	case e.GVC == "814":
		code = "NINT"
	case e.GVC == "106":
		code = "NMSC"
	}
	m.line(":61:", e.writing.swiftDays(value, e.BookingDate), e.writing.swiftAmount(side, e.Currency[2:], cents, code), "NONREF")
	if e.Foreign != "" {
		m.line("/OCMT/", e.Foreign, swiftAmount(max(e.ForeignCents, -e.ForeignCents)), "/")
	}

	var details strings.Builder
	field := func(number, text string) {
		if text != "" {
			details.WriteString("?" + number + text)
		}
	}
	details.WriteString(e.GVC)
	field("00", umlauts.Replace(e.BookingText))
	field("10", e.Primanota)
	for i, part := range purpose(e) {
		field(purposeFields[i], part)
	}
	field("30", e.BIC)
	field("31", e.IBAN)
	for i, part := range pieces(umlauts.Replace(e.Name), 27, 2) {
		field([]string{"32", "33"}[i], part)
	}
	// Lines of 65 characters at most; none begins with what would look like a tag or the end.
	var lines []string
	rest := ":86:" + details.String()
	for utf8.RuneCountInString(rest) > 65 {
		runes := []rune(rest)
		at := 65
		for runes[at] == ':' || runes[at] == '-' {
			at--
		}
		lines = append(lines, string(runes[:at]))
		rest = string(runes[at:])
	}
	for _, line := range e.writing.swiftDetails(append(lines, rest)) {
		m.line(line)
	}
}

var purposeFields = []string{"20", "21", "22", "23", "24", "25", "26", "27", "28", "29", "60", "61", "62", "63"}

// purpose is the remittance information in parts of 27 characters, each SEPA tag at the beginning of one ("Anlage 3 des
// DFÜ-Abkommens", MT940, field 86), or, where it is ragged, at any place.
func purpose(e *Entry) (parts []string) {
	whole := ""
	original, charges := "", ""
	if e.ChargeCents > 0 {
		original, charges = swiftAmount(max(e.OriginalCents, -e.OriginalCents)), swiftAmount(e.ChargeCents)
	}
	for _, tagged := range []struct{ tag, text string }{
		{"EREF+", e.EndToEndID}, {"MREF+", e.MandateID}, {"CRED+", e.CreditorID}, {"PURP+", e.Purpose}, {"OAMT+", original}, {"COAM+", charges}, {"SVWZ+", e.why()},
	} {
		if tagged.text == "" {
			continue
		}
		if e.writing.ragged {
			whole += tagged.tag + tagged.text + " "
			continue
		}
		parts = append(parts, pieces(tagged.tag+tagged.text, 27, len(purposeFields))...)
	}
	parts = append(parts, pieces(whole, 27, len(purposeFields))...)
	return parts[:min(len(parts), len(purposeFields))]
}

// pieces cuts a text into at most n parts of the given width.
func pieces(text string, width, n int) (parts []string) {
	runes := []rune(text)
	for len(runes) > 0 && len(parts) < n {
		parts = append(parts, string(runes[:min(width, len(runes))]))
		runes = runes[min(width, len(runes)):]
	}
	return parts
}
