package api_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/models"
)

func TestAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	path := u.sync(u.access())
	sync := idOf(path)

	methods := []banks.AuthMethod{{ID: "901", Type: "SMS_OTP", MediumName: "Mobile", AdditionalInfo: map[string]string{"hint": "…42"}}, {ID: "902", Type: "CHIP_OTP"}}
	selection, _ := w.ask(sync, banks.Challenge{Type: banks.MethodSelection, AuthMethods: methods})
	answer := func(challenge string, body any) *reply {
		return u.do("POST", path+"/challenges/"+challenge+"/response", body)
	}

	answer(selection, nil).fails(http.StatusBadRequest, 1000, "method_id")
	answer(selection, map[string]any{"value": "111111"}).fails(http.StatusBadRequest, 1000, "value", "method_id")
	answer(selection, map[string]any{"method_id": "903"}).fails(http.StatusBadRequest, 1000, "method_id")
	answer(selection, map[string]any{"method_id": "901", "tan": "1"}).fails(http.StatusBadRequest, 1000, "tan")
	r := answer(selection, map[string]any{"method_id": "901"}).expect(http.StatusOK)
	require.JSONEq(t, `{}`, string(r.raw))
	answer(selection, map[string]any{"method_id": "901"}).expect(http.StatusOK)
	answer(selection, map[string]any{"method_id": "902"}).fails(http.StatusConflict, 1006)
	w.worker(sync, func(b *models.BankSession, tx *gorm.DB) error { return b.Resume(tx, uuid.MustParse(selection)) })
	answer(selection, map[string]any{"method_id": "901"}).expect(http.StatusOK) // the same answer, late
	answer(selection, map[string]any{"method_id": "902"}).fails(http.StatusConflict, 1006)

	tan, _ := w.ask(sync, banks.Challenge{Type: banks.Embedded, Format: banks.FormatText, Data: "TAN please", Label: "TAN"})
	answer(tan, map[string]any{"method_id": "901"}).fails(http.StatusBadRequest, 1000, "value", "method_id")
	answer(tan, map[string]any{"value": ""}).fails(http.StatusBadRequest, 1000, "value")
	answer(tan, map[string]any{"value": 111111}).fails(http.StatusBadRequest, 1000, "value")
	answer(tan, map[string]any{"value": "111111"}).expect(http.StatusOK)
	stored, err := w.store.Answer(t.Context(), uuid.MustParse(tan))
	require.NoError(t, err)
	require.Equal(t, "111111", stored.Value)
	w.worker(sync, func(b *models.BankSession, tx *gorm.DB) error { return b.Resume(tx, uuid.MustParse(tan)) })

	phone, _ := w.ask(sync, banks.Challenge{Type: banks.Decoupled, Message: "Look at your phone"})
	answer(phone, map[string]any{"value": "x"}).fails(http.StatusBadRequest, 1000)

	list := u.do("GET", path+"/challenges", nil).expect(http.StatusOK).list
	require.Len(t, list, 3)
	require.Equal(t, selection, list[0].(map[string]any)["id"])
	one := u.do("GET", path+"/challenges/"+selection, nil).expect(http.StatusOK)
	require.Equal(t, list[0], any(one.body))
	require.Len(t, one.body["auth_methods"], 2)
	access := u.do("GET", strings.Split(path, "/syncs/")[0], nil).expect(http.StatusOK)
	require.Len(t, access.body["auth_methods"], 2)

	_, err = w.store.End(t.Context(), uuid.MustParse(sync), 30005)
	require.NoError(t, err)
	answer(phone, map[string]any{"value": "x"}).fails(http.StatusBadRequest, 1000)
}

// Nobody waits any more: a late answer changes nothing.
func TestAnswerAfterTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	path := u.sync(u.access())
	tan, _ := w.ask(idOf(path), banks.Challenge{Type: banks.Embedded, Format: banks.FormatText, Data: "TAN please", Label: "TAN"})
	_, err := w.store.End(t.Context(), uuid.MustParse(idOf(path)), 30005)
	require.NoError(t, err)
	u.do("POST", path+"/challenges/"+tan+"/response", map[string]any{"value": "111111"}).fails(http.StatusConflict, 1006)
	_, err = w.store.Answer(t.Context(), uuid.MustParse(tan))
	require.ErrorIs(t, err, models.ErrNotFound)
}

func TestReturnFromTheBank(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	redirected := func(body map[string]any) (sync, challenge, state string) {
		body["credentials"] = map[string]string{"pin": "12345"}
		access := u.access()
		sync = u.do("POST", "/rest/accesses/"+access+"/syncs", body).expect(http.StatusCreated).body["id"].(string)
		challenge, state = w.ask(sync, banks.Challenge{Type: banks.RedirectTo, Location: "https://bank.example/sca"})
		r := u.do("GET", "/rest/accesses/"+access+"/syncs/"+sync, nil).expect(http.StatusOK)
		require.Equal(t, "https://bank.example/sca", r.at("challenge", "location"))
		return sync, challenge, state
	}
	back := func(query url.Values) *reply { return w.call("GET", "/callback/redirect?"+query.Encode(), "", nil) }

	_, challenge, state := redirected(map[string]any{"redirect_uri": "https://app.example/back?tab=1", "state": "a&b=c"})
	r := back(url.Values{"state": {state}, "code": {"oauth-code"}}).expect(http.StatusFound)
	require.Equal(t, "https://app.example/back?tab=1&state=a%26b%3Dc&success=true", r.header.Get("Location"))
	require.Equal(t, "no-referrer", r.header.Get("Referrer-Policy"))
	answer, err := w.store.Answer(t.Context(), uuid.MustParse(challenge))
	require.NoError(t, err)
	require.Equal(t, map[string]string{"code": "oauth-code"}, answer.Query)
	back(url.Values{"state": {state}, "code": {"stolen-code"}}).expect(http.StatusFound)
	answer, err = w.store.Answer(t.Context(), uuid.MustParse(challenge))
	require.NoError(t, err)
	require.Equal(t, "oauth-code", answer.Query["code"], "only the first return counts")

	_, _, state = redirected(map[string]any{"redirect_uri": "com.example.app:/back"})
	r = back(url.Values{"state": {state}, "error": {"access_denied"}}).expect(http.StatusFound)
	require.Equal(t, "com.example.app:/back?success=false", r.header.Get("Location"))

	_, _, state = redirected(map[string]any{})
	r = back(url.Values{"state": {state}}).expect(http.StatusOK)
	require.Contains(t, string(r.raw), "You can close this window")

	sync, _, state := redirected(map[string]any{"redirect_uri": "https://app.example/back", "state": "s"})
	_, err = w.store.End(t.Context(), uuid.MustParse(sync), 30005)
	require.NoError(t, err)
	r = back(url.Values{"state": {state}, "code": {"late"}}).expect(http.StatusFound)
	require.Equal(t, "https://app.example/back?state=s&success=false", r.header.Get("Location"))

	for _, wrong := range []string{"", "state=", "state=unknown", "state=%00", "state=" + strings.Repeat("x", 5000), "%zz", "code=1"} {
		r = w.call("GET", "/callback/redirect?"+wrong, "", nil).expect(http.StatusNotFound)
		require.Contains(t, r.header.Get("Content-Type"), "text/html")
	}
	require.NotContains(t, w.log.String(), "oauth-code")
	require.NotContains(t, w.log.String(), state)
}
