package e2e_test

import (
	"net/http"
	"sort"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
)

// TestRefusalsChangeNothing: in the middle of a synchronization, with everything there that there can be, requests that
// are malformed, oversized, unknown or somebody else's fail, and no row of the database is another one afterwards.
func TestRefusalsChangeNothing(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	c := s.newCustomer()
	access := c.access("demo", "savings")
	require.Equal(t, "COMPLETED", c.sync(access)["status"])
	s.bank.RevokeConsents("savings")
	syncs := "/rest/accesses/" + access + "/syncs"
	sync := c.start(access, object{"credentials": object{"pin": password}})
	challenge := sync + "/challenges/" + c.until(sync, "")["challenge"].(object)["id"].(string)
	transaction := c.transactions()[0]
	account := "/rest/accounts/" + transaction["account_id"].(string)
	credential := "/rest/accesses/" + access + "/credentials/" + c.credentials(access)[0]["id"].(string)
	unknown := uuid.NewString()

	stranger := s.newCustomer()
	tenant, secret, err := s.store.CreateClient(t.Context(), "another")
	require.NoError(t, err)
	elsewhere := *s
	elsewhere.clientID, elsewhere.secret = tenant.ID.String(), secret
	foreigner := elsewhere.newCustomer()
	foreigner.access("demo", "demo+foreign")

	before := s.contents()
	for _, r := range []struct {
		method, path string
		body         any
		status, code int
		field        string
	}{
		{"POST", syncs, object{}, 400, 1011, "credentials.pin"},
		{"POST", syncs, object{"credentials": object{"pin": password}}, 409, 1008, "sync_id"},
		{"POST", syncs, object{"credentials": object{"pin": password}, "save_secret": true}, 400, 1000, "save_secret"},
		{"POST", syncs, object{"credentials": object{"pin": password, "password": "x"}}, 400, 1011, "credentials.password"},
		{"POST", syncs, object{"credentials": object{"pin": strings.Repeat("x", 65)}}, 400, 1011, "credentials.pin"},
		{"POST", syncs, object{"scope": []string{"BALANCES"}}, 400, 1000, "scope[0]"},
		{"POST", syncs, object{"redirect_uri": "javascript:alert(1)"}, 400, 1000, "redirect_uri"},
		{"POST", syncs, object{"redirect_uri": "http://example.org/"}, 400, 1000, "redirect_uri"},
		{"POST", syncs, object{"state": strings.Repeat("x", 2<<20)}, 413, 1000, "body"},
		{"POST", challenge + "/response", object{}, 400, 1000, "value"},
		{"POST", challenge + "/response", object{"value": ""}, 400, 1000, "value"},
		{"POST", challenge + "/response", object{"value": tan, "method_id": "sms"}, 400, 1000, "method_id"},
		{"POST", challenge + "/response", []string{tan}, 400, 1000, "body"},
		{"POST", sync + "/challenges/" + unknown + "/response", object{"value": tan}, 404, 1002, ""},
		{"POST", "/rest/accesses/" + unknown + "/syncs", object{}, 404, 1002, ""},
		{"POST", syncs + "/" + unknown + "/cancel", nil, 404, 1002, ""},
		{"DELETE", "/rest/accesses/" + unknown, nil, 404, 1002, ""},
		{"DELETE", "/rest/accounts/" + unknown, nil, 404, 1002, ""},
		{"PUT", account, object{"iban": "DE00"}, 400, 1000, "iban"},
		{"PUT", account, object{"name": ""}, 400, 1000, "name"},
		{"PATCH", credential, object{"status": "ACTIVE"}, 400, 1000, "status"},
		{"PATCH", credential, object{}, 400, 1000, "status"},
		{"PUT", "/rest/user", object{"new_password": "a new password"}, 400, 1000, "password"},
		{"POST", "/rest/accesses", object{"access_method_id": c.method("demo")}, 400, 1011, "credentials.login"},
		{"POST", "/rest/accesses", object{"access_method_id": c.method("demo"), "credentials": object{"login": "demo", "pin": 1}}, 400, 1000, "credentials.pin"},
		{"POST", "/rest/accesses", object{"access_method_id": unknown, "credentials": object{"login": "demo"}}, 404, 1002, ""},
		{"GET", account + "/transactions?count=10001", nil, 400, 1000, "count"},
		{"GET", account + "/transactions?since=yesterday", nil, 400, 1000, "since"},
		{"GET", account + "/transactions?until=2026-02-30", nil, 400, 1000, "until"},
		{"GET", account + "/transactions?min_amount=1e9", nil, 400, 1000, "min_amount"},
		{"GET", account + "/transactions?since_type=seen", nil, 400, 1000, "since_type"},
		{"GET", account + "/transactions/" + unknown, nil, 404, 1002, ""},
		{"GET", syncs + "?count=0", nil, 400, 1000, "count"},
	} {
		fields := c.refuse(r.method, r.path, r.body, r.status, r.code)
		if r.field != "" {
			require.Contains(t, fields, r.field, "%s %s", r.method, r.path)
		}
	}
	for _, other := range []*customer{stranger, foreigner} {
		for _, r := range []struct {
			method, path string
			body         any
		}{
			{"GET", "/rest/accesses/" + access, nil}, {"DELETE", "/rest/accesses/" + access, nil}, {"POST", "/rest/accesses/" + access + "/remove_pin", nil},
			{"GET", "/rest/accesses/" + access + "/credentials", nil}, {"PATCH", credential, object{"status": "REVOKED"}},
			{"GET", syncs, nil}, {"POST", syncs, object{"credentials": object{"pin": password}}}, {"GET", sync, nil}, {"GET", sync + "?wait=5", nil},
			{"GET", sync + "/events", nil}, {"POST", sync + "/cancel", nil}, {"GET", sync + "/challenges", nil}, {"GET", challenge, nil},
			{"POST", challenge + "/response", object{"value": tan}}, {"GET", account, nil}, {"PUT", account, object{"name": "mine"}}, {"DELETE", account, nil},
			{"GET", account + "/balance", nil}, {"GET", account + "/transactions", nil}, {"GET", account + "/transactions/" + transaction["transaction_id"].(string), nil},
			{"GET", "/rest/accounts?access_id=" + access, nil}, {"GET", "/rest/transactions?accounts=" + transaction["account_id"].(string), nil},
		} {
			require.Nil(t, other.refuse(r.method, r.path, r.body, 404, 1002))
		}
	}
	s.call("POST", "/auth/token", elsewhere.basic, object{"grant_type": "client_credentials", "user_id": c.id}, 404, nil)
	s.call("POST", "/auth/token", func(r *http.Request) { r.SetBasicAuth(s.clientID, "guess") }, object{"grant_type": "client_credentials", "user_id": c.id}, 401, nil)
	s.call("GET", sync, func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+c.bearer+"x") }, nil, 401, nil)
	require.Equal(t, before, s.contents())

	// All this while the customer's synchronization waited, and goes on.
	require.Equal(t, "COMPLETED", c.finish(sync)["status"])
	c.requireLedger("savings", true)
}

// contents are all tables of the database, each as the number and the hash of its rows.
func (s *stack) contents() map[string]string {
	s.t.Helper()
	var tables []string
	require.NoError(s.t, s.store.DB.Raw(`SELECT tablename FROM pg_tables WHERE schemaname = 'public'`).Scan(&tables).Error)
	sort.Strings(tables)
	contents := make(map[string]string)
	for _, table := range tables {
		var is string
		err := s.store.DB.Raw(`SELECT count(*) || ' ' || coalesce(md5(string_agg(line, '' ORDER BY line)), '') FROM (SELECT md5(x::text) AS line FROM "` + table + `" x) y`).Scan(&is).Error
		require.NoError(s.t, err)
		contents[table] = is
	}
	require.Contains(s.t, contents, "transactions")
	return contents
}
