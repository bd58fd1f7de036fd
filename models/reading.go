package models

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/civil"
	"github.com/kontoflow/kontoflow/reconcile"
	"github.com/kontoflow/kontoflow/rules"
)

// A Reading is the reading of one account's transactions in one synchronization. There are two ways:
//
// The first reading of an account stores page by page, since everything is new: PutPage keeps the page and where the
// next one begins in one transaction, so that a reading that breaks off resumes there, and memory does not grow.
//
// Every later one holds the whole window against what is stored: PutWindow.
type Reading struct {
	Account Account
	Cursor  string              // PutPage: where the next page begins
	Pages   int                 // PutPage: how many are stored
	First   bool                // nothing was stored before this synchronization
	Status  rules.AccountStatus // once it is not PENDING there is nothing left to do
	// Doubtful counts stored rows that PutWindow found missing and left alone, because too many were missing at once.
	Doubtful int
	// Unreadable and Withheld say what was not read although nothing failed: PutPage and Note fill them in.
	Unreadable banks.Unreadable
	Withheld   banks.Withheld

	store   *Store
	sync    uuid.UUID
	from    civil.Date // see Ask
	paging  reconcile.Paging
	resumed bool // pages were stored by an attempt before this one
}

// OpenReading loads how far the account's reading has come.
func (s *Store) OpenReading(ctx context.Context, sync, account uuid.UUID) (*Reading, error) {
	r := &Reading{store: s, sync: sync}
	db := s.DB.WithContext(ctx)
	var progress SyncAccount
	if err := db.Take(&progress, "sync_id = ? AND account_id = ?", sync, account).Error; err != nil {
		return nil, found(err, "the account's progress")
	}
	if err := db.Take(&r.Account, "id = ?", account).Error; err != nil {
		return nil, found(err, "the account")
	}
	r.Status, r.Pages, r.resumed = progress.Status, progress.Pages, progress.Pages > 0
	r.Withheld = banks.Withheld(value(progress.Withheld))
	if err := open(s.Vault, progress.Cursor, cursorPlace(sync, account), &r.Cursor); err != nil {
		return nil, err
	}
	if r.First = r.Account.ReadUntil.IsZero(); r.First {
		var before bool
		err := db.Raw(`SELECT EXISTS (SELECT FROM transactions WHERE account_id = ? AND created_by <> ?)`, account, sync).Scan(&before).Error
		if err != nil {
			return nil, fmt.Errorf("look for stored transactions: %w", err)
		}
		r.First = !before
	}
	return r, nil
}

// PutPage stores a page of a first reading, and ends the account with the last one. now is the day's clock.
func (r *Reading) PutPage(ctx context.Context, page *banks.Page, now time.Time) error {
	normalized := normalize(page.Entries) // before the transaction: the database ends one that is idle
	return r.transact(ctx, func(tx *gorm.DB, c *pgx.Conn) error {
		if r.resumed { // what is stored already is not to come again
			last, err := storedLast(ctx, c, r.Account.ID, reconcile.Remembered)
			if err != nil {
				return err
			}
			if err := freshen(ctx, tx, c, last); err != nil {
				return err
			}
			facts := make([]reconcile.Facts, len(last))
			for i := range last {
				facts[i] = last[i].Facts
			}
			r.paging.Remember(facts)
			r.resumed = false
		}
		w := r.writer(now)
		fresh := r.paging.Fresh(normalized)
		ids, entries, facts := make([]uuid.UUID, len(fresh)), make([]*banks.Entry, len(fresh)), make([]*reconcile.Facts, len(fresh))
		for n, i := range fresh {
			ids[n], entries[n], facts[n] = NewID(), &page.Entries[i], &normalized[i]
		}
		if err := w.insert(ctx, c, ids, entries, facts); err != nil {
			return err
		}
		cursor, err := seal(r.store.Vault, page.Next, cursorPlace(r.sync, r.Account.ID))
		if err != nil {
			return err
		}
		changed, err := PutBalances(tx, r.Account.ID, page.Balances, w.now)
		if err != nil {
			return err
		}
		withheld := worse(r.Withheld, page.Withheld)
		result := tx.Exec(`UPDATE synchronization_accounts SET pages = pages + 1, cursor = ?, transactions_added = transactions_added + ?,
			balance_changed = balance_changed OR ?, withheld = ?, unreadable = unreadable + ? WHERE sync_id = ? AND account_id = ? AND pages = ?`,
			cursor, len(ids), changed, optional(string(withheld)), page.Unreadable.Count, r.sync, r.Account.ID, r.Pages)
		if result.Error != nil {
			return fmt.Errorf("store how far the reading came: %w", result.Error)
		}
		if result.RowsAffected == 0 {
			return ErrOvertaken
		}
		if page.Next == "" {
			err = r.end(tx, r.window(covered(page.Covered, withheld), page.PendingCovered, w))
		} else {
			err = countAccounts(tx, r.sync)
		}
		if err != nil {
			return err
		}
		return logChanges(tx, r.Account.UserID, w.changes)
	}, func() {
		r.Pages, r.Cursor = r.Pages+1, page.Next
		r.Note(page)
	})
}

