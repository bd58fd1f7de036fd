// Package e2e_test drives the whole of Kontoflow through its public API alone, as a customer's backend would: a real
// PostgreSQL, a real Temporal server, and the sandbox bank behind real HTTP.
package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/metric"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"

	"github.com/kontoflow/kontoflow/api"
	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/catalog"
	"github.com/kontoflow/kontoflow/internal/temporalclient"
	"github.com/kontoflow/kontoflow/internal/testground"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/sandbox"
	"github.com/kontoflow/kontoflow/vault"
	"github.com/kontoflow/kontoflow/worker"
)

// patience bounds every wait of these tests. The machines are small and busy; nothing here measures time.
const patience = 8 * time.Minute

// The customers' secrets in tests: words that appear nowhere else, so that a leak is found by looking for them.
const (
	password = "Kanarienvogel-Passwort-7731"
	tan      = "739104"
)

// stack is one Kontoflow with one bank, of one test.
type stack struct {
	t        *testing.T
	bank     *sandbox.Bank
	bankURL  string
	database string // "": a fresh one of the ground
	address  string // of Temporal; "": the ground's
	store    *models.Store
	temporal client.Client
	queue    string
	worker   *worker.Worker
	api      *httptest.Server
	clientID string
	secret   string
	logs     *journal

	keys     string // of the vault
	codec    *temporalclient.Codec
	runs     *runs
	canaries *canaries // what must not leak

	clock         func() time.Time // nil: the machine's
	bankOptions   sandbox.Options
	adapter       banks.Options
	workerOptions worker.Options
	// What a test puts between the parts; nil: nothing.
	wrapBank     func(http.Handler) http.Handler
	wrapAdapter  func(banks.Adapter) banks.Adapter
	wrapTemporal func(client.Client) client.Client // as the API sees it
	workerless   bool                              // the test has workers of its own
	meter        metric.Meter
}

type option func(*stack)

func withInterceptor(i interceptor.WorkerInterceptor) option {
	return func(s *stack) { s.workerOptions.Interceptors = append(s.workerOptions.Interceptors, i) }
}

func withChallengeTimeout(d time.Duration) option {
	return func(s *stack) { s.workerOptions.ChallengeTimeout = d }
}

// withAdapter sets how patient the adapter is with a bank.
func withAdapter(o banks.Options) option { return func(s *stack) { s.adapter = o } }

// withBankClock lets Kontoflow live in the bank's days: sandbox.Bank.Advance moves both. They begin at the last
// Wednesday's noon, so that no test meets a weekend or midnight by chance.
func withBankClock() option {
	return func(s *stack) {
		begun := time.Now()
		noon := begun.UTC().Truncate(24 * time.Hour).Add(12 * time.Hour)
		for noon = noon.AddDate(0, 0, -1); noon.Weekday() != time.Wednesday; noon = noon.AddDate(0, 0, -1) {
		}
		s.bankOptions.Now = func() time.Time { return noon.Add(time.Since(begun)) }
		s.clock = func() time.Time { return s.bank.Now() }
	}
}

// withoutWorker leaves it to the test to start workers.
func withoutWorker() option { return func(s *stack) { s.workerless = true } }

