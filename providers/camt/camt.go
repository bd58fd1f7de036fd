// Package camt reads ISO 20022 bank-to-customer messages: camt.052 (account report), camt.053 (statement) and
// camt.054 (notification), versions 001.02 to 001.08, as banks answer with them over XS2A and FinTS.
//
// The versions differ little: 001.04 renames BIC to BICFI, 001.08 puts a status into a Cd and a party into a Pty.
// Both spellings are understood everywhere, and the namespace is not looked at.
package camt

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"

	"github.com/shopspring/decimal"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/ianaindex"

	"kontoflow/plain"
	"kontoflow/providers"
	"kontoflow/providers/lenient"
)

// Report is what a message says about an account.
type Report struct {
	Entries    []providers.Entry
	Balances   []providers.Balance
	Unreadable providers.Unreadable // what had to be left out or clamped
}

// Bounds of a message.
const (
	maxEntries  = 200_000
	maxBalances = 50
	maxDetails  = 10_000 // transactions that one entry stands for
	maxDepth    = 64
)

const (
	errTooMany = providers.OwnError("there are too many entries")
	errTooDeep = providers.OwnError("elements are nested too deep")
	errNoCamt  = providers.OwnError("no camt message")
)

// Read reads a message, of which there may be several statements, entry by entry. currency stands in where an
// amount has none. The caller bounds the reader. Errors never quote the message.
func Read(r io.Reader, currency string) (*Report, error) {
	d := xml.NewDecoder(r)
	d.CharsetReader = charset
	d.Strict = true
	report, known, depth := &Report{}, false, 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) && depth == 0 {
			if !known {
				return nil, errNoCamt
			}
			return report, nil
		}
		if err != nil {
			return nil, broken(err)
		}
		switch e := token.(type) {
		case xml.StartElement:
			if depth++; depth > maxDepth {
				return nil, errTooDeep
			}
			switch e.Name.Local {
			case "BkToCstmrAcctRpt", "BkToCstmrStmt", "BkToCstmrDbtCdtNtfctn":
				known = true
			case "Bal":
				var b balance
				if err := d.DecodeElement(&b, &e); err != nil {
					return nil, broken(err)
				}
				depth--
				report.add(&b, currency)
			case "Ntry":
				var n entry
				if err := d.DecodeElement(&n, &e); err != nil {
					return nil, broken(err)
				}
				depth--
				if report.Entries = n.entries(report.Entries, currency); len(report.Entries) > maxEntries {
					return nil, errTooMany
				}
			}
		case xml.EndElement:
			depth--
		}
	}
}

// broken keeps the decoder's error from quoting the message, and its kind for the caller.
func broken(err error) error {
	var syntax *xml.SyntaxError
	switch {
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	case errors.As(err, &syntax):
		if strings.Contains(syntax.Msg, "unexpected EOF") {
			return io.ErrUnexpectedEOF
		}
		return providers.OwnError(fmt.Sprintf("broken XML in line %d", syntax.Line))
	case errors.Is(err, errCharset):
		return errCharset
	}
	var unmarshal xml.UnmarshalError
	if errors.As(err, &unmarshal) {
		return providers.OwnError("unexpected XML")
	}
	return err // the reader's
}

const errCharset = providers.OwnError("the message's character set is not known")

// charset reads what is not UTF-8; German banks send ISO 8859-1 and its relatives.
func charset(label string, input io.Reader) (io.Reader, error) {
	switch strings.ToLower(label) {
	case "utf-8", "utf8", "us-ascii":
		return input, nil
	case "iso-8859-1", "latin1":
		return charmap.Windows1252.NewDecoder().Reader(input), nil // its printable part is the same, and banks use the euro
	}
	encoding, err := ianaindex.IANA.Encoding(label)
	if err != nil || encoding == nil {
		return nil, errCharset
	}
	return encoding.NewDecoder().Reader(input), nil
}

// The elements below hold only what is used; everything else is skipped by the decoder.

type amount struct {
	Currency string `xml:"Ccy,attr"`
	Value    string `xml:",chardata"`
}

func (a amount) read() (decimal.Decimal, bool) { return lenient.Amount(strings.TrimSpace(a.Value)) }

type day struct {
	Date string `xml:"Dt"`
	Time string `xml:"DtTm"`
}

func (d day) read() plain.Date {
	if on := lenient.Date(strings.TrimSpace(d.Date)); !on.IsZero() {
		return on
	}
	return lenient.Date(strings.TrimSpace(d.Time))
}

