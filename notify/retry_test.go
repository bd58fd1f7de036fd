package notify_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/notify"
)

// waits are the documented pauses between attempts; the last one repeats, and each may be up to a tenth longer.
var waits = []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour}

// live lets time pass, from one attempt to the next, until nothing is due any more or stop says so. Just before each it
// looks whether one comes too early.
func (s *sender) live(r *receiver, stop func() bool) {
	s.t.Helper()
	s.deliver()
	for !stop() {
		at, due := s.next()
		if !due {
			return
		}
		before := len(r.got())
		s.advance(at.Add(-time.Millisecond))
		s.deliver()
		require.Len(s.t, r.got(), before, "an attempt came too early")
		s.advance(at)
		s.deliver()
		require.Greater(s.t, len(r.got()), before, "an attempt is overdue")
	}
}

func never() bool { return false }

func TestRetriedForThreeDaysThenParked(t *testing.T) {
	t.Parallel()
	s := newSender(t, notify.Options{Loopback: true})
	answer := http.StatusInternalServerError
	r := newReceiver(t, s.time, func(http.ResponseWriter, *arrival) int { return answer })
	n, target := s.observe(r.URL + "/hook?token=t0ken")
	thing := s.access()
	begun := s.time()
	s.announce(thing, 1)
	s.live(r, func() bool { return len(r.got()) == 4 })
	later := s.time().Sub(begun)
	s.announce(thing, 1) // behind the one that fails
	s.live(r, never)
	all := r.got()
	first := slices.IndexFunc(all, func(a arrival) bool { return a.EventID != all[0].EventID })
	require.Greater(t, first, 0, "the second one is tried when the first is given up")
	attempts := all[:first]
	require.Equal(t, begun, attempts[0].at)
	for i, a := range attempts {
		require.Equal(t, attempts[0].EventID, a.EventID)
		require.Equal(t, attempts[0].body, a.body)
		if i == 0 {
			continue
		}
		wait := waits[min(i-1, len(waits)-1)]
		waited := a.at.Sub(attempts[i-1].at)
		if i < len(attempts)-1 {
			require.GreaterOrEqual(t, waited, wait, "attempt %d", i+1)
		}
		require.LessOrEqual(t, waited, wait+wait/10, "attempt %d", i+1)
	}
	require.Equal(t, begun.Add(72*time.Hour), attempts[len(attempts)-1].at, "the last attempt is at the end of the third day")
	require.InDelta(t, 40, len(attempts), 3)

	// The second one has its own three days: the rest of them is left.
	second := all[first:]
	require.Equal(t, begun.Add(72*time.Hour), second[0].at)
	require.Equal(t, begun.Add(72*time.Hour+later), second[len(second)-1].at)
	require.Contains(t, []int{4, 5}, len(second), "chance decides whether the third pause ends before or at its end")

	parked, err := s.store.ParkedDeliveries(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, parked, 2)
	require.Equal(t, models.ParkedDelivery{ID: attempts[0].EventID, NotificationID: n.ID, ObserveKey: "/rest/accesses", Receiver: r.Listener.Addr().String(),
		LastError: "HTTP_500", Attempts: len(attempts), CreatedAt: begun, ParkedAt: begun.Add(72 * time.Hour)}, utc(parked[0]))

	// The lane goes on; what is retried comes behind it, in its old order.
	answer = http.StatusOK
	retried, err := s.store.RetryParked(t.Context())
	require.NoError(t, err)
	require.Equal(t, 2, retried)
	s.deliver()
	after := r.got()[len(all):]
	require.Equal(t, []uuid.UUID{parked[0].ID, parked[1].ID}, []uuid.UUID{after[0].EventID, after[1].EventID})
	require.Len(t, after, 2)
	require.Equal(t, begun, after[0].CreatedAt)

	for _, secret := range []string{"t0ken", target.Secret, r.URL} {
		require.NotContains(t, s.log.String(), secret)
	}
	require.Contains(t, s.log.String(), "HTTP_500")
}

