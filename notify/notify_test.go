package notify_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/testground"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/notify"
	"github.com/kontoflow/kontoflow/rules"
)

// patience bounds the waits of these tests; nothing here measures time.
const patience = 3 * time.Minute

// sender is a database with one user, and a deliverer. Its clock stands still.
type sender struct {
	t     *testing.T
	store *models.Store
	user  string // whose the following is
	log   *testground.Log
	*notify.Deliverer

	mu  sync.Mutex
	now time.Time

	client uuid.UUID
	bank   models.Bank
	method models.AccessMethod
}

func newSender(t *testing.T, o notify.Options) *sender {
	t.Helper()
	s := &sender{t: t, now: time.Now().UTC().Truncate(time.Millisecond), log: &testground.Log{}}
	s.store = testground.Store(t, models.WithClock(s.time))
	s.anotherClient()
	s.bank = models.Bank{ID: models.NewID(), Kind: "BANK", Name: "Bank", Country: "DE"}
	require.NoError(t, s.store.DB.Create(&s.bank).Error)
	s.method = models.AccessMethod{ID: models.NewID(), BankID: s.bank.ID, Type: "API"}
	require.NoError(t, s.store.SealConnection(&s.method, banks.Connection{Protocol: "XS2A", URL: "https://bank.example"}))
	require.NoError(t, s.store.DB.Create(&s.method).Error)
	o.Store, o.Logger = s.store, slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	s.Deliverer = notify.New(o)
	return s
}

// anotherClient goes on with a user of another client.
func (s *sender) anotherClient() {
	s.t.Helper()
	client, _, err := s.store.CreateClient(s.t.Context(), uuid.NewString())
	require.NoError(s.t, err)
	s.client = client.ID
	s.anotherUser()
}

// anotherUser goes on with another user of the same client.
func (s *sender) anotherUser() {
	s.t.Helper()
	user := models.User{ID: "U" + uuid.NewString(), ClientID: s.client, Email: uuid.NewString(), PasswordHash: "-", CreatedAt: time.Now()}
	require.NoError(s.t, s.store.DB.Create(&user).Error)
	s.user = user.ID
}

func (s *sender) time() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now
}

func (s *sender) advance(to time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now = to
}

// access is one more thing to observe.
func (s *sender) access() uuid.UUID {
	s.t.Helper()
	a := models.Access{ID: models.NewID(), UserID: s.user, BankID: s.bank.ID, AccessMethodID: s.method.ID, Status: rules.AccessActive, CreatedAt: s.time()}
	require.NoError(s.t, s.store.DB.Create(&a).Error)
	return a.ID
}

// observe lets a receiver hear of all accesses.
func (s *sender) observe(uri string) (models.Notification, models.Target) {
	s.t.Helper()
	n, target, err := s.store.CreateNotification(s.t.Context(), s.user, models.ObserveAccesses, uri, "my words")
	require.NoError(s.t, err)
	return n, target
}

// announce makes events of an access, numbered from one on.
func (s *sender) announce(access uuid.UUID, count int) {
	s.t.Helper()
	for n := range count {
		require.NoError(s.t, s.store.Transact(s.t.Context(), func(tx *gorm.DB) error {
			return models.AnnounceAccess(tx, access, models.EventStatusChanged, map[string]any{"n": n + 1})
		}))
	}
}

func (s *sender) deliver() {
	s.t.Helper()
	require.NoError(s.t, s.Deliver(s.t.Context()))
}

// next is when the next attempt is due; false: none is.
func (s *sender) next() (time.Time, bool) {
	s.t.Helper()
	var at *time.Time
	require.NoError(s.t, s.store.DB.Raw(`SELECT min(next_at) FROM notification_queues`).Row().Scan(&at))
	if at == nil {
		return time.Time{}, false
	}
	return at.UTC(), true
}

// arrival is a request that a receiver got.
type arrival struct {
	at     time.Time
	header http.Header
	body   []byte
	status int

	NotificationID uuid.UUID      `json:"notification_id"`
	EventID        uuid.UUID      `json:"event_id"`
	State          string         `json:"state"`
	CreatedAt      time.Time      `json:"created_at"`
	Data           map[string]any `json:"data"`
}

func (a arrival) access() string { return a.Data["access_id"].(string) }
func (a arrival) n() int         { return int(a.Data["n"].(float64)) }

