package main

import (
	"context"
	"os"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/kontoflow/kontoflow/internal/temporalclient"
)

// The other sides of the comparisons are processes as well: this binary with one of these words.
const (
	bareWorker = "bare-worker"
	bareEcho   = "bare-echo"
)

// runBareWorker works as Kontoflow's worker does, on a workflow that does nothing.
func runBareWorker(ctx context.Context) error {
	c, err := temporalclient.Dial(temporalclient.Options{Address: os.Getenv("TEMPORAL_ADDRESS")})
	if err != nil {
		return err
	}
	defer c.Close()
	w := worker.New(c, os.Getenv("TASK_QUEUE")+bareQueue, worker.Options{
		WorkflowTaskPollerBehavior:         worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{}),
		ActivityTaskPollerBehavior:         worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{}),
		MaxConcurrentActivityExecutionSize: 2000,
	})
	w.RegisterWorkflow(bare)
	w.RegisterActivity(nothing)
	if err := w.Start(); err != nil {
		return err
	}
	<-ctx.Done()
	w.Stop()
	return nil
}

// bareQueue is what the bare worker's task queue has behind the name of ours.
const bareQueue = "-bare"

// bare runs a number of activities, one after the other.
func bare(ctx workflow.Context, activities int) error {
	ctx = workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: 5 * time.Minute,
		RetryPolicy:         &temporal.RetryPolicy{InitialInterval: time.Second, MaximumAttempts: 5},
	})
	for range activities {
		if err := workflow.ExecuteActivity(ctx, nothing).Get(ctx, nil); err != nil {
			return err
		}
	}
	return nil
}

func nothing(context.Context) error { return nil }
