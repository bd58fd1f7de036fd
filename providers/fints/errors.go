package fints

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"kontoflow/providers"
	"kontoflow/providers/internal/transport"
	"kontoflow/providers/lenient"
)

// verdict is the classification of a return code.
type verdict struct {
	kind providers.Kind
	code int
}

// byCode classifies return codes ("FinTS Rückmeldungscodes"; those of the PIN/TAN procedure are in "Sicherheitsverfahren
// PIN/TAN", chapter B.6). It is in order: of several codes in an answer the first one here says most. Codes from 3000 are
// warnings; only those in this table end a move. 9xxx that are not here mean that the bank rejects the order.
var byCode = []struct {
	code int
	verdict
}{
	{9942, verdict{providers.WrongCredentials, providers.CodePINInvalid}}, // PIN wrong
	{9340, verdict{providers.WrongCredentials, providers.CodePINInvalid}}, // signature wrong: PIN or login
	{9910, verdict{providers.WrongCredentials, providers.CodePINInvalid}},
	{9931, verdict{providers.NeedsUser, providers.CodeAccessBlocked}}, // locked after wrong PINs
	{9930, verdict{providers.NeedsUser, providers.CodeAccessBlocked}},
	{3938, verdict{providers.NeedsUser, providers.CodeAccessBlocked}}, // locked for the time being
	{3931, verdict{providers.NeedsUser, providers.CodeAccessBlocked}},
	{3916, verdict{providers.NeedsUser, providers.CodePINChange}}, // first login: PIN to be changed
	{3932, verdict{providers.NeedsUser, providers.CodePINChange}},
	{9941, verdict{providers.WrongCredentials, providers.CodeTANInvalid}},
	{9991, verdict{providers.WrongCredentials, providers.CodeTANInvalid}}, // TAN used already
	{9951, verdict{providers.NeedsUser, providers.CodeExpired}},           // the customer took too long
	{9380, verdict{providers.NeedsUser, providers.CodeTANNotActivated}},   // method not allowed
	{9955, verdict{providers.NeedsUser, providers.CodeTANNotActivated}},   // one-step method not allowed
	{9330, verdict{providers.NeedsUser, providers.CodeTANBlocked}},        // chipTAN reader locked
	{3933, verdict{providers.NeedsUser, providers.CodeTANBlocked}},        // … until it is synchronized
	{3934, verdict{providers.NeedsUser, providers.CodeActivationNeeded}},  // card to be registered for chipTAN
	{3939, verdict{providers.NeedsUser, providers.CodeActivationNeeded}},  // mobileTAN to be activated
	{9939, verdict{providers.NeedsUser, providers.CodeActivationNeeded}},
	{3951, verdict{providers.NeedsUser, providers.CodeActivationNeeded}}, // another TAN method has to be set up
	{9075, verdict{providers.NeedsAuthorization, providers.CodeNotAuthorized}},
	{9953, verdict{providers.Rejected, providers.CodeBankCannot}},
	{9954, verdict{providers.Rejected, providers.CodeBankCannot}},
	{9956, verdict{providers.Rejected, providers.CodeBankCannot}},
	{9957, verdict{providers.Rejected, providers.CodeBankCannot}},
	{9210, verdict{providers.Rejected, providers.CodeBankCannot}}, // order rejected
	{9110, verdict{providers.Rejected, providers.CodeBankCannot}}, // message not understood
	{9010, verdict{providers.Rejected, providers.CodeBankCannot}}, // rejected
	{9050, verdict{providers.Rejected, providers.CodeBankCannot}}, // the message has errors
	{9800, verdict{providers.Transient, providers.CodeTemporary}}, // dialog ended by the bank, and no other reason
}

// Return codes that steer, and do not end, a move.
const (
	codeSCA       = 30   // 0030: order received, strong customer authentication required
	codeEmpty     = 3010 // no entries
	codeTouchdown = 3040 // there is more: P1 is where
	codeMethods   = 3920 // the customer's methods: P1…
	codeDecoupled = 3955 // authentication on another channel
	codeStillOpen = 3956 // … is still to be done
	codeAborted   = 9800
)

// byWords refines a refusal by what the bank says to the customer. FinTS has no codes for these.
var byWords = []struct {
	words   []string
	on      []providers.Kind
	verdict verdict
}{
	{[]string{"wartung", "maintenance"}, []providers.Kind{providers.Transient, providers.Rejected, providers.BankDown},
		verdict{providers.BankDown, providers.CodeMaintenance}},
	{[]string{"umstellung", "migration"}, []providers.Kind{providers.Transient, providers.Rejected, providers.BankDown},
		verdict{providers.BankDown, providers.CodeMigration}},
	{[]string{"gesperrt", "blocked", "locked"}, []providers.Kind{providers.WrongCredentials, providers.Rejected},
		verdict{providers.NeedsUser, providers.CodeAccessBlocked}},
}

// refusal is a classified refusal with the bank's return codes.
type refusal struct {
	fault *providers.Error
	said  []feedback // that refuse
}

func (r *refusal) Error() string { return r.fault.Error() }
func (r *refusal) Unwrap() error { return r.fault }

func (r *refusal) has(code int) bool {
	return slices.ContainsFunc(r.said, func(f feedback) bool { return f.code == code })
}

// about reports whether the bank refused a segment of ours with the code.
func (r *refusal) about(segment, code int) bool {
	return slices.ContainsFunc(r.said, func(f feedback) bool { return f.segment == segment && f.code == code })
}

