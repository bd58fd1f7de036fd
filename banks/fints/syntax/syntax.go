// Package syntax reads and writes messages of FinTS 3.0 (Financial Transaction Services, "Formals", chapter B): segments
// that end with an apostrophe, elements between plus signs, groups between colons, binary data counted by @n@, and a
// question mark before each of these signs that is meant as itself.
//
//	HNHBK:1:3+000000000125+300+0+1'HKIDN:2:2+280:10020030+9999999999+0+0'HNHBS:3:1+1'
//	└ header ┘                             └ group ─────┘ └ element ┘
//
// Both ends of a conversation use it: the adapter as the customer's product, the sandbox as the bank. Texts are UTF-8
// here and ISO 8859-1 on the wire (section B.1).
package syntax

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/text/encoding/charmap"
)

// Bounds of a message. What exceeds them is refused before memory is spent on it.
const (
	MaxMessage  = 32 << 20 // bytes
	maxSegments = 10_000
	maxValues   = 200_000
	maxBinary   = 24 << 20
)

// Errors of reading. None quotes the message.
var (
	ErrTooLarge = errors.New("the FinTS message exceeds its bounds")
	ErrBroken   = errors.New("the FinTS message breaks off")
	ErrSyntax   = errors.New("the FinTS message is malformed")
)

// A Segment is one sentence of a message: HKIDN:3:2+…'
type Segment struct {
	Name      string // 1 to 6 letters and digits: HNHBK, HKSAL, HITANS
	Number    int    // place in the message, from 1; the envelope's are fixed (998, 999)
	Version   int
	Reference int // of the customer's segment that this one answers; 0: none
	Elements  []Element
}

// An Element is a data element, or a group of them.
type Element []Value

// A Value is one data element: text, or the bytes of a binary one.
type Value struct {
	Text   string // text in UTF-8; binary: the bytes as they are
	Binary bool
}

// New makes a segment without a number; Message.Encode and Seal count.
func New(name string, version int, elements ...Element) Segment {
	return Segment{Name: name, Version: version, Elements: elements}
}

// Text makes an element of one text or, with several, a group. Empty texts at the end are not written.
func Text(texts ...string) Element {
	e := make(Element, len(texts))
	for i, t := range texts {
		e[i].Text = t
	}
	return e
}

// Number makes an element of a number.
func Number(n int) Element { return Text(strconv.Itoa(n)) }

// Flag makes an element of J or N.
func Flag(yes bool) Element {
	if yes {
		return Text("J")
	}
	return Text("N")
}

// Binary makes an element of binary data.
func Binary(b []byte) Element { return Element{{Text: string(b), Binary: true}} }

// Empty is an element that is left out.
func Empty() Element { return nil }

// Get is the text (or the bytes) of the given value of the given element, both counted from 0 and behind the
// segment's header; "" where there is none.
func (s *Segment) Get(element, value int) string { return s.At(element).Get(value) }

// At is the given element, counted from 0 behind the header; nil where there is none.
func (s *Segment) At(element int) Element {
	if element < 0 || element >= len(s.Elements) {
		return nil
	}
	return s.Elements[element]
}

// Int is a value as a number of up to 9 digits; ok is false where it is none.
func (s *Segment) Int(element, value int) (n int, ok bool) { return s.At(element).Int(value) }

// Get is a value's text; "" where there is none.
func (e Element) Get(value int) string {
	if value < 0 || value >= len(e) {
		return ""
	}
	return e[value].Text
}

// Int is a value as a number of up to 9 digits; ok is false where it is none.
func (e Element) Int(value int) (n int, ok bool) { return number(e.Get(value)) }

// number reads digits, and nothing but digits.
func number(s string) (int, bool) {
	if s == "" || len(s) > 9 {
		return 0, false
	}
	n := 0
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
		n = n*10 + int(s[i]-'0')
	}
	return n, true
}

// Parse reads segments from the wire. The bytes may be reused afterwards.
func Parse(wire []byte) ([]Segment, error) {
	if len(wire) > MaxMessage {
		return nil, ErrTooLarge
	}
	return parse(string(wire))
}

func parse(wire string) ([]Segment, error) {
	p := parser{rest: wire}
	for p.rest != "" {
		if len(p.segments) == maxSegments {
			return nil, ErrTooLarge
		}
		if err := p.segment(); err != nil {
			return nil, err
		}
	}
	return p.segments, nil
}

// parser collects values and elements in scratch space and moves each finished list to a shared block, so that a
// message costs a few allocations and not one for each element.
type parser struct {
	rest     string
	segments []Segment

	group    []Value   // the element under way
	list     []Element // the segment under way
	values   []Value   // block that finished groups are cut from
	elements []Element // block that finished lists are cut from
	count    int
}

func (p *parser) segment() error {
	p.list = p.list[:0]
	for {
		end, err := p.element()
		if err != nil {
			return err
		}
		if end == '\'' {
			break
		}
	}
	header := p.list[0]
	s := Segment{Name: header.Get(0)}
	var numbered, versioned bool
	s.Number, numbered = header.Int(1)
	s.Version, versioned = header.Int(2)
	if !name(s.Name) || !numbered || !versioned {
		return ErrSyntax
	}
	s.Reference, _ = header.Int(3)
	s.Elements = keep(&p.elements, p.list[1:])
	p.segments = append(p.segments, s)
	return nil
}

