// Package remittance reads what a payment says about itself: lines of a fixed width, in which the fields of SEPA stand
// behind tags ("EREF+RE-4711 SVWZ+Rechnung") or behind a bank's own labels ("Mandatsref.: M-7"). MT940, camt and JSON
// share it.
package remittance

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// subfieldWidth is how much a subfield of MT940's field 86 holds ("Messages – Finanzdatenformate", section B.8).
const subfieldWidth = 27

// Join puts the lines of a remittance together. Formats cut a text at a fixed width, anywhere in a word: behind a line
// that is as wide as that, the word goes on. A shorter line ended with a word.
func Join(lines []string) string {
	lines = flat(lines)
	if len(lines) == 1 {
		return lines[0]
	}
	full := widest(lines)
	if !isFixed(full) {
		full = 0
	}
	return join(lines, full, false)
}

// Append adds a line to those of a remittance, without the blanks around it. Those stay that say how a text was cut: at the end
// of a line that is as wide as lines are, and at the beginning of the next one.
func Append(lines []string, line string) []string {
	if !isFixed(utf8.RuneCountInString(line)) {
		line = strings.TrimRightFunc(line, unicode.IsSpace)
	}
	if len(lines) == 0 || !isFixed(utf8.RuneCountInString(lines[len(lines)-1])) {
		line = strings.TrimLeftFunc(line, unicode.IsSpace)
	}
	if strings.TrimSpace(line) == "" {
		return lines
	}
	return append(lines, line)
}

// JoinSubfields is Join for subfields of MT940's field 86. Their width is known, but some banks write wider ones.
func JoinSubfields(lines []string) string {
	lines = flat(lines)
	if len(lines) == 1 {
		return lines[0]
	}
	switch full := widest(lines); {
	case full <= subfieldWidth+1:
		return join(lines, subfieldWidth, false)
	case isFixed(full):
		return join(lines, full, false)
	default:
		return join(lines, subfieldWidth, true)
	}
}

// JoinField is Join for the physical lines of a field of SWIFT, of 65 characters. Some banks count the tag of the field, of
// that many characters, as a part of the first one.
func JoinField(lines []string, tag int) string {
	const width = 65
	if len(lines) > 1 && utf8.RuneCountInString(lines[0])+tag == width {
		if others := widest(lines[1:]); others == width || others < width && len(lines) == 2 {
			return lines[0] + Join(lines[1:])
		}
	}
	return Join(lines)
}

// JoinWrapped puts together the physical lines of a field whose text has subfields of its own: the lines mean nothing, and are
// cut anywhere. They are 65 wide, or as wide as several of them are. What a bank breaks off earlier may be the end of a word,
// and may not.
func JoinWrapped(lines []string, tag int) string {
	if len(lines) == 1 {
		return lines[0]
	}
	var b strings.Builder
	b.Grow(size(lines))
	width := 0
	for i, line := range lines {
		b.WriteString(line)
		if i == len(lines)-1 {
			break
		}
		next := lines[i+1]
		switch {
		case line == "-" || next == "-": // somebody's own line
			b.WriteByte(' ')
		case endsWord(line, next):
			if width == 0 {
				width = wrappedAt(lines, tag)
			}
			if n := utf8.RuneCountInString(line); n != width && (i > 0 || n+tag != width) {
				b.WriteByte(' ')
			}
		}
	}
	return b.String()
}

// wrappedAt is the width of a bank's physical lines; -1 where it cannot be told.
func wrappedAt(lines []string, tag int) int {
	const width = 65
	widest, times := 0, 0
	for i, line := range lines[:len(lines)-1] {
		n := utf8.RuneCountInString(line)
		if i == 0 && n != width {
			n += tag
		}
		switch {
		case n == width:
			return width
		case n > widest:
			widest, times = n, 1
		case n == widest:
			times++
		}
	}
	if times < 2 {
		return -1
	}
	return widest
}

