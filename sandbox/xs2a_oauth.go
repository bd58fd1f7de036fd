package sandbox

import (
	"cmp"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The OAuth2 authorization server of each bank: code grant with PKCE S256 (RFC 6749, 7636), metadata (RFC 8414).
// Integrated, the scope names the consent ("AIS:<consentId>"), and approving makes it valid. In the pre-step the
// scope is "AIS", and the token says who the customer is. Refresh tokens rotate: each is good for one refresh, and one that
// comes a second time was stolen from somebody, so that all tokens of its authorization end (RFC 9700, section 4.14.2).

const (
	oauthClientID     = "kontoflow"
	oauthClientSecret = "kontoflow-sandbox" // only banks with a token before the consent ask for it
	tokenLife         = time.Hour
	clientTokenLife   = 10 * time.Minute
	passwordTokenLife = 90 * 24 * time.Hour
	refreshLife       = 180 * 24 * time.Hour
	codeLife          = 2 * time.Minute
)

type oauthRequest struct {
	redirectURI string
	state       string
	challenge   string
	scope       string
}

// oauthGrant is a code that was issued; it is redeemed once.
type oauthGrant struct {
	face    *face
	request oauthRequest
	login   string
	consent string // id; "" in the pre-step
	issued  time.Time
	tokens  []string // of the code and of every refresh since
}

type oauthToken struct {
	bank    string
	login   string
	consent string
	grant   *oauthGrant
	refresh bool
	spent   bool // refreshed with
	ends    time.Time
}

// metadataLink is the link to the metadata, as the dialect has links.
func (f *face) metadataLink(c *call) href {
	if f.dialect.linksFromAPI {
		return c.link("/.well-known/oauth-authorization-server")
	}
	return href{f.metadataURL(c.r)}
}

func (f *face) oauthRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /.well-known/oauth-authorization-server", f.metadata)
	mux.HandleFunc("GET /oauth/authorize", f.authorize)
	mux.HandleFunc("POST /oauth/token", f.token)
}

// metadataURL is the well-known address of the issuer (RFC 8414, section 3.1: the path goes behind it).
func (f *face) metadataURL(r *http.Request) string {
	return strings.TrimSuffix(f.base(r), f.prefix) + "/.well-known/oauth-authorization-server" + f.prefix
}

func (f *face) metadata(w http.ResponseWriter, r *http.Request) {
	base := f.base(r)
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{
		"issuer":                                base,
		"authorization_endpoint":                base + "/oauth/authorize",
		"token_endpoint":                        base + "/oauth/token",
		"response_types_supported":              []string{"code"},
		"grant_types_supported":                 []string{"authorization_code", "refresh_token"},
		"code_challenge_methods_supported":      []string{"S256"},
		"token_endpoint_auth_methods_supported": []string{"client_secret_basic", "client_secret_post", "none"},
		"scopes_supported":                      []string{"AIS"},
	})
}

func (f *face) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	to, err := url.Parse(q.Get("redirect_uri"))
	if q.Get("client_id") != oauthClientID || err != nil || to.Host == "" || to.Fragment != "" || to.Scheme != "https" && to.Scheme != "http" {
		// Nobody to send the customer back to that could be trusted (RFC 6749, section 4.1.2.1).
		page{Bank: f.dialect.Name, Title: "Anfrage ungültig", Error: "client_id oder redirect_uri ist ungültig."}.write(w, http.StatusBadRequest, "message.html")
		return
	}
	b := f.bank
	b.mu.Lock()
	defer b.mu.Unlock()
	request := &oauthRequest{redirectURI: q.Get("redirect_uri"), state: q.Get("state"), challenge: q.Get("code_challenge"), scope: q.Get("scope")}
	t := &ticket{face: f, request: request}
	problem := ""
	switch consentID, integrated := strings.CutPrefix(request.scope, "AIS:"); {
	case q.Get("response_type") != "code":
		problem = "unsupported_response_type"
	case request.challenge == "" || q.Get("code_challenge_method") != "S256" || request.state == "":
		problem = "invalid_request"
	case integrated:
		k := b.consents[consentID]
		if k == nil || k.bank != f.dialect.Path || k.pendingOAuth() == nil {
			problem = "invalid_scope"
			break
		}
		t.consent, t.authorisation, t.loginHint = k, k.pendingOAuth(), k.login
	case request.scope != "AIS":
		problem = "invalid_scope"
	}
	if problem != "" {
		answer := to.Query()
		answer.Set("error", problem)
		if request.state != "" {
			answer.Set("state", request.state)
		}
		to.RawQuery = answer.Encode()
		http.Redirect(w, r, to.String(), http.StatusSeeOther)
		return
	}
	http.Redirect(w, r, f.prefix+"/login/"+b.issue(t), http.StatusSeeOther)
}

