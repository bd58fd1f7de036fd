package e2e_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"
	sdkworker "go.temporal.io/sdk/worker"

	"github.com/kontoflow/kontoflow/internal/await"
	"github.com/kontoflow/kontoflow/internal/child"
	"github.com/kontoflow/kontoflow/internal/temporalclient"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/vault"
	"github.com/kontoflow/kontoflow/worker"
	"github.com/kontoflow/kontoflow/workflows/contract"
)

// TestWorkerKilled kills -9 the worker's process at every request to the bank in turn, between what the bank does and
// what it answers, and starts another one. In the end everything is as if nothing had happened.
func TestWorkerKilled(t *testing.T) {
	t.Parallel()
	goes := func(c *customer) {
		require.Equal(c.t, "COMPLETED", c.sync(c.access("demo", "demo"))["status"], c.logs)
	}
	undisturbed, requests := notKilled(t, goes)
	require.Greater(t, requests, 5)
	for n := 1; n <= requests; n++ {
		t.Run(fmt.Sprintf("at request %d", n), func(t *testing.T) {
			t.Parallel()
			disturbed, _ := killed(t, n, goes)
			undisturbed.requireSame(t, disturbed)
		})
	}
}

// TestWorkerKilledOverRestart does the same where the customer wants another TAN: in the end there is one consent, and one TAN
// was taken.
func TestWorkerKilledOverRestart(t *testing.T) {
	t.Parallel()
	goes := func(c *customer) {
		restarted(object{"choose_method": true}, "photo", "sms")(c, c.access("demo", "methods"))
	}
	undisturbed, requests := notKilled(t, goes)
	require.Greater(t, requests, 9)
	for n := 1; n <= requests; n++ {
		t.Run(fmt.Sprintf("at request %d", n), func(t *testing.T) {
			t.Parallel()
			disturbed, _ := killed(t, n, goes)
			undisturbed.requireSame(t, disturbed)
		})
	}
}

// TestFinTSWorkerKilled does the same over FinTS, where a bank cannot be asked whether a message arrived. What is stored is
// the same. A login whose fate nobody knows is not repeated: where it was the first one of an access, the customer is told
// so, and tries again.
func TestFinTSWorkerKilled(t *testing.T) {
	t.Parallel()
	login := "demo" // 400 days: several pages
	goes := func(c *customer) {
		access := c.access("fints", login)
		y := c.sync(access)
		if codeOf(y) == 10001 {
			require.Equal(c.t, 1, c.bank.Counters().Logins[login], "the PIN was sent again")
			y = c.sync(access)
		}
		require.Equal(c.t, "COMPLETED", y["status"], "%v\n%s", y, c.logs)
		c.requireLedger(login, false)
	}
	undisturbed, requests := notKilled(t, goes)
	require.Greater(t, requests, 10)
	require.Equal(t, 2, undisturbed.bank.Logins[login])
	for n := 1; n <= requests; n++ {
		t.Run(fmt.Sprintf("at request %d", n), func(t *testing.T) {
			t.Parallel()
			o, _ := killed(t, n, goes)
			require.Len(t, o.tables["transactions"], len(undisturbed.tables["transactions"]))
			require.Equal(t, undisturbed.bank.TANs, o.bank.TANs, "a TAN is asked for once, and taken once")
			require.Empty(t, o.bank.WrongTANs)
			require.LessOrEqual(t, o.bank.Logins[login], undisturbed.bank.Logins[login]+1)
		})
	}
}

// TestFinTSWorkerKilledWrongPIN kills it at every request of a login that the bank refuses: three wrong PINs lock the
// customer out, and no machine sends a second one.
func TestFinTSWorkerKilledWrongPIN(t *testing.T) {
	t.Parallel()
	goes := func(c *customer) { require.Equal(c.t, 10001, codeOf(c.sync(c.access("fints", "wrongpin")))) }
	_, requests := notKilled(t, goes)
	require.Positive(t, requests)
	for n := 1; n <= requests; n++ {
		t.Run(fmt.Sprintf("at request %d", n), func(t *testing.T) {
			t.Parallel()
			o, _ := killed(t, n, goes)
			require.Equal(t, 1, o.bank.Logins["wrongpin"])
			require.Equal(t, 1, o.bank.WrongPINs["wrongpin"])
		})
	}
}

