package e2e_test

import (
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/sandbox"
)

// TestSaveSecrets: true stores, false forgets at the end, absent leaves alone. Where nothing is stored the bank is
// reached as long as its consent lasts, and not without the PIN afterwards.
func TestSaveSecrets(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	c := s.newCustomer()
	access := c.access("demo", "demo")
	sync := func(body object) object {
		t.Helper()
		return c.finish(c.start(access, body))
	}
	pin := object{"pin": password}

	// Absent, and nothing stored before: nothing is stored.
	require.Equal(t, "COMPLETED", sync(object{"credentials": pin})["status"])
	require.Equal(t, map[string]string{"login": "ACTIVE"}, c.fields(access))
	require.Equal(t, "NO_STORED_SECRETS", c.at("/rest/accesses/" + access)["auto_sync"].(object)["reason"])
	require.Equal(t, "COMPLETED", sync(object{})["status"], "the consent lasts")
	s.bank.RevokeConsents("demo")
	require.Equal(t, 10001, codeOf(sync(object{})), "the bank wants the PIN, and there is none")
	require.Contains(t, c.refuse("POST", "/rest/accesses/"+access+"/syncs", object{}, 400, 1011), "credentials.pin")

	// What the bank refuses is not stored; what it accepts is.
	require.Equal(t, 10001, codeOf(sync(object{"credentials": object{"pin": "wrong"}, "save_secrets": true})))
	require.Equal(t, map[string]string{"login": "ACTIVE"}, c.fields(access))
	require.Equal(t, "COMPLETED", sync(object{"credentials": pin, "save_secrets": true})["status"])
	require.Equal(t, map[string]string{"login": "ACTIVE", "pin": "ACTIVE"}, c.fields(access))

	// Absent: they are used, and stay.
	s.bank.RevokeConsents("demo")
	require.Equal(t, "COMPLETED", sync(object{})["status"])
	require.Equal(t, map[string]string{"login": "ACTIVE", "pin": "ACTIVE"}, c.fields(access))

	// False: they are used, and forgotten.
	s.bank.RevokeConsents("demo")
	require.Equal(t, "COMPLETED", sync(object{"save_secrets": false})["status"])
	require.Equal(t, map[string]string{"login": "ACTIVE"}, c.fields(access))

	// remove_pin, and the credentials resource, forget them at once.
	for _, forget := range []func(){
		func() { c.post("/rest/accesses/"+access+"/remove_pin", nil, 200, nil) },
		func() {
			for _, credential := range c.credentials(access) {
				if credential["key"] == "pin" {
					var revoked object
					c.call("PATCH", "/rest/accesses/"+access+"/credentials/"+credential["id"].(string), c.auth, object{"status": "REVOKED"}, 200, &revoked)
					require.Equal(t, "REVOKED", revoked["status"])
				}
			}
		},
	} {
		require.Equal(t, "COMPLETED", sync(object{"credentials": pin, "save_secrets": true})["status"])
		forget()
		require.Equal(t, map[string]string{"login": "ACTIVE"}, c.fields(access))
	}
	require.Equal(t, 1, s.bank.Counters().WrongPINs["demo"])
}

// TestSavedByDefault: save_credentials of the access is the default of its synchronizations.
func TestSavedByDefault(t *testing.T) {
	t.Parallel()
	c := newStack(t).newCustomer()
	c.login = "demo"
	var access object
	c.post("/rest/accesses", object{"access_method_id": c.method("demo"), "credentials": object{"login": "demo"}, "save_credentials": true}, 201, &access)
	id := access["id"].(string)
	require.Equal(t, "COMPLETED", c.sync(id)["status"])
	require.Equal(t, map[string]string{"login": "ACTIVE", "pin": "ACTIVE"}, c.fields(id))
}

