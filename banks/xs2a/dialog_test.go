package xs2a_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/xs2a"
)

const standardSentence = "The PSU-ID cannot be matched by the addressed ASPSP or is blocked, or a password resp. OTP was not correct. Additional information might be added."

// TestWrongPINIsNotBlocked: a wrong secret is told as that, whatever sentence stands beside the
// code; a block is told where the code, or a plain statement, says so.
func TestWrongPINIsNotBlocked(t *testing.T) {
	t.Parallel()
	const at = "/v1/consents/c1/authorisations/a1"
	const login, password, tanStep, confirmation = "login", "password", "TAN", "confirmation"
	sca := map[string]int{password: banks.CodePINInvalid, tanStep: banks.CodeTANInvalid, confirmation: banks.CodeOTPInvalid}
	texts := map[string]bool{ // whether it states a block
		"":               false,
		standardSentence: false,
		"Die PSU-ID konnte nicht zugeordnet werden oder ist gesperrt, oder Passwort bzw. OTP waren nicht korrekt.": false,
		"L'identifiant PSU est inconnu ou bloqué, ou le mot de passe est incorrect.":                               false,
		"Anmeldename oder PIN ist falsch.":                                                           false,
		"PIN falsch. Nach drei Fehlversuchen wird Ihr Zugang gesperrt.":                              false,
		"Wrong password. Your access will be blocked after one more try.":                            false,
		"The user is unknown or locked.":                                                             false,
		"Ihr Online-Zugang ist gesperrt.":                                                            true,
		"The PSU has been blocked.":                                                                  true,
		"Zu viele Fehlversuche: Ihr Zugang wurde gesperrt, rufen Sie uns an oder kommen Sie vorbei.": true,
	}
	for _, step := range []string{login, password, tanStep, confirmation} {
		for text, blocked := range texts {
			for _, said := range []struct {
				status int
				code   string
			}{{401, "PSU_CREDENTIALS_INVALID"}, {400, "PSU_CREDENTIALS_INVALID"}, {401, ""}, {401, "UNHEARD_OF"}, {403, "SERVICE_BLOCKED"}, {400, "SCA_INVALID"}} {
				if step == login && said.code != "PSU_CREDENTIALS_INVALID" && said.code != "SERVICE_BLOCKED" {
					continue // nothing secret was sent
				}
				t.Run(fmt.Sprint(step, " ", said.status, said.code, " ", text), func(t *testing.T) {
					t.Parallel()
					raw, err := json.Marshal(map[string]any{"tppMessages": []any{map[string]string{"category": "ERROR", "code": said.code, "text": text}}})
					require.NoError(t, err)
					no := reply{status: said.status, body: string(raw)}
					plays := map[string][]reply{
						"POST /v1/consents": {{status: 201, body: fmt.Sprintf(consented, link("updatePsuAuthentication", at))}},
						"PUT " + at:         {no},
					}
					answer := banks.Answer{Value: tan}
					switch step {
					case login:
						plays["POST /v1/consents"] = []reply{no}
					case tanStep:
						plays["PUT "+at] = []reply{{body: fmt.Sprintf(askTAN, at)}, no}
					case confirmation:
						plays["POST /v1/consents"] = []reply{{status: 201, body: fmt.Sprintf(consented, link("scaRedirect", "https://bank.example/login")+","+link("scaStatus", at))}}
						plays["GET "+at] = []reply{{body: fmt.Sprintf(`{"scaStatus":"unconfirmed","_links":{%s}}`, link("confirmation", at))}}
						answer = banks.Answer{Query: map[string]string{"confirmationCode": "canary-code"}}
					}
					b := openFieldBank(t, "", plays)
					conv, step1, err := b.begin()
					if step == tanStep || step == confirmation {
						require.NoError(t, err)
						require.Equal(t, banks.Challenged, step1.Status)
						_, err = goOn(t, xs2a.New(xs2a.Options{}), conv, &answer)
					}
					require.Error(t, err)
					e := banks.AsError(err)
					want, kind := sca[step], banks.WrongCredentials
					if step == login {
						want = banks.CodeLoginInvalid
					}
					if said.code == "SERVICE_BLOCKED" || blocked && said.code != "SCA_INVALID" {
						want, kind = banks.CodeAccessBlocked, banks.NeedsUser
					}
					require.Equal(t, want, e.Code, "%v", err)
					require.Equal(t, kind, e.Kind, "%v", err)
					require.NotContains(t, err.Error(), "gesperrt")
					for _, secret := range []string{pin, tan, "canary-code"} {
						require.LessOrEqual(t, len(b.carrying(secret)), 1, "sent again")
					}
				})
			}
		}
	}
}

