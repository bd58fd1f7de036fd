package xs2a

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"kontoflow/providers"
	"kontoflow/providers/internal/transport"
	"kontoflow/providers/lenient"
)

// Bounds against a bank that leads in circles.
const (
	maxHops     = 8 // repeatable requests in one move
	maxRestarts = 3 // authorisations begun afresh
	maxFailures = 2 // sendings that the bank answered with an error of its own
)

// lag is how long we give a bank whose consent does not know yet what its authorisation says.
const lag = 2 * time.Second

func (t *talk) authorize(ctx context.Context) (providers.Step, error) {
	if step, err := t.renew(ctx); err != nil || step.Status != "" {
		return step, err
	}
	if restarts, err := t.restartWished(ctx); err != nil {
		return providers.Step{}, err
	} else if restarts {
		return moving(), nil
	}
	if t.former == nil && t.lasting.Next != nil && t.dialog.idle() {
		if err := t.settleNext(ctx); err != nil {
			return providers.Step{}, err
		}
	}
	if t.dialog.Ask != nil {
		return t.asked(), nil // nobody has answered yet: the same question
	}
	return t.advance(ctx, providers.Answer{})
}

func (t *talk) answer(ctx context.Context, answer providers.Answer) (providers.Step, error) {
	if step, err := t.renew(ctx); err != nil || step.Status != "" {
		return step, err
	}
	ask := t.dialog.Ask
	if ask == nil {
		return t.advance(ctx, answer) // taken before; the way on needed one more move
	}
	switch ask.Challenge.Type {
	case providers.MethodSelection:
		if t.dialog.Position.Methods.find(answer.MethodID) == nil {
			return t.asked(), nil
		}
		t.dialog.Replay = nil // what was chosen before does not go with it
		if err := t.choose(ctx, answer.MethodID); err != nil {
			return providers.Step{}, err
		}
		return t.advance(ctx, answer)
	case providers.Embedded:
		if answer.Value == "" {
			return t.asked(), nil
		}
		if t.dialog.About == nil {
			return t.announce(sendTAN), nil
		}
	case providers.RedirectTo:
		if t.dialog.About == nil {
			return t.returned(ctx, answer.Query)
		}
	case providers.Decoupled:
		return t.poll(ctx)
	}
	return t.advance(ctx, answer)
}

func (t *talk) poll(ctx context.Context) (providers.Step, error) {
	if step, err := t.renew(ctx); err != nil || step.Status != "" {
		return step, err
	}
	ask := t.dialog.Ask
	if ask == nil {
		return t.advance(ctx, providers.Answer{})
	}
	if ask.Challenge.Type != providers.Decoupled {
		return t.asked(), nil
	}
	now := t.options.Now()
	if early := ask.NotBefore.Sub(now); early > 0 {
		return providers.Step{Status: providers.Pending, PollAfter: early}, nil
	}
	status, header, err := t.status(ctx)
	if err != nil {
		return providers.Step{}, err
	}
	t.dirty = true
	switch status {
	case "finalised", "exempted", "failed", "unconfirmed":
		t.dialog.Ask = nil
		return t.advance(ctx, providers.Answer{})
	}
	ask.PollAfter = max(pollEvery, transport.RetryAfter(header, now))
	ask.NotBefore = now.Add(ask.PollAfter)
	return providers.Step{Status: providers.Pending, PollAfter: ask.PollAfter}, nil
}

// recover goes on where the bank, in the middle of an authorisation, no longer takes the token or the consent: the token is
// refreshed, the consent created anew. The old one is left, unless the bank says that it is over.
func (t *talk) recover(err error) (providers.Step, error) {
	r, refused := asRefusal(err)
	if !refused || r.fault.Kind != providers.NeedsAuthorization {
		return providers.Step{}, err
	}
	t.dirty = true
	if t.dialog.Restarts++; t.dialog.Restarts <= maxRestarts {
		switch {
		case tokenRefused(r) && t.lasting.Token != nil:
			t.dialog.RefreshToken = true
			return moving(), nil
		case t.lasting.ConsentID != "":
			t.dialog = dialog{Restarts: t.dialog.Restarts}
			if r.consentOver() {
				t.lasting.ConsentStatus = "expired"
			}
			return moving(), t.leaveConsent()
		}
	}
	return providers.Step{}, &providers.Error{Kind: providers.NeedsUser, Code: providers.CodeLoginNotPossible, Message: r.fault.Message, Err: r.fault.Err}
}

