package sandbox

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kontoflow/kontoflow/internal/civil"
)

// A booking is one line of an account before it is put into words (entry.go): small, so that a year of them can be
// summed up without a single allocation.
type booking struct {
	kind    *kind
	day     civil.Date // booking date; of a pending one the day of the purchase
	nth     int32      // within account and day
	cents   int64      // signed
	key     uint64     // its point of the random space: what the texts follow from
	pending bool
}

// kind is a sort of booking: who is on the other side, and how the bank writes it.
type kind struct {
	name        string
	account     uint64 // of the other side; 0: none is shown
	low, high   int64  // cents, signed
	day         int    // of the month, for what comes every month; 0: at random
	months      string // "": every month; otherwise the months' letters, JFMAMJJASOND by position: "x..x..x..x.."
	text        string // booking text
	code        string // ISO 20022 bank transaction code
	gvc         string // German business transaction code
	purpose     string // ISO 20022 purpose code
	creditor    uint64 // makes the creditor identifier of a direct debit
	remittance  string // %m month, %y year, %n number, %d day of purchase, %c customer number
	foreign     string // currency that is paid in
	twin        bool   // comes in identical pairs
	rare        uint64 // only every so many times that it is drawn; 0: each time
	iban        string // of account
	creditorID  string // of creditor
	percentLess int64  // a reservation: by how much less is booked; 100: never

	back    *kind    // what it comes back as, where things come back; nil: never
	reasons []reason // of what comes back
	charges int64    // cents that it costs more
}

var salary = kind{name: "Musterwerk Maschinenbau AG", account: 100200300, low: 295_000, high: 345_000, day: 28, text: "LOHN/GEHALT", code: "PMNT-RCDT-SALA", gvc: "153", purpose: "SALA", remittance: "Gehalt %m/%y Personalnr. %c"}

// monthly is what moves on a giro account by itself.
var monthly = []kind{
	salary,
	{name: "Hausverwaltung Schäfer & Söhne GbR", account: 220011, low: -98_000, high: -62_000, day: 1, text: "DAUERAUFTRAG", code: "PMNT-ICDT-STDO", gvc: "117", purpose: "RINP", remittance: "Miete %m/%y Whg. 3. OG links, Mieternummer %c"},
	{name: "Stadtwerke Grünstadt GmbH", account: 330022, low: -14_500, high: -6_200, day: 3, text: "FOLGELASTSCHRIFT", code: "PMNT-RDDT-ESDD", gvc: "105", creditor: 471, remittance: "Abschlag Strom %m.%y Vertragskonto %c vielen Dank Ihre Stadtwerke"},
	{name: "Nordlicht Telekommunikation SE", account: 330033, low: -4_995, high: -2_995, day: 5, text: "FOLGELASTSCHRIFT", code: "PMNT-RDDT-ESDD", gvc: "105", creditor: 472, remittance: "Festnetz Vertragskonto %c RG %n/%m%y"},
	{name: "Familienkasse Süd", account: 440044, low: 25_500, high: 25_500, day: 10, text: "GUTSCHRIFT", code: "PMNT-RCDT-ESCT", gvc: "166", purpose: "GOVT", remittance: "KG%c FK%n %m %y"},
	{name: "Funkwelle Mobil GmbH & Co. KG", account: 550055, low: -2_499, high: -799, day: 15, text: "FOLGELASTSCHRIFT", code: "PMNT-RDDT-ESDD", gvc: "105", creditor: 473, remittance: "Mobilfunk Kundennummer %c Rechnung %n"},
	{name: "Kaltblick Streaming S.à r.l.", account: 660066, low: -1_799, high: -799, day: 20, text: "FOLGELASTSCHRIFT", code: "PMNT-RDDT-ESDD", gvc: "105", creditor: 474, remittance: "%n Kaltblick Abonnement %m/%y"},
	{name: "TSV Grünstadt 1861 e. V.", account: 770077, low: -3_900, high: -1_200, day: 2, text: "FOLGELASTSCHRIFT", code: "PMNT-RDDT-ESDD", gvc: "105", creditor: 475, remittance: "Mitgliedsbeitrag %m/%y Mitglied %c"},
	{name: "Sparplan", account: 880088, low: -20_000, high: -5_000, day: 4, text: "DAUERAUFTRAG", code: "PMNT-ICDT-STDO", gvc: "117", purpose: "SAVG", remittance: "Sparen für den Urlaub"},
	{name: "Rundfunk Beitragsstelle", account: 990099, low: -5_508, high: -5_508, day: 15, months: ".x..x..x..x.", text: "FOLGELASTSCHRIFT", code: "PMNT-RDDT-ESDD", gvc: "105", creditor: 476, remittance: "Rundfunkbeitrag %m.%y - Beitragsnr. %c Aenderungen ganz bequem online"},
	{name: "Allgäuer Versicherungsverein a. G.", account: 110011, low: -31_000, high: -9_000, day: 1, months: "x..x..x..x..", text: "FOLGELASTSCHRIFT", code: "PMNT-RDDT-ESDD", gvc: "105", creditor: 477, purpose: "INSU", remittance: "Kfz-Versicherung VS-Nr. %c Beitrag für den Zeitraum ab %m/%y einschließlich Versicherungsteuer; bitte prüfen Sie Ihre Schadenfreiheitsklasse rechtzeitig zum Stichtag"},
	{name: "", low: -1_470, high: -690, day: 30, months: "..x..x..x..x", text: "ENTGELTABSCHLUSS", code: "ACMT-MDOP-CHRG", gvc: "808", remittance: "Kontoführung Abrechnung %m/%y siehe Anlage"},
}

