package sandbox

import (
	"cmp"
	"strconv"
	"strings"

	"github.com/kontoflow/kontoflow/banks/fints/syntax"
)

// bpdVersion is the version of the bank parameters, but for a bank that changes them.
const bpdVersion = 12

// Statements are kept for so many days, as far as the parameters say; an account may show less.
const fintsDays = 4000

// camtFormats are the formats of HKCAZ as the bank writes them.
func (s *fintsShape) camtFormats() []string {
	if s.reads.formats != nil {
		return s.reads.formats
	}
	return camtFormats
}

// camtVersion is the version of the account report that a format means: 02 or 08.
func camtVersion(format string) string {
	_, rest, _ := strings.Cut(format, "camt.052.001.")
	return rest[:2]
}

var camtFormats = []string{"urn:iso:std:iso:20022:tech:xsd:camt.052.001.02", "urn:iso:std:iso:20022:tech:xsd:camt.052.001.08"}

// fintsMethod is a two-step procedure as HITANS describes it ("Sicherheitsverfahren PIN/TAN", data dictionary,
// "Verfahrensparameter Zwei-Schritt-Verfahren").
type fintsMethod struct {
	function   string
	id         string // technical identification
	kind       string // of Deutsche Kreditwirtschaft
	version    string // of the kind
	name       string
	structured bool
	media      int  // active ones; more than one: its name has to be sent
	named      bool // its name has to be sent, however many there are
	byHash     bool // process variant 1
	of         *method

	polls, firstPoll, nextPoll int // of a decoupled one: how often its status may be asked for, and how soon, in seconds
}

var fintsMethods = []fintsMethod{
	{function: "910", id: "HHDOPT1", kind: "HHDOPT1", version: "1.4", name: "chipTAN optisch", media: 1, of: &chipTAN},
	{function: "911", id: "HHDOPT1", kind: "HHDOPT1", version: "1.4", name: "chipTAN optisch (Karten)", media: 9, of: &chipTANCards},
	{function: "920", id: "mTAN", kind: "mobileTAN", name: "mTAN", media: 1, of: &smsTAN},
	{function: "921", id: "mTAN", kind: "mobileTAN", name: "mTAN (Geräte)", media: 9, of: &smsTANDevices},
	{function: "930", id: "MS1.0.0", name: "photoTAN", media: 1, of: &photoTAN},
	{function: "940", id: "App", kind: "Decoupled", name: "App-Freigabe", media: 1, of: &pushTAN, polls: 120, firstPoll: 1, nextPoll: 1},
	{function: "950", id: "webTAN", name: "TAN mit Auftragsdaten", structured: true, media: 1, of: &markupTAN},
}

// parameters is the method's group in HITANS of the given version; nil where that version cannot describe it.
func (m *fintsMethod) parameters(version int) []string {
	decoupled := m.of.form == push
	if decoupled && version < 7 {
		return nil
	}
	length, format, medium := "6", "1", "0"
	if decoupled {
		length, format = "", ""
	}
	if m.named || m.media > 1 {
		medium = "2"
	}
	process := "2"
	if m.byHash {
		process = "1"
	}
	list := []string{m.function, process, m.id, m.kind, m.version, m.name, length, format, "TAN", "2048", "N", "1", "N", "0", "0", "N",
		yesNo(m.structured), "00", medium, "N", strconv.Itoa(m.media)}
	switch {
	case version < 7:
	case decoupled:
		list = append(list, strconv.Itoa(m.polls), strconv.Itoa(m.firstPoll), strconv.Itoa(m.nextPoll), "N", "J")
	default:
		list = append(list, "", "", "", "", "")
	}
	return list
}

func yesNo(yes bool) string {
	if yes {
		return "J"
	}
	return "N"
}

