package admission_test

import (
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/internal/admission"
)

var limits = admission.Limits{PerSecond: 2, Burst: 3, Light: 5, Heavy: 1, Waiting: 2}

func TestRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := admission.NewGate(limits, 10)
		enter := func(key string) time.Duration {
			pass, retry := g.Enter(key, admission.Light)
			pass.Leave()
			return retry
		}
		for range 3 {
			require.Zero(t, enter("a"))
		}
		require.Equal(t, 500*time.Millisecond, enter("a"), "the burst is spent")
		require.Zero(t, enter("b"), "others have their own")
		require.Equal(t, 500*time.Millisecond, enter("a"), "what was refused costs nothing")
		time.Sleep(500 * time.Millisecond)
		require.Zero(t, enter("a"))
		require.Positive(t, enter("a"))
		time.Sleep(time.Hour)
		for range 3 {
			require.Zero(t, enter("a"))
		}
		require.Positive(t, enter("a"), "a long pause gives no more than the burst")
	})
}

func TestAtOnce(t *testing.T) {
	t.Parallel()
	g := admission.NewGate(admission.Limits{PerSecond: 1000, Burst: 1000, Light: 2, Heavy: 1, Waiting: 1}, 10)
	first, _ := g.Enter("a", admission.Light)
	second, _ := g.Enter("a", admission.Light)
	require.NotNil(t, first)
	require.NotNil(t, second)
	third, retry := g.Enter("a", admission.Light)
	require.Nil(t, third)
	require.Equal(t, time.Second, retry)
	other, _ := g.Enter("b", admission.Light)
	require.NotNil(t, other, "others have their own")

	require.Zero(t, first.Become(admission.Heavy))
	third, _ = g.Enter("a", admission.Light)
	require.NotNil(t, third, "what became heavy is not light any more")
	require.Equal(t, time.Second, second.Become(admission.Heavy), "one heavy request at once")
	first.Leave()
	first.Leave()
	require.Zero(t, second.Become(admission.Heavy))
	require.Zero(t, second.Become(admission.Heavy), "it is one already")
	second.Leave()
	require.Zero(t, second.Become(admission.Waiting), "it is over")
	last, _ := g.Enter("a", admission.Waiting)
	require.NotNil(t, last)
}

func TestCheckAndSpend(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := admission.NewGate(limits, 10)
		for range 3 {
			require.Zero(t, g.Check("a"))
			g.Spend("a")
		}
		require.Equal(t, 500*time.Millisecond, g.Check("a"))
		time.Sleep(500 * time.Millisecond)
		require.Zero(t, g.Check("a"))
	})
}

// The gate remembers a bounded number of callers, and never forgets one with requests under way.
func TestCallersAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := admission.NewGate(admission.Limits{PerSecond: 1, Burst: 1, Light: 1}, 100)
		held, _ := g.Enter("held", admission.Light)
		for i := range 10_000 {
			pass, _ := g.Enter(strconv.Itoa(i), admission.Light)
			pass.Leave()
		}
		require.LessOrEqual(t, g.Callers(), 100)
		again, _ := g.Enter("held", admission.Light)
		require.Nil(t, again)
		held.Leave()
	})
}
