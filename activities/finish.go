package activities

import (
	"context"
	"time"

	"github.com/google/uuid"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/workflows/contract"
)

// Finish ends a synchronization: COMPLETED, or FAILED with the code.
func (a *Activities) Finish(ctx context.Context, in contract.FinishInput) (contract.FinishOutcome, error) {
	if in.Open {
		a.hangUp(ctx, in.SyncID)
	}
	y, err := a.Store.End(ctx, in.SyncID, in.Code)
	if err != nil {
		return contract.FinishOutcome{}, failure(err)
	}
	out := contract.FinishOutcome{Status: y.Status, Accounts: y.AccountsTotal, TransactionsAdded: y.TransactionsAdded,
		TransactionsModified: y.TransactionsModified, TransactionsRemoved: y.TransactionsRemoved}
	if y.Error != nil {
		out.Code = y.Error.Code
	}
	return out, nil
}

// hangUp ends what is open at the bank. That it does not work out is no failure: the bank does so by itself, some time later.
func (a *Activities) hangUp(ctx context.Context, sync uuid.UUID) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	session, err := a.Store.OpenLastSession(ctx, sync)
	if err != nil {
		return
	}
	provider, ok := a.Adapters[session.Conversation.Connection.Protocol].(banks.HangUpper)
	if !ok {
		return
	}
	if err := provider.HangUp(ctx, &session.Conversation); err != nil {
		a.Log.DebugContext(ctx, "what is open at the bank could not be ended", "sync_id", sync, "error", err.Error())
	}
}