// bankParameters are the BPD ("Formals", chapter D).
func (c *fintsCall) bankParameters(reference int) {
	add := func(name string, version int, elements ...syntax.Element) {
		c.reply(reference, syntax.New(name, version, elements...))
	}
	// order adds the parameters of an order: how many of them fit in a message, signatures, security class.
	order := func(name string, version int, parameters ...string) {
		elements := []syntax.Element{syntax.Text("1"), syntax.Text("1"), syntax.Text("0")}
		if len(parameters) > 0 {
			elements = append(elements, syntax.Text(parameters...))
		}
		add(name, version, elements...)
	}
	oldOrder := func(name string, version int, parameters ...string) { // before there was a security class
		elements := []syntax.Element{syntax.Text("1"), syntax.Text("1")}
		if len(parameters) > 0 {
			elements = append(elements, syntax.Text(parameters...))
		}
		add(name, version, elements...)
	}
	add("HIBPA", 3, syntax.Number(c.bpdVersion()), syntax.Text("280", c.shape.BankCode), syntax.Text(c.shape.Name), syntax.Text("1"), syntax.Text("1"),
		syntax.Text("300"), syntax.Text("9999"))
	if c.request.TLS != nil { // FinTS has a name for access by https, and none for http
		add("HIKOM", 4, syntax.Text("280", c.shape.BankCode), syntax.Text("1"), syntax.Text("3", "https://"+c.request.Host+"/"+c.shape.Path))
	}
	add("HISHV", 3, syntax.Text("N"), syntax.Text("PIN", "1", "2"))
	statementTAN := yesNo(!c.shape.oneStep && !c.shape.reads.wantsTAN)
	needTAN := []string{"4", "64", "6", "Anmeldename", "", "HKSPA", "N", "HKSAL", "N", "HKKAZ", statementTAN, "HKCAZ", statementTAN, "HKTAB", "N", "HKTAN", "N"}
	if c.shape.reads.cards != "" {
		needTAN = append(needTAN, c.shape.reads.cards, "N")
	}
	order("HIPINS", 1, needTAN...)
	methods := c.bankMethods()
	for _, version := range c.tanVersions() {
		if version == 1 { // a procedure that nobody has any more
			order("HITANS", 1, "J", "N", "0", "0", "920", "2", "smsTAN", "smsTAN", "6", "1", "TAN", "3", "1", "N", "N")
			continue
		}
		list := []string{"N", "N", "0"}
		if c.shape.byHash {
			list[2] = "1" // RIPEMD-160
		}
		for i := range methods {
			list = append(list, methods[i].parameters(version)...)
		}
		order("HITANS", version, list...)
	}
	if !c.shape.oneStep {
		order("HITABS", 4)
		order("HITABS", 5)
	}
	national := cmp.Or(c.shape.reads.national, "J")
	order("HISPAS", 1, append([]string{"J", national, "N"}, camtFormats...)...)
	order("HISPAS", 3, append([]string{"J", national, "N", "N", "0"}, camtFormats...)...)
	statements := []string{strconv.Itoa(cmp.Or(c.shape.reads.kept, fintsDays)), "N", "N"}
	for version := 5; version <= 8; version++ {
		add := order
		if version == 5 {
			add = oldOrder
		}
		if c.shape.offers("HKSAL", version) {
			add("HISALS", version)
		}
		if c.shape.offers("HKKAZ", version) {
			add("HIKAZS", version, statements...)
		}
	}
	if c.shape.offers("HKCAZ", 1) {
		order("HICAZS", 1, append(statements, c.shape.camtFormats()...)...)
	}
	c.cardParameters(order)
}

// userVersion is the version of a customer's UPD: it changes with their accounts.
func (c *customer) userVersion() int { return len(c.accounts) + 1 }

// userParameters are the UPD ("Formals", chapter E). Needs Bank.mu.
func (c *fintsCall) userParameters(reference int) {
	customer := c.dialog.customer
	name := latin(customer.owner)
	c.reply(reference, syntax.New("HIUPA", 4, syntax.Text(customer.login), syntax.Number(customer.userVersion()), syntax.Text("0"), syntax.Text(name)))
	for _, a := range customer.accounts {
		iban := a.fintsIBAN()
		if c.shape.reads.respells {
			iban = ""
		}
		elements := []syntax.Element{a.national(), syntax.Text(iban), syntax.Text(customer.login), syntax.Text(a.fintsKind()),
			syntax.Text(a.currency), syntax.Text(name), syntax.Empty(), syntax.Text(a.product), syntax.Empty()}
		for _, order := range c.shape.allowed(a) {
			elements = append(elements, syntax.Text(order, "1"))
		}
		c.reply(reference, syntax.New("HIUPD", 6, elements...))
	}
	if c.shape.reads.depot {
		c.reply(reference, c.depot(name))
	}
}

// fintsKind is the sort of account ("Formals", data dictionary, "Kontoart").
func (a *account) fintsKind() string {
	switch a.kind {
	case savings, dailySavings:
		return "10"
	case card:
		return "50"
	}
	return "1"
}

// fintsNumber is the account's number; a card is known by its masked one.
func (a *account) fintsNumber() string {
	if a.kind == card {
		return a.pan
	}
	return a.number
}

// fintsIBAN is the account's IBAN; a card has none.
func (a *account) fintsIBAN() string {
	if a.kind == card {
		return ""
	}
	return a.iban
}

// subAccount tells accounts of one number apart.
func (a *account) subAccount() string {
	if a.sub == "" && a.currency != "EUR" {
		return a.currency
	}
	return a.sub
}

// national is the account as ktv, international as kti ("Formals", section B.3.1).
func (a *account) national() syntax.Element {
	return syntax.Text(a.fintsNumber(), a.subAccount(), "280", bankCode)
}

func (a *account) international() syntax.Element {
	bic := dialects[0].BIC
	if a.kind == card {
		bic = ""
	}
	return syntax.Text(a.fintsIBAN(), bic, a.fintsNumber(), a.subAccount(), "280", bankCode)
}

// latin writes in ISO 8859-1 what it does not have: FinTS has no other letters.
func latin(s string) string {
	return strings.Map(func(r rune) rune {
		if r <= 0xff {
			return r
		}
		if other, ok := plainLetters[r]; ok {
			return other
		}
		return '.'
	}, s)
}

var plainLetters = map[rune]rune{'Ł': 'L', 'ł': 'l', 'ı': 'i', 'İ': 'I', 'ş': 's', 'ğ': 'g', 'ẞ': 'ß'}
