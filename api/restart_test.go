package api_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/models"
)

var textChallenge = banks.Challenge{Type: banks.Embedded, Format: banks.FormatText, Data: "TAN please", Label: "TAN"}

// A restart closes the challenge at once, whoever else is just answering it.
func TestRestart(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	tenant := w.tenant()
	u := tenant.user()
	path := u.sync(u.access())
	sync := idOf(path)
	first, _ := w.ask(sync, textChallenge)
	restart := func(challenge string, body any) *reply {
		return u.do("POST", path+"/challenges/"+challenge+"/restart", body)
	}

	for name, body := range map[string]any{"choose_method": map[string]any{"choose_method": "yes"}, "method": map[string]any{"method": "sms"}, "body": "[]"} {
		restart(first, body).fails(http.StatusBadRequest, 1000, name)
	}
	restart(models.NewID().String(), nil).fails(http.StatusNotFound, 1002)
	tenant.user().do("POST", path+"/challenges/"+first+"/restart", nil).fails(http.StatusNotFound, 1002)
	require.Equal(t, "AWAIT_AUTH", u.do("GET", path, nil).at("status"))

	r := restart(first, nil).expect(http.StatusOK)
	require.JSONEq(t, `{}`, string(r.raw))
	now := u.do("GET", path, nil)
	require.Equal(t, "RUNNING", now.at("status"))
	require.NotContains(t, now.body, "challenge")
	require.NotContains(t, now.body, "expires_at")
	restart(first, map[string]any{"choose_method": false}).expect(http.StatusOK) // the same
	flows := `UPDATE access_methods SET customer_authentication_flows = ?::text[] WHERE id = ?`
	var stored string
	require.NoError(t, w.store.DB.Raw(`SELECT customer_authentication_flows::text FROM access_methods WHERE id = ?`, methodID).Scan(&stored).Error)
	require.NoError(t, w.store.DB.Exec(flows, `{REDIRECT}`, methodID).Error)
	restart(first, map[string]any{"choose_method": true}).fails(http.StatusBadRequest, 1000, "choose_method")
	require.NoError(t, w.store.DB.Exec(flows, stored, methodID).Error)
	restart(first, map[string]any{"choose_method": true}).fails(http.StatusConflict, 1006)
	u.do("POST", path+"/challenges/"+first+"/response", map[string]any{"value": "111111"}).fails(http.StatusConflict, 1006)
	lost, err := w.store.LostRestarts(t.Context(), w.store.Now().Add(time.Second), 10)
	require.NoError(t, err)
	require.Equal(t, []models.AnswerRef{{SyncID: uuid.MustParse(sync), ChallengeID: uuid.MustParse(first)}}, lost)
	w.worker(sync, func(b *models.BankSession, tx *gorm.DB) error { return b.Restart(tx, uuid.MustParse(first)) })
	lost, err = w.store.LostRestarts(t.Context(), w.store.Now().Add(time.Second), 10)
	require.NoError(t, err)
	require.Empty(t, lost)

	second, _ := w.ask(sync, textChallenge)
	require.Equal(t, second, u.do("GET", path, nil).at("challenge", "id"))
	r = restart(second, nil).fails(http.StatusTooManyRequests, 1020, "retry_at")
	require.NotEmpty(t, r.header.Get("Retry-After"))
	restart(first, nil).expect(http.StatusOK)
	require.Equal(t, second, u.do("GET", path, nil).at("challenge", "id"), "the second click changed nothing")

	u.do("POST", path+"/challenges/"+second+"/response", map[string]any{"value": "111111"}).expect(http.StatusOK)
	require.NoError(t, w.store.DB.Exec(`UPDATE challenges SET restarted_at = restarted_at - interval '1 minute'`).Error)
	restart(second, nil).fails(http.StatusConflict, 1006) // its answer is on its way
	_, err = w.store.End(t.Context(), uuid.MustParse(sync), 30007)
	require.NoError(t, err)
	restart(second, nil).fails(http.StatusConflict, 1006)
}

// Of an answer and a restart at the same moment, one counts.
func TestRestartBesideAnAnswer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	for range 10 {
		path := u.sync(u.access())
		id, _ := w.ask(idOf(path), textChallenge)
		answers := make(chan int, 2)
		go func() {
			answers <- u.do("POST", path+"/challenges/"+id+"/response", map[string]any{"value": "111111"}).status
		}()
		go func() { answers <- u.do("POST", path+"/challenges/"+id+"/restart", map[string]any{}).status }()
		require.ElementsMatch(t, []int{http.StatusOK, http.StatusConflict}, []int{<-answers, <-answers})
	}
}

