// Package hhd reads and builds what a bank sends for the customer's TAN device to see: flicker codes for optical chipTAN
// ("HHD-Erweiterung für unidirektionale Kopplung", HHD 1.3 and 1.4) and the pictures of photoTAN and QR-TAN.
//
// In FinTS both come in the element Challenge HHD_UC ("Sicherheitsverfahren PIN/TAN", section B.5), or in the text of the
// challenge behind the word CHLGUC.
package hhd

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Version is the version of the specification that a flicker code is written in.
type Version string

const (
	V13 Version = "1.3"
	V14 Version = "1.4"
)

// A Flicker is a challenge for a chip card reader that watches the screen.
type Flicker struct {
	Version  Version
	Controls []byte    // control bytes; HHD 1.4 only
	Start    string    // start code: digits, rarely other characters
	Elements [3]string // what the reader shows and computes the TAN from, such as account number and amount
}

// ErrFlicker says that a code is none. It does not quote it.
var ErrFlicker = errors.New("no flicker code")

const (
	maxControls = 9
	maxFlicker  = 512
	controlBit  = 0x80
	letterBit   = 0x40
	lengthBits  = 0x3f
)

// ParseFlicker reads a code as it comes in Challenge HHD_UC or in a text with CHLGUC: a decimal length, the start code
// with its length in hexadecimal, up to three elements with decimal lengths. HHD 1.4 has control bytes and a length of
// three digits, HHD 1.3 neither; but some banks write three digits there too, and behind CHLGUC there are two in both.
func ParseFlicker(code string) (Flicker, error) {
	code = unwrap(code)
	if len(code) > maxFlicker {
		return Flicker{}, ErrFlicker
	}
	for _, form := range []struct {
		version Version
		digits  int
	}{{V14, 3}, {V14, 2}, {V13, 2}, {V13, 3}} {
		if f, err := parse(code, form.version, form.digits); err == nil {
			return f, nil
		}
	}
	return Flicker{}, ErrFlicker
}

// unwrap takes the code out of a text: "…CHLGUC 0026…CHLGTEXT…". Four digits behind the word count the characters.
func unwrap(s string) string {
	if _, rest, found := strings.Cut(s, "CHLGUC"); found {
		rest, _, _ = strings.Cut(rest, "CHLGTEXT")
		rest = strings.ReplaceAll(rest, " ", "")
		if len(rest) >= 4 {
			return rest[4:]
		}
	}
	return strings.ReplaceAll(strings.TrimSpace(s), " ", "")
}

func parse(code string, version Version, digits int) (f Flicker, err error) {
	f.Version = version
	r := reader{rest: code}
	if length := r.number(digits, 10); r.failed || length != len(r.rest) {
		return f, ErrFlicker
	}
	head := r.number(2, 16)
	if (version == V14) != (head&controlBit != 0) {
		return f, ErrFlicker
	}
	if version == V14 {
		for more := true; more; {
			control := r.number(2, 16)
			if r.failed || len(f.Controls) == maxControls {
				return f, ErrFlicker
			}
			f.Controls = append(f.Controls, byte(control))
			more = control&controlBit != 0
		}
	}
	f.Start = r.text(head & lengthBits)
	for i := range f.Elements {
		if r.rest == "" {
			break
		}
		f.Elements[i] = r.text(r.number(2, 10) & lengthBits)
	}
	if r.failed || r.rest != "" || f.Start == "" {
		return f, ErrFlicker
	}
	return f, nil
}

type reader struct {
	rest   string
	failed bool
}

func (r *reader) text(n int) string {
	if r.failed || n > len(r.rest) {
		r.failed = true
		return ""
	}
	s := r.rest[:n]
	r.rest = r.rest[n:]
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] > '~' {
			r.failed = true
		}
	}
	return s
}

func (r *reader) number(digits, base int) int {
	n, err := strconv.ParseUint(r.text(digits), base, 16)
	r.failed = r.failed || err != nil
	return int(n)
}

// Challenge writes the code as it goes into Challenge HHD_UC: what ParseFlicker reads.
func (f Flicker) Challenge() string {
	var b strings.Builder
	head := len(f.Start)
	if len(f.Controls) > 0 {
		head |= controlBit
	}
	fmt.Fprintf(&b, "%02X", head)
	for _, c := range f.Controls {
		fmt.Fprintf(&b, "%02X", c)
	}
	b.WriteString(f.Start)
	for _, e := range f.elements() {
		fmt.Fprintf(&b, "%02d%s", len(e), e)
	}
	if f.Version == V13 {
		return fmt.Sprintf("%02d%s", b.Len(), b.String())
	}
	return fmt.Sprintf("%03d%s", b.Len(), b.String())
}

// Code is what the five bars blink: hexadecimal digits, the number of bytes that follow first, a Luhn and an XOR check
// digit last.
func (f Flicker) Code() string {
	var payload, luhn strings.Builder
	write := func(head string, data string) {
		payload.WriteString(head)
		payload.WriteString(data)
		luhn.WriteString(data)
	}
	start, letters := bits(f.Start)
	head := length(f.Version, start, letters)
	var controls strings.Builder
	for _, c := range f.Controls {
		fmt.Fprintf(&controls, "%02X", c)
	}
	if len(f.Controls) > 0 {
		n, _ := strconv.ParseUint(head, 16, 8) // two hexadecimal digits
		head = fmt.Sprintf("%02X", n|controlBit)
	}
	write(head, controls.String()+start)
	for _, e := range f.elements() {
		data, letters := bits(e)
		write(length(f.Version, data, letters), data)
	}
	body := fmt.Sprintf("%02X", (payload.Len()+2)/2) + payload.String()
	return body + check(luhn.String()) + xor(body)
}

// elements are those that are there: none stands behind an empty one.
func (f Flicker) elements() []string {
	for i, e := range f.Elements {
		if e == "" {
			return f.Elements[:i]
		}
	}
	return f.Elements[:]
}

// bits are the hexadecimal digits of a text: digits as they are (an F fills the last byte), others by their character code.
func bits(s string) (hexadecimal string, letters bool) {
	if strings.Trim(s, "0123456789") != "" {
		return fmt.Sprintf("%X", s), true
	}
	if len(s)%2 != 0 {
		s += "F"
	}
	return s, false
}

// length is the length byte in front of an element's data.
func length(version Version, data string, letters bool) string {
	n := len(data) / 2
	if version == V13 {
		if letters {
			return fmt.Sprintf("1%X", n&0xf)
		}
		return fmt.Sprintf("0%X", n&0xf)
	}
	if letters {
		n |= letterBit
	}
	return fmt.Sprintf("%02X", n)
}

// check is the Luhn digit over the data without the lengths.
func check(data string) string {
	sum := 0
	for i := 0; i < len(data); i++ {
		d := nibble(data[i])
		if i%2 == 1 {
			d *= 2
			d = d/10 + d%10
		}
		sum += d
	}
	return strconv.Itoa((10 - sum%10) % 10)
}

// xor is the parity digit over everything before it, the Luhn digit left out.
func xor(body string) string {
	sum := 0
	for i := 0; i < len(body); i++ {
		sum ^= nibble(body[i])
	}
	return fmt.Sprintf("%X", sum)
}

func nibble(c byte) int {
	if c >= 'A' {
		return int(c-'A') + 10
	}
	return int(c - '0')
}
