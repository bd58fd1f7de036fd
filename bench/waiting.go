package main

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"
)

// waiting measures the worker's memory while synchronizations wait for their customers.
func waiting(ctx context.Context, s *stack) ([]result, error) {
	accesses, err := s.accesses(ctx, demo, "demo", 1+*waiters)
	if err != nil {
		return nil, err
	}
	if err := s.restartWorker(ctx); err != nil {
		return nil, err
	}
	syncs := make([]uuid.UUID, len(accesses))
	defer s.terminate(syncs)
	begin := func(ctx context.Context, i int) (err error) {
		syncs[i], err = s.begin(ctx, accesses[i])
		return err
	}
	if err := begin(ctx, 0); err != nil { // opens the worker's connections
		return nil, err
	}
	if err := s.untilWaiting(ctx, accesses[:1]); err != nil {
		return nil, err
	}
	before, err := s.worker.memory("VmRSS")
	if err != nil {
		return nil, err
	}
	started := time.Now()
	if err := side(ctx, *waiters, 16, func(ctx context.Context, i int) error { return begin(ctx, 1+i) }); err != nil {
		return nil, err
	}
	if err := s.untilWaiting(ctx, accesses); err != nil {
		return nil, err
	}
	took := time.Since(started)
	after, err := s.worker.memory("VmRSS")
	if err != nil {
		return nil, err
	}
	return []result{recorded("waiting_kib_per_sync", (after-before)/float64(*waiters), "%d synchronizations in AWAIT_AUTH: the worker grows from %.0f to %.0f MiB; %.0f/s came there",
		*waiters, before/1024, after/1024, float64(*waiters)/took.Seconds())}, nil
}

// untilWaiting returns when the newest synchronizations of all accesses are in AWAIT_AUTH.
func (s *stack) untilWaiting(ctx context.Context, accesses []uuid.UUID) error {
	for {
		var waiting, ended int
		err := s.pool.QueryRow(ctx, `SELECT count(*) FILTER (WHERE status = 'AWAIT_AUTH'), count(*) FILTER (WHERE ended_at IS NOT NULL)
			FROM synchronizations WHERE access_id = ANY($1)`, accesses).Scan(&waiting, &ended)
		switch {
		case err != nil:
			return err
		case ended > 0:
			return errors.New("a synchronization ended without waiting")
		case waiting == len(accesses):
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// terminate ends the runs that nobody will answer: the Temporal server may not be ours alone.
func (s *stack) terminate(syncs []uuid.UUID) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_ = side(ctx, len(syncs), 16, func(ctx context.Context, i int) error {
		_ = s.temporal.TerminateWorkflow(ctx, syncs[i].String(), "", "the measurement is over")
		return nil
	})
}
