package e2e_test

import (
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"
)

// TestFrozenWorker: a worker that stands still in the middle of a transaction holds its locks until the database ends the
// transaction. A cancel then gets through, although the worker never goes on.
func TestFrozenWorker(t *testing.T) {
	t.Parallel()
	held := &turnstile{}
	s := newStack(t, withInterceptor(held))
	c := s.newCustomer()
	access := c.access("demo", "exempt+frozen")
	reached, goOn := held.shut("ReadTransactions", 0)
	defer goOn()
	sync := c.start(access, object{"credentials": object{"pin": password}})
	awaitSignal(t, reached, "the step begins")

	// What a frozen worker leaves: a connection of the pool in a transaction that has locked what a page is stored in.
	tx, err := s.store.Pool.Begin(t.Context())
	require.NoError(t, err)
	for _, lock := range []string{
		`SELECT FROM synchronization_accounts w JOIN synchronizations y ON y.id = w.sync_id WHERE y.access_id = $1 FOR UPDATE OF w`,
		`SELECT FROM accounts WHERE access_id = $1 FOR UPDATE`,
	} {
		result, err := tx.Exec(t.Context(), lock, access)
		require.NoError(t, err)
		require.EqualValues(t, 1, result.RowsAffected())
	}

	c.post(sync+"/cancel", nil, 200, nil)
	var y object
	require.Eventually(t, func() bool {
		c.get(sync, &y)
		return y["status"] == "FAILED"
	}, patience, 100*time.Millisecond)
	require.Equal(t, 30007, codeOf(y))

	_, err = tx.Exec(t.Context(), `SELECT 1`)
	var ended *pgconn.PgError
	require.True(t, errors.As(err, &ended), "%v", err)
	require.Equal(t, "25P03", ended.Code, "idle_in_transaction_session_timeout")
	_ = tx.Rollback(t.Context())
}
