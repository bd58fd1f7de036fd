package api_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/rules"
)

func TestAccesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	r := u.do("POST", "/rest/accesses?embed=provider,access_method", map[string]any{"access_method_id": methodID, "save_credentials": true,
		"credentials": map[string]string{"login": "jane", "pin": "12345"},
		"consent":     map[string]any{"recurring": true, "period": 90, "scopes": []string{"ACCOUNTS", "TRANSACTIONS"}, "expires_at": "2020-01-01T00:00:00.000Z"}},
		"Accept-Language", "de-AT,de;q=0.9").expect(http.StatusCreated)
	id := r.body["id"].(string)
	require.Equal(t, bankID, r.body["provider_id"])
	require.Equal(t, "NEW", r.body["status"])
	require.Equal(t, "Sparkasse Musterstadt", r.at("provider", "name"))
	require.Equal(t, "Bitte anmelden", r.at("access_method", "advice"))
	require.JSONEq(t, `{"recurring":true,"period":90,"scopes":["ACCOUNTS","TRANSACTIONS"]}`, string(mustJSON(t, r.at("consent"))))
	require.JSONEq(t, `{"enabled":false,"reason":"USER_ACTION_REQUIRED","remaining_today":4}`, string(mustJSON(t, r.at("auto_sync"))))
	require.NotContains(t, string(r.raw), "12345")
	require.NotContains(t, string(r.raw), "xs2a.bank.example", "where the bank is, is the operator's business")

	plain := u.do("GET", "/rest/accesses/"+id, nil).expect(http.StatusOK)
	require.NotContains(t, plain.body, "provider")
	require.NotContains(t, plain.body, "access_method")
	second := u.access()
	list := u.do("GET", "/rest/accesses?embed=access_method", nil).expect(http.StatusOK).list
	require.Len(t, list, 2)
	require.Equal(t, id, list[0].(map[string]any)["id"])
	require.Contains(t, list[1], "access_method")
	require.JSONEq(t, `{"recurring":true,"scopes":["ACCOUNTS","BALANCES","TRANSACTIONS"]}`, string(mustJSON(t, list[1].(map[string]any)["consent"])))
	require.JSONEq(t, `{"enabled":false,"reason":"NO_STORED_SECRETS","remaining_today":4}`, string(mustJSON(t, list[1].(map[string]any)["auto_sync"])))
	_ = second

	r = u.do("POST", "/rest/accesses/"+id+"/remove_pin", nil).expect(http.StatusOK)
	require.Equal(t, "NO_STORED_SECRETS", r.at("auto_sync", "reason"))
	require.Equal(t, false, r.body["save_credentials"])
	stored, err := models.StoredCredentials(w.store.DB, uuid.MustParse(id))
	require.NoError(t, err)
	require.Len(t, stored, 1)
	require.Equal(t, "login", stored[0].Key)
}

func TestCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	r := u.do("POST", "/rest/accesses", map[string]any{"access_method_id": methodID, "save_credentials": true,
		"credentials": map[string]string{"login": "jane", "pin": "12345"}}).expect(http.StatusCreated)
	access := r.body["id"].(string)
	path := "/rest/accesses/" + access + "/credentials"
	until := time.Now().Add(90 * 24 * time.Hour)
	w.grant(uuid.MustParse(access), until)
	ends := until.UTC().Format("2006-01-02T15:04:05.000Z")
	require.Equal(t, ends, u.do("GET", "/rest/accesses/"+access, nil).at("consent", "expires_at"))
	_, err := w.store.Pool.Exec(t.Context(), `UPDATE accesses SET consent = NULL WHERE id = $1`, access)
	require.NoError(t, err)
	require.Equal(t, map[string]any{"recurring": true, "scopes": []any{"ACCOUNTS", "BALANCES", "TRANSACTIONS"}, "expires_at": ends},
		u.do("GET", "/rest/accesses/"+access, nil).at("consent"), "also where nobody was asked what it is to cover")

	r = u.do("GET", path, nil).expect(http.StatusOK)
	require.NotContains(t, string(r.raw), "12345")
	require.NotContains(t, string(r.raw), "jane")
	ids := make(map[any]string)
	for _, item := range r.at("credentials").([]any) {
		credential := item.(map[string]any)
		require.Equal(t, "ACTIVE", credential["status"])
		if credential["type"] == "CONSENT" {
			ids["consent"] = credential["id"].(string)
		} else {
			ids[credential["key"]] = credential["id"].(string)
		}
	}
	require.Len(t, ids, 3)

	revoke := map[string]any{"status": "REVOKED"}
	require.Equal(t, "REVOKED", u.do("PATCH", path+"/"+ids["pin"], revoke).expect(http.StatusOK).body["status"])
	u.do("PATCH", path+"/"+ids["pin"], revoke).fails(http.StatusNotFound, 1002)
	require.Equal(t, "REVOKED", u.do("PATCH", path+"/"+ids["consent"], revoke).expect(http.StatusOK).body["status"])
	u.do("PATCH", path+"/"+ids["consent"], revoke).expect(http.StatusOK)
	w.requireOwed(access)
	require.Equal(t, "NEEDS_AUTH", u.do("GET", "/rest/accesses/"+access, nil).body["status"])
	u.do("POST", "/rest/accesses/"+access+"/syncs", nil).fails(http.StatusBadRequest, 1011, "credentials.pin")
}

