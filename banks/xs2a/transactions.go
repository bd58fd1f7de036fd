package xs2a

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/formats/camt"
	"github.com/kontoflow/kontoflow/banks/formats/mt940"
)

const readTransactions = "read the transactions"

// transactions reads one page. A file that the bank offers for download is read along with its
// link.
func (t *talk) transactions(ctx context.Context, account banks.Account, window banks.Window, from string) (banks.Page, error) {
	if err := t.ready(); err != nil {
		return banks.Page{}, err
	}
	if from != "" {
		return t.later(ctx, account, from)
	}
	at := cursor{From: window.From, To: window.To, Both: t.dialect.bookingStatus == "" && !t.lasting.BookedOnly, Closed: !window.To.IsZero()}
	t.bound(&at)
	return t.begin(ctx, account, at)
}

// later reads a page that an earlier one has named. That it is not there says nothing about the
// account.
func (t *talk) later(ctx context.Context, account banks.Account, from string) (banks.Page, error) {
	_, there := t.customer()
	t.counted = !there // the pages before this one would be read again with it
	at, err := readCursor(from)
	if err != nil {
		return banks.Page{}, err
	}
	u, err := t.bank.resolve(at.Link)
	if err != nil {
		return banks.Page{}, nonsense(readTransactions, err.Error())
	}
	lasting, dialog, dirty, left := t.lasting, t.dialog, t.dirty, t.conv.Left
	page, err := t.page(ctx, account, at, u)
	if err == nil {
		return page, nil
	}
	if at.Optional && ctx.Err() == nil {
		t.lasting, t.dialog, t.dirty, t.conv.Left = lasting, dialog, dirty, left
		t.options.Logger.WarnContext(ctx, "the file beside an empty list cannot be read", "error", err)
		return t.last(banks.Page{}, at), nil
	}
	r, refused := asRefusal(err)
	if refused && r.fault.Kind == banks.Gone && r.fault.Code == banks.CodeAccountGone {
		r.fault.Kind, r.fault.Code = banks.Transient, banks.CodeTemporary
		if at.File {
			r.fault.Kind, r.fault.Code = banks.Rejected, banks.CodeBankCannot
		}
	}
	return page, err
}

// handle is the bank's present handle of an account; "" where it has none, or where several
// accounts share number and currency: which of them it is cannot be told here.
func (t *talk) handle(ctx context.Context, account banks.Account) (string, error) {
	list := "accounts"
	if account.Card {
		list = "card-accounts"
	}
	all, err := t.list(ctx, list, false)
	if err != nil {
		return "", t.judgeRead(ctx, aboutNothing, err)
	}
	found := ""
	for i := range all {
		now, _ := all[i].account()
		same := now.IBAN == account.IBAN
		if now.IBAN == "" || account.IBAN == "" {
			same = now.Number != "" && now.Number == account.Number
		}
		switch {
		case !same || now.Currency != account.Currency:
		case found != "" && found != now.ResourceID:
			return "", nil
		default:
			found = now.ResourceID
		}
	}
	return found, nil
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
	at.From = banks.LadderStart(today, at.From, t.lasting.HistoryDays)
	at.From = min(at.From, at.To)
}

