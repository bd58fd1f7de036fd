package activities

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/temporal"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/rules"
	"github.com/kontoflow/kontoflow/workflows/contract"
)

// maxMoves bounds how often an adapter may move on without coming to an end: a bank that links in circles ends here.
const maxMoves = 32

// Connect moves the conversation with the bank on until it is Ready or asks the customer something. The first one
// moves the synchronization to RUNNING, and looks whether the access is to be upgraded.
func (a *Activities) Connect(ctx context.Context, in contract.AuthorizeInput) (contract.AuthorizeOutcome, error) {
	return a.authorize(ctx, in, nil, func(p banks.Adapter, ctx context.Context, c *banks.Conversation) (banks.Step, error) {
		return p.Authorize(toItsEnd(ctx), c)
	})
}

// Answer hands the customer's stored answer to the bank, and moves on like Connect.
func (a *Activities) Answer(ctx context.Context, in contract.AuthorizeInput) (contract.AuthorizeOutcome, error) {
	var answer banks.Answer
	loaded := false
	return a.authorize(ctx, in, (*models.BankSession).Resume, func(p banks.Adapter, ctx context.Context, c *banks.Conversation) (banks.Step, error) {
		if !loaded {
			var err error
			if answer, err = a.Store.Answer(ctx, in.ChallengeID); err != nil {
				return banks.Step{}, err
			}
			loaded = true
		}
		return p.Answer(toItsEnd(ctx), c, answer)
	})
}

// Restart gives up a challenge that the client restarted, and moves on like Connect to another one. It has the step of the
// one that it takes the place of.
func (a *Activities) Restart(ctx context.Context, in contract.AuthorizeInput) (contract.AuthorizeOutcome, error) {
	return a.authorize(ctx, in, (*models.BankSession).Restart, func(p banks.Adapter, ctx context.Context, c *banks.Conversation) (banks.Step, error) {
		c.Restart = in.ChallengeID.String()
		return p.Authorize(toItsEnd(ctx), c)
	})
}

// AwaitConfirmation asks the bank at its own pace whether the customer has confirmed in the bank's app. It ends in
// Restarted when the client wants another challenge.
func (a *Activities) AwaitConfirmation(ctx context.Context, in contract.AwaitConfirmationInput) (contract.AuthorizeOutcome, error) {
	restarted, err := a.Store.Restarted(ctx, in.ChallengeID)
	if err != nil {
		return contract.AuthorizeOutcome{}, failure(err)
	}
	if restarted { // what an attempt before this one was about to store is overtaken
		return contract.AuthorizeOutcome{}, temporal.NewNonRetryableApplicationError("the client wants another challenge", contract.Restarted, nil)
	}
	wait := max(in.PollAfter, time.Second)
	return a.authorize(ctx, in.AuthorizeInput, nil, func(p banks.Adapter, ctx context.Context, c *banks.Conversation) (banks.Step, error) {
		// Waiting comes first, also after a crash: a bank may count asking too early as a wrong TAN.
		if err := pause(ctx, wait); err != nil {
			return banks.Step{}, err
		}
		if time.Now().After(in.ExpiresAt) {
			return banks.Step{}, &banks.Error{Kind: banks.NeedsUser, Code: banks.CodeExpired}
		}
		step, err := p.Poll(toItsEnd(ctx), c)
		wait = max(step.PollAfter, time.Second)
		return step, err
	})
}

// pause waits for d. A worker that is told to stop does not wait until the customer has found their phone: the next
// attempt, on another worker, goes on waiting.
func pause(ctx context.Context, d time.Duration) error {
	end := time.NewTimer(d)
	defer end.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-activity.GetWorkerStopChannel(ctx):
		return temporal.NewApplicationError("this worker stops", contract.Stopping)
	case <-end.C:
		return nil
	}
}

// toItsEnd is the context of a call that changes something at the bank: the adapter bounds it, and a cancel does not break
// it off, since what came of it has to be known.
func toItsEnd(ctx context.Context) context.Context { return context.WithoutCancel(ctx) }

// move is one move of an adapter, or several that belong together.
type move func(banks.Adapter, context.Context, *banks.Conversation) (banks.Step, error)

// begin is what is stored of the challenge that a step is about before its first move.
type begin func(*models.BankSession, *gorm.DB, uuid.UUID) error

// authorize runs one step: load the conversation, move it until it stops, store where it stopped with the outcome.
// The wait for the customer ends with begin before the first move where they have answered or want another challenge, else
// with the last.
func (a *Activities) authorize(ctx context.Context, in contract.AuthorizeInput, begin begin, move move) (out contract.AuthorizeOutcome, err error) {
	defer beat(ctx)()
	session, err := a.Store.OpenSession(ctx, in.SyncID)
	if err != nil {
		return out, failure(err)
	}
	if session.Steps >= in.Step { // done by an attempt whose completion was lost
		var done ending
		if err := json.Unmarshal(session.Outcome, &done); err != nil {
			return out, failure(err)
		}
		return done.AuthorizeOutcome, done.err()
	}
	if session.Superseded && in.Step == 1 {
		pending, err := a.Store.PendingUpgrades(ctx, session.Access.ID)
		switch {
		case err != nil:
			return out, failure(err)
		case len(pending) > 0 && session.Sync.Trigger != rules.Manual: // it became so since the synchronization was started
			return out, failure(models.ErrCancelled)
		case len(pending) > 0:
			return contract.AuthorizeOutcome{Superseded: session.Access.ID}, nil
		}
	}
	session.Conversation.Redirect.URL = a.CallbackURL
	provider, err := a.provider(&session.Conversation)
	if err != nil {
		return out, failure(err)
	}
	if begin != nil {
		err := session.Transact(ctx, func(tx *gorm.DB) error {
			if err := session.Lock(tx); err != nil {
				return err
			}
			return begin(session, tx, in.ChallengeID)
		})
		if err != nil {
			return out, failure(err)
		}
	}
	step, err := a.advance(ctx, session, provider, move)
	var unstored *notStored
	switch {
	case errors.As(err, &unstored):
		return out, failure(unstored.error)
	case err != nil:
		return out, a.fail(ctx, session, in.Step, err)
	}
	out, err = a.stop(ctx, session, provider, in, step)
	return out, failure(err)
}

