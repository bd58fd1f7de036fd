package sandbox

import (
	"slices"
	"strings"
	"time"

	"github.com/kontoflow/kontoflow/internal/civil"
)

// What is odd about some accounts: batches that are booked as one sum first, a history that never changes, two accounts
// under one IBAN, and entries in forms that banks write and no specification knows.

// batch are the transfers of a batch, which is booked on every working day of an account with sums.
var batch = []kind{
	{name: "Lotte Nowak", account: 310031, low: -190_000, high: -120_000, text: "ONLINE-UEBERWEISUNG", code: "PMNT-ICDT-ESCT", gvc: "116", purpose: "SALA", remittance: "Honorar %m/%y Vertrag %c"},
	{name: "Günther Körner", account: 320032, low: -90_000, high: -50_000, text: "ONLINE-UEBERWEISUNG", code: "PMNT-ICDT-ESCT", gvc: "116", remittance: "Rechnung %n vom %d"},
	{name: "Özlem Jäger", account: 330034, low: -45_000, high: -10_000, text: "ONLINE-UEBERWEISUNG", code: "PMNT-ICDT-ESCT", gvc: "116", remittance: "Auslagen %d"},
}

// batchSum is the batch as it is booked on its day.
var batchSum = kind{text: "SAMMELUEBERWEISUNG", code: "PMNT-ICDT-ESCT", gvc: "191", remittance: "Sammelauftrag vom %d, 3 Posten"}

// sumPlace is the sum's place in the day: its id is none of the day's others.
const sumPlace = 900

// batched appends the parts of a working day's batch.
func (a *account) batched(list []booking, day civil.Date) []booking {
	if !a.pace.sums {
		return list
	}
	for i := range batch {
		key := at(a.key, drawOthers, uint64(day), uint64(i))
		list = append(list, booking{kind: &batch[i], cents: batch[i].amount(key), key: key})
	}
	return list
}

// folded puts the sum in the place of the parts, which are the last of the day's bookings.
func (a *account) folded(day []booking) []booking {
	if parts := len(day) - len(batch); a.pace.sums && parts >= 0 && day[len(day)-1].kind == &batch[len(batch)-1] {
		sum := day[parts]
		sum.kind, sum.cents, sum.nth = &batchSum, 0, sumPlace
		for _, part := range day[parts:] {
			sum.cents += part.cents
		}
		return append(day[:parts], sum)
	}
	return day
}

// The days of a history that never changes.
var (
	staticFrom = civil.Day(2024, 11, 4)
	staticTo   = civil.Day(2025, 1, 31)
)

// secondSub is the sub-account number of the second account under one IBAN in one currency.
const secondSub = "01"

// shuffled is the list of accounts as the customer's bank orders it: by their handles, where it has no order of its own.
func (c *customer) shuffled(accounts []*account, k *consent) []*account {
	if c.persona.shuffles {
		slices.SortFunc(accounts, func(a, b *account) int { return strings.Compare(a.resourceID(k), b.resourceID(k)) })
	}
	return accounts
}

// writing is how the bank writes one entry.
type writing struct {
	undated bool // without a booking date
	garbled bool // with an amount that nobody can read
	ragged  bool // in forms of its own
	form    int  // which of them, from 0 to forms-1
}

const forms = 5

// write sets how an entry is written. Its days are then those that a reader has to come to.
func (a *account) write(e *Entry, b *booking, today civil.Date) {
	switch a.quirk {
	case noBookingDates: // of today there is no value date either
		e.writing.undated = true
		if e.BookingDate < today {
			e.BookingDate = e.ValueDate
		} else {
			e.ValueDate = 0
		}
	case badAmount:
		e.writing.garbled = b.day == today.AddDays(-3)
	case ragged:
		e.writing.ragged, e.writing.form = true, int((b.key+uint64(b.nth))%forms)
		if year, month, day := e.ValueDate.Time().Date(); month == time.February && day > 25 {
			e.ValueDate = civil.Day(year, time.March, 0)
		}
		e.Remittance = strings.Replace(e.Remittance, " Debitk", ":00 Debitk", 1) // a clock time with seconds
	}
}

// amount is an amount in JSON, with its sign, or in XML, without one.
func (w writing) amount(cents int64, signed bool) string {
	number := string(appendCents(nil, max(cents, -cents)))
	sign := ""
	if signed && cents < 0 {
		sign = "-"
	}
	whole, fraction, _ := strings.Cut(number, ".")
	switch {
	case w.garbled:
		return sign + whole + ".." + fraction
	case !w.ragged:
		return sign + number
	}
	switch w.form {
	case 0: // the mathematical minus, with a blank
		return strings.Replace(sign, "-", "\u2212 ", 1) + number
	case 1: // what is left of a binary floating-point number
		return sign + number + "0000000001"
	case 2: // thousands
		if n := len(whole); n > 3 {
			whole = whole[:n-3] + "," + whole[n-3:]
		}
		return sign + whole + "." + fraction
	case 3: // the sign behind it
		return " " + number + sign
	default:
		return sign + number + "\n"
	}
}

// day is a day in JSON or XML.
func (w writing) day(d civil.Date) string {
	text := d.String()
	switch {
	case !w.ragged || d.IsZero():
		return text
	case isFebruarysEnd(d):
		return text[:8] + "30"
	}
	switch w.form {
	case 0:
		return text + "+01:00"
	case 1:
		return strings.ReplaceAll(text, "-", "")
	case 2:
		return text + "Z"
	case 3:
		return text[8:] + "." + text[5:7] + "." + text[:4]
	default:
		return " " + text + " "
	}
}

// text is a text in JSON or XML.
func (w writing) text(s string) string {
	if w.ragged && s != "" && w.form == 4 {
		return s + "\u0007"
	}
	return s
}

// swiftDays are value date and booking date of field 61.
func (w writing) swiftDays(value, booking civil.Date) string {
	text := value.Time().Format("060102")
	if w.ragged && isFebruarysEnd(value) {
		text = text[:4] + "30"
	}
	if w.undated {
		return text
	}
	return text + booking.Time().Format("0102")
}

// swiftAmount is the amount of field 61 with its letters before and behind.
func (w writing) swiftAmount(side, currency string, cents int64, code string) string {
	amount := swiftAmount(cents)
	switch {
	case w.garbled:
		return side + currency + amount + ",1" + code
	case w.ragged && w.form == 1:
		return side + currency + amount + " " + code
	case w.ragged && w.form == 2:
		return side + currency + "\r\n" + amount + code
	}
	return side + currency + amount + code
}

// swiftDetails is field 86 in lines.
func (w writing) swiftDetails(lines []string) []string {
	if !w.ragged {
		return lines
	}
	switch w.form {
	case 0: // a blank before the code
		lines[0] = strings.Replace(lines[0], ":86:", ":86: ", 1)
	case 3: // a line that looks like the end of the statement
		lines = slices.Insert(lines, 1, "-")
	case 4: // a line that looks like a tag
		for i, line := range lines {
			if at := strings.Index(line, "T"); at >= 0 && len(line) > at+6 && line[at+3] == ':' && line[at+6] == ':' {
				return slices.Insert(slices.Replace(lines, i, i+1, line[:at+3]), i+1, line[at+3:])
			}
		}
	}
	return lines
}

func isFebruarysEnd(d civil.Date) bool {
	return !d.IsZero() && d.Time().Month() == time.February && (d+1).Time().Month() == time.March
}
