package xs2a

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"kontoflow/providers"
	"kontoflow/providers/internal/transport"
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

// byCode classifies the message codes of the Implementation Guidelines (1.3.11, "Message codes"). What depends on the call is
// in judge.
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
	refusedSecret:          {providers.WrongCredentials, providers.CodePINInvalid},
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

// byWords refines a refusal by what the bank says to the customer. The interface has no codes for these; banks
// say them in the text of a message that means "no".
var byWords = []struct {
	words   []string
	on      []providers.Kind
	verdict verdict
}{
	{[]string{"pin-änderung", "pin-aenderung", "pin ändern", "neue pin", "pin change", "change your pin", "change pin", "passwort ändern", "password change", "password expired"},
		[]providers.Kind{providers.NeedsUser, providers.WrongCredentials},
		verdict{providers.NeedsUser, providers.CodePINChange}},
	{[]string{"tan-verfahren ist gesperrt", "tan-verfahren gesperrt", "tan ist gesperrt", "tan method is blocked"},
		[]providers.Kind{providers.NeedsUser, providers.WrongCredentials},
		verdict{providers.NeedsUser, providers.CodeTANBlocked}},
	{[]string{"gesperrt", "blocked", "locked"},
		[]providers.Kind{providers.NeedsUser, providers.WrongCredentials},
		verdict{providers.NeedsUser, providers.CodeAccessBlocked}},
	{[]string{"wartung", "maintenance"},
		[]providers.Kind{providers.Transient, providers.BankDown},
		verdict{providers.BankDown, providers.CodeMaintenance}},
	{[]string{"umstellung", "migration"},
		[]providers.Kind{providers.Transient, providers.BankDown},
		verdict{providers.BankDown, providers.CodeMigration}},
}

// refusal is a classified refusal with what the adapter needs to go on from it.
type refusal struct {
	fault  *providers.Error
	status int
	code   string // message code, "" none
	links  links
	said   string // the body, for what it says about the request; never logged
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
	code, words := said.code(), said.words()
	v := judge(r.status, code, words, c.secret, c.of)
	wait := transport.RetryAfter(r.header, t.options.Now())
	if r.status == http.StatusServiceUnavailable && wait >= transport.Outage {
		v = verdict{providers.BankDown, providers.CodeMaintenance}
	}
	what := fmt.Errorf("%s: the bank answered %d %s", c.doing, r.status, code)
	if r.status/100 == 3 {
		what = fmt.Errorf("%s: the bank answered with a redirect (%d), which is not followed", c.doing, r.status)
	}
	return &refusal{
		fault:  &providers.Error{Kind: v.kind, Code: v.code, Message: words, RetryAfter: wait, Err: what},
		status: r.status, code: code, links: said.Links, said: lenient.Text(string(body), maxSaid),
	}
}

// maxSaid bounds what is kept of the body of a refusal, in bytes.
const maxSaid = 16 << 10

// judge classifies a refusal: by its code, else by its status, in the light of what was sent and what it was about.
func judge(status int, code, words string, secret step, of subject) verdict {
	v, known := byCode[code]
	if !known && status == http.StatusUnauthorized && secret != "" {
		code, v, known = refusedSecret, byCode[refusedSecret], true
	}
	if !known {
		if v, known = byStatus[status]; !known {
			v = verdict{providers.Rejected, providers.CodeBankCannot}
			if status >= 500 {
				v = verdict{providers.Transient, providers.CodeTemporary}
			}
		}
	}
	if code == refusedSecret {
		switch secret {
		case sendPassword:
			v.code = providers.CodePINInvalid
		case sendTAN:
			v.code = providers.CodeTANInvalid
		case confirm:
			v.code = providers.CodeOTPInvalid
		default:
			v.code = providers.CodeLoginInvalid // nothing but the login was sent
		}
	}
	if v.kind == providers.Gone {
		switch of {
		case aboutConsent:
			v = verdict{providers.NeedsAuthorization, providers.CodeNotAuthorized}
		case aboutAuthorisation:
			v = verdict{providers.NeedsUser, providers.CodeExpired}
		case aboutAccount:
		default:
			v = verdict{providers.Rejected, providers.CodeBankCannot}
		}
	}
	lower := strings.ToLower(words)
	for _, rule := range byWords {
		for _, w := range rule.words {
			if strings.Contains(lower, w) {
				for _, kind := range rule.on {
					if v.kind == kind {
						return rule.verdict
					}
				}
			}
		}
	}
	return v
}

// refusedSecret is the code for whatever secret was sent.
const refusedSecret = "PSU_CREDENTIALS_INVALID"

// unreadable classifies an answer that makes no sense. One that breaks off may be whole the next time.
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

// needsAuthorization ends a read that the bank answers only after (more) strong customer authentication.
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
