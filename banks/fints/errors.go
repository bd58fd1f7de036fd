package fints

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/formats/lenient"
	"github.com/kontoflow/kontoflow/banks/internal/transport"
	"github.com/kontoflow/kontoflow/banks/internal/wording"
)

// verdict is the classification of a return code.
type verdict struct {
	kind banks.Kind
	code int
}

// byCode classifies return codes ("FinTS Rückmeldungscodes"; those of the PIN/TAN procedure are in
// "Sicherheitsverfahren PIN/TAN", chapter B.6). It is in order: of several codes in an answer the
// first one here says most. Codes from 3000 are warnings; only those in this table end a move. 9xxx
// that are not here mean that the bank rejects the order.
var byCode = []struct {
	code int
	verdict
}{
	{9942, verdict{banks.WrongCredentials, banks.CodePINInvalid}}, // PIN wrong
	{9340, verdict{banks.WrongCredentials, banks.CodePINInvalid}}, // signature wrong: PIN or login
	{9910, verdict{banks.WrongCredentials, banks.CodePINInvalid}},
	{9931, verdict{banks.NeedsUser, banks.CodeAccessBlocked}}, // locked after wrong PINs
	{9930, verdict{banks.NeedsUser, banks.CodeAccessBlocked}}, // or the method is not in the contract: refusesMethod
	{3938, verdict{banks.NeedsUser, banks.CodeAccessBlocked}}, // locked for the time being
	{3931, verdict{banks.NeedsUser, banks.CodeAccessBlocked}},
	{9078, verdict{banks.Rejected, banks.CodeInternal}}, // our product is not registered, or not accepted
	{9952, verdict{banks.Rejected, banks.CodeInternal}},
	{3078, verdict{banks.Rejected, banks.CodeInternal}}, // the same as a warning: only beside a refusal
	{3079, verdict{banks.Rejected, banks.CodeInternal}},
	{3916, verdict{banks.NeedsUser, banks.CodePINChange}}, // first login: PIN to be changed
	{3932, verdict{banks.NeedsUser, banks.CodePINChange}},
	{9941, verdict{banks.WrongCredentials, banks.CodeTANInvalid}},
	{9991, verdict{banks.WrongCredentials, banks.CodeTANInvalid}}, // TAN used already
	{9951, verdict{banks.NeedsUser, banks.CodeExpired}},           // the customer took too long
	{9380, verdict{banks.NeedsUser, banks.CodeTANNotActivated}},   // method not allowed
	{9955, verdict{banks.NeedsUser, banks.CodeTANNotActivated}},   // one-step method not allowed
	{9330, verdict{banks.NeedsUser, banks.CodeTANBlocked}},        // chipTAN reader locked
	{3933, verdict{banks.NeedsUser, banks.CodeTANBlocked}},        // … until it is synchronized
	{3934, verdict{banks.NeedsUser, banks.CodeActivationNeeded}},  // card to be registered for chipTAN
	{3939, verdict{banks.NeedsUser, banks.CodeActivationNeeded}},  // mobileTAN to be activated
	{9939, verdict{banks.NeedsUser, banks.CodeActivationNeeded}},
	{3951, verdict{banks.NeedsUser, banks.CodeActivationNeeded}}, // another TAN method has to be set up
	{9075, verdict{banks.NeedsAuthorization, banks.CodeNotAuthorized}},
	{9311, verdict{banks.Transient, banks.CodeTemporary}}, // the bank's PIN/TAN system is not available
	{9040, verdict{banks.Transient, banks.CodeTemporary}}, // … so that the sender cannot be authenticated
	{9953, verdict{banks.Rejected, banks.CodeBankCannot}},
	{9954, verdict{banks.Rejected, banks.CodeBankCannot}},
	{9956, verdict{banks.Rejected, banks.CodeBankCannot}},
	{9957, verdict{banks.Rejected, banks.CodeBankCannot}},
	{9210, verdict{banks.Rejected, banks.CodeBankCannot}}, // order rejected
	{9110, verdict{banks.Rejected, banks.CodeBankCannot}}, // message not understood
	{9010, verdict{banks.Rejected, banks.CodeBankCannot}}, // rejected
	{9050, verdict{banks.Rejected, banks.CodeBankCannot}}, // the message has errors
	{9800, verdict{banks.Transient, banks.CodeTemporary}}, // dialog ended by the bank, and no other reason
}

// Return codes that steer, and do not end, a move.
const (
	codeSCA       = 30   // 0030: order received, strong customer authentication required
	codeEmpty     = 3010 // no entries
	codeTouchdown = 3040 // there is more: P1 is where
	codeOutdated  = 3050 // bank or user parameters are outdated
	codeRenamed   = 3072 // the customer has another user id and customer id: P1, P2
	codeMethods   = 3920 // the customer's methods: P1…
	codeDecoupled = 3955 // authentication on another channel
	codeStillOpen = 3956 // … is still to be done
	codeAborted   = 9800
)