// TestWorkerKilledAtOddBanks kills it in dialogs that only some banks have, at a request that is theirs alone. Where
// nobody knows what became of the first PIN of an access, the customer is told so, and tries again. In the end the bank's
// ledger is there, and the bank has seen no wrong PIN or TAN, and one PIN more at most.
func TestWorkerKilledAtOddBanks(t *testing.T) {
	t.Parallel()
	const opens, sendTAN, status = `HKVVB:`, `HKTAN:\d+:\d\+2\+`, `HKTAN:\d+:\d\+S\+`
	for _, at := range []struct {
		bank    string
		request string // in what is sent
		nth     int
		what    string
	}{
		{"fints/onestep", opens, 2, "the first login, with the one-step procedure"}, // the first message asks for an anonymous dialog
		{"fints/no-anonymous", opens, 2, "the login that brings the bank parameters"},
		{"fints/nomedium", `HKTAB:`, 1, "the question for the media"},
		{"fints/several-tans", sendTAN, 2, "the second TAN"},
		{"fints/eachlogin", status, 1, "the first status call"},
		{"fints/camtonly", `HKCAZ:`, 2, "the second page"},
		{"fints/wants-tan", `HK[CK]AZ:`, 2, "an order that is sent again with HKTAN"},
		{"start-put", `^PUT .*/authorisations/`, 1, "the password"},
		{"password-token", `^POST .*/token`, 1, "the PIN that is changed for a token"},
		{"client-token", `^POST .*/token`, 1, "the client's own token"},
	} {
		t.Run(fmt.Sprintf("%s: %s", at.bank, at.what), func(t *testing.T) {
			t.Parallel()
			row := banksAsTheyAre[slices.IndexFunc(banksAsTheyAre, func(row bankAsItIs) bool { return row.bank == at.bank })]
			login := cmp.Or(row.login, "demo")
			var seen atomic.Int32
			sought := regexp.MustCompile(at.request)
			strikes := func(r *http.Request) bool { return sought.MatchString(sent(r)) && int(seen.Add(1)) == at.nth }
			o := killedAt(t, strikes, at.nth%2 == 1, func(c *customer) {
				access := c.access(at.bank, login)
				sync := func() object { return c.finish(c.start(access, object{"credentials": c.secrets(at.bank)})) }
				y := sync()
				if codeOf(y) == 10001 {
					require.Equal(c.t, 1, c.bank.Counters().Logins[login], "the PIN was sent again")
					y = sync()
				}
				require.Equal(c.t, "COMPLETED", y["status"], "%v\n%s", y, c.logs)
				c.requireSame(c.shownBy(row, login), c.stored(!row.unnamed))
			})
			require.True(t, o.happened, "no worker was killed")
			require.Empty(t, o.bank.WrongPINs)
			require.Empty(t, o.bank.WrongTANs)
			require.LessOrEqual(t, o.bank.Logins[login], max(row.logins, 1)+1)
		})
	}
}

// sent is a request as text: its method and path, and what is in a FinTS message.
func sent(r *http.Request) string {
	body, err := io.ReadAll(r.Body)
	if err != nil { // the worker's connection is gone
		return ""
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	text := r.Method + " " + r.URL.Path
	if message, err := base64.StdEncoding.DecodeString(string(body)); err == nil {
		text += " " + string(message)
	}
	return text
}

// notKilled is killed where no worker dies.
func notKilled(t *testing.T, goes func(c *customer)) (o *outcome, requests int) {
	t.Helper()
	o = alone(t, func(t *testing.T) (o *outcome) {
		o, requests = killed(t, 0, goes)
		return o
	})
	return o, requests
}

// killed runs what goes on while a worker dies at the n-th request to the bank, and says how many requests there were.
func killed(t *testing.T, n int, goes func(c *customer)) (*outcome, int) {
	t.Helper()
	var requests atomic.Int32
	o := killedAt(t, func(*http.Request) bool { return int(requests.Add(1)) == n }, n%2 == 1, goes)
	require.Equal(t, n > 0, o.happened, "the worker was not killed")
	return o, int(requests.Load())
}

// killedAt runs what goes on while a worker dies at a request to the bank.
func killedAt(t *testing.T, strikes func(*http.Request) bool, stickyless bool, goes func(c *customer)) *outcome {
	t.Helper()
	var w workerProcess
	s := newStack(t, withBankClock(), withoutWorker(), func(s *stack) {
		s.wrapBank = func(bank http.Handler) http.Handler {
			return http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
				if !strikes(r) {
					bank.ServeHTTP(rw, r)
					return
				}
				bank.ServeHTTP(httptest.NewRecorder(), r)
				w.kill()
				w.start()
				panic(http.ErrAbortHandler)
			})
		}
	})
	w.of(s, stickyless)
	w.start()
	defer w.kill()
	goes(s.newCustomer())
	w.kill()
	counters := s.bank.Counters()
	return &outcome{s.snapshot(t), counters, s.bank.RevokeConsents("demo"), &mischief{what: disturbance{kind: died}, happened: w.started == 2}}
}

