package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/sandbox"
)

// The second-run law: whatever happens to a step, the outcome is the same as if nothing had happened. Every way of a
// customer through the product is walked once undisturbed. That tells which steps there are; then it is walked again
// for each of them, with that step disturbed once, and in the end the whole database and what the bank counted have to
// be the same.
func TestLostCompletions(t *testing.T) {
	t.Parallel()
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			undisturbed := alone(t, func(t *testing.T) *outcome { return way.walk(t, disturbance{}) })
			for _, d := range undisturbed.steps {
				if !way.isNew(d) {
					continue
				}
				t.Run(d.String(), func(t *testing.T) {
					t.Parallel()
					disturbed := way.walk(t, d)
					require.True(t, disturbed.happened, "nothing was disturbed")
					undisturbed.requireSame(t, disturbed)
				})
			}
		})
	}
}

// alone runs f in a subtest of its own, before those that are compared with it. Its servers end with it: idle ones would
// slow down all tests that run meanwhile.
func alone[T any](t *testing.T, f func(t *testing.T) T) (result T) {
	t.Helper()
	if !t.Run("undisturbed", func(t *testing.T) { result = f(t) }) {
		t.FailNow()
	}
	return result
}

// A way is what a customer goes through.
type way struct {
	name   string
	login  string                           // at the demo bank, or with the name of another in front
	before func(c *customer, access string) // undisturbed; nil: nothing
	goes   func(c *customer, access string)
	known  known
}

// known says what of a way is another way's too, and disturbed there. Completions are lost in all of them.
type known int

const (
	nothing   known = iota
	beginning       // up to the first challenge
	paced           // the same, and how often the bank's app is asked about is chance
	authorization
)

// isNew reports whether a disturbance is not among those of another way.
func (w way) isNew(d disturbance) bool {
	switch {
	case d.kind == completionLost || w.known == nothing:
		return true
	case w.known == authorization, w.known == paced && d.name == "Poll":
		return false
	case d.name == "Authorize":
		return d.ordinal > 3 // the consent, the authorisation, the PIN
	default:
		return d.ordinal > 1 || d.kind == died
	}
}

