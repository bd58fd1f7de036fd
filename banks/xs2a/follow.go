package xs2a

import (
	"context"
	"errors"
	"net/http"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/formats/lenient"
)

// A rule says what to do at a position of the authorisation.
type rule struct {
	name string
	fits func(t *talk, p *position) bool
	do   func(t *talk, ctx context.Context, p *position) (banks.Step, error)
}

// precedence is the table of doc.go: of several things that the bank's last answer allows, the
// first one is done.
var precedence = []rule{
	{"finalised, exempted", func(_ *talk, p *position) bool { return p.SCAStatus.succeeded() }, finished},
	{"failed", func(_ *talk, p *position) bool { return p.SCAStatus == scaFailed }, failed},
	{"authoriseTransaction", (*talk).wantsTAN, askForTAN},
	{"selectAuthenticationMethod", (*talk).wantsMethod, askForMethod},
	{"…PsuAuthentication", (*talk).wantsPassword, announcePassword},
	{"scaRedirect", has("scaRedirect"), askForRedirect},
	{"scaOAuth", func(_ *talk, p *position) bool { return p.Links.offersOAuth() }, askForOAuth},
	{"updatePsuIdentification", has("updatePsuIdentification"), identify},
	{"startAuthorisation…", has("startAuthorisation", "startAuthorisationWithPsuIdentification"), start},
	{"scaMethods is empty", func(_ *talk, p *position) bool { return p.NoMethods && p.Approach != decoupled }, withoutMethod},
	{"OAuth without a link", (*talk).wantsOAuth, askForOAuthUnlinked},
	{"only a status", (*talk).waits, wait},
}

// follow does what the bank's last answer allows.
func (t *talk) follow(ctx context.Context) (banks.Step, error) {
	p := &t.dialog.Position
	for _, r := range precedence {
		if r.fits(t, p) {
			return r.do(t, ctx, p)
		}
	}
	return banks.Step{}, nonsense("authorise", "the bank's answer leads nowhere")
}

// has fits where one of the links is there.
func has(names ...string) func(*talk, *position) bool {
	return func(_ *talk, p *position) bool {
		_, ok := p.Links.first(names...)
		return ok
	}
}

func (t *talk) wantsTAN(p *position) bool {
	_, ok := p.Links.first("authoriseTransaction", "startAuthorisationWithTransactionAuthorisation")
	return ok || p.asksTAN()
}

func (t *talk) wantsMethod(p *position) bool {
	_, ok := p.Links.first("selectAuthenticationMethod")
	return len(p.Methods) > 0 && (ok || p.Chosen == nil)
}

// Links that want the password, plain or encrypted: of an authorisation that is there, and of one
// to be started.
var (
	passwordUpdates = []string{"updatePsuAuthentication", "updateEncryptedPsuAuthentication"}
	passwordStarts  = []string{"startAuthorisationWithPsuAuthentication", "startAuthorisationWithEncryptedPsuAuthentication"}
)

// wantsPassword reports whether the password is the next thing. Where the bank offers its own pages
// as well, it is only if the bank has said that it goes this way, or if we have a password. Some
// banks call the way embedded, begin the authorisation, and give no link.
func (t *talk) wantsPassword(p *position) bool {
	_, linked := p.Links.first(append(passwordUpdates, passwordStarts...)...)
	_, toPages := p.Links["scaRedirect"]
	switch {
	case p.Approach == embedded && (linked || p.awaitsPassword()):
		return true
	case !linked:
		return false
	}
	return !toPages && !p.Links.offersOAuth() || t.conv.Credentials[banks.CredentialPIN] != ""
}

// awaitsPassword reports whether an authorisation has begun, and the bank's answer says nothing of
// what it waits for.
func (p *position) awaitsPassword() bool {
	if p.Authorisation == "" || p.PasswordTaken || p.SCAStatus != scaReceived && p.SCAStatus != scaPSUIdentified && p.SCAStatus != "" {
		return false
	}
	for name := range p.Links {
		if name != "scaStatus" && name != "self" && name != "status" {
			return false
		}
	}
	return true
}

