package e2e_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/sandbox"
)

// TestStates watches synchronizations in both ways that the API has: as events, and by waiting for another status than
// the one that is known. Both see the state machine, the events every step of it.
func TestStates(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for login, want := range map[string]string{
		"exempt":    "QUEUED RUNNING COMPLETED",
		"demo":      "QUEUED RUNNING AWAIT_AUTH RUNNING COMPLETED",
		"devices":   "QUEUED RUNNING AWAIT_AUTH RUNNING AWAIT_AUTH RUNNING AWAIT_AUTH RUNNING COMPLETED",
		"decoupled": "QUEUED RUNNING AWAIT_AUTH RUNNING COMPLETED",
		"redirect":  "QUEUED RUNNING AWAIT_AUTH RUNNING COMPLETED",
		"again":     "QUEUED RUNNING AWAIT_AUTH RUNNING AWAIT_AUTH RUNNING COMPLETED",
		"locked":    "QUEUED RUNNING FAILED",
	} {
		t.Run(login, func(t *testing.T) {
			t.Parallel()
			c := s.in(t).newCustomer()
			sync := c.start(c.access("demo", login), object{"credentials": object{"pin": password}})
			events := c.events(sync)

			seen, after, answered := []string{"QUEUED"}, "QUEUED", ""
			var y object
			for after != "COMPLETED" && after != "FAILED" {
				y = nil
				c.get(sync+"?wait=1&after="+after, &y)
				if status := y["status"].(string); status != after {
					seen, after = append(seen, status), status
				}
				requireConsistent(t, y)
				if challenge, _ := y["challenge"].(object); challenge != nil && challenge["id"] != answered {
					answered = challenge["id"].(string)
					c.answer(sync, challenge)
				}
			}
			require.True(t, isSubsequence(seen, strings.Fields(want)), "%v is not part of %s", seen, want)

			var states []string
			var last event
			for e := range events {
				if e.name == "status" {
					states = append(states, e.data["status"].(string))
				}
				require.Greater(t, e.id, last.id)
				last = e
			}
			require.Equal(t, want, strings.Join(states, " "))
			require.Equal(t, y["status"], last.data["status"])
			require.Equal(t, y["progress"], last.data["progress"])
			require.Equal(t, y["error"], last.data["error"])
		})
	}
}

// requireConsistent holds a synchronization's fields against its status.
func requireConsistent(t *testing.T, y object) {
	t.Helper()
	status := y["status"]
	waiting, ended := status == "AWAIT_AUTH", status == "COMPLETED" || status == "FAILED"
	require.Equal(t, waiting, y["expires_at"] != nil, "%v", y)
	require.Equal(t, waiting, y["challenge"] != nil, "%v", y)
	require.Equal(t, ended, y["ended_at"] != nil, "%v", y)
	require.Equal(t, status == "FAILED", y["error"] != nil, "%v", y)
	require.Equal(t, status != "QUEUED", y["started_at"] != nil, "%v", y)
}

func isSubsequence(part, whole []string) bool {
	for _, w := range whole {
		if len(part) > 0 && part[0] == w {
			part = part[1:]
		}
	}
	return len(part) == 0
}

type event struct {
	id   float64
	name string
	data object
}

// events streams a synchronization until its end.
func (c *customer) events(sync string) <-chan event {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), "GET", c.api.URL+sync+"/events", nil)
	require.NoError(c.t, err)
	c.auth(request)
	response, err := http.DefaultClient.Do(request)
	require.NoError(c.t, err)
	require.Equal(c.t, 200, response.StatusCode)
	require.Equal(c.t, "text/event-stream", response.Header.Get("Content-Type"))
	events := make(chan event, 1000)
	go func() {
		defer close(events)
		defer response.Body.Close()
		var e event
		lines := bufio.NewScanner(response.Body)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			field, value, _ := strings.Cut(lines.Text(), ": ")
			switch field {
			case "id":
				_ = json.Unmarshal([]byte(value), &e.id)
			case "event":
				e.name = value
			case "data":
				_ = json.Unmarshal([]byte(value), &e.data)
			case "":
				if e.data != nil {
					events <- e
				}
				e = event{}
			}
		}
	}()
	return events
}