var ways = []way{
	{"plain TAN", "demo", nil, completed, nothing},
	{"method, then TAN", "methods", nil, completed, beginning},
	{"method, device, then TAN", "devices", nil, completed, beginning},
	{"decoupled", "decoupled", nil, completed, beginning},
	{"redirect", "redirect", nil, completed, nothing},
	{"OAuth", "oauth", nil, completed, nothing},
	{"an authorisation that is there already", "start-put:demo", nil, completed, beginning},
	{"a token of our own", "client-token:demo", nil, withoutSecrets, beginning},
	{"a visit that the bank fails", "server-error:demo", nil, withoutSecrets, nothing},
	{"a token for the PIN", "password-token:demo", nil, completed, authorization},
	{"a base path", "base-path:methods", nil, completed, authorization},
	{"a history in steps", "short-history-30:demo", nil, completed, authorization},
	{"a second challenge", "again", nil, completed, beginning},
	{"exempt", "exempt", nil, completed, beginning},
	{"several accounts", "savings", nil, completed, authorization},
	{"a bad account", "badaccount", nil, completed, authorization},
	{"wrong PIN", "wrongpin", nil, once("FAILED", nil), nothing},
	{"wrong TAN", "demo", nil, func(c *customer, access string) {
		sync := c.start(access, object{"credentials": object{"pin": password}})
		challenge := c.until(sync, "")["challenge"].(object)["id"].(string)
		c.post(sync+"/challenges/"+challenge+"/response", object{"value": "000000"}, 200, nil)
		require.Equal(c.t, 10004, codeOf(c.until(sync, challenge)))
	}, beginning},
	{"cancelled", "demo", nil, func(c *customer, access string) {
		sync := c.start(access, object{"credentials": object{"pin": password}})
		challenge := c.until(sync, "")["challenge"].(object)["id"].(string)
		c.post(sync+"/cancel", nil, 200, nil)
		require.Equal(c.t, 30007, codeOf(c.until(sync, challenge)))
	}, authorization},
	{"another TAN", "demo", nil, restarted(object{}), beginning},
	{"another page", "redirect", nil, restarted(object{}), beginning},
	{"another push", "app", nil, restarted(object{}), paced},
	{"another method", "methods", nil, restarted(object{"choose_method": true}, "photo", "sms"), beginning},
	{"FinTS, another TAN", "fints:demo", nil, restarted(object{}), authorization},
	{"FinTS, another method", "fints:methods", nil, restarted(object{"choose_method": true}, "910", "930"), authorization},
	{"accounts only", "demo", nil, once("COMPLETED", object{"scope": []string{"ACCOUNTS"}}), authorization},
	{"secrets saved", "demo", nil, once("COMPLETED", object{"save_secrets": true}), authorization},
	{"incremental", "pending", func(c *customer, access string) {
		completed(c, access)
		c.bank.Advance(3 * 24 * time.Hour)
	}, completed, nothing},
	{"FinTS", "fints:again", nil, completed, authorization},
	{"FinTS, decoupled", "fints:decoupled", nil, completed, authorization},
	{"FinTS, one step", "fints/onestep:demo", nil, completed, authorization},
	{"FinTS, no medium", "fints/nomedium:devices", nil, completed, authorization},
	{"FinTS, parameters renewed", "fints/renewed-bpd:demo", func(c *customer, access string) {
		completed(c, access)
		c.bank.Advance(24 * time.Hour)
	}, completed, authorization},
	{"FinTS, the customer at each login", "fints/eachlogin:decoupled", completed, completed, authorization},
	{"FinTS, several TANs", "fints/several-tans:demo", nil, completed, authorization},
	{"FinTS, pages and two codes", "fints/two-codes:pending", nil, completed, authorization},
	{"FinTS, wrong PIN", "fints:wrongpin", nil, once("FAILED", nil), authorization},
	{"FinTS, incremental", "fints:pending", func(c *customer, access string) {
		completed(c, access)
		c.bank.Advance(3 * 24 * time.Hour)
	}, completed, authorization},
	{"upgrade", "fints:savings", func(c *customer, access string) {
		completed(c, access)
		c.supersede([]string{"Giro account"}, true)
	}, func(c *customer, access string) {
		y := c.finish(c.start(access, object{}))
		require.Equal(c.t, 40003, codeOf(y), "%v\n%s", y, c.logs)
		completed(c, y["error"].(object)["data"].(object)["accesses_created"].([]any)[0].(string))
	}, authorization},
	{"revocation", "demo", completed, (*customer).revoke, nothing},
	{"removal", "demo", completed, func(c *customer, access string) {
		c.call("DELETE", "/rest/accesses/"+access, c.auth, nil, 204, nil)
		require.Eventually(c.t, func() bool {
			var left int
			err := c.store.Pool.QueryRow(c.t.Context(), `SELECT count(*) FROM accesses`).Scan(&left)
			return err == nil && left == 0
		}, patience, 50*time.Millisecond)
	}, nothing},
}

func completed(c *customer, access string) { once("COMPLETED", nil)(c, access) }

// withoutSecrets is one synchronization at a bank whose customers type everything into its own pages.
func withoutSecrets(c *customer, access string) {
	y := c.finish(c.start(access, object{}))
	require.Equal(c.t, "COMPLETED", y["status"], "%v\n%s", y, c.logs)
}

// once is one synchronization that ends in status.
func once(status string, body object) func(c *customer, access string) {
	return func(c *customer, access string) {
		request := object{"credentials": object{"pin": password}}
		for key, value := range body {
			request[key] = value
		}
		y := c.finish(c.start(access, request))
		require.Equal(c.t, status, y["status"], "%v\n%s", y, c.logs)
	}
}

// restarted is a synchronization whose first TAN, page or push message is restarted. methods are chosen in their order,
// wherever the bank lets the customer choose.
func restarted(body object, methods ...string) func(c *customer, access string) {
	return func(c *customer, access string) {
		picks := methods
		choosing := func(sync string, asked object) object {
			for form(asked) == "METHOD_SELECTION" {
				asked, picks = c.choose(sync, asked, picks[0]), picks[1:]
			}
			return asked
		}
		sync := c.start(access, object{"credentials": object{"pin": password}})
		asked := choosing(sync, c.until(sync, ""))
		asked = choosing(sync, c.restart(sync, asked, body))
		require.Empty(c.t, picks, "not everything was chosen")
		if form(asked) == "DECOUPLED" {
			require.NoError(c.t, c.bank.Decide(c.login, true))
		}
		y := c.finish(sync)
		require.Equal(c.t, "COMPLETED", y["status"], "%v\n%s", y, c.logs)
	}
}

