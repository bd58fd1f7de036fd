package camt

import (
	"bytes"
	"fmt"
	"io"

	"github.com/kontoflow/kontoflow/banks"
)

// Bounds of the lexer.
const (
	windowSize = 64 << 10
	maxMarkup  = windowSize / 2 // of one tag, processing instruction or document type, in bytes
	maxName    = 256            // of an element's name, in bytes
)

// A token is what the lexer finds next.
type token uint8

const (
	nothing token = iota // of interest to the caller
	endOfInput
	startTag   // name and attributes; closed says that there is no end tag (<a/>)
	endTag     // name
	characters // text; literal says that it was a CDATA section
	declared   // the XML declaration at the beginning of a document: attributes
)

// A lexer cuts XML into tags and text. It is lenient: a "<" that begins no tag is text, and so is
// every control character. It holds a window of its input and never more. Document types, comments
// and processing instructions are left out; nothing that they declare is ever expanded. What it
// returns is valid until the next token.
//
// Input that breaks off within markup is io.ErrUnexpectedEOF. Whether all elements are closed is
// for the caller to see.
type lexer struct {
	input     io.Reader
	failed    error // what the input ended with
	window    []byte
	at, limit int   // what is not read yet: window[at:limit]
	before    int64 // bytes of the input in front of the window

	name       []byte
	attributes []byte // as written, without the name
	text       []byte
	closed     bool
	literal    bool
	inCDATA    bool
}

// newLexer takes a reader that always reads something, or fails.
func newLexer(input io.Reader) *lexer {
	return &lexer{input: input, window: make([]byte, windowSize)}
}

// next reads the next token.
func (l *lexer) next() (token, error) {
	for {
		if l.inCDATA {
			switch found, err := l.cdata(); {
			case err != nil:
				return 0, err
			case found:
				return characters, nil
			}
			continue
		}
		if l.at == l.limit && !l.fill() {
			if l.failed == io.EOF {
				return endOfInput, nil
			}
			return 0, l.failed
		}
		if l.window[l.at] != '<' {
			return characters, l.characters(0)
		}
		if t, err := l.markup(); t != nothing || err != nil {
			return t, err
		}
	}
}

// fill reads more into the window, and reports whether there was any.
func (l *lexer) fill() bool {
	if l.failed != nil {
		return false
	}
	if l.limit == len(l.window) { // at most half of it is in use (maxMarkup), so moving it is cheap
		l.before += int64(l.at)
		copy(l.window, l.window[l.at:l.limit])
		l.at, l.limit = 0, l.limit-l.at
	}
	n, err := l.input.Read(l.window[l.limit:])
	l.limit += n
	l.failed = err
	return n > 0
}

// steady is a reader that never reads nothing without an error.
type steady struct{ io.Reader }

func (s steady) Read(to []byte) (n int, err error) {
	for range 100 {
		if n, err = s.Reader.Read(to); n > 0 || err != nil {
			return n, err
		}
	}
	return 0, io.ErrNoProgress
}

// have makes at least n bytes available, or as many as there are.
func (l *lexer) have(n int) bool {
	for l.limit-l.at < n {
		if !l.fill() {
			return false
		}
	}
	return true
}

// cut is the error of input that ends where it must not.
func (l *lexer) cut() error {
	if l.failed == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return l.failed
}

// broken says where the input is no XML, and never quotes it.
func (l *lexer) broken() error {
	return banks.OwnError(fmt.Sprintf("broken XML at byte %d", l.before+int64(l.at)))
}

const errMarkupTooLong = banks.OwnError("a tag is too long")

// characters takes text up to the next "<", from the given number of bytes on. Long text comes in
// pieces.
func (l *lexer) characters(from int) error {
	for {
		if i := bytes.IndexByte(l.window[l.at+from:l.limit], '<'); i >= 0 {
			l.take(from + i)
			return nil
		}
		from = l.limit - l.at
		if from >= maxMarkup || !l.fill() {
			break
		}
	}
	if l.failed != nil && l.failed != io.EOF {
		return l.failed
	}
	l.take(l.limit - l.at)
	return nil
}

func (l *lexer) take(n int) {
	l.text, l.literal = l.window[l.at:l.at+n], false
	l.at += n
}

// markup reads what begins with "<".
func (l *lexer) markup() (token, error) {
	if !l.have(2) {
		return 0, l.cut()
	}
	switch c := l.window[l.at+1]; {
	case isNameStart(c):
		return l.tag(startTag, 1)
	case c == '/':
		if !l.have(3) {
			return 0, l.cut()
		}
		if isNameStart(l.window[l.at+2]) {
			return l.tag(endTag, 2)
		}
	case c == '?':
		if !l.have(3) {
			return 0, l.cut()
		}
		if isNameStart(l.window[l.at+2]) {
			return l.instruction()
		}
	case c == '!':
		if known, err := l.declaration(); known || err != nil {
			return nothing, err
		}
	}
	return characters, l.characters(1)
}

func isNameStart(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || c == ':' || c >= 0x80
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// tag reads a start or end tag, whose name begins after the given number of bytes. A tag in which
// another one begins is none: then its "<" is text.
func (l *lexer) tag(t token, nameAt int) (token, error) {
	var quote, last byte
	for i := nameAt; ; i++ {
		if i == l.limit-l.at {
			if i >= maxMarkup {
				return 0, errMarkupTooLong
			}
			if !l.fill() {
				return 0, l.cut()
			}
		}
		c := l.window[l.at+i]
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '>':
			return t, l.split(t, nameAt, i)
		case c == '<':
			return characters, l.characters(1)
		case (c == '"' || c == '\'') && last == '=':
			quote = c
		}
		if !isSpace(c) {
			last = c
		}
	}
}

