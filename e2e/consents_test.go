package e2e_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kontoflow/sandbox"
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
	c.call("DELETE", "/rest/accounts/"+c.accountIDs()[iban+iban[12:]+"EUR"], c.auth, nil, 200, nil)
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
	revoke := func(c *customer, access string) {
		for _, credential := range c.credentials(access) {
			if credential["type"] == "CONSENT" {
				var revoked object
				c.call("PATCH", "/rest/accesses/"+access+"/credentials/"+credential["id"].(string), c.auth, object{"status": "REVOKED"}, 200, &revoked)
				require.Equal(c.t, "REVOKED", revoked["status"])
			}
		}
	}
	deleteAccess := func(c *customer, access string) {
		c.call("DELETE", "/rest/accesses/"+access, c.auth, nil, 200, nil)
		for _, path := range []string{"", "/syncs", "/credentials"} {
			c.refuse("GET", "/rest/accesses/"+access+path, nil, 404, 1002)
		}
		require.Empty(c.t, c.accountIDs())
		require.Empty(c.t, c.transactions())
	}
	deleteUser := func(c *customer, _ string) {
		c.call("DELETE", "/rest/user", c.auth, nil, 200, nil)
		c.call("GET", "/rest/user", c.auth, nil, 401, nil)
		c.call("POST", "/auth/token", c.basic, object{"grant_type": "client_credentials", "user_id": c.id}, 404, nil)
	}
	for name, p := range map[string]struct {
		bank, persona string
		end           func(c *customer, access string)
		rows          bool // of the access are left
		running       bool // a synchronization, when it happens
		down          bool // the bank
	}{
		"consent":               {bank: "demo", persona: "demo", end: revoke, rows: true},
		"consent_while_running": {bank: "demo", persona: "again", end: revoke, rows: true, running: true},
		"consent_OAuth":         {bank: "oauth", persona: "demo", end: revoke, rows: true},
		"access":                {bank: "demo", persona: "demo", end: deleteAccess},
		"access_while_down":     {bank: "demo", persona: "demo", end: deleteAccess, down: true},
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
			if p.down {
				require.NoError(t, s.bank.Inject(sandbox.Fault{Login: login, Endpoint: "consents.delete", Action: sandbox.ActStatus, Status: 500, Times: 1}))
			}
			p.end(c, access)

			c.eventually(func() bool { return s.bank.Counters().ByLogin[login]["consents.delete"] > 0 }, "revoked at the bank")
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
			c.eventually(func() bool { return c.rows("accesses", access)+c.rows("transactions", access) == 0 }, "nothing is left")
			if name == "user" || name == "user_while_running" {
				c.eventually(func() bool { return c.rows("users", c.id) == 0 }, "nothing is left of the user")
			}
		})
	}
}

// rows counts what is stored of an access, or of a user.
func (c *customer) rows(what, id string) (n int) {
	c.t.Helper()
	query := map[string]string{
		"accesses":     `SELECT count(*) FROM accesses WHERE id = ?`,
		"transactions": `SELECT count(*) FROM transactions t JOIN accounts k ON k.id = t.account_id WHERE k.access_id = ?`,
		"users":        `SELECT count(*) FROM users WHERE id = ?`,
	}[what]
	require.NoError(c.t, c.store.DB.Raw(query, id).Scan(&n).Error)
	return n
}

func (c *customer) eventually(holds func() bool, what string) {
	c.t.Helper()
	require.Eventually(c.t, holds, patience, 20*time.Millisecond, what)
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