// notStored is an error of our own storage between two moves.
type notStored struct{ error }

// advance moves the conversation until it stops: Ready, or with a question that the customer can be asked.
func (a *Activities) advance(ctx context.Context, session *models.BankSession, provider banks.Adapter, move move) (step banks.Step, err error) {
	step = banks.Step{Status: banks.Moving}
	for first, moves := true, 0; (step.Status == banks.Moving || step.Status == banks.Pending) && err == nil; first = false {
		if !first { // what is about to be sent is stored before it is sent; and what a poll has come to
			if err := session.Transact(ctx, session.Save); err != nil {
				return step, &notStored{err}
			}
		}
		step, err = move(provider, ctx, &session.Conversation)
		session.Conversation.Resumed = false
		if step.Status != banks.Moving {
			continue
		}
		if moves++; moves == maxMoves {
			err = &banks.Error{Kind: banks.Rejected, Code: banks.CodeBankCannot}
		}
	}
	if err == nil && step.Status == banks.Challenged && !session.Conversation.Interactive {
		err = &banks.Error{Kind: banks.NeedsUser, Code: banks.CodeActivationNeeded}
	}
	return step, err
}

// stop stores where the conversation stopped.
func (a *Activities) stop(ctx context.Context, session *models.BankSession, provider banks.Adapter, in contract.AuthorizeInput,
	step banks.Step) (out contract.AuthorizeOutcome, err error) {
	err = session.Transact(ctx, func(tx *gorm.DB) error {
		if err := session.Lock(tx); err != nil {
			return err
		}
		if in.ChallengeID != uuid.Nil {
			if err := session.Resume(tx, in.ChallengeID); err != nil {
				return err
			}
		}
		_, open := provider.(banks.HangUpper)
		out = contract.AuthorizeOutcome{Status: step.Status, Open: open}
		if step.Status == banks.Challenged {
			challenge, err := session.Ask(tx, step.Challenge, time.Now().Add(a.ChallengeTimeout))
			if err != nil {
				return err
			}
			out.Challenge = contract.Challenge{ID: challenge.ID, Type: challenge.Type, ExpiresAt: challenge.ExpiresAt, PollAfter: step.PollAfter}
		}
		return session.Finish(tx, in.Step, ending{AuthorizeOutcome: out})
	})
	return out, err
}

// ending is how a step of authorization ended, for a rerun of it to answer again: an outcome, or an error for good.
type ending struct {
	contract.AuthorizeOutcome
	Kind banks.Kind `json:",omitempty"` // of the error
	Code int        `json:",omitempty"`
}

func (e ending) err() error {
	if e.Kind == "" {
		return nil
	}
	return failure(&banks.Error{Kind: e.Kind, Code: e.Code})
}

// fail stores what the conversation has come to and what the bank said, and answers the error for Temporal. step is the
// step of authorization that failed; 0: another one.
func (a *Activities) fail(ctx context.Context, session *models.BankSession, step int, err error) error {
	var e *banks.Error
	if ctx.Err() != nil || !errors.As(err, &e) {
		if late := session.KeepLate(ctx); late != nil {
			return failure(late)
		}
		return failure(err)
	}
	if e.Kind != banks.NeedsAuthorization {
		a.Log.WarnContext(ctx, "a step with the bank failed", "sync_id", session.Sync.ID, "kind", e.Kind, "code", e.Code, "error", e.Error())
	}
	stored := session.Transact(ctx, func(tx *gorm.DB) error {
		err := session.Fail(tx, a.syncError(e))
		if err == nil && step > 0 && e.Kind != banks.Transient { // a rerun must not ask the bank: it counts wrong PINs
			err = session.Finish(tx, step, ending{Kind: e.Kind, Code: e.Code})
		}
		return err
	})
	if stored != nil {
		return failure(stored)
	}
	return failure(e)
}

// syncError is an error as the API will show it.
func (a *Activities) syncError(e *banks.Error) *rules.SyncError {
	out := &rules.SyncError{Code: e.Code, Message: e.Message}
	var entry *banks.EntryError
	if errors.As(e, &entry) {
		out.Message = "An entry of the bank's answer cannot be read: " + entry.Place
	}
	if e.Kind == banks.LimitExceeded && e.RetryAfter > 0 {
		out.Data = map[string]any{"retry_at": models.WireTime(a.Store.Now().Add(e.RetryAfter))}
	}
	return out
}
