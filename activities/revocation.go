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

// RevokeConsent has a bank end what it granted. Done twice, the bank knows it as ended already. Whatever a bank answers
// instead, it is asked again: maintenance, limits and certificates that have expired pass.
func (a *Activities) RevokeConsent(ctx context.Context, revocation uuid.UUID) error {
	defer beat(ctx)()
	attempt, err := a.Store.AttemptRevocation(ctx, revocation)
	switch {
	case errors.Is(err, models.ErrNotFound):
		return nil
	case err != nil:
		return failure(err)
	case attempt.Over:
		a.Log.WarnContext(ctx, "a bank never revoked what it granted: it has ended by itself", "revocation_id", revocation)
		return failure(attempt.Settle(ctx))
	}
	provider, err := a.provider(&attempt.Conversation)
	if err == nil {
		err = provider.Revoke(ctx, &attempt.Conversation)
	}
	var e *banks.Error
	switch {
	case err == nil:
		return failure(attempt.Settle(ctx))
	case !errors.As(err, &e):
		return failure(err)
	}
	if err := attempt.Keep(ctx); err != nil {
		return failure(err)
	}
	return temporal.NewApplicationErrorWithOptions(e.Error(), strconv.Itoa(e.Code), temporal.ApplicationErrorOptions{NextRetryDelay: min(e.RetryAfter, contract.LongestPause)})
}
