package fints

import (
	"cmp"
	"slices"
	"strings"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/fints/syntax"
	"github.com/kontoflow/kontoflow/banks/formats/lenient"
)

// bankParameters are the BPD, as far as reading accounts needs them ("Formals", chapter D).
type bankParameters struct {
	Version int              `json:"version"`
	Methods []method         `json:"methods,omitempty"`
	Orders  map[string][]int `json:"orders,omitempty"` // HKSAL → versions that we speak, rising
	NeedTAN []string         `json:"need_tan,omitempty"`
	Camt    []string         `json:"camt,omitempty"` // formats of HKCAZ, as the bank writes them
	// Days that statements are kept (Speicherzeitraum), by order; 0: the bank did not say.
	Days map[string]int `json:"days,omitempty"`
	// National says whether the national account number may go along with an IBAN (HISPAS,
	// "Nationale Kontoverbindung erlaubt"); nil: the bank did not say.
	National *bool          `json:"national,omitempty"`
	Cards    cardParameters `json:"cards,omitzero"`
	// Reader is parameterReader as it was when these parameters were read.
	Reader int `json:"reader,omitempty"`
	// Outdated says that the bank has newer ones, and did not send them.
	Outdated bool `json:"outdated,omitempty"`
}

// cardParameters are those of HKKKU (HIKKUS).
type cardParameters struct {
	NoPeriod    bool `json:"no_period,omitempty"`    // no days may be given: the bank sends what came since the last bill
	WithAccount bool `json:"with_account,omitempty"` // the account goes along with the card's number
}

// parameterReader counts how much of the parameters is read and kept. Parameters that were read by
// an earlier version of Kontoflow lack something: the bank is told that they are not known, and
// sends them again.
const parameterReader = 1

// method is a two-step procedure of the bank (HITANS; "Sicherheitsverfahren PIN/TAN",
// "Verfahrensparameter Zwei-Schritt-Verfahren").
type method struct {
	Function   string `json:"function"` // 900 to 997
	Version    int    `json:"version"`  // of HKTAN: 6, 7
	ID         string `json:"id,omitempty"`
	Kind       string `json:"kind,omitempty"` // mobileTAN, HHDOPT1, Decoupled, …
	Of         string `json:"of,omitempty"`   // version of the kind: 1.4
	Name       string `json:"name,omitempty"`
	MaxLength  int    `json:"max_length,omitempty"`
	Format     int    `json:"format,omitempty"` // 1: digits, 2: letters and digits
	Label      string `json:"label,omitempty"`
	Structured bool   `json:"structured,omitempty"`
	Medium     bool   `json:"medium,omitempty"` // its name has to be sent
	MaxPolls   int    `json:"max_polls,omitempty"`
	FirstPoll  int    `json:"first_poll,omitempty"` // seconds
	NextPoll   int    `json:"next_poll,omitempty"`
	Process    int    `json:"process,omitempty"` // 1: process variant 1; else variant 2
	Hash       int    `json:"hash,omitempty"`    // of orders, in variant 1
}

func (m *method) decoupled() bool { return strings.HasPrefix(m.Kind, "Decoupled") }

// userParameters are the UPD ("Formals", chapter E).
type userParameters struct {
	Version  int           `json:"version"`
	Accounts []userAccount `json:"accounts,omitempty"`
	Reader   int           `json:"reader,omitempty"` // parameterReader as it was when these parameters were read
	Outdated bool          `json:"outdated,omitempty"`
}

type userAccount struct {
	Number   string   `json:"number"`
	Sub      string   `json:"sub,omitempty"` // Unterkontomerkmal
	BankCode string   `json:"bank_code,omitempty"`
	IBAN     string   `json:"iban,omitempty"`
	BIC      string   `json:"bic,omitempty"` // HISPA only
	Kind     int      `json:"kind,omitempty"`
	Currency string   `json:"currency,omitempty"`
	Owner    string   `json:"owner,omitempty"`
	Product  string   `json:"product,omitempty"`
	Orders   []string `json:"orders,omitempty"`   // allowed
	Unlisted bool     `json:"unlisted,omitempty"` // others may be allowed as well: the bank does not say

	twin   int  // how many before it have the same number, sub-account and currency
	shared bool // others have its IBAN
}

const (
	maxAccounts = 1000
	maxMethods  = 200
	maxFormats  = 20
)

