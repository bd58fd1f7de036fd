package activities_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"kontoflow/activities"
	"kontoflow/internal/testground"
	"kontoflow/models"
)

// TestStartDueLeavesWhatWaits: what a slow bank has no room for does not keep a run from its end. It says that there is
// more, and the next one starts it.
func TestStartDueLeavesWhatWaits(t *testing.T) {
	t.Parallel()
	store := testground.Store(t)
	require.NoError(t, store.DB.Exec(`
		WITH client AS (
			INSERT INTO clients (id, name, secret_hash) VALUES (gen_random_uuid(), 'client', '') RETURNING id
		), customer AS (
			INSERT INTO users (id, client_id, email, password_hash) SELECT 'U' || gen_random_uuid(), id, 'jane@example.org', '' FROM client RETURNING id
		), bank AS (
			INSERT INTO banks (id, kind, name, country, supported) VALUES (gen_random_uuid(), 'BANK', 'Bank', 'DE', true) RETURNING id
		), method AS (
			INSERT INTO access_methods (id, bank_id, position, type, in_psd2_scope, configurable_consent, requires_account_identifiers, credentials, protocol, url, connection)
			SELECT gen_random_uuid(), id, 0, 'FINTS', true, false, false, '[]', 'FINTS', 'https://bank.example', '' FROM bank RETURNING id, bank_id
		)
		INSERT INTO accesses (id, user_id, bank_id, access_method_id, status, next_sync_at)
		SELECT gen_random_uuid(), customer.id, bank_id, method.id, 'ACTIVE', CAST(? AS timestamptz) FROM method, customer, generate_series(1, 2)`,
		store.Now().Add(-time.Hour)).Error)

	var started []models.SyncRef
	a := &activities.Activities{Store: store, AutoLimits: models.AutoLimits{PerBank: 1, Whole: 10}, AutoFor: time.Millisecond,
		StartSync: func(_ context.Context, ref models.SyncRef) error {
			started = append(started, ref)
			return nil
		}, Log: slog.New(slog.DiscardHandler)}
	suite := testsuite.WorkflowTestSuite{}
	run := func() (out activities.StartDueOutcome) {
		env := suite.NewTestActivityEnvironment()
		env.RegisterActivity(a)
		value, err := env.ExecuteActivity(a.StartDue)
		require.NoError(t, err)
		require.NoError(t, value.Get(&out))
		return out
	}
	require.Equal(t, activities.StartDueOutcome{Examined: 1, Started: 1, Waiting: true}, run())
	require.Equal(t, activities.StartDueOutcome{Waiting: true}, run(), "the bank is still at the first")
	_, err := store.End(t.Context(), started[0].ID, 30007)
	require.NoError(t, err)
	require.Equal(t, activities.StartDueOutcome{Examined: 1, Started: 1}, run())
	require.Len(t, started, 2)
	require.NotEqual(t, started[0].AccessID, started[1].AccessID)
}
