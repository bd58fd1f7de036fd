package xs2a_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/xs2a"
	"github.com/kontoflow/kontoflow/sandbox"
)

// A bank that wants a token of the client itself before the consent: it gets one, all conversations
// of the process share it, and what the customer has authorised is read with the customer's.
func TestATokenOfOurOwn(t *testing.T) {
	t.Parallel()
	var calls recorder
	g := newGround(t, xs2a.Options{}, calls.wrap)
	tokens := func() (asked int) {
		for _, c := range calls.take() {
			if strings.HasSuffix(c.path, "/oauth/token") {
				asked++
			}
		}
		return asked
	}
	for n := range 3 {
		conv := g.conversation(t, "client-token", fmt.Sprint("demo+", n))
		asked, err := authorize(t, g.provider, conv)
		require.NoError(t, err)
		require.Len(t, asked, 1)
		accounts, err := g.provider.Accounts(t.Context(), conv)
		require.NoError(t, err)
		_, err = g.provider.Transactions(t.Context(), conv, accounts[0], banks.Window{}, "")
		require.NoError(t, err)
		require.Equal(t, map[bool]int{true: 2, false: 1}[n == 0], tokens(), "one of our own, and one of each customer's")
		require.NoError(t, g.provider.Revoke(t.Context(), conv))
		require.Empty(t, conv.Left)
	}

	g.bank.Advance(20 * time.Minute) // our own is over
	_, err := authorize(t, g.provider, g.conversation(t, "client-token", "demo+later"))
	require.NoError(t, err)
	require.Equal(t, 2, tokens())

	// The customer's token is refreshed without the customer, as ever.
	conv := g.conversation(t, "client-token", "demo+refresh")
	_, err = authorize(t, g.provider, conv)
	require.NoError(t, err)
	g.bank.Advance(3 * time.Hour)
	conv.Dialog, conv.Interactive, conv.Resumed = nil, false, true
	_, err = authorize(t, g.provider, conv)
	require.NoError(t, err)
	_, err = g.provider.Accounts(t.Context(), conv)
	require.NoError(t, err)
}

// A consent that nobody authorised is ended with our own token, too.
func TestAConsentIsEndedWithOurOwnToken(t *testing.T) {
	t.Parallel()
	g := newGround(t, xs2a.Options{}, nil)
	conv := g.conversation(t, "client-token", "demo")
	ask(t, g.provider, conv)
	g.bank.Advance(time.Hour)
	require.NoError(t, g.provider.Revoke(t.Context(), &banks.Conversation{Connection: conv.Connection, Lasting: conv.Lasting, Resumed: true}))
	require.Equal(t, 1, g.bank.Counters().Calls["client-token/consents.delete"])
}