// A 404 to the PIN, or to what goes before it, is our mistake. Nobody took too long.
func TestAWrongAddressIsNotTheCustomers(t *testing.T) {
	t.Parallel()
	const at = "/v1/consents/c1/authorisations/a1"
	for name, test := range map[string]struct {
		link   string
		no     reply
		asks   bool // the customer was asked, and answered
		kind   banks.Kind
		code   int
		logged string
	}{
		"PIN": {link("updatePsuAuthentication", at), reply{status: 404}, false, banks.Rejected, banks.CodeInternal, "knows no such address"},
		"PIN, RESOURCE_UNKNOWN": {link("updatePsuAuthentication", at), reply{status: 404, body: `{"tppMessages":[{"code":"RESOURCE_UNKNOWN"}]}`}, false,
			banks.Rejected, banks.CodeInternal, "RESOURCE_UNKNOWN"},
		"PIN, gone":      {link("updatePsuAuthentication", at), reply{status: 410}, false, banks.Rejected, banks.CodeInternal, "knows no such address"},
		"start":          {link("startAuthorisation", "/v1/consents/c1/authorisations"), reply{status: 404}, false, banks.Rejected, banks.CodeInternal, "knows no such address"},
		"identification": {link("updatePsuIdentification", at), reply{status: 404}, false, banks.Rejected, banks.CodeInternal, "knows no such address"},
		"TAN":            {link("authoriseTransaction", at), reply{status: 404}, true, banks.NeedsUser, banks.CodeExpired, "404"},
		"TAN, expired": {link("authoriseTransaction", at), reply{status: 403, body: `{"tppMessages":[{"code":"RESOURCE_EXPIRED"}]}`}, true,
			banks.NeedsUser, banks.CodeExpired, "RESOURCE_EXPIRED"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := openFieldBank(t, "", map[string][]reply{
				"POST /v1/consents":                   {{status: 201, body: fmt.Sprintf(consented, test.link)}},
				"PUT " + at:                           {test.no},
				"POST /v1/consents/c1/authorisations": {test.no},
			})
			conv, _, err := b.begin()
			if test.asks {
				require.NoError(t, err)
				_, err = goOn(t, xs2a.New(xs2a.Options{}), conv, &banks.Answer{Value: tan})
			}
			requireKind(t, err, test.kind)
			require.Equal(t, test.code, banks.AsError(err).Code, "%v", err)
			require.ErrorContains(t, err, test.logged)
			require.NotContains(t, err.Error(), "/v1/")
		})
	}
}

// TestErrorsAtTheReturn: what the customer comes back with says whose fault it is. The bank's is
// tried again: by sending the customer there once more, so often.
func TestErrorsAtTheReturn(t *testing.T) {
	t.Parallel()
	for _, persona := range []string{"oauth", "redirect"} {
		for said, want := range map[string]struct {
			kind banks.Kind
			code int
		}{
			"access_denied":             {banks.NeedsUser, banks.CodeLoginNotPossible},
			"login_required":            {banks.NeedsUser, banks.CodeLoginNotPossible},
			"DE67900900424711951500":    {banks.NeedsUser, banks.CodeLoginNotPossible},
			"Ein Fehler":                {banks.NeedsUser, banks.CodeLoginNotPossible},
			"server_error":              {banks.Transient, banks.CodeTemporary},
			" SERVER_ERROR ":            {banks.Transient, banks.CodeTemporary},
			"temporarily_unavailable":   {banks.Transient, banks.CodeTemporary},
			"invalid_request":           {banks.Rejected, banks.CodeInternal},
			"invalid_scope":             {banks.Rejected, banks.CodeInternal},
			"invalid_request_object":    {banks.Rejected, banks.CodeInternal},
			"unauthorized_client":       {banks.Rejected, banks.CodeInternal},
			"unsupported_response_type": {banks.Rejected, banks.CodeInternal},
		} {
			t.Run(persona+" "+said, func(t *testing.T) {
				t.Parallel()
				g := newGround(t, xs2a.Options{}, nil)
				conv := g.conversation(t, "demo", persona)
				for visit := range 4 {
					c := ask(t, g.provider, conv)
					require.Equal(t, banks.RedirectTo, c.Type)
					require.Len(t, conv.Left, visit, "a consent whose fate is not known is left")
					_, err := g.provider.Answer(t.Context(), conv, banks.Answer{Query: map[string]string{"error": said, "error_description": "Die Bank sagt."}})
					e := banks.AsError(err)
					require.Equal(t, want.code, e.Code, "%v", err)
					require.Equal(t, "Die Bank sagt.", e.Message)
					require.NotContains(t, err.Error(), "Ein Fehler")
					require.NotContains(t, err.Error(), "DE679009")
					if want.kind != banks.Transient {
						require.Equal(t, want.kind, e.Kind)
						return
					}
					if visit < 3 {
						require.Equal(t, banks.Transient, e.Kind, "visit %d", visit)
					} else {
						require.Equal(t, banks.BankDown, e.Kind, "often enough")
					}
				}
			})
		}
	}
}