// element reads values up to a plus sign or an apostrophe, and says which.
func (p *parser) element() (end byte, err error) {
	p.group = p.group[:0]
	for {
		if p.count++; p.count > maxValues {
			return 0, ErrTooLarge
		}
		var v Value
		if v, end, err = p.value(); err != nil {
			return 0, err
		}
		p.group = append(p.group, v)
		if end != ':' {
			break
		}
	}
	var e Element
	if len(p.group) > 1 || p.group[0].Text != "" || p.group[0].Binary {
		e = keep(&p.values, p.group)
	}
	p.list = append(p.list, e)
	return end, nil
}

// value reads one value and the sign behind it.
func (p *parser) value() (v Value, end byte, err error) {
	if strings.HasPrefix(p.rest, "@") {
		return p.binary()
	}
	escaped, foreign := false, false
	for i := 0; i < len(p.rest); i++ {
		switch c := p.rest[i]; {
		case c == '?':
			escaped = true
			i++
		case c == '+' || c == ':' || c == '\'':
			v.Text = p.rest[:i]
			p.rest = p.rest[i+1:]
			if escaped || foreign {
				v.Text = plain(v.Text)
			}
			return v, c, nil
		case c >= 0x80:
			foreign = true
		}
	}
	return v, 0, ErrBroken
}

// binary reads @n@ and n bytes (section B.1, "Binär-Daten").
func (p *parser) binary() (v Value, end byte, err error) {
	digits, _, found := strings.Cut(p.rest[1:min(len(p.rest), 12)], "@")
	n, ok := number(digits)
	if !found || !ok {
		return v, 0, ErrSyntax
	}
	if n > maxBinary {
		return v, 0, ErrTooLarge
	}
	rest := p.rest[len(digits)+2:]
	if len(rest) <= n {
		return v, 0, ErrBroken
	}
	end = rest[n]
	if end != '+' && end != ':' && end != '\'' {
		return v, 0, ErrSyntax
	}
	p.rest = rest[n+1:]
	return Value{Text: rest[:n], Binary: true}, end, nil
}

// plain takes out the question marks, and makes UTF-8 of ISO 8859-1.
func plain(s string) string {
	var b strings.Builder
	b.Grow(len(s) + 8)
	for i := 0; i < len(s); i++ {
		if s[i] == '?' && i+1 < len(s) {
			i++
		}
		b.WriteRune(charmap.ISO8859_1.DecodeByte(s[i]))
	}
	return b.String()
}

// keep copies list to the end of block, or of a new block where it is full.
func keep[T any](block *[]T, list []T) []T {
	if len(list) == 0 {
		return nil
	}
	if cap(*block)-len(*block) < len(list) {
		*block = make([]T, 0, max(64, min(4096, 2*cap(*block)), len(list)))
	}
	start := len(*block)
	*block = append(*block, list...)
	return (*block)[start:len(*block):len(*block)]
}

func name(s string) bool {
	if s == "" || len(s) > 6 {
		return false
	}
	for i := 0; i < len(s); i++ {
		if (s[i] < 'A' || s[i] > 'Z') && (s[i] < '0' || s[i] > '9') {
			return false
		}
	}
	return true
}

// Append writes segments to the wire as they are numbered. It fails on text that ISO 8859-1 does not have: a PIN
// with other letters replaced would be a wrong PIN.
func Append(wire []byte, segments ...Segment) ([]byte, error) {
	var err error
	for i := range segments {
		s := &segments[i]
		wire = append(wire, s.Name...)
		wire = append(wire, ':')
		wire = strconv.AppendInt(wire, int64(s.Number), 10)
		wire = append(wire, ':')
		wire = strconv.AppendInt(wire, int64(s.Version), 10)
		if s.Reference != 0 {
			wire = append(wire, ':')
			wire = strconv.AppendInt(wire, int64(s.Reference), 10)
		}
		elements := s.Elements
		for len(elements) > 0 && elements[len(elements)-1].empty() {
			elements = elements[:len(elements)-1]
		}
		for _, e := range elements {
			wire = append(wire, '+')
			if wire, err = e.append(wire); err != nil {
				return nil, fmt.Errorf("write %s: %w", s.Name, err)
			}
		}
		wire = append(wire, '\'')
	}
	return wire, nil
}

func (e Element) empty() bool {
	for _, v := range e {
		if v.Text != "" || v.Binary {
			return false
		}
	}
	return true
}

func (e Element) append(wire []byte) ([]byte, error) {
	for len(e) > 0 && e[len(e)-1].Text == "" && !e[len(e)-1].Binary {
		e = e[:len(e)-1]
	}
	for i, v := range e {
		if i > 0 {
			wire = append(wire, ':')
		}
		if v.Binary {
			wire = append(wire, '@')
			wire = strconv.AppendInt(wire, int64(len(v.Text)), 10)
			wire = append(wire, '@')
			wire = append(wire, v.Text...)
			continue
		}
		for _, r := range v.Text {
			c, ok := charmap.ISO8859_1.EncodeRune(r)
			if !ok {
				return nil, errCharset
			}
			switch c {
			case '?', '+', ':', '\'', '@':
				wire = append(wire, '?')
			}
			wire = append(wire, c)
		}
	}
	return wire, nil
}

var errCharset = errors.New("a text has characters that ISO 8859-1 does not have")