// pendingOAuth is the authorisation that waits for an OAuth2 approval.
func (k *consent) pendingOAuth() *authorisation {
	for _, a := range k.authorisations {
		if a.oauth && a.status == started {
			return a
		}
	}
	return nil
}

// grantCode needs Bank.mu.
func (b *Bank) grantCode(f *face, t *ticket) string {
	g := &oauthGrant{face: f, request: *t.request, login: t.customer.login, issued: b.now()}
	if t.consent != nil {
		g.consent = t.consent.id
	}
	code := secret()
	b.grants[code] = g
	return code
}

func (f *face) token(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		oauthError(w, http.StatusBadRequest, "invalid_request")
		return
	}
	b := f.bank
	b.mu.Lock()
	b.count(f.dialect.Path, "", "token")
	fault, struck := b.strike(f.dialect.Path, "", "token")
	b.mu.Unlock()
	usual := func(w http.ResponseWriter) { f.answerToken(w, r) }
	switch {
	case struck && fault.Action == ActStatus && fault.Code != "":
		if fault.RetryAfter > 0 {
			w.Header().Set("Retry-After", strconv.Itoa(fault.RetryAfter))
		}
		oauthError(w, fault.Status, fault.Code)
	case struck:
		fault.play(w, r, b.options.Slow, usual)
	default:
		usual(w)
	}
}

func (f *face) answerToken(w http.ResponseWriter, r *http.Request) {
	form := r.PostForm
	id, password, basic := r.BasicAuth()
	if basic { // RFC 6749, section 2.3.1: both are form-encoded first
		id, _ = url.QueryUnescape(id)
		password, _ = url.QueryUnescape(password)
	} else {
		id, password = form.Get("client_id"), form.Get("client_secret")
	}
	if id != oauthClientID || (f.dialect.preStep || f.dialect.clientToken) && subtle.ConstantTimeCompare([]byte(password), []byte(oauthClientSecret)) != 1 {
		w.Header().Set("WWW-Authenticate", `Basic realm="token"`)
		oauthError(w, http.StatusUnauthorized, "invalid_client")
		return
	}
	b := f.bank
	b.mu.Lock()
	defer b.mu.Unlock()
	switch form.Get("grant_type") {
	case "authorization_code":
		g := b.grants[form.Get("code")]
		if g == nil || g.face.dialect != f.dialect {
			oauthError(w, http.StatusBadRequest, "invalid_grant")
			return
		}
		if g.tokens != nil { // RFC 6749, section 4.1.2: a code that comes twice was stolen
			b.revokeTokens(g)
			oauthError(w, http.StatusBadRequest, "invalid_grant")
			return
		}
		sum := sha256.Sum256([]byte(form.Get("code_verifier")))
		if base64.RawURLEncoding.EncodeToString(sum[:]) != g.request.challenge ||
			form.Get("redirect_uri") != g.request.redirectURI || b.now().Sub(g.issued) > codeLife {
			oauthError(w, http.StatusBadRequest, "invalid_grant")
			return
		}
		b.answerTokens(w, g)
	case "refresh_token":
		t := b.tokens[form.Get("refresh_token")]
		if t == nil || !t.refresh || t.bank != f.dialect.Path || b.now().After(t.ends) {
			oauthError(w, http.StatusBadRequest, "invalid_grant")
			return
		}
		if t.spent {
			b.revokeTokens(t.grant)
			oauthError(w, http.StatusBadRequest, "invalid_grant")
			return
		}
		t.spent = true
		b.answerTokens(w, t.grant)
	case "client_credentials":
		if !f.dialect.clientToken {
			oauthError(w, http.StatusBadRequest, "unauthorized_client")
			return
		}
		access := secret()
		b.tokens[access] = &oauthToken{bank: f.dialect.Path, ends: b.now().Add(clientTokenLife)}
		writeToken(w, map[string]any{"access_token": access, "token_type": "Bearer", "expires_in": int(clientTokenLife.Seconds())})
	default:
		oauthError(w, http.StatusBadRequest, "unsupported_grant_type")
	}
}

func writeToken(w http.ResponseWriter, body map[string]any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(body)
}

