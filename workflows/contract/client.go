package contract

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"

	"github.com/kontoflow/kontoflow/rules"
)

// A Run is what starts a stored synchronization's workflow: ids and plain words only.
type Run struct {
	ID       uuid.UUID
	AccessID uuid.UUID
	BankID   uuid.UUID
	Trigger  string
	Scope    []string
}

// A Revocation is what starts ending a consent at its bank.
type Revocation struct {
	ID       uuid.UUID
	AccessID uuid.UUID // may be gone
	BankID   uuid.UUID
}

// Start starts a stored synchronization's workflow. Its id is the synchronization's, so starting twice is harmless.
func Start(ctx context.Context, c client.Client, taskQueue string, run Run) error {
	priority := temporal.Priority{PriorityKey: priorityManual, FairnessKey: run.BankID.String()}
	if run.Trigger == rules.Auto {
		priority.PriorityKey = priorityAutomatic
	}
	_, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                                       run.ID.String(),
		TaskQueue:                                taskQueue,
		WorkflowIDReusePolicy:                    enums.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		Priority:                                 priority,
		StaticSummary:                            fmt.Sprintf("%s synchronization of %s", strings.ToLower(run.Trigger), words(run.Scope)),
		TypedSearchAttributes: temporal.NewSearchAttributes(
			AccessID.ValueSet(run.AccessID.String()),
			BankID.ValueSet(run.BankID.String()),
			SyncTrigger.ValueSet(run.Trigger),
			SyncState.ValueSet(string(rules.Running)), // a run in the list is at work: QUEUED ends with its start
		),
	}, Synchronization, SynchronizationInput{SyncID: run.ID, Trigger: run.Trigger})
	if temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		return nil
	}
	return wrap(err, "start the synchronization's workflow")
}

// SignalAnswered tells the workflow that an answer is stored. A workflow that has ended is no error: it was too late.
func SignalAnswered(ctx context.Context, c client.Client, sync, challenge uuid.UUID) error {
	err := c.SignalWorkflow(ctx, sync.String(), "", ChallengeAnswered, Answered{ChallengeID: challenge})
	return wrap(unlessGone(err), "signal the answer")
}

// SignalRestarted tells the workflow that a challenge was restarted. A workflow that has ended is no error.
func SignalRestarted(ctx context.Context, c client.Client, sync, challenge uuid.UUID) error {
	err := c.SignalWorkflow(ctx, sync.String(), "", ChallengeRestarted, GivenUp{ChallengeID: challenge})
	return wrap(unlessGone(err), "signal the restart")
}

// Cancel asks the workflow to end. A workflow that has ended, or never started, is no error.
func Cancel(ctx context.Context, c client.Client, sync uuid.UUID) error {
	return wrap(unlessGone(c.CancelWorkflow(ctx, sync.String(), "")), "cancel the synchronization's workflow")
}

// Runs reports whether the synchronization's workflow is there and has not ended.
func Runs(ctx context.Context, c client.Client, sync uuid.UUID) (bool, error) {
	d, err := c.DescribeWorkflowExecution(ctx, sync.String(), "")
	if unlessGone(err) != nil {
		return false, wrap(err, "look for the synchronization's workflow")
	}
	return d.GetWorkflowExecutionInfo().GetStatus() == enums.WORKFLOW_EXECUTION_STATUS_RUNNING, nil
}

// StartRevocation starts ending at its bank what is owed to it. Starting twice is harmless.
func StartRevocation(ctx context.Context, c client.Client, taskQueue string, owed Revocation) error {
	_, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                       revocationID(owed.ID),
		TaskQueue:                taskQueue,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		Priority:                 temporal.Priority{PriorityKey: priorityAutomatic, FairnessKey: owed.BankID.String()},
		StaticSummary:            "revocation of a consent",
		TypedSearchAttributes:    temporal.NewSearchAttributes(AccessID.ValueSet(owed.AccessID.String()), BankID.ValueSet(owed.BankID.String())),
	}, RevokeConsent, owed.ID)
	return wrap(err, "start the revocation's workflow")
}

func words(scope []string) string { return strings.ToLower(strings.Join(scope, " and ")) }

func unlessGone(err error) error {
	var gone *serviceerror.NotFound
	if errors.As(err, &gone) {
		return nil
	}
	return err
}

func wrap(err error, what string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", what, err)
}

// Unreachable reports that Temporal is not there, or did not answer in time: the next call would fare no better.
func Unreachable(err error) bool {
	var unavailable *serviceerror.Unavailable
	var late *serviceerror.DeadlineExceeded
	return errors.As(err, &unavailable) || errors.As(err, &late) || errors.Is(err, context.DeadlineExceeded)
}
