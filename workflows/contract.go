// Package workflows is what happens, in order. Synchronization (synchronization.go) is one run of reading an access;
// AccessUpgrade is its child that moves an access to another method (upgrade.go). AutomaticSynchronizations starts those
// that nobody else starts (automatic.go), RevokeConsent ends at the bank what is over here (revocation.go). Workflow code
// is deterministic and does no I/O: it calls activities, and waits for people.
package workflows

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
	"go.temporal.io/sdk/worker"

	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/rules"
)

// Register lists every workflow that a worker runs.
func Register(w worker.WorkflowRegistry) {
	w.RegisterWorkflow(Synchronization)
	w.RegisterWorkflow(AutomaticSynchronizations)
	w.RegisterWorkflow(AccessUpgrade)
	w.RegisterWorkflow(RevokeConsent)
}

// AnsweredSignal tells a synchronization that the customer's answer to a challenge is stored.
const AnsweredSignal = "challenge-answered"

// Answered is the payload of AnsweredSignal. The answer itself never travels here.
type Answered struct {
	ChallengeID uuid.UUID `json:"challenge_id"`
}

// RestartedSignal tells a synchronization that the client gave up a challenge, and wants another one in its place.
const RestartedSignal = "challenge-restarted"

// Restarted is the payload of RestartedSignal.
type Restarted struct {
	ChallengeID uuid.UUID `json:"challenge_id"`
}

// What operators find runs by, beside their id: ids, states and error codes, never anything personal.
var (
	accessID      = temporal.NewSearchAttributeKeyKeyword("AccessId")
	providerID    = temporal.NewSearchAttributeKeyKeyword("ProviderId")
	syncState     = temporal.NewSearchAttributeKeyKeyword("SyncState")
	syncTrigger   = temporal.NewSearchAttributeKeyKeyword("SyncTrigger")
	syncErrorCode = temporal.NewSearchAttributeKeyKeyword("SyncErrorCode")
)

// SearchAttributes are all of them, as the namespace has to know them.
var SearchAttributes = []temporal.SearchAttributeKey{accessID, providerID, syncState, syncTrigger, syncErrorCode}

// Priorities of synchronizations on the task queue, 1 to 5, low numbers first: somebody waits for a manual one.
const (
	priorityManual    = 2
	priorityAutomatic = 4
)

// Start starts a stored synchronization's workflow. Its id is the synchronization's, so starting twice is harmless.
func Start(ctx context.Context, c client.Client, taskQueue string, ref models.SyncRef) error {
	priority := temporal.Priority{PriorityKey: priorityManual, FairnessKey: ref.BankID.String()}
	if ref.Trigger == rules.Auto {
		priority.PriorityKey = priorityAutomatic
	}
	_, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                                       ref.ID.String(),
		TaskQueue:                                taskQueue,
		WorkflowIDReusePolicy:                    enums.WORKFLOW_ID_REUSE_POLICY_REJECT_DUPLICATE,
		WorkflowExecutionErrorWhenAlreadyStarted: true,
		Priority:                                 priority,
		StaticSummary:                            fmt.Sprintf("%s synchronization of %s", strings.ToLower(ref.Trigger), words(ref.Scope)),
		TypedSearchAttributes: temporal.NewSearchAttributes(
			accessID.ValueSet(ref.AccessID.String()),
			providerID.ValueSet(ref.BankID.String()),
			syncTrigger.ValueSet(ref.Trigger),
			syncState.ValueSet(string(rules.Running)), // a run in the list is at work: QUEUED ends with its start
		),
	}, Synchronization, SynchronizationInput{SyncID: ref.ID, Trigger: ref.Trigger})
	if temporal.IsWorkflowExecutionAlreadyStartedError(err) {
		return nil
	}
	return wrap(err, "start the synchronization's workflow")
}

// SignalAnswered tells the workflow that an answer is stored. A workflow that has ended is no error: it was too late.
func SignalAnswered(ctx context.Context, c client.Client, sync, challenge uuid.UUID) error {
	err := c.SignalWorkflow(ctx, sync.String(), "", AnsweredSignal, Answered{ChallengeID: challenge})
	return wrap(unlessGone(err), "signal the answer")
}

// SignalRestarted tells the workflow that a challenge was restarted. A workflow that has ended is no error.
func SignalRestarted(ctx context.Context, c client.Client, sync, challenge uuid.UUID) error {
	err := c.SignalWorkflow(ctx, sync.String(), "", RestartedSignal, Restarted{ChallengeID: challenge})
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
func StartRevocation(ctx context.Context, c client.Client, taskQueue string, owed models.Revocation) error {
	_, err := c.ExecuteWorkflow(ctx, client.StartWorkflowOptions{
		ID:                       "revoke-" + owed.ID.String(),
		TaskQueue:                taskQueue,
		WorkflowIDConflictPolicy: enums.WORKFLOW_ID_CONFLICT_POLICY_USE_EXISTING,
		Priority:                 temporal.Priority{PriorityKey: priorityAutomatic, FairnessKey: owed.BankID.String()},
		StaticSummary:            "revocation of a consent",
		TypedSearchAttributes:    temporal.NewSearchAttributes(accessID.ValueSet(owed.AccessID.String()), providerID.ValueSet(owed.BankID.String())),
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
