package activities

import (
	"context"
	"errors"
	"strconv"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/models"
)

// UpgradeAccess moves the synchronization's access to the method that superseded its own. The outcome is ids only.
func (a *Activities) UpgradeAccess(ctx context.Context, sync uuid.UUID) (models.Upgrade, error) {
	done, err := a.Store.Upgrade(ctx, sync)
	if errors.Is(err, models.ErrNothingPending) {
		return models.Upgrade{}, temporal.NewNonRetryableApplicationError(err.Error(), strconv.Itoa(banks.CodeTemporary), nil)
	}
	if err != nil {
		return models.Upgrade{}, failure(err)
	}
	return *done, nil
}
