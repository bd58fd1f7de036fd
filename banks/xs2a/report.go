package xs2a

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"strings"
	"sync"

	"github.com/go-faster/jx"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/formats/lenient"
)

// report is a page of transactions as the bank sent it.
type report struct {
	entries  []banks.Entry
	balances []banks.Balance
	next     string
	download string

	booked     bool      // there is a list of booked entries; it may be empty
	pending    bool      // there is a list of pending entries; it may be empty
	complaint  complaint // what the bank says in place of a list, or beside one
	withheld   banks.Withheld
	unreadable banks.Unreadable
}

// Bounds of a page, beside its size in bytes.
const (
	maxEntries  = 200_000
	maxBalances = 20
)

const (
	errTooMany = banks.OwnError("there are too many entries")
	errNoJSON  = banks.OwnError("not a JSON object")
)

// readReport reads the JSON of a transactions call, ordinary or card. It takes a value of any type
// where a text or an amount belongs. What is of no use is left out and counted; an entry without a
// readable amount is an error (see banks.EntryError). currency stands in where an amount has
// none. own are the IBANs and numbers of the account itself, which is never the other side of its
// own entries. The caller bounds the body.
//
// The parser is jx and not encoding/json: a page is read in a fraction of the time, and a field of
// the wrong type costs that field, not the page.
func readReport(body io.Reader, currency string, own ...string) (*report, error) {
	page := pages.Get().(*bytes.Buffer)
	defer func() {
		if page.Reset(); page.Cap() <= maxKept {
			pages.Put(page)
		}
	}()
	if _, err := page.ReadFrom(body); err != nil {
		return nil, err
	}
	r := &reportReader{currency: currency}
	for _, name := range own {
		r.own.add(name)
	}
	text := bytes.TrimSpace(bytes.TrimPrefix(page.Bytes(), []byte(byteOrderMark)))
	if err := r.read(text); err != nil {
		var entry *banks.EntryError
		if errors.As(err, &entry) { // without the places in the parser
			return nil, entry
		}
		return nil, err
	}
	r.finish()
	return &r.report, nil
}

const byteOrderMark = "\uFEFF"

// pages are buffers for the text of pages; a page is some hundred kilobytes.
var pages = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// maxKept is the largest buffer that is kept for the next page.
const maxKept = 4 << 20

type reportReader struct {
	report
	currency      string
	own           ownAccount
	debitPositive bool
	balanceCount  int
	indicated     []int    // entries whose sign the bank has said in a member of its own
	raw           rawEntry // one at a time
}

// read reads the page.
func (r *reportReader) read(text []byte) error {
	d := jx.DecodeBytes(text)
	switch d.Next() {
	case jx.Object:
		return d.ObjBytes(r.member)
	case jx.Array: // messages without their envelope
		if r.complaint = readComplaint(text); r.failed() {
			return nil
		}
	}
	return errNoJSON
}

// member reads a member of the page itself.
func (r *reportReader) member(d *jx.Decoder, key []byte) error {
	switch string(key) {
	case "transactions", "cardTransactions":
		return r.lists(d)
	case "booked", "pending": // a report without its envelope
		return r.list(d, string(key) == "pending")
	case "account", "cardAccount":
		return r.account(d)
	case "balances":
		return each(d, r.balance)
	case "debitAccounting":
		s, _, err := scalar(d)
		r.debitPositive = s == "true"
		return err
	case "_links":
		return r.links(d)
	case "tppMessages":
		return r.messages(d)
	case "code":
		return keep(d, (*string)(&r.complaint.Code), maxID)
	case "error":
		return keep(d, (*string)(&r.complaint.Error), maxID)
	case "title":
		return keep(d, (*string)(&r.complaint.Title), maxMessage)
	case "detail":
		return keep(d, (*string)(&r.complaint.Detail), maxMessage)
	}
	return d.Skip()
}

func (r *reportReader) messages(d *jx.Decoder) error {
	raw, err := d.Raw()
	if err == nil {
		_ = json.Unmarshal(raw, &r.complaint.Messages) // of another shape: there are none
	}
	return err
}

// account reads whose report it is.
func (r *reportReader) account(d *jx.Decoder) error {
	var of rawParty
	if err := of.account(d); err != nil {
		return err
	}
	r.own.add(of.iban)
	r.own.add(of.number)
	return nil
}

