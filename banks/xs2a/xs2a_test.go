package xs2a_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/xs2a"
	"github.com/kontoflow/kontoflow/sandbox"
)

const (
	pin = "canary-pin-51c9"
	tan = "730264"
)

// ground is a sandbox bank, and the adapter on the bank's clock.
type ground struct {
	bank     *sandbox.Bank
	server   *httptest.Server
	provider banks.Adapter
}

func newGround(t *testing.T, options xs2a.Options, wrap func(http.Handler) http.Handler) *ground {
	t.Helper()
	bank := sandbox.New(sandbox.Options{Password: pin, TAN: tan})
	handler := bank.Handler()
	if wrap != nil {
		handler = wrap(handler)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	options.Now = bank.Now
	return &ground{bank, server, xs2a.New(options)}
}

// connection is what the sandbox's catalog says about one of its banks.
func connection(t *testing.T, bank *sandbox.Bank, base, path string) banks.Connection {
	t.Helper()
	var catalog struct {
		Banks []struct {
			ID            string
			AccessMethods []struct{ Connection banks.Connection } `json:"access_methods"`
		}
	}
	require.NoError(t, json.Unmarshal(bank.Catalog(base), &catalog))
	for _, b := range catalog.Banks {
		if b.ID == sandbox.BankID(path).String() {
			return b.AccessMethods[0].Connection
		}
	}
	t.Fatalf("no bank %q", path)
	return banks.Connection{}
}

func (g *ground) conversation(t *testing.T, path, login string) *banks.Conversation {
	t.Helper()
	return conversation(connection(t, g.bank, g.server.URL, path), login)
}

func conversation(c banks.Connection, login string) *banks.Conversation {
	return &banks.Conversation{
		Connection:  c,
		Credentials: map[string]string{banks.CredentialLogin: login, banks.CredentialPIN: pin},
		PSU:         banks.PSU{IPAddress: "203.0.113.7", UserAgent: "Mozilla/5.0"},
		Interactive: true,
		Consent:     banks.Consent{Recurring: true, PeriodDays: 90},
		Redirect:    banks.Redirect{URL: "https://kontoflow.test/callback/redirect", State: "s-1"},
	}
}

// authorize brings the conversation to its end, and says what the customer was asked.
func authorize(t *testing.T, p banks.Adapter, conv *banks.Conversation) (asked []banks.Challenge, err error) {
	t.Helper()
	move := p.Authorize
	for range 40 {
		step, err := move(t.Context(), conv)
		switch {
		case err != nil && banks.AsError(err).Kind == banks.Transient:
			continue
		case err != nil || step.Status == banks.Ready:
			return asked, err
		case step.Status != banks.Challenged:
			continue
		}
		asked = append(asked, *step.Challenge)
		answer := banks.Answer{Value: tan}
		switch step.Challenge.Type {
		case banks.MethodSelection:
			answer = banks.Answer{MethodID: step.Challenge.AuthMethods[0].ID}
		case banks.RedirectTo:
			answer = banks.Answer{Query: visit(t, conv, step.Challenge.Location)}
		}
		move = func(ctx context.Context, c *banks.Conversation) (banks.Step, error) {
			return p.Answer(ctx, c, answer)
		}
	}
	t.Fatal("no end")
	return nil, nil
}

func visit(t *testing.T, conv *banks.Conversation, location string) map[string]string {
	t.Helper()
	address, err := sandbox.Visitor{Login: conv.Credentials[banks.CredentialLogin], Password: pin, TAN: tan}.Approve(t.Context(), location)
	require.NoError(t, err)
	return queryOf(t, address)
}

// queryOf is what comes back to us at an address of ours.
func queryOf(t *testing.T, address string) map[string]string {
	t.Helper()
	back, err := url.Parse(address)
	require.NoError(t, err)
	query := map[string]string{}
	for name := range back.Query() {
		query[name] = back.Query().Get(name)
	}
	return query
}

// seen is a request that the bank got.
type seen struct {
	method, path string
	header       http.Header
}

// recorder keeps what the bank got.
type recorder struct {
	mu   sync.Mutex
	seen []seen
}

func (r *recorder) wrap(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		r.mu.Lock()
		r.seen = append(r.seen, seen{request.Method, request.URL.Path, request.Header.Clone()})
		r.mu.Unlock()
		next.ServeHTTP(w, request)
	})
}

