package remittance

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A Tag is a value that a remittance carries under a name.
type Tag struct {
	Name  string // as in the DFÜ agreement, annex 3, section 8.2.5: EREF, MREF …; NAME is the other party's name
	Value string // never empty
}

// maxPasses bounds how often a text is searched again, because two of its parts put together look like a tag.
const maxPasses = 4

// Split takes a remittance of one line apart: the text that is its purpose, and the tags with something in them, appended
// to tags. It finds
//
//   - tags with a plus anywhere ("…2026SVWZ+Miete"): their values reach to the next tag;
//   - tags with a colon, and the labels that banks write instead ("Mandatsref.: M-7", "creditorid:DE98…"), where several of
//     them stand in a row, or where a single one is followed by what can only be a reference. Words of a sentence that
//     look like them are left alone;
//   - each of them also with a blank in it, where a line ended.
//
// Splitting the purpose again finds nothing.
func Split(text string, tags []Tag) (purpose string, _ []Tag) {
	if !mayHaveTags(text) {
		return text, tags
	}
	var buf [16]mark
	for range maxPasses {
		marks := accept(text, findMarks(text, buf[:0]))
		if len(marks) == 0 {
			return text, tags
		}
		text, tags = cut(text, marks, tags)
	}
	return withoutSigns(text), tags
}

func mayHaveTags(text string) bool {
	return strings.IndexByte(text, '+') >= 0 || strings.IndexByte(text, ':') >= 0 || isPostbank(text)
}

// withoutSigns ends the search in a text that was made to look like tags inside of tags.
func withoutSigns(text string) string {
	text = strings.NewReplacer("+", " ", ":", " ", postbankCreditor, " ", postbankReference, " ").Replace(text)
	return strings.Join(strings.Fields(text), " ")
}

// A mark is where something that looks like a tag stands.
type mark struct {
	name       string
	at         int // where the tag begins
	value      int // where its value begins
	end        int // where its value ends
	form       form
	solid      bool // nothing else than a tag is called so
	likely     bool // it is no word of the text
	purposeful bool // its value is the purpose
}

type form uint8

const (
	plus    form = iota // EREF+
	colon               // EREF:
	label               // Mandatsref.:
	machine             // mandatereference:
	unknown             // MTLG+
	bare                // Mandat M-7, without any sign
)

// names are the tags. Those that stand for themselves may follow a word at once.
var names = [...]struct {
	name  string
	alone bool
}{
	{"EREF", true}, {"KREF", true}, {"MREF", true}, {"CRED", true}, {"DEBT", true}, {"SVWZ", true}, {"ABWA", true}, {"ABWE", true}, {"COAM", true},
	{"OAMT", true}, {"RREF", true}, {"RTRN", true}, {"BREF", false}, {"PURP", false}, {"IBAN", false}, {"BIC", false},
}

// findMarks finds all that looks like a tag, in order. Each sign is looked at once, with the few bytes before it.
func findMarks(text string, marks []mark) []mark {
	if isPostbank(text) {
		marks = postbank(text, marks)
	}
	from, listed := 0, len(marks)
	plus, colon := nextSign(text, 0, '+'), nextSign(text, 0, ':')
	for i := min(plus, colon); i < len(text); i = min(plus, colon) {
		if m, ok := markAt(text, i, from); ok {
			marks, from = append(marks, m), m.value
		}
		if i == plus {
			plus = nextSign(text, i+1, '+')
		} else {
			colon = nextSign(text, i+1, ':')
		}
	}
	if listed > 0 {
		slices.SortStableFunc(marks, func(a, b mark) int { return a.at - b.at })
		marks = slices.CompactFunc(marks, func(a, b mark) bool { return b.at < a.value })
	}
	return marks
}

// nextSign is where a sign stands next; behind the text where it does not.
func nextSign(text string, from int, sign byte) int {
	if i := strings.IndexByte(text[from:], sign); i >= 0 {
		return from + i
	}
	return len(text)
}

// markAt is the mark whose sign is text[i], and which begins at from or later.
func markAt(text string, i, from int) (mark, bool) {
	if i == 0 || text[i] == '+' && !isUpper(text[i-1:i]) {
		return mark{}, false
	}
	for _, n := range names {
		at := wordBefore(text, i, from, n.name, false)
		if at < 0 {
			continue
		}
		m := mark{name: n.name, at: at, value: i + 1, form: plus, solid: !isCommon(n.name), purposeful: n.name == "SVWZ"}
		begins := at == 0 || !isAlphanumeric(text[at-1])
		if text[i] == ':' {
			m.form = colon
			return m, begins
		}
		return m, (begins || n.alone) && (m.solid || hasForm(n.name, text[i+1:]))
	}
	if text[i] == '+' {
		if i >= 4 && i-4 >= from && isUpper(text[i-4:i]) && (i == 4 || text[i-5] == ' ') {
			return mark{name: text[i-4 : i], at: i - 4, value: i + 1, form: unknown}, true
		}
		return mark{}, false
	}
	return labelAt(text, i, from)
}

