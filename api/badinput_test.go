package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Every malformed thing gets an error that names the field, and changes nothing.
func TestBadInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.tenant()
	u := c.user()
	access := u.access()
	syncs := "/rest/accesses/" + access + "/syncs"
	client, bearer := c.authorization(), "Bearer "+u.token
	long := strings.Repeat("x", 5000)

	for name, k := range map[string]struct {
		method, path, authorization string
		body                        any
		status, code                int
		fields                      []string
	}{
		"not JSON":                {"POST", "/auth/user", client, `{"email":`, 400, 1000, []string{"body"}},
		"text behind the JSON":    {"POST", "/auth/user", client, `{"email":"a@b","password":"12345678"} x`, 400, 1000, []string{"body"}},
		"two values":              {"POST", "/auth/user", client, `{}{}`, 400, 1000, []string{"body"}},
		"an array":                {"POST", "/auth/user", client, `[]`, 400, 1000, []string{"body"}},
		"null":                    {"POST", "/auth/user", client, `null`, 400, 1000, []string{"body"}},
		"a number":                {"POST", "/auth/user", client, `1e999`, 400, 1000, []string{"body"}},
		"not UTF-8":               {"POST", "/auth/user", client, "{\"email\":\"a@b\xff\"}", 400, 1000, []string{"body"}},
		"deep":                    {"POST", "/auth/user", client, strings.Repeat("[", 60_000), 400, 1000, []string{"body"}},
		"empty":                   {"POST", "/auth/user", client, ``, 400, 1000, []string{"email", "password"}},
		"nothing required":        {"POST", "/auth/user", client, `{}`, 400, 1000, []string{"email", "password"}},
		"all wrong at once":       {"POST", "/auth/user", client, `{"email":"nobody","password":"short","full_name":"","language":"german","age":7}`, 400, 1000, []string{"email", "password", "full_name", "language", "age"}},
		"null field":              {"POST", "/auth/user", client, `{"email":null,"password":"12345678"}`, 400, 1000, []string{"email"}},
		"wrong type":              {"POST", "/auth/user", client, `{"email":7,"password":{}}`, 400, 1000, []string{"email", "password"}},
		"NUL":                     {"POST", "/auth/user", client, `{"email":"a@b","password":"12345678","full_name":"J\u0000"}`, 400, 1000, []string{"full_name"}},
		"long email":              {"POST", "/auth/user", client, `{"email":"a@` + long + `","password":"12345678"}`, 400, 1000, []string{"email"}},
		"unknown field, long":     {"POST", "/auth/user", client, `{"email":"a@b","password":"12345678","` + long + `":1}`, 400, 1000, nil},
		"field in other case":     {"POST", "/auth/user", client, `{"Email":"a@b","password":"12345678"}`, 400, 1000, []string{"Email", "email"}},
		"no grant type":           {"POST", "/auth/token", client, `{}`, 400, 1000, []string{"grant_type"}},
		"unknown grant type":      {"POST", "/auth/token", client, `{"grant_type":"magic"}`, 400, 1000, []string{"grant_type"}},
		"password without name":   {"POST", "/auth/token", client, `{"grant_type":"password","password":"x"}`, 400, 1000, []string{"username"}},
		"name without password":   {"POST", "/auth/token", client, `{"grant_type":"password","username":"x"}`, 400, 1000, []string{"password"}},
		"no refresh token":        {"POST", "/auth/token", client, `{"grant_type":"refresh_token"}`, 400, 1000, []string{"refresh_token"}},
		"no user":                 {"POST", "/auth/token", client, `{"grant_type":"client_credentials"}`, 400, 1000, []string{"user_id"}},
		"unknown user":            {"POST", "/auth/token", client, `{"grant_type":"client_credentials","user_id":"U0"}`, 404, 1002, nil},
		"unknown scope":           {"POST", "/auth/token", client, `{"grant_type":"client_credentials","user_id":"U0","scope":"everything"}`, 400, 1000, []string{"scope"}},
		"nothing to revoke":       {"POST", "/auth/revoke", client, `{}`, 400, 1000, []string{"token"}},
		"change by typing error":  {"PUT", "/rest/user", bearer, `{"ful_name":"x"}`, 400, 1000, []string{"ful_name"}},
		"no method":               {"POST", "/rest/accesses", bearer, `{}`, 400, 1000, []string{"access_method_id"}},
		"malformed method":        {"POST", "/rest/accesses", bearer, `{"access_method_id":"x"}`, 404, 1002, nil},
		"unknown method":          {"POST", "/rest/accesses", bearer, `{"access_method_id":"` + access + `"}`, 404, 1002, nil},
		"unsupported method":      {"POST", "/rest/accesses", bearer, `{"access_method_id":"` + scrapingID + `"}`, 400, 1000, []string{"access_method_id"}},
		"no credentials":          {"POST", "/rest/accesses", bearer, `{"access_method_id":"` + methodID + `"}`, 400, 1011, []string{"credentials.login"}},
		"bad credentials":         {"POST", "/rest/accesses", bearer, `{"access_method_id":"` + methodID + `","credentials":{"login":"ab","pin":"123","branch":"","iban":"x"}}`, 400, 1011, []string{"credentials.login", "credentials.pin", "credentials.branch", "credentials.iban"}},
		"long login":              {"POST", "/rest/accesses", bearer, `{"access_method_id":"` + methodID + `","credentials":{"login":"` + strings.Repeat("ü", 21) + `"}}`, 400, 1011, []string{"credentials.login"}},
		"credential no text":      {"POST", "/rest/accesses", bearer, `{"access_method_id":"` + methodID + `","credentials":{"login":12345}}`, 400, 1000, []string{"credentials.login"}},
		"credentials no map":      {"POST", "/rest/accesses", bearer, `{"access_method_id":"` + methodID + `","credentials":["login"]}`, 400, 1000, []string{"credentials"}},
		"bad consent":             {"POST", "/rest/accesses", bearer, `{"access_method_id":"` + methodID + `","consent":{"period":0,"scopes":["ALL"],"accounts":[{"currency":"euro"}]}}`, 400, 1000, []string{"consent.period", "consent.scopes[0]", "consent.accounts[0].id", "consent.accounts[0].currency"}},
		"no account identifiers":  {"POST", "/rest/accesses", bearer, `{"access_method_id":"` + strictID + `"}`, 400, 1000, []string{"consent.accounts"}},
		"unknown embedding":       {"GET", "/rest/accesses?embed=provider,secrets", bearer, nil, 400, 1000, []string{"embed[1]"}},
		"misspelt save_secrets":   {"POST", syncs, bearer, `{"save_secret":true,"credentials":{"pin":"12345"}}`, 400, 1000, []string{"save_secret"}},
		"save_secrets as text":    {"POST", syncs, bearer, `{"save_secrets":"yes","credentials":{"pin":"12345"}}`, 400, 1000, []string{"save_secrets"}},
		"empty state":             {"POST", syncs, bearer, `{"state":"","credentials":{"pin":"12345"}}`, 400, 1000, []string{"state"}},
		"long state":              {"POST", syncs, bearer, `{"state":"` + strings.Repeat("s", 1025) + `","credentials":{"pin":"12345"}}`, 400, 1000, []string{"state"}},
		"empty scope":             {"POST", syncs, bearer, `{"scope":[],"credentials":{"pin":"12345"}}`, 400, 1000, []string{"scope"}},
		"unknown scope of a sync": {"POST", syncs, bearer, `{"scope":["PAYMENTS"],"credentials":{"pin":"12345"}}`, 400, 1000, []string{"scope[0]"}},
		"too long a wait":         {"GET", syncs + "/" + access + "?wait=31", bearer, nil, 400, 1000, []string{"wait"}},
		"a wait of no number":     {"GET", syncs + "/" + access + "?wait=soon", bearer, nil, 400, 1000, []string{"wait"}},
		"unknown state to wait":   {"GET", syncs + "/" + access + "?wait=1&after=QUEDED", bearer, nil, 400, 1000, []string{"after"}},
		"malformed query":         {"GET", "/rest/accesses?embed=%zz", bearer, nil, 400, 1000, []string{"query"}},
		"too many syncs":          {"GET", syncs + "?count=1001", bearer, nil, 400, 1000, []string{"count"}},
		"country of three":        {"GET", "/rest/catalog?country=DEU", bearer, nil, 400, 1000, []string{"country"}},
		"offset out of bounds":    {"GET", "/rest/catalog?offset=99999999999999999999", bearer, nil, 400, 1000, []string{"offset"}},
		"wrong method":            {"PUT", "/rest/accesses", bearer, `{}`, 405, 1000, []string{"method"}},
		"no such path":            {"GET", "/rest/payments", bearer, nil, 404, 1002, nil},
		"path with escapes":       {"GET", "/rest/accesses/%2e%2e%2fuser", bearer, nil, 404, 1002, nil},
		"path with NUL":           {"GET", "/rest/accesses/%00", bearer, nil, 404, 1002, nil},
		"account's empty name":    {"PUT", "/rest/accounts/" + access, bearer, `{"name":""}`, 400, 1000, []string{"name"}},
		"credential to be active": {"PATCH", "/rest/accesses/" + access + "/credentials/" + access, bearer, `{"status":"ACTIVE"}`, 400, 1000, []string{"status"}},
	} {
		t.Run(name, func(t *testing.T) {
			r := w.call(k.method, k.path, k.authorization, k.body)
			r.t = t
			r.fails(k.status, k.code, k.fields...)
			require.Less(t, len(r.raw), 2000)
		})
	}

	list := u.do("GET", syncs, nil).expect(http.StatusOK)
	require.Empty(t, list.at("syncs"))
	require.Len(t, u.do("GET", "/rest/accesses", nil).expect(http.StatusOK).list, 1)
	var users int
	require.NoError(t, w.store.Pool.QueryRow(t.Context(), `SELECT count(*) FROM users`).Scan(&users))
	require.Equal(t, 1, users)
}

