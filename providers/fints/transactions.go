package fints

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"kontoflow/plain"
	"kontoflow/providers"
	"kontoflow/providers/camt"
	"kontoflow/providers/fints/syntax"
	"kontoflow/providers/mt940"
)

const (
	maxPages = 10_000
	// maxRest bounds the beginning of a statement that waits for its end.
	maxRest = 256 << 10
	// maxKept bounds the compressed answer that waits in the sealed state for the next read.
	maxKept = 8 << 20
)

// cursor is our place between two pages.
type cursor struct {
	Order  string     `json:"order"`
	From   plain.Date `json:"from,omitempty"`
	To     plain.Date `json:"to,omitempty"` // zero: the caller left it open
	Page   int        `json:"page,omitempty"`
	Oldest plain.Date `json:"oldest,omitempty"` // booked entry seen so far

	// Touchdown is where the bank goes on (Aufsetzpunkt), in the dialog in which it said so and in no other ("Formals",
	// section B.6.3). In another one all is read again from the beginning, and what was counted left out.
	Touchdown string `json:"touchdown,omitempty"`
	Dialog    string `json:"dialog,omitempty"`
	Booked    int    `json:"booked,omitempty"`
	Pending   int    `json:"pending,omitempty"`
	// Rest are the beginnings of an MT940 and an MT942 statement that end on the next page.
	Rest [2][]byte `json:"rest,omitzero"`
}

func (c cursor) String() string {
	raw, _ := json.Marshal(c) // strings and numbers only
	return base64.RawURLEncoding.EncodeToString(raw)
}

func readCursor(s string) (c cursor, err error) {
	raw, err := base64.RawURLEncoding.DecodeString(s)
	if err == nil {
		err = json.Unmarshal(raw, &c)
	}
	if err != nil || c.Order != "HKCAZ" && c.Order != "HKKAZ" {
		return c, misconfigured(errors.New("the cursor cannot be read"))
	}
	return c, nil
}

// transactions reads one page: camt where the bank has it (HKCAZ), else MT940 and MT942 (HKKAZ).
func (t *talk) transactions(ctx context.Context, account providers.Account, window providers.Window, from string) (providers.Page, error) {
	if err := t.ready(ctx); err != nil {
		return providers.Page{}, err
	}
	a := t.account(account)
	if a == nil {
		return providers.Page{}, &providers.Error{Kind: providers.Gone, Code: providers.CodeAccountGone, Err: errors.New("the account is not among the customer's")}
	}
	if from != "" {
		at, err := readCursor(from)
		if err != nil {
			return providers.Page{}, err
		}
		return t.page(ctx, a, at)
	}
	orders := t.statementOrders(a)
	if len(orders) == 0 {
		return providers.Page{}, &providers.Error{Kind: providers.Rejected, Code: providers.CodeAccountNotOnline, Err: errors.New("the bank gives no statements of the account")}
	}
	if k := t.dialog.Kept; k != nil { // the answer came with the TAN: it answers the order that was asked then
		if i := slices.IndexFunc(orders, func(order string) bool { return strings.HasPrefix(k.Key, order+" ") }); i > 0 {
			orders = orders[i:]
		}
	}
	for i, order := range orders {
		page, err := t.page(ctx, a, t.first(order, window))
		if i+1 < len(orders) && skippable(err) {
			continue // a bank that lists camt, and does not give it
		}
		return page, err
	}
	panic("unreachable")
}

// statementOrders are the orders for statements of the account, the better one first.
func (t *talk) statementOrders(a *userAccount) (orders []string) {
	if t.lasting.Bank.version("HKCAZ") > 0 && len(t.lasting.Bank.Camt) > 0 && a.allows("HKCAZ") && a.IBAN != "" {
		orders = append(orders, "HKCAZ")
	}
	if t.lasting.Bank.version("HKKAZ") > 0 && a.allows("HKKAZ") {
		orders = append(orders, "HKKAZ")
	}
	return orders
}

// first is the place before the first page. The window is cut to what the bank keeps, as far as it says.
func (t *talk) first(order string, window providers.Window) cursor {
	at := cursor{Order: order, From: window.From, To: window.To}
	today := t.today()
	if at.To >= today {
		at.To = 0
	}
	days := t.lasting.Bank.Days[order]
	if limit := t.conv.Connection.HistoryDays; limit > 0 && (days == 0 || limit < days) {
		days = limit
	}
	if days > 0 {
		at.From = max(at.From, today.AddDays(-days))
	}
	if !t.conv.Interactive && slices.Contains(t.lasting.Bank.NeedTAN, order) {
		// For more the bank may want a TAN, and would send it to a customer who is not there.
		at.From = max(at.From, today.AddDays(1-providers.DaysWithoutSCA))
	}
	if !at.To.IsZero() {
		at.From = min(at.From, at.To)
	}
	return at
}

