// Package await waits for the servers that a process needs, when it starts before they do.
package await

import (
	"context"
	"log/slog"
	"time"
)

// Pauses between two tries.
const (
	firstPause   = 200 * time.Millisecond
	longestPause = 5 * time.Second
)

// For tries to reach a server until it succeeds, ctx ends, or the error is not one that passes. It logs that it waits, once,
// and when the wait is over. server is its name for the log.
func For[T any](ctx context.Context, server string, try func() (T, error), passes func(error) bool) (T, error) {
	began, waited := time.Now(), false
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		reached, err := try()
		switch {
		case err == nil && waited:
			slog.InfoContext(ctx, "the server is there", "server", server, "waited", time.Since(began).Round(time.Millisecond))
			return reached, nil
		case err == nil, ctx.Err() != nil, !passes(err):
			return reached, err
		case !waited:
			waited = true
			slog.WarnContext(ctx, "waiting for a server that cannot be reached", "server", server)
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return reached, err
		case <-timer.C:
		}
	}
}
