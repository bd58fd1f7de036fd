// Package contract is what the API, the worker and the workflows agree on with Temporal: the names of workflows and
// activities, workflow ids, signals, search attributes and payloads, and the calls of a Temporal client. Payloads hold ids,
// states and counts, never a secret or anything personal.
package contract

import (
	"time"

	"github.com/google/uuid"
	"go.temporal.io/sdk/temporal"
)

// Names of the workflows.
const (
	Synchronization           = "Synchronization"
	AutomaticSynchronizations = "AutomaticSynchronizations"
	AccessUpgrade             = "AccessUpgrade"
	RevokeConsent             = "RevokeConsent"
)

// An Activity is the name of an activity that takes an In and returns an Out. None stands for no value.
type Activity[In, Out any] string

// None is the type of a payload that there is not.
type None struct{}

// The activities. Package activities implements them.
const (
	Connect           Activity[AuthorizeInput, AuthorizeOutcome]               = "Connect"
	Answer            Activity[AuthorizeInput, AuthorizeOutcome]               = "Answer"
	Restart           Activity[AuthorizeInput, AuthorizeOutcome]               = "Restart"
	AwaitConfirmation Activity[AwaitConfirmationInput, AuthorizeOutcome]       = "AwaitConfirmation"
	ReadAccounts      Activity[uuid.UUID, ReadAccountsOutcome]                 = "ReadAccounts"
	ReadTransactions  Activity[ReadTransactionsInput, ReadTransactionsOutcome] = "ReadTransactions"
	Finish            Activity[FinishInput, FinishOutcome]                     = "Finish"
	UpgradeAccess     Activity[uuid.UUID, Upgrade]                             = "UpgradeAccess"
	StartDue          Activity[None, StartDueOutcome]                          = "StartDue"
	TendConsents      Activity[None, TendConsentsOutcome]                      = "TendConsents"
	Revoke            Activity[uuid.UUID, None]                                = "RevokeConsent"
)

// Types of the errors that activities return, beside the codes of the API (docs/errors.md).
const (
	// Ended: the synchronization is over or gone; there is nothing left to do.
	Ended = "ENDED"
	// Restarted: the client gave up the challenge that the step was about. Another step begins anew.
	Restarted = "RESTARTED"
	// Storage: the database did not do what it was asked. Retried.
	Storage = "STORAGE"
	// Stopping: the worker goes down; another one goes on. Retried.
	Stopping = "STOPPING"
)

// LongestPause is how long a revocation waits between two attempts at most, whatever the bank says of when to come back: what
// nobody has attempted for longer is taken for lost (models.Store.LostRevocations).
const LongestPause = time.Hour

// Signals that a synchronization takes.
const (
	// ChallengeAnswered (payload Answered): the customer's answer to a challenge is stored.
	ChallengeAnswered = "challenge-answered"
	// ChallengeRestarted (payload GivenUp): the client gave up a challenge, and wants another one in its place.
	ChallengeRestarted = "challenge-restarted"
)

// ScheduleID is the id of the Schedule of a task queue's automatic synchronizations.
func ScheduleID(taskQueue string) string { return "autosync-" + taskQueue }

// UpgradeID is the id of an access's upgrade: one of them runs at a time.
func UpgradeID(access uuid.UUID) string { return "upgrade-" + access.String() }

func revocationID(revocation uuid.UUID) string { return "revoke-" + revocation.String() }

// What operators find runs by, beside their id: ids, states and error codes, never anything personal.
var (
	AccessID      = temporal.NewSearchAttributeKeyKeyword("AccessId")
	BankID        = temporal.NewSearchAttributeKeyKeyword("ProviderId")
	SyncState     = temporal.NewSearchAttributeKeyKeyword("SyncState")
	SyncTrigger   = temporal.NewSearchAttributeKeyKeyword("SyncTrigger")
	SyncErrorCode = temporal.NewSearchAttributeKeyKeyword("SyncErrorCode")
)

// SearchAttributes are all of them, as the namespace has to know them.
var SearchAttributes = []temporal.SearchAttributeKey{AccessID, BankID, SyncState, SyncTrigger, SyncErrorCode}

// Priorities of synchronizations on the task queue, 1 to 5, low numbers first: somebody waits for a manual one.
const (
	priorityManual    = 2
	priorityAutomatic = 4
)
