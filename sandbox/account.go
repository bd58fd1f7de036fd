package sandbox

import (
	"cmp"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/kontoflow/kontoflow/internal/civil"
)

const bankCode = "90090042"

// accountKind is what an account is; its bookings and its description follow from it.
type accountKind int

const (
	giro accountKind = iota
	savings
	dailySavings
	card // a credit card, read through /card-accounts
)

// An account of a customer. Apart from the running sum it never changes once it is opened.
type account struct {
	kind     accountKind
	iban     string // of a card: the account that pays its bill
	number   string // BBAN
	pan      string // masked, cards only
	currency string
	name     string
	product  string
	owner    string
	opening  int64      // cents on the day before the first booking
	opened   civil.Date // first day with bookings
	history  int        // days back that the bank shows; 0: all
	pace     pace
	key      uint64 // its point of the random space
	broken   string // endpoint that always fails, "" none
	quirk    quirk
	sub      string // sub-account number; "": its currency, or none
	static   bool   // nothing is booked after staticTo, and all is sent whatever is asked for

	mu      sync.Mutex
	summed  civil.Date // last day that is part of sum
	sum     int64      // cents
	scratch []booking
}

// balance is the sum of everything booked by now, in cents.
func (a *account) balance(now time.Time) int64 {
	today := civil.On(now)
	sum := a.closing(today - 1)
	for _, b := range a.posted(nil, today, now) {
		sum += b.cents
	}
	return sum
}

// closing is the sum of all bookings up to the end of a day, in cents. Days are summed up once.
func (a *account) closing(day civil.Date) int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.summed == 0 || a.summed > day {
		a.summed, a.sum = a.opened-1, a.opening
	}
	for a.summed < day {
		a.summed++
		a.scratch = a.booked(a.scratch[:0], a.summed)
		for i := range a.scratch {
			a.sum += a.scratch[i].cents
		}
	}
	return a.sum
}

// shown is the first day that the bank shows on the given one.
func (a *account) shown(today civil.Date) civil.Date {
	if a.history == 0 {
		return a.opened
	}
	return max(a.opened, today.AddDays(1-a.history))
}

// pace says how much happens on an account.
type pace struct {
	once  bool // exactly one booking a day and nothing else
	calm  bool // salary, rent, direct debits, but no card payments
	drips bool // the bookings of a day come hour by hour
	holds bool // every day has pending card payments, some of which vanish or are booked with another amount
	bulk  int  // additional bookings, spread evenly over bulkFrom … bulkTo

	sums    bool // every working day has a batch of transfers, booked as one sum on its day and as its parts after it
	returns bool // transfers and direct debits come back, three working days later
}

// Bulk lies in a fixed range of the calendar, so that it is the same on every day it is looked at.
var (
	bulkFrom = civil.Day(2016, 1, 1)
	bulkTo   = civil.Day(2025, 12, 31)
	usual    = civil.Day(2022, 1, 3) // when ordinary accounts were opened
)

// accountPlan is an account as a persona's row describes it.
type accountPlan struct {
	kind     accountKind
	number   uint64 // ten digits, 0: follows from the login
	currency string // "": EUR
	sameIBAN bool   // shares the number of the account before it
	history  int    // days; 0: 400
	pace     pace
	broken   string
	quirk    quirk
	static   bool
}

// quirk is what a bank does to the ids and dates of its bookings.
type quirk int

const (
	noIDs          quirk = iota + 1 // none at all
	placeholders                    // NOTPROVIDED
	sharedIDs                       // one for all bookings of a day
	freshIDs                        // others every day
	movingDates                     // the booking date moves to the next working day, once it has passed
	swappedDates                    // booking date and value date in each other's place
	noBookingDates                  // value dates only, and none at all for what is of today
	ragged                          // amounts, days and texts in many forms
	badAmount                       // what is three days old has an amount that nobody can read
)

// everything is a history without limit.
const everything = -1

// open opens the nth account of a customer.
func (b *Bank) open(login, owner string, plan accountPlan, nth int, before *account) *account {
	key := at(b.options.Seed, word(login), uint64(nth))
	number := plan.number
	if number == 0 {
		number = 1_000_000_000 + mix(key)%8_999_999_999
	}
	a := &account{
		kind:     plan.kind,
		number:   fmt.Sprintf("%010d", number),
		currency: plan.currency,
		owner:    owner,
		opened:   usual,
		history:  plan.history,
		pace:     plan.pace,
		key:      key,
		broken:   plan.broken,
		quirk:    plan.quirk,
		opening:  int64(mix(key+1)%400_000) + 150_000,
	}
	a.currency = cmp.Or(a.currency, "EUR")
	if plan.sameIBAN {
		a.number = before.number
		if before.currency == a.currency {
			a.sub = secondSub
		}
	}
	a.iban = germanIBAN(bankCode, a.number)
	if plan.static {
		a.static, a.opened, a.history = true, staticFrom, everything
	}
	switch {
	case a.history == 0:
		a.history = 400
	case a.history == everything:
		a.history = 0
	}
	if a.pace.bulk > 0 {
		a.opened = bulkFrom
	}
	switch plan.kind {
	case giro:
		a.name, a.product = "Girokonto", "Giro Komfort"
	case savings:
		a.name, a.product = "Sparkonto", "Sparbuch klassisch"
	case dailySavings:
		a.name, a.product = "Tagesgeldkonto", "Tagesgeld Plus"
	case card:
		a.name, a.product = "Kreditkarte", "Kreditkarte Gold"
		a.pan = "5232********" + strconv.FormatUint(1000+mix(key+2)%9000, 10)
		a.opening = 0
		if before != nil {
			a.iban = before.iban
		}
	}
	return a
}

// germanIBAN puts the check digits of ISO 13616 (modulo 97-10) before an eight-digit bank code and a ten-digit
// account number.
func germanIBAN(code, number string) string {
	return "DE" + checkDigits(code+number+"131400") + code + number // D=13, E=14
}

// creditorID makes a German SEPA creditor identifier; its business code "ZZZ" is not part of the check.
func creditorID(number uint64) string {
	national := fmt.Sprintf("%011d", number)
	return "DE" + checkDigits(national+"131400") + "ZZZ" + national
}

func checkDigits(digits string) string {
	rest := 0
	for _, c := range digits {
		rest = (rest*10 + int(c-'0')) % 97
	}
	return fmt.Sprintf("%02d", 98-rest)
}