// A disturbance happens to one step: the ordinal-th of its kind and name.
type disturbance struct {
	kind    kind
	name    string
	ordinal int
}

func (d disturbance) String() string {
	return fmt.Sprintf("%s %s %d", d.name, d.kind, d.ordinal)
}

// kind is what happens to a step.
type kind string

const (
	// The activity does everything, and Temporal never hears of it: it runs again.
	completionLost kind = "completion lost"
	// The bank has answered a move, and the worker dies before it stores what came of it.
	died kind = "died after"
	// A request that changes something arrives at the bank, and its answer is lost on the way.
	answerLost kind = "answer lost"
	// Such a request never arrives.
	notReached kind = "not reached"
)

// mischief disturbs one step of a way, and notes all that could be disturbed.
type mischief struct {
	interceptor.WorkerInterceptorBase
	what disturbance

	mu       sync.Mutex
	awake    bool
	seen     map[string]bool // activities, by workflow and activity id
	counts   map[disturbance]int
	steps    []disturbance
	happened bool
	sent     string // the last request that changed something
	spent    bool   // it happened between an OAuth code and its tokens
}

// strikes counts a step, and reports whether it is the one to be disturbed.
func (m *mischief) strikes(name string, kinds ...kind) (kind, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.awake {
		return "", false
	}
	struck := kind("")
	for _, k := range kinds {
		m.counts[disturbance{kind: k, name: name}]++
		d := disturbance{k, name, m.counts[disturbance{kind: k, name: name}]}
		m.steps = append(m.steps, d)
		if d == m.what && !m.happened {
			struck, m.happened = k, true
			m.spent = strings.HasSuffix(m.sent, "/oauth/token") && (k == answerLost || k == died && name == "Answer")
		}
	}
	return struck, struck != ""
}

func (m *mischief) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &mischievous{interceptor.ActivityInboundInterceptorBase{Next: next}, m}
}

type mischievous struct {
	interceptor.ActivityInboundInterceptorBase
	mischief *mischief
}

// ExecuteActivity loses the completion, be it a result or an error.
func (a *mischievous) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	info := activity.GetInfo(ctx)
	key := info.WorkflowExecution.ID + "/" + info.ActivityID
	m := a.mischief
	m.mu.Lock()
	again := m.seen[key]
	m.seen[key] = true
	// What began before the way is none of its steps: a synchronization reads as COMPLETED while its Finish returns.
	before := !m.awake
	m.mu.Unlock()
	result, err := a.Next.ExecuteActivity(ctx, in)
	if again || before {
		return result, err
	}
	if _, lost := m.strikes(info.ActivityType.Name, completionLost); lost {
		return nil, errors.New("the completion is lost")
	}
	return result, err
}

// dying is an adapter whose worker dies after a move.
type dying struct {
	banks.Adapter
	mischief *mischief
}

func (d dying) after(move string) {
	if _, struck := d.mischief.strikes(move, died); struck {
		panic("the worker died") // nothing after the move is done, and Temporal tries again
	}
}

func (d dying) Authorize(ctx context.Context, c *banks.Conversation) (banks.Step, error) {
	defer d.after("Authorize")
	return d.Adapter.Authorize(ctx, c)
}

func (d dying) Answer(ctx context.Context, c *banks.Conversation, answer banks.Answer) (banks.Step, error) {
	defer d.after("Answer")
	return d.Adapter.Answer(ctx, c, answer)
}

func (d dying) Poll(ctx context.Context, c *banks.Conversation) (banks.Step, error) {
	defer d.after("Poll")
	return d.Adapter.Poll(ctx, c)
}

func (d dying) Accounts(ctx context.Context, c *banks.Conversation) ([]banks.Account, error) {
	defer d.after("Accounts")
	return d.Adapter.Accounts(ctx, c)
}

