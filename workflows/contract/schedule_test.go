package contract_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/kontoflow/kontoflow/internal/temporalclient"
	"github.com/kontoflow/kontoflow/internal/testground"
	"github.com/kontoflow/kontoflow/workflows/contract"
)

// TestEnsureSchedule: however many workers start at once there is one Schedule; it follows the setting, and stays paused
// where an operator has paused it.
func TestEnsureSchedule(t *testing.T) {
	t.Parallel()
	c, err := temporalclient.Dial(temporalclient.Options{Address: testground.Temporal(t)})
	require.NoError(t, err)
	t.Cleanup(c.Close)
	queue := "test-" + uuid.NewString() // nobody works on it
	schedule := c.ScheduleClient().GetHandle(t.Context(), contract.ScheduleID(queue))
	t.Cleanup(func() { _ = schedule.Delete(context.Background()) })
	ensure := func(every time.Duration) {
		t.Helper()
		failed := make([]error, 8)
		var group sync.WaitGroup
		for i := range failed {
			group.Go(func() { failed[i] = contract.EnsureSchedule(t.Context(), c, queue, every) })
		}
		group.Wait()
		require.NoError(t, errors.Join(failed...))
	}
	describe := func() *client.ScheduleDescription {
		t.Helper()
		d, err := schedule.Describe(t.Context())
		require.NoError(t, err)
		return d
	}

	ensure(time.Hour)
	first := describe()
	require.Equal(t, []client.ScheduleIntervalSpec{{Every: time.Hour}}, first.Schedule.Spec.Intervals)
	require.False(t, first.Schedule.State.Paused)

	require.NoError(t, schedule.Pause(t.Context(), client.SchedulePauseOptions{Note: "the bank asked us to"}))
	paused := describe()
	ensure(time.Hour)
	require.Equal(t, paused.Info.LastUpdateAt, describe().Info.LastUpdateAt, "it is in line: nothing was written")
	require.True(t, describe().Schedule.State.Paused)

	ensure(5 * time.Second)
	d := describe()
	require.Equal(t, []client.ScheduleIntervalSpec{{Every: 5 * time.Second}}, d.Schedule.Spec.Intervals)
	require.Equal(t, 10*time.Second, d.Schedule.Policy.CatchupWindow)
	require.True(t, d.Schedule.State.Paused, "the operator's word stands")
	require.Equal(t, "the bank asked us to", d.Schedule.State.Note)
}