func TestBodies(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	path := "/rest/accesses/" + u.access() + "/syncs"
	full := func(n int) string { return `{"state":"s"}` + strings.Repeat(" ", n-len(`{"state":"s"}`)) }

	u.do("POST", path, full(64<<10)).fails(http.StatusBadRequest, 1011) // it was read: only the PIN is missing
	u.do("POST", path, full(64<<10+1)).fails(http.StatusRequestEntityTooLarge, 1000, "body")
	u.do("POST", path, `{}`, "Content-Type", "text/plain").fails(http.StatusUnsupportedMediaType, 1000, "Content-Type")
	u.do("POST", path, `a=b`, "Content-Type", "application/x-www-form-urlencoded").fails(http.StatusUnsupportedMediaType, 1000, "Content-Type")
	u.do("POST", path, `{}`, "Content-Type", "application/json; charset=utf-8").fails(http.StatusBadRequest, 1011)
	u.do("POST", path, `{}`, "Content-Type", ";;").fails(http.StatusUnsupportedMediaType, 1000, "Content-Type")
	u.do("POST", path, "  \n", "Content-Type", "application/json").fails(http.StatusBadRequest, 1011)
	u.do("POST", path, nil).fails(http.StatusBadRequest, 1011)
	u.do("POST", path, nil, "PSU-IP-Address", "10.0.0.256").fails(http.StatusBadRequest, 1000, "PSU-IP-Address")
	u.do("POST", path, nil, "PSU-User-Agent", strings.Repeat("x", 1025)).fails(http.StatusBadRequest, 1000, "PSU-User-Agent")
	u.call("POST", "/auth/token", u.authorization(), "grant_type=password&grant_type=password", "Content-Type", "application/x-www-form-urlencoded").
		fails(http.StatusBadRequest, 1000, "grant_type")
	u.call("POST", "/auth/token", u.authorization(), "grant_type=password&username=%00&password=x&more=1", "Content-Type", "application/x-www-form-urlencoded").
		fails(http.StatusBadRequest, 1000, "username", "more")
	u.call("POST", "/auth/token", u.authorization(), "%zz", "Content-Type", "application/x-www-form-urlencoded").fails(http.StatusBadRequest, 1000, "body")
}

