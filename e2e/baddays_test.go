package e2e_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/sandbox"
)

// TestBadDays: a bank that refuses, or answers slowly, wrongly, hugely, with redirects to elsewhere or without end,
// ends in the error that says so, in bounded time, and leaves nothing half-written.
func TestBadDays(t *testing.T) {
	t.Parallel()
	sent := &taken{}
	s := newStack(t, withBankClock(), withAdapter(banks.Options{AnswerTimeout: 5 * time.Second, WholeTimeout: 5 * time.Second}),
		func(s *stack) { s.wrapBank = sent.of })
	for _, p := range []struct {
		login   string
		code    int
		group   string
		says    string // the bank, in message
		access  string // its status afterwards
		reading bool   // the list of accounts was read, their transactions were not
		retryAt bool
	}{
		{login: "wrongpin", code: 10001, group: "user", says: "Anmeldename oder PIN ist falsch.", access: "NEEDS_AUTH"},
		{login: "locked", code: 10002, group: "user", says: "Ihr Online-Zugang ist gesperrt.", access: "NEEDS_AUTH"},
		{login: "pinchange", code: 10007, group: "user", says: "PIN-Änderung erforderlich", access: "NEEDS_AUTH"},
		{login: "maintenance", code: 20003, group: "bank", says: "Wartungsarbeiten bis 6:00 Uhr", access: "NEW"},
		{login: "limit", code: 30006, group: "general", access: "NEW", reading: true, retryAt: true},
		{login: "limit-bare", code: 30006, group: "general", says: "Zugriffsgrenze erreicht", access: "NEW", reading: true},
		{login: "html", code: 20000, group: "bank", access: "NEW"},
		{login: "truncated", code: 30006, group: "general", access: "NEW", reading: true},
		{login: "enormous", code: 20000, group: "bank", access: "NEW"},
		{login: "elsewhere", code: 20000, group: "bank", access: "NEW"},
		{login: "endless", code: 30006, group: "general", access: "NEW", reading: true},
		{login: "loop", code: 20000, group: "bank", access: "NEW", reading: true},
	} {
		t.Run(p.login, func(t *testing.T) {
			t.Parallel()
			c := s.in(t).newCustomer()
			access := c.access("demo", p.login)
			y := c.sync(access)

			require.Equal(t, "FAILED", y["status"])
			require.Equal(t, p.code, codeOf(y), "%v", y)
			failure := y["error"].(object)
			require.Equal(t, p.group, failure["group"])
			require.NotEmpty(t, failure["description"])
			said, _ := failure["message"].(string)
			require.Contains(t, said, p.says)
			require.NotContains(t, said, "<")
			data, _ := failure["data"].(object)
			require.Equal(t, p.retryAt, data["retry_at"] != nil, "%v", failure)

			accounts := y["accounts"].([]any)
			require.Empty(t, c.transactions())
			if !p.reading {
				require.Empty(t, accounts)
			} else {
				require.Len(t, accounts, 1)
				require.Equal(t, "FAILED", accounts[0].(object)["status"])
				require.EqualValues(t, p.code, accounts[0].(object)["error"].(object)["code"])
			}
			var after object
			c.get("/rest/accesses/"+access, &after)
			require.Equal(t, p.access, after["status"])
			require.LessOrEqual(t, s.bank.Counters().Logins[p.login], 1, "a password is never repeated")
			require.Less(t, sent.most.Load(), int64(128<<20), "of 256 MiB in one answer the rest is left with the bank")

			// The customer may try again at once.
			again := c.start(access, object{"credentials": object{"pin": password}})
			c.post(again+"/cancel", nil, 200, nil)
			c.over(again)
		})
	}
}

// taken counts what a bank gets rid of in one answer, the longest one.
type taken struct{ most atomic.Int64 }

func (n *taken) of(bank http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer := &takenAnswer{ResponseWriter: w}
		defer func() {
			for most := n.most.Load(); answer.bytes > most && !n.most.CompareAndSwap(most, answer.bytes); most = n.most.Load() {
			}
		}()
		bank.ServeHTTP(answer, r)
	})
}

type takenAnswer struct {
	http.ResponseWriter
	bytes int64
}

func (a *takenAnswer) Write(p []byte) (int, error) {
	n, err := a.ResponseWriter.Write(p)
	a.bytes += int64(n)
	return n, err
}

func (a *takenAnswer) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// TestOneBadAccount: it fails alone.
func TestOneBadAccount(t *testing.T) {
	t.Parallel()
	c := newStack(t, withBankClock()).newCustomer()
	access := c.access("demo", "badaccount")
	y := c.sync(access)
	require.Equal(t, "COMPLETED", y["status"])
	var status []string
	for _, a := range y["accounts"].([]any) {
		status = append(status, a.(object)["status"].(string))
	}
	require.Equal(t, []string{"COMPLETED", "FAILED", "COMPLETED"}, status)
	bad := y["accounts"].([]any)[1].(object)
	require.EqualValues(t, 30006, bad["error"].(object)["code"])
	require.Equal(t, "Interner Fehler 4711", bad["error"].(object)["message"])

	var account object
	c.get("/rest/accounts/"+bad["account_id"].(string), &account)
	require.Equal(t, "Interner Fehler 4711", account["status"].(object)["message"])
	require.NotContains(t, account["status"], "succeeded_at")
	want, got := c.atBank("badaccount", true), c.stored(true)
	require.Len(t, got, 3)
	for name, lines := range want {
		if strings.Contains(name, account["iban"].(string)) {
			lines = []string{}
		}
		require.Equal(t, lines, got[name])
	}
}

// TestPassingTrouble: what goes wrong for a moment costs a moment. Nothing is sent twice that counts twice.
func TestPassingTrouble(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock(), withAdapter(banks.Options{AnswerTimeout: 5 * time.Second, WholeTimeout: 5 * time.Second}))
	for _, f := range []sandbox.Fault{
		{Endpoint: "consents.create", Action: sandbox.ActLose},
		{Endpoint: "consents.create", Action: sandbox.ActStatus, Status: 502},
		{Endpoint: "consents.get", Action: sandbox.ActTruncate},
		{Endpoint: "authorisations.start", Action: sandbox.ActLose},
		{Endpoint: "authorisations.update", Action: sandbox.ActDrop},
		{Endpoint: "authorisations.update", Action: sandbox.ActStatus, Status: 500},
		{Endpoint: "accounts", Action: sandbox.ActDrop},
		{Endpoint: "accounts", Action: sandbox.ActStatus, Status: 500},
		{Endpoint: "balances", Action: sandbox.ActStatus, Status: 500},
		{Endpoint: "transactions", Action: sandbox.ActTruncate},
		{Endpoint: "transactions", Action: sandbox.ActLose, Times: 2},
		{Endpoint: "transactions", Action: sandbox.ActStatus, Status: 504, Times: 2},
	} {
		f.Login = "demo+" + f.Endpoint + string(f.Action)
		t.Run(f.Login, func(t *testing.T) {
			t.Parallel()
			f.Times = max(f.Times, 1)
			require.NoError(t, s.bank.Inject(f))
			c := s.in(t).newCustomer()
			y := c.sync(c.access("demo", f.Login))
			require.Equal(t, "COMPLETED", y["status"], "%v", y)
			c.requireLedger(f.Login, true)
			seen := s.bank.Counters()
			require.Zero(t, seen.WrongPINs[f.Login]+seen.WrongTANs[f.Login])
			require.Equal(t, 1, seen.TANs[f.Login])
			require.Equal(t, 1, seen.Consents[f.Login])
		})
	}
}
