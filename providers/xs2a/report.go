package xs2a

import (
	"bytes"
	"cmp"
	"io"
	"strings"
	"sync"

	"github.com/go-faster/jx"

	"kontoflow/providers"
	"kontoflow/providers/lenient"
)

// report is a page of transactions as the bank sent it.
type report struct {
	entries  []providers.Entry
	balances []providers.Balance
	next     string
	download string

	withheld   providers.Withheld // the page is no list
	unreadable providers.Unreadable
}

// maxEntries bounds a page beside its size in bytes.
const maxEntries = 200_000

const errTooMany = providers.OwnError("there are too many entries")

// readReport reads the JSON of a transactions call, ordinary or card. It takes a value of any type where a text or an
// amount belongs: what is of no use is skipped, not refused. currency stands in where an amount has none. The caller
// bounds the body.
//
// The parser is jx and not encoding/json: a page is read in a fraction of the time, and a field of the wrong type
// costs that field, not the page.
func readReport(body io.Reader, currency string) (*report, error) {
	page := pages.Get().(*bytes.Buffer)
	defer func() {
		if page.Reset(); page.Cap() <= maxKept {
			pages.Put(page)
		}
	}()
	if _, err := page.ReadFrom(body); err != nil {
		return nil, err
	}
	r := &reportReader{currency: currency}
	d := jx.DecodeBytes(page.Bytes())
	if d.Next() != jx.Object {
		return nil, providers.OwnError("not a JSON object")
	}
	err := d.ObjBytes(func(d *jx.Decoder, key []byte) error {
		switch string(key) {
		case "transactions", "cardTransactions":
			return r.lists(d)
		case "booked", "pending": // a report without its envelope
			return r.list(d, string(key) == "pending")
		case "balances":
			return each(d, r.balance)
		case "debitAccounting":
			s, err := scalar(d)
			r.debitPositive = s == "true"
			return err
		case "_links":
			return r.links(d)
		}
		return d.Skip()
	})
	if err != nil {
		return nil, err
	}
	if r.debitPositive {
		for i := range r.entries {
			r.entries[i].Amount = r.entries[i].Amount.Neg()
			r.entries[i].OriginalAmount = r.entries[i].OriginalAmount.Neg()
		}
		for i := range r.balances {
			r.balances[i].Amount = r.balances[i].Amount.Neg()
		}
	}
	return &r.report, nil
}

// pages are buffers for the text of pages; a page is some hundred kilobytes.
var pages = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxKept is the largest buffer that is kept for the next page.
const maxKept = 4 << 20

type reportReader struct {
	report
	currency      string
	debitPositive bool
	raw           rawEntry // one at a time
}

func (r *reportReader) lists(d *jx.Decoder) error {
	if d.Next() == jx.Array { // a bare list is one of booked entries
		return r.list(d, false)
	}
	return object(d, func(d *jx.Decoder, key []byte) error {
		switch string(key) {
		case "booked":
			return r.list(d, false)
		case "pending":
			return r.list(d, true)
		case "_links":
			return r.links(d)
		}
		return d.Skip()
	})
}

func (r *reportReader) list(d *jx.Decoder, pending bool) error {
	return each(d, func(d *jx.Decoder) error {
		if len(r.entries) >= maxEntries {
			return errTooMany
		}
		r.raw = rawEntry{remittanceLines: r.raw.remittanceLines[:0], structuredLines: r.raw.structuredLines[:0]}
		if err := object(d, r.raw.field); err != nil {
			return err
		}
		if entry, ok := r.raw.entry(r.currency); ok {
			entry.Pending = pending
			r.entries = append(r.entries, entry)
		}
		return nil
	})
}

func (r *reportReader) links(d *jx.Decoder) error {
	return object(d, func(d *jx.Decoder, key []byte) error {
		var into *string
		switch string(key) {
		case "next":
			into = &r.next
		case "download":
			into = &r.download
		default:
			return d.Skip()
		}
		if d.Next() == jx.String {
			return keep(d, into, maxMessage)
		}
		return object(d, func(d *jx.Decoder, key []byte) error {
			if string(key) == "href" {
				return keep(d, into, maxMessage)
			}
			return d.Skip()
		})
	})
}

func (r *reportReader) balance(d *jx.Decoder) error {
	var b balance
	err := object(d, func(d *jx.Decoder, key []byte) error {
		switch string(key) {
		case "balanceAmount":
			var amount, currency string
			err := readMoney(d, &amount, &currency)
			b.Amount = money{Currency: text(currency), Amount: text(amount)}
			return err
		case "balanceType":
			return keepText(d, &b.Type)
		case "referenceDate":
			return keepText(d, &b.Date)
		case "lastChangeDateTime":
			return keepText(d, &b.Time)
		}
		return d.Skip()
	})
	if err == nil && len(r.balances) < 20 {
		r.balances = append(r.balances, balancesOf(many[balance]{b}, false)...)
	}
	return err
}

