package sandbox_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/sandbox"
)

const (
	verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636, appendix B
	callback = "https://tpp.example/callback"
)

type tokens struct {
	AccessToken  string `json:"access_token"`
	RefreshToken string `json:"refresh_token"`
	ExpiresIn    int    `json:"expires_in"`
	TokenType    string `json:"token_type"`
	Error        string `json:"error"`
}

// authorizationServer reads the bank's metadata.
func (c *tpp) authorizationServer() (authorize, token string) {
	c.t.Helper()
	var said struct {
		Issuer    string   `json:"issuer"`
		Authorize string   `json:"authorization_endpoint"`
		Token     string   `json:"token_endpoint"`
		Methods   []string `json:"code_challenge_methods_supported"`
	}
	require.NoError(c.t, json.Unmarshal(c.do("GET", c.base+"/.well-known/oauth-authorization-server"+c.bank, nil, nil).Raw, &said))
	require.Equal(c.t, c.base+c.bank, said.Issuer)
	require.Equal(c.t, []string{"S256"}, said.Methods)
	return said.Authorize, said.Token
}

func authorization(scope string, more ...string) string {
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{"response_type": {"code"}, "client_id": {"kontoflow"}, "redirect_uri": {callback}, "scope": {scope}, "state": {"s-1"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
	for i := 0; i < len(more); i += 2 {
		q.Set(more[i], more[i+1])
	}
	return "?" + q.Encode()
}

// approve visits the bank and returns the code that comes back.
func (c *tpp) approve(login, address string) string {
	c.t.Helper()
	back, err := sandbox.Visitor{Login: login, Password: "demo", TAN: "111111"}.Approve(c.t.Context(), address)
	require.NoError(c.t, err)
	u, err := url.Parse(back)
	require.NoError(c.t, err)
	require.True(c.t, strings.HasPrefix(back, callback+"?"), back)
	require.Equal(c.t, "s-1", u.Query().Get("state"))
	return u.Query().Get("code")
}

// redeem posts a token request and returns status and answer.
func (c *tpp) redeem(address, secret string, form url.Values) (int, tokens) {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
	require.NoError(c.t, err)
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if secret != "" {
		request.SetBasicAuth("kontoflow", secret)
	} else {
		form.Set("client_id", "kontoflow")
		request, err = http.NewRequestWithContext(c.t.Context(), http.MethodPost, address, strings.NewReader(form.Encode()))
		require.NoError(c.t, err)
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(c.t, err)
	defer response.Body.Close()
	var got tokens
	require.NoError(c.t, json.NewDecoder(response.Body).Decode(&got))
	return response.StatusCode, got
}

func byCode(code string) url.Values {
	return url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}}
}

func TestOAuthIntegrated(t *testing.T) {
	t.Parallel()
	b := open()
	c := visit(t, b, "demo").checked()
	consent := c.do("POST", "/v1/consents", allAccounts(), with(atHome, "PSU-ID", "oauth", "TPP-Redirect-URI", callback))
	require.Equal(t, "REDIRECT", consent.Header.Get("ASPSP-SCA-Approach"))
	require.Equal(t, c.base+"/.well-known/oauth-authorization-server/demo", consent.Body.Links["scaOAuth"].Href)
	authorize, token := c.authorizationServer()
	code := c.approve("oauth", authorize+authorization("AIS:"+consent.Body.ConsentID))
	require.Equal(t, "valid", c.status(consent))

	wrong := byCode(code)
	wrong.Set("code_verifier", "guessed")
	status, got := c.redeem(token, "", wrong)
	require.Equal(t, 400, status)
	require.Equal(t, "invalid_grant", got.Error)
	status, got = c.redeem(token, "", byCode(code))
	require.Equal(t, 200, status)
	require.Equal(t, "Bearer", got.TokenType)
	require.Equal(t, 3600, got.ExpiresIn)

	reading := with(atHome, "Consent-ID", consent.Body.ConsentID)
	require.Equal(t, "TOKEN_UNKNOWN", c.do("GET", "/v1/accounts", nil, reading).code())
	require.Equal(t, "TOKEN_UNKNOWN", c.do("GET", "/v1/accounts", nil, with(reading, "Authorization", "Bearer "+got.RefreshToken)).code(), "a refresh token is none")
	bearer := with(reading, "Authorization", "Bearer "+got.AccessToken)
	require.Equal(t, 200, c.do("GET", "/v1/accounts", nil, bearer).Status)

	b.Advance(61 * time.Minute)
	require.Equal(t, "TOKEN_EXPIRED", c.do("GET", "/v1/accounts", nil, bearer).code())
	status, got = c.redeem(token, "", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.RefreshToken}})
	require.Equal(t, 200, status)
	bearer = with(reading, "Authorization", "Bearer "+got.AccessToken)
	require.Equal(t, 200, c.do("GET", "/v1/accounts", nil, bearer).Status)
	other := c.consented("exempt")
	require.Equal(t, "TOKEN_INVALID", c.do("GET", "/v1/accounts", nil, with(bearer, "Consent-ID", other)).code(), "a token opens its own consent")

	status, _ = c.redeem(token, "", byCode(code))
	require.Equal(t, 400, status, "a code is spent once")
	status, _ = c.redeem(token, "", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {got.RefreshToken}})
	require.Equal(t, 400, status, "and its tokens die with the second try")
}