// TestChallengeExpires: whom nobody answers in time ends with 30005, and a late answer changes nothing.
func TestChallengeExpires(t *testing.T) {
	t.Parallel()
	const timeout = 8 * time.Second
	s := newStack(t, withChallengeTimeout(timeout))
	for _, login := range []string{"demo", "methods", "app", "redirect", "oauth"} {
		t.Run(login, func(t *testing.T) {
			t.Parallel()
			c := s.in(t).newCustomer()
			access := c.access("demo", login)
			sync := c.start(access, object{"credentials": object{"pin": password}, "redirect_uri": "https://client.example/back"})
			y := c.until(sync, "")
			require.Equal(t, "AWAIT_AUTH", y["status"])
			challenge := y["challenge"].(object)
			asked, err := time.Parse(time.RFC3339, challenge["created_at"].(string))
			require.NoError(t, err)
			expires, err := time.Parse(time.RFC3339, y["expires_at"].(string))
			require.NoError(t, err)
			require.WithinDuration(t, asked.Add(timeout), expires, time.Second)
			back := ""
			if challenge["type"] == "REDIRECT" {
				back = c.atBankPages(challenge["location"].(string), true)
			}

			y = c.until(sync, challenge["id"].(string))
			require.Equal(t, 30005, codeOf(y), "%v", y)
			requireConsistent(t, y)
			switch challenge["type"] {
			case "EMBEDDED":
				c.refuse("POST", sync+"/challenges/"+challenge["id"].(string)+"/response", object{"value": tan}, 409, 1006)
			case "METHOD_SELECTION":
				c.refuse("POST", sync+"/challenges/"+challenge["id"].(string)+"/response", object{"method_id": "sms"}, 409, 1006)
			case "REDIRECT":
				require.Equal(t, "https://client.example/back?success=false", c.comeBack(back))
			}
			var later object
			c.get(sync, &later)
			require.Equal(t, y, later)
			require.Empty(t, c.transactions())

			// The next one is not hindered by what is left of this one; what the customer allowed in the meantime counts.
			next := "AWAIT_AUTH"
			if login == "redirect" {
				next = "COMPLETED"
			}
			require.Equal(t, next, c.until(c.start(access, object{"credentials": object{"pin": password}}), "")["status"])
		})
	}
}

// TestCancel: at any time, also twice; and what is cancelled stays so.
func TestCancel(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for _, login := range []string{"demo", "methods", "app", "redirect", "endless"} {
		t.Run(login, func(t *testing.T) {
			t.Parallel()
			c := s.in(t).newCustomer()
			access := c.access("demo", login)
			sync := c.start(access, object{"credentials": object{"pin": password}})
			if login == "endless" { // in the middle of reading
				deadline := time.Now().Add(patience)
				for s.bank.Counters().ByLogin[login]["transactions"] == 0 && time.Now().Before(deadline) {
					time.Sleep(10 * time.Millisecond)
				}
			} else {
				require.Equal(t, "AWAIT_AUTH", c.until(sync, "")["status"])
			}
			c.post(sync+"/cancel", nil, 200, nil)
			c.post(sync+"/cancel", nil, 200, nil)
			y := c.over(sync)
			require.Equal(t, 30007, codeOf(y), "%v", y)
			require.Equal(t, "general", y["error"].(object)["group"])
			var later object
			c.post(sync+"/cancel", nil, 200, &later)
			require.Equal(t, y, later)
			require.Empty(t, c.transactions())
			again := c.start(access, object{"credentials": object{"pin": password}})
			c.post(again+"/cancel", nil, 200, nil)
			require.Equal(t, 30007, codeOf(c.over(again)))
		})
	}
}

// over waits for the end of a synchronization, and answers nothing meanwhile.
func (c *customer) over(sync string) (y object) {
	c.t.Helper()
	for deadline := time.Now().Add(patience); y["ended_at"] == nil; {
		require.True(c.t, time.Now().Before(deadline), "%v", y)
		y = nil
		c.get(sync+"?wait=5", &y)
	}
	return y
}

