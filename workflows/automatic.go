package workflows

import (
	"go.temporal.io/sdk/workflow"

	"github.com/kontoflow/kontoflow/workflows/contract"
)

// AutomaticSynchronizations looks after consents that end, and starts the synchronizations that are due. The Schedule
// that EnsureSchedule makes runs it, one at a time; which accesses are due is the database's to know. What banks have no
// room for within some minutes waits for the next run.
func AutomaticSynchronizations(ctx workflow.Context) (out contract.AutomaticSynchronizationsOutcome, err error) {
	detail(ctx, "looking after consents")
	out.TendConsentsOutcome, err = call(sweeping.options(ctx, "warn of consents that end, close those that have ended"),
		contract.TendConsents, contract.None{})
	if err != nil { // no reason to leave the data stale
		workflow.GetLogger(ctx).Warn("consents could not be looked after", "error", err)
	}
	detail(ctx, "%d consents end soon, %d have ended; starting what is due", out.Warned, out.Expired)
	out.StartDueOutcome, err = call(sweeping.options(ctx, "start the synchronizations that are due"), contract.StartDue, contract.None{})
	detail(ctx, "%d consents end soon, %d have ended; %d accesses were due, %d synchronizations started",
		out.Warned, out.Expired, out.Examined, out.Started)
	return out, err
}