// Note counts what could not be read of a page, and keeps why it covers less than was asked for. A later reading calls it
// page by page before PutWindow; PutPage does it by itself.
func (r *Reading) Note(page *banks.Page) {
	r.Unreadable.Merge(page.Unreadable)
	r.Withheld = worse(r.Withheld, page.Withheld)
}

// worse is the reason that says more about what is missing.
func worse(a, b banks.Withheld) banks.Withheld {
	if a == "" || b == banks.NoList {
		return b
	}
	return a
}

// covered is what an answer of several pages covers: nothing where one of them is no list, whatever the others are.
func covered(window banks.Window, withheld banks.Withheld) banks.Window {
	if withheld == banks.NoList {
		return banks.Window{}
	}
	return window
}

// Fresh leaves out of the next page what an earlier page brought already, because the pages moved meanwhile. A later
// reading calls it page by page before PutWindow; PutPage does it by itself.
func (r *Reading) Fresh(page []banks.Entry) []banks.Entry {
	indexes := r.paging.Fresh(normalize(page))
	fresh := make([]banks.Entry, len(indexes))
	for n, i := range indexes {
		fresh[n] = page[i]
	}
	return fresh
}

// normalize tidies entries in place and gives their facts.
func normalize(entries []banks.Entry) []reconcile.Facts {
	facts := make([]reconcile.Facts, len(entries))
	for i := range entries {
		facts[i] = reconcile.Normalize(&entries[i])
	}
	return facts
}

