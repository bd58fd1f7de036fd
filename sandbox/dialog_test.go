package sandbox_test

import (
	"bytes"
	"encoding/base64"
	"image/png"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/sandbox"
)

func open() *sandbox.Bank { return sandbox.New(sandbox.Options{Now: clock}) }

// started creates a consent and starts its authorisation as the links say.
func (c *tpp) started(login string) (consent, authorisation *reply) {
	c.t.Helper()
	consent = c.do("POST", "/v1/consents", allAccounts(), with(atHome, "PSU-ID", login))
	require.Equal(c.t, 201, consent.Status, string(consent.Raw))
	authorisation = c.do("POST", consent.Body.Links["startAuthorisation"].Href, nil, with(atHome, "PSU-ID", login))
	require.Equal(c.t, 201, authorisation.Status, string(authorisation.Raw))
	return consent, authorisation
}

// afterPassword goes on to where the password has been taken.
func (c *tpp) afterPassword(login string) (consent, authorisation *reply) {
	c.t.Helper()
	consent, authorisation = c.started(login)
	authorisation = c.do("PUT", authorisation.Body.Links["updatePsuAuthentication"].Href, object{"psuData": object{"password": "demo"}}, nil)
	return consent, authorisation
}

func (c *tpp) status(consent *reply) string {
	c.t.Helper()
	return c.do("GET", consent.Body.Links["status"].Href, nil, nil).Body.ConsentStatus
}

func TestMethodThenDevice(t *testing.T) {
	t.Parallel()
	c := visit(t, open(), "demo").checked()
	consent, a := c.afterPassword("devices")
	require.Equal(t, "psuAuthenticated", a.Body.ScaStatus)
	require.Len(t, a.Body.ScaMethods, 2)
	choose := a.Body.Links["selectAuthenticationMethod"].Href

	require.Equal(t, "SCA_METHOD_UNKNOWN", c.do("PUT", choose, object{"authenticationMethodId": "pigeon"}, nil).code())
	a = c.do("PUT", choose, object{"authenticationMethodId": "chip"}, nil)
	require.Equal(t, "psuAuthenticated", a.Body.ScaStatus)
	require.Len(t, a.Body.ScaMethods, 2, "now the cards")
	require.Contains(t, a.Body.ScaMethods[1].Name, "girocard")
	a = c.do("PUT", choose, object{"authenticationMethodId": a.Body.ScaMethods[1].ID}, nil)
	require.Equal(t, "scaMethodSelected", a.Body.ScaStatus)
	a = c.do("PUT", a.Body.Links["authoriseTransaction"].Href, object{"scaAuthenticationData": "111111"}, nil)
	require.Equal(t, "finalised", a.Body.ScaStatus)
	require.Equal(t, "valid", c.status(consent))
}

func TestPhotoIsAPNG(t *testing.T) {
	t.Parallel()
	_, a := visit(t, open(), "demo").checked().afterPassword("photo")
	raw, err := base64.StdEncoding.DecodeString(a.Body.ChallengeData.Image)
	require.NoError(t, err)
	picture, err := png.Decode(bytes.NewReader(raw))
	require.NoError(t, err)
	require.Greater(t, picture.Bounds().Dx(), 100)
	require.Less(t, len(raw), 16<<10)
}

// HHD extension for unidirectional coupling, 1.4: the length byte counts what follows, the last two digits are the
// Luhn digit over the contents and the XOR of all half bytes.
func TestFlickerCodeHoldsItsChecks(t *testing.T) {
	t.Parallel()
	_, a := visit(t, open(), "demo").checked().afterPassword("flicker")
	code := a.Body.ChallengeData.Data[0]
	value := func(s string) (n int) {
		for _, c := range s {
			n = n*16 + strings.IndexRune("0123456789ABCDEF", c)
		}
		return n
	}
	require.Equal(t, len(code)/2-1, value(code[:2]))
	require.Equal(t, 0x84, value(code[2:4]), "four bytes of start code, and a control byte before them")
	require.Equal(t, "01", code[4:6], "HHD 1.4")
	require.Equal(t, 5, value(code[14:16]), "ten digits of data")
	contents, luhn := code[4:14]+code[16:26], 0
	for i, c := range contents {
		n := value(string(c)) * (1 + i%2)
		if i%2 == 1 {
			n = n/10 + n%10
		}
		luhn += n
	}
	require.Equal(t, 0, (luhn+value(code[26:27]))%10)
	xor := 0
	for _, c := range code[:26] {
		xor ^= value(string(c))
	}
	require.Equal(t, value(code[27:]), xor)
}

