package e2e_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.temporal.io/api/common/v1"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/api/sdk/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/kontoflow/kontoflow/internal/iban"
)

// TestNoSecretsLeak goes through what customers go through, good days and bad, and then looks at everything that
// operators, or whoever steals a backup, could read: histories with all that the Temporal UI shows, logs, metrics, and the
// whole database. What must not be found is known: it is said by the test, or heard by a tap between us and the bank.
func TestNoSecretsLeak(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry))
	require.NoError(t, err)
	heard := &tap{}
	s := newStack(t, func(s *stack) {
		s.meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter)).Meter("kontoflow")
		s.workerOptions.Meter, s.workerOptions.LoopbackReceivers = s.meter, true
		s.wrapBank = func(bank http.Handler) http.Handler {
			heard.bank, heard.secrets, heard.persons = bank, s.canaries, &canaries{}
			return heard
		}
	})
	s.canaries.add("the sandbox's OAuth client secret", sandboxClientSecret(t, s))

	var shown []string // what Temporal shows of running workflows
	t.Run("what customers do", func(t *testing.T) {
		for _, bad := range []struct {
			bank, persona string
			code          int
		}{
			{"demo", "demo", 0}, {"demo", "methods", 0}, {"demo", "devices", 0}, {"demo", "photo", 0}, {"demo", "decoupled", 0},
			{"demo", "redirect", 0}, {"demo", "oauth", 0}, {"demo", "again", 0}, {"demo", "savings", 0}, {"demo", "badaccount", 0},
			{"prestep", "demo", 0}, {"confirmation", "demo", 0}, {"encrypted", "demo", 0}, {"statements", "demo", 0},
			{"demo", "wrongpin", 10001}, {"demo", "locked", 10002}, {"demo", "maintenance", 20003}, {"demo", "html", 20000},
			{"demo", "elsewhere", 20000},
		} {
			t.Run(bad.bank+" "+bad.persona, func(t *testing.T) {
				t.Parallel()
				c := s.in(t).newCustomer()
				login := bad.persona + "+Kanarienlogin-" + uuid.NewString()[:8]
				s.canaries.add("a login", login)
				for _, key := range []string{"/rest/syncs", "/rest/transactions", "/rest/accesses"} {
					c.observe("http://127.0.0.1:1", key) // nobody takes what is told: it stays, and its failures are logged
				}
				y := c.finish(c.start(c.access(bad.bank, login), object{"credentials": c.secrets(bad.bank), "save_secrets": true,
					"state": "the client's own", "redirect_uri": "https://example.org/back"}))
				require.Equal(t, bad.code, codeOf(y), "%v", y)
			})
		}
		t.Run("a wrong TAN", func(t *testing.T) {
			t.Parallel()
			c := s.in(t).newCustomer()
			sync := c.start(c.access("demo", "demo+wrongtan"), object{"credentials": object{"pin": password}})
			y := c.until(sync, "")
			shown = append(shown, c.shows(sync)...)
			s.canaries.add("a wrong TAN", "Falschtan-550017")
			challenge := y["challenge"].(object)["id"].(string)
			c.post(sync+"/challenges/"+challenge+"/response", object{"value": "Falschtan-550017"}, 200, nil)
			require.Equal(t, 10004, codeOf(c.until(sync, challenge)))
		})
		t.Run("a cancel", func(t *testing.T) {
			t.Parallel()
			c := s.in(t).newCustomer()
			sync := c.start(c.access("demo", "redirect+cancel"), object{"credentials": object{"pin": password}})
			c.until(sync, "")
			c.post(sync+"/cancel", nil, 200, nil)
			require.Equal(t, 30007, codeOf(c.finish(sync)))
		})
		t.Run("a deletion", func(t *testing.T) {
			t.Parallel()
			c := s.in(t).newCustomer()
			access := c.access("demo", "demo+deleted")
			require.Zero(t, codeOf(c.sync(access)))
			c.call("DELETE", "/rest/accesses/"+access, c.auth, nil, 204, nil)
		})
	})

	// The database quotes values in its errors: one that refuses every account is as bad a day as any.
	t.Run("what the database says", func(t *testing.T) {
		_, err := s.store.Pool.Exec(t.Context(), `ALTER TABLE accounts ADD CONSTRAINT refuses CHECK (iban IS NULL) NOT VALID`)
		require.NoError(t, err)
		c := s.in(t).newCustomer()
		sync := c.start(c.access("demo", "exempt+database"), object{"credentials": object{"pin": password}})
		var texts []string
		require.Eventually(t, func() bool {
			texts = c.shows(sync)
			return strings.Contains(strings.Join(texts, ""), "23514") // check_violation, which quotes the row
		}, patience, 100*time.Millisecond)
		shown = append(shown, texts...)
		_, err = s.store.Pool.Exec(t.Context(), `ALTER TABLE accounts DROP CONSTRAINT refuses`)
		require.NoError(t, err)
		require.Zero(t, codeOf(c.finish(sync)))

		_, err = s.store.Pool.Exec(t.Context(), `ALTER TABLE users ADD CONSTRAINT refuses CHECK (email IS NULL) NOT VALID`)
		require.NoError(t, err)
		s.canaries.add("a user's address", "kanarien.adresse@example.org")
		s.in(t).call("POST", "/auth/user", s.basic, object{"email": "kanarien.adresse@example.org", "password": password}, 500, nil)
		_, err = s.store.Pool.Exec(t.Context(), `ALTER TABLE users DROP CONSTRAINT refuses`)
		require.NoError(t, err)
	})

	ctx := t.Context()
	histories := s.histories(ctx)
	for id := range histories {
		description, err := s.temporal.WorkflowService().DescribeWorkflowExecution(ctx, &workflowservice.DescribeWorkflowExecutionRequest{
			Namespace: namespace(), Execution: &common.WorkflowExecution{WorkflowId: id}})
		require.NoError(t, err)
		shown = append(shown, plainText(t, description), s.details(ctx, id))
	}
	s.worker.Stop()
	measured := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(measured, httptest.NewRequestWithContext(ctx, "GET", "/metrics", nil))
	require.Contains(t, measured.Body.String(), "temporal_")
	require.Contains(t, measured.Body.String(), "kontoflow_notification_attempts")
	require.Contains(t, s.logs.String(), "UNREACHABLE")

	secret := s.canaries.and(nil).search()
	private := s.canaries.and(s.persons(ctx)).with(s.counterparties(ctx)).with(heard.persons.and(nil)).search()
	require.Greater(t, len(secret.is), 100, "the tap heard nothing")
	require.Greater(t, len(histories), 20)
	seen := map[string]string{"the logs": s.logs.String(), "the metrics": measured.Body.String(), "what Temporal shows": strings.Join(shown, "\n")}
	for id, text := range histories {
		seen["the history of "+id] = text
	}
	for where, text := range seen {
		require.Empty(t, private.found(text), where)
		require.Empty(t, ibans(text), where)
	}
	for table, text := range s.dump(ctx) {
		require.Empty(t, secret.found(text), "table %s", table)
		if table == "notification_events" {
			require.NotEmpty(t, text)
			require.Empty(t, private.found(text), "what is told to receivers says whose it is")
		}
	}

	t.Run("a leak is found", func(t *testing.T) {
		s := s.in(t)
		const canary = "Kanarienvogel-Ärger 7732/+"
		planted := words{canary: "canary"}
		for _, text := range []string{
			`{"msg":"PIN ` + canary + ` refused"}`,
			"GET /callback?pin=" + url.QueryEscape(canary),
			"GET /" + url.PathEscape(canary),
			"Basic " + base64.StdEncoding.EncodeToString([]byte("ab:"+canary+"!")),
			base64.URLEncoding.EncodeToString([]byte("a" + canary)),
			hex.EncodeToString([]byte(canary)),
		} {
			require.Equal(t, []string{"canary"}, planted.found(text), text)
		}
		require.Empty(t, planted.found("nothing"))
		require.NotEmpty(t, words{"739104": "TAN"}.found(`{"value":"739104"}`))
		require.Empty(t, words{"739104": "TAN"}.found(`2026-11-22T13:02:38.739104Z 1739104`))
		require.NotEmpty(t, words{"7391": "PIN"}.found(`{"value":"7391"}`), "shorter than what a search looks up")
		require.Empty(t, words{"7391": "PIN"}.found(`2026-11-22T13:02:38.7391Z 17391`))
		require.NotEmpty(t, words{"7391": "PIN"}.found(`PIN 7391`))
		require.NotEmpty(t, ibans("from DE89 3704 0044 0532 0130 00 to"))
		require.Empty(t, ibans("from DE88 3704 0044 0532 0130 00 to"))

		payload, err := converter.GetDefaultDataConverter().ToPayload(object{"value": canary})
		require.NoError(t, err)
		for id := range histories {
			whole := s.history(ctx, id)
			last := whole.Events[len(whole.Events)-1]
			last.UserMetadata = &sdk.UserMetadata{Summary: payload}
			require.NotEmpty(t, planted.found(plainText(t, whole)), "a summary")
			break
		}
		_, err = s.store.Pool.Exec(ctx, `INSERT INTO clients (id, name, secret_hash) VALUES (gen_random_uuid(), 'planted', $1)`, []byte(canary))
		require.NoError(t, err)
		require.NotEmpty(t, planted.found(s.dump(ctx)["clients"]), "a column of bytes")
	})
}

