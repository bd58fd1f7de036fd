package xs2a

import (
	"cmp"
	"strings"

	"github.com/go-faster/jx"
	"github.com/shopspring/decimal"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/formats/lenient"
	"github.com/kontoflow/kontoflow/banks/formats/remittance"
	"github.com/kontoflow/kontoflow/internal/civil"
)

// rawEntry collects the fields of one transaction, whichever of the two kinds.
type rawEntry struct {
	id, reference, endToEnd, mandate, creditorID, check string
	booking, value, date                                string
	bookingTime, valueTime                              string
	amount, currency, indicator, status                 string
	originalAmount, originalCurrency                    string
	creditor, debtor                                    rawParty
	remittance                                          string
	remittanceLines, structuredLines                    []string
	structured, details                                 string
	additional, purpose, code, proprietary              string
	ultimateCreditor, ultimateDebtor                    string
	terminal, acceptor, town, merchantCode, pan         string
	exchangeRate, exchangeCurrency                      string

	lost      int    // values that cannot be read
	lostFirst string // the first of them: the name of its member
}

// reset makes it ready for the next transaction.
func (e *rawEntry) reset() {
	*e = rawEntry{remittanceLines: e.remittanceLines[:0], structuredLines: e.structuredLines[:0]}
}

// lose counts a value that cannot be read.
func (e *rawEntry) lose(member string) {
	if e.lost++; e.lost == 1 {
		e.lostFirst = member
	}
}

type rawParty struct{ name, iban, number, bic string }

// field reads a member of a transaction. The members with objects or lists in them are in nested.
func (e *rawEntry) field(d *jx.Decoder, key []byte) error {
	into, max := e.scalarField(key)
	if into == nil {
		return e.nested(d, key)
	}
	s, ok, err := scalar(d)
	if !ok {
		e.lose(string(key))
	}
	*into = lenient.Text(s, max)
	return err
}

// scalarField is where a text, a number or a date goes, and its bound in bytes; nil: the member is
// none of them.
func (e *rawEntry) scalarField(key []byte) (into *string, max int) {
	switch string(key) {
	case "transactionId", "cardTransactionId":
		return &e.id, maxID
	case "entryReference":
		return &e.reference, maxID
	case "endToEndId":
		return &e.endToEnd, 256
	case "mandateId":
		return &e.mandate, 256
	case "creditorId":
		return &e.creditorID, 256
	case "checkId":
		return &e.check, 256
	case "bookingDate":
		return &e.booking, maxDay
	case "valueDate":
		return &e.value, maxDay
	case "transactionDate":
		return &e.date, maxDay
	case "bookingDateTime":
		return &e.bookingTime, maxDay
	case "valueDateTime":
		return &e.valueTime, maxDay
	case "currency": // beside the amount, where it is no object
		return &e.currency, maxCurrency
	case "creditDebitIndicator", "creditDebitInd", "sign":
		return &e.indicator, 16
	case "bookingStatus":
		return &e.status, 16
	case "creditorName":
		return &e.creditor.name, maxText
	case "creditorAgent":
		return &e.creditor.bic, 32
	case "debtorName":
		return &e.debtor.name, maxText
	case "debtorAgent":
		return &e.debtor.bic, 32
	case "ultimateCreditor":
		return &e.ultimateCreditor, maxText
	case "ultimateDebtor":
		return &e.ultimateDebtor, maxText
	}
	return e.otherField(key)
}

// otherField is scalarField for the members that describe a transaction.
func (e *rawEntry) otherField(key []byte) (into *string, max int) {
	switch string(key) {
	case "transactionDetails":
		return &e.details, maxMessage
	case "additionalInformation":
		return &e.additional, maxText
	case "purposeCode":
		return &e.purpose, 35
	case "bankTransactionCode":
		return &e.code, 64
	case "proprietaryBankTransactionCode":
		return &e.proprietary, 128
	case "terminalId":
		return &e.terminal, 128
	case "cardAcceptorId":
		return &e.acceptor, 128
	case "merchantCategoryCode":
		return &e.merchantCode, 8
	case "maskedPAN", "maskedPan":
		return &e.pan, 64
	}
	return nil, 0
}