func (t *talk) firstPage(account banks.Account, at cursor) *url.URL {
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
func (t *talk) page(ctx context.Context, account banks.Account, at cursor, u *url.URL) (banks.Page, error) {
	c := call{doing: readTransactions, url: u, of: aboutAccount, accept: cmp.Or(t.dialect.accept, acceptBoth), limit: maxReport}
	if account.Card {
		c.accept = acceptJSON
	}
	t.reading(&c)
	r, err := t.send(ctx, c)
	for _, one := range []string{acceptJSON, acceptXML, acceptText} { // some banks want to hear of one type only
		if refused, ok := asRefusal(err); !ok || refused.status != http.StatusNotAcceptable || t.dialect.accept != "" || account.Card {
			break
		}
		c.accept, c.requestID = one, ""
		r, err = t.send(ctx, c)
	}
	if err != nil {
		return banks.Page{}, t.judgeRead(ctx, aboutAccount, err)
	}
	defer r.body.Close()
	said, err := readStatement(r, account)
	if err != nil {
		return banks.Page{}, unreadable(readTransactions, err)
	}
	if said.withheld == banks.NoList {
		if err := t.complained(&said.complaint); err != nil {
			return banks.Page{}, t.judgeRead(ctx, aboutAccount, err)
		}
	}
	t.date(said.entries)
	page := banks.Page{Entries: said.entries, Balances: said.balances, Unreadable: said.unreadable}
	return t.proceed(page, said, at, u)
}

// date gives booked entries a date that have none whatever: today.
func (t *talk) date(entries []banks.Entry) {
	for i := range entries {
		if e := &entries[i]; e.BookingDate.IsZero() && !e.Pending {
			e.BookingDate = cmp.Or(e.ValueDate, t.today())
		}
	}
}

// proceed finds out where the next page is, and what the pages so far cover.
func (t *talk) proceed(page banks.Page, said *report, at cursor, u *url.URL) (banks.Page, error) {
	at.see(page.Entries)
	at.visit(u)
	file := !said.booked || len(said.entries) == 0 // with entries in the page the file only repeats them
	if link := said.download; link != "" && file && !at.File {
		next, err := t.nextPage(u, link)
		if err != nil && !said.booked {
			return banks.Page{}, nonsense(readTransactions, "download: "+err.Error())
		}
		if err == nil && !at.visited(next) {
			at.File, at.Optional, at.Pending = true, said.booked, at.Pending || said.pending
			return at.to(page, next)
		}
	}
	at.Pending = at.Pending || said.pending
	at.withhold(said.withheld)
	if said.next == "" {
		return t.last(page, at), nil
	}
	next, err := t.nextPage(u, said.next)
	if err != nil {
		return banks.Page{}, nonsense(readTransactions, "next page: "+err.Error())
	}
	if at.visited(next) { // the pages go in a circle: what they hold is not all that the bank has, as it says itself
		if !at.Rows {
			return banks.Page{}, nonsense(readTransactions, "the pages lead in a circle, and hold nothing")
		}
		at.withhold(banks.Partial)
		return t.last(page, at), nil
	}
	at.Optional = false
	return at.to(page, next)
}

// nextPage resolves a link to another page of the one at page. A link that says no more than what
// differs counts from there (RFC 3986, section 5); every other one is a link as all others.
func (t *talk) nextPage(page *url.URL, href string) (*url.URL, error) {
	href = strings.TrimSpace(href)
	for _, differs := range []string{"?", "./", "../", "transactions?", "transactions/"} {
		if !strings.HasPrefix(href, differs) {
			continue
		}
		link, err := page.Parse(href)
		if err != nil {
			return nil, errors.New("link cannot be read")
		}
		return t.bank.resolve(link.String())
	}
	return t.bank.resolve(href)
}

// last completes the last page. Only a list covers anything: see docs/reading.md.
func (t *talk) last(page banks.Page, at cursor) banks.Page {
	at.see(page.Entries)
	page.Withheld = at.Withheld
	if at.Withheld != "" {
		return page
	}
	page.PendingCovered = at.Both && at.Pending
	page.Covered = banks.Window{From: at.From, To: at.To}
	// A bank that goes back less far than it was asked for says nothing about it. What it shows to
	// everybody was covered; before that, only as far back as its oldest entry.
	if sure := t.today().AddDays(1 - banks.DaysWithoutSCA); at.From < sure {
		page.Covered.From = min(sure, at.To)
		if !at.Oldest.IsZero() && at.Oldest < page.Covered.From {
			page.Covered.From = max(at.From, at.Oldest)
		}
	}
	return page
}

// complained makes an error of what the bank says in place of a list, with status 200, where it has
// a code that is known. Without one, the answer is no list and nothing else.
func (t *talk) complained(said *complaint) error {
	code := said.code()
	status := map[string]int{"INTERNAL_SERVER_ERROR": http.StatusInternalServerError, "SERVICE_UNAVAILABLE": http.StatusServiceUnavailable}[code]
	v, known := byCode[code]
	if status == 0 {
		if !known {
			return nil
		}
		status = http.StatusBadRequest
		switch v.kind {
		case banks.NeedsAuthorization, banks.WrongCredentials:
			status = http.StatusUnauthorized
		case banks.NeedsUser:
			status = http.StatusForbidden
		case banks.Gone:
			status = http.StatusNotFound
		case banks.LimitExceeded:
			status = http.StatusTooManyRequests
		}
	}
	words := said.words()
	v = judge(refused{status: status, code: code, words: words, of: aboutAccount})
	return &refusal{
		fault: &banks.Error{Kind: v.kind, Code: v.code, Message: words,
			Err: errors.New(readTransactions + ": the bank answered 200 " + code)},
		status: status, code: code, links: said.Links, said: words,
	}
}

// readStatement reads a page in whatever format it is. The content decides, for media types are
// often wrong.
func readStatement(r *reply, account banks.Account) (*report, error) {
	if r.status == http.StatusNoContent {
		return &report{booked: true, pending: true}, nil
	}
	body := bufio.NewReaderSize(r.body, sniffed)
	start, err := body.Peek(sniffed)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return nil, err
	}
	switch formatOf(start, r.media) {
	case formatXML:
		return readXML(body, start, account.Currency)
	case formatMT940:
		return readText(body, account.Currency)
	case formatJSON:
		own := account.IBAN
		if own == "" {
			own = account.Number
		}
		return readReport(body, account.Currency, own)
	}
	return nil, banks.OwnError("neither JSON nor camt nor MT940")
}

