package workflows_test

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"

	"github.com/kontoflow/kontoflow/internal/temporalclient"
	"github.com/kontoflow/kontoflow/internal/testground"
	"github.com/kontoflow/kontoflow/rules"
	"github.com/kontoflow/kontoflow/workflows"
	"github.com/kontoflow/kontoflow/workflows/contract"
)

// TestWhoGoesFirst: of what is queued, manual synchronizations go first, and banks take turns, however long the queue of one
// of them is. The server has to be set up for it (docs/operations.md).
func TestWhoGoesFirst(t *testing.T) {
	t.Parallel()
	const long, short = 40, 4
	ctx := t.Context()
	c, err := temporalclient.Dial(temporalclient.Options{Address: testground.Temporal(t)})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	queue := "test-" + uuid.NewString()

	// Banks that are asked one after another: the first synchronization keeps the only slot until all others wait behind it.
	steps := &steps{first: make(chan struct{}), held: make(chan struct{})}
	w := worker.New(c, queue, worker.Options{MaxConcurrentActivityExecutionSize: 1, DisableEagerActivities: true})
	w.RegisterWorkflow(workflows.Synchronization)
	w.RegisterActivityWithOptions(steps.Connect, activity.RegisterOptions{Name: "Connect"})
	w.RegisterActivityWithOptions(steps.Finish, activity.RegisterOptions{Name: "Finish"})
	require.NoError(t, w.Start())
	t.Cleanup(w.Stop)

	start := func(n int, bank uuid.UUID, trigger string) (ids []uuid.UUID) {
		t.Helper()
		for range n {
			ref := contract.Run{ID: uuid.New(), AccessID: uuid.New(), BankID: bank, Trigger: trigger, Scope: []string{rules.ScopeTransactions}}
			require.NoError(t, contract.Start(ctx, c, queue, ref))
			ids = append(ids, ref.ID)
		}
		return ids
	}
	bank, other := uuid.New(), uuid.New()
	first := start(1, bank, rules.Auto)
	<-steps.held
	queued := start(long, bank, rules.Auto)
	others := start(short, other, rules.Auto)
	manual := start(short, bank, rules.Manual)
	for _, id := range slices.Concat(queued, others, manual) {
		awaitActivity(t, c, id)
	}
	close(steps.first)
	for _, id := range slices.Concat(first, queued, others, manual) {
		require.Error(t, c.GetWorkflow(ctx, id.String(), "").Get(ctx, nil), "it ends as the step says")
	}

	last := func(ids []uuid.UUID) (place int) {
		for _, id := range ids {
			place = max(place, slices.Index(steps.order, id))
		}
		return place
	}
	require.Len(t, steps.order, 1+long+2*short)
	// One place is left to what was handed to the worker before the last ones were queued.
	require.LessOrEqual(t, last(manual), short+1, "manual ones first, though they came last")
	require.LessOrEqual(t, last(others), 3*short+1, "the two banks take turns")
}

// awaitActivity waits until the workflow's first activity is queued.
func awaitActivity(t *testing.T, c client.Client, id uuid.UUID) {
	t.Helper()
	require.Eventually(t, func() bool {
		d, err := c.DescribeWorkflowExecution(t.Context(), id.String(), "")
		return err == nil && len(d.PendingActivities) == 1
	}, 5*time.Minute, 20*time.Millisecond)
}

// steps stand for the banks: they fail for good, and note the order in which they were asked.
type steps struct {
	first, held chan struct{} // held: the first one has the slot; first: it may go on
	mu          sync.Mutex
	order       []uuid.UUID
}

var errEnough = temporal.NewNonRetryableApplicationError("enough", "20000", nil)

func (s *steps) Connect(ctx context.Context, in contract.AuthorizeInput) (contract.AuthorizeOutcome, error) {
	s.mu.Lock()
	s.order = append(s.order, in.SyncID)
	n := len(s.order)
	s.mu.Unlock()
	if n == 1 {
		close(s.held)
		for alive := time.NewTicker(5 * time.Second); ; {
			select {
			case <-s.first:
				alive.Stop()
				return contract.AuthorizeOutcome{}, errEnough
			case <-alive.C:
				activity.RecordHeartbeat(ctx)
			}
		}
	}
	return contract.AuthorizeOutcome{}, errEnough
}

func (s *steps) Finish(context.Context, contract.FinishInput) (contract.FinishOutcome, error) {
	return contract.FinishOutcome{Status: rules.Failed, Code: 20000}, nil
}
