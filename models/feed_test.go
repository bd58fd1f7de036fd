package models_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/civil"
	"github.com/kontoflow/kontoflow/models"
)

// A teller is a bank account whose pending transactions come, change, go and come back at random.
type teller struct {
	store   *models.Store
	access  uuid.UUID
	random  *rand.Rand
	account uuid.UUID
	ledger  []banks.Entry
	gone    []banks.Entry
	last    int
}

// live lets n things happen, and synchronizes: the first time in pages, later as a window.
func (b *teller) live(ctx context.Context, n int) error {
	for range n {
		i := 0
		if len(b.ledger) > 0 {
			i = b.random.IntN(len(b.ledger))
		}
		switch dice := b.random.IntN(10); {
		case dice < 5 || len(b.ledger) == 0:
			b.last++
			b.ledger = append(b.ledger, banks.Entry{TransactionID: fmt.Sprintf("%s-%d", b.access, b.last), Pending: true,
				Amount: decimal.New(int64(b.last), -2), Currency: "EUR", Remittance: []string{fmt.Sprint("payment ", b.last)}})
		case dice < 7:
			b.last++
			b.ledger[i].Remittance = []string{fmt.Sprint(b.ledger[i].Remittance[0], " as amended ", b.last)}
		case dice < 9 || len(b.gone) == 0:
			b.gone = append(b.gone, b.ledger[i])
			b.ledger = slices.Delete(b.ledger, i, i+1)
		default:
			b.ledger = append(b.ledger, b.gone[len(b.gone)-1])
			b.gone = b.gone[:len(b.gone)-1]
		}
	}
	id, err := queue(b.store, b.access)
	if err != nil {
		return err
	}
	session, err := b.store.OpenSession(ctx, id)
	if err != nil {
		return err
	}
	err = b.store.Transact(ctx, func(tx *gorm.DB) error {
		work, err := session.PutAccounts(tx, []banks.Account{{ResourceID: "1", IBAN: "DE67900900424711951500", Currency: "EUR"}})
		if err == nil {
			b.account = work[0].AccountID
		}
		return err
	})
	if err != nil {
		return err
	}
	r, err := b.store.OpenReading(ctx, id, b.account)
	if err != nil {
		return err
	}
	if r.First {
		half := len(b.ledger) / 2
		err = r.PutPage(ctx, &banks.Page{Entries: slices.Clone(b.ledger[:half]), Next: "more"}, b.store.Now())
		if err == nil {
			err = r.PutPage(ctx, &banks.Page{Entries: slices.Clone(b.ledger[half:])}, b.store.Now())
		}
	} else {
		err = r.PutWindow(ctx, slices.Clone(b.ledger), nil, banks.Window{}, true, b.store.Now())
	}
	if err != nil {
		return err
	}
	_, err = b.store.End(ctx, id, 0)
	return err
}

// A reader follows a user's feed. known says of each transaction when it was last modified.
type reader struct {
	store  *models.Store
	user   string
	cursor string
	known  map[uuid.UUID]time.Time
}

// read applies one page; what is added has to be new, all else known.
func (r *reader) read(ctx context.Context, count int) (more bool, err error) {
	var from models.Cursor
	if r.cursor != "" {
		if from, err = models.ParseCursor(r.user, r.cursor); err != nil {
			return false, err
		}
	}
	err = pgx.BeginTxFunc(ctx, r.store.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
		changes, err := models.ReadChanges(ctx, tx, r.user, from, count)
		if err != nil {
			return err
		}
		for i, id := range slices.Concat(changes.Added, changes.Modified, changes.Removed) {
			if _, known := r.known[id]; known != (i >= len(changes.Added)) {
				return fmt.Errorf("known: %t, %v in %+v", known, id, changes)
			}
		}
		for _, id := range slices.Concat(changes.Added, changes.Modified) {
			var modified time.Time
			if err := tx.QueryRow(ctx, `SELECT modified_at FROM transactions WHERE id = $1`, id).Scan(&modified); err != nil {
				return fmt.Errorf("read %v: %w", id, err)
			}
			r.known[id] = modified
		}
		for _, id := range changes.Removed {
			delete(r.known, id)
		}
		r.cursor, more = changes.Next.String(r.user), changes.More
		return nil
	})
	return more, err
}