// tokenRefused reports whether it was only the token that the bank did not like.
func tokenRefused(r *refusal) bool {
	return strings.HasPrefix(r.code, "TOKEN_") || r.code == "INVALID_TOKEN"
}

// advance carries out what was announced, then goes on until somebody is asked, something has to be announced,
// or the conversation is ready.
func (t *talk) advance(ctx context.Context, answer providers.Answer) (providers.Step, error) {
	if t.dialog.About != nil {
		sealFirst, err := t.carryOut(ctx, answer)
		if err != nil {
			return providers.Step{}, err
		}
		if sealFirst {
			return moving(), nil
		}
	}
	for range maxHops {
		step, err := t.next(ctx)
		if err != nil || step.Status != "" {
			return step, err
		}
	}
	return providers.Step{}, nonsense("authorise", "the bank leads in circles")
}

// renew refreshes an access token that has expired; the refresh token may be good for one use. A token that cannot be
// refreshed is dropped.
func (t *talk) renew(ctx context.Context) (providers.Step, error) {
	l, d := &t.lasting, &t.dialog
	if d.About != nil && d.About.Step == refreshToken {
		t.dirty = true
		if err := t.refreshToken(ctx); err != nil {
			return providers.Step{}, err
		}
		d.About = nil
	}
	if l.Token == nil || d.About != nil || !d.RefreshToken && !l.Token.expired(t.options.Now()) {
		return providers.Step{}, nil
	}
	if l.Token.Refresh != "" {
		return t.announce(refreshToken), nil
	}
	var err error
	if t.oauthFlow() != preStep {
		err = t.leaveConsent() // its token came with it, and so does the next one
	}
	l.Token, d.RefreshToken, t.dirty = nil, false, true
	return providers.Step{}, err
}

// next takes one step; a step without a status means that the position changed and there is more to do.
func (t *talk) next(ctx context.Context) (providers.Step, error) {
	l, d := &t.lasting, &t.dialog
	withoutToken := l.Token == nil && t.oauthFlow() == preStep
	if !d.ForReading && !withoutToken && l.consented(t.today(), t.conv.Consent) {
		if !t.renews() {
			if !d.idle() {
				t.remember()
				t.dialog, t.dirty = dialog{}, true
			}
			return providers.Step{Status: providers.Ready}, t.succeed()
		}
		if l.Next != nil && l.Next.ConsentStatus == "partiallyAuthorised" {
			return providers.Step{}, needsSecondPerson()
		}
		if err := t.setAside(); err != nil {
			return providers.Step{}, err
		}
	}
	if d.fresh() && l.ConsentID != "" && !withoutToken {
		return t.review(ctx)
	}
	if !t.conv.Interactive {
		return providers.Step{}, needsUser(providers.CodeActivationNeeded, "the bank wants strong customer authentication, and nobody can be asked")
	}
	if withoutToken {
		return t.askOAuth(ctx, "", true)
	}
	if d.fresh() {
		return t.announce(createConsent), nil
	}
	return t.follow(ctx)
}

// review looks whether a stored consent that is not known to be valid for what is wanted is good for anything. If not, it is
// left. Where the bank cannot show it at the moment, it stays until it can; what becomes of one that the bank refuses
// says recover.
func (t *talk) review(ctx context.Context) (providers.Step, error) {
	switch t.lasting.ConsentStatus {
	case "received", "partiallyAuthorised":
		err := t.readConsent(ctx)
		r, refused := asRefusal(err)
		switch {
		case refused && (r.unexplained(http.StatusForbidden) || r.fault.Kind == providers.Rejected && r.fault.Code == providers.CodeBankCannot):
			// Some banks know no other way to say that there is none, or cannot show it; and that will not pass.
		case err != nil:
			return providers.Step{}, err
		case t.lasting.consented(t.today(), t.conv.Consent):
			t.fulfil()
			return providers.Step{}, nil
		}
	}
	return providers.Step{}, t.leaveConsent() // nobody will finish it, or it does not cover what is wanted
}

