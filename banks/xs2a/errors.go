package xs2a

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/formats/lenient"
	"github.com/kontoflow/kontoflow/banks/internal/transport"
	"github.com/kontoflow/kontoflow/banks/internal/wording"
)

// subject is what a call is about; it decides what "unknown" and "expired" mean.
type subject int

const (
	aboutNothing subject = iota
	aboutConsent
	aboutAuthorisation
	aboutAccount
)

// verdict is the classification of an error.
type verdict struct {
	kind banks.Kind
	code int
}

// byCode classifies the message codes of the Implementation Guidelines (1.3.11, "Message codes").
// What depends on the call is in judge.
var byCode = map[string]verdict{
	"FORMAT_ERROR":              {banks.Rejected, banks.CodeBankCannot},
	"PARAMETER_NOT_CONSISTENT":  {banks.Rejected, banks.CodeBankCannot},
	"PARAMETER_NOT_SUPPORTED":   {banks.Rejected, banks.CodeBankCannot},
	"SERVICE_INVALID":           {banks.Rejected, banks.CodeBankCannot},
	"SESSIONS_NOT_SUPPORTED":    {banks.Rejected, banks.CodeBankCannot},
	"PERIOD_INVALID":            {banks.Rejected, banks.CodeBankCannot},
	"TIMESTAMP_INVALID":         {banks.Rejected, banks.CodeBankCannot},
	"STATUS_INVALID":            {banks.Rejected, banks.CodeBankCannot},
	"REQUESTED_FORMATS_INVALID": {banks.Rejected, banks.CodeBankCannot},
	"PRODUCT_INVALID":           {banks.Rejected, banks.CodeBankCannot},
	"PRODUCT_UNKNOWN":           {banks.Rejected, banks.CodeBankCannot},

	"SCA_METHOD_UNKNOWN":   {banks.NeedsUser, banks.CodeTANNotActivated},
	"SCA_INVALID":          {banks.WrongCredentials, banks.CodeTANInvalid},
	refusedSecret:          {banks.WrongCredentials, banks.CodeLoginInvalid}, // unless a secret was sent: bySecret
	"CORPORATE_ID_INVALID": {banks.WrongCredentials, banks.CodeLoginInvalid},

	"CONSENT_UNKNOWN":        {banks.NeedsAuthorization, banks.CodeNotAuthorized},
	"CONSENT_INVALID":        {banks.NeedsAuthorization, banks.CodeNotAuthorized},
	"CONSENT_EXPIRED":        {banks.NeedsAuthorization, banks.CodeNotAuthorized},
	"TOKEN_UNKNOWN":          {banks.NeedsAuthorization, banks.CodeNotAuthorized},
	"TOKEN_INVALID":          {banks.NeedsAuthorization, banks.CodeNotAuthorized},
	"TOKEN_EXPIRED":          {banks.NeedsAuthorization, banks.CodeNotAuthorized},
	"INVALID_TOKEN":          {banks.NeedsAuthorization, banks.CodeNotAuthorized}, // RFC 6750
	"INVALID_GRANT":          {banks.NeedsAuthorization, banks.CodeNotAuthorized}, // RFC 6749
	"RESOURCE_UNKNOWN":       {banks.Gone, banks.CodeAccountGone},
	"RESOURCE_EXPIRED":       {banks.Gone, banks.CodeAccountGone},
	"RESOURCE_BLOCKED":       {banks.Gone, banks.CodeAccountBlocked},
	"SERVICE_BLOCKED":        {banks.NeedsUser, banks.CodeAccessBlocked},
	"ACCESS_EXCEEDED":        {banks.LimitExceeded, banks.CodeTemporary},
	"CERTIFICATE_INVALID":    {banks.Rejected, banks.CodeInternal},
	"CERTIFICATE_EXPIRED":    {banks.Rejected, banks.CodeInternal},
	"CERTIFICATE_BLOCKED":    {banks.Rejected, banks.CodeInternal},
	"CERTIFICATE_REVOKED":    {banks.Rejected, banks.CodeInternal},
	"CERTIFICATE_MISSING":    {banks.Rejected, banks.CodeInternal},
	"SIGNATURE_INVALID":      {banks.Rejected, banks.CodeInternal},
	"SIGNATURE_MISSING":      {banks.Rejected, banks.CodeInternal},
	"ROLE_INVALID":           {banks.Rejected, banks.CodeInternal},
	"INVALID_CLIENT":         {banks.Rejected, banks.CodeInternal}, // RFC 6749
	"UNAUTHORIZED_CLIENT":    {banks.Rejected, banks.CodeInternal},
	"INVALID_SCOPE":          {banks.Rejected, banks.CodeInternal},
	"UNSUPPORTED_GRANT_TYPE": {banks.Rejected, banks.CodeInternal},
}