func utc(p models.ParkedDelivery) models.ParkedDelivery {
	p.CreatedAt, p.ParkedAt = p.CreatedAt.UTC(), p.ParkedAt.UTC()
	return p
}

func TestParkedIsForgottenAfterThirtyDays(t *testing.T) {
	t.Parallel()
	s := newSender(t, notify.Options{Loopback: true})
	r := newReceiver(t, s.time, always(http.StatusGone))
	s.observe(r.URL)
	s.announce(s.access(), 1)
	s.live(r, never)
	count := func() int {
		require.NoError(t, s.Tidy(t.Context()))
		parked, err := s.store.ParkedDeliveries(t.Context(), 10)
		require.NoError(t, err)
		return len(parked)
	}
	s.advance(s.time().Add(30*24*time.Hour - time.Second))
	require.Equal(t, 1, count())
	s.advance(s.time().Add(2 * time.Second))
	require.Equal(t, 0, count())
}

// What arrived, in which order, how often.
func TestFiveHundredForAnHour(t *testing.T) {
	t.Parallel()
	s := newSender(t, notify.Options{Loopback: true})
	begun := s.time()
	r := newReceiver(t, s.time, func(http.ResponseWriter, *arrival) int {
		if s.time().Before(begun.Add(time.Hour)) {
			return http.StatusInternalServerError
		}
		return http.StatusOK
	})
	s.observe(r.URL)
	first, second := s.access(), s.access()
	s.announce(first, 3)
	s.announce(second, 2)
	s.live(r, never)

	taken := map[string][]int{}
	tries := map[string]map[int]int{first.String(): {}, second.String(): {}}
	for _, a := range r.got() {
		tries[a.access()][a.n()]++
		if a.status == http.StatusOK {
			taken[a.access()] = append(taken[a.access()], a.n())
		}
	}
	require.Equal(t, map[string][]int{first.String(): {1, 2, 3}, second.String(): {1, 2}}, taken)
	// At once and after 5 s, 35 s, 2½, 12½ and 42½ minutes it failed; after 1 h 42 it was taken, and what waited behind it
	// came once.
	require.Equal(t, map[int]int{1: 7, 2: 1, 3: 1}, tries[first.String()])
	require.Equal(t, map[int]int{1: 7, 2: 1}, tries[second.String()])
	require.Less(t, s.time().Sub(begun), 2*time.Hour)
}

// One thing that a receiver chokes on delays nothing else of the same notification.
func TestLanesDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	s := newSender(t, notify.Options{Loopback: true})
	bad := s.access()
	r := newReceiver(t, s.time, func(_ http.ResponseWriter, a *arrival) int {
		if a.access() == bad.String() {
			return http.StatusInternalServerError
		}
		return http.StatusNoContent
	})
	s.observe(r.URL)
	s.announce(bad, 5)
	for range 9 {
		s.announce(s.access(), 2)
	}
	s.deliver()
	counts := map[int]int{}
	for _, a := range r.got() {
		counts[a.status]++
	}
	require.Equal(t, map[int]int{204: 18, 500: 1}, counts)
}

// A worker that dies in the middle of a delivery: the same comes again, with the same id, and then what waited behind it.
func TestWorkerDies(t *testing.T) {
	t.Parallel()
	s := newSender(t, notify.Options{Loopback: true})
	r := newReceiver(t, s.time, always(http.StatusOK))
	s.observe(r.URL)
	s.announce(s.access(), 2)
	_, err := s.store.QueueAnnounced(t.Context(), 10)
	require.NoError(t, err)
	held, err := s.store.Lease(t.Context(), s.time().Add(30*time.Second), func(due []models.Receiver) models.Limits {
		return models.Limits{Rounds: 1, Strangers: 1, PerUser: 1, Lanes: 1, Receivers: []models.ReceiverLimit{{Receiver: due[0], Rounds: 1, AtHost: 1, OfKind: 1}}}
	})
	require.NoError(t, err)
	require.Len(t, held, 1) // and its worker is gone

	s.deliver()
	require.Empty(t, r.got(), "the lease holds")
	s.advance(s.time().Add(31 * time.Second))
	s.deliver()
	got := r.got()
	require.Len(t, got, 2)
	require.Equal(t, held[0].Deliveries[0].ID, got[0].EventID)
	require.Equal(t, 2, got[1].n())

	require.ErrorIs(t, s.store.Settle(t.Context(), held[0], []models.Result{{}}), models.ErrOvertaken, "and if it was only slow, it changes nothing")
}

