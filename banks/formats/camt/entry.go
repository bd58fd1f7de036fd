package camt

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unsafe"

	"github.com/shopspring/decimal"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/formats/lenient"
)

// entry is a Ntry: one line of the statement, with the transactions that it stands for.
type entry struct {
	reference   string
	servicerRef string
	amount      amount
	indicator   indicator
	reversal    flag
	status      coded
	booking     day
	value       day
	code        bankCode
	amounts     amounts
	charges     charges
	additional  string

	details   []details // as many as are of use: none of a batch that cannot be taken apart, but the first one
	current   *details
	count     int // of all details
	held      int // by details, in bytes
	together  bool
	umsatzID  string    // of all details; "": they have none, or several
	direction indicator // of all details; badIndicator: they have several
}

// details is a TxDtls.
type details struct {
	endToEndID  string
	mandateID   string
	servicerRef string
	transaction string
	cheque      string
	refType     string // of a Refs/Prtry
	ref         string
	umsatzID    string // what Sparkassen know the entry by

	amount    amount
	indicator indicator
	reversal  flag
	amounts   amounts
	charges   charges
	code      bankCode

	debtor   side
	creditor side

	purpose      coded
	unstructured []string
	structured   []string // Strd/AddtlRmtInf
	reference    string   // Strd/CdtrRefInf/Ref
	documents    []string // Strd/RfrdDocInf/Nb
	documentDate day
	documentType coded
	additional   string

	returnReason coded
	returnText   []string
}

// noDetails are the details of an entry that has none. Nobody writes to them.
var noDetails = &details{}

// amounts is an AmtDtls.
type amounts struct {
	instructed, transaction, original amount

	instructedRate, transactionRate, counterRate string
}

// charges is a Chrgs. total is what the bank says it comes to; sum, what its parts come to.
type charges struct {
	total amount
	one   amount // of the parts
	sum   decimal.Decimal
	in    string // currency of the parts; "": the entry's
	bad   bool
}

func (c *charges) add() {
	if !c.one.ok || c.one.badCurrency || !c.sum.IsZero() && c.in != c.one.currency {
		c.bad = true
		return
	}
	c.sum, c.in = c.sum.Add(c.one.value.Abs()), c.one.currency
}

// flag is true, false, or something else.
type flag struct{ set, bad bool }

func (f *flag) read(s []byte) {
	switch strings.ToLower(string(s)) {
	case "true", "1", "yes", "y":
		f.set = true
	case "", "false", "0", "no", "n":
	default:
		f.bad = true
	}
}

func (d *decoder) beginEntry() {
	d.entries++
	before := d.entry.details[:0]
	if cap(before) > 1_000 || d.entry.held > 1<<20 {
		before = nil // the memory of a large batch goes with it
	}
	d.entry = entry{details: before}
}

// takeRef looks at a reference of the bank's own kind.
func (t *details) takeRef() {
	if strings.EqualFold(t.refType, "FI-UMSATZ-ID") {
		t.umsatzID = t.ref
	}
	t.refType, t.ref = "", ""
}

func (d *decoder) beginDetails() {
	e := &d.entry
	if len(e.details) < cap(e.details) {
		e.details = e.details[:len(e.details)+1]
	} else {
		e.details = append(e.details, details{})
	}
	now := &e.details[len(e.details)-1]
	*now = details{unstructured: now.unstructured[:0], structured: now.structured[:0], documents: now.documents[:0], returnText: now.returnText[:0]}
	e.current = now
}

// endDetails keeps details for as long as the entry may be taken apart.
func (d *decoder) endDetails() error {
	e := &d.entry
	now := e.current
	e.count++
	if e.count == 1 {
		e.umsatzID, e.direction, e.together = now.umsatzID, now.indicator, true
	}
	if now.umsatzID != e.umsatzID {
		e.umsatzID = ""
	}
	if now.indicator != e.direction {
		e.direction = badIndicator
	}
	if !now.amount.given && !now.amounts.transaction.given && !now.amounts.instructed.given || e.count > maxDetails {
		e.together = false
	}
	if e.count > 1 && !e.together {
		e.details, e.held = e.details[:1], 0
		return nil
	}
	e.held += now.size()
	return d.room(e.held)
}