func (r *recorder) take() []seen {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.seen
	r.seen = nil
	return all
}

// A synchronization under a valid consent costs one call for the accounts and one for each page: nothing is asked
// that those answers tell anyway.
func TestAPlainSynchronizationIsTwoCalls(t *testing.T) {
	t.Parallel()
	var calls recorder
	g := newGround(t, xs2a.Options{}, calls.wrap)
	conv := g.conversation(t, "demo", "thirty")
	_, err := authorize(t, g.provider, conv)
	require.NoError(t, err)
	_, err = g.provider.Accounts(t.Context(), conv)
	require.NoError(t, err)
	calls.take()

	conv.Dialog, conv.Resumed = nil, true
	asked, err := authorize(t, g.provider, conv)
	require.NoError(t, err)
	require.Empty(t, asked)
	accounts, err := g.provider.Accounts(t.Context(), conv)
	require.NoError(t, err)
	_, err = g.provider.Transactions(t.Context(), conv, accounts[0], banks.Window{}, "")
	require.NoError(t, err)
	var paths []string
	for _, c := range calls.take() {
		paths = append(paths, c.method+" "+strings.Replace(c.path, accounts[0].ResourceID, "ID", 1))
	}
	require.Equal(t, []string{"GET /demo/v1/accounts", "GET /demo/v1/accounts/ID/transactions"}, paths)
}

// PSU-IP-Address on a read is what makes it attended (RTS 2018/389, Article 36(5)): it is there when the customer is,
// and never otherwise.
func TestTheCustomersPresence(t *testing.T) {
	t.Parallel()
	var calls recorder
	g := newGround(t, xs2a.Options{}, calls.wrap)
	conv := g.conversation(t, "demo", "thirty")
	_, err := authorize(t, g.provider, conv)
	require.NoError(t, err)
	for _, c := range calls.take() {
		require.Equal(t, "203.0.113.7", c.header.Get("PSU-IP-Address"), c.path)
		require.Equal(t, "Mozilla/5.0", c.header.Get("PSU-User-Agent"))
		require.Len(t, c.header.Get("X-Request-ID"), 36)
	}

	conv.PSU = banks.PSU{}
	for range 4 {
		_, err = g.provider.Accounts(t.Context(), conv)
		require.NoError(t, err)
	}
	for _, c := range calls.take() {
		require.Empty(t, c.header.Get("PSU-IP-Address"))
		require.NotEmpty(t, c.header.Get("Consent-ID"))
	}
	_, err = g.provider.Accounts(t.Context(), conv)
	requireKind(t, err, banks.LimitExceeded, "the fifth unattended read of the day")
	require.Positive(t, banks.AsError(err).RetryAfter)

	conv.PSU = banks.PSU{IPAddress: "2001:db8::7"}
	_, err = g.provider.Accounts(t.Context(), conv)
	require.NoError(t, err, "the customer is there")
}

// A consent request has to have an address; where the customer's is not known it is ours.
func TestAConsentWithoutTheCustomersAddress(t *testing.T) {
	t.Parallel()
	var calls recorder
	g := newGround(t, xs2a.Options{}, calls.wrap)
	conv := g.conversation(t, "demo", "thirty")
	conv.PSU = banks.PSU{}
	_, err := authorize(t, g.provider, conv)
	require.NoError(t, err)
	for _, c := range calls.take() {
		if c.method == http.MethodPost && strings.HasSuffix(c.path, "/consents") {
			require.Equal(t, "127.0.0.1", c.header.Get("PSU-IP-Address"))
		}
	}
}

func TestTheBankShortensTheConsent(t *testing.T) {
	t.Parallel()
	g := newGround(t, xs2a.Options{}, nil)
	conv := g.conversation(t, "demo", "exempt")
	conv.Consent.PeriodDays = 0
	_, err := authorize(t, g.provider, conv)
	require.NoError(t, err)
	require.WithinDuration(t, g.bank.Now().AddDate(0, 0, 180), conv.Granted.ValidUntil, 36*time.Hour)
	require.Equal(t, 4, conv.Granted.FrequencyPerDay)
}