func TestRefreshTokensRotate(t *testing.T) {
	t.Parallel()
	c := visit(t, open(), "prestep").checked()
	authorize, token := c.authorizationServer()
	refresh := func(with string) (int, tokens) {
		return c.redeem(token, "kontoflow-sandbox", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {with}})
	}
	accounts := func(got tokens) string {
		return c.do("POST", "/v1/consents", allAccounts(), with(atHome, "Authorization", "Bearer "+got.AccessToken)).code()
	}
	_, other := c.redeem(token, "kontoflow-sandbox", byCode(c.approve("demo", authorize+authorization("AIS"))))
	_, first := c.redeem(token, "kontoflow-sandbox", byCode(c.approve("demo", authorize+authorization("AIS"))))
	status, second := refresh(first.RefreshToken)
	require.Equal(t, 200, status)
	require.NotEqual(t, first.RefreshToken, second.RefreshToken)
	status, third := refresh(second.RefreshToken)
	require.Equal(t, 200, status)
	require.Empty(t, accounts(third))

	status, said := refresh(first.RefreshToken)
	require.Equal(t, 400, status, "good for one refresh")
	require.Equal(t, "invalid_grant", said.Error)
	require.Equal(t, "TOKEN_UNKNOWN", accounts(third), "all of the authorization's tokens end with it")
	status, _ = refresh(third.RefreshToken)
	require.Equal(t, 400, status)
	require.Empty(t, accounts(other), "those of another authorization do not")
}

func TestOAuthPreStep(t *testing.T) {
	t.Parallel()
	c := visit(t, open(), "prestep").checked()
	refused := c.do("POST", "/v1/consents", allAccounts(), atHome)
	require.Equal(t, 401, refused.Status)
	require.NotEmpty(t, refused.Body.Links["scaOAuth"].Href)

	authorize, token := c.authorizationServer()
	code := c.approve("photo", authorize+authorization("AIS"))
	status, got := c.redeem(token, "", byCode(code))
	require.Equal(t, 401, status, "this client has a secret")
	require.Equal(t, "invalid_client", got.Error)
	status, got = c.redeem(token, "kontoflow-sandbox", byCode(code))
	require.Equal(t, 200, status)

	h := with(atHome, "Authorization", "Bearer "+got.AccessToken)
	consent := c.do("POST", "/v1/consents", allAccounts(), h)
	require.Equal(t, "received", consent.Body.ConsentStatus)
	require.NotEmpty(t, consent.Body.ChallengeData.Image)
	a := c.do("POST", consent.Body.Links["startAuthorisationWithTransactionAuthorisation"].Href, object{"scaAuthenticationData": "111111"}, h)
	require.Equal(t, "finalised", a.Body.ScaStatus, string(a.Raw))
	require.Equal(t, 200, c.do("GET", "/v1/accounts", nil, with(h, "Consent-ID", consent.Body.ConsentID)).Status)

	code = c.approve("methods", authorize+authorization("AIS"))
	_, got = c.redeem(token, "kontoflow-sandbox", byCode(code))
	h = with(atHome, "Authorization", "Bearer "+got.AccessToken)
	consent = c.do("POST", "/v1/consents", allAccounts(), h)
	require.Len(t, consent.Body.ScaMethods, 4)
	a = c.do("POST", consent.Body.Links["startAuthorisationWithAuthenticationMethodSelection"].Href, object{"authenticationMethodId": "chip"}, h)
	require.Equal(t, "scaMethodSelected", a.Body.ScaStatus)

	code = c.approve("exempt", authorize+authorization("AIS"))
	_, got = c.redeem(token, "kontoflow-sandbox", byCode(code))
	consent = c.do("POST", "/v1/consents", allAccounts(), with(atHome, "Authorization", "Bearer "+got.AccessToken))
	require.Equal(t, "valid", consent.Body.ConsentStatus, "nothing is missing")
}

func TestAuthorizationRequestsAreChecked(t *testing.T) {
	t.Parallel()
	c := visit(t, open(), "oauth")
	consent := c.do("POST", "/v1/consents", allAccounts(), with(atHome, "TPP-Redirect-URI", callback)).Body.ConsentID
	scope := "AIS:" + consent
	authorize, _ := c.authorizationServer()
	for _, row := range []struct {
		change []string
		want   string // error at the callback; "": nobody to send back to
	}{
		{[]string{"client_id", "stranger"}, ""},
		{[]string{"redirect_uri", "javascript:alert(1)"}, ""},
		{[]string{"response_type", "token"}, "unsupported_response_type"},
		{[]string{"code_challenge_method", "plain"}, "invalid_request"},
		{[]string{"code_challenge", ""}, "invalid_request"},
		{[]string{"scope", "AIS:nothing"}, "invalid_scope"},
		{[]string{"scope", "PIS"}, "invalid_scope"},
	} {
		got := c.do("GET", authorize+authorization(scope, row.change...), nil, nil)
		if row.want == "" {
			require.Equal(t, 400, got.Status, row.change)
			require.Empty(t, got.Header.Get("Location"))
			continue
		}
		require.Equal(t, callback+"?error="+row.want+"&state=s-1", got.Header.Get("Location"), row.change)
	}
	back, err := sandbox.Visitor{Login: "demo", Password: "demo"}.Decline(t.Context(), authorize+authorization(scope))
	require.NoError(t, err)
	require.Equal(t, callback+"?error=access_denied&state=s-1", back)
	require.Equal(t, "rejected", c.do("GET", "/v1/consents/"+consent+"/status", nil, nil).Body.ConsentStatus)
}