// size is about what details take, in bytes.
func (t *details) size() int {
	n := int(unsafe.Sizeof(*t)) + len(t.endToEndID) + len(t.mandateID) + len(t.servicerRef) + len(t.transaction) + len(t.cheque) + len(t.ref) +
		len(t.refType) + len(t.reference) + len(t.additional) + t.debtor.size() + t.creditor.size() + t.code.size() + len(t.purpose.text)
	for _, list := range [...][]string{t.unstructured, t.structured, t.documents, t.returnText} {
		for _, line := range list {
			n += len(line) + int(unsafe.Sizeof(line))
		}
	}
	return n
}

// endEntry adds what a Ntry stands for to the report: one entry; or, for a batch whose transactions
// carry amounts of their own that add up, each of them.
func (d *decoder) endEntry() error {
	e := &d.entry
	whole, err := d.whole()
	if err != nil {
		return err
	}
	before := len(d.report.Entries)
	if parts, ok := d.parts(whole); ok {
		d.report.Entries = append(d.report.Entries, parts...)
	} else {
		one := noDetails
		if e.count == 1 { // the first of several says nothing about their sum
			one = &e.details[0]
		}
		d.describe(&whole, one)
		d.original(&whole, &e.amounts, d.returned(one))
		d.charge(&whole, &e.charges)
		d.report.Entries = append(d.report.Entries, whole)
	}
	for i := range d.report.Entries[before:] {
		d.kept += size(&d.report.Entries[before+i])
	}
	return d.room(0)
}

// size is about what an entry takes, in bytes.
func size(e *banks.Entry) int {
	p := &e.Counterparty
	n := int(unsafe.Sizeof(*e)) + 2*48 // and the digits of two amounts
	for _, s := range [...]string{e.TransactionID, e.EntryReference, p.Name, p.IBAN, p.AccountNumber, p.BIC, p.BankCode, p.BankName, e.BookingText,
		e.BookingKey, e.PrimanotaCode, e.EndToEndID, e.MandateID, e.CreditorID, e.CustomerReference, e.PurposeCode} {
		n += len(s)
	}
	for _, line := range e.Remittance {
		n += len(line) + int(unsafe.Sizeof(line))
	}
	for key, value := range e.AdditionalInfo {
		n += 64 + len(key) + len(value)
	}
	return n
}

// whole is the Ntry without its transactions.
func (d *decoder) whole() (banks.Entry, error) {
	e := &d.entry
	cannot := func(what string) error {
		return &banks.EntryError{Place: fmt.Sprintf("entry %d: %s", d.entries, what)}
	}
	if !e.amount.ok {
		return banks.Entry{}, cannot("amount")
	}
	currency := d.currencyOf(&e.amount)
	if e.amount.badCurrency || currency == "" {
		return banks.Entry{}, cannot("currency")
	}
	if e.indicator == noIndicator || e.indicator == badIndicator {
		e.indicator = e.direction
	}
	value, ok := e.amount.signed(lenient.WithoutNoise(e.amount.value, currency), e.indicator)
	if !ok {
		return banks.Entry{}, cannot("sign")
	}
	whole := banks.Entry{
		TransactionID:  e.servicerRef,
		EntryReference: e.reference,
		BookingDate:    e.booking.date,
		ValueDate:      e.value.date,
		Amount:         value,
		Currency:       currency,
		BookingText:    e.additional,
	}
	identify(&whole, id(e.umsatzID, e.servicerRef))
	if e.booking.bad {
		d.unreadable("booking date")
	}
	if e.value.bad {
		d.unreadable("value date")
	}
	if e.reversal.bad {
		d.unreadable("reversal indicator")
	}
	whole.Pending = d.pending()
	e.code.describe(&whole)
	return whole, nil
}