// A database that hangs while results are stored does not keep a worker from stopping; the deliveries come again.
func TestDatabaseHangs(t *testing.T) {
	t.Parallel()
	s := newSender(t, notify.Options{Loopback: true, Storing: time.Second})
	ctx, stop := context.WithCancel(t.Context())
	hold, err := s.store.Pool.Begin(t.Context())
	require.NoError(t, err)
	held := make(chan error, 1)
	r := newReceiver(t, s.time, func(_ http.ResponseWriter, a *arrival) int {
		if ctx.Err() == nil { // the first time
			_, err := hold.Exec(ctx, `SELECT FROM notification_queues FOR UPDATE`)
			held <- err
			stop()
		}
		return http.StatusOK
	})
	s.observe(r.URL)
	s.announce(s.access(), 1)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.Run(ctx)
	}()
	require.NoError(t, <-held)
	select {
	case <-ended:
	case <-time.After(patience):
		require.NoError(t, hold.Rollback(t.Context()))
		require.Fail(t, "it waits for the database for ever")
	}
	require.Contains(t, s.log.String(), "they will be delivered again")

	require.NoError(t, hold.Rollback(t.Context()))
	s.advance(s.time().Add(12 * time.Second)) // the patience with a receiver, and that with the database
	deadline := time.Now().Add(patience)
	for len(r.got()) < 2 { // the database still has to notice that nobody waits for its answer any more
		require.True(t, time.Now().Before(deadline), "it is not delivered again")
		s.deliver()
	}
	require.Equal(t, r.got()[0].EventID, r.got()[1].EventID)
}

// turnTo changes where a notification's deliveries go.
func turnTo(uri string) func(*models.Notification, *models.Target) error {
	return func(_ *models.Notification, to *models.Target) error { to.URI = uri; return nil }
}

// Another address is tried at once with what waits; a deleted notification with nothing.
func TestChangedReceiver(t *testing.T) {
	t.Parallel()
	s := newSender(t, notify.Options{Loopback: true})
	bad := newReceiver(t, s.time, always(http.StatusInternalServerError))
	good := newReceiver(t, s.time, always(http.StatusOK))
	n, _ := s.observe(bad.URL)
	s.announce(s.access(), 3)
	s.deliver()
	require.Len(t, bad.got(), 1)
	_, _, err := s.store.UpdateNotification(t.Context(), s.user, n.ID, turnTo(good.URL))
	require.NoError(t, err)
	s.deliver()
	require.Len(t, good.got(), 3)
	require.IsIncreasing(t, []int{good.got()[0].n(), good.got()[1].n(), good.got()[2].n()})

	gone, _ := s.observe(bad.URL)
	s.announce(s.access(), 1)
	s.deliver()
	require.Len(t, bad.got(), 2)
	require.NoError(t, s.store.DeleteNotification(t.Context(), s.user, gone.ID))
	s.advance(s.time().Add(time.Minute))
	s.deliver()
	require.Len(t, bad.got(), 2)
}