// spoken are the orders and the versions of them that we speak.
var spoken = map[string][]int{
	"HKSAL": {4, 5, 6, 7, 8}, "HKKAZ": {4, 5, 6, 7}, "HKCAZ": {1}, "HKSPA": {1, 2, 3}, "HKTAB": {4, 5}, "HKTAN": {6, 7},
	"HKKKU": {1}, "DKKKU": {2, 3, 4, 5},
}

// depotOrders are those that depots have. They are not spoken, but tell what an account is.
var depotOrders = []string{"HKWPD", "HKWDU", "HKWSD", "HKWOA"}

// version is the highest version of an order that the bank offers and we speak; 0: none. Of DKKKU
// it is the lowest one: higher ones than 2 are spoken as if they were that.
func (b *bankParameters) version(order string) int {
	switch {
	case b == nil || len(b.Orders[order]) == 0:
		return 0
	case order == "DKKKU":
		return slices.Min(b.Orders[order])
	}
	return slices.Max(b.Orders[order])
}

// stated are the versions of bank and user parameters that HKVVB names as known here ("Formals",
// section C.3.1.3); 0: none, so that the bank sends them.
func (l *lasting) stated() (bank, user int) {
	if l.Bank != nil && l.Bank.Reader == parameterReader && !l.Bank.Outdated {
		bank = l.Bank.Version
	}
	if l.User.Reader == parameterReader && !l.User.Outdated {
		user = l.User.Version
	}
	return bank, user
}

// learnBank takes the bank parameters from an answer, where it brings them.
func (t *talk) learnBank(r *reply) {
	if head := r.Find("HIBPA"); head != nil {
		t.lasting.Bank, t.dialog.Fresh, t.dirty = readBank(head, r.Segments), true, true
	}
}

// learn takes bank and user parameters from an answer, where it brings new ones.
func (t *talk) learn(r *reply) {
	t.learnBank(r)
	if head := r.Find("HIUPA"); head != nil {
		version, _ := head.Int(1, 0)
		user := userParameters{Version: version, Reader: parameterReader}
		untold := head.Get(2, 0) == "1" // nothing is said of orders that are not listed ("Formals", data dictionary, "UPD-Verwendung")
		for _, s := range r.All("HIUPD") {
			if a, ok := readAccount(s); ok && len(user.Accounts) < maxAccounts {
				a.Unlisted = a.Unlisted || untold
				user.Accounts = append(user.Accounts, a)
			}
		}
		t.lasting.User, t.dirty = user, true
	}
	if s := r.Find("HISYN"); s != nil {
		if id := s.Get(0, 0); id != "" && len(id) <= 256 {
			t.lasting.SystemID, t.dirty = id, true
		}
	}
	t.learnOutdated(r)
	t.learnNames(r)
	if allowed := r.methods(); len(allowed) > 0 && !slices.Equal(allowed, t.lasting.Allowed) {
		t.lasting.Allowed, t.dirty = allowed, true
	}
}

// learnOutdated heeds a bank that says that parameters are outdated (3050) and does not send the
// present ones: they are asked for with the next login.
func (t *talk) learnOutdated(r *reply) {
	l := &t.lasting
	for _, f := range r.feedback {
		if f.code != codeOutdated {
			continue
		}
		ofBank, ofUser := strings.Contains(f.text, "BPD"), strings.Contains(f.text, "UPD")
		if r.Find("HIBPA") == nil && l.Bank != nil && (ofBank || !ofUser) {
			l.Bank.Outdated, t.dirty = true, true
		}
		if r.Find("HIUPA") == nil && (ofUser || !ofBank) {
			l.User.Outdated, t.dirty = true, true
		}
	}
}

// renamed is the name that a bank gave a customer instead of the one that they log in with (3072).
type renamed struct {
	From     string `json:"from"` // the login that the customer gave
	User     string `json:"user"`
	Customer string `json:"customer"`
}

// maxName is the longest user or customer id ("Formals", data dictionary, "Benutzerkennung").
const maxName = 30

// learnNames takes another user and customer id that the bank wants to be used from now on (3072:
// P1, P2).
func (t *talk) learnNames(r *reply) {
	f := r.find(codeRenamed)
	if f == nil || len(f.parameters) == 0 {
		return
	}
	user := f.parameters[0]
	customer := user
	if len(f.parameters) > 1 && f.parameters[1] != "" {
		customer = f.parameters[1]
	}
	if user == "" || len(user) > maxName || len(customer) > maxName {
		return
	}
	t.lasting.Renamed, t.dirty = &renamed{From: t.conv.Credentials[banks.CredentialLogin], User: user, Customer: customer}, true
}