// follow does what the bank's last answer allows. The links decide; the order below is what to prefer where
// there are several (see doc.go).
func (t *talk) follow(ctx context.Context) (providers.Step, error) {
	p := &t.dialog.Position
	switch p.SCAStatus {
	case "finalised", "exempted":
		return t.finish(ctx)
	case "failed":
		return providers.Step{}, t.failed()
	}
	if _, ok := p.Links.first("authoriseTransaction", "startAuthorisationWithTransactionAuthorisation"); ok || p.asksTAN() {
		return t.askTAN(ctx)
	}
	if _, ok := p.Links.first("selectAuthenticationMethod"); len(p.Methods) > 0 && (ok || p.Chosen == nil) {
		return t.askMethod(ctx)
	}
	_, embedded := p.Links.first(passwordLinks...)
	_, redirected := p.Links["scaRedirect"]
	_, oauth := p.Links["scaOAuth"]
	if embedded && (p.Approach == "EMBEDDED" || !redirected && !oauth || t.conv.Credentials[providers.CredentialPIN] != "") {
		if t.conv.Credentials[providers.CredentialPIN] == "" {
			return providers.Step{}, needsUser(providers.CodePINInvalid, "the bank wants the password, and there is none")
		}
		return t.announce(sendPassword), nil
	}
	if href, ok := p.Links.first("scaRedirect"); ok {
		return t.askRedirect(href)
	}
	if oauth {
		return t.askOAuth(ctx, p.Links["scaOAuth"], t.lasting.ConsentID == "")
	}
	if href, ok := p.Links.first("updatePsuIdentification"); ok {
		return providers.Step{}, t.update(ctx, call{doing: "identify the customer", method: http.MethodPut, body: struct{}{}}, href)
	}
	if href, ok := p.Links.first("startAuthorisation", "startAuthorisationWithPsuIdentification"); ok {
		return providers.Step{}, t.update(ctx, call{doing: "start the authorisation", method: http.MethodPost, body: struct{}{}}, href)
	}
	if t.oauthFlow() == integrated && t.lasting.Token == nil && p.Approach != "EMBEDDED" && p.Approach != "DECOUPLED" {
		return t.askOAuth(ctx, "", false) // some banks leave the link out
	}
	if p.Approach == "DECOUPLED" || p.Approach != "REDIRECT" && p.Authorisation != "" && p.SCAStatus != "" {
		return t.askDecoupled(), nil
	}
	return providers.Step{}, nonsense("authorise", "the bank's answer leads nowhere")
}

// Links that want the password. It goes encrypted where the bank says so.
var passwordLinks = []string{"updatePsuAuthentication", "updateEncryptedPsuAuthentication",
	"startAuthorisationWithPsuAuthentication", "startAuthorisationWithEncryptedPsuAuthentication"}

// failed is the end of an authorisation that the bank calls failed.
func (t *talk) failed() error {
	code, kind := providers.CodeLoginNotPossible, providers.NeedsUser
	if t.dialog.Position.Approach == "DECOUPLED" {
		code = providers.CodeTANInvalid // he refused in the app, or let it lapse
	}
	return &providers.Error{Kind: kind, Code: code, Message: lenient.PlainText(t.dialog.Position.Message, maxText),
		Err: errors.New("the bank calls the authorisation failed")}
}

// finish ends an authorisation that succeeded. A new consent is read once more: the bank may have shortened it.
func (t *talk) finish(ctx context.Context) (providers.Step, error) {
	if !t.dialog.ForReading {
		if err := t.readConsent(ctx); err != nil {
			return providers.Step{}, err
		}
		switch t.lasting.ConsentStatus {
		case "valid":
		case "received", "":
			return providers.Step{}, &providers.Error{Kind: providers.Transient, Code: providers.CodeTemporary, RetryAfter: lag,
				Err: errors.New("authorised, but the consent is not valid yet")}
		case "partiallyAuthorised":
			return providers.Step{}, needsSecondPerson()
		default:
			return providers.Step{}, needsUser(providers.CodeLoginNotPossible, "the consent was not granted")
		}
	}
	t.remember()
	t.dialog, t.dirty = dialog{}, true
	return providers.Step{Status: providers.Ready}, t.succeed()
}

func needsSecondPerson() error {
	return needsUser(providers.CodeConfirmAtBank, "the consent needs a second person's authorisation")
}

