package rules

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/kontoflow/kontoflow/banks"
)

// AccountStatus is how far an account is in a synchronization.
type AccountStatus string

const (
	AccountPending   AccountStatus = "PENDING"
	AccountCompleted AccountStatus = "COMPLETED"
	AccountFailed    AccountStatus = "FAILED" // its error says why
)

// An AccountResult is what has become of one account in a synchronization.
type AccountResult struct {
	Status AccountStatus
	Error  *SyncError
	Unread bool // its bank offers no transactions of it, so that nobody asked for them
}

// EndFacts are what is known when a synchronization ends.
type EndFacts struct {
	Trigger           string
	ReadsTransactions bool
	RenewsConsent     bool // although one may be in force
	SaveSecrets       *bool
	CancelRequested   bool

	Failure  *SyncError      // of the whole; nil: nothing failed as a whole
	Accounts []AccountResult // in the bank's order; none: it did not come to them

	Access         AccessStatus
	GrantsConsents bool // the access's bank lets nobody read without a consent
	HasConsent     bool // one is in force
	HadConsent     bool // it was before the synchronization began, and has not ended since
	LeftBank       bool // nothing is stored of a relation to the bank
}

// SecretsAction is what becomes of the secrets that the customer gave, or left before.
type SecretsAction int

const (
	ForgetGiven  SecretsAction = iota // what was given for this synchronization goes; what is stored stays
	StoreGiven                        // what was given replaces what is stored
	ForgetStored                      // both go
)

// A Settlement is what the end of a synchronization means.
type Settlement struct {
	Failure     *SyncError      // of the synchronization; nil: it is COMPLETED
	Pending     *SyncError      // what the accounts that had not ended fail with
	Accounts    []AccountResult // with those
	Attempt     *SyncError      // what all accounts of the access were attempted with; nil: they have results of their own
	Decisive    *SyncError      // what the access is judged by; nil: all is well
	OnlyRenewal bool            // only the renewal of a consent failed: the access and its next run stay as they are
	Secrets     SecretsAction
	Access      AccessStatus // that the access gets; "": it keeps its own
	LeavesBank  bool         // the relation to the bank ends: the customer could still authorize there what nobody wants
}

// Settle decides what the end of a synchronization means.
//
// What accounts had not ended fails with it. Accounts that all failed sink it, with the first one's error. Credentials that
// the bank refused for one account mean the same for the access as if the whole had failed with them. Where a consent was to
// be renewed and only that failed, nothing was read, and what the customer did not do about the new consent says nothing
// about the one in force.
func Settle(f EndFacts) Settlement {
	s := Settlement{Failure: f.Failure, Pending: f.Failure}
	if s.Pending == nil { // a reading that never came to an end, however often it was tried
		s.Pending = &SyncError{Code: banks.CodeTemporary}
	}
	s.Accounts = slices.Clone(f.Accounts)
	for i := range s.Accounts {
		if a := &s.Accounts[i]; a.Status == AccountPending {
			a.Status, a.Error = AccountFailed, s.Pending
		}
	}
	if s.Failure == nil {
		s.Failure = sunkBy(s.Accounts)
	}
	s.Decisive = s.Failure
	if i := slices.IndexFunc(s.Accounts, func(a AccountResult) bool { return a.Error.RefusesCredentials() }); i >= 0 {
		s.Decisive = s.Accounts[i].Error
	}
	s.Secrets = secrets(f.SaveSecrets, s.Decisive)
	s.OnlyRenewal = f.RenewsConsent && f.HadConsent && s.Decisive != nil && !s.Decisive.RefusesCredentials() && len(s.Accounts) == 0
	if s.OnlyRenewal {
		return s
	}
	if len(s.Accounts) == 0 {
		s.Attempt = s.Failure
	}
	s.Access, s.LeavesBank = f.access(s.Decisive)
	return s
}

// sunkBy is the first account's error, where all accounts failed that the bank was asked about.
func sunkBy(accounts []AccountResult) (first *SyncError) {
	asked, failed := 0, 0
	for _, a := range accounts {
		if !a.Unread {
			asked++
		}
		if a.Status == AccountFailed {
			failed++
			if first == nil {
				first = a.Error
			}
		}
	}
	if failed == 0 || failed != asked {
		return nil
	}
	return first
}

func secrets(save *bool, failure *SyncError) SecretsAction {
	switch {
	case save != nil && !*save:
		return ForgetStored
	case save != nil && !failure.RefusesCredentials():
		return StoreGiven
	}
	return ForgetGiven
}

// access returns what the access's status becomes, and whether its relation to the bank ends.
func (f EndFacts) access(failure *SyncError) (status AccessStatus, leave bool) {
	lacksConsent := f.GrantsConsents && !f.HasConsent
	switch {
	case failure == nil && f.CancelRequested && f.LeftBank: // the client has ended it, when everything was read already
		return "", false
	case failure == nil:
		return AccessActive, false
	case LookUp(failure.Code).Customer:
		return AccessNeedsAuth, false
	case lacksConsent && f.Access == AccessActive: // whatever it failed with: nothing goes on without the customer
		return AccessNeedsAuth, failure.Code == banks.CodeCancelled
	case lacksConsent:
		return "", failure.Code == banks.CodeCancelled
	}
	return "", false
}

// retries are the waits after the first automatic synchronizations that failed. After those it is once a day again:
// together with the day's own they leave one of DailyReads for a client that comes without its customer.
var retries = [...]time.Duration{time.Hour, 6 * time.Hour}

// A NextRun is what the end of a synchronization means for the automatic ones of its access. What is nil or zero stays as it
// is.
type NextRun struct {
	StoppedBy  *Reason // "": nothing stops them any more
	Failures   *int    // automatic synchronizations that failed in a row
	NextSyncAt time.Time
}

// NextRun decides when an access is synchronized next by itself; failures are the automatic synchronizations that failed
// in a row before this one. An automatic one of which an account failed alone, and for a passing reason, comes again as if
// it had failed as a whole: else that account's data would be a day older than the others'.
func (s Settlement) NextRun(f EndFacts, access uuid.UUID, failures int, now time.Time) (next NextRun) {
	if s.OnlyRenewal {
		return next
	}
	failure := s.Decisive
	if failure == nil && f.Trigger == Auto {
		if i := slices.IndexFunc(s.Accounts, func(a AccountResult) bool { return a.Error != nil && LookUp(a.Error.Code).Passes }); i >= 0 {
			failure = s.Accounts[i].Error
		}
	}
	stop := func(reason Reason) NextRun { return NextRun{StoppedBy: &reason} }
	switch {
	case failure == nil:
		next = stop("")
		next.Failures = new(int)
		if f.ReadsTransactions {
			next.NextSyncAt = NextSlot(access, now)
		}
	case failure.RefusesCredentials():
		return stop(WrongCredentials)
	case LookUp(failure.Code).Customer:
		return stop(UserActionRequired)
	case f.Trigger == Auto && failure.Code != banks.CodeCancelled:
		next.NextSyncAt = NextSlot(access, now)
		if failures < len(retries) {
			next.NextSyncAt = now.Add(retries[failures])
		}
		next.NextSyncAt = latest(next.NextSyncAt, failure.RetryAt())
		failures++
		next.Failures = &failures
	}
	return next
}