func newStack(t *testing.T, options ...option) *stack {
	t.Helper()
	ctx := t.Context()
	s := &stack{t: t, queue: "test-" + uuid.NewString(), logs: &journal{}, runs: &runs{ids: make(map[string]bool)}, canaries: &canaries{},
		bankOptions:   sandbox.Options{Password: password, TAN: tan, Slow: time.Second},
		workerOptions: worker.Options{ChallengeTimeout: 10 * time.Minute, SweepAfter: 3 * time.Second}}
	for _, o := range options {
		o(s)
	}
	logger := slog.New(slog.NewJSONHandler(s.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))

	s.bank = sandbox.New(s.bankOptions)
	reached := s.bank.Handler()
	if s.wrapBank != nil {
		reached = s.wrapBank(reached)
	}
	bank := httptest.NewServer(reached)
	t.Cleanup(bank.Close)
	s.bankURL = bank.URL

	var err error
	s.keys, err = vault.NewKeyset()
	require.NoError(t, err)
	secrets, err := vault.Open(s.keys)
	require.NoError(t, err)
	if s.database == "" {
		s.database = testground.Database(t)
	}
	if s.address == "" {
		s.address = testground.Temporal(t)
	}
	var clocks []models.Option
	if s.clock != nil {
		clocks = append(clocks, models.WithClock(s.clock))
	}
	s.store, err = models.Open(ctx, s.database, secrets, clocks...)
	require.NoError(t, err)
	t.Cleanup(s.store.Close)
	_, err = catalog.Import(ctx, s.store, bytes.NewReader(s.bank.Catalog(s.bankURL)))
	require.NoError(t, err)
	tenant, secret, err := s.store.CreateClient(ctx, "e2e")
	require.NoError(t, err)
	s.clientID, s.secret = tenant.ID.String(), secret
	s.canaries.add("the password", password)
	s.canaries.add("the TAN", tan)
	s.canaries.add("the client's secret", secret)

	s.temporal, err = temporalclient.Dial(temporalclient.Options{Address: s.address, Logger: logger, Meter: s.meter, Codec: s.codec})
	require.NoError(t, err)
	t.Cleanup(s.temporal.Close)

	var handler http.Handler
	s.api = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { handler.ServeHTTP(w, r) }))
	t.Cleanup(s.api.Close)
	reachable := s.temporal
	if s.wrapTemporal != nil {
		reachable = s.wrapTemporal(reachable)
	}
	server := api.New(api.Options{Store: s.store, Temporal: reachable, TaskQueue: s.queue, PublicURL: s.api.URL, Logger: logger,
		LoopbackReceivers: s.workerOptions.LoopbackReceivers})
	t.Cleanup(server.Close)
	handler = server.Handler()

	o := &s.workerOptions
	o.Client, o.Store, o.TaskQueue, o.PublicURL, o.Logger = s.temporal, s.store, s.queue, s.api.URL, logger
	s.adapter.Logger, s.adapter.Now = logger, s.store.Now
	o.Interceptors = append(o.Interceptors, s.runs)
	o.Adapters = banks.Adapters(s.adapter)
	if s.wrapAdapter != nil {
		for protocol, adapter := range o.Adapters {
			o.Adapters[protocol] = s.wrapAdapter(adapter)
		}
	}
	t.Cleanup(s.requireNoLeaks)
	if !s.workerless {
		s.startWorker()
		t.Cleanup(func() { s.worker.Stop() })
	}
	return s
}

// in is the stack for a subtest: what fails there fails that one.
func (s *stack) in(t *testing.T) *stack {
	view := *s
	view.t = t
	return &view
}

func (s *stack) startWorker() {
	s.t.Helper()
	var err error
	s.worker, err = worker.Start(context.Background(), s.workerOptions)
	require.NoError(s.t, err)
}

// journal keeps what was logged.
type journal struct{ testground.Log }

// object is JSON on its way in or out.
type object = map[string]any

// customer is a user of the backend, with a token to act for them.
type customer struct {
	*stack
	id     string
	bearer string
	login  string // at the bank, of the access added last
	absent bool   // their backend synchronizes without them
}

func (s *stack) newCustomer() *customer {
	s.t.Helper()
	c := &customer{stack: s}
	var user object
	s.call("POST", "/auth/user", s.basic, object{"email": uuid.NewString() + "@example.org", "password": password, "full_name": "Erika Mustermann"}, 201, &user)
	c.id = user["user_id"].(string)
	c.renewToken()
	return c
}

// renewToken gets the customer's backend a token for the next hour.
func (c *customer) renewToken() {
	c.t.Helper()
	var token object
	c.call("POST", "/auth/token", c.basic, object{"grant_type": "client_credentials", "user_id": c.id}, 200, &token)
	c.bearer = token["access_token"].(string)
	c.canaries.add("an access token", c.bearer)
	c.canaries.add("a refresh token", token["refresh_token"].(string))
}