// Another address inherits nothing from the one before: neither its pauses, nor the attempt that still hangs there.
func TestChangedReceiverInheritsNothing(t *testing.T) {
	t.Parallel()
	s := newSender(t, notify.Options{Loopback: true})
	hangs, gone := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(gone) })
	var asked atomic.Int32
	bad := newReceiver(t, s.time, func(http.ResponseWriter, *arrival) int {
		if asked.Add(1) == 3 {
			close(hangs)
			<-gone
		}
		return http.StatusInternalServerError
	})
	status := http.StatusInternalServerError
	good := newReceiver(t, s.time, func(http.ResponseWriter, *arrival) int { return status })
	t.Cleanup(release) // runs before the servers close
	n, _ := s.observe(bad.URL)
	s.announce(s.access(), 1)
	s.live(bad, func() bool { return len(bad.got()) == 2 })
	at, _ := s.next()
	s.advance(at)
	third := make(chan error, 1)
	go func() { third <- s.Deliver(context.WithoutCancel(t.Context())) }()
	<-hangs

	_, _, err := s.store.UpdateNotification(t.Context(), s.user, n.ID, turnTo(good.URL))
	require.NoError(t, err)
	other := notify.New(notify.Options{Store: s.store, Loopback: true, Logger: slog.New(slog.DiscardHandler)})
	require.NoError(t, other.Deliver(t.Context()))
	require.Len(t, good.got(), 1, "at once")
	release()
	require.NoError(t, <-third)
	at, _ = s.next()
	require.WithinRange(t, at, s.time().Add(waits[0]), s.time().Add(waits[0]+waits[0]/10))
	status = http.StatusOK
	s.advance(at)
	s.deliver()
	require.Len(t, good.got(), 2)
	require.Len(t, bad.got(), 3)
	_, waiting := s.next()
	require.False(t, waiting)
}

// Receivers that hang beside one that lives: everything for the living one arrives while the others have not answered
// once.
func TestDeadReceiverCostsOthersNothing(t *testing.T) {
	t.Parallel()
	s := newSender(t, notify.Options{Loopback: true})
	release := make(chan struct{})
	var dead []*receiver
	for range 3 {
		dead = append(dead, newReceiver(t, s.time, func(_ http.ResponseWriter, _ *arrival) int { <-release; return http.StatusOK }))
	}
	t.Cleanup(func() { close(release) }) // runs before the servers close
	live := newReceiver(t, s.time, always(http.StatusOK))
	things := make([]uuid.UUID, 40)
	for i := range things {
		things[i] = s.access()
	}
	for range 40 { // many notifications at each dead one: more than a worker serves at once
		for _, r := range dead {
			s.observe(r.URL)
		}
	}
	s.observe(live.URL)
	for _, thing := range things {
		s.announce(thing, 2)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); s.Run(ctx) }()
	require.Eventually(t, func() bool { return len(live.got()) == 80 }, patience, 10*time.Millisecond)
	stop()
	for _, r := range dead {
		require.Empty(t, r.got(), "none of the dead ones has answered yet")
	}
	order := map[string][]int{}
	for _, a := range live.got() {
		order[a.access()] = append(order[a.access()], a.n())
	}
	for _, thing := range things {
		require.Equal(t, []int{1, 2}, order[thing.String()])
	}
	<-done
}

// hanging are receivers that never answer, and how many attempts hang there.
func hanging(t *testing.T, n int) (uris []string, hang func() int) {
	t.Helper()
	var held atomic.Int32
	gone := make(chan struct{})
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) { held.Add(1); <-gone })}
	for range n {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		go func() { _ = server.Serve(listener) }()
		uris = append(uris, "http://"+listener.Addr().String())
	}
	t.Cleanup(func() { close(gone); server.Close() })
	return uris, func() int { return int(held.Load()) }
}

// run lets the deliverer run until the test ends.
func (s *sender) run() {
	done := make(chan struct{})
	ctx, stop := context.WithCancel(s.t.Context())
	go func() { defer close(done); s.Run(ctx) }()
	s.t.Cleanup(func() { stop(); <-done })
}

