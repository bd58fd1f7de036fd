package models_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"kontoflow/models"
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

// waiting is a notification of a user of its own at a host, for which something waits.
func waiting(t *testing.T, s *models.Store, host string) models.Notification {
	t.Helper()
	a := access(t, s)
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

// lease takes what is due for half a minute, and answers whose it is.
func lease(t *testing.T, s *models.Store, limits models.Limits) (leased []uuid.UUID) {
	t.Helper()
	limits.Strangers, limits.PerUser, limits.Lanes = limits.Rounds, limits.Rounds, 4
	rounds, err := s.Lease(t.Context(), s.Now().Add(30*time.Second), limits)
	require.NoError(t, err)
	for _, r := range rounds {
		require.Len(t, r.Deliveries, 1)
		leased = append(leased, r.Notification.ID)
	}
	return leased
}

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
	for _, host := range []string{"b.example", "b.example", "b.example", "c.example", "a.example"} {
		waits = append(waits, waiting(t, s, host).ID)
		clock.advance(time.Second)
	}
	known := map[string]int{"b.example:443": 16}
	require.Equal(t, []uuid.UUID{waits[0]}, lease(t, s, models.Limits{Rounds: 1, Receivers: known}))
	require.ElementsMatch(t, []uuid.UUID{waits[1], waits[3]}, lease(t, s, models.Limits{Rounds: 2, Receivers: known}))
	require.ElementsMatch(t, []uuid.UUID{waits[2], waits[4]}, lease(t, s, models.Limits{Rounds: 2, Receivers: known}))
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
	require.Equal(t, []uuid.UUID{busy.ID}, lease(t, s, models.Limits{Rounds: 1}))
	parked, err := s.ParkExpired(t.Context(), s.Now())
	require.NoError(t, err)
	require.Equal(t, 1, parked)
	clock.advance(time.Minute) // the lease is over
	parked, err = s.ParkExpired(t.Context(), s.Now())
	require.NoError(t, err)
	require.Equal(t, 1001, parked)
}