// beginsWithTag reports whether a line begins with a tag.
func beginsWithTag(line string) bool {
	if len(line) < 4 || !isSign(line[3]) && (len(line) < 5 || !isSign(line[4])) {
		return false
	}
	for _, n := range names {
		if len(line) > len(n.name) && line[:len(n.name)] == n.name && isSign(line[len(n.name)]) {
			return true
		}
	}
	return false
}

// endsWithTag reports whether a line ends with the name of a tag, whose sign is missing. Names that are words are left out.
func endsWithTag(line string) bool {
	for _, n := range names {
		before, found := strings.CutSuffix(line, n.name)
		if found && !isCommon(n.name) && (n.alone || before == "" || !isAlphanumeric(before[len(before)-1])) {
			return true
		}
	}
	return false
}

func isSign(c byte) bool { return c == '+' || c == ':' }

// isCommon: people write these words, too.
func isCommon(name string) bool { return name == "IBAN" || name == "BIC" || name == "PURP" }

// wordBefore is where a word begins that ends before text[i]; -1 where another stands there. One blank may be in it.
func wordBefore(text string, i, from int, word string, anyCase bool) int {
	blanks := 0
	k := len(word) - 1
	for i--; k >= 0; i-- {
		if i < from {
			return -1
		}
		c := text[i]
		if anyCase {
			c = small(c)
		}
		switch {
		case c == word[k] || word[k] == '-' && c == ' ' && (i == from || text[i-1] != '-'):
			k--
		case c == ' ' && blanks == 0 && k < len(word)-1:
			blanks++
		default:
			return -1
		}
	}
	return i + 1
}

// small is a letter in lower case, also the second byte of a German umlaut.
func small(c byte) byte {
	switch {
	case c >= 'A' && c <= 'Z':
		return c + 'a' - 'A'
	case c == 0x84 || c == 0x96 || c == 0x9C: // Ä, Ö, Ü
		return c + 0x20
	}
	return c
}

func isAlphanumeric(c byte) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c >= utf8.RuneSelf
}

func isUpper(s string) bool {
	for i := range len(s) {
		if s[i] < 'A' || s[i] > 'Z' {
			return false
		}
	}
	return true
}

// hasForm reports whether a value may begin there that has the form which the tag's values have.
func hasForm(name, text string) bool {
	text = strings.TrimLeft(text, " ")
	switch name {
	case "IBAN":
		return len(text) >= 4 && isUpper(text[:2]) && isDigits(text[2:4])
	case "BIC":
		return len(text) >= 8 && isUpper(text[:6]) && isAlphanumeric(text[6]) && isAlphanumeric(text[7])
	case "PURP":
		return len(text) >= 4 && isUpper(text[:4]) && (len(text) == 4 || !isAlphanumeric(text[4]))
	}
	return true
}

func isDigits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// accept sets where the marks' values end, and leaves out those that are words of the text.
func accept(text string, marks []mark) []mark {
	setEnds(text, marks)
	row, solid := 0, false
	for i := range marks {
		m := &marks[i]
		switch m.form {
		case bare:
			m.likely = true
		case plus:
			m.likely = !m.isMentioned(text)
		case unknown: // only behind a value of one word
			m.likely = i > 0 && marks[i-1].likely && !marks[i-1].purposeful && (marks[i-1].form == plus || marks[i-1].form == unknown) &&
				oneWord(text[marks[i-1].value:m.at])
		default:
			if m.likely = m.isLikely(text, i+1 < len(marks)); m.likely && !isCommon(m.name) {
				row, solid = row+1, solid || m.solid
			}
		}
	}
	styled := false // a tag with a colon, or a label, was accepted before
	kept := marks[:0]
	for _, m := range marks {
		switch {
		case !m.likely:
			continue
		case m.form == plus || m.form == bare || m.form == unknown:
		case isCommon(m.name):
			if !styled {
				continue
			}
		case row >= 2 && solid || m.standsAlone(text):
			styled = true
		default:
			continue
		}
		kept = append(kept, m)
	}
	setEnds(text, kept)
	return kept
}

