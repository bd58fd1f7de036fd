package models_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/models"
)

// stopped is a clock that stands still until it is told to go on.
type stopped struct{ nanoseconds atomic.Int64 }

func (c *stopped) now() time.Time           { return time.Unix(0, c.nanoseconds.Load()) }
func (c *stopped) advance(by time.Duration) { c.nanoseconds.Add(int64(by)) }

// outbox opens a store whose clock stands still.
func outbox(t *testing.T) (*models.Store, *stopped) {
	t.Helper()
	clock := &stopped{}
	clock.advance(time.Duration(time.Now().UnixNano()))
	return open(t, models.WithClock(clock.now)), clock
}

// waiting is a notification of a client of its own at a host, for which something waits.
func waiting(t *testing.T, s *models.Store, host string) models.Notification {
	t.Helper()
	return waitingOf(t, s, newClient(t, s), host)
}

// waitingOf is the same of one of a client's users.
func waitingOf(t *testing.T, s *models.Store, client uuid.UUID, host string) models.Notification {
	t.Helper()
	a := access(t, s)
	require.NoError(t, s.DB.Exec(`UPDATE users SET client_id = ? WHERE id = ?`, client, a.UserID).Error)
	n, _, err := s.CreateNotification(t.Context(), a.UserID, models.ObserveAccesses, "https://"+host, "")
	require.NoError(t, err)
	require.NoError(t, s.Transact(t.Context(), func(tx *gorm.DB) error {
		return models.AnnounceAccess(tx, a.ID, models.EventStatusChanged, nil)
	}))
	queued, err := s.QueueAnnounced(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, 1, queued)
	return n
}

func newClient(t *testing.T, s *models.Store) uuid.UUID {
	t.Helper()
	client, _, err := s.CreateClient(t.Context(), "client "+uuid.NewString())
	require.NoError(t, err)
	return client.ID
}

// lease takes up to so many rounds of what is due, for half a minute, and answers whose they are. Each receiver is a
// stranger that may have one round, but for what stand says.
func lease(t *testing.T, s *models.Store, most int, stand func(*models.ReceiverLimit)) (leased []uuid.UUID) {
	t.Helper()
	rounds, err := s.Lease(t.Context(), s.Now().Add(30*time.Second), func(due []models.Receiver) models.Limits {
		l := models.Limits{Rounds: most, Strangers: most, PerUser: most, Lanes: 4}
		for _, r := range due {
			limit := models.ReceiverLimit{Receiver: r, Rounds: 1, AtHost: 16, OfKind: 16}
			stand(&limit)
			l.Receivers = append(l.Receivers, limit)
		}
		return l
	})
	require.NoError(t, err)
	for _, r := range rounds {
		require.Len(t, r.Deliveries, 1)
		leased = append(leased, r.Notification.ID)
	}
	return leased
}

func stranger(*models.ReceiverLimit) {}

// untilDoneOrWaiting returns when what answers over done has, or waits for a lock.
func untilDoneOrWaiting(t *testing.T, s *models.Store, done <-chan error) {
	t.Helper()
	require.Eventually(t, func() bool {
		var waits bool
		err := s.Pool.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&waits)
		return len(done) == 1 || err == nil && waits
	}, time.Minute, 5*time.Millisecond)
}

// Receivers take turns, and the one that has waited longest is first; so it is among the notifications of one.
func TestLongestWaitingIsFirst(t *testing.T) {
	t.Parallel()
	s, clock := outbox(t)
	var waits []uuid.UUID
	client := newClient(t, s)
	for _, host := range []string{"b.example", "b.example", "b.example", "c.example", "a.example"} {
		waits = append(waits, waitingOf(t, s, client, host).ID)
		clock.advance(time.Second)
	}
	known := func(r *models.ReceiverLimit) {
		if r.Host == "b.example:443" {
			r.Known, r.Rounds = true, 16
		}
	}
	require.Equal(t, []uuid.UUID{waits[0]}, lease(t, s, 1, known))
	require.ElementsMatch(t, []uuid.UUID{waits[1], waits[3]}, lease(t, s, 2, known))
	require.ElementsMatch(t, []uuid.UUID{waits[2], waits[4]}, lease(t, s, 2, known))
}