// A workerProcess is a worker in a process of its own: this test's binary, which TestMain turns into one.
type workerProcess struct {
	stack       *stack
	environment string

	mu      sync.Mutex
	process *child.Process
	started int
}

// workerSettings travel to the process in its environment.
type workerSettings struct {
	Database, Keys, Temporal, Queue, PublicURL string
	Ahead                                      time.Duration // the bank's clock
	ChallengeTimeout                           time.Duration
	AutoSync                                   worker.AutoSync
	Stickyless                                 bool // every workflow task replays the whole history
}

const workerEnvironment = "KONTOFLOW_TEST_WORKER"

func (w *workerProcess) of(s *stack, stickyless bool) {
	encoded, err := json.Marshal(workerSettings{s.database, s.keys, s.address, s.queue, s.api.URL,
		time.Until(s.bank.Now()), s.workerOptions.ChallengeTimeout, s.workerOptions.AutoSync, stickyless})
	require.NoError(s.t, err)
	w.stack, w.environment = s, workerEnvironment+"="+string(encoded)
}

// start may run outside the test's goroutine, like kill.
func (w *workerProcess) start() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.started++
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), w.environment)
	cmd.Stdout, cmd.Stderr = os.Stderr, w.stack.logs
	process, err := child.Start(cmd, syscall.SIGKILL)
	if err != nil {
		w.stack.t.Errorf("starting a worker: %v", err)
		return
	}
	w.process = process
}

func (w *workerProcess) kill() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.process.Signal(syscall.SIGKILL)
	<-w.process.Done()
}

// workUntilKilled is the life of such a process.
func workUntilKilled(settings string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	var o workerSettings
	if err := json.Unmarshal([]byte(settings), &o); err != nil {
		return err
	}
	if o.Stickyless {
		sdkworker.SetStickyWorkflowCacheSize(0)
	}
	secrets, err := vault.Open(o.Keys)
	if err != nil {
		return err
	}
	store, err := await.For(ctx, "PostgreSQL", func() (*models.Store, error) {
		return models.Open(ctx, o.Database, secrets, models.WithClock(func() time.Time { return time.Now().Add(o.Ahead) }))
	}, models.Unreachable)
	if err != nil {
		return err
	}
	logger := slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
	temporal, err := temporalclient.Dial(temporalclient.Options{Address: o.Temporal, Logger: logger})
	if err != nil {
		return err
	}
	w, err := worker.Start(ctx, worker.Options{Client: temporal, Store: store, TaskQueue: o.Queue, PublicURL: o.PublicURL, Logger: logger,
		ChallengeTimeout: o.ChallengeTimeout, AutoSync: o.AutoSync, SweepAfter: 3 * time.Second})
	if err != nil {
		return err
	}
	<-ctx.Done()
	w.Stop()
	return nil
}

// TestWorkersReplay: with no cache every workflow task replays the whole history, in whichever process it comes to.
func TestWorkersReplay(t *testing.T) {
	t.Parallel()
	s := newStack(t, withoutWorker())
	for range 2 {
		var w workerProcess
		w.of(s, true)
		w.start()
		defer w.kill()
	}
	c := s.newCustomer()
	for _, login := range []string{"devices", "again", "savings", "redirect"} {
		require.Equal(t, "COMPLETED", c.sync(c.access("demo", login))["status"], login)
	}
}