// Our own token is got where the catalog says, sent where there is none of the customer's, and
// fetched anew once where the bank does not take it.
func TestOurOwnTokenAtTheBank(t *testing.T) {
	t.Parallel()
	own := reply{body: `{"access_token":"own-1","token_type":"bearer","expires_in":599}`}
	again := reply{body: `{"access_token":"own-2","token_type":"bearer","expires_in":599}`}
	ok := reply{status: 201, body: fmt.Sprintf(consented, link("scaOAuth", "/.well-known/oauth-authorization-server"))}
	metadata := reply{body: `{"authorization_endpoint":"https://login.bank.example/authorize","token_endpoint":"HOST/sx/v1/oauth/token"}`}
	bare, stale := reply{status: 401}, reply{status: 401, body: `{"tppMessages":[{"code":"TOKEN_EXPIRED"}]}`}
	header := reply{status: 401, header: map[string]string{"WWW-Authenticate": `Bearer realm="x", error="invalid_token"`}}
	for name, test := range map[string]struct {
		token    []reply
		consents []reply
		sent     []string // Authorization of the consents
		kind     banks.Kind
		code     int
	}{
		"taken":                {[]reply{own}, []reply{ok}, []string{"own-1"}, "", 0},
		"refused, then taken":  {[]reply{own, again}, []reply{bare, ok}, []string{"own-1", "own-2"}, "", 0},
		"expired, then taken":  {[]reply{own, again}, []reply{stale, ok}, []string{"own-1", "own-2"}, "", 0},
		"invalid, then taken":  {[]reply{own, again}, []reply{header, ok}, []string{"own-1", "own-2"}, "", 0},
		"never taken":          {[]reply{own, again}, []reply{bare}, []string{"own-1", "own-2"}, banks.Rejected, banks.CodeInternal},
		"no client of theirs":  {[]reply{{status: 401, body: `{"error":"invalid_client"}`}}, nil, nil, banks.Rejected, banks.CodeInternal},
		"their server is down": {[]reply{{status: 503}}, nil, nil, banks.Transient, banks.CodeTemporary},
		"no token":             {[]reply{{body: `{}`}}, nil, nil, banks.Rejected, banks.CodeBankCannot},
		"refused for another reason": {[]reply{own}, []reply{{status: 401, body: `{"tppMessages":[{"code":"CERTIFICATE_INVALID"}]}`}}, []string{"own-1"},
			banks.Rejected, banks.CodeInternal},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := openFieldBank(t, "/sx", map[string][]reply{
				"POST /sx/v1/oauth/token": test.token, "POST /sx/v1/consents": test.consents,
				"GET /sx/.well-known/oauth-authorization-server": {metadata},
			})
			conv := b.conversation()
			conv.Connection.OAuth = &banks.OAuth{Flow: "CLIENT_CREDENTIALS", ClientID: "kontoflow", ClientSecret: "canary-secret", TokenURL: b.server.URL + "/sx/v1/oauth/token"}
			conv.Credentials = map[string]string{}
			step, err := goOn(t, xs2a.New(xs2a.Options{}), conv, nil)
			var sent []string
			for _, r := range b.seen {
				if r.call == "POST /sx/v1/consents" {
					sent = append(sent, strings.TrimPrefix(r.header.Get("Authorization"), "Bearer "))
				}
			}
			require.Equal(t, test.sent, sent)
			require.NotContains(t, string(conv.Lasting)+string(conv.Dialog), "own-", "it is stored nowhere")
			if test.kind != "" {
				requireKind(t, err, test.kind)
				require.Equal(t, test.code, banks.AsError(err).Code, "%v", err)
				require.NotContains(t, err.Error(), "canary")
				return
			}
			require.NoError(t, err)
			require.True(t, strings.HasPrefix(step.Challenge.Location, "https://login.bank.example/authorize?"), step.Challenge.Location)
			require.Contains(t, b.got("POST /sx/v1/oauth/token").body, "grant_type=client_credentials")
			require.Empty(t, b.got("GET /sx/.well-known/oauth-authorization-server").header.Get("Authorization"), "the metadata is nobody's")
		})
	}
}

// Metadata is read where the bank's link leads: a path counts from the catalog's URL, or from the
// host where RFC 8414 puts it; what is not there is looked for where the catalog says.
func TestWhereMetadataIs(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		href string // of scaOAuth
		at   string // where it is
		fine bool
	}{
		"from the base":             {"/.well-known/oauth-authorization-server", "/sx/.well-known/oauth-authorization-server", true},
		"from the host":             {"/.well-known/oauth-authorization-server/sx", "/.well-known/oauth-authorization-server/sx", true},
		"absolute":                  {"HOST/idp/.well-known/openid-configuration", "/idp/.well-known/openid-configuration", true},
		"the whole path":            {"/sx/.well-known/oauth-authorization-server", "/sx/.well-known/oauth-authorization-server", true},
		"null":                      {"", "/catalogs", true},
		"on another host":           {"https://elsewhere.example/.well-known/oauth-authorization-server", "/catalogs", true},
		"not there":                 {"/.well-known/oauth-authorization-server", "/catalogs", true},
		"climbs":                    {"/.well-known/../../x", "/catalogs", true},
		"nowhere":                   {"/.well-known/oauth-authorization-server", "/nowhere", false},
		"another host, and nowhere": {"https://elsewhere.example/x", "/nowhere", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := openFieldBank(t, "/sx", map[string][]reply{
				"POST /sx/v1/consents": {{status: 201, body: fmt.Sprintf(consented, link("scaOAuth", test.href))}},
				"GET " + test.at:       {{body: `{"authorization_endpoint":"https://login.bank.example/authorize","token_endpoint":"/sx/token"}`}},
			})
			conv := b.conversation()
			conv.Connection.OAuth = &banks.OAuth{Flow: "INTEGRATED", ClientID: "kontoflow", MetadataURL: b.server.URL + "/catalogs"}
			step, err := goOn(t, xs2a.New(xs2a.Options{}), conv, nil)
			if !test.fine {
				requireKind(t, err, banks.Rejected)
				return
			}
			require.NoError(t, err, "%v", b.calls())
			require.Equal(t, banks.RedirectTo, step.Challenge.Type)
		})
	}
}

