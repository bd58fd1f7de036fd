package mt940

import (
	"slices"
	"strings"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/formats/lenient"
	"github.com/kontoflow/kontoflow/internal/civil"
)

// stage is how far the content of a field 61 goes, that may go on in the next line.
type stage uint8

const (
	noMark      stage = iota // it ends before the mark
	noAmount                 // before the amount
	noKey                    // before the booking key, perhaps within the amount
	noReference              // before the customer's reference
	whole
)

// parts are the parts of a field 61.
type parts struct {
	stage          stage
	value, booking string // digits of the days as written
	isDayOdd       bool   // there is something else in their place
	mark           mark
	currency       string // three letters, where the bank writes them
	amount, after  string // after the booking key: the references
}

// entry reads a field 61: value date, booking day, mark, amount, kind, references.
func (s *statement) entry(f *field) (e banks.Entry, err error) {
	head, detail := headOf(f.value)
	p := partsOf(head)
	if p.mark.sign == 0 {
		return e, s.refuse("61", "sign")
	}
	e.Currency = s.currency
	if p.currency != "" {
		e.Currency = p.currency
	} else if s.unnamed || e.Currency == "" {
		return e, s.refuse("61", "currency")
	}
	amount, ok := amountOf(p.amount, e.Currency)
	if !ok {
		return e, s.refuse("61", "amount")
	}
	if p.mark.sign < 0 {
		amount = amount.Neg()
	}
	e.Amount, e.Pending = amount, p.mark.expected
	s.days(&e, p)
	reference, bank, _ := strings.Cut(p.after, "//")
	if reference = s.bounded(reference, maxReference, "61", "reference"); !isNoReference(reference) {
		e.CustomerReference = reference
	}
	e.TransactionID = s.bounded(bank, maxReference, "61", "bank's reference")
	if f.isCut {
		s.count("61", "text")
	}
	if detail != "" {
		s.original(&e, "61", detail)
	}
	return e, nil
}

// days sets an entry's days. A booking day that is not there, or cannot be read, is the value date; end looks after entries
// that have neither.
func (s *statement) days(e *banks.Entry, p parts) {
	var ok bool
	if e.ValueDate, ok = day(p.value); !ok || p.isDayOdd {
		s.count("61", "value date")
	}
	e.BookingDate = e.ValueDate
	if p.booking == "" {
		return
	}
	to := e.ValueDate
	if to.IsZero() {
		to = s.opening
	}
	if to.IsZero() {
		return // the year is not known, and that is counted
	}
	var d civil.Date
	if d, ok = near(to, p.booking); !ok {
		s.count("61", "booking date")
	}
	if !d.IsZero() {
		e.BookingDate = d
	}
}

// headOf puts together what a bank broke apart: the first line of a field 61 up to its references. What follows is the
// detail, which has lines of its own.
func headOf(value string) (head, detail string) {
	head, rest := cutLine(value)
	if rest == "" {
		return head, ""
	}
	for n := 0; rest != "" && n < 4; n++ {
		line, after := cutLine(rest)
		if line != "" && !goesOn(head, line) {
			break
		}
		head, rest = head+line, after
	}
	if strings.IndexByte(rest, '\n') >= 0 {
		rest = strings.NewReplacer("\r", "", "\n", "").Replace(rest)
	}
	return head, rest
}

func cutLine(s string) (line, rest string) {
	line, rest, _ = strings.Cut(s, "\n")
	return strings.TrimRight(line, "\r"), rest
}

// goesOn reports whether a line goes on with what the one before it began, and is no detail of the entry.
func goesOn(head, line string) bool {
	p := partsOf(head)
	switch p.stage {
	case noMark:
		return true
	case noAmount:
		return isDigit(line[0]) || line[0] == ',' || line[0] == ' ' || isCapital(line[0]) && len(line) > 1 && isDigit(line[1])
	case noKey:
		if p.after != "" {
			return isKey(p.after + line)
		}
		return isKey(strings.TrimLeft(strings.TrimLeft(line, "0123456789,."), " "))
	case noReference:
		return strings.HasPrefix(line, "//") || line[0] != '/' && isReference(line)
	}
	reference, _, hasBank := strings.Cut(p.after, "//")
	switch {
	case hasBank:
		return false
	case strings.HasPrefix(line, "//"), strings.HasSuffix(reference, "/") && line[0] == '/':
		return true
	}
	own, _, found := strings.Cut(line, "//")
	if joined := reference + own; len(reference) < len("NONREF") && strings.HasPrefix("NONREF", reference) {
		return joined == "NONREF"
	}
	return found && line[0] != '/' && len(reference)+len(own) <= 16 && strings.IndexByte(own, ' ') < 0
}

// isReference: one word, and not one of a language.
func isReference(line string) bool {
	own, _, found := strings.Cut(line, "//")
	return len(own) <= 16 && strings.IndexByte(own, ' ') < 0 && (found || isNoReference(own) || strings.ContainsAny(own, "0123456789"))
}

// isNoReference knows what stands where there is none: NONREF, which some banks cut, and KREF+, which says that it is in the
// field 86.
func isNoReference(s string) bool {
	if s == "" || s == "NONREF" {
		return true
	}
	s = strings.ToUpper(strings.Trim(s, " +.:/"))
	switch s {
	case "NOREF", "NON REF", "NOTPROVIDED", "KREF", "EREF":
		return true
	}
	return strings.HasPrefix("NONREF", s)
}