// pending judges the status. A bank's own word for it means what the booking date says.
func (d *decoder) pending() bool {
	switch strings.ToUpper(d.entry.status.text) {
	case "BOOK", "":
		return false
	case "PDNG", "FUTR", "INFO":
		return true
	}
	d.unreadable("status")
	return d.entry.booking.date.IsZero()
}

// parts are the transactions of a batch as entries; ok is false where the batch cannot be taken
// apart.
func (d *decoder) parts(whole banks.Entry) (parts []banks.Entry, ok bool) {
	e := &d.entry
	if e.count < 2 || !e.together {
		return nil, false
	}
	sum := decimal.Zero
	values := make([]decimal.Decimal, 0, len(e.details))
	for i := range e.details {
		value, ok := e.details[i].value(whole)
		if !ok {
			return nil, false
		}
		sum = sum.Add(value)
		values = append(values, value)
	}
	if !sum.Equal(whole.Amount) {
		return nil, false
	}
	parts = make([]banks.Entry, 0, len(values))
	for i := range e.details {
		t := &e.details[i]
		part := whole
		part.Amount = values[i]
		// The entry's own ids are the same for all of them.
		part.TransactionID, part.EntryReference = "", t.transaction
		put(&part, "batch", cmp.Or(e.servicerRef, e.reference))
		d.describe(&part, t)
		parts = append(parts, part)
	}
	return parts, true
}

// value is the amount of a part of a batch.
func (t *details) value(whole banks.Entry) (decimal.Decimal, bool) {
	for _, a := range [...]*amount{&t.amount, &t.amounts.transaction, &t.amounts.instructed} {
		if !a.given {
			continue
		}
		value, ok := a.in(whole.Currency)
		if !ok {
			return value, false
		}
		if signed, ok := a.signed(value, t.indicator); ok {
			return signed, true
		}
		if whole.Amount.IsNegative() {
			value = value.Neg()
		}
		return value, true
	}
	return decimal.Decimal{}, false
}

// describe puts a transaction's particulars into an entry.
func (d *decoder) describe(e *banks.Entry, t *details) {
	identify(e, id(t.umsatzID, e.TransactionID, t.servicerRef, t.transaction))
	e.EndToEndID = t.endToEndID
	e.MandateID = t.mandateID
	e.PurposeCode = t.purpose.text
	if e.BookingKey == "" {
		t.code.describe(e)
	}
	e.CreditorID = t.creditor.creditorID
	returned := d.returned(t)
	d.party(e, t, returned)
	put(e, "check_id", t.cheque)
	if d.entry.reversal.set || t.reversal.set {
		put(e, "reversal", "true")
	}
	put(e, "return_reason", t.returnReason.text)
	put(e, "return_reason_text", lenient.Text(strings.Join(t.returnText, " "), 1024))
	d.remit(e, t)
	d.original(e, &t.amounts, returned)
	d.charge(e, &t.charges)
}

// returned reports whether a transaction undoes another one.
func (d *decoder) returned(t *details) bool {
	return d.entry.reversal.set || t.reversal.set || t.returnReason.text != "" || len(t.returnText) > 0 || t.code.returned() || d.entry.code.returned()
}

// remit puts in what the customer reads: the text, what stands in structured fields beside it, and
// where there is no text, the next best.
func (d *decoder) remit(e *banks.Entry, t *details) {
	lines := slices.Clone(t.unstructured)
	for _, line := range t.structured {
		if !slices.Contains(lines, line) && len(lines) < maxLines {
			lines = append(lines, line)
		}
	}
	e.CustomerReference = t.reference
	put(e, "document_number", lenient.Text(strings.Join(t.documents, ", "), 256))
	if len(t.documents) > 0 {
		put(e, "document_date", t.documentDate.date.String())
		put(e, "document_type", t.documentType.text)
		if t.documentDate.bad {
			d.unreadable("document date")
		}
	}
	if e.BookingText == "" {
		e.BookingText = t.additional
	} else if t.additional != e.BookingText && !slices.Contains(lines, t.additional) {
		put(e, "transaction_text", t.additional)
	}
	if len(lines) == 0 {
		for _, next := range [...]string{t.reference, e.AdditionalInfo["document_number"]} {
			if next != "" {
				lines = append(lines, next)
			}
		}
	}
	for _, next := range [...]string{e.AdditionalInfo["return_reason_text"], t.returnReason.text, e.AdditionalInfo["transaction_text"]} {
		if len(lines) == 0 && next != "" {
			lines = []string{next}
		}
	}
	e.Remittance = lines
}

