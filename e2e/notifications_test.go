package e2e_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// hook is a receiver of notifications.
type hook struct {
	*httptest.Server
	mu     sync.Mutex
	bodies []string
}

func newHook(t *testing.T) *hook {
	t.Helper()
	h := &hook{}
	h.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.bodies = append(h.bodies, string(body))
	}))
	t.Cleanup(h.Close)
	return h
}

func (h *hook) all() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.bodies)
}

// heard are the data of what was told about a key, in the order of arrival.
func (h *hook) heard(t *testing.T, key string) (all []object) {
	for _, body := range h.all() {
		var b object
		require.NoError(t, json.Unmarshal([]byte(body), &b))
		if b["observe_key"] == key {
			all = append(all, b["data"].(object))
		}
	}
	return all
}

// observe subscribes a receiver, and minds that its token and the signing secret leak nowhere.
func (c *customer) observe(receiver, key string) {
	c.t.Helper()
	const token = "Kanarienvogel-Empfangsmarke-20"
	var made object
	c.post("/rest/notifications", object{"observe_key": key, "notify_uri": receiver + "/hook?token=" + token}, 201, &made)
	c.canaries.add("a receiver's token", token)
	c.canaries.add("a signing secret", made["secret"].(string))
}

// TestNotifications subscribes over HTTP, synchronizes, and hears of each state in order and of what changed; a
// synchronization with disable_notifications is not heard of.
func TestNotifications(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock(), func(s *stack) { s.workerOptions.LoopbackReceivers = true })
	c := s.newCustomer()
	h := newHook(t)
	for _, key := range []string{"/rest/syncs", "/rest/transactions", "/rest/accesses"} {
		c.observe(h.URL, key)
	}
	stranger := s.newCustomer()
	others := newHook(t)
	stranger.observe(others.URL, "/rest/syncs")

	access := c.access("demo", "demo")
	eventually := func(what string, done func() bool) {
		t.Helper()
		require.Eventually(t, done, patience, 20*time.Millisecond, "%s; logs:\n%s", what, s.logs)
	}
	// ends waits until the receiver has heard that a synchronization ended.
	ends := func(y object) {
		t.Helper()
		require.Equal(t, "COMPLETED", y["status"], "%v", y)
		eventually("the end of the synchronization", func() bool {
			return slices.ContainsFunc(h.heard(t, "/rest/syncs"), func(d object) bool { return d["sync_id"] == y["id"] && d["status"] == "COMPLETED" })
		})
	}

	silent := c.finish(c.start(access, object{"credentials": object{"pin": password}, "scope": []string{"ACCOUNTS"}, "disable_notifications": true}))
	require.Equal(t, "COMPLETED", silent["status"], "%v", silent)
	first := c.sync(access)
	ends(first)
	eventually("the transactions", func() bool { return len(h.heard(t, "/rest/transactions")) > 0 })
	var states []any
	for _, data := range h.heard(t, "/rest/syncs") {
		require.Equal(t, first["id"], data["sync_id"], "the silent one is heard of")
		require.Equal(t, access, data["access_id"])
		require.Equal(t, "MANUAL", data["trigger"])
		states = append(states, data["status"])
	}
	require.Equal(t, []any{"QUEUED", "RUNNING", "COMPLETED"}, states)
	var accounts struct{ Accounts []object }
	c.get("/rest/accounts", &accounts)
	account := accounts.Accounts[0]["account_id"].(string)
	require.Equal(t, []object{{"account_id": account, "access_id": access, "sync_id": first["id"], "added": float64(len(c.transactions())), "modified": 0.0, "removed": 0.0}},
		h.heard(t, "/rest/transactions"))

	// A day later, with the balance observed as well; and nothing where nothing has changed.
	balance := "/rest/accounts/" + account + "/balance"
	c.observe(h.URL, balance)
	ends(c.sync(access))
	s.bank.Advance(5 * day)
	before := len(c.transactions())
	next := c.sync(access)
	ends(next)
	ends(c.sync(access))
	eventually("the balance", func() bool { return len(h.heard(t, balance)) > 0 })
	require.Equal(t, []object{{"account_id": account, "access_id": access, "sync_id": next["id"]}}, h.heard(t, balance))
	eventually("the new transactions", func() bool { return len(h.heard(t, "/rest/transactions")) > 1 })
	changed := h.heard(t, "/rest/transactions")
	require.Len(t, changed, 2)
	require.Equal(t, next["id"], changed[1]["sync_id"])
	require.Equal(t, float64(len(c.transactions())-before), changed[1]["added"].(float64)-changed[1]["removed"].(float64))

	// A challenge is heard of, too, and a failure by its code.
	tanAccess := c.access("demo", "again")
	ends(c.sync(tanAccess))
	wrong := c.access("demo", "wrongpin")
	refused := c.finish(c.start(wrong, object{"credentials": object{"pin": "wrong"}}))
	require.Equal(t, "FAILED", refused["status"])
	eventually("the failure", func() bool {
		return slices.ContainsFunc(h.heard(t, "/rest/syncs"), func(d object) bool {
			return d["sync_id"] == refused["id"] && d["error_code"] == float64(codeOf(refused))
		})
	})
	states = nil
	for _, data := range h.heard(t, "/rest/syncs") {
		if data["access_id"] == tanAccess {
			states = append(states, data["status"])
		}
	}
	require.Equal(t, []any{"QUEUED", "RUNNING", "AWAIT_AUTH", "RUNNING", "AWAIT_AUTH", "RUNNING", "COMPLETED"}, states)

	eventually("what became of the accesses", func() bool { return len(h.heard(t, "/rest/accesses")) > 1 })
	require.ElementsMatch(t, []object{ // the first one became ACTIVE in silence
		{"access_id": tanAccess, "event": "STATUS_CHANGED", "status": "ACTIVE"},
		{"access_id": wrong, "event": "NEEDS_AUTH", "status": "NEEDS_AUTH"}}, h.heard(t, "/rest/accesses"))

	require.Empty(t, others.heard(t, "/rest/syncs"), "another user hears of it")
	for _, body := range h.all() {
		require.Empty(t, s.persons(t.Context()).found(body), "a delivery says whose it is")
		require.Empty(t, ibans(body))
		require.NotContains(t, body, "amount")
	}
}