func (d dying) Revoke(ctx context.Context, c *banks.Conversation) error {
	defer d.after("Revoke")
	return d.Adapter.Revoke(ctx, c)
}

// wire loses what goes to the bank and cannot be repeated unknowingly. Reads are left alone: their loss is in what
// every adapter has to stand anyway (banks/conformance).
func (m *mischief) wire(bank http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet || strings.Contains(r.URL.Path, "/login/") || strings.HasPrefix(r.URL.Path, "/control/") {
			bank.ServeHTTP(w, r)
			return
		}
		name := r.Method + " " + ids.ReplaceAllString(r.URL.Path, "…")
		m.mu.Lock()
		m.sent = name
		m.mu.Unlock()
		switch struck, _ := m.strikes(name, answerLost, notReached); struck {
		case answerLost:
			bank.ServeHTTP(httptest.NewRecorder(), r)
			panic(http.ErrAbortHandler)
		case notReached:
			panic(http.ErrAbortHandler)
		default:
			bank.ServeHTTP(w, r)
		}
	})
}

var ids = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{32}`)

// outcome is what a walk leaves behind.
type outcome struct {
	tables map[string][]string
	bank   sandbox.Counters
	valid  int // consents at the bank
	*mischief
}

// walk goes the way in a Kontoflow of its own, with a bank of its own.
func (w way) walk(t *testing.T, d disturbance) *outcome {
	t.Helper()
	m := &mischief{what: d, seen: make(map[string]bool), counts: make(map[disturbance]int)}
	s := newStack(t, withBankClock(), withInterceptor(m), func(s *stack) {
		s.wrapBank = m.wire
		s.wrapAdapter = func(p banks.Adapter) banks.Adapter { return dying{p, m} }
	})
	c := s.newCustomer()
	bank, login := "demo", w.login
	if at, there, named := strings.Cut(w.login, ":"); named {
		bank, login = at, there
	}
	access := c.access(bank, login)
	if w.before != nil {
		w.before(c, access)
	}
	m.mu.Lock()
	m.awake = true
	m.mu.Unlock()
	w.goes(c, access)
	require.Eventually(t, func() bool { // what is over is over at the bank, too
		var owed int
		err := s.store.Pool.QueryRow(t.Context(), `SELECT count(*) FROM revocations`).Scan(&owed)
		return err == nil && owed == 0
	}, patience, 50*time.Millisecond)
	s.worker.Stop() // after the last activity's last attempt
	counters := s.bank.Counters()
	return &outcome{s.snapshot(t), counters, s.bank.RevokeConsents(login), m}
}

// requireSame compares with a disturbed walk.
func (o *outcome) requireSame(t *testing.T, disturbed *outcome) {
	t.Helper()
	if disturbed.spent {
		// A code is good for one try. Whoever loses the tokens that it was changed for has to send the customer again.
		require.Len(t, disturbed.tables["challenges"], len(o.tables["challenges"])+1)
		for _, table := range []string{"challenges", "answers", "synchronization_events", "bank_sessions"} {
			delete(disturbed.tables, table)
		}
	}
	for table, rows := range disturbed.tables {
		before := o.tables[table]
		if disturbed.what.kind != completionLost {
			before, rows = withoutBanksWords(before), withoutBanksWords(rows)
		}
		require.Equal(t, before, rows, "table %s", table)
	}
	require.Equal(t, o.valid, disturbed.valid, "consents in force at the bank")
	require.Equal(t, o.bank.WrongPINs, disturbed.bank.WrongPINs, "wrong PINs")
	for login, wrong := range disturbed.bank.WrongTANs {
		// A bank that leaves the challenge open after a wrong TAN cannot be asked whether the TAN has arrived. Where its
		// answer is lost the TAN is sent once more, and never a third time: the third would lock.
		require.LessOrEqual(t, wrong, o.bank.WrongTANs[login]+1, "wrong TANs")
	}
	if disturbed.what.kind == completionLost {
		require.Equal(t, o.bank.WrongTANs, disturbed.bank.WrongTANs, "wrong TANs")
		require.Equal(t, o.bank.Logins, disturbed.bank.Logins, "PINs sent")
		require.Equal(t, o.bank.TANs, disturbed.bank.TANs, "TANs sent")
		require.Equal(t, o.bank.Consents, disturbed.bank.Consents, "consents")
	}
}

// withoutBanksWords leaves out what the bank said about an error: an answer that was lost cannot be quoted.
func withoutBanksWords(rows []string) []string {
	quoteless := make([]string, len(rows))
	for i, text := range rows {
		quoteless[i] = banksWords.ReplaceAllString(text, "$1}")
	}
	return quoteless
}

var banksWords = regexp.MustCompile(`("code": \d+), "message": "[^"]*"\}`)

