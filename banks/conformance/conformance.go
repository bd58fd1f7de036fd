// Package conformance holds what every provider adapter has to do, whatever protocol it speaks. It runs an adapter
// against the sandbox bank as a worker would: the state goes through JSON after every move, moves get lost, answers
// of the bank get lost, and what the customer sees and what the bank counts has to be the same as without.
//
// A new adapter adds a row to the table in conformance_test.go.
package conformance

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/sandbox"
)

// An Adapter is a row of the table.
type Adapter struct {
	Name string
	// New makes the adapter with the bank's clock. wait bounds how long a single answer of the bank may take.
	New func(now func() time.Time, wait time.Duration) banks.Adapter
	// Type is the access method's type in the catalog: API, FINTS.
	Type string
	// Bank is the path of the sandbox bank whose approach follows from the persona.
	Bank string
	// Others are banks of the sandbox that deviate, each with the persona to be tried there.
	Others map[string]string
	// Without names personas that the protocol cannot show.
	Without []string
	// Blind says that the bank cannot be asked whether a PIN arrived: one whose fate is unknown is not sent again, and the
	// customer is told.
	Blind bool
	// Sessions says that each synchronization logs in anew.
	Sessions bool
}

// Secrets of the sandbox in these tests: words that must not be seen where they do not belong.
const (
	pin = "canary-pin-7f3a"
	tan = "904417"
)

// A ground is a bank of its own, with an adapter to reach it.
type ground struct {
	t        *testing.T
	adapter  Adapter
	bank     *sandbox.Bank
	server   *httptest.Server
	provider banks.Adapter
	wait     time.Duration
}

// newGround opens a bank.
func newGround(t *testing.T, adapter Adapter) *ground {
	t.Helper()
	g := &ground{t: t, adapter: adapter, wait: 20 * time.Second}
	begun := time.Now()
	noon := begun.UTC().Truncate(24 * time.Hour).Add(12 * time.Hour) // no midnight comes by chance, here or at the bank
	g.bank = sandbox.New(sandbox.Options{Password: pin, TAN: tan, Slow: 50 * time.Millisecond,
		Now: func() time.Time { return noon.Add(time.Since(begun)) }})
	g.server = httptest.NewServer(g.bank.Handler())
	t.Cleanup(g.server.Close)
	t.Cleanup(g.server.CloseClientConnections)
	g.provider = adapter.New(g.bank.Now, g.wait)
	return g
}

// connection is the catalog's entry of one of the sandbox's banks.
func (g *ground) connection(bank string) banks.Connection {
	g.t.Helper()
	var catalog struct {
		Banks []struct {
			ID            string `json:"id"`
			AccessMethods []struct {
				Type       string           `json:"type"`
				Connection banks.Connection `json:"connection"`
			} `json:"access_methods"`
		} `json:"banks"`
	}
	require.NoError(g.t, json.Unmarshal(g.bank.Catalog(g.server.URL), &catalog))
	for _, b := range catalog.Banks {
		for _, m := range b.AccessMethods {
			if b.ID == sandbox.BankID(bank).String() && m.Type == g.adapter.Type {
				return m.Connection
			}
		}
	}
	g.t.Fatalf("the sandbox has no bank %q with an access method of type %s", bank, g.adapter.Type)
	return banks.Connection{}
}

// counted counts the requests that the bank gets from here on.
func (g *ground) counted() *atomic.Int32 {
	var asked atomic.Int32
	g.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		g.bank.Handler().ServeHTTP(w, r)
	}))
	g.t.Cleanup(g.server.Close)
	return &asked
}

// A worker plays Kontoflow's part: it holds the state as it would be sealed, and calls the adapter.
type worker struct {
	*ground
	conv     banks.Conversation
	sealed   []byte // lasting and dialog as they were last stored
	moves    int
	lose     int // the move whose outcome is lost, counted from 1; 0: none
	asked    []banks.Challenge
	prefers  string // id of the method to choose; "": the last
	faulted  bool   // an answer of the bank gets lost
	patience int    // transient errors in a row that are tried again
	failures int    // of them so far
}

// present is a customer who is there.
var present = banks.PSU{IPAddress: "203.0.113.7", UserAgent: "Mozilla/5.0 (conformance)"}

// newWorker begins a synchronization of a persona.
func (g *ground) newWorker(bank, login string) *worker {
	g.t.Helper()
	return &worker{ground: g, patience: 4, conv: banks.Conversation{
		Connection:  g.connection(bank),
		Credentials: map[string]string{banks.CredentialLogin: login, banks.CredentialPIN: pin},
		PSU:         present,
		Interactive: true,
		Consent:     banks.Consent{Recurring: true, PeriodDays: 90},
		Redirect:    banks.Redirect{URL: "https://kontoflow.test/callback/redirect", State: "state-" + login},
		Resumed:     true,
	}}
}

