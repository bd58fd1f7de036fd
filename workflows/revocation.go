package workflows

import (
	"github.com/google/uuid"
	"go.temporal.io/sdk/workflow"

	"github.com/kontoflow/kontoflow/workflows/contract"
)

// RevokeConsent has a bank end what it granted, for an access that was deleted or upgraded or whose consent the client
// revoked: again and again where the bank is down, until it is done or has ended by itself. The access may be gone, or
// have another consent by now.
func RevokeConsent(ctx workflow.Context, revocation uuid.UUID) error {
	detail(ctx, "revoking what the bank granted")
	_, err := call(revoking.options(ctx, "revoke the consent at the bank"), contract.Revoke, revocation)
	return err
}