// A visit that the bank failed, and one that it did not: the customer gets through.
func TestTheBankFailsAVisit(t *testing.T) {
	t.Parallel()
	g := newGround(t, xs2a.Options{}, nil)
	conv := g.conversation(t, "server-error", "demo")
	asked, err := authorize(t, g.provider, conv)
	require.NoError(t, err)
	require.Len(t, asked, 2)
	accounts, err := g.provider.Accounts(t.Context(), conv)
	require.NoError(t, err)
	require.NotEmpty(t, accounts)
	require.Equal(t, 1, g.bank.Counters().Consents["demo"])
}

// Statuses come in all spellings, and some are of the bank's own.
func TestStatusesInAnySpelling(t *testing.T) {
	t.Parallel()
	const at = "/v1/consents/c1/authorisations/a1"
	for sca, want := range map[string]string{
		"finalised": "ready", "FINALISED": "ready", "Finalized": "ready", "exempted": "ready", "EXEMPTED": "ready",
		"failed": "failed", "FAILED": "failed",
		"started": "waits", "STARTED": "waits", "SCA_METHOD_SELECTED": "waits", "psuAuthenticated": "waits", "in progress": "waits", "approved?": "waits",
	} {
		for consent, valid := range map[string]string{"valid": "", "VALID": "", "Valid": "", "partiallyAuthorised": "second", "PARTIALLY_AUTHORISED": "second",
			"partially-authorized": "second", "rejected": "no", "REVOKED_BY_PSU": "no", "Expired": "no", "activated by us": "unknown"} {
			if want != "ready" && consent != "valid" {
				continue
			}
			t.Run(sca+" "+consent, func(t *testing.T) {
				t.Parallel()
				b := openFieldBank(t, "", map[string][]reply{
					"POST /v1/consents":   {{status: 201, body: fmt.Sprintf(`{"consentId":"c1","consentStatus":"RECEIVED","scaStatus":%q,"_links":{%s}}`, sca, link("scaStatus", at))}},
					"GET /v1/consents/c1": {{body: fmt.Sprintf(`{"consentStatus":%q}`, consent)}},
				})
				_, step, err := b.begin()
				switch {
				case want == "waits":
					require.NoError(t, err)
					require.Equal(t, banks.Decoupled, step.Challenge.Type)
				case want == "failed":
					requireKind(t, err, banks.NeedsUser)
				case valid == "":
					require.NoError(t, err)
					require.Equal(t, banks.Ready, step.Status)
				case valid == "second":
					requireKind(t, err, banks.NeedsUser)
					require.Equal(t, banks.CodeConfirmAtBank, banks.AsError(err).Code)
				case valid == "no":
					requireKind(t, err, banks.NeedsUser)
				default:
					requireKind(t, err, banks.Rejected)
					require.NotContains(t, err.Error(), "activated")
				}
			})
		}
	}
}

