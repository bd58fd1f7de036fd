package sandbox_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/sandbox"
)

// control calls the control API.
func (c *tpp) control(method, path string, body any) (status int, answer map[string]any) {
	c.t.Helper()
	r := c.do(method, c.base+"/control/"+path, body, nil)
	require.NoError(c.t, json.Unmarshal(r.Raw, &answer), string(r.Raw))
	return r.Status, answer
}

func TestControl(t *testing.T) {
	t.Parallel()
	c := visit(t, open(), "demo")
	_, clock := c.control("POST", "clock", object{"days": 2, "advance": "1h"})
	require.Equal(t, "2026-03-20T13:00:00Z", clock["now"])
	status, _ := c.control("POST", "clock", object{"days": -1})
	require.Equal(t, 400, status, "it does not go back")
	status, _ = c.control("POST", "clock", object{"hours": 1})
	require.Equal(t, 400, status, "an unknown field")

	consent := c.consented("exempt")
	_, opened := c.control("POST", "accounts", object{"login": "exempt"})
	accounts := c.do("GET", "/v1/accounts", nil, with(atHome, "Consent-ID", consent)).Body.Accounts
	require.Len(t, accounts, 2)
	require.Equal(t, opened["iban"], accounts[1].IBAN)
	status, _ = c.control("POST", "accounts", object{"login": "nobody"})
	require.Equal(t, 400, status)

	_, revoked := c.control("POST", "revoke", object{"login": "exempt"})
	require.EqualValues(t, 1, revoked["revoked"])
	status, _ = c.control("POST", "decoupled", object{"login": "exempt", "approve": true})
	require.Equal(t, 400, status, "nothing waits")

	_, counters := c.control("GET", "counters", nil)
	require.EqualValues(t, 1, counters["logins"].(object)["exempt"])
	require.EqualValues(t, 1, counters["calls"].(object)["demo/accounts"])
	require.EqualValues(t, 1, counters["by_login"].(object)["exempt"].(object)["accounts"])
}

func TestControlIsForThisMachine(t *testing.T) {
	t.Parallel()
	request := httptest.NewRequest("GET", "/control/counters", nil)
	request.RemoteAddr = "192.0.2.7:4711"
	answer := httptest.NewRecorder()
	open().Handler().ServeHTTP(answer, request)
	require.Equal(t, http.StatusForbidden, answer.Code)
}

func TestCatalogIsStable(t *testing.T) {
	t.Parallel()
	bank := open()
	require.Equal(t, bank.Catalog("http://127.0.0.1:1"), bank.Catalog("http://127.0.0.1:1/"))
	var said struct {
		Banks []struct {
			ID            uuid.UUID
			BankCode      string `json:"bank_code"`
			AccessMethods []struct {
				ID         uuid.UUID
				Connection struct{ URL string }
			} `json:"access_methods"`
		}
	}
	require.NoError(t, json.Unmarshal(visit(t, bank, "demo").do("GET", "/control/catalog.json", nil, nil).Raw, &said))
	require.Equal(t, "90090042", said.Banks[0].BankCode)
	require.Equal(t, sandbox.BankID("demo"), said.Banks[0].ID)
	require.Equal(t, sandbox.AccessMethodID("demo"), said.Banks[0].AccessMethods[0].ID)
	require.Regexp(t, `^http://127\.0\.0\.1:\d+/demo$`, said.Banks[0].AccessMethods[0].Connection.URL)
}

func TestFaults(t *testing.T) {
	t.Parallel()
	b := open()
	c := visit(t, b, "demo")
	reading := with(atHome, "Consent-ID", c.consented("exempt"))
	accounts := func() *reply { return c.do("GET", "/v1/accounts", nil, reading) }

	require.NoError(t, b.Inject(sandbox.Fault{Login: "exempt", Endpoint: "accounts", Times: 2, Action: sandbox.ActStatus, Status: 503, RetryAfter: 7}))
	for range 2 {
		down := accounts()
		require.Equal(t, 503, down.Status)
		require.Equal(t, "7", down.Header.Get("Retry-After"))
		require.Equal(t, "SERVICE_UNAVAILABLE", down.code())
	}
	require.Equal(t, 200, accounts().Status)

	require.NoError(t, b.Inject(sandbox.Fault{Bank: "oauth", Endpoint: "*", Action: sandbox.ActStatus, Status: 500}))
	require.Equal(t, 200, accounts().Status, "another bank's fault")
	b.ClearFaults()

	for _, wrong := range []sandbox.Fault{{Endpoint: "*", Action: "explode"}, {Action: sandbox.ActDrop}, {Endpoint: "*", Action: sandbox.ActStatus, Status: 200}} {
		require.Error(t, b.Inject(wrong))
	}
}

