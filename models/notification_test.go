package models_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/models"
)

// observing changes what a notification observes.
func observing(key string) func(*models.Notification, *models.Target) error {
	return func(n *models.Notification, _ *models.Target) error { n.ObserveKey = key; return nil }
}

// What waits when a notification begins to observe something else: of it, what the new key tells as well goes on under
// the new key; the rest is dropped.
func TestWaitingUnderAnotherKey(t *testing.T) {
	t.Parallel()
	s := open(t)
	user := access(t, s).UserID
	one, another := models.NewID(), models.NewID()
	of := func(key string) string { return fmt.Sprintf(key, one) }
	for _, k := range []struct {
		from, to string
		things   []uuid.UUID // of what waits
		remain   []uuid.UUID
	}{
		{models.ObserveTransactions, of(models.ObserveAccountTransactions), []uuid.UUID{one, another}, []uuid.UUID{one}},
		{of(models.ObserveAccountTransactions), models.ObserveTransactions, []uuid.UUID{one}, []uuid.UUID{one}},
		{of(models.ObserveAccountTransactions), fmt.Sprintf(models.ObserveAccountTransactions, another), []uuid.UUID{one}, nil},
		{of(models.ObserveAccountTransactions), of(models.ObserveBalance), []uuid.UUID{one}, nil},
		{of(models.ObserveBalance), models.ObserveTransactions, []uuid.UUID{one}, nil},
		{of(models.ObserveBalance), fmt.Sprintf(models.ObserveBalance, another), []uuid.UUID{one}, nil},
		{models.ObserveAccesses, of(models.ObserveAccess), []uuid.UUID{one, another}, []uuid.UUID{one}},
		{of(models.ObserveAccess), models.ObserveAccesses, []uuid.UUID{one}, []uuid.UUID{one}},
		{models.ObserveAccesses, models.ObserveSyncs, []uuid.UUID{one, another}, nil},
		{models.ObserveSyncs, models.ObserveAccesses, []uuid.UUID{one, another}, nil},
		{models.ObserveSyncs, models.ObserveSyncs, []uuid.UUID{one, another}, []uuid.UUID{one, another}},
	} {
		n, _, err := s.CreateNotification(t.Context(), user, k.from, "https://receiver.example", "")
		require.NoError(t, err)
		for _, thing := range k.things {
			require.NoError(t, s.DB.Exec(`INSERT INTO notification_events (id, notification_id, thing, observe_key, data, created_at, expires_at)
				VALUES (?, ?, ?, ?, '{}', ?, ?)`, models.NewID(), n.ID, thing, k.from, s.Now(), s.Now().Add(time.Hour)).Error)
		}
		_, err = s.QueueAnnounced(t.Context(), 10)
		require.NoError(t, err)
		_, _, err = s.UpdateNotification(t.Context(), user, n.ID, observing(k.to))
		require.NoError(t, err)

		rounds, err := s.Lease(t.Context(), s.Now().Add(time.Minute), func(due []models.Receiver) models.Limits {
			return models.Limits{Rounds: 1, Strangers: 1, PerUser: 1, Lanes: 4, Receivers: []models.ReceiverLimit{{Receiver: due[0], Rounds: 1, AtHost: 1, OfKind: 1}}}
		})
		require.NoError(t, err)
		require.Len(t, rounds, 1)
		var remain []uuid.UUID
		for _, d := range rounds[0].Deliveries {
			require.Equal(t, k.to, d.ObserveKey)
			remain = append(remain, d.Thing)
		}
		require.ElementsMatch(t, k.remain, remain, "%s, then %s", k.from, k.to)
		require.NoError(t, s.Settle(t.Context(), rounds[0], make([]models.Result, len(remain))))
		var left int
		require.NoError(t, s.DB.Raw(`SELECT (SELECT count(*) FROM notification_events) + (SELECT count(*) FROM notification_queues)`).Row().Scan(&left))
		require.Zero(t, left)
	}
}

// Something is announced while the notification begins to observe something else: it is dropped like what waited.
func TestAnnouncedWhileTheKeyChanges(t *testing.T) {
	t.Parallel()
	s := open(t)
	a := access(t, s)
	n, _, err := s.CreateNotification(t.Context(), a.UserID, models.ObserveAccesses, "https://receiver.example", "")
	require.NoError(t, err)
	changed := make(chan error, 1)
	require.NoError(t, s.Transact(t.Context(), func(tx *gorm.DB) error {
		if err := models.AnnounceAccess(tx, a.ID, models.EventStatusChanged, nil); err != nil {
			return err
		}
		go func() {
			_, _, err := s.UpdateNotification(context.WithoutCancel(t.Context()), a.UserID, n.ID, observing(models.ObserveSyncs))
			changed <- err
		}()
		untilDoneOrWaiting(t, s, changed)
		return nil
	}))
	require.NoError(t, <-changed)
	require.Empty(t, announced(t, s, models.ObserveAccesses))
	require.Empty(t, announced(t, s, models.ObserveSyncs))
}

// Whichever secret a receiver has, it signs for 24 hours after it was replaced, however often that happens meanwhile.
func TestReplacedSecretsSignForADay(t *testing.T) {
	t.Parallel()
	s := open(t)
	a := access(t, s)
	n, target, err := s.CreateNotification(t.Context(), a.UserID, models.ObserveSyncs, "https://receiver.example", "")
	require.NoError(t, err)
	begun := s.Now()
	rotate := func(at time.Time) string {
		t.Helper()
		_, changed, err := s.UpdateNotification(t.Context(), a.UserID, n.ID, func(_ *models.Notification, to *models.Target) error { return to.Rotate(at) })
		require.NoError(t, err)
		return changed.Secret
	}
	signing := func(after time.Duration) []string {
		t.Helper()
		stored, err := s.Notification(t.Context(), a.UserID, n.ID)
		require.NoError(t, err)
		target, err := s.OpenTarget(&stored)
		require.NoError(t, err)
		return target.Secrets(begun.Add(after))
	}
	first := target.Secret
	second := rotate(begun)
	third := rotate(begun.Add(time.Hour))
	require.Equal(t, []string{third, second, first}, signing(24*time.Hour-time.Second))
	require.Equal(t, []string{third, second}, signing(24*time.Hour))
	require.Equal(t, []string{third}, signing(25*time.Hour))

	for range 10 {
		rotate(begun.Add(25 * time.Hour))
	}
	require.Len(t, signing(26*time.Hour), 11)
	_, _, err = s.UpdateNotification(t.Context(), a.UserID, n.ID, func(_ *models.Notification, to *models.Target) error { return to.Rotate(begun.Add(26 * time.Hour)) })
	require.ErrorIs(t, err, models.ErrTooMany)
	require.Equal(t, rotate(begun.Add(49*time.Hour)), signing(50 * time.Hour)[0], "the next day")
}