func TestDecoupled(t *testing.T) {
	t.Parallel()
	b := open()
	c := visit(t, b, "demo").checked()

	consent, a := c.afterPassword("decoupled")
	require.Equal(t, "DECOUPLED", a.Header.Get("ASPSP-SCA-Approach"))
	require.NotEmpty(t, a.Body.PSUMessage)
	for _, want := range []string{"started", "started", "finalised", "finalised"} {
		require.Equal(t, want, c.do("GET", a.Body.Links["scaStatus"].Href, nil, nil).Body.ScaStatus)
	}
	require.Equal(t, "valid", c.status(consent))
	require.Equal(t, 3, b.Counters().Polls["decoupled"])

	for _, approve := range []bool{true, false} {
		consent, a = c.afterPassword("app")
		for range 10 {
			require.Equal(t, "started", c.do("GET", a.Body.Links["scaStatus"].Href, nil, nil).Body.ScaStatus)
		}
		require.NoError(t, b.Decide("app", approve))
		want := map[bool][2]string{true: {"finalised", "valid"}, false: {"failed", "rejected"}}[approve]
		require.Equal(t, want[0], c.do("GET", a.Body.Links["scaStatus"].Href, nil, nil).Body.ScaStatus)
		require.Equal(t, want[1], c.status(consent))
	}
	require.ErrorIs(t, b.Decide("app", true), sandbox.ErrNothing)
}

func TestTANIsSpentOnce(t *testing.T) {
	t.Parallel()
	b := open()
	c := visit(t, b, "demo").checked()
	consent, a := c.afterPassword("demo")
	answer := object{"scaAuthenticationData": "111111"}
	authorise := a.Body.Links["authoriseTransaction"].Href
	require.Equal(t, "finalised", c.do("PUT", authorise, answer, nil).Body.ScaStatus)

	again := c.do("PUT", authorise, answer, nil)
	require.Equal(t, 409, again.Status)
	require.Equal(t, "STATUS_INVALID", again.code())
	require.Equal(t, "finalised", c.do("GET", a.Body.Links["scaStatus"].Href, nil, nil).Body.ScaStatus, "it tells how it went")
	require.Equal(t, 1, b.Counters().TANs["demo"])
	require.Equal(t, 409, c.do("POST", consent.Body.Links["startAuthorisation"].Href, nil, nil).Status, "a valid consent needs no other")
}

func TestThirdWrongTANEndsTheAuthorisation(t *testing.T) {
	t.Parallel()
	c := visit(t, open(), "demo").checked()
	consent, a := c.afterPassword("demo")
	authorise := a.Body.Links["authoriseTransaction"].Href
	for range 3 {
		wrong := c.do("PUT", authorise, object{"scaAuthenticationData": "222222"}, nil)
		require.Equal(t, 401, wrong.Status)
		require.Equal(t, "PSU_CREDENTIALS_INVALID", wrong.code())
	}
	require.Equal(t, "SCA_INVALID", c.do("PUT", authorise, object{"scaAuthenticationData": "111111"}, nil).code())
	require.Equal(t, "failed", c.do("GET", a.Body.Links["scaStatus"].Href, nil, nil).Body.ScaStatus)
	require.Equal(t, "rejected", c.status(consent))
}

