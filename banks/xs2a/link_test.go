package xs2a_test

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/xs2a"
)

// TestPathLinks says where the PIN goes for each way of writing a link, and where it never goes.
func TestPathLinks(t *testing.T) {
	t.Parallel()
	const self = "consents/c1/authorisations/a1"
	for _, test := range []struct {
		base string // path of the catalog's URL
		href string // HOST: the bank's address
		goes string // path that the PIN is sent to; "": nowhere
	}{
		{"", "/v1/" + self, "/v1/" + self},
		{"", "v1/" + self, "/v1/" + self},
		{"", "HOST/v1/" + self, "/v1/" + self},
		{"", "/berlin/v1/" + self, "/berlin/v1/" + self},
		{"", "consents/c1/authorisations/a1", "/v1/" + self},
		{"/psd2", "/v1/" + self, "/psd2/v1/" + self},
		{"/psd2/", "/v1/" + self, "/psd2/v1/" + self},
		{"/psd2", "v1/" + self, "/psd2/v1/" + self},
		{"/psd2", "/v1.1/" + self, "/psd2/v1.1/" + self},
		{"/psd2", "/v2/" + self, "/psd2/v2/" + self},
		{"/psd2", "/psd2/v1/" + self, "/psd2/v1/" + self},
		{"/psd2", "psd2/v1/" + self, "/psd2/v1/" + self},
		{"/psd2", "HOST/psd2/v1/" + self, "/psd2/v1/" + self},
		{"/psd2", "  /v1/" + self + " ", "/psd2/v1/" + self},
		{"/psd2", "/v1/" + self + "?lang=de#top", "/psd2/v1/" + self + "?lang=de"},
		{"/psd2", "/v1/consents/c%2F1/authorisations/a1", "/psd2/v1/consents/c%2F1/authorisations/a1"},
		{"/psd2", "consents/c1/authorisations/a1", "/psd2/v1/" + self},
		{"/xs2a/bg13", "/v1/" + self, "/xs2a/bg13/v1/" + self},
		{"/xs2a/bg13", "/bg13/v1/" + self, "/xs2a/bg13/v1/" + self},
		{"/xs2a/bg13", "/xs2a/bg13/v1/" + self, "/xs2a/bg13/v1/" + self},
		{"/scb-openapis/sx", "/v1/" + self, "/scb-openapis/sx/v1/" + self},
		{"/v1/api", "/v1/" + self, "/v1/api/v1/" + self},
		{"/v1/api", "/v1/api/v1/" + self, "/v1/api/v1/" + self},

		{"/psd2", "null/v1/" + self, "/psd2/v1/" + self},

		{"/psd2", "/other/v1/" + self, ""},
		{"/psd2", "/psd2x/v1/" + self, ""},
		{"/psd2", "/login/" + self, ""},
		{"/psd2", "/v1x/" + self, ""},
		{"/psd2", "HOST/v1/" + self, ""},
		{"/psd2", "HOST/psd2/../admin/" + self, ""},
		{"/psd2", "/psd2/v1/../../admin/" + self, ""},
		{"/psd2", "/v1/../../admin", ""},
		{"/psd2", "/v1/%2e%2e/%2E%2E/admin", ""},
		{"/psd2", "/v1/..%2f..%2fadmin", ""},
		{"/psd2", "/v1/%252e%252e/%252e%252e/admin", ""},
		{"/psd2", "/v1/..;x/..;x/admin", ""},
		{"/psd2", `/v1/..\..\admin`, ""},
		{"/psd2", `\\elsewhere.example\v1`, ""},
		{"/psd2", "/./v1/" + self, ""},
		{"/psd2", "../v1/" + self, ""},
		{"/psd2", "//elsewhere.example/psd2/v1/" + self, ""},
		{"/psd2", "//v1/" + self, ""},
		{"/psd2", "https://elsewhere.example/psd2/v1/" + self, ""},
		{"/psd2", "HOST.elsewhere.example/psd2/v1/" + self, ""},
		{"/psd2", "USER/psd2/v1/" + self, ""},
		{"/psd2", "PORT/psd2/v1/" + self, ""},
		{"/psd2", "https:/psd2/v1/" + self, ""},
		{"/psd2", "javascript:alert(1)", ""},
		{"/psd2", "?x=/psd2/v1/" + self, ""},
		{"/psd2", "%zz", ""},
		{"/psd2", "/v1/" + strings.Repeat("a", 5000), ""},
		{"", "//elsewhere.example/v1/" + self, ""},
		{"", "/v1/../admin", ""},
	} {
		t.Run(test.base+" "+test.href, func(t *testing.T) {
			t.Parallel()
			b := openFieldBank(t, strings.TrimSuffix(test.base, "/"), nil)
			at, err := url.Parse(b.server.URL)
			require.NoError(t, err)
			href := strings.NewReplacer("HOST", b.server.URL, "USER", "http://user@"+at.Host, "PORT", "http://"+at.Hostname()+":1").Replace(test.href)
			own := strings.TrimSuffix(test.base, "/") + "/v1/consents"
			b.plays = map[string][]reply{
				"POST " + own:      {{status: 201, header: map[string]string{"ASPSP-SCA-Approach": "EMBEDDED"}, body: fmt.Sprintf(consented, link("updatePsuAuthentication", href))}},
				"PUT " + test.goes: {{body: fmt.Sprintf(askTAN, href)}},
			}
			b.base = test.base
			_, step, err := b.begin()
			if test.goes == "" {
				requireKind(t, err, banks.Rejected)
				require.Empty(t, b.carrying(pin), "the PIN went somewhere")
				require.Equal(t, []string{"POST " + own}, b.calls())
				return
			}
			require.NoError(t, err, "%v", b.calls())
			require.Equal(t, banks.Embedded, step.Challenge.Type)
			require.Equal(t, []string{"PUT " + test.goes}, b.carrying(pin))
		})
	}
}