// The platform that gives a token for login and PIN: what it answers decides, the PIN goes to the
// catalog's address alone, and after a refusal it is not sent again.
func TestATokenForThePIN(t *testing.T) {
	t.Parallel()
	const at = "/pre-auth/psd2-auth/v1/auth/token"
	good := reply{status: 201, body: `{"returnCode":"CORRECT","accessToken":"canary-token"}`}
	for name, test := range map[string]struct {
		answers []reply
		kind    banks.Kind // "": a token
		code    int
		sent    int // PINs
	}{
		"correct":              {[]reply{good}, "", 0, 1},
		"a long token":         {[]reply{{status: 201, body: `{"returnCode":"CORRECT","accessToken":"canary-token` + strings.Repeat("x", 6000) + `"}`}}, "", 0, 1},
		"too long a token":     {[]reply{{status: 201, body: `{"returnCode":"CORRECT","accessToken":"` + strings.Repeat("x", 20_000) + `"}`}}, banks.Rejected, banks.CodeBankCannot, 1},
		"as RFC 6749 has it":   {[]reply{{body: `{"access_token":"canary-token","expires_in":3600}`}}, "", 0, 1},
		"failed":               {[]reply{{status: 401, body: `{"returnCode":"FAILED"}`}}, banks.WrongCredentials, banks.CodePINInvalid, 1},
		"failed, with 200":     {[]reply{{body: `{"returnCode":"FAILED"}`}}, banks.WrongCredentials, banks.CodePINInvalid, 1},
		"401 and no word":      {[]reply{{status: 401}}, banks.WrongCredentials, banks.CodePINInvalid, 1},
		"the standard's code":  {[]reply{{status: 401, body: `{"tppMessages":[{"code":"PSU_CREDENTIALS_INVALID","text":"` + standardSentence + `"}]}`}}, banks.WrongCredentials, banks.CodePINInvalid, 1},
		"locked":               {[]reply{{status: 401, body: `{"returnCode":"LOCKED"}`}}, banks.NeedsUser, banks.CodeAccessBlocked, 1},
		"locked, with 200":     {[]reply{{body: `{"returnCode":"TEMPORARY_LOCKED"}`}}, banks.NeedsUser, banks.CodeAccessBlocked, 1},
		"password expired":     {[]reply{{status: 403, body: `{"returnCode":"PASSWORD_EXPIRED"}`}}, banks.NeedsUser, banks.CodePINChange, 1},
		"wants a TAN for it":   {[]reply{{body: `{"returnCode":"NONE","actionCode":"PROMPT_FOR_TAN"}`}}, banks.Rejected, banks.CodeBankCannot, 1},
		"nothing":              {[]reply{{body: `{}`}}, banks.Rejected, banks.CodeBankCannot, 1},
		"no JSON":              {[]reply{{body: `<html>`}}, banks.Rejected, banks.CodeBankCannot, 1},
		"not there":            {[]reply{{status: 404}}, banks.Rejected, banks.CodeBankCannot, 1},
		"down, then correct":   {[]reply{{status: 503}, good}, "", 0, 2},
		"down":                 {[]reply{{status: 503}}, banks.WrongCredentials, banks.CodePINInvalid, 3},
		"a gateway lost it":    {[]reply{{status: 504}}, banks.WrongCredentials, banks.CodePINInvalid, 1},
		"redirected elsewhere": {[]reply{{status: 307, header: map[string]string{"Location": "https://elsewhere.example/"}}}, banks.Rejected, banks.CodeBankCannot, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := openFieldBank(t, "/psd2", map[string][]reply{
				"POST " + at:                               test.answers,
				"POST /psd2/v1/consents":                   {{status: 201, header: map[string]string{"ASPSP-SCA-Approach": "DECOUPLED"}, body: fmt.Sprintf(consented, link("startAuthorisation", "/v1/consents/c1/authorisations"))}},
				"POST /psd2/v1/consents/c1/authorisations": {{status: 201, body: fmt.Sprintf(askTAN, "/v1/consents/c1/authorisations/a1")}},
			})
			conv := b.conversation()
			conv.Connection.Dialect = "dkb"
			conv.Connection.OAuth = &banks.OAuth{Flow: "PASSWORD_TOKEN", TokenURL: b.server.URL + at}
			_, err := goOn(t, xs2a.New(xs2a.Options{}), conv, nil)
			require.Len(t, b.carrying(pin), test.sent, "%v", b.calls())
			for _, call := range b.carrying(pin) {
				require.Equal(t, "POST "+at, call)
			}
			login := b.got("POST " + at)
			require.JSONEq(t, `{"username":"demo","password":"`+pin+`"}`, login.body)
			require.Empty(t, login.header.Get("PSD2-AUTHORIZATION")+login.header.Get("Authorization"))
			if test.kind != "" {
				requireKind(t, err, test.kind)
				require.Equal(t, test.code, banks.AsError(err).Code, "%v", err)
				return
			}
			require.NoError(t, err)
			sent := b.got("POST /psd2/v1/consents").header.Get("PSD2-AUTHORIZATION")
			require.True(t, strings.HasPrefix(sent, "Bearer canary-token"))
			require.Equal(t, name == "a long token", len(sent) > 6000, "it is sent whole")
			require.Empty(t, b.got("POST /psd2/v1/consents").header.Get("Authorization"))
		})
	}
}

