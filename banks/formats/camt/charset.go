package camt

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/ianaindex"
	"golang.org/x/text/encoding/unicode"

	"github.com/kontoflow/kontoflow/banks"
)

const errCharset = banks.OwnError("the message's character set is not known")

// inUTF8 makes UTF-8 of UTF-16, which is known by its byte order mark or by the zero beside its
// first character. All other character sets agree with ASCII where it matters, and are looked at
// text by text.
func inUTF8(input io.Reader) (io.Reader, error) {
	input = steady{input}
	head := make([]byte, 2)
	n, err := io.ReadFull(input, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return nil, err
	}
	input = io.MultiReader(bytes.NewReader(head[:n]), input)
	if n < 2 {
		return input, nil
	}
	order := unicode.LittleEndian
	switch first, second := head[0], head[1]; {
	case first == 0xFF && second == 0xFE, second == 0 && (first == '<' || isSpace(first)):
	case first == 0xFE && second == 0xFF, first == 0 && (second == '<' || isSpace(second)):
		order = unicode.BigEndian
	default:
		return input, nil
	}
	return steady{unicode.UTF16(order, unicode.IgnoreBOM).NewDecoder().Reader(input)}, nil
}

// A charset is how the bytes of a document become text.
//
// Banks declare one character set and write another, or two of them in one document. So a text that
// is UTF-8 is read as UTF-8, whatever was declared, and its other bytes as Windows-1252, which is
// ISO 8859-1 with more characters.
type charset struct {
	bytes    *charmap.Charmap  // what a byte means that is not UTF-8
	single   bool              // the document says that it has one byte for each character
	declared encoding.Encoding // any other character set; nil: none
}

var undeclared = charset{bytes: charmap.Windows1252}

// declaredCharset knows a character set by the name in an XML declaration.
func declaredCharset(name string) (charset, error) {
	plain := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return -1
	}, name)
	switch plain {
	case "", "utf8", "usascii", "ascii":
		return undeclared, nil
	case "utf16", "utf16le", "utf16be", "unicode", "ucs2", "iso10646ucs2":
		// It is UTF-8 by now (inUTF8), or never was UTF-16: .NET declares it for what it then
		// writes in UTF-8.
		return undeclared, nil
	case "iso88591", "latin1", "windows1252", "cp1252", "ansi":
		return charset{bytes: charmap.Windows1252, single: true}, nil
	case "iso885915", "latin9":
		return charset{bytes: charmap.ISO8859_15, single: true}, nil
	}
	found, err := ianaindex.IANA.Encoding(name)
	if err != nil || found == nil {
		return charset{}, errCharset
	}
	return charset{declared: found}, nil
}

// appendText appends what a piece of a document says: in UTF-8, with its references resolved.
// Control characters stay.
func (c charset) appendText(to, piece []byte, literal bool) []byte {
	ascii, plain := true, true
	for _, b := range piece {
		if b >= utf8.RuneSelf {
			ascii = false
			break
		}
		if b == '&' || b == '\r' {
			plain = false
		}
	}
	if !ascii {
		piece = c.decode(piece)
		plain = bytes.IndexByte(piece, '&') < 0 && bytes.IndexByte(piece, '\r') < 0
	}
	if plain {
		return append(to, piece...)
	}
	return appendResolved(to, piece, literal)
}

// decode makes UTF-8 of a text.
func (c charset) decode(text []byte) []byte {
	if c.declared != nil {
		if decoded, err := c.declared.NewDecoder().Bytes(text); err == nil {
			return decoded
		}
		return bytes.ToValidUTF8(text, []byte("\uFFFD"))
	}
	if utf8.Valid(text) && c.meant(text) {
		return text
	}
	decoded, twoBytes := make([]byte, 0, len(text)+len(text)/2), false
	for len(text) > 0 {
		r, size := utf8.DecodeRune(text)
		switch {
		case size > 1 && european(r), text[0] < utf8.RuneSelf:
			twoBytes = twoBytes || size > 1
		case !utf8.FullRune(text) && (twoBytes || text[0] == 0xC2 || text[0] == 0xC3):
			return decoded // a character that was cut in two
		default:
			r, size = c.byte(text[0]), 1
		}
		decoded = utf8.AppendRune(decoded, r)
		text = text[size:]
	}
	return decoded
}

