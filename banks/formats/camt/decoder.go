package camt

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/shopspring/decimal"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/formats/lenient"
	"github.com/kontoflow/kontoflow/internal/civil"
)

// A decoder walks through a message with the tree of known elements (see tree.go), and keeps what
// it needs.
type decoder struct {
	lexer   *lexer
	charset charset
	path    []open // the elements that are not closed yet
	names   []byte // their names as written, one after the other
	texts   []byte // what was read of their texts, one after the other

	known     bool   // this is a camt message
	awaited   bool   // a document has been declared, and not begun
	currency  string // of the account, as far as the caller knows
	created   day    // of the message
	statement statement
	balance   balance
	balances  int // read so far
	entry     entry
	entries   int // read so far
	report    Report
	kept      int // of the report, in bytes
}

// open is an element that is not closed yet.
type open struct {
	element *element // nil: nothing in it is of interest
	name    int      // where its name begins in names
	text    int      // where its text begins in texts
	full    bool     // no more of its text is looked at
}

// statement is what a Rpt, Stmt or Ntfctn says about all of its entries.
type statement struct {
	holder   holder
	currency string
	created  day
	newest   civil.Date // of its balances
	first    int        // its first entry in the report
}

func newDecoder(input io.Reader, currency string) *decoder {
	return &decoder{lexer: newLexer(input), charset: undeclared, currency: currency}
}