// namespace is the one that all tests share.
func namespace() string {
	if name := os.Getenv("TEMPORAL_NAMESPACE"); name != "" {
		return name
	}
	return "default"
}

// sandboxClientSecret is our password at the sandbox's authorization server.
func sandboxClientSecret(t *testing.T, s *stack) string {
	t.Helper()
	found := regexp.MustCompile(`"client_secret": "([^"]+)"`).FindSubmatch(s.bank.Catalog(s.bankURL))
	require.NotNil(t, found)
	return string(found[1])
}

// shows is what Temporal shows of a workflow that runs: its pending activities, and where it stands.
func (c *customer) shows(sync string) []string {
	c.t.Helper()
	id := sync[strings.LastIndex(sync, "/")+1:]
	description, err := c.temporal.DescribeWorkflowExecution(c.t.Context(), id, "")
	require.NoError(c.t, err)
	return []string{plainText(c.t, description), c.details(c.t.Context(), id)}
}

// details are a workflow's current details, as the Temporal UI asks for them.
func (s *stack) details(ctx context.Context, id string) string {
	answer, err := s.temporal.QueryWorkflow(ctx, id, "", "__temporal_workflow_metadata")
	require.NoError(s.t, err)
	var metadata sdk.WorkflowMetadata
	require.NoError(s.t, answer.Get(&metadata))
	require.NotEmpty(s.t, metadata.CurrentDetails)
	return plainText(s.t, &metadata)
}