// finish settles what only the whole page tells.
func (r *reportReader) finish() {
	if r.debitPositive {
		r.negate()
	}
	r.balances = newest(r.balances)
	if r.booked && !r.failed() {
		return
	}
	r.withheld = banks.NoList
	if len(r.entries) > 0 && r.booked {
		r.withheld = banks.Partial
	}
}

// failed reports whether the bank says that it could not do what it was asked for.
func (r *report) failed() bool {
	for _, m := range r.complaint.Messages {
		if strings.EqualFold(string(m.Category), "ERROR") {
			return true
		}
	}
	return r.complaint.code() != ""
}

// negate turns the signs of a card's report, where debits are quoted positive.
func (r *reportReader) negate() {
	for i := range r.entries {
		if len(r.indicated) > 0 && r.indicated[0] == i {
			r.indicated = r.indicated[1:]
			continue
		}
		r.entries[i].Amount = r.entries[i].Amount.Neg()
		r.entries[i].OriginalAmount = r.entries[i].OriginalAmount.Neg()
	}
	for i := range r.balances {
		r.balances[i].Amount = r.balances[i].Amount.Neg()
	}
}

// lists reads the lists of the report. A bare list is one of booked entries; an empty one could be
// anything, such as what some programs make of an object without members.
func (r *reportReader) lists(d *jx.Decoder) error {
	if d.Next() == jx.Array {
		before := r.booked
		err := r.list(d, false)
		r.booked = before || len(r.entries) > 0
		return err
	}
	return object(d, func(d *jx.Decoder, key []byte) error {
		switch string(key) {
		case "booked":
			return r.list(d, false)
		case "pending":
			return r.list(d, true)
		case "_links":
			return r.links(d)
		}
		return d.Skip()
	})
}

// list reads a list of entries. One entry alone may come without the brackets; anything else is no
// list.
func (r *reportReader) list(d *jx.Decoder, pending bool) error {
	name, found := "booked", &r.booked
	if pending {
		name, found = "pending", &r.pending
	}
	n := 0
	switch d.Next() {
	case jx.Array:
		*found = true
		return d.Arr(func(d *jx.Decoder) error {
			n++
			return r.element(d, name, n)
		})
	case jx.Object:
		r.raw.reset()
		if err := d.ObjBytes(r.raw.field); err != nil || r.raw.amount == "" {
			return err
		}
		*found = true
		return r.take(name, 1)
	}
	return d.Skip()
}

// element reads one element of a list. null says nothing, and is counted as unreadable; other
// values are entries that cannot be read.
func (r *reportReader) element(d *jx.Decoder, list string, n int) error {
	switch d.Next() {
	case jx.Object:
	case jx.Null:
		r.unreadable.Add(place(list, n, "nothing"))
		return d.Skip()
	default:
		return &banks.EntryError{Place: place(list, n, "amount")}
	}
	r.raw.reset()
	if err := d.ObjBytes(r.raw.field); err != nil {
		return err
	}
	return r.take(list, n)
}

// take keeps the entry whose fields were read last.
func (r *reportReader) take(list string, n int) error {
	if len(r.entries) >= maxEntries {
		return errTooMany
	}
	e := &r.raw
	entry, trouble := e.entry(r.currency, list == "pending", &r.own)
	if trouble != "" {
		return &banks.EntryError{Place: place(list, n, trouble)}
	}
	if e.lost > 0 {
		if r.unreadable.Count == 0 {
			r.unreadable.First = place(list, n, e.lostFirst)
		}
		r.unreadable.Count += e.lost
	}
	if e.indicator != "" {
		r.indicated = append(r.indicated, len(r.entries))
	}
	r.entries = append(r.entries, entry)
	return nil
}

// place names a value of an entry: "booked entry 12: amount".
func place(list string, n int, what string) string {
	return list + " entry " + strconv.Itoa(n) + ": " + what
}

// links reads the links of the page. Some interfaces list them with their relation ("rel") beside
// the address.
func (r *reportReader) links(d *jx.Decoder) error {
	if d.Next() == jx.Array {
		return each(d, func(d *jx.Decoder) error {
			var relation, href string
			err := object(d, func(d *jx.Decoder, key []byte) error {
				switch string(key) {
				case "rel":
					return keep(d, &relation, 64)
				case "href":
					return keep(d, &href, maxMessage)
				}
				return d.Skip()
			})
			r.link(relation, href)
			return err
		})
	}
	return object(d, func(d *jx.Decoder, key []byte) error {
		if string(key) != "next" && string(key) != "download" {
			return d.Skip()
		}
		name, href := string(key), ""
		err := readLink(d, &href)
		r.link(name, href)
		return err
	})
}

