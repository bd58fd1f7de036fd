package remittance

import "strings"

// A bankLabel is what a bank writes where others write a tag. Commerzbank, comdirect and Targobank have labels of their own,
// ING has names for machines; they stand before a colon.
type bankLabel struct {
	words string // in lower case; a hyphen may be a blank
	name  string
	solid bool // nobody else writes that
}

var bankLabels = [...]bankLabel{
	{"end-to-end-ref", "EREF", true}, {"end-to-end-referenz", "EREF", true}, {"end-to-end-reference", "EREF", true}, {"end-to-end-id", "EREF", true},
	{"end-to-end-identifikation", "EREF", true}, {"ende-zu-ende-ref", "EREF", true}, {"ende-zu-ende-referenz", "EREF", true}, {"e2e-ref", "EREF", true},
	{"e2e-referenz", "EREF", true}, {"referenz", "EREF", false}, {"referenznummer", "EREF", false},
	{"mandatsref", "MREF", true}, {"mandatsreferenz", "MREF", true}, {"mandats-referenz", "MREF", true}, {"mandats-ref", "MREF", true},
	{"mandatsreferenz-nr", "MREF", true}, {"mandatsreferenznummer", "MREF", true}, {"mandats-id", "MREF", true}, {"mandats-nr", "MREF", true},
	{"mandatsnummer", "MREF", true}, {"mandat", "MREF", false}, {"sepa-mandat", "MREF", false},
	{"gläubiger-id", "CRED", true}, {"glaeubiger-id", "CRED", true}, {"glaubiger-id", "CRED", true}, {"gläubigerid", "CRED", true}, {"glaeubigerid", "CRED", true},
	{"gläubiger-identifikationsnummer", "CRED", true}, {"glaeubiger-identifikationsnummer", "CRED", true}, {"gläubiger-identifikation", "CRED", true},
	{"glaeubiger-identifikation", "CRED", true}, {"einreicher-id", "CRED", true}, {"creditor-id", "CRED", true},
	{"kundenref", "KREF", false}, {"kundenreferenz", "KREF", false}, {"kunden-ref", "KREF", false}, {"kundenreferenznummer", "KREF", false},
	{"verwendungszweck", "SVWZ", false}, {"buchungstext", "SVWZ", true},
	{"auftraggeber", "NAME", false}, {"empfänger", "NAME", false}, {"empfaenger", "NAME", false},
	{"zahlungsempfänger", "NAME", false}, {"zahlungsempfaenger", "NAME", false},
}

var machineNames = [...]bankLabel{
	{"mandatereference", "MREF", true}, {"mandateid", "MREF", true}, {"creditorid", "CRED", true}, {"endtoendid", "EREF", true},
	{"endtoendreference", "EREF", true}, {"remittanceinformation", "SVWZ", true},
}

// schemes stand before Commerzbank's label of the mandate: "CORE / Mandatsref.:".
var schemes = [...]string{"CORE", "COR1", "B2B"}

// labelAt is the label whose colon is text[i], and which begins at from or later. A full stop may stand before the colon.
func labelAt(text string, i, from int) (mark, bool) {
	end := i
	for end > from && i-end < 4 && (text[end-1] == '.' || text[end-1] == ' ') {
		end--
	}
	if end <= from {
		return mark{}, false
	}
	for _, l := range machineNames {
		if at := wordBefore(text, end, from, l.words, true); at >= 0 && (at == 0 || !isAlphanumeric(text[at-1])) {
			return mark{name: l.name, at: at, value: i + 1, form: machine, solid: true, purposeful: l.name == "SVWZ"}, true
		}
	}
	best := mark{at: len(text)}
	for _, l := range bankLabels {
		if at := wordBefore(text, end, from, l.words, true); at >= 0 && at < best.at && (at == 0 || !isAlphanumeric(text[at-1])) {
			best = mark{name: l.name, at: at, value: i + 1, form: label, solid: l.solid, purposeful: l.name == "SVWZ"}
		}
	}
	if best.name == "" {
		return mark{}, false
	}
	best.at = beforeScheme(text[:best.at], from)
	return best, true
}

func beforeScheme(text string, from int) int {
	before := strings.TrimRight(text, " ")
	if rest, slash := strings.CutSuffix(before, "/"); slash {
		rest = strings.TrimRight(rest, " ")
		for _, scheme := range schemes {
			at := len(rest) - len(scheme)
			if at >= from && rest[at:] == scheme && (at == 0 || !isAlphanumeric(rest[at-1])) {
				return at
			}
		}
	}
	return len(text)
}

// Postbank writes its labels without a colon: "Referenz E-1 Mandat M-7 Einreicher-ID DE98ZZZ09999999999 Beitrag", and before
// transfers without a reference "Referenz NOTPROVIDED Miete".
const (
	postbankCreditor  = "Einreicher-ID "
	postbankMandate   = "Mandat "
	postbankReference = "Referenz "
)

// isPostbank reports whether one of its labels is there.
func isPostbank(text string) bool {
	if strings.HasPrefix(text, postbankReference) {
		return true
	}
	const before = len("Einreicher")
	for i := nextSign(text, 0, '-'); i < len(text); i = nextSign(text, i+1, '-') { // a hyphen is rarer than its letters
		if i >= before && strings.HasPrefix(text[i-before:], postbankCreditor) {
			return true
		}
	}
	return false
}

// postbank finds these labels. The words count only in that order, each with one word behind it.
func postbank(text string, marks []mark) []mark {
	if value := len(postbankReference); strings.HasPrefix(text, postbankReference) && placeholderLength(text[value:]) > 0 {
		marks = append(marks, mark{name: "EREF", value: value, form: label, solid: true})
	}
	at := strings.Index(text, postbankCreditor)
	if at < 0 || at > 0 && text[at-1] != ' ' {
		return marks
	}
	if _, _, ok := creditor(text[at+len(postbankCreditor):]); !ok {
		return marks
	}
	found := mark{name: "CRED", at: at, value: at + len(postbankCreditor), form: bare, solid: true}
	marks = append(marks, found)
	for _, l := range [...]struct{ words, name string }{{postbankMandate, "MREF"}, {postbankReference, "EREF"}} {
		before := text[:found.at]
		at := strings.LastIndex(before, l.words)
		if at < 0 || at > 0 && text[at-1] != ' ' || !oneWord(before[at+len(l.words):]) {
			break
		}
		found = mark{name: l.name, at: at, value: at + len(l.words), form: bare, solid: true}
		marks = append(marks, found)
	}
	return marks
}
