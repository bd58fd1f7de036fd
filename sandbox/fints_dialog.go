package sandbox

import (
	"slices"
	"strings"
	"time"

	"github.com/kontoflow/kontoflow/banks/fints/syntax"
	"github.com/kontoflow/kontoflow/banks/formats/hhd"
)

// initialize opens a dialog ("Formals", chapter C.3). Needs Bank.mu.
func (c *fintsCall) initialize() {
	b := c.bank
	if len(c.in.Segments) < 2 || c.in.Segments[0].Name != "HKIDN" || c.in.Segments[1].Name != "HKVVB" {
		c.abort("9110", "Ein Dialog beginnt mit HKIDN und HKVVB")
		return
	}
	identify, prepare := &c.in.Segments[0], &c.in.Segments[1]
	known, ok := prepare.Int(0, 0)
	switch {
	case identify.Version != 2 || prepare.Version != 2 && prepare.Version != 3 || !ok || prepare.Get(3, 0) == "" || prepare.Get(4, 0) == "":
		c.abort("9110", "HKIDN oder HKVVB sind nicht richtig aufgebaut")
		return
	case identify.Get(0, 0) != "280" || identify.Get(0, 1) != c.shape.BankCode:
		c.abort("9210", "Die Bankleitzahl ist nicht bekannt")
		return
	}
	anonymous := identify.Get(1, 0) == fintsNobody
	switch {
	case anonymous != (c.in.Security == nil || !c.in.Security.Signed):
		c.abort("9110", "Nur ein anonymer Dialog ist nicht signiert")
		return
	case anonymous && c.shape.anonymous == anonymousRefused:
		c.abort("9400", "Der anonyme Dialog wird nicht unterstützt")
		return
	}
	d := &fintsDialog{id: secret()[:30], shape: c.shape, function: fintsOneStep, system: fintsNoSystem, began: fintsNoSystem, next: 2, last: c.now}
	if !anonymous && !c.logIn(d, identify) {
		return
	}
	c.dialog = d
	b.keepDialog(d, c.now)
	if known != c.bpdVersion() && !(anonymous && c.shape.anonymous == anonymousEmpty) {
		if known != 0 {
			c.say(prepare.Number, "3050", "BPD nicht mehr aktuell, aktuelle Version enthalten")
		}
		c.bankParameters(prepare.Number)
	}
	if anonymous {
		c.say(prepare.Number, "0020", "Dialoginitialisierung erfolgreich")
		if len(c.in.Segments) > 2 {
			c.orders(c.in.Segments[2:])
		}
		return
	}
	c.say(prepare.Number, "0901", "PIN gültig")
	c.say(prepare.Number, "3920", "Zugelassene Ein- und Zwei-Schritt-Verfahren für den Benutzer", c.functionsOf(d.customer)...)
	if d.customer.persona.door == changePIN {
		c.say(identify.Number, "3916", "PIN muss wegen erstmaliger Anmeldung zwangsweise geändert werden")
	}
	if d.method == nil {
		c.say(prepare.Number, "0020", "Dialoginitialisierung erfolgreich")
		d.open = true // for what a one-step dialog may do
		if c.shape.oneStep {
			c.userParameters(prepare.Number)
		}
	}
	c.orders(c.in.Segments[2:])
	if d.method != nil && !d.open && !d.media && d.waiting == nil && !c.over {
		c.refuse(prepare.Number, "9075", "Dialog abgebrochen - starke Authentifizierung erforderlich")
		delete(b.fints.dialogs, d.id)
	}
}

// keepDialog stores a dialog, and forgets those that nobody has ended. Needs Bank.mu.
func (b *Bank) keepDialog(d *fintsDialog, now time.Time) {
	if len(b.fints.dialogs)%64 == 63 {
		for id, old := range b.fints.dialogs {
			if now.Sub(old.last) > fintsIdle {
				delete(b.fints.dialogs, id)
			}
		}
	}
	b.fints.dialogs[d.id] = d
}