// setEnds sets where each value ends: at the next tag.
func setEnds(text string, marks []mark) {
	for i := range marks {
		marks[i].end = len(text)
		if i+1 < len(marks) {
			marks[i].end = marks[i+1].at
		}
	}
}

// isMentioned reports whether a sentence speaks of a tag with a plus: "bitte EREF+ und MREF+ angeben".
func (m *mark) isMentioned(text string) bool {
	if m.purposeful {
		return false
	}
	word, _ := firstWord(text[m.value:m.end])
	switch {
	case isTagName(word):
		return true
	case !isWord(word):
		return false
	}
	return isFunctionWord(word) || isFunctionWord(lastWord(text[:m.at]))
}

func isTagName(word string) bool {
	if len(word) != 3 && len(word) != 4 {
		return false
	}
	for _, n := range names {
		if word == n.name {
			return true
		}
	}
	return false
}

// isLikely judges a tag with a colon, or a label, by what stands around it. another says that a mark follows.
func (m *mark) isLikely(text string, another bool) bool {
	value := strings.Trim(text[m.value:m.end], " ,")
	switch {
	case m.form == machine:
		return true
	case m.form == colon && m.solid && m.name != "CRED":
		return true
	case m.name == "CRED":
		_, _, ok := creditor(value)
		return ok && !inSentence(text, m, value)
	case m.form == colon:
		return hasForm(m.name, value)
	case m.purposeful:
		return true
	case m.name == "NAME":
		return another && value != ""
	case value == "":
		return another
	case inSentence(text, m, value):
		return false
	}
	return isReference(value)
}

// standsAlone reports whether a single mark is enough.
func (m *mark) standsAlone(text string) bool {
	value := strings.Trim(text[m.value:m.end], " ,")
	switch {
	case m.form == machine, m.form == colon && m.purposeful:
		return true
	case m.purposeful:
		return m.solid && m.at == 0
	case m.name == "KREF" && m.form == label:
		return oneWord(value) && isCode(value) && strings.HasSuffix(strings.TrimRight(text[:m.value-1], " "), ".")
	case !m.solid:
		return false
	case m.name == "CRED", placeholderLength(value) > 0:
		return true
	}
	word, _ := firstWord(value)
	return isReference(word) && !inSentence(text, m, value)
}

// inSentence reports whether the words around a value make it a part of a sentence.
func inSentence(text string, m *mark, value string) bool {
	if isFunctionWord(lastWord(text[:m.at])) {
		return true
	}
	if placeholderLength(value) > 0 {
		return false
	}
	_, rest := firstWord(value)
	if m.name == "CRED" {
		_, rest, _ = creditor(value)
	}
	next, _ := firstWord(rest)
	switch next {
	case "wiederholend", "einmalig", "erstmalig", "letztmalig": // the bank's own words for the sequence of a direct debit
		return false
	}
	return isWord(next)
}

// isFunctionWord knows the words that lead to a label in a sentence.
func isFunctionWord(word string) bool {
	switch strings.ToLower(word) {
	case "und", "oder", "sowie", "mit", "ohne", "zur", "zum", "zu", "die", "der", "das", "den", "dem", "des", "ihre", "ihr", "ihrer", "ihren", "unsere",
		"unser", "unserer", "unseren", "meine", "mein", "meiner", "deine", "deiner", "eine", "einer", "keine", "per", "unter", "bei", "von", "vom", "neue", "neuer", "neuen",
		"als", "für", "fuer", "laut", "gemäß", "gemaess", "siehe", "bitte", "angegebene", "angegebenen", "andere", "anderer", "diese", "dieser":
		return true
	}
	return false
}

// isReference reports whether a value can be a reference: something with a digit in it or all in capitals, and no words of a
// sentence behind it.
func isReference(value string) bool {
	if placeholderLength(value) > 0 {
		return true
	}
	word, rest := firstWord(value)
	if isCode(word) {
		return true
	}
	if isWord(word) || len(value) > maxReference {
		return false
	}
	for rest != "" {
		if word, rest = firstWord(rest); isWord(word) {
			return false
		}
	}
	return strings.ContainsAny(value, "0123456789")
}

// isCode: a digit, or three characters without a small letter.
func isCode(word string) bool {
	if strings.ContainsAny(word, "0123456789") {
		return true
	}
	return len(word) >= 3 && !strings.ContainsFunc(word, unicode.IsLower) && strings.ContainsFunc(word, unicode.IsLetter)
}

// isWord reports whether a word is one of a sentence: it begins with a small letter and has no digit.
func isWord(word string) bool {
	r, _ := utf8.DecodeRuneInString(word)
	return unicode.IsLower(r) && !strings.ContainsAny(word, "0123456789")
}