// receiver keeps what arrives.
type receiver struct {
	*httptest.Server
	mu       sync.Mutex
	arrivals []arrival
}

// newReceiver answers every request as answer says: a status, or what it does itself.
func newReceiver(t *testing.T, clock func() time.Time, answer func(w http.ResponseWriter, a *arrival) int) *receiver {
	t.Helper()
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		a := arrival{at: clock(), header: q.Header}
		var err error
		if a.body, err = io.ReadAll(q.Body); err != nil {
			return
		}
		if err := json.Unmarshal(a.body, &a); err != nil {
			t.Errorf("what arrived is not JSON: %v", err)
		}
		if a.status = answer(w, &a); a.status != 0 {
			w.WriteHeader(a.status)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		r.arrivals = append(r.arrivals, a)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) got() []arrival {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]arrival(nil), r.arrivals...)
}

func always(status int) func(http.ResponseWriter, *arrival) int {
	return func(http.ResponseWriter, *arrival) int { return status }
}

func TestDeliveries(t *testing.T) {
	t.Parallel()
	s := newSender(t, notify.Options{Loopback: true})
	r := newReceiver(t, s.time, always(204))
	n, _ := s.observe(r.URL + "/hook?token=t0ken")
	first, second := s.access(), s.access()
	s.announce(first, 20)
	s.announce(second, 3)
	s.deliver()

	arrivals := r.got()
	require.Len(t, arrivals, 23)
	order := map[string][]int{}
	ids := map[uuid.UUID]bool{}
	for _, a := range arrivals {
		order[a.access()] = append(order[a.access()], a.n())
		ids[a.EventID] = true
		require.Equal(t, a.EventID.String(), a.header.Get("webhook-id"))
		require.Equal(t, fmt.Sprint(s.time().Unix()), a.header.Get("webhook-timestamp"))
		require.Equal(t, "application/json", a.header.Get("Content-Type"))
		require.Equal(t, s.time(), a.CreatedAt)
	}
	require.Len(t, ids, 23)
	for name, want := range map[uuid.UUID]int{first: 20, second: 3} {
		require.Len(t, order[name.String()], want)
		require.IsIncreasing(t, order[name.String()])
	}
	var body map[string]any
	require.NoError(t, json.Unmarshal(arrivals[0].body, &body))
	delete(body, "event_id")
	delete(body, "created_at")
	require.Equal(t, map[string]any{"notification_id": n.ID.String(), "observe_key": "/rest/accesses", "state": "my words",
		"data": map[string]any{"access_id": arrivals[0].access(), "event": "STATUS_CHANGED", "status": "ACTIVE", "n": float64(arrivals[0].n())}}, body)

	var left int
	require.NoError(t, s.store.DB.Raw(`SELECT (SELECT count(*) FROM notification_events) + (SELECT count(*) FROM notification_queues)`).Row().Scan(&left))
	require.Zero(t, left, "what was delivered is gone")
}

// Changes are made while two workers deliver: everything arrives, once, and in order for each thing; nothing is left.
func TestWorkersSideBySide(t *testing.T) {
	t.Parallel()
	s := newSender(t, notify.Options{Loopback: true})
	r := newReceiver(t, s.time, always(http.StatusOK))
	s.observe(r.URL)
	s.observe(r.URL)
	const things, changes = 8, 40
	ctx, stop := context.WithCancel(t.Context())
	var workers, changing sync.WaitGroup
	for _, d := range []*notify.Deliverer{s.Deliverer, notify.New(notify.Options{Store: s.store, Loopback: true, Logger: slog.New(slog.DiscardHandler)})} {
		workers.Go(func() { d.Run(ctx) })
	}
	for range things {
		thing := s.access()
		changing.Go(func() { s.announce(thing, changes) })
	}
	changing.Wait()
	require.Eventually(t, func() bool {
		var left int
		err := s.store.DB.Raw(`SELECT (SELECT count(*) FROM notification_events) + (SELECT count(*) FROM notification_queues)`).Row().Scan(&left)
		return err == nil && left == 0
	}, patience, 20*time.Millisecond)
	stop()
	workers.Wait()

	order := map[string][]int{}
	for _, a := range r.got() {
		lane := a.NotificationID.String() + a.access()
		order[lane] = append(order[lane], a.n())
	}
	require.Len(t, order, 2*things)
	for _, numbers := range order {
		require.Len(t, numbers, changes)
		require.IsIncreasing(t, numbers)
	}
}
