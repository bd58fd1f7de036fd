package e2e_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/log"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// TestLostRuns: a synchronization whose run was terminated, or is not there any more, ends by itself, and leaves its access
// free. One that runs is left alone, however long it waits; and while Temporal does not answer, so is every one.
func TestLostRuns(t *testing.T) {
	t.Parallel()
	s, later := newStackAhead(t)
	var mute atomic.Bool
	s.workerOptions.Client = s.temporalThat(func(method string) error {
		if mute.Load() && strings.HasSuffix(method, "/DescribeWorkflowExecution") {
			return status.Error(codes.Unavailable, "no answer from Temporal")
		}
		return nil
	})
	s.startWorker()
	t.Cleanup(func() { s.worker.Stop() })

	type waiting struct {
		*customer
		access, sync, challenge string
	}
	wait := func(login string) waiting {
		c := s.newCustomer()
		w := waiting{customer: c, access: c.access("demo", login)}
		w.sync = c.start(w.access, object{"credentials": object{"pin": password}})
		w.challenge = c.until(w.sync, "")["challenge"].(object)["id"].(string)
		return w
	}
	runs, terminated, deleted := wait("demo+runs"), wait("demo+terminated"), wait("demo+deleted") // the oldest is looked at first
	terminate := func(w waiting) {
		require.NoError(t, s.temporal.TerminateWorkflow(t.Context(), idOf(w.sync), "", "by an operator"))
	}
	terminate(terminated)
	terminate(deleted)
	_, err := s.temporal.WorkflowService().DeleteWorkflowExecution(t.Context(), &workflowservice.DeleteWorkflowExecutionRequest{
		Namespace: "default", WorkflowExecution: &common.WorkflowExecution{WorkflowId: idOf(deleted.sync)}})
	require.NoError(t, err)
	runs.eventually(func() bool {
		_, err := s.temporal.DescribeWorkflowExecution(t.Context(), idOf(deleted.sync), "")
		return err != nil && strings.Contains(err.Error(), "not found")
	}, "the run is deleted")
	s.runs.deleted(idOf(deleted.sync))

	mute.Store(true)
	later()
	runs.eventually(func() bool { return strings.Contains(s.logs.String(), "the sweep could not look for lost runs") }, "Temporal is asked")
	for _, w := range []waiting{runs, terminated, deleted} {
		require.Equal(t, "AWAIT_AUTH", w.at(w.sync)["status"])
	}

	mute.Store(false)
	for _, w := range []waiting{terminated, deleted} {
		y := w.until(w.sync, w.challenge)
		require.Equal(t, "FAILED", y["status"])
		require.Equal(t, 30000, codeOf(y))
		requireConsistent(t, y)
		require.Equal(t, "COMPLETED", w.customer.sync(w.access)["status"])
	}
	require.Equal(t, "AWAIT_AUTH", runs.at(runs.sync)["status"])
	runs.post(runs.sync+"/challenges/"+runs.challenge+"/response", object{"value": tan}, 200, nil)
	require.Equal(t, "COMPLETED", runs.until(runs.sync, runs.challenge)["status"])
}

// TestLostBeforeItRan: one that was terminated while it waited for a worker is lost like any other; what nobody has
// terminated, however long it waited, runs.
func TestLostBeforeItRan(t *testing.T) {
	t.Parallel()
	s, later := newStackAhead(t)
	c := s.newCustomer()
	patient, terminated := c.access("demo", "exempt+patient"), c.access("demo", "exempt")
	waits, lost := c.start(patient, object{"credentials": object{"pin": password}}), c.start(terminated, object{"credentials": object{"pin": password}})
	require.NoError(t, s.temporal.TerminateWorkflow(t.Context(), idOf(lost), "", "by an operator"))
	later()
	s.startWorker()
	t.Cleanup(func() { s.worker.Stop() })
	require.Equal(t, 30000, codeOf(c.until(lost, "")))
	require.Equal(t, "COMPLETED", c.until(waits, "")["status"])
	require.Equal(t, "COMPLETED", c.sync(terminated)["status"])
}

// newStackAhead is a stack without a worker. After later, all that is under way has been for longer than it is before the
// sweep asks Temporal about it. The bank and its customers stay in their time.
func newStackAhead(t *testing.T) (s *stack, later func()) {
	t.Helper()
	var ahead atomic.Int64
	s = newStack(t, withoutWorker(), func(s *stack) {
		s.clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	return s, func() { ahead.Store(int64(time.Hour)) }
}

// temporalThat is a client of the stack's Temporal server some of whose calls fail.
func (s *stack) temporalThat(fails func(method string) error) client.Client {
	s.t.Helper()
	options, err := envconfig.LoadDefaultClientOptions()
	require.NoError(s.t, err)
	options.HostPort, options.Logger = s.address, log.NewStructuredLogger(s.workerOptions.Logger)
	options.ConnectionOptions.DialOptions = append(options.ConnectionOptions.DialOptions, grpc.WithChainUnaryInterceptor(
		func(ctx context.Context, method string, req, reply any, cc *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
			if err := fails(method); err != nil {
				return err
			}
			return invoke(ctx, method, req, reply, cc, opts...)
		}))
	c, err := client.Dial(options)
	require.NoError(s.t, err)
	s.t.Cleanup(c.Close)
	return c
}
