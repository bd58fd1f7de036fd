package activities

import (
	"context"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"github.com/kontoflow/kontoflow/workflows/contract"
)

// startsAtOnce bounds the workflows that StartDue starts side by side.
const startsAtOnce = 8

// consentsAtOnce bounds the consents of one transaction of TendConsents.
const consentsAtOnce = 100

// startsFor is how long StartDue goes on: banks may be slow for hours, and consents are looked after between two runs.
const startsFor = 5 * time.Minute

// StartDue starts automatic synchronizations until none is due, or for some minutes, evenly where there is a pace. What is
// due beyond the limits starts as others end; a synchronization that was stored and whose workflow could not be started is
// started by the worker's sweep.
func (a *Activities) StartDue(ctx context.Context) (out contract.StartDueOutcome, err error) {
	defer beat(ctx)()
	limits, pace := a.AutoLimits, rate.NewLimiter(rate.Inf, 1)
	if a.AutoPace > 0 {
		limits.Starts = a.AutoPace // those of a second
		pace.SetLimit(rate.Limit(a.AutoPace))
	}
	begun, goesOn := time.Now(), startsFor
	if a.AutoFor > 0 {
		goesOn = a.AutoFor
	}
	for {
		due, err := a.Store.StartDue(ctx, limits)
		if err != nil {
			return out, failure(err)
		}
		starts, starting := errgroup.WithContext(ctx)
		starts.SetLimit(startsAtOnce)
		for _, ref := range due.Started {
			starts.Go(func() error {
				if err := pace.Wait(starting); err != nil {
					return err
				}
				return a.StartSync(starting, Run(ref))
			})
		}
		if err := starts.Wait(); err != nil {
			a.Log.WarnContext(ctx, "an automatic synchronization could not be started yet", "error", err)
		}
		out.Examined += due.Examined
		out.Started += len(due.Started)
		out.Waiting = due.Waiting
		wait := time.Second
		switch {
		case due.Examined == 0 && !due.Waiting, time.Since(begun) >= goesOn:
			return out, nil
		case due.Examined > 0:
			wait = 0
		}
		if err := pause(ctx, wait); err != nil { // a worker that stops leaves the rest to another one
			return out, err
		}
	}
}

// TendConsents announces consents that end within a week, and closes those that have ended.
func (a *Activities) TendConsents(ctx context.Context) (out contract.TendConsentsOutcome, err error) {
	defer beat(ctx)()
	if out.Warned, err = pageByPage(ctx, a.Store.WarnOfConsents); err != nil {
		return out, failure(err)
	}
	out.Expired, err = pageByPage(ctx, a.Store.ExpireConsents)
	return out, failure(err)
}

// pageByPage tends consents until there are fewer than a page of them, and answers how many there were.
func pageByPage(ctx context.Context, tend func(ctx context.Context, limit int) (int, error)) (total int, err error) {
	for {
		n, err := tend(ctx, consentsAtOnce)
		total += n
		if err != nil || n < consentsAtOnce {
			return total, err
		}
	}
}