func TestDoors(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		login, password string
		status          []int
		code, says      string
	}{
		{"demo", "wrong", []int{401, 401, 401, 403}, "PSU_CREDENTIALS_INVALID", "falsch"},
		{"wrongpin", "demo", []int{401, 401, 401, 403}, "PSU_CREDENTIALS_INVALID", "falsch"},
		{"locked", "demo", []int{403}, "SERVICE_BLOCKED", "gesperrt"},
		{"pinchange", "demo", []int{403}, "SERVICE_BLOCKED", "PIN-Änderung"},
	} {
		b := open()
		c := visit(t, b, "demo").checked()
		for i, want := range row.status {
			_, a := c.started(row.login)
			refused := c.do("PUT", a.Body.Links["updatePsuAuthentication"].Href, object{"psuData": object{"password": row.password}}, nil)
			require.Equal(t, want, refused.Status, row.login)
			if i == 0 {
				require.Equal(t, row.code, refused.code())
				require.Contains(t, refused.Body.Messages[0].Text, row.says)
			}
		}
		require.Equal(t, len(row.status), b.Counters().Logins[row.login])
		require.LessOrEqual(t, b.Counters().WrongPINs[row.login], 3, "who is locked is not asked any more")
	}
}

func TestSecondChallengeForTransactions(t *testing.T) {
	t.Parallel()
	c := visit(t, open(), "demo").checked()
	consent := c.consented("again")
	reading := with(atHome, "Consent-ID", consent)
	account := c.do("GET", "/v1/accounts", nil, reading).Body.Accounts[0]
	list := account.Links["transactions"].Href + "?bookingStatus=booked&dateFrom=2026-03-01"

	refused := c.do("GET", list, nil, reading)
	require.Equal(t, 401, refused.Status)
	start := refused.Body.Links["startAuthorisation"].Href
	require.NotEmpty(t, start)
	a := c.do("POST", start, nil, with(atHome, "PSU-ID", "again"))
	a = c.do("PUT", a.Body.Links["updatePsuAuthentication"].Href, object{"psuData": object{"password": "demo"}}, nil)
	a = c.do("PUT", a.Body.Links["authoriseTransaction"].Href, object{"scaAuthenticationData": "111111"}, nil)
	require.Equal(t, "finalised", a.Body.ScaStatus)
	require.Equal(t, 200, c.do("GET", list, nil, reading).Status)
}

func TestIdentificationAsAStepOfItsOwn(t *testing.T) {
	t.Parallel()
	c := visit(t, open(), "demo").checked()
	consent := c.do("POST", "/v1/consents", allAccounts(), atHome)
	start := consent.Body.Links["startAuthorisationWithPsuIdentification"].Href
	require.NotEmpty(t, start)

	a := c.do("POST", start, nil, nil)
	require.Equal(t, "received", a.Body.ScaStatus)
	a = c.do("PUT", a.Body.Links["updatePsuIdentification"].Href, object{}, headers{"PSU-ID": "exempt"})
	require.Equal(t, "psuIdentified", a.Body.ScaStatus)
	a = c.do("PUT", a.Body.Links["updatePsuAuthentication"].Href, object{"psuData": object{"password": "demo"}}, nil)
	require.Equal(t, "exempted", a.Body.ScaStatus)
	require.Equal(t, "valid", c.status(consent))
	require.Len(t, c.do("GET", "/v1/consents/"+consent.Body.ConsentID+"/authorisations", nil, nil).Body.AuthorisationIDs, 1)
}