// ofPIN reports whether the bank refused the login or the PIN, for good or for the time being: nothing else that is signed
// with it can succeed.
func (r *refusal) ofPIN() bool {
	return slices.ContainsFunc([]int{9942, 9340, 9910, 9931, 9930, 3938, 3931}, r.has)
}

func asRefusal(err error) (*refusal, bool) {
	var r *refusal
	ok := errors.As(err, &r)
	return r, ok
}

// judge classifies what an answer says; nil: nothing in it ends the move.
func judge(doing string, said []feedback) error {
	var worst *feedback
	var v verdict
	place := len(byCode) + 1
	var refusing []feedback
	for i := range said {
		f := &said[i]
		at, found := len(byCode), verdict{providers.Rejected, providers.CodeBankCannot}
		for j, row := range byCode {
			if row.code == f.code {
				at, found = j, row.verdict
				break
			}
		}
		if f.code < 9000 && at == len(byCode) {
			continue
		}
		refusing = append(refusing, *f)
		// A code that nobody knows says more than one that only says "no".
		if at == len(byCode) {
			at = unknownCode
		}
		if at < place {
			worst, v, place = f, found, at
		}
	}
	if worst == nil {
		return nil
	}
	words := lenient.PlainText(worst.text, maxText)
	lower := strings.ToLower(words)
	for _, rule := range byWords {
		for _, w := range rule.words {
			for _, kind := range rule.on {
				if kind == v.kind && strings.Contains(lower, w) {
					v = rule.verdict
				}
			}
		}
	}
	return &refusal{said: refusing, fault: &providers.Error{Kind: v.kind, Code: v.code, Message: words,
		Err: fmt.Errorf("%s: the bank answered %s", doing, joined(refusing))}}
}

// unknownCode is the place of unknown codes in the table: before those that only say "no".
var unknownCode = func() int {
	for i, row := range byCode {
		if row.code == 9210 {
			return i
		}
	}
	return len(byCode)
}()

func joined(said []feedback) string {
	var all []string
	for _, f := range said {
		all = append(all, strconv.Itoa(f.code))
	}
	return strings.Join(all, " ")
}

// refusedByHTTP classifies an answer that is not 200. A FinTS server refuses inside FinTS; what answers otherwise stands
// before it, and has not processed the message: except a gateway that lost the server's answer.
func refusedByHTTP(doing string, r *http.Response, now time.Time) error {
	e := &providers.Error{Kind: providers.Rejected, Code: providers.CodeBankCannot, RetryAfter: transport.RetryAfter(r.Header, now),
		Err: fmt.Errorf("%s: the bank answered HTTP %d", doing, r.StatusCode)}
	switch {
	case r.StatusCode/100 == 3:
		e.Err = fmt.Errorf("%s: the bank answered with a redirect (%d), which is not followed", doing, r.StatusCode)
	case r.StatusCode == http.StatusTooManyRequests:
		e.Kind, e.Code = providers.LimitExceeded, providers.CodeTemporary
	case r.StatusCode == http.StatusServiceUnavailable && e.RetryAfter >= transport.Outage:
		e.Kind, e.Code = providers.BankDown, providers.CodeMaintenance
	case r.StatusCode >= 500 || r.StatusCode == http.StatusRequestTimeout:
		e.Kind, e.Code = providers.Transient, providers.CodeTemporary
	}
	if r.StatusCode == http.StatusBadGateway || r.StatusCode == http.StatusGatewayTimeout {
		return &lost{e}
	}
	return e
}

// misconfigured is our own fault, or the operator's.
func misconfigured(err error) error {
	return &providers.Error{Kind: providers.Rejected, Code: providers.CodeInternal, Err: err}
}

// nonsense is an answer that leads nowhere.
func nonsense(doing, what string) error {
	return &providers.Error{Kind: providers.Rejected, Code: providers.CodeBankCannot, Err: fmt.Errorf("%s: %s", doing, what)}
}

// needsUser ends what cannot go on without the customer.
func needsUser(code int, what string) error {
	return &providers.Error{Kind: providers.NeedsUser, Code: code, Err: errors.New(what)}
}

// needsAuthorization ends a read that the bank answers only after (more) strong customer authentication.
func needsAuthorization(what string) error {
	return &providers.Error{Kind: providers.NeedsAuthorization, Code: providers.CodeNotAuthorized, Err: errors.New(what)}
}

// unclear ends what was sent once and must not be sent twice: the bank may have counted a wrong PIN. Only the customer can
// say that it is to be sent again.
func (t *talk) unclear() error {
	l := &t.lasting
	l.Unclear, t.dirty = true, true
	switch {
	case !t.conv.Interactive:
		return t.doubtful()
	case l.Authorized: // this login has worked before, so that nobody has to look at the PIN: the customer's next synchronization sends it
		return &providers.Error{Kind: providers.BankDown, Code: providers.CodeTemporary,
			Err: errors.New("log in: the bank's answer is lost; a PIN is not sent twice")}
	}
	return &providers.Error{Kind: providers.WrongCredentials, Code: providers.CodePINInvalid,
		Err: errors.New("log in: the bank's answer is lost; a PIN that may be wrong is not sent twice")}
}

// doubtful is the end without the customer, once a login's answer was lost.
func (t *talk) doubtful() error {
	return needsUser(providers.CodeLoginNotPossible,
		"log in: the bank's answer is lost, or was the last time; a PIN that may be wrong is not sent again without the customer")
}

// classified makes sure that a caller only ever sees *providers.Error.
func classified(err error) error {
	var e *providers.Error
	if errors.As(err, &e) {
		return e
	}
	return misconfigured(err)
}

// Bounds of what a bank may tell us, in bytes.
const (
	maxText    = 1024
	maxMessage = 4096
)
