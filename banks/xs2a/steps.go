package xs2a

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/kontoflow/kontoflow/banks"
)

// choose tells the bank which method, or which device, the customer wants.
func (t *talk) choose(ctx context.Context, id string) error {
	p := &t.dialog.Position
	chosen := *p.Methods.find(id)
	href, ok := p.Links.first("selectAuthenticationMethod")
	verb := http.MethodPut
	if !ok {
		if href, ok = p.Links.first("startAuthorisationWithAuthenticationMethodSelection"); ok {
			verb = http.MethodPost
		} else if href = p.Authorisation; href == "" {
			return nonsense("choose the method", "the bank's answer has no link for it")
		}
	}
	if !slices.Contains(t.dialog.Picked, id) && len(t.dialog.Picked) < 8 {
		t.dialog.Picked = append(t.dialog.Picked, id)
	}
	again := t.resumed
	t.resumed = false
	err := t.update(ctx, call{doing: "choose the method", method: verb, body: map[string]string{"authenticationMethodId": id}}, href)
	if r, refused := asRefusal(err); refused && again && (r.status == http.StatusConflict || r.status == http.StatusBadRequest) {
		return t.restart() // it was chosen already, and what comes next got lost with the answer
	}
	if err != nil {
		return err
	}
	if p.Chosen == nil && len(p.Methods) == 0 {
		p.Chosen = &chosen
	}
	t.dialog.Ask = nil
	t.picked(chosen)
	return nil
}

// sendPassword authenticates the customer.
func (t *talk) sendPassword(ctx context.Context, requestID string) error {
	p := &t.dialog.Position
	c := call{doing: "send the password", method: http.MethodPut, secret: sendPassword, requestID: requestID}
	name, href := p.Links.pick(passwordUpdates...)
	if name == "" {
		if name, href = p.Links.pick(passwordStarts...); name != "" {
			c.method = http.MethodPost
		} else if href = p.Authorisation; !p.awaitsPassword() {
			return nonsense(c.doing, "the bank's answer has no link for it")
		}
	}
	body, err := t.password(ctx, strings.Contains(name, "Encrypted"))
	if err != nil {
		return err
	}
	c.body = map[string]any{"psuData": body}
	if err := t.update(ctx, c, href); err != nil {
		return err
	}
	p.PasswordTaken = true
	return nil
}

// password is the customer's password as the bank wants it: plain, or encrypted.
func (t *talk) password(ctx context.Context, encrypted bool) (map[string]string, error) {
	switch {
	case t.dialect.encryptPassword != "":
		sealed, err := t.encrypt(ctx, t.conv.Credentials[banks.CredentialPIN])
		return map[string]string{"encryptedPassword": sealed}, err
	case encrypted:
		return nil, misconfigured(banks.OwnError("send the password: the bank wants it encrypted, and the connection's dialect does not say for which certificate"))
	}
	return map[string]string{"password": t.conv.Credentials[banks.CredentialPIN]}, nil
}

// sendTAN answers the bank's challenge.
func (t *talk) sendTAN(ctx context.Context, requestID, tan string) error {
	p := &t.dialog.Position
	c := call{doing: "send the TAN", method: http.MethodPut, secret: sendTAN, requestID: requestID,
		body: map[string]string{"scaAuthenticationData": tan}}
	href, ok := p.Links.first("authoriseTransaction")
	if !ok {
		if href, ok = p.Links.first("startAuthorisationWithTransactionAuthorisation"); ok {
			c.method = http.MethodPost
		} else {
			href = p.Authorisation
		}
	}
	return t.update(ctx, c, href)
}

// sendConfirmation completes a redirect where the bank wants the code that it gave the customer's
// browser.
func (t *talk) sendConfirmation(ctx context.Context, requestID string, query map[string]string) error {
	href, ok := t.dialog.Position.Links.first("confirmation")
	if !ok {
		href = t.dialog.Position.Authorisation
	}
	code := cmp.Or(query["confirmationCode"], query["code"])
	return t.update(ctx, call{doing: "confirm the authorisation", method: http.MethodPut, secret: confirm, requestID: requestID,
		body: map[string]string{"confirmationCode": code}}, href)
}

// update sends a step of the authorisation, and takes the position that the bank's answer gives.
func (t *talk) update(ctx context.Context, c call, href string) error {
	u, err := t.bank.api(href)
	if err != nil {
		return nonsense(c.doing, err.Error())
	}
	c.url, c.of = u, aboutAuthorisation
	c.header = t.identity()
	if c.method == http.MethodPost {
		t.addRedirects(c.header)
		t.addPreference(c.header)
	}
	var a answer
	r, err := t.json(ctx, c, &a)
	if err != nil {
		return err
	}
	t.arrive(&a, r)
	return nil
}

