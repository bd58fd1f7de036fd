package reconcile

import (
	"crypto/sha256"
	"encoding/binary"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/unicode/norm"
)

// clean makes a bank's text fit to be stored and shown: valid UTF-8 (bytes that are none count as ISO 8859-1), UTF-8 that
// was read as ISO 8859-1 repaired, no control and no invisible characters, single blanks, composed (NFC), at most limit
// bytes. Clean text comes back as it is.
func clean(s string, limit int) string {
	if isClean(s) {
		return cut(s, limit)
	}
	s = latin1(cut(s, 4*limit))
	for {
		next := norm.NFC.String(collapse(repair(s)))
		if next == s {
			return cut(s, limit)
		}
		s = next
	}
}

// isClean knows the common case: printable, composed, without needless blanks, and nothing to repair.
func isClean(s string) bool {
	blank, suspicion, ascii := true, false, true
	for _, r := range s {
		if r < utf8.RuneSelf {
			if r < ' ' || r > '~' || r == ' ' && blank {
				return false
			}
			blank, suspicion = r == ' ', false
			continue
		}
		if r == utf8.RuneError || !unicode.IsPrint(r) || suspicion && continues(r) {
			return false
		}
		blank, suspicion, ascii = false, suspect(r), false
	}
	return (!blank || s == "") && (ascii || norm.NFC.IsNormalString(s))
}

func cut(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return strings.TrimRightFunc(s[:limit], unicode.IsSpace)
}

// latin1 reads the bytes that are not UTF-8 as ISO 8859-1.
func latin1(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	var b strings.Builder
	for i, r := range s {
		if r == utf8.RuneError {
			if _, size := utf8.DecodeRuneInString(s[i:]); size == 1 {
				r = rune(s[i])
			}
		}
		b.WriteRune(r)
	}
	return b.String()
}

// repair undoes what a reader does that takes UTF-8 for ISO 8859-1 or Windows-1252: "MÃ¼ller".
func repair(s string) string {
	if strings.IndexFunc(s, suspect) < 0 {
		return s
	}
	var b strings.Builder
	for len(s) > 0 {
		r, size := utf8.DecodeRuneInString(s)
		if suspect(r) {
			sequence, taken := []byte{byte(r)}, size
			for len(sequence) < utf8.UTFMax && !utf8.FullRune(sequence) {
				following, n := utf8.DecodeRuneInString(s[taken:])
				if !continues(following) {
					break
				}
				c, _ := byteOf(following)
				sequence, taken = append(sequence, c), taken+n
			}
			if meant, n := utf8.DecodeRune(sequence); n == len(sequence) && n > 1 {
				b.WriteRune(meant)
				s = s[taken:]
				continue
			}
		}
		b.WriteString(s[:size])
		s = s[size:]
	}
	return b.String()
}

// suspect is what the first byte of a longer UTF-8 sequence looks like when it is read as a character. "ß" is none: with
// a quotation mark or a dash behind it, it would be a letter of N'Ko, which nobody writes.
func suspect(r rune) bool { return r >= 0xC2 && r <= 0xF4 && r != 'ß' }

// continues is what the other bytes look like.
func continues(r rune) bool {
	c, ok := byteOf(r)
	return ok && c >= 0x80 && c <= 0xBF
}

func byteOf(r rune) (byte, bool) {
	if r < 0x100 {
		return byte(r), true
	}
	return charmap.Windows1252.EncodeRune(r)
}

// collapse leaves single blanks between words, and no control or format characters.
func collapse(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	blank := false
	for _, r := range s {
		switch {
		case unicode.IsSpace(r) || unicode.IsControl(r):
			blank = true
		case unicode.In(r, unicode.Cf, unicode.Co, unicode.Noncharacter_Code_Point):
		default:
			if blank && b.Len() > 0 {
				b.WriteByte(' ')
			}
			blank = false
			b.WriteRune(r)
		}
	}
	return b.String()
}

// fold appends what remains of a text when only its letters and digits count: compatibility forms resolved (NFKD), lower
// case, umlauts written out, accents dropped. Blanks go too, for words are split anywhere.
func fold(dst []byte, s string) []byte {
	for i, r := range s {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			dst = append(dst, byte(r))
		case r >= 'A' && r <= 'Z':
			dst = append(dst, byte(r)+'a'-'A')
		case r < utf8.RuneSelf:
		case r == 'ä' || r == 'Ä':
			dst = append(dst, "ae"...)
		case r == 'ö' || r == 'Ö':
			dst = append(dst, "oe"...)
		case r == 'ü' || r == 'Ü':
			dst = append(dst, "ue"...)
		case r == 'ß' || r == 'ẞ':
			dst = append(dst, "ss"...)
		default:
			before, _ := utf8.DecodeLastRuneInString(s[:i])
			return foldUnicode(dst, unicode.ToLower(before), norm.NFKD.String(s[i:]))
		}
	}
	return dst
}

// foldUnicode goes on where fold met a character that it does not know; last is the one before, in lower case.
func foldUnicode(dst []byte, last rune, decomposed string) []byte {
	for _, r := range decomposed {
		switch {
		case r == '\u0308' && (last == 'a' || last == 'o' || last == 'u'):
			dst = append(dst, 'e')
		case r == 'ß' || r == 'ẞ':
			dst = append(dst, "ss"...)
		case unicode.IsLetter(r) || unicode.IsNumber(r):
			dst = utf8.AppendRune(dst, unicode.ToLower(r))
		}
		last = unicode.ToLower(r)
	}
	return dst
}

// sketch adds the trigrams of a folded text to a set of 512 bits; a shorter text counts whole.
func sketch(set *[8]uint64, folded []byte) {
	if len(folded) == 0 {
		return
	}
	var gram uint32
	for i, c := range folded {
		gram = gram<<8&0xFFFFFF | uint32(c)
		if i >= 2 || i == len(folded)-1 {
			bit := mix(uint64(gram)+1) >> 55
			set[bit>>6] |= 1 << (bit & 63)
		}
	}
}

// mix spreads a number over 64 bits, and back to one alone (the finalizer of SplitMix64).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xBF58476D1CE4E5B9
	x = (x ^ x>>27) * 0x94D049BB133111EB
	return x ^ x>>31
}

// digest is the beginning of SHA-256: other people choose what stands in a remittance, and shall not choose collisions.
func digest(b []byte) [2]uint64 {
	sum := sha256.Sum256(b)
	return [2]uint64{binary.BigEndian.Uint64(sum[:]), binary.BigEndian.Uint64(sum[8:])}
}

// token is the digest of an identifier; 0 is kept for none.
func token(folded []byte) uint64 {
	if len(folded) == 0 {
		return 0
	}
	return max(digest(folded)[0], 1)
}

// placeholder knows what banks write where they have nothing to say, in folded form.
func placeholder(folded []byte) bool {
	switch string(folded) {
	case "", "notprovided", "nonref", "noref", "notavailable", "na", "null", "nil", "none", "undefined", "unknown", "keine", "ohne",
		"nichtangegeben", "keineangabe", "nichtvorhanden":
		return true
	}
	for _, c := range folded {
		if c != '0' {
			return false
		}
	}
	return true
}
