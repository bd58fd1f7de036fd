package e2e_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/interceptor"
)

// TestFinTSPersonas goes through the customers of the sandbox over FinTS: what each is asked, and that what is stored
// afterwards is what the bank has. Then once more, on the same access: nobody is asked, and nothing comes twice.
func TestFinTSPersonas(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	for _, p := range []struct {
		login, asked string
		picks        []string // what is chosen of a METHOD_SELECTION
		fails        int      // with this code
	}{
		{login: "demo", asked: "TEXT"},
		{login: "methods", asked: "METHOD_SELECTION PHOTO", picks: []string{"930"}},
		{login: "methods+push", asked: "METHOD_SELECTION DECOUPLED", picks: []string{"940"}},
		{login: "devices", asked: "METHOD_SELECTION METHOD_SELECTION TEXT", picks: []string{"921", "2"}},
		{login: "devices+chip", asked: "METHOD_SELECTION METHOD_SELECTION HHD", picks: []string{"911", "1"}},
		{login: "photo", asked: "PHOTO"},
		{login: "flicker", asked: "HHD"},
		{login: "markup", asked: "HTML"},
		{login: "decoupled", asked: "DECOUPLED"},
		{login: "again", asked: "TEXT TEXT"},
		{login: "exempt"},
		{login: "slow"},
		{login: "flaky"},
		{login: "savings", asked: "TEXT"},
		{login: "currencies", asked: "TEXT"},
		{login: "pending"},
		{login: "thirty"},
		{login: "thousand"},
		{login: "wrongpin", fails: 10001},
		{login: "locked", fails: 10002},
		{login: "pinchange", fails: 10007},
		{login: "maintenance", fails: 20003},
	} {
		t.Run(p.login, func(t *testing.T) {
			t.Parallel()
			c := s.in(t).newCustomer()
			login := p.login + "+fints"
			access := c.access("fints", login)
			sync := c.start(access, object{"credentials": object{"pin": password}})
			var asked []string
			answered := ""
			y := c.until(sync, answered)
			for ; y["status"] == "AWAIT_AUTH"; y = c.until(sync, answered) {
				challenge := y["challenge"].(object)
				answered = challenge["id"].(string)
				if challenge["type"] == "METHOD_SELECTION" {
					asked = append(asked, "METHOD_SELECTION")
					c.post(sync+"/challenges/"+answered+"/response", object{"method_id": p.picks[0]}, 200, nil)
					p.picks = p.picks[1:]
					continue
				}
				kind := challenge["type"].(string)
				if kind == "EMBEDDED" {
					kind = challenge["format"].(string)
				}
				asked = append(asked, kind)
				c.answer(sync, challenge)
			}
			require.Equal(t, p.fails, codeOf(y), "%v", y)
			require.Equal(t, p.asked, strings.Join(asked, " "))
			if p.fails != 0 {
				require.LessOrEqual(t, s.bank.Counters().WrongPINs[login], 1)
				return
			}
			require.Equal(t, "COMPLETED", y["status"])
			logins, ends := s.bank.Counters().ByLogin[login]["login"], s.bank.Counters().ByLogin[login]["end"]
			require.Positive(t, ends)
			if p.login != "flaky" { // there some were lost
				require.Equal(t, logins, ends, "every dialog is ended")
			}
			c.requireLedger(login, false) // over FinTS the bank writes texts otherwise

			again := c.sync(access)
			require.Equal(t, "COMPLETED", again["status"], "%v", again)
			c.requireLedger(login, false) // over FinTS the bank writes texts otherwise
		})
	}
}

// TestFinTSHangsUp: a synchronization that ends while the customer is asked ends the dialog with the bank, too.
func TestFinTSHangsUp(t *testing.T) {
	t.Parallel()
	s, hasty := newStack(t, withBankClock()), newStack(t, withBankClock(), withChallengeTimeout(2*time.Second))
	pin := object{"credentials": object{"pin": password}}
	for name, test := range map[string]struct {
		at    *stack
		login string
		then  func(c *customer, sync string)
		code  int
	}{
		"cancelled":                           {s, "demo", func(c *customer, sync string) { c.post(sync+"/cancel", nil, 200, nil) }, 30007},
		"cancelled while we wait for the app": {s, "app", func(c *customer, sync string) { c.post(sync+"/cancel", nil, 200, nil) }, 30007},
		"expired":                             {hasty, "demo", func(*customer, string) {}, 30005},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := test.at.in(t).newCustomer()
			login := test.login + "+" + strings.ReplaceAll(name, " ", "-")
			sync := c.start(c.access("fints", login), pin)
			challenge := c.until(sync, "")["challenge"].(object)
			test.then(c, sync)
			require.Equal(t, test.code, codeOf(c.until(sync, challenge["id"].(string))))
			calls := c.bank.Counters().ByLogin[login]
			require.Positive(t, calls["login"])
			require.Equal(t, calls["login"], calls["end"], "%v", calls)
		})
	}
}