// A picture that cannot be read costs the customer the picture, where what to do stands beside it.
func TestPicturesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	const at = "/v1/consents/c1/authorisations/a1"
	good := base64.StdEncoding.EncodeToString(smallPNG(t))
	bad := base64.StdEncoding.EncodeToString([]byte("Base64TestData"))
	for name, test := range map[string]struct {
		data   string
		link   reply // of the picture
		format string
		shows  string
	}{
		"beside data":            {`{"image":"` + bad + `","data":["Startcode 4711"],"otpMaxLength":6}`, reply{}, banks.FormatText, "Startcode 4711"},
		"beside words":           {`{"image":"` + bad + `","additionalInformation":"Bitte die Karte einstecken."}`, reply{}, banks.FormatText, "Bitte die Karte einstecken."},
		"no base64, beside data": {`{"image":"%%%","data":["Startcode 4711"]}`, reply{}, banks.FormatText, "Startcode 4711"},
		"beside a flicker code":  {`{"image":"` + bad + `","data":["088101201234567845"]}`, reply{}, banks.FormatHHD, "088101201234567845"},
		"alone":                  {`{"image":"` + bad + `","otpMaxLength":6}`, reply{}, "", ""},
		"the second is good":     {`{"image":["` + bad + `","` + good + `"]}`, reply{}, banks.FormatPhoto, "data:image/png;base64," + good},
		"the link is good":       {`{"image":"` + bad + `","imageLink":"/v1/picture"}`, reply{header: map[string]string{"Content-Type": "image/png"}, body: string(smallPNG(t))}, banks.FormatPhoto, "data:image/png;base64," + good},
		"the link is dead":       {`{"imageLink":"/v1/picture","data":["Startcode 4711"]}`, reply{status: 404}, banks.FormatText, "Startcode 4711"},
		"the link breaks":        {`{"imageLink":"/v1/picture","data":["Startcode 4711"]}`, reply{status: 503}, banks.FormatText, "Startcode 4711"},
		"the link leads away":    {`{"imageLink":"https://elsewhere.example/p","data":["Startcode 4711"]}`, reply{}, banks.FormatText, "Startcode 4711"},
		"the link is HTML":       {`{"imageLink":"/v1/picture","data":["Startcode 4711"]}`, reply{header: map[string]string{"Content-Type": "image/png"}, body: "<html>"}, banks.FormatText, "Startcode 4711"},
		"the dead link is all":   {`{"imageLink":"/v1/picture"}`, reply{status: 404}, "", ""},
		"good beside data":       {`{"image":"` + good + `","data":["Startcode 4711"]}`, reply{}, banks.FormatPhoto, "data:image/png;base64," + good},
		"not a text at all":      {`{"image":{"x":1},"data":["Startcode 4711"]}`, reply{}, banks.FormatText, "Startcode 4711"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := openFieldBank(t, "", map[string][]reply{
				"POST /v1/consents": {{status: 201, body: fmt.Sprintf(`{"consentId":"c1","consentStatus":"received","challengeData":%s,"_links":{%s}}`,
					test.data, link("authoriseTransaction", at))}},
				"GET /v1/picture": {test.link},
			})
			_, step, err := b.begin()
			if test.format == "" {
				require.Error(t, err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, test.format, step.Challenge.Format)
			require.Equal(t, test.shows, step.Challenge.Data)
		})
	}
}

func TestFormatsOfTheOTP(t *testing.T) {
	t.Parallel()
	for said, want := range map[string]string{"integer": "integer", "Integer": "integer", "INTEGER": "integer", "Characters": "characters", "": "", "klingon": ""} {
		b := openFieldBank(t, "", map[string][]reply{"POST /v1/consents": {{status: 201, body: fmt.Sprintf(
			`{"consentId":"c1","consentStatus":"received","challengeData":{"data":["x"],"otpFormat":%q},"_links":{%s}}`, said, link("authoriseTransaction", "/v1/a"))}}})
		_, step, err := b.begin()
		require.NoError(t, err)
		require.Equal(t, want, step.Challenge.InputFormat, said)
	}
}

// Where we have the PIN, we say that the customer need not be sent to the bank's pages; the
// connection may say otherwise.
func TestWhetherARedirectIsPreferred(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for name, test := range map[string]struct {
		setting *bool
		pin     string
		want    string
	}{
		"with a PIN": {nil, pin, "false"}, "without": {nil, "", ""}, "wanted": {&yes, pin, "true"}, "not wanted": {&no, "", "false"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := openFieldBank(t, "", map[string][]reply{
				"POST /v1/consents":                   {{status: 201, body: fmt.Sprintf(consented, link("startAuthorisation", "/v1/consents/c1/authorisations"))}},
				"POST /v1/consents/c1/authorisations": {{status: 201, body: fmt.Sprintf(askTAN, "/v1/a")}},
			})
			conv := b.conversation()
			conv.Connection.RedirectPreferred, conv.Credentials[banks.CredentialPIN] = test.setting, test.pin
			_, err := goOn(t, xs2a.New(xs2a.Options{}), conv, nil)
			require.NoError(t, err)
			for _, call := range []string{"POST /v1/consents", "POST /v1/consents/c1/authorisations"} {
				require.Equal(t, test.want, b.got(call).header.Get("TPP-Redirect-Preferred"), call)
			}
		})
	}
}

