package api_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/kontoflow/kontoflow/api"
)

// Nothing of the contract is open to callers who do not say who they are, or say it wrongly.
func TestEveryOperationNeedsAuthorization(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	document, err := openapi3.NewLoader().LoadFromData(api.Specification)
	require.NoError(t, err)
	require.NoError(t, document.Validate(t.Context()))
	operations := 0
	for path, item := range document.Paths.Map() {
		for method, operation := range item.Operations() {
			operations++
			_, client := (*operation.Security)[0]["client"]
			path := strings.NewReplacer("{", "", "}", "").Replace(path)
			for _, authorization := range []string{"", "Bearer", "Bearer Awrong", "Basic !!", "Basic d3Jvbmc6d3Jvbmc=", "Bearer " + strings.Repeat("A", 5000)} {
				reply := w.call(method, path, authorization, nil)
				if client {
					reply.fails(http.StatusUnauthorized, 1004)
					require.Contains(t, reply.header.Get("WWW-Authenticate"), "Basic")
				} else {
					reply.fails(http.StatusUnauthorized, 1003)
					require.Contains(t, reply.header.Get("WWW-Authenticate"), "Bearer")
				}
			}
		}
	}
	require.Greater(t, operations, 30)
}

func TestClientNeedsItsOwnSecret(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b := w.tenant(), w.tenant()
	mixed := &tenant{w, a.id, b.secret}
	w.call("GET", "/catalog", mixed.authorization(), nil).fails(http.StatusUnauthorized, 1004)
	w.call("GET", "/catalog", a.authorization(), nil).expect(http.StatusOK)
}

func TestTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	token := func(body any) *reply { return u.call("POST", "/auth/token", u.authorization(), body) }
	works := func(token any) bool {
		return u.call("GET", "/rest/user", "Bearer "+token.(string), nil).status == http.StatusOK
	}

	t.Run("a password gives tokens for everything, as JSON and as a form", func(t *testing.T) {
		for _, body := range []any{
			map[string]any{"grant_type": "password", "username": strings.ToUpper(u.email), "password": password, "device_name": "phone", "device_udid": 7},
			url.Values{"grant_type": {"password"}, "username": {u.email}, "password": {password}, "device_type": {"iOS"}},
		} {
			r := token(body).expect(http.StatusOK)
			require.Equal(t, "accounts=ro balance=ro transactions=ro accesses=rw user=rw offline", r.body["scope"])
			require.Equal(t, "Bearer", r.body["token_type"])
			require.True(t, works(r.body["access_token"]))
		}
	})
	t.Run("a refresh token works once, and its second use ends the whole family", func(t *testing.T) {
		first := token(map[string]any{"grant_type": "password", "username": u.email, "password": password}).expect(http.StatusOK)
		second := token(map[string]any{"grant_type": "refresh_token", "refresh_token": first.body["refresh_token"]}).expect(http.StatusOK)
		require.True(t, works(second.body["access_token"]))
		token(map[string]any{"grant_type": "refresh_token", "refresh_token": first.body["refresh_token"]}).fails(http.StatusUnauthorized, 1003)
		require.False(t, works(first.body["access_token"]))
		require.False(t, works(second.body["access_token"]))
		token(map[string]any{"grant_type": "refresh_token", "refresh_token": second.body["refresh_token"]}).fails(http.StatusUnauthorized, 1003)
		require.True(t, works(u.token), "another family lives on")
	})
	t.Run("two uses of a refresh token at once: one wins, and the family ends", func(t *testing.T) {
		first := token(map[string]any{"grant_type": "password", "username": u.email, "password": password}).expect(http.StatusOK)
		statuses := make(chan int, 2)
		for range 2 {
			go func() {
				statuses <- token(map[string]any{"grant_type": "refresh_token", "refresh_token": first.body["refresh_token"]}).status
			}()
		}
		require.ElementsMatch(t, []int{http.StatusOK, http.StatusUnauthorized}, []int{<-statuses, <-statuses})
		require.False(t, works(first.body["access_token"]))
	})
	t.Run("a scope only narrows", func(t *testing.T) {
		narrow := token(map[string]any{"grant_type": "client_credentials", "user_id": u.id, "scope": "accounts=ro offline payments=rw"}).expect(http.StatusOK)
		require.Equal(t, "accounts=ro offline", narrow.body["scope"])
		refreshed := token(map[string]any{"grant_type": "refresh_token", "refresh_token": narrow.body["refresh_token"]}).expect(http.StatusOK)
		require.Equal(t, "accounts=ro offline", refreshed.body["scope"])
		token(map[string]any{"grant_type": "refresh_token", "refresh_token": refreshed.body["refresh_token"], "scope": "transactions=ro"}).
			fails(http.StatusBadRequest, 1000, "scope")
		again := token(map[string]any{"grant_type": "refresh_token", "refresh_token": refreshed.body["refresh_token"], "scope": "accounts=ro"}).
			expect(http.StatusOK)
		require.NotContains(t, again.body, "refresh_token", "not without the scope offline")
		bearer := "Bearer " + again.body["access_token"].(string)
		u.call("GET", "/rest/accounts", bearer, nil).expect(http.StatusOK)
		u.call("GET", "/rest/accesses", bearer, nil).fails(http.StatusForbidden, 1007)
		u.call("GET", "/rest/transactions", bearer, nil).fails(http.StatusForbidden, 1007)
		u.call("DELETE", "/rest/accounts/x", bearer, nil).fails(http.StatusForbidden, 1007)
	})
	t.Run("revoking works at once", func(t *testing.T) {
		r := token(map[string]any{"grant_type": "client_credentials", "user_id": u.id}).expect(http.StatusOK)
		stranger := w.tenant()
		stranger.call("POST", "/auth/revoke", stranger.authorization(), map[string]any{"token": r.body["access_token"]}).expect(http.StatusOK)
		require.True(t, works(r.body["access_token"]), "another client's word does not count")
		u.call("POST", "/auth/revoke", u.authorization(), map[string]any{"token": r.body["refresh_token"]}).expect(http.StatusOK)
		require.False(t, works(r.body["access_token"]))

		r = token(map[string]any{"grant_type": "client_credentials", "user_id": u.id}).expect(http.StatusOK)
		u.call("POST", "/auth/revoke", u.authorization(), url.Values{"token": {r.body["access_token"].(string)}}).expect(http.StatusOK)
		require.False(t, works(r.body["access_token"]))
		token(map[string]any{"grant_type": "refresh_token", "refresh_token": r.body["refresh_token"]}).expect(http.StatusOK)
	})
	t.Run("an expired token does not work", func(t *testing.T) {
		r := token(map[string]any{"grant_type": "client_credentials", "user_id": u.id}).expect(http.StatusOK)
		_, err := w.store.Pool.Exec(t.Context(), `UPDATE tokens SET expires_at = now() WHERE user_id = $1`, u.id)
		require.NoError(t, err)
		require.False(t, works(r.body["access_token"]))
		token(map[string]any{"grant_type": "refresh_token", "refresh_token": r.body["refresh_token"]}).fails(http.StatusUnauthorized, 1003)
	})
	t.Run("another client's user is nobody", func(t *testing.T) {
		stranger := w.tenant()
		stranger.call("POST", "/auth/token", stranger.authorization(), map[string]any{"grant_type": "client_credentials", "user_id": u.id}).
			fails(http.StatusNotFound, 1002)
		stranger.call("POST", "/auth/token", stranger.authorization(), map[string]any{"grant_type": "password", "username": u.email, "password": password}).
			fails(http.StatusUnauthorized, 1003)
	})
}

func TestWrongPasswordsLock(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	login := func(password string) *reply {
		return u.call("POST", "/auth/token", u.authorization(), map[string]any{"grant_type": "password", "username": u.email, "password": password})
	}
	login("wrong one").fails(http.StatusUnauthorized, 1003)
	login("wrong one").fails(http.StatusUnauthorized, 1003)
	login(password).expect(http.StatusOK) // in a row: this one starts over
	for range 3 {
		login("wrong one").fails(http.StatusUnauthorized, 1003)
	}
	login(password).fails(http.StatusUnauthorized, 1010)
	login("wrong one").fails(http.StatusUnauthorized, 1010)
	u.do("PUT", "/rest/user", map[string]any{"new_password": "another one", "password": password}).fails(http.StatusUnauthorized, 1010)

	_, err := w.store.Pool.Exec(t.Context(), `UPDATE users SET locked_at = now() - interval '61 minutes' WHERE id = $1`, u.id)
	require.NoError(t, err)
	login("wrong one").fails(http.StatusUnauthorized, 1003) // one more wrong one does not lock again
	login(password).expect(http.StatusOK)
}