// catchUp reads to the end in pages of random size.
func (r *reader) catchUp(ctx context.Context, random *rand.Rand, most int) error {
	for {
		more, err := r.read(ctx, 1+random.IntN(most))
		if err != nil || !more {
			return err
		}
	}
}

func (r reader) clone() *reader {
	r.known = maps.Clone(r.known)
	return &r
}

// table is what a reader has to end with.
func table(t *testing.T, s *models.Store, user string) map[uuid.UUID]time.Time {
	t.Helper()
	rows, err := s.Pool.Query(t.Context(), `SELECT t.id, t.modified_at FROM transactions t JOIN accounts k ON k.id = t.account_id
		WHERE k.user_id = $1 AND k.deleted_at IS NULL AND t.removed_at IS NULL`, user)
	require.NoError(t, err)
	all := make(map[uuid.UUID]time.Time)
	var id uuid.UUID
	var modified time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &modified}, func() error {
		all[id] = modified
		return nil
	})
	require.NoError(t, err)
	return all
}

// Two years of a user, compacted as they pass. Whoever goes on from a cursor that was given out at any time, in pages
// of any size, ends with exactly the table, and is told of nothing twice; or the cursor is refused, when its year is over.
func TestEveryCursorLeadsToTheTable(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 4))
			var now time.Time
			s := open(t, models.WithClock(func() time.Time { return now }))
			a := access(t, s)
			begin := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
			now = begin
			tellers := []*teller{{store: s, access: a.ID, random: random}}
			another := func() *teller {
				b := a
				b.ID = models.NewID()
				require.NoError(t, s.DB.Omit("AuthMethods").Create(&b).Error)
				return &teller{store: s, access: b.ID, random: random}
			}
			tellers = append(tellers, another(), another())

			type bookmark struct {
				*reader
				since time.Time // when its reader knew everything, or began to read
			}
			bookmarks := []bookmark{{&reader{store: s, user: a.UserID, known: map[uuid.UUID]time.Time{}}, begin}}
			refused, resumed, forgotten := 0, 0, 0
			for now.Before(begin.AddDate(2, 0, 0)) {
				now = now.Add(time.Duration(1+random.IntN(200)) * time.Hour)
				switch i := random.IntN(len(tellers)); random.IntN(12) {
				case 0: // the client deletes an account, or an access, and has another one
					if random.IntN(2) == 0 && tellers[i].account != uuid.Nil {
						require.NoError(t, s.DeleteAccount(t.Context(), a.UserID, tellers[i].account))
					} else {
						require.NoError(t, s.Transact(t.Context(), func(tx *gorm.DB) error {
							_, err := s.HideAccess(tx, tellers[i].access)
							return err
						}))
						if random.IntN(2) == 0 {
							require.NoError(t, s.DeleteAccess(t.Context(), tellers[i].access))
						}
					}
					tellers[i] = another()
				case 1, 2, 3:
					n, err := s.CompactChanges(t.Context(), now.Add(-models.ChangesKept), 1+random.IntN(50))
					require.NoError(t, err)
					forgotten += n
				default:
					require.NoError(t, tellers[i].live(t.Context(), 1+random.IntN(12)))
				}
				for range 2 { // somebody reads a page: from the beginning, or where they or another one was once, or not long ago
					i := 0
					switch random.IntN(6) {
					case 0:
					case 1, 2:
						i = random.IntN(len(bookmarks))
					default:
						i = len(bookmarks) - 1 - random.IntN(min(len(bookmarks), 30))
					}
					b := bookmarks[i]
					r := b.clone()
					more, err := r.read(t.Context(), 1+random.IntN(20))
					if errors.Is(err, models.ErrCursorExpired) {
						require.Greater(t, now.Sub(b.since), models.ChangesKept)
						refused++
						continue
					}
					require.NoError(t, err)
					if b.cursor == "" || !more {
						b.since = now
					}
					b.reader = r
					bookmarks = append(bookmarks, b)
				}
			}
			want := table(t, s, a.UserID)
			require.NotEmpty(t, want)
			for _, b := range bookmarks {
				r := b.clone()
				err := r.catchUp(t.Context(), random, 30)
				if errors.Is(err, models.ErrCursorExpired) {
					require.Greater(t, now.Sub(b.since), models.ChangesKept)
					refused++
					continue
				}
				require.NoError(t, err)
				require.Equal(t, want, r.known)
				resumed++
			}
			t.Logf("%d cursors led to %d transactions, %d were refused; %d changes were compacted", resumed, len(want), refused, forgotten)
			require.Positive(t, resumed)
			require.Positive(t, refused)
			require.Positive(t, forgotten)

			// In the end only the additions of what is there are left.
			for n := 1; n > 0; {
				var err error
				n, err = s.CompactChanges(t.Context(), now.Add(time.Hour), 100)
				require.NoError(t, err)
			}
			var left []string
			require.NoError(t, s.DB.Raw(`SELECT change FROM transaction_changes`).Scan(&left).Error)
			require.Equal(t, slices.Repeat([]string{"ADDED"}, len(want)), left)
			r := reader{store: s, user: a.UserID, known: map[uuid.UUID]time.Time{}}
			require.NoError(t, r.catchUp(t.Context(), random, 30))
			require.Equal(t, want, r.known)
		})
	}
}