// again begins another synchronization of the same access: the lasting state stays, the dialog does not.
func (w *worker) again() *worker {
	next := *w
	next.conv.Dialog, next.conv.Resumed = nil, true
	next.moves, next.asked, next.lose = 0, nil, 0
	next.seal()
	return &next
}

// attended begins another synchronization of the same access, with the customer.
func (w *worker) attended() *worker {
	next := w.again()
	next.conv.Interactive, next.conv.PSU = true, present
	return next
}

// unattended begins another synchronization of the same access, which nobody is there for.
func (w *worker) unattended() *worker {
	next := w.again()
	next.conv.Interactive, next.conv.PSU = false, banks.PSU{}
	return next
}

// synchronize goes through a synchronization up to its first account. A read for which the bank wants the customer goes
// back to the beginning, as in the workflow.
func (w *worker) synchronize() (s statement, err error) {
	var accounts []banks.Account
	for range 3 {
		if err = w.connect(); err != nil {
			return s, err
		}
		if accounts, err = w.accounts(); err == nil {
			s, err = w.transactions(accounts[0], banks.Window{})
		}
		if err == nil || banks.AsError(err).Kind != banks.NeedsAuthorization {
			return s, err
		}
		w.load()
	}
	return s, err
}

// trouble is what a customer notices of us, or what we leave at their bank.
type trouble struct{ challenges, logins, consents, authorisations int }

func (w *worker) trouble() trouble {
	login, c := w.conv.Credentials[banks.CredentialLogin], w.bank.Counters()
	return trouble{c.Challenges[login], c.Logins[login], c.ByLogin[login]["consents.create"], c.ByLogin[login]["authorisations.start"]}
}

type sealedState struct{ Lasting, Dialog json.RawMessage }

// seal stores the state.
func (w *worker) seal() {
	raw, err := json.Marshal(sealedState{w.conv.Lasting, w.conv.Dialog})
	require.NoError(w.t, err, "the state has to be JSON")
	w.sealed = raw
}

// load is what a new worker does: what was not sealed is gone.
func (w *worker) load() {
	var s sealedState
	if w.sealed != nil {
		require.NoError(w.t, json.Unmarshal(w.sealed, &s))
	}
	w.conv.Lasting, w.conv.Dialog, w.conv.Granted, w.conv.Resumed = s.Lasting, s.Dialog, nil, true
}

// step calls move until it stops, sealing in between. A transient error is tried again, as the activity would. The
// move that is to be lost happens at the bank, but its outcome is never seen.
func (w *worker) step(move func(context.Context, *banks.Conversation) (banks.Step, error)) (banks.Step, error) {
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	for range 64 {
		step, err := move(ctx, &w.conv)
		w.moves++
		if w.moves == w.lose {
			w.load()
			continue
		}
		if err != nil {
			requireClassified(w.t, err)
			w.seal()
			if w.tryAgain(err) {
				continue
			}
			return step, err
		}
		w.failures = 0
		w.seal()
		if step.Status != banks.Moving {
			return step, nil
		}
	}
	w.t.Fatal("the adapter moves without end")
	return banks.Step{}, nil
}

// connect brings the conversation to its end: Ready, or an error. The customer answers everything that they are asked.
func (w *worker) connect() error {
	step, err := w.step(w.provider.Authorize)
	for range 20 {
		switch {
		case err != nil:
			return err
		case step.Status == banks.Ready:
			require.NotNil(w.t, w.conv.Granted, "ready, but nothing is said to be granted")
			return nil
		case step.Status == banks.Pending:
			require.Positive(w.t, step.PollAfter)
			w.bank.Advance(step.PollAfter)
			step, err = w.step(w.provider.Poll)
		case step.Status == banks.Challenged:
			require.NotNil(w.t, step.Challenge)
			requireChallenge(w.t, step)
			w.asked = append(w.asked, *step.Challenge)
			w.conv.Resumed = true // the customer takes their time: another worker goes on
			step, err = w.respond(step)
		default:
			w.t.Fatalf("unexpected outcome %q", step.Status)
		}
	}
	w.t.Fatal("the bank asks without end")
	return nil
}

