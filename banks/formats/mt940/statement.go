package mt940

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/shopspring/decimal"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/formats/lenient"
	"github.com/kontoflow/kontoflow/internal/civil"
)

// maxReference bounds the references of a field 61, in bytes. The format has 16 characters.
const maxReference = 64

// statement is the one being read.
type statement struct {
	report   *Report
	preset   string
	currency string
	unnamed  bool // the statement names a currency that cannot be read

	number  int // of this statement in the file
	entries int // of this statement
	first   int // index of its first entry

	opening, closing civil.Date // of its balances

	open    bool     // the last field was a 61 or its text
	texts   []string // the fields 86 of that entry
	old     string   // its field NS
	details details
}

// take reads a field.
func (s *statement) take(f *field) error {
	if f.begins || s.number == 0 {
		s.end()
		*s = statement{report: s.report, preset: s.preset, currency: s.preset, number: s.number + 1, first: len(s.report.Entries),
			texts: s.texts[:0], details: s.details}
	}
	if f.tag == "86" || f.tag == "NS" {
		s.text(f)
		return nil
	}
	s.describe()
	switch f.tag {
	case "60F", "60M", "60":
		s.opening = s.balance(f, "openingBooked", f.tag != "60M")
	case "62F", "62M", "62":
		s.closing = s.balance(f, "closingBooked", f.tag != "62M")
	case "64":
		s.balance(f, "interimAvailable", true)
	case "34F":
		if currency := lenient.Currency(f.value[:min(3, len(f.value))]); currency != "" {
			s.currency = currency
		}
	case "13", "13D":
		if s.opening.IsZero() && len(f.value) >= 6 {
			s.opening, _ = day(f.value[:6])
		}
	case "61":
		s.entries++
		e, err := s.entry(f)
		if err != nil {
			return err
		}
		s.report.Entries = append(s.report.Entries, e)
		s.open = true
	}
	return nil
}

// end completes the statement's entries: one that is left without a day has that of the statement's balance, else today.
func (s *statement) end() {
	s.describe()
	day := s.closing
	if day.IsZero() {
		day = s.opening
	}
	for i := s.first; i < len(s.report.Entries); i++ {
		if !s.report.Entries[i].BookingDate.IsZero() {
			continue
		}
		if day.IsZero() {
			day = civil.On(time.Now())
		}
		s.report.Entries[i].BookingDate = day
	}
	s.first = len(s.report.Entries)
}

// place names a part of the statement, never what it says.
func (s *statement) place(tag, what string) string {
	if tag == "61" || tag == "86" {
		return fmt.Sprintf("statement %d, entry %d, field %s: %s", s.number, s.entries, tag, what)
	}
	return fmt.Sprintf("statement %d, field %s: %s", s.number, tag, what)
}

// count counts what cannot be read.
func (s *statement) count(tag, what string) {
	if s.report.Unreadable.Count > 0 {
		s.report.Unreadable.Count++ // only the first place is kept
		return
	}
	s.report.Unreadable.Add(s.place(tag, what))
}

func (s *statement) refuse(tag, what string) error {
	return fmt.Errorf("%w %w", ErrEntry, &banks.EntryError{Place: s.place(tag, what)})
}

// bounded is a text of a field, cut at its bound.
func (s *statement) bounded(text string, max int, tag, what string) string {
	if len(text) > max {
		s.count(tag, what)
	}
	return lenient.Text(text, max)
}

// balance reads C or D, day (0 or 000000 where there is none), currency and amount, and returns the day. Balances between
// the pages of a statement only tell day and currency.
func (s *statement) balance(f *field, kind string, keep bool) civil.Date {
	value := strings.TrimSpace(f.value)
	if at := strings.IndexByte(value, '\n'); at >= 0 {
		if value = value[:at]; !isBalance(value) {
			value = strings.NewReplacer("\r", "", "\n", "").Replace(lenient.Cut(f.value, 64))
		}
	}
	if value == "" || value[0] != 'C' && value[0] != 'D' {
		s.count(f.tag, "sign")
		return 0
	}
	negative := value[0] == 'D'
	digits, rest := digitsOf(value[1:])
	date := s.balanceDay(f, digits)
	letters := strings.IndexAny(rest, "0123456789,.")
	if letters < 0 {
		letters = len(rest)
	}
	name, number := strings.TrimSpace(rest[:letters]), rest[letters:]
	currency := lenient.Currency(name)
	switch {
	case currency != "":
		s.currency, s.unnamed = currency, false
	case name == "€":
		currency, s.currency, s.unnamed = "EUR", "EUR", false
	case name == "" || strings.HasPrefix(strings.ToLower(name), "null"): // it names none
		currency = s.preset
	case f.tag != "64":
		s.unnamed = true
	}
	amount, ok := amountOf(strings.TrimRight(number, " -"), currency)
	if !ok || currency == "" {
		s.count(f.tag, "amount")
		return date
	}
	if negative {
		amount = amount.Neg()
	}
	if keep {
		s.keep(banks.Balance{Type: kind, Amount: amount, Currency: currency, Date: date})
	}
	return date
}

func (s *statement) balanceDay(f *field, digits string) civil.Date {
	if strings.Trim(digits, "0") == "" {
		return 0
	}
	date, ok := day(digits)
	if !ok {
		s.count(f.tag, "day")
	}
	return date
}

