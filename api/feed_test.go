package api_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/rules"
)

// synchronized stores what the bank sends for the access's only account, as the worker does: in pages of the given size
// the first time, as a window later.
func (u *user) synchronized(ctx context.Context, access string, sent []banks.Entry, size int) (account string, err error) {
	y := models.Synchronization{ID: models.NewID(), AccessID: uuid.MustParse(access), Status: rules.Queued, Trigger: rules.Manual,
		Scope: models.Strings{rules.ScopeTransactions}, CreatedAt: u.store.Now()}
	err = u.store.Transact(ctx, func(tx *gorm.DB) error {
		var there bool
		err := tx.Raw(`SELECT true FROM accesses WHERE id = ? AND deleted_at IS NULL FOR SHARE`, access).Scan(&there).Error
		if err == nil && !there {
			err = models.ErrNotFound
		}
		if err != nil {
			return err
		}
		return models.CreateSynchronization(tx, &y)
	})
	if err != nil {
		return "", err
	}
	session, err := u.store.OpenSession(ctx, y.ID)
	if err != nil {
		return "", err
	}
	var work []models.SyncAccount
	err = u.store.Transact(ctx, func(tx *gorm.DB) (err error) {
		if err := session.Lock(tx); err != nil {
			return err
		}
		work, err = session.PutAccounts(tx, []banks.Account{{ResourceID: "1", IBAN: "DE67900900424711951500", Currency: "EUR", Type: banks.Giro}})
		return err
	})
	if err != nil {
		return "", err
	}
	if len(work) == 0 { // the client deleted it
		return "", models.ErrAccountDeleted
	}
	r, err := u.store.OpenReading(ctx, y.ID, work[0].AccountID)
	if err != nil {
		return "", err
	}
	if r.First {
		for pages := slices.Collect(slices.Chunk(slices.Clone(sent), size)); err == nil && len(pages) > 0; pages = pages[1:] {
			page := banks.Page{Entries: pages[0], Next: "more"}
			if len(pages) == 1 {
				page.Next = ""
			}
			err = r.PutPage(ctx, &page, u.store.Now())
		}
	} else {
		err = r.PutWindow(ctx, slices.Clone(sent), nil, banks.Window{}, true, u.store.Now())
	}
	if err != nil {
		return "", err
	}
	_, err = u.store.End(ctx, y.ID, 0)
	return work[0].AccountID.String(), err
}

func payment(id int) banks.Entry {
	return banks.Entry{TransactionID: fmt.Sprint(id), Pending: true, Amount: decimal.New(int64(id), -2), Currency: "EUR",
		Remittance: []string{fmt.Sprint("payment ", id)}}
}

// A follower of a user's changes has what they were told of, by id.
type follower struct {
	*user
	cursor string
	told   map[string]any
}

// poll applies one answer. What is added has to be new, and what is modified or removed known.
func (f *follower) poll(count int) (more bool) {
	query := url.Values{"count": {fmt.Sprint(count)}}
	if f.cursor != "" {
		query.Set("cursor", f.cursor)
	}
	r := f.do("GET", "/rest/transactions/changes?"+query.Encode(), nil).expect(http.StatusOK)
	for list, known := range map[string]bool{"added": false, "modified": true} {
		for _, item := range r.at(list).([]any) {
			id := item.(map[string]any)["transaction_id"].(string)
			_, is := f.told[id]
			require.Equal(f.t, known, is, "%s %s", list, id)
			f.told[id] = item
		}
	}
	for _, id := range r.at("removed").([]any) {
		require.Contains(f.t, f.told, id)
		delete(f.told, id.(string))
	}
	f.cursor = r.at("cursor").(string)
	return r.at("has_more").(bool)
}

// table is everything that GET /rest/transactions shows, by id.
func (u *user) table() map[string]any {
	u.t.Helper()
	all := make(map[string]any)
	for _, item := range u.do("GET", "/rest/transactions?count=10000&include_pending=true", nil).expect(http.StatusOK).at("transactions").([]any) {
		all[item.(map[string]any)["transaction_id"].(string)] = item
	}
	return all
}

