package models_test

import (
	"context"
	"encoding/json"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/rules"
)

// observe stores a notification for each key.
func observe(t *testing.T, s *models.Store, user string, keys ...string) {
	t.Helper()
	for _, key := range keys {
		_, _, err := s.CreateNotification(t.Context(), user, key, "https://receiver.example/hook", "")
		require.NoError(t, err)
	}
}

// announced are the data of what the outbox holds under a key, in order.
func announced(t *testing.T, s *models.Store, key string) (all []map[string]any) {
	t.Helper()
	var rows []string
	require.NoError(t, s.DB.Raw(`SELECT data FROM notification_events WHERE observe_key = ? ORDER BY number`, key).Scan(&rows).Error)
	for _, row := range rows {
		var data map[string]any
		require.NoError(t, json.Unmarshal([]byte(row), &data))
		all = append(all, data)
	}
	return all
}

func TestSynchronizationsAreAnnounced(t *testing.T) {
	t.Parallel()
	s := open(t)
	a, other := access(t, s), access(t, s)
	observe(t, s, a.UserID, models.ObserveSyncs, models.ObserveAccesses)
	observe(t, s, other.UserID, models.ObserveSyncs)

	run := func(silent bool) uuid.UUID {
		y := models.Synchronization{ID: models.NewID(), AccessID: a.ID, Status: rules.Queued, Trigger: rules.Manual,
			Scope: models.Strings{rules.ScopeTransactions}, DisableNotifications: silent, CreatedAt: s.Now()}
		require.NoError(t, s.Transact(t.Context(), func(tx *gorm.DB) error { return models.CreateSynchronization(tx, &y) }))
		require.NoError(t, models.Transition(s.DB, y.ID, rules.Running, nil))
		_, err := s.End(t.Context(), y.ID, 10000)
		require.NoError(t, err)
		return y.ID
	}
	run(true)
	require.Empty(t, announced(t, s, models.ObserveSyncs), "disable_notifications")
	sync := run(false)

	event := func(status rules.SyncStatus) map[string]any {
		return map[string]any{"sync_id": sync.String(), "access_id": a.ID.String(), "status": string(status), "trigger": "MANUAL"}
	}
	failed := event(rules.Failed)
	failed["error_code"] = 10000.0
	require.Equal(t, []map[string]any{event(rules.Queued), event(rules.Running), failed}, announced(t, s, models.ObserveSyncs))

	require.Error(t, s.Transact(t.Context(), func(tx *gorm.DB) error {
		if err := models.AnnounceAccess(tx, a.ID, models.EventConsentExpiring, map[string]any{"expires_at": "2027-01-01T00:00:00.000Z"}); err != nil {
			return err
		}
		return context.Canceled
	}))
	require.Empty(t, announced(t, s, models.ObserveAccesses), "what is rolled back is not announced")
	require.NoError(t, s.Transact(t.Context(), func(tx *gorm.DB) error {
		return models.AnnounceAccess(tx, a.ID, models.EventUpgradePending, nil)
	}))
	require.Equal(t, []map[string]any{{"access_id": a.ID.String(), "event": "UPGRADE_PENDING", "status": "UPGRADE_PENDING"}},
		announced(t, s, models.ObserveAccesses))
}

// TestUpgradesAreAnnounced: an access that an upgrade adds needs its customer before anything is read of it, and its owner
// hears of that as of any other's; unless the synchronization that upgraded was to keep silent.
func TestUpgradesAreAnnounced(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, silent := range []bool{true, false} {
		a, running, _ := superseded(t, s, false, banks.Giro, banks.Savings)
		require.NoError(t, s.DB.Model(&models.Synchronization{}).Where("id = ?", running).Update("disable_notifications", silent).Error)
		observe(t, s, a.UserID, models.ObserveAccesses)
		done, err := s.Upgrade(t.Context(), running)
		require.NoError(t, err)
		require.Len(t, done.Created, 1)
		if silent {
			require.Empty(t, announced(t, s, models.ObserveAccesses))
			continue
		}
		require.Equal(t, []map[string]any{{"access_id": done.Created[0].String(), "event": "NEEDS_AUTH", "status": "NEEDS_AUTH"}},
			announced(t, s, models.ObserveAccesses))
	}
}
