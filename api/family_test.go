package api_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/api"
)

// The scope of a token may be asked for in the family's words; it is granted in ours.
func TestScopesOfTheFamily(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	ask := func(scope string) *reply {
		return u.call("POST", "/auth/token", u.authorization(), map[string]any{"grant_type": "password", "username": u.email, "password": password, "scope": scope})
	}
	for scope, want := range map[string]string{
		"accounts=rw":                 "accounts=ro accesses=rw",
		"transactions=rw":             "transactions=ro",
		"balance=rw":                  "balance=ro",
		"accounts=rw accounts=ro":     "accounts=ro accesses=rw",
		"offline balance=ro":          "balance=ro offline",
		"payments=rw accounts=ro":     "accounts=ro",
		"\tcreate_user  balance=rw\n": "balance=ro",
		"accesses=ro transactions=ro": "transactions=ro",
		"securities=rw standing_orders=ro submit_payments categorization=rw banks=ro balance=ro": "balance=ro",
	} {
		require.Equal(t, want, ask(scope).expect(http.StatusOK).body["scope"], scope)
	}
	for _, scope := range []string{"payments=rw", "create_user", "accounts=rx", "accounts=ro Accounts=ro", "accounts=ro,balance=ro", "everything"} {
		ask(scope).fails(http.StatusBadRequest, 1000, "scope")
	}
	every := strings.Fields(ask("accounts=rw balance=rw create_user offline securities=rw transactions=rw user=rw").expect(http.StatusOK).body["scope"].(string))
	require.Subset(t, every, []string{"accounts=ro", "balance=ro", "transactions=ro", "accesses=rw", "offline"})

	narrow := ask("accounts=rw offline").expect(http.StatusOK)
	refresh := func(token any, scope string) *reply {
		body := map[string]any{"grant_type": "refresh_token", "refresh_token": token, "redirect_uri": "https://127.0.0.1/"}
		if scope != "" {
			body["scope"] = scope
		}
		return u.call("POST", "/auth/token", u.authorization(), body)
	}
	again := refresh(narrow.body["refresh_token"], "").expect(http.StatusOK)
	require.Equal(t, "accounts=ro accesses=rw offline", again.body["scope"])
	refresh(again.body["refresh_token"], "transactions=rw").fails(http.StatusBadRequest, 1000, "scope")
	again = refresh(again.body["refresh_token"], "accounts=rw transactions=rw").expect(http.StatusOK)
	require.Equal(t, "accounts=ro accesses=rw", again.body["scope"], "what the login had is the most there is")
}

// What older clients send along is known: null, too.
func TestUsersAsOlderClientsMakeThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.tenant()
	for name, row := range map[string]struct {
		body     func(email string) any
		fullName string
	}{
		"a form": {func(email string) any {
			return url.Values{"email": {email}, "password": {password}, "language": {"en"}, "full_name": {"Erika Muster & Söhne"}, "send_newsletter": {"true"}}
		}, "Erika Muster & Söhne"},
		"name": {func(email string) any {
			return map[string]any{"email": email, "password": password, "language": "de", "name": "Jane Doe"}
		}, "Jane Doe"},
		"both names": {func(email string) any {
			return map[string]any{"email": email, "password": password, "full_name": "Jane Roe", "name": "Jane Doe"}
		}, "Jane Roe"},
		"nulls": {func(email string) any {
			return map[string]any{"email": email, "password": password, "full_name": "Jane", "send_newsletter": nil, "affiliate": nil}
		}, "Jane"},
	} {
		t.Run(name, func(t *testing.T) {
			email := uuid.NewString() + "@example.com"
			c.call("POST", "/auth/user", c.authorization(), row.body(email)).expect(http.StatusCreated)
			token := c.call("POST", "/auth/token", c.authorization(), url.Values{"grant_type": {"password"}, "username": {email}, "password": {password},
				"redirect_uri": {"https://127.0.0.1/"}}).expect(http.StatusOK)
			bearer := "Bearer " + token.body["access_token"].(string)
			require.Equal(t, row.fullName, c.call("GET", "/rest/user", bearer, nil).expect(http.StatusOK).body["full_name"])
			changed := c.call("PUT", "/rest/user", bearer, map[string]any{"name": "Jane Moe", "language": "en", "send_newsletter": false}).expect(http.StatusOK)
			require.Equal(t, "Jane Moe", changed.body["full_name"])
			require.NotContains(t, changed.body, "name")
		})
	}
	c.call("POST", "/auth/user", c.authorization(), url.Values{"email": {"a@example.com", "b@example.com"}, "password": {password}}).
		fails(http.StatusBadRequest, 1000, "email")
	c.call("POST", "/auth/user", c.authorization(), url.Values{"email": {"a@example.com"}, "password": {password}, "surname": {"Doe"}}).
		fails(http.StatusBadRequest, 1000, "surname")
}

func TestPasswordLength(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.tenant()
	create := func(c *tenant, password string) *reply {
		return c.call("POST", "/auth/user", c.authorization(), map[string]any{"email": uuid.NewString() + "@example.com", "password": password})
	}
	create(c, "1234567").fails(http.StatusBadRequest, 1000, "password")
	create(c, "ääääää7").fails(http.StatusBadRequest, 1000, "password")
	create(c, "12345678").expect(http.StatusCreated)
	u := c.user()
	u.do("PUT", "/rest/user", map[string]any{"password": password, "new_password": "1234567"}).fails(http.StatusBadRequest, 1000, "new_password")

	s := api.New(api.Options{Store: w.store, Temporal: w.temporal, TaskQueue: "unused", PublicURL: w.url, PasswordLength: 5})
	t.Cleanup(s.Close)
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	lenient := *c
	lenient.world = &world{t: t, store: w.store, url: server.URL, http: w.http}
	create(&lenient, "1234").fails(http.StatusBadRequest, 1000, "password")
	create(&lenient, "12345").expect(http.StatusCreated)
	create(&lenient, "").fails(http.StatusBadRequest, 1000, "password")
}

func TestRevokeByQuery(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	stranger := w.tenant()
	path := "/auth/revoke?token=" + url.QueryEscape(u.token)
	w.call("GET", path, stranger.authorization(), nil).expect(http.StatusOK)
	u.do("GET", "/rest/accounts", nil).expect(http.StatusOK)
	w.call("GET", path, "", nil).fails(http.StatusUnauthorized, 1004)
	w.call("GET", "/auth/revoke", u.authorization(), nil).fails(http.StatusBadRequest, 1000, "token")
	w.call("GET", "/auth/revoke?token=", u.authorization(), nil).fails(http.StatusBadRequest, 1000, "token")
	require.Equal(t, "{}\n", string(w.call("GET", path, u.authorization(), nil).expect(http.StatusOK).raw))
	u.do("GET", "/rest/accounts", nil).fails(http.StatusUnauthorized, 1003)
	require.NotContains(t, w.log.String(), u.token)
}

func TestVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	for _, authorization := range []string{"", u.authorization(), "Bearer " + u.token} {
		r := w.call("GET", "/version", authorization, nil).expect(http.StatusOK)
		require.NotEmpty(t, r.body["version"], fmt.Sprint(r.body))
	}
}
