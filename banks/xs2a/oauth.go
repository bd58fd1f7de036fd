package xs2a

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/formats/lenient"
	"github.com/kontoflow/kontoflow/banks/internal/transport"
)

// Flows of Connection.OAuth.
const (
	integrated        = "INTEGRATED"         // the customer's token comes with the consent
	clientCredentials = "CLIENT_CREDENTIALS" // … and a token of our own is wanted for what comes before
	preStep           = "PRE_STEP"           // the customer's token comes before everything, from the bank's pages
	passwordFlow      = "PASSWORD_TOKEN"     // … for login and PIN
)

func (t *talk) oauthFlow() string {
	if t.conv.Connection.OAuth == nil {
		return ""
	}
	return t.conv.Connection.OAuth.Flow
}

// tokenPerConsent reports whether tokens come with consents, and end with them.
func (t *talk) tokenPerConsent() bool {
	flow := t.oauthFlow()
	return flow == integrated || flow == clientCredentials
}

// tokenOfAccess reports whether a token comes before everything, and is good for all consents.
func (t *talk) tokenOfAccess() bool {
	flow := t.oauthFlow()
	return flow == preStep || flow == passwordFlow
}

// getToken gets the token that comes before everything.
func (t *talk) getToken(ctx context.Context) (banks.Step, error) {
	if t.oauthFlow() == passwordFlow {
		switch {
		case t.conv.Credentials[banks.CredentialLogin] == "":
			return banks.Step{}, needsUser(banks.CodeLoginInvalid, "the bank wants the login for a token, and there is none")
		case t.conv.Credentials[banks.CredentialPIN] == "":
			return banks.Step{}, noPassword()
		}
		return t.announce(passwordToken), nil
	}
	return t.askOAuth(ctx, "", true)
}

// askOAuth sends the customer to the bank's authorization server. link is the bank's scaOAuth link,
// "" where there is none; first says that the token comes before the consent.
func (t *talk) askOAuth(ctx context.Context, link string, first bool) (banks.Step, error) {
	registration, redirect := t.conv.Connection.OAuth, t.conv.Redirect
	if registration == nil {
		return banks.Step{}, misconfigured(errors.New("the bank wants OAuth, and the catalog has no client for it"))
	}
	if redirect.URL == "" || redirect.State == "" {
		return banks.Step{}, misconfigured(errors.New("the bank wants OAuth, and there is no address to come back to"))
	}
	server, err := t.authorizationServer(ctx, link)
	if err != nil {
		return banks.Step{}, err
	}
	scope := registration.Scope
	if scope == "" {
		scope = "AIS"
		if !first {
			scope = "AIS:" + t.lasting.ConsentID
		}
	}
	scope = strings.ReplaceAll(scope, "<consentId>", t.lasting.ConsentID)

	verifier := oauth2.GenerateVerifier()
	t.dialog.OAuth = &grant{PreStep: first, Verifier: verifier, TokenURL: server.token, Redirect: redirect.URL}
	if t.dialog.State == "" {
		t.dialog.State = redirect.State
	}
	config := oauth2.Config{ClientID: registration.ClientID, RedirectURL: redirect.URL, Scopes: []string{scope},
		Endpoint: oauth2.Endpoint{AuthURL: server.authorize}}
	return t.askRedirect(config.AuthCodeURL(t.dialog.State, oauth2.S256ChallengeOption(verifier)))
}

// authorizationServer are the addresses of a bank's authorization server.
type authorizationServer struct{ authorize, token string }

// authorizationServer takes the addresses from the catalog, or reads the server's metadata (RFC
// 8414). Requests go to hosts that the catalog names and to no other; the page for the customer's
// browser may be anywhere with https.
func (t *talk) authorizationServer(ctx context.Context, link string) (s authorizationServer, err error) {
	registration := t.conv.Connection.OAuth
	s = authorizationServer{registration.AuthorizationURL, registration.TokenURL}
	if s.authorize == "" || s.token == "" {
		said, err := t.metadata(ctx, link)
		if err != nil {
			return s, err
		}
		s = authorizationServer{cmp.Or(s.authorize, said.authorize), cmp.Or(s.token, said.token)}
	}
	s.token, err = t.catalogs(s.token)
	return s, err
}

