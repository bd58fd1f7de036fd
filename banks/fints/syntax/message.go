package syntax

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// A Message is what goes over the wire in one direction: the orders or the answers, and the envelope around them.
// Segments holds neither the envelope's own segments nor the signature's.
type Message struct {
	DialogID string // "0" until the bank has given one
	Number   int    // counted by the customer from 1 in each dialog
	Answers  *Reference
	Security *Security // nil: an anonymous dialog's message, which is in clear
	Segments []Segment
	Size     int // read: the size that the header declares. Written: not looked at
}

// Reference names the customer's message that a bank's message answers.
type Reference struct {
	DialogID string
	Number   int
}

// Security is what the PIN/TAN procedure says in signature head, signature end and encryption head. Nothing is
// encrypted: that is left to TLS ("Security – Sicherheitsverfahren PIN/TAN", chapter B.9).
type Security struct {
	Function string // 999: one-step; 900 to 997: the bank's two-step method
	SystemID string // customer-system id; "0": none yet
	Country  string // 280
	BankCode string
	UserID   string
	At       time.Time
	// Reference ties the signature's head and end together.
	Reference string
	// Signed says that there is a signature. Customers always sign; banks do not.
	Signed   bool
	PIN, TAN string
}

// oneStep is the security function of the one-step procedure (chapter B.3).
const oneStep = "999"

const (
	day   = "20060102"
	clock = "150405"
)

// Wire writes the message. It numbers the segments from 1, the envelope's included.
func (m *Message) Wire() ([]byte, error) {
	number := 1
	next := func() int { number++; return number }
	var inner []Segment
	if s := m.Security; s != nil && s.Signed {
		head := New("HNSHK", 4, s.profile(), Text(s.Function), Text(s.Reference), Text("1"), Text("1"), Text("1", "", s.SystemID), Text("1"),
			s.stamp(), Text("1", "999", "1"), Text("6", "10", "16"), s.key("S"))
		head.Number = next()
		inner = append(inner, head)
	}
	for _, segment := range m.Segments {
		segment.Number = next()
		inner = append(inner, segment)
	}
	if s := m.Security; s != nil && s.Signed {
		end := New("HNSHA", 2, Text(s.Reference), Empty(), Text(s.PIN, s.TAN))
		end.Number = next()
		inner = append(inner, end)
	}
	body, err := Append(nil, inner...)
	if err != nil {
		return nil, err
	}
	if s := m.Security; s != nil {
		head := New("HNVSK", 3, s.profile(), Text("998"), Text("1"), Text("1", "", s.SystemID), s.stamp(),
			Element{{Text: "2"}, {Text: "2"}, {Text: "13"}, {Text: strings.Repeat("\x00", 8), Binary: true}, {Text: "5"}, {Text: "1"}}, s.key("V"), Text("0"))
		head.Number = 998
		data := New("HNVSD", 1, Element{{Text: string(body), Binary: true}})
		data.Number = 999
		if body, err = Append(nil, head, data); err != nil {
			return nil, err
		}
	}
	end := New("HNHBS", 1, Number(m.Number))
	end.Number = next()
	if body, err = Append(body, end); err != nil {
		return nil, err
	}

	head := New("HNHBK", 3, Text(strings.Repeat("0", 12)), Text("300"), Text(m.DialogID), Number(m.Number))
	if m.Answers != nil {
		head.Elements = append(head.Elements, Text(m.Answers.DialogID, strconv.Itoa(m.Answers.Number)))
	}
	head.Number = 1
	wire, err := Append(nil, head)
	if err != nil {
		return nil, err
	}
	wire = append(wire, body...)
	copy(wire[len("HNHBK:1:3+"):], fmt.Sprintf("%012d", len(wire)))
	return wire, nil
}

func (s *Security) profile() Element {
	if s.Function == oneStep {
		return Text("PIN", "1")
	}
	return Text("PIN", "2")
}

func (s *Security) stamp() Element { return Text("1", s.At.Format(day), s.At.Format(clock)) }

func (s *Security) key(use string) Element {
	return Text(s.Country, s.BankCode, s.UserID, use, "0", "0")
}

// Read reads a message and takes it out of its envelope.
func Read(wire []byte) (*Message, error) {
	outer, err := Parse(wire)
	if err != nil {
		return nil, err
	}
	if len(outer) < 2 || outer[0].Name != "HNHBK" || outer[0].Version != 3 || outer[0].Get(1, 0) != "300" {
		return nil, ErrSyntax
	}
	if outer[len(outer)-1].Name != "HNHBS" {
		return nil, ErrBroken
	}
	head := &outer[0]
	m := &Message{DialogID: head.Get(2, 0)}
	var ok bool
	if m.Number, ok = head.Int(3, 0); !ok || m.DialogID == "" {
		return nil, ErrSyntax
	}
	m.Size, _ = number(strings.TrimLeft(head.Get(0, 0), "0"))
	if id := head.Get(4, 0); id != "" {
		m.Answers = &Reference{DialogID: id}
		m.Answers.Number, _ = head.Int(4, 1)
	}
	body := outer[1 : len(outer)-1]
	if len(body) > 0 && body[0].Name == "HNVSK" {
		if len(body) != 2 || body[1].Name != "HNVSD" {
			return nil, ErrSyntax
		}
		s := &Security{SystemID: body[0].Get(3, 2)}
		s.read(&body[0], 4, 6)
		m.Security = s
		if body, err = parse(body[1].Get(0, 0)); err != nil {
			return nil, err
		}
	}
	m.Segments = make([]Segment, 0, len(body))
	for i := range body {
		switch segment := &body[i]; segment.Name {
		case "HNSHK":
			if m.Security == nil {
				m.Security = &Security{}
			}
			s := m.Security
			s.Signed, s.Function, s.Reference, s.SystemID = true, segment.Get(1, 0), segment.Get(2, 0), segment.Get(5, 2)
			s.read(segment, 7, 10)
		case "HNSHA":
			if m.Security == nil || segment.Get(0, 0) != m.Security.Reference {
				return nil, ErrSyntax
			}
			m.Security.PIN, m.Security.TAN = segment.Get(2, 0), segment.Get(2, 1)
		case "HNHBK", "HNVSK", "HNVSD", "HNHBS":
			return nil, ErrSyntax
		default:
			m.Segments = append(m.Segments, *segment)
		}
	}
	return m, nil
}

// read takes time and key name from a security segment.
func (s *Security) read(segment *Segment, stamp, key int) {
	s.At, _ = time.Parse(day+clock, segment.Get(stamp, 1)+segment.Get(stamp, 2))
	s.Country, s.BankCode, s.UserID = segment.Get(key, 0), segment.Get(key, 1), segment.Get(key, 2)
}

// Find is the first segment with that name; nil where there is none.
func (m *Message) Find(name string) *Segment {
	for i := range m.Segments {
		if m.Segments[i].Name == name {
			return &m.Segments[i]
		}
	}
	return nil
}

// All are the segments with that name, in their order.
func (m *Message) All(name string) []*Segment {
	var all []*Segment
	for i := range m.Segments {
		if m.Segments[i].Name == name {
			all = append(all, &m.Segments[i])
		}
	}
	return all
}
