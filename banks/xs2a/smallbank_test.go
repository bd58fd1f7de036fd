package xs2a_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/xs2a"
)

// A fieldBank answers the few calls of a dialog as one real bank does, and keeps what it was sent.
type fieldBank struct {
	t      *testing.T
	server *httptest.Server
	base   string             // path of the catalog's URL
	plays  map[string][]reply // "PUT /psd2/v1/…" → its answers in turn; the last one is given again and again

	mu   sync.Mutex
	seen []request
}

// reply is an answer of the bank. HOST in its body is the bank's own address.
type reply struct {
	status int // 0: 200
	header map[string]string
	body   string
}

// request is what the bank got.
type request struct {
	call   string // "PUT /psd2/v1/…"
	header http.Header
	body   string
}

// is a bank with its base path and its answers.
func openFieldBank(t *testing.T, base string, plays map[string][]reply) *fieldBank {
	t.Helper()
	b := &fieldBank{t: t, base: base, plays: maps.Clone(plays)}
	b.server = httptest.NewServer(http.HandlerFunc(b.serve))
	t.Cleanup(b.server.Close)
	return b
}

func (b *fieldBank) serve(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	call := r.Method + " " + r.RequestURI
	b.mu.Lock()
	b.seen = append(b.seen, request{call, r.Header.Clone(), string(body)})
	answers := b.plays[call]
	if len(answers) > 1 {
		b.plays[call] = answers[1:]
	}
	b.mu.Unlock()
	if len(answers) == 0 {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	said := answers[0]
	for name, value := range said.header {
		w.Header().Set(name, value)
	}
	if said.body != "" && w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	if said.status == 0 {
		said.status = http.StatusOK
	}
	w.WriteHeader(said.status)
	_, _ = io.WriteString(w, strings.ReplaceAll(said.body, "HOST", b.server.URL))
}

// calls lists what the bank got, in order.
func (b *fieldBank) calls() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for _, r := range b.seen {
		all = append(all, r.call)
	}
	return all
}

// got is the last request of a kind.
func (b *fieldBank) got(call string) request {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, r := range slices.Backward(b.seen) {
		if r.call == call {
			return r
		}
	}
	require.Fail(b.t, "the bank did not get "+call)
	return request{}
}

// carrying lists the requests that carried a word, in whatever part.
func (b *fieldBank) carrying(word string) []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for _, r := range b.seen {
		if strings.Contains(r.body, word) || strings.Contains(fmt.Sprint(r.header), word) || strings.Contains(r.call, word) {
			all = append(all, r.call)
		}
	}
	return all
}

func (b *fieldBank) conversation() *banks.Conversation {
	return conversation(banks.Connection{Protocol: "XS2A", URL: b.server.URL + b.base}, "demo")
}

// goOn moves the conversation as a worker does, until it stops: each state goes through JSON, and a
// passing error is tried again a few times.
func goOn(t *testing.T, p banks.Adapter, conv *banks.Conversation, answer *banks.Answer) (banks.Step, error) {
	t.Helper()
	move := p.Authorize
	if answer != nil {
		move = func(ctx context.Context, c *banks.Conversation) (banks.Step, error) {
			return p.Answer(ctx, c, *answer)
		}
	}
	patience := 3
	for range 40 {
		step, err := move(t.Context(), conv)
		conv.Lasting, conv.Dialog = slices.Clone(conv.Lasting), slices.Clone(conv.Dialog)
		if err != nil && banks.AsError(err).Kind == banks.Transient && patience > 0 {
			patience--
			continue
		}
		if err != nil || step.Status != banks.Moving {
			return step, err
		}
	}
	t.Fatal("moves without end")
	return banks.Step{}, nil
}

func newAdapter() banks.Adapter { return xs2a.New(xs2a.Options{}) }

// begin is the conversation up to the first question, or its end.
func (b *fieldBank) begin() (*banks.Conversation, banks.Step, error) {
	conv := b.conversation()
	step, err := goOn(b.t, newAdapter(), conv, nil)
	return conv, step, err
}

const (
	consented = `{"consentId":"c1","consentStatus":"received","_links":{%s}}`
	granted   = `{"consentId":"c1","consentStatus":"valid","validUntil":"2099-12-31","frequencyPerDay":4}`
	askTAN    = `{"scaStatus":"scaMethodSelected","chosenScaMethod":{"authenticationType":"SMS_OTP","authenticationMethodId":"1","name":"mTAN"},` +
		`"challengeData":{"data":["4711"],"otpMaxLength":6,"otpFormat":"integer"},"_links":{"authoriseTransaction":{"href":%q}}}`
)

func link(name, href string) string { return fmt.Sprintf("%q:{\"href\":%q}", name, href) }

func passwordOf(t *testing.T, r request) string {
	t.Helper()
	var body struct {
		PSUData struct{ Password, EncryptedPassword string } `json:"psuData"`
	}
	require.NoError(t, json.Unmarshal([]byte(r.body), &body), r.body)
	return body.PSUData.Password + body.PSUData.EncryptedPassword
}