// TestAnswers: what does not fit the question is refused and changes nothing; a wrong TAN ends the synchronization.
func TestAnswers(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	c := s.newCustomer()
	access := c.access("demo", "devices")
	sync := c.start(access, object{"credentials": object{"pin": password}})
	y := c.until(sync, "")
	first := sync + "/challenges/" + y["challenge"].(object)["id"].(string) + "/response"
	for field, body := range map[string]object{
		"method_id": {"method_id": "push"},
		"value":     {"value": tan},
		"body":      nil,
		"method":    {"method": "sms"},
	} {
		if field == "body" {
			field, body = "method_id", object{}
		}
		require.Contains(t, c.refuse("POST", first, body, 400, 1000), field)
	}
	c.post(first, object{"method_id": "sms"}, 200, nil)
	c.post(first, object{"method_id": "sms"}, 200, nil)
	c.refuse("POST", first, object{"method_id": "chip"}, 409, 1006)
	y = c.until(sync, y["challenge"].(object)["id"].(string))
	second := y["challenge"].(object)
	c.post(sync+"/challenges/"+second["id"].(string)+"/response", object{"method_id": "sms-3"}, 200, nil)
	y = c.until(sync, second["id"].(string))
	third := sync + "/challenges/" + y["challenge"].(object)["id"].(string)
	require.Equal(t, "Prepaid ***99", y["challenge"].(object)["label"], "the device that was chosen")
	require.Contains(t, c.refuse("POST", third+"/response", object{"method_id": "sms"}, 400, 1000), "method_id")
	require.Contains(t, c.refuse("POST", third+"/response", object{"value": strings.Repeat("1", 5000)}, 400, 1000), "value")
	require.Contains(t, c.refuse("POST", third+"/response", object{"value": 111111}, 400, 1000), "value")

	var all []object
	c.get(sync+"/challenges", &all)
	require.Len(t, all, 3)
	require.Equal(t, y["challenge"], all[2])

	c.post(third+"/response", object{"value": "000000"}, 200, nil)
	y = c.until(sync, y["challenge"].(object)["id"].(string))
	require.Equal(t, 10004, codeOf(y), "%v", y)
	require.Equal(t, "Die TAN ist falsch.", y["error"].(object)["message"])
	c.refuse("POST", third+"/response", object{"value": tan}, 409, 1006)
	seen := s.bank.Counters()
	require.Equal(t, 1, seen.WrongTANs["devices"])
	require.Zero(t, seen.TANs["devices"])

	// What is answered at the bank cannot be answered here.
	for _, login := range []string{"app", "redirect"} {
		sync := c.start(c.access("demo", login), object{"credentials": object{"pin": password}})
		challenge := c.until(sync, "")["challenge"].(object)
		c.refuse("POST", sync+"/challenges/"+challenge["id"].(string)+"/response", object{"value": tan}, 400, 1000)
	}
}

// TestDecoupled: confirmed and declined in the bank's app.
func TestDecoupled(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for login, approve := range map[string]bool{"app+yes": true, "app+no": false} {
		t.Run(login, func(t *testing.T) {
			t.Parallel()
			c := s.in(t).newCustomer()
			sync := c.start(c.access("demo", login), object{"credentials": object{"pin": password}})
			y := c.until(sync, "")
			require.Equal(t, "DECOUPLED", y["challenge"].(object)["type"])
			require.NoError(t, s.bank.Decide(login, approve))
			y = c.finish(sync)
			if approve {
				require.Equal(t, "COMPLETED", y["status"], "%v", y)
				c.requireLedger(login, true)
			} else {
				require.Equal(t, 10004, codeOf(y), "%v", y)
			}
			require.LessOrEqual(t, s.bank.Counters().Polls[login], 2, "the bank was asked faster than it likes")
		})
	}
}

