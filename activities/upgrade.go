package activities

import (
	"context"
	"errors"

	"github.com/google/uuid"

	"kontoflow/models"
)

// UpgradeAccess moves the synchronization's access to the method that superseded its own. The outcome is ids only.
func (a *Activities) UpgradeAccess(ctx context.Context, sync uuid.UUID) (models.Upgrade, error) {
	done, err := a.Store.Upgrade(ctx, sync)
	if err != nil {
		return models.Upgrade{}, failure(err)
	}
	return *done, nil
}

// RevokeLeftConsent revokes a consent that an upgraded access left behind. Done twice, the bank knows it as revoked
// already.
func (a *Activities) RevokeLeftConsent(ctx context.Context, left uuid.UUID) error {
	defer beat(ctx)()
	conversation, err := a.Store.OpenLeftConsent(ctx, left)
	switch {
	case errors.Is(err, models.ErrNotFound):
		return nil
	case err != nil:
		return failure(err)
	}
	provider, err := a.provider(conversation)
	if err != nil {
		return failure(err)
	}
	return failure(provider.Revoke(ctx, conversation))
}

// ForgetLeftConsent forgets a consent that an upgraded access left behind.
func (a *Activities) ForgetLeftConsent(ctx context.Context, left uuid.UUID) error {
	return failure(a.Store.ForgetLeftConsent(ctx, left))
}