// The signature covers Date only where the connection says so; the header is there in either case.
func TestWhetherDateIsSigned(t *testing.T) {
	t.Parallel()
	for path, signed := range map[string]bool{"signed": false, "signed-date": true} {
		var calls recorder
		g := newGround(t, xs2a.Options{}, calls.wrap)
		conv := g.conversation(t, path, "exempt")
		require.Equal(t, signed, conv.Connection.SignDate)
		_, err := authorize(t, g.provider, conv)
		require.NoError(t, err)
		for _, c := range calls.take() {
			require.NotEmpty(t, c.header.Get("Date"))
			require.Equal(t, signed, strings.Contains(c.header.Get("Signature"), " date"), c.path)
		}
		conv = g.conversation(t, path, "exempt")
		conv.Connection.SignDate = !signed
		_, err = authorize(t, g.provider, conv)
		requireKind(t, err, banks.Rejected, "the other way round")
	}
}

// A bank that takes the password, and then wants it again, does not get it again.
func TestThePasswordIsNotSentTwice(t *testing.T) {
	t.Parallel()
	const at = "/v1/consents/c1/authorisations/a1"
	for name, answer := range map[string]string{
		"the same link":        fmt.Sprintf(`{"scaStatus":"psuIdentified","_links":{%s}}`, link("updatePsuAuthentication", at)),
		"another link":         fmt.Sprintf(`{"scaStatus":"received","_links":{%s}}`, link("updatePsuAuthentication", at+"/again")),
		"a start":              fmt.Sprintf(`{"_links":{%s}}`, link("startAuthorisationWithPsuAuthentication", "/v1/consents/c1/authorisations")),
		"only the old status":  `{"scaStatus":"psuIdentified"}`,
		"nothing":              `{}`,
		"nothing, and no JSON": ``,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := openFieldBank(t, "", map[string][]reply{
				"POST /v1/consents": {{status: 201, header: map[string]string{"ASPSP-SCA-Approach": "EMBEDDED"},
					body: fmt.Sprintf(consented, link("updatePsuAuthentication", at)+","+link("scaStatus", at))}},
				"PUT " + at:                           {{body: answer}},
				"PUT " + at + "/again":                {{body: answer}},
				"POST /v1/consents/c1/authorisations": {{status: 201, body: answer}},
			})
			_, _, err := b.begin()
			if err != nil {
				require.NotEqual(t, banks.Transient, banks.AsError(err).Kind)
			}
			require.Len(t, b.carrying(pin), 1, "%v", b.calls())
		})
	}
}

func TestNoMethodAtAll(t *testing.T) {
	t.Parallel()
	const at = "/v1/consents/c1/authorisations/a1"
	b := openFieldBank(t, "", map[string][]reply{
		"POST /v1/consents": {{status: 201, body: fmt.Sprintf(consented, link("updatePsuAuthentication", at))}},
		"PUT " + at:         {{body: fmt.Sprintf(`{"scaStatus":"psuAuthenticated","scaMethods":[],"_links":{%s}}`, link("scaStatus", at))}},
	})
	_, _, err := b.begin()
	requireKind(t, err, banks.NeedsUser)
	require.Equal(t, banks.CodeTANNotActivated, banks.AsError(err).Code)
}

// A bank that wants the password encrypted, and a connection that does not say for whom: it is not
// sent in clear.
func TestNoPasswordInClearWhereTheBankWantsItEncrypted(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"updateEncryptedPsuAuthentication", "startAuthorisationWithEncryptedPsuAuthentication"} {
		for _, at := range []string{"/v1/consents/c1/authorisations/a1", "/v1/consents/c1/authorisations"} {
			b := openFieldBank(t, "", map[string][]reply{"POST /v1/consents": {{status: 201, body: fmt.Sprintf(consented, link(name, at))}}})
			_, _, err := b.begin()
			requireKind(t, err, banks.Rejected)
			require.Equal(t, banks.CodeInternal, banks.AsError(err).Code)
			require.Empty(t, b.carrying(pin))
		}
	}
}

// The sandbox's bank whose start link is the authorisation: embedded where we have the PIN, its own
// pages where we do not.
func TestTheWayFollowsThePIN(t *testing.T) {
	t.Parallel()
	g := newGround(t, xs2a.Options{}, nil)
	asked, err := authorize(t, g.provider, g.conversation(t, "start-put", "demo"))
	require.NoError(t, err)
	require.Equal(t, banks.Embedded, asked[0].Type)
	require.Equal(t, "integer", asked[0].InputFormat)
	require.Equal(t, 1, g.bank.Counters().Logins["demo"])

	conv := g.conversation(t, "start-put", "demo+pages")
	delete(conv.Credentials, banks.CredentialPIN)
	require.Equal(t, banks.RedirectTo, ask(t, g.provider, conv).Type)
}

