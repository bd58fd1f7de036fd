package activities

import (
	"bytes"
	"context"
	"errors"

	"go.temporal.io/sdk/activity"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/civil"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/rules"
	"github.com/kontoflow/kontoflow/workflows/contract"
)

// maxWindow bounds the entries of one later reading, which are held in memory together. It is some years of a busy
// business account; the first reading has no such bound.
const maxWindow = 300_000

// ReadTransactions reads one account's entries, and stores what is new, changed or gone. What fails is the account's
// own error, and no other account's.
func (a *Activities) ReadTransactions(ctx context.Context, in contract.ReadTransactionsInput) (out contract.ReadTransactionsOutcome, err error) {
	defer beat(ctx)()
	session, err := a.Store.OpenSession(ctx, in.SyncID)
	if err != nil {
		return out, failure(err)
	}
	reading, err := a.Store.OpenReading(ctx, in.SyncID, in.AccountID)
	if err != nil {
		return out, failure(err)
	}
	if reading.Status != rules.AccountPending { // done by an attempt whose completion was lost
		return out, nil
	}
	provider, err := a.provider(&session.Conversation)
	if err != nil {
		return out, failure(err)
	}

	before := session.Conversation
	err = a.read(ctx, provider, session, reading)
	var e *banks.Error
	if errors.As(err, &e) || err == nil {
		if err := a.keep(ctx, session, before); err != nil {
			return out, failure(err)
		}
	}
	if reading.Doubtful > 0 {
		a.Log.WarnContext(ctx, "the bank left out more than half of an account's transactions: none is taken for gone",
			"sync_id", in.SyncID, "account_id", in.AccountID, "missing", reading.Doubtful)
	}
	if reading.Unreadable.Count > 0 || reading.Withheld != "" {
		a.Log.InfoContext(ctx, "an account was not read as a whole", "sync_id", in.SyncID, "account_id", in.AccountID,
			"unreadable", reading.Unreadable.Count, "first", reading.Unreadable.First, "withheld", reading.Withheld)
	}
	switch {
	case err == nil:
		return out, nil
	case errors.Is(err, models.ErrAccountDeleted):
		return out, nil
	case ctx.Err() != nil || !errors.As(err, &e):
		return out, failure(err)
	case e.Kind == banks.NeedsAuthorization:
		out.NeedsAuthorization = true
		return out, nil
	case e.Kind == banks.Transient && activity.GetInfo(ctx).Attempt < in.LastAttempt:
		return out, failure(err)
	}
	a.Log.WarnContext(ctx, "an account could not be read", "sync_id", in.SyncID, "account_id", in.AccountID,
		"kind", e.Kind, "code", e.Code, "error", e.Error())
	out.Code = e.Code
	return out, failure(a.Store.Transact(ctx, func(tx *gorm.DB) error {
		return models.EndAccount(tx, in.SyncID, in.AccountID, a.syncError(e))
	}))
}

// keep stores what a reading has done to the conversation: that the bank wants the customer, or how far its dialog has come.
func (a *Activities) keep(ctx context.Context, session *models.BankSession, before banks.Conversation) error {
	now := &session.Conversation
	if ctx.Err() != nil || bytes.Equal(before.Dialog, now.Dialog) && bytes.Equal(before.Lasting, now.Lasting) {
		return nil
	}
	err := session.Transact(ctx, session.Save)
	if errors.Is(err, models.ErrOvertaken) { // another account's reading was told the same, and stored it
		return nil
	}
	return err
}

// read fetches page after page. The next page is on its way while one is being stored.
func (a *Activities) read(ctx context.Context, provider banks.Adapter, session *models.BankSession, reading *models.Reading) error {
	period := models.Period{Today: civil.On(a.Store.Now()), Most: session.Conversation.Connection.HistoryDays, Attended: session.Conversation.Interactive}
	if session.Sync.SyncPeriod != nil {
		period.Wanted = *session.Sync.SyncPeriod
	}
	window := banks.Window{From: reading.Ask(period)}
	account := reading.Account.AtBank()
	ctx, cancel := context.WithCancel(ctx)
	pages := fetch(ctx, func(cursor string) (banks.Page, error) {
		return provider.Transactions(ctx, &session.Conversation, account, window, cursor)
	}, reading.Cursor)

	defer func() { // nothing touches the conversation any more when read is over
		cancel()
		for range pages {
		}
	}()

	var all banks.Page
	for fetched := range pages {
		if fetched.err != nil {
			return fetched.err
		}
		page := &fetched.page
		if reading.First {
			if err := reading.PutPage(ctx, page, a.Store.Now()); err != nil {
				return err
			}
			continue
		}
		if len(all.Entries)+len(page.Entries) > maxWindow {
			return &banks.Error{Kind: banks.Rejected, Code: banks.CodeInternal, Err: errors.New("more entries in one window than can be held")}
		}
		reading.Note(page)
		all.Entries = append(all.Entries, reading.Fresh(page.Entries)...)
		all.Balances = append(all.Balances, page.Balances...)
		all.Covered, all.PendingCovered = page.Covered, page.PendingCovered
		if page.Next == "" {
			return reading.PutWindow(ctx, all.Entries, all.Balances, all.Covered, all.PendingCovered, a.Store.Now())
		}
	}
	return ctx.Err()
}

type fetchedPage struct {
	page banks.Page
	err  error
}

// fetch reads pages one ahead of whoever takes them, until the last one or an error.
func fetch(ctx context.Context, page func(cursor string) (banks.Page, error), cursor string) <-chan fetchedPage {
	pages := make(chan fetchedPage)
	go func() {
		defer close(pages)
		for {
			p, err := page(cursor)
			select {
			case pages <- fetchedPage{p, err}:
			case <-ctx.Done():
				return
			}
			if cursor = p.Next; err != nil || cursor == "" {
				return
			}
		}
	}()
	return pages
}