// page reads the page at a place. Where the dialog that the place belongs to is over, everything is read again, and what
// came before the place is left out: the bank tells entries in their order, oldest first ("Formals", section B.6.3).
func (t *talk) page(ctx context.Context, a *userAccount, at cursor) (providers.Page, error) {
	here := at
	for afresh := false; ; {
		if here.Touchdown != "" && here.Dialog != t.dialog.ID {
			if afresh {
				return providers.Page{}, &providers.Error{Kind: providers.Transient, Code: providers.CodeTemporary,
					Err: errors.New("read the transactions: the bank ends the dialog again and again")}
			}
			afresh = true
			here = cursor{Order: at.Order, From: at.From, To: at.To}
		}
		page, next, err := t.fetch(ctx, a, here)
		if errors.Is(err, errDialogOver) {
			continue
		}
		if err != nil {
			return providers.Page{}, err
		}
		page.Entries = without(page.Entries, at.Booked-here.Booked, at.Pending-here.Pending)
		switch {
		case next.Touchdown == "":
			return t.last(page, next), nil
		case !afresh, next.Booked > at.Booked, next.Pending > at.Pending:
			page.Next = next.String()
			return page, nil
		}
		here = next // all of this page is known
	}
}

// without leaves out the first booked and the first pending entries.
func without(entries []providers.Entry, booked, pending int) []providers.Entry {
	if booked <= 0 && pending <= 0 {
		return entries
	}
	return slices.DeleteFunc(entries, func(e providers.Entry) bool {
		left := &booked
		if e.Pending {
			left = &pending
		}
		*left--
		return *left >= 0
	})
}

// fetch asks the bank for the page at a place, and finds the next place; the last page's has no touchdown point.
func (t *talk) fetch(ctx context.Context, a *userAccount, at cursor) (page providers.Page, next cursor, err error) {
	const doing = "read the transactions"
	version := t.lasting.Bank.version(at.Order)
	order := syntax.New(at.Order, version)
	if at.Order == "HKCAZ" {
		order.Elements = append(order.Elements, a.international(), syntax.Text(t.camtFormat()))
	} else {
		order.Elements = append(order.Elements, a.named(version, 7))
	}
	order.Elements = append(order.Elements, syntax.Flag(false), syntax.Text(fintsDay(at.From)), syntax.Text(fintsDay(at.To)), syntax.Empty(), syntax.Text(at.Touchdown))
	key := strings.Join([]string{at.Order, a.handle(), at.Touchdown}, " ")
	r, err := t.read(ctx, doing, key, order, at.Touchdown != "")
	if err != nil {
		return page, at, err
	}
	next = at
	next.Touchdown, next.Dialog, next.Page = "", r.dialog, at.Page+1
	if f := r.find(codeTouchdown); f != nil && len(f.parameters) > 0 {
		next.Touchdown = f.parameters[0]
	}
	if next.Touchdown != "" && (next.Touchdown == at.Touchdown || next.Page > maxPages || len(next.Touchdown) > 1024) {
		return page, at, nonsense(doing, "the pages never end")
	}
	page, next.Rest, err = readStatements(r, at.Rest, next.Touchdown != "", cmp.Or(a.Currency, "EUR"))
	if err != nil {
		return page, at, &providers.Error{Kind: providers.Rejected, Code: providers.CodeBankCannot, Err: fmt.Errorf("%s: %w", doing, err)}
	}
	next.see(page.Entries)
	return page, next, nil
}

// camtFormat is the best format of HKCAZ that the bank offers: version 08 of the account report, else 02, else its first.
func (t *talk) camtFormat() string {
	for _, version := range []string{"camt.052.001.08", "camt.052.001.02"} {
		for _, format := range t.lasting.Bank.Camt {
			if strings.Contains(format, version) {
				return format
			}
		}
	}
	return t.lasting.Bank.Camt[0]
}

