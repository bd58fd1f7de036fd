package xs2a

import (
	"context"
	"net/http"
	"strings"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/civil"
)

// A beginning is the search for a first page that the bank gives: of the right account, for a
// period that it accepts, and with pending entries if it has them.
type beginning struct {
	*talk
	account banks.Account
	at      cursor
	ladder  *banks.Ladder

	pending bool // entries are wanted that are pending
	refused bool // booked entries alone were refused as well, for the whole period
	moved   bool // the account's handle was looked up
	before  func()
}

// begin reads the first page, and asks for less where the bank refuses what was asked for.
func (t *talk) begin(ctx context.Context, account banks.Account, at cursor) (banks.Page, error) {
	b := &beginning{talk: t, account: account, at: at, pending: at.Both,
		ladder: banks.NewLadder(t.today(), at.From, !t.conv.Interactive)}
	page, r, err := b.ask(ctx)
	if r == nil {
		return page, err
	}
	what := b.objection(r)
	if b.at.Both && (what == toStatus || what == toEither && b.brief()) {
		// "booked" is all that has to be supported (OpenAPI file 1.3.11, bookingStatus).
		if page, r, err = b.askBooked(ctx); r == nil {
			return page, err
		}
		what = b.objection(r)
	}
	for what != toNothing && b.ladder.Down(r.said) && b.ladder.From() <= b.at.To {
		b.again()
		b.at.From = b.ladder.From()
		b.at.Both = b.at.Both && what == toPeriod // where the bank does not say which, ask for less of both
		if page, r, err = b.ask(ctx); r == nil {
			return b.climb(ctx, page, err, at.From)
		}
		what = b.objection(r)
	}
	return page, err
}

// ask asks for the first page. r is the bank's refusal. An account that the bank does not know may
// have a new handle since the accounts were listed, for there is a new consent: then it is asked
// for by that.
func (b *beginning) ask(ctx context.Context) (page banks.Page, r *refusal, err error) {
	lasting, dialog, left := b.lasting, b.dialog, b.conv.Left
	b.before = func() { b.lasting, b.dialog, b.conv.Left = lasting, dialog, left }
	page, err = b.page(ctx, b.account, b.at, b.firstPage(b.account, b.at))
	r, refused := asRefusal(err)
	if !refused || b.moved || r.fault.Kind != banks.Gone || r.fault.Code != banks.CodeAccountGone {
		return page, r, err
	}
	renamed, err := b.handle(ctx, b.account)
	switch {
	case err != nil:
		return page, nil, err
	case renamed == "":
		return page, nil, r
	}
	b.moved = true
	if renamed == b.account.ResourceID {
		return page, r, r
	}
	b.account.ResourceID = renamed
	return b.ask(ctx)
}

// again takes back what a refusal has done to the conversation, for there is another request to
// make.
func (b *beginning) again() { b.before() }

// askBooked asks for booked entries only, for the same period. That this is all which the bank
// refused is remembered.
func (b *beginning) askBooked(ctx context.Context) (page banks.Page, r *refusal, err error) {
	b.again()
	b.at.Both = false
	if b.conv.Interactive {
		b.ladder.Spend()
	}
	if page, r, err = b.ask(ctx); err == nil {
		b.lasting.BookedOnly, b.dirty = true, true
	}
	b.refused = r != nil
	return page, r, err
}

// climb ends a search that the ladder has brought to a page. How far it came is remembered. Pending
// entries that were left out on the way, though it may be the period only that the bank refuses,
// are asked for again. Where that is refused, it is they, and the period may have been good: the
// one that was wanted is tried once more.
func (b *beginning) climb(ctx context.Context, page banks.Page, err error, wanted civil.Date) (banks.Page, error) {
	if err != nil {
		return page, err
	}
	known := b.lasting.HistoryDays
	if b.conv.Interactive {
		b.lasting.HistoryDays, b.dirty = b.ladder.Days(), true
	}
	if b.at.Both || !b.pending || b.lasting.BookedOnly || b.ladder.Left() == 0 {
		return page, nil
	}
	b.ladder.Spend()
	b.at.Both = true
	full, r, err := b.ask(ctx)
	if r == nil && err == nil {
		return full, nil
	}
	b.again()
	if r == nil || b.objection(r) == toNothing {
		return page, nil // another time, perhaps
	}
	b.lasting.BookedOnly, b.at.Both = true, false
	if b.refused || b.ladder.Left() == 0 {
		return page, nil
	}
	b.at.From = wanted
	if whole, _, err := b.ask(ctx); err == nil {
		b.lasting.HistoryDays = known
		return whole, nil
	}
	b.again()
	return page, nil
}

// brief reports whether the period asked for is no longer than what every bank shows.
func (b *beginning) brief() bool {
	return b.at.From >= b.today().AddDays(1-banks.DaysWithoutSCA)
}

// What a bank may object to in a request for the first page.
type objection int

const (
	toNothing objection = iota // it refuses for a reason that no other request would change
	toPeriod
	toStatus
	toEither
)

// objection finds out what the bank objects to: by the code, else by what it says, else by what was
// asked for.
func (b *beginning) objection(r *refusal) objection {
	if !b.conv.Interactive && r.status == http.StatusUnauthorized && !r.token && r.code != "CONSENT_EXPIRED" {
		// The bank wants the customer for more: without them, it is asked for what it has to show
		// without.
		if b.brief() {
			return toNothing
		}
		return toPeriod
	}
	if !r.objects() && !(b.moved && r.unexplained(http.StatusNotFound)) {
		return toNothing
	}
	switch {
	case r.code == "PERIOD_INVALID" || r.code == "TIMESTAMP_INVALID" || strings.Contains(r.code, "DATE") || strings.Contains(r.code, "PERIOD"):
		return toPeriod
	case !b.at.Both:
		return toPeriod
	case r.code == "PARAMETER_NOT_SUPPORTED" || r.code == "SERVICE_INVALID":
		return toStatus
	}
	said := strings.ToLower(r.said)
	period, status := mentions(said, periodWords) || b.ladder.Names(said), mentions(said, statusWords)
	switch {
	case period && !status:
		return toPeriod
	case status && !period:
		return toStatus
	case r.status == http.StatusBadRequest:
		return toEither
	}
	return toPeriod
}

// Words with which banks speak of the period and of the booking status.
var (
	periodWords = []string{"datefrom", "date from", "date_from", "dateto", "period", "history", "too far", "in the past", "days", "months", "years",
		"zeitraum", "datum", "tage", "monate", "jahre"}
	statusWords = []string{"bookingstatus", "booking status", "pending", "\"both\"", "'both'", " both "}
)

func mentions(text string, words []string) bool {
	for _, w := range words {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}

// objects reports whether a refusal may be about what was asked for: a 4xx, but none about consent,
// token, certificate, signature, the customer, a limit or the format.
func (r *refusal) objects() bool {
	if r.status/100 != 4 && r.status != http.StatusNotImplemented || r.status == http.StatusNotAcceptable {
		return false
	}
	for _, about := range []string{"CONSENT_", "TOKEN_", "CERTIFICATE_", "SIGNATURE_", "PSU_", "SCA_", "KID_", "ACCESS_"} {
		if strings.HasPrefix(r.code, about) {
			return false
		}
	}
	switch r.fault.Kind {
	case banks.Rejected:
		return r.fault.Code == banks.CodeBankCannot
	case banks.NeedsUser:
		return r.fault.Code == banks.CodeLoginNotPossible // 403 without a reason
	}
	return false
}
