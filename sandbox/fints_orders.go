package sandbox

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kontoflow/kontoflow/banks/fints/syntax"
	"github.com/kontoflow/kontoflow/internal/civil"
)

// orders carries out the segments of a message, in their order ("Formals", section C.3.2). Needs Bank.mu.
func (c *fintsCall) orders(segments []syntax.Segment) {
	d := c.dialog
	for i := range segments {
		s := &segments[i]
		switch {
		case s.Name == "HKEND":
			if s.Get(0, 0) != d.id {
				c.abort("9120", "HKEND nennt einen anderen Dialog")
				return
			}
			delete(c.bank.fints.dialogs, d.id)
			c.say(0, "0100", "Dialog beendet")
			c.over = true
			return
		case s.Name == "HKTAN":
			if d.customer == nil {
				c.say(s.Number, "3076", "Keine starke Authentifizierung erforderlich") // some products always send it
			} else if i == 0 || !isStatement(segments[i-1].Name) {
				c.twoStep(s, nil)
			}
		case isStatement(s.Name) && c.shape.byHash && c.ready(s):
			if c.hashed(s) {
				c.order(s)
			}
		case isStatement(s.Name) && i+1 < len(segments) && segments[i+1].Name == "HKTAN" && c.ready(s):
			if c.twoStep(&segments[i+1], s) {
				c.order(s)
			}
		case isStatement(s.Name) && d.method != nil && c.shape.reads.wantsTAN:
			c.say(s.Number, "9370", "Anzahl Signaturen für diesen Auftrag unzureichend laut UPD oder BPD.")
		case isStatement(s.Name) && d.method != nil:
			c.say(s.Number, "9210", "Zum Auftrag gehört HKTAN")
		case c.ready(s):
			c.order(s)
		}
		if c.over {
			return
		}
	}
}

// isStatement are the orders that HKTAN goes along with, as the bank parameters (HIPINS) of most banks say.
func isStatement(order string) bool { return order == "HKKAZ" || order == "HKCAZ" }

// ready reports whether the dialog takes an order, and says why not.
func (c *fintsCall) ready(s *syntax.Segment) bool {
	d := c.dialog
	switch {
	case s.Name == "HKSYN" && d.customer != nil && c.in.DialogID == "0":
	case s.Name == "HKTAB" && d.customer != nil:
	case d.customer == nil:
		c.say(s.Number, "9210", "Im anonymen Dialog nicht möglich")
		return false
	case d.method == nil && !c.shape.oneStep:
		c.say(s.Number, "9955", "Ein-Schritt-TAN-Verfahren nicht zugelassen")
		return false
	case d.media || !d.open:
		c.say(s.Number, "9210", "Starke Authentifizierung steht noch aus")
		return false
	case d.customer.persona.door == changePIN:
		c.say(s.Number, "9210", "Bitte ändern Sie zuerst Ihre PIN")
		return false
	}
	return true
}

// fintsVersions are the versions of the orders that the bank takes.
var fintsVersions = map[string][]int{
	"HKSYN": {3}, "HKTAB": {4, 5}, "HKSPA": {1, 3}, "HKSAL": {5, 6, 7}, "HKKAZ": {5, 6, 7}, "HKCAZ": {1},
	"DKKKU": {2}, "HKKKU": {1},
}

// order carries out one order. Needs Bank.mu.
func (c *fintsCall) order(s *syntax.Segment) {
	switch {
	case fintsVersions[s.Name] == nil:
		c.say(s.Number, "9210", "Der Auftrag wird nicht unterstützt")
		return
	case !c.shape.offers(s.Name, s.Version):
		c.say(s.Number, "9110", "Die Segmentversion wird nicht unterstützt")
		return
	}
	switch s.Name {
	case "HKSYN":
		c.synchronize(s)
	case "HKTAB":
		c.media(s)
	case "HKSPA":
		c.sepaAccounts(s)
	case "HKSAL":
		c.balances(s)
	case "HKKAZ":
		c.mt940(s)
	case "HKCAZ":
		c.camt(s)
	case "DKKKU", "HKKKU":
		c.cardStatements(s)
	}
}

