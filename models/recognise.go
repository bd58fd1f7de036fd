package models

import (
	"cmp"
	"slices"
	"strings"

	"github.com/kontoflow/kontoflow/banks"
)

// Banks give no lasting id to an account: the handle changes with every consent. So a listed account is recognised by its
// number and currency, and accounts that share both are told apart by what else is said about them.

// distinct leaves out of a list what stands in it twice: accounts with the same handle. Cards have handles of their own,
// unless they have the number of an account with the same handle, too.
func distinct(listed []banks.Account) []banks.Account {
	type handle struct {
		id   string
		card bool
	}
	seen := make(map[handle]*banks.Account, len(listed))
	kept := make([]banks.Account, 0, len(listed))
	for _, a := range listed {
		h := handle{a.ResourceID, a.Card}
		other := seen[handle{a.ResourceID, !a.Card}]
		if a.ResourceID != "" && (seen[h] != nil || other != nil && numberOf(other.IBAN, other.BankCode, other.Number) == numberOf(a.IBAN, a.BankCode, a.Number)) {
			continue
		}
		kept = append(kept, a)
		seen[h] = &kept[len(kept)-1]
	}
	return kept
}

// numberOf is an account's number in one spelling: country, bank and account, from the IBAN, or from bank code and number
// as Germany makes an IBAN of them (IBAN-Regel 000000 of the Bundesbank: the number is filled up with zeros to ten digits).
// Others are the bank code and the number without leading zeros. "": the account has none.
func numberOf(iban, bankCode, number string) string {
	switch {
	case len(iban) > 4:
		return iban[:2] + iban[4:]
	case number == "":
		return ""
	case bankCode == "" && len(number) == 18:
		return "DE" + number
	case len(bankCode) == 8 && len(number) <= 10:
		return "DE" + bankCode + strings.Repeat("0", 10-len(number)) + number
	}
	return bankCode + "/" + withoutZeros(number)
}

func withoutZeros(number string) string {
	if trimmed := strings.TrimLeft(number, "0"); trimmed != "" {
		return trimmed
	}
	return number
}

// currencyOf is "" for an account of several currencies as well.
func currencyOf(currency string) string {
	if currency == severalCurrencies {
		return ""
	}
	return currency
}

// identity is what an account is recognised by in the first place. Accounts may share it.
func identity(a *banks.Account) string {
	return numberOf(a.IBAN, a.BankCode, a.Number) + "/" + currencyOf(a.Currency)
}

func (a *Account) identity() string {
	listed := a.AtBank()
	return identity(&listed)
}

// recognise returns for each listed account which of the known ones it is; nil: none. No known account is returned twice.
//
// First, accounts with the same number and currency are paired, those first that have the most in common (see likeness).
// What is equally likely is paired in the order of both lists, which is the bank's. Accounts without any number need the
// same name or handle. Then the rest may say different things of one account, because it was known over another protocol:
// a number without the bank code, no currency, nothing but a new handle. Of those a pair has to be the only likely one.
func recognise(known []*Account, listed []banks.Account) []*Account {
	r := recogniser{known: known, listed: listed, found: make([]*Account, len(listed)), taken: make([]bool, len(known))}
	r.pairSame()
	r.pairAlike()
	return r.found
}

type recogniser struct {
	known  []*Account
	listed []banks.Account
	found  []*Account // for each listed one
	taken  []bool     // for each known one
}

// likely is a pair that may be one account.
type likely struct{ known, listed, likeness int }

func (r *recogniser) pairSame() {
	byIdentity := make(map[string][]int, len(r.known))
	for k, a := range r.known {
		id := a.identity()
		byIdentity[id] = append(byIdentity[id], k)
	}
	var pairs []likely
	for l := range r.listed {
		offered := &r.listed[l]
		for _, k := range byIdentity[identity(offered)] {
			a := r.known[k]
			numbered := numberOf(offered.IBAN, offered.BankCode, offered.Number) != ""
			if !a.excludes(offered) && (numbered || a.sameName(offered) || a.sameHandle(offered) || a.nameless(offered)) {
				pairs = append(pairs, likely{k, l, a.likeness(offered)})
			}
		}
	}
	slices.SortFunc(pairs, func(a, b likely) int {
		return cmp.Or(cmp.Compare(b.likeness, a.likeness), cmp.Compare(a.known, b.known), cmp.Compare(a.listed, b.listed))
	})
	for _, p := range pairs {
		r.pair(p)
	}
}