// TestSeveralWorkers: any number of them share the work.
func TestSeveralWorkers(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for range 2 {
		more, err := worker.Start(t.Context(), s.workerOptions)
		require.NoError(t, err)
		defer more.Stop()
	}
	t.Run("all", func(t *testing.T) {
		for i, login := range []string{"demo", "devices", "decoupled", "oauth", "again", "savings", "exempt", "flaky"} {
			t.Run(login, func(t *testing.T) {
				t.Parallel()
				c := s.in(t).newCustomer()
				login := fmt.Sprintf("%s+%d", login, i)
				require.Equal(t, "COMPLETED", c.sync(c.access("demo", login))["status"])
				c.requireLedger(login, true)
				require.LessOrEqual(t, s.bank.Counters().TANs[login], 2)
				require.Zero(t, s.bank.Counters().WrongTANs[login])
			})
		}
	})
}

// TestAPIDiesBetweenRowAndTemporal: whatever the API stored and could not tell Temporal, a worker's sweep does.
func TestAPIDiesBetweenRowAndTemporal(t *testing.T) {
	t.Parallel()
	mute := &mute{}
	s := newStack(t, func(s *stack) {
		s.wrapTemporal = func(c client.Client) client.Client { mute.Client = c; return mute }
	})
	t.Run("start and answer", func(t *testing.T) {
		c := s.in(t).newCustomer()
		require.Equal(t, "COMPLETED", c.sync(c.access("demo", "demo+swept"))["status"])
		c.requireLedger("demo+swept", true)
		require.Equal(t, 1, s.bank.Counters().TANs["demo+swept"])
	})
	t.Run("restart", func(t *testing.T) {
		c := s.in(t).newCustomer()
		for _, login := range []string{"demo+swept-restart", "app+swept-restart"} {
			sync := c.start(c.access("demo", login), object{"credentials": object{"pin": password}})
			asked := c.restart(sync, c.until(sync, ""), object{})
			if form(asked) == "DECOUPLED" {
				require.NoError(t, c.bank.Decide(login, true))
			}
			require.Equal(t, "COMPLETED", c.finish(sync)["status"])
		}
	})
	t.Run("cancel before the start", func(t *testing.T) {
		c := s.in(t).newCustomer()
		access := c.access("demo", "demo+cancelled")
		sync := c.start(access, object{"credentials": object{"pin": password}})
		c.post(sync+"/cancel", nil, 200, nil)
		require.Equal(t, 30007, codeOf(c.finish(sync)))
		require.Equal(t, 30007, codeOf(c.finish(sync)), "it stays so")
	})
	t.Run("cancel of a wait", func(t *testing.T) {
		c := s.in(t).newCustomer()
		sync := c.start(c.access("demo", "redirect+cancelled"), object{"credentials": object{"pin": password}})
		challenge := c.until(sync, "")["challenge"].(object)
		c.post(sync+"/cancel", nil, 200, nil)
		require.Equal(t, 30007, codeOf(c.until(sync, challenge["id"].(string))))
	})
	t.Run("deletion", func(t *testing.T) {
		c := s.in(t).newCustomer()
		access := c.access("demo", "demo+deleted")
		require.Equal(t, "COMPLETED", c.sync(access)["status"])
		c.call("DELETE", "/rest/accesses/"+access, c.auth, nil, 204, nil)
		c.requireGone(access)
		c.revoked(access)
		require.Zero(t, s.bank.RevokeConsents("demo+deleted"))
	})
	t.Run("revocation", func(t *testing.T) {
		c := s.in(t).newCustomer()
		access := c.access("demo", "demo+revoked")
		require.Equal(t, "COMPLETED", c.sync(access)["status"])
		c.revoke(access)
		c.revoked(access)
		require.Zero(t, s.bank.RevokeConsents("demo+revoked"))
	})
	require.Greater(t, mute.asked.Load(), int32(8))
}

// mute is a Temporal that the API does not reach.
type mute struct {
	client.Client
	asked atomic.Int32
}

var errMute = errors.New("no answer from Temporal")