// PutWindow holds everything that a later reading got against what is stored, and ends the account. What is covered and
// was not sent is missing; the zero Window covers nothing.
func (r *Reading) PutWindow(ctx context.Context, entries []banks.Entry, balances []banks.Balance, asCovered banks.Window, pendingCovered bool, now time.Time) error {
	facts := normalize(entries)
	return r.transact(ctx, func(tx *gorm.DB, c *pgx.Conn) error {
		w := r.writer(now)
		sent := make([]*banks.Entry, len(entries))
		for i := range entries {
			sent[i] = &entries[i]
		}
		window := r.window(covered(asCovered, r.Withheld), pendingCovered, w)
		from := window.From
		switch {
		case window.NoBooked:
			// Of an account that was never read completely, the recent rows: an entry without a day may be one of them.
			if from = r.Since(); from.IsZero() {
				from = w.today.AddDays(-banks.DaysWithoutSCA)
			}
		case from.IsZero(): // as far back as the bank gave
			from = earliest
		}
		stored, err := storedIn(ctx, c, r.Account.ID, spansOf(from, facts))
		if err != nil {
			return err
		}
		if err := freshen(ctx, tx, c, stored); err != nil {
			return err
		}
		var plan reconcile.Plan
		if err := keepAlive(ctx, c, idleTimeout/5, func() { plan = reconcile.Match(stored, facts, window) }); err != nil {
			return err
		}
		r.Doubtful = plan.Doubtful
		if err := w.apply(ctx, c, &plan, stored, sent, facts); err != nil {
			return err
		}
		changed, err := PutBalances(tx, r.Account.ID, balances, w.now)
		if err != nil {
			return err
		}
		added, modified := 0, 0
		for _, o := range plan.Sent {
			switch {
			case o.Stored < 0, stored[max(o.Stored, 0)].State == reconcile.Removed: // new, or back after it was gone
				added++
			case o.Change == reconcile.Modified || o.Reappeared:
				modified++
			}
		}
		err = tx.Exec(`UPDATE synchronization_accounts SET transactions_added = ?, transactions_modified = ?, transactions_removed = ?,
			balance_changed = balance_changed OR ?, withheld = ?, unreadable = ? WHERE sync_id = ? AND account_id = ?`,
			added, modified, len(plan.Removed), changed, optional(string(r.Withheld)), r.Unreadable.Count, r.sync, r.Account.ID).Error
		if err != nil {
			return fmt.Errorf("store what changed: %w", err)
		}
		if err := r.end(tx, window); err != nil {
			return err
		}
		return logChanges(tx, r.Account.UserID, w.changes)
	}, nil)
}

// keepAlive does work that may take longer than a transaction may stand still: it asks the database something now and then
// in the meantime. A process that freezes does not ask, and loses its locks as always.
func keepAlive(ctx context.Context, c *pgx.Conn, every time.Duration, work func()) error {
	done := make(chan any, 1)
	go func() {
		defer func() { done <- recover() }() // in this goroutine it would end the process
		work()
	}()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		select {
		case failed := <-done:
			if failed != nil {
				panic(failed)
			}
			return nil
		case <-tick.C:
			if _, err := c.Exec(ctx, "SELECT 1"); err != nil {
				return fmt.Errorf("keep a transaction while its transactions are matched: %w", err)
			}
		}
	}
}

// Since is the first day that may have changed since the account was read; zero: it was not.
func (r *Reading) Since() civil.Date { return reconcile.Since(r.Account.ReadUntil) }

// Period bounds how far back a reading asks.
type Period struct {
	Today    civil.Date
	Wanted   int  // days that the client wants in this synchronization; 0: as many as the bank gives
	Most     int  // days that the operator lets the first reading ask for; 0: as many as the bank gives
	Attended bool // the customer can be asked; else the bank shows DaysWithoutSCA
}

// Ask settles the first day that the reading asks for; zero: as far back as the bank gives. The first reading asks for what
// is wanted, and a later one for what may have changed since. Where more days are wanted than were ever asked for, a later
// one asks for those too.
func (r *Reading) Ask(p Period) civil.Date {
	bound := func(days int) civil.Date {
		if days <= 0 {
			return 0
		}
		return p.Today.AddDays(-days)
	}
	since, wanted := r.Since(), max(bound(p.Wanted), bound(p.Most))
	before := r.Account.ReadFrom
	switch {
	case since.IsZero():
		since, before = wanted, p.Today+1
	case p.Wanted > 0 && wanted < before:
		since = min(since, wanted)
	default:
		since = max(since, before)
	}
	asked := since
	if !p.Attended {
		asked = max(asked, p.Today.AddDays(1-banks.DaysWithoutSCA))
	}
	r.from = min(before, asked)
	return since
}

func (r *Reading) writer(now time.Time) *rowWriter {
	return &rowWriter{account: r.Account.ID, sync: r.sync, today: civil.On(now), now: now.UTC()}
}