// coded is an element that holds a code, or until version 7 is one.
type coded struct {
	Code        string `xml:"Cd"`
	Proprietary string `xml:"Prtry"`
	Text        string `xml:",chardata"`
}

func (c coded) read() string {
	for _, s := range []string{c.Code, c.Proprietary, c.Text} {
		if s = strings.TrimSpace(s); s != "" {
			return lenient.Text(s, 64)
		}
	}
	return ""
}

type balance struct {
	Type      coded  `xml:"Tp>CdOrPrtry"`
	Amount    amount `xml:"Amt"`
	Indicator string `xml:"CdtDbtInd"`
	Day       day    `xml:"Dt"`
}

// balanceTypes are the names that XS2A gives to ISO 20022 balance types.
var balanceTypes = map[string]string{
	"CLBD": "closingBooked", "OPBD": "openingBooked", "PRCD": "openingBooked", "ITBD": "interimBooked", "ITAV": "interimAvailable",
	"CLAV": "interimAvailable", "OPAV": "interimAvailable", "FWAV": "forwardAvailable", "XPCD": "expected",
}

func (r *Report) add(b *balance, currency string) {
	value, ok := b.Amount.read()
	kind := b.Type.read()
	if !ok || len(r.Balances) >= maxBalances {
		return
	}
	if debit(b.Indicator) {
		value = value.Neg()
	}
	if name := balanceTypes[kind]; name != "" {
		kind = name
	}
	if kind == "" {
		kind = "expected"
	}
	r.Balances = append(r.Balances, providers.Balance{Type: kind, Amount: value, Date: b.Day.read(),
		Currency: orElse(lenient.Currency(b.Amount.Currency), currency)})
}

func debit(indicator string) bool { return strings.TrimSpace(indicator) == "DBIT" }

// entry is an Ntry: one line of the statement, with the transactions that it stands for.
type entry struct {
	Reference    string    `xml:"NtryRef"`
	Amount       amount    `xml:"Amt"`
	Indicator    string    `xml:"CdtDbtInd"`
	Reversal     string    `xml:"RvslInd"`
	Status       coded     `xml:"Sts"`
	Booking      day       `xml:"BookgDt"`
	Value        day       `xml:"ValDt"`
	ServicerRef  string    `xml:"AcctSvcrRef"`
	Code         code      `xml:"BkTxCd"`
	Additional   string    `xml:"AddtlNtryInf"`
	Transactions []details `xml:"NtryDtls>TxDtls"`
}

type code struct {
	Domain    string `xml:"Domn>Cd"`
	Family    string `xml:"Domn>Fmly>Cd"`
	SubFamily string `xml:"Domn>Fmly>SubFmlyCd"`
	Bank      string `xml:"Prtry>Cd"`
}

// details is a TxDtls.
type details struct {
	EndToEndID  string `xml:"Refs>EndToEndId"`
	MandateID   string `xml:"Refs>MndtId"`
	ServicerRef string `xml:"Refs>AcctSvcrRef"`
	Transaction string `xml:"Refs>TxId"`
	Cheque      string `xml:"Refs>ChqNb"`

	Amount     amount   `xml:"Amt"` // since version 4
	Indicator  string   `xml:"CdtDbtInd"`
	TxAmount   amount   `xml:"AmtDtls>TxAmt>Amt"`
	Instructed amount   `xml:"AmtDtls>InstdAmt>Amt"`
	Rate       []string `xml:"AmtDtls>InstdAmt>CcyXchg>XchgRate"`
	TxRate     []string `xml:"AmtDtls>TxAmt>CcyXchg>XchgRate"`
	Code       code     `xml:"BkTxCd"`

	Parties parties `xml:"RltdPties"`
	Agents  struct {
		Debtor   agent `xml:"DbtrAgt"`
		Creditor agent `xml:"CdtrAgt"`
	} `xml:"RltdAgts"`

	Purpose      coded    `xml:"Purp"`
	Unstructured []string `xml:"RmtInf>Ustrd"`
	Structured   []string `xml:"RmtInf>Strd>CdtrRefInf>Ref"`
	Additional   string   `xml:"AddtlTxInf"`
}

type parties struct {
	Debtor           party   `xml:"Dbtr"`
	DebtorAccount    account `xml:"DbtrAcct"`
	Creditor         party   `xml:"Cdtr"`
	CreditorAccount  account `xml:"CdtrAcct"`
	UltimateDebtor   party   `xml:"UltmtDbtr"`
	UltimateCreditor party   `xml:"UltmtCdtr"`
}