func TestRedirect(t *testing.T) {
	t.Parallel()
	c := visit(t, open(), "demo").checked()
	customer := sandbox.Visitor{Login: "redirect", Password: "demo", TAN: "111111"}
	back := with(atHome, "PSU-ID", "redirect", "TPP-Redirect-URI", "https://tpp.example/back?state=s1", "TPP-Nok-Redirect-URI", "https://tpp.example/nok")

	consent := c.do("POST", "/v1/consents", allAccounts(), back)
	require.Equal(t, "REDIRECT", consent.Header.Get("ASPSP-SCA-Approach"))
	page := consent.Body.Links["scaRedirect"].Href
	to, err := customer.Approve(t.Context(), page)
	require.NoError(t, err)
	require.Equal(t, "https://tpp.example/back?state=s1", to)
	require.Equal(t, "valid", c.status(consent))
	require.Equal(t, "finalised", c.do("GET", consent.Body.Links["scaStatus"].Href, nil, nil).Body.ScaStatus)
	_, err = customer.Approve(t.Context(), page)
	require.ErrorContains(t, err, "410", "a visit happens once")

	consent = c.do("POST", "/v1/consents", allAccounts(), with(back, "TPP-Explicit-Authorisation-Preferred", "true"))
	require.Empty(t, consent.Body.Links["scaRedirect"].Href)
	a := c.do("POST", consent.Body.Links["startAuthorisation"].Href, nil, with(back))
	to, err = customer.Decline(t.Context(), a.Body.Links["scaRedirect"].Href)
	require.NoError(t, err)
	require.Equal(t, "https://tpp.example/nok", to)
	require.Equal(t, "rejected", c.status(consent))

	consent = c.do("POST", "/v1/consents", allAccounts(), back)
	_, err = sandbox.Visitor{Login: "redirect", Password: "wrong"}.Approve(t.Context(), consent.Body.Links["scaRedirect"].Href)
	require.ErrorContains(t, err, "falsch")
	require.Equal(t, "FORMAT_ERROR", c.do("POST", "/v1/consents", allAccounts(), with(atHome, "PSU-ID", "redirect")).code(), "TPP-Redirect-URI is missing")
}

func TestConfirmationCode(t *testing.T) {
	t.Parallel()
	c := visit(t, open(), "confirmation").checked()
	consent := c.do("POST", "/v1/consents", allAccounts(), with(atHome, "TPP-Redirect-URI", "https://tpp.example/back"))
	to, err := sandbox.Visitor{Login: "demo", Password: "demo", TAN: "111111"}.Approve(t.Context(), consent.Body.Links["scaRedirect"].Href)
	require.NoError(t, err)
	_, code, found := strings.Cut(to, "confirmationCode=")
	require.True(t, found)
	require.Equal(t, "received", c.status(consent), "not yet")
	a := c.do("GET", consent.Body.Links["scaStatus"].Href, nil, nil)
	require.Equal(t, "unconfirmed", a.Body.ScaStatus)
	a = c.do("PUT", a.Body.Links["confirmation"].Href, object{"confirmationCode": code}, nil)
	require.Equal(t, "finalised", a.Body.ScaStatus)
	require.Equal(t, "valid", c.status(consent))
}