// A page costs the page, not the table.
func TestPageOfChangesCostsThePage(t *testing.T) {
	t.Parallel()
	s := open(t)
	a := access(t, s)
	b := teller{store: s, access: a.ID, random: rand.New(rand.NewPCG(1, 1)), ledger: entries(1, 10_000)}
	for i := range b.ledger {
		b.ledger[i].Pending = true
	}
	require.NoError(t, b.live(t.Context(), 1))
	b.ledger = slices.DeleteFunc(b.ledger, func(banks.Entry) bool { return b.random.IntN(10) == 0 })
	require.NoError(t, b.live(t.Context(), 1))
	require.NoError(t, s.DB.Exec(`ANALYZE`).Error)
	const count = 100
	for _, from := range []int64{0, 5000, 10_000, 10_500} {
		require.NoError(t, pgx.BeginTxFunc(t.Context(), s.Pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, func(tx pgx.Tx) error {
			read := func() (rows int) {
				require.NoError(t, tx.QueryRow(t.Context(), `SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_xact_user_tables
					WHERE relname IN ('transactions', 'transaction_changes')`).Scan(&rows))
				return rows
			}
			before := read() // of the connection's earlier transactions
			_, err := models.ReadChanges(t.Context(), tx, a.UserID, models.Cursor{Position: from}, count)
			require.Less(t, read()-before, 10*count, "from %d", from)
			return err
		}))
	}
}