// TestRedirect: the way to the bank's pages and back to the client's.
func TestRedirect(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	for _, p := range []struct {
		bank, login string
		approve     bool
	}{
		{"demo", "redirect+yes", true}, {"demo", "redirect+no", false},
		{"demo", "oauth+yes", true}, {"demo", "oauth+no", false},
		{"oauth", "demo+yes", true}, {"oauth", "demo+no", false},
		{"prestep", "exempt+yes", true}, {"prestep", "exempt+no", false},
		{"confirmation", "demo+confirm", true}, {"confirmation", "demo+decline", false},
	} {
		t.Run(p.bank+"/"+p.login, func(t *testing.T) {
			t.Parallel()
			c := s.in(t).newCustomer()
			sync := c.start(c.access(p.bank, p.login), object{"credentials": c.secrets(p.bank),
				"redirect_uri": "https://client.example/back?tenant=7", "state": "a state & more"})
			challenge := c.until(sync, "")["challenge"].(object)
			location, err := url.Parse(challenge["location"].(string))
			require.NoError(t, err)
			require.Empty(t, location.Query().Get("client_secret"))
			back := c.atBankPages(location.String(), p.approve)
			require.True(t, strings.HasPrefix(back, c.api.URL+"/callback/redirect?"), back)

			// Somebody else's state, and none.
			for _, state := range []string{uuid.NewString(), "", "' OR 1=1 --"} {
				u, err := url.Parse(back)
				require.NoError(t, err)
				query := u.Query()
				query.Set("state", state)
				u.RawQuery = query.Encode()
				require.Equal(t, "404", c.comeBack(u.String()))
			}
			var y object
			c.get(sync, &y)
			require.Equal(t, "AWAIT_AUTH", y["status"])

			want := "https://client.example/back?tenant=7&state=a+state+%26+more&success="
			if !p.approve {
				require.Equal(t, want+"false", c.comeBack(back))
				y = c.until(sync, challenge["id"].(string))
				require.Equal(t, 20006, codeOf(y), "%v", y)
				require.Empty(t, c.transactions())
				return
			}
			require.Equal(t, want+"true", c.comeBack(back))
			require.Equal(t, want+"true", c.comeBack(back), "the page was loaded again")
			require.Equal(t, want+"false", c.comeBack(back+"&error=access_denied"), "only the first return counts")
			y = c.until(sync, challenge["id"].(string))
			require.Equal(t, "COMPLETED", y["status"], "%v", y)
			c.requireLedger(p.login, true)
			require.Equal(t, 1, s.bank.Counters().Consents[p.login])
		})
	}
}

// atBankPages sends the customer to the bank, and answers where it sends them back to.
func (c *customer) atBankPages(location string, approve bool) (back string) {
	c.t.Helper()
	v := sandbox.Visitor{Login: c.login, Password: password, TAN: tan, Client: http.DefaultClient}
	visit := v.Approve
	if !approve {
		visit = v.Decline
	}
	back, err := visit(c.t.Context(), location)
	require.NoError(c.t, err)
	return back
}

// comeBack brings the customer back to our callback, and answers where that sends them, or else its status.
func (c *customer) comeBack(back string) string {
	c.t.Helper()
	request, err := http.NewRequestWithContext(c.t.Context(), "GET", back, nil)
	require.NoError(c.t, err)
	response, err := http.DefaultTransport.RoundTrip(request)
	require.NoError(c.t, err)
	defer response.Body.Close()
	if response.StatusCode == http.StatusFound {
		return response.Header.Get("Location")
	}
	return response.Status[:3]
}

// refuse makes a request that fails with a code, and answers the fields that are to blame.
func (c *customer) refuse(method, path string, body any, status, code int) (fields object) {
	c.t.Helper()
	var failure struct {
		Error struct {
			Code int
			Data object
		}
	}
	c.call(method, path, c.auth, body, status, &failure)
	require.Equal(c.t, code, failure.Error.Code, "%s %s: %v", method, path, failure)
	return failure.Error.Data
}

// TestWorkerStopsWhileWaiting: a worker that is told to stop does so at once, though a customer is still looking for
// their phone; the next one goes on waiting for them.
func TestWorkerStopsWhileWaiting(t *testing.T) {
	t.Parallel()
	s := newStack(t)
	c := s.newCustomer()
	sync := c.start(c.access("demo", "app"), object{"credentials": object{"pin": password}})
	challenge := c.until(sync, "")["challenge"].(object)
	c.eventually(func() bool { return s.bank.Counters().Polls["app"] > 0 }, "the bank is asked")
	begun := time.Now()
	s.worker.Stop()
	require.Less(t, time.Since(begun), 20*time.Second)

	s.startWorker()
	require.NoError(t, s.bank.Decide("app", true))
	y := c.until(sync, challenge["id"].(string))
	require.Equal(t, "COMPLETED", y["status"], "%v", y)
	c.requireLedger("app", true)
}
