package fints

import (
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/formats/lenient"
)

// cause is what a bank refuses an order for, as far as it says so.
type cause int

const (
	causeUnknown cause = iota
	causePeriod        // the days that were asked for
	causeAccount       // the account, or the way in which it is named
	causeFailure       // something failed at the bank
	causeOrder         // the order: it is not offered, or not for this account
)

// Words of refusals, in lower case. Those in …Words are compared with whole words, those in …Parts
// with parts of words, since German has compound nouns (Abfragezeitraum, Buchungsdatum).
var (
	periodWords  = []string{"tag", "tage", "tagen", "monat", "monate", "monaten", "jahr", "jahre", "jahren", "date", "dates", "day", "days", "month", "months", "älter", "older", "frühestens", "earliest"}
	periodParts  = []string{"zeitraum", "zeitspanne", "datum", "bankvorgabe", "period", "historie", "history", "zurückliegend", "vergangenheit", "bereichanfang", "bereichende"}
	accountWords = []string{"iban", "bic", "kti", "ktv", "konto", "konten", "account"}
	accountParts = []string{"kontonummer", "kontoverbindung", "kontoangabe", "kontodaten", "unterkonto", "auftraggeberkonto", "bankleitzahl"}
	orderParts   = []string{"unterstützt", "freigeschaltet", "freischalt", "berechtig", "zugelassen", "erlaubt", "supported", "permitted", "allowed", "authori"}
	retryWords   = []string{"später", "erneut", "nochmals", "versuchen", "later", "again", "retry"}
	failureParts = []string{"fehler", "error", "technisch", "technical", "verfügbar", "available", "zeitüberschreitung", "timeout"}
)

// codeErrors says no more than that the message has errors.
const codeErrors = 9050

// dayInText finds a day in a text: 31.01.2026, 2026-01-31, 20260131.
var dayInText = regexp.MustCompile(`\b(?:[0-3][0-9]\.[01][0-9]\.(?:19|20)[0-9]{2}|(?:19|20)[0-9]{2}-[01][0-9]-[0-3][0-9]|(?:19|20)[0-9]{2}[01][0-9][0-3][0-9])\b`)

// causeOf finds out what an order was refused for. The bank's words count, and where they are
// silent the place that it names ("Bezugsdatenelement"; "Formals", section B.7.2). Only refusals of
// the order itself are looked at.
func causeOf(err error) cause {
	refused, ok := asRefusal(err)
	if !ok || refused.fault.Kind != banks.Rejected && refused.fault.Kind != banks.Transient {
		return causeFailure
	}
	passing := refused.fault.Kind == banks.Transient
	found := causeUnknown
	ofOrder := slices.ContainsFunc(refused.said, func(f feedback) bool { return f.segment == orderSegment })
	for i := range refused.said {
		f := &refused.said[i]
		if ofOrder != (f.segment == orderSegment) || f.code == codeErrors || f.code == codeAborted {
			continue
		}
		switch c := f.cause(); {
		case c == causePeriod && passing && wordsOf(f.text).any(retryWords): // "try again in some days"
		case c == causePeriod, c == causeAccount && !passing:
			return c
		case c != causeUnknown:
			found = c
		}
	}
	if passing {
		return causeFailure
	}
	return found
}

// cause reads one return code.
func (f *feedback) cause() cause {
	said := wordsOf(f.text)
	period := said.any(periodWords) || said.part(periodParts) || dayInText.MatchString(lenient.Cut(f.text, maxMessage))
	account := said.part(accountParts) || said.any(accountWords)
	switch {
	case period:
		return causePeriod
	case said.part(accountParts), account && !said.part(orderParts):
		return causeAccount
	case said.part(orderParts):
		return causeOrder
	case said.part(failureParts) && f.code/100 != 91: // 91xx: "Syntaxfehler"
		return causeFailure
	case f.segment != orderSegment:
		return causeUnknown
	case f.element == 2, f.code/100 == 91 && f.element == 0: // an account of another form is a syntax error, too
		return causeAccount
	case f.element >= 4:
		return causePeriod
	}
	return causeUnknown
}

// refusesAccount reports whether an order was refused because of the account that it names.
func refusesAccount(err error) bool { return causeOf(err) == causeAccount }

// refusesPeriod reports whether an order was refused because of the days that it asks for.
func refusesPeriod(err error) bool { return causeOf(err) == causePeriod }

// namesOrder reports whether a refusal says what is wrong with the order, and so is about the order
// alone.
func namesOrder(err error) bool {
	switch causeOf(err) {
	case causePeriod, causeAccount, causeOrder:
		return true
	}
	return false
}

// said is a text of the bank's: its words in lower case.
type said []string

// maxSaid bounds the words of a text that are looked at.
const maxSaid = 200

func wordsOf(text string) said {
	words := strings.FieldsFunc(strings.ToLower(lenient.Cut(text, maxMessage)), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	for i, word := range words {
		words[i] = umlauts.Replace(word)
	}
	return words[:min(len(words), maxSaid)]
}

// umlauts are how banks without umlauts write the words that are looked for.
var umlauts = strings.NewReplacer("umsaetz", "umsätz", "eintraeg", "einträg", "verfuegbar", "verfügbar", "aelter", "älter", "unterstuetzt", "unterstützt",
	"zurueck", "zurück", "spaeter", "später", "zeitueber", "zeitüber", "fruehest", "frühest", "moeglich", "möglich", "datensaetz", "datensätz", "gewaehlt", "gewählt")

// any reports whether one of the words is there.
func (s said) any(words []string) bool {
	for _, have := range s {
		for _, word := range words {
			if have == word {
				return true
			}
		}
	}
	return false
}

// part reports whether one of the words has one of the parts.
func (s said) part(parts []string) bool {
	for _, have := range s {
		for _, part := range parts {
			if strings.Contains(have, part) {
				return true
			}
		}
	}
	return false
}
