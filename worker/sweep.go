package worker

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"kontoflow/models"
	"kontoflow/providers"
	"kontoflow/workflows"
)

// sweep repairs what an API process stored but could not tell Temporal, because one of them died in between, deletes the
// rows of accesses that were deleted, and compacts the changes feed. The rows are the outbox, and every call is harmless
// when made twice, so several workers may sweep at once.
type sweep struct {
	Options
	compact time.Time // when the feed is compacted next
}

// batch bounds one look into the database.
const batch = 200

func (s *sweep) run(ctx context.Context) {
	for {
		// Workers that were started together spread out.
		pause := s.SweepAfter/2 + rand.N(s.SweepAfter)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		s.once(ctx, s.Store.Now().Add(-s.SweepAfter))
	}
}

// once repairs what was lost before the given time.
func (s *sweep) once(ctx context.Context, before time.Time) {
	starts, err := s.Store.LostStarts(ctx, before, batch)
	s.report(ctx, "look for lost starts", err)
	for _, ref := range starts {
		s.report(ctx, "start a synchronization", workflows.Start(ctx, s.Client, s.TaskQueue, ref))
	}
	answers, err := s.Store.LostAnswers(ctx, before, batch)
	s.report(ctx, "look for lost answers", err)
	for _, ref := range answers {
		s.report(ctx, "signal an answer", workflows.SignalAnswered(ctx, s.Client, ref.SyncID, ref.ChallengeID))
	}
	cancels, err := s.Store.LostCancels(ctx, before, batch)
	s.report(ctx, "look for lost cancels", err)
	for _, id := range cancels {
		s.report(ctx, "cancel a synchronization", s.cancel(ctx, id))
	}
	owed, err := s.Store.LostRevocations(ctx, before, batch)
	s.report(ctx, "look for lost revocations", err)
	for _, r := range owed {
		s.report(ctx, "start a revocation", workflows.StartRevocation(ctx, s.Client, s.TaskQueue, r))
	}
	deleted, err := s.Store.DeletedAccesses(ctx, before, batch)
	s.report(ctx, "look for deleted accesses", err)
	for _, id := range deleted {
		s.report(ctx, "delete an access", s.Store.DeleteAccess(ctx, id))
	}
	if now := s.Store.Now(); !now.Before(s.compact) {
		const limit = 10 * batch
		n, err := s.Store.CompactChanges(ctx, now.Add(-models.ChangesKept), limit)
		s.report(ctx, "compact the changes feed", err)
		if n < limit {
			s.compact = now.Add(time.Hour)
		}
	}
	if n := len(starts) + len(answers) + len(cancels); n > 0 {
		s.Logger.InfoContext(ctx, "sweep repaired what was lost", "starts", len(starts), "answers", len(answers), "cancels", len(cancels))
	}
}

// cancel asks a synchronization's workflow to end. One that an operator has terminated cannot: it is ended in its place.
func (s *sweep) cancel(ctx context.Context, sync uuid.UUID) error {
	if err := workflows.Cancel(ctx, s.Client, sync); err != nil {
		return err
	}
	runs, err := workflows.Runs(ctx, s.Client, sync)
	if err != nil || runs {
		return err
	}
	_, err = s.Store.End(ctx, sync, providers.CodeCancelled)
	return err
}

func (s *sweep) report(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		s.Logger.WarnContext(ctx, "the sweep could not "+what, "error", err)
	}
}
