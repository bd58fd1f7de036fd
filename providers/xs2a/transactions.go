package xs2a

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"kontoflow/plain"
	"kontoflow/providers"
	"kontoflow/providers/camt"
)

const (
	maxPages = 10_000
	// farBack is how far a read without a beginning asks, in days: dateFrom is mandatory, and no bank goes back further.
	farBack = 20 * 366
)

// cursor is our place between two pages.
type cursor struct {
	Link   string     `json:"link"`
	From   plain.Date `json:"from"`
	To     plain.Date `json:"to"`
	Page   int        `json:"page"`
	Both   bool       `json:"both,omitempty"`   // pending entries were asked for
	Closed bool       `json:"closed,omitempty"` // the caller named the end of the window
	Oldest plain.Date `json:"oldest,omitempty"` // booked entry seen so far
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
	if err != nil {
		return c, misconfigured(errors.New("the cursor cannot be read"))
	}
	return c, nil
}

// transactions reads one page. A file that the bank offers for download is read along with its link.
func (t *talk) transactions(ctx context.Context, account providers.Account, window providers.Window, from string) (providers.Page, error) {
	if err := t.ready(); err != nil {
		return providers.Page{}, err
	}
	if from != "" {
		_, there := t.customer()
		t.counted = !there // the pages before this one would be read again with it
		at, err := readCursor(from)
		if err != nil {
			return providers.Page{}, err
		}
		u, err := t.bank.resolve(at.Link)
		if err != nil {
			return providers.Page{}, nonsense("read the transactions", err.Error())
		}
		return t.page(ctx, account, at, u)
	}
	at := cursor{From: window.From, To: window.To, Both: t.dialect.bookingStatus == "", Closed: !window.To.IsZero()}
	t.bound(&at)
	page, err := t.begin(ctx, account, at)
	if r, refused := asRefusal(err); refused && r.fault.Kind == providers.Gone && r.fault.Code == providers.CodeAccountGone {
		// A new consent has given the account a new handle since the accounts were listed.
		var renamed string
		if renamed, err = t.handle(ctx, account); err != nil {
			return page, err
		}
		if renamed == "" || renamed == account.ResourceID {
			return page, r
		}
		account.ResourceID = renamed
		page, err = t.begin(ctx, account, at)
	}
	return page, err
}

// begin reads the first page, and asks for less where the bank refuses what was asked for.
func (t *talk) begin(ctx context.Context, account providers.Account, at cursor) (providers.Page, error) {
	lasting, dialog := t.lasting, t.dialog
	page, err := t.page(ctx, account, at, t.firstPage(account, at))
	r, refused := asRefusal(err)
	if refused && at.Both && r.status == http.StatusBadRequest &&
		(r.code == "PARAMETER_NOT_SUPPORTED" || r.code == "SERVICE_INVALID" || r.code == "FORMAT_ERROR") {
		// "booked" is all that has to be supported (OpenAPI file 1.3.11, bookingStatus).
		at.Both = false
		page, err = t.page(ctx, account, at, t.firstPage(account, at))
		r, refused = asRefusal(err)
	}
	// Without the customer, a bank that wants him for more is asked for what it has to show without.
	wanted := refused && !t.conv.Interactive && r.status == http.StatusUnauthorized && !tokenRefused(r) && r.code != "CONSENT_EXPIRED"
	shortest := t.today().AddDays(1 - providers.DaysWithoutSCA)
	if refused && (wanted || r.code == "PERIOD_INVALID") && at.From < shortest && at.To >= shortest {
		t.lasting, t.dialog = lasting, dialog
		at.From = shortest
		page, err = t.page(ctx, account, at, t.firstPage(account, at))
	}
	return page, err
}

// handle is the bank's present handle of an account; "" where it has none.
func (t *talk) handle(ctx context.Context, account providers.Account) (string, error) {
	list := "accounts"
	if account.Card {
		list = "card-accounts"
	}
	all, err := t.list(ctx, list, false)
	if err != nil {
		return "", err
	}
	for i := range all {
		now := all[i].account()
		same := now.IBAN == account.IBAN
		if now.IBAN == "" || account.IBAN == "" {
			same = now.Number != "" && now.Number == account.Number
		}
		if same && now.Currency == account.Currency {
			return now.ResourceID, nil
		}
	}
	return "", nil
}