// Errors and logs name fields and routes; what was sent stays with the sender.
func TestNothingSentComesBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	const canary = "cAnArY7391"
	access := u.access()
	for _, r := range []*reply{
		u.do("POST", "/rest/accesses", `{"access_method_id":"`+methodID+`","credentials":{"login":"`+canary+canary+canary+`","pin":"c"}}`),
		u.do("POST", "/rest/accesses/"+access+"/syncs", `{"credentials":{"pin":"`+canary+`"},"redirect_uri":"http://`+canary+`/"}`),
		u.do("POST", "/rest/accesses/"+access+"/syncs", `{"credentials":{"pin":`+canary),
		u.do("GET", "/rest/transactions?filter="+canary+"&since="+canary, nil),
		u.do("GET", "/rest/accounts/"+canary, nil),
		u.do("GET", "/"+canary, nil),
		u.do("PUT", "/rest/user", `{"language":"`+canary+`","password":"`+canary+`"}`),
		u.call("POST", "/auth/token", u.authorization(), `{"grant_type":"`+canary+`","username":"`+canary+`"}`),
		u.call("GET", "/rest/user", "Bearer "+canary, nil),
		u.call(canary, "/rest/user", "Bearer "+canary, nil),
	} {
		require.GreaterOrEqual(t, r.status, 400)
		require.NotContains(t, string(r.raw), canary)
	}
	u.do("GET", "/rest/transactions?filter="+canary, nil, "X-Request-Id", "my-request-1").expect(http.StatusOK)
	require.NotContains(t, w.log.String(), canary)
	require.NotContains(t, w.log.String(), u.token)
	require.NotContains(t, w.log.String(), u.secret)
	require.Contains(t, w.log.String(), "my-request-1")
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	require.Equal(t, "mine", w.call("GET", "/health", "", nil, "X-Request-Id", "mine").header.Get("X-Request-Id"))
	for _, unfit := range []string{"", "with blank", strings.Repeat("x", 129), "ü"} {
		got := w.call("GET", "/health", "", nil, "X-Request-Id", unfit).header.Get("X-Request-Id")
		require.Len(t, got, 36, "a UUID of ours")
	}
}