// TestScopes: accounts alone, and accounts that were opened meanwhile.
func TestScopes(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	c := s.newCustomer()
	access := c.access("demo", "savings")
	sync := func(scope ...string) object {
		t.Helper()
		y := c.finish(c.start(access, object{"credentials": object{"pin": password}, "scope": scope}))
		require.Equal(t, "COMPLETED", y["status"], "%v", y)
		return y
	}
	y := sync("ACCOUNTS")
	require.Equal(t, []any{"ACCOUNTS"}, y["scope"])
	require.EqualValues(t, 3, y["progress"].(object)["accounts_done"])
	require.Empty(t, c.transactions())
	for name := range c.stored(false) {
		require.Regexp(t, `^DE\d{20} EUR -?\d+\.\d\d$`, name, "accounts and balances are there")
	}
	sync("TRANSACTIONS")
	c.requireLedger("savings", true)

	iban, err := s.bank.AddAccount("savings")
	require.NoError(t, err)
	sync("TRANSACTIONS")
	require.NotContains(t, c.accountIDs(), iban+iban[12:]+"EUR")
	sync("ACCOUNTS")
	require.Contains(t, c.accountIDs(), iban+iban[12:]+"EUR")
	sync("TRANSACTIONS")
	c.requireLedger("savings", true)

	// One that the client deleted stays away.
	c.call("DELETE", "/rest/accounts/"+c.accountIDs()[iban+iban[12:]+"EUR"], c.auth, nil, 204, nil)
	sync("ACCOUNTS", "TRANSACTIONS")
	require.Len(t, c.accountIDs(), 3)
	for _, x := range c.transactions() {
		require.Contains(t, c.accountIDs(), c.ibanOf(x["account_id"].(string))+"EUR")
	}
}

// TestRevocation: a consent ends at the bank when the client revokes it, deletes the access, or deletes the user; also
// where the bank is down at first, and while a synchronization runs.
func TestRevocation(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	deleteAccess := func(c *customer, access string) {
		c.call("DELETE", "/rest/accesses/"+access, c.auth, nil, 204, nil)
		for _, path := range []string{"", "/syncs", "/credentials"} {
			c.refuse("GET", "/rest/accesses/"+access+path, nil, 404, 1002)
		}
		require.Empty(c.t, c.accountIDs())
		require.Empty(c.t, c.transactions())
	}
	deleteUser := func(c *customer, _ string) {
		c.call("DELETE", "/rest/user", c.auth, object{"password": password}, 204, nil)
		c.call("GET", "/rest/user", c.auth, nil, 401, nil)
		c.call("POST", "/auth/token", c.basic, object{"grant_type": "client_credentials", "user_id": c.id}, 404, nil)
	}
	for name, p := range map[string]struct {
		bank, persona string
		end           func(c *customer, access string)
		rows          bool           // of the access are left
		running       bool           // a synchronization, when it happens
		down          *sandbox.Fault // how the bank is
	}{
		"consent":               {bank: "demo", persona: "demo", end: (*customer).revoke, rows: true},
		"consent_while_running": {bank: "demo", persona: "again", end: (*customer).revoke, rows: true, running: true},
		"consent_OAuth":         {bank: "oauth", persona: "demo", end: (*customer).revoke, rows: true},
		"consent_while_down":    {bank: "demo", persona: "demo", end: (*customer).revoke, rows: true, down: &sandbox.Fault{Action: sandbox.ActStatus, Status: 500}},
		"access":                {bank: "demo", persona: "demo", end: deleteAccess},
		"access_maintenance":    {bank: "demo", persona: "demo", end: deleteAccess, down: &sandbox.Fault{Action: sandbox.ActStatus, Status: 503, Text: "Wartung"}},
		"access_certificate":    {bank: "demo", persona: "demo", end: deleteAccess, down: &sandbox.Fault{Action: sandbox.ActStatus, Status: 401, Code: "CERTIFICATE_EXPIRED"}},
		"access_forbidden":      {bank: "demo", persona: "demo", end: deleteAccess, down: &sandbox.Fault{Action: sandbox.ActStatus, Status: 403}},
		"access_while_running":  {bank: "demo", persona: "again", end: deleteAccess, running: true},
		"user":                  {bank: "demo", persona: "demo", end: deleteUser},
		"user_while_running":    {bank: "prestep", persona: "demo", end: deleteUser, running: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := s.in(t).newCustomer()
			login := p.persona + "+" + name
			access := c.access(p.bank, login)
			sync := c.start(access, object{"credentials": c.secrets(p.bank)})
			if p.running { // to where it asks a second time: by then there is something to revoke
				challenge := c.until(sync, "")["challenge"].(object)
				c.answer(sync, challenge)
				require.Equal(t, "AWAIT_AUTH", c.until(sync, challenge["id"].(string))["status"])
			} else {
				require.Equal(t, "COMPLETED", c.finish(sync)["status"])
			}
			if p.down != nil {
				p.down.Login, p.down.Endpoint, p.down.Times = login, "consents.delete", 1
				require.NoError(t, s.bank.Inject(*p.down))
			}
			p.end(c, access)
			if !p.rows {
				c.requireGone(access) // whatever the bank does
			}

			c.revoked(access)
			require.Zero(t, s.bank.RevokeConsents(login), "none is valid at the bank")
			if p.rows {
				require.Equal(t, "REVOKED", c.consent(access)[0]["status"])
				require.Equal(t, "NEEDS_AUTH", c.at("/rest/accesses/" + access)["status"])
				if p.running {
					require.Equal(t, 30007, codeOf(c.finish(sync)), "nothing is read under a consent that is revoked")
				} else {
					require.NotEmpty(t, c.transactions(), "they are the customer's, not the bank's")
				}
				again := c.start(access, object{"credentials": c.secrets(p.bank)})
				require.Equal(t, "AWAIT_AUTH", c.until(again, "")["status"], "a new consent is asked for")
				require.Equal(t, "COMPLETED", c.finish(again)["status"])
				c.requireLedger(login, true)
				return
			}
			c.eventually(func() bool { return c.rows("transactions", access) == 0 }, "nothing is left")
			if name == "user" || name == "user_while_running" {
				c.eventually(func() bool { return c.rows("users", c.id) == 0 }, "nothing is left of the user")
			}
		})
	}
}