// respond answers a challenge as the customer would.
func (w *worker) respond(step banks.Step) (banks.Step, error) {
	answer := banks.Answer{}
	switch step.Challenge.Type {
	case banks.MethodSelection:
		answer.MethodID = step.Challenge.AuthMethods[len(step.Challenge.AuthMethods)-1].ID
		if w.prefers != "" {
			answer.MethodID, w.prefers = w.prefers, ""
		}
	case banks.Embedded:
		answer.Value = tan
	case banks.RedirectTo:
		answer.Query = w.browse(step.Challenge.Location, true)
	case banks.Decoupled:
		w.bank.Advance(step.PollAfter)
		return w.step(w.provider.Poll)
	}
	return w.step(func(ctx context.Context, c *banks.Conversation) (banks.Step, error) {
		return w.provider.Answer(ctx, c, answer)
	})
}

// browse is the customer in their browser on the bank's pages. It returns what comes back on our callback.
func (w *worker) browse(location string, agree bool) map[string]string {
	w.t.Helper()
	visitor := sandbox.Visitor{Login: w.conv.Credentials[banks.CredentialLogin], Password: pin, TAN: tan, Client: w.server.Client()}
	visit := visitor.Approve
	if !agree {
		visit = visitor.Decline
	}
	address, err := visit(w.t.Context(), location)
	require.NoError(w.t, err)
	back, err := url.Parse(address)
	require.NoError(w.t, err)
	require.Equal(w.t, w.conv.Redirect.State, back.Query().Get("state"))
	query := map[string]string{}
	for name, values := range back.Query() {
		if name != "state" { // the callback finds the challenge by it, and keeps it
			query[name] = values[0]
		}
	}
	return query
}

// tryAgain is the activity's retry policy: transient errors, so many in a row, each time with the state as it was sealed.
func (w *worker) tryAgain(err error) bool {
	if banks.AsError(err).Kind != banks.Transient || w.failures >= w.patience {
		w.failures = 0
		return false
	}
	w.failures++
	w.load()
	return true
}

// accounts lists the accounts, with patience for transient errors.
func (w *worker) accounts() (accounts []banks.Account, err error) {
	for {
		accounts, err = w.provider.Accounts(w.t.Context(), &w.conv)
		if err != nil {
			requireClassified(w.t, err)
		}
		w.seal()
		if err == nil || !w.tryAgain(err) {
			return accounts, err
		}
	}
}

// statement is everything that was read of an account.
type statement struct {
	entries  []banks.Entry
	balances []banks.Balance
	covered  banks.Window
	pending  bool
	pages    int
}

// transactions reads an account to the last page.
func (w *worker) transactions(account banks.Account, window banks.Window) (s statement, err error) {
	cursor := ""
	for {
		page, err := w.provider.Transactions(w.t.Context(), &w.conv, account, window, cursor)
		if err != nil {
			requireClassified(w.t, err)
			w.seal()
			if w.tryAgain(err) {
				continue
			}
			return s, err
		}
		w.failures = 0
		s.entries, s.balances = append(s.entries, page.Entries...), append(s.balances, page.Balances...)
		s.pages++
		require.Less(w.t, s.pages, 1000, "pages without end")
		if cursor = page.Next; cursor == "" {
			s.covered, s.pending = page.Covered, page.PendingCovered
			return s, nil
		}
	}
}

// requireClassified checks what every error has to be: classified, and free of anybody's data.
func requireClassified(t *testing.T, err error) {
	t.Helper()
	var classified *banks.Error
	require.True(t, errors.As(err, &classified), "not classified: %v", err)
	require.NotEmpty(t, classified.Kind)
	require.NotZero(t, classified.Code)
	for _, secret := range []string{pin, tan, "DE6790090042", "/v1/", "state-"} {
		require.NotContains(t, err.Error(), secret)
	}
}

// requireChallenge checks that a challenge has what its type has, and nothing else.
func requireChallenge(t *testing.T, step banks.Step) {
	t.Helper()
	c := *step.Challenge
	switch c.Type {
	case banks.MethodSelection:
		require.Greater(t, len(c.AuthMethods), 1, "one method alone is no choice")
		for _, m := range c.AuthMethods {
			require.NotEmpty(t, m.ID)
			require.NotEmpty(t, m.Type)
		}
		require.Empty(t, c.Data+c.Location+c.Message)
	case banks.Embedded:
		require.NotEmpty(t, c.Data)
		require.NotEmpty(t, c.Label)
		require.Contains(t, []string{banks.FormatText, banks.FormatHTML, banks.FormatPhoto, banks.FormatHHD}, c.Format)
		require.Empty(t, c.Location+c.Message)
	case banks.RedirectTo:
		require.NotEmpty(t, c.Location)
	case banks.Decoupled:
		require.NotEmpty(t, c.Message)
		require.Positive(t, step.PollAfter)
	default:
		t.Fatalf("unknown challenge %q", c.Type)
	}
}