// purchases are made by card, and booked on the next working day.
var purchases = []kind{
	{name: "Bio-Markt Sonnenschein", low: -8_400, high: -640, remittance: "%dT18:31 Debitk.1 2029-12"},
	{name: "Bäckerei Grünwald", low: -1_890, high: -115, remittance: "%dT07:12 Debitk.1 2029-12"},
	{name: "Drogerie am Schloßplatz", low: -4_300, high: -275, remittance: "%dT12:44 Debitk.1 2029-12"},
	{name: "Supermarkt Köhler OHG", low: -12_900, high: -930, remittance: "%dT17:58 Debitk.1 2029-12"},
	{name: "Café Zur Königin", low: -2_350, high: -320, remittance: "%dT15:20 Debitk.1 2029-12"},
	{name: "SB-Tank Süd 0815", low: -9_800, high: -3_100, remittance: "%dT08:02 Debitk.1 2029-12"},
	{name: "Kaffeeautomat Hauptbahnhof", low: -70, high: -70, remittance: "%d Debitk.1 2029-12", twin: true, rare: 3},
	{name: "Verkehrsbetriebe Grünstadt", low: -340, high: -340, remittance: "%d Einzelfahrt", twin: true, rare: 3},
	{name: "Möbelhaus Böhm", low: -38_900, high: -2_990, remittance: "%dT11:09 Debitk.1 2029-12", rare: 5},
	{name: "Hôtel du Lac, Genève", low: -24_000, high: -9_000, remittance: "%dT21:40 Debitk.1 CHF", foreign: "CHF", rare: 6},
	{name: "O'Malley's Books & Co., New York", low: -6_000, high: -1_500, remittance: "%dT23:55 Debitk.1 USD", foreign: "USD", rare: 3},
}

// others come now and then.
var others = []kind{
	{name: "Zahlfix (Europe) S.à r.l. et Cie, S.C.A.", account: 120012, low: -14_900, high: -390, text: "FOLGELASTSCHRIFT", code: "PMNT-RDDT-ESDD", gvc: "105", creditor: 478, remittance: "%n/. Buchversand Nüßlein, Ihr Einkauf bei Buchversand Nüßlein"},
	{name: "Versandhaus Großmann GmbH", account: 130013, low: -21_900, high: -1_250, text: "FOLGELASTSCHRIFT", code: "PMNT-RDDT-ESDD", gvc: "105", creditor: 479, remittance: "%n Versandhaus Großmann Bestellung vom %d, enthalten: 1x Wasserkocher »Thermo« edelstahl, 2x Geschirrtuch-Set (blau/weiß), 1x Brotbackform; Rückgabe binnen 30 Tagen"},
	{name: "Geldautomat Grünstadt Rathaus", low: -40_000, high: -2_000, text: "BARGELDAUSZAHLUNG", code: "PMNT-CCRD-CWDL", gvc: "106", remittance: "%dT10:15 Debitk.1 2029-12"},
	{name: "Käthe Großmann", account: 140014, low: 500, high: 9_000, text: "GUTSCHRIFT", code: "PMNT-RCDT-ESCT", gvc: "166", remittance: "Danke fürs Auslegen! Grüße, Käthe"},
	{name: "Sören Jäger", account: 150015, low: -8_000, high: -1_000, text: "ONLINE-UEBERWEISUNG", code: "PMNT-ICDT-ESCT", gvc: "116", remittance: "Pizza & Kino vom %d"},
	{name: "Björn Weiß", account: 160016, low: -5_000, high: -500, text: "ECHTZEIT-UEBERWEISUNG", code: "PMNT-IRCT-ESCT", gvc: "118", remittance: "Geschenk Özlem"},
}