// partsOf reads the content of a field 61 as far as it goes.
func partsOf(v string) (p parts) {
	v = p.takeDays(v)
	p.mark = markOf(v)
	if p.mark.sign == 0 {
		return p
	}
	v = strings.TrimLeft(v[p.mark.length:], " ")
	letters, content := 0, v
	for letters < len(v) && isCapital(v[letters]) {
		letters++
	}
	if letters == 3 {
		p.currency = lenient.Currency(v[:3])
	}
	if letters <= 3 { // one is the third letter of the currency
		v = strings.TrimLeft(v[letters:], " ")
	}
	p.stage = noAmount
	p.amount, v = takeAmount(v)
	if p.amount == "" {
		return p
	}
	p.stage = noKey
	switch v = strings.TrimLeft(v, " "); {
	case strings.HasPrefix(v, "NONREF") && (len(v) == 6 || v[6] == '/' || v[6] == ' '): // there is no key
		p.checkAmount(content)
	case isKey(v), len(v) >= 4 && (v[0] == 'n' || v[0] == 'f') && isWord(v[1:4]):
		v = v[4:]
	case len(v) >= 3 && slices.Contains(keys[:], v[:3]): // N was left out
		v = v[3:]
	case p.cutKey():
	case v != "" && isWord(v[:1]) && (len(v) > 3 || strings.IndexByte("NSF", v[0]) < 0): // no key begins like that
		p.amount += v
		return p
	default:
		p.after = v
		p.checkAmount(content)
		return p
	}
	if p.after = strings.TrimSpace(v); p.after == "" {
		p.stage = noReference
	} else {
		p.stage = whole
	}
	return p
}

// checkAmount clears an amount that is a part of something else: in "CRN062NONREF" the digits are those of the booking key,
// and the amount is missing. content is what follows the mark; no booking key was found behind the digits.
func (p *parts) checkAmount(content string) {
	at := strings.Index(content, p.amount)
	if at > 0 && isKey(content[at-1:]) && !strings.ContainsAny(p.amount, ",.") {
		p.amount = ""
	}
}

// keys are the booking keys behind N that are letters ("Messages – Finanzdatenformate", section B.8).
var keys = [...]string{"BOE", "BRF", "CHG", "CHK", "CLR", "CMI", "CMN", "CMS", "CMT", "CMZ", "COL", "COM", "DCR", "DDT", "DIV", "ECK", "EQA", "FEX", "INT",
	"LBX", "LDP", "MSC", "RTI", "SEC", "STO", "TCK", "TRF", "VDA"}

// cutKey takes a key of three digits off an amount, where N was left out between them.
func (p *parts) cutKey() bool {
	const decimals, key = 2, 3
	end := len(p.amount) - key
	if end <= 0 || strings.IndexByte(p.amount, ',') != end-decimals-1 {
		return false
	}
	p.amount = p.amount[:end]
	return true
}

func isWord(s string) bool {
	for i := range len(s) {
		if c := s[i] | 0x20; !isDigit(s[i]) && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// takeDays takes value date and booking day off: YYMMDD and MMDD. Blanks may stand between them.
func (p *parts) takeDays(v string) string {
	digits, rest := digitsOf(v)
	switch len(digits) {
	case 6:
		p.value = digits
		if booking, after := digitsOf(rest); len(booking) == 4 {
			p.booking, rest = booking, after
		}
		return rest
	case 10:
		p.value, p.booking = digits[:6], digits[6:]
		return rest
	case 8, 12: // YYYYMMDD
		if d, _ := lenient.Day(digits[:8]); !d.IsZero() {
			p.value, p.booking = digits[:8], digits[8:]
			return rest
		}
	}
	p.isDayOdd = true
	if len(digits) > 6 {
		p.value = digits[:6]
		return rest
	}
	// Something else stands among the digits: the mark is the first one that an amount follows.
	for i := 0; i < len(v) && i < 20; i++ {
		if m := markOf(v[i:]); m.sign != 0 && (i == 0 || !isCapital(v[i-1])) && hasAmount([]byte(strings.TrimLeft(v[i+m.length:], " ")), 1) {
			return v[i:]
		}
	}
	return rest
}

// takeAmount takes digits and the signs between them off. A blank is between thousands only before the decimal sign.
func takeAmount(v string) (amount, rest string) {
	end, comma := 0, false
	for end < len(v) {
		c := v[end]
		switch {
		case isDigit(c):
		case c == ',' || c == '.':
			comma = comma || c == ','
		case (c == ' ' || c == '\'') && end > 0 && !comma && len(v) > end+3 && isDigit(v[end+1]) && isDigit(v[end+2]) && isDigit(v[end+3]):
		default:
			return v[:end], v[end:]
		}
		end++
	}
	return v, ""
}

// original reads the amount in its original currency: /OCMT/USD12,34/.
func (s *statement) original(e *banks.Entry, tag, text string) {
	_, rest, found := strings.Cut(text, "/OCMT/")
	if !found || len(rest) < 4 {
		return
	}
	value, _, _ := strings.Cut(rest[3:], "/")
	currency := lenient.Currency(rest[:3])
	amount, ok := amountOf(strings.TrimSpace(value), currency)
	if !ok || currency == "" {
		s.count(tag, "original amount")
		return
	}
	if e.Amount.IsNegative() {
		amount = amount.Neg()
	}
	e.OriginalAmount, e.OriginalCurrency = amount, currency
}