func (r *Reading) window(covered banks.Window, pendingCovered bool, w *rowWriter) reconcile.Window {
	return reconcile.Window{From: covered.From, To: covered.To, Complete: true, NoBooked: covered == banks.Window{}, PendingComplete: pendingCovered,
		Today: w.today, Known: r.Account.ReadUntil, KnownFrom: r.Account.ReadFrom, Card: r.Account.Type == banks.CreditCard, Run: r.sync}
}

// end records how far the account is known now: as far as the window covers, or as far as before where it covers nothing.
func (r *Reading) end(tx *gorm.DB, window reconcile.Window) error {
	known := map[string]any{"read_until": window.LastComplete()}
	if !window.NoBooked {
		known["read_from"] = r.from
	}
	err := tx.Model(&Account{}).Where("id = ?", r.Account.ID).Updates(known).Error
	if err != nil {
		return fmt.Errorf("store how far the account is known: %w", err)
	}
	return EndAccount(tx, r.sync, r.Account.ID, nil)
}

// apply writes a plan.
func (w *rowWriter) apply(ctx context.Context, c *pgx.Conn, plan *reconcile.Plan, stored []reconcile.Stored, sent []*banks.Entry, facts []reconcile.Facts) error {
	var ids []uuid.UUID
	var entries []*banks.Entry
	var fresh []*reconcile.Facts
	batch := &pgx.Batch{}
	for i, o := range plan.Sent {
		if o.Stored < 0 {
			ids, entries, fresh = append(ids, NewID()), append(entries, sent[i]), append(fresh, &facts[i])
			continue
		}
		id := stored[o.Stored].ID
		switch {
		case o.Change == reconcile.Modified || o.Reappeared:
			values, err := w.values(id, sent[i], &facts[i])
			if err != nil {
				return err
			}
			kept := append([]any(nil), values[:len(values)-created]...)
			kept[factsColumn] = append([]byte(nil), w.facts...)
			batch.Queue(updateTransaction, kept...)
			batch.Queue(insertObservation, append([]any(nil), w.observation(id, "MODIFIED", sent[i])...)...)
			kind := changeModified
			if stored[o.Stored].State == reconcile.Removed { // it is back
				kind = changeAdded
			}
			w.changes = append(w.changes, change{id, kind})
		case o.Change == reconcile.Relabelled:
			encoded, err := facts[i].MarshalBinary()
			if err != nil {
				return err
			}
			batch.Queue(`UPDATE transactions SET bank_transaction_id = $2, entry_reference = $3, facts = $4 WHERE id = $1`,
				id, text(sent[i].TransactionID), text(sent[i].EntryReference), encoded)
			batch.Queue(insertObservation, append([]any(nil), w.observation(id, "RELABELLED", sent[i])...)...)
		}
	}
	for _, s := range plan.Missing {
		batch.Queue(`UPDATE transactions SET missed_by = $2 WHERE id = $1`, stored[s].ID, w.sync)
		batch.Queue(observeStored, stored[s].ID, w.sync, "MISSING", w.now)
	}
	for _, s := range plan.Removed {
		batch.Queue(`UPDATE transactions SET removed_at = $3, modified_at = $3, modified_by = $2 WHERE id = $1`, stored[s].ID, w.sync, w.now)
		batch.Queue(observeStored, stored[s].ID, w.sync, "REMOVED", w.now)
		w.changes = append(w.changes, change{stored[s].ID, changeRemoved})
	}
	if err := w.insert(ctx, c, ids, entries, fresh); err != nil {
		return err
	}
	if batch.Len() == 0 {
		return nil
	}
	if err := c.SendBatch(ctx, batch).Close(); err != nil {
		return fmt.Errorf("change stored transactions: %w", err)
	}
	return nil
}