// The token is kept, dropped when the bank no longer takes it, and got anew with the customer only.
// The consent stays.
func TestTheTokenForThePINIsRenewed(t *testing.T) {
	t.Parallel()
	g := newGround(t, xs2a.Options{}, nil)
	conv := g.conversation(t, "password-token", "demo")
	_, err := authorize(t, g.provider, conv)
	require.NoError(t, err)
	_, err = g.provider.Accounts(t.Context(), conv)
	require.NoError(t, err)
	again := func(interactive bool) (asked []banks.Challenge, err error) {
		conv.Dialog, conv.Interactive, conv.Resumed = nil, interactive, true
		for range 3 {
			if asked, err = authorize(t, g.provider, conv); err != nil {
				return asked, err
			}
			if _, err = g.provider.Accounts(t.Context(), conv); err == nil || banks.AsError(err).Kind != banks.NeedsAuthorization {
				return asked, err
			}
		}
		return asked, err
	}
	asked, err := again(false)
	require.NoError(t, err)
	require.Empty(t, asked)
	require.Equal(t, 1, g.bank.Counters().Logins["demo"], "the token is kept")

	for name, no := range map[string]sandbox.Fault{
		"with a code": {Action: sandbox.ActStatus, Status: 401, Code: "TOKEN_EXPIRED"},
		"unknown":     {Action: sandbox.ActStatus, Status: 401, Code: "TOKEN_UNKNOWN"},
	} {
		g.bank.Advance(time.Hour)
		before := g.bank.Counters().Logins["demo"]
		no.Endpoint, no.Times = "accounts", 1
		require.NoError(t, g.bank.Inject(no))
		_, err = again(false)
		requireKind(t, err, banks.NeedsUser, name)
		require.Equal(t, before, g.bank.Counters().Logins["demo"], "no PIN without the customer")
		asked, err = again(true)
		require.NoError(t, err, name)
		require.Empty(t, asked, "the consent is good")
		require.Equal(t, before+1, g.bank.Counters().Logins["demo"])
	}
	require.Equal(t, 1, g.bank.Counters().Consents["demo"])

	require.NoError(t, g.bank.ChangePassword("demo", "another-"+pin))
	g.bank.Advance(100 * 24 * time.Hour) // token and consent are over
	_, err = again(true)
	requireKind(t, err, banks.WrongCredentials)
	require.Equal(t, 1, g.bank.Counters().WrongPINs["demo"])
}

// A bare 401 to a token that is not fresh means the token: it is refreshed, and the consent is
// kept.
func TestABare401IsAboutTheToken(t *testing.T) {
	t.Parallel()
	for path, refreshes := range map[string]bool{"oauth": true, "prestep": true, "password-token": true} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			refused := false
			g := newGround(t, xs2a.Options{}, func(next http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if refused && strings.HasSuffix(r.URL.Path, "/v1/accounts") {
						refused = false
						w.WriteHeader(http.StatusUnauthorized)
						return
					}
					next.ServeHTTP(w, r)
				})
			})
			conv := g.conversation(t, path, "exempt")
			_, err := authorize(t, g.provider, conv)
			require.NoError(t, err)
			g.bank.Advance(10 * time.Minute)
			refused = true
			_, err = g.provider.Accounts(t.Context(), conv)
			requireKind(t, err, banks.NeedsAuthorization)
			conv.Resumed = true
			asked, err := authorize(t, g.provider, conv)
			require.NoError(t, err)
			require.Empty(t, asked)
			_, err = g.provider.Accounts(t.Context(), conv)
			require.NoError(t, err)
			require.Equal(t, refreshes, g.bank.Counters().Consents["exempt"] == 1)
		})
	}
}

// The token for the PIN is in the state, sealed by the caller, and in no error.
func TestTheStateHoldsTheToken(t *testing.T) {
	t.Parallel()
	g := newGround(t, xs2a.Options{}, nil)
	conv := g.conversation(t, "password-token", "exempt")
	_, err := authorize(t, g.provider, conv)
	require.NoError(t, err)
	var state struct {
		Token struct{ Access, Refresh string }
	}
	require.NoError(t, json.Unmarshal(conv.Lasting, &state))
	require.NotEmpty(t, state.Token.Access)
	require.NotContains(t, string(conv.Lasting), pin)
}