// synchronize gives a new customer-system id ("Formals", chapter C.8).
func (c *fintsCall) synchronize(s *syntax.Segment) {
	d := c.dialog
	if s.Get(0, 0) != "0" || d.system != fintsNoSystem {
		c.say(s.Number, "9210", "Nur eine neue Kundensystem-ID kann synchronisiert werden")
		return
	}
	if d.method != nil && !d.open {
		d.owed = true // it is part of the login, which waits for strong authentication
		return
	}
	c.giveSystemID(s.Number)
}

func (c *fintsCall) giveSystemID(reference int) {
	d := c.dialog
	d.system, d.owed = c.bank.systemID(d.customer.login, word(d.id)%1e10), false
	c.reply(reference, syntax.New("HISYN", 4, syntax.Text(d.system)))
	c.say(reference, "0020", "Kundensystem-ID vergeben")
}

// media lists the customer's TAN media (HKTAB; "Sicherheitsverfahren PIN/TAN", section C.3.1.1).
func (c *fintsCall) media(s *syntax.Segment) {
	answer := syntax.New("HITAB", s.Version, syntax.Text("1"))
	for _, m := range c.methodsOf(c.dialog.customer) {
		for n, one := range m.of.devices {
			// Class, status, in version 5 the security function, then card number and sequence, …
			group := []string{"M", "1", "", "", "", "", "", "", "", "", "", "", "", latin(one.name), "", ""}
			if m.of.form == flicker {
				group[0], group[3], group[4] = "G", fmt.Sprintf("67290%05d%s", n+1, strings.TrimLeft(one.name[strings.LastIndexByte(one.name, '*')+1:], " ")), "1"
			} else {
				group[14] = "***" + one.name[strings.LastIndexByte(one.name, '*')+1:]
			}
			// The account (ktv) of a generator takes four places: number, sub-account, country, bank.
			if c.shape.noMedium {
				group[1] = "2" // available, and not active
			}
			if s.Version < 5 {
				group = slices.Delete(group, 2, 3)
			}
			answer.Elements = append(answer.Elements, syntax.Text(group...))
		}
	}
	if len(answer.Elements) == 1 {
		c.say(s.Number, "3010", "Es liegen keine TAN-Medien vor")
	}
	c.reply(s.Number, answer)
	c.say(s.Number, "0020", "Auftrag ausgeführt")
}

// account finds the account that a segment names, as ktv or, from version 7 on, as kti; nil, and it was said why.
func (c *fintsCall) account(s *syntax.Segment, international bool) *account {
	e := s.At(0)
	iban := ""
	if international {
		if c.shape.misnamed(e) {
			c.say(s.Number, "9210", "Keine gültige Kontoverbindung des Kunden")
			return nil
		}
		iban = e.Get(0)
		e = e[min(2, len(e)):]
	}
	for _, a := range c.dialog.customer.accounts {
		if (e.Get(0) == "" || e.Get(0) == a.fintsNumber() && e.Get(1) == a.subAccount()) &&
			(iban == "" || iban == a.fintsIBAN()) && (iban != "" || e.Get(0) != "") {
			return a
		}
	}
	c.say(s.Number, "9210", "Keine gültige Kontoverbindung des Kunden")
	return nil
}

// sepaAccounts answers HKSPA.
func (c *fintsCall) sepaAccounts(s *syntax.Segment) {
	answer := syntax.New("HISPA", s.Version)
	for _, a := range c.dialog.customer.accounts {
		if s.Get(0, 0) != "" && s.Get(0, 0) != a.fintsNumber() {
			continue
		}
		kti := a.international()
		if c.shape.reads.respells {
			kti = respelt(kti, a.currency)
		}
		group := append(syntax.Text(yesNo(a.kind != card)), kti...)
		answer.Elements = append(answer.Elements, group)
	}
	if len(answer.Elements) == 0 {
		c.say(s.Number, "9210", "Keine gültige Kontoverbindung des Kunden")
		return
	}
	c.reply(s.Number, answer)
	c.say(s.Number, "0020", "Auftrag ausgeführt")
}