// A consent that allows less than is wanted now is no good; one that allows more is.
func TestAConsentIsUsedForWhatItCovers(t *testing.T) {
	t.Parallel()
	g := newGround(t, xs2a.Options{}, nil)
	conv := g.conversation(t, "demo", "exempt")
	conv.Consent.Scopes = []string{"ACCOUNTS"}
	_, err := authorize(t, g.provider, conv)
	require.NoError(t, err)
	accounts, err := g.provider.Accounts(t.Context(), conv)
	require.NoError(t, err)
	require.Empty(t, accounts[0].Balances)
	_, err = g.provider.Transactions(t.Context(), conv, accounts[0], banks.Window{}, "")
	requireKind(t, err, banks.Gone, "asking the customer again would change nothing")
	require.Equal(t, banks.CodeNotAuthorized, banks.AsError(err).Code)

	conv.Dialog, conv.Consent.Scopes = nil, nil
	_, err = authorize(t, g.provider, conv)
	require.NoError(t, err)
	require.Equal(t, 2, g.bank.Counters().Consents["exempt"])

	conv.Dialog, conv.Consent.Scopes = nil, []string{"ACCOUNTS", "BALANCES"}
	_, err = authorize(t, g.provider, conv)
	require.NoError(t, err)
	require.Equal(t, 2, g.bank.Counters().Consents["exempt"], "a wider consent is there")
}

func TestMutualTLS(t *testing.T) {
	t.Parallel()
	bank := sandbox.New(sandbox.Options{Password: pin, TAN: tan})
	server := httptest.NewUnstartedServer(bank.Handler())
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	t.Cleanup(server.Close)
	p := xs2a.New(xs2a.Options{Now: bank.Now})

	conv := conversation(connection(t, bank, server.URL, "mutual"), "demo")
	_, err := p.Authorize(t.Context(), conv) // Moving
	require.NoError(t, err)
	_, err = p.Authorize(t.Context(), conv)
	requireKind(t, err, banks.Rejected, "the server's certificate is not to be trusted")

	conv.Connection.CAPEM = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	conv.Dialog = nil
	_, err = authorize(t, p, conv)
	require.NoError(t, err)

	conv = conversation(conv.Connection, "demo")
	conv.Connection.TLS = nil
	_, err = authorize(t, p, conv)
	require.Equal(t, banks.CodeInternal, banks.AsError(err).Code, "without the client's certificate")
}

// A token that has expired is renewed without the customer.
func TestTheTokenIsRefreshed(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"prestep", "oauth", "token"} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			g := newGround(t, xs2a.Options{}, nil)
			conv := g.conversation(t, path, "demo")
			asked, err := authorize(t, g.provider, conv)
			require.NoError(t, err)
			require.Equal(t, banks.RedirectTo, asked[0].Type)

			g.bank.Advance(3 * time.Hour)
			conv.Interactive, conv.Resumed = false, true
			_, err = g.provider.Accounts(t.Context(), conv)
			requireKind(t, err, banks.NeedsAuthorization)
			asked, err = authorize(t, g.provider, conv)
			require.NoError(t, err)
			require.Empty(t, asked)
			_, err = g.provider.Accounts(t.Context(), conv)
			require.NoError(t, err)

			conv.Dialog = nil // the next synchronization knows beforehand that the token has expired
			g.bank.Advance(3 * time.Hour)
			_, err = authorize(t, g.provider, conv)
			require.NoError(t, err)
			_, err = g.provider.Accounts(t.Context(), conv)
			require.NoError(t, err)

			g.bank.Advance(200 * 24 * time.Hour) // the refresh token is over, too
			conv.Dialog = nil
			_, err = authorize(t, g.provider, conv)
			requireKind(t, err, banks.NeedsUser)
		})
	}
}