// maxDay bounds the text of a day or date-time, in bytes. A longer one cannot be read.
const maxDay = 64

// nested reads a member that holds an object or a list.
func (e *rawEntry) nested(d *jx.Decoder, key []byte) error {
	switch string(key) {
	case "transactionAmount", "amount":
		_, err := readMoney(d, &e.amount, &e.currency)
		return err
	case "originalAmount", "instructedAmount":
		return e.original(d, key)
	case "creditorAccount":
		return e.creditor.account(d)
	case "debtorAccount":
		return e.debtor.account(d)
	case "remittanceInformationUnstructured":
		if d.Next() != jx.Array {
			s, ok, err := scalar(d)
			if !ok {
				e.lose(string(key))
			}
			e.remittance = lenient.Text(s, maxMessage)
			return err
		}
		return e.lines(d, key)
	case "remittanceInformationUnstructuredArray":
		return e.lines(d, key)
	case "remittanceInformationStructured":
		return e.structuredText(d, &e.structured)
	case "remittanceInformationStructuredArray":
		return each(d, func(d *jx.Decoder) error {
			var one string
			if err := e.structuredText(d, &one); err != nil || one == "" {
				return err
			}
			if len(e.structuredLines) >= maxLines {
				e.lose("remittanceInformationStructuredArray")
				return nil
			}
			e.structuredLines = append(e.structuredLines, one)
			return nil
		})
	case "currencyExchange":
		if d.Next() == jx.Array {
			return each(d, e.exchange)
		}
		return e.exchange(d)
	case "cardAcceptorAddress":
		return object(d, func(d *jx.Decoder, key []byte) error {
			if string(key) == "townName" || string(key) == "city" {
				return keep(d, &e.town, 128)
			}
			return d.Skip()
		})
	}
	return d.Skip()
}

// original reads an amount in another currency. It may come under several names: null under one of
// them takes nothing away.
func (e *rawEntry) original(d *jx.Decoder, key []byte) error {
	var amount, currency string
	ok, err := readMoney(d, &amount, &currency)
	if !ok {
		e.lose(string(key))
	}
	if amount != "" {
		e.originalAmount, e.originalCurrency = amount, currency
	}
	return err
}

const maxLines = 64

// lines reads the lines of a remittance.
func (e *rawEntry) lines(d *jx.Decoder, key []byte) error {
	if d.Next() != jx.Array { // one line alone
		s, ok, err := scalar(d)
		e.line(s, ok, key)
		return err
	}
	return d.Arr(func(d *jx.Decoder) error {
		s, ok, err := scalar(d)
		e.line(s, ok, key)
		return err
	})
}

func (e *rawEntry) line(s string, ok bool, key []byte) {
	s = lenient.Line(s, maxText)
	if !ok || strings.TrimSpace(s) != "" && len(e.remittanceLines) >= maxLines {
		e.lose(string(key))
		return
	}
	e.remittanceLines = remittance.Append(e.remittanceLines, s)
}

// structuredText reads a structured remittance, which is a text or an object with a reference.
func (e *rawEntry) structuredText(d *jx.Decoder, into *string) error {
	if d.Next() != jx.Object {
		s, ok, err := scalar(d)
		if !ok {
			e.lose("remittanceInformationStructured")
		}
		*into = lenient.Text(s, maxMessage)
		return err
	}
	return object(d, func(d *jx.Decoder, key []byte) error {
		if string(key) == "reference" {
			return keep(d, into, maxMessage)
		}
		return d.Skip()
	})
}

func (e *rawEntry) exchange(d *jx.Decoder) error {
	return object(d, func(d *jx.Decoder, key []byte) error {
		switch string(key) {
		case "sourceCurrency", "currencyFrom":
			return keep(d, &e.exchangeCurrency, maxCurrency)
		case "exchangeRate", "rate":
			return keep(d, &e.exchangeRate, 32)
		case "instructedAmount":
			return e.original(d, key)
		}
		return d.Skip()
	})
}

