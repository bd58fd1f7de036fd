package workflows

import (
	"strconv"

	"github.com/google/uuid"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"github.com/kontoflow/kontoflow/workflows/contract"
)

// AccessUpgrade moves an access to the method that superseded its own. It is a child of the synchronization that a
// client started; its id, upgrade-<access id>, lets one of them run at a time. The move is one transaction: a
// synchronization that is cancelled meanwhile does not stop it half way.
func AccessUpgrade(ctx workflow.Context, in contract.AccessUpgradeInput) (contract.Upgrade, error) {
	detail(ctx, "moving the access to its new method")
	disconnected, _ := workflow.NewDisconnectedContext(ctx)
	options := finishing.options(disconnected, "move the access to its new method")
	done, err := call(options, contract.UpgradeAccess, in.SyncID)
	if err != nil {
		return done, err
	}
	detail(ctx, "%d: %d accounts, %d accesses added", done.Code, len(done.Accounts), len(done.Created))
	return done, workflow.UpsertTypedSearchAttributes(ctx, contract.SyncErrorCode.ValueSet(strconv.Itoa(done.Code)))
}

// upgrade runs AccessUpgrade, and fails with its code.
func (s *synchronization) upgrade(ctx workflow.Context, access uuid.UUID) error {
	detail(ctx, "RUNNING: the access's method is superseded; upgrading it")
	attributes := []temporal.SearchAttributeUpdate{contract.AccessID.ValueSet(access.String())}
	if bank, ok := workflow.GetTypedSearchAttributes(ctx).GetKeyword(contract.BankID); ok {
		attributes = append(attributes, contract.BankID.ValueSet(bank))
	}
	child := workflow.WithChildOptions(ctx, workflow.ChildWorkflowOptions{
		WorkflowID:            contract.UpgradeID(access),
		ParentClosePolicy:     enums.PARENT_CLOSE_POLICY_REQUEST_CANCEL,
		WaitForCancellation:   true, // what was done is known when it has ended
		StaticSummary:         "upgrade of an access to another access method",
		TypedSearchAttributes: temporal.NewSearchAttributes(attributes...),
	})
	var done contract.Upgrade
	err := workflow.ExecuteChildWorkflow(child, AccessUpgrade, contract.AccessUpgradeInput{SyncID: s.id, AccessID: access}).Get(child, &done)
	if err != nil {
		return err
	}
	s.upgraded = &done
	return domainError(done.Code)
}