// tokenEndpoint is the address of the token endpoint where there is no link of the bank yet.
func (t *talk) tokenEndpoint(ctx context.Context) (string, error) {
	if address := t.conv.Connection.OAuth.TokenURL; address != "" {
		return t.catalogs(address)
	}
	said, err := t.metadata(ctx, "")
	if err != nil {
		return "", err
	}
	return t.catalogs(said.token)
}

// catalogs is a token endpoint, if it is on one of the catalog's hosts.
func (t *talk) catalogs(endpoint string) (string, error) {
	at := t.bank.elsewhere(endpoint)
	if len(at) == 0 {
		return "", nonsense(readMetadata, "the token endpoint is not on one of the catalog's hosts")
	}
	return at[0].String(), nil
}

const readMetadata = "read the authorization server's metadata"

// metadata reads it from the bank's link, else from where the catalog says. An address that has
// none is passed over.
func (t *talk) metadata(ctx context.Context, link string) (s authorizationServer, err error) {
	err = nonsense(readMetadata, "its address is not one of the catalog's hosts")
	for _, u := range append(t.bank.elsewhere(link), t.bank.elsewhere(t.conv.Connection.OAuth.MetadataURL)...) {
		var said struct {
			Authorize text `json:"authorization_endpoint"`
			Token     text `json:"token_endpoint"`
		}
		_, err = t.json(ctx, call{doing: readMetadata, method: http.MethodGet, url: u, anonymous: true}, &said)
		switch {
		case err == nil && said.Token != "":
			return authorizationServer{string(said.Authorize), string(said.Token)}, nil
		case err == nil:
			err = nonsense(readMetadata, "it names no token endpoint")
		case passing(err):
			return s, err
		}
	}
	return s, err
}

// exchangeCode turns the code into tokens. repeated says that it may have been spent already: then
// the tokens are lost, and with them the consent that they were for; the customer has to be sent
// again.
func (t *talk) exchangeCode(ctx context.Context, code string, repeated bool) error {
	g := t.dialog.OAuth
	if g == nil {
		return nonsense("exchange the code", "no authorization is under way")
	}
	config := t.oauthConfig(g.TokenURL)
	config.RedirectURL = g.Redirect
	if err := t.bank.Turn(ctx, "exchange the code", t.conv.Interactive); err != nil {
		return err
	}
	ctx, cancel := t.oauthContext(ctx)
	defer cancel()
	got, err := config.Exchange(ctx, code, oauth2.VerifierOption(g.Verifier))
	if err != nil {
		err = t.oauthError("exchange the code", err)
		if r, refused := asRefusal(err); refused && repeated && r.code == "INVALID_GRANT" {
			if t.dialog.Restarts++; t.dialog.Restarts <= maxRestarts {
				t.dialog = dialog{Restarts: t.dialog.Restarts}
				return t.leaveConsent() // the customer has authorized it
			}
		}
		return err
	}
	t.keep(got, g.TokenURL)
	t.dialog.OAuth, t.dialog.State = nil, ""
	if g.PreStep {
		t.dialog.Position = position{}
	} else {
		t.dialog.Position.SCAStatus = scaFinalised
	}
	return nil
}

// renew refreshes an access token that has expired; the refresh token may be good for one use. A
// token that cannot be refreshed is dropped.
func (t *talk) renew(ctx context.Context) (banks.Step, error) {
	l, d := &t.lasting, &t.dialog
	if d.About != nil && d.About.Step == refreshToken {
		t.dirty = true
		if err := t.refreshToken(ctx); err != nil {
			return banks.Step{}, err
		}
		d.About = nil
	}
	if l.Token == nil || d.About != nil || !d.RefreshToken && !l.Token.expired(t.options.Now()) {
		return banks.Step{}, nil
	}
	if l.Token.Refresh != "" {
		return t.announce(refreshToken), nil
	}
	var err error
	if !t.tokenOfAccess() {
		err = t.leaveConsent() // its token came with it, and so does the next one
	}
	l.Token, d.RefreshToken, t.dirty = nil, false, true
	return banks.Step{}, err
}

// tokenMayBeStale reports whether a bank that says nothing but 401 may mean the customer's access
// token: it is not fresh, and can be had anew without losing the consent.
func (t *talk) tokenMayBeStale() bool {
	token := t.lasting.Token
	return token != nil && (token.Refresh != "" || t.tokenOfAccess()) && t.options.Now().Sub(token.Got) > time.Minute
}