// announce says what comes next and cannot be taken back, so that the caller seals that first.
func (t *talk) announce(what step) providers.Step {
	t.dialog.About = &announcement{Step: what, RequestID: newID()}
	t.dirty = true
	return moving()
}

func moving() providers.Step { return providers.Step{Status: providers.Moving} }

// carryOut sends what was announced, unless the bank has it already. It returns true where the state has to be
// sealed once more before anything is sent.
func (t *talk) carryOut(ctx context.Context, answer providers.Answer) (sealFirst bool, err error) {
	about := t.dialog.About
	if about.Step == createConsent && t.former == nil && t.lasting.consented(t.today(), t.conv.Consent) {
		// A synchronization that was cancelled has come to one meanwhile.
		t.dialog.About, t.dirty = nil, true
		return false, nil
	}
	repeated := about.Sent || t.resumed
	t.dirty = true
	if repeated {
		t.resumed = false
		arrived, err := t.findOut(ctx, about)
		if err != nil {
			return false, err
		}
		if arrived {
			t.dialog.About, t.dialog.Ask = nil, nil
			return false, nil
		}
		if about.onceOnly() {
			switch {
			case about.Failed && about.Failures < maxFailures: // we saw that it was not even judged
				*about = announcement{Step: about.Step, RequestID: newID(), Repeated: about.Repeated, Failures: about.Failures + 1}
			case about.Repeated || about.Failed:
				return false, t.unclear(about.Step)
			default:
				*about = announcement{Step: about.Step, RequestID: newID(), Repeated: true, Failures: about.Failures}
			}
			return true, nil
		}
	}
	about.Sent, about.Failed = true, false
	switch about.Step {
	case createConsent:
		err = t.postConsent(ctx, about.RequestID)
	case sendPassword:
		err = t.sendPassword(ctx, about.RequestID)
	case sendTAN:
		err = t.sendTAN(ctx, about.RequestID, answer.Value)
	case confirm:
		err = t.sendConfirmation(ctx, about.RequestID, answer.Query)
	case exchangeCode:
		err = t.exchangeCode(ctx, answer.Query["code"], repeated)
	}
	refused, _ := asRefusal(err)
	switch {
	case refused != nil && tokenRefused(refused): // what was sent was not looked at: it is sent again with a new token
		t.dialog.About = nil
	case err == nil, refused != nil && refused.status < 500: // the bank has answered
		t.dialog.About, t.dialog.Ask = nil, nil
	default:
		about.Failed = refused != nil && refused.status != http.StatusGatewayTimeout
	}
	return false, err
}

// onceOnly reports whether sending it a second time may harm: a wrong PIN or TAN counts towards the lock.
func (a *announcement) onceOnly() bool {
	return a.Step == sendPassword || a.Step == sendTAN || a.Step == confirm
}

// unclear ends a step whose secret may have been refused without our seeing it. It is not sent again.
func (t *talk) unclear(what step) error {
	code := providers.CodePINInvalid
	if what != sendPassword {
		code = providers.CodeTANInvalid
	}
	return &providers.Error{Kind: providers.WrongCredentials, Code: code,
		Err: fmt.Errorf("%s: sent, and the bank does not say what became of it", what)}
}

// orUnclear is err where asking again may help, else the end.
func (t *talk) orUnclear(err error, what step) error {
	if r, refused := asRefusal(err); refused && r.status < 500 && r.status != http.StatusTooManyRequests {
		return t.unclear(what)
	}
	return err
}

// findOut asks the bank whether something that was announced arrived before we lost track of it.
func (t *talk) findOut(ctx context.Context, about *announcement) (arrived bool, err error) {
	if !about.onceOnly() {
		// A consent is created again under the same X-Request-ID; at worst one is left over that nobody authorises.
		// A code or refresh token that is spent is refused, and the authorization starts anew.
		return false, nil
	}
	if t.startsWith(about.Step) {
		// It went along with the start of the authorisation: whether that is there says whether it arrived.
		id, err := t.lastAuthorisation(ctx, about.Step)
		if err != nil || id == "" {
			return false, err
		}
		t.dialog.Position.Authorisation = t.authorisationPath(id)
	}
	status, _, err := t.status(ctx)
	if err != nil {
		return false, t.orUnclear(err, about.Step)
	}
	switch status {
	case "finalised", "exempted", "unconfirmed":
		return true, nil
	case "failed":
		code := providers.CodePINInvalid
		if about.Step != sendPassword {
			code = providers.CodeTANInvalid
		}
		return false, &providers.Error{Kind: providers.WrongCredentials, Code: code,
			Err: fmt.Errorf("%s: sent, and the bank calls the authorisation failed", about.Step)}
	case "psuAuthenticated", "scaMethodSelected", "started":
		if about.Step == sendPassword {
			return true, t.restart() // it arrived and was right, but the methods or the challenge are lost with the answer
		}
	}
	if status == "" || t.asksConsent() { // a consent's status does not tell whether a password arrived
		return false, t.unclear(about.Step)
	}
	return false, nil
}

