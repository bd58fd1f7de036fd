package sandbox

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/kontoflow/kontoflow/banks/fints/syntax"
	"github.com/kontoflow/kontoflow/internal/civil"
)

// fintsReads is how a FinTS bank deviates where accounts are read.
type fintsReads struct {
	only     []string // orders for balances and statements that it offers, with the version: HKSAL8; nil: all
	naming   fintsNaming
	national string   // what HISPAS says about the national account number: J or N; "": J
	formats  []string // of HKCAZ, in the bank's own words; nil: the usual ones
	kept     int      // days that statements are kept, as the parameters say; 0: as everywhere
	given    int      // days that it gives, today among them; more is refused. 0: all that the account shows
	pageDays int      // days on a page; 0: as everywhere
	everyDay bool     // HICAZ has a document for each day, also for those without bookings
	cards    string   // order for the statements of cards: DKKKU, HKKKU; "": the same as of other accounts
	depot    bool     // customers have a depot as well
	respells bool     // HISPA and HIUPD name accounts differently
	wantsTAN bool     // statements want HKTAN beside them, and HIPINS says that they do not
	holds    bool     // holds pending entries back, and says so by a 3040 of its own
	timeless bool     // ignores the days that it is asked for
	busy     bool     // every other day there are no statements to be had, and 3010 says why
}

// fintsNaming is how the bank wants accounts named in newer orders (kti).
type fintsNaming int

const (
	anyNaming   fintsNaming = iota
	ibanNaming              // IBAN and BIC only
	wholeNaming             // with the national account number
)

// fintsReadShapes are the banks that are odd where accounts are read.
var fintsReadShapes = []fintsShape{
	{Path: "fints/ibanonly", Name: "Demo-Kürzelbank", BankCode: "90090080", BIC: "DEMODET2XXX",
		Shows: "accounts are named by IBAN and BIC only (HISPAS: N); HKSAL 8 and HKCAZ, and no HKKAZ",
		reads: fintsReads{naming: ibanNaming, national: "N", only: []string{"HKSAL8", "HKCAZ1"}}},
	{Path: "fints/whole-account", Name: "Demo-Vollbank", BankCode: "90090081", BIC: "DEMODEU2XXX",
		Shows: "accounts have to be named with their national number, although HISPAS says that it is not allowed; HKSAL 7 and HKKAZ 7 only",
		reads: fintsReads{naming: wholeNaming, national: "N", only: []string{"HKSAL7", "HKKAZ7"}}},
	{Path: "fints/camtonly", Name: "Demo-Tagesbank", BankCode: "90090082", BIC: "DEMODEV2XXX",
		Shows: "HKCAZ only, in pages of 30 days; a camt document for each day, empty ones for days without bookings; formats in words of its own",
		reads: fintsReads{only: []string{"HKSAL7", "HKCAZ1"}, everyDay: true, pageDays: 30,
			formats: []string{"camt.052.001.02_DEMO_1", "camt.052.001.08_DEMO_4"}}},
	{Path: "fints/short-history", Name: "Demo-Vierteljahrbank", BankCode: "90090083", BIC: "DEMODEW2XXX",
		Shows: "keeps 370 days, as its parameters say, and refuses more than 90 (9210)",
		reads: fintsReads{kept: 370, given: 90}},
	{Path: "fints/cards", Name: "Demo-Kartenbank", BankCode: "90090084", BIC: "DEMODEX2XXX",
		Shows: "credit cards are read with DKKKU 2, their balance comes with the entries; every customer has a depot, for which there is only HKWPD",
		reads: fintsReads{cards: "DKKKU", depot: true}},
	{Path: "fints/new-cards", Name: "Demo-Kreditkartenbank", BankCode: "90090085", BIC: "DEMODEY2XXX",
		Shows: "credit cards are read with HKKKU 1",
		reads: fintsReads{cards: "HKKKU"}},
	{Path: "fints/spelling", Name: "Demo-Schreibbank", BankCode: "90090086", BIC: "DEMODEZ2XXX",
		Shows: "HIUPD has no IBANs, HISPA writes zeros before numbers and the currency as sub-account",
		reads: fintsReads{respells: true}},
	{Path: "fints/wants-tan", Name: "Demo-Unterschriftenbank", BankCode: "90090087", BIC: "DEMODE12XXX",
		Shows: "statements want HKTAN beside them (9370), and the parameters say that they do not",
		reads: fintsReads{wantsTAN: true}},
	{Path: "fints/two-codes", Name: "Demo-Doppelbank", BankCode: "90090088", BIC: "DEMODE22XXX",
		Shows: "holds pending entries back and says so by a 3040 without a point, before the one with the next page; pages of 20 days",
		reads: fintsReads{holds: true, pageDays: 20}},
	{Path: "fints/ignores-dates", Name: "Demo-Ewigkeitsbank", BankCode: "90090089", BIC: "DEMODE32XXX",
		Shows: "ignores the days that it is asked for, and sends all it has",
		reads: fintsReads{timeless: true}},
	{Path: "fints/busy", Name: "Demo-Wechselbank", BankCode: "90090090", BIC: "DEMODE42XXX",
		Shows: "every other day statements are not to be had: 3010, and the reason",
		reads: fintsReads{busy: true}},
}