// Clients take turns at a host, however long their notifications wait: whoever has the fewest rounds is first, then
// whoever was served the longest time ago. All together have the places of the host.
func TestClientsTakeTurns(t *testing.T) {
	t.Parallel()
	s, clock := outbox(t)
	clients := []uuid.UUID{newClient(t, s), newClient(t, s), newClient(t, s)}
	var waits [][]uuid.UUID
	for _, client := range clients {
		var its []uuid.UUID
		for range 6 {
			its = append(its, waitingOf(t, s, client, "a.example").ID)
			clock.advance(time.Second)
		}
		waits = append(waits, its)
	}
	busy := func(r *models.ReceiverLimit) {
		r.Known, r.Rounds, r.AtHost, r.OfKind = true, 16, 4, 4
		r.Busy = map[uuid.UUID]int{clients[0]: 3, clients[1]: 1}[r.ClientID]
	}
	require.Equal(t, []uuid.UUID{waits[2][0]}, lease(t, s, 1, busy))
	require.ElementsMatch(t, []uuid.UUID{waits[2][1], waits[2][2], waits[1][0], waits[1][1]}, lease(t, s, 10, busy))

	served := func(r *models.ReceiverLimit) {
		r.LastAt = map[uuid.UUID]time.Time{clients[0]: clock.now(), clients[1]: clock.now().Add(-time.Second), clients[2]: clock.now().Add(-time.Minute)}[r.ClientID]
	}
	require.Equal(t, []uuid.UUID{waits[2][3]}, lease(t, s, 1, served))
	require.ElementsMatch(t, []uuid.UUID{waits[2][4], waits[1][2]}, lease(t, s, 10, func(r *models.ReceiverLimit) {
		served(r)
		r.OfKind = 2
	}))
}

// A delivery is queued while its notification turns to another receiver, and that is stored a moment later: it waits for
// the new one.
func TestQueuedWhileTheReceiverChanges(t *testing.T) {
	t.Parallel()
	s, _ := outbox(t)
	a := access(t, s)
	n, _, err := s.CreateNotification(t.Context(), a.UserID, models.ObserveAccesses, "https://old.example", "")
	require.NoError(t, err)
	require.NoError(t, s.Transact(t.Context(), func(tx *gorm.DB) error {
		return models.AnnounceAccess(tx, a.ID, models.EventStatusChanged, nil)
	}))
	done := make(chan error, 1)
	require.NoError(t, s.Transact(t.Context(), func(tx *gorm.DB) error {
		changing := *s
		changing.DB = tx
		_, _, err := changing.UpdateNotification(t.Context(), a.UserID, n.ID, func(_ *models.Notification, to *models.Target) error {
			to.URI = "https://new.example"
			return nil
		})
		if err != nil {
			return err
		}
		go func() { _, err := s.QueueAnnounced(context.WithoutCancel(t.Context()), 10); done <- err }()
		untilDoneOrWaiting(t, s, done)
		return nil
	}))
	require.NoError(t, <-done)
	var receiver string
	require.NoError(t, s.DB.Raw(`SELECT receiver FROM notification_queues`).Row().Scan(&receiver))
	require.Equal(t, "new.example:443", receiver)
}

// One notification for which very much has expired, and which is just being delivered, keeps no other's from being parked.
func TestExpiredBehindALease(t *testing.T) {
	t.Parallel()
	s, clock := outbox(t)
	busy := waiting(t, s, "a.example")
	require.NoError(t, s.DB.Exec(`INSERT INTO notification_events (id, notification_id, thing, observe_key, data, created_at, expires_at, queued)
		SELECT gen_random_uuid(), notification_id, thing, observe_key, data, created_at, expires_at, true
		FROM notification_events CROSS JOIN generate_series(1, 1000)`).Error)
	clock.advance(time.Second)
	waiting(t, s, "b.example")
	clock.advance(73 * time.Hour)
	require.Equal(t, []uuid.UUID{busy.ID}, lease(t, s, 1, stranger))
	parked, err := s.ParkExpired(t.Context(), s.Now())
	require.NoError(t, err)
	require.Equal(t, 1, parked)
	clock.advance(time.Minute) // the lease is over
	parked, err = s.ParkExpired(t.Context(), s.Now())
	require.NoError(t, err)
	require.Equal(t, 1001, parked)
}