// ofProduct are the codes about the registration of our product with the Deutsche Kreditwirtschaft.
// They are for the operator: no customer can do anything about them.
var ofProduct = []int{9078, 9952, 3078, 3079}

// A rule of byWords refines a refusal by what the bank says to the customer. FinTS has no codes for
// these.
type rule struct {
	words   []string
	on      []banks.Kind
	verdict verdict
}

// byWords is in order: the first rule that fits counts. They apply to codes that only say no. A
// code that says why comes first, whatever its text: the text of a wrong PIN often warns of the
// lock that follows.
var byWords = []rule{
	{[]string{"wartung", "maintenance"}, []banks.Kind{banks.Transient, banks.Rejected, banks.BankDown},
		verdict{banks.BankDown, banks.CodeMaintenance}},
	{[]string{"umstellung", "migration"}, []banks.Kind{banks.Transient, banks.Rejected, banks.BankDown},
		verdict{banks.BankDown, banks.CodeMigration}},
	{[]string{"gesperrt", "blocked", "locked"}, []banks.Kind{banks.Rejected},
		verdict{banks.NeedsUser, banks.CodeAccessBlocked}},
	{[]string{"nicht verfügbar", "nicht verfuegbar", "nicht zur verfügung", "nicht zur verfuegung", "später", "spaeter", "zurzeit", "zur zeit", "derzeit",
		"momentan", "im moment", "vorübergehend", "voruebergehend", "not available", "unavailable", "try again", "later", "temporarily", "currently"},
		[]banks.Kind{banks.Rejected, banks.Transient}, verdict{banks.Transient, banks.CodeTemporary}},
}

// methodWords are the words of a 9930 that is about the TAN method and not about the access.
var methodWords = []string{"verfahren", "legitimation", "tan-medium", "methode", "method", "procedure"}