// meant reports whether text that is valid UTF-8 was meant to be UTF-8. In a document of single
// bytes it may not be: there it takes characters that are common in Europe. Everywhere, "ß" and a
// quotation mark in Windows-1252 look like a letter of N'Ko, which nobody writes.
func (c charset) meant(text []byte) bool {
	for i := 0; i < len(text); {
		if text[i] < utf8.RuneSelf {
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		if r >= 0x07C0 && r < 0x0800 || c.single && !european(r) {
			return false
		}
		i += size
	}
	return true
}

// european characters are those whose bytes in UTF-8 make no sense in Windows-1252: "Ã¼" for "ü",
// "â‚¬" for "€".
func european(r rune) bool {
	return r >= 0xA0 && r <= 0xFF || r >= 0x2010 && r <= 0x20CF || r == 0x2122 || r == 0xFEFF || r >= 0x1F000 && r < 0x20000
}

// byte is what a byte means that is not part of a character in UTF-8.
func (c charset) byte(b byte) rune {
	if b < 0xA0 {
		return charmap.Windows1252.DecodeByte(b)
	}
	return c.bytes.DecodeByte(b)
}

// appendResolved appends a text in UTF-8 with references resolved and line ends as line feeds. Only
// the five entities of XML and numbers are known; everything else that begins with "&" is text.
func appendResolved(to, text []byte, literal bool) []byte {
	var high rune // the first half of a character that was written as two references
	for len(text) > 0 {
		i := bytes.IndexAny(text, "&\r")
		if i < 0 {
			return append(to, text...)
		}
		if i > 0 {
			high = 0
		}
		to = append(to, text[:i]...)
		text = text[i:]
		if text[0] == '\r' {
			to = append(to, '\n')
			text = bytes.TrimPrefix(text[1:], []byte("\n"))
			continue
		}
		r, size := rune('&'), 1
		if !literal {
			r, size = reference(text)
		}
		text = text[size:]
		if high != 0 && r >= 0xDC00 && r < 0xE000 {
			to = utf8.AppendRune(to[:len(to)-len("\uFFFD")], (high-0xD800)<<10|(r-0xDC00)+0x10000)
			high = 0
			continue
		}
		high = 0
		if r >= 0xD800 && r < 0xDC00 {
			high = r
		}
		to = utf8.AppendRune(to, r) // half of a character becomes U+FFFD
	}
	return to
}

const maxReference = 12 // bytes, with "&" and ";"

// reference resolves what begins with "&"; where that is no reference, it is "&" and nothing more.
func reference(text []byte) (r rune, size int) {
	end := bytes.IndexByte(text[:min(len(text), maxReference)], ';')
	if end < 2 {
		return '&', 1
	}
	switch name := text[1:end]; {
	case string(name) == "amp":
		return '&', end + 1
	case string(name) == "lt":
		return '<', end + 1
	case string(name) == "gt":
		return '>', end + 1
	case string(name) == "quot":
		return '"', end + 1
	case string(name) == "apos":
		return '\'', end + 1
	case name[0] == '#':
		if r, ok := number(name[1:]); ok {
			return r, end + 1
		}
	}
	return '&', 1
}

// number reads the number of a character. Numbers between ASCII and ISO 8859-1 are no characters;
// who writes them means Windows-1252.
func number(digits []byte) (rune, bool) {
	base := rune(10)
	if len(digits) > 0 && (digits[0] == 'x' || digits[0] == 'X') {
		base, digits = 16, digits[1:]
	}
	if len(digits) == 0 {
		return 0, false
	}
	var r rune
	for _, c := range digits {
		digit := rune(c - '0')
		if c > '9' {
			digit = rune(c|0x20-'a') + 10
		}
		if digit < 0 || digit >= base {
			return 0, false
		}
		if r = r*base + digit; r > utf8.MaxRune {
			return utf8.RuneError, true
		}
	}
	if r >= 0x80 && r < 0xA0 {
		r = charmap.Windows1252.DecodeByte(byte(r))
	}
	return r, true
}
