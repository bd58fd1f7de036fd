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

	"kontoflow/providers"
	"kontoflow/providers/internal/transport"
	"kontoflow/providers/internal/wording"
	"kontoflow/providers/lenient"
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
	kind providers.Kind
	code int
}

// byCode classifies the message codes of the Implementation Guidelines (1.3.11, "Message codes").
// What depends on the call is in judge.
var byCode = map[string]verdict{
	"FORMAT_ERROR":              {providers.Rejected, providers.CodeBankCannot},
	"PARAMETER_NOT_CONSISTENT":  {providers.Rejected, providers.CodeBankCannot},
	"PARAMETER_NOT_SUPPORTED":   {providers.Rejected, providers.CodeBankCannot},
	"SERVICE_INVALID":           {providers.Rejected, providers.CodeBankCannot},
	"SESSIONS_NOT_SUPPORTED":    {providers.Rejected, providers.CodeBankCannot},
	"PERIOD_INVALID":            {providers.Rejected, providers.CodeBankCannot},
	"TIMESTAMP_INVALID":         {providers.Rejected, providers.CodeBankCannot},
	"STATUS_INVALID":            {providers.Rejected, providers.CodeBankCannot},
	"REQUESTED_FORMATS_INVALID": {providers.Rejected, providers.CodeBankCannot},
	"PRODUCT_INVALID":           {providers.Rejected, providers.CodeBankCannot},
	"PRODUCT_UNKNOWN":           {providers.Rejected, providers.CodeBankCannot},

	"SCA_METHOD_UNKNOWN":   {providers.NeedsUser, providers.CodeTANNotActivated},
	"SCA_INVALID":          {providers.WrongCredentials, providers.CodeTANInvalid},
	refusedSecret:          {providers.WrongCredentials, providers.CodeLoginInvalid}, // unless a secret was sent: bySecret
	"CORPORATE_ID_INVALID": {providers.WrongCredentials, providers.CodeLoginInvalid},

	"CONSENT_UNKNOWN":        {providers.NeedsAuthorization, providers.CodeNotAuthorized},
	"CONSENT_INVALID":        {providers.NeedsAuthorization, providers.CodeNotAuthorized},
	"CONSENT_EXPIRED":        {providers.NeedsAuthorization, providers.CodeNotAuthorized},
	"TOKEN_UNKNOWN":          {providers.NeedsAuthorization, providers.CodeNotAuthorized},
	"TOKEN_INVALID":          {providers.NeedsAuthorization, providers.CodeNotAuthorized},
	"TOKEN_EXPIRED":          {providers.NeedsAuthorization, providers.CodeNotAuthorized},
	"INVALID_TOKEN":          {providers.NeedsAuthorization, providers.CodeNotAuthorized}, // RFC 6750
	"INVALID_GRANT":          {providers.NeedsAuthorization, providers.CodeNotAuthorized}, // RFC 6749
	"RESOURCE_UNKNOWN":       {providers.Gone, providers.CodeAccountGone},
	"RESOURCE_EXPIRED":       {providers.Gone, providers.CodeAccountGone},
	"RESOURCE_BLOCKED":       {providers.Gone, providers.CodeAccountBlocked},
	"SERVICE_BLOCKED":        {providers.NeedsUser, providers.CodeAccessBlocked},
	"ACCESS_EXCEEDED":        {providers.LimitExceeded, providers.CodeTemporary},
	"CERTIFICATE_INVALID":    {providers.Rejected, providers.CodeInternal},
	"CERTIFICATE_EXPIRED":    {providers.Rejected, providers.CodeInternal},
	"CERTIFICATE_BLOCKED":    {providers.Rejected, providers.CodeInternal},
	"CERTIFICATE_REVOKED":    {providers.Rejected, providers.CodeInternal},
	"CERTIFICATE_MISSING":    {providers.Rejected, providers.CodeInternal},
	"SIGNATURE_INVALID":      {providers.Rejected, providers.CodeInternal},
	"SIGNATURE_MISSING":      {providers.Rejected, providers.CodeInternal},
	"ROLE_INVALID":           {providers.Rejected, providers.CodeInternal},
	"INVALID_CLIENT":         {providers.Rejected, providers.CodeInternal}, // RFC 6749
	"UNAUTHORIZED_CLIENT":    {providers.Rejected, providers.CodeInternal},
	"INVALID_SCOPE":          {providers.Rejected, providers.CodeInternal},
	"UNSUPPORTED_GRANT_TYPE": {providers.Rejected, providers.CodeInternal},
}

// byStatus classifies an error without a known code.
var byStatus = map[int]verdict{
	http.StatusBadRequest:          {providers.Rejected, providers.CodeBankCannot},
	http.StatusUnauthorized:        {providers.NeedsAuthorization, providers.CodeNotAuthorized},
	http.StatusForbidden:           {providers.NeedsUser, providers.CodeLoginNotPossible},
	http.StatusNotFound:            {providers.Gone, providers.CodeAccountGone},
	http.StatusGone:                {providers.Gone, providers.CodeAccountGone},
	http.StatusRequestTimeout:      {providers.Transient, providers.CodeTemporary},
	http.StatusTooManyRequests:     {providers.LimitExceeded, providers.CodeTemporary},
	http.StatusInternalServerError: {providers.Transient, providers.CodeTemporary},
	http.StatusNotImplemented:      {providers.Rejected, providers.CodeBankCannot},
	http.StatusBadGateway:          {providers.Transient, providers.CodeTemporary},
	http.StatusServiceUnavailable:  {providers.Transient, providers.CodeTemporary},
	http.StatusGatewayTimeout:      {providers.Transient, providers.CodeTemporary},
}

