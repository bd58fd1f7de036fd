package contract

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
)

// EnsureSchedule makes the Schedule that runs AutomaticSynchronizations, or brings it in line with every: workers call it
// when they start. Whether an operator has paused it stays as it is, and one that is in line is not touched.
func EnsureSchedule(ctx context.Context, c client.Client, taskQueue string, every time.Duration) error {
	wanted := client.ScheduleOptions{
		ID:   ScheduleID(taskQueue),
		Spec: client.ScheduleSpec{Intervals: []client.ScheduleIntervalSpec{{Every: every}}, Jitter: every / 10},
		Action: &client.ScheduleWorkflowAction{
			ID:                 ScheduleID(taskQueue),
			Workflow:           AutomaticSynchronizations,
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