// counterparties are the names on the other side of what is stored.
func (s *stack) counterparties(ctx context.Context) words {
	rows, err := s.store.Pool.Query(ctx, `SELECT DISTINCT unnest(array[name, iban]) FROM transactions`)
	require.NoError(s.t, err)
	all, err := pgx.CollectRows(rows, pgx.RowTo[*string])
	require.NoError(s.t, err)
	found := words{}
	for _, one := range all {
		if one != nil {
			found[*one] = "a counterparty"
		}
	}
	return found
}

// dump is every table of the database as text, sealed columns included: whatever stands in them must not be readable.
func (s *stack) dump(ctx context.Context) map[string]string {
	rows, err := s.store.Pool.Query(ctx, `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' AND table_type = 'BASE TABLE'`)
	require.NoError(s.t, err)
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(s.t, err)
	tables := make(map[string]string, len(names))
	for _, name := range names {
		rows, err := s.store.Pool.Query(ctx, `SELECT t::text FROM `+pgx.Identifier{name}.Sanitize()+` t`)
		require.NoError(s.t, err)
		all, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(s.t, err)
		tables[name] = strings.Join(all, "\n")
	}
	return tables
}

// tap listens between Kontoflow and the bank, and remembers every secret that passes.
type tap struct {
	bank    http.Handler
	secrets *canaries // found nowhere
	persons *canaries // found where accounts are stored, and nowhere else
}

