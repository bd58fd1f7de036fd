package fints

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/fints/syntax"
	"github.com/kontoflow/kontoflow/banks/formats/camt"
	"github.com/kontoflow/kontoflow/banks/formats/mt940"
	"github.com/kontoflow/kontoflow/internal/civil"
)

const (
	maxPages  = 10_000
	maxPoints = 100 // touchdown points that wait for their turn
	// maxPoint bounds a touchdown point, in bytes. The specification has 35.
	maxPoint = 1024
	// maxRest bounds the beginning of a statement that waits for its end.
	maxRest = 256 << 10
)

// cursor is our place between two pages.
type cursor struct {
	Order    string     `json:"order"`
	From     civil.Date `json:"from,omitempty"`
	To       civil.Date `json:"to,omitempty"`        // zero: the caller left it open
	NoPeriod bool       `json:"no_period,omitempty"` // the bank takes no days, and sends what it likes
	Page     int        `json:"page,omitempty"`
	Oldest   civil.Date `json:"oldest,omitempty"` // booked entry seen so far

	// Touchdown is where the bank goes on (Aufsetzpunkt), in the dialog in which it said so and in
	// no other ("Formals", section B.6.3). In another one all is read again from the beginning, and
	// what was counted left out.
	Touchdown string `json:"touchdown,omitempty"`
	Dialog    string `json:"dialog,omitempty"`
	Booked    int    `json:"booked,omitempty"`
	Pending   int    `json:"pending,omitempty"`
	// More are further points that the bank named, after Touchdown.
	More []string `json:"more,omitempty"`
	// Rest are the beginnings of an MT940 and an MT942 statement that end on the next page.
	Rest [2][]byte `json:"rest,omitzero"`
	// Withheld says why the answers so far do not cover the booked entries, PendingWithheld why not
	// the pending ones.
	Withheld        banks.Withheld `json:"withheld,omitempty"`
	PendingWithheld banks.Withheld `json:"pending_withheld,omitempty"`
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
	if err != nil || !slices.Contains(statementOrders, c.Order) {
		return c, misconfigured(errors.New("the cursor cannot be read"))
	}
	return c, nil
}

// statementOrders are the orders for statements: of cards, as camt messages, as MT940 and MT942.
var statementOrders = []string{"HKKKU", "DKKKU", "HKCAZ", "HKKAZ"}

// transactions reads one page: camt where the bank has it (HKCAZ), else MT940 and MT942 (HKKAZ); of
// cards by their own orders.
func (t *talk) transactions(ctx context.Context, account banks.Account, window banks.Window, from string) (banks.Page, error) {
	if err := t.ready(ctx); err != nil {
		return banks.Page{}, err
	}
	a := t.account(account)
	if a == nil {
		return banks.Page{}, &banks.Error{Kind: banks.Gone, Code: banks.CodeAccountGone, Err: errors.New("the account is not among the customer's")}
	}
	if from != "" {
		at, err := readCursor(from)
		if err != nil {
			return banks.Page{}, err
		}
		return t.page(ctx, a, at)
	}
	orders := t.statementOrders(a)
	if len(orders) == 0 {
		return banks.Page{}, &banks.Error{Kind: banks.Rejected, Code: banks.CodeAccountNotOnline, Err: errors.New("the bank gives no statements of the account")}
	}
	if k := t.dialog.Kept; k != nil { // the answer came with the TAN: it answers the order that was asked then
		if i := slices.IndexFunc(orders, func(order string) bool { return strings.HasPrefix(k.Key, order+" ") }); i > 0 {
			orders = orders[i:]
		}
	}
	return t.firstPage(ctx, a, orders, window)
}