// offers reports whether the bank takes an order in a version.
func (s *fintsShape) offers(order string, version int) bool {
	switch order {
	case "DKKKU", "HKKKU":
		if s.reads.cards != order {
			return false
		}
	case "HKSAL", "HKKAZ", "HKCAZ":
		if s.reads.only != nil {
			return slices.Contains(s.reads.only, order+strconv.Itoa(version))
		}
	}
	return slices.Contains(fintsVersions[order], version)
}

// offersAny reports whether the bank takes an order in any version.
func (s *fintsShape) offersAny(order string) bool {
	return slices.ContainsFunc([]int{1, 2, 3, 4, 5, 6, 7, 8}, func(version int) bool { return s.offers(order, version) })
}

// allowed are the orders that a customer may use with an account, as HIUPD lists them.
func (s *fintsShape) allowed(a *account) (orders []string) {
	list := []string{"HKSAL", "HKKAZ", "HKCAZ", "HKSPA"}
	if a.kind == card && s.reads.cards != "" {
		list = []string{s.reads.cards}
	}
	for _, order := range append(list, "HKTAN", "HKTAB") {
		if order == "HKTAN" || s.offersAny(order) {
			orders = append(orders, order)
		}
	}
	return orders
}

// misnamed reports whether the bank refuses a kti for its form.
func (s *fintsShape) misnamed(kti syntax.Element) bool {
	switch s.reads.naming {
	case ibanNaming:
		return kti.Get(2) != ""
	case wholeNaming:
		return kti.Get(2) == ""
	}
	return false
}

// respelt is an account in HISPA as the bank with two spellings writes it.
func respelt(kti syntax.Element, currency string) syntax.Element {
	again := slices.Clone(kti)
	again[2].Text = "00" + again[2].Text
	again[3].Text = currency
	return again
}

// depotNumber is the number of a customer's depot.
const depotNumber = "7700000001"

// depot is the depot in HIUPD: it has no order but the one for securities.
func (c *fintsCall) depot(name string) syntax.Segment {
	return syntax.New("HIUPD", 6, syntax.Text(depotNumber, "", "280", c.shape.BankCode), syntax.Empty(), syntax.Text(c.dialog.customer.login), syntax.Text("30"),
		syntax.Text("EUR"), syntax.Text(name), syntax.Empty(), syntax.Text("Wertpapierdepot"), syntax.Empty(), syntax.Text("HKWPD", "1"))
}

// oddAnswer answers an order for statements as no other bank does, and reports whether it did.
func (c *fintsCall) oddAnswer(s *syntax.Segment, from string) bool {
	reads := &c.shape.reads
	if day, ok := fintsDay(from); ok && reads.given > 0 && day < c.today.AddDays(1-reads.given) {
		c.say(s.Number, "9210", "Wert widerspricht Bankvorgaben.")
		return true
	}
	if reads.busy && int(c.today)&1 == 1 {
		c.say(s.Number, "3010", "Umsätze sind zurzeit nicht verfügbar. Ihr Auftrag wird bearbeitet.")
		return true
	}
	return false
}