var (
	hotel    = kind{name: "Hotel Alpenblick Vorautorisierung", low: -6_900, high: -1_900, remittance: "%d Reservierung", percentLess: 12}
	fuel     = kind{name: "SB-Tank Süd Vorautorisierung", low: -15_000, high: -9_000, remittance: "%d Reservierung", percentLess: 100}
	interest = kind{low: 12, high: 4_200, text: "ABSCHLUSS", code: "ACMT-MCOP-INTR", gvc: "814", remittance: "Zinsen %m/%y"}
	payIn    = kind{name: "Sparplan", account: 4711951500, low: 5_000, high: 20_000, day: 4, text: "GUTSCHRIFT", code: "PMNT-RCDT-ESCT", gvc: "166", purpose: "SAVG", remittance: "Sparen für den Urlaub"}
	bulk     = kind{name: "Marktplatz Zahlungsabwicklung GmbH", account: 170017, low: -30_000, high: 30_000, text: "GUTSCHRIFT", code: "PMNT-RCDT-ESCT", gvc: "166", remittance: "Auftrag %n vom %d, Kunde %c"}
	cardBill = kind{name: "Kreditkartenabrechnung", low: 20_000, high: 90_000, day: 18, text: "AUSGLEICH", code: "PMNT-RCDT-ESCT", gvc: "166", remittance: "Ausgleich Kreditkarte %m/%y"}
)

func init() {
	for _, kinds := range [][]kind{monthly, others, dues, payIns, bills, batch} {
		for i := range kinds {
			kinds[i].identify()
			kinds[i].comesBack()
		}
	}
	monthlyWithDues = append(slices.Clip(monthly), dues...)
	bulk.identify()
	for i := range purchases {
		purchases[i].text, purchases[i].code, purchases[i].gvc = "KARTENZAHLUNG", "PMNT-CCRD-POSD", "106"
	}
	for _, k := range []*kind{&hotel, &fuel} {
		k.text, k.code, k.gvc = "KARTENZAHLUNG", "PMNT-CCRD-POSD", "106"
	}
}

// identify writes down the numbers of the other side.
func (k *kind) identify() {
	if k.account != 0 {
		k.iban = germanIBAN("90090099", digits(k.account, 10))
	}
	if k.creditor != 0 {
		k.creditorID = creditorID(k.creditor)
	}
}

// Purposes of random draws, as coordinates.
const (
	drawMonthly = iota + 1
	drawPurchases
	drawOthers
	drawBulk
	drawText
	drawAmount
	drawHour
)

// booked appends the bookings of one day to list, in the bank's order.
func (a *account) booked(list []booking, day civil.Date) []booking {
	if day < a.opened || a.static && day > staticTo {
		return list
	}
	start := len(list)
	list = a.bulk(list, day)
	switch {
	case a.pace.once:
		if day > bulkTo || a.pace.bulk == 0 {
			k := &bulk
			key := at(a.key, drawOthers, uint64(day))
			list = append(list, booking{kind: k, cents: k.amount(key), key: key})
		}
	case workingDay(day):
		list = a.batched(a.returned(a.working(list, day), day), day)
	}
	for i := range list[start:] {
		list[start+i].day = day
		list[start+i].nth = int32(i)
	}
	return list
}

