package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/legacy"
	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/api"
	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/catalog"
	"github.com/kontoflow/kontoflow/internal/temporalclient"
	"github.com/kontoflow/kontoflow/internal/testground"
	"github.com/kontoflow/kontoflow/models"
)

// The catalog of the tests.
const (
	bankID     = "0190a000-0000-7000-8000-000000000001"
	methodID   = "0190a000-0000-7000-8000-000000000011" // asks for login and pin
	oldBankID  = "0190a000-0000-7000-8000-000000000002"
	scrapingID = "0190a000-0000-7000-8000-000000000021"
	serviceID  = "0190a000-0000-7000-8000-000000000003"
	strictID   = "0190a000-0000-7000-8000-000000000031" // wants account identifiers
)

const testCatalog = `{"banks":[
	{"id":"` + bankID + `","name":"Sparkasse Musterstadt","country":"DE","bank_code":"90090042","bic":"DEMODE01XXX",
	 "icon":{"url":"https://bank.example/icon.png","resolutions":{"48x48":"https://bank.example/48.png"}},"language":{"available":["de","en"]},
	 "access_methods":[{"id":"` + methodID + `","type":"API","in_psd2_scope":true,"configurable_consent":true,
	  "supported_account_types":["Giro account"],"customer_authentication_flows":["EMBEDDED_2FA"],"advice":{"de":"Bitte anmelden","en":"Please log in"},
	  "credentials":[{"key":"login","label":{"de":"Anmeldename","en":"Login"},"min_length":3,"max_length":20},
	   {"key":"branch","label":{"en":"Branch"},"is_optional":true},
	   {"key":"pin","label":{"de":"PIN"},"is_secret":true,"min_length":4}],
	  "connection":{"protocol":"XS2A","url":"https://xs2a.bank.example"}}]},
	{"id":"` + oldBankID + `","name":"Volksbank Altdorf","country":"DE","bank_code":"10020030","bic":"GENODEF1ALT",
	 "access_methods":[{"id":"` + scrapingID + `","type":"SCRAPING","credentials":[],"connection":{"protocol":"FINTS","url":"https://old.bank.example"}}]},
	{"id":"` + serviceID + `","name":"Pay_Service 100%","kind":"SERVICE","country":"AT",
	 "access_methods":[{"id":"` + strictID + `","type":"API","in_psd2_scope":true,"requires_account_identifiers":true,"credentials":[],
	  "connection":{"protocol":"XS2A","url":"https://pay.example"}}]}]}`

// A world is one API server with a database of its own.
type world struct {
	t        testing.TB
	store    *models.Store
	url      string
	temporal client.Client
	log      *testground.Log
	metrics  *prometheus.Registry
	http     *http.Client
}

// newWorld has limits that no test reaches.
func newWorld(t testing.TB) *world {
	t.Helper()
	return newWorldWith(t, api.LimitSettings{UserPerSecond: 1e6, UserBurst: 1e6, UserAtOnce: 1e6, UserHeavy: 1e6, UserWaiting: 1e6, ClientPerSecond: 1e6,
		ClientBurst: 1e6, ClientAtOnce: 1e6, ClientHeavy: 1e6, ClientWaiting: 1e6, AddressFailuresPerSecond: 1e6, AddressFailuresBurst: 1e6})
}

func newWorldWith(t testing.TB, limits api.LimitSettings) *world {
	t.Helper()
	store := testground.Store(t)
	_, err := catalog.Import(t.Context(), store, strings.NewReader(testCatalog))
	require.NoError(t, err)

	w := &world{t: t, store: store, log: new(testground.Log), metrics: prometheus.NewRegistry(), http: contractClient(t)}
	logger := slog.New(slog.NewJSONHandler(w.log, nil))
	w.temporal, err = temporalclient.Dial(temporalclient.Options{Address: testground.Temporal(t), Logger: logger})
	require.NoError(t, err)
	t.Cleanup(w.temporal.Close)

	server := httptest.NewUnstartedServer(nil)
	w.url = "http://" + server.Listener.Addr().String()
	s := api.New(api.Options{Store: store, Temporal: w.temporal, TaskQueue: "api-test-" + uuid.NewString(), PublicURL: w.url, Limits: limits, Logger: logger, Metrics: w.metrics})
	server.Config.Handler = s.Handler()
	server.Start()
	t.Cleanup(server.Close)
	t.Cleanup(s.Close)
	return w
}

