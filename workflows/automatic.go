package workflows

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/kontoflow/kontoflow/activities"
)

// AutomaticSynchronizationsOutcome is what one run came to, in counts.
type AutomaticSynchronizationsOutcome struct {
	activities.TendConsentsOutcome
	activities.StartDueOutcome
}

// AutomaticSynchronizations looks after consents that end, and starts the synchronizations that are due. The Schedule
// that EnsureSchedule makes runs it, one at a time; which accesses are due is the database's to know. What banks have no
// room for within some minutes waits for the next run.
func AutomaticSynchronizations(ctx workflow.Context) (out AutomaticSynchronizationsOutcome, err error) {
	detail(ctx, "looking after consents")
	err = workflow.ExecuteActivity(sweeping.options(ctx, "warn of consents that end, close those that have ended"), a.TendConsents).
		Get(ctx, &out.TendConsentsOutcome)
	if err != nil { // no reason to leave the data stale
		workflow.GetLogger(ctx).Warn("consents could not be looked after", "error", err)
	}
	detail(ctx, "%d consents end soon, %d have ended; starting what is due", out.Warned, out.Expired)
	err = workflow.ExecuteActivity(sweeping.options(ctx, "start the synchronizations that are due"), a.StartDue).Get(ctx, &out.StartDueOutcome)
	detail(ctx, "%d consents end soon, %d have ended; %d accesses were due, %d synchronizations started", out.Warned, out.Expired, out.Examined, out.Started)
	return out, err
}

// ScheduleID names the Schedule of a task queue's automatic synchronizations.
func ScheduleID(taskQueue string) string { return "autosync-" + taskQueue }

// EnsureSchedule makes the Schedule that runs AutomaticSynchronizations, or brings it in line with every: workers call it
// when they start. Whether an operator has paused it stays as it is, and one that is in line is not touched.
func EnsureSchedule(ctx context.Context, c client.Client, taskQueue string, every time.Duration) error {
	wanted := client.ScheduleOptions{
		ID:   ScheduleID(taskQueue),
		Spec: client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: every}}, Jitter: every / 10},
		Action: &client.ScheduleWorkflowAction{
			ID:                 "autosync-" + taskQueue,
			Workflow:           "AutomaticSynchronizations",
			TaskQueue:          taskQueue,
			WorkflowRunTimeout: runTimeout,
			StaticSummary:      "start the synchronizations that are due",
		},
		Overlap:       enums.SCHEDULE_OVERLAP_POLICY_SKIP,
		CatchupWindow: max(every, minCatchup), // what was missed while Temporal was down is due all the same
	}
	_, err := c.ScheduleClient().Create(ctx, wanted)
	if !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
		return wrap(err, "make the schedule of automatic synchronizations")
	}
	err = c.ScheduleClient().GetHandle(ctx, wanted.ID).Update(ctx, client.ScheduleUpdateOptions{
		DoUpdate: func(in client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
			schedule := in.Description.Schedule
			if inLine(&schedule, &wanted) {
				return nil, temporal.ErrSkipScheduleUpdate
			}
			schedule.Spec, schedule.Action = &wanted.Spec, wanted.Action
			schedule.Policy = &client.SchedulePolicies{Overlap: wanted.Overlap, CatchupWindow: wanted.CatchupWindow}
			return &client.ScheduleUpdate{Schedule: &schedule}, nil
		},
	})
	return wrap(err, fmt.Sprintf("bring the schedule of automatic synchronizations to every %s", every))
}

// minCatchup is the least that the server's scheduler takes (its MinCatchupWindow).
const minCatchup = 10 * time.Second

// inLine reports whether a schedule does what is wanted of it.
func inLine(schedule *client.Schedule, wanted *client.ScheduleOptions) bool {
	action, _ := schedule.Action.(*client.ScheduleWorkflowAction)
	want := wanted.Action.(*client.ScheduleWorkflowAction)
	return action != nil && action.ID == want.ID && action.Workflow == want.Workflow && action.TaskQueue == want.TaskQueue &&
		action.WorkflowRunTimeout == want.WorkflowRunTimeout && action.StaticSummary == want.StaticSummary &&
		slices.Equal(schedule.Spec.Intervals, wanted.Spec.Intervals) && schedule.Spec.Jitter == wanted.Spec.Jitter &&
		schedule.Policy.Overlap == wanted.Overlap && schedule.Policy.CatchupWindow == wanted.CatchupWindow
}

// runTimeout ends a run that hangs; the next one goes on where it stood.
const runTimeout = 2 * time.Hour
