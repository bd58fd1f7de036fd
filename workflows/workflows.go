// Package workflows is what happens, in order. Synchronization (synchronization.go) is one run of reading an access;
// AccessUpgrade is its child that moves an access to another method (upgrade.go). AutomaticSynchronizations starts those
// that nobody else starts (automatic.go), RevokeConsent ends at the bank what is over here (revocation.go). Workflow code
// is deterministic and does no I/O: it calls activities, and waits for people. What it agrees on with the others is in
// package contract.
package workflows

import (
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/kontoflow/kontoflow/workflows/contract"
)

// Register lists every workflow that a worker runs.
func Register(w worker.WorkflowRegistry) {
	w.RegisterWorkflow(Synchronization)
	w.RegisterWorkflow(AutomaticSynchronizations)
	w.RegisterWorkflow(AccessUpgrade)
	w.RegisterWorkflow(RevokeConsent)
}

// call executes an activity with the options of ctx, and waits for it.
func call[In, Out any](ctx workflow.Context, activity contract.Activity[In, Out], in In) (out Out, err error) {
	err = begin(ctx, activity, in).Get(ctx, &out)
	return out, err
}

// begin executes an activity with the options of ctx.
func begin[In, Out any](ctx workflow.Context, activity contract.Activity[In, Out], in In) workflow.Future {
	if _, none := any(in).(contract.None); none {
		return workflow.ExecuteActivity(ctx, string(activity))
	}
	return workflow.ExecuteActivity(ctx, string(activity), in)
}