// inFlight is how many requests the server is answering.
func (w *world) inFlight() int {
	families, err := w.metrics.Gather()
	require.NoError(w.t, err)
	for _, f := range families {
		if f.GetName() == "kontoflow_http_requests_in_flight" {
			return int(f.GetMetric()[0].GetGauge().GetValue())
		}
	}
	return 0
}

// A tenant is a client with its secret.
type tenant struct {
	*world
	id     uuid.UUID
	secret string
}

func (w *world) tenant() *tenant {
	w.t.Helper()
	c, secret, err := w.store.CreateClient(w.t.Context(), "client "+uuid.NewString())
	require.NoError(w.t, err)
	return &tenant{w, c.ID, secret}
}

func (c *tenant) authorization() string {
	r := &http.Request{Header: http.Header{}}
	r.SetBasicAuth(c.id.String(), c.secret)
	return r.Header.Get("Authorization")
}

const password = "correct horse battery"

// A user of a tenant, with an access token for everything.
type user struct {
	*tenant
	id, email, token string
}

func (c *tenant) user() *user {
	c.t.Helper()
	u := &user{tenant: c, email: uuid.NewString() + "@example.com"}
	created := c.call("POST", "/auth/user", c.authorization(), map[string]any{"email": u.email, "password": password, "full_name": "Jane Doe", "language": "de"})
	created.expect(http.StatusCreated)
	u.id = created.body["user_id"].(string)
	token := c.call("POST", "/auth/token", c.authorization(), map[string]any{"grant_type": "client_credentials", "user_id": u.id})
	token.expect(http.StatusOK)
	u.token = token.body["access_token"].(string)
	return u
}

// do calls as the user.
func (u *user) do(method, path string, body any, headers ...string) *reply {
	u.t.Helper()
	return u.call(method, path, "Bearer "+u.token, body, headers...)
}

// access makes an access with a stored login.
func (u *user) access() string {
	u.t.Helper()
	r := u.do("POST", "/rest/accesses", map[string]any{"access_method_id": methodID, "credentials": map[string]string{"login": "jane"}})
	r.expect(http.StatusCreated)
	return r.body["id"].(string)
}

// sync starts a synchronization and answers its path.
func (u *user) sync(access string) string {
	u.t.Helper()
	r := u.do("POST", "/rest/accesses/"+access+"/syncs", map[string]any{"credentials": map[string]string{"pin": "12345"}})
	r.expect(http.StatusCreated)
	return "/rest/accesses/" + access + "/syncs/" + r.body["id"].(string)
}

// A reply is what the server answered.
type reply struct {
	t      testing.TB
	status int
	header http.Header
	raw    []byte
	body   map[string]any // where it is an object
	list   []any          // where it is an array
}

// call sends a request; body is nil, raw text, or something to be JSON. Headers come in pairs.
func (w *world) call(method, path, authorization string, body any, headers ...string) *reply {
	w.t.Helper()
	var payload io.Reader
	kind := "application/json"
	switch b := body.(type) {
	case nil:
	case string:
		payload = strings.NewReader(b)
	case url.Values:
		payload, kind = strings.NewReader(b.Encode()), "application/x-www-form-urlencoded"
	default:
		encoded, err := json.Marshal(b)
		require.NoError(w.t, err)
		payload = bytes.NewReader(encoded)
	}
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, w.url+path, payload)
	require.NoError(w.t, err)
	if payload != nil {
		r.Header.Set("Content-Type", kind)
	}
	if authorization != "" {
		r.Header.Set("Authorization", authorization)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	response, err := w.http.Do(r)
	require.NoError(w.t, err)
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	require.NoError(w.t, err)
	answer := &reply{t: w.t, status: response.StatusCode, header: response.Header, raw: raw}
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.UseNumber()
	var value any
	if decoder.Decode(&value) == nil {
		answer.body, _ = value.(map[string]any)
		answer.list, _ = value.([]any)
	}
	return answer
}

