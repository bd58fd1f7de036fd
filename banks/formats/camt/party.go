package camt

import (
	"cmp"
	"strings"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/formats/lenient"
)

// side is the debtor or the creditor of a transaction, with its account and bank.
type side struct {
	name        string
	institution string // the name of a party that is a bank
	ultimate    string
	creditorID  string // of the first id that has its form

	iban, number, accountName string

	bic, bankCode, bankName string
	ownBIC                  string // of a party that is a bank
}

func (s *side) size() int {
	n := 0
	for _, text := range [...]string{s.name, s.institution, s.ultimate, s.creditorID, s.iban, s.number, s.accountName, s.bic, s.bankCode, s.bankName, s.ownBIC} {
		n += len(text)
	}
	return n
}

// called is the name that a side goes by.
func (s *side) called() string {
	for _, name := range [...]string{s.name, s.institution, s.ultimate, s.accountName} {
		if name != "" && !strings.EqualFold(name, "NOTPROVIDED") && !strings.EqualFold(name, "NOTAVAILABLE") {
			return name
		}
	}
	return ""
}

func (s *side) empty() bool { return s.called() == "" && !s.hasAccount() }

func (s *side) hasAccount() bool { return s.iban != "" || !isPlaceholder(s.number) }

func (s *side) readIBAN(b []byte) {
	text := string(b)
	if iban, ok := lenient.IBAN(text); ok {
		s.iban = iban
	} else if s.number == "" {
		s.number = lenient.Text(text, 64)
	}
}

func (s *side) readNumber(b []byte) {
	text := lenient.Text(string(b), 64)
	if iban, ok := lenient.IBAN(text); ok && s.iban == "" {
		s.iban = iban
		return
	}
	s.number = text
}

func (s *side) readID(b []byte) {
	if text := lenient.Text(string(b), 256); s.creditorID == "" && creditorIDForm.MatchString(text) {
		s.creditorID = text
	}
}

// holder is whose statement it is.
type holder struct {
	account side
	name    string
}

// is reports whether a side is the holder; sure is false where the message does not say enough to
// know.
func (h *holder) is(s *side) (yes, sure bool) {
	if s.hasAccount() {
		if !h.account.hasAccount() {
			return false, false
		}
		if s.iban != "" && h.account.iban != "" {
			return s.iban == h.account.iban, true
		}
		return s.ownNumber() == h.account.ownNumber(), true
	}
	name := s.called()
	if name == "" || h.name == "" {
		return false, false
	}
	return strings.EqualFold(strings.Join(strings.Fields(name), " "), strings.Join(strings.Fields(h.name), " ")), true
}

// ownNumber is the bank's own number of an account. A German IBAN ends in it.
func (s *side) ownNumber() string {
	number := s.number
	if isPlaceholder(number) && strings.HasPrefix(s.iban, "DE") && len(s.iban) == 22 {
		number = s.iban[12:]
	}
	return strings.TrimLeft(number, "0")
}

// party puts the other side into an entry. Money out goes to a creditor, and money in comes from a
// debtor. What comes back shows the parties of the transaction that it undoes, so there it is the
// other way round. But some banks fill the wrong side, and some do not turn them round; so whoever
// is the account's holder is never the other side.
func (d *decoder) party(e *banks.Entry, t *details, returned bool) {
	expected, unexpected := &t.creditor, &t.debtor
	if e.Amount.IsNegative() == returned {
		expected, unexpected = unexpected, expected
	}
	holds, sure := d.statement.holder.is(expected)
	otherHolds, otherSure := d.statement.holder.is(unexpected)
	other := expected
	switch {
	case holds && !otherHolds:
		other = unexpected
	case otherHolds || unexpected.empty():
	case !sure && otherSure && unexpected.hasAccount(): // one of the two is the holder
		other = unexpected
	case expected.empty() && (returned || otherSure):
		other = unexpected
	}
	e.Counterparty = banks.Party{
		Name:          other.called(),
		IBAN:          other.iban,
		BIC:           strings.ToUpper(cmp.Or(other.bic, other.ownBIC)),
		BankCode:      other.bankCode,
		BankName:      other.bankName,
		AccountNumber: other.number,
	}
	if other.iban != "" || isPlaceholder(other.number) {
		e.Counterparty.AccountNumber = ""
	}
	if other.ultimate != e.Counterparty.Name && !isPlaceholder(other.ultimate) {
		put(e, "ultimate_party", other.ultimate)
	}
}
