package rules

import (
	"cmp"
	"slices"
	"strings"

	"github.com/kontoflow/kontoflow/banks"
)

// SeveralCurrencies is what XS2A names as the currency of an account that has several (ISO 4217: no currency).
const SeveralCurrencies = "XXX"

// Banks give no lasting id to an account: the handle changes with every consent. So a listed account is recognised by its
// number and currency, and accounts that share both are told apart by what else is said about them.

// Distinct leaves out of a list what stands in it twice: accounts with the same handle. Cards have handles of their own,
// unless they have the number of an account with the same handle, too.
func Distinct(listed []banks.Account) []banks.Account {
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
	if currency == SeveralCurrencies {
		return ""
	}
	return currency
}

// Identity is what an account is recognised by in the first place. Accounts may share it.
func Identity(a *banks.Account) string {
	return numberOf(a.IBAN, a.BankCode, a.Number) + "/" + currencyOf(a.Currency)
}

// Recognise returns for each listed account which of the known ones it is, by its index; -1: none. No known account is
// returned twice. The known accounts have the name that the bank listed them under.
//
// First come pairs with the same number and currency: the more of name, sub-account, handle and type they have in common, the
// earlier, and then in the bank's order. Then come pairs where one of the two says less, or says it in another way: a
// number without the bank code, no currency, nothing but a new handle. Of those a pair has to be the only likely one.
func Recognise(known, listed []banks.Account) []int {
	r := recogniser{known: known, listed: listed, found: make([]int, len(listed)), taken: make([]bool, len(known))}
	for i := range r.found {
		r.found[i] = -1
	}
	r.pairSame()
	r.pairAlike()
	return r.found
}

type recogniser struct {
	known  []banks.Account
	listed []banks.Account
	found  []int  // for each listed one
	taken  []bool // for each known one
}

// likely is a pair that may be one account.
type likely struct{ known, listed, likeness int }

func (r *recogniser) pairSame() {
	byIdentity := make(map[string][]int, len(r.known))
	for k := range r.known {
		id := Identity(&r.known[k])
		byIdentity[id] = append(byIdentity[id], k)
	}
	var pairs []likely
	for l := range r.listed {
		offered := &r.listed[l]
		for _, k := range byIdentity[Identity(offered)] {
			a := &r.known[k]
			numbered := numberOf(offered.IBAN, offered.BankCode, offered.Number) != ""
			if !excludes(a, offered) && (numbered || sameName(a, offered) || sameHandle(a, offered) || nameless(a, offered)) {
				pairs = append(pairs, likely{k, l, likeness(a, offered)})
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
			if offered := &r.listed[l]; r.found[l] < 0 && !r.taken[k] && alike(&r.known[k], offered) {
				p := likely{k, l, likeness(&r.known[k], offered)}
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
	if r.found[p.listed] < 0 && !r.taken[p.known] {
		r.found[p.listed], r.taken[p.known] = p.known, true
	}
}

// likeness weighs what a known account and a listed one with the same number have in common. A name says more than a
// handle: banks number the accounts of a consent, and another consent may have another order. A handle says more than a
// type, which several accounts share.
func likeness(a, offered *banks.Account) (sum int) {
	if sameName(a, offered) {
		sum += 8
	}
	if sameHandle(a, offered) {
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
	if number := a.Number; number != "" && offered.Number != "" { // beside the IBAN
		if withoutZeros(number) == withoutZeros(offered.Number) {
			sum += 16
		} else {
			sum -= 16
		}
	}
	return sum
}

func sameHandle(a, offered *banks.Account) bool {
	return a.ResourceID != "" && a.ResourceID == offered.ResourceID
}

func sameName(a, offered *banks.Account) bool {
	return a.Name != "" && offered.Name != "" && tidyName(a.Name) == tidyName(offered.Name)
}

// nameless reports that neither has a handle or a name.
func nameless(a, offered *banks.Account) bool {
	return a.ResourceID == "" && offered.ResourceID == "" && a.Name == "" && offered.Name == ""
}

// tidyName is a name as it is compared: one protocol writes in capitals what another one does not.
func tidyName(name string) string { return strings.Join(strings.Fields(strings.ToLower(name)), " ") }

// excludes reports that the two cannot be one account: over one protocol, a card is not an account with the card's IBAN.
func excludes(a, offered *banks.Account) bool {
	return a.Card != offered.Card && a.ResourceID != ""
}

// alike reports whether a listed account may be this one although number or currency are said in another way.
func alike(a, offered *banks.Account) bool {
	currency, other := currencyOf(a.Currency), currencyOf(offered.Currency)
	if excludes(a, offered) || currency != "" && other != "" && currency != other {
		return false
	}
	mine, others := numberOf(a.IBAN, a.BankCode, a.Number), numberOf(offered.IBAN, offered.BankCode, offered.Number)
	if mine == "" && others == "" { // only the handle is another one
		return (a.Name == "" || offered.Name == "" || sameName(a, offered)) && (a.Type == offered.Type || a.ResourceID == "")
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
