package fints

import (
	"slices"
	"strings"

	"github.com/kontoflow/kontoflow/banks"
)

// coverage is what the return codes beside a statement say about how complete it is.
type coverage struct {
	// points are where the bank goes on (3040 with a touchdown point), each once.
	points []string
	// none: the bank says that there are no entries (3010).
	none bool
	// held: the bank gives no booked entries, or not all, for another reason.
	held bool
	// pendingHeld: the bank holds pending entries back.
	pendingHeld bool
}

// covers reads the return codes about our order. All of them count: a bank may say 3040 twice, once
// with the next page and once because it shows no more than a hundred pending entries.
func (r *reply) covers() (c coverage) {
	for i := range r.feedback {
		f := &r.feedback[i]
		if !f.ofOrder() {
			continue
		}
		words := wordsOf(f.text)
		switch f.code {
		case codeTouchdown:
			point := ""
			if len(f.parameters) > 0 {
				point = f.parameters[0]
			}
			switch {
			case point != "" && !slices.Contains(c.points, point):
				c.points = append(c.points, point)
			case point == "" && words.part(pendingParts):
				c.pendingHeld = true
			case point == "":
				c.held = true
			}
		case codeEmpty:
			pending := words.part(pendingParts)
			switch none := words.saysNone(); {
			case none && !pending:
				c.none = true
			case !none && pending:
				c.pendingHeld = true
			case !none:
				c.held = true
			}
		}
	}
	return c
}

// withheld judges an answer: why it covers no booked entries, or not the pending ones; "": it
// covers them. list says that there is a list of entries, even an empty one, and entries how many
// are in it. Only an answer that says "none" means none.
func (c *coverage) withheld(list bool, entries int) (booked, pending banks.Withheld) {
	switch {
	case c.held && entries > 0:
		return banks.Partial, banks.Partial
	case c.held, !list && !c.none && len(c.points) == 0:
		return banks.NoList, banks.NoList
	case c.pendingHeld:
		return "", banks.Partial
	}
	return "", ""
}

// Words of 3010 and 3040. Both codes come with reasons of all kinds.
var (
	pendingParts = []string{"vorgemerkt", "vormerk", "pending", "disponiert", "ungebucht"}
	noneWords    = []string{"kein", "keine", "keinen", "keiner", "keinerlei", "no", "none", "0"}
	// entryEnds are how words for entries end: Umsätze, Kontoumsätze, Umsatzdaten.
	entryEnds = []string{"umsatz", "umsätze", "umsätzen", "eintrag", "einträge", "einträgen", "buchung", "buchungen", "posten", "bewegung", "bewegungen",
		"transaktion", "transaktionen", "transaction", "transactions", "entry", "entries", "booking", "bookings", "movement", "movements",
		"daten", "data", "datensatz", "datensätze", "record", "records", "information", "informationen", "ergebnis", "ergebnisse", "result", "results",
		"auszug", "auszüge", "statement", "statements", "umsaetze"}
	otherData   = []string{"kontodaten", "stammdaten", "zugangsdaten"}
	absentWords = []string{"vorhanden", "gefunden", "found"}
	// reasonParts bar a text from saying "none": it then says why there is nothing now, or not all.
	reasonParts = []string{"bearbeit", "verarbeit", "process", "später", "later", "warte", "teilweise", "partial", "unvollständig", "incomplete", "fehler", "error",
		"unbekannt", "unknown", "gültig", "valid", "gesperrt", "locked", "blocked", "berechtig", "erlaub", "allowed", "permi", "unterstütz", "support", "zugelassen",
		"freigabe", "freischalt", "freigeschaltet", "möglich", "possible", "angezeigt", "anzeigbar", "shown", "dargestellt", "abgerufen", "abrufbar", "retriev", "geliefert",
		"ermittelt", "bereitgestellt", "geladen", "wartung", "maintenance", "technisch", "technical", "timeout", "zeitüberschreitung", "authentifiz", "legitim",
		"zugriff", "access", "auskunft", "rückmeldung", "fortgesetzt", "begonnen"}
	reasonWords  = []string{"wait", "nur", "only", "antwort", "verbindung", "cannot", "can't", "please", "bitte"}
	currently    = []string{"derzeit", "zurzeit", "zzt", "momentan", "aktuell", "currently", "temporarily", "vorübergehend", "noch", "yet"}
	availability = []string{"verfügbar", "available"}
	negations    = []string{"nicht", "not"}
)

// saysNone reports whether the text of a 3010 says that there are no entries. Without a text the
// code alone says it ("Es liegen keine Einträge vor"; "Formals", section B.6.3).
func (s said) saysNone() bool {
	switch {
	case len(s) == 0:
		return true
	case s.part(reasonParts), s.any(reasonWords):
		return false
	case s.part(availability) && (s.any(currently) || s.any(negations)):
		return false
	}
	denied := -1 // where the last word stood that denies
	for i, word := range s {
		switch {
		case said{word}.any(noneWords):
			denied = i
		case !isEntryWord(word):
		case denied >= 0 && i-denied <= maxBetween, s.any(negations) && s.any(absentWords), s.any([]string{"leer", "empty"}):
			return true
		}
	}
	return false
}

// maxBetween is how far a word for entries stands behind the one that denies it ("keine neuen oder
// geänderten Umsätze").
const maxBetween = 4

func isEntryWord(word string) bool {
	if slices.Contains(otherData, word) {
		return false
	}
	return slices.ContainsFunc(entryEnds, func(end string) bool { return strings.HasSuffix(word, end) })
}