// A token that expires while the customer looks for their TAN costs neither the TAN nor the customer's patience.
func TestTheTokenExpiresDuringTheAuthorisation(t *testing.T) {
	t.Parallel()
	for _, known := range []bool{true, false} {
		var calls recorder
		g := newGround(t, xs2a.Options{}, calls.wrap)
		conv := g.conversation(t, "prestep", "demo")
		now := g.bank.Now()
		if !known { // to the adapter's clock the token is still good
			g.provider = xs2a.New(xs2a.Options{Now: func() time.Time { return now }})
		}
		var step banks.Step
		var err error
		for step.Challenge == nil || step.Challenge.Type != banks.Embedded {
			if step, err = g.provider.Authorize(t.Context(), conv); step.Status == banks.Challenged && step.Challenge.Type == banks.RedirectTo {
				query := visit(t, conv, step.Challenge.Location)
				for step.Status != banks.Moving || err != nil {
					step, err = g.provider.Answer(t.Context(), conv, banks.Answer{Query: query})
				}
				step, err = g.provider.Answer(t.Context(), conv, banks.Answer{Query: query})
			}
			require.NoError(t, err)
		}
		require.NoError(t, g.bank.Inject(sandbox.Fault{Login: "demo", Endpoint: "authorisations.start", Times: 1,
			Action: sandbox.ActStatus, Status: 401, Code: "TOKEN_EXPIRED"}))
		if known {
			g.bank.ClearFaults()
			g.bank.Advance(61 * time.Minute)
		}
		answered := 0
		for step.Status != banks.Ready {
			step, err = g.provider.Answer(t.Context(), conv, banks.Answer{Value: tan})
			require.NoError(t, err)
			require.NotEqual(t, banks.Challenged, step.Status, "asked again")
			answered++
			require.Less(t, answered, 10)
		}
		require.Equal(t, 2, g.bank.Counters().TANs["demo"], "one on the bank's page, one here")
		refreshed := 0
		for _, c := range calls.take() {
			if strings.HasSuffix(c.path, "/oauth/token") {
				refreshed++
			}
		}
		require.Equal(t, 2, refreshed, "once for the code, once for the refresh")
	}
}

// A code is good for one exchange: where its answer is lost, the customer is sent once more.
func TestALostExchange(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"prestep", "oauth"} {
		for action, redirects := range map[sandbox.Action]int{sandbox.ActLose: 2, sandbox.ActDrop: 1} {
			t.Run(path+" "+string(action), func(t *testing.T) {
				t.Parallel()
				g := newGround(t, xs2a.Options{}, nil)
				require.NoError(t, g.bank.Inject(sandbox.Fault{Bank: path, Endpoint: "token", Times: 1, Action: action}))
				conv := g.conversation(t, path, "demo")
				asked, err := authorize(t, g.provider, conv)
				require.NoError(t, err)
				sent := 0
				for _, c := range asked {
					if c.Type == banks.RedirectTo {
						sent++
					}
				}
				require.Equal(t, redirects, sent)
				_, err = g.provider.Accounts(t.Context(), conv)
				require.NoError(t, err)
			})
		}
	}
}

// A refresh token is good for one refresh: where its answer is lost, the tokens are, and the customer is sent once more.
func TestALostRefresh(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"prestep", "oauth"} {
		for action, lost := range map[sandbox.Action]bool{sandbox.ActLose: true, sandbox.ActDrop: false} {
			t.Run(path+" "+string(action), func(t *testing.T) {
				t.Parallel()
				g := newGround(t, xs2a.Options{}, nil)
				conv := g.conversation(t, path, "demo")
				_, err := authorize(t, g.provider, conv)
				require.NoError(t, err)
				g.bank.Advance(3 * time.Hour)
				require.NoError(t, g.bank.Inject(sandbox.Fault{Bank: path, Endpoint: "token", Times: 1, Action: action}))
				conv.Dialog, conv.Interactive, conv.Resumed = nil, false, true
				_, err = authorize(t, g.provider, conv)
				if lost {
					requireKind(t, err, banks.NeedsUser)
					conv.Dialog, conv.Interactive, conv.Resumed = nil, true, true
					asked, err := authorize(t, g.provider, conv)
					require.NoError(t, err)
					require.Equal(t, banks.RedirectTo, asked[0].Type)
				} else {
					require.NoError(t, err)
				}
				_, err = g.provider.Accounts(t.Context(), conv)
				require.NoError(t, err)
			})
		}
	}
}

