package reconcile

import (
	"bytes"
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	"github.com/shopspring/decimal"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/formats/remittance"
	"github.com/kontoflow/kontoflow/internal/iban"
)

// Bounds of what is kept of a bank's text, in bytes.
const (
	maxText = 4096 // a remittance: SEPA allows 140 characters, banks some more
	maxName = 512  // everything else
)

// Normalize brings an entry into the form in which it is stored and shown, in place, and gives its facts. Afterwards
// the remittance is one line or none, its SEPA tags are in their fields, placeholders in them are gone, and every text is
// clean UTF-8; the bank's two ids are kept as sent. Normalising again changes nothing and gives the same facts.
func Normalize(entry *banks.Entry) Facts {
	tidy(entry)
	return factsOf(entry)
}

// Renew gives the facts of a transaction as an older normalizer stored it: those of today's normalizer, by which it is
// recognised, but Content is that of what is shown still. So a transaction that today's normalizer reads otherwise is
// Modified when the bank sends it again.
func Renew(stored *banks.Entry) Facts {
	var scratch [2048]byte
	shown := content(stored, scratch[:0])
	facts := Normalize(stored)
	facts.Content = shown
	return facts
}

func tidy(e *banks.Entry) {
	party := &e.Counterparty
	for _, text := range [...]*string{
		&e.TransactionID, &e.EntryReference, &party.Name, &party.IBAN, &party.AccountNumber, &party.BIC, &party.BankCode,
		&party.BankName, &e.BookingText, &e.BookingKey, &e.PrimanotaCode, &e.EndToEndID, &e.MandateID, &e.CreditorID,
		&e.CustomerReference, &e.PurposeCode,
	} {
		*text = clean(*text, maxName)
	}
	e.Currency, e.OriginalCurrency = currency(e.Currency), currency(e.OriginalCurrency)
	if e.AdditionalInfo != nil {
		info := make(map[string]string, len(e.AdditionalInfo))
		for _, name := range slices.Sorted(maps.Keys(e.AdditionalInfo)) {
			if key, value := clean(name, maxName), clean(e.AdditionalInfo[name], maxText); key != "" && value != "" {
				info[key] = value
			}
		}
		e.AdditionalInfo = info
	}

	var buf [16]remittance.Tag
	purpose, tags := remittance.Split(clean(joinLines(e.Remittance), maxText), buf[:0])
	for _, t := range tags {
		take(e, t)
	}
	for _, text := range [...]*string{&purpose, &party.Name} {
		if silent(*text) {
			*text = ""
		}
	}
	for _, reference := range [...]*string{&e.EndToEndID, &e.MandateID, &e.CreditorID, &e.CustomerReference, &e.PurposeCode} {
		var folded [64]byte
		if placeholder(fold(folded[:0], *reference)) {
			*reference = ""
		}
	}
	e.Remittance = e.Remittance[:0:0]
	if purpose != "" {
		e.Remittance = []string{purpose}
	}

	// A masked card number is not an IBAN, and an IBAN is not a bank's own number, wherever the bank put them.
	if party.IBAN == "" && isIBAN(party.AccountNumber) {
		party.IBAN, party.AccountNumber = party.AccountNumber, ""
	}
	if number, err := iban.ParseLenient(party.IBAN); err == nil {
		party.IBAN = string(number)
	} else {
		if party.AccountNumber == "" {
			party.AccountNumber = party.IBAN
		}
		party.IBAN = ""
	}
	if len(e.AdditionalInfo) == 0 {
		e.AdditionalInfo = nil
	}
}

// factsOf takes a tidy entry.
func factsOf(e *banks.Entry) Facts {
	party := &e.Counterparty
	f := Facts{
		Version: NormalizerVersion, Pending: e.Pending,
		Currency: code(e.Currency), Amount: millionths(e.Amount),
		Booked: e.BookingDate, Valued: e.ValueDate,
	}
	if !e.OriginalAmount.IsZero() && e.OriginalCurrency != "" {
		f.ForeignCurrency, f.ForeignAmount = code(e.OriginalCurrency), millionths(e.OriginalAmount)
	}

	var scratch [2048]byte
	for i, id := range [...]string{e.TransactionID, e.EntryReference} {
		// Ids differ in case and punctuation alone, so only the judgement is passed on the folded form.
		if folded := fold(scratch[:0], id); !placeholder(folded) {
			f.IDs[i] = token(append(folded[:0], id...))
		}
	}
	f.EndToEnd = token(fold(scratch[:0], e.EndToEndID))
	f.Party = token(append(scratch[:0], party.IBAN...))

	// The fingerprint: every part ends in a byte that no folded text contains.
	b := appendAmount(scratch[:0], e.Amount)
	b = append(b, e.Currency...)
	first, last := f.days()
	b = binary.BigEndian.AppendUint32(append(b, 0), uint32(first))
	b = binary.BigEndian.AppendUint32(b, uint32(last))
	kind := e.BookingText
	if party.Name != "" || len(e.Remittance) > 0 {
		kind = "" // it says nothing that the text does not, and banks reword it
	}
	purpose := ""
	if len(e.Remittance) > 0 {
		purpose = e.Remittance[0]
	}
	for i, text := range [...]string{
		party.Name, purpose, e.EndToEndID, e.MandateID, e.CreditorID, kind, party.IBAN, party.AccountNumber,
	} {
		start := len(b)
		b = fold(b, text)
		if i < 6 {
			sketch(&f.Sketch, b[start:])
		}
		b = append(b, 0)
	}
	f.Print = digest(b)

	f.Card = cardPayment(e, scratch[:0])
	f.Content = content(e, scratch[:0])
	return f
}