// refusal is a classified refusal with the bank's return codes.
type refusal struct {
	fault *banks.Error
	said  []feedback // that refuse
	// passing says that the bank named a reason that passes by itself.
	passing bool
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

// ofPIN reports whether the bank refused the login or the PIN, for good or for the time being:
// nothing else that is signed with it can succeed.
func (r *refusal) ofPIN() bool {
	return slices.ContainsFunc(r.said, func(f feedback) bool {
		return slices.Contains([]int{9942, 9340, 9910, 9931, 9930, 3938, 3931}, f.code) && !f.refusesMethod()
	})
}

// ofMethod reports whether the bank refused the TAN method: that the customer does not have it, or
// not any more.
func (r *refusal) ofMethod() bool {
	return slices.ContainsFunc(r.said, func(f feedback) bool { return f.code == 9380 || f.code == 9955 || f.refusesMethod() })
}

// refusesMethod reports whether a 9930 is about the TAN method. Else it means that the access is
// locked.
func (f *feedback) refusesMethod() bool {
	text := strings.ToLower(f.text)
	return f.code == 9930 && slices.ContainsFunc(methodWords, func(w string) bool { return strings.Contains(text, w) })
}

func asRefusal(err error) (*refusal, bool) {
	var r *refusal
	ok := errors.As(err, &r)
	return r, ok
}

// judged classifies what an answer says, and tells the operator what is theirs. nil: nothing in it
// ends the move.
func (t *talk) judged(ctx context.Context, doing string, said []feedback) error {
	for i := range said {
		if slices.Contains(ofProduct, said[i].code) {
			t.options.Logger.WarnContext(ctx, "the bank objects to the registration of our product: check product_id in the catalog",
				"bank_code", t.conv.Connection.BankCode, "return_code", said[i].code, "doing", doing)
			break
		}
	}
	return judge(doing, said)
}

// judge classifies what an answer says; nil: nothing in it ends the move.
func judge(doing string, said []feedback) error {
	var worst *feedback
	var v verdict
	place := len(byCode) + 1
	refuses := slices.ContainsFunc(said, func(f feedback) bool { return f.code >= 9000 })
	var refusing []feedback
	for i := range said {
		f := &said[i]
		at, found := f.verdict()
		if f.code < 9000 && (at == unknownCode || !refuses && slices.Contains(ofProduct, f.code)) {
			continue
		}
		refusing = append(refusing, *f)
		if at < place {
			worst, v, place = f, found, at
		}
	}
	if worst == nil {
		return nil
	}
	text, passing := worst.text, v.kind == banks.Transient && worst.code != codeAborted
	if refined, by := refine(v, worst, refusing); by != nil {
		v, text, passing = refined, by.text, refined.kind == banks.Transient || refined.kind == banks.BankDown
	}
	return &refusal{said: refusing, passing: passing, fault: &banks.Error{Kind: v.kind, Code: v.code, Message: lenient.PlainText(text, maxText),
		Err: fmt.Errorf("%s: the bank answered %s", doing, joined(refusing))}}
}

// verdict classifies a return code by itself, and says how much it says: the lower, the more.
func (f *feedback) verdict() (at int, v verdict) {
	for i, row := range byCode {
		switch {
		case row.code != f.code:
		case f.refusesMethod():
			return i, verdict{banks.NeedsUser, banks.CodeTANNotActivated}
		default:
			return i, row.verdict
		}
	}
	return unknownCode, verdict{banks.Rejected, banks.CodeBankCannot}
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

// refine looks at the bank's words where its codes do not say why. by is the return code whose
// words decided; nil: none.
func refine(v verdict, worst *feedback, refusing []feedback) (refined verdict, by *feedback) {
	if v.code == banks.CodePINInvalid {
		if wording.Blocked(worst.text) {
			return verdict{banks.NeedsUser, banks.CodeAccessBlocked}, worst
		}
		return v, nil
	}
	if v.code == banks.CodeInternal {
		return v, nil
	}
	for _, rule := range byWords {
		if !slices.Contains(rule.on, v.kind) {
			continue
		}
		for i := range refusing {
			text := strings.ToLower(refusing[i].text)
			if slices.ContainsFunc(rule.words, func(w string) bool { return strings.Contains(text, w) }) {
				return rule.verdict, &refusing[i]
			}
		}
	}
	return v, nil
}

func joined(said []feedback) string {
	var all []string
	for _, f := range said {
		all = append(all, strconv.Itoa(f.code))
	}
	return strings.Join(all, " ")
}

// httpError is an answer of HTTP that is not 200.
type httpError struct {
	err    *banks.Error
	status int
}

func (e *httpError) Error() string { return e.err.Error() }
func (e *httpError) Unwrap() error { return e.err }

// refusedByHTTP classifies an answer that is not 200. A FinTS server refuses inside FinTS; what
// answers otherwise stands before it, and has not processed the message: except a gateway that lost
// the server's answer.
func refusedByHTTP(doing string, r *http.Response, now time.Time) error {
	e := &banks.Error{Kind: banks.Rejected, Code: banks.CodeBankCannot, RetryAfter: transport.RetryAfter(r.Header, now),
		Err: fmt.Errorf("%s: the bank answered HTTP %d", doing, r.StatusCode)}
	switch {
	case r.StatusCode/100 == 3:
		e.Err = fmt.Errorf("%s: the bank answered with a redirect (%d), which is not followed", doing, r.StatusCode)
	case r.StatusCode == http.StatusTooManyRequests:
		e.Kind, e.Code = banks.LimitExceeded, banks.CodeTemporary
	case r.StatusCode == http.StatusServiceUnavailable && e.RetryAfter >= transport.Outage:
		e.Kind, e.Code = banks.BankDown, banks.CodeMaintenance
	case r.StatusCode >= 500 || r.StatusCode == http.StatusRequestTimeout:
		e.Kind, e.Code = banks.Transient, banks.CodeTemporary
	}
	if r.StatusCode == http.StatusBadGateway || r.StatusCode == http.StatusGatewayTimeout {
		return &lost{e}
	}
	return &httpError{err: e, status: r.StatusCode}
}

// misconfigured is our own fault, or the operator's.
func misconfigured(err error) error {
	return &banks.Error{Kind: banks.Rejected, Code: banks.CodeInternal, Err: err}
}

// nonsense is an answer that leads nowhere.
func nonsense(doing, what string) error {
	return &banks.Error{Kind: banks.Rejected, Code: banks.CodeBankCannot, Err: fmt.Errorf("%s: %s", doing, what)}
}

// needsUser ends what cannot go on without the customer.
func needsUser(code int, what string) error {
	return &banks.Error{Kind: banks.NeedsUser, Code: code, Err: errors.New(what)}
}

// needsAuthorization ends a read that the bank answers only after (more) strong customer
// authentication.
func needsAuthorization(what string) error {
	return &banks.Error{Kind: banks.NeedsAuthorization, Code: banks.CodeNotAuthorized, Err: errors.New(what)}
}

// unclear ends what was sent once and must not be sent twice: the bank may have counted a wrong
// PIN. Only the customer can say that it is to be sent again.
func (t *talk) unclear() error {
	l := &t.lasting
	l.Unclear, t.dirty = true, true
	switch {
	case !t.conv.Interactive:
		return t.doubtful()
	case l.Authorized || t.dialog.LoggedIn: // the PIN has worked, so that nobody has to look at it: the customer's next synchronization sends it
		return &banks.Error{Kind: banks.BankDown, Code: banks.CodeTemporary,
			Err: errors.New("log in: the bank's answer is lost; a PIN is not sent twice")}
	}
	return &banks.Error{Kind: banks.WrongCredentials, Code: banks.CodePINInvalid,
		Err: errors.New("log in: the bank's answer is lost; a PIN that may be wrong is not sent twice")}
}

// doubtful is the end without the customer, once a login's answer was lost.
func (t *talk) doubtful() error {
	return needsUser(banks.CodeLoginNotPossible,
		"log in: the bank's answer is lost, or was the last time; a PIN that may be wrong is not sent again without the customer")
}

// classified makes sure that a caller only ever sees *banks.Error.
func classified(err error) error {
	var e *banks.Error
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