// A host is the same in capitals, and with the port that its scheme has anyway.
func TestTheSameHostWrittenOtherwise(t *testing.T) {
	t.Parallel()
	for base, links := range map[string]map[string]bool{
		"https://bank.example/psd2": {
			"https://bank.example:443/psd2/v1/x": true, "https://BANK.example/psd2/v1/x": true, "https://bank.example:8443/psd2/v1/x": false,
			"http://bank.example/psd2/v1/x": false, "https://bank.example./psd2/v1/x": false,
		},
		"https://bank.example:8443/psd2": {"https://bank.example/psd2/v1/x": false, "https://bank.example:8443/psd2/v1/x": true},
	} {
		for href, fine := range links {
			u, err := xs2a.ResolveLink(base, href)
			require.Equal(t, fine, err == nil, "%s at %s: %v", href, base, err)
			if fine {
				require.Equal(t, strings.TrimSuffix(base, "/psd2")+"/psd2/v1/x", u)
			}
		}
	}
}

// Whatever a link is, it stays on the bank's host, and the PIN below the catalog's URL.
func FuzzLinks(f *testing.F) {
	for _, href := range []string{"/v1/x", "v1/x", "//x/v1", "/psd2/v1/../x", "https://bank.example/psd2/v1/x", "/v1/%2e%2e%2f", "/..;/x", "\\\\x", "?a", "/v1/%00", "/v1//../x"} {
		f.Add(href)
	}
	const base = "https://bank.example/gateway/psd2"
	f.Fuzz(func(t *testing.T, href string) {
		if at, err := xs2a.ResolveLink(base, href); err == nil {
			require.True(t, strings.HasPrefix(at, "https://bank.example/"), at)
		}
		at, err := xs2a.SecretLink(base, href)
		if err != nil {
			return
		}
		require.True(t, strings.HasPrefix(at, base+"/"), at)
		u, err := url.Parse(at)
		require.NoError(t, err)
		require.Nil(t, u.User)
		for path := u.EscapedPath(); ; {
			for _, segment := range strings.FieldsFunc(path, func(r rune) bool { return r == '/' || r == '\\' }) {
				require.NotContains(t, []string{".", ".."}, segment, at)
			}
			decoded, err := url.PathUnescape(path)
			if err != nil || decoded == path {
				break
			}
			path = decoded
		}
	})
}