// What is unreadable is named in our own words.
func TestOwnWordsAboutAnAnswer(t *testing.T) {
	t.Parallel()
	for body, says := range map[string]string{
		"<html>Erika Mustermann</html>":                "the answer is not JSON",
		`{"consentId":"Erika`:                          "*json.SyntaxError",
		strings.Repeat(" ", 1<<20) + `{"consentId":1}`: "the answer is too large",
	} {
		b := openFieldBank(t, "", map[string][]reply{"POST /v1/consents": {{status: 201, header: map[string]string{"Content-Type": map[bool]string{true: "text/html", false: "application/json"}[body[0] == '<']}, body: body}}})
		_, _, err := b.begin()
		requireKind(t, err, banks.Rejected)
		require.ErrorContains(t, err, says)
		require.NotContains(t, err.Error(), "Erika")
	}
}

// TestAStatusLinkThatLeadsNowhere: the consent tells how the authorisation stands, and nobody is told that they took too long.
func TestAStatusLinkThatLeadsNowhere(t *testing.T) {
	t.Parallel()
	status := func(consent string) reply { return reply{body: fmt.Sprintf(`{"consentStatus":%q}`, consent)} }
	for name, test := range map[string]struct {
		links    string
		consent  []reply // its status, in turn
		kind     banks.Kind
		code     int
		statuses int // how often the broken link is asked
	}{
		"page, granted":             {link("scaRedirect", "https://bank.example/login"), []reply{status("valid")}, "", 0, 1},
		"page, refused":             {link("scaRedirect", "https://bank.example/login"), []reply{status("rejected")}, banks.NeedsUser, banks.CodeLoginNotPossible, 1},
		"page, granted in a moment": {link("scaRedirect", "https://bank.example/login"), []reply{status("received"), status("valid")}, "", 0, 1},
		"page, nobody knows":        {link("scaRedirect", "https://bank.example/login"), []reply{{status: 404}}, banks.NeedsUser, banks.CodeExpired, 1},
		"app, granted":              {`"x":{}`, []reply{status("received"), status("received"), status("valid")}, "", 0, 1},
		"app, refused":              {`"x":{}`, []reply{status("received"), status("rejected")}, banks.NeedsUser, banks.CodeTANInvalid, 1},
		"app, nobody knows":         {`"x":{}`, []reply{{status: 403}}, banks.NeedsUser, banks.CodeExpired, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const at = "/v1/consents/c1/authorisations/a1"
			approach := map[bool]string{true: "REDIRECT", false: "DECOUPLED"}[strings.HasPrefix(name, "page")]
			b := openFieldBank(t, "", map[string][]reply{
				"POST /v1/consents":          {{status: 201, header: map[string]string{"ASPSP-SCA-Approach": approach}, body: fmt.Sprintf(consented, test.links+","+link("scaStatus", at))}},
				"GET /v1/consents/c1/status": test.consent,
				"GET /v1/consents/c1":        {{body: granted}},
			})
			now := time.Now()
			p := xs2a.New(xs2a.Options{Now: func() time.Time { return now }})
			conv := b.conversation()
			step, err := goOn(t, p, conv, nil)
			require.NoError(t, err)
			require.Equal(t, banks.Challenged, step.Status)
			for range 5 {
				now = now.Add(time.Minute)
				if step, err = goOn(t, p, conv, &banks.Answer{Query: map[string]string{}}); err != nil || step.Status == banks.Ready {
					break
				}
			}
			statuses := 0
			for _, call := range b.calls() {
				if call == "GET "+at {
					statuses++
				}
			}
			require.Equal(t, test.statuses, statuses)
			if test.kind != "" {
				requireKind(t, err, test.kind)
				require.Equal(t, test.code, banks.AsError(err).Code)
				return
			}
			require.NoError(t, err)
			require.Equal(t, banks.Ready, step.Status)
		})
	}
}

// smallPNG is a picture.
func smallPNG(t *testing.T) []byte {
	t.Helper()
	var file bytes.Buffer
	require.NoError(t, png.Encode(&file, image.NewGray(image.Rect(0, 0, 8, 8))))
	return file.Bytes()
}