// TestRevocationWaitsForTheBank: while a bank is down the customer goes on. They authorize a new consent, which stays when
// the bank is back and ends the old one; what they delete is deleted.
func TestRevocationWaitsForTheBank(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	c := s.newCustomer()
	access := c.access("demo", "demo")
	require.Equal(t, "COMPLETED", c.sync(access)["status"])
	down := sandbox.Fault{Login: "demo", Endpoint: "consents.delete", Action: sandbox.ActStatus, Status: 503}
	require.NoError(t, s.bank.Inject(down))
	tried := func() int { return s.bank.Counters().ByLogin["demo"]["consents.delete"] }

	c.revoke(access)
	c.eventually(func() bool { return tried() > 0 }, "the bank is told")
	require.Equal(t, "COMPLETED", c.sync(access)["status"])
	require.Equal(t, 2, s.bank.Counters().Consents["demo"])
	s.bank.ClearFaults()
	c.revoked(access)
	require.Equal(t, "COMPLETED", c.finish(c.start(access, object{}))["status"], "under the new consent")
	require.Equal(t, 2, s.bank.Counters().Consents["demo"])

	require.NoError(t, s.bank.Inject(down))
	before := tried()
	c.call("DELETE", "/rest/user", c.auth, object{"password": password}, 204, nil)
	c.eventually(func() bool { return c.rows("users", c.id) == 0 && tried() > before }, "the bank is down, and nothing is left of the user")
	s.bank.ClearFaults()
	c.revoked(access)
	require.Zero(t, s.bank.RevokeConsents("demo"))
}

// TestRevocationIsAskedForEveryHour: also where the bank says to come back tomorrow, so that one that waits is never taken for
// one that is lost.
func TestRevocationIsAskedForEveryHour(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	c := s.newCustomer()
	access := c.access("demo", "demo")
	require.Equal(t, "COMPLETED", c.sync(access)["status"])
	require.NoError(t, s.bank.Inject(sandbox.Fault{Endpoint: "consents.delete", Action: sandbox.ActStatus, Status: 503, RetryAfter: 24 * 60 * 60}))
	c.revoke(access)
	var owed string
	require.NoError(t, s.store.DB.Raw(`SELECT id FROM revocations WHERE access_id = ?`, access).Row().Scan(&owed))
	var again time.Time
	c.eventually(func() bool {
		run, err := s.temporal.DescribeWorkflowExecution(t.Context(), "revoke-"+owed, "")
		for _, waiting := range run.GetPendingActivities() {
			if waiting.GetLastFailure() != nil {
				again = waiting.GetNextAttemptScheduleTime().AsTime()
			}
		}
		return err == nil && !again.IsZero()
	}, "the bank is told, and is down")
	require.WithinDuration(t, time.Now().Add(time.Hour), again, 10*time.Minute)
}

