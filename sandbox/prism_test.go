package sandbox_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/xs2a"
	"github.com/kontoflow/kontoflow/internal/civil"
	"github.com/kontoflow/kontoflow/sandbox"
)

const prismVersion = "5.14.2"

// TestXS2AConformsToSpecification puts Prism, somebody else's validating proxy, between the adapter and the bank, and
// walks through a whole dialog of each approach. Prism refuses every request and every answer that the Berlin
// Group's OpenAPI file does not describe.
func TestXS2AConformsToSpecification(t *testing.T) {
	if specificationPath() == "" {
		t.Skip("the Berlin Group's OpenAPI file is not here; XS2A_SPECIFICATION says where it is")
	}
	var upstream atomic.Value // http.Handler: the bank that Prism speaks to
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		upstream.Load().(http.Handler).ServeHTTP(&publicLocation{w}, r)
	}))
	t.Cleanup(server.Close)
	bank := sandbox.New(sandbox.Options{PublicURL: server.URL})
	p := startPrism(t, server.URL)

	upstream.Store(bank.HandlerOf("demo"))
	t.Run("prism objects", func(t *testing.T) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.url+"/v1/accounts", nil)
		require.NoError(t, err)
		request.Header.Set("X-Request-ID", "not-a-uuid")
		response, err := http.DefaultClient.Do(request)
		require.NoError(t, err)
		defer response.Body.Close()
		require.Equal(t, http.StatusUnprocessableEntity, response.StatusCode)
		require.Contains(t, p.found(), "consent-id")
	})

	registration := func(flow string) *banks.OAuth {
		o := &banks.OAuth{Flow: flow, ClientID: "kontoflow", MetadataURL: server.URL + "/.well-known/oauth-authorization-server"}
		if flow == "PRE_STEP" {
			o.ClientSecret = "kontoflow-sandbox"
		}
		return o
	}
	for _, dialog := range []struct {
		bank, login string
		oauth       *banks.OAuth
		consent     banks.Consent
		dialect     string
		asked       []string // types and formats of the challenges on the way
	}{
		{bank: "demo", login: "demo", asked: []string{"EMBEDDED TEXT"}},
		{bank: "demo", login: "demo+named", consent: banks.Consent{Recurring: true, PeriodDays: 30, Scopes: []string{"ACCOUNTS", "TRANSACTIONS"}}, asked: []string{"EMBEDDED TEXT"}},
		{bank: "demo", login: "methods", asked: []string{"METHOD_SELECTION ", "EMBEDDED PHOTO"}},
		{bank: "demo", login: "devices", asked: []string{"METHOD_SELECTION ", "METHOD_SELECTION ", "EMBEDDED HHD"}},
		{bank: "demo", login: "photo", asked: []string{"EMBEDDED PHOTO"}},
		{bank: "demo", login: "flicker", asked: []string{"EMBEDDED HHD"}},
		{bank: "demo", login: "decoupled", asked: []string{"DECOUPLED "}},
		{bank: "demo", login: "redirect", asked: []string{"REDIRECT "}},
		{bank: "demo", login: "oauth", oauth: registration("INTEGRATED"), asked: []string{"REDIRECT "}},
		{bank: "demo", login: "again", asked: []string{"EMBEDDED TEXT", "EMBEDDED TEXT"}},
		{bank: "demo", login: "exempt"},
		{bank: "demo", login: "card", asked: []string{"EMBEDDED TEXT"}},
		{bank: "demo", login: "currencies", asked: []string{"EMBEDDED TEXT"}},
		{bank: "demo", login: "pending"},
		{bank: "prestep", login: "methods", oauth: registration("PRE_STEP"), asked: []string{"REDIRECT ", "METHOD_SELECTION ", "EMBEDDED PHOTO"}},
		{bank: "prestep", login: "demo", oauth: registration("PRE_STEP"), asked: []string{"REDIRECT ", "EMBEDDED TEXT"}},
		{bank: "confirmation", login: "redirect", asked: []string{"REDIRECT "}},
		{bank: "recurring", login: "demo", dialect: "atruvia", asked: []string{"EMBEDDED TEXT"}},
	} {
		t.Run(dialog.bank+" "+dialog.login, func(t *testing.T) {
			upstream.Store(bank.HandlerOf(dialog.bank))
			if dialog.consent.PeriodDays == 0 {
				dialog.consent = banks.Consent{Recurring: true}
			}
			d := &conversation{t: t, conv: banks.Conversation{
				Connection:  banks.Connection{Protocol: "XS2A", URL: p.url, Dialect: dialog.dialect, OAuth: dialog.oauth},
				Credentials: map[string]string{banks.CredentialLogin: dialog.login, banks.CredentialPIN: "demo"},
				PSU:         banks.PSU{IPAddress: "192.0.2.7", UserAgent: "Test"},
				Interactive: true,
				Consent:     dialog.consent,
			}}
			t.Cleanup(func() { require.Empty(t, p.found(), "what Prism found") })
			d.run()
			require.Equal(t, dialog.asked, d.asked)
		})
	}
}

