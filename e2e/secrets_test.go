package e2e_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/history/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/workflow"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"kontoflow/providers/iban"
)

// requireNoLeaks runs at the end of every test of this package: nothing secret or personal stands in the histories of
// its workflows, nor in its logs.
func (s *stack) requireNoLeaks() {
	if s.t.Failed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	words := s.canaries.and(s.persons(ctx))
	for id, text := range s.histories(ctx) {
		require.Empty(s.t, words.found(text), "the history of %s leaks", id)
		require.Empty(s.t, ibans(text), "the history of %s names accounts", id)
	}
	require.Empty(s.t, words.found(s.logs.String()), "the logs leak")
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
	all := words{}
	for _, some := range []words{c.words, more} {
		for word, what := range some {
			all[word] = what
		}
	}
	return all
}

// found says which of the words stand in text: in clear, or encoded as URLs, JSON, base64 or hexadecimal digits.
func (w words) found(text string) (what []string) {
	for word, is := range w {
		for _, form := range forms(word) {
			if occurs(text, form) {
				what = append(what, is)
				break
			}
		}
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

// occurs looks for form in text. Short words, such as a TAN, count only where they stand alone: among the digits of times and
// ids every TAN occurs.
func occurs(text, form string) bool {
	if len(form) > 8 {
		return strings.Contains(text, form)
	}
	part := func(r rune) bool { return unicode.IsLetter(r) || unicode.IsDigit(r) || r == '.' }
	for rest := text; ; {
		i := strings.Index(rest, form)
		if i < 0 {
			return false
		}
		before, _ := utf8.DecodeLastRuneInString(rest[:i])
		after, _ := utf8.DecodeRuneInString(rest[i+len(form):])
		if !part(before) && !part(after) {
			return true
		}
		rest = rest[i+1:]
	}
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
	ids map[string]bool
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
	if r.ids == nil {
		r.ids = make(map[string]bool)
	}
	r.ids[id] = true
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
	for id := range s.runs.ids {
		ids = append(ids, id)
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
