package models

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
)

// A Cursor says what a reader of a feed knows: every change up to Position. While they are behind, that alone would not
// tell which transactions they know. One that was added and removed again between two of their calls has no content left to
// be told, so its addition is passed over; but later its removal must be passed over as well, and no other's. So until
// they have caught up, their cursor carries along what was passed over.
//
// The zero Cursor stands at the beginning, where nothing is known.
type Cursor struct {
	Position int64
	passed   []passed
}

// passed is a stretch of a reading: additions behind after (as far as the next stretch) that were removed at until or
// before were not told. Both grow from stretch to stretch. There is one from the second page of a reading on, and one
// more for each account that is deleted in its course.
type passed struct{ after, until int64 }

// advance is the cursor behind a page that does not reach the feed's head.
func (c Cursor) advance(page []logEntry, head int64) Cursor {
	end := page[len(page)-1].position
	stretches := c.passed[:len(c.passed):len(c.passed)]
	if len(stretches) == 0 { // a reading begins: what is known to be removed is not told at all
		stretches = append(stretches, passed{c.Position, head})
	}
	until := stretches[len(stretches)-1].until
	for i := range page {
		// What was removed since is told as it is still stored, and then its removal. Nothing may be stored of it, though.
		if e := &page[i]; e.erased && e.counterpart > max(end, until) {
			stretches = append(stretches, passed{c.Position, head})
			break
		}
	}
	for len(stretches) > 0 && stretches[0].until <= end { // all the removals in question are past
		stretches = stretches[1:]
	}
	return Cursor{end, stretches}
}

// tells reports whether an addition on the page before the cursor is told.
func (c Cursor) tells(e *logEntry) bool {
	return e.counterpart == 0 || e.counterpart <= c.Position || c.told(e.position, e.counterpart)
}

// told reports whether the reader was told of an addition, and so has to be told of the removal.
func (c Cursor) told(addition, removal int64) bool {
	for i := len(c.passed) - 1; i >= 0; i-- {
		if addition > c.passed[i].after {
			return removal > c.passed[i].until
		}
	}
	return true
}

// survives reports whether the reader misses nothing although superfluous changes up to a position were forgotten: they
// know them all, or nothing that those are about, or began with the table as those had left it.
func (c Cursor) survives(compacted int64) bool {
	return c.Position >= compacted || c.Position == 0 || len(c.passed) > 0 && c.passed[0].after == 0 && c.passed[0].until >= compacted
}

// A cursor is given out as URL-safe base64 of: version, sum, position, and for each stretch what after and until are
// more than in the stretch before, as unsigned varints.
const (
	cursorVersion = 1
	sumLength     = 8
)

// String is the cursor as a user's client gets it.
func (c Cursor) String(user string) string {
	b := make([]byte, 1+sumLength, 32)
	b[0] = cursorVersion
	b = binary.AppendUvarint(b, uint64(c.Position))
	var before passed
	for _, p := range c.passed {
		b = binary.AppendUvarint(b, uint64(p.after-before.after))
		b = binary.AppendUvarint(b, uint64(p.until-before.until))
		before = p
	}
	copy(b[1:], cursorSum(user, b[1+sumLength:]))
	return base64.RawURLEncoding.EncodeToString(b)
}

// ParseCursor reads a cursor that the user's client got. ErrCursor: it is another user's, or none.
func ParseCursor(user, text string) (c Cursor, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) < 1+sumLength || b[0] != cursorVersion || string(b[1:1+sumLength]) != string(cursorSum(user, b[1+sumLength:])) {
		return c, ErrCursor
	}
	var numbers []int64
	for b = b[1+sumLength:]; len(b) > 0; {
		n, length := binary.Uvarint(b)
		if length <= 0 || n > 1<<62 {
			return c, ErrCursor
		}
		numbers, b = append(numbers, int64(n)), b[length:]
	}
	if len(numbers)%2 == 0 {
		return c, ErrCursor
	}
	c.Position = numbers[0]
	var p passed
	for numbers = numbers[1:]; len(numbers) > 0; numbers = numbers[2:] {
		p.after, p.until = p.after+numbers[0], p.until+numbers[1]
		c.passed = append(c.passed, p)
	}
	return c, nil
}

// cursorSum tells cursors of different users apart, and those that were cut or mistyped. It protects nothing: whose feed
// is read is for the token to say.
func cursorSum(user string, body []byte) []byte {
	sum := sha256.Sum256(append([]byte(user+"\x00"), body...))
	return sum[:sumLength]
}