// keep adds a balance.
func (s *statement) keep(b banks.Balance) {
	s.report.Balances = append(s.report.Balances, b)
	if len(s.report.Balances) >= 20*maxBalances { // now and then, so that each costs little
		s.report.Balances = newest(s.report.Balances)
	}
}

// newest leaves as many balances as the report may have, in their order: the newest of each type and currency, and of the
// others the newest. A balance without a day is as new as the answer.
func newest(all []banks.Balance) []banks.Balance {
	if len(all) <= maxBalances {
		return all
	}
	newer := func(i, j int) int { // as slices.SortFunc wants it: negative where i is newer
		a, b := all[i].Date, all[j].Date
		switch {
		case a == b:
			return j - i
		case a.IsZero():
			return -1
		case b.IsZero():
			return 1
		}
		return int(b - a)
	}
	var kept, others []int // kept: the newest of its type and currency
	for i := range all {
		n := slices.IndexFunc(kept, func(j int) bool { return all[j].Type == all[i].Type && all[j].Currency == all[i].Currency })
		switch {
		case n < 0 && len(kept) < maxBalances:
			kept = append(kept, i)
		case n >= 0 && newer(i, kept[n]) < 0:
			others = append(others, kept[n])
			kept[n] = i
		default:
			others = append(others, i)
		}
	}
	slices.SortFunc(others, newer)
	kept = append(kept, others[:maxBalances-len(kept)]...)
	slices.Sort(kept)
	for n, i := range kept {
		all[n] = all[i]
	}
	return all[:maxBalances]
}

// digitsOf takes the digits off the beginning of a text, and the blanks around them.
func digitsOf(s string) (digits, rest string) {
	s = strings.TrimLeft(s, " ")
	n := 0
	for n < len(s) && isDigit(s[n]) {
		n++
	}
	return s[:n], strings.TrimLeft(s[n:], " ")
}

// day reads YYMMDD, or YYYYMMDD; years from 80 are of the last century. ok is false where it says something that is not the
// day returned.
func day(s string) (d civil.Date, ok bool) {
	if len(s) == 8 {
		return lenient.Day(s)
	}
	if len(s) != 6 {
		return 0, false
	}
	for i := range len(s) {
		if !isDigit(s[i]) {
			return 0, false
		}
	}
	year, month, date := number(s[:2]), number(s[2:4]), number(s[4:])
	if year >= 80 {
		return lenient.CalendarDay(1900+year, month, date)
	}
	return lenient.CalendarDay(2000+year, month, date)
}

// number reads two digits.
func number(s string) int { return 10*int(s[0]-'0') + int(s[1]-'0') }

// near is the day MMDD in the year that brings it next to another day.
func near(to civil.Date, monthDay string) (best civil.Date, ok bool) {
	year, month, date := to.Time().Year(), number(monthDay[:2]), number(monthDay[2:])
	for _, y := range [...]int{year, year - 1, year + 1} {
		d, exact := lenient.CalendarDay(y, month, date)
		if d.IsZero() {
			return 0, exact
		}
		if best.IsZero() || distance(d, to) < distance(best, to) {
			best, ok = d, exact
		}
		if distance(best, to) < 180 {
			break
		}
	}
	return best, ok
}

func distance(a, b civil.Date) civil.Date { return max(a-b, b-a) }

// amountOf reads an amount of SWIFT. A comma is the decimal sign, always; points are between thousands where there is a
// comma, too. A point alone is taken for the decimal sign, but for what may be thousands.
func amountOf(s, currency string) (decimal.Decimal, bool) {
	if amount, ok := swiftAmount(s); ok { // nearly all of them
		return amount, true
	}
	if strings.IndexByte(s, ',') < 0 {
		if at := strings.IndexByte(s, '.'); at >= 0 && len(s)-at == 4 && at <= 3 && s[0] != '0' && lenient.Digits(currency) < 3 {
			return decimal.Decimal{}, false
		}
	} else if at := strings.LastIndexByte(s, ','); strings.IndexByte(s, ',') == at && strings.IndexByte(s[at:], '.') < 0 {
		s = s[:at] + "." + s[at+1:]
		if whole := s[:at]; strings.ContainsAny(whole, ". '") {
			thousands, ok := lenient.Amount(whole + "," + strings.Repeat("0", 2)) // checks that they are where they belong
			if !ok {
				return decimal.Decimal{}, false
			}
			s = thousands.Truncate(0).String() + s[at:]
		}
	}
	amount, ok := lenient.Amount(s)
	return lenient.WithoutNoise(amount, currency), ok
}

// swiftAmount reads digits and a comma.
func swiftAmount(s string) (decimal.Decimal, bool) {
	var value int64
	digits, comma := 0, -1
	for i := range len(s) {
		switch c := s[i]; {
		case isDigit(c) && digits < 18:
			value, digits = 10*value+int64(c-'0'), digits+1
		case c == ',' && comma < 0:
			comma = i
		default:
			return decimal.Decimal{}, false
		}
	}
	switch decimals := len(s) - comma - 1; {
	case digits == 0, comma >= 0 && decimals > 5:
		return decimal.Decimal{}, false
	case comma < 0:
		return decimal.New(value, 0), true
	default:
		return decimal.New(value, -int32(decimals)), true
	}
}