// TestConsentRenewedBeforeItsEnd: what a client does when it hears that a consent ends soon. It synchronizes with the customer
// and wishes for a new one: the former stays in force until they have granted that, whatever they do before. The new one is for
// the same access, accounts and transactions.
func TestConsentRenewedBeforeItsEnd(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock(), func(s *stack) { s.workerOptions.LoopbackReceivers = true })
	c := s.newCustomer()
	c.login = "redirect"
	var created object
	c.post("/rest/accesses", object{"access_method_id": c.method("demo"), "credentials": object{"login": c.login},
		"consent": object{"recurring": true, "period": 20}}, 201, &created)
	access := created["id"].(string)
	h := newHook(t)
	c.observe(h.URL, "/rest/accesses/"+access)
	stores := object{"credentials": object{"pin": password}, "save_secrets": true}
	require.Equal(t, "COMPLETED", c.finish(c.start(access, stores))["status"])
	consent := func() (end string) {
		return c.at("/rest/accesses/" + access)["consent"].(object)["expires_at"].(string)
	}
	first, accounts := consent(), c.accountIDs()

	s.bank.Advance(14 * 24 * time.Hour)
	c.renewToken()
	s.sweep()
	c.eventually(func() bool {
		return slices.ContainsFunc(h.heard(t, "/rest/accesses/"+access), func(d object) bool {
			return d["event"] == "CONSENT_EXPIRING" && d["expires_at"] == first
		})
	}, "the warning")
	require.Equal(t, "COMPLETED", c.sync(access)["status"])
	require.Equal(t, first, consent(), "nobody wished for another")

	// They are asked, and do not want. What is in force stays, and goes on to be used without them.
	renews := object{"renew_consent": true}
	for name, turnsAway := range map[string]func(sync string, challenge object){
		"cancelled": func(sync string, _ object) { c.post(sync+"/cancel", nil, 200, nil) },
		"declined":  func(_ string, challenge object) { c.comeBack(c.atBankPages(challenge["location"].(string), false)) },
	} {
		id := c.start(access, renews)
		asked := c.until(id, "")
		require.Equal(t, "AWAIT_AUTH", asked["status"], "%v", asked)
		require.Equal(t, first, consent())
		turnsAway(id, asked["challenge"].(object))
		c.eventually(func() bool { return c.at(id)["status"] == "FAILED" }, name)
		require.Equal(t, first, consent())
		require.Equal(t, "ACTIVE", c.at("/rest/accesses/" + access)["status"], name)
		enabled, reason, next, _ := c.autoSync(access)
		require.True(t, enabled, reason)
		s.bank.Advance(next.Sub(s.bank.Now()))
		c.renewToken()
		require.Equal(t, 1, s.sweep())
		require.Equal(t, "AUTO", c.newest(access)["trigger"])
		require.Equal(t, "COMPLETED", c.newest(access)["status"])
	}
	var cursor string
	c.changes(&cursor)

	require.Equal(t, "COMPLETED", c.finish(c.start(access, renews))["status"])
	require.Greater(t, consent(), first)
	var states []string
	for _, one := range c.consent(access) {
		states = append(states, one["status"].(string))
	}
	require.ElementsMatch(t, []string{"REVOKED", "ACTIVE"}, states)
	require.Equal(t, accounts, c.accountIDs())
	added, modified, removed := c.changes(&cursor)
	require.Zero(t, len(added)+len(modified)+len(removed))
	c.revoked(access)
	require.Equal(t, 1, s.bank.RevokeConsents("redirect"), "the new one is valid at the bank, the old one is not")
}

