package sandbox_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/sandbox"
)

// noon is when the tests' banks open: a Wednesday.
var noon = time.Date(2026, 3, 18, 12, 0, 0, 0, time.UTC)

func clock() time.Time { return noon }

// tpp is a client that knows nothing but HTTP.
type tpp struct {
	t    *testing.T
	base string
	bank string
	http http.Client
}

func visit(t *testing.T, b *sandbox.Bank, path string) *tpp {
	t.Helper()
	server := httptest.NewServer(b.Handler())
	t.Cleanup(server.Close)
	return &tpp{t: t, base: server.URL, bank: "/" + path, http: http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// checked lets the specification watch the dialog from here on, where there is one.
func (c *tpp) checked() *tpp {
	if specificationPath() != "" {
		c.http.Transport = &validator{t: c.t, prefix: c.bank}
	}
	return c
}

// reply is an answer, decoded.
type reply struct {
	Status int
	Header http.Header
	Raw    []byte
	Body   struct {
		ConsentID        string   `json:"consentId"`
		ConsentStatus    string   `json:"consentStatus"`
		ScaStatus        string   `json:"scaStatus"`
		AuthorisationID  string   `json:"authorisationId"`
		AuthorisationIDs []string `json:"authorisationIds"`
		ValidUntil       string   `json:"validUntil"`
		PSUMessage       string   `json:"psuMessage"`
		ScaMethods       []struct {
			ID   string `json:"authenticationMethodId"`
			Name string `json:"name"`
		} `json:"scaMethods"`
		ChallengeData *struct {
			Image string   `json:"image"`
			Data  []string `json:"data"`
		} `json:"challengeData"`
		Accounts     []accountReply `json:"accounts"`
		CardAccounts []accountReply `json:"cardAccounts"`
		Balances     []struct {
			Type   string                  `json:"balanceType"`
			Amount struct{ Amount string } `json:"balanceAmount"`
		} `json:"balances"`
		Transactions struct {
			Booked  []transactionReply `json:"booked"`
			Pending []transactionReply `json:"pending"`
			Links   linksReply         `json:"_links"`
		} `json:"transactions"`
		Messages []struct{ Code, Path, Text string } `json:"tppMessages"`
		Links    linksReply                          `json:"_links"`
	}
}

type linksReply map[string]struct{ Href string }

type accountReply struct {
	ResourceID, IBAN, Currency, Status, MaskedPan string
	Links                                         linksReply `json:"_links"`
}

type transactionReply struct {
	TransactionID     string                            `json:"transactionId"`
	EntryReference    string                            `json:"entryReference"`
	BookingDate       string                            `json:"bookingDate"`
	ValueDate         string                            `json:"valueDate"`
	TransactionAmount struct{ Amount, Currency string } `json:"transactionAmount"`
	CreditorName      string                            `json:"creditorName"`
	Remittance        string                            `json:"remittanceInformationUnstructured"`
}

func (r *reply) code() string {
	if len(r.Body.Messages) == 0 {
		return ""
	}
	return r.Body.Messages[0].Code
}

type headers map[string]string

// do sends a request to a path of the bank, or to a link, and decodes what comes back.
func (c *tpp) do(method, path string, body any, more headers) *reply {
	c.t.Helper()
	var payload io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		payload = bytes.NewBufferString(b)
	default:
		raw, err := json.Marshal(b)
		require.NoError(c.t, err)
		payload = bytes.NewReader(raw)
	}
	if path[0] == '/' && len(path) > 3 && path[:4] == "/v1/" {
		path = c.bank + path
	}
	if path[0] == '/' {
		path = c.base + path
	}
	request, err := http.NewRequestWithContext(c.t.Context(), method, path, payload)
	require.NoError(c.t, err)
	request.Header.Set("X-Request-ID", uuid.NewString())
	if payload != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	for name, value := range more {
		if value == "" {
			request.Header.Del(name)
		} else {
			request.Header.Set(name, value)
		}
	}
	response, err := c.http.Do(request)
	require.NoError(c.t, err)
	defer response.Body.Close()
	r := &reply{Status: response.StatusCode, Header: response.Header}
	r.Raw, err = io.ReadAll(response.Body)
	require.NoError(c.t, err)
	if response.Header.Get("Content-Type") == "application/json" {
		require.NoError(c.t, json.Unmarshal(r.Raw, &r.Body), string(r.Raw))
	}
	return r
}

type object = map[string]any

func allAccounts() object {
	return object{"access": object{"allPsd2": "allAccounts"}, "recurringIndicator": true, "validUntil": "2026-06-30", "frequencyPerDay": 4, "combinedServiceIndicator": false}
}

var atHome = headers{"PSU-IP-Address": "192.0.2.7"}

func with(a headers, more ...string) headers {
	all := headers{}
	for k, v := range a {
		all[k] = v
	}
	for i := 0; i < len(more); i += 2 {
		all[more[i]] = more[i+1]
	}
	return all
}

// consented goes through password and TAN, and returns the consent's id.
func (c *tpp) consented(login string) string {
	c.t.Helper()
	k := c.do("POST", "/v1/consents", allAccounts(), with(atHome, "PSU-ID", login))
	require.Equal(c.t, 201, k.Status, string(k.Raw))
	a := c.do("POST", k.Body.Links["startAuthorisation"].Href, nil, with(atHome, "PSU-ID", login))
	require.Equal(c.t, 201, a.Status, string(a.Raw))
	a = c.do("PUT", a.Body.Links["updatePsuAuthentication"].Href, object{"psuData": object{"password": "demo"}}, nil)
	require.Equal(c.t, 200, a.Status, string(a.Raw))
	if a.Body.ScaStatus != "exempted" {
		a = c.do("PUT", a.Body.Links["authoriseTransaction"].Href, object{"scaAuthenticationData": "111111"}, nil)
		require.Equal(c.t, 200, a.Status, string(a.Raw))
		require.Equal(c.t, "finalised", a.Body.ScaStatus)
	}
	return k.Body.ConsentID
}

func TestPlainTAN(t *testing.T) {
	t.Parallel()
	c := visit(t, sandbox.New(sandbox.Options{Now: clock}), "demo").checked()
	consent := c.consented("demo")
	require.Equal(t, "valid", c.do("GET", "/v1/consents/"+consent+"/status", nil, nil).Body.ConsentStatus)

	accounts := c.do("GET", "/v1/accounts?withBalance=true", nil, with(atHome, "Consent-ID", consent))
	require.Equal(t, 200, accounts.Status, string(accounts.Raw))
	require.Len(t, accounts.Body.Accounts, 1)
	require.Equal(t, "DE67900900424711951500", accounts.Body.Accounts[0].IBAN)

	list := c.do("GET", accounts.Body.Accounts[0].Links["transactions"].Href+"?bookingStatus=both&dateFrom=2026-01-01", nil, with(atHome, "Consent-ID", consent))
	require.Equal(t, 200, list.Status, string(list.Raw))
	require.NotEmpty(t, list.Body.Transactions.Booked)
}