func (s *stack) basic(r *http.Request) { r.SetBasicAuth(s.clientID, s.secret) }

func (c *customer) auth(r *http.Request) {
	r.Header.Set("Authorization", "Bearer "+c.bearer)
	if !c.absent {
		r.Header.Set("PSU-IP-Address", "192.0.2.17")
		r.Header.Set("PSU-User-Agent", "e2e")
	}
}

func (c *customer) get(path string, into any) {
	c.t.Helper()
	c.call("GET", path, c.auth, nil, 200, into)
}

func (c *customer) post(path string, body any, want int, into any) {
	c.t.Helper()
	c.call("POST", path, c.auth, body, want, into)
}

// call makes a request, expects a status, and decodes the answer.
func (s *stack) call(method, path string, auth func(*http.Request), body any, want int, into any) {
	s.t.Helper()
	var payload io.Reader
	if body != nil {
		encoded, err := json.Marshal(body)
		require.NoError(s.t, err)
		payload = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(s.t.Context(), method, s.api.URL+path, payload)
	require.NoError(s.t, err)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if auth != nil {
		auth(request)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(s.t, err)
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	require.NoError(s.t, err)
	if response.StatusCode == 503 && path == "/auth/user" && s.t.Context().Err() == nil {
		s.call(method, path, auth, body, want, into) // passwords take their time on a busy machine
		return
	}
	if response.StatusCode == 429 && want != 429 { // many customers of one client read long lists at once
		seconds, err := strconv.Atoi(response.Header.Get("Retry-After"))
		require.NoError(s.t, err)
		select {
		case <-s.t.Context().Done():
		case <-time.After(time.Duration(seconds) * time.Second):
			s.call(method, path, auth, body, want, into)
			return
		}
	}
	require.Equal(s.t, want, response.StatusCode, "%s %s: %s", method, path, answer)
	if into != nil {
		require.NoError(s.t, json.Unmarshal(answer, into), "%s %s: %s", method, path, answer)
	}
}

// method finds an access method of the sandbox by the path of its bank ("demo").
func (s *stack) method(path string) string {
	s.t.Helper()
	var id string
	err := s.store.DB.Raw(`SELECT id FROM access_methods WHERE id = ?`, sandbox.AccessMethodID(path)).Scan(&id).Error
	require.NoError(s.t, err)
	require.NotEmpty(s.t, id, "no access method for %s", path)
	return id
}

// access adds an access at a bank of the sandbox for a persona.
func (c *customer) access(bank, login string) string {
	c.t.Helper()
	var access object
	c.login = login
	c.post("/rest/accesses", object{"access_method_id": c.method(bank), "credentials": object{"login": login}}, 201, &access)
	return access["id"].(string)
}

// start starts a synchronization.
func (c *customer) start(access string, body object) string {
	c.t.Helper()
	var sync object
	c.post("/rest/accesses/"+access+"/syncs", body, 201, &sync)
	require.Equal(c.t, "QUEUED", sync["status"])
	return "/rest/accesses/" + access + "/syncs/" + sync["id"].(string)
}

// until waits till the synchronization is AWAIT_AUTH or ended; a challenge that was answered counts as past.
func (c *customer) until(sync, answered string) object {
	c.t.Helper()
	deadline := time.Now().Add(patience)
	after := "QUEUED"
	if answered != "" {
		after = answered
	}
	for time.Now().Before(deadline) {
		var y object
		c.get(sync+"?wait=30&after="+after, &y)
		switch after = y["status"].(string); after {
		case "COMPLETED", "FAILED":
			return y
		case "AWAIT_AUTH":
			if after = y["challenge"].(object)["id"].(string); after != answered {
				return y
			}
		}
	}
	c.t.Fatalf("%s came to no end; logs:\n%s", sync, c.logs)
	return nil
}

// finish answers every challenge as the customer would, until the synchronization ends.
func (c *customer) finish(sync string) object {
	c.t.Helper()
	answered := ""
	for {
		y := c.until(sync, answered)
		challenge, _ := y["challenge"].(object)
		if y["status"] != "AWAIT_AUTH" {
			return y
		}
		answered = challenge["id"].(string)
		c.answer(sync, challenge)
	}
}

// answer answers one challenge.
func (c *customer) answer(sync string, challenge object) {
	c.t.Helper()
	response := sync + "/challenges/" + challenge["id"].(string) + "/response"
	switch challenge["type"] {
	case "METHOD_SELECTION":
		first := challenge["auth_methods"].([]any)[0].(object)
		c.post(response, object{"method_id": first["id"]}, 200, nil)
	case "EMBEDDED":
		c.post(response, object{"value": tan}, 200, nil)
	case "REDIRECT":
		c.visit(challenge["location"].(string))
	case "DECOUPLED": // the sandbox's customer confirms by himself
	default:
		c.t.Fatalf("unknown challenge %v", challenge)
	}
}

// visit does on the bank's pages what the customer does there, and comes back with them to our callback.
func (c *customer) visit(location string) {
	c.t.Helper()
	visitor := sandbox.Visitor{Login: c.login, Password: password, TAN: tan, Client: http.DefaultClient}
	back, err := visitor.Approve(c.t.Context(), location)
	require.NoError(c.t, err)
	request, err := http.NewRequestWithContext(c.t.Context(), "GET", back, nil)
	require.NoError(c.t, err)
	response, err := http.DefaultTransport.RoundTrip(request) // not following: it leads to the client's own address
	require.NoError(c.t, err)
	defer response.Body.Close()
	require.Less(c.t, response.StatusCode, 400)
}

// sync runs one synchronization to its end.
func (c *customer) sync(access string) object {
	c.t.Helper()
	return c.finish(c.start(access, object{"credentials": object{"pin": password}}))
}

// codeOf is the error code of a failed synchronization.
func codeOf(sync object) int {
	failure, _ := sync["error"].(object)
	if failure == nil {
		return 0
	}
	return int(failure["code"].(float64))
}

// bookedOn is a transaction's booking date, "" where it has none. A day is the first ten characters.
func bookedOn(x object) string {
	day, _ := x["booked_at"].(string)
	return day[:min(len(day), len(time.DateOnly))]
}

// transactions lists all transactions of the customer.
func (c *customer) transactions() []object {
	c.t.Helper()
	const most = 10_000
	var all []object
	for offset, more := 0, true; more; offset += most {
		var page struct{ Transactions []object }
		c.get(fmt.Sprintf("/rest/transactions?count=%d&include_pending=%t&offset=%d", most, offset == 0, offset), &page)
		all = append(all, page.Transactions...)
		more = len(page.Transactions) >= most
	}
	return all
}

// changes reads the customer's changes feed to its end, and moves the cursor. An id stands in one list at most.
func (c *customer) changes(cursor *string) (added, modified map[string]object, removed []string) {
	c.t.Helper()
	added, modified = make(map[string]object), make(map[string]object)
	for more := true; more; {
		var page struct {
			Added, Modified []object
			Removed         []string
			Cursor          string
			HasMore         bool `json:"has_more"`
		}
		path := "/rest/transactions/changes?count=10000"
		if *cursor != "" {
			path += "&cursor=" + *cursor
		}
		c.get(path, &page)
		for _, x := range page.Added {
			added[x["transaction_id"].(string)] = x
		}
		for _, x := range page.Modified {
			modified[x["transaction_id"].(string)] = x
		}
		removed = append(removed, page.Removed...)
		*cursor, more = page.Cursor, page.HasMore
	}
	return added, modified, removed
}

// together does something for each of many, a few at once.
func together[T any](t *testing.T, many []T, do func(int, T)) {
	t.Helper()
	next := make(chan int, len(many))
	for i := range many {
		next <- i
	}
	close(next)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range next {
				do(i, many[i])
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
}
