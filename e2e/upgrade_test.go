package e2e_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"go.temporal.io/api/workflowservice/v1"

	"github.com/kontoflow/kontoflow/catalog"
	"github.com/kontoflow/kontoflow/internal/civil"
)

// The three examples of the public documentation. Each begins with months of history that were read over FinTS, and
// ends with the retry: the same transactions with the same ids, and only new ones added, although the bank gives other
// ids, texts and dates over XS2A.

// One Giro account: the access moves from FINTS to API.
func TestUpgradeDirect(t *testing.T) {
	t.Parallel()
	c := newUpgraded(t, "demo")
	c.supersede([]string{"Giro account"}, false)
	y := c.upgrade(40001)
	data := y["error"].(object)["data"].(object)
	giro := c.accounts()[0]
	require.Equal(t, object{"access_id": c.old, "access_method_id": c.method("demo"), "accesses_created": []any{},
		"accounts": []any{c.at(giro, c.old, "demo", true)}}, data)

	require.Equal(t, []string{c.old}, c.accesses())
	require.Equal(t, c.method("demo"), c.see(c.old)["access_method_id"])
	c.retry(c.old)
	c.requireContinued()

	// It is done: the next synchronization reads.
	c.bank.Advance(day)
	require.Equal(t, "COMPLETED", c.sync(c.old)["status"])
	c.requireContinued()
}

// Giro and Savings: split in two accesses. Giro is associated with a new access linked to the API method; Savings
// remains with the existing access and FINTS.
func TestUpgradeMulti(t *testing.T) {
	t.Parallel()
	c := newUpgraded(t, "savings")
	accounts := c.accounts()
	c.supersede([]string{"Giro account"}, false)
	y := c.upgrade(40002)
	data := y["error"].(object)["data"].(object)
	created := data["accesses_created"].([]any)
	require.Len(t, created, 1)
	added := created[0].(string)
	require.Equal(t, object{"access_id": c.old, "access_method_id": c.method("demo"), "accesses_created": created, "accounts": []any{
		c.at(accounts[0], added, "demo", true), c.at(accounts[1], c.old, "fints", true), c.at(accounts[2], c.old, "fints", true)}}, data)

	require.Equal(t, []string{c.old, added}, c.accesses())
	require.Equal(t, c.method("fints"), c.see(c.old)["access_method_id"])
	require.Equal(t, c.method("demo"), c.see(added)["access_method_id"])
	require.Equal(t, "ACTIVE", c.see(c.old)["status"], "it goes on as before")
	c.retry(added)
	require.Equal(t, "COMPLETED", c.sync(c.old)["status"])
	c.requireContinued()

	// Looking for new accounts does not bring those back that are with the other access now.
	for _, access := range []string{c.old, added} {
		body := object{"credentials": object{"pin": password}, "scope": []string{"ACCOUNTS", "TRANSACTIONS"}}
		require.Equal(t, "COMPLETED", c.finish(c.start(access, body))["status"])
	}
	require.Equal(t, accounts, c.accounts())
	c.requireContinued()
}

// Giro goes on over API; Savings is not supported any more and remains with the existing access.
func TestUpgradePartial(t *testing.T) {
	t.Parallel()
	c := newUpgraded(t, "savings")
	accounts := c.accounts()
	c.supersede([]string{"Giro account"}, true)
	y := c.upgrade(40003)
	data := y["error"].(object)["data"].(object)
	created := data["accesses_created"].([]any)
	require.Len(t, created, 1)
	added := created[0].(string)
	require.Equal(t, object{"access_id": c.old, "access_method_id": c.method("demo"), "accesses_created": created, "accounts": []any{
		c.at(accounts[0], added, "demo", true), c.at(accounts[1], c.old, "fints", false), c.at(accounts[2], c.old, "fints", false)}}, data)

	require.Equal(t, "REVOKED", c.see(c.old)["status"])
	c.call("POST", "/rest/accesses/"+c.old+"/syncs", c.auth, object{}, 409, nil)
	c.retry(added)
	require.Equal(t, accounts, c.accounts())
	c.requireKept() // Savings stays readable
}

