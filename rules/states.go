// Package rules decides, and does nothing else: it reads no database, sends nothing, and has no clock. Package models
// loads the facts, a function here returns a verdict, and package models stores it.
//
//   - states.go: the state machine of a synchronization
//   - errors.go: the catalogue of error codes
//   - end.go: what the end of a synchronization means for its accounts, its access and its next run
//   - automatic.go: which access may be synchronized without its customer, and when
//   - accounts.go: which of the accounts that a bank lists is which of those that are known
//   - upgrade.go: which accounts move when a bank replaces an access method
package rules

import "slices"

// SyncStatus is the state of a synchronization:
//
//	QUEUED → RUNNING ⇄ AWAIT_AUTH → COMPLETED | FAILED
//
// RUNNING ends in COMPLETED. Every state that has not ended can end in FAILED. Nothing follows an end.
type SyncStatus string

const (
	Queued    SyncStatus = "QUEUED"     // stored; its workflow may not have started yet
	Running   SyncStatus = "RUNNING"    // talking to the bank
	AwaitAuth SyncStatus = "AWAIT_AUTH" // the bank asks the customer; as often as it likes
	Completed SyncStatus = "COMPLETED"
	Failed    SyncStatus = "FAILED" // its error says why
)

// SyncStatuses are all states, in the order in which a synchronization can pass through them.
var SyncStatuses = []SyncStatus{Queued, Running, AwaitAuth, Completed, Failed}

// edges lists for every state where it may be entered from. The trigger `edge` of the database refuses all others; a test
// of package models holds the two equal.
var edges = map[SyncStatus][]SyncStatus{
	Running:   {Queued, AwaitAuth},
	AwaitAuth: {Running},
	Completed: {Running},
	Failed:    {Queued, Running, AwaitAuth},
}

// EnteredFrom returns the states that a synchronization may be in when it moves to s. There are none for QUEUED, where a
// synchronization begins.
func (s SyncStatus) EnteredFrom() []SyncStatus { return slices.Clone(edges[s]) }

// Ended reports whether nothing can happen any more.
func (s SyncStatus) Ended() bool { return s == Completed || s == Failed }

// Triggers of a synchronization.
const (
	Manual = "MANUAL" // a client started it; only such a one can ask the customer something
	Auto   = "AUTO"
)

// Scopes of a synchronization.
const (
	ScopeAccounts     = "ACCOUNTS"
	ScopeTransactions = "TRANSACTIONS"
)

// AccessStatus says whether an access can be synchronized, and what it lacks.
type AccessStatus string

const (
	AccessNew            AccessStatus = "NEW" // never synchronized
	AccessActive         AccessStatus = "ACTIVE"
	AccessNeedsAuth      AccessStatus = "NEEDS_AUTH"      // nothing works until the customer was there
	AccessUpgradePending AccessStatus = "UPGRADE_PENDING" // never stored: it follows from the catalog
	AccessRevoked        AccessStatus = "REVOKED"         // nothing of it can be synchronized any more
)
