package activities_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/testsuite"

	"github.com/kontoflow/kontoflow/activities"
	"github.com/kontoflow/kontoflow/internal/testground"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/workflows/contract"
)

// TestStartDueLeavesWhatWaits: what a slow bank has no room for does not keep a run from its end. It says that there is
// more, and the next one starts it.
func TestStartDueLeavesWhatWaits(t *testing.T) {
	t.Parallel()
	store := testground.Store(t)
	due(t, store, 2)
	var started []contract.Run
	a := &activities.Activities{Store: store, AutoLimits: models.AutoLimits{PerBank: 1, Whole: 10}, AutoFor: time.Millisecond,
		StartSync: func(_ context.Context, ref contract.Run) error {
			started = append(started, ref)
			return nil
		}, Log: slog.New(slog.DiscardHandler)}
	run := func() (out contract.StartDueOutcome) {
		execute(t, a, a.StartDue, &out)
		return out
	}
	require.Equal(t, contract.StartDueOutcome{Examined: 1, Started: 1, Waiting: true}, run())
	require.Equal(t, contract.StartDueOutcome{Waiting: true}, run(), "the bank is still at the first")
	_, err := store.End(t.Context(), started[0].ID, 30007)
	require.NoError(t, err)
	require.Equal(t, contract.StartDueOutcome{Examined: 1, Started: 1}, run())
	require.Len(t, started, 2)
	require.NotEqual(t, started[0].AccessID, started[1].AccessID)
}

// TestTendConsents: however many end, all are tended at once.
func TestTendConsents(t *testing.T) {
	t.Parallel()
	const ending, ended = 130, 120
	store := testground.Store(t)
	due(t, store, ending+ended)
	now := store.Now()
	require.NoError(t, store.DB.Exec(`
		INSERT INTO consents (id, access_id, status, valid_until)
		SELECT gen_random_uuid(), id, 'VALID', CAST(? AS timestamptz) + CASE WHEN row_number() OVER () <= ? THEN interval '1 day' ELSE interval '-1 second' END
		FROM accesses`, now, ending).Error)
	a := &activities.Activities{Store: store}
	for _, want := range []contract.TendConsentsOutcome{{Warned: ending, Expired: ended}, {}} {
		var out contract.TendConsentsOutcome
		execute(t, a, a.TendConsents, &out)
		require.Equal(t, want, out)
	}
}

// due stores accesses of one bank that are due.
func due(t *testing.T, store *models.Store, n int) {
	t.Helper()
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
		SELECT gen_random_uuid(), customer.id, bank_id, method.id, 'ACTIVE', CAST(? AS timestamptz) FROM method, customer, generate_series(1, ?)`,
		store.Now().Add(-time.Hour), n).Error)
}

// execute runs an activity without input.
func execute(t *testing.T, a *activities.Activities, activity, out any) {
	t.Helper()
	suite := testsuite.WorkflowTestSuite{}
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivity(a)
	value, err := env.ExecuteActivity(activity)
	require.NoError(t, err)
	require.NoError(t, value.Get(out))
}