// updateTransaction sets all of transactionColumns but what is set once, and brings a removed row back.
var updateTransaction = func() string {
	var sets []string
	for i, column := range transactionColumns[:len(transactionColumns)-created] {
		if column != "id" && column != "account_id" {
			sets = append(sets, fmt.Sprintf("%s = $%d", column, i+1))
		}
	}
	return "UPDATE transactions SET missed_by = NULL, removed_at = NULL, " + strings.Join(sets, ", ") + " WHERE id = $1 AND account_id = $2"
}()

var factsColumn = func() int {
	for i, column := range transactionColumns {
		if column == "facts" {
			return i
		}
	}
	panic("no column facts")
}()

const (
	insertObservation = `INSERT INTO observations (transaction_id, sync_id, change, bank_transaction_id, entry_reference, booked,
		booked_at, settled_at, amount, observed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`
	observeStored = `INSERT INTO observations (transaction_id, sync_id, change, bank_transaction_id, entry_reference, booked,
		booked_at, settled_at, amount, observed_at)
		SELECT id, $2, $3, bank_transaction_id, entry_reference, booked, booked_at, settled_at, amount, $4 FROM transactions WHERE id = $1`
)

// ErrAccountDeleted says that the client deleted the account while it was read. Its part of the synchronization has
// ended with it.
var ErrAccountDeleted = errors.New("the client deleted the account")

// transact runs f in one database transaction in which the account's part is locked and still open: what a copy of
// this attempt stored meanwhile is not stored again. The account is locked with it, so that a deletion comes before or
// after: nothing is stored for an account that is deleted. stored runs after the commit.
func (r *Reading) transact(ctx context.Context, f func(tx *gorm.DB, c *pgx.Conn) error, stored func()) error {
	deleted := false
	err := r.store.transactCopy(ctx, func(tx *gorm.DB, c *pgx.Conn) error {
		var open bool
		err := tx.Raw(`SELECT status = 'PENDING' FROM synchronization_accounts WHERE sync_id = ? AND account_id = ? FOR NO KEY UPDATE`,
			r.sync, r.Account.ID).Scan(&open).Error
		if err != nil {
			return fmt.Errorf("lock the account's progress: %w", err)
		}
		if !open {
			return ErrOvertaken
		}
		// An access that was hidden while the bank listed its accounts may have a new one that is not.
		err = tx.Raw(`SELECT k.deleted_at IS NOT NULL OR a.deleted_at IS NOT NULL FROM accounts k JOIN accesses a ON a.id = k.access_id
			WHERE k.id = ? FOR NO KEY UPDATE OF k`, r.Account.ID).Scan(&deleted).Error
		if err != nil {
			return fmt.Errorf("lock the account: %w", err)
		}
		if deleted {
			return EndAccount(tx, r.sync, r.Account.ID, &rules.SyncError{Code: banks.CodeCancelled})
		}
		return f(tx, c)
	})
	switch {
	case err != nil:
		return err
	case deleted:
		return ErrAccountDeleted
	case stored != nil:
		stored()
	}
	return nil
}

// transactCopy is Transact with the pgx connection underneath the transaction, for COPY and batches.
func (s *Store) transactCopy(ctx context.Context, f func(tx *gorm.DB, c *pgx.Conn) error) error {
	pool, err := s.DB.DB()
	if err != nil {
		return err
	}
	conn, err := pool.Conn(ctx)
	if err != nil {
		return fmt.Errorf("take a connection: %w", err)
	}
	defer conn.Close()
	var underneath *pgx.Conn
	err = conn.Raw(func(driver any) error {
		underneath = driver.(*stdlib.Conn).Conn()
		return nil
	})
	if err != nil {
		return err
	}
	// A transaction whose context ends is rolled back by database/sql at that moment and from another goroutine: in the
	// middle of a COPY, of which it knows nothing. So it does not end; ctx stops the COPY, and that the transaction.
	db := s.DB.Session(&gorm.Session{NewDB: true, Context: context.WithoutCancel(ctx)})
	db.Statement.ConnPool = conn
	return db.Transaction(func(tx *gorm.DB) error { return f(tx, underneath) })
}