func (r *reply) expect(status int) *reply {
	r.t.Helper()
	require.Equal(r.t, status, r.status, "%s", r.raw)
	return r
}

// fails holds the answer against status, code and the fields that data names.
func (r *reply) fails(status, code int, fields ...string) *reply {
	r.t.Helper()
	require.Equal(r.t, status, r.status, "%s", r.raw)
	failure := r.body["error"].(map[string]any)
	require.Equal(r.t, json.Number(fmt.Sprint(code)), failure["code"], "%s", r.raw)
	data, _ := failure["data"].(map[string]any)
	for _, field := range fields {
		require.Contains(r.t, data, field, "%s", r.raw)
	}
	return r
}

// at answers a value inside the body: at("error", "data", "sync_id").
func (r *reply) at(path ...string) any {
	r.t.Helper()
	var value any = r.body
	for _, key := range path {
		object, ok := value.(map[string]any)
		require.True(r.t, ok, "%v in %s", path, r.raw)
		value = object[key]
	}
	return value
}

// at names the worker's part: what it would store at this point, through the same calls.
func (w *world) worker(sync string, f func(b *models.BankSession, tx *gorm.DB) error) {
	w.t.Helper()
	b, err := w.store.OpenSession(w.t.Context(), uuid.MustParse(sync))
	require.NoError(w.t, err)
	require.NoError(w.t, w.store.Transact(w.t.Context(), func(tx *gorm.DB) error {
		if err := f(b, tx); err != nil {
			return err
		}
		return b.Save(tx)
	}))
}

// ask lets the bank ask something, and answers the challenge's id and the state of a redirect.
func (w *world) ask(sync string, question banks.Challenge) (id, state string) {
	w.t.Helper()
	w.worker(sync, func(b *models.BankSession, tx *gorm.DB) error {
		c, err := b.Ask(tx, &question, time.Now().Add(time.Hour))
		if err == nil {
			id, state = c.ID.String(), b.Conversation.Redirect.State
		}
		return err
	})
	return id, state
}

func idOf(path string) string { return path[strings.LastIndex(path, "/")+1:] }

// contractClient holds every answer of the API against openapi.yaml.
func contractClient(t testing.TB) *http.Client {
	t.Helper()
	return &http.Client{Transport: contractTransport{t}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

var contractRouter = sync.OnceValues(func() (routers.Router, error) {
	document, err := openapi3.NewLoader().LoadFromData(api.Specification)
	if err != nil {
		return nil, err
	}
	return legacy.NewRouter(document)
})

type contractTransport struct{ t testing.TB }

func (c contractTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := http.DefaultTransport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	router, err := contractRouter()
	if err != nil {
		return nil, err
	}
	route, parameters, err := router.FindRoute(&http.Request{Method: r.Method, URL: &url.URL{Path: r.URL.Path}, Host: r.Host})
	if err != nil || response.Header.Get("Content-Type") == "text/event-stream" {
		return response, nil // beside the contract, or checked event by event
	}
	raw, err := io.ReadAll(response.Body)
	response.Body.Close()
	if err != nil {
		return nil, err
	}
	response.Body = io.NopCloser(bytes.NewReader(raw))
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{Request: r, PathParams: parameters, Route: route},
		Status:                 response.StatusCode, Header: response.Header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true, MultiError: true},
	}
	if err := openapi3filter.ValidateResponse(r.Context(), input.SetBodyBytes(raw)); err != nil {
		c.t.Errorf("%s %s: the answer breaks the contract: %v", r.Method, r.URL.Path, err)
	}
	if response.Header.Get("X-Request-Id") == "" {
		c.t.Errorf("%s %s: no X-Request-Id", r.Method, r.URL.Path)
	}
	return response, nil
}