func (p *rawParty) account(d *jx.Decoder) error {
	switch d.Next() {
	case jx.String, jx.Number:
		return keep(d, &p.iban, 64)
	case jx.Array:
		return each(d, p.account)
	}
	return object(d, func(d *jx.Decoder, key []byte) error {
		switch string(key) {
		case "iban":
			return keep(d, &p.iban, 64)
		case "bban", "pan", "maskedPan", "msisdn", "otherAccountIdentification":
			return keepFirst(d, &p.number, 64)
		case "other":
			return object(d, func(d *jx.Decoder, key []byte) error {
				if string(key) == "identification" {
					return keepFirst(d, &p.number, 64)
				}
				return d.Skip()
			})
		}
		return d.Skip()
	})
}

// keepFirst is keep for a value that may come under several names: null under one of them takes
// nothing away.
func keepFirst(d *jx.Decoder, into *string, max int) error {
	var s string
	err := keep(d, &s, max)
	*into = cmp.Or(*into, s)
	return err
}

func (p *rawParty) party() banks.Party {
	party := banks.Party{Name: p.name, AccountNumber: p.number, BIC: strings.ToUpper(p.bic)}
	if iban, ok := lenient.IBAN(p.iban); ok {
		party.IBAN = iban
	} else if p.iban != "" && party.AccountNumber == "" {
		party.AccountNumber = p.iban // a masked card number where an IBAN belongs
	}
	return party
}

func (p *rawParty) empty() bool { return *p == rawParty{} }

// ownAccount is what the account itself is called in its own report: IBANs and numbers.
type ownAccount struct{ names []string }

func (o *ownAccount) add(name string) {
	if iban, ok := lenient.IBAN(name); ok {
		name = iban
	}
	if name != "" && len(o.names) < 8 && !o.has(name) {
		o.names = append(o.names, name)
	}
}

func (o *ownAccount) has(name string) bool {
	for _, own := range o.names {
		if own == name {
			return true
		}
	}
	return false
}

// is reports whether a party is the account itself.
func (o *ownAccount) is(p *rawParty) bool {
	switch {
	case len(o.names) == 0:
		return false
	case p.iban == "":
		return p.number != "" && o.has(p.number)
	case o.has(p.iban):
		return true
	}
	iban, ok := lenient.IBAN(p.iban)
	return ok && o.has(iban)
}

// What keeps an entry from being read.
const (
	troubleAmount   = "amount"
	troubleCurrency = "currency"
	troubleSign     = "sign"
)

// entry turns the fields into an entry. trouble says what of it cannot be read; then there is no
// entry.
func (e *rawEntry) entry(currency string, pending bool, own *ownAccount) (entry banks.Entry, trouble string) {
	amount, ok := lenient.Amount(e.amount)
	if !ok {
		return entry, troubleAmount
	}
	if e.currency != "" {
		if currency = lenient.Currency(e.currency); currency == "" {
			return entry, troubleCurrency
		}
	}
	if currency == "" {
		return entry, troubleCurrency
	}
	if amount, ok = indicated(amount, e.indicator); !ok {
		return entry, troubleSign
	}
	entry = banks.Entry{
		TransactionID:  e.id,
		EntryReference: e.reference,
		Pending:        pending || e.isPending(),
		Amount:         lenient.WithoutNoise(amount, currency),
		Currency:       currency,
		Counterparty:   e.counterparty(amount.Sign() > 0, own),
		EndToEndID:     e.endToEnd,
		MandateID:      e.mandate,
		CreditorID:     e.creditorID,
		PurposeCode:    e.purpose,
		BookingKey:     e.code,
		BookingText:    e.additional,
	}
	e.originally(&entry)
	e.dates(&entry)
	e.describe(&entry)
	e.extras(&entry)
	return entry, ""
}

// indicated applies the sign that some banks send in a member of its own. The amount is without one
// then; one that says otherwise contradicts it, and neither can be trusted.
func indicated(amount decimal.Decimal, indicator string) (decimal.Decimal, bool) {
	switch strings.ToUpper(indicator) {
	case "":
		return amount, true
	case "DBIT", "DEBIT", "DBT", "D", "-":
		return amount.Abs().Neg(), true
	case "CRDT", "CREDIT", "CDT", "C", "+":
		return amount, amount.Sign() >= 0
	}
	return amount, false
}

