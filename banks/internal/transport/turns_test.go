package transport_test

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/internal/transport"
)

// TestSomebodyWaits: what somebody waits for takes the bank's next turn, however much waits in the background; and that
// goes on in its order, as fast as the bank lets.
func TestSomebodyWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client := paced(t, 1)
		begun := time.Now()
		var mu sync.Mutex
		var background []int // in the order of their turns
		var group sync.WaitGroup
		for i := range 60 {
			group.Go(func() {
				if client.Turn(t.Context(), "read", false) == nil {
					mu.Lock()
					defer mu.Unlock()
					background = append(background, i)
				}
			})
			synctest.Wait()
		}
		for range 8 {
			asked := time.Now()
			require.NoError(t, client.Turn(t.Context(), "read", true))
			require.LessOrEqual(t, time.Since(asked), time.Second)
		}
		mu.Lock()
		require.Len(t, background, 1, "the turn that was free when nobody waited")
		mu.Unlock()
		group.Wait()
		require.Len(t, background, 60)
		require.True(t, slices.IsSorted(background))
		require.Equal(t, 67*time.Second, time.Since(begun), "no turn was lost, and none was given too early")
	})
}

// TestTurns holds many requests, of which some give up, against what a turn is: evenly spaced, taken as soon as may be, in
// the order of arrival, and in the background only where nobody waits.
func TestTurns(t *testing.T) {
	t.Parallel()
	const perSecond, interval = 20, time.Second / 20
	type request struct {
		interactive     bool
		arrives, leaves time.Duration // since the beginning
		patience        time.Duration // until it gives up; 0: never
		served          bool
	}
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		requests := make([]*request, 300)
		for i := range requests { // 25 in a second on average; no two things happen at once
			r := &request{interactive: random.IntN(4) == 0, arrives: time.Duration(random.IntN(12_000))*time.Millisecond + time.Duration(i)*time.Microsecond}
			if random.IntN(3) == 0 {
				r.patience = time.Duration(random.IntN(2_000))*time.Millisecond + 500*time.Nanosecond
			}
			requests[i] = r
		}
		synctest.Test(t, func(t *testing.T) {
			client, begun := paced(t, perSecond), time.Now()
			var group sync.WaitGroup
			for _, r := range requests {
				group.Go(func() {
					time.Sleep(r.arrives)
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					if r.patience > 0 {
						defer time.AfterFunc(r.patience, cancel).Stop()
					}
					err := client.Turn(ctx, "ask", r.interactive)
					r.leaves, r.served = time.Since(begun), err == nil
				})
			}
			group.Wait()
		})
		slices.SortFunc(requests, func(a, b *request) int { return cmp.Compare(a.leaves, b.leaves) })
		turns, gaveUp := map[time.Duration]bool{}, 0
		last := -interval
		latest := map[bool]time.Duration{} // arrival of the one served last, by interactive
		for _, r := range requests {
			if !r.served {
				gaveUp++
				require.Equal(t, r.arrives+r.patience, r.leaves, "it gave up when it wanted to")
				continue
			}
			require.GreaterOrEqual(t, r.leaves-last, interval, "the bank's limit")
			require.True(t, r.leaves == r.arrives || turns[r.leaves-interval], "no turn is let go while one waits")
			require.Greater(t, r.arrives, latest[r.interactive], "in the order of arrival")
			for _, other := range requests {
				waits := other.arrives < r.leaves && r.leaves < other.leaves
				require.False(t, waits && other.interactive && !r.interactive, "somebody waits")
			}
			last, latest[r.interactive], turns[r.leaves] = r.leaves, r.arrives, true
		}
		require.NotZero(t, gaveUp)
	}
}

// TestNobodyWaitsInVain: a request that cannot get its turn in time hears so at once, and takes nobody's place.
func TestNobodyWaitsInVain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		client, begun := paced(t, 1), time.Now()
		require.NoError(t, client.Turn(t.Context(), "ask", true))
		soon, cancel := context.WithTimeout(t.Context(), 900*time.Millisecond)
		defer cancel()
		for _, interactive := range []bool{true, false} {
			err := client.Turn(soon, "ask", interactive)
			require.Equal(t, banks.Transient, banks.AsError(err).Kind)
			require.ErrorContains(t, err, "too many requests wait for the bank")
		}
		require.Equal(t, begun, time.Now())

		var group sync.WaitGroup
		group.Go(func() { // in time, had nobody come
			late, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
			defer cancel()
			if err := client.Turn(late, "ask", false); err == nil || context.Cause(late) == nil {
				t.Errorf("%v", err)
			}
		})
		synctest.Wait()
		require.NoError(t, client.Turn(t.Context(), "ask", true))
		require.NoError(t, client.Turn(t.Context(), "ask", true))
		group.Wait()
		require.Equal(t, 2*time.Second, time.Since(begun))

		over, cancel := context.WithCancel(t.Context())
		cancel()
		require.ErrorIs(t, client.Turn(over, "ask", true), context.Canceled)
		time.Sleep(time.Minute)
		require.NoError(t, client.Turn(t.Context(), "ask", false))
		require.Equal(t, 62*time.Second, time.Since(begun))
		require.NoError(t, client.Turn(t.Context(), "ask", false))
		require.Equal(t, 63*time.Second, time.Since(begun), "turns that nobody took are not saved up")
	})

	free := paced(t, 0)
	for range 1000 {
		require.NoError(t, free.Turn(t.Context(), "ask", false))
	}
}

// paced is the client of a bank that declares how often it may be asked.
func paced(t *testing.T, perSecond int) *transport.Client {
	t.Helper()
	client, err := transport.NewClient(&banks.Connection{RequestsPerSecond: perSecond}, transport.Settings{})
	require.NoError(t, err)
	return client
}