// run reads all of the input.
func (d *decoder) run() error {
	for {
		t, err := d.lexer.next()
		if err != nil {
			return err
		}
		switch t {
		case startTag:
			err = d.begin()
		case endTag:
			err = d.end(d.lexer.name)
		case characters:
			d.characters()
		case declared:
			if len(d.path) == 0 {
				d.awaited = true
				name, _ := attribute(d.lexer.attributes, "encoding")
				d.charset, err = declaredCharset(string(name))
			}
		case endOfInput:
			if len(d.path) > 0 || d.awaited {
				return io.ErrUnexpectedEOF
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (d *decoder) begin() error {
	if len(d.path) == maxDepth {
		return errTooDeep
	}
	parent := anywhere
	if n := len(d.path); n > 0 {
		parent = d.path[n-1].element
	}
	e := parent.child(localName(d.lexer.name))
	closed := d.lexer.closed
	d.awaited = false
	d.path = append(d.path, open{element: e, name: len(d.names), text: len(d.texts)})
	d.names = append(d.names, d.lexer.name...)
	if e != nil && e.begin != nil {
		e.begin(d)
	}
	if e != nil && e.attribute != "" {
		if value, found := attribute(d.lexer.attributes, e.attribute); found {
			if bytes.IndexByte(value, '&') >= 0 {
				value = d.charset.appendText(nil, cut(value, maxText), false)
			}
			e.value(d, value)
		}
	}
	if closed {
		return d.end(d.names[d.path[len(d.path)-1].name:])
	}
	return nil
}

func (d *decoder) end(name []byte) error {
	n := len(d.path) - 1
	if n < 0 || !bytes.Equal(d.names[d.path[n].name:], name) {
		return d.lexer.broken()
	}
	o := d.path[n]
	d.path, d.names = d.path[:n], d.names[:o.name]
	if n == 0 {
		d.charset = undeclared // of the next document
	}
	if o.element == nil {
		return nil
	}
	if o.element.text != nil {
		text := d.texts[o.text:]
		if !o.element.isLine {
			text = bytes.TrimSpace(text)
		}
		o.element.text(d, text)
	}
	d.texts = d.texts[:o.text]
	if o.element.end != nil {
		return o.element.end(d)
	}
	return nil
}

func (d *decoder) characters() {
	n := len(d.path) - 1
	if n < 0 || d.path[n].element == nil || d.path[n].element.text == nil || d.path[n].full {
		return
	}
	o := &d.path[n]
	text := cut(d.lexer.text, maxText-(len(d.texts)-o.text))
	o.full = len(text) < len(d.lexer.text)
	d.texts = d.charset.appendText(d.texts, text, d.lexer.literal)
}

// cut is the beginning of a text, at most so many bytes, without a part of a character or of a
// reference at its end.
func cut(text []byte, limit int) []byte {
	limit = max(limit, 0)
	if len(text) <= limit {
		return text
	}
	for limit > 0 && !utf8.RuneStart(text[limit]) {
		limit--
	}
	text = text[:limit]
	if i := bytes.LastIndexByte(text, '&'); i >= 0 && len(text)-i < maxReference && bytes.IndexByte(text[i:], ';') < 0 {
		text = text[:i]
	}
	return text
}

// room reports whether there is room for so many bytes beside the report.
func (d *decoder) room(bytes int) error {
	if d.kept+bytes > maxKept {
		return ErrTooLarge
	}
	return nil
}

func (d *decoder) unreadable(what string) {
	d.report.Unreadable.Add(fmt.Sprintf("entry %d: %s", d.entries, what))
}

// beginDocument knows a message that holds nothing by its namespace.
func (d *decoder) beginDocument() {
	written := d.lexer.attributes
	for _, kind := range []string{":camt.052.", ":camt.053.", ":camt.054."} {
		if bytes.Contains(written, []byte(kind)) {
			d.known = true
		}
	}
}

func (d *decoder) beginMessage() { d.known, d.created = true, day{} }

func (d *decoder) beginStatement() {
	_ = d.endStatement() // what stands between two statements
	d.statement = statement{first: len(d.report.Entries)}
}

// endStatement sees to it that every booked entry has a date.
func (d *decoder) endStatement() error {
	d.date(d.report.Entries[d.statement.first:])
	d.statement.first = len(d.report.Entries)
	return nil
}

// date gives booked entries without a day that of their statement or of the message; where these
// have none, today.
func (d *decoder) date(entries []banks.Entry) {
	for i := range entries {
		e := &entries[i]
		if e.Pending || !e.BookingDate.IsZero() {
			continue
		}
		e.BookingDate = cmp.Or(e.ValueDate, d.statement.created.date, d.created.date, d.statement.newest)
		if e.BookingDate.IsZero() {
			e.BookingDate = civil.On(time.Now())
		}
	}
}

// amount is an amount with its currency.
type amount struct {
	value       decimal.Decimal
	currency    string // "": it has none
	given       bool   // there is an element
	ok          bool   // it can be read
	plus        bool   // it has a plus sign
	badCurrency bool
}

func (a *amount) begin() { *a = amount{given: true} }

func (a *amount) readCurrency(s []byte) {
	if string(s) == "EUR" { // nearly always, and no need to make another one
		a.currency = "EUR"
		return
	}
	a.currency = lenient.Currency(string(s))
	a.badCurrency = a.currency == "" && len(bytes.TrimSpace(s)) > 0
}

func (a *amount) read(s []byte) {
	a.value, a.ok = lenient.Amount(string(s))
	a.plus = bytes.IndexByte(s, '+') >= 0
}

// in is the amount without noise; ok is false where it is none in this currency.
func (a *amount) in(currency string) (value decimal.Decimal, ok bool) {
	if !a.ok || a.badCurrency || a.currency != "" && a.currency != currency {
		return decimal.Decimal{}, false
	}
	return lenient.WithoutNoise(a.value, currency), true
}

// indicator says whether money came or went.
type indicator uint8

const (
	noIndicator indicator = iota
	credit
	debit
	badIndicator
)

func (i *indicator) read(s []byte) {
	switch strings.ToUpper(string(s)) {
	case "":
	case "CRDT", "CREDIT", "CRD", "CR", "C":
		*i = credit
	case "DBIT", "DEBIT", "DBT", "DR", "D":
		*i = debit
	default:
		*i = badIndicator
	}
}

// signed gives an amount its sign, by the indicator; where there is none, by the amount's own sign.
// ok is false where nothing says it, and where an amount with a minus is said to be money in:
// neither can be trusted then.
func (a *amount) signed(value decimal.Decimal, i indicator) (signed decimal.Decimal, ok bool) {
	switch {
	case value.IsZero():
		return value, true
	case value.IsNegative():
		return value, i != credit
	case i == debit:
		return value.Neg(), true
	}
	return value, i == credit || a.plus
}

// day is a date, and whether it says something else than was written.
type day struct {
	date civil.Date
	bad  bool
}

// read takes the first of several that can be read.
func (d *day) read(s []byte) {
	if len(s) == 0 || !d.date.IsZero() && !d.bad {
		return
	}
	date, ok := lenient.BerlinDay(string(s))
	if !date.IsZero() || d.date.IsZero() {
		d.date, d.bad = date, !ok
	}
}

// coded is an element that holds a code, a bank's own code, or just text.
type coded struct {
	text string
	rank uint8
}

const (
	justText uint8 = iota + 1
	proprietary
	code
)

func (c *coded) read(s []byte, rank uint8) {
	if len(s) > 0 && rank >= c.rank {
		c.text, c.rank = lenient.Text(string(s), 64), rank
	}
}
