package fints

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/shopspring/decimal"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/fints/syntax"
	"github.com/kontoflow/kontoflow/banks/formats/lenient"
	"github.com/kontoflow/kontoflow/internal/civil"
)

// Card statements have orders of their own. HKKKU is the specified one (change G112 to FinTS 3.0,
// section C.12.1). DKKKU is its forerunner, of which there is no public specification: what is read
// here is what banks are known to send in version 2. The answers, HIKKU and DIKKU, have the same
// head:
//
//	card number + account or customer number + balance + last bill + next bill + entry + entry + …

// cardLayout says where the values of an entry stand in its group. Originals and amounts take three
// places: value, currency, C or D.
type cardLayout struct {
	spent, booked, valued       int // days
	original, rate, amount      int
	texts, textsEnd             int
	country, merchant, terminal int // -1: there is none
	settled, reference, kind    int
}

var cardLayouts = map[string]cardLayout{
	"HIKKU": {spent: 1, booked: 2, valued: 4, original: 5, rate: 8, amount: 9, texts: 12, textsEnd: 20, country: 20, merchant: 21, terminal: 22,
		settled: 23, reference: 24, kind: -1},
	"DIKKU": {spent: 1, booked: 2, valued: 3, original: 4, rate: 7, amount: 8, texts: 11, textsEnd: 20, country: -1, merchant: -1, terminal: -1,
		settled: 20, reference: 21, kind: 22},
}

// shifted is the layout with the amount, and what stands behind it, some places on.
func (l cardLayout) shifted(by int) cardLayout {
	for _, place := range []*int{&l.amount, &l.texts, &l.textsEnd, &l.country, &l.merchant, &l.terminal, &l.settled, &l.reference, &l.kind} {
		if *place >= 0 {
			*place += by
		}
	}
	return l
}

// readCards reads the card statements of an answer (HIKKU, DIKKU). list reports whether there was
// one, even an empty one.
func readCards(ctx context.Context, r *reply, currency string, today civil.Date) (page banks.Page, list bool, err error) {
	for i := range r.Segments {
		s := &r.Segments[i]
		layout, known := cardLayouts[s.Name]
		if !known {
			continue
		}
		if err := ctx.Err(); err != nil {
			return page, false, err
		}
		list = true
		day := today
		for n, e := range s.Elements {
			place := fmt.Sprintf("%s, element %d", s.Name, n+2) // the head is element 1
			switch {
			case isBalance(e):
				balance, ok := readBalance(e, currency)
				if !ok {
					page.Unreadable.Add(place + ": balance")
					continue
				}
				balance.Type = "closingBooked"
				page.Balances = append(page.Balances, balance)
				if !balance.Date.IsZero() {
					day = balance.Date
				}
			case n < cardHead && len(e) <= 1, len(e) == 1 && isDay(e.Get(0)): // numbers and days of the head
			case n < cardHead && len(e) <= 6:
				page.Unreadable.Add(place + ": balance")
			default:
				entry, filled, err := layout.read(e, currency, day, place, &page.Unreadable)
				if err != nil {
					return page, false, err
				}
				if filled {
					page.Entries = append(page.Entries, entry)
				}
			}
		}
	}
	return page, list, nil
}

// cardHead is how many elements stand before the entries.
const cardHead = 5

func isDay(s string) bool {
	day, ok := lenient.Day(s)
	return ok && !day.IsZero()
}

// isBalance tells the balance of the head by its form: C or D, amount, currency, and perhaps day
// and time.
func isBalance(e syntax.Element) bool {
	return len(e) >= 3 && len(e) <= 5 && (e.Get(0) == "C" || e.Get(0) == "D")
}