// statementOrders are the orders for statements of the account, the better one first. One that the
// bank refused again and again for the account comes last.
func (t *talk) statementOrders(a *userAccount) (orders []string) {
	depot := a.kind() == banks.Depot
	for _, order := range statementOrders {
		if t.lasting.Bank.version(order) == 0 || !a.allows(order) {
			continue
		}
		listed := slices.Contains(a.Orders, order)
		switch order {
		case "HKKKU", "DKKKU": // for accounts of which the bank does not say what is allowed, their kind has to
			if !listed && a.kind() != banks.CreditCard {
				continue
			}
		case "HKCAZ":
			if a.IBAN == "" && (!listed || a.allows("HKKAZ") && t.lasting.Bank.version("HKKAZ") > 0) {
				continue
			}
		}
		if depot && !listed {
			continue
		}
		orders = append(orders, order)
	}
	refused := t.learnt().Refused
	slices.SortStableFunc(orders, func(one, other string) int {
		hopeless := func(order string) int { return min(1, refused[formKey(order, a)]/hopelessAfter) }
		return hopeless(one) - hopeless(other)
	})
	return orders
}

// hopelessAfter is in how many synchronizations in a row a bank refuses an order for an account
// before the other order is asked first.
const hopelessAfter = 2

// first is the place before the first page. The window is cut to what the bank keeps, as far as it
// says or has shown.
func (t *talk) first(order string, window banks.Window) cursor {
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
	reach := t.learnt().Reach[order]
	at.From = banks.LadderStart(today, at.From, reach)
	if !t.conv.Interactive && t.needsTAN(order) {
		// For more the bank may want a TAN, and would send it to a customer who is not there.
		at.From = max(at.From, today.AddDays(1-banks.DaysWithoutSCA))
	}
	if !at.To.IsZero() {
		at.From = min(at.From, at.To)
	}
	if reach == noPeriod || order == "HKKKU" && t.lasting.Bank.Cards.NoPeriod {
		at.From, at.To, at.NoPeriod = 0, 0, true
	}
	return at
}