// What the API does not show is no change: another id of the bank, a transaction that is missing once.
func TestWhatNobodySeesIsNoChange(t *testing.T) {
	t.Parallel()
	s := open(t)
	a := access(t, s)
	r := reader{store: s, user: a.UserID, known: map[uuid.UUID]time.Time{}}
	booked := entries(1, 6)
	days := banks.Window{From: civil.Day(2026, 1, 1), To: civil.Day(2026, 2, 10)}
	var account uuid.UUID
	read := func(sent []banks.Entry) (changed int) {
		before := r.clone()
		id, err := queue(s, a.ID)
		require.NoError(t, err)
		session, err := s.OpenSession(t.Context(), id)
		require.NoError(t, err)
		account = list(t, s, session)[0].AccountID
		reading, err := s.OpenReading(t.Context(), id, account)
		require.NoError(t, err)
		require.NoError(t, reading.PutWindow(t.Context(), slices.Clone(sent), nil, days, true, time.Date(2026, 2, 11, 0, 0, 0, 0, time.UTC)))
		_, err = s.End(t.Context(), id, 0)
		require.NoError(t, err)
		require.NoError(t, r.catchUp(t.Context(), rand.New(rand.NewPCG(1, 1)), 3))
		require.Equal(t, table(t, s, a.UserID), r.known)
		require.NoError(t, s.DB.Raw(`SELECT count(*) FROM transaction_changes`).Scan(&changed).Error)
		for id, modified := range before.known {
			if now, there := r.known[id]; there && now.Equal(modified) {
				continue
			}
			require.NotEqual(t, before.cursor, r.cursor)
		}
		return changed
	}
	require.Equal(t, 6, read(booked))
	require.Equal(t, 6, read(booked), "the same again")
	relabelled := slices.Clone(booked)
	relabelled[0].TransactionID = "another id"
	require.Equal(t, 6, read(relabelled))
	require.Equal(t, 6, read(relabelled[1:]), "missing once")
	require.Equal(t, 7, read(relabelled[1:]), "missing twice: removed")
	require.Equal(t, 8, read(relabelled), "back")
	relabelled[3].Remittance = []string{"said more clearly"}
	require.Equal(t, 9, read(relabelled), "modified")
	var changes []string
	require.NoError(t, s.DB.Raw(`SELECT change FROM transaction_changes ORDER BY position OFFSET 6`).Scan(&changes).Error)
	require.Equal(t, []string{"REMOVED", "ADDED", "MODIFIED"}, changes)
}

// A cursor is good for the user that it was given to, and only as it was given.
func TestCursorsOfOthers(t *testing.T) {
	t.Parallel()
	for _, c := range []models.Cursor{{}, {Position: 1}, {Position: 1 << 40}} {
		text := c.String("Ujane")
		read, err := models.ParseCursor("Ujane", text)
		require.NoError(t, err)
		require.Equal(t, c, read)
		_, err = models.ParseCursor("Ujohn", text)
		require.ErrorIs(t, err, models.ErrCursor)
		for i := range text {
			_, err = models.ParseCursor("Ujane", text[:i])
			require.ErrorIs(t, err, models.ErrCursor)
			for _, other := range "Aq_-=+ " {
				if changed := text[:i] + string(other) + text[i+1:]; changed != text {
					_, err = models.ParseCursor("Ujane", changed)
					require.ErrorIs(t, err, models.ErrCursor, changed)
				}
			}
		}
	}
}

// The feed goes with its user.
func TestFeedGoesWithItsUser(t *testing.T) {
	t.Parallel()
	s := open(t)
	b := teller{store: s, access: access(t, s).ID, random: rand.New(rand.NewPCG(1, 1))}
	require.NoError(t, b.live(t.Context(), 20))
	kept := teller{store: s, access: access(t, s).ID, random: b.random}
	require.NoError(t, kept.live(t.Context(), 20))
	count := func() (feeds, changes int) {
		require.NoError(t, s.DB.Raw(`SELECT (SELECT count(*) FROM feeds), (SELECT count(*) FROM transaction_changes)`).Row().Scan(&feeds, &changes))
		return feeds, changes
	}
	_, all := count()
	_, err := s.HideAccess(s.DB, b.access)
	require.NoError(t, err)
	require.NoError(t, s.DB.Exec(`UPDATE users SET deleted_at = now() WHERE id = (SELECT user_id FROM accesses WHERE id = ?)`, b.access).Error)
	require.NoError(t, s.DeleteAccess(t.Context(), b.access))
	feeds, changes := count()
	require.Equal(t, 1, feeds)
	require.Positive(t, changes)
	require.Less(t, changes, all)
}

