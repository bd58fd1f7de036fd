package api_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/api"
	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/models"
)

func TestSynchronizationLifecycle(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	access := u.access()
	started := u.do("POST", "/rest/accesses/"+access+"/syncs", map[string]any{"credentials": map[string]string{"pin": "12345"}}).expect(http.StatusCreated)
	id := started.body["id"].(string)
	path := "/rest/accesses/" + access + "/syncs/" + id

	r := u.do("GET", path, nil).expect(http.StatusOK)
	require.Equal(t, started.body, r.body, "the answer to a start is the synchronization")
	require.Equal(t, "QUEUED", r.body["status"])
	require.Equal(t, "MANUAL", r.body["trigger"])
	require.Equal(t, []any{"TRANSACTIONS"}, r.body["scope"])
	require.Equal(t, access, r.body["access_id"])
	for _, absent := range []string{"started_at", "ended_at", "expires_at", "challenge", "error"} {
		require.NotContains(t, r.body, absent)
	}
	_, err := w.temporal.DescribeWorkflowExecution(t.Context(), id, "")
	require.NoError(t, err, "the workflow has the synchronization's id")

	challenge, _ := w.ask(id, banks.Challenge{Type: banks.Embedded, Format: banks.FormatText, Data: "Enter <it>", Label: "TAN"})
	r = u.do("GET", path, nil).expect(http.StatusOK)
	require.Equal(t, "AWAIT_AUTH", r.body["status"])
	require.Contains(t, r.body, "expires_at")
	shown := r.at("challenge").(map[string]any)
	require.Len(t, shown, 6, "strict clients know these keys only: %v", shown)
	require.Equal(t, map[string]any{"id": challenge, "type": "EMBEDDED", "format": "TEXT", "data": "Enter <it>", "label": "TAN", "created_at": shown["created_at"]}, shown)

	u.do("POST", path+"/challenges/"+challenge+"/response", map[string]any{"value": "111111"}).expect(http.StatusOK)
	w.worker(id, func(b *models.BankSession, tx *gorm.DB) error { return b.Resume(tx, uuid.MustParse(challenge)) })
	_, err = w.store.End(t.Context(), uuid.MustParse(id), 0)
	require.NoError(t, err)
	r = u.do("GET", path, nil).expect(http.StatusOK)
	require.Equal(t, "COMPLETED", r.body["status"])
	require.NotContains(t, r.body, "challenge")
	require.Contains(t, r.body, "ended_at")

	r = u.do("GET", "/rest/accesses/"+access+"/syncs", nil).expect(http.StatusOK)
	require.Len(t, r.body["syncs"], 1)
}

func TestOneSynchronizationAtATime(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	access := u.access()
	body := map[string]any{"credentials": map[string]string{"pin": "12345"}}

	var wait sync.WaitGroup
	replies := make([]*reply, 8)
	for i := range replies {
		wait.Go(func() { replies[i] = u.do("POST", "/rest/accesses/"+access+"/syncs", body) })
	}
	wait.Wait()
	var started string
	for _, r := range replies {
		if r.status == http.StatusCreated {
			require.Empty(t, started, "two synchronizations of one access")
			started = r.body["id"].(string)
		}
	}
	require.NotEmpty(t, started)
	for _, r := range replies {
		if r.status != http.StatusCreated {
			r.fails(http.StatusConflict, 1008, "sync_id")
			require.Equal(t, []any{started}, r.at("error", "data", "sync_id"))
		}
	}
	u.sync(u.access()) // another access is free
}

func TestIdempotencyKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	access := u.access()
	path := "/rest/accesses/" + access + "/syncs"
	start := func(key, pin, state string) *reply {
		return u.do("POST", path, map[string]any{"credentials": map[string]string{"pin": pin}, "state": state}, "Idempotency-Key", key)
	}
	var wait sync.WaitGroup
	ids := make([]any, 6)
	for i := range ids {
		wait.Go(func() { ids[i] = start("k1", "12345", "s").body["id"] })
	}
	wait.Wait()
	for _, id := range ids {
		require.Equal(t, ids[0], id)
		require.NotNil(t, id)
	}
	start("k1", "12345", "another").fails(http.StatusBadRequest, 1000, "Idempotency-Key")
	start("k2", "12345", "s").fails(http.StatusConflict, 1008)
	_, err := w.store.End(t.Context(), uuid.MustParse(ids[0].(string)), 10000)
	require.NoError(t, err)
	require.Equal(t, ids[0], start("k1", "12345", "s").expect(http.StatusCreated).body["id"])
	require.NotEqual(t, ids[0], start("k2", "12345", "s").expect(http.StatusCreated).body["id"])
	u.do("POST", path, nil, "Idempotency-Key", strings.Repeat("k", 256)).fails(http.StatusBadRequest, 1000, "Idempotency-Key")

	// Neither the body nor its hash lets anybody try PINs.
	require.Equal(t, ids[0], start("k1", "99999", "s").expect(http.StatusCreated).body["id"])
}

func TestSaveSecretsHasThreeValues(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	saved := func(access string, body map[string]any) *bool {
		body["credentials"] = map[string]string{"pin": "12345"}
		r := u.do("POST", "/rest/accesses/"+access+"/syncs", body).expect(http.StatusCreated)
		y, err := w.store.Synchronization(t.Context(), uuid.MustParse(r.body["id"].(string)))
		require.NoError(t, err)
		_, err = w.store.End(t.Context(), y.ID, 10000)
		require.NoError(t, err)
		return y.SaveSecrets
	}
	access := u.access()
	require.Nil(t, saved(access, map[string]any{}))
	require.True(t, *saved(access, map[string]any{"save_secrets": true}))
	require.False(t, *saved(access, map[string]any{"save_secrets": false}))

	r := u.do("POST", "/rest/accesses", map[string]any{"access_method_id": methodID, "save_credentials": true,
		"credentials": map[string]string{"login": "jane"}}).expect(http.StatusCreated)
	keeping := r.body["id"].(string)
	require.True(t, *saved(keeping, map[string]any{}), "save_credentials is the default")
	require.False(t, *saved(keeping, map[string]any{"save_secrets": false}))
}

func TestSynchronizationNeedsCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	access := u.access()
	path := "/rest/accesses/" + access + "/syncs"
	u.do("POST", path, nil).fails(http.StatusBadRequest, 1011, "credentials.pin")
	u.do("POST", path, map[string]any{"credentials": map[string]string{"pin": "123", "puk": "1"}}).
		fails(http.StatusBadRequest, 1011, "credentials.pin", "credentials.puk")
	r := u.do("GET", path, nil).expect(http.StatusOK)
	require.Empty(t, r.body["syncs"], "what was refused changed nothing")

	// While the bank's consent stands, nobody needs to log in again.
	require.NoError(t, w.store.DB.Create(&models.Consent{ID: models.NewID(), AccessID: uuid.MustParse(access), Status: "VALID", CreatedAt: time.Now()}).Error)
	u.do("POST", path, nil).expect(http.StatusCreated)
}

func TestPresenceOfTheUserIsSealedAndForgotten(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	r := u.do("POST", "/rest/accesses/"+u.access()+"/syncs", map[string]any{"credentials": map[string]string{"pin": "12345"}},
		"PSU-IP-Address", "2001:db8::7", "PSU-User-Agent", "Firefox").expect(http.StatusCreated)
	id := uuid.MustParse(r.body["id"].(string))
	y, err := w.store.Synchronization(t.Context(), id)
	require.NoError(t, err)
	require.NotContains(t, string(y.PSU), "2001")
	b, err := w.store.OpenSession(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, banks.PSU{IPAddress: "2001:db8::7", UserAgent: "Firefox"}, b.Conversation.PSU)
	require.Equal(t, map[string]string{"login": "jane", "pin": "12345"}, b.Conversation.Credentials)
	y, err = w.store.End(t.Context(), id, 0)
	require.NoError(t, err)
	require.Nil(t, y.PSU)
	require.False(t, y.Unattended, "what it has cost is still known")
}

func TestWaitAnswersAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	path := u.sync(u.access())
	id := uuid.MustParse(idOf(path))

	begin := time.Now()
	r := u.do("GET", path+"?wait=30&after=RUNNING", nil).expect(http.StatusOK)
	require.Equal(t, "QUEUED", r.body["status"], "it is another one already")
	r = u.do("GET", path+"?wait=1&after=QUEUED", nil).expect(http.StatusOK)
	require.Equal(t, "QUEUED", r.body["status"], "nothing changed in time")
	require.Less(t, time.Since(begin), 20*time.Second)

	statuses := make(chan any, 10)
	for range cap(statuses) {
		go func() { statuses <- u.do("GET", path+"?wait=30&after=QUEUED", nil).body["status"] }()
	}
	require.Eventually(t, func() bool { return w.inFlight() == cap(statuses) }, time.Minute, 5*time.Millisecond)
	begin = time.Now()
	_, err := w.store.OpenSession(t.Context(), id)
	require.NoError(t, err)
	for range cap(statuses) {
		require.Equal(t, "RUNNING", <-statuses)
	}
	require.Less(t, time.Since(begin), 20*time.Second)

	_, err = w.store.End(t.Context(), id, 0)
	require.NoError(t, err)
	begin = time.Now()
	u.do("GET", path+"?wait=30&after=COMPLETED", nil).expect(http.StatusOK)
	require.Less(t, time.Since(begin), 20*time.Second, "nothing comes after the end")
}

// The next challenge ends the wait of whoever has answered the one before, though the status is the same.
func TestWaitForTheNextChallenge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	path := u.sync(u.access())
	question := banks.Challenge{Type: banks.Embedded, Format: banks.FormatText, Data: "x", Label: "TAN"}
	first, _ := w.ask(idOf(path), question)
	w.worker(idOf(path), func(b *models.BankSession, tx *gorm.DB) error { return b.Resume(tx, uuid.MustParse(first)) })
	second, _ := w.ask(idOf(path), question)

	begin := time.Now()
	r := u.do("GET", path+"?wait=30&after="+first, nil).expect(http.StatusOK)
	require.Equal(t, second, r.at("challenge").(map[string]any)["id"])
	require.Less(t, time.Since(begin), 20*time.Second)
	begin = time.Now()
	u.do("GET", path+"?wait=1&after="+second, nil).expect(http.StatusOK)
	require.GreaterOrEqual(t, time.Since(begin), time.Second)
}

func TestEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	path := u.sync(u.access())
	id := uuid.MustParse(idOf(path))

	document, err := openapi3.NewLoader().LoadFromData(api.Specification)
	require.NoError(t, err)
	stream := u.stream(path)
	next := func() (name string, e api.SyncEvent, ok bool) {
		for stream.Scan() {
			switch line := stream.Text(); {
			case strings.HasPrefix(line, "event: "):
				name = line[7:]
			case strings.HasPrefix(line, "data: "):
				require.NoError(t, json.Unmarshal([]byte(line[6:]), &e))
				var value any
				require.NoError(t, json.Unmarshal([]byte(line[6:]), &value))
				require.NoError(t, document.Components.Schemas["SyncEvent"].Value.VisitJSON(value))
			case line == "" && name != "":
				return name, e, true
			}
		}
		return "", e, false
	}
	expect := func(name string, status api.SyncStatus) api.SyncEvent {
		t.Helper()
		got, e, ok := next()
		require.True(t, ok)
		require.Equal(t, name, got)
		require.Equal(t, status, e.Status)
		require.Equal(t, id, e.SyncID)
		return e
	}
	expect("status", api.SyncStatusQUEUED)
	challenge, _ := w.ask(id.String(), banks.Challenge{Type: banks.Decoupled, Message: "Look at your phone"})
	expect("status", api.SyncStatusRUNNING)
	e := expect("status", api.SyncStatusAWAITAUTH)
	require.Equal(t, challenge, e.Challenge.ID.String())
	w.worker(id.String(), func(b *models.BankSession, tx *gorm.DB) error { return b.Resume(tx, uuid.MustParse(challenge)) })
	expect("status", api.SyncStatusRUNNING)
	w.worker(id.String(), func(b *models.BankSession, tx *gorm.DB) error {
		_, err := b.PutAccounts(tx, []banks.Account{{ResourceID: "1", IBAN: "DE67900900424711951500", Currency: "EUR", Type: banks.Giro}})
		return err
	})
	e = expect("progress", api.SyncStatusRUNNING)
	require.Equal(t, 1, e.Progress.AccountsTotal)
	_, err = w.store.End(t.Context(), id, 20003)
	require.NoError(t, err)
	for {
		name, e, ok := next()
		require.True(t, ok, "the stream ended without the final state")
		if name == "status" {
			require.Equal(t, api.SyncStatusFAILED, e.Status)
			require.Equal(t, 20003, e.Error.Code)
			break
		}
	}
	_, _, ok := next()
	require.False(t, ok, "the stream goes on after the end")

	again := u.do("GET", path+"/events", nil, "Last-Event-ID", "3").expect(http.StatusOK)
	require.NotContains(t, string(again.raw), "QUEUED")
	require.Contains(t, string(again.raw), `"status":"FAILED"`)
	require.Empty(t, u.do("GET", path+"/events", nil, "Last-Event-ID", "1000").expect(http.StatusOK).raw, "there is nothing more to say")
	u.do("GET", path+"/events", nil, "Last-Event-ID", "x").fails(http.StatusBadRequest, 1000, "Last-Event-ID")
}

// How an old synchronization went is forgotten, how it ended is not.
func TestForgottenEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	path := u.sync(u.access())
	challenge, _ := w.ask(idOf(path), banks.Challenge{Type: banks.Decoupled, Message: "Look at your phone"})
	_, err := w.store.End(t.Context(), uuid.MustParse(idOf(path)), 20003)
	require.NoError(t, err)
	before := u.do("GET", path, nil).expect(http.StatusOK)
	n, err := w.store.ForgetCourses(t.Context(), time.Now().Add(time.Hour), 1)
	require.NoError(t, err)
	require.Equal(t, 1, n)

	require.Equal(t, before.body, u.do("GET", path, nil).expect(http.StatusOK).body)
	for _, header := range [][]string{nil, {"Last-Event-ID", "2"}} {
		again := u.do("GET", path+"/events", nil, header...).expect(http.StatusOK)
		require.Equal(t, 1, strings.Count(string(again.raw), "event: status\n"), "%s", again.raw)
		require.Contains(t, string(again.raw), `"status":"FAILED"`)
		require.Contains(t, string(again.raw), `"code":20003`)
		require.Contains(t, string(again.raw), before.body["ended_at"])
	}
	require.Empty(t, u.do("GET", path+"/challenges", nil).expect(http.StatusOK).list)
	u.do("GET", path+"/challenges/"+challenge, nil).fails(http.StatusNotFound, 1002)
}

// A stream ends with the token that opened it.
func TestEventsEndWithTheToken(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	path := u.sync(u.access())
	stream := u.stream(path)
	for stream.Scan() && stream.Text() != "" { // the first event
	}
	u.call("POST", "/auth/revoke", u.authorization(), map[string]any{"token": u.token}).expect(http.StatusOK)
	_, err := w.store.OpenSession(t.Context(), uuid.MustParse(idOf(path)))
	require.NoError(t, err)
	require.False(t, stream.Scan(), "it goes on: %s", stream.Text())
}

// stream opens a synchronization's events.
func (u *user) stream(path string) *bufio.Scanner {
	u.t.Helper()
	request, err := http.NewRequestWithContext(u.t.Context(), "GET", u.url+path+"/events", nil)
	require.NoError(u.t, err)
	request.Header.Set("Authorization", "Bearer "+u.token)
	response, err := u.http.Do(request)
	require.NoError(u.t, err)
	u.t.Cleanup(func() { response.Body.Close() })
	require.Equal(u.t, "text/event-stream", response.Header.Get("Content-Type"))
	return bufio.NewScanner(response.Body)
}