func (t *talk) wantsOAuth(p *position) bool {
	return t.tokenPerConsent() && t.lasting.Token == nil && p.Approach != embedded && p.Approach != decoupled
}

// waits reports whether the customer is to confirm in an app.
func (t *talk) waits(p *position) bool {
	return p.Approach == decoupled || p.Approach != redirected && p.Authorisation != "" && p.SCAStatus != ""
}

func finished(t *talk, ctx context.Context, _ *position) (banks.Step, error) {
	return t.finish(ctx)
}

// failed is the end of an authorisation that the bank calls failed.
func failed(_ *talk, _ context.Context, p *position) (banks.Step, error) {
	code := banks.CodeLoginNotPossible
	if p.Approach == decoupled {
		code = banks.CodeTANInvalid // the customer refused in the app, or let it lapse
	}
	return banks.Step{}, &banks.Error{Kind: banks.NeedsUser, Code: code, Message: lenient.PlainText(p.Message, maxText),
		Err: errors.New("the bank calls the authorisation failed")}
}

func askForTAN(t *talk, ctx context.Context, _ *position) (banks.Step, error) {
	return t.askTAN(ctx)
}

func askForMethod(t *talk, ctx context.Context, _ *position) (banks.Step, error) {
	return t.askMethod(ctx)
}

func announcePassword(t *talk, _ context.Context, p *position) (banks.Step, error) {
	switch {
	case p.PasswordTaken: // once more would be a second try
		return banks.Step{}, secretRefused(sendPassword, "the bank wants it again")
	case t.conv.Credentials[banks.CredentialPIN] == "":
		return banks.Step{}, noPassword()
	}
	return t.announce(sendPassword), nil
}

func noPassword() error {
	return needsUser(banks.CodePINInvalid, "the bank wants the password, and there is none")
}

func askForRedirect(t *talk, _ context.Context, p *position) (banks.Step, error) {
	return t.askRedirect(p.Links["scaRedirect"])
}

func askForOAuth(t *talk, ctx context.Context, p *position) (banks.Step, error) {
	return t.askOAuth(ctx, p.Links["scaOAuth"], t.lasting.ConsentID == "")
}

func withoutMethod(_ *talk, _ context.Context, _ *position) (banks.Step, error) {
	return banks.Step{}, needsUser(banks.CodeTANNotActivated, "the customer has no method of strong customer authentication")
}

// askForOAuthUnlinked is for banks that leave the link out.
func askForOAuthUnlinked(t *talk, ctx context.Context, _ *position) (banks.Step, error) {
	return t.askOAuth(ctx, "", false)
}

// identify says who the customer is, which the headers do. A bank that does not like that, of an
// authorisation whose way it has called embedded, wants the password at once.
func identify(t *talk, ctx context.Context, p *position) (banks.Step, error) {
	href := p.Links["updatePsuIdentification"]
	way := p.Approach
	err := t.update(ctx, call{doing: "identify the customer", method: http.MethodPut, body: struct{}{}}, href)
	if r, refused := asRefusal(err); refused && way == embedded && r.fault.Kind == banks.Rejected && r.fault.Code == banks.CodeBankCannot {
		delete(p.Links, "updatePsuIdentification")
		p.Authorisation, t.dirty = href, true
		return banks.Step{}, nil
	}
	return banks.Step{}, err
}

func start(t *talk, ctx context.Context, p *position) (banks.Step, error) {
	href, _ := p.Links.first("startAuthorisation", "startAuthorisationWithPsuIdentification")
	return banks.Step{}, t.update(ctx, call{doing: "start the authorisation", method: http.MethodPost, body: struct{}{}}, href)
}

func wait(t *talk, _ context.Context, _ *position) (banks.Step, error) {
	return t.askDecoupled(), nil
}