func (r *recogniser) pairAlike() {
	var pairs []likely
	knownBest, listedBest := make([]best, len(r.known)), make([]best, len(r.listed))
	for l := range r.listed {
		for k := range r.known {
			if offered := &r.listed[l]; r.found[l] == nil && !r.taken[k] && r.known[k].alike(offered) {
				p := likely{k, l, r.known[k].likeness(offered)}
				pairs = append(pairs, p)
				knownBest[k].see(p.likeness)
				listedBest[l].see(p.likeness)
			}
		}
	}
	for _, p := range pairs {
		if knownBest[p.known].only(p.likeness) && listedBest[p.listed].only(p.likeness) {
			r.pair(p)
		}
	}
}

// best is the greatest likeness of an account's pairs, and how many of them have it.
type best struct{ likeness, times int }

func (b *best) see(likeness int) {
	switch {
	case b.times == 0 || likeness > b.likeness:
		*b = best{likeness, 1}
	case likeness == b.likeness:
		b.times++
	}
}

func (b *best) only(likeness int) bool { return b.likeness == likeness && b.times == 1 }

func (r *recogniser) pair(p likely) {
	if r.found[p.listed] == nil && !r.taken[p.known] {
		r.found[p.listed], r.taken[p.known] = r.known[p.known], true
	}
}

// likeness weighs what a known account and a listed one with the same number have in common. A name says more than a
// handle: banks number the accounts of a consent, and another consent may have another order. A handle says more than a
// type, which several accounts share.
func (a *Account) likeness(offered *banks.Account) (sum int) {
	if a.sameName(offered) {
		sum += 8
	}
	if a.sameHandle(offered) {
		sum += 6
	}
	unknown := func(t banks.AccountType) bool { return t == "" || t == banks.Unknown }
	switch {
	case unknown(a.Type) || unknown(offered.Type):
	case a.Type == offered.Type:
		sum += 4
	default:
		sum -= 4
	}
	if number := value(a.AccountNumber); number != "" && offered.Number != "" { // beside the IBAN
		if withoutZeros(number) == withoutZeros(offered.Number) {
			sum += 16
		} else {
			sum -= 16
		}
	}
	return sum
}

func (a *Account) sameHandle(offered *banks.Account) bool {
	return a.ResourceID != "" && a.ResourceID == offered.ResourceID
}

func (a *Account) sameName(offered *banks.Account) bool {
	return a.ListedName != nil && offered.Name != "" && tidyName(*a.ListedName) == tidyName(offered.Name)
}

// nameless reports that neither has a handle or a name.
func (a *Account) nameless(offered *banks.Account) bool {
	return a.ResourceID == "" && offered.ResourceID == "" && a.ListedName == nil && offered.Name == ""
}

// tidyName is a name as it is compared: one protocol writes in capitals what another one does not.
func tidyName(name string) string { return strings.Join(strings.Fields(strings.ToLower(name)), " ") }

// excludes reports that the two cannot be one account: over one protocol, a card is not an account with the card's IBAN.
func (a *Account) excludes(offered *banks.Account) bool {
	return a.Card != offered.Card && a.ResourceID != ""
}

// alike reports whether a listed account may be this one although number or currency are said in another way.
func (a *Account) alike(offered *banks.Account) bool {
	currency, other := currencyOf(value(a.Currency)), currencyOf(offered.Currency)
	if a.excludes(offered) || currency != "" && other != "" && currency != other {
		return false
	}
	mine, others := numberOf(value(a.IBAN), value(a.BankCode), value(a.AccountNumber)), numberOf(offered.IBAN, offered.BankCode, offered.Number)
	if mine == "" && others == "" { // only the handle is another one
		return (a.ListedName == nil || offered.Name == "" || a.sameName(offered)) && (a.Type == offered.Type || a.ResourceID == "")
	}
	return mine == others || sameGermanNumber(mine, others) || sameGermanNumber(others, mine)
}

// sameGermanNumber reports whether a number without a bank code is the end of a whole German one.
func sameGermanNumber(whole, number string) bool {
	const country, bank, account = 2, 8, 10
	short, bare := strings.CutPrefix(number, "/")
	return bare && len(whole) == country+bank+account && strings.HasPrefix(whole, "DE") &&
		withoutZeros(whole[country+bank:]) == short
}