// rawEntry collects the fields of one transaction, whichever of the two kinds.
type rawEntry struct {
	id, reference, endToEnd, mandate, creditorID, check string
	booking, value, date                                string
	amount, currency                                    string
	originalAmount, originalCurrency                    string
	creditor, debtor                                    rawParty
	remittance                                          string
	remittanceLines, structuredLines                    []string
	structured, details                                 string
	additional, purpose, code, proprietary              string
	ultimateCreditor, ultimateDebtor                    string
	terminal, acceptor, town, merchantCode, pan         string
	exchangeRate, exchangeCurrency                      string
}

type rawParty struct{ name, iban, number, bic string }

func (e *rawEntry) field(d *jx.Decoder, key []byte) error {
	switch string(key) {
	case "transactionId", "cardTransactionId":
		return keep(d, &e.id, maxID)
	case "entryReference":
		return keep(d, &e.reference, maxID)
	case "endToEndId":
		return keep(d, &e.endToEnd, 256)
	case "mandateId":
		return keep(d, &e.mandate, 256)
	case "creditorId":
		return keep(d, &e.creditorID, 256)
	case "checkId":
		return keep(d, &e.check, 256)
	case "bookingDate":
		return keep(d, &e.booking, 40)
	case "valueDate":
		return keep(d, &e.value, 40)
	case "transactionDate":
		return keep(d, &e.date, 40)
	case "transactionAmount", "amount":
		return readMoney(d, &e.amount, &e.currency)
	case "originalAmount", "instructedAmount":
		return readMoney(d, &e.originalAmount, &e.originalCurrency)
	case "creditorName":
		return keep(d, &e.creditor.name, maxText)
	case "creditorAccount":
		return e.creditor.account(d)
	case "creditorAgent":
		return keep(d, &e.creditor.bic, 32)
	case "debtorName":
		return keep(d, &e.debtor.name, maxText)
	case "debtorAccount":
		return e.debtor.account(d)
	case "debtorAgent":
		return keep(d, &e.debtor.bic, 32)
	case "ultimateCreditor":
		return keep(d, &e.ultimateCreditor, maxText)
	case "ultimateDebtor":
		return keep(d, &e.ultimateDebtor, maxText)
	case "remittanceInformationUnstructured":
		if d.Next() == jx.Array {
			return lines(d, &e.remittanceLines)
		}
		return keep(d, &e.remittance, maxMessage)
	case "remittanceInformationUnstructuredArray":
		return lines(d, &e.remittanceLines)
	case "remittanceInformationStructured":
		return e.reference140(d, &e.structured)
	case "remittanceInformationStructuredArray":
		return each(d, func(d *jx.Decoder) error {
			var one string
			if err := e.reference140(d, &one); err != nil || one == "" || len(e.structuredLines) >= maxLines {
				return err
			}
			e.structuredLines = append(e.structuredLines, one)
			return nil
		})
	case "transactionDetails":
		return keep(d, &e.details, maxMessage)
	case "additionalInformation":
		return keep(d, &e.additional, maxText)
	case "purposeCode":
		return keep(d, &e.purpose, 35)
	case "bankTransactionCode":
		return keep(d, &e.code, 64)
	case "proprietaryBankTransactionCode":
		return keep(d, &e.proprietary, 128)
	case "currencyExchange":
		if d.Next() == jx.Array {
			return each(d, e.exchange)
		}
		return e.exchange(d)
	case "terminalId":
		return keep(d, &e.terminal, 128)
	case "cardAcceptorId":
		return keep(d, &e.acceptor, 128)
	case "cardAcceptorAddress":
		return object(d, func(d *jx.Decoder, key []byte) error {
			if string(key) == "townName" || string(key) == "city" {
				return keep(d, &e.town, 128)
			}
			return d.Skip()
		})
	case "merchantCategoryCode":
		return keep(d, &e.merchantCode, 8)
	case "maskedPAN", "maskedPan":
		return keep(d, &e.pan, 64)
	}
	return d.Skip()
}

// reference140 reads a structured remittance, which is a text or an object with a reference.
func (e *rawEntry) reference140(d *jx.Decoder, into *string) error {
	if d.Next() != jx.Object {
		return keep(d, into, maxText)
	}
	return object(d, func(d *jx.Decoder, key []byte) error {
		if string(key) == "reference" {
			return keep(d, into, maxText)
		}
		return d.Skip()
	})
}

func (e *rawEntry) exchange(d *jx.Decoder) error {
	return object(d, func(d *jx.Decoder, key []byte) error {
		switch string(key) {
		case "sourceCurrency", "currencyFrom":
			return keep(d, &e.exchangeCurrency, 8)
		case "exchangeRate", "rate":
			return keep(d, &e.exchangeRate, 32)
		case "instructedAmount":
			return readMoney(d, &e.originalAmount, &e.originalCurrency)
		}
		return d.Skip()
	})
}

func (p *rawParty) account(d *jx.Decoder) error {
	if d.Next() == jx.String {
		return keep(d, &p.iban, 64)
	}
	return object(d, func(d *jx.Decoder, key []byte) error {
		switch string(key) {
		case "iban":
			return keep(d, &p.iban, 64)
		case "bban", "pan", "maskedPan", "msisdn", "otherAccountIdentification":
			return keep(d, &p.number, 64)
		case "other":
			return object(d, func(d *jx.Decoder, key []byte) error {
				if string(key) == "identification" {
					return keep(d, &p.number, 64)
				}
				return d.Skip()
			})
		}
		return d.Skip()
	})
}