// From one method of XS2A to another: a consent of the old one that no account needs any more ends at the bank, and one
// that is needed stays. Here the customer has it in force when the access leaves the old method.
func TestUpgradeEndsTheConsent(t *testing.T) {
	t.Parallel()
	// newAPI lets another method of XS2A supersede the demo bank's own.
	newAPI := func(s *stack, types ...string) (id string) {
		var file catalog.File
		require.NoError(s.t, json.Unmarshal(s.bank.Catalog(s.bankURL), &file))
		bank := func(name string) *catalog.Bank {
			return &file.Banks[slices.IndexFunc(file.Banks, func(b catalog.Bank) bool { return b.Name == name })]
		}
		demo, method := bank("Demobank"), bank("Demo-Direktbank").AccessMethods[0]
		method.ID, method.SupportedAccountTypes = uuid.New(), types
		demo.AccessMethods = append(demo.AccessMethods, method)
		demo.AccessMethods[0].Superseded = &catalog.Superseded{By: method.ID, From: civil.Day(2026, 1, 1)}
		changed, err := json.Marshal(file)
		require.NoError(s.t, err)
		_, err = catalog.Import(s.t.Context(), s.store, bytes.NewReader(changed))
		require.NoError(s.t, err)
		return method.ID.String()
	}
	t.Run("it is needed no more", func(t *testing.T) {
		t.Parallel()
		c := newStack(t).newCustomer()
		access := c.access("demo", "demo")
		require.Equal(t, "COMPLETED", c.sync(access)["status"])
		known := c.accountIDs()
		method := newAPI(c.stack)
		require.Equal(t, 40001, codeOf(c.finish(c.start(access, object{}))))
		require.Equal(t, method, c.at("/rest/accesses/" + access)["access_method_id"])
		require.Equal(t, "REVOKED", c.consent(access)[0]["status"])
		c.revoked(access)
		require.Zero(t, c.bank.RevokeConsents("demo"), "it is over at the bank, too")

		require.Equal(t, "COMPLETED", c.finish(c.start(access, object{}))["status"])
		require.Equal(t, known, c.accountIDs())
		c.requireLedger("demo", true)
		require.Equal(t, 1, c.bank.RevokeConsents("demo"))
	})
	t.Run("the rest needs it", func(t *testing.T) {
		t.Parallel()
		c := newStack(t).newCustomer()
		access := c.access("demo", "savings")
		require.Equal(t, "COMPLETED", c.sync(access)["status"])
		newAPI(c.stack, "Giro account")
		y := c.finish(c.start(access, object{}))
		require.Equal(t, 40002, codeOf(y))
		added := y["error"].(object)["data"].(object)["accesses_created"].([]any)[0].(string)
		require.Equal(t, "COMPLETED", c.finish(c.start(added, object{}))["status"])
		require.Equal(t, "COMPLETED", c.finish(c.start(access, object{}))["status"], "nobody is asked")
		c.revoked(access)
		require.Equal(t, 2, c.bank.RevokeConsents("savings"), "the old one, and the new one")
	})
}

// upgraded is a customer with an access over FinTS that is read for months, and then upgraded.
type upgraded struct {
	*customer
	old   string            // the access that began it
	known map[string]object // transactions before, by id
}

func newUpgraded(t *testing.T, login string) *upgraded {
	t.Helper()
	c := &upgraded{customer: newStack(t, withBankClock()).newCustomer()}
	c.old = c.access("fints", login)
	for range 3 {
		y := c.finish(c.start(c.old, object{"credentials": object{"pin": password}, "save_secrets": true}))
		require.Equal(t, "COMPLETED", y["status"], "%v", y)
		c.bank.Advance(30 * day)
	}
	require.Equal(t, "COMPLETED", c.sync(c.old)["status"])
	c.known = c.byID()
	require.Greater(t, len(c.known), 100)
	c.bank.Advance(3 * day)
	return c
}

func (c *upgraded) byID() map[string]object {
	all := make(map[string]object)
	for _, x := range c.transactions() {
		all[x["transaction_id"].(string)] = x
	}
	return all
}

// supersede marks the bank's FinTS method, as an operator does who imports their catalog again.
func (s *stack) supersede(types []string, ends bool) {
	s.t.Helper()
	var file catalog.File
	require.NoError(s.t, json.Unmarshal(s.bank.Catalog(s.bankURL), &file))
	methods := file.Banks[slices.IndexFunc(file.Banks, func(b catalog.Bank) bool { return b.Name == "Demobank" })].AccessMethods
	methods[0].SupportedAccountTypes = types
	methods[1].Superseded = &catalog.Superseded{By: methods[0].ID, From: civil.Day(2026, 1, 1), Ends: ends}
	changed, err := json.Marshal(file)
	require.NoError(s.t, err)
	_, err = catalog.Import(s.t.Context(), s.store, bytes.NewReader(changed))
	require.NoError(s.t, err)
}