// readLink reads a link: an address, an object with one, or a list of these.
func readLink(d *jx.Decoder, href *string) error {
	switch d.Next() {
	case jx.String:
		return keep(d, href, maxLink+1) // so that one that is too long is known as that
	case jx.Array:
		return each(d, func(d *jx.Decoder) error {
			if *href != "" || d.Next() == jx.Array {
				return d.Skip()
			}
			return readLink(d, href)
		})
	}
	return object(d, func(d *jx.Decoder, key []byte) error {
		if string(key) == "href" {
			return keep(d, href, maxLink+1) // so that one that is too long is known as that
		}
		return d.Skip()
	})
}

// link keeps a link that leads somewhere. Some banks put "null" where the address of their server
// belongs.
func (r *reportReader) link(relation, href string) {
	if rest, ok := strings.CutPrefix(href, "null"); ok && (rest == "" || rest[0] == '/') {
		href = rest
	}
	switch {
	case href == "":
	case relation == "next":
		r.next = href
	case relation == "download":
		r.download = href
	}
}

func (r *reportReader) balance(d *jx.Decoder) error {
	var b balance
	err := object(d, func(d *jx.Decoder, key []byte) error {
		switch string(key) {
		case "balanceAmount":
			var amount, currency string
			_, err := readMoney(d, &amount, &currency)
			b.Amount = money{Currency: text(currency), Amount: text(amount)}
			return err
		case "balanceType":
			return keepText(d, &b.Type)
		case "referenceDate":
			return keepText(d, &b.Date)
		case "lastChangeDateTime":
			return keepText(d, &b.Time)
		}
		return d.Skip()
	})
	if err != nil {
		return err
	}
	r.balanceCount++
	read, trouble := b.read(false)
	if trouble != "" {
		r.unreadable.Add("balance " + strconv.Itoa(r.balanceCount) + ": " + trouble)
	}
	if trouble == troubleAmount {
		return nil
	}
	if r.balances = append(r.balances, read); len(r.balances) >= 4*maxBalances {
		r.balances = newest(r.balances)
	}
	return nil
}

// readMoney reads an amount and its currency. ok is false where the value is of a type that has no
// amount in it.
func readMoney(d *jx.Decoder, amount, currency *string) (ok bool, err error) {
	if d.Next() != jx.Object {
		s, ok, err := scalar(d)
		*amount = lenient.Text(s, maxAmount)
		return ok, err
	}
	return true, d.ObjBytes(func(d *jx.Decoder, key []byte) error {
		switch string(key) {
		case "amount", "content":
			return keep(d, amount, maxAmount)
		case "currency":
			return keep(d, currency, maxCurrency)
		}
		return d.Skip()
	})
}

// Bounds of what is read of an amount, in bytes. A longer text is no amount, so a little more is
// kept than can be one.
const (
	maxAmount   = 72
	maxCurrency = 16
)

// object reads an object, and skips what is none.
func object(d *jx.Decoder, f func(d *jx.Decoder, key []byte) error) error {
	if d.Next() != jx.Object {
		return d.Skip()
	}
	return d.ObjBytes(f)
}

// each reads an array, and skips what is none.
func each(d *jx.Decoder, f func(d *jx.Decoder) error) error {
	if d.Next() != jx.Array {
		return d.Skip()
	}
	return d.Arr(f)
}

// scalar reads a text, a number or a boolean as text. null is no text, and ok; an object or an
// array is neither.
func scalar(d *jx.Decoder) (s string, ok bool, err error) {
	switch d.Next() {
	case jx.String:
		s, err = d.Str()
		return s, true, err
	case jx.Number:
		n, err := d.Num()
		return string(n), true, err
	case jx.Bool:
		b, err := d.Bool()
		return strconv.FormatBool(b), true, err
	case jx.Null:
		return "", true, d.Skip()
	}
	return "", false, d.Skip()
}

func keep(d *jx.Decoder, into *string, max int) error {
	s, _, err := scalar(d)
	*into = lenient.Text(s, max)
	return err
}

func keepText(d *jx.Decoder, into *text) error {
	s, _, err := scalar(d)
	*into = text(lenient.Text(s, maxText))
	return err
}