// party is a person or an organisation; since version 8 inside a Pty.
type party struct {
	Name   string   `xml:"Nm"`
	IDs    []string `xml:"Id>PrvtId>Othr>Id"`
	OrgIDs []string `xml:"Id>OrgId>Othr>Id"`
	Inner  *struct {
		Name   string   `xml:"Nm"`
		IDs    []string `xml:"Id>PrvtId>Othr>Id"`
		OrgIDs []string `xml:"Id>OrgId>Othr>Id"`
	} `xml:"Pty"`
}

func (p party) name() string {
	if p.Inner != nil && p.Inner.Name != "" {
		return lenient.Text(p.Inner.Name, 1024)
	}
	return lenient.Text(p.Name, 1024)
}

func (p party) id() string {
	lists := [][]string{p.IDs, p.OrgIDs}
	if p.Inner != nil {
		lists = append(lists, p.Inner.IDs, p.Inner.OrgIDs)
	}
	for _, list := range lists {
		if len(list) > 0 {
			return lenient.Text(list[0], 256)
		}
	}
	return ""
}

type account struct {
	IBAN  string `xml:"Id>IBAN"`
	Other string `xml:"Id>Othr>Id"`
}

type agent struct {
	BIC   string `xml:"FinInstnId>BIC"`
	BICFI string `xml:"FinInstnId>BICFI"`
	Name  string `xml:"FinInstnId>Nm"`
	Code  string `xml:"FinInstnId>ClrSysMmbId>MmbId"`
}

// entries appends what the Ntry stands for: one entry; or, for a batch whose transactions carry amounts of their own
// that add up, each of them.
func (n *entry) entries(to []providers.Entry, currency string) []providers.Entry {
	value, ok := n.Amount.read()
	if !ok {
		return to
	}
	if debit(n.Indicator) {
		value = value.Neg()
	}
	whole := providers.Entry{
		TransactionID:  lenient.Text(n.ServicerRef, 512),
		EntryReference: lenient.Text(n.Reference, 512),
		BookingDate:    n.Booking.read(),
		ValueDate:      n.Value.read(),
		Amount:         value,
		Currency:       orElse(lenient.Currency(n.Amount.Currency), currency),
		BookingText:    lenient.Text(n.Additional, 1024),
	}
	switch n.Status.read() {
	case "PDNG", "FUTR", "INFO":
		whole.Pending = true
	}
	n.Code.describe(&whole)
	if strings.TrimSpace(n.Reversal) == "true" {
		put(&whole, "reversal", "true")
	}
	if parts := n.parts(whole); parts != nil {
		return append(to, parts...)
	}
	if len(n.Transactions) > 0 {
		n.Transactions[0].describe(&whole)
	}
	if len(n.Transactions) > 1 { // a batch that is booked as one: its first transaction's party says nothing about it
		whole.Counterparty, whole.EndToEndID, whole.MandateID, whole.CreditorID, whole.CustomerReference = providers.Party{}, "", "", "", ""
	}
	return append(to, whole)
}

// parts are the transactions of a batch as entries; nil where the batch cannot be taken apart.
func (n *entry) parts(whole providers.Entry) []providers.Entry {
	if len(n.Transactions) < 2 || len(n.Transactions) > maxDetails {
		return nil
	}
	sum := decimal.Zero
	parts := make([]providers.Entry, 0, len(n.Transactions))
	for i := range n.Transactions {
		d := &n.Transactions[i]
		value, ok := d.Amount.read()
		currency := d.Amount.Currency
		if !ok {
			value, ok = d.TxAmount.read()
			currency = d.TxAmount.Currency
		}
		if !ok || lenient.Currency(currency) != "" && lenient.Currency(currency) != whole.Currency {
			return nil
		}
		if d.Indicator == "" && whole.Amount.IsNegative() || debit(d.Indicator) {
			value = value.Neg()
		}
		part := whole
		part.Amount = value
		part.AdditionalInfo = nil
		// The entry's own ids are the same for all of them.
		part.TransactionID, part.EntryReference = lenient.Text(d.ServicerRef, 512), lenient.Text(d.Transaction, 512)
		if n.Reference != "" || n.ServicerRef != "" {
			put(&part, "batch", lenient.Text(orElse(n.ServicerRef, n.Reference), 512))
		}
		d.describe(&part)
		sum = sum.Add(value)
		parts = append(parts, part)
	}
	if !sum.Equal(whole.Amount) {
		return nil
	}
	return parts
}