// TestStartLinksOfAnAuthorisation: some banks begin the authorisation with the consent, and call
// the way to it a start. It exists, so it is a PUT, whichever start it is called.
func TestStartLinksOfAnAuthorisation(t *testing.T) {
	t.Parallel()
	const at = "/v1/consents/c1/authorisations/a1"
	identified := fmt.Sprintf(`{"scaStatus":"psuIdentified","_links":{%s}}`, link("updatePsuAuthentication", at))
	authenticated := fmt.Sprintf(`{"scaStatus":"psuAuthenticated","scaMethods":[{"authenticationType":"SMS_OTP","authenticationMethodId":"1"},
		{"authenticationType":"SMS_OTP","authenticationMethodId":"2"}],"_links":{%s}}`, link("selectAuthenticationMethod", at))
	for name, test := range map[string]struct {
		links   string
		answers []reply
		calls   []string
		asked   banks.ChallengeType
	}{
		"password": {link("startAuthorisationWithPsuAuthentication", at) + "," + link("scaStatus", at), []reply{{body: fmt.Sprintf(askTAN, at)}},
			[]string{"PUT " + at}, banks.Embedded},
		"password, no scaStatus": {link("startAuthorisationWithPsuAuthentication", at), []reply{{body: fmt.Sprintf(askTAN, at)}},
			[]string{"PUT " + at}, banks.Embedded},
		"absolute": {link("startAuthorisationWithPsuAuthentication", "HOST"+at), []reply{{body: fmt.Sprintf(askTAN, at)}},
			[]string{"PUT " + at}, banks.Embedded},
		"American": {link("startAuthorisationWithPsuAuthentication", "/v1/consents/c1/authorizations/a1/"), nil, []string{"PUT /v1/consents/c1/authorizations/a1/"}, ""},
		"identification": {link("startAuthorisationWithPsuIdentification", at), []reply{{body: identified}, {body: fmt.Sprintf(askTAN, at)}},
			[]string{"PUT " + at, "PUT " + at}, banks.Embedded},
		"plain": {link("startAuthorisation", at), []reply{{body: identified}, {body: fmt.Sprintf(askTAN, at)}},
			[]string{"PUT " + at, "PUT " + at}, banks.Embedded},
		"plain, and the bank wants the password at once": {link("startAuthorisation", at),
			[]reply{{status: 400, body: `{"tppMessages":[{"category":"ERROR","code":"FORMAT_ERROR"}]}`}, {body: fmt.Sprintf(askTAN, at)}},
			[]string{"PUT " + at, "PUT " + at}, banks.Embedded},
		"plain, and no link follows": {link("startAuthorisation", at), []reply{{body: `{"scaStatus":"psuIdentified"}`}, {body: fmt.Sprintf(askTAN, at)}},
			[]string{"PUT " + at, "PUT " + at}, banks.Embedded},
		"only a status": {link("scaStatus", at), []reply{{body: fmt.Sprintf(askTAN, at)}}, []string{"PUT " + at}, banks.Embedded},
		"method": {link("startAuthorisationWithAuthenticationMethodSelection", at) + `},"scaMethods":[{"authenticationType":"SMS_OTP","authenticationMethodId":"1"}],"x":{`,
			[]reply{{body: fmt.Sprintf(askTAN, at)}}, []string{"PUT " + at}, banks.Embedded},
		"password, then a choice": {link("startAuthorisationWithPsuAuthentication", at), []reply{{body: authenticated}}, []string{"PUT " + at}, banks.MethodSelection},
		"equal to the status":     {link("startAuthorisationWithPsuAuthentication", "/v1/sca/a1") + "," + link("scaStatus", "HOST/v1/sca/a1"), nil, []string{"PUT /v1/sca/a1"}, ""},

		"a real start": {link("startAuthorisationWithPsuAuthentication", "/v1/consents/c1/authorisations"), nil, []string{"POST /v1/consents/c1/authorisations"}, ""},
		"a consent that is called so": {link("startAuthorisationWithPsuAuthentication", "/v1/consents/authorisations"), nil,
			[]string{"POST /v1/consents/authorisations"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := openFieldBank(t, "", map[string][]reply{
				"POST /v1/consents": {{status: 201, header: map[string]string{"ASPSP-SCA-Approach": "EMBEDDED"}, body: fmt.Sprintf(consented, test.links)}},
				"PUT " + at:         test.answers,
			})
			_, step, err := b.begin()
			require.Equal(t, test.calls, b.calls()[1:])
			last := b.calls()[len(b.calls())-1]
			if name != "method" {
				require.Equal(t, []string{last}, b.carrying(pin), "the PIN is sent once, with the last of them")
			}
			if test.asked == "" {
				requireKind(t, err, banks.Rejected)
				require.Equal(t, banks.CodeInternal, banks.AsError(err).Code, "a 404 to the PIN is our mistake: %v", err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.asked, step.Challenge.Type)
		})
	}
}
