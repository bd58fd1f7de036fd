package models

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"gorm.io/gorm"
)

// The changes feed of a user is a log of what happened to their transactions: each was added (also when it came back),
// modified in what the API shows of it, or removed. A change has a position, and positions are in the order in which
// changes become visible: whoever sees one sees all before it, which a sequence would not give, since what takes a
// number first may commit last.

const (
	changeAdded    = "ADDED"
	changeModified = "MODIFIED"
	changeRemoved  = "REMOVED"
)

// ChangesKept is how long changes are kept that later ones made superfluous. Cursors are promised to be good for a year:
// one that a reader got when they had caught up is good as long as the next change is kept, and the month beyond the year
// is for reading on from it.
const ChangesKept = (365 + 31) * 24 * time.Hour

// A change is what happened to one transaction.
type change struct {
	transaction uuid.UUID
	kind        string
}

// logChanges appends to a user's feed. It locks the feed until the transaction ends, so that positions become visible
// in their order. Everything that changes a user's transactions meets at this lock: take it last, when all other rows
// are locked and written (see locks.go). So it is held for a short time, and nobody who holds it waits for another.
func logChanges(tx *gorm.DB, user string, changes []change) error {
	now := tx.NowFunc()
	for some := range slices.Chunk(changes, 10_000) {
		transactions, kinds := make(Strings, len(some)), make(Strings, len(some))
		for i, c := range some {
			transactions[i], kinds[i] = c.transaction.String(), c.kind
		}
		err := tx.Exec(`WITH feed AS (
				INSERT INTO feeds (user_id, position) VALUES (?, ?)
				ON CONFLICT (user_id) DO UPDATE SET position = feeds.position + excluded.position RETURNING id, position - ? AS before)
			INSERT INTO transaction_changes (feed, position, transaction_id, change, changed_at)
			SELECT feed.id, feed.before + c.n, c.transaction_id, c.change, ?
			FROM feed, unnest(?::uuid[], ?::text[]) WITH ORDINALITY AS c (transaction_id, change, n)`,
			user, len(some), len(some), now, transactions, kinds).Error
		if err != nil {
			return fmt.Errorf("log the changes of transactions: %w", err)
		}
	}
	return nil
}

// logRemovals appends to a user's feed that the transactions which gone answers (id, removed_at) disappear, in the order of
// their ids, but for those that had before. However many they are, they do not leave the database. As for logChanges, take
// it last: what else could change them is locked.
func logRemovals(tx *gorm.DB, user, gone string, arguments ...any) error {
	err := tx.Exec(`WITH gone AS (`+gone+`),
		numbered AS (SELECT id, row_number() OVER (ORDER BY id) AS n, count(*) OVER () AS whole FROM gone WHERE removed_at IS NULL),
		feed AS (
			INSERT INTO feeds (user_id, position) SELECT ?, count(*) FROM numbered HAVING count(*) > 0
			ON CONFLICT (user_id) DO UPDATE SET position = feeds.position + excluded.position RETURNING id, position)
		INSERT INTO transaction_changes (feed, position, transaction_id, change, changed_at)
		SELECT feed.id, feed.position - g.whole + g.n, g.id, ?, ? FROM feed, numbered g`,
		append(arguments, user, changeRemoved, tx.NowFunc())...).Error
	if err != nil {
		return fmt.Errorf("log the removal of transactions: %w", err)
	}
	return nil
}

// Changes are one page of a feed: what became of each transaction between two positions. No transaction is in it twice.
type Changes struct {
	Added    []uuid.UUID // new to the reader
	Modified []uuid.UUID
	Removed  []uuid.UUID // known to the reader
	Next     Cursor
	More     bool // the feed goes on
}

var (
	// ErrCursor says that a cursor is none of this feed.
	ErrCursor = errors.New("not a cursor of this feed")
	// ErrCursorExpired says that the feed has forgotten changes that the reader does not know.
	ErrCursorExpired = errors.New("the cursor is too old")
)

// ReadChanges reads what comes after a position of a user's feed: at most so many entries of the log. tx has to see one
// moment (REPEATABLE READ), in which the caller also reads the transactions: one that was added is there, or its account
// is hidden. ErrCursor, ErrCursorExpired.
func ReadChanges(ctx context.Context, tx pgx.Tx, user string, from Cursor, count int) (*Changes, error) {
	var feed, head, compacted int64
	err := tx.QueryRow(ctx, `SELECT id, position, compacted FROM feeds WHERE user_id = $1`, user).Scan(&feed, &head, &compacted)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) { // no row: nothing ever happened
		return nil, fmt.Errorf("read the feed: %w", err)
	}
	switch {
	case from.Position > head:
		return nil, ErrCursor
	case !from.survives(compacted):
		return nil, ErrCursorExpired
	case from.Position == head:
		return &Changes{Next: Cursor{Position: head}}, nil
	}
	entries, err := readLog(ctx, tx, feed, from.Position, count+1)
	if err != nil {
		return nil, err
	}
	if len(entries) <= count {
		return netChanges(entries, from, Cursor{Position: head}), nil
	}
	entries = entries[:count]
	changes := netChanges(entries, from, from.advance(entries, head))
	changes.More = true
	return changes, nil
}

// logEntry is one row of the log, with what the rest of the log says about it.
type logEntry struct {
	position    int64
	transaction uuid.UUID
	kind        string
	counterpart int64 // REMOVED: position of the addition; else of the removal that follows, 0: none does
	erased      bool  // removed since, and no longer stored
}