// What a bank refuses a refresh for is over in a moment, or about us: the refresh token stays, and the consent that came with
// it. Only where the bank says that the token is over (RFC 6749, section 5.2) the customer is sent once more.
func TestARefusedRefresh(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"prestep", "oauth"} {
		for _, test := range []struct {
			status int
			code   string
			kind   banks.Kind // NeedsUser: the token is over
			error  int
		}{
			{429, "", banks.LimitExceeded, banks.CodeTemporary},
			{429, "temporarily_unavailable", banks.LimitExceeded, banks.CodeTemporary},
			{408, "", banks.Transient, banks.CodeTemporary},
			{503, "", banks.Transient, banks.CodeTemporary},
			{401, "invalid_client", banks.Rejected, banks.CodeInternal},
			{400, "unauthorized_client", banks.Rejected, banks.CodeInternal},
			{401, "", banks.Rejected, banks.CodeInternal},
			{403, "", banks.Rejected, banks.CodeInternal},
			{400, "invalid_request", banks.Rejected, banks.CodeBankCannot},
			{404, "", banks.Rejected, banks.CodeBankCannot},
			{400, "invalid_grant", banks.NeedsUser, banks.CodeActivationNeeded},
			{401, "invalid_grant", banks.NeedsUser, banks.CodeActivationNeeded},
		} {
			t.Run(fmt.Sprint(path, " ", test.status, " ", test.code), func(t *testing.T) {
				t.Parallel()
				g := newGround(t, xs2a.Options{}, nil)
				conv := g.conversation(t, path, "demo")
				_, err := authorize(t, g.provider, conv)
				require.NoError(t, err)
				g.bank.Advance(3 * time.Hour)
				fault := sandbox.Fault{Bank: path, Endpoint: "token", Action: sandbox.ActStatus, Status: test.status, Code: test.code, RetryAfter: 60}
				require.NoError(t, g.bank.Inject(fault))
				conv.Dialog, conv.Interactive, conv.Resumed = nil, false, true
				step, err := g.provider.Authorize(t.Context(), conv)
				for err == nil && step.Status == banks.Moving {
					step, err = g.provider.Authorize(t.Context(), conv)
				}
				requireKind(t, err, test.kind)
				require.Equal(t, test.error, banks.AsError(err).Code)
				over := test.kind == banks.NeedsUser
				if !over {
					require.Equal(t, time.Minute, banks.AsError(err).RetryAfter)
					err := g.provider.Revoke(t.Context(), &banks.Conversation{Connection: conv.Connection, Lasting: conv.Lasting, Resumed: true})
					requireKind(t, err, test.kind) // nor is the token thrown away that it takes to end the consent
					require.Empty(t, conv.Left)
				}

				g.bank.ClearFaults()
				conv.Dialog, conv.Interactive, conv.Resumed = nil, over, true
				asked, err := authorize(t, g.provider, conv)
				require.NoError(t, err)
				require.Equal(t, over, len(asked) > 0, "%v", asked)
				_, err = g.provider.Accounts(t.Context(), conv)
				require.NoError(t, err)
				require.NoError(t, g.provider.Revoke(t.Context(), conv))
			})
		}
	}
}

// Without the customer the bank counts what it was asked, whatever becomes of its answer: the read is not repeated within the
// synchronization, neither by us nor by net/http. With them it may be, and where the bank was not reached.
func TestACountedReadIsNotRepeated(t *testing.T) {
	t.Parallel()
	for _, there := range []bool{true, false} {
		for name, fault := range map[string]sandbox.Fault{
			"lost":      {Action: sandbox.ActLose},
			"truncated": {Action: sandbox.ActTruncate},
			"failed":    {Action: sandbox.ActStatus, Status: 500},
		} {
			for _, endpoint := range []string{"accounts", "transactions"} {
				t.Run(fmt.Sprint(name, " ", endpoint, " ", there), func(t *testing.T) {
					t.Parallel()
					g := newGround(t, xs2a.Options{}, nil)
					conv := g.conversation(t, "demo", "exempt")
					_, err := authorize(t, g.provider, conv)
					require.NoError(t, err)
					accounts, err := g.provider.Accounts(t.Context(), conv)
					require.NoError(t, err)
					if !there {
						conv.PSU = banks.PSU{}
					}
					read := func() error {
						if endpoint == "accounts" {
							_, err := g.provider.Accounts(t.Context(), conv)
							return err
						}
						_, err := g.provider.Transactions(t.Context(), conv, accounts[0], banks.Window{}, "")
						return err
					}
					fault.Endpoint = endpoint
					require.NoError(t, g.bank.Inject(fault))
					calls := func() int { return g.bank.Counters().Calls["demo/"+endpoint] }
					before := calls()
					want := banks.Transient
					if !there {
						want = banks.BankDown
					}
					err = read()
					requireKind(t, err, want)
					require.Equal(t, banks.CodeTemporary, banks.AsError(err).Code)
					if !there {
						require.Equal(t, before+1, calls())
					}
					g.server.Close()
					g.provider = xs2a.New(xs2a.Options{Now: g.bank.Now})
					requireKind(t, read(), banks.Transient) // nobody is there to count it
				})
			}
		}
	}
}

