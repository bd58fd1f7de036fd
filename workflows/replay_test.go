package workflows_test

import (
	"log/slog"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/worker"
	"go.temporal.io/sdk/workflow"

	"github.com/kontoflow/kontoflow/workflows"
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

// A replay that would accept anything proves nothing: a workflow that does something else has to be refused, and for that
// reason.
func TestReplayRefusesOtherWorkflows(t *testing.T) {
	t.Parallel()
	for _, file := range recorded(t) {
		replayer := worker.NewWorkflowReplayer()
		otherwise := otherwise{replayer}
		workflows.Register(otherwise)
		silent := log.NewStructuredLogger(slog.New(slog.DiscardHandler)) // it logs the panic, with its stack
		require.ErrorContains(t, replayer.ReplayWorkflowHistoryFromJSONFile(silent, file), "TMPRL1100", file)
	}
}

// otherwise registers, in place of every workflow, one of its name and its input that sleeps.
type otherwise struct{ worker.WorkflowReplayer }

func (o otherwise) RegisterWorkflow(w any) {
	real := reflect.TypeOf(w)
	sleeps := reflect.MakeFunc(real, func(in []reflect.Value) []reflect.Value {
		out := make([]reflect.Value, real.NumOut())
		for i := range out {
			out[i] = reflect.Zero(real.Out(i))
		}
		if err := workflow.Sleep(in[0].Interface().(workflow.Context), time.Hour); err != nil {
			out[len(out)-1] = reflect.ValueOf(&err).Elem()
		}
		return out
	})
	name := runtime.FuncForPC(reflect.ValueOf(w).Pointer()).Name()
	o.WorkflowReplayer.RegisterWorkflowWithOptions(sleeps.Interface(), workflow.RegisterOptions{Name: name[strings.LastIndex(name, ".")+1:]})
}

func recorded(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}