// snapshot is the whole database as text, the rows of a table in an order of their own. What differs between two runs
// of the same thing is left out: an id is replaced by the row that it names, a time and a sealed value by a word for it.
func (s *stack) snapshot(t *testing.T) map[string][]string {
	t.Helper()
	ctx := t.Context()
	rows, err := s.store.Pool.Query(ctx, `SELECT table_name FROM information_schema.tables
		WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name <> 'goose_db_version' ORDER BY 1`)
	require.NoError(t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)

	here := strings.NewReplacer(s.bankURL, "BANK", s.api.URL, "API")
	tables := make(map[string][]row, len(names))
	for _, table := range names {
		rows, err := s.store.Pool.Query(ctx, `SELECT coalesce(to_jsonb(t) ->> 'id', ''), (to_jsonb(t) - coalesce($1::text[], '{}'))::text
			FROM `+pgx.Identifier{table}.Sanitize()+` t`, accidental[table])
		require.NoError(t, err)
		var id, text string
		_, err = pgx.ForEachRow(rows, []any{&id, &text}, func() error {
			tables[table] = append(tables[table], newRow(id, here.Replace(text)))
			return nil
		})
		require.NoError(t, err)
	}
	tables["synchronization_events"] = slices.DeleteFunc(tables["synchronization_events"], func(r row) bool {
		return several.MatchString(strings.Join(r.parts, `"`)) // accounts side by side: whose page comes first is chance
	})

	// Rows are told apart by what stands in them, then by what the rows that they name are called, and so on.
	called := make(map[string]string)
	texts := make(map[string][]string, len(tables))
	for range 5 {
		next := make(map[string]string, len(called))
		for table, rows := range tables {
			unsorted := make([]string, len(rows))
			for i := range rows {
				unsorted[i] = rows[i].text(called)
			}
			texts[table] = slices.Sorted(slices.Values(unsorted))
			for i := range rows {
				place, _ := slices.BinarySearch(texts[table], unsorted[i])
				next[rows[i].id] = fmt.Sprintf("%s#%d", table, place+1)
			}
		}
		called = next
	}
	return texts
}

var several = regexp.MustCompile(`"accounts_total": ([2-9]|\d\d)`)

// accidental are columns whose values mean nothing beyond their run.
var accidental = map[string][]string{
	"users":         {"email", "password_hash"},
	"bank_sessions": {"version"}, // how often it was stored
	"accounts":      {"resource_id"},
	// Accounts side by side: whose page comes first is chance. The order of the feed is TestChangesBesideWriters'.
	"transaction_changes": {"position"},
}

// A row is a row's JSON, cut at its quotes: every id, time and binary value is a part of its own.
type row struct {
	id    string
	parts []string
	ids   []int // indexes of the parts that are ids
}

func newRow(id, text string) row {
	r := row{id: id, parts: strings.Split(text, `"`)}
	for i, part := range r.parts {
		switch {
		case len(part) == 36 && uuid.Validate(part) == nil, len(part) == 33 && part[0] == 'U':
			r.ids = append(r.ids, i)
		case len(part) > 19 && part[4] == '-' && part[10] == 'T' && part[13] == ':':
			r.parts[i] = "TIME"
		case strings.HasPrefix(part, `\\x`) && r.parts[i-2] != "facts":
			r.parts[i] = "SEALED"
		}
	}
	return r
}

// text is the row with every id replaced by what the row is called that it names.
func (r *row) text(called map[string]string) string {
	parts := slices.Clone(r.parts)
	for _, i := range r.ids {
		name, ok := called[parts[i]]
		if !ok {
			name = "ID"
		}
		parts[i] = name
	}
	return strings.Join(parts, `"`)
}
