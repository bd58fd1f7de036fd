package workflows_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/testsuite"

	"github.com/kontoflow/kontoflow/activities"
	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/rules"
	"github.com/kontoflow/kontoflow/workflows"
	"github.com/kontoflow/kontoflow/workflows/contract"
)

// A run is a synchronization in Temporal's test environment, whose clock jumps.
type run struct {
	*testsuite.TestWorkflowEnvironment
	t         *testing.T
	id        uuid.UUID
	first     contract.Challenge
	restarted []contract.AuthorizeInput
	answered  []contract.AuthorizeInput
	finished  contract.FinishInput
}

// newRun is a synchronization whose bank asks a question of the given form; after a restart it asks for a TAN.
func newRun(t *testing.T, form banks.ChallengeType) *run {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	r := &run{TestWorkflowEnvironment: suite.NewTestWorkflowEnvironment(), t: t, id: uuid.New()}
	r.SetTestTimeout(time.Minute)
	r.RegisterWorkflow(workflows.Synchronization)
	asks := func(form banks.ChallengeType) contract.AuthorizeOutcome {
		return contract.AuthorizeOutcome{Status: banks.Challenged, Challenge: contract.Challenge{ID: uuid.New(), Type: form,
			ExpiresAt: r.Now().Add(10 * time.Minute), PollAfter: time.Second}}
	}
	var names *activities.Activities
	ready := contract.AuthorizeOutcome{Status: banks.Ready}
	first := asks(form)
	r.first = first.Challenge
	r.OnActivity(names.Connect, mock.Anything, mock.Anything).Return(first, nil)
	r.OnActivity(names.Restart, mock.Anything, mock.Anything).Return(func(_ context.Context, in contract.AuthorizeInput) (contract.AuthorizeOutcome, error) {
		r.restarted = append(r.restarted, in)
		next := asks(banks.Embedded)
		r.RegisterDelayedCallback(func() {
			r.SignalWorkflow(contract.ChallengeAnswered, contract.Answered{ChallengeID: r.first.ID}) // late, and for the former one
			r.SignalWorkflow(contract.ChallengeRestarted, contract.GivenUp{ChallengeID: r.first.ID})
		}, time.Second)
		r.RegisterDelayedCallback(func() {
			r.SignalWorkflow(contract.ChallengeAnswered, contract.Answered{ChallengeID: next.Challenge.ID})
		}, time.Minute)
		return next, nil
	})
	r.OnActivity(names.Answer, mock.Anything, mock.Anything).Return(func(_ context.Context, in contract.AuthorizeInput) (contract.AuthorizeOutcome, error) {
		r.answered = append(r.answered, in)
		return ready, nil
	})
	r.OnActivity(names.ReadAccounts, mock.Anything, mock.Anything).Return(contract.ReadAccountsOutcome{}, nil)
	r.OnActivity(names.Finish, mock.Anything, mock.Anything).Return(func(_ context.Context, in contract.FinishInput) (contract.FinishOutcome, error) {
		r.finished = in
		return contract.FinishOutcome{Status: rules.Completed}, nil
	})
	return r
}

// restart is the client's restart of the first question, after a while.
func (r *run) restart(after time.Duration) {
	r.RegisterDelayedCallback(func() {
		r.SignalWorkflow(contract.ChallengeRestarted, contract.GivenUp{ChallengeID: r.first.ID})
	}, after)
}

// requireRestarted runs it, and holds that the question was restarted once, as the same step, and the next one answered.
func (r *run) requireRestarted() {
	r.t.Helper()
	r.ExecuteWorkflow(workflows.Synchronization, contract.SynchronizationInput{SyncID: r.id, Trigger: rules.Manual})
	require.True(r.t, r.IsWorkflowCompleted())
	require.NoError(r.t, r.GetWorkflowError())
	require.Equal(r.t, []contract.AuthorizeInput{{SyncID: r.id, Step: 2, ChallengeID: r.first.ID}}, r.restarted)
	require.Len(r.t, r.answered, 1)
	require.Equal(r.t, 3, r.answered[0].Step)
	require.NotEqual(r.t, r.first.ID, r.answered[0].ChallengeID)
	require.Zero(r.t, r.finished.Code)
}

func TestRestartOfAQuestion(t *testing.T) {
	t.Parallel()
	for _, form := range []banks.ChallengeType{banks.Embedded, banks.MethodSelection, banks.RedirectTo} {
		r := newRun(t, form)
		r.restart(30 * time.Second)
		r.requireRestarted()
	}
}

// The wait for the bank's app ends with the restart: its activity is told, and not waited for.
func TestRestartOfAWaitForTheApp(t *testing.T) {
	t.Parallel()
	var names *activities.Activities
	r := newRun(t, banks.Decoupled)
	r.OnActivity(names.AwaitConfirmation, mock.Anything, mock.Anything).Return(func(ctx context.Context, _ contract.AwaitConfirmationInput) (contract.AuthorizeOutcome, error) {
		return contract.AuthorizeOutcome{}, activity.ErrResultPending
	})
	cancelled := false
	r.SetOnActivityCanceledListener(func(*activity.Info) { cancelled = true })
	r.restart(30 * time.Second)
	r.requireRestarted()
	require.True(t, cancelled)
}

// Where the signal is lost, the wait for the bank's app finds out by itself.
func TestRestartFoundByTheWait(t *testing.T) {
	t.Parallel()
	var names *activities.Activities
	r := newRun(t, banks.Decoupled)
	r.OnActivity(names.AwaitConfirmation, mock.Anything, mock.Anything).
		Return(contract.AuthorizeOutcome{}, temporal.NewNonRetryableApplicationError("restarted", contract.Restarted, nil))
	r.requireRestarted()
}

// A restart that comes when the customer has confirmed changes nothing.
func TestRestartAfterTheConfirmation(t *testing.T) {
	t.Parallel()
	var names *activities.Activities
	r := newRun(t, banks.Decoupled)
	r.OnActivity(names.AwaitConfirmation, mock.Anything, mock.Anything).Return(contract.AuthorizeOutcome{Status: banks.Ready}, nil)
	r.OnActivity(names.ReadAccounts, mock.Anything, mock.Anything).Return(contract.ReadAccountsOutcome{}, nil).After(time.Minute)
	r.restart(30 * time.Second)
	r.ExecuteWorkflow(workflows.Synchronization, contract.SynchronizationInput{SyncID: r.id, Trigger: rules.Manual})
	require.NoError(t, r.GetWorkflowError())
	require.Empty(t, r.restarted)
}
