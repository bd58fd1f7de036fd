package models_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kontoflow/models"
)

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