// startsWith reports whether the step is a POST that starts the authorisation.
func (t *talk) startsWith(what step) bool {
	p := &t.dialog.Position
	if _, ok := p.Links.first("updatePsuAuthentication", "updateEncryptedPsuAuthentication", "authoriseTransaction", "confirmation"); ok {
		return false
	}
	_, password := p.Links.first("startAuthorisationWithPsuAuthentication", "startAuthorisationWithEncryptedPsuAuthentication")
	_, code := p.Links.first("startAuthorisationWithTransactionAuthorisation")
	return what == sendPassword && password || what == sendTAN && code
}

// asksConsent reports whether the consent's status stands in for the authorisation's.
func (t *talk) asksConsent() bool {
	return t.dialog.Position.Authorisation == "" || t.dialect.pollConsent
}

// restart begins a fresh authorisation of the same consent.
func (t *talk) restart() error {
	if t.dialog.Restarts++; t.dialog.Restarts > maxRestarts {
		return &providers.Error{Kind: providers.Rejected, Code: providers.CodeBankCannot, Err: errors.New("authorise: began afresh too often")}
	}
	start := t.dialog.Start
	if len(start) == 0 {
		start = links{"startAuthorisation": t.bank.path("v1", "consents", url.PathEscape(t.lasting.ConsentID), "authorisations").RequestURI()}
	}
	t.dialog.Position = position{Links: start}
	t.dialog.Replay = append(t.dialog.Picked, t.dialog.Replay...)
	t.dialog.Picked, t.dialog.Ask, t.dialog.State, t.dirty = nil, nil, "", true
	return nil
}

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
	href, ok := p.Links.first("updatePsuAuthentication", "updateEncryptedPsuAuthentication")
	if !ok {
		c.method = http.MethodPost
		if href, ok = p.Links.first("startAuthorisationWithPsuAuthentication", "startAuthorisationWithEncryptedPsuAuthentication"); !ok {
			return nonsense("send the password", "the bank's answer has no link for it")
		}
	}
	password := map[string]string{"password": t.conv.Credentials[providers.CredentialPIN]}
	if t.dialect.encryptPassword != "" {
		sealed, err := t.encrypt(ctx, t.conv.Credentials[providers.CredentialPIN])
		if err != nil {
			return err
		}
		password = map[string]string{"encryptedPassword": sealed}
	}
	c.body = map[string]any{"psuData": password}
	return t.update(ctx, c, href)
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

// sendConfirmation completes a redirect where the bank wants the code that it gave the customer's browser.
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
	u, err := t.bank.resolve(href)
	if err != nil {
		return nonsense(c.doing, err.Error())
	}
	c.url, c.of = u, aboutAuthorisation
	c.header = t.identity()
	if c.method == http.MethodPost {
		t.addRedirects(c.header)
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
		Links: a.Links, SCAStatus: string(a.SCAStatus), Methods: a.Methods, Message: string(a.Message),
		Authorisation: before.Authorisation, Approach: before.Approach,
	}
	if a.Chosen != nil && a.Chosen.ID+a.Chosen.Type+a.Chosen.Name != "" {
		p.Chosen = a.Chosen
	}
	if !a.Challenge.empty() {
		p.Challenge = a.Challenge
	}
	switch approach := r.header.Get("ASPSP-SCA-Approach"); approach {
	case "EMBEDDED", "REDIRECT", "DECOUPLED":
		p.Approach = approach
	}
	if href := a.Links["scaStatus"]; href != "" {
		p.Authorisation = href
	} else if a.AuthorisationID != "" {
		p.Authorisation = t.authorisationPath(string(a.AuthorisationID))
	}
	t.dialog.Position, t.dirty = p, true
}