// arrive takes the bank's answer as the new position.
func (t *talk) arrive(a *answer, r *reply) {
	before := &t.dialog.Position
	p := position{
		Links: t.bank.begun(a.Links), SCAStatus: a.SCAStatus, Methods: a.Methods, NoMethods: a.Methods != nil && len(a.Methods) == 0,
		Message: string(a.Message), Authorisation: before.Authorisation, Approach: before.Approach, PasswordTaken: before.PasswordTaken, StatusBroken: before.StatusBroken,
	}
	if a.Chosen != nil && a.Chosen.ID+a.Chosen.Type+a.Chosen.Name != "" {
		p.Chosen = a.Chosen
	}
	if !a.Challenge.empty() {
		p.Challenge = a.Challenge
	}
	switch said := approach(r.header.Get("ASPSP-SCA-Approach")); said {
	case embedded, redirected, decoupled:
		p.Approach = said
	}
	if href := p.Links["scaStatus"]; href != "" {
		p.Authorisation = href
	} else if a.AuthorisationID != "" {
		p.Authorisation = t.authorisationPath(string(a.AuthorisationID))
	}
	t.dialog.Position, t.dirty = p, true
}

// status asks how the authorisation stands; where that cannot be asked, the consent's status stands
// in for it. The position takes it over.
func (t *talk) status(ctx context.Context) (scaStatus, http.Header, error) {
	p := &t.dialog.Position
	if t.asksConsent() {
		status, header, err := t.consentStatus(ctx)
		if err != nil {
			return "", nil, err
		}
		p.SCAStatus, t.dirty = status.asAuthorisation(), true
		return p.SCAStatus, header, nil
	}
	u, err := t.bank.resolve(p.Authorisation)
	if err != nil {
		return "", nil, nonsense("ask for the authorisation's status", err.Error())
	}
	var a answer
	r, err := t.json(ctx, call{doing: "ask for the authorisation's status", method: http.MethodGet, url: u, of: aboutAuthorisation}, &a)
	if err != nil {
		return "", nil, err
	}
	if a.SCAStatus != "" {
		p.SCAStatus, t.dirty = a.SCAStatus, true
		if href := a.Links["confirmation"]; href != "" {
			p.Links = links{"confirmation": href}
		}
		if a.Message != "" || a.SCAStatus == scaFailed { // what was said before does not say why it failed
			p.Message = string(a.Message)
		}
	}
	return p.SCAStatus, r.header, nil
}

// standing is status for an authorisation that waits for the customer. The status link of some banks
// leads nowhere: then the consent is asked from there on, if it is there.
func (t *talk) standing(ctx context.Context) (scaStatus, http.Header, error) {
	status, header, err := t.status(ctx)
	no, refused := asRefusal(err)
	if !refused || t.asksConsent() || !no.consentOver() {
		return status, header, err
	}
	t.dialog.Position.StatusBroken = true
	if ofConsent, itsHeader, err := t.status(ctx); err == nil {
		return ofConsent, itsHeader, nil
	}
	t.dialog.Position.StatusBroken = false
	return status, header, err
}

// lastAuthorisation is the id of the consent's newest authorisation; "" there is none.
func (t *talk) lastAuthorisation(ctx context.Context, what step) (string, error) {
	var a struct {
		IDs many[text, upTo10000] `json:"authorisationIds"`
	}
	_, err := t.json(ctx, call{doing: "list the authorisations", method: http.MethodGet, of: aboutConsent, url: t.authorisationsPath()}, &a)
	if err != nil {
		return "", t.orUnclear(err, what)
	}
	if len(a.IDs) == 0 {
		return "", nil
	}
	return string(a.IDs[len(a.IDs)-1]), nil
}

func (t *talk) authorisationsPath() *url.URL {
	return t.bank.path("v1", "consents", url.PathEscape(t.lasting.ConsentID), "authorisations")
}

func (t *talk) authorisationPath(id string) string {
	return t.authorisationsPath().JoinPath(url.PathEscape(id)).RequestURI()
}

// identity are the headers that say who the customer is.
func (t *talk) identity() map[string]string {
	h := map[string]string{}
	if login := t.conv.Credentials[banks.CredentialLogin]; login != "" {
		h["PSU-ID"] = headerValue(login)
		h["PSU-ID-Type"] = cmp.Or(t.conv.Connection.PSUIDType, t.dialect.psuIDType)
	}
	if corporate := t.conv.Credentials[banks.CredentialCorporateID]; corporate != "" {
		h["PSU-Corporate-ID"] = headerValue(corporate)
	}
	return h
}

// addPreference says whether the customer should be sent to the bank's pages (OpenAPI file 1.3.11,
// TPP-Redirect-Preferred): as the connection says, else not where we have the customer's password.
func (t *talk) addPreference(h map[string]string) {
	switch wanted := t.conv.Connection.RedirectPreferred; {
	case wanted != nil:
		h["TPP-Redirect-Preferred"] = strconv.FormatBool(*wanted)
	case t.conv.Credentials[banks.CredentialPIN] != "":
		h["TPP-Redirect-Preferred"] = "false"
	}
}