// cardStatements answers DKKKU and HKKKU: a card's balance and its entries, oldest first, pending
// ones at the end. A page has so many entries.
func (c *fintsCall) cardStatements(s *syntax.Segment) {
	const onPage = 200
	a := c.cardOf(s.Get(1, 0))
	if a == nil {
		c.say(s.Number, "9210", "Die Kreditkartennummer ist nicht bekannt")
		return
	}
	from, to := a.shown(c.today), c.today
	if day, ok := fintsDay(s.Get(3, 0)); ok {
		from = max(from, day)
	}
	if day, ok := fintsDay(s.Get(4, 0)); ok {
		to = min(to, day)
	}
	var entries []Entry
	var sum int64
	how := edition{today: c.today, reform: c.dialog.customer.reform}
	c.unlocked(func() {
		var list []booking
		for day := from; day <= to; day++ {
			list = a.posted(list, day, c.now)
		}
		list = append(list, a.pending(c.today)...)
		for i := range list {
			entries = append(entries, a.describe(&list[i], how))
		}
		sum = a.balance(c.now)
	})
	first := 0
	if point := s.Get(6, 0); point != "" {
		text, ours := strings.CutPrefix(point, c.touchdown(""))
		n, err := strconv.Atoi(text)
		if !ours || err != nil || n >= len(entries) {
			c.say(s.Number, "9210", "Aufsetzpunkt unbekannt")
			return
		}
		first = n
	}
	end := min(len(entries), first+onPage)
	answer := syntax.New("DI"+s.Name[2:], s.Version, syntax.Text(a.pan), syntax.Empty(), c.fintsBalance(sum, a.currency), syntax.Empty(), syntax.Empty())
	if s.Name == "HKKKU" {
		answer.Name = "HIKKU"
	}
	for i := first; i < end; i++ {
		answer.Elements = append(answer.Elements, cardEntry(a, &entries[i], answer.Name))
	}
	c.reply(s.Number, answer)
	if end < len(entries) {
		c.say(s.Number, "3040", "Es liegen weitere Informationen vor", c.touchdown(strconv.Itoa(end)))
		return
	}
	c.say(s.Number, "0020", "Auftrag ausgeführt")
}

func (c *fintsCall) cardOf(number string) *account {
	for _, a := range c.dialog.customer.accounts {
		if a.kind == card && a.pan == number {
			return a
		}
	}
	return nil
}

// cardEntry is an entry of a card as a group: card, days, amount in the original currency, rate,
// amount, texts, whether it is on a bill, reference, and the kind of the merchant (DIKKU), or as
// the specification has it (HIKKU: change G112 to FinTS 3.0, section C.12.1).
func cardEntry(a *account, e *Entry, segment string) syntax.Element {
	side, cents := "C", e.Cents
	if cents < 0 {
		side, cents = "D", -cents
	}
	foreign, currency, rate := cents, e.Currency, "1,"
	if e.Foreign != "" {
		foreign, currency, rate = max(e.ForeignCents, -e.ForeignCents), e.Foreign, strings.Replace(e.Rate, ".", ",", 1)
	}
	day := func(d civil.Date) string { return strings.ReplaceAll(d.String(), "-", "") }
	booked, settled := day(e.BookingDate), "J"
	spent := e.PurchaseDate
	if spent.IsZero() {
		spent = e.BookingDate
	}
	if e.Pending {
		booked, settled = "", "N"
	}
	texts := make([]string, 9)
	copy(texts, pieces(latin(strings.TrimSpace(e.Name+" "+e.Remittance)), 50, 8))
	if segment == "HIKKU" {
		group := []string{a.pan, day(spent), booked, "", day(e.ValueDate), fintsAmount(foreign), currency, side, rate, fintsAmount(cents), e.Currency, side}
		group = append(group, texts[:8]...)
		return syntax.Text(append(group, "280", latin(e.Name), "", settled, e.ID, "", "")...)
	}
	group := []string{a.pan, day(spent), booked, "", fintsAmount(foreign), currency, side, rate, fintsAmount(cents), e.Currency, side}
	group = append(group, texts...)
	return syntax.Text(append(group, settled, e.ID, e.MerchantCode)...)
}

// cardParameters are those of the orders for cards (DIKKUS, HIKKUS).
func (c *fintsCall) cardParameters(order func(name string, version int, parameters ...string)) {
	switch c.shape.reads.cards {
	case "DKKKU":
		order("DIKKUS", 2, fmt.Sprint(fintsDays), "N", "J")
	case "HKKKU":
		order("HIKKUS", 1, fmt.Sprint(fintsDays), "N", "J", "N")
	}
}