// isPending reports whether an entry that stands in a list without a name says that it is pending.
func (e *rawEntry) isPending() bool {
	switch strings.ToUpper(e.status) {
	case "PENDING", "PDNG":
		return true
	}
	return false
}

// originally reads the amount before it was exchanged.
func (e *rawEntry) originally(entry *banks.Entry) {
	original, ok := lenient.Amount(e.originalAmount)
	if !ok && e.originalAmount != "" {
		e.lose("originalAmount")
	}
	if ok && !original.IsZero() {
		entry.OriginalCurrency = e.foreign(e.originalCurrency)
		entry.OriginalAmount = lenient.WithoutNoise(original, entry.OriginalCurrency)
		if e.indicator != "" && entry.Amount.Sign() < 0 {
			entry.OriginalAmount = entry.OriginalAmount.Abs().Neg()
		}
	} else if c := e.foreign(e.exchangeCurrency); c != "" && c != entry.Currency {
		entry.OriginalCurrency = c
	}
}

func (e *rawEntry) foreign(s string) string {
	c := lenient.Currency(s)
	if c == "" && s != "" {
		e.lose("original currency")
	}
	return c
}

// dates reads the days. A booked entry without a booking date takes its value date, else the date
// of the transaction.
func (e *rawEntry) dates(entry *banks.Entry) {
	entry.BookingDate = e.day("bookingDate", e.booking)
	if entry.BookingDate.IsZero() && e.bookingTime != "" {
		entry.BookingDate = e.day("bookingDateTime", e.bookingTime)
	}
	entry.ValueDate = e.day("valueDate", e.value)
	if entry.ValueDate.IsZero() && e.valueTime != "" {
		entry.ValueDate = e.day("valueDateTime", e.valueTime)
	}
	date := civil.Date(0)
	if e.date != "" {
		date = e.day("transactionDate", e.date)
	}
	switch {
	case !entry.BookingDate.IsZero():
	case entry.Pending:
		entry.ValueDate = cmp.Or(entry.ValueDate, date)
	default:
		entry.BookingDate = cmp.Or(entry.ValueDate, date)
		entry.ValueDate = cmp.Or(entry.ValueDate, date)
	}
}

func (e *rawEntry) day(member, s string) civil.Date {
	d, ok := lenient.Day(s)
	if !ok {
		e.lose(member)
	}
	return d
}

// counterparty chooses the other side. Money out goes to a creditor, money in comes from a debtor.
// Some banks fill only the other one, and some name the account itself where the other side
// belongs: it is never its own counterparty where there is somebody else, or where only it is named
// in the wrong place.
func (e *rawEntry) counterparty(in bool, own *ownAccount) banks.Party {
	party, other := &e.creditor, &e.debtor
	ultimate := e.ultimateCreditor
	if in {
		party, other = other, party
		ultimate = e.ultimateDebtor
	}
	switch {
	case party.empty() && !own.is(other):
		party = other
	case !party.empty() && !other.empty() && own.is(party) && !own.is(other):
		party = other
		if ultimate = e.ultimateDebtor; in {
			ultimate = e.ultimateCreditor
		}
	}
	chosen := party.party()
	chosen.Name = cmp.Or(chosen.Name, ultimate)
	return chosen
}

// describe picks the remittance: the array is whole where the text is cut at 140 characters, but
// some banks fill only one of them.
func (e *rawEntry) describe(entry *banks.Entry) {
	whole := 0
	for _, line := range e.remittanceLines {
		whole += len(line)
	}
	switch {
	case whole > 0 && whole >= len(e.remittance):
		entry.Remittance = append([]string(nil), e.remittanceLines...)
	case e.remittance != "":
		entry.Remittance = []string{e.remittance}
	case e.details != "":
		entry.Remittance = []string{e.details}
	}
	e.describeStructured(entry)
	labelled(entry)
	// German banks write "NTRF+166+9310": kind, business transaction code, primanota.
	if parts := strings.Split(e.proprietary, "+"); len(parts) >= 2 && len(parts[0]) == 4 && isDigits(parts[1]) {
		if entry.BookingKey == "" {
			entry.BookingKey = parts[1]
		}
		if len(parts) > 2 {
			entry.PrimanotaCode = lenient.Cut(parts[2], 35)
		}
	} else if entry.BookingText == "" {
		entry.BookingText = e.proprietary
	}
}

