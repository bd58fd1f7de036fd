package sandbox

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"

	"github.com/kontoflow/kontoflow/banks/fints/syntax"
	"github.com/kontoflow/kontoflow/internal/civil"
)

// fintsBank is the path of the plain FinTS bank, and its name in faults and counters. The others lie below it.
const fintsBank = "fints"

const (
	fintsIdle     = 30 * time.Minute // a dialog that nothing is said in for so long is over
	fintsTANLife  = 10 * time.Minute // of a challenge
	fintsSCALife  = 180 * 24 * time.Hour
	fintsNobody   = "9999999999" // customer id of anonymous dialogs ("Formals", section C.5)
	fintsOneStep  = "999"
	fintsNoSystem = "0"
)

// fintsDesk is what the bank remembers of its FinTS customers.
type fintsDesk struct {
	dialogs map[string]*fintsDialog
	trust   map[string]map[string]*fintsTrust // login → customer-system id → when strong authentication was done
}

// fintsTrust is what a customer system may do without strong authentication.
type fintsTrust struct {
	since      time.Time
	statements bool // the persona "again": also its second authentication
}

// fintsDialog is an open dialog ("Formals", chapter C).
type fintsDialog struct {
	id         string
	shape      *fintsShape // bank that it is open at
	customer   *customer   // nil: anonymous
	function   string      // security function: 999, or that of method
	method     *method     // nil: one-step
	parameters fintsMethod // of method
	system     string      // customer-system id
	began      string      // the one that the dialog began with: 0 where it was synchronized in it
	next       int         // number that the customer's next message has to have
	owed       bool        // the login is to give a customer-system id
	media      bool        // opened to read the TAN media, and for nothing else
	open       bool        // strong authentication was done, or is not needed
	waiting    *fintsOrder
	hash       []byte   // process variant 1: of the order that is to follow
	spent      []string // references of orders whose TAN was used
	last       time.Time
}

// fintsOrder is an order that waits for strong authentication.
type fintsOrder struct {
	reference string
	order     syntax.Segment // HKIDN: the login itself
	since     time.Time
	polled    time.Time
	polls     int
	decision  decision
	tans      int // that were given for it
}

// decision is what the customer did in their app.
type decision int

const (
	undecided decision = iota
	approved
	declined
)

// fintsCall is a customer's message on its way through the bank.
type fintsCall struct {
	bank     *Bank
	shape    *fintsShape
	request  *http.Request
	in       *syntax.Message
	now      time.Time
	today    civil.Date
	dialog   *fintsDialog
	loop     bool // fault: touchdown points lead nowhere
	feedback []fintsFeedback
	out      []syntax.Segment
	over     bool // the dialog ends with this answer
	clear    bool // the answer is a dialog abort in clear ("Formals", section B.7.6)
}

// fintsFeedback is a return code ("Formals", section B.7.5); segment 0 means the whole message.
type fintsFeedback struct {
	segment    int
	code, text string
	parameters []string
}

// serveFinTS answers a POST to a FinTS bank: a message of FinTS 3.0 with PIN/TAN, as base64.
func (b *Bank) serveFinTS(w http.ResponseWriter, r *http.Request, shape *fintsShape) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		http.Error(w, "the message is too large", http.StatusRequestEntityTooLarge)
		return
	}
	c := &fintsCall{bank: b, shape: shape, request: r}
	wire := make([]byte, base64.StdEncoding.DecodedLen(len(body)))
	n, err := base64.StdEncoding.Decode(wire, bytes.Join(bytes.Fields(body), nil))
	if err == nil {
		c.in, err = syntax.Read(wire[:n])
	}
	if err != nil || c.in.Size != n {
		c.in = &syntax.Message{DialogID: fintsNoSystem, Number: 1}
		c.abort("9110", "Unbekannter Aufbau der Nachricht")
		c.write(w)
		return
	}

	b.mu.Lock()
	c.now, c.today = b.now(), b.today()
	if d := b.fints.dialogs[c.in.DialogID]; d != nil && d.shape == shape {
		c.dialog = d
	}
	login := ""
	switch {
	case c.dialog != nil && c.dialog.customer != nil:
		login = c.dialog.customer.login
	case c.dialog == nil && c.in.Security != nil:
		if customer := b.customer(c.in.Security.UserID); customer != nil {
			login = customer.login
		}
	}
	endpoint := c.endpoint()
	b.count(shape.Path, login, endpoint)
	fault, struck := b.strike(shape.Path, login, endpoint)
	b.mu.Unlock()

	usual := func(w http.ResponseWriter) {
		b.mu.Lock()
		c.process()
		b.mu.Unlock()
		c.write(w)
	}
	switch {
	case !struck:
		usual(w)
	case fault.Action == ActLoop:
		c.loop = true
		usual(w)
	case fault.Action == ActStatus && fault.Status == http.StatusServiceUnavailable:
		c.abort("9010", fault.Text)
		c.write(w)
	default:
		fault.play(w, r, b.options.Slow, usual)
	}
}