// TestSecretsForgottenWhileItRuns: a synchronization that relies on stored secrets ends where they are forgotten under it.
// Nothing is sent without a PIN: the bank would count a wrong one.
func TestSecretsForgottenWhileItRuns(t *testing.T) {
	t.Parallel()
	held := &turnstile{}
	s := newStack(t, withBankClock(), withInterceptor(held))
	for _, manual := range []bool{false, true} {
		for _, before := range []struct {
			step   string
			passes int // of it, before the secrets are forgotten
			status string
		}{{"Connect", 0, "FAILED"}, {"ReadAccounts", 0, "FAILED"}, {"ReadTransactions", 1, "COMPLETED"}} {
			c := s.newCustomer()
			login := "savings+" + uuid.NewString()
			access := c.accessReadDaily("fints", login)
			reached, goOn := held.shut(before.step, before.passes)
			if manual {
				c.start(access, object{})
			} else {
				s.bank.Advance(30 * time.Hour)
				require.Equal(t, 1, s.startDue(uuid.NewString()).Started)
			}
			awaitSignal(t, reached, "the step begins")
			c.post("/rest/accesses/"+access+"/remove_pin", nil, 200, nil)
			goOn()

			y := c.endOf(access)
			require.Equal(t, before.status, y["status"], "%v", y)
			require.Zero(t, s.bank.Counters().WrongPINs[login])
			if accounts := y["accounts"].([]any); before.status == "COMPLETED" {
				require.Equal(t, []int{0, 10009, 10009}, codesOf(accounts))
			} else {
				require.Equal(t, 10009, codeOf(y))
			}
			_, reason, _, _ := c.autoSync(access)
			require.Equal(t, "NO_STORED_SECRETS", reason)
			s.bank.Advance(30 * time.Hour)
			require.Zero(t, s.sweep())

			c.storeSecrets(access)
			enabled, reason, _, _ := c.autoSync(access)
			require.True(t, enabled, reason)
			require.Zero(t, s.bank.Counters().WrongPINs[login])
			c.call("DELETE", "/rest/accesses/"+access, c.auth, nil, 204, nil)
		}
	}
}

// TestPINChangedWhileItRuns: a PIN that the bank accepted and then refuses is not sent again, in this synchronization or in
// an automatic one, before the customer gave the new one.
func TestPINChangedWhileItRuns(t *testing.T) {
	t.Parallel()
	held := &turnstile{}
	s := newStack(t, withBankClock(), withInterceptor(held))
	s.canaries.add("the new password", "another-"+password)
	for _, before := range []struct {
		step   string
		passes int           // of it, before the PIN changes
		later  time.Duration // the bank's dialogs are over
		status string
	}{
		{"ReadAccounts", 0, 0, "FAILED"},
		{"ReadTransactions", 0, 0, "FAILED"},
		{"ReadTransactions", 1, 0, "COMPLETED"},
		{"ReadTransactions", 1, time.Hour, "COMPLETED"},
	} {
		c := s.newCustomer()
		login := "savings+" + uuid.NewString()
		access := c.accessReadDaily("fints", login)
		reached, goOn := held.shut(before.step, before.passes)
		s.bank.Advance(30 * time.Hour)
		require.Equal(t, 1, s.startDue(uuid.NewString()).Started)
		awaitSignal(t, reached, "the step begins")
		require.NoError(t, s.bank.ChangePassword(login, "another-"+password))
		s.bank.Advance(before.later)
		goOn()

		y := c.endOf(access)
		require.Equal(t, before.status, y["status"], "%v", y)
		if accounts := y["accounts"].([]any); before.status == "COMPLETED" {
			require.Equal(t, []int{0, 10001, 10001}, codesOf(accounts))
		} else {
			require.Equal(t, 10001, codeOf(y))
		}
		require.Equal(t, "NEEDS_AUTH", c.at("/rest/accesses/" + access)["status"])
		for range 3 {
			_, reason, _, _ := c.autoSync(access)
			require.Equal(t, "WRONG_CREDENTIALS", reason)
			s.bank.Advance(30 * time.Hour)
			require.Zero(t, s.sweep())
		}
		require.Equal(t, 1, s.bank.Counters().WrongPINs[login], "%v", before)

		y = c.finish(c.start(access, object{"credentials": object{"pin": "another-" + password}, "save_secrets": true}))
		require.Equal(t, "COMPLETED", y["status"], "%v", y)
		enabled, reason, _, _ := c.autoSync(access)
		require.True(t, enabled, reason)
		c.call("DELETE", "/rest/accesses/"+access, c.auth, nil, 204, nil)
	}
}

// endOf is the access's last synchronization, once it has.
func (c *customer) endOf(access string) object {
	c.t.Helper()
	return c.until("/rest/accesses/"+access+"/syncs/"+c.newest(access)["id"].(string), "")
}

// codesOf are the error codes of a synchronization's accounts; 0: read.
func codesOf(accounts []any) (codes []int) {
	for _, a := range accounts {
		codes = append(codes, codeOf(a.(object)))
	}
	return codes
}

// A turnstile holds an activity up before it begins.
type turnstile struct {
	interceptor.WorkerInterceptorBase
	mu      sync.Mutex
	step    string // that is held up; "": none
	passes  int    // of it, before
	reached chan struct{}
	open    chan struct{}
}

// shut holds up the named activity once, after some of it that still pass, until goOn.
func (h *turnstile) shut(step string, passes int) (reached <-chan struct{}, goOn func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	open := make(chan struct{})
	h.step, h.passes, h.reached, h.open = step, passes, make(chan struct{}), open
	return h.reached, func() { close(open) }
}

func (h *turnstile) InterceptActivity(_ context.Context, next interceptor.ActivityInboundInterceptor) interceptor.ActivityInboundInterceptor {
	return &turned{interceptor.ActivityInboundInterceptorBase{Next: next}, h}
}

type turned struct {
	interceptor.ActivityInboundInterceptorBase
	by *turnstile
}

func (a *turned) ExecuteActivity(ctx context.Context, in *interceptor.ExecuteActivityInput) (any, error) {
	a.by.mu.Lock()
	reached, open, held := a.by.reached, a.by.open, activity.GetInfo(ctx).ActivityType.Name == a.by.step
	switch {
	case held && a.by.passes > 0:
		a.by.passes--
		held = false
	case held:
		a.by.step = ""
	}
	a.by.mu.Unlock()
	if held {
		close(reached)
		<-open
	}
	return a.Next.ExecuteActivity(ctx, in)
}