// placeholderLength is how long what banks write for "no reference" is at a value's beginning; 0: it does not begin so.
func placeholderLength(value string) int {
	for _, words := range [...]string{"nicht angegeben", "keine angabe", "nicht vorhanden", "not provided", "notprovided", "nonref"} {
		if len(value) >= len(words) && strings.EqualFold(value[:len(words)], words) && (len(value) == len(words) || !isAlphanumeric(value[len(words)])) {
			return len(words)
		}
	}
	return 0
}

func firstWord(s string) (word, rest string) {
	word, rest, _ = strings.Cut(strings.TrimLeft(s, " "), " ")
	return word, strings.TrimLeft(rest, " ")
}

// lastWord is the last word of a text, without the signs around it.
func lastWord(s string) string {
	s = strings.TrimRight(s, " ,.;")
	return s[strings.LastIndexByte(s, ' ')+1:]
}

func oneWord(s string) bool {
	s = strings.Trim(s, " ")
	return s != "" && strings.IndexByte(s, ' ') < 0
}

// maxReference is how long a reference of SEPA is at most (EPC130-08), and some blanks where lines ended.
const maxReference = 40

// cut takes the marks' values out of a text, and returns the rest as the purpose.
func cut(text string, marks []mark, tags []Tag) (purpose string, _ []Tag) {
	var pieces [8]string
	rest := pieces[:0]
	add := func(s string) {
		if s = strings.Trim(s, " "); s != "" {
			rest = append(rest, s)
		}
	}
	before := text[:marks[0].at]
	if marks[0].form != plus {
		before = strings.TrimRight(before, " ,;")
	}
	add(before)
	told := len(rest) > 0
	for i := range marks {
		m := &marks[i]
		value := strings.Trim(text[m.value:m.end], " ")
		left := ""
		if m.purposeful {
			value, left = "", value
			told = told || left != ""
		} else {
			value, left = m.split(value, i == len(marks)-1, told)
		}
		if value != "" {
			tags = append(tags, Tag{m.name, value})
		}
		add(left)
	}
	return strings.Join(rest, " "), tags
}

// split tells a tag's value from what follows it. last says that no other tag does, told that the purpose is known.
func (m *mark) split(value string, last, told bool) (own, rest string) {
	switch m.name {
	case "CRED":
		if id, rest, ok := creditor(value); ok {
			return id, rest
		}
	case "IBAN":
		return account(value)
	case "BIC":
		return bic(value)
	case "PURP":
		return firstOf(value, 4)
	case "EREF", "KREF", "MREF", "BREF", "RREF":
		if m.form == plus || m.form == unknown {
			if len(value) <= maxReference {
				return value, ""
			}
			return firstWord(value)
		}
		return reference(value, last, told)
	case "NAME", "ABWA", "ABWE":
		return value, ""
	default:
		if m.form == plus || m.form == unknown {
			return value, ""
		}
	}
	if m.form == plus {
		return value, ""
	}
	return reference(value, last, told)
}

func firstOf(value string, n int) (own, rest string) {
	if len(value) < n {
		return value, ""
	}
	return value[:n], value[n:]
}

// reference is the value behind a colon or a label: up to the next tag; but words of a sentence are no part of it, and behind
// the last tag only what looks like it.
func reference(value string, last, told bool) (own, rest string) {
	value = strings.TrimRight(value, ",; ")
	if n := placeholderLength(value); n > 0 {
		return value[:n], strings.TrimLeft(value[n:], " ,")
	}
	own, rest = firstWord(value)
	if !last && len(value) <= maxReference {
		for left := rest; left != ""; {
			var word string
			if word, left = firstWord(left); isWord(word) {
				return strings.TrimRight(own, ","), rest
			}
		}
		return value, ""
	}
	end, parts := len(own), true
	for left := rest; left != "" && parts; {
		var word string
		if word, left = firstWord(left); !isPart(word) || len(value)-len(left) > maxReference {
			parts = false
			continue
		}
		end = len(strings.TrimRight(value[:len(value)-len(left)], " "))
	}
	if !told && !parts { // the purpose begins somewhere among them
		end = len(own)
	}
	return strings.TrimRight(value[:end], ","), strings.TrimLeft(value[end:], " ")
}

// isPart: a digit, or no more than a letter and signs.
func isPart(word string) bool {
	return strings.ContainsAny(word, "0123456789") || utf8.RuneCountInString(word) == 1 || !strings.ContainsFunc(word, unicode.IsLetter)
}