// page reads the page at a place. Where the dialog that the place belongs to is over, everything is
// read again, and what came before the place is left out: the bank sends entries in their order,
// oldest first ("Formals", section B.6.3).
func (t *talk) page(ctx context.Context, a *userAccount, at cursor) (banks.Page, error) {
	here := at
	for afresh := false; ; {
		if here.Touchdown != "" && here.Dialog != t.dialog.ID {
			if afresh {
				return banks.Page{}, &banks.Error{Kind: banks.Transient, Code: banks.CodeTemporary,
					Err: errors.New("read the transactions: the bank ends the dialog again and again")}
			}
			afresh = true
			here = cursor{Order: at.Order, From: at.From, To: at.To, NoPeriod: at.NoPeriod}
		}
		page, next, err := t.fetch(ctx, a, here)
		if errors.Is(err, errDialogOver) {
			continue
		}
		if err != nil {
			return banks.Page{}, err
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
func without(entries []banks.Entry, booked, pending int) []banks.Entry {
	if booked <= 0 && pending <= 0 {
		return entries
	}
	return slices.DeleteFunc(entries, func(e banks.Entry) bool {
		left := &booked
		if e.Pending {
			left = &pending
		}
		*left--
		return *left >= 0
	})
}

// fetch asks the bank for the page at a place, and finds the next place; the last page's has no
// touchdown point.
func (t *talk) fetch(ctx context.Context, a *userAccount, at cursor) (page banks.Page, next cursor, err error) {
	const doing = "read the transactions"
	key := strings.Join([]string{at.Order, a.handle(), at.Touchdown}, " ")
	r, err := t.askAbout(ctx, doing, key, at.Order, a, at.Touchdown != "", func(version int, account syntax.Element) syntax.Segment {
		return t.statementOrder(a, at, version, account)
	})
	if err != nil {
		return page, at, err
	}
	covers := r.covers()
	next = at
	if err := next.goOn(covers.points, r.dialog); err != nil {
		return page, at, nonsense(doing, err.Error())
	}
	page, list, err := readStatements(ctx, r, &next, cmp.Or(a.Currency, "EUR"), t.today())
	if err != nil {
		return page, at, unreadable(ctx, doing, err)
	}
	booked, pending := covers.withheld(list, len(page.Entries))
	next.Withheld, next.PendingWithheld = cmp.Or(next.Withheld, booked), cmp.Or(next.PendingWithheld, pending)
	next.see(page.Entries)
	return page, next, nil
}

// unreadable classifies what kept an answer from being read. A statement that cannot be read is not
// an empty one.
func unreadable(ctx context.Context, doing string, err error) error {
	if ctx.Err() != nil {
		return &banks.Error{Kind: banks.Transient, Code: banks.CodeTemporary, Err: fmt.Errorf("%s: %w", doing, ctx.Err())}
	}
	return &banks.Error{Kind: banks.Rejected, Code: banks.CodeBankCannot, Err: fmt.Errorf("%s: %w", doing, err)}
}

// statementOrder makes the order for the page at a place.
func (t *talk) statementOrder(a *userAccount, at cursor, version int, account syntax.Element) syntax.Segment {
	order := syntax.New(at.Order, version)
	switch {
	case at.Order == "HKCAZ":
		order.Elements = []syntax.Element{account, syntax.Text(t.camtFormat()), syntax.Flag(false)}
	case at.Order == "HKKAZ" && version < 5: // the currency stands where later versions have "all accounts"
		order.Elements = []syntax.Element{account, syntax.Empty()}
	case at.Order == "HKKAZ":
		order.Elements = []syntax.Element{account, syntax.Flag(false)}
	case at.Order == "DKKKU":
		order.Elements = []syntax.Element{a.national(version + 3), syntax.Text(a.Number), syntax.Text(a.Sub)}
	case t.lasting.Bank.Cards.WithAccount:
		order.Elements = []syntax.Element{a.international(wholeForm), syntax.Text(a.Number), syntax.Text(a.Sub)}
	default:
		order.Elements = []syntax.Element{syntax.Empty(), syntax.Text(a.Number), syntax.Text(a.Sub)}
	}
	order.Elements = append(order.Elements, syntax.Text(fintsDay(at.From)), syntax.Text(fintsDay(at.To)), syntax.Empty(), syntax.Text(at.Touchdown))
	return order
}

var (
	errPages  = errors.New("the pages never end")
	errPoints = errors.New("the touchdown points exceed their bounds")
)

// goOn moves to the next page: to the point that the bank named, else to one that it named before.
func (c *cursor) goOn(points []string, dialog string) error {
	asked := c.Touchdown
	c.Dialog, c.Touchdown = dialog, ""
	c.Page++
	more := slices.Clone(points)
	for _, point := range c.More {
		if !slices.Contains(more, point) {
			more = append(more, point)
		}
	}
	if len(more) > maxPoints || slices.ContainsFunc(more, func(point string) bool { return len(point) > maxPoint }) {
		return errPoints
	}
	if len(more) > 0 {
		c.Touchdown, c.More = more[0], more[1:]
	}
	if c.Touchdown != "" && (c.Touchdown == asked || c.Page > maxPages) {
		return errPages
	}
	return nil
}

// camtVersion finds family and version in the name of a camt format, however it is written.
var camtVersion = regexp.MustCompile(`(?i)camt\.?(05[234])\.?001\.?([0-9]{2})`)

// camtFormat is the best format of HKCAZ that the bank offers, as the bank writes it: version 08 of
// the account report, else 02, else its highest, else another report, else the bank's first.
func (t *talk) camtFormat() string {
	best, rank := "urn:iso:std:iso:20022:tech:xsd:camt.052.001.08", 0
	for i, format := range t.lasting.Bank.Camt {
		r := 1
		if m := camtVersion.FindStringSubmatch(format); m != nil {
			switch {
			case m[1] == "052" && m[2] == "08":
				r = 1000
			case m[1] == "052" && m[2] == "02":
				r = 900
			case m[1] == "052":
				r = 500 + number(m[2])
			default:
				r = 100 + number(m[2])
			}
		}
		if i == 0 || r > rank {
			best, rank = format, r
		}
	}
	return best
}

// number reads digits that a pattern has found.
func number(digits string) (n int) {
	for _, c := range digits {
		n = n*10 + int(c-'0')
	}
	return n
}

// readStatements reads HICAZ (booked entries as several camt messages, pending ones as one), HIKAZ
// (MT940 and MT942) and the statements of cards. list reports whether there was any of them, even
// an empty one. The bank may cut MT940 wherever it likes: a statement that does not end here while
// there is more is the rest that the next page begins with.
func readStatements(ctx context.Context, r *reply, next *cursor, currency string, today civil.Date) (page banks.Page, list bool, err error) {
	page, list, err = readCards(ctx, r, currency, today)
	if err != nil {
		return page, false, err
	}
	add := func(entries []banks.Entry, balances []banks.Balance, left banks.Unreadable, pending bool) {
		page.Unreadable.Merge(left)
		if pending {
			for i := range entries {
				entries[i].Pending = true
			}
		} else {
			page.Balances = append(page.Balances, balances...)
		}
		page.Entries = append(page.Entries, entries...)
	}
	for _, s := range r.All("HICAZ") {
		list = true
		for i, messages := range [][]syntax.Value{s.At(2), s.At(3)} {
			for _, message := range messages {
				if err := ctx.Err(); err != nil {
					return page, false, err
				}
				if strings.TrimSpace(message.Text) == "" {
					continue
				}
				report, err := camt.Read(strings.NewReader(message.Text), currency)
				if err != nil {
					return page, false, err
				}
				add(report.Entries, report.Balances, report.Unreadable, i == 1)
			}
		}
	}
	segments := r.All("HIKAZ")
	list = list || len(segments) > 0
	for i := range next.Rest {
		if err := ctx.Err(); err != nil {
			return page, false, err
		}
		parts := []string{string(next.Rest[i])}
		for _, s := range segments {
			parts = append(parts, s.Get(i, 0))
		}
		file := mt940.Join(parts...)
		next.Rest[i] = nil
		if next.Touchdown != "" {
			if whole, begun := mt940.Complete(file); len(begun) <= maxRest { // else nobody cut it: it is one large statement after the other
				file, next.Rest[i] = whole, []byte(begun)
			}
		}
		report, err := mt940.Read(file, currency)
		if err != nil {
			return page, false, err
		}
		add(report.Entries, report.Balances, report.Unreadable, i == 1)
	}
	return page, list, nil
}

// last completes the last page.
func (t *talk) last(page banks.Page, at cursor) banks.Page {
	page.Withheld = cmp.Or(at.Withheld, at.PendingWithheld)
	page.PendingCovered = page.Withheld == ""
	if at.Withheld != "" {
		return page
	}
	today := t.today()
	page.Covered = banks.Window{From: at.From, To: at.To}
	if at.To.IsZero() {
		page.Covered.To = today
	}
	switch {
	case at.NoPeriod: // what the bank left out is not known
		page.Covered.From = page.Covered.To
		if !at.Oldest.IsZero() {
			page.Covered.From = min(page.Covered.From, at.Oldest)
		}
	case at.From.IsZero():
		// The bank keeps as much as it likes, and does not say how much. What it shows to everybody
		// was covered; before that, only as far back as its oldest entry.
		page.Covered.From = min(today.AddDays(1-banks.DaysWithoutSCA), page.Covered.To)
		if !at.Oldest.IsZero() {
			page.Covered.From = min(page.Covered.From, at.Oldest)
		}
	}
	return page
}

// see counts entries, and keeps the day of the oldest booked one.
func (c *cursor) see(entries []banks.Entry) {
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
