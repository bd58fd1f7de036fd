package await_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/internal/await"
)

func TestFor(t *testing.T) {
	unreachable, wrong := errors.New("unreachable"), errors.New("wrong password")
	passes := func(err error) bool { return errors.Is(err, unreachable) }
	try := func(ctx context.Context, answers ...error) (tries int, took time.Duration, err error) {
		began := time.Now()
		_, err = await.For(ctx, "a server", func() (int, error) {
			tries++
			return tries, answers[min(tries, len(answers))-1]
		}, passes)
		return tries, time.Since(began), err
	}
	synctest.Test(t, func(t *testing.T) {
		tries, took, err := try(t.Context(), nil)
		require.NoError(t, err)
		require.Equal(t, 1, tries)
		require.Zero(t, took)

		tries, took, err = try(t.Context(), unreachable, unreachable, unreachable, nil)
		require.NoError(t, err)
		require.Equal(t, 4, tries)
		require.Equal(t, 1400*time.Millisecond, took)

		tries, _, err = try(t.Context(), unreachable, wrong)
		require.ErrorIs(t, err, wrong)
		require.Equal(t, 2, tries)

		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		tries, took, err = try(ctx, unreachable)
		require.ErrorIs(t, err, unreachable)
		require.Equal(t, time.Hour, took)
		require.Greater(t, tries, 700)
	})
}