// logIn finds the customer and checks their PIN. Needs Bank.mu.
func (c *fintsCall) logIn(d *fintsDialog, identify *syntax.Segment) bool {
	b, s := c.bank, c.in.Security
	deny := func(code, text string) bool {
		c.refuse(identify.Number, code, text)
		return false
	}
	customer := b.customer(s.UserID)
	switch {
	case s.BankCode != c.shape.BankCode:
		return deny("9210", "Die Bankleitzahl ist nicht bekannt")
	case customer == nil:
		return deny("9942", "Anmeldename oder PIN ungültig")
	}
	switch b.authenticate(customer, s.PIN) {
	case locked:
		if customer.persona.door != locked {
			return deny("3938", "Ihr Zugang ist vorläufig gesperrt - bitte heben Sie die PIN-Sperre auf")
		}
		return deny("9931", "Ihr Zugang ist gesperrt")
	case wrongPIN:
		if customer.locked {
			c.say(identify.Number, "3938", "Ihr Zugang ist vorläufig gesperrt - bitte heben Sie die PIN-Sperre auf")
		}
		return deny("9942", "Anmeldename oder PIN ungültig")
	}
	d.customer, d.function = customer, s.Function
	if id := identify.Get(2, 0); id != fintsNoSystem {
		if id != s.SystemID || !b.knowsSystem(customer.login, id) {
			return deny("9210", "Die Kundensystem-ID ist ungültig")
		}
		d.system, d.began = id, id
	}
	if s.Function == fintsOneStep {
		return true
	}
	for _, m := range c.methodsOf(customer) {
		if m.function == s.Function {
			d.method, d.parameters = m.of, m
			return true
		}
	}
	if c.shape.renewed { // it does not say that the method is gone, nor what there is instead
		return deny("9010", "Die Dialoginitialisierung kann nicht verarbeitet werden")
	}
	c.say(identify.Number, "3920", "Zugelassene Ein- und Zwei-Schritt-Verfahren für den Benutzer", c.functionsOf(customer)...)
	return deny("9380", "Gewähltes Zwei-Schritt-Verfahren nicht zulässig")
}

// demandsLogin reports whether a login needs strong authentication: it was not done in this customer system, or more
// than 180 days ago. Needs Bank.mu.
func (c *fintsCall) demandsLogin() bool {
	d := c.dialog
	if len(d.customer.persona.methods) == 0 {
		return false
	}
	trust := c.trust()
	return c.shape.eachLogin && !d.customer.eased || trust == nil || c.now.Sub(trust.since) > fintsSCALife
}

// demandsStatements reports whether an order for statements needs strong authentication of its own. Needs Bank.mu.
func (c *fintsCall) demandsStatements(order *syntax.Segment) bool {
	from := 2
	switch order.Name {
	case "HKKAZ":
	case "HKCAZ":
		from = 3
	default:
		return false
	}
	persona, trust := c.dialog.customer.persona, c.trust()
	if trust == nil {
		trust = &fintsTrust{}
	}
	since, _ := fintsDay(order.Get(from, 0)) // none: from the beginning
	return persona.again && !trust.statements || persona.hides(since, trust.since, c.now)
}

func (c *fintsCall) trust() *fintsTrust {
	return c.bank.fints.trust[c.dialog.customer.login][c.dialog.system]
}

// twoStep handles HKTAN ("Sicherheitsverfahren PIN/TAN", chapter B.5). order is the order of the same message that it
// belongs to; nil: there is none, or HKTAN is for the login. It reports whether the order may be carried out now.
func (c *fintsCall) twoStep(s, order *syntax.Segment) (goOn bool) {
	d := c.dialog
	n := s.Number
	switch {
	case !slices.Contains(c.tanVersions(), s.Version):
		c.say(n, "9110", "Segmentversion wird nicht unterstützt")
		return false
	case d.method == nil && s.Get(0, 0) == "4": // the one-step procedure has no second step
		c.answerTAN(s, "4", "noref", "nochallenge", nil)
		c.say(n, "3076", "Keine starke Authentifizierung erforderlich")
		return true
	case d.method == nil || d.method.form == push && s.Version < 7:
		c.say(n, "9955", "Ein-Schritt-TAN-Verfahren nicht zugelassen")
		return false
	}
	switch process := s.Get(0, 0); {
	case c.shape.byHash && process == "1" && order == nil:
		c.takeHash(s)
	case c.shape.byHash:
		c.say(n, "9210", "TAN-Prozess wird nicht unterstützt")
	case process == "4":
		return c.announceTAN(s, order)
	case process == "2":
		c.takeTAN(s)
	case process == "S":
		c.takeStatus(s)
	default:
		c.say(n, "9210", "TAN-Prozess wird nicht unterstützt")
	}
	return false
}