// TestTokensOfConsents: a consent that came with tokens is given up with them when the bank no longer renews them, and is
// not left at the bank; revoking one renews its token, once.
func TestTokensOfConsents(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	c := s.newCustomer()
	access := c.access("oauth", "demo")
	require.Equal(t, "COMPLETED", c.finish(c.start(access, object{}))["status"])

	s.bank.Advance(2 * time.Hour)
	require.NoError(t, s.bank.Inject(sandbox.Fault{Bank: "oauth", Endpoint: "token", Action: sandbox.ActStatus, Status: 400, Code: "invalid_grant", Times: 1}))
	sync := c.start(access, object{})
	require.Equal(t, "AWAIT_AUTH", c.until(sync, "")["status"])
	require.Equal(t, "COMPLETED", c.finish(sync)["status"])
	c.revoked(access)
	require.Equal(t, 2, s.bank.Counters().Consents["demo"])

	s.bank.Advance(2 * time.Hour)
	renewals := s.bank.Counters().Calls["oauth/token"]
	require.NoError(t, s.bank.Inject(sandbox.Fault{Login: "demo", Endpoint: "consents.delete", Action: sandbox.ActStatus, Status: 503, Times: 1}))
	c.revoke(access)
	c.revoked(access)
	require.Equal(t, renewals+1, s.bank.Counters().Calls["oauth/token"])
	require.Zero(t, s.bank.RevokeConsents("demo"), "neither of the two is valid at the bank")
}

// TestTokenEndpointDown: an authorization server that is throttled, or does not take our own credentials any more, costs the
// accesses of its bank a synchronization, not their consents.
func TestTokenEndpointDown(t *testing.T) {
	t.Parallel()
	for _, bank := range []string{"oauth", "prestep"} {
		for name, down := range map[string]sandbox.Fault{
			"throttled": {Status: 429, RetryAfter: 60},
			"secret":    {Status: 401, Code: "invalid_client"},
			"forbidden": {Status: 403},
		} {
			t.Run(bank+" "+name, func(t *testing.T) {
				t.Parallel()
				s := newStack(t, withBankClock())
				c := s.newCustomer()
				access := c.access(bank, "demo")
				require.Equal(t, "COMPLETED", c.finish(c.start(access, object{"save_secrets": true}))["status"])
				due := func() object {
					t.Helper()
					enabled, reason, next, _ := c.autoSync(access)
					require.True(t, enabled, reason)
					s.bank.Advance(next.Sub(s.bank.Now()))
					require.Equal(t, 1, s.sweep())
					return c.newest(access)
				}

				s.bank.Advance(2 * time.Hour) // the token's life
				down.Bank, down.Endpoint, down.Action = bank, "token", sandbox.ActStatus
				require.NoError(t, s.bank.Inject(down))
				require.Equal(t, "FAILED", due()["status"])
				require.Equal(t, "ACTIVE", c.at("/rest/accesses/" + access)["status"])
				require.Equal(t, "ACTIVE", c.consent(access)[0]["status"])
				require.Zero(t, c.rows("revocations", access))

				s.bank.ClearFaults()
				y := due()
				require.Equal(t, "COMPLETED", y["status"], "%v", y)
				require.Equal(t, 1, s.bank.Counters().Consents["demo"])
			})
		}
	}
}