// names are the user and the customer id to log in with: as the customer gave them, unless the bank
// gave others since.
func (t *talk) names() (user, customer string) {
	user = t.conv.Credentials[banks.CredentialLogin]
	if n := t.lasting.Renamed; n != nil && n.From == user {
		return n.User, n.Customer
	}
	return user, cmp.Or(t.conv.Credentials[banks.CredentialCorporateID], user)
}

// methods are the security functions that an answer lists as the customer's (3920), which may come
// in several parts.
func (r *reply) methods() (functions []string) {
	for _, f := range r.feedback {
		for _, p := range f.parameters {
			if f.code == codeMethods && len(p) == 3 && !slices.Contains(functions, p) {
				functions = append(functions, p)
			}
		}
	}
	return functions
}

func readBank(head *syntax.Segment, segments []syntax.Segment) *bankParameters {
	b := &bankParameters{Orders: map[string][]int{}, Days: map[string]int{}, Reader: parameterReader}
	b.Version, _ = head.Int(0, 0)
	for i := range segments {
		s := &segments[i]
		if s.Name == "HIPINS" {
			b.readTANs(s)
			continue
		}
		order := orderOf(s.Name)
		if !slices.Contains(spoken[order], s.Version) || slices.Contains(b.Orders[order], s.Version) || len(s.Elements) == 0 {
			continue
		}
		b.Orders[order] = append(b.Orders[order], s.Version)
		parameters := s.At(len(s.Elements) - 1)
		switch order {
		case "HKTAN":
			b.readMethods(parameters, s.Version)
		case "HKKAZ", "HKCAZ", "HKKKU", "DKKKU":
			if days, ok := parameters.Int(0); ok && days > 0 {
				b.Days[order] = days
			}
		}
		switch order {
		case "HKCAZ":
			b.readFormats(parameters)
		case "HKSPA":
			if national := parameters.Get(1); national == "J" || national == "N" {
				allowed := national == "J"
				b.National = &allowed
			}
		case "HKKKU":
			b.Cards = cardParameters{NoPeriod: parameters.Get(2) == "N", WithAccount: parameters.Get(3) == "J"}
		}
	}
	return b
}

// orderOf is the order that a segment of parameters belongs to: HISALS to HKSAL, DIKKUS to DKKKU;
// "" for other segments.
func orderOf(segment string) string {
	head, ours := "", ""
	switch {
	case len(segment) < 4 || !strings.HasSuffix(segment, "S"):
		return ""
	case strings.HasPrefix(segment, "HI"):
		head, ours = "HI", "HK"
	case strings.HasPrefix(segment, "DI"):
		head, ours = "DI", "DK"
	default:
		return ""
	}
	return ours + strings.TrimSuffix(strings.TrimPrefix(segment, head), "S")
}

// readFormats reads the formats of HKCAZ, as the bank writes them.
func (b *bankParameters) readFormats(parameters syntax.Element) {
	for i := 3; i < len(parameters) && len(b.Camt) < maxFormats; i++ {
		if format := parameters.Get(i); format != "" && len(format) <= 256 {
			b.Camt = append(b.Camt, format)
		}
	}
}

// readTANs reads which orders need a TAN (HIPINS: order, J or N, …; "Sicherheitsverfahren PIN/TAN",
// section B.8.1).
func (b *bankParameters) readTANs(s *syntax.Segment) {
	list := s.At(len(s.Elements) - 1)
	for i := 5; i+1 < len(list); i += 2 {
		if order := list.Get(i); spoken[order] != nil && list.Get(i+1) == "J" {
			b.NeedTAN = append(b.NeedTAN, order)
		}
	}
}