// describe puts a transaction's particulars into an entry.
func (d *details) describe(e *providers.Entry) {
	if e.TransactionID == "" {
		e.TransactionID = lenient.Text(orElse(d.ServicerRef, d.Transaction), 512)
	}
	e.EndToEndID = lenient.Text(d.EndToEndID, 256)
	e.MandateID = lenient.Text(d.MandateID, 256)
	e.PurposeCode = d.Purpose.read()
	if e.BookingKey == "" {
		d.Code.describe(e)
	}
	if id := d.Parties.Creditor.id(); creditorID.MatchString(id) {
		e.CreditorID = id
	}

	// Money out goes to a creditor, money in comes from a debtor; some banks fill the other one.
	other, others, bank := d.Parties.Creditor, d.Parties.CreditorAccount, d.Agents.Creditor
	ultimate := d.Parties.UltimateCreditor.name()
	if !e.Amount.IsNegative() {
		other, others, bank = d.Parties.Debtor, d.Parties.DebtorAccount, d.Agents.Debtor
		ultimate = d.Parties.UltimateDebtor.name()
	}
	e.Counterparty = providers.Party{
		Name:     orElse(other.name(), ultimate),
		BIC:      lenient.Text(strings.ToUpper(orElse(bank.BICFI, bank.BIC)), 32),
		BankCode: lenient.Text(bank.Code, 35),
		BankName: lenient.Text(bank.Name, 256),
	}
	if iban, ok := lenient.IBAN(others.IBAN); ok {
		e.Counterparty.IBAN = iban
	} else {
		e.Counterparty.AccountNumber = lenient.Text(orElse(others.Other, others.IBAN), 64)
	}
	if ultimate != "" && ultimate != e.Counterparty.Name {
		put(e, "ultimate_party", ultimate)
	}
	put(e, "check_id", lenient.Text(d.Cheque, 64))

	for _, line := range d.Unstructured {
		if line = lenient.Text(line, 1024); line != "" && len(e.Remittance) < 64 {
			e.Remittance = append(e.Remittance, line)
		}
	}
	if len(d.Structured) > 0 {
		e.CustomerReference = lenient.Text(d.Structured[0], 256)
		if len(e.Remittance) == 0 && e.CustomerReference != "" {
			e.Remittance = []string{e.CustomerReference}
		}
	}
	if e.BookingText == "" {
		e.BookingText = lenient.Text(d.Additional, 1024)
	}
	original := d.Instructed
	if value, ok := original.read(); ok && !value.IsZero() && lenient.Currency(original.Currency) != "" && lenient.Currency(original.Currency) != e.Currency {
		if e.Amount.IsNegative() {
			value = value.Neg()
		}
		e.OriginalAmount, e.OriginalCurrency = value, lenient.Currency(original.Currency)
		for _, rate := range append(d.Rate, d.TxRate...) {
			put(e, "exchange_rate", lenient.Text(rate, 32))
		}
	}
}

// creditorID is the form of a SEPA creditor identifier (EPC 262-08); parties have other ids, too.
var creditorID = regexp.MustCompile(`^[A-Z]{2}[0-9]{2}[A-Z0-9]{3}[A-Z0-9]{1,28}$`)

// describe puts the bank transaction code into an entry. German banks' own code is "NTRF+166+9310": kind, business
// transaction code, primanota.
func (c code) describe(e *providers.Entry) {
	if c.Domain != "" && c.Family != "" {
		e.BookingKey = lenient.Text(c.Domain+"-"+c.Family+"-"+c.SubFamily, 64)
	}
	parts := strings.Split(lenient.Text(c.Bank, 128), "+")
	if len(parts) < 2 {
		return
	}
	if e.BookingKey == "" {
		e.BookingKey = parts[1]
	}
	if len(parts) > 2 {
		e.PrimanotaCode = lenient.Cut(parts[2], 35)
	}
}

func put(e *providers.Entry, key, value string) {
	if value == "" {
		return
	}
	if e.AdditionalInfo == nil {
		e.AdditionalInfo = map[string]string{}
	}
	e.AdditionalInfo[key] = value
}

func orElse(s, other string) string {
	if strings.TrimSpace(s) == "" {
		return other
	}
	return s
}
