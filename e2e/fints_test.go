package e2e_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
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