// A page that does not come would be read again with those before it.
func TestPagesAreCountedTogether(t *testing.T) {
	t.Parallel()
	g := newGround(t, xs2a.Options{}, nil)
	conv := g.conversation(t, "legacy", "demo")
	_, err := authorize(t, g.provider, conv)
	require.NoError(t, err)
	accounts, err := g.provider.Accounts(t.Context(), conv)
	require.NoError(t, err)
	conv.PSU = banks.PSU{}
	page, err := g.provider.Transactions(t.Context(), conv, accounts[0], banks.Window{}, "")
	require.NoError(t, err)
	require.NotEmpty(t, page.Next)
	g.server.Close()
	_, err = g.provider.Transactions(t.Context(), conv, accounts[0], banks.Window{}, page.Next)
	requireKind(t, err, banks.BankDown)
}

// A bank that has other words for a refresh token that is over would hold the access up for ever: with the customer there, they
// are asked; what is about us is not theirs to mend.
func TestARefusedRefreshWithTheCustomer(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"prestep", "oauth"} {
		for code, asks := range map[string]bool{"invalid_request": true, "": true, "unauthorized_client": false, "invalid_client": false} {
			t.Run(path+" "+code, func(t *testing.T) {
				t.Parallel()
				g := newGround(t, xs2a.Options{}, nil)
				conv := g.conversation(t, path, "demo")
				_, err := authorize(t, g.provider, conv)
				require.NoError(t, err)
				g.bank.Advance(3 * time.Hour)
				require.NoError(t, g.bank.Inject(sandbox.Fault{Bank: path, Endpoint: "token", Action: sandbox.ActStatus, Status: 400, Code: code, Times: 1}))
				conv.Dialog, conv.Interactive, conv.Resumed = nil, true, true
				asked, err := authorize(t, g.provider, conv)
				if !asks {
					requireKind(t, err, banks.Rejected)
					return
				}
				require.NoError(t, err)
				require.NotEmpty(t, asked)
				_, err = g.provider.Accounts(t.Context(), conv)
				require.NoError(t, err)
			})
		}
	}
}

// Errors and logs carry nobody's data, whatever the bank puts into its answers.
func TestNothingSecretIsLogged(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	logger := slog.New(slog.NewTextHandler(&lockedWriter{w: &log}, &slog.HandlerOptions{Level: slog.LevelDebug}))
	g := newGround(t, xs2a.Options{Logger: logger}, nil)
	for _, path := range []string{"demo", "encrypted", "oauth", "prestep", "statements"} {
		conv := g.conversation(t, path, "demo")
		_, err := authorize(t, g.provider, conv)
		require.NoError(t, err)
		accounts, err := g.provider.Accounts(t.Context(), conv)
		require.NoError(t, err)
		require.NoError(t, g.bank.Inject(sandbox.Fault{Bank: path, Endpoint: "transactions", Action: sandbox.ActStatus, Status: 400,
			Code: "Erika Mustermann", Text: accounts[0].IBAN + " " + accounts[0].Owner}))
		_, err = g.provider.Transactions(t.Context(), conv, accounts[0], banks.Window{}, "")
		require.Error(t, err)
		require.Contains(t, banks.AsError(err).Message, accounts[0].IBAN, "the bank's words are for the customer")
		logger.Error("as the caller would", "error", err)
		for _, secret := range []string{pin, tan, accounts[0].IBAN, accounts[0].Owner, accounts[0].ResourceID, "Erika", "s-1"} {
			require.NotContains(t, log.String(), secret)
		}
	}
	require.Contains(t, log.String(), "bank answered", "nothing was logged at all")
}

type lockedWriter struct {
	mu sync.Mutex
	w  *bytes.Buffer
}

func (l *lockedWriter) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.w.Write(p)
}