// read reads an entry. Some banks send an empty one behind the last.
func (l cardLayout) read(e syntax.Element, currency string, today civil.Date, place string, unreadable *banks.Unreadable) (entry banks.Entry, filled bool, err error) {
	for i := range e {
		filled = filled || e.Get(i) != ""
	}
	if !filled {
		return entry, false, nil
	}
	amount, code, ok := money(e, l.amount)
	for shift := -1; shift <= 1 && !ok && e.Get(l.amount) == ""; shift += 2 { // one place more or less before the amount
		if amount, code, ok = money(e, l.amount+shift); ok {
			l = l.shifted(shift)
		}
	}
	if !ok {
		return entry, true, &banks.EntryError{Place: place + ": amount"}
	}
	if code == "" && e.Get(l.amount+1) != "" {
		return entry, true, &banks.EntryError{Place: place + ": currency"}
	}
	code = cmp.Or(code, currency)
	entry = banks.Entry{TransactionID: lenient.Text(e.Get(l.reference), 64), Currency: code, Amount: lenient.WithoutNoise(amount, code)}
	day := func(at int, what string) civil.Date {
		d, ok := lenient.Day(e.Get(at))
		if !ok {
			unreadable.Add(place + ": " + what)
		}
		return d
	}
	spent := day(l.spent, "day of the receipt")
	entry.BookingDate, entry.ValueDate = day(l.booked, "booking date"), cmp.Or(day(l.valued, "value date"), spent)
	if entry.BookingDate.IsZero() {
		entry.Pending = e.Get(l.settled) == "N" && e.Get(l.booked) == ""
		if !entry.Pending {
			entry.BookingDate = cmp.Or(entry.ValueDate, today)
		}
	}
	l.readOriginal(e, &entry, place, unreadable)
	l.describe(e, &entry)
	if !spent.IsZero() && spent != entry.BookingDate {
		put(&entry, "transaction_date", spent.String())
	}
	return entry, true, nil
}

// readOriginal reads the amount in the currency that was paid in. In the account's own one it
// repeats the amount, and for bills it is zero.
func (l cardLayout) readOriginal(e syntax.Element, entry *banks.Entry, place string, unreadable *banks.Unreadable) {
	original, code, ok := money(e, l.original)
	switch {
	case !ok && e.Get(l.original) != "":
		unreadable.Add(place + ": original amount")
		return
	case !ok || original.IsZero() || code == "" || code == entry.Currency:
		return
	}
	entry.OriginalAmount, entry.OriginalCurrency = lenient.WithoutNoise(original, code), code
	if rate, ok := unsigned(e.Get(l.rate)); ok && !rate.IsZero() {
		put(entry, "exchange_rate", rate.String())
	}
}

// maxCardText bounds a text of an entry, in bytes.
const maxCardText = 256

func (l cardLayout) describe(e syntax.Element, entry *banks.Entry) {
	for i := l.texts; i < l.textsEnd; i++ {
		if line := lenient.Text(e.Get(i), maxCardText); line != "" {
			entry.Remittance = append(entry.Remittance, line)
		}
	}
	kind := lenient.Text(e.Get(l.kind), 16)
	entry.Counterparty.Name = lenient.Text(e.Get(l.merchant), maxCardText)
	// Where the merchant has no place of its own the first text names it; not that of a bill or a
	// credit from the bank.
	if entry.Counterparty.Name == "" && l.merchant < 0 && len(entry.Remittance) > 0 && (kind != "" || entry.Amount.IsNegative()) {
		entry.Counterparty.Name = entry.Remittance[0]
	}
	put(entry, "merchant_category_code", kind)
	put(entry, "terminal", lenient.Text(e.Get(l.terminal), 64))
	put(entry, "country", lenient.Text(e.Get(l.country), 3))
	if card := lenient.Text(e.Get(0), 64); strings.ContainsAny(card, "*Xx") { // masked
		put(entry, "card", card)
	}
}

// money reads value, currency, and C or D (some banks: H or S) from a place on.
func money(e syntax.Element, at int) (amount decimal.Decimal, currency string, ok bool) {
	sign := e.Get(at + 2)
	switch sign {
	case "H":
		sign = "C"
	case "S":
		sign = "D"
	}
	amount, ok = amountOf(sign, e.Get(at))
	return amount, lenient.Currency(e.Get(at + 1)), ok
}

// put adds what there is no field for.
func put(entry *banks.Entry, key, value string) {
	if value == "" {
		return
	}
	if entry.AdditionalInfo == nil {
		entry.AdditionalInfo = map[string]string{}
	}
	entry.AdditionalInfo[key] = value
}