// A database from before the feed begins it with what is stored.
func TestFeedBeginsWithWhatIsStored(t *testing.T) {
	t.Parallel()
	s := open(t)
	random := rand.New(rand.NewPCG(1, 1))
	a := access(t, s)
	for _, access := range []uuid.UUID{a.ID, access(t, s).ID} {
		b := teller{store: s, access: access, random: random}
		for range 5 {
			require.NoError(t, b.live(t.Context(), 20))
		}
	}
	script, err := fs.ReadFile(models.Migrations(), "00004_changes.sql")
	require.NoError(t, err)
	up, down, _ := strings.Cut(string(script), "-- +goose Down")
	conn, err := s.Pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	for _, statements := range []string{down, up} {
		_, err := conn.Conn().PgConn().Exec(t.Context(), statements).ReadAll()
		require.NoError(t, err)
	}
	r := reader{store: s, user: a.UserID, known: map[uuid.UUID]time.Time{}}
	require.NoError(t, r.catchUp(t.Context(), random, 10))
	require.NotEmpty(t, r.known)
	require.Equal(t, table(t, s, a.UserID), r.known)

	b := teller{store: s, access: a.ID, random: random}
	require.NoError(t, b.live(t.Context(), 20))
	require.NoError(t, r.catchUp(t.Context(), random, 10))
	require.Equal(t, table(t, s, a.UserID), r.known)
}

// What goes with an access or an account is told by the database to itself, in order: it costs this process nothing,
// however much it is. (Not parallel: it looks at the process's memory.)
func TestRemovalsStayInTheDatabase(t *testing.T) {
	s := open(t)
	for name, remove := range map[string]func(a models.Access, account uuid.UUID) error{
		"the access": func(a models.Access, _ uuid.UUID) error {
			return s.Transact(t.Context(), func(tx *gorm.DB) error {
				_, err := s.HideAccess(tx, a.ID)
				return err
			})
		},
		"the account": func(a models.Access, account uuid.UUID) error { return s.DeleteAccount(t.Context(), a.UserID, account) },
	} {
		t.Run(name, func(t *testing.T) {
			const all, before = 30_000, 7 // so many of them were removed by the bank
			a, account := access(t, s), models.NewID()
			require.NoError(t, s.DB.Exec(`INSERT INTO accounts (id, user_id, access_id, bank_id, identity, resource_id, type)
				VALUES (?, ?, ?, ?, 'x', 'x', 'Giro account')`, account, a.UserID, a.ID, a.BankID).Error)
			require.NoError(t, s.DB.Exec(`INSERT INTO transactions (id, account_id, day, booked, amount, currency, type, created_at, modified_at,
				created_by, modified_by, removed_at, facts)
				SELECT gen_random_uuid(), ?, '2026-01-01', true, 1, 'EUR', 'x', now(), now(), ?, ?, CASE WHEN n <= ? THEN now() END, ''
				FROM generate_series(1, ?) n`, account, account, account, before, all).Error)
			require.NoError(t, s.DB.Exec(`INSERT INTO feeds (user_id, position) VALUES (?, 5)`, a.UserID).Error)

			var begun, done runtime.MemStats
			runtime.ReadMemStats(&begun)
			require.NoError(t, remove(a, account))
			runtime.ReadMemStats(&done)
			require.Less(t, done.TotalAlloc-begun.TotalAlloc, uint64(200*all), "bytes; with the ids in this process it were 1,800 for each")

			var head, first, last, count int
			var ordered bool
			require.NoError(t, s.DB.Raw(`SELECT f.position, min(c.position), max(c.position), count(*), bool_and(c.n = c.position - 5)
				FROM feeds f JOIN (SELECT *, row_number() OVER (PARTITION BY feed ORDER BY transaction_id) AS n FROM transaction_changes) c ON c.feed = f.id
				WHERE f.user_id = ? GROUP BY f.position`, a.UserID).Row().Scan(&head, &first, &last, &count, &ordered))
			require.Equal(t, []int{5 + all - before, 6, 5 + all - before, all - before}, []int{head, first, last, count})
			require.True(t, ordered)
		})
	}
}