// An answer that is lost: the bank has done what it was asked to, and the client does not know.
func TestLostAnswer(t *testing.T) {
	t.Parallel()
	b := open()
	c := visit(t, b, "demo")
	_, a := c.afterPassword("demo")
	require.NoError(t, b.Inject(sandbox.Fault{Endpoint: "authorisations.update", Times: 1, Action: sandbox.ActLose}))
	send := func() error {
		request, err := http.NewRequest(http.MethodPut, c.base+a.Body.Links["authoriseTransaction"].Href, strings.NewReader(`{"scaAuthenticationData":"111111"}`))
		require.NoError(t, err)
		request.Header.Set("X-Request-ID", uuid.NewString())
		request.Header.Set("Content-Type", "application/json")
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			err = response.Body.Close()
		}
		return err
	}
	require.ErrorIs(t, send(), io.EOF)
	require.Equal(t, "finalised", c.do("GET", a.Body.Links["scaStatus"].Href, nil, nil).Body.ScaStatus)
	require.Equal(t, 1, b.Counters().TANs["demo"])

	_, a = c.afterPassword("demo")
	require.NoError(t, b.Inject(sandbox.Fault{Endpoint: "authorisations.update", Times: 1, Action: sandbox.ActDrop}))
	require.ErrorIs(t, send(), io.EOF)
	require.Equal(t, "scaMethodSelected", c.do("GET", a.Body.Links["scaStatus"].Href, nil, nil).Body.ScaStatus, "the request was lost")
}

func TestGarbage(t *testing.T) {
	t.Parallel()
	c := visit(t, sandbox.New(sandbox.Options{Now: clock, Slow: time.Millisecond}), "demo")
	get := func(login, path string) (*http.Response, []byte, error) {
		consent := c.consented(login)
		if path == "transactions" {
			path = c.do("GET", "/v1/accounts", nil, with(atHome, "Consent-ID", consent)).Body.Accounts[0].Links["transactions"].Href + "?bookingStatus=booked&dateFrom=2026-01-01"
		} else {
			path = "/demo/v1/" + path
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.base+path, nil)
		require.NoError(t, err)
		request.Header.Set("X-Request-ID", uuid.NewString())
		request.Header.Set("Consent-ID", consent)
		request.Header.Set("PSU-IP-Address", "192.0.2.7")
		response, err := c.http.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		body, err := io.ReadAll(io.LimitReader(response.Body, 8<<20))
		return response, body, err
	}
	response, body, err := get("html", "accounts")
	require.NoError(t, err)
	require.Equal(t, 200, response.StatusCode)
	require.Contains(t, string(body), "<h1>")

	_, body, err = get("truncated", "transactions")
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	require.True(t, strings.HasPrefix(string(body), `{"account"`))

	_, body, _ = get("enormous", "accounts")
	require.Len(t, body, 8<<20, "and 248 MiB more")

	response, _, _ = get("elsewhere", "accounts")
	require.Equal(t, 307, response.StatusCode)
	require.Contains(t, response.Header.Get("Location"), "elsewhere.invalid")

	response, body, _ = get("loop", "transactions")
	var page struct {
		Transactions struct {
			Links linksReply `json:"_links"`
		}
	}
	require.NoError(t, json.Unmarshal(body, &page))
	require.Equal(t, response.Request.URL.RequestURI(), page.Transactions.Links["next"].Href)

	response, body, _ = get("limit-bare", "transactions")
	require.Equal(t, 429, response.StatusCode)
	require.Empty(t, response.Header.Get("Retry-After"))
	require.Equal(t, byte('['), body[0])

	response, _, _ = get("limit", "transactions")
	require.Equal(t, "3600", response.Header.Get("Retry-After"))

	response, _, err = get("slow", "accounts")
	require.NoError(t, err)
	require.Equal(t, 200, response.StatusCode)
}

func TestFlakyWorksTheSecondTime(t *testing.T) {
	t.Parallel()
	c := visit(t, open(), "demo")
	for _, want := range []int{500, 201, 500, 201} {
		require.Equal(t, want, c.do("POST", "/v1/consents", allAccounts(), with(atHome, "PSU-ID", "flaky")).Status)
	}
	require.Equal(t, 503, c.do("POST", "/v1/consents", allAccounts(), with(atHome, "PSU-ID", "maintenance")).Status)
}

func TestOneBadAccount(t *testing.T) {
	t.Parallel()
	c := visit(t, open(), "demo")
	reading := with(atHome, "Consent-ID", c.consented("badaccount"))
	var got []int
	for _, account := range c.do("GET", "/v1/accounts", nil, reading).Body.Accounts {
		got = append(got, c.do("GET", account.Links["transactions"].Href+"?bookingStatus=booked&dateFrom=2026-01-01", nil, reading).Status)
	}
	require.Equal(t, []int{200, 500, 200}, got)
}

// The documentation's tables are the ones in the code.
func TestDocumentationKnowsEverybody(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join("..", "docs", "sandbox.md"))
	require.NoError(t, err)
	for _, row := range sandbox.XS2ABanks() {
		require.Contains(t, string(text), row)
	}
	for _, p := range sandbox.Personas {
		require.Contains(t, string(text), "| `"+p.Login+"` | "+p.Shows+" |")
	}
}
