package e2e_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/models"
)

// A year and a month later the worker has forgotten what happened to transactions since they were added, and all about
// those that were removed. Who reads from the beginning has what there is; an old cursor is refused.
func TestOldChangesAreForgotten(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	c := s.newCustomer()
	access := c.access("demo", "pending")
	require.Equal(t, "COMPLETED", c.sync(access)["status"])
	var beginning, old string
	c.changes(&old)
	for range 4 {
		s.bank.Advance(day)
		require.Equal(t, "COMPLETED", c.sync(access)["status"])
	}
	known := make(map[string]object)
	added, _, removed := c.changes(&beginning)
	require.Empty(t, removed, "who knows nothing is told of no removal")
	require.NotEmpty(t, added)
	for _, x := range c.transactions() {
		known[x["transaction_id"].(string)] = x
	}
	require.Equal(t, known, added)

	superfluous := func() (n int) {
		require.NoError(t, s.store.DB.Raw(`SELECT count(*) FROM transaction_changes WHERE change <> 'ADDED'`).Scan(&n).Error)
		return n
	}
	require.Positive(t, superfluous())
	s.bank.Advance(380 * day)
	still := old
	_, modified, removed := c.changes(&still)
	require.Positive(t, len(modified)+len(removed), "after a year it is still good")
	s.bank.Advance(30 * day)
	require.Eventually(t, func() bool { return superfluous() == 0 }, patience, 100*time.Millisecond)

	var failure struct{ Error object }
	c.call("GET", "/rest/transactions/changes?cursor="+old, c.auth, nil, 400, &failure)
	require.Contains(t, failure.Error["data"], "cursor")
	beginning = ""
	added, _, _ = c.changes(&beginning)
	require.Equal(t, known, added)
}

// A month after its end, how a synchronization went is forgotten; a year and a month after, it is itself, if another one
// came after it.
func TestOldSynchronizationsAreForgotten(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	c := s.newCustomer()
	access := c.access("demo", "demo")
	first := c.start(access, object{"credentials": object{"pin": password}})
	require.Equal(t, "COMPLETED", c.finish(first)["status"])
	last := c.start(access, object{})
	require.Equal(t, "COMPLETED", c.finish(last)["status"])
	transactions := c.transactions()
	require.NotEmpty(t, transactions)
	stored := func(table string) (n int) {
		require.NoError(t, s.store.DB.Raw(`SELECT count(*) FROM `+table).Scan(&n).Error)
		return n
	}
	tables := []string{"synchronization_events", "bank_sessions", "challenges", "answers"}
	for _, table := range tables {
		require.Positive(t, stored(table), table)
	}

	s.bank.Advance(models.CourseKept + 9*day) // events have the machine's time: the bank's is up to eight days behind it
	for _, table := range tables {
		require.Eventually(t, func() bool { return stored(table) == 0 }, patience, 100*time.Millisecond, table)
	}
	for _, sync := range []string{first, last} {
		var y object
		c.get(sync, &y)
		require.Equal(t, "COMPLETED", y["status"])
		require.NotEmpty(t, y["accounts"])
	}

	s.bank.Advance(models.SynchronizationsKept)
	require.Eventually(t, func() bool { return stored("synchronizations") == 1 }, patience, 100*time.Millisecond)
	c.call("GET", first, c.auth, nil, 404, nil)
	var y object
	c.get(last, &y)
	require.NotEmpty(t, y["accounts"])
	require.Equal(t, transactions, c.transactions())
}