// A user with more receivers that hang than a worker serves at once: another's, which nobody has asked yet, is served.
func TestUserWithManyHangingReceivers(t *testing.T) {
	t.Parallel()
	s := newSender(t, notify.Options{Loopback: true, Patience: time.Hour})
	s.run()
	uris, hang := hanging(t, 300)
	for _, uri := range uris {
		s.observe(uri)
	}
	s.announce(s.access(), 2)
	require.Eventually(t, func() bool { return hang() >= 32 }, patience, 10*time.Millisecond)
	s.anotherUser()
	live := newReceiver(t, s.time, always(http.StatusOK))
	s.observe(live.URL)
	s.announce(s.access(), 2)
	require.Eventually(t, func() bool { return len(live.got()) == 2 }, patience, 10*time.Millisecond)
	require.Equal(t, 32, hang())
}

// Many users whose receivers hang: one that is known to answer is served.
func TestManyHangingReceivers(t *testing.T) {
	t.Parallel()
	s := newSender(t, notify.Options{Loopback: true, Patience: time.Hour})
	live := newReceiver(t, s.time, always(http.StatusOK))
	s.observe(live.URL)
	thing := s.access()
	s.announce(thing, 1)
	s.deliver()
	require.Len(t, live.got(), 1)

	s.run()
	uris, hang := hanging(t, 300)
	for i, uri := range uris {
		if i%30 == 0 {
			s.anotherUser()
		}
		s.observe(uri)
		if i%30 == 29 {
			s.announce(s.access(), 2)
		}
	}
	require.Eventually(t, func() bool { return hang() >= 128 }, patience, 10*time.Millisecond)
	s.announce(thing, 2)
	require.Eventually(t, func() bool { return len(live.got()) == 3 }, patience, 10*time.Millisecond)
	require.Equal(t, 128, hang())
}

// Clients share a host, as with a gateway for webhooks. What one of them has there begins to hang, for fifty of its users:
// another hears of each of its changes while no more than the places of the host are tried in vain, and then one at a time.
func TestClientsAtOneHost(t *testing.T) {
	t.Parallel()
	s := newSender(t, notify.Options{Loopback: true, Patience: 2 * time.Second})
	var hangs atomic.Bool
	var asked, hung, heard atomic.Int32
	host := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		_, _ = io.Copy(io.Discard, q.Body) // only then it is noticed that nobody waits for an answer any more
		switch {
		case q.URL.Path == "/other":
			heard.Add(1)
		case hangs.Load():
			hung.Add(1)
			<-q.Context().Done()
		default:
			asked.Add(1)
		}
	}))
	t.Cleanup(host.Close)
	const users = 50
	var things []uuid.UUID
	for i := range users {
		if i > 0 {
			s.anotherUser()
		}
		s.observe(host.URL + "/hangs")
		things = append(things, s.access())
	}
	s.run()
	s.announce(things[0], 1)
	require.Eventually(t, func() bool { return asked.Load() == 1 }, patience, time.Millisecond)
	hangs.Store(true)
	for _, thing := range things {
		s.announce(thing, 1)
	}
	require.Eventually(t, func() bool { return hung.Load() >= 16 }, patience, time.Millisecond)

	s.anotherClient()
	s.observe(host.URL + "/other")
	thing := s.access()
	for n := range int32(4) {
		before := hung.Load()
		s.announce(thing, 1)
		require.Eventually(t, func() bool { return heard.Load() == n+1 }, patience, time.Millisecond)
		require.LessOrEqual(t, hung.Load(), before+2, "event %d", n+1)
	}
	require.Less(t, hung.Load(), int32(users), "the others still wait")
}

// At a host where more clients' receivers hang than may be asked at once, one that is known to answer is served.
func TestManyClientsHangAtOneHost(t *testing.T) {
	t.Parallel()
	s := newSender(t, notify.Options{Loopback: true, Patience: time.Hour})
	var hung, heard atomic.Int32
	gone := make(chan struct{})
	host := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/other" {
			heard.Add(1)
			return
		}
		hung.Add(1)
		<-gone
	}))
	s.observe(host.URL + "/other")
	thing := s.access()
	s.announce(thing, 1)
	s.deliver()
	require.EqualValues(t, 1, heard.Load())

	s.run()
	t.Cleanup(func() { close(gone); host.Close() })
	for range 20 {
		s.anotherClient()
		s.observe(host.URL + "/hangs")
		s.announce(s.access(), 2)
	}
	require.Eventually(t, func() bool { return hung.Load() >= 8 }, patience, time.Millisecond)
	s.announce(thing, 2)
	require.Eventually(t, func() bool { return heard.Load() == 3 }, patience, time.Millisecond)
	require.EqualValues(t, 8, hung.Load())
}