// split takes the tag that ends after the given number of bytes apart.
func (l *lexer) split(t token, nameAt, end int) error {
	inside := l.window[l.at+nameAt : l.at+end]
	l.closed = t == startTag && inside[len(inside)-1] == '/'
	if l.closed {
		inside = inside[:len(inside)-1]
	}
	name := 0
	for name < len(inside) && !isSpace(inside[name]) {
		name++
	}
	if name > maxName {
		return errMarkupTooLong
	}
	l.name, l.attributes = inside[:name], inside[name:]
	l.at += end + 1
	return nil
}

// instruction reads a processing instruction. Only an XML declaration is a token.
func (l *lexer) instruction() (token, error) {
	end, err := l.find("?>", 2)
	if err != nil {
		return 0, err
	}
	inside := l.window[l.at+2 : l.at+end]
	l.at += end + 2
	if len(inside) > 4 && string(inside[:3]) == "xml" && isSpace(inside[3]) {
		l.attributes = inside[3:]
		return declared, nil
	}
	return nothing, nil
}

// find looks for the end of markup, from the given number of bytes on, which all has to fit into
// the window.
func (l *lexer) find(end string, from int) (int, error) {
	for {
		if i := bytes.Index(l.window[l.at+from:l.limit], []byte(end)); i >= 0 {
			return from + i, nil
		}
		have := l.limit - l.at
		if have >= maxMarkup {
			return 0, errMarkupTooLong
		}
		from = max(from, have-len(end)+1)
		if !l.fill() {
			return 0, l.cut()
		}
	}
}

// skip leaves out everything up to an end, however much it is.
func (l *lexer) skip(end string) error {
	for {
		if i := bytes.Index(l.window[l.at:l.limit], []byte(end)); i >= 0 {
			l.at += i + len(end)
			return nil
		}
		l.at = max(l.at, l.limit-len(end)+1)
		if !l.fill() {
			return l.cut()
		}
	}
}

// declaration reads what begins with "<!": a comment, a CDATA section or a document type. known is
// false where it is none of these.
func (l *lexer) declaration() (known bool, err error) {
	switch {
	case l.begins("<!--"):
		return true, l.skip("-->")
	case l.begins("<![CDATA["):
		l.inCDATA = true
		return true, nil
	case l.begins("<!DOCTYPE"):
		return true, l.doctype()
	}
	return false, nil
}

// begins takes the given text if it comes next. Where the input ends within it, that is taken.
func (l *lexer) begins(with string) bool {
	l.have(len(with))
	n := min(len(with), l.limit-l.at)
	if string(l.window[l.at:l.at+n]) != with[:n] {
		return false
	}
	l.at += n
	return true
}

// cdata reads a part of a CDATA section, and reports whether there was any.
func (l *lexer) cdata() (found bool, err error) {
	const end = "]]>"
	for from := 0; ; {
		have := l.limit - l.at
		if i := bytes.Index(l.window[l.at+from:l.limit], []byte(end)); i >= 0 {
			l.take(from + i)
			l.at += len(end)
			l.inCDATA = false
			break
		}
		from = max(from, have-len(end)+1)
		if have >= maxMarkup {
			l.take(from)
			break
		}
		if !l.fill() {
			return false, l.cut()
		}
	}
	l.literal = true
	return len(l.text) > 0, nil
}

// doctype leaves a document type out, with all that it declares.
func (l *lexer) doctype() error {
	var quote byte
	begin, inside := l.before+int64(l.at), false
	for {
		if !l.have(1) {
			return l.cut()
		}
		if l.before+int64(l.at)-begin > maxMarkup {
			return errMarkupTooLong
		}
		c := l.window[l.at]
		switch {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '[':
			inside = true
		case c == ']':
			inside = false
		case c == '>' && !inside:
			l.at++
			return nil
		case c == '<' && inside && l.have(4) && string(l.window[l.at:l.at+4]) == "<!--":
			if err := l.skip("-->"); err != nil {
				return err
			}
			continue
		}
		l.at++
	}
}

// attribute finds an attribute by its local name. A value without quotes ends at a blank.
func attribute(written []byte, name string) (value []byte, found bool) {
	for {
		written = bytes.TrimLeft(written, " \t\r\n")
		equals := bytes.IndexByte(written, '=')
		if equals < 0 {
			return nil, false
		}
		key := bytes.TrimRight(written[:equals], " \t\r\n")
		if i := bytes.LastIndexAny(key, " \t\r\n"); i >= 0 { // something without a value stands in front
			key = key[i+1:]
		}
		written = bytes.TrimLeft(written[equals+1:], " \t\r\n")
		if len(written) == 0 {
			return nil, false
		}
		if quote := written[0]; quote == '"' || quote == '\'' {
			end := bytes.IndexByte(written[1:], quote)
			if end < 0 {
				return nil, false
			}
			value, written = written[1:1+end], written[end+2:]
		} else {
			end := bytes.IndexAny(written, " \t\r\n")
			if end < 0 {
				end = len(written)
			}
			value, written = written[:end], written[end:]
		}
		if string(localName(key)) == name {
			return value, true
		}
	}
}

// localName is a name without its prefix.
func localName(name []byte) []byte {
	return name[bytes.LastIndexByte(name, ':')+1:]
}