// working appends what happens on a working day, but for what comes back.
func (a *account) working(list []booking, day civil.Date) []booking {
	list = a.regular(list, day)
	if a.kind == giro && !a.pace.calm || a.kind == card {
		// What was bought since the last working day, that day included.
		for bought := before(day); bought < day; bought++ {
			list = a.settled(list, bought)
		}
	}
	if a.kind == giro && !a.pace.calm {
		d := dice(at(a.key, drawOthers, uint64(day)))
		for range d.below(5) / 3 {
			k := &others[d.below(len(others))]
			key := d.roll()
			list = append(list, booking{kind: k, cents: k.amount(key), key: key})
		}
	}
	return list
}

// posted appends the bookings of a day that there are by now: today may not be complete.
func (a *account) posted(list []booking, day civil.Date, now time.Time) []booking {
	start := len(list)
	list = a.booked(list, day)
	if day < civil.On(now) {
		return list
	}
	if list = append(list[:start], a.folded(list[start:])...); !a.pace.drips {
		return list
	}
	kept := list[:start]
	for _, b := range list[start:] {
		if int(at(b.key, drawHour, uint64(b.nth))%24) <= now.Hour() {
			kept = append(kept, b)
		}
	}
	return kept
}

// pending returns what is not booked yet on the given day: purchases since the last working day.
func (a *account) pending(today civil.Date) (list []booking) {
	if a.pace.once || a.pace.calm || a.kind != giro && a.kind != card {
		return nil
	}
	from := today
	if !workingDay(today) {
		from = before(today)
	}
	for bought := from; bought <= today; bought++ {
		start := len(list)
		list = a.bought(list, bought)
		for i := range list[start:] {
			list[start+i].day, list[start+i].nth, list[start+i].pending = bought, int32(i), true
		}
	}
	return list
}

// bulk appends the additional bookings of an account with a large history, spread evenly over the days.
func (a *account) bulk(list []booking, day civil.Date) []booking {
	if a.pace.bulk == 0 || day < bulkFrom || day > bulkTo {
		return list
	}
	days, nth := int64(bulkTo-bulkFrom+1), int64(day-bulkFrom)
	first, last := int64(a.pace.bulk)*nth/days, int64(a.pace.bulk)*(nth+1)/days
	d := dice(at(a.key, drawBulk, uint64(day)))
	for range last - first {
		key := d.roll()
		list = append(list, booking{kind: &bulk, cents: bulk.amount(key), key: key})
	}
	return list
}

// regular appends what comes every month, on the first working day from its nominal day on.
func (a *account) regular(list []booking, day civil.Date) []booking {
	var kinds []kind
	switch a.kind {
	case giro:
		kinds = monthly
		if a.pace.returns {
			kinds = monthlyWithDues
		}
	case savings, dailySavings:
		kinds = payIns
	case card:
		kinds = bills
	}
	for nominal := before(day) + 1; nominal <= day; nominal++ {
		year, month, dayOfMonth := nominal.Time().Date()
		for i := range kinds {
			k := &kinds[i]
			if k.day != dayOfMonth || k.months != "" && k.months[month-1] == '.' {
				continue
			}
			// The amount stays for years, and varies a little where it is a range.
			key := at(a.key, drawMonthly, uint64(i))
			cents := k.amount(key)
			if i == 2 && a.kind == giro {
				cents += int64(year-2022) * -150
			}
			list = append(list, booking{kind: k, cents: cents, key: at(key, uint64(year), uint64(month))})
		}
	}
	return list
}

var (
	payIns = []kind{payIn, func() kind { k := interest; k.day, k.months = 30, "..x..x..x..x"; return k }()}
	bills  = []kind{cardBill}
)

// bought appends the card payments of one day as they are reserved.
func (a *account) bought(list []booking, day civil.Date) []booking {
	d := dice(at(a.key, drawPurchases, uint64(day)))
	for range d.below(4) {
		k := &purchases[d.below(len(purchases))]
		key := d.roll()
		if k.rare > 0 && key%k.rare > 0 {
			k = &purchases[0]
		}
		b := booking{kind: k, cents: k.amount(key), key: key}
		list = append(list, b)
		if k.twin {
			list = append(list, b)
		}
	}
	if a.pace.holds {
		for _, k := range []*kind{&hotel, &fuel, &purchases[0]} {
			key := d.roll()
			list = append(list, booking{kind: k, cents: k.amount(key), key: key})
		}
	}
	return list
}