// A reader of the changes feed beside 8 writers ends with exactly the table: transactions are added, modified, removed
// and brought back, accounts and accesses deleted, all at once. Whoever reads in small pages, in large ones, or begins
// in the middle, is told of every change once, and of nothing that they do not know.
func TestChangesBesideWriters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	const writers, rounds = 8, 30
	var writing sync.WaitGroup
	for n := range writers {
		writing.Go(func() {
			random := rand.New(rand.NewPCG(8, uint64(n)))
			access, number, sent, gone := u.access(), n*1_000_000, []banks.Entry(nil), []banks.Entry(nil)
			for round := range rounds {
				for range 1 + random.IntN(20) {
					i := random.IntN(1 + len(sent))
					switch dice := random.IntN(10); {
					case i == len(sent), dice < 5:
						number++
						sent = append(sent, payment(number))
					case dice < 7:
						number++
						sent[i].Remittance = []string{fmt.Sprintf("payment, amended %d", number)}
					case dice < 9, len(gone) == 0:
						gone = append(gone, sent[i])
						sent = slices.Delete(sent, i, i+1)
					default:
						sent = append(sent, gone[0])
						gone = gone[1:]
					}
				}
				account, err := u.synchronized(t.Context(), access, sent, 1+random.IntN(10))
				if err != nil {
					t.Errorf("writer %d, round %d: %v", n, round, err)
					return
				}
				if round == 6+n || round == 16+n { // in the middle of what the others do
					deleted := "/rest/accounts/" + account
					if n%2 == 0 {
						deleted = "/rest/accesses/" + access
					}
					u.do("DELETE", deleted, nil).expect(http.StatusNoContent)
					access, sent, gone = u.access(), sent[:len(sent)/2], nil
				}
			}
		})
	}
	written := make(chan struct{})
	go func() { defer close(written); writing.Wait() }()

	var reading sync.WaitGroup
	polls := make([]int, 4)
	for n, most := range []int{1, 7, 60, 1000} {
		reading.Go(func() {
			random := rand.New(rand.NewPCG(9, uint64(n)))
			f := follower{user: u, told: make(map[string]any)}
			for done := false; !done; polls[n]++ {
				select {
				case <-written:
					done = true
				default:
				}
				if done { // everything is written: read on to the end
					for more := true; more; {
						more = f.poll(10 * most)
					}
				} else if f.poll(1 + random.IntN(most)); random.IntN(300) == 0 && n > 0 {
					f = follower{user: u, told: make(map[string]any)} // from the beginning
				}
			}
			require.Equal(t, u.table(), f.told)
		})
	}
	reading.Wait()
	var entries int
	require.NoError(t, w.store.DB.Raw(`SELECT count(*) FROM transaction_changes`).Scan(&entries).Error)
	t.Logf("%d changes, %d transactions in the end; answers until the last writer was done: %v", entries, len(u.table()), polls)
	require.Greater(t, entries, writers*rounds)
	require.NotEmpty(t, u.table())
}