// describeStructured places the structured remittance. It is meant for a reference, but some banks
// write the whole text into it, and nothing anywhere else.
func (e *rawEntry) describeStructured(entry *banks.Entry) {
	all := e.structuredLines
	if e.structured != "" {
		all = append([]string{e.structured}, all...)
	}
	if len(all) == 0 {
		return
	}
	if len(entry.Remittance) == 0 {
		entry.Remittance = append([]string(nil), all...)
	}
	for _, s := range all {
		switch {
		case isReference(s):
			entry.CustomerReference = cmp.Or(entry.CustomerReference, s)
		case !contains(entry.Remittance, s):
			entry.Remittance = append(entry.Remittance, s)
		}
	}
}

// contains reports whether a text stands in the lines, which may have been cut from it.
func contains(lines []string, s string) bool {
	squeezed := strings.ReplaceAll(strings.Join(lines, ""), " ", "")
	return strings.Contains(squeezed, strings.ReplaceAll(s, " ", ""))
}

// isReference reports whether a structured remittance is a reference and no text: at most 35
// characters (ISO 20022, Max35Text) that are one word with a digit in it, or a creditor reference
// in groups (ISO 11649), or digits in groups.
func isReference(s string) bool {
	word := strings.ReplaceAll(s, " ", "")
	if len(word) > 35 || !strings.ContainsAny(word, "0123456789") {
		return false
	}
	if len(word) == len(s) || isDigits(word) {
		return true
	}
	return len(word) > 4 && strings.HasPrefix(word, "RF") && isDigits(word[2:4]) && len(word) <= 25 && strings.ToUpper(word) == word
}

// labelled takes the form apart that ING writes:
// "mandatereference:…,creditorid:…,remittanceinformation:…".
func labelled(entry *banks.Entry) {
	if len(entry.Remittance) != 1 {
		return
	}
	rest, ok := cutLabel(entry.Remittance[0], "mandatereference:")
	if !ok {
		return
	}
	mandate, rest, ok := cutAtLabel(rest, ",creditorid:")
	if !ok {
		return
	}
	creditor, rest, ok := cutAtLabel(rest, ",remittanceinformation:")
	if !ok {
		return
	}
	entry.MandateID = cmp.Or(entry.MandateID, strings.TrimSpace(mandate))
	entry.CreditorID = cmp.Or(entry.CreditorID, strings.TrimSpace(creditor))
	entry.Remittance = nil
	if rest = strings.TrimSpace(rest); rest != "" {
		entry.Remittance = []string{rest}
	}
}

func cutLabel(s, label string) (rest string, ok bool) {
	if len(s) < len(label) || !strings.EqualFold(s[:len(label)], label) {
		return "", false
	}
	return s[len(label):], true
}

func cutAtLabel(s, label string) (before, after string, ok bool) {
	for i := 0; i+len(label) <= len(s); i++ {
		if s[i] == ',' && strings.EqualFold(s[i:i+len(label)], label) {
			return s[:i], s[i+len(label):], true
		}
	}
	return "", "", false
}

func (e *rawEntry) extras(entry *banks.Entry) {
	add := func(key, value string) {
		if value == "" {
			return
		}
		if entry.AdditionalInfo == nil {
			entry.AdditionalInfo = make(map[string]string, 4)
		}
		entry.AdditionalInfo[key] = value
	}
	add("ultimate_creditor", e.ultimateCreditor)
	add("ultimate_debtor", e.ultimateDebtor)
	add("check_id", e.check)
	add("exchange_rate", e.exchangeRate)
	add("terminal", e.terminal)
	add("card_acceptor", e.acceptor)
	add("card_acceptor_town", e.town)
	add("merchant_category_code", e.merchantCode)
	add("card", e.pan)
	if e.date != "" && e.date != e.booking {
		add("transaction_date", e.date)
	}
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}