// settled appends the card payments of one day as they are booked: a hold with another amount, or not at all.
func (a *account) settled(list []booking, day civil.Date) []booking {
	start := len(list)
	list = a.bought(list, day)
	kept := list[:start]
	for _, b := range list[start:] {
		if b.kind.percentLess == 100 {
			continue
		}
		b.cents -= b.cents * b.kind.percentLess / 100
		kept = append(kept, b)
	}
	return kept
}

// amount draws the cents of a booking: evenly, but people buy small things more often than large ones.
func (k *kind) amount(key uint64) int64 {
	r := at(key, drawAmount)
	if isPurchase(k) {
		share := int64(r % 1024)
		return k.high - (k.high-k.low)*share*share>>20
	}
	return k.low + int64(r%uint64(k.high-k.low+1))
}

// workingDay reports whether the bank books: Monday to Friday. Holidays are working days here.
func workingDay(d civil.Date) bool {
	weekday := d.Time().Weekday()
	return weekday != time.Saturday && weekday != time.Sunday
}

// before returns the last working day before d.
func before(d civil.Date) civil.Date {
	for d--; !workingDay(d); d-- {
	}
	return d
}

// An Entry is a booking in words: what the bank knows about it, whatever protocol it is then sent over.
type Entry struct {
	ID           string // unique within the account
	Reference    string
	Pending      bool
	BookingDate  civil.Date // of a pending entry: when it was made
	ValueDate    civil.Date
	Cents        int64 // signed
	Currency     string
	ForeignCents int64 // 0: not paid in another currency
	Foreign      string
	Rate         string
	Name         string // of the other side
	IBAN         string
	BIC          string
	Remittance   string
	EndToEndID   string
	MandateID    string
	CreditorID   string
	Purpose      string
	BookingText  string
	Code         string // ISO 20022 domain-family-subfamily
	GVC          string
	Primanota    string
	MerchantCode string // MCC of a card payment
	Acceptor     string // number of the shop
	AcceptorTown string
	PurchaseDate civil.Date
	writing      writing

	Reason        string // why it came back (ISO 20022); "": it did not
	ReasonText    string
	OriginalCents int64 // of what came back, signed like Cents
	ChargeCents   int64 // for coming back; Cents has them, too
}

// edition is how the bank writes its history on a given day.
type edition struct {
	today  civil.Date
	reform int // how often the history was reformatted since
}

// describe puts a booking into words.
func (a *account) describe(b *booking, how edition) Entry {
	k := b.kind
	day := uint64(b.day)
	e := Entry{
		Pending:     b.pending,
		BookingDate: b.day,
		ValueDate:   b.day,
		Cents:       b.cents,
		Currency:    a.currency,
		Name:        k.name,
		Purpose:     k.purpose,
		BookingText: k.text,
		Code:        k.code,
		GVC:         k.gvc,
		Primanota:   digits(9200+at(b.key, drawText)%100, 4),
	}
	y, m, d := b.day.Time().Date()
	bought := b.day
	if !b.pending && isPurchase(k) {
		bought = before(b.day)
		e.ValueDate = bought
	}
	e.PurchaseDate = bought
	e.Remittance = fill(k.remittance, y, m, bought, b.key, a.key)
	if k.account != 0 {
		e.IBAN, e.BIC = k.iban, "DEMODE99XXX"
	}
	if k.creditor != 0 {
		e.CreditorID = k.creditorID
		e.MandateID = "M-" + digits(k.creditor, 3) + "-" + digits(a.key, 6)
		e.EndToEndID = digits(at(b.key, drawText, 2), 12)
	} else if k.account != 0 {
		e.EndToEndID = "NOTPROVIDED"
	}
	e.undo(b)
	if k.foreign != "" {
		e.Foreign = k.foreign
		rate := int64(9_300 + b.key%400) // foreign per EUR, in ten-thousandths
		if k.foreign == "USD" {
			rate += 1_600
		}
		e.ForeignCents = b.cents * rate / 10_000
		e.Rate = digits(uint64(rate/10_000), 1) + "." + digits(uint64(rate), 4)
	}
	if isPurchase(k) {
		e.MerchantCode = []string{"5411", "5462", "5912", "5411", "5814", "5542"}[word(k.name)%6]
		e.Acceptor = digits(word(k.name), 8)
		e.AcceptorTown = "Grünstadt"
	}
	if b.pending {
		// Another id, another text, no reference: what is booked later cannot be told from it by a key.
		e.ID = fmt.Sprintf("PEND%016X", at(b.key, day, uint64(b.nth)))
		e.Name = "VORGEMERKT " + strings.ToUpper(strings.TrimSuffix(k.name, " Vorautorisierung"))
		e.Remittance = "Kartenverfügung vorgemerkt"
		e.ValueDate = 0
		return e
	}
	e.ID = digits(uint64(y*10_000+int(m)*100+d), 8) + digits(a.key, 8) + digits(uint64(b.nth), 8)
	e.Reference = digits(uint64(y%100*1_000+b.day.Time().YearDay()), 5) + digits(a.key/7, 7) + digits(uint64(b.nth), 5)
	a.twist(&e, b, how.today)
	a.write(&e, b, how.today)
	if how.reform%2 == 1 {
		e.reformat()
	}
	return e
}

