package workflows_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"kontoflow/activities"
	"kontoflow/workflows"
)

// Runs of released code have to go on under today's: testdata/ holds their histories (docs/contributing.md says how
// they get there).
func TestRecordedHistoriesReplay(t *testing.T) {
	t.Parallel()
	for _, file := range recorded(t) {
		t.Run(filepath.Base(file), func(t *testing.T) {
			t.Parallel()
			replayer := worker.NewWorkflowReplayer()
			workflows.Register(replayer)
			require.NoError(t, replayer.ReplayWorkflowHistoryFromJSONFile(nil, file))
		})
	}
}

// A replay that would accept anything proves nothing: a workflow that does something else has to be refused.
func TestReplayRefusesOtherWorkflows(t *testing.T) {
	t.Parallel()
	for _, file := range recorded(t) {
		replayer := worker.NewWorkflowReplayer()
		replayer.RegisterWorkflowWithOptions(func(ctx workflow.Context, in workflows.SynchronizationInput) (activities.FinishOutcome, error) {
			return activities.FinishOutcome{}, workflow.Sleep(ctx, 1)
		}, workflow.RegisterOptions{Name: "Synchronization"})
		replayer.RegisterWorkflowWithOptions(func(ctx workflow.Context, access string) error {
			return workflow.Sleep(ctx, 1)
		}, workflow.RegisterOptions{Name: "RemoveAccess"})
		require.Error(t, replayer.ReplayWorkflowHistoryFromJSONFile(nil, file), file)
	}
}

func recorded(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}
