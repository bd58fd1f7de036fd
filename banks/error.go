package banks

import (
	"errors"
	"fmt"
	"time"
)

// Kind is what can be done about an error. It decides about retries; nothing else does.
type Kind string

const (
	// Transient: the same call may work later. Retried by the activity, after RetryAfter where the bank said so.
	Transient Kind = "TRANSIENT"
	// BankDown: maintenance or migration; also a passing failure of what the bank counts, and may have counted (four reads a day
	// without the customer). Not retried within the synchronization.
	BankDown Kind = "BANK_DOWN"
	// NeedsUser: only the customer can mend it (PIN change, TAN scheme, confirmation in the bank's pages).
	NeedsUser Kind = "NEEDS_USER"
	// WrongCredentials: login, PIN or TAN refused. Never repeated automatically: three lock the customer out.
	WrongCredentials Kind = "WRONG_CREDENTIALS"
	// NeedsAuthorization: the bank wants (more) strong customer authentication before it answers this call. The
	// conversation's state says how; Authorize goes on. Not a failure of the synchronization.
	NeedsAuthorization Kind = "NEEDS_AUTHORIZATION"
	// LimitExceeded: the bank's limit of reads is used up (429 ACCESS_EXCEEDED); RetryAfter where it said when.
	LimitExceeded Kind = "LIMIT_EXCEEDED"
	// Gone: the account or resource is not there any more, or not for us.
	Gone Kind = "GONE"
	// Rejected: the bank will not process it, or answered in a way that cannot be understood; repeating is no use.
	Rejected Kind = "REJECTED"
)

// Codes of synchronization errors that adapters use (docs/api.md), and those of access upgrades.
const (
	CodeLoginInvalid     = 10000
	CodePINInvalid       = 10001
	CodeAccessBlocked    = 10002
	CodeTANNotActivated  = 10003
	CodeTANInvalid       = 10004
	CodeNotAuthorized    = 10005
	CodePINChange        = 10007
	CodeActivationNeeded = 10009
	CodeAccountBlocked   = 10010
	CodeAccountGone      = 10011
	CodeTANBlocked       = 10012
	CodeAccountNotOnline = 10014
	CodeOTPInvalid       = 10016
	CodeBankCannot       = 20000
	CodeBankUnknown      = 20001
	CodeMaintenance      = 20003
	CodeMigration        = 20004
	CodeLoginNotPossible = 20006
	CodeConfirmAtBank    = 20007
	CodeInternal         = 30000
	CodeExpired          = 30005
	CodeTemporary        = 30006
	CodeCancelled        = 30007
	CodeBankUnsupported  = 40000
	CodeUpgradeDirect    = 40001
	CodeUpgradeMulti     = 40002
	CodeUpgradePartial   = 40003
)

// ErrUntrusted is in the chain of an error where the bank's certificate is not trusted: not for this host, not valid now, or
// of an unknown authority.
var ErrUntrusted = errors.New("the bank's certificate is not trusted")

// Error is a classified failure of a move.
type Error struct {
	Kind       Kind
	Code       int           // one of the codes above
	Message    string        // the bank's own words, cleaned and bounded; may name a person: for the database only
	RetryAfter time.Duration // 0: the bank did not say
	Err        error         // what happened, for logs: carries no secret, no person's data, no URL query
}

// Error says what happened without the bank's words, so that it may enter logs and workflow history.
func (e *Error) Error() string {
	if e.Err != nil {
		return fmt.Sprintf("%s (%d): %v", e.Kind, e.Code, e.Err)
	}
	return fmt.Sprintf("%s (%d)", e.Kind, e.Code)
}

func (e *Error) Unwrap() error { return e.Err }

// AsError finds the classified error in err's chain; an unclassified one counts as Transient 30000.
func AsError(err error) *Error {
	if err == nil {
		return nil
	}
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return &Error{Kind: Transient, Code: CodeInternal, Err: err}
}