// readStatements reads HICAZ (booked entries as several camt messages, pending ones as one) and HIKAZ (MT940 and MT942). The
// bank may cut the latter wherever it likes: a statement that does not end here while there is more is the rest that
// the next page begins with.
func readStatements(r *reply, before [2][]byte, more bool, currency string) (page providers.Page, rest [2][]byte, err error) {
	add := func(entries []providers.Entry, balances []providers.Balance, pending bool) {
		page.Entries = append(page.Entries, entries...)
		if !pending {
			page.Balances = append(page.Balances, balances...)
			return
		}
		for i := range entries {
			page.Entries[len(page.Entries)-1-i].Pending = true
		}
	}
	for _, s := range r.All("HICAZ") {
		for i, messages := range [][]syntax.Value{s.At(2), s.At(3)} {
			for _, message := range messages {
				if strings.TrimSpace(message.Text) == "" {
					continue
				}
				report, err := camt.Read(strings.NewReader(message.Text), currency)
				if err != nil {
					return page, rest, err
				}
				add(report.Entries, report.Balances, i == 1)
			}
		}
	}
	for i := range before {
		parts := []string{string(before[i])}
		for _, s := range r.All("HIKAZ") {
			parts = append(parts, s.Get(i, 0))
		}
		file := mt940.Join(parts...)
		if more {
			if whole, begun := mt940.Complete(file); len(begun) <= maxRest { // else nobody cut it: it is one large statement after the other
				file, rest[i] = whole, []byte(begun)
			}
		}
		report, err := mt940.Read(file, currency)
		if err != nil {
			return page, rest, err
		}
		add(report.Entries, report.Balances, i == 1)
	}
	return page, rest, nil
}

// last completes the last page.
func (t *talk) last(page providers.Page, at cursor) providers.Page {
	today := t.today()
	page.PendingCovered = true
	page.Covered = providers.Window{From: at.From, To: at.To}
	if at.To.IsZero() {
		page.Covered.To = today
	}
	if at.From.IsZero() {
		// The bank keeps as much as it likes, and does not say how much. What it shows to everybody was covered; before
		// that, only as far back as its oldest entry.
		page.Covered.From = min(today.AddDays(1-providers.DaysWithoutSCA), page.Covered.To)
		if !at.Oldest.IsZero() {
			page.Covered.From = min(page.Covered.From, at.Oldest)
		}
	}
	return page
}

// see counts entries, and keeps the day of the oldest booked one.
func (c *cursor) see(entries []providers.Entry) {
	for i := range entries {
		e := &entries[i]
		if e.Pending {
			c.Pending++
			continue
		}
		c.Booked++
		if !e.BookingDate.IsZero() && (c.Oldest.IsZero() || e.BookingDate < c.Oldest) {
			c.Oldest = e.BookingDate
		}
	}
}

// keep puts the answer that came with a TAN where the next read finds it.
func (t *talk) keep(key string, r *reply) error {
	const doing = "keep the bank's answer"
	wire, err := syntax.Append(nil, r.Segments...)
	if err != nil {
		return nonsense(doing, err.Error())
	}
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, err = zip.Write(wire)
	if err = errors.Join(err, zip.Close()); err != nil {
		return misconfigured(fmt.Errorf("%s: %w", doing, err))
	}
	if packed.Len() > maxKept {
		return nonsense(doing, "it is too large")
	}
	t.dialog.Kept, t.dirty = &kept{Key: key, Dialog: r.dialog, Gzip: packed.Bytes()}, true
	return nil
}

// take is the kept answer to an order; nil where there is none.
func (t *talk) take(doing, key string) (*reply, error) {
	k := t.dialog.Kept
	if k == nil || key == "" || k.Key != key {
		return nil, nil
	}
	t.dialog.Kept, t.dirty = nil, true
	zip, err := gzip.NewReader(bytes.NewReader(k.Gzip))
	if err != nil {
		return nil, misconfigured(fmt.Errorf("%s: open the kept answer: %w", doing, err))
	}
	wire, err := io.ReadAll(io.LimitReader(zip, syntax.MaxMessage))
	if err != nil {
		return nil, misconfigured(fmt.Errorf("%s: open the kept answer: %w", doing, err))
	}
	segments, err := syntax.Parse(wire)
	if err != nil {
		return nil, misconfigured(fmt.Errorf("%s: read the kept answer: %w", doing, err))
	}
	r := &reply{Message: &syntax.Message{Segments: segments}, dialog: k.Dialog}
	for i := range segments {
		if s := &segments[i]; s.Name == "HIRMG" || s.Name == "HIRMS" {
			r.feedback = append(r.feedback, readFeedback(s)...)
		}
	}
	return r, nil
}