// byStatus classifies an error without a known code.
var byStatus = map[int]verdict{
	http.StatusBadRequest:          {banks.Rejected, banks.CodeBankCannot},
	http.StatusUnauthorized:        {banks.NeedsAuthorization, banks.CodeNotAuthorized},
	http.StatusForbidden:           {banks.NeedsUser, banks.CodeLoginNotPossible},
	http.StatusNotFound:            {banks.Gone, banks.CodeAccountGone},
	http.StatusGone:                {banks.Gone, banks.CodeAccountGone},
	http.StatusRequestTimeout:      {banks.Transient, banks.CodeTemporary},
	http.StatusTooManyRequests:     {banks.LimitExceeded, banks.CodeTemporary},
	http.StatusInternalServerError: {banks.Transient, banks.CodeTemporary},
	http.StatusNotImplemented:      {banks.Rejected, banks.CodeBankCannot},
	http.StatusBadGateway:          {banks.Transient, banks.CodeTemporary},
	http.StatusServiceUnavailable:  {banks.Transient, banks.CodeTemporary},
	http.StatusGatewayTimeout:      {banks.Transient, banks.CodeTemporary},
}

// silent are the known codes that say that the customer is refused, and not why. Where a bank sends
// one of them, or no code at all, its words decide; every other code decides by itself.
var silent = map[string]bool{refusedSecret: true, "SERVICE_BLOCKED": true}

// byWords refines a refusal by what the bank says to the customer. The interface has no codes for
// these. The first rule that fits decides.
var byWords = []struct {
	says    func(text string) bool
	on      []banks.Kind
	verdict verdict
}{
	{wording.PINChange, refusals, verdict{banks.NeedsUser, banks.CodePINChange}},
	{wording.TANBlocked, refusals, verdict{banks.NeedsUser, banks.CodeTANBlocked}},
	{wording.Blocked, refusals, verdict{banks.NeedsUser, banks.CodeAccessBlocked}},
	{wording.Maintenance, outages, verdict{banks.BankDown, banks.CodeMaintenance}},
	{wording.Migration, outages, verdict{banks.BankDown, banks.CodeMigration}},
}

var (
	refusals = []banks.Kind{banks.NeedsUser, banks.WrongCredentials}
	outages  = []banks.Kind{banks.Transient, banks.BankDown}
)

// refusal is a classified refusal with what the adapter needs to go on from it.
type refusal struct {
	fault  *banks.Error
	status int
	code   string // message code, "" none
	links  links
	said   string // the body, for what it says about the request; never logged
	token  bool   // it may be about the age of the access token that the request carried
}

func (r *refusal) Error() string { return r.fault.Error() }
func (r *refusal) Unwrap() error { return r.fault }

// consentOver reports whether the bank says that the consent is over, or not there.
func (r *refusal) consentOver() bool {
	switch r.code {
	case "CONSENT_UNKNOWN", "CONSENT_INVALID", "CONSENT_EXPIRED", "RESOURCE_UNKNOWN", "RESOURCE_EXPIRED":
		return true
	}
	return r.status == http.StatusNotFound || r.status == http.StatusGone
}

// unexplained reports whether the bank says nothing but status.
func (r *refusal) unexplained(status int) bool {
	_, known := byCode[r.code]
	return r.status == status && !known
}

// refused turns an answer without 2xx into an error.
func (t *talk) refused(c *call, r *reply) error {
	body, _ := io.ReadAll(io.LimitReader(r.body, 256<<10))
	var said complaint
	if isJSON(r.media, body) {
		said = readComplaint(body)
	}
	code, words := cmp.Or(said.code(), bearerError(r.header)), said.words()
	v := judge(refused{status: r.status, code: code, words: words, secret: c.secret, of: c.of, asked: t.dialog.Ask != nil})
	wait := transport.RetryAfter(r.header, t.options.Now())
	if r.status == http.StatusServiceUnavailable && wait >= transport.Outage {
		v = verdict{banks.BankDown, banks.CodeMaintenance}
	}
	no := &refusal{status: r.status, code: code, links: said.Links, said: lenient.Text(string(body), maxSaid), token: v.kind == banks.NeedsAuthorization &&
		(strings.HasPrefix(code, "TOKEN_") || code == "INVALID_TOKEN" || r.status == http.StatusUnauthorized && code == "" && t.tokenMayBeStale())}
	what := fmt.Errorf("%s: the bank answered %d %s", c.doing, r.status, code)
	switch {
	case r.status/100 == 3:
		what = fmt.Errorf("%s: the bank answered with a redirect (%d), which is not followed", c.doing, r.status)
	case v == wrongAddress && no.consentOver():
		what = fmt.Errorf("%s: the bank knows no such address (%d %s): a link was misread, or the catalog's URL is wrong", c.doing, r.status, code)
	}
	no.fault = &banks.Error{Kind: v.kind, Code: v.code, Message: words, RetryAfter: wait, Err: what}
	return no
}

// maxSaid bounds what is kept of the body of a refusal, in bytes.
const maxSaid = 16 << 10