// readMethods reads the methods of HITANS; they follow one another in one group, without anything
// between them. A method of version 7 has 26 elements, or 21 where the bank leaves out those of
// decoupled ones; where one ends shows itself by the next one's function and process.
func (b *bankParameters) readMethods(e syntax.Element, version int) {
	const head = 3
	longest := 21
	if version >= 7 {
		longest = 26
	}
	for at := head; at+5 < len(e) && len(b.Methods) < maxMethods; {
		size := min(longest, len(e)-at)
		if version >= 7 {
			for n := 20; n < size; n++ {
				if startsMethod(e, at+n) {
					size = n
					break
				}
			}
		} else if !startsMethod(e, at+21) && startsMethod(e, at+20) {
			size = 20
		}
		m := readMethod(e[at:at+size], version)
		at += size
		if m.byHash() {
			m.Hash, _ = e.Int(2)
		}
		if m.Function == "" || m.byHash() && m.Hash != hashRIPEMD && m.Hash != hashSHA1 {
			continue
		}
		if i := slices.IndexFunc(b.Methods, func(other method) bool { return other.Function == m.Function }); i < 0 {
			b.Methods = append(b.Methods, m)
		} else if b.Methods[i].Version < version {
			b.Methods[i] = m
		}
	}
}

func startsMethod(e syntax.Element, at int) bool {
	function, ok := e.Int(at)
	process := e.Get(at + 1)
	return ok && function >= 900 && function <= 997 && (process == "1" || process == "2") && e.Get(at+2) != ""
}

func readMethod(e syntax.Element, version int) (m method) {
	if !startsMethod(e, 0) {
		return m
	}
	text := func(i, max int) string { return lenient.PlainText(e.Get(i), max) }
	m = method{Function: e.Get(0), Version: version, ID: text(2, 64), Kind: text(3, 64), Of: text(4, 16), Name: text(5, 64),
		Label: text(8, 64), Structured: e.Get(16) == "J", Medium: e.Get(18) == "2"}
	if m.Process, _ = e.Int(1); m.byHash() && (e.Get(14) == "2" || e.Get(15) == "J") { // it wants more about an order than its hash
		return method{}
	}
	m.MaxLength, _ = e.Int(6)
	m.Format, _ = e.Int(7)
	if version >= 7 {
		m.MaxPolls, _ = e.Int(21)
		m.FirstPoll, _ = e.Int(22)
		m.NextPoll, _ = e.Int(23)
	}
	return m
}

func readAccount(s *syntax.Segment) (a userAccount, ok bool) {
	a = userAccount{Number: lenient.Text(s.Get(0, 0), 64), Sub: lenient.Text(s.Get(0, 1), 64), BankCode: lenient.Text(s.Get(0, 3), 64),
		Currency: lenient.Currency(s.Get(4, 0)), Product: lenient.PlainText(s.Get(7, 0), 256)}
	a.IBAN, _ = lenient.IBAN(s.Get(1, 0))
	a.Kind, _ = s.Int(3, 0)
	a.Owner = lenient.PlainText(strings.TrimSpace(s.Get(5, 0)+" "+s.Get(6, 0)), 256)
	a.Unlisted = true
	for i := 9; i < len(s.Elements) && len(a.Orders) < 999; i++ {
		order := s.Get(i, 0)
		if order != "" {
			a.Unlisted = false
		}
		if spoken[order] != nil || slices.Contains(depotOrders, order) {
			a.Orders = append(a.Orders, order)
		}
	}
	return a, a.Number != "" || a.IBAN != ""
}

// allows reports whether the customer may use the order with the account.
func (a *userAccount) allows(order string) bool {
	return a.Unlisted || slices.Contains(a.Orders, order)
}

// holdsSecurities reports whether the customer may ask for securities in the account, and not for
// statements.
func (a *userAccount) holdsSecurities() bool {
	listed := func(order string) bool { return slices.Contains(a.Orders, order) }
	return slices.ContainsFunc(depotOrders, listed) && !slices.ContainsFunc(statementOrders, listed)
}

// kinds of accounts (Kontoart; "Formals", data dictionary).
func (a *userAccount) kind() banks.AccountType {
	product := strings.ToLower(a.Product)
	switch {
	case a.holdsSecurities():
		return banks.Depot
	case a.Kind >= 10 && a.Kind < 20 && (strings.Contains(product, "tagesgeld") || strings.Contains(product, "daily")):
		return banks.DailySavings
	case a.Kind >= 1 && a.Kind < 10:
		return banks.Giro
	case a.Kind >= 10 && a.Kind < 30:
		return banks.Savings
	case a.Kind >= 30 && a.Kind < 40, a.Kind >= 60 && a.Kind < 70:
		return banks.Depot
	case a.Kind >= 40 && a.Kind < 50:
		return banks.Loan
	case a.Kind >= 50 && a.Kind < 60:
		return banks.CreditCard
	}
	return banks.Unknown
}