// balances answers HKSAL, for one account or for all.
func (c *fintsCall) balances(s *syntax.Segment) {
	list := c.dialog.customer.accounts
	if s.Get(1, 0) != "J" {
		a := c.account(s, s.Version >= 7)
		if a == nil {
			return
		}
		list = []*account{a}
	}
	for _, a := range list {
		if a.broken == "balances" {
			c.say(s.Number, "9010", "Interner Fehler 4711")
			return
		}
		number := a.national()
		if s.Version >= 7 {
			number = a.international()
		}
		var sum int64
		var pending []booking
		c.unlocked(func() { sum, pending = a.balance(c.now), a.pending(c.today) })
		elements := []syntax.Element{number, syntax.Text(a.product), syntax.Text(a.currency), c.fintsBalance(sum, a.currency)}
		if len(pending) > 0 {
			for i := range pending {
				sum += pending[i].cents
			}
			elements = append(elements, c.fintsBalance(sum, a.currency))
		}
		c.reply(s.Number, syntax.New("HISAL", s.Version, elements...))
	}
	c.say(s.Number, "0020", "Auftrag ausgeführt")
}

// fintsBalance is a balance group ("Formals", section B.4): C or D, amount, currency, day, time.
func (c *fintsCall) fintsBalance(cents int64, currency string) syntax.Element {
	side := "C"
	if cents < 0 {
		side, cents = "D", -cents
	}
	return syntax.Text(side, fintsAmount(cents), currency, c.now.Format("20060102"), c.now.Format("150405"))
}

// fintsAmount writes an amount with a comma and without zeros behind it ("Formals", section B.1, "wrt").
func fintsAmount(cents int64) string {
	s := strings.TrimRight(strings.Replace(string(appendCents(nil, cents)), ".", ",", 1), "0")
	return s
}

// fintsWindow is what HKKAZ or HKCAZ asks for.
type fintsWindow struct {
	account  *account
	from, to civil.Date // as far as this page goes
	first    bool       // the first page: pending entries belong there
	next     string     // touchdown point of the next page; "": there is none
	how      edition
}

// Bounds of a page: a page ends with a day.
const (
	fintsPageEntries = 500
	fintsPageDays    = 99 // documents in a HICAZ
)

// window reads the order; nil, and it was said why. Needs Bank.mu.
func (c *fintsCall) window(s *syntax.Segment, international bool, from, touchdown int) *fintsWindow {
	a := c.account(s, international)
	if a == nil {
		return nil
	}
	if c.oddAnswer(s, s.Get(from, 0)) {
		return nil
	}
	w := &fintsWindow{account: a, from: a.shown(c.today), to: c.today, first: true, how: edition{today: c.today, reform: c.dialog.customer.reform}}
	for i, into := range []*civil.Date{&w.from, &w.to} {
		text := s.Get(from+i, 0)
		if text == "" || c.shape.reads.timeless || a.static {
			continue
		}
		day, ok := fintsDay(text)
		if !ok {
			c.say(s.Number, "9110", "Das Datum ist keines")
			return nil
		}
		if i == 0 {
			*into = max(*into, day)
		} else {
			*into = min(*into, day)
			if start := s.Get(from, 0); start != "" && start > text {
				c.say(s.Number, "9210", "Bereichende darf nicht vor Bereichanfang liegen")
				return nil
			}
		}
	}
	if point := s.Get(touchdown, 0); point != "" {
		text, ours := strings.CutPrefix(point, c.touchdown(""))
		day, err := civil.Parse(text)
		if !ours || err != nil || day < w.from || day > w.to {
			c.say(s.Number, "9210", "Aufsetzpunkt unbekannt")
			return nil
		}
		w.from, w.first = day, false
	}
	if a.broken == "transactions" {
		c.say(s.Number, "9010", "Interner Fehler 4711")
		return nil
	}
	return w
}

// fintsDay reads a day as FinTS writes it, 20260131.
func fintsDay(text string) (civil.Date, bool) {
	day, err := time.Parse("20060102", text)
	if err != nil {
		return 0, false
	}
	return civil.On(day), true
}

