package worker

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/kontoflow/kontoflow/activities"
	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/rules"
	"github.com/kontoflow/kontoflow/workflows/contract"
)

// sweep repairs what an API process stored but could not tell Temporal, because one of them died in between, ends
// synchronizations that Temporal has lost, deletes the rows of accesses that were deleted, and forgets what is old.
// The rows are the outbox, and every call is harmless when made twice, so several workers may sweep at once.
type sweep struct {
	Options
	asked     models.UnderWay // the last one whose run Temporal was asked about
	forget    time.Time       // when old things are looked for next
	forgotten time.Time       // up to where old synchronizations are looked at
}

// batch bounds one look into the database.
const batch = 200

// longUnderWay is how long a synchronization is under way before Temporal is asked whether its run still is. Few are.
const longUnderWay = 15 * time.Minute

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

// once repairs what was lost before the given time. What the database can do by itself comes first: it does not wait for
// a Temporal that is down.
func (s *sweep) once(ctx context.Context, before time.Time) {
	deleted, err := s.Store.DeletedAccesses(ctx, before, batch)
	s.report(ctx, "look for deleted accesses", err)
	for _, id := range deleted {
		s.report(ctx, "delete an access", s.Store.DeleteAccess(ctx, id))
	}
	s.forgetOld(ctx)

	starts, err := s.Store.LostStarts(ctx, before, batch)
	s.report(ctx, "look for lost starts", err)
	started := tell(ctx, s, "start a synchronization", starts, func(ref models.SyncRef) error {
		return contract.Start(ctx, s.Client, s.TaskQueue, activities.Run(ref))
	})
	answers, err := s.Store.LostAnswers(ctx, before, batch)
	s.report(ctx, "look for lost answers", err)
	signalled := tell(ctx, s, "signal an answer", answers, func(ref models.AnswerRef) error {
		return contract.SignalAnswered(ctx, s.Client, ref.SyncID, ref.ChallengeID)
	})
	restarts, err := s.Store.LostRestarts(ctx, before, batch)
	s.report(ctx, "look for lost restarts", err)
	restarted := tell(ctx, s, "signal a restart", restarts, func(ref models.AnswerRef) error {
		return contract.SignalRestarted(ctx, s.Client, ref.SyncID, ref.ChallengeID)
	})
	cancels, err := s.Store.LostCancels(ctx, before, batch)
	s.report(ctx, "look for lost cancels", err)
	cancelled := tell(ctx, s, "cancel a synchronization", cancels, func(id uuid.UUID) error { return s.cancel(ctx, id) })
	s.report(ctx, "look for lost runs", s.endLost(ctx))
	owed, err := s.Store.LostRevocations(ctx, before, batch)
	s.report(ctx, "look for lost revocations", err)
	tell(ctx, s, "start a revocation", owed, func(r models.Revocation) error {
		return contract.StartRevocation(ctx, s.Client, s.TaskQueue, contract.Revocation(r))
	})
	if started+signalled+restarted+cancelled > 0 {
		s.Logger.InfoContext(ctx, "sweep repaired what was lost", "starts", started, "answers", signalled, "restarts", restarted, "cancels", cancelled)
	}
}

// tell lets Temporal know of each lost thing, and answers how many it was told of. It gives up at the first that Temporal is
// not there for: the next would wait as long, and the next sweep goes on.
func tell[T any](ctx context.Context, s *sweep, what string, lost []T, f func(T) error) (told int) {
	for _, one := range lost {
		err := f(one)
		s.report(ctx, what, err)
		if contract.Unreachable(err) {
			break
		}
		if err == nil {
			told++
		}
	}
	return told
}

// forgetOld deletes a part of what is old: once an hour, and every time while there is more.
func (s *sweep) forgetOld(ctx context.Context) {
	const limit = 10 * batch
	now := s.Store.Now()
	if now.Before(s.forget) {
		return
	}
	changes, err := s.Store.CompactChanges(ctx, now.Add(-models.ChangesKept), limit)
	s.report(ctx, "compact the changes feed", err)
	courses, err := s.Store.ForgetCourses(ctx, now.Add(-models.CourseKept), limit)
	s.report(ctx, "forget how old synchronizations went", err)
	last, synchronizations, err := s.Store.ForgetSynchronizations(ctx, now.Add(-models.SynchronizationsKept), s.forgotten, limit)
	s.report(ctx, "forget old synchronizations", err)
	if s.forgotten = last; synchronizations < limit {
		s.forgotten = time.Time{} // what is kept now may be none of the newest next time
	}
	if max(changes, courses, synchronizations) < limit {
		s.forget = now.Add(time.Hour)
	}
}

// cancel asks a synchronization's workflow to end. One that an operator has terminated cannot: it is ended in its place.
func (s *sweep) cancel(ctx context.Context, sync uuid.UUID) error {
	if err := contract.Cancel(ctx, s.Client, sync); err != nil {
		return err
	}
	runs, err := contract.Runs(ctx, s.Client, sync)
	if err != nil || runs {
		return err
	}
	_, err = s.Store.End(ctx, sync, banks.CodeCancelled)
	return err
}

// endLost ends synchronizations whose workflow has ended without them, because an operator terminated it or Temporal has
// lost it: each time a page of those that are under way for long, in turn. An error says nothing about a run: what could
// not be found out is left for the next turn.
func (s *sweep) endLost(ctx context.Context) error {
	page, err := s.Store.LongUnderWay(ctx, s.Store.Now().Add(-longUnderWay), s.asked, batch)
	if err != nil {
		return err
	}
	for _, y := range page {
		s.asked = y // also where it fails: one that cannot be looked up hides no other
		if err := s.endIfLost(ctx, y); err != nil {
			return err
		}
	}
	if len(page) < batch {
		s.asked = models.UnderWay{}
	}
	return nil
}

func (s *sweep) endIfLost(ctx context.Context, y models.UnderWay) error {
	if y.Status == rules.Queued { // then it may be that it was not started yet
		if err := contract.Start(ctx, s.Client, s.TaskQueue, activities.Run(y.SyncRef)); err != nil {
			return err
		}
	}
	runs, err := contract.Runs(ctx, s.Client, y.ID)
	if err != nil || runs {
		return err
	}
	// Nothing happens to one that ended by itself meanwhile.
	if _, err := s.Store.End(ctx, y.ID, banks.CodeInternal); err != nil {
		return err
	}
	s.Logger.WarnContext(ctx, "a synchronization has no run any more, and was ended", "sync_id", y.ID)
	return nil
}

func (s *sweep) report(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		s.Logger.WarnContext(ctx, "the sweep could not "+what, "error", err)
	}
}