// bound fills the open ends of the window with what the bank is asked for.
func (t *talk) bound(at *cursor) {
	today := t.today()
	if at.To.IsZero() || at.To > today {
		at.To, at.Closed = today, false
	}
	back := farBack
	if limit := t.conv.Connection.HistoryDays; limit > 0 {
		back = min(back, limit)
	}
	at.From = max(at.From, today.AddDays(-back))
	at.From = min(at.From, at.To)
}

func (t *talk) firstPage(account providers.Account, at cursor) *url.URL {
	list := "accounts"
	if account.Card {
		list = "card-accounts"
	}
	u := t.bank.path("v1", list, url.PathEscape(account.ResourceID), "transactions")
	query := url.Values{"dateFrom": {at.From.String()}}
	if at.Closed {
		query.Set("dateTo", at.To.String())
	}
	query.Set("bookingStatus", cmp.Or(t.dialect.bookingStatus, "booked"))
	if at.Both {
		query.Set("bookingStatus", "both")
	}
	u.RawQuery = query.Encode()
	return u
}

// page reads the page at u.
func (t *talk) page(ctx context.Context, account providers.Account, at cursor, u *url.URL) (providers.Page, error) {
	const doing = "read the transactions"
	c := call{doing: doing, url: u, of: aboutAccount, accept: cmp.Or(t.dialect.accept, acceptBoth), limit: maxReport}
	if account.Card {
		c.accept = acceptJSON
	}
	t.reading(&c)
	r, err := t.send(ctx, c)
	for _, one := range []string{acceptJSON, acceptXML} { // some banks want to hear of one type only
		if refused, ok := asRefusal(err); !ok || refused.status != http.StatusNotAcceptable || t.dialect.accept != "" || account.Card {
			break
		}
		c.accept, c.requestID = one, ""
		r, err = t.send(ctx, c)
	}
	if err != nil {
		return providers.Page{}, t.judgeRead(ctx, aboutAccount, err)
	}
	defer r.body.Close()
	var page providers.Page
	if r.status == http.StatusNoContent {
		return t.last(page, at), nil
	}
	if isXML(r.media) {
		statements, err := camt.Read(r.body, account.Currency)
		if err != nil {
			return providers.Page{}, unreadable(doing, err)
		}
		page.Entries, page.Balances = statements.Entries, statements.Balances
		return t.last(page, at), nil
	}
	body := io.Reader(r.body)
	if !strings.HasSuffix(r.media, "json") {
		var start [512]byte
		n, err := io.ReadFull(r.body, start[:])
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			return providers.Page{}, unreadable(doing, err)
		}
		if !isJSON(r.media, start[:n]) {
			return providers.Page{}, unreadable(doing, providers.OwnError("neither JSON nor XML"))
		}
		body = io.MultiReader(bytes.NewReader(start[:n]), r.body)
	}
	said, err := readReport(body, account.Currency)
	if err != nil {
		return providers.Page{}, unreadable(doing, err)
	}
	page.Entries, page.Balances = said.entries, said.balances
	at.see(page.Entries)
	switch {
	case said.download != "":
		download, err := t.bank.resolve(said.download)
		if err != nil || at.Page >= maxPages || download.RequestURI() == u.RequestURI() {
			return providers.Page{}, nonsense(doing, "the download link leads nowhere")
		}
		at.Link, at.Page = download.RequestURI(), at.Page+1
		page.Next = at.String()
	case said.next != "":
		next, err := t.bank.resolve(said.next)
		if err != nil {
			return providers.Page{}, nonsense(doing, "next page: "+err.Error())
		}
		if at.Page >= maxPages || next.RequestURI() == u.RequestURI() {
			return providers.Page{}, nonsense(doing, "the pages never end")
		}
		at.Link, at.Page = next.RequestURI(), at.Page+1
		page.Next = at.String()
	default:
		return t.last(page, at), nil
	}
	return page, nil
}

// last completes the last page. Pending entries are complete where they were asked for: a list that is not there is
// empty.
func (t *talk) last(page providers.Page, at cursor) providers.Page {
	at.see(page.Entries)
	page.PendingCovered = at.Both
	page.Covered = providers.Window{From: at.From, To: at.To}
	// A bank that goes back less far than it was asked for says nothing about it. What it shows to everybody was
	// covered; before that, only as far back as its oldest entry.
	if sure := t.today().AddDays(1 - providers.DaysWithoutSCA); at.From < sure {
		page.Covered.From = min(sure, at.To)
		if !at.Oldest.IsZero() && at.Oldest < page.Covered.From {
			page.Covered.From = max(at.From, at.Oldest)
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