// status asks how the authorisation stands; where that cannot be asked, the consent's status stands in for it. The
// position takes it over.
func (t *talk) status(ctx context.Context) (string, http.Header, error) {
	p := &t.dialog.Position
	if t.asksConsent() {
		status, header, err := t.consentStatus(ctx)
		if err != nil {
			return "", nil, err
		}
		switch status {
		case "valid":
			p.SCAStatus = "finalised"
		case "rejected", "revokedByPsu", "expired", "terminatedByTpp":
			p.SCAStatus = "failed"
		default:
			p.SCAStatus = "received"
		}
		t.dirty = true
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
		p.SCAStatus, t.dirty = string(a.SCAStatus), true
		if href := a.Links["confirmation"]; href != "" {
			p.Links = links{"confirmation": href}
		}
		if a.Message != "" || a.SCAStatus == "failed" { // what was said before does not say why it failed
			p.Message = string(a.Message)
		}
	}
	return p.SCAStatus, r.header, nil
}

// lastAuthorisation is the id of the consent's newest authorisation; "" there is none.
func (t *talk) lastAuthorisation(ctx context.Context, what step) (string, error) {
	var a struct {
		IDs many[text, upTo10000] `json:"authorisationIds"`
	}
	_, err := t.json(ctx, call{doing: "list the authorisations", method: http.MethodGet, of: aboutConsent,
		url: t.bank.path("v1", "consents", url.PathEscape(t.lasting.ConsentID), "authorisations")}, &a)
	if err != nil {
		return "", t.orUnclear(err, what)
	}
	if len(a.IDs) == 0 {
		return "", nil
	}
	return string(a.IDs[len(a.IDs)-1]), nil
}

func (t *talk) authorisationPath(id string) string {
	return t.bank.path("v1", "consents", url.PathEscape(t.lasting.ConsentID), "authorisations", url.PathEscape(id)).RequestURI()
}

// identity are the headers that say who the customer is.
func (t *talk) identity() map[string]string {
	h := map[string]string{}
	if login := t.conv.Credentials[providers.CredentialLogin]; login != "" {
		h["PSU-ID"] = headerValue(login)
		h["PSU-ID-Type"] = cmp.Or(t.conv.Connection.PSUIDType, t.dialect.psuIDType)
	}
	if corporate := t.conv.Credentials[providers.CredentialCorporateID]; corporate != "" {
		h["PSU-Corporate-ID"] = headerValue(corporate)
	}
	return h
}

// addRedirects says where the customer comes back to, if he is sent to the bank's pages.
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

// returned takes the customer back from the bank's pages.
func (t *talk) returned(ctx context.Context, query map[string]string) (providers.Step, error) {
	if state := query["state"]; state != "" && t.dialog.State != "" && state != t.dialog.State {
		return providers.Step{}, needsUser(providers.CodeLoginNotPossible, "the redirect came back with another state")
	}
	t.dialog.State, t.dirty = "", true // the next redirect gets its own
	if query["error"] != "" {
		return providers.Step{}, &providers.Error{Kind: providers.NeedsUser, Code: providers.CodeLoginNotPossible,
			Message: lenient.PlainText(query["error_description"], maxText), Err: errors.New("the customer came back from the bank without having authorised")}
	}
	if t.dialog.OAuth != nil {
		if query["code"] == "" {
			return providers.Step{}, needsUser(providers.CodeLoginNotPossible, "the redirect came back without a code")
		}
		return t.announce(exchangeCode), nil
	}
	status, _, err := t.status(ctx)
	if err != nil {
		return providers.Step{}, err
	}
	if _, confirmation := t.dialog.Position.Links.first("confirmation"); confirmation && status != "finalised" && status != "failed" {
		return t.announce(confirm), nil
	}
	switch status {
	case "finalised", "exempted", "failed":
		t.dialog.Ask, t.dirty = nil, true
		return t.advance(ctx, providers.Answer{})
	}
	return providers.Step{}, &providers.Error{Kind: providers.Transient, Code: providers.CodeTemporary, RetryAfter: lag,
		Err: errors.New("the customer is back, but the bank does not know the outcome yet")}
}
