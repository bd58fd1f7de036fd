// Package activities holds the steps of the workflows: each talks to a bank or the database, moves what is stored in
// one transaction, and answers with ids, states and counts.
//
// Every activity may run twice, also at the same time as a copy of itself that was thought dead. What makes that
// harmless is in the database: a finished step answers its stored outcome again, the bank session's version lets one
// of two copies store, and the state machine refuses the rest.
package activities

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"go.temporal.io/sdk/activity"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/workflows/contract"
)

// Activities is registered with the worker; its exported methods are the activities.
type Activities struct {
	Store    *models.Store
	Adapters map[string]banks.Adapter // by Connection.Protocol
	// CallbackURL is where banks send customers back to; it ends in /callback/redirect.
	CallbackURL string
	// ChallengeTimeout is how long a customer may take over one challenge.
	ChallengeTimeout time.Duration
	// StartSync starts a stored synchronization's workflow.
	StartSync  func(context.Context, contract.Run) error
	AutoLimits models.AutoLimits
	AutoPace   int           // automatic synchronizations started in a second; 0: as fast as it goes
	AutoFor    time.Duration // after which StartDue leaves what waits to the next run; 0: 5 minutes
	Log        *slog.Logger
}

// provider finds the adapter for a conversation.
func (a *Activities) provider(c *banks.Conversation) (banks.Adapter, error) {
	p, ok := a.Adapters[c.Connection.Protocol]
	if !ok {
		return nil, &banks.Error{Kind: banks.Rejected, Code: banks.CodeBankUnsupported,
			Err: fmt.Errorf("no adapter for protocol %q", c.Connection.Protocol)}
	}
	return p, nil
}

// beat tells Temporal every few seconds that this worker is alive, until the returned function is called: the death of
// a worker is noticed by the heartbeats that stay away. A step that is done before the first beat costs none.
func beat(ctx context.Context) (stop func()) {
	ctx, stop = context.WithCancel(ctx)
	go func() {
		ticker := time.NewTicker(5 * time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticker.C:
				activity.RecordHeartbeat(ctx)
			}
		}
	}()
	return stop
}

// Run is what starts the workflow of a stored synchronization.
func Run(ref models.SyncRef) contract.Run {
	return contract.Run{ID: ref.ID, AccessID: ref.AccessID, BankID: ref.BankID, Trigger: ref.Trigger, Scope: ref.Scope}
}