// A receiver that takes what it gets, but slowly, is asked one thing at a time, like one that fails.
func TestSlowReceiver(t *testing.T) {
	t.Parallel()
	s := newSender(t, notify.Options{Loopback: true, Patience: time.Second})
	var asked together
	slow := false
	r := newReceiver(t, s.time, func(http.ResponseWriter, *arrival) int {
		defer asked.enter()()
		if slow {
			time.Sleep(600 * time.Millisecond) // more than half the patience
		}
		return http.StatusOK
	})
	for range 3 {
		s.observe(r.URL)
	}
	thing := s.access()
	s.announce(thing, 1)
	s.deliver()
	slow = true
	s.announce(thing, 1)
	s.deliver()
	asked.forget()
	s.announce(thing, 1)
	s.deliver()
	require.Equal(t, 1, asked.most)
}

// What one notification's path answers, or that it cannot be delivered at all, says nothing about the host: the others
// are served there as before, two at a time here.
func TestRefusalsAreNotTheHosts(t *testing.T) {
	t.Parallel()
	s := newSender(t, notify.Options{Loopback: true, Patience: 5 * time.Second})
	meet, gone := make(chan struct{}), make(chan struct{})
	alone, refused := true, uuid.Nil
	r := newReceiver(t, s.time, func(_ http.ResponseWriter, a *arrival) int {
		switch {
		case a.NotificationID == refused:
			return http.StatusNotFound
		case !alone:
			select {
			case meet <- struct{}{}:
			case <-meet:
			case <-gone:
			}
		}
		return http.StatusOK
	})
	t.Cleanup(func() { close(gone) }) // runs before the server closes
	s.observe(r.URL)
	s.observe(r.URL)
	thing, user := s.access(), s.user
	s.announce(thing, 1)
	s.deliver()

	s.anotherUser()
	first, _ := s.observe(r.URL)
	refused = first.ID
	sealed, _ := s.observe(r.URL)
	require.NoError(t, s.store.DB.Exec(`UPDATE notifications SET target = 'x' WHERE id = ?`, sealed.ID).Error)
	s.announce(s.access(), 1)
	s.deliver()
	var failures []string
	require.NoError(t, s.store.DB.Raw(`SELECT last_error FROM notification_events ORDER BY last_error`).Scan(&failures).Error)
	require.Equal(t, []string{"HTTP_404", "SEALED"}, failures)

	s.user, alone = user, false
	s.announce(thing, 1)
	s.deliver()
	require.Len(t, r.got(), 2+1+2)
	var waiting int
	require.NoError(t, s.store.DB.Raw(`SELECT count(*) FROM notification_events`).Row().Scan(&waiting))
	require.Equal(t, 2, waiting, "the refused ones, since these met")
}

// What a receiver that hangs cannot be asked in time is parked all the same.
func TestTooSlowForAllThatWaits(t *testing.T) {
	t.Parallel()
	s := newSender(t, notify.Options{Loopback: true})
	s.observe("http://127.0.0.1:1/") // nobody listens, and nobody asks
	thing := s.access()
	s.announce(thing, 2)
	_, err := s.store.QueueAnnounced(t.Context(), 10)
	require.NoError(t, err)
	s.advance(s.time().Add(72*time.Hour + 9*time.Minute))
	s.announce(thing, 1)
	require.NoError(t, s.Tidy(t.Context()))
	parked, err := s.store.ParkedDeliveries(t.Context(), 10)
	require.NoError(t, err)
	require.Empty(t, parked, "there may be a last attempt still")
	s.advance(s.time().Add(2 * time.Minute))
	require.NoError(t, s.Tidy(t.Context()))
	parked, err = s.store.ParkedDeliveries(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, parked, 2)
	require.Equal(t, "UNTRIED", parked[0].LastError)

	s.deliver() // the third one's turn
	parked, err = s.store.ParkedDeliveries(t.Context(), 10)
	require.NoError(t, err)
	require.Len(t, parked, 2)
	var failed string
	require.NoError(t, s.store.DB.Raw(`SELECT last_error FROM notification_events WHERE parked_at IS NULL`).Row().Scan(&failed))
	require.Equal(t, "UNREACHABLE", failed)
}