// content is the digest of all that is shown, part by part, to the letter.
func content(e *banks.Entry, b []byte) uint64 {
	party := &e.Counterparty
	b = append(b, 0)
	if e.Pending {
		b[0] = 1
	}
	b = binary.BigEndian.AppendUint32(b, uint32(e.BookingDate))
	b = binary.BigEndian.AppendUint32(b, uint32(e.ValueDate))
	b = appendAmount(b, e.Amount)
	b = appendAmount(b, e.OriginalAmount)
	for _, text := range [...]string{
		e.Currency, e.OriginalCurrency, party.Name, party.IBAN, party.AccountNumber, party.BIC, party.BankCode, party.BankName,
		e.BookingText, e.BookingKey, e.PrimanotaCode, e.EndToEndID, e.MandateID, e.CreditorID, e.CustomerReference, e.PurposeCode,
	} {
		b = appendText(b, text)
	}
	for _, line := range e.Remittance {
		b = appendText(b, line)
	}
	if len(e.AdditionalInfo) > 0 {
		for _, name := range slices.Sorted(maps.Keys(e.AdditionalInfo)) {
			b = appendText(appendText(b, name), e.AdditionalInfo[name])
		}
	}
	return digest(b)[0]
}

func appendText(b []byte, text string) []byte {
	return append(binary.AppendUvarint(b, uint64(len(text))), text...)
}

// appendAmount writes an amount so that 1.5 and 1.50 are the same.
func appendAmount(b []byte, amount decimal.Decimal) []byte {
	if amount.NumDigits() > 18 { // never amount.String: a hostile exponent would write gigabytes
		return binary.AppendVarint(appendText(b, amount.Coefficient().Text(36)), int64(amount.Exponent()))
	}
	coefficient, exponent := amount.CoefficientInt64(), int64(amount.Exponent())
	for coefficient != 0 && coefficient%10 == 0 {
		coefficient, exponent = coefficient/10, exponent+1
	}
	if coefficient == 0 {
		exponent = 0
	}
	return binary.AppendVarint(binary.AppendVarint(b, coefficient), exponent)
}

// millionths of an amount; what does not fit stops at the end of the range.
func millionths(amount decimal.Decimal) int64 {
	const limit = 9_200_000_000_000_000_000
	switch digits := amount.NumDigits() + int(amount.Exponent()); { // in front of the point
	case amount.IsZero() || digits < -6:
		return 0
	case digits > 12:
		return int64(amount.Sign()) * limit
	case amount.NumDigits() > 18:
		amount = amount.Truncate(6)
	}
	n := amount.CoefficientInt64()
	exponent := amount.Exponent() + 6
	for ; exponent > 0; exponent-- {
		n *= 10
	}
	for ; exponent < 0; exponent++ {
		n /= 10
	}
	return n
}

// currency is an ISO 4217 code, or nothing.
func currency(s string) string {
	if len(s) == 3 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z' && s[2] >= 'A' && s[2] <= 'Z' {
		return s
	}
	letters := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z':
			return r
		}
		return -1
	}, s)
	return letters[:min(3, len(letters))]
}

func code(currency string) (c [3]byte) {
	copy(c[:], currency)
	return c
}

// money is amount and currency in one word, for keys.
func (f *Facts) money() uint64 {
	return mix(uint64(f.Amount)) ^ uint64(f.Currency[0])<<16 ^ uint64(f.Currency[1])<<8 ^ uint64(f.Currency[2])
}

// cardPayment goes by the booking key (ISO 20022 family CCRD, or the GVCs of card clearing), else by the bank's words.
func cardPayment(e *banks.Entry, b []byte) bool {
	if strings.Contains(e.BookingKey, "CCRD") || e.BookingKey == "106" || e.BookingKey == "107" {
		return true
	}
	b = fold(b, e.BookingText)
	for _, word := range [...]string{"kartenzahlung", "kartenumsatz", "kreditkarte", "girocard", "maestro", "visa", "mastercard", "cardpayment"} {
		if bytes.Contains(b, []byte(word)) {
			return true
		}
	}
	return false
}

// silent texts are words for nothing.
func silent(text string) bool {
	if len(text) > 20 {
		return false
	}
	var buf [64]byte
	switch string(fold(buf[:0], text)) {
	case "", "notprovided", "nonref", "notavailable", "null", "undefined", "nichtangegeben":
		return true
	}
	return false
}