// bound finds out how far the page goes.
func (c *fintsCall) bound(w *fintsWindow) {
	entries, size, end := 0, fintsPageEntries, w.to
	days := cmp.Or(c.shape.reads.pageDays, fintsPageDays)
	if w.account.pace.bulk > 0 {
		size *= 10
	}
	var list []booking
	for day := w.from; day <= end; day++ {
		list = w.account.posted(list[:0], day, c.now)
		entries += len(list)
		if (entries >= size || int(day-w.from)+1 >= days) && day < end {
			w.to, w.next = day, c.touchdown((day + 1).String())
			break
		}
	}
	if c.loop {
		w.next = c.touchdown(w.from.String())
	}
}

// touchdown is a touchdown point. It is good for the dialog that it was given in ("Formals", section B.6.3).
func (c *fintsCall) touchdown(day string) string { return "AP-" + c.dialog.id[:8] + "-" + day }

// unlocked lets work go on without the bank's lock: statements take time, and need nothing of it.
func (c *fintsCall) unlocked(do func()) {
	c.bank.mu.Unlock()
	defer c.bank.mu.Lock()
	do()
}

// finished says how a statement ends.
func (c *fintsCall) finished(s *syntax.Segment, w *fintsWindow, any bool) {
	if c.shape.reads.holds {
		c.say(s.Number, "3040", "Mehr als 100 vorgemerkte Umsätze werden nicht angezeigt.")
	}
	switch {
	case w.next != "":
		c.say(s.Number, "3040", "Es liegen weitere Informationen vor", w.next)
	case !any:
		c.say(s.Number, "3010", "Es liegen keine Einträge vor")
	default:
		c.say(s.Number, "0020", "Auftrag ausgeführt")
	}
}

// mt940 answers HKKAZ: booked entries as MT940, pending ones as MT942.
func (c *fintsCall) mt940(s *syntax.Segment) {
	w := c.window(s, s.Version >= 7, 2, 5)
	if w == nil {
		return
	}
	var booked, pending []byte
	c.unlocked(func() {
		c.bound(w)
		booked = c.statements(w)
		if w.first && !c.shape.reads.holds {
			pending = c.interim(w)
		}
	})
	if len(booked)+len(pending) > 0 {
		elements := []syntax.Element{syntax.Binary(booked)}
		if len(pending) > 0 {
			elements = append(elements, syntax.Binary(pending))
		}
		c.reply(s.Number, syntax.New("HIKAZ", s.Version, elements...))
	}
	c.finished(s, w, len(booked)+len(pending) > 0)
}

// camt answers HKCAZ: one camt.052 for each day with bookings, and one with what is pending.
func (c *fintsCall) camt(s *syntax.Segment) {
	format := ""
	for _, one := range s.At(1) {
		if format == "" && slices.Contains(c.shape.camtFormats(), one.Text) {
			format = one.Text
		}
	}
	if format == "" {
		c.say(s.Number, "9210", "Das camt-Format wird nicht unterstützt")
		return
	}
	w := c.window(s, true, 3, 6)
	if w == nil {
		return
	}
	var booked, pending syntax.Element
	c.unlocked(func() {
		c.bound(w)
		document := func(from, to civil.Date, isPending bool) {
			var file bytes.Buffer
			out := &writer{to: &file, edition: w.how, dialect: &fintsDialect, reword: reword, version: camtVersion(format)}
			out.camt(statement{account: w.account, from: from, to: to, booked: !isPending, pending: isPending, now: c.now}, c.today, "camt.052")
			out.flush()
			into := &booked
			if isPending {
				into = &pending
			}
			*into = append(*into, syntax.Binary(file.Bytes())...)
		}
		var list []booking
		for day := w.from; day <= w.to; day++ {
			if list = w.account.posted(list[:0], day, c.now); len(list) > 0 || c.shape.reads.everyDay {
				document(day, day, false)
			}
		}
		if w.first && !c.shape.reads.holds && len(w.account.pending(c.today)) > 0 {
			document(c.today, c.today, true)
		}
	})
	if len(booked)+len(pending) > 0 {
		elements := []syntax.Element{w.account.international(), syntax.Text(format), booked}
		if len(pending) > 0 {
			elements = append(elements, pending)
		}
		c.reply(s.Number, syntax.New("HICAZ", 1, elements...))
	}
	c.finished(s, w, len(booked)+len(pending) > 0)
}

// fintsDialect is how the bank writes camt over FinTS.
var fintsDialect = dialect{BIC: "DEMODE01XXX", noIDs: true}