func (m *mute) ExecuteWorkflow(context.Context, client.StartWorkflowOptions, any, ...any) (client.WorkflowRun, error) {
	m.asked.Add(1)
	return nil, errMute
}

func (m *mute) SignalWorkflow(context.Context, string, string, string, any) error {
	m.asked.Add(1)
	return errMute
}

func (m *mute) CancelWorkflow(context.Context, string, string) error {
	m.asked.Add(1)
	return errMute
}

// TestTerminatedRun: what an operator terminates in Temporal instead of cancelling it leaves the synchronization open, until
// the client cancels it. TestLostRuns is about those that nobody cancels.
func TestTerminatedRun(t *testing.T) {
	t.Parallel()
	c := newStack(t).newCustomer()
	access := c.access("demo", "demo")
	sync := c.start(access, object{"credentials": object{"pin": password}})
	c.until(sync, "")
	require.NoError(t, c.temporal.TerminateWorkflow(t.Context(), idOf(sync), "", "by an operator"))
	require.Equal(t, "AWAIT_AUTH", c.at(sync)["status"])
	c.refuse("POST", "/rest/accesses/"+access+"/syncs", object{"credentials": object{"pin": password}}, 409, 1008)
	c.post(sync+"/cancel", nil, 200, nil)
	c.eventually(func() bool { return c.at(sync)["status"] == "FAILED" }, "the sweep ends it")
	require.Equal(t, 30007, codeOf(c.at(sync)))
	require.Equal(t, "COMPLETED", c.sync(access)["status"])
}

// requireGone waits until nothing is left of an access.
func (c *customer) requireGone(access string) {
	c.t.Helper()
	c.eventually(func() bool {
		var left int
		err := c.store.Pool.QueryRow(c.t.Context(), `SELECT (SELECT count(*) FROM accesses WHERE id = $1) + (SELECT count(*) FROM accounts WHERE access_id = $1)
			+ (SELECT count(*) FROM synchronizations WHERE access_id = $1) + (SELECT count(*) FROM credentials WHERE access_id = $1)`, access).Scan(&left)
		return err == nil && left == 0
	}, "the access is gone")
}

// TestDeletedWhileRunning: an access may be deleted at any moment of its synchronization.
func TestDeletedWhileRunning(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for login, moment := range map[string]func(c *customer, sync string){
		"exempt": func(*customer, string) {},
		"demo":   func(c *customer, sync string) { c.until(sync, "") },
		"app":    func(c *customer, sync string) { c.until(sync, "") },
		"endless": func(c *customer, _ string) {
			c.eventually(func() bool { return c.bank.Counters().ByLogin["endless"]["transactions"] > 0 }, "it reads")
		},
	} {
		t.Run(login, func(t *testing.T) {
			t.Parallel()
			c := s.in(t).newCustomer()
			access := c.access("demo", login)
			sync := c.start(access, object{"credentials": object{"pin": password}})
			moment(c, sync)
			c.call("DELETE", "/rest/accesses/"+access, c.auth, nil, 204, nil)
			c.call("GET", sync, c.auth, nil, 404, nil)
			c.requireGone(access)
			require.Empty(t, c.transactions())
			require.Empty(t, workflowsThatRun(c, idOf(sync)), "the workflow goes on")
			if login == "endless" {
				require.Positive(t, s.bank.Counters().ByLogin[login]["consents.delete"], "the consent lives on at the bank")
			}
		})
	}
}

// workflowsThatRun waits for a workflow's end.
func workflowsThatRun(c *customer, id string) string {
	h := c.ended(id)
	if last := h.Events[len(h.Events)-1]; !strings.HasPrefix(last.EventType.String(), "WorkflowExecution") {
		return last.EventType.String()
	}
	return ""
}