// bearerError is the code that the WWW-Authenticate header gives (RFC 6750, section 3); "" none.
func bearerError(h http.Header) string {
	if found := bearerErrorIn.FindStringSubmatch(h.Get("WWW-Authenticate")); found != nil {
		return errorCode(strings.ToUpper(found[1]))
	}
	return ""
}

var bearerErrorIn = regexp.MustCompile(`(?i)^Bearer\s.*\berror="([a-z_]{1,40})"`)

// refused is what there is to classify a refusal by.
type refused struct {
	status int
	code   string  // the bank's; "" none
	words  string  // the bank's, to the customer
	secret step    // the step whose secret was sent; "" none
	of     subject // what the call was about
	asked  bool    // the customer was asked something in this authorisation, and took some time
}

// wrongAddress is the verdict on a 404 to something that nobody took time for: we asked the wrong
// address.
var wrongAddress = verdict{banks.Rejected, banks.CodeInternal}

// bySecret says which of the customer's secrets was refused.
var bySecret = map[step]int{
	sendPassword:  banks.CodePINInvalid,
	passwordToken: banks.CodePINInvalid,
	sendTAN:       banks.CodeTANInvalid,
	confirm:       banks.CodeOTPInvalid,
}

// judge classifies a refusal: by its code, else by its status, in the light of what was sent and
// what it was about. Words come last (byWords).
func judge(r refused) verdict {
	v, known := byCode[r.code]
	if !known && r.status == http.StatusUnauthorized && r.secret != "" {
		r.code, v, known = refusedSecret, byCode[refusedSecret], true
	}
	if !known {
		v = judgeStatus(r.status)
	}
	if r.code == refusedSecret || r.code == "SCA_INVALID" {
		if code, sent := bySecret[r.secret]; sent {
			v.code = code
		}
	}
	if v.kind == banks.Gone {
		v = r.gone(v)
	}
	if !known || silent[r.code] {
		for _, rule := range byWords {
			if slices.Contains(rule.on, v.kind) && rule.says(r.words) {
				return rule.verdict
			}
		}
	}
	return v
}

// judgeStatus classifies an error without a known code.
func judgeStatus(status int) verdict {
	if v, known := byStatus[status]; known {
		return v
	}
	if status >= 500 {
		return verdict{banks.Transient, banks.CodeTemporary}
	}
	return verdict{banks.Rejected, banks.CodeBankCannot}
}

// gone says what it means that something is not there, or not any more. An authorisation that the
// customer took time for has expired. Before that, and for the PIN, which goes out at once, the
// address was wrong: that is our mistake.
func (r *refused) gone(v verdict) verdict {
	switch r.of {
	case aboutConsent:
		return verdict{banks.NeedsAuthorization, banks.CodeNotAuthorized}
	case aboutAuthorisation:
		switch {
		case r.asked && r.secret != sendPassword:
			return verdict{banks.NeedsUser, banks.CodeExpired}
		case r.code != "RESOURCE_EXPIRED":
			return wrongAddress
		}
	case aboutAccount:
		return v
	}
	return verdict{banks.Rejected, banks.CodeBankCannot}
}

// refusedSecret is the code for whatever secret was sent.
const refusedSecret = "PSU_CREDENTIALS_INVALID"

// unreadable classifies an answer that makes no sense. One that breaks off may be whole the next
// time.
func unreadable(doing string, err error) error {
	var network net.Error
	if errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) ||
		errors.As(err, &network) {
		return transport.Unreachable(doing, err)
	}
	return &banks.Error{Kind: banks.Rejected, Code: banks.CodeBankCannot,
		Err: fmt.Errorf("%s: the answer cannot be read: %w", doing, banks.OwnWords(err))}
}

// misconfigured is our own fault, or the operator's.
func misconfigured(err error) error {
	return &banks.Error{Kind: banks.Rejected, Code: banks.CodeInternal, Err: err}
}

// nonsense is an answer that can be read and leads nowhere.
func nonsense(doing, what string) error {
	return &banks.Error{Kind: banks.Rejected, Code: banks.CodeBankCannot, Err: fmt.Errorf("%s: %s", doing, what)}
}

// needsUser ends what cannot go on without the customer.
func needsUser(code int, what string) error {
	return &banks.Error{Kind: banks.NeedsUser, Code: code, Err: errors.New(what)}
}

// needsAuthorization ends a read that the bank answers only after (more) strong customer
// authentication.
func needsAuthorization(what error) error {
	return &banks.Error{Kind: banks.NeedsAuthorization, Code: banks.CodeNotAuthorized, Err: what}
}

// classified makes sure that a caller only ever sees *banks.Error.
func classified(err error) error {
	var e *banks.Error
	if errors.As(err, &e) {
		return e
	}
	return misconfigured(err)
}

// asRefusal finds the bank's refusal in err.
func asRefusal(err error) (*refusal, bool) {
	var r *refusal
	ok := errors.As(err, &r)
	return r, ok
}

var errNoConsent = errors.New("there is no valid consent")