// original puts in the amount in a foreign currency. What comes back is less or more than what
// went, because of charges: there it is the amount that went.
func (d *decoder) original(e *banks.Entry, all *amounts, returned bool) {
	for _, a := range [...]*amount{&all.original, &all.instructed} {
		if !a.given || e.OriginalCurrency != "" {
			continue
		}
		if !a.ok || a.badCurrency {
			d.unreadable("original amount")
			continue
		}
		currency := cmp.Or(a.currency, e.Currency)
		if a.value.IsZero() || currency == e.Currency && !returned {
			continue
		}
		value := lenient.WithoutNoise(a.value, currency).Abs()
		if e.Amount.IsNegative() {
			value = value.Neg()
		}
		e.OriginalAmount, e.OriginalCurrency = value, currency
		if currency != e.Currency {
			put(e, "exchange_rate", cmp.Or(all.transactionRate, all.instructedRate, all.counterRate))
		}
	}
}

// charge puts in what the bank took for it.
func (d *decoder) charge(e *banks.Entry, c *charges) {
	value, currency, ok := c.sum, c.in, !c.bad
	if c.total.given {
		value, currency, ok = c.total.value.Abs(), c.total.currency, c.total.ok && !c.total.badCurrency
	}
	switch {
	case !ok:
		d.unreadable("charges")
	case !value.IsZero() && e.AdditionalInfo["charges"] == "":
		currency = cmp.Or(currency, e.Currency)
		put(e, "charges", lenient.WithoutNoise(value, currency).String())
		put(e, "charges_currency", currency)
	}
}

// identify gives an entry another id. The one before is its reference, if it has none.
func identify(e *banks.Entry, id string) {
	if id != e.TransactionID && !isPlaceholder(e.TransactionID) && isPlaceholder(e.EntryReference) {
		e.EntryReference = e.TransactionID
	}
	e.TransactionID = id
}

// id is the first of several ids that is one; else the first placeholder.
func id(candidates ...string) string {
	for _, c := range candidates {
		if !isPlaceholder(c) {
			return c
		}
	}
	return cmp.Or(candidates...)
}

// isPlaceholder knows what banks write where they have no id.
func isPlaceholder(id string) bool {
	if id == "" || len(id) > 16 {
		return id == ""
	}
	if strings.IndexByte("nuko0-/", id[0]|0x20) < 0 { // nearly all ids
		return false
	}
	letters := strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z' || r >= '1' && r <= '9' || r >= 0x80:
			return r
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		}
		return -1 // zeros, too: an id of nothing else is none
	}, id)
	switch letters {
	case "", "NONREF", "NOREF", "NOTPROVIDED", "NOTAVAILABLE", "NOTAPPLICABLE", "NONE", "NULL", "NIL", "NA", "UNDEFINED", "UNKNOWN", "KEINE", "OHNE":
		return true
	}
	return false
}

// creditorIDForm is the form of a SEPA creditor identifier (EPC 262-08); parties have other ids,
// too.
var creditorIDForm = regexp.MustCompile(`^[A-Z]{2}[0-9]{2}[A-Z0-9]{3}[A-Z0-9]{1,28}$`)

func put(e *banks.Entry, key, value string) {
	if value == "" {
		return
	}
	if e.AdditionalInfo == nil {
		e.AdditionalInfo = map[string]string{}
	}
	e.AdditionalInfo[key] = value
}
