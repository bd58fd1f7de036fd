package xs2a

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/formats/lenient"
)

// addRedirects says where customers come back to, if they are sent to the bank's pages.
func (t *talk) addRedirects(h map[string]string) {
	redirect := t.conv.Redirect
	if redirect.URL == "" {
		return
	}
	if t.dialog.State == "" {
		t.dialog.State = redirect.State
	}
	back, query := redirect.URL, url.Values{}
	if t.dialog.State != "" {
		query.Set("state", t.dialog.State)
		back += "?" + query.Encode()
	}
	query.Set("error", "access_denied")
	h["TPP-Redirect-URI"] = back
	h["TPP-Nok-Redirect-URI"] = redirect.URL + "?" + query.Encode()
}

// askRedirect sends the customer's browser to the bank: https, or http on loopback. It is not us
// who go there.
func (t *talk) askRedirect(location string) (banks.Step, error) {
	const doing = "send the customer to the bank"
	u, err := parseLink(location)
	if err == nil && !u.IsAbs() {
		u, err = t.bank.resolve(location)
	}
	switch {
	case err != nil:
		return banks.Step{}, nonsense(doing, err.Error())
	case !banks.SafeAddress(u):
		return banks.Step{}, nonsense(doing, "its address is neither https, nor http on loopback")
	}
	return t.ask(question{Challenge: banks.Challenge{Type: banks.RedirectTo, Location: u.String()}}), nil
}

// returned takes the customer back from the bank's pages.
func (t *talk) returned(ctx context.Context, query map[string]string) (banks.Step, error) {
	if state := query["state"]; state != "" && t.dialog.State != "" && state != t.dialog.State {
		return banks.Step{}, needsUser(banks.CodeLoginNotPossible, "the redirect came back with another state")
	}
	t.dialog.State, t.dirty = "", true // the next redirect gets its own
	if query["error"] != "" {
		return banks.Step{}, t.returnedWithError(query["error"], query["error_description"])
	}
	if t.dialog.OAuth != nil {
		if query["code"] == "" {
			return banks.Step{}, needsUser(banks.CodeLoginNotPossible, "the redirect came back without a code")
		}
		return t.announce(exchangeCode), nil
	}
	status, _, err := t.standing(ctx)
	if err != nil {
		return banks.Step{}, err
	}
	if _, confirmation := t.dialog.Position.Links.first("confirmation"); confirmation && status != scaFinalised && status != scaFailed {
		return t.announce(confirm), nil
	}
	if status.over() {
		t.dialog.Ask, t.dirty = nil, true
		return t.advance(ctx, banks.Answer{})
	}
	return banks.Step{}, &banks.Error{Kind: banks.Transient, Code: banks.CodeTemporary, RetryAfter: lag,
		Err: errors.New("the customer is back, but the bank does not know the outcome yet")}
}

// byReturn classifies the errors that the customer comes back with (RFC 6749, section 4.1.2.1).
// Others are the customer's, who has not authorised, except invalid_…, which are ours. Only the
// codes in this table are logged: what comes back with a browser may be anything.
var byReturn = map[string]verdict{
	"server_error":              {banks.Transient, banks.CodeTemporary},
	"temporarily_unavailable":   {banks.Transient, banks.CodeTemporary},
	"unauthorized_client":       {banks.Rejected, banks.CodeInternal},
	"unsupported_response_type": {banks.Rejected, banks.CodeInternal},
	"request_not_supported":     {banks.Rejected, banks.CodeInternal}, // OpenID Connect Core, section 3.1.2.6
	"request_uri_not_supported": {banks.Rejected, banks.CodeInternal},
	"invalid_request":           {banks.Rejected, banks.CodeInternal},
	"invalid_scope":             {banks.Rejected, banks.CodeInternal},
	"invalid_client":            {banks.Rejected, banks.CodeInternal},
	"access_denied":             {banks.NeedsUser, banks.CodeLoginNotPossible},
}

// returnedWithError is the end of a visit to the bank's pages that came to nothing. Where it was
// the bank's fault, the next attempt sends the customer there again, at most maxRestarts times.
func (t *talk) returnedWithError(code, description string) error {
	code = strings.ToLower(strings.TrimSpace(code))
	v, known := byReturn[code]
	logged := "(another error)"
	switch {
	case known:
		logged = code
	case strings.HasPrefix(code, "invalid_"):
		v = verdict{banks.Rejected, banks.CodeInternal}
	default:
		v = verdict{banks.NeedsUser, banks.CodeLoginNotPossible}
	}
	fault := &banks.Error{Kind: v.kind, Code: v.code, Message: lenient.PlainText(description, maxText),
		Err: fmt.Errorf("the customer came back from the bank without having authorised: %s", logged)}
	if v.kind != banks.Transient {
		return fault
	}
	fault.RetryAfter = lag
	if t.dialog.Restarts >= maxRestarts {
		fault.Kind = banks.BankDown // it has failed often enough
		return fault
	}
	if err := t.visitAgain(); err != nil {
		return err
	}
	return fault
}

// visitAgain prepares another visit: for the authorisation of a read with a fresh authorisation,
// for a token with another request, else with a new consent, since what became of the old one is
// not known.
func (t *talk) visitAgain() error {
	d := &t.dialog
	switch {
	case d.ForReading:
		return t.restart()
	case d.OAuth != nil && d.OAuth.PreStep:
		d.Restarts++
		*d, t.dirty = d.anew(), true
		return nil
	}
	d.Restarts++
	return t.consentAnew(false)
}