// endpoint names a message to faults and counters by its first order, in the words of XS2A where it has them.
func (c *fintsCall) endpoint() string {
	names := map[string]string{"HKIDN": "login", "HKSPA": "accounts", "HKSAL": "balances", "HKKAZ": "transactions", "HKCAZ": "transactions",
		"DKKKU": "transactions", "HKKKU": "transactions",
		"HKTAB": "media", "HKTAN": "tan", "HKEND": "end"}
	for i := range c.in.Segments {
		s := &c.in.Segments[i]
		switch name := names[s.Name]; {
		case s.Name == "HKIDN" && s.Get(1, 0) == fintsNobody:
			return "anonymous"
		case s.Name == "HKTAN" && s.Get(0, 0) == "S":
			return "poll"
		case name != "":
			return name
		}
	}
	return "unknown"
}

// process carries out a message. Needs Bank.mu.
func (c *fintsCall) process() {
	first := 2
	if s := c.in.Security; s != nil && s.Signed {
		first = 3
	}
	for i := range c.in.Segments {
		if c.in.Segments[i].Number != first+i {
			c.abort("9110", "Segmente sind nicht fortlaufend nummeriert")
			return
		}
	}
	if len(c.in.Segments) == 0 {
		c.abort("9110", "Die Nachricht hat keinen Inhalt")
		return
	}
	if c.in.DialogID == "0" {
		if c.in.Number != 1 {
			c.abort("9120", "Die erste Nachricht eines Dialogs hat die Nummer 1")
			return
		}
		c.initialize()
		return
	}
	d := c.dialog
	switch {
	case d == nil || c.now.Sub(d.last) > fintsIdle:
		c.abort("9120", "Der Dialog ist nicht bekannt")
		return
	case c.in.Number != d.next:
		c.abort("9120", "Die Nachrichtennummer stimmt nicht")
		return
	case d.customer != nil && !c.sameCustomer():
		return
	}
	d.next++
	d.last = c.now
	c.orders(c.in.Segments)
}

// sameCustomer checks that a message is signed like the dialog's first. Needs Bank.mu.
func (c *fintsCall) sameCustomer() bool {
	d, s := c.dialog, c.in.Security
	switch {
	case s == nil || !s.Signed || s.UserID != d.customer.login || s.BankCode != c.shape.BankCode:
		c.abort("9340", "Die Signatur passt nicht zum Dialog")
	case s.Function != d.function || s.SystemID != d.system && s.SystemID != d.began:
		c.abort("9340", "Sicherheitsfunktion oder Kundensystem-ID haben gewechselt")
	case s.PIN != d.customer.password:
		c.bank.authenticate(d.customer, s.PIN)
		c.abort("9942", "PIN ungültig")
	default:
		return true
	}
	return false
}

// say adds a return code about a segment of the customer's; 0: about the whole message.
func (c *fintsCall) say(segment int, code, text string, parameters ...string) {
	c.feedback = append(c.feedback, fintsFeedback{segment, code, text, parameters})
}