func (l *tap) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, "/transactions") || r.URL.Path == "/" {
		l.bank.ServeHTTP(w, r)
		return
	}
	sent, err := io.ReadAll(r.Body)
	if err != nil {
		return // the peer is gone
	}
	r.Body = io.NopCloser(bytes.NewReader(sent))
	if form, err := url.ParseQuery(string(sent)); err == nil && strings.HasSuffix(r.URL.Path, "/oauth/token") {
		l.addresses(form)
	}
	l.secrets.add("a bank's token", strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
	if back, err := url.Parse(r.Header.Get("TPP-Redirect-URI")); err == nil {
		l.addresses(back.Query())
	}
	l.addresses(r.URL.Query())

	answer := httptest.NewRecorder()
	l.bank.ServeHTTP(answer, r)
	if to, err := answer.Result().Location(); err == nil {
		l.addresses(to.Query())
	}
	var said any
	if json.Unmarshal(answer.Body.Bytes(), &said) == nil {
		l.listen("", said)
	}
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

func (l *tap) addresses(query url.Values) {
	for _, name := range []string{"code", "confirmationCode", "state", "refresh_token", "code_verifier"} {
		l.secrets.add("a redirect's "+name, query.Get(name))
	}
}

func (l *tap) listen(name string, value any) {
	switch value := value.(type) {
	case map[string]any:
		if link, ok := value["href"].(string); ok && name == "scaRedirect" {
			l.secrets.add("the address of a customer's visit", link)
		}
		for name, one := range value {
			l.listen(name, one)
		}
	case []any:
		for _, one := range value {
			l.listen(name, one)
		}
	case string:
		switch name {
		case "consentId", "authorisationId", "access_token", "refresh_token":
			l.secrets.add("the bank's "+name, value)
		case "resourceId", "iban", "ownerName":
			l.persons.add("the bank's "+name, value)
		}
	}
}

// requireNoLeaks runs at the end of every test of this package: nothing secret or personal stands in the histories of
// its workflows, nor in its logs.
func (s *stack) requireNoLeaks() {
	if s.t.Failed() {
		return
	}
	whole := context.Background() // the test's own is over
	private := s.canaries.and(s.persons(whole)).search()
	together(s.t, s.workflows(whole), func(_ int, id string) {
		ctx, cancel := context.WithTimeout(whole, patience)
		defer cancel()
		text := plainText(s.t, s.history(ctx, id))
		require.Empty(s.t, private.found(text), "the history of %s leaks", id)
		require.Empty(s.t, ibans(text), "the history of %s names accounts", id)
	})
	require.Empty(s.t, private.found(s.logs.String()), "the logs leak")
	require.Empty(s.t, ibans(s.logs.String()), "the logs name accounts")
}

// persons are the account numbers and owners that the test has stored.
func (s *stack) persons(ctx context.Context) words {
	rows, err := s.store.Pool.Query(ctx, `SELECT unnest(array[iban, owner]) FROM accounts`)
	require.NoError(s.t, err)
	all, err := pgx.CollectRows(rows, pgx.RowTo[*string])
	require.NoError(s.t, err)
	found := words{}
	for _, one := range all {
		if one != nil {
			found[*one] = "an account's number or owner"
		}
	}
	return found
}

// words are what must not be found, each with what it is.
type words map[string]string

func (w words) with(more words) words {
	maps.Copy(w, more)
	return w
}

// canaries collects words while a test goes on.
type canaries struct {
	mu    sync.Mutex
	words words
}

func (c *canaries) add(what, word string) {
	if word == "" {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.words == nil {
		c.words = words{}
	}
	c.words[word] = what
}

func (c *canaries) and(more words) words {
	c.mu.Lock()
	defer c.mu.Unlock()
	return words{}.with(c.words).with(more)
}

// found says which of the words stand in text: in clear, or encoded as URLs, JSON, base64 or hexadecimal digits.
func (w words) found(text string) []string { return w.search().found(text) }

// search prepares looking for the words in many texts: its cost goes by the length of a text, not by how many words there are.
func (w words) search() *search {
	s := &search{is: w, long: make(map[[prefix]byte][]hidden)}
	for word := range w {
		for _, form := range forms(word) {
			if len(form) < prefix {
				s.short = append(s.short, hidden{form, word})
				continue
			}
			begins := [prefix]byte([]byte(form[:prefix]))
			s.long[begins] = append(s.long[begins], hidden{form, word})
			s.pairs[uint16(form[0])<<8|uint16(form[1])] = true
		}
	}
	return s
}

// A search looks for many words at once: at every place of a text for those that begin as it goes on there.
type search struct {
	is    words
	long  map[[prefix]byte][]hidden // by their first bytes
	pairs [1 << 16]bool             // the first two bytes of long ones: most places of a text begin nothing
	short []hidden
}

// prefix is how many first bytes choose the words to compare with.
const prefix = 6

// hidden is a form in which a word may stand somewhere.
type hidden struct{ form, word string }

func (s *search) found(text string) (what []string) {
	found := make(map[string]bool)
	for i := 0; i+prefix <= len(text); i++ {
		if !s.pairs[uint16(text[i])<<8|uint16(text[i+1])] {
			continue
		}
		for _, h := range s.long[[prefix]byte([]byte(text[i:i+prefix]))] {
			if strings.HasPrefix(text[i:], h.form) && counts(text, i, h.form) {
				found[h.word] = true
			}
		}
	}
	for _, h := range s.short {
		for i := range text {
			if strings.HasPrefix(text[i:], h.form) && counts(text, i, h.form) {
				found[h.word] = true
			}
		}
	}
	for word := range found {
		what = append(what, s.is[word])
	}
	return what
}

// forms are the ways in which a word may hide in a text.
func forms(word string) []string {
	quoted, err := json.Marshal(word)
	if err != nil {
		panic(err) // a string
	}
	all := []string{word, url.QueryEscape(word), url.PathEscape(word), strings.Trim(string(quoted), `"`), hex.EncodeToString([]byte(word))}
	// In the middle of something encoded with base64 a word looks in three ways, by where it begins; the characters that
	// depend on its neighbours are left out.
	for shift := range 3 {
		shifted := append(make([]byte, shift), word...)
		whole := len(shifted) / 3 * 4
		first := []int{0, 2, 3}[shift]
		if encoded := base64.RawStdEncoding.EncodeToString(shifted); whole-first >= 6 {
			all = append(all, encoded[first:whole], strings.NewReplacer("+", "-", "/", "_").Replace(encoded[first:whole]))
		}
	}
	return all
}

// counts says whether a form that stands in text at i counts. Short ones, such as a TAN, do only where they stand alone:
// among the digits of times and ids every TAN occurs.
func counts(text string, i int, form string) bool {
	if len(form) > 8 {
		return true
	}
	part := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '.' }
	before, _ := utf8.DecodeLastRuneInString(text[:i])
	after, _ := utf8.DecodeRuneInString(text[i+len(form):])
	return !part(before) && !part(after)
}

var accountNumber = regexp.MustCompile(`\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}\b`)

// ibans are the account numbers in text whose check digits are right.
func ibans(text string) (all []string) {
	for _, candidate := range accountNumber.FindAllString(text, -1) {
		if i, err := iban.Parse(candidate); err == nil && i.ChecksumOK() {
			all = append(all, candidate)
		}
	}
	return all
}

// runs notes the workflows that run on a stack's task queue.
type runs struct {
	interceptor.WorkerInterceptorBase
	mu  sync.Mutex
	ids map[string]bool // false: deleted by the test
}

func (r *runs) InterceptWorkflow(_ workflow.Context, next interceptor.WorkflowInboundInterceptor) interceptor.WorkflowInboundInterceptor {
	return &run{interceptor.WorkflowInboundInterceptorBase{Next: next}, r}
}

type run struct {
	interceptor.WorkflowInboundInterceptorBase
	runs *runs
}

func (r *run) ExecuteWorkflow(ctx workflow.Context, in *interceptor.ExecuteWorkflowInput) (any, error) {
	r.runs.add(workflow.GetInfo(ctx).WorkflowExecution.ID)
	return r.Next.ExecuteWorkflow(ctx, in)
}

func (r *runs) add(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, known := r.ids[id]; !known {
		r.ids[id] = true
	}
}

func (r *runs) deleted(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ids[id] = false
}

// workflows are the ids of the workflows that the stack's worker ran, and of all synchronizations it still stores.
func (s *stack) workflows(ctx context.Context) (ids []string) {
	rows, err := s.store.Pool.Query(ctx, `SELECT y.id::text FROM synchronizations y JOIN bank_sessions b ON b.sync_id = y.id`)
	require.NoError(s.t, err)
	stored, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(s.t, err)
	for _, id := range stored {
		s.runs.add(id)
	}
	s.runs.mu.Lock()
	defer s.runs.mu.Unlock()
	for id, there := range s.runs.ids {
		if there {
			ids = append(ids, id)
		}
	}
	return ids
}

// histories are the histories of all the stack's workflows as text, by their ids.
func (s *stack) histories(ctx context.Context) map[string]string {
	texts := make(map[string]string)
	for _, id := range s.workflows(ctx) {
		texts[id] = plainText(s.t, s.history(ctx, id))
	}
	return texts
}

// history is the history of a workflow.
func (s *stack) history(ctx context.Context, id string) *history.History {
	return historyOf(s.t, ctx, s.temporal, id)
}

func historyOf(t testing.TB, ctx context.Context, c client.Client, id string) *history.History {
	t.Helper()
	whole := &history.History{}
	events := c.GetWorkflowHistory(ctx, id, "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for events.HasNext() {
		event, err := events.Next()
		var late *serviceerror.DeadlineExceeded
		if (errors.As(err, &late) || errors.Is(err, context.DeadlineExceeded)) && ctx.Err() == nil { // a server on a busy machine
			return historyOf(t, ctx, c, id)
		}
		require.NoError(t, err)
		whole.Events = append(whole.Events, event)
	}
	return whole
}

// plainText is a message of Temporal as text, with every payload decoded beside its encoded form.
func plainText(t testing.TB, message proto.Message) string {
	t.Helper()
	encoded, err := protojson.Marshal(message)
	require.NoError(t, err)
	var value any
	require.NoError(t, json.Unmarshal(encoded, &value))
	var text bytes.Buffer
	text.Write(encoded)
	var walk func(any)
	walk = func(value any) {
		switch value := value.(type) {
		case map[string]any:
			for _, one := range value {
				walk(one)
			}
		case []any:
			for _, one := range value {
				walk(one)
			}
		case string:
			if decoded, err := base64.StdEncoding.DecodeString(value); err == nil {
				fmt.Fprintf(&text, "\n%s", decoded)
			}
		}
	}
	walk(value)
	return text.String()
}