// announceTAN is process 4: it comes with the login, or with an order that may need a TAN.
func (c *fintsCall) announceTAN(s, order *syntax.Segment) (goOn bool) {
	d := c.dialog
	what := s.Get(1, 0)
	if order == nil && (d.open || d.waiting != nil || what != "HKIDN" && what != "HKTAB") || order != nil && what != order.Name {
		c.say(s.Number, "9210", "Die Segmentkennung passt zu keinem Auftrag der Nachricht")
		return false
	}
	if what == "HKTAB" && order == nil {
		d.media = true
		c.answerTAN(s, "4", "noref", "nochallenge", nil)
		c.say(s.Number, "3076", "Keine starke Authentifizierung erforderlich")
		return true
	}
	if d.waiting != nil {
		c.say(s.Number, "9210", "Ein anderer Auftrag wartet auf seine TAN")
		return false
	}
	switch medium := s.Get(10, 0); {
	case c.shape.noMedium && medium != "":
		c.say(s.Number, "9210", "Die Bezeichnung des TAN-Mediums ist nicht bekannt")
		return false
	case c.shape.noMedium || len(d.method.devices) == 0:
	case !slices.ContainsFunc(d.method.devices, func(one device) bool { return latin(one.name) == medium }):
		c.say(s.Number, "9210", "Die Bezeichnung des TAN-Mediums ist nicht bekannt")
		return false
	}
	login := order == nil
	if login && !c.demandsLogin() || !login && !c.demandsStatements(order) {
		c.answerTAN(s, "4", "noref", "nochallenge", nil)
		c.say(s.Number, "3076", "Keine starke Authentifizierung erforderlich")
		if login {
			c.opened(s.Number)
		}
		return true
	}
	w := &fintsOrder{reference: strings.ToUpper(secret()), since: c.now, polled: c.now, order: syntax.New("HKIDN", 2)}
	if order != nil {
		w.order = *order
	}
	d.waiting = w
	c.bank.counters.Challenges[d.customer.login]++
	text, graphic := d.method.fintsChallenge(word(w.reference), d.customer.accounts[0].number)
	c.answerTAN(s, "4", w.reference, text, graphic)
	if d.method.form == push {
		c.say(s.Number, "3955", "Sicherheitsfreigabe erfolgt über anderen Kanal")
	}
	c.say(s.Number, "0030", "Auftrag empfangen - Sicherheitsfreigabe erforderlich")
	return false
}

func (c *fintsCall) answerTAN(s *syntax.Segment, process, reference, challenge string, graphic []byte) {
	elements := []syntax.Element{syntax.Text(process), syntax.Empty(), syntax.Text(reference), syntax.Text(challenge)}
	if graphic != nil {
		elements = append(elements, syntax.Binary(graphic))
	}
	if c.shape.fewPolls && process == "4" && reference != "noref" {
		until := c.now.Add(c.tanLife()).In(germany)
		elements = append(elements, make([]syntax.Element, 5-len(elements))...)
		elements = append(elements, syntax.Text(until.Format("20060102"), until.Format("150405")))
	}
	c.reply(s.Number, syntax.New("HITAN", s.Version, elements...))
}

// fintsChallenge is what the customer gets to see: text, and for chipTAN and photoTAN what goes into Challenge HHD_UC.
func (m *method) fintsChallenge(key uint64, account string) (text string, graphic []byte) {
	switch m.form {
	case photo:
		return "Bitte nehmen Sie das Bild mit der photoTAN-App auf.", hhd.Matrix{MIME: "image/png", Image: matrix(key)}.Challenge()
	case flicker:
		code := hhd.Flicker{Version: hhd.V14, Controls: []byte{0x01}, Start: digits(key, 8), Elements: [3]string{account}}
		return "Bitte halten Sie den TAN-Generator mit Ihrer Karte vor die Grafik.", []byte(code.Challenge())
	case push:
		return "Bitte geben Sie den Kontozugriff in der Banking-App frei.", nil
	case markup:
		return markupChallenge, nil
	}
	return tanPrompt, nil
}

// takeTAN is process 2: the TAN for what waits. A TAN is good for one order, once; a wrong one ends the order.
func (c *fintsCall) takeTAN(s *syntax.Segment) {
	d, b := c.dialog, c.bank
	reference := s.Get(4, 0)
	w := d.waiting
	switch {
	case s.Get(5, 0) != "N":
		c.say(s.Number, "9954", "Mehrfach-TANs nicht erlaubt")
		return
	case slices.Contains(d.spent, reference):
		c.say(s.Number, "9991", "TAN bereits verbraucht")
		return
	case w == nil || w.reference != reference || d.method.form == push:
		c.say(s.Number, "9210", "Auftrag abgelehnt - Auftragsreferenz ist unbekannt")
		return
	}
	d.waiting = nil
	switch {
	case c.now.Sub(w.since) > c.tanLife():
		c.fail(s.Number, w, "9951", "Zeitüberschreitung im Zwei-Schritt-Verfahren - TAN ungültig")
		return
	case c.in.Security.TAN != b.options.TAN:
		b.counters.WrongTANs[d.customer.login]++
		c.fail(s.Number, w, "9941", "TAN ungültig")
		return
	}
	d.spent = append(d.spent, reference)
	b.counters.TANs[d.customer.login]++
	c.say(s.Number, "0900", "TAN gültig")
	if w.tans++; w.order.Name == "HKIDN" && w.tans < c.shape.tans {
		w.reference, w.since, d.waiting = strings.ToUpper(secret()), c.now, w
		b.counters.Challenges[d.customer.login]++
		text, graphic := d.method.fintsChallenge(word(w.reference), d.customer.accounts[0].number)
		c.answerTAN(s, "2", w.reference, text, graphic)
		c.say(s.Number, "0030", "Auftrag empfangen - weitere Sicherheitsfreigabe erforderlich")
		return
	}
	c.answerTAN(s, "2", reference, "", nil)
	c.released(s, w)
}