func TestPagesAreNotFramedNorCached(t *testing.T) {
	t.Parallel()
	c := visit(t, open(), "demo")
	consent := c.do("POST", "/v1/consents", allAccounts(), with(atHome, "PSU-ID", "redirect", "TPP-Redirect-URI", "https://tpp.example/back"))
	page := c.do("GET", consent.Body.Links["scaRedirect"].Href, nil, nil)
	require.Equal(t, http.StatusOK, page.Status)
	require.Contains(t, page.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
	require.Equal(t, "no-store", page.Header.Get("Cache-Control"))
	require.Contains(t, string(page.Raw), `value="redirect"`)
}

func TestDialects(t *testing.T) {
	t.Parallel()
	b := open()

	t.Run("password with the start", func(t *testing.T) {
		c := visit(t, b, "statements")
		consent := c.do("POST", "/v1/consents", allAccounts(), with(atHome, "PSU-ID", "flicker"))
		start := consent.Body.Links["startAuthorisationWithPsuAuthentication"].Href
		require.True(t, strings.HasPrefix(start, "http://"), "absolute links")
		a := c.do("POST", start, object{"psuData": object{"password": "demo"}}, headers{"PSU-ID": "flicker"})
		require.Equal(t, "scaMethodSelected", a.Body.ScaStatus)
		require.Equal(t, "finalised", c.do("PUT", a.Body.Links["authoriseTransaction"].Href, object{"scaAuthenticationData": "111111"}, nil).Body.ScaStatus)
		reading := with(atHome, "Consent-ID", consent.Body.ConsentID)
		account := c.do("GET", "/v1/accounts", nil, reading).Body.Accounts[0]
		require.Equal(t, "ACTIVE", account.Status)
		list := account.Links["transactions"].Href + "?bookingStatus=booked&dateFrom=2026-03-01"
		require.Equal(t, 406, c.do("GET", list, nil, with(reading, "Accept", "application/json")).Status)
		report := c.do("GET", list, nil, with(reading, "Accept", "application/xml"))
		require.Equal(t, 200, report.Status)
		require.Contains(t, string(report.Raw), "urn:iso:std:iso:20022:tech:xsd:camt.052.001.08")
	})
	t.Run("recurring only, booked only, no ids", func(t *testing.T) {
		c := visit(t, b, "recurring").checked()
		once := allAccounts()
		once["recurringIndicator"], once["frequencyPerDay"] = false, 1
		require.Equal(t, "recurringIndicator", c.do("POST", "/v1/consents", once, with(atHome, "PSU-ID", "demo")).Body.Messages[0].Path)
		reading := with(atHome, "Consent-ID", c.consented("exempt"))
		account := c.do("GET", "/v1/accounts", nil, reading).Body.Accounts[0]
		list := account.Links["transactions"].Href + "?dateFrom=2026-03-01&bookingStatus="
		require.Equal(t, "PARAMETER_NOT_SUPPORTED", c.do("GET", list+"both", nil, reading).code())
		booked := c.do("GET", list+"booked", nil, reading).Body.Transactions.Booked
		require.NotEmpty(t, booked)
		for _, entry := range booked {
			require.Empty(t, entry.TransactionID+entry.EntryReference)
		}
	})
	t.Run("PUT on the consent", func(t *testing.T) {
		c := visit(t, b, "legacy")
		consent := c.do("POST", "/v1/consents", allAccounts(), with(atHome, "PSU-ID", "demo"))
		self := consent.Body.Links["updatePsuAuthentication"].Href
		require.Equal(t, "/legacy/v1/consents/"+consent.Body.ConsentID, self)
		a := c.do("PUT", self, object{"psuData": object{"password": "demo"}}, nil)
		require.Contains(t, string(a.Raw), "optMaxLength")
		require.Equal(t, "finalised", c.do("PUT", self, object{"scaAuthenticationData": "111111"}, nil).Body.ScaStatus)
		require.Equal(t, "valid", c.status(consent))
		require.Equal(t, 404, c.do("POST", self+"/authorisations", nil, nil).Status)
	})
	t.Run("API key, one Accept, broken status link, 202", func(t *testing.T) {
		c := visit(t, b, "apikey")
		h := with(atHome, "PSU-ID", "demo", "Accept", "application/json")
		require.Equal(t, 401, c.do("POST", "/v1/consents", allAccounts(), h).Status)
		h = with(h, "X-API-Key", "sandbox-api-key")
		require.Equal(t, 406, c.do("POST", "/v1/consents", allAccounts(), with(h, "Accept", "*/*")).Status)
		consent := c.do("POST", "/v1/consents", allAccounts(), h)
		require.Empty(t, consent.Header.Get("ASPSP-SCA-Approach"))
		a := c.do("POST", consent.Body.Links["startAuthorisation"].Href, nil, h)
		a = c.do("PUT", a.Body.Links["updatePsuAuthentication"].Href, object{"psuData": object{"password": "demo"}}, h)
		require.Equal(t, "DECOUPLED", a.Header.Get("ASPSP-SCA-Approach"))
		require.Equal(t, 404, c.do("GET", a.Body.Links["scaStatus"].Href, nil, h).Status)
		for _, want := range []int{202, 202, 200} {
			require.Equal(t, want, c.do("GET", consent.Body.Links["status"].Href, nil, h).Status)
		}
	})
}

func TestNobodyWaitsForEver(t *testing.T) {
	t.Parallel()
	b := open()
	c := visit(t, b, "demo").checked()
	consent, a := c.afterPassword("demo")
	b.Advance(16 * time.Minute)
	require.Equal(t, "failed", c.do("GET", a.Body.Links["scaStatus"].Href, nil, nil).Body.ScaStatus)
	require.Equal(t, "rejected", c.status(consent))
}
