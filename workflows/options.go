package workflows

import (
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/kontoflow/kontoflow/workflows/contract"
)

// limits are an activity's bounds in time and tries.
type limits struct {
	attempt   time.Duration // one attempt, start to close
	heartbeat time.Duration // 0: does not beat
	first     time.Duration // wait before the second attempt; doubles from there, unless the bank says when
	longest   time.Duration // wait between two attempts
	attempts  int32         // 0: without end
}

// The table of retries. What is worth retrying at all is decided by the provider's classification, not here.
var (
	// A step with the bank that somebody may be waiting for: half a minute of tries, then the error is theirs to see. One
	// step is several requests, each of which may fail for a moment.
	withBank = limits{attempt: 5 * time.Minute, heartbeat: 20 * time.Second, first: 500 * time.Millisecond, longest: 20 * time.Second, attempts: 7}
	// The wait for the bank's app: one attempt lasts as long as the challenge; a lost worker is noticed by its heartbeat.
	confirmation = limits{heartbeat: 20 * time.Second, first: time.Second, longest: 20 * time.Second, attempts: 20}
	// An account with years of history takes long, page by page; where it broke off it resumes.
	reading = limits{attempt: 2 * time.Hour, heartbeat: 20 * time.Second, first: time.Second, longest: 30 * time.Second, attempts: 6}
	// What is only between us and the database succeeds some day.
	finishing = limits{attempt: 20 * time.Second, first: time.Second, longest: time.Minute}
	// Page by page, as long as there is something to do; starting what is due comes back after minutes. Where it broke off,
	// the next attempt goes on.
	sweeping = limits{attempt: time.Hour, heartbeat: 20 * time.Second, first: time.Second, longest: 30 * time.Second, attempts: 10}
	// Ending a consent is owed to the customer: a bank that is down is asked again, every hour at last, until the consent
	// ends by itself (activities.RevokeConsent knows when).
	revoking = limits{attempt: 5 * time.Minute, heartbeat: 20 * time.Second, first: 5 * time.Second, longest: contract.LongestPause}
)

func (l limits) options(ctx workflow.Context, summary string) workflow.Context {
	return workflow.WithActivityOptions(ctx, workflow.ActivityOptions{
		StartToCloseTimeout: l.attempt,
		HeartbeatTimeout:    l.heartbeat,
		Summary:             summary,
		RetryPolicy: &temporal.RetryPolicy{
			InitialInterval:    l.first,
			BackoffCoefficient: 2,
			MaximumInterval:    l.longest,
			MaximumAttempts:    l.attempts,
		},
	})
}
