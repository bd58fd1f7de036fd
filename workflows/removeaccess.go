package workflows

import (
	"github.com/google/uuid"
	"go.temporal.io/sdk/workflow"
)

// RemoveAccess ends a deleted access: it revokes the consent at the bank, trying for a month where the bank is down,
// and deletes what is stored. The access's secrets were deleted, and the access hidden, when the client deleted it.
func RemoveAccess(ctx workflow.Context, access uuid.UUID) error {
	detail(ctx, "revoking the consent at the bank")
	err := workflow.ExecuteActivity(revocation.options(ctx, "revoke the consent at the bank"), a.RevokeConsent, access).Get(ctx, nil)
	if err != nil {
		// The customer's data goes even where the bank never answered: its consent ends by its date.
		workflow.GetLogger(ctx).Warn("a consent could not be revoked at the bank", "access_id", access)
	}
	detail(ctx, "deleting what is stored")
	return workflow.ExecuteActivity(finishing.options(ctx, "delete what is stored"), a.DeleteAccess, access).Get(ctx, nil)
}

// RevokeConsent ends a consent at the bank that the client revoked, while the access stays. The customer may have given
// a new one in the meantime: that one stays too.
func RevokeConsent(ctx workflow.Context, access uuid.UUID) error {
	detail(ctx, "revoking the consent at the bank")
	return workflow.ExecuteActivity(revocation.options(ctx, "revoke the consent at the bank"), a.RevokeEndedConsent, access).Get(ctx, nil)
}