func readLog(ctx context.Context, tx pgx.Tx, feed, after int64, limit int) ([]logEntry, error) {
	rows, err := tx.Query(ctx, `
		SELECT c.position, c.transaction_id, c.change, coalesce(a.position, r.position, 0), c.change = 'ADDED' AND r.position IS NOT NULL AND
		       (SELECT count(*) FROM transactions t JOIN accounts k ON k.id = t.account_id WHERE t.id = c.transaction_id AND k.deleted_at IS NULL) = 0
		FROM transaction_changes c
		LEFT JOIN LATERAL (SELECT o.position FROM transaction_changes o WHERE c.change = 'REMOVED'
			AND o.transaction_id = c.transaction_id AND o.change = 'ADDED' AND o.position < c.position ORDER BY o.position DESC LIMIT 1) a ON true
		LEFT JOIN LATERAL (SELECT o.position FROM transaction_changes o WHERE c.change <> 'REMOVED'
			AND o.transaction_id = c.transaction_id AND o.change = 'REMOVED' AND o.position > c.position ORDER BY o.position LIMIT 1) r ON true
		WHERE c.feed = $1 AND c.position > $2 ORDER BY c.position LIMIT $3`, feed, after, limit)
	if err != nil {
		return nil, fmt.Errorf("read the changes: %w", err)
	}
	entries, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (e logEntry, err error) {
		return e, row.Scan(&e.position, &e.transaction, &e.kind, &e.counterpart, &e.erased)
	})
	if err != nil {
		return nil, fmt.Errorf("read the changes: %w", err)
	}
	return entries, nil
}

// netChanges tells what became of each transaction of a page: what counts is whether the reader knew it before, and
// whether it is there now.
func netChanges(entries []logEntry, from, next Cursor) *Changes {
	type fate struct {
		known, shown bool
		last         int64
	}
	fates := make(map[uuid.UUID]*fate, len(entries))
	for i := range entries {
		e := &entries[i]
		if e.kind == changeModified && e.counterpart != 0 {
			continue // it was removed later, on this page or on one to come
		}
		f := fates[e.transaction]
		if f == nil {
			f = &fate{known: e.kind != changeAdded}
			if e.kind == changeRemoved {
				f.known = from.told(e.counterpart, e.position)
			}
			fates[e.transaction] = f
		}
		f.last = e.position
		f.shown = e.kind == changeModified || e.kind == changeAdded && next.tells(e)
	}
	changes := &Changes{Next: next}
	for i := range entries {
		e := &entries[i]
		f := fates[e.transaction]
		switch {
		case f == nil, f.last != e.position, !f.known && !f.shown:
		case !f.known:
			changes.Added = append(changes.Added, e.transaction)
		case f.shown:
			changes.Modified = append(changes.Modified, e.transaction)
		default:
			changes.Removed = append(changes.Removed, e.transaction)
		}
	}
	return changes
}

// CompactChanges forgets changes made before a time that later ones made superfluous: modifications, and everything
// about transactions that were removed. What stays is the addition of each transaction that is there, so that a reader
// from the beginning always ends with exactly the table. It looks at no more than limit of them, oldest first, and
// answers at how many.
func (s *Store) CompactChanges(ctx context.Context, before time.Time, limit int) (superfluous int, err error) {
	var old []struct {
		Feed, Position int64
		TransactionID  uuid.UUID
	}
	err = s.DB.WithContext(ctx).Raw(`SELECT feed, position, transaction_id FROM transaction_changes
		WHERE change <> 'ADDED' AND changed_at < ? ORDER BY changed_at LIMIT ?`, before, limit).Scan(&old).Error
	if err != nil {
		return 0, fmt.Errorf("look for old changes: %w", err)
	}
	if len(old) == 0 {
		return 0, nil
	}
	feeds, positions, transactions := make(Strings, len(old)), make(Strings, len(old)), make(Strings, len(old))
	for i, c := range old {
		feeds[i], positions[i], transactions[i] = strconv.FormatInt(c.Feed, 10), strconv.FormatInt(c.Position, 10), c.TransactionID.String()
	}
	return len(old), s.Transact(ctx, func(tx *gorm.DB) error {
		// The feeds first, as whoever deletes one does; in the order of their ids, as another worker does.
		err := tx.Exec(`SELECT FROM feeds WHERE id = ANY (?::bigint[]) ORDER BY id FOR NO KEY UPDATE`, feeds).Error
		if err != nil {
			return fmt.Errorf("lock the feeds: %w", err)
		}
		err = tx.Exec(`UPDATE feeds f SET compacted = greatest(compacted, o.position)
			FROM (SELECT feed, max(position) AS position FROM unnest(?::bigint[], ?::bigint[]) AS c (feed, position) GROUP BY feed) o
			WHERE f.id = o.feed`, feeds, positions).Error
		if err != nil {
			return fmt.Errorf("store how far the feeds are compacted: %w", err)
		}
		err = tx.Exec(`DELETE FROM transaction_changes c USING unnest(?::bigint[], ?::bigint[], ?::uuid[]) AS o (feed, position, transaction_id)
			JOIN transaction_changes r ON r.feed = o.feed AND r.position = o.position
			WHERE c.transaction_id = o.transaction_id AND (c.position = o.position OR c.position < o.position AND r.change = 'REMOVED')`,
			feeds, positions, transactions).Error
		if err != nil {
			return fmt.Errorf("forget old changes: %w", err)
		}
		return nil
	})
}
