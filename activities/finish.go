package activities

import (
	"context"

	"github.com/google/uuid"

	"kontoflow/models"
)

// FinishInput says how a synchronization ends. Code 0: nothing failed as a whole.
type FinishInput struct {
	SyncID uuid.UUID
	Code   int `json:",omitempty"`
}

// FinishOutcome is how it ended, in counts.
type FinishOutcome struct {
	Status               models.SyncStatus
	Code                 int `json:",omitempty"`
	Accounts             int
	TransactionsAdded    int
	TransactionsModified int
	TransactionsRemoved  int
}

// Finish ends a synchronization: COMPLETED, or FAILED with the code.
func (a *Activities) Finish(ctx context.Context, in FinishInput) (FinishOutcome, error) {
	y, err := a.Store.End(ctx, in.SyncID, in.Code)
	if err != nil {
		return FinishOutcome{}, failure(err)
	}
	out := FinishOutcome{Status: y.Status, Accounts: y.AccountsTotal, TransactionsAdded: y.TransactionsAdded,
		TransactionsModified: y.TransactionsModified, TransactionsRemoved: y.TransactionsRemoved}
	if y.Error != nil {
		out.Code = y.Error.Code
	}
	return out, nil
}
