package reconcile

import (
	"database/sql/driver"
	"encoding/binary"
	"fmt"

	"github.com/kontoflow/kontoflow/internal/civil"
)

// NormalizerVersion counts the changes of Normalize that give the same entry other facts.
const NormalizerVersion = 2

// Facts are what matching knows of an entry: numbers and hashes of fixed size, comparable with ==, no text.
// They are stored beside the transaction, in one binary column.
type Facts struct {
	Version  uint8 // NormalizerVersion that made them
	Pending  bool
	Card     bool // a card payment: its amount may still change while it is pending
	Currency [3]byte
	Amount   int64 // signed, in millionths; exact for every amount that occurs, a guide from 10¹² on

	ForeignCurrency [3]byte // zero: none
	ForeignAmount   int64   // in millionths

	Booked, Valued civil.Date // as the bank calls them; either or both may be zero

	IDs     [2]uint64 // the bank's strong ids (transaction id, entry reference); 0: none, or a placeholder
	Print   [2]uint64 // fingerprint: amount, currency, days, other party, remittance and SEPA references, normalised
	Content uint64    // everything that is shown, to the letter: equal means nothing to tell anybody

	EndToEnd uint64    // end-to-end reference; 0: none
	Party    uint64    // the other side's IBAN; 0: none, or not a valid one
	Sketch   [8]uint64 // the trigrams of all normalised text, as a set of 512 bits
}

// Date is the booking date, or the value date where there is no other; zero where there is none at all.
func (f *Facts) Date() civil.Date {
	if f.Booked != 0 {
		return f.Booked
	}
	return f.Valued
}

// days are both dates in the order of the calendar, since banks swap their roles; where there is one, it is both.
func (f *Facts) days() (first, last civil.Date) {
	first, last = f.Booked, f.Valued
	if first == 0 {
		first = last
	}
	if last == 0 {
		last = first
	}
	return min(first, last), max(first, last)
}

// Stale reports that another version of the normalizer made the facts: take Renew of the stored transaction instead.
func (f *Facts) Stale() bool { return f.Version != NormalizerVersion }

const factsSize = 2 + 2*(3+8) + 2*4 + 2*8 + 2*8 + 8 + 8 + 8 + 8*8

// AppendBinary writes the facts as they are stored, 152 bytes.
func (f *Facts) AppendBinary(b []byte) ([]byte, error) {
	var flags byte
	if f.Pending {
		flags |= 1
	}
	if f.Card {
		flags |= 2
	}
	b = append(b, f.Version, flags)
	b = append(b, f.Currency[:]...)
	b = append(b, f.ForeignCurrency[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(f.Booked))
	b = binary.BigEndian.AppendUint32(b, uint32(f.Valued))
	for _, word := range [...]uint64{uint64(f.Amount), uint64(f.ForeignAmount), f.IDs[0], f.IDs[1], f.Print[0], f.Print[1], f.Content, f.EndToEnd, f.Party} {
		b = binary.BigEndian.AppendUint64(b, word)
	}
	for _, word := range f.Sketch {
		b = binary.BigEndian.AppendUint64(b, word)
	}
	return b, nil
}

// MarshalBinary writes the facts as they are stored.
func (f *Facts) MarshalBinary() ([]byte, error) { return f.AppendBinary(make([]byte, 0, factsSize)) }

// UnmarshalBinary reads what AppendBinary wrote. Facts of another version may be of another form: of them only Version
// is read, and Stale says so.
func (f *Facts) UnmarshalBinary(b []byte) error {
	*f = Facts{}
	if len(b) > 0 && b[0] != NormalizerVersion {
		f.Version = b[0]
		return nil
	}
	if len(b) != factsSize {
		return fmt.Errorf("facts have %d bytes, not %d", len(b), factsSize)
	}
	f.Version, f.Pending, f.Card = b[0], b[1]&1 != 0, b[1]&2 != 0
	f.Currency, f.ForeignCurrency = [3]byte(b[2:]), [3]byte(b[5:])
	f.Booked = civil.Date(binary.BigEndian.Uint32(b[8:]))
	f.Valued = civil.Date(binary.BigEndian.Uint32(b[12:]))
	b = b[16:]
	next := func() uint64 {
		word := binary.BigEndian.Uint64(b)
		b = b[8:]
		return word
	}
	f.Amount, f.ForeignAmount = int64(next()), int64(next())
	for _, word := range [...]*uint64{&f.IDs[0], &f.IDs[1], &f.Print[0], &f.Print[1], &f.Content, &f.EndToEnd, &f.Party} {
		*word = next()
	}
	for i := range f.Sketch {
		f.Sketch[i] = next()
	}
	return nil
}

// Value stores the facts as BYTEA.
func (f Facts) Value() (driver.Value, error) { return f.MarshalBinary() }

// Scan reads them back; NULL gives stale facts.
func (f *Facts) Scan(src any) error {
	switch v := src.(type) {
	case nil:
		*f = Facts{}
		return nil
	case []byte:
		return f.UnmarshalBinary(v)
	default:
		return fmt.Errorf("cannot read facts from %T", src)
	}
}