// What an answer holds: each transaction once, as it is now.
func TestChangesOnTheWire(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	const path = "/rest/transactions/changes"
	begin := u.do("GET", path, nil).expect(http.StatusOK)
	require.Equal(t, []any{}, begin.at("added"))
	require.Equal(t, false, begin.at("has_more"))

	access := u.access()
	store := func(sent ...banks.Entry) {
		_, err := u.synchronized(t.Context(), access, sent, 10)
		require.NoError(t, err)
	}
	changes := func(cursor any, more string) *reply {
		return u.do("GET", fmt.Sprintf("%s?cursor=%s%s", path, cursor, more), nil).expect(http.StatusOK)
	}
	listed := func(r *reply, list string) (purposes []any) {
		for _, item := range r.at(list).([]any) {
			purposes = append(purposes, item.(map[string]any)["purpose"])
		}
		return purposes
	}
	amended := payment(1)
	amended.Remittance = []string{"amended"}

	store(payment(1), payment(2), payment(3))
	first := changes(begin.at("cursor"), "")
	require.Equal(t, []any{"payment 1", "payment 2", "payment 3"}, listed(first, "added"))
	require.Contains(t, string(first.raw), `"amount":0.01,`)
	require.Contains(t, string(changes(begin.at("cursor"), "&cents=true").raw), `"amount":1,`)
	one := first.at("added").([]any)[0].(map[string]any)
	require.Equal(t, any(one), u.table()[one["transaction_id"].(string)], "as in the list of transactions")

	store(amended, payment(2), payment(4)) // 1 modified, 3 removed, 4 added
	store(amended, payment(3), payment(5)) // 2 removed, 3 back, 4 removed, 5 added
	since := changes(first.at("cursor"), "")
	require.Equal(t, []any{"payment 5"}, listed(since, "added"), "4 came and went")
	require.Equal(t, []any{"amended", "payment 3"}, listed(since, "modified"), "3 went and came")
	require.Len(t, since.at("removed"), 1)
	require.Equal(t, false, since.at("has_more"))
	require.Equal(t, []any{"amended", "payment 3", "payment 5"}, listed(u.do("GET", path, nil).expect(http.StatusOK), "added"))
	again := changes(since.at("cursor"), "")
	require.Equal(t, []any{}, again.at("added"))
	require.Equal(t, since.at("cursor"), again.at("cursor"))

	// has_more says exactly whether the log goes on: it has 10 entries.
	require.Equal(t, true, u.do("GET", path+"?count=9", nil).expect(http.StatusOK).at("has_more"))
	require.Equal(t, false, u.do("GET", path+"?count=10", nil).expect(http.StatusOK).at("has_more"))

	// An account that moves to another access changes nothing; its deletion removes what is on it.
	other := u.access()
	require.NoError(t, w.store.DB.Exec(`UPDATE accounts SET access_id = ? WHERE access_id = ?`, other, access).Error)
	require.Empty(t, changes(since.at("cursor"), "").at("modified"))
	u.do("DELETE", "/rest/accesses/"+other, nil).expect(http.StatusNoContent)
	require.Len(t, changes(since.at("cursor"), "").at("removed"), 3)
	require.Empty(t, u.do("GET", path, nil).expect(http.StatusOK).at("removed"), "who knows nothing is told of no removal")

	stranger := w.tenant().user()
	require.Empty(t, stranger.do("GET", path, nil).expect(http.StatusOK).at("added"))
	cursor := since.at("cursor").(string)
	stranger.do("GET", path+"?cursor="+cursor, nil).fails(http.StatusBadRequest, 1000, "cursor")
	future := models.Cursor{Position: 1_000_000}.String(u.id)
	for _, bad := range []string{"x", "", cursor + "AA", cursor[:len(cursor)-1], strings.ToLower(cursor), future, models.Cursor{Position: -1}.String(u.id), strings.Repeat("A", 5000)} {
		u.do("GET", path+"?cursor="+bad, nil).fails(http.StatusBadRequest, 1000, "cursor")
	}
	for query, field := range map[string]string{"count=0": "count", "count=10001": "count", "cents=maybe": "cents"} {
		u.do("GET", path+"?"+query, nil).fails(http.StatusBadRequest, 1000, field)
	}
	narrow := w.call("POST", "/auth/token", u.authorization(), map[string]any{"grant_type": "client_credentials", "user_id": u.id, "scope": "accounts=ro"})
	w.call("GET", path, "Bearer "+narrow.expect(http.StatusOK).at("access_token").(string), nil).fails(http.StatusForbidden, 1007)

	// After a year and a month, what is superseded is forgotten.
	_, err := w.store.CompactChanges(t.Context(), time.Now().Add(time.Hour), 1000)
	require.NoError(t, err)
	refused := u.do("GET", path+"?cursor="+cursor, nil).fails(http.StatusBadRequest, 1000, "cursor")
	require.Contains(t, string(refused.raw), "begin again without one")
	u.do("GET", path, nil).expect(http.StatusOK)
}

// The user is deleted with all their accesses while transactions are stored for each: nobody waits for another in circles.
func TestUserDeletedBesideWriters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for range 10 {
		u := w.tenant().user()
		var writing sync.WaitGroup
		for range 4 {
			access := u.access()
			writing.Go(func() {
				var sent []banks.Entry
				for n := range 6 {
					sent = append(sent, payment(n))
					_, err := u.synchronized(t.Context(), access, sent, 1)
					if errors.Is(err, models.ErrAccountDeleted) || errors.Is(err, models.ErrOvertaken) || errors.Is(err, models.ErrNotFound) ||
						errors.Is(err, models.ErrCancelled) || errors.Is(err, models.ErrEdge) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
				}
			})
		}
		u.do("DELETE", "/rest/user", map[string]any{"password": password}).expect(http.StatusNoContent)
		writing.Wait()
	}
}
