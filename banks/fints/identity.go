package fints

import (
	"fmt"
	"slices"
	"strings"

	"golang.org/x/text/currency"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/fints/syntax"
	"github.com/kontoflow/kontoflow/banks/formats/lenient"
)

// sepaListed are the accounts that the bank answered HKSPA with.
type sepaListed struct {
	// For is the list of the user parameters that they complete; see fingerprint.
	For      string        `json:"for"`
	Accounts []sepaAccount `json:"accounts,omitempty"`
}

// sepaAccount is an account of HISPA (ktz; "Formals", section B.4.2).
type sepaAccount struct {
	IBAN     string `json:"iban,omitempty"`
	BIC      string `json:"bic,omitempty"`
	Number   string `json:"number,omitempty"`
	Sub      string `json:"sub,omitempty"`
	BankCode string `json:"bank_code,omitempty"`
}

func readSEPA(r *reply) (all []sepaAccount) {
	for _, s := range r.All("HISPA") {
		for _, e := range s.Elements {
			if len(all) == maxAccounts {
				return all
			}
			iban, _ := lenient.IBAN(e.Get(1))
			found := sepaAccount{IBAN: iban, BIC: lenient.Text(e.Get(2), 16), Number: lenient.Text(e.Get(3), 64),
				Sub: lenient.Text(e.Get(4), 64), BankCode: lenient.Text(e.Get(6), 64)}
			if found.IBAN != "" || found.Number != "" {
				all = append(all, found)
			}
		}
	}
	return all
}

// handle names an account within the access.
func (a *userAccount) handle() string {
	handle := strings.Join([]string{a.BankCode, a.Number, a.Sub, a.Currency}, "/")
	if a.twin > 0 {
		handle += fmt.Sprintf("/%d", a.twin+1)
	}
	return handle
}

// list are the customer's accounts: those of the user parameters (HIUPD), completed by what HISPA
// says of them, and those that only HISPA has. Banks spell an account differently in the two ("EUR"
// or "00" for no sub-account, zeros before a number, an IBAN in one of them only); it is one
// account all the same.
func (t *talk) list() []userAccount {
	user := t.lasting.User.Accounts
	all := make([]userAccount, 0, len(user))
	seen := make(map[string]int, len(user))
	for i := range user {
		a := user[i]
		if same := seen[a.handle()]; same > 0 {
			if slices.ContainsFunc(all, a.repeats) { // the bank lists it twice
				continue
			}
			a.twin = same
		}
		seen[user[i].handle()]++
		all = append(all, a)
	}
	if t.lasting.Learnt.Listed != nil {
		all = complete(all, t.lasting.Learnt.Listed.Accounts)
	}
	ibans := make(map[string]int, len(all))
	for i := range all {
		ibans[all[i].IBAN]++
	}
	for i := range all {
		all[i].shared = all[i].IBAN != "" && ibans[all[i].IBAN] > 1
	}
	return all
}

// repeats reports whether another entry of the user parameters says the same.
func (a *userAccount) repeats(other userAccount) bool {
	return a.IBAN == other.IBAN && a.Number == other.Number && a.Sub == other.Sub && a.BankCode == other.BankCode &&
		a.Currency == other.Currency && a.Kind == other.Kind && a.Product == other.Product && slices.Equal(a.Orders, other.Orders)
}

// complete adds what HISPA says.
func complete(all []userAccount, sepa []sepaAccount) []userAccount {
	index := make(map[string][]int, 2*len(sepa)) // by IBAN and by number
	names := make([]accountName, len(sepa))
	for i := range sepa {
		names[i] = sepa[i].name()
		for _, key := range names[i].keys() {
			index[key] = append(index[key], i)
		}
	}
	taken := make([]bool, len(sepa))
	for i := range all {
		a := &all[i]
		name := a.name()
		best, rank := -1, 0
		for _, key := range name.keys() {
			for _, at := range index[key][:min(len(index[key]), maxNamesakes)] {
				if r := name.likeness(&names[at]); r > 0 {
					taken[at] = true
					if r > rank {
						best, rank = at, r
					}
				}
			}
		}
		if best >= 0 && a.twin == 0 {
			a.completeBy(&sepa[best])
		}
	}
	known := map[string]bool{}
	for i := range sepa {
		if taken[i] || len(all) >= maxAccounts {
			continue
		}
		if key := names[i].whole(); !known[key] {
			known[key] = true
			all = append(all, userAccount{IBAN: sepa[i].IBAN, BIC: sepa[i].BIC, Number: sepa[i].Number, Sub: sepa[i].Sub,
				BankCode: sepa[i].BankCode, Currency: names[i].currency, Unlisted: true})
		}
	}
	return all
}

// maxNamesakes bounds the accounts of one number or IBAN that are compared with each other.
const maxNamesakes = 50

func (a *userAccount) completeBy(s *sepaAccount) {
	a.BIC = s.BIC
	if a.IBAN == "" {
		a.IBAN = s.IBAN
	}
	if a.Number == "" {
		a.Number, a.Sub = s.Number, s.Sub
	}
	if a.BankCode == "" {
		a.BankCode = s.BankCode
	}
}

// accountName is what an account is called, in one spelling.
type accountName struct {
	iban, number, sub, currency, bank string
	spelt                             string // number and sub-account as the bank writes them
	joint                             string // number with the sub-account behind it, as the end of an IBAN may have it
}