// Nobody waits any more, or not for this.
func TestRestartTooLate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	asked := func() (path, challenge string) {
		path = u.sync(u.access())
		challenge, _ = w.ask(idOf(path), textChallenge)
		return path, path + "/challenges/" + challenge + "/restart"
	}
	path, restart := asked()
	require.NoError(t, w.store.RequestCancel(t.Context(), uuid.MustParse(idOf(path))))
	u.do("POST", restart, nil).fails(http.StatusConflict, 1006)
	_, restart = asked()
	require.NoError(t, w.store.DB.Exec(`UPDATE challenges SET expires_at = now() - interval '1 second'`).Error)
	u.do("POST", restart, nil).fails(http.StatusConflict, 1006)
}

// A late return from the former page counts for nothing, and the next page has another state.
func TestRestartOfARedirect(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	path := u.sync(u.access())
	page := banks.Challenge{Type: banks.RedirectTo, Location: "https://bank.example/sca"}
	id, state := w.ask(idOf(path), page)
	u.do("POST", path+"/challenges/"+id+"/restart", nil).expect(http.StatusOK)
	w.worker(idOf(path), func(b *models.BankSession, tx *gorm.DB) error { return b.Restart(tx, uuid.MustParse(id)) })
	second, another := w.ask(idOf(path), page)
	require.NotEqual(t, state, another)
	r := w.call("GET", "/callback/redirect?state="+state+"&code=late", "", nil)
	require.Less(t, r.status, 400)
	_, err := w.store.Answer(t.Context(), uuid.MustParse(second))
	require.ErrorIs(t, err, models.ErrNotFound)
	_, err = w.store.Answer(t.Context(), uuid.MustParse(id))
	require.ErrorIs(t, err, models.ErrNotFound)
}

// What a synchronization asks for is checked before it is stored.
func TestChoiceAndPeriodAreChecked(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	access := u.access()
	path := "/rest/accesses/" + access + "/syncs"
	for _, days := range []any{0, -30, 3651, 1e12, 30.5, "30", true, []int{30}} {
		u.do("POST", path, map[string]any{"sync_period": days}).fails(http.StatusBadRequest, 1000, "sync_period")
	}
	u.do("POST", path, map[string]any{"choose_method": 1}).fails(http.StatusBadRequest, 1000, "choose_method")
	pin := map[string]string{"pin": "12345"}
	key := "one-key"
	body := map[string]any{"credentials": pin, "sync_period": 365}
	first := u.do("POST", path, body, "Idempotency-Key", key).expect(http.StatusCreated).body["id"]
	require.Equal(t, first, u.do("POST", path, body, "Idempotency-Key", key).expect(http.StatusCreated).body["id"])
	body["sync_period"] = 366
	u.do("POST", path, body, "Idempotency-Key", key).fails(http.StatusBadRequest, 1000, "Idempotency-Key")
	y, err := w.store.Synchronization(t.Context(), uuid.MustParse(first.(string)))
	require.NoError(t, err)
	require.Equal(t, 365, *y.SyncPeriod)
	require.Nil(t, y.ChooseMethod)
	_, err = w.store.End(t.Context(), y.ID, 30007)
	require.NoError(t, err)

	chosen := u.do("POST", path, map[string]any{"credentials": pin, "choose_method": true}).expect(http.StatusCreated).body["id"].(string)
	y, err = w.store.Synchronization(t.Context(), uuid.MustParse(chosen))
	require.NoError(t, err)
	require.Equal(t, chosen, y.ChooseMethod.String())
	require.True(t, y.RenewConsent, "a method is chosen for the authorisation of a consent")
	_, err = w.store.End(t.Context(), y.ID, 30007)
	require.NoError(t, err)

	flows := func(flows string) {
		require.NoError(t, w.store.DB.Exec(`UPDATE access_methods SET customer_authentication_flows = ?::text[] WHERE id = ?`, flows, methodID).Error)
	}
	flows(`{REDIRECT}`)
	u.do("POST", path, map[string]any{"credentials": pin, "choose_method": true}).fails(http.StatusBadRequest, 1000, "choose_method")
	flows(`{REDIRECT,DECOUPLED}`)
	u.do("POST", path, map[string]any{"credentials": pin, "choose_method": true}).expect(http.StatusCreated)
}