// upgrade starts the synchronization that upgrades the access, and expects the code.
func (c *upgraded) upgrade(code int) object {
	c.t.Helper()
	access := c.see(c.old)
	require.Equal(c.t, "UPGRADE_PENDING", access["status"])
	require.Equal(c.t, "UPGRADE_PENDING", access["auto_sync"].(object)["reason"])

	sync := c.start(c.old, object{})
	y := c.finish(sync)
	require.Equal(c.t, "FAILED", y["status"])
	require.Equal(c.t, code, codeOf(y), "%v\n%s", y, c.logs)
	require.Nil(c.t, y["challenge"])
	require.Equal(c.t, c.known, c.byID(), "an upgrade touches no transaction")

	// Operators find the child by the access, and it stands below its parent.
	child, err := c.temporal.DescribeWorkflowExecution(c.t.Context(), "upgrade-"+c.old, "")
	require.NoError(c.t, err)
	require.Equal(c.t, idOf(sync), child.WorkflowExecutionInfo.ParentExecution.WorkflowId)
	require.Eventually(c.t, func() bool {
		list, err := c.temporal.ListWorkflow(c.t.Context(), &workflowservice.ListWorkflowExecutionsRequest{
			Query: `WorkflowType = 'AccessUpgrade' AND AccessId = '` + c.old + `'`})
		return err == nil && len(list.Executions) == 1
	}, patience, 100e6)
	return y
}

// retry synchronizes over the new method, whose secrets are nowhere yet, and whose bank wants the customer.
func (c *upgraded) retry(access string) {
	c.t.Helper()
	require.Equal(c.t, "NEEDS_AUTH", c.see(access)["status"])
	var refused object
	c.call("POST", "/rest/accesses/"+access+"/syncs", c.auth, object{}, 400, &refused)
	require.EqualValues(c.t, 1011, refused["error"].(object)["code"])
	require.Equal(c.t, []string{"credentials.pin"}, slices.Collect(maps.Keys(refused["error"].(object)["data"].(object))))

	sync := c.start(access, object{"credentials": object{"pin": password}})
	require.Equal(c.t, "AWAIT_AUTH", c.until(sync, "")["status"], "the new method wants strong customer authentication")
	y := c.finish(sync)
	require.Equal(c.t, "COMPLETED", y["status"], "%v\n%s", y, c.logs)
	require.Equal(c.t, "ACTIVE", c.see(access)["status"])
	require.EqualValues(c.t, 0, y["progress"].(object)["transactions_removed"])
}

// requireKept: every booked transaction from before is there, under its id, as the same booking.
func (c *upgraded) requireKept() {
	c.t.Helper()
	now := c.byID()
	for id, before := range c.known {
		if before["booked"] == true {
			x := now[id]
			require.NotNil(c.t, x, "lost: %v", before)
			for _, what := range []string{"account_id", "amount", "currency", "created_at", "booked"} {
				require.Equal(c.t, before[what], x[what], "%s of %v", what, x)
			}
		}
	}
}

// requireContinued is requireKept, and nothing is there twice: what is stored is what the bank has.
func (c *upgraded) requireContinued() {
	c.t.Helper()
	c.requireKept()
	f := follower{login: c.login, user: c.customer}
	f.compare(c.customer)
}

// at is where an upgrade says that an account is.
func (c *upgraded) at(account, access, bank string, supported bool) object {
	return object{"account_id": account, "access_id": access, "access_method_id": c.method(bank), "supported": supported}
}

func (c *upgraded) see(access string) (seen object) {
	c.t.Helper()
	c.get("/rest/accesses/"+access, &seen)
	return seen
}

// accesses lists the customer's, oldest first.
func (c *upgraded) accesses() (ids []string) {
	c.t.Helper()
	var list []struct{ ID string }
	c.get("/rest/accesses", &list)
	for _, a := range list {
		ids = append(ids, a.ID)
	}
	return ids
}

// accounts lists the customer's, in the order in which the bank listed them when it was first asked.
func (c *upgraded) accounts() (ids []string) {
	c.t.Helper()
	var list struct{ Accounts []object }
	c.get("/rest/accounts", &list)
	for _, a := range list.Accounts {
		ids = append(ids, a["account_id"].(string))
	}
	slices.Sort(ids) // they are ordered by time
	return ids
}
