package activities

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"

	"kontoflow/models"
)

// Busy is the type of the error of a step that waits for a synchronization to end. Retried.
const Busy = "BUSY"

// RevokeConsent ends an access's consent at the bank. Done twice, the bank knows it as revoked already.
func (a *Activities) RevokeConsent(ctx context.Context, access uuid.UUID) error {
	defer beat(ctx)()
	revocation, err := a.Store.OpenRevocation(ctx, access)
	switch {
	case errors.Is(err, models.ErrNotFound), err == nil && len(revocation.Conversation.Lasting) == 0:
		return nil // nothing was ever granted
	case errors.Is(err, models.ErrBusy):
		return temporal.NewApplicationError("a synchronization still runs", Busy)
	case err != nil:
		return failure(err)
	}
	provider, err := a.provider(&revocation.Conversation)
	if err != nil {
		return failure(err)
	}
	if err := provider.Revoke(ctx, &revocation.Conversation); err != nil {
		return failure(err)
	}
	return failure(revocation.Done(ctx))
}

// RevokeEndedConsent is RevokeConsent for an access that stays. Where a consent is in force again, there is nothing to do.
func (a *Activities) RevokeEndedConsent(ctx context.Context, access uuid.UUID) error {
	switch _, err := a.Store.ValidConsent(ctx, access); {
	case err == nil:
		return nil
	case !errors.Is(err, models.ErrNotFound):
		return failure(err)
	}
	return a.RevokeConsent(ctx, access)
}

// DeleteAccess deletes a deleted access's rows, and with the last one its deleted user's.
func (a *Activities) DeleteAccess(ctx context.Context, access uuid.UUID) error {
	return failure(a.Store.DeleteAccess(ctx, access))
}