// TestCancelLeavesNoConsent: what a synchronization has begun at the bank ends with it when the client cancels, so that
// the customer cannot authorize afterwards what nobody waits for; also where the bank was just about to answer.
func TestCancelLeavesNoConsent(t *testing.T) {
	t.Parallel()
	asked, answer := make(chan struct{}), make(chan struct{})
	ask, release := sync.OnceFunc(func() { close(asked) }), sync.OnceFunc(func() { close(answer) })
	s := newStack(t, func(s *stack) {
		s.wrapBank = func(bank http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == "POST" && r.URL.Path == "/demo/v1/consents" && r.Header.Get("PSU-ID") == "demo+slow" {
					ask()
					<-answer
				}
				bank.ServeHTTP(w, r)
			})
		}
	})
	did := func(login, endpoint string) int { return s.bank.Counters().ByLogin[login][endpoint] }
	cancel := func(c *customer, sync string) {
		c.post(sync+"/cancel", nil, 200, nil)
		c.eventually(func() bool { return codeOf(c.at(sync)) == 30007 }, "cancelled")
	}
	t.Run("while the customer is at the bank", func(t *testing.T) {
		t.Parallel()
		c := s.in(t).newCustomer()
		access := c.access("demo", "redirect")
		sync := c.start(access, object{"credentials": object{"pin": password}})
		location := c.until(sync, "")["challenge"].(object)["location"].(string)
		cancel(c, sync)
		c.revoked(access)
		visitor := sandbox.Visitor{Login: c.login, Password: password, TAN: tan, Client: http.DefaultClient}
		_, err := visitor.Approve(t.Context(), location)
		require.Error(t, err, "the bank knows nothing of it any more")
		require.Zero(t, s.bank.RevokeConsents("redirect"))
	})
	t.Run("while the bank creates it", func(t *testing.T) {
		t.Parallel()
		c := s.in(t).newCustomer()
		t.Cleanup(release)
		access := c.access("demo", "demo+slow")
		sync := c.start(access, object{"credentials": object{"pin": password}})
		awaitSignal(t, asked, "the bank creates it")
		cancel(c, sync)
		require.Zero(t, did("demo+slow", "consents.create"), "the cancel does not wait for the bank")
		release()
		c.eventually(func() bool { return did("demo+slow", "consents.delete") == 1 }, "the consent that came too late is ended")
		c.revoked(access)
		require.Equal(t, "COMPLETED", c.sync(access)["status"])
	})
}

// revoke revokes the access's consent.
func (c *customer) revoke(access string) {
	c.t.Helper()
	for _, credential := range c.consent(access) {
		if credential["status"] == "ACTIVE" {
			var revoked object
			c.call("PATCH", "/rest/accesses/"+access+"/credentials/"+credential["id"].(string), c.auth, object{"status": "REVOKED"}, 200, &revoked)
			require.Equal(c.t, "REVOKED", revoked["status"])
		}
	}
}

// revoked waits until the bank of an access, which may be gone, is owed nothing.
func (c *customer) revoked(access string) {
	c.t.Helper()
	c.eventually(func() bool { return c.rows("revocations", access) == 0 }, "revoked at the bank")
}

// rows counts what is stored of an access, or of a user.
func (c *customer) rows(what, id string) (n int) {
	c.t.Helper()
	query := map[string]string{
		"accesses":     `SELECT count(*) FROM accesses WHERE id = ?`,
		"transactions": `SELECT count(*) FROM transactions t JOIN accounts k ON k.id = t.account_id WHERE k.access_id = ?`,
		"revocations":  `SELECT count(*) FROM revocations WHERE access_id = ?`,
		"users":        `SELECT count(*) FROM users WHERE id = ?`,
	}[what]
	require.NoError(c.t, c.store.DB.Raw(query, id).Scan(&n).Error)
	return n
}

func (c *customer) eventually(holds func() bool, what string) {
	c.t.Helper()
	require.Eventually(c.t, holds, patience, 20*time.Millisecond, what)
}

// awaitSignal waits for a channel to be closed, or to hand something over.
func awaitSignal[T any](t *testing.T, c <-chan T, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		require.Fail(t, "it did not come to this: "+what)
	}
}

func (c *customer) at(path string) (o object) {
	c.t.Helper()
	c.get(path, &o)
	return o
}

// credentials lists the credentials resource; it never has a value in it.
func (c *customer) credentials(access string) []object {
	c.t.Helper()
	var list struct{ Credentials []object }
	c.get("/rest/accesses/"+access+"/credentials", &list)
	for _, credential := range list.Credentials {
		require.NotContains(c.t, credential, "value")
	}
	return list.Credentials
}

// fields are the stored credential fields with their status.
func (c *customer) fields(access string) map[string]string {
	c.t.Helper()
	fields := make(map[string]string)
	for _, credential := range c.credentials(access) {
		if credential["type"] == "FIELD" {
			fields[credential["key"].(string)] = credential["status"].(string)
		}
	}
	return fields
}

// ibanOf finds an account's IBAN and number as accountIDs writes them.
func (c *customer) ibanOf(account string) string {
	a := c.at("/rest/accounts/" + account)
	return a["iban"].(string) + a["account_number"].(string)
}