// TestTwoStartsAtOnce: of many starts at the same moment one counts; the others learn which.
func TestTwoStartsAtOnce(t *testing.T) {
	t.Parallel()
	c := newStack(t).newCustomer()
	access := c.access("demo", "demo")
	path, pin := "/rest/accesses/"+access+"/syncs", object{"credentials": object{"pin": password}}

	var running []any
	var busy []any
	for _, a := range c.atOnce(8, "POST", path, pin, nil) {
		switch a.status {
		case 201:
			running = append(running, a.body["id"])
		case 409:
			failure := a.body["error"].(object)
			require.EqualValues(t, 1008, failure["code"])
			busy = append(busy, failure["data"].(object)["sync_id"].([]any)[0])
		default:
			t.Fatalf("%d: %v", a.status, a.body)
		}
	}
	require.Len(t, running, 1)
	require.Len(t, busy, 7)
	for _, id := range busy {
		require.Equal(t, running[0], id)
	}

	// The same answer from several places at the same moment is one answer.
	sync := path + "/" + running[0].(string)
	challenge := c.until(sync, "")["challenge"].(object)
	for _, a := range c.atOnce(8, "POST", sync+"/challenges/"+challenge["id"].(string)+"/response", object{"value": tan}, nil) {
		require.Equal(t, 200, a.status, "%v", a.body)
	}
	require.Equal(t, "COMPLETED", c.finish(sync)["status"])
	require.Equal(t, 1, c.bank.Counters().TANs["demo"])
	require.Zero(t, c.bank.Counters().WrongTANs["demo"])

	// With an idempotency key all starts are one.
	key := http.Header{"Idempotency-Key": {"at-once"}}
	answers := c.atOnce(8, "POST", path, pin, key)
	for _, a := range answers {
		require.Equal(t, 201, a.status, "%v", a.body)
		require.Equal(t, answers[0].body["id"], a.body["id"])
	}
	require.Equal(t, "COMPLETED", c.finish(path + "/" + answers[0].body["id"].(string))["status"])
	require.Len(t, c.at(path)["syncs"], 2)
}

type answer struct {
	status int
	header http.Header
	body   object
}

// atOnce makes the same request n times at the same moment.
func (c *customer) atOnce(n int, method, path string, body object, header http.Header) []answer {
	c.t.Helper()
	encoded, err := json.Marshal(body)
	require.NoError(c.t, err)
	answers, errs := make([]answer, n), make([]error, n)
	var group sync.WaitGroup
	begin := make(chan struct{})
	for i := range n {
		group.Go(func() {
			<-begin
			answers[i], errs[i] = c.try(method, path, encoded, header)
		})
	}
	close(begin)
	group.Wait()
	require.NoError(c.t, errors.Join(errs...))
	return answers
}

func (c *customer) try(method, path string, body []byte, header http.Header) (a answer, err error) {
	request, err := http.NewRequestWithContext(c.t.Context(), method, c.api.URL+path, bytes.NewReader(body))
	if err != nil {
		return a, err
	}
	c.auth(request)
	request.Header.Set("Content-Type", "application/json")
	for name, values := range header {
		request.Header[name] = values
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return a, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return a, err
	}
	a.status, a.header = response.StatusCode, response.Header
	return a, json.Unmarshal(text, &a.body)
}

// TestStrangeSignals: what is no answer to the open question neither ends the wait nor the run.
func TestStrangeSignals(t *testing.T) {
	t.Parallel()
	c := newStack(t).newCustomer()
	sync := c.start(c.access("demo", "demo"), object{"credentials": object{"pin": password}})
	challenge := c.until(sync, "")["challenge"].(object)
	for _, payload := range []any{nil, "nonsense", 42, []int{1}, object{"challenge_id": "nonsense"},
		contract.Answered{ChallengeID: models.NewID()}, contract.Answered{}} {
		require.NoError(t, c.temporal.SignalWorkflow(t.Context(), idOf(sync), "", contract.ChallengeAnswered, payload))
	}
	for _, payload := range []any{nil, "nonsense", contract.GivenUp{ChallengeID: models.NewID()}, contract.GivenUp{}} {
		require.NoError(t, c.temporal.SignalWorkflow(t.Context(), idOf(sync), "", contract.ChallengeRestarted, payload))
	}
	require.NoError(t, c.temporal.SignalWorkflow(t.Context(), idOf(sync), "", "some-other-signal", "x"))
	var y object
	c.get(sync+"?wait=1", &y)
	require.Equal(t, "AWAIT_AUTH", y["status"])
	require.Equal(t, challenge["id"], y["challenge"].(object)["id"])
	c.answer(sync, challenge)
	require.Equal(t, "COMPLETED", c.until(sync, challenge["id"].(string))["status"])
}