func TestCancel(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	path := u.sync(u.access())
	id := uuid.MustParse(idOf(path))
	u.do("POST", path+"/cancel", nil).expect(http.StatusOK)
	u.do("POST", path+"/cancel", nil).expect(http.StatusOK)
	y, err := w.store.Synchronization(t.Context(), id)
	require.NoError(t, err)
	require.NotNil(t, y.CancelRequestedAt)

	_, err = w.store.End(t.Context(), id, 30007)
	require.NoError(t, err)
	r := u.do("POST", path+"/cancel", nil).expect(http.StatusOK)
	require.Equal(t, "FAILED", r.body["status"])
	require.Equal(t, json.Number("30007"), r.at("error", "code"))
	require.Equal(t, "general", r.at("error", "group"))
	require.NotEmpty(t, r.at("error", "description"))
}

// A synchronization that Temporal could not be told of waits in its row for the worker's sweep.
func TestStartThatIsLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	access := u.access()
	w.temporal.Close()
	path := u.sync(access)
	lost, err := w.store.LostStarts(t.Context(), time.Now().Add(time.Minute), 10)
	require.NoError(t, err)
	require.Len(t, lost, 1)
	require.Equal(t, idOf(path), lost[0].ID.String())
	u.do("POST", path+"/cancel", nil).expect(http.StatusOK)
}

func TestRedirectURI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	for uri, fits := range map[string]bool{
		"https://app.example/back?x=1": true, "http://127.0.0.1:4000/back": true, "http://localhost/": true, "http://[::1]/": true,
		"com.example.app:/back": true, "myapp://back": true,
		"http://app.example/back": false, "http://127.0.0.1.evil.example/": false, "http://localhost.evil.example/": false,
		"javascript:alert(1)": false, "JavaScript:alert(1)": false, "data:text/html,x": false, "vbscript:x": false, "file:///etc/passwd": false,
		"blob:https://x": false, "view-source:https://x": false, "intent://x": false, "mailto:a@b": false, "/relative": false, "//app.example/": false,
		"app.example": false, "https:///nohost": false, "https://user:secret@app.example/": false, "https://app.example/#fragment": false,
		"https://app.example/\\evil": false, "https://app.example/ blank": false, "java\nscript:alert(1)": false, "": false,
	} {
		access := u.access()
		r := u.do("POST", "/rest/accesses/"+access+"/syncs", map[string]any{"credentials": map[string]string{"pin": "12345"}, "redirect_uri": uri})
		if fits {
			require.Equal(t, http.StatusCreated, r.status, "%q: %s", uri, r.raw)
		} else {
			require.Equal(t, http.StatusBadRequest, r.status, "%q", uri)
			r.fails(http.StatusBadRequest, 1000, "redirect_uri")
		}
	}
}

// What an upgrade did is data of the synchronization's error, as the contract describes it.
func TestUpgradedSync(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	access := u.access()
	account := u.accounts(access, "DE67900900424711951500")[0]
	sync := u.sync(access)
	id := uuid.MustParse(idOf(sync))
	_, err := w.store.OpenSession(t.Context(), id)
	require.NoError(t, err)
	data := map[string]any{"access_id": access, "access_method_id": methodID, "accesses_created": []any{}, "accounts": []any{
		map[string]any{"account_id": account, "access_id": access, "access_method_id": methodID, "supported": true}}}
	failure := map[string]any{"code": 40001, "data": data}
	require.NoError(t, w.store.DB.Exec(`UPDATE bank_sessions SET failure = ?::jsonb WHERE sync_id = ?`, string(mustJSON(t, failure)), id).Error)
	_, err = w.store.End(t.Context(), id, 40001)
	require.NoError(t, err)
	require.Equal(t, data, u.do("GET", sync, nil).expect(http.StatusOK).at("error", "data"))
}