// together counts how many are at something at the same time.
type together struct {
	mu        sync.Mutex
	now, most int
}

func (g *together) enter() (leave func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.now++
	g.most = max(g.most, g.now)
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.now--
	}
}

func (g *together) forget() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.most = 0
}

// How much of a receiver's time is taken: four deliveries of a notification, sixteen notifications, and one at all where
// it failed.
func TestAtOnce(t *testing.T) {
	t.Parallel()
	s := newSender(t, notify.Options{Loopback: true})
	var asked together
	var failures atomic.Int64
	answer := http.StatusOK
	r := newReceiver(t, s.time, func(http.ResponseWriter, *arrival) int {
		defer asked.enter()()
		if answer != http.StatusOK {
			failures.Add(1)
		}
		return answer
	})
	s.observe(r.URL)
	for range 30 {
		s.announce(s.access(), 1)
	}
	s.deliver()
	require.Len(t, r.got(), 30)
	require.LessOrEqual(t, asked.most, 4)

	for range 39 {
		s.observe(r.URL)
	}
	s.announce(s.access(), 1)
	answer = http.StatusInternalServerError
	s.deliver()
	require.Equal(t, int64(40), failures.Load())
	require.LessOrEqual(t, asked.most, 16)
	asked.forget()
	s.advance(s.time().Add(10 * time.Second))
	s.deliver()
	require.Equal(t, int64(80), failures.Load())
	require.Equal(t, 1, asked.most, "one that fails is asked one thing at a time")
	answer = http.StatusOK
	s.advance(s.time().Add(time.Minute))
	s.deliver()
	require.Len(t, r.got(), 30+40+40+40)
}

// Notifications come, change and go while changes are announced and delivered: nobody is kept waiting in circles.
func TestNotificationsComeAndGo(t *testing.T) {
	t.Parallel()
	s := newSender(t, notify.Options{Loopback: true})
	r := newReceiver(t, s.time, always(http.StatusOK))
	ctx, stop := context.WithCancel(t.Context())
	var workers, changing sync.WaitGroup
	workers.Go(func() { s.Run(ctx) })
	for range 3 {
		thing := s.access()
		changing.Go(func() { s.announce(thing, 60) })
	}
	for range 2 {
		changing.Go(func() {
			for range 15 {
				var made []models.Notification
				for range 4 {
					n, _, err := s.store.CreateNotification(ctx, s.user, models.ObserveAccesses, r.URL, "")
					if err == nil {
						_, _, err = s.store.UpdateNotification(ctx, s.user, n.ID, turnTo(r.URL+"/other"))
					}
					if err != nil && !errors.Is(err, models.ErrNotFound) { // the other one has deleted all
						t.Errorf("come: %v", err)
						return
					}
					made = append(made, n)
				}
				for _, n := range made {
					if err := s.store.DeleteNotification(ctx, s.user, n.ID); err != nil && !errors.Is(err, models.ErrNotFound) {
						t.Errorf("go: %v", err)
						return
					}
				}
				if err := s.store.Transact(ctx, func(tx *gorm.DB) error { return models.DeleteNotifications(tx, s.user) }); err != nil {
					t.Errorf("go together: %v", err)
					return
				}
			}
		})
	}
	changing.Wait()
	stop()
	workers.Wait()
	require.NotContains(t, s.log.String(), "deadlock")
}
