package workflows

import (
	"strconv"

	"github.com/google/uuid"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/kontoflow/kontoflow/models"
)

// AccessUpgradeInput names the access, and the synchronization that found its method superseded.
type AccessUpgradeInput struct {
	SyncID   uuid.UUID
	AccessID uuid.UUID
}

// AccessUpgrade moves an access to the method that superseded its own. It is a child of the synchronization that a
// client started; its id, upgrade-<access id>, lets one of them run at a time. The move is one transaction: a
// synchronization that is cancelled meanwhile does not stop it half way.
func AccessUpgrade(ctx workflow.Context, in AccessUpgradeInput) (models.Upgrade, error) {
	detail(ctx, "moving the access to its new method")
	var done models.Upgrade
	disconnected, _ := workflow.NewDisconnectedContext(ctx)
	options := finishing.options(disconnected, "move the access to its new method")
	if err := workflow.ExecuteActivity(options, a.UpgradeAccess, in.SyncID).Get(disconnected, &done); err != nil {
		return done, err
	}
	detail(ctx, "%d: %d accounts, %d accesses added", done.Code, len(done.Accounts), len(done.Created))
	return done, workflow.UpsertTypedSearchAttributes(ctx, syncErrorCode.ValueSet(strconv.Itoa(done.Code)))
}

// upgrade runs AccessUpgrade, and fails with its code.
func (s *synchronization) upgrade(ctx workflow.Context, access uuid.UUID) error {
	detail(ctx, "RUNNING: the access's method is superseded; upgrading it")
	attributes := []temporal.SearchAttributeUpdate{accessID.ValueSet(access.String())}
	if provider, ok := workflow.GetTypedSearchAttributes(ctx).GetKeyword(providerID); ok {
		attributes = append(attributes, providerID.ValueSet(provider))
	}
	child := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:            "upgrade-" + access.String(),
		ParentClosePolicy:     enums.PARENT_CLOSE_POLICY_REQUEST_CANCEL,
		WaitForCancellation:   true, // what was done is known when it has ended
		StaticSummary:         "upgrade of an access to another access method",
		TypedSearchAttributes: temporal.NewSearchAttributes(attributes...),
	})
	var done models.Upgrade
	err := workflow.ExecuteChildWorkflow(child, AccessUpgrade, AccessUpgradeInput{SyncID: s.id, AccessID: access}).Get(child, &done)
	if err != nil {
		return err
	}
	s.upgraded = &done
	return domainError(done.Code)
}