func (a *userAccount) name() accountName {
	return nameOf(a.IBAN, a.Number, a.Sub, a.Currency, a.BankCode)
}

func (s *sepaAccount) name() accountName { return nameOf(s.IBAN, s.Number, s.Sub, "", s.BankCode) }

func nameOf(iban, number, sub, currency, bank string) accountName {
	n := accountName{iban: iban, number: withoutZeros(number), sub: withoutZeros(sub), currency: currency, bank: bank,
		spelt: number + "/" + sub, joint: withoutZeros(number + sub)}
	if code := lenient.Currency(sub); isCurrency(code) { // some banks tell currencies apart by the sub-account
		n.sub = ""
		if n.currency == "" {
			n.currency = code
		} else if n.currency != code {
			n.sub = code
		}
	}
	return n
}

// isCurrency reports whether a code is one of ISO 4217: a sub-account may have three letters, too.
func isCurrency(code string) bool {
	_, err := currency.ParseISO(code)
	return code != "" && err == nil
}

// withoutZeros is a number without blanks and the zeros before it. A sub-account of zeros is none.
func withoutZeros(s string) string {
	return strings.TrimLeft(strings.ToUpper(strings.ReplaceAll(s, " ", "")), "0")
}

// keys are what an account can be found by.
func (n *accountName) keys() (keys []string) {
	if n.iban != "" {
		keys = append(keys, "iban "+n.iban)
	}
	numbers := []string{n.number, n.joint, n.ofIBAN()}
	slices.Sort(numbers)
	for _, number := range slices.Compact(numbers) {
		if number != "" {
			keys = append(keys, "number "+number)
		}
	}
	return keys
}

// ofIBAN is the account number in a German IBAN, without the zeros before it (IBAN rule 000000 of
// the Bundesbank).
func (n *accountName) ofIBAN() string {
	if len(n.iban) != 22 || !strings.HasPrefix(n.iban, "DE") {
		return ""
	}
	return withoutZeros(n.iban[12:])
}

// whole tells accounts of one list apart.
func (n *accountName) whole() string {
	number := n.iban
	if number == "" {
		number = n.bank + "/" + n.number
	}
	return number + "/" + n.sub + "/" + n.currency
}

// likeness says how well two names fit the same account; 0: they are of two.
func (n *accountName) likeness(s *accountName) int {
	sameIBAN := n.iban != "" && n.iban == s.iban
	switch {
	case n.iban != "" && s.iban != "" && !sameIBAN:
		return 0
	case n.number != "" && n.spelt == s.spelt && n.sameBank(s):
		return 5
	case n.currency != "" && s.currency != "" && n.currency != s.currency:
		return 0
	case !n.sameBank(s) && !sameIBAN:
		return 0
	case n.number == "" || n.number != s.number:
		switch {
		case sameIBAN:
			return 3
		case n.joins(s) || s.joins(n):
			return 2
		}
		return 0
	case n.sub == s.sub:
		return 4
	case sameIBAN && (n.sub == "" || s.sub == ""):
		return 3
	}
	return 0 // a sub-account, and its main account or another one
}

// joins reports whether the number of s says what n says with number and sub-account, or what the
// IBAN of n says.
func (n *accountName) joins(s *accountName) bool {
	switch {
	case s.number == "":
		return false
	case s.iban == "" && n.iban != "" && (n.ofIBAN() == s.number || n.ofIBAN() == s.joint):
		return true
	}
	return n.number != "" && n.joint != n.number && n.joint == s.number && s.joint == s.number
}

func (n *accountName) sameBank(s *accountName) bool {
	return n.bank == "" || s.bank == "" || n.bank == s.bank
}

// account finds an account: by our handle; where that changed, or the account was read over another
// protocol before, by IBAN and currency; else by its number in any spelling.
func (t *talk) account(of banks.Account) *userAccount {
	all := t.list()
	asked := nameOf(of.IBAN, of.Number, "", of.Currency, of.BankCode)
	if parts := strings.Split(of.ResourceID, "/"); len(parts) >= 4 {
		asked = nameOf(of.IBAN, parts[1], parts[2], parts[3], parts[0])
	}
	var byIBAN, byNumber *userAccount
	for i := range all {
		a := &all[i]
		name := a.name()
		switch {
		case of.IBAN != "" && a.IBAN != "" && a.IBAN != of.IBAN:
		case a.handle() == of.ResourceID:
			return a
		case a.IBAN != "" && a.IBAN == of.IBAN && (a.Currency == of.Currency || of.Currency == ""):
			byIBAN = a
		case name.likeness(&asked) > 0:
			byNumber = a
		}
	}
	if byIBAN != nil {
		return byIBAN
	}
	return byNumber
}

// names reports whether an account in an answer of the bank (ktv or kti) can be this one.
func (a *userAccount) names(e syntax.Element) bool {
	said := nameOf("", e.Get(0), e.Get(1), "", e.Get(3)) // ktv
	if iban, ok := lenient.IBAN(e.Get(0)); ok || len(e) > 4 {
		said = nameOf(iban, e.Get(2), e.Get(3), "", e.Get(5)) // kti, which may be without an IBAN
	}
	name := a.name()
	return name.likeness(&said) > 0
}
