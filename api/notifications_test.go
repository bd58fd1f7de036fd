package api_test

import (
	"encoding/base64"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestNotifications(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	access := u.access()
	account := u.accounts(access, "DE67900900424711951500")[0]
	require.Empty(t, u.do("GET", "/rest/notifications", nil).expect(http.StatusOK).at("notifications"))

	made := u.do("POST", "/rest/notifications", map[string]any{"observe_key": "/rest/accounts/" + strings.ToUpper(account) + "/balance",
		"notify_uri": "https://receiver.example/hook?token=t0ken", "state": "my words"}).expect(http.StatusCreated).body
	path := "/rest/notifications/" + made["notification_id"].(string)
	secret := made["secret"].(string)
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	require.NoError(t, err)
	require.Len(t, key, 32)
	delete(made, "secret")
	require.Equal(t, map[string]any{"notification_id": made["notification_id"], "observe_key": "/rest/accounts/" + account + "/balance",
		"notify_uri": "https://receiver.example/hook?token=t0ken", "state": "my words"}, made)
	require.Equal(t, made, u.do("GET", path, nil).expect(http.StatusOK).body, "the secret is shown once")
	require.Equal(t, []any{made}, u.do("GET", "/rest/notifications", nil).expect(http.StatusOK).at("notifications"))

	made["state"], made["observe_key"], made["notify_uri"] = "others", "/rest/transactions", "https://other.example"
	require.Equal(t, made, u.do("PUT", path, map[string]any{"state": "others", "observe_key": "/rest/transactions", "notify_uri": "https://other.example"}).
		expect(http.StatusOK).body)
	rotated := u.do("PUT", path, map[string]any{"rotate_secret": true}).expect(http.StatusOK).body
	require.NotEqual(t, secret, rotated["secret"])
	require.Len(t, rotated["secret"], len(secret))
	delete(rotated, "secret")
	require.Equal(t, made, rotated)
	require.Equal(t, made, u.do("GET", path, nil).expect(http.StatusOK).body)

	for range 9 {
		u.do("PUT", path, map[string]any{"rotate_secret": true}).expect(http.StatusOK)
	}
	u.do("PUT", path, map[string]any{"rotate_secret": true, "state": "lost"}).fails(http.StatusConflict, 1006)
	require.Equal(t, made, u.do("GET", path, nil).expect(http.StatusOK).body)

	u.do("DELETE", path, nil).expect(http.StatusNoContent)
	u.do("GET", path, nil).fails(http.StatusNotFound, 1002)
	u.do("DELETE", path, nil).fails(http.StatusNotFound, 1002)

	var columns string
	require.NoError(t, w.store.DB.Raw(`SELECT coalesce(string_agg(n::text, ''), '') FROM notifications n`).Row().Scan(&columns))
	require.NotContains(t, columns, "t0ken")
	require.NotContains(t, w.log.String(), "t0ken")
}

// What is observed has to be within the token's scope, or it would tell what reading refuses.
func TestNotificationScopes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.tenant()
	u := c.user()
	access := u.access()
	account := u.accounts(access, "DE67900900424711951500")[0]
	observe := func(key string) *reply {
		return u.do("POST", "/rest/notifications", map[string]any{"observe_key": key, "notify_uri": "https://receiver.example"})
	}
	narrow := func(scope string) {
		u.token = c.call("POST", "/auth/token", c.authorization(), map[string]any{"grant_type": "client_credentials", "user_id": u.id, "scope": scope}).
			expect(http.StatusOK).body["access_token"].(string)
	}
	keys := map[string]string{"/rest/transactions": "transactions=ro", "/rest/accounts/" + account + "/transactions": "transactions=ro",
		"/rest/accounts/" + account + "/balance": "balance=ro", "/rest/syncs": "", "/rest/accesses": "", "/rest/accesses/" + access: ""}
	narrow("accesses=rw")
	for key, scope := range keys {
		if scope == "" {
			observe(key).expect(http.StatusCreated)
		} else {
			observe(key).fails(http.StatusForbidden, 1007)
		}
	}
	for key, scope := range keys {
		narrow("accesses=rw " + scope)
		path := "/rest/notifications/" + observe(key).expect(http.StatusCreated).body["notification_id"].(string)
		if scope != "" { // nor is another one turned to somebody else
			narrow("accesses=rw")
			u.do("PUT", path, map[string]any{"notify_uri": "https://other.example"}).fails(http.StatusForbidden, 1007)
			u.do("PUT", path, map[string]any{"observe_key": "/rest/syncs", "notify_uri": "https://other.example"}).fails(http.StatusForbidden, 1007)
		}
	}
	narrow("transactions=ro")
	observe("/rest/transactions").fails(http.StatusForbidden, 1007)
	u.do("GET", "/rest/notifications", nil).fails(http.StatusForbidden, 1007)
}

func TestNotificationsThatCannotBe(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	access := u.access()
	for _, key := range []string{"/rest/accounts", "/rest/transactions/", "/rest/transactions?x=1", "rest/transactions", "/rest/accounts/1/balance",
		"/rest/accesses/" + access + "/syncs", "/rest/accesses/" + access + "/", "/rest/syncs/" + access, "/rest/accesses/{" + access + "}", "/rest/accesses/%s", "//" + access + "/"} {
		r := u.do("POST", "/rest/notifications", map[string]any{"observe_key": key, "notify_uri": "https://receiver.example"})
		r.fails(http.StatusBadRequest, 1000, "observe_key")
		require.Contains(t, string(r.raw), "/rest/accounts/{id}/transactions", "it says what there is")
	}
	for _, uri := range []string{"http://receiver.example", "http://127.0.0.1:80", "https://localhost", "https://127.0.0.1", "https://10.0.0.1", "https://[::1]",
		"https://[fd00::1]", "https://169.254.169.254/latest", "https://user:pass@receiver.example", "https://receiver.example/#x", "ftp://receiver.example",
		"https:receiver.example", "https://", "receiver.example", "https://receiver.example/a b", "https://receiver.example/" + strings.Repeat("x", 2048)} {
		u.do("POST", "/rest/notifications", map[string]any{"observe_key": "/rest/transactions", "notify_uri": uri}).fails(http.StatusBadRequest, 1000, "notify_uri")
	}
	u.do("POST", "/rest/notifications", map[string]any{}).fails(http.StatusBadRequest, 1000, "observe_key", "notify_uri")
	path := "/rest/notifications/" + u.do("POST", "/rest/notifications", map[string]any{"observe_key": "/rest/syncs", "notify_uri": "https://receiver.example"}).
		expect(http.StatusCreated).body["notification_id"].(string)
	u.do("PUT", path, map[string]any{"notify_uri": "https://192.168.0.1", "observe_key": "x"}).fails(http.StatusBadRequest, 1000, "notify_uri", "observe_key")
	require.Equal(t, "https://receiver.example", u.do("GET", path, nil).body["notify_uri"])
}