// twist does to an entry what the account's quirk says.
func (a *account) twist(e *Entry, b *booking, today civil.Date) {
	switch a.quirk {
	case noIDs:
		e.ID, e.Reference = "", ""
	case placeholders:
		e.ID, e.Reference = "NOTPROVIDED", "NONREF"
	case sharedIDs:
		e.ID, e.Reference = e.ID[:16], ""
	case freshIDs:
		e.ID, e.Reference = digits(at(b.key, uint64(today), uint64(b.nth)), 19), ""
	case movingDates:
		if e.BookingDate < today {
			for e.BookingDate++; !workingDay(e.BookingDate); e.BookingDate++ {
			}
		}
	case swappedDates:
		e.BookingDate, e.ValueDate = e.ValueDate, e.BookingDate
	}
}

// reformat is what happens to a whole history on the night of a bank's new core system: other ids, upper case,
// no umlauts, remittance with SEPA tags.
func (e *Entry) reformat() {
	if e.ID != "" {
		e.ID = "N" + e.ID
	}
	e.Reference = ""
	e.Name = upper.Replace(strings.ToUpper(e.Name))
	tagged := ""
	if e.EndToEndID != "" {
		tagged += "EREF+" + e.EndToEndID + " "
	}
	if e.MandateID != "" {
		tagged += "MREF+" + e.MandateID + " CRED+" + e.CreditorID + " "
	}
	e.Remittance = tagged + "SVWZ+" + upper.Replace(strings.ToUpper(e.Remittance))
}

var upper = strings.NewReplacer("Ä", "AE", "Ö", "OE", "Ü", "UE", "ẞ", "SS", "ß", "SS", "É", "E", "Ô", "O", "È", "E", "À", "A")

func isPurchase(k *kind) bool { return k.gvc == "106" && k.text == "KARTENZAHLUNG" }

// digits writes the last width decimal digits of n. It runs millions of times, and fmt is slow.
func digits(n uint64, width int) string {
	var out [20]byte
	for i := width - 1; i >= 0; i-- {
		out[i] = byte('0' + n%10)
		n /= 10
	}
	return string(out[:width])
}

// fill writes a remittance text.
func fill(pattern string, year int, month time.Month, bought civil.Date, key, account uint64) string {
	var line strings.Builder
	line.Grow(len(pattern) + 16)
	for i := 0; i < len(pattern); i++ {
		if pattern[i] != '%' || i+1 == len(pattern) {
			line.WriteByte(pattern[i])
			continue
		}
		i++
		switch pattern[i] {
		case 'm':
			line.WriteString(digits(uint64(month), 2))
		case 'y':
			line.WriteString(digits(uint64(year), 4))
		case 'n':
			line.WriteString(digits(at(key, drawText, 1), 10))
		case 'c':
			line.WriteString(digits(account, 7))
		case 'd':
			line.WriteString(bought.String())
		}
	}
	return line.String()
}