// grant lets the bank have granted an access something.
func (w *world) grant(access uuid.UUID, until time.Time) {
	w.t.Helper()
	y := models.Synchronization{ID: models.NewID(), AccessID: access, Status: rules.Queued, Trigger: rules.Manual, CreatedAt: time.Now()}
	require.NoError(w.t, w.store.DB.Create(&y).Error)
	session, err := w.store.OpenSession(w.t.Context(), y.ID)
	require.NoError(w.t, err)
	session.Conversation.Lasting, session.Conversation.Granted = json.RawMessage(`{}`), &banks.Grant{ValidUntil: until}
	require.NoError(w.t, session.Transact(w.t.Context(), session.Save))
	_, err = w.store.End(w.t.Context(), y.ID, 0)
	require.NoError(w.t, err)
}

// requireOwed: an access's bank is owed one revocation, and will be told.
func (w *world) requireOwed(access string) {
	w.t.Helper()
	var owed []uuid.UUID
	require.NoError(w.t, w.store.DB.Raw(`SELECT id FROM revocations WHERE access_id = ?`, access).Scan(&owed).Error)
	require.Len(w.t, owed, 1)
	_, err := w.temporal.DescribeWorkflowExecution(w.t.Context(), "revoke-"+owed[0].String(), "")
	require.NoError(w.t, err)
}

// The last word counts: what a running synchronization was to store is forgotten at its end, too, and so it is by those
// that come after it. Until then it goes on with what it was given.
func TestForgettingWhileRunning(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	for name, forget := range map[string]func(access, pin string){
		"remove_pin": func(access, pin string) {
			u.do("POST", access+"/remove_pin", nil).expect(http.StatusOK)
		},
		"the credential": func(access, pin string) {
			u.do("PATCH", access+"/credentials/"+pin, map[string]any{"status": "REVOKED"}).expect(http.StatusOK)
		},
	} {
		t.Run(name, func(t *testing.T) {
			id := u.do("POST", "/rest/accesses", map[string]any{"access_method_id": methodID, "save_credentials": true,
				"credentials": map[string]string{"login": "jane", "pin": "12345"}}).expect(http.StatusCreated).body["id"].(string)
			access := "/rest/accesses/" + id
			stored := func() map[any]string {
				ids := make(map[any]string)
				for _, item := range u.do("GET", access+"/credentials", nil).expect(http.StatusOK).at("credentials").([]any) {
					credential := item.(map[string]any)
					ids[credential["key"]] = credential["id"].(string)
				}
				return ids
			}
			sync := uuid.MustParse(idOf(u.sync(id))) // save_secrets: as save_credentials says
			forget(access, stored()["pin"])
			session, err := w.store.OpenSession(t.Context(), sync)
			require.NoError(t, err)
			require.Equal(t, "12345", session.Conversation.Credentials["pin"])
			_, err = w.store.End(t.Context(), sync, 0)
			require.NoError(t, err)
			require.Contains(t, stored(), "login")
			require.NotContains(t, stored(), "pin")

			_, err = w.store.End(t.Context(), uuid.MustParse(idOf(u.sync(id))), 30005)
			require.NoError(t, err)
			require.NotContains(t, stored(), "pin", "nobody said that it be stored again")
		})
	}
}

// A start that meets the forgetting of the secrets that it relies on is refused, as one that comes after it is.
func TestForgettingMeetsTheStart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	id := u.do("POST", "/rest/accesses", map[string]any{"access_method_id": methodID, "save_credentials": true,
		"credentials": map[string]string{"login": "jane", "pin": "12345"}}).expect(http.StatusCreated).body["id"].(string)
	started := make(chan *reply, 1)
	require.NoError(t, w.store.Transact(t.Context(), func(tx *gorm.DB) error {
		if err := models.ForgetSecrets(tx, uuid.MustParse(id)); err != nil {
			return err
		}
		go func() { started <- u.do("POST", "/rest/accesses/"+id+"/syncs", nil) }()
		require.Eventually(t, func() bool {
			var waits bool
			err := w.store.DB.Raw(`SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&waits).Error
			return err == nil && waits || len(started) > 0
		}, time.Minute, 10*time.Millisecond)
		return nil
	}))
	(<-started).fails(http.StatusBadRequest, 1011, "credentials.pin")
}