// publicLocation puts a public name into the Location header: Prism's idea of the format "url" does not know
// loopback addresses.
type publicLocation struct{ http.ResponseWriter }

var loopback = regexp.MustCompile(`^http://127\.0\.0\.1:\d+/v1/`)

func (w *publicLocation) WriteHeader(status int) {
	if location := w.Header().Get("Location"); location != "" {
		w.Header().Set("Location", loopback.ReplaceAllString(location, "https://bank.example/v1/"))
	}
	w.ResponseWriter.WriteHeader(status)
}

// conversation drives the adapter as an activity does, and answers like a customer of the sandbox.
type conversation struct {
	t     *testing.T
	conv  banks.Conversation
	late  time.Duration // by how much the adapter's clock is ahead, so that nobody waits for a poll
	asked []string

	browser  *http.Client // nil: an ordinary one
	patience int          // passing errors that are tried again, as the activity does
}

func (d *conversation) run() {
	t, ctx := d.t, d.t.Context()
	adapter := xs2a.New(xs2a.Options{Now: func() time.Time { return time.Now().Add(d.late) }, Logger: slog.New(slog.DiscardHandler)})
	d.authorize(ctx, adapter)
	accounts, err := adapter.Accounts(ctx, &d.conv)
	require.NoError(t, err)
	require.NotEmpty(t, accounts)
	for _, account := range accounts {
		cursor, entries := "", 0
		for {
			page, err := adapter.Transactions(ctx, &d.conv, account, banks.Window{From: civil.On(time.Now()).AddDays(-60)}, cursor)
			if banks.AsError(err) != nil && banks.AsError(err).Kind == banks.NeedsAuthorization {
				d.authorize(ctx, adapter)
				continue
			}
			require.NoError(t, err)
			entries += len(page.Entries)
			if cursor = page.Next; cursor == "" {
				break
			}
		}
		require.NotZero(t, entries)
	}
	require.NoError(t, adapter.Revoke(ctx, &d.conv))
}

func (d *conversation) authorize(ctx context.Context, adapter banks.Adapter) {
	t := d.t
	d.conv.Redirect = banks.Redirect{URL: "http://127.0.0.1:9/callback", State: uuid.NewString()}
	step, err := adapter.Authorize(ctx, &d.conv)
	for {
		if passing := banks.AsError(err); passing != nil && passing.Kind == banks.Transient && d.patience > 0 {
			d.patience--
			step, err = adapter.Authorize(ctx, &d.conv)
			continue
		}
		require.NoError(t, err)
		switch step.Status {
		case banks.Ready:
			return
		case banks.Moving:
			step, err = adapter.Authorize(ctx, &d.conv)
			continue
		case banks.Challenged:
		default:
			require.Fail(t, "unexpected step", "%+v", step)
		}
		c := step.Challenge
		d.asked = append(d.asked, fmt.Sprint(c.Type, " ", c.Format))
		answer := banks.Answer{}
		switch c.Type {
		case banks.Embedded:
			answer.Value = "111111"
		case banks.MethodSelection:
			answer.MethodID = c.AuthMethods[1].ID
		case banks.RedirectTo:
			visitor := sandbox.Visitor{Login: d.conv.Credentials[banks.CredentialLogin], Password: "demo", TAN: "111111", Client: d.browser}
			back, err := visitor.Approve(ctx, c.Location)
			require.NoError(t, err)
			u, err := url.Parse(back)
			require.NoError(t, err)
			answer.Query = map[string]string{}
			for name := range u.Query() {
				answer.Query[name] = u.Query().Get(name)
			}
		case banks.Decoupled:
			for step, err = adapter.Poll(ctx, &d.conv); err == nil && step.Status == banks.Pending; step, err = adapter.Poll(ctx, &d.conv) {
				d.late += step.PollAfter
			}
			continue
		}
		for step, err = adapter.Answer(ctx, &d.conv, answer); err == nil && step.Status == banks.Moving; {
			step, err = adapter.Answer(ctx, &d.conv, answer)
		}
	}
}

