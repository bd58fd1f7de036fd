package activities

import (
	"context"
	"errors"
	"strconv"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/workflows/contract"
)

// UpgradeAccess moves the synchronization's access to the method that superseded its own. The outcome is ids only.
func (a *Activities) UpgradeAccess(ctx context.Context, sync uuid.UUID) (contract.Upgrade, error) {
	done, err := a.Store.Upgrade(ctx, sync)
	if errors.Is(err, models.ErrNothingPending) {
		return contract.Upgrade{}, temporal.NewNonRetryableApplicationError(err.Error(), strconv.Itoa(banks.CodeTemporary), nil)
	}
	if err != nil {
		return contract.Upgrade{}, failure(err)
	}
	out := contract.Upgrade{Code: done.Code, AccessID: done.AccessID, AccessMethodID: done.AccessMethodID, Created: done.Created}
	for _, account := range done.Accounts {
		out.Accounts = append(out.Accounts, contract.UpgradedAccount(account))
	}
	return out, nil
}