// sniffed is how much of an answer is looked at to tell its format, in bytes.
const sniffed = 4 << 10

type format int

const (
	formatUnknown format = iota
	formatJSON
	formatXML
	formatMT940
)

// formatOf tells the format of an answer from its beginning, behind a byte order mark and blank
// lines; and from the media type where that says nothing.
func formatOf(start []byte, media string) format {
	if bytes.HasPrefix(start, []byte("\xFF\xFE<\x00")) || bytes.HasPrefix(start, []byte("\xFE\xFF\x00<")) {
		return formatXML // UTF-16
	}
	text := bytes.TrimLeft(bytes.TrimPrefix(start, []byte(byteOrderMark)), " \t\r\n")
	switch {
	case bytes.HasPrefix(text, []byte("{1:")), isField(text):
		return formatMT940
	case len(text) > 0 && text[0] == '<':
		return formatXML
	case len(text) == 0, text[0] == '{', text[0] == '[', string(text) == "null":
		return formatJSON // nothing at all reads as no list
	case bytes.Contains(text, []byte("\n:20:")):
		return formatMT940
	case isJSON(media, text):
		return formatJSON
	case isXML(media):
		return formatXML
	}
	return formatUnknown
}

// isField reports whether a text begins with a field of SWIFT (":20:"), which a hyphen of the
// statement before may precede.
func isField(text []byte) bool {
	text = bytes.TrimLeft(text, "-\r\n ")
	return len(text) > 3 && text[0] == ':' && isDigits(string(text[1:3])) && bytes.IndexByte(text[3:min(len(text), 5)], ':') >= 0
}

// readXML reads a camt message, which is a list of its own, be it empty. An account report
// (camt.052) holds pending entries as well, a statement (camt.053) only booked ones.
func readXML(body io.Reader, start []byte, currency string) (*report, error) {
	reports := bytes.Contains(start, []byte("BkToCstmrAcctRpt")) || bytes.Contains(start, []byte("camt.052"))
	statements, err := camt.Read(body, currency)
	if err != nil {
		return nil, err
	}
	return &report{entries: statements.Entries, balances: statements.Balances, unreadable: statements.Unreadable,
		booked: true, pending: reports}, nil
}

// readText reads MT940, and MT942 where the bank sends that as well, for what is pending.
func readText(body io.Reader, currency string) (*report, error) {
	var file strings.Builder
	if _, err := io.Copy(&file, body); err != nil {
		return nil, err
	}
	booked, pending := splitInterim(strings.TrimPrefix(file.String(), byteOrderMark))
	r := &report{}
	for _, part := range []struct {
		text    string
		pending bool
	}{{booked, false}, {pending, true}} {
		if strings.TrimSpace(part.text) == "" {
			continue
		}
		statements, err := mt940.Read(part.text, currency)
		if err != nil {
			return nil, err
		}
		r.unreadable.Merge(statements.Unreadable)
		if !part.pending {
			r.booked = true
			r.entries, r.balances = statements.Entries, statements.Balances
			continue
		}
		r.pending = true
		for _, e := range statements.Entries {
			e.Pending = true
			r.entries = append(r.entries, e)
		}
	}
	if !r.booked {
		r.withheld = banks.NoList
	}
	return r, nil
}

// splitInterim separates MT942 messages, which have a floor limit (field 34F) before their
// entries, from the MT940 statements around them. Before a field may stand what ends the message
// before it, and blanks.
func splitInterim(file string) (booked, pending string) {
	if !strings.Contains(file, ":34F:") {
		return file, ""
	}
	var parts [2]strings.Builder
	which, header, start, at := 0, true, 0, 0
	for line := range strings.Lines(file) {
		field := strings.TrimLeft(line, "-\uFEFF \t\r\x00\x01\x02\x03")
		switch {
		case strings.HasPrefix(field, ":20:") && mt940.BeginsStatement(file, at+len(line)-len(field)):
			parts[which].WriteString(file[start:at])
			which, header, start = 0, true, at
		case strings.HasPrefix(field, ":61:"):
			header = false
		case header && strings.HasPrefix(field, ":34F:"):
			which = 1
		}
		at += len(line)
	}
	parts[which].WriteString(file[start:])
	return parts[0].String(), parts[1].String()
}