func (p *rawParty) party() providers.Party {
	party := providers.Party{Name: p.name, AccountNumber: p.number, BIC: strings.ToUpper(p.bic)}
	if iban, ok := lenient.IBAN(p.iban); ok {
		party.IBAN = iban
	} else if p.iban != "" && party.AccountNumber == "" {
		party.AccountNumber = p.iban // a masked card number where an IBAN belongs
	}
	return party
}

func (p *rawParty) empty() bool { return *p == rawParty{} }

// entry turns the fields into an entry; without an amount there is none.
func (e *rawEntry) entry(currency string) (providers.Entry, bool) {
	amount, ok := lenient.Amount(e.amount)
	if !ok {
		return providers.Entry{}, false
	}
	entry := providers.Entry{
		TransactionID:  e.id,
		EntryReference: e.reference,
		BookingDate:    lenient.Date(e.booking),
		ValueDate:      lenient.Date(e.value),
		Amount:         amount,
		Currency:       cmp.Or(lenient.Currency(e.currency), currency),
		EndToEndID:     e.endToEnd,
		MandateID:      e.mandate,
		CreditorID:     e.creditorID,
		PurposeCode:    e.purpose,
		BookingKey:     e.code,
		BookingText:    e.additional,
	}
	if original, ok := lenient.Amount(e.originalAmount); ok && !original.IsZero() {
		entry.OriginalAmount, entry.OriginalCurrency = original, lenient.Currency(e.originalCurrency)
	} else if c := lenient.Currency(e.exchangeCurrency); c != "" && c != entry.Currency {
		entry.OriginalCurrency = c
	}
	// Money out goes to a creditor, money in comes from a debtor; some banks fill the other one.
	party, other := &e.creditor, &e.debtor
	if amount.Sign() > 0 {
		party, other = other, party
	}
	if party.empty() {
		party = other
	}
	entry.Counterparty = party.party()
	if entry.Counterparty.Name == "" {
		if amount.Sign() > 0 {
			entry.Counterparty.Name = e.ultimateDebtor
		} else {
			entry.Counterparty.Name = e.ultimateCreditor
		}
	}
	e.describe(&entry)
	e.extras(&entry)
	return entry, true
}

// describe picks the remittance: the array is whole where the text is cut at 140 characters, but some banks fill
// only one of them.
func (e *rawEntry) describe(entry *providers.Entry) {
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
	structured := e.structuredLines
	if e.structured != "" {
		structured = append([]string{e.structured}, structured...)
	}
	if len(structured) > 0 {
		entry.CustomerReference = structured[0]
		if len(entry.Remittance) == 0 {
			entry.Remittance = append([]string(nil), structured...)
		}
	}
	if entry.BookingDate.IsZero() && e.date != "" {
		entry.ValueDate = orDate(entry.ValueDate, lenient.Date(e.date))
	}
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

func (e *rawEntry) extras(entry *providers.Entry) {
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

func isDigits(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

func orDate[T ~int32](d, other T) T {
	if d == 0 {
		return other
	}
	return d
}

const maxLines = 64

func lines(d *jx.Decoder, into *[]string) error {
	return each(d, func(d *jx.Decoder) error {
		s, err := scalar(d)
		if s = lenient.Text(s, maxText); s != "" && len(*into) < maxLines {
			*into = append(*into, s)
		}
		return err
	})
}

func readMoney(d *jx.Decoder, amount, currency *string) error {
	if d.Next() != jx.Object {
		return keep(d, amount, 64)
	}
	return object(d, func(d *jx.Decoder, key []byte) error {
		switch string(key) {
		case "amount", "content":
			return keep(d, amount, 64)
		case "currency":
			return keep(d, currency, 8)
		}
		return d.Skip()
	})
}

// object reads an object, and skips what is none.
func object(d *jx.Decoder, f func(d *jx.Decoder, key []byte) error) error {
	if d.Next() != jx.Object {
		return d.Skip()
	}
	return d.ObjBytes(f)
}

// each reads an array, and skips what is none.
func each(d *jx.Decoder, f func(d *jx.Decoder) error) error {
	if d.Next() != jx.Array {
		return d.Skip()
	}
	return d.Arr(f)
}

// scalar reads a text, a number or a boolean as text, and skips the rest.
func scalar(d *jx.Decoder) (string, error) {
	switch d.Next() {
	case jx.String:
		return d.Str()
	case jx.Number:
		n, err := d.Num()
		return string(n), err
	case jx.Bool:
		b, err := d.Bool()
		if b {
			return "true", err
		}
		return "false", err
	}
	return "", d.Skip()
}

func keep(d *jx.Decoder, into *string, max int) error {
	s, err := scalar(d)
	*into = lenient.Text(s, max)
	return err
}

func keepText(d *jx.Decoder, into *text) error {
	s, err := scalar(d)
	*into = text(lenient.Text(s, maxText))
	return err
}
