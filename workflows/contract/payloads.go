package contract

import (
	"time"

	"github.com/google/uuid"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/rules"
)

// Answered is the payload of ChallengeAnswered. The answer itself never travels here.
type Answered struct {
	ChallengeID uuid.UUID `json:"challenge_id"`
}

// GivenUp is the payload of ChallengeRestarted.
type GivenUp struct {
	ChallengeID uuid.UUID `json:"challenge_id"`
}

// SynchronizationInput names a stored synchronization. Everything else about it is in the database.
type SynchronizationInput struct {
	SyncID  uuid.UUID `json:"sync_id"`
	Trigger string    `json:"trigger"`
}

// AccessUpgradeInput names the access, and the synchronization that found its method superseded.
type AccessUpgradeInput struct {
	SyncID   uuid.UUID `json:"sync_id"`
	AccessID uuid.UUID `json:"access_id"`
}

// AuthorizeInput names a step of authorization. Steps are counted from 1 within a synchronization.
type AuthorizeInput struct {
	SyncID      uuid.UUID `json:"sync_id"`
	Step        int       `json:"step"`
	ChallengeID uuid.UUID `json:"challenge_id,omitzero"` // Answer, AwaitConfirmation, Restart
}

// AwaitConfirmationInput is AuthorizeInput with the pace and the end of the wait.
type AwaitConfirmationInput struct {
	AuthorizeInput
	PollAfter time.Duration `json:"poll_after"` // nanoseconds
	ExpiresAt time.Time     `json:"expires_at"`
}

// AuthorizeOutcome is how a step of authorization ended.
type AuthorizeOutcome struct {
	Status    banks.StepStatus `json:"status"`             // Ready, Challenged
	Challenge Challenge        `json:"challenge,omitzero"` // with Challenged
	// Open says that something is open at the bank until Finish ends it.
	Open bool `json:"open,omitempty"`
	// Superseded is the access that is to be upgraded before anything else: the bank was not asked, Status is empty.
	Superseded uuid.UUID `json:"superseded,omitzero"`
}

// A Challenge is what a workflow knows of a challenge.
type Challenge struct {
	ID        uuid.UUID           `json:"id"`
	Type      banks.ChallengeType `json:"type"`
	ExpiresAt time.Time           `json:"expires_at"`
	PollAfter time.Duration       `json:"poll_after,omitzero"` // nanoseconds; DECOUPLED: the bank's wish
}

// ReadAccountsOutcome lists the accounts whose transactions are to be read.
type ReadAccountsOutcome struct {
	NeedsAuthorization bool        `json:"needs_authorization,omitempty"` // the bank wants the customer first: Connect, then again
	Accounts           []uuid.UUID `json:"accounts,omitempty"`
	Parallel           int         `json:"parallel,omitempty"` // how many at once the bank bears
}

// ReadTransactionsInput names an account of a synchronization.
type ReadTransactionsInput struct {
	SyncID      uuid.UUID `json:"sync_id"`
	AccountID   uuid.UUID `json:"account_id"`
	LastAttempt int32     `json:"last_attempt"` // the attempt after which nobody tries again
}

// ReadTransactionsOutcome is how the reading of one account ended. Rows and errors are in the database.
type ReadTransactionsOutcome struct {
	NeedsAuthorization bool `json:"needs_authorization,omitempty"` // the bank wants the customer first: Connect, then again
	Code               int  `json:"code,omitempty"`                // 0: read; else the account's error
}

// FinishInput says how a synchronization ends. Code 0: nothing failed as a whole.
type FinishInput struct {
	SyncID uuid.UUID `json:"sync_id"`
	Code   int       `json:"code,omitempty"`
	Open   bool      `json:"open,omitempty"` // something may be open at the bank
}

// FinishOutcome is how a synchronization ended, in counts. It is the result of its workflow.
type FinishOutcome struct {
	Status               rules.SyncStatus `json:"status"`
	Code                 int              `json:"code,omitempty"`
	Accounts             int              `json:"accounts"`
	TransactionsAdded    int              `json:"transactions_added"`
	TransactionsModified int              `json:"transactions_modified"`
	TransactionsRemoved  int              `json:"transactions_removed"`
}

// An Upgrade is what became of an access whose method was superseded.
type Upgrade struct {
	Code           int               `json:"code,omitempty"`   // 40001, 40002 or 40003
	AccessID       uuid.UUID         `json:"access_id"`        // that was synchronized
	AccessMethodID uuid.UUID         `json:"access_method_id"` // the new one
	Accounts       []UpgradedAccount `json:"accounts"`
	Created        []uuid.UUID       `json:"accesses_created"`
}

// An UpgradedAccount says where an account is after an upgrade.
type UpgradedAccount struct {
	AccountID      uuid.UUID `json:"account_id"`
	AccessID       uuid.UUID `json:"access_id"`
	AccessMethodID uuid.UUID `json:"access_method_id"`
	Supported      bool      `json:"supported"` // false: readable, but no longer synchronized
}

// StartDueOutcome is what a look at the due accesses came to.
type StartDueOutcome struct {
	Examined int  `json:"examined"`          // accesses that were due
	Started  int  `json:"started"`           // of them: synchronizations started
	Waiting  bool `json:"waiting,omitempty"` // more is due
}

// TendConsentsOutcome is what a look at the consents came to.
type TendConsentsOutcome struct {
	Warned  int `json:"warned"`
	Expired int `json:"expired"`
}

// AutomaticSynchronizationsOutcome is what one run of AutomaticSynchronizations came to, in counts.
type AutomaticSynchronizationsOutcome struct {
	TendConsentsOutcome
	StartDueOutcome
}