// takeStatus is process S: whether the customer confirmed in their app. Asking more often than the bank parameters allow
// counts as a wrong TAN.
func (c *fintsCall) takeStatus(s *syntax.Segment) {
	d, b := c.dialog, c.bank
	w := d.waiting
	if w == nil || w.reference != s.Get(4, 0) || d.method.form != push {
		c.say(s.Number, "9210", "Auftrag abgelehnt - Auftragsreferenz ist unbekannt")
		return
	}
	b.counters.Polls[d.customer.login]++
	wait := time.Duration(d.parameters.nextPoll) * time.Second
	if w.polls == 0 {
		wait = time.Duration(d.parameters.firstPoll) * time.Second
	}
	early := c.now.Sub(w.polled) < wait-50*time.Millisecond // the customer's clock and ours
	w.polls++
	w.polled = c.now
	if p := d.customer.persona.polls; w.decision == undecided && p > 0 && w.polls >= p {
		w.decision = approved
	}
	switch {
	case early:
		d.waiting = nil
		b.counters.WrongTANs[d.customer.login]++
		c.fail(s.Number, w, "9941", "Zu häufige Statusabfrage")
	case w.decision == declined:
		d.waiting = nil
		c.fail(s.Number, w, "9210", "Auftrag abgelehnt - die Freigabe wurde vom Kunden abgelehnt")
	case c.now.Sub(w.since) > c.tanLife() || w.polls > d.parameters.polls:
		d.waiting = nil
		c.fail(s.Number, w, "9951", "Zeitüberschreitung bei der Freigabe")
	case w.decision == undecided:
		c.answerTAN(s, "S", w.reference, "", nil)
		c.say(s.Number, "3956", "Starke Kundenauthentifizierung noch ausstehend")
	default:
		d.waiting = nil
		b.counters.TANs[d.customer.login]++
		c.answerTAN(s, "S", w.reference, "", nil)
		c.say(s.Number, "0900", "Sicherheitsfreigabe gültig")
		c.released(s, w)
	}
}

// fail ends an order for want of a TAN; a login ends with its dialog.
func (c *fintsCall) fail(segment int, w *fintsOrder, code, text string) {
	if w.order.Name != "HKIDN" {
		c.say(segment, code, text)
		return
	}
	c.refuse(segment, code, text)
	delete(c.bank.fints.dialogs, c.dialog.id)
}

// released goes on with what waited. The answer to an order refers to HKTAN, since the order is not in this message.
func (c *fintsCall) released(s *syntax.Segment, w *fintsOrder) {
	if w.order.Name == "HKIDN" {
		c.opened(s.Number)
		c.trustNow().since = c.now
		return
	}
	trust := c.trustNow()
	trust.since, trust.statements = c.now, true
	order := w.order
	order.Number = s.Number
	c.order(&order)
}

// trustNow is the trust of the dialog's customer system. One without an id is nobody in particular: not trusted again.
func (c *fintsCall) trustNow() *fintsTrust {
	d, all := c.dialog, c.bank.fints.trust
	trust := c.trust()
	if trust == nil {
		trust = &fintsTrust{}
	}
	if d.system != fintsNoSystem {
		if all[d.customer.login] == nil {
			all[d.customer.login] = map[string]*fintsTrust{}
		}
		all[d.customer.login][d.system] = trust
	}
	return trust
}

// opened completes a login: from now on orders are taken, and the customer's accounts are told.
func (c *fintsCall) opened(reference int) {
	d := c.dialog
	d.open = true
	c.say(reference, "0020", "Dialoginitialisierung erfolgreich")
	c.userParameters(reference)
	if d.owed {
		c.giveSystemID(reference)
	}
}

// decide answers the decoupled authentication that waits for a customer. Needs Bank.mu.
func (b *fintsDesk) decide(login string, d decision) (any bool) {
	for _, dialog := range b.dialogs {
		if w := dialog.waiting; w != nil && dialog.customer.login == login && dialog.method.form == push && w.decision == undecided {
			w.decision, any = d, true
		}
	}
	return any
}