// flat is the lines, with those that hold several lines taken apart, and without blank ones.
func flat(lines []string) []string {
	needed := false
	for _, line := range lines {
		if strings.IndexByte(line, '\n') >= 0 || strings.Trim(line, " ") == "" {
			needed = true
			break
		}
	}
	if !needed && len(lines) > 0 {
		return lines
	}
	var all []string
	for _, line := range lines {
		for part := range strings.SplitSeq(line, "\n") {
			if part = strings.TrimRight(part, "\r"); strings.TrimSpace(part) != "" {
				all = append(all, part)
			}
		}
	}
	if len(all) == 0 {
		all = append(all, "")
	}
	return all
}

// widest is how many characters the widest line has.
func widest(lines []string) (widest int) {
	for _, line := range lines {
		if len(line) > widest { // else it has no more characters, either
			widest = max(widest, utf8.RuneCountInString(line))
		}
	}
	return widest
}

// size is how much the lines take at most when they are joined.
func size(lines []string) (size int) {
	for _, line := range lines {
		size += len(line) + 1
	}
	return size
}

// isNarrower reports whether a line has fewer than n characters.
func isNarrower(line string, n int) bool {
	return len(line) < n || utf8.RuneCountInString(line) < n
}

// isFixed reports whether lines are cut at this width: 27 MT940 and FinTS, 35 EDIFACT and DTAUS, 54 Targobank, 65 SWIFT, 140
// camt and XS2A.
func isFixed(width int) bool {
	switch width {
	case 27, 35, 54, 65, 140:
		return true
	}
	return false
}

// join puts lines together where full is the width from which a line is full, 0 for none. uneven says that the bank does
// not fill its lines.
func join(lines []string, full int, uneven bool) string {
	var b strings.Builder
	b.Grow(size(lines))
	ragged := uneven
	for i, line := range lines {
		b.WriteString(line)
		if i == len(lines)-1 {
			break
		}
		if !uneven && full > 0 && (i == 0 || beginsWithTag(line)) {
			ragged = isRagged(lines[i:], full)
		}
		next := lines[i+1]
		switch {
		case strings.HasSuffix(line, " ") || strings.HasPrefix(next, " "):
		case isSign(next[0]) && endsWithTag(line): // the tag's sign is in the next line
		case full == 0, isNarrower(line, full), ragged && endsWord(line, next), beginsWithTag(next):
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// isRagged reports whether a line is much shorter than it could be, up to the last one or the next tag: such lines end
// where something ends, and the widest ones, too.
func isRagged(lines []string, full int) bool {
	for i, line := range lines[:len(lines)-1] {
		if beginsWithTag(lines[i+1]) {
			return false
		}
		if isNarrower(line, full-1) {
			return true
		}
	}
	return false
}

// endsWord reports whether a word probably ends between two lines, by the kinds of their characters: "UHR" and "1.TAN" are
// two, "Novem" and "ber" are one.
func endsWord(line, next string) bool {
	a, size := utf8.DecodeLastRuneInString(line)
	b, _ := utf8.DecodeRuneInString(next)
	switch from, to := kindOf(a), kindOf(b); {
	case from == blank || to == blank || to == sign:
		return false
	case from == sign:
		return strings.ContainsRune(",;:!?)", a) && to != digit || a == '.' && to == upper
	case from == upper && to == lower: // "S" and "trom" are one, "UHR" and "vom" are two
		before, _ := utf8.DecodeLastRuneInString(line[:len(line)-size])
		return kindOf(before) == upper
	default:
		return from != to
	}
}

type kind uint8

const (
	blank kind = iota
	sign
	digit
	lower
	upper
)

func kindOf(r rune) kind {
	switch {
	case r >= '0' && r <= '9':
		return digit
	case unicode.IsSpace(r):
		return blank
	case unicode.IsLower(r):
		return lower
	case unicode.IsLetter(r):
		return upper
	default:
		return sign
	}
}
