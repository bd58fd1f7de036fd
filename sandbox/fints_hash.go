package sandbox

import (
	"bytes"

	//lint:ignore SA1019 the specification wants this hash
	"golang.org/x/crypto/ripemd160"

	"github.com/kontoflow/kontoflow/banks/fints/syntax"
)

// fintsNoHash stands for the hash of what is no order: a login ("Sicherheitsverfahren PIN/TAN",
// section B.4.3.2).
const fintsNoHash = "00000000"

// takeHash is process 1 ("Sicherheitsverfahren PIN/TAN", sections B.4.1.1 and B.4.3.2): the
// challenge is made from the hash of an order, which follows with its TAN. For the login HKTAN
// itself comes again, with the TAN.
func (c *fintsCall) takeHash(s *syntax.Segment) {
	d, what, hash := c.dialog, s.Get(1, 0), []byte(s.Get(3, 0))
	login := what == "HKIDN" || what == "HKTAB"
	switch {
	case login != !d.open, !login && !isStatement(what), s.Get(5, 0) != "N", login != (string(hash) == fintsNoHash):
		c.say(s.Number, "9210", "HKTAN ist nicht richtig belegt")
		return
	case what == "HKTAB":
		d.media = true
		c.answerHash(s, hash, "nochallenge")
		c.say(s.Number, "3076", "Keine starke Authentifizierung erforderlich")
		return
	case login && d.waiting != nil:
		if w := d.waiting; c.rightTAN(s.Number, w) {
			c.answerHash(s, hash, "")
			c.opened(s.Number)
			c.trustNow().since = c.now
		}
		return
	}
	d.hash = hash
	// What an order asks for cannot be told from its hash.
	if login && !c.demandsLogin() || !login && (!d.customer.persona.again || c.trust() != nil && c.trust().statements) {
		c.answerHash(s, hash, "nochallenge")
		c.say(s.Number, "3076", "Keine starke Authentifizierung erforderlich")
		if login {
			c.opened(s.Number)
		}
		return
	}
	d.waiting = &fintsOrder{order: syntax.New(what, 1), since: c.now}
	c.bank.counters.Challenges[d.customer.login]++
	text, _ := d.method.fintsChallenge(word(secret()), d.customer.accounts[0].number)
	c.answerHash(s, hash, text)
	c.say(s.Number, "0030", "Auftrag empfangen - Sicherheitsfreigabe erforderlich")
}

func (c *fintsCall) answerHash(s *syntax.Segment, hash []byte, challenge string) {
	c.reply(s.Number, syntax.New("HITAN", s.Version, syntax.Text("1"), syntax.Binary(hash), syntax.Empty(), syntax.Text(challenge)))
}

// rightTAN checks the TAN of a message's signature for what waits, which then waits no more.
func (c *fintsCall) rightTAN(segment int, w *fintsOrder) bool {
	d, b := c.dialog, c.bank
	d.waiting = nil
	switch {
	case c.now.Sub(w.since) > c.tanLife():
		c.fail(segment, w, "9951", "Zeitüberschreitung im Zwei-Schritt-Verfahren - TAN ungültig")
		return false
	case c.in.Security.TAN != b.options.TAN:
		b.counters.WrongTANs[d.customer.login]++
		c.fail(segment, w, "9941", "TAN ungültig")
		return false
	}
	b.counters.TANs[d.customer.login]++
	c.say(segment, "0900", "TAN gültig")
	return true
}

// hashed reports whether an order is the one whose hash was taken before, and has its TAN where one
// is wanted.
func (c *fintsCall) hashed(s *syntax.Segment) bool {
	d := c.dialog
	wire, err := syntax.Append(nil, *s)
	sum := ripemd160.New()
	_, _ = sum.Write(wire)
	if err != nil || d.hash == nil || !bytes.Equal(sum.Sum(nil), d.hash) {
		c.say(s.Number, "9210", "Der Auftrag passt zu keinem Auftrags-Hashwert")
		return false
	}
	d.hash = nil
	if d.waiting == nil {
		return true
	}
	if !c.rightTAN(s.Number, d.waiting) {
		return false
	}
	trust := c.trustNow()
	trust.since, trust.statements = c.now, true
	return true
}