// refreshToken renews the access token. A refresh token that the bank calls over (RFC 6749, section
// 5.2: invalid_grant) is dropped, and the authorization starts anew. Every other refusal passes, or
// is about us: the token stays. Some banks have other words for a token that is over (400): then
// the customer is asked, if they are there.
func (t *talk) refreshToken(ctx context.Context) error {
	old := t.lasting.Token
	if old == nil {
		return nil
	}
	if err := t.bank.Turn(ctx, "refresh the token", t.conv.Interactive); err != nil {
		return err
	}
	ctx, cancel := t.oauthContext(ctx)
	defer cancel()
	got, err := t.oauthConfig(old.URL).TokenSource(ctx, &oauth2.Token{RefreshToken: old.Refresh}).Token()
	if err != nil {
		err = t.oauthError("refresh the token", err)
		r, refused := asRefusal(err)
		if refused && (r.code == "INVALID_GRANT" || t.conv.Interactive && r.status == http.StatusBadRequest && r.fault.Code == banks.CodeBankCannot) {
			old.Refresh, t.dialog.RefreshToken, t.dirty = "", true, true
			return nil
		}
		return err
	}
	t.keep(got, old.URL)
	t.dialog.RefreshToken = false
	return nil
}

func (t *talk) keep(got *oauth2.Token, address string) {
	now := t.options.Now()
	t.lasting.Token = &token{Access: got.AccessToken, Refresh: got.RefreshToken, Got: now, Expiry: got.Expiry, URL: address}
	if got.ExpiresIn > 0 {
		t.lasting.Token.Expiry = now.Add(min(secondsOf(got.ExpiresIn), maxTokenLife))
	}
	t.dirty = true
}

func (t *talk) oauthConfig(tokenURL string) *oauth2.Config {
	registration := t.conv.Connection.OAuth
	if registration == nil {
		registration = &banks.OAuth{}
	}
	// Never AuthStyleAutoDetect: it tries both ways, and a code is good for one try.
	style := oauth2.AuthStyleInParams
	if registration.ClientSecret != "" {
		style = oauth2.AuthStyleInHeader
	}
	return &oauth2.Config{ClientID: registration.ClientID, ClientSecret: registration.ClientSecret,
		Endpoint: oauth2.Endpoint{TokenURL: tokenURL, AuthStyle: style}}
}

// oauthContext lets the oauth2 package use the bank's connections, with the headers of the catalog.
func (t *talk) oauthContext(ctx context.Context) (context.Context, context.CancelFunc) {
	client := *t.bank.Client.Client
	client.Transport = roundTripper(func(r *http.Request) (*http.Response, error) {
		r = r.Clone(r.Context())
		for name, value := range t.conv.Connection.Headers {
			r.Header.Set(name, value)
		}
		r.Header.Set("X-Request-ID", newID())
		r.Header.Set("User-Agent", t.options.UserAgent)
		r.Header.Set("Accept", acceptJSON)
		return t.bank.Transport.RoundTrip(r)
	})
	ctx = context.WithValue(ctx, oauth2.HTTPClient, &client)
	return context.WithTimeout(ctx, t.options.WholeTimeout)
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// oauthError classifies what the oauth2 package returns; its own error holds the answer's body, and
// is dropped.
func (t *talk) oauthError(doing string, err error) error {
	var said *oauth2.RetrieveError
	if !errors.As(err, &said) || said.Response == nil {
		var reached *url.Error
		if errors.As(err, &reached) || errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled) {
			return transport.Unreachable(doing, err)
		}
		return nonsense(doing, "the token endpoint's answer cannot be read")
	}
	status, code := said.Response.StatusCode, errorCode(strings.ToUpper(said.ErrorCode))
	v, known := byCode[code]
	switch {
	case known && v.kind == banks.NeedsAuthorization:
		v = verdict{banks.NeedsUser, banks.CodeLoginNotPossible}
	case !known && (status == http.StatusUnauthorized || status == http.StatusForbidden):
		v = verdict{banks.Rejected, banks.CodeInternal} // it is us who are not let in, not the customer
	default:
		v = judge(refused{status: status, code: code})
	}
	return &refusal{status: status, code: code, fault: &banks.Error{Kind: v.kind, Code: v.code,
		Message: lenient.PlainText(said.ErrorDescription, maxText), RetryAfter: transport.RetryAfter(said.Response.Header, t.options.Now()),
		Err: fmt.Errorf("%s: the bank answered %d %s", doing, status, code)}}
}