// loginPath is where login and PIN give a token: beside the API, not below it.
func (d *dialect) loginPath() string { return "/" + d.Path + "/pre-auth/psd2-auth/v1/auth/token" }

// loginForToken gives a token for login and PIN. How it went stands in returnCode.
func (f *face) loginForToken(w http.ResponseWriter, r *http.Request) {
	var given struct{ Username, Password string }
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody)).Decode(&given); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	b := f.bank
	b.mu.Lock()
	customer := b.customer(given.Username)
	login := ""
	if customer != nil {
		login = customer.login
	}
	b.count(f.dialect.Path, login, "login")
	fault, struck := b.strike(f.dialect.Path, login, "login")
	b.mu.Unlock()
	usual := func(w http.ResponseWriter) { f.answerLogin(w, customer, given.Password) }
	if struck {
		fault.play(w, r, b.options.Slow, usual)
		return
	}
	usual(w)
}

func (f *face) answerLogin(w http.ResponseWriter, customer *customer, password string) {
	b := f.bank
	b.mu.Lock()
	defer b.mu.Unlock()
	found := wrongPIN
	if customer != nil {
		found = b.authenticate(customer, password)
	}
	if found != open {
		code := map[door]string{wrongPIN: "FAILED", locked: "LOCKED", changePIN: "PASSWORD_EXPIRED"}[found]
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusUnauthorized)
		_ = json.NewEncoder(w).Encode(map[string]string{"returnCode": code})
		return
	}
	access := secret()
	b.tokens[access] = &oauthToken{bank: f.dialect.Path, login: customer.login, ends: b.now().Add(passwordTokenLife)}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]string{"returnCode": "CORRECT", "accessToken": access})
}

// answerTokens makes a grant's next tokens. It needs Bank.mu.
func (b *Bank) answerTokens(w http.ResponseWriter, g *oauthGrant) {
	access, refresh := secret(), secret()
	b.tokens[access] = &oauthToken{bank: g.face.dialect.Path, login: g.login, consent: g.consent, grant: g, ends: b.now().Add(tokenLife)}
	b.tokens[refresh] = &oauthToken{bank: g.face.dialect.Path, login: g.login, consent: g.consent, grant: g, refresh: true, ends: b.now().Add(refreshLife)}
	g.tokens = append(g.tokens, access, refresh)
	writeToken(w, map[string]any{
		"access_token": access, "token_type": "Bearer", "expires_in": int(tokenLife.Seconds()), "refresh_token": refresh, "scope": g.request.scope,
	})
}

// revokeTokens ends everything that a grant was redeemed for. It needs Bank.mu.
func (b *Bank) revokeTokens(g *oauthGrant) {
	for _, token := range g.tokens {
		delete(b.tokens, token)
	}
}

func oauthError(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": code})
}

func (c *call) bearer() string {
	scheme, token, _ := strings.Cut(c.r.Header.Get(cmp.Or(c.face.dialect.tokenHeader, "Authorization")), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return token
}

// checkToken checks the access token where one is needed: for everything with a pre-step, and for reading under
// a consent that was approved over OAuth2.
func (c *call) checkToken() *refusal {
	b := c.face.bank
	b.mu.Lock()
	defer b.mu.Unlock()
	needed, own := c.face.dialect.tokenFirst() || c.face.dialect.clientToken, c.face.dialect.clientToken
	if c.consent != nil && c.r.Header.Get("Consent-ID") != "" {
		for _, a := range c.consent.authorisations {
			needed = needed || a.oauth
		}
		own = false
	}
	token := c.bearer()
	t := b.tokens[token]
	var no *refusal
	switch {
	case token == "" && !needed:
		return nil
	case token == "":
		no = refuse(401, "TOKEN_UNKNOWN", "an access token is needed")
	case t == nil || t.refresh || t.bank != c.face.dialect.Path:
		no = refuse(401, "TOKEN_UNKNOWN", "there is no such token")
	case c.now.After(t.ends):
		no = refuse(401, "TOKEN_EXPIRED", "the token has expired")
	case t.login == "" && !own:
		return refuse(401, "TOKEN_INVALID", "the token is not a customer's")
	case t.login == "":
		return nil
	case c.consent != nil && c.consent.login != "" && t.login != c.consent.login, c.consent != nil && t.consent != "" && t.consent != c.consent.id:
		return refuse(401, "TOKEN_INVALID", "the token is not for this consent")
	default:
		return nil
	}
	if c.face.dialect.preStep {
		no.links = links{"scaOAuth": href{c.face.metadataURL(c.r)}}
	}
	return no
}