func TestUser(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.tenant()
	u := c.user()
	c.call("POST", "/auth/user", c.authorization(), map[string]any{"email": strings.ToUpper(u.email), "password": password}).fails(http.StatusConflict, 1001)
	other := w.tenant()
	other.call("POST", "/auth/user", other.authorization(), map[string]any{"email": u.email, "password": password, "affiliate": map[string]any{}, "send_newsletter": false}).
		expect(http.StatusCreated)

	r := u.do("GET", "/rest/user", nil).expect(http.StatusOK)
	require.Equal(t, u.id, r.body["user_id"])
	require.Equal(t, "Jane Doe", r.body["full_name"])
	r = u.do("PUT", "/rest/user", map[string]any{"full_name": "Jane Roe"}).expect(http.StatusOK)
	require.Equal(t, "Jane Roe", r.body["full_name"])
	require.Equal(t, "de", r.body["language"], "what is not named stays")
	u.do("PUT", "/rest/user", map[string]any{"email": c.user().email, "password": password}).fails(http.StatusConflict, 1001)

	elsewhere := c.call("POST", "/auth/token", c.authorization(), map[string]any{"grant_type": "client_credentials", "user_id": u.id}).expect(http.StatusOK)
	u.do("PUT", "/rest/user", map[string]any{"new_password": "a new password"}).fails(http.StatusBadRequest, 1000, "password")
	u.do("PUT", "/rest/user", map[string]any{"new_password": "a new password", "password": "wrong"}).fails(http.StatusBadRequest, 1000, "password")
	u.do("PUT", "/rest/user", map[string]any{"new_password": "a new password", "password": password}).expect(http.StatusOK)
	u.do("GET", "/rest/user", nil).expect(http.StatusOK)
	u.call("GET", "/rest/user", "Bearer "+elsewhere.body["access_token"].(string), nil).fails(http.StatusUnauthorized, 1003)
	c.call("POST", "/auth/token", c.authorization(), map[string]any{"grant_type": "password", "username": u.email, "password": password}).
		fails(http.StatusUnauthorized, 1003)

	access := u.access()
	u.sync(access)
	u.do("DELETE", "/rest/user", map[string]any{"password": "a new password"}).expect(http.StatusNoContent)
	u.do("GET", "/rest/user", nil).fails(http.StatusUnauthorized, 1003)
	c.call("POST", "/auth/token", c.authorization(), map[string]any{"grant_type": "client_credentials", "user_id": u.id}).fails(http.StatusNotFound, 1002)
	c.call("POST", "/auth/user", c.authorization(), map[string]any{"email": u.email, "password": password}).expect(http.StatusCreated)
	var secrets int
	require.NoError(t, w.store.Pool.QueryRow(t.Context(), `SELECT count(*) FROM credentials WHERE access_id = $1 AND is_secret AND sync_id IS NULL`, access).Scan(&secrets))
	require.Zero(t, secrets)
}

// silent is a Temporal that does not answer, and counts who asks.
type silent struct {
	client.Client
	asked atomic.Int32
}

func (s *silent) CancelWorkflow(ctx context.Context, _, _ string) error {
	s.asked.Add(1)
	<-ctx.Done()
	return ctx.Err()
}

// However many accesses a user has: while Temporal is down, their deletion waits for it once.
func TestUserDeletedWithoutTemporal(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	for range 3 {
		u.sync(u.access())
	}
	temporal := &silent{Client: w.temporal}
	s := api.New(api.Options{Store: w.store, Temporal: temporal, TaskQueue: "none", PublicURL: w.url})
	t.Cleanup(s.Close)
	server := httptest.NewServer(s.Handler())
	t.Cleanup(server.Close)
	w.url = server.URL
	u.do("DELETE", "/rest/user", map[string]any{"password": password}).expect(http.StatusNoContent)
	require.EqualValues(t, 1, temporal.asked.Load())
	running, err := w.store.LostCancels(t.Context(), time.Now().Add(time.Minute), 100)
	require.NoError(t, err)
	require.Len(t, running, 3, "the sweep does the rest")
}