// reply adds a segment that answers the given one of the customer's.
func (c *fintsCall) reply(reference int, s syntax.Segment) {
	s.Reference = reference
	c.out = append(c.out, s)
}

// abort ends the dialog in clear.
func (c *fintsCall) abort(code, text string) {
	c.feedback, c.out, c.clear, c.over = nil, nil, true, true
	c.say(0, code, text)
	c.say(0, "9800", "Dialog abgebrochen")
	if d := c.dialog; d != nil {
		delete(c.bank.fints.dialogs, d.id)
	}
}

// refuse ends the dialog because of what a segment asks.
func (c *fintsCall) refuse(segment int, code, text string, parameters ...string) {
	c.say(segment, code, text, parameters...)
	c.say(0, "9800", "Dialog abgebrochen")
	c.over = true
}

// write sends the answer.
func (c *fintsCall) write(w http.ResponseWriter) {
	m := syntax.Message{DialogID: c.in.DialogID, Number: c.in.Number, Answers: &syntax.Reference{DialogID: c.in.DialogID, Number: c.in.Number}}
	if d := c.dialog; d != nil {
		m.DialogID = d.id
		m.Answers.DialogID = d.id
	}
	if s := c.in.Security; s != nil && !c.clear {
		m.Security = &syntax.Security{Function: s.Function, SystemID: s.SystemID, Country: s.Country, BankCode: s.BankCode, UserID: s.UserID, At: c.now}
	}
	m.Segments = append(c.returnCodes(), c.out...)
	wire, err := m.Wire()
	if err != nil {
		c.bank.options.Logger.Error("sandbox", "endpoint", c.shape.Path, "error", err)
		http.Error(w, "internal error", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=iso-8859-1")
	encoder := base64.NewEncoder(base64.StdEncoding, w)
	_, _ = encoder.Write(wire)
	_ = encoder.Close()
}

// returnCodes are HIRMG, which there always is, and HIRMS for each segment that there is something to say about.
func (c *fintsCall) returnCodes() []syntax.Segment {
	general := syntax.New("HIRMG", 2)
	about := map[int][]syntax.Element{}
	worst := byte('0')
	for _, f := range c.feedback {
		element := syntax.Text(append([]string{f.code, "", f.text}, f.parameters...)...)
		worst = max(worst, f.code[0])
		if f.segment == 0 {
			general.Elements = append(general.Elements, element)
		} else {
			about[f.segment] = append(about[f.segment], element)
		}
	}
	switch {
	case len(general.Elements) > 0 && worst != '9':
	case worst == '9' && !c.clear:
		general.Elements = slices.Insert(general.Elements, 0, syntax.Text("9050", "", "Die Nachricht enthält Fehler."))
	case worst == '3':
		general.Elements = append(general.Elements, syntax.Text("3060", "", "Bitte beachten Sie die enthaltenen Warnungen/Hinweise."))
	case worst == '0':
		general.Elements = append(general.Elements, syntax.Text("0010", "", "Nachricht entgegengenommen."))
	}
	segments := []syntax.Segment{general}
	for i := range c.in.Segments {
		n := c.in.Segments[i].Number
		if len(about[n]) == 0 {
			continue
		}
		s := syntax.New("HIRMS", 2, about[n]...)
		s.Reference = n
		segments = append(segments, s)
	}
	return segments
}

// systemID makes a customer-system id. It can be checked without having been stored: a customer who comes back after
// the bank began anew is still known by it, though not trusted.
func (b *Bank) systemID(login string, nonce uint64) string {
	return digits(nonce, 10) + fmt.Sprintf("%016X", at(b.options.Seed, word(login), nonce%1e10))
}

func (b *Bank) knowsSystem(login, id string) bool {
	if len(id) != 26 {
		return false
	}
	var nonce uint64
	for _, c := range id[:10] {
		if c < '0' || c > '9' {
			return false
		}
		nonce = nonce*10 + uint64(c-'0')
	}
	return b.systemID(login, nonce) == id
}
