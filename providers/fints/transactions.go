package fints

import (
	"bytes"
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
	// maxKept bounds the compressed answer that waits in the sealed state for the next read.
	maxKept = 8 << 20
)

// cursor is our place between two pages.
type cursor struct {
	Order     string     `json:"order"`
	Touchdown string     `json:"touchdown,omitempty"` // Aufsetzpunkt
	From      plain.Date `json:"from,omitempty"`
	To        plain.Date `json:"to,omitempty"` // zero: the caller left it open
	Page      int        `json:"page,omitempty"`
	Oldest    plain.Date `json:"oldest,omitempty"` // booked entry seen so far
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

// page reads the page at a place.
func (t *talk) page(ctx context.Context, a *userAccount, at cursor) (providers.Page, error) {
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
	r, err := t.read(ctx, doing, key, order)
	if err != nil {
		return providers.Page{}, err
	}
	page, err := readStatements(r, orElse(a.Currency, "EUR"))
	if err != nil {
		return providers.Page{}, &providers.Error{Kind: providers.Rejected, Code: providers.CodeBankCannot, Err: fmt.Errorf("%s: %w", doing, err)}
	}
	at.see(page.Entries)
	if f := r.find(codeTouchdown); f != nil && len(f.parameters) > 0 && f.parameters[0] != "" {
		next := f.parameters[0]
		if next == at.Touchdown || at.Page >= maxPages || len(next) > 1024 {
			return providers.Page{}, nonsense(doing, "the pages never end")
		}
		at.Touchdown, at.Page = next, at.Page+1
		page.Next = at.String()
		return page, nil
	}
	return t.last(page, at), nil
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

// readStatements reads HICAZ (booked entries as several camt messages, pending ones as one) and HIKAZ (MT940 and MT942).
func readStatements(r *reply, currency string) (page providers.Page, err error) {
	add := func(entries []providers.Entry, balances []providers.Balance, pending bool) {
		for i := range entries {
			entries[i].Pending = entries[i].Pending || pending
		}
		page.Entries = append(page.Entries, entries...)
		page.Balances = append(page.Balances, balances...)
	}
	for _, s := range r.All("HICAZ") {
		for i, messages := range [][]syntax.Value{s.At(2), s.At(3)} {
			for _, message := range messages {
				if strings.TrimSpace(message.Text) == "" {
					continue
				}
				report, err := camt.Read(strings.NewReader(message.Text), currency)
				if err != nil {
					return page, err
				}
				if pending := i == 1; pending {
					report.Balances = nil
				}
				add(report.Entries, report.Balances, i == 1)
			}
		}
	}
	for _, s := range r.All("HIKAZ") {
		for i := range 2 {
			report, err := mt940.Read(s.Get(i, 0), currency)
			if err != nil {
				return page, err
			}
			if pending := i == 1; pending {
				report.Balances = nil
			}
			add(report.Entries, report.Balances, i == 1)
		}
	}
	return page, nil
}

// last completes the last page.
func (t *talk) last(page providers.Page, at cursor) providers.Page {
	at.see(page.Entries)
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

// see keeps the day of the oldest booked entry.
func (c *cursor) see(entries []providers.Entry) {
	for i := range entries {
		if e := &entries[i]; !e.Pending && !e.BookingDate.IsZero() && (c.Oldest.IsZero() || e.BookingDate < c.Oldest) {
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
	t.dialog.Kept, t.dirty = &kept{Key: key, Gzip: packed.Bytes()}, true
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
	r := &reply{Message: &syntax.Message{Segments: segments}}
	for i := range segments {
		if s := &segments[i]; s.Name == "HIRMG" || s.Name == "HIRMS" {
			r.feedback = append(r.feedback, readFeedback(s)...)
		}
	}
	return r, nil
}