// A consent whose answer was lost is asked for again under the same X-Request-ID: a bank that knows it gives the same
// consent, and with another one at worst one is left over that nobody ever authorises.
func TestALostConsent(t *testing.T) {
	t.Parallel()
	var calls recorder
	g := newGround(t, xs2a.Options{}, calls.wrap)
	require.NoError(t, g.bank.Inject(sandbox.Fault{Endpoint: "consents.create", Times: 1, Action: sandbox.ActLose}))
	conv := g.conversation(t, "demo", "demo")
	_, err := authorize(t, g.provider, conv)
	require.NoError(t, err)
	var ids []string
	for _, c := range calls.take() {
		if c.method == http.MethodPost && strings.HasSuffix(c.path, "/v1/consents") {
			ids = append(ids, c.header.Get("X-Request-ID"))
		}
	}
	require.Len(t, ids, 2)
	require.Equal(t, ids[0], ids[1])
	require.Equal(t, 1, g.bank.Counters().Consents["demo"])
}

// Only so many banks' connections are kept open; one that was closed is opened again when it is needed.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	var open atomic.Int32
	bank := sandbox.New(sandbox.Options{Password: pin, TAN: tan})
	address := func() string {
		server := httptest.NewUnstartedServer(bank.Handler())
		server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				open.Add(1)
			case http.StateClosed:
				open.Add(-1)
			}
		}
		server.Start()
		t.Cleanup(server.Close)
		return server.URL
	}
	p := xs2a.New(xs2a.Options{Now: bank.Now, MaxBanks: 2})
	var all []banks.Connection
	for range 5 {
		all = append(all, banks.Connection{Protocol: "XS2A", URL: address() + "/demo"})
	}
	for range 2 {
		for _, b := range all {
			_, err := authorize(t, p, conversation(b, "exempt"))
			require.NoError(t, err)
		}
	}
	require.Eventually(t, func() bool { return open.Load() <= 2 }, 30*time.Second, 5*time.Millisecond)
}

// Where a bank says itself what it cannot do, no dialect is needed.
func TestThePlainDialectCopes(t *testing.T) {
	t.Parallel()
	g := newGround(t, xs2a.Options{}, nil)
	for path, persona := range map[string]string{"recurring": "demo", "statements": "demo", "apikey": "exempt"} {
		conv := g.conversation(t, path, persona)
		conv.Connection.Dialect = ""
		_, err := authorize(t, g.provider, conv)
		require.NoError(t, err, path)
		accounts, err := g.provider.Accounts(t.Context(), conv)
		require.NoError(t, err, path)
		page, err := g.provider.Transactions(t.Context(), conv, accounts[0], banks.Window{}, "")
		require.NoError(t, err, path)
		require.NotEmpty(t, page.Entries, path)
	}
}

func TestOneOffConsents(t *testing.T) {
	t.Parallel()
	g := newGround(t, xs2a.Options{}, nil)
	for _, path := range []string{"demo", "recurring"} { // the latter has recurring ones only
		conv := g.conversation(t, path, "exempt")
		conv.Consent = banks.Consent{}
		_, err := authorize(t, g.provider, conv)
		require.NoError(t, err, path)
	}
}

// The catalog is the operator's, but its mistakes end in an error that names them, and nothing is sent anywhere.
func TestABadConnection(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]banks.Connection{
		"http":                 {URL: "http://bank.example"},
		"a host like loopback": {URL: "http://127.0.0.1.bank.example"},
		"no host":              {URL: "https:///xs2a"},
		"with a password":      {URL: "https://user:geheim@bank.example"},
		"another scheme":       {URL: "ftp://bank.example"},
		"unknown dialect":      {URL: "https://bank.example", Dialect: "klingon"},
		"OAuth over http":      {URL: "https://bank.example", OAuth: &banks.OAuth{TokenURL: "http://bank.example/token"}},
		"no certificate":       {URL: "https://bank.example", CAPEM: "none"},
		"no key":               {URL: "https://bank.example", TLS: &banks.KeyPair{CertificatePEM: "x", KeyPEM: "geheim"}},
		"no signing key":       {URL: "https://bank.example", Signing: &banks.KeyPair{CertificatePEM: "x", KeyPEM: "geheim"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := xs2a.New(xs2a.Options{}).Authorize(t.Context(), conversation(c, "demo"))
			requireKind(t, err, banks.Rejected)
			require.Equal(t, banks.CodeInternal, banks.AsError(err).Code)
			require.NotContains(t, err.Error(), "geheim")
		})
	}
}

func requireKind(t *testing.T, err error, kind banks.Kind, why ...any) {
	t.Helper()
	require.Error(t, err, why...)
	require.Equal(t, kind, banks.AsError(err).Kind, "%v", err)
}