// silent are the known codes that say that the customer is refused, and not why. Where a bank sends
// one of them, or no code at all, its words decide; every other code decides by itself.
var silent = map[string]bool{refusedSecret: true, "SERVICE_BLOCKED": true}

// byWords refines a refusal by what the bank says to the customer. The interface has no codes for
// these. The first rule that fits decides.
var byWords = []struct {
	says    func(text string) bool
	on      []providers.Kind
	verdict verdict
}{
	{wording.PINChange, refusals, verdict{providers.NeedsUser, providers.CodePINChange}},
	{wording.TANBlocked, refusals, verdict{providers.NeedsUser, providers.CodeTANBlocked}},
	{wording.Blocked, refusals, verdict{providers.NeedsUser, providers.CodeAccessBlocked}},
	{wording.Maintenance, outages, verdict{providers.BankDown, providers.CodeMaintenance}},
	{wording.Migration, outages, verdict{providers.BankDown, providers.CodeMigration}},
}

var (
	refusals = []providers.Kind{providers.NeedsUser, providers.WrongCredentials}
	outages  = []providers.Kind{providers.Transient, providers.BankDown}
)

// refusal is a classified refusal with what the adapter needs to go on from it.
type refusal struct {
	fault  *providers.Error
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
		v = verdict{providers.BankDown, providers.CodeMaintenance}
	}
	no := &refusal{status: r.status, code: code, links: said.Links, said: lenient.Text(string(body), maxSaid), token: v.kind == providers.NeedsAuthorization &&
		(strings.HasPrefix(code, "TOKEN_") || code == "INVALID_TOKEN" || r.status == http.StatusUnauthorized && code == "" && t.tokenMayBeStale())}
	what := fmt.Errorf("%s: the bank answered %d %s", c.doing, r.status, code)
	switch {
	case r.status/100 == 3:
		what = fmt.Errorf("%s: the bank answered with a redirect (%d), which is not followed", c.doing, r.status)
	case v == wrongAddress && no.consentOver():
		what = fmt.Errorf("%s: the bank knows no such address (%d %s): a link was misread, or the catalog's URL is wrong", c.doing, r.status, code)
	}
	no.fault = &providers.Error{Kind: v.kind, Code: v.code, Message: words, RetryAfter: wait, Err: what}
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
var wrongAddress = verdict{providers.Rejected, providers.CodeInternal}

// bySecret says which of the customer's secrets was refused.
var bySecret = map[step]int{
	sendPassword:  providers.CodePINInvalid,
	passwordToken: providers.CodePINInvalid,
	sendTAN:       providers.CodeTANInvalid,
	confirm:       providers.CodeOTPInvalid,
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
	if v.kind == providers.Gone {
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
		return verdict{providers.Transient, providers.CodeTemporary}
	}
	return verdict{providers.Rejected, providers.CodeBankCannot}
}

// gone says what it means that something is not there, or not any more. An authorisation that the
// customer took time for has expired. Before that, and for the PIN, which goes out at once, the
// address was wrong: that is our mistake.
func (r *refused) gone(v verdict) verdict {
	switch r.of {
	case aboutConsent:
		return verdict{providers.NeedsAuthorization, providers.CodeNotAuthorized}
	case aboutAuthorisation:
		switch {
		case r.asked && r.secret != sendPassword:
			return verdict{providers.NeedsUser, providers.CodeExpired}
		case r.code != "RESOURCE_EXPIRED":
			return wrongAddress
		}
	case aboutAccount:
		return v
	}
	return verdict{providers.Rejected, providers.CodeBankCannot}
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
	return &providers.Error{Kind: providers.Rejected, Code: providers.CodeBankCannot,
		Err: fmt.Errorf("%s: the answer cannot be read: %w", doing, providers.OwnWords(err))}
}

// misconfigured is our own fault, or the operator's.
func misconfigured(err error) error {
	return &providers.Error{Kind: providers.Rejected, Code: providers.CodeInternal, Err: err}
}

// nonsense is an answer that can be read and leads nowhere.
func nonsense(doing, what string) error {
	return &providers.Error{Kind: providers.Rejected, Code: providers.CodeBankCannot, Err: fmt.Errorf("%s: %s", doing, what)}
}

// needsUser ends what cannot go on without the customer.
func needsUser(code int, what string) error {
	return &providers.Error{Kind: providers.NeedsUser, Code: code, Err: errors.New(what)}
}

// needsAuthorization ends a read that the bank answers only after (more) strong customer
// authentication.
func needsAuthorization(what error) error {
	return &providers.Error{Kind: providers.NeedsAuthorization, Code: providers.CodeNotAuthorized, Err: what}
}

// classified makes sure that a caller only ever sees *providers.Error.
func classified(err error) error {
	var e *providers.Error
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