// prism is a running `prism proxy --errors`.
type prism struct {
	url string // where clients go
	log lockedBuffer

	mu         sync.Mutex
	violations []string
}

// watch notes what Prism objects to: its own answers are problem documents, and name the place.
func (p *prism) watch(response *http.Response) error {
	if !strings.HasPrefix(response.Header.Get("Content-Type"), "application/problem+json") {
		return nil
	}
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	response.Body = io.NopCloser(bytes.NewReader(body))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.violations = append(p.violations, fmt.Sprintf("%s %s: %s", response.Request.Method, response.Request.URL.Path, body))
	return nil
}

// found returns what was noted since it was last asked.
func (p *prism) found() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	found := strings.Join(p.violations, "\n")
	p.violations = nil
	return found
}

func startPrism(t *testing.T, upstream string) *prism {
	t.Helper()
	raw, err := specification()
	require.NoError(t, err)
	file := filepath.Join(t.TempDir(), "specification.yaml")
	require.NoError(t, os.WriteFile(file, raw, 0o600))

	reserved, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	_, port, err := net.SplitHostPort(reserved.Addr().String())
	require.NoError(t, err)
	require.NoError(t, reserved.Close())

	target := &url.URL{Scheme: "http", Host: "127.0.0.1:" + port}
	p := &prism{}
	watch := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) }, ModifyResponse: p.watch})
	t.Cleanup(watch.Close)
	p.url = watch.URL
	command := exec.Command(prismBinary(t), "proxy", "--errors", "--host", "127.0.0.1", "--port", port, file, upstream)
	command.Stdout, command.Stderr = &p.log, &p.log
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	require.NoError(t, command.Start())
	ended := make(chan struct{})
	go func() { _ = command.Wait(); close(ended) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-command.Process.Pid, syscall.SIGKILL)
		<-ended
	})
	require.Eventually(t, func() bool {
		response, err := http.Get(target.String() + "/v1/accounts")
		if err != nil {
			return false
		}
		_, _ = io.Copy(io.Discard, response.Body)
		return response.Body.Close() == nil
	}, 2*time.Minute, 200*time.Millisecond, "Prism did not come up: %s", &p.log)
	return p
}

// prismBinary installs Prism into the user's cache, once.
func prismBinary(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	if err != nil {
		t.Skip("there is no user cache to install Prism into")
	}
	home := filepath.Join(cache, "kontoflow", "prism-"+prismVersion)
	binary := filepath.Join(home, "node_modules", ".bin", "prism")
	if _, err := os.Stat(binary); err == nil {
		return binary
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Skip("Prism is not installed, and neither is npm")
	}
	require.NoError(t, os.MkdirAll(filepath.Dir(home), 0o700))
	fresh, err := os.MkdirTemp(filepath.Dir(home), "prism-")
	require.NoError(t, err)
	defer os.RemoveAll(fresh) // what is whole was moved away
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, npm, "install", "--no-audit", "--no-fund", "--prefix", fresh, "@stoplight/prism-cli@"+prismVersion).CombinedOutput()
	if err != nil {
		t.Skipf("Prism cannot be installed: %v\n%s", err, out)
	}
	require.NoError(t, os.Rename(fresh, home))
	return binary
}

type lockedBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
