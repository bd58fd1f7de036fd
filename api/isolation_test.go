package api_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/api"
	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/models"

	"github.com/google/uuid"
)

// Nobody learns anything of another user's things, not even that they exist: neither another client's user, nor another
// user of the same client. Every operation of the contract that takes an id is tried, with ids that are somebody's,
// nobody's and no ids at all; all answers are the same, byte for byte.
func TestIsolation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.tenant()
	owner := c.user()
	access := owner.access()
	account := owner.accounts(access, "DE67900900424711951500")[0]
	transaction := w.store1(account, stored{day: "2026-01-31", amount: "1"})
	sync := owner.sync(access)
	challenge, _ := w.ask(idOf(sync), banks.Challenge{Type: banks.Embedded, Format: banks.FormatText, Data: "x", Label: "TAN"})
	credentials := owner.do("GET", "/rest/accesses/"+access+"/credentials", nil).expect(http.StatusOK).at("credentials").([]any)
	credential := credentials[0].(map[string]any)["id"].(string)
	notification := owner.do("POST", "/rest/notifications", map[string]any{"observe_key": "/rest/accesses/" + access, "notify_uri": "https://receiver.example"}).
		expect(http.StatusCreated).body["notification_id"].(string)
	own := map[string]string{"access_id": access, "sync_id": idOf(sync), "challenge_id": challenge, "account_id": account,
		"transaction_id": transaction, "credential_id": credential, "notification_id": notification}
	bodies := map[string]any{"CreateSync": map[string]any{"credentials": map[string]string{"pin": "12345"}},
		"AnswerChallenge": map[string]any{"value": "111111"}, "RevokeCredential": map[string]any{"status": "REVOKED"}, "UpdateAccount": map[string]any{"name": "x"},
		"UpdateNotification": map[string]any{"state": "x"}}

	document, err := openapi3.NewLoader().LoadFromData(api.Specification)
	require.NoError(t, err)
	strangers := []*user{c.user(), w.tenant().user()}
	var first []byte
	tried := 0
	for path, item := range document.Paths.Map() {
		if !strings.Contains(path, "{") {
			continue
		}
		for method, operation := range item.Operations() {
			for _, stranger := range strangers {
				theirs := stranger.access() // an own access around another's synchronization is no way in either
				for _, ids := range []func(name string) string{
					func(name string) string { return own[name] },
					func(string) string { return models.NewID().String() },
					func(string) string { return "no-id" },
					func(string) string { return uuid.Nil.String() },
					func(string) string { return "{" + access + "}" },
					func(name string) string {
						if name == "access_id" && strings.Count(path, "{") > 1 {
							return theirs
						}
						return own[name]
					},
				} {
					target := path
					for name := range own {
						target = strings.ReplaceAll(target, "{"+name+"}", ids(name))
					}
					r := stranger.do(method, target, bodies[operation.OperationID])
					r.fails(http.StatusNotFound, 1002)
					if first == nil {
						first = r.raw
					}
					require.Equal(t, string(first), string(r.raw), "%s %s", method, path)
					tried++
				}
			}
		}
	}
	require.Greater(t, tried, 200)
	for _, stranger := range strangers {
		for _, query := range []string{"accounts=" + account, "accounts=no-id", "since=" + transaction, "sync_id=" + idOf(sync), "sync_id=x"} {
			stranger.do("GET", "/rest/transactions?"+query, nil).fails(http.StatusNotFound, 1002)
		}
		stranger.do("GET", "/rest/accounts?access_id="+access, nil).fails(http.StatusNotFound, 1002)
		for key, path := range map[string]string{account: "/rest/accounts/%s/balance", access: "/rest/accesses/%s"} {
			stranger.do("POST", "/rest/notifications", map[string]any{"observe_key": strings.ReplaceAll(path, "%s", key), "notify_uri": "https://receiver.example"}).
				fails(http.StatusNotFound, 1002, "observe_key")
		}
		require.Empty(t, stranger.do("GET", "/rest/notifications", nil).expect(http.StatusOK).at("notifications"))
		require.Empty(t, stranger.do("GET", "/rest/accounts", nil).expect(http.StatusOK).at("accounts"))
		require.Empty(t, stranger.do("GET", "/rest/transactions", nil).expect(http.StatusOK).at("transactions"))
		r := stranger.do("GET", "/rest/transactions?include_statistics=true", nil).expect(http.StatusOK)
		require.NotContains(t, string(r.raw), transaction)
	}

	// And the owner's things are as they were.
	owner.do("GET", "/rest/accounts/"+account+"/transactions/"+transaction, nil).expect(http.StatusOK)
	require.Equal(t, "AWAIT_AUTH", owner.do("GET", sync, nil).expect(http.StatusOK).body["status"])
	require.Equal(t, "Girokonto", owner.do("GET", "/rest/accounts/"+account, nil).expect(http.StatusOK).body["name"])
	require.NotContains(t, owner.do("GET", "/rest/notifications/"+notification, nil).expect(http.StatusOK).body, "state")
	require.Equal(t, any(credentials), owner.do("GET", "/rest/accesses/"+access+"/credentials", nil).at("credentials"))
}
