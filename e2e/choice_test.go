package e2e_test

import (
	"encoding/json"
	"net/http"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/models"
)

// choose answers a METHOD_SELECTION, and returns what comes next.
func (c *customer) choose(sync string, asked object, method string) object {
	c.t.Helper()
	challenge := asked["challenge"].(object)
	require.Equal(c.t, "METHOD_SELECTION", challenge["type"], "%v", asked)
	c.post(sync+"/challenges/"+challenge["id"].(string)+"/response", object{"method_id": method}, 200, nil)
	return c.until(sync, challenge["id"].(string))
}

// confirm answers the open challenge, and returns what comes next.
func (c *customer) confirm(sync string, asked object) object {
	c.t.Helper()
	require.Equal(c.t, "AWAIT_AUTH", asked["status"], "%v\n%s", asked, c.logs.complaints())
	challenge := asked["challenge"].(object)
	c.answer(sync, challenge)
	return c.until(sync, challenge["id"].(string))
}

// form is how the open challenge is answered.
func form(asked object) string {
	challenge, _ := asked["challenge"].(object)
	if challenge == nil {
		return ""
	}
	form := challenge["type"].(string)
	if format, ok := challenge["format"].(string); ok {
		form += " " + format
	}
	return form
}

// storedMethod is the id and the medium of the access's stored method, and how many methods it knows.
func (c *customer) storedMethod(access string) (id, medium string, known int) {
	c.t.Helper()
	methods := c.at("/rest/accesses/" + access)["auth_methods"].([]any)
	for _, m := range methods {
		if m := m.(object); m["default"] == true {
			require.Empty(c.t, id, "two defaults: %v", methods)
			id = m["id"].(string)
			medium, _ = m["medium_name"].(string)
		}
	}
	return id, medium, len(methods)
}

// accessOf is the access of a synchronization.
func accessOf(sync string) string { return filepath.Base(filepath.Dir(filepath.Dir(sync))) }

// accounts are the ids of the customer's accounts.
func (c *customer) accounts() (ids []string) {
	c.t.Helper()
	for _, a := range c.at("/rest/accounts")["accounts"].([]any) {
		ids = append(ids, a.(object)["account_id"].(string))
	}
	return ids
}

// restart asks for another challenge in the place of the open one, and returns what comes next.
func (c *customer) restart(sync string, asked object, body any) object {
	c.t.Helper()
	id := asked["challenge"].(object)["id"].(string)
	c.post(sync+"/challenges/"+id+"/restart", body, 200, nil)
	return c.until(sync, id)
}

// A stored method is used without asking, until the customer chooses another one and authenticates with it.
func TestChooseMethod(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	pin, renews := object{"credentials": object{"pin": password}}, object{"credentials": object{"pin": password}, "renew_consent": true}
	chooses := object{"credentials": object{"pin": password}, "choose_method": true}

	t.Run("XS2A methods", func(t *testing.T) {
		t.Parallel()
		c := s.in(t).newCustomer()
		access := c.access("demo", "methods+choice")
		sync := c.start(access, pin)
		asked := c.choose(sync, c.until(sync, ""), "photo")
		require.Equal(t, "EMBEDDED PHOTO", form(asked))
		require.Equal(t, "COMPLETED", c.confirm(sync, asked)["status"])
		id, _, known := c.storedMethod(access)
		require.Equal(t, "photo", id)
		require.Equal(t, 4, known)
		accounts := c.accounts()

		sync = c.start(access, renews)
		asked = c.until(sync, "")
		require.Equal(t, "EMBEDDED PHOTO", form(asked), "the stored one is used without asking")
		require.Equal(t, "COMPLETED", c.confirm(sync, asked)["status"])

		sync = c.start(access, chooses)
		asked = c.choose(sync, c.until(sync, ""), "sms")
		require.Equal(t, "EMBEDDED TEXT", form(asked))
		c.post(sync+"/cancel", nil, 200, nil)
		require.Equal(t, 30007, codeOf(c.until(sync, asked["challenge"].(object)["id"].(string))))
		id, _, _ = c.storedMethod(access)
		require.Equal(t, "photo", id, "the customer cancelled")
		require.Equal(t, "ACTIVE", c.at("/rest/accesses/" + access)["status"])

		sync = c.start(access, chooses)
		asked = c.choose(sync, c.until(sync, ""), "sms")
		require.Equal(t, "COMPLETED", c.confirm(sync, asked)["status"])
		id, _, _ = c.storedMethod(access)
		require.Equal(t, "sms", id)
		sync = c.start(access, renews)
		asked = c.until(sync, "")
		require.Equal(t, "EMBEDDED TEXT", form(asked))
		require.Equal(t, "COMPLETED", c.confirm(sync, asked)["status"])
		require.Equal(t, accounts, c.accounts())
	})

	t.Run("XS2A devices", func(t *testing.T) {
		t.Parallel()
		c := s.in(t).newCustomer()
		access := c.access("demo", "devices+choice")
		sync := c.start(access, pin)
		asked := c.choose(sync, c.choose(sync, c.until(sync, ""), "sms"), "sms-2")
		require.Equal(t, "COMPLETED", c.confirm(sync, asked)["status"])
		id, medium, _ := c.storedMethod(access)
		require.Equal(t, "sms", id)
		require.NotEmpty(t, medium)

		sync = c.start(access, chooses)
		asked = c.choose(sync, c.until(sync, ""), "sms")
		require.Equal(t, "METHOD_SELECTION", form(asked), "the device is asked for, too")
		asked = c.choose(sync, asked, "sms-1")
		require.Equal(t, "COMPLETED", c.confirm(sync, asked)["status"])
		_, other, _ := c.storedMethod(access)
		require.NotEqual(t, medium, other)

		sync = c.start(access, renews)
		asked = c.until(sync, "")
		require.Equal(t, "EMBEDDED TEXT", form(asked))
		require.Equal(t, "COMPLETED", c.confirm(sync, asked)["status"])
	})

	t.Run("FinTS methods", func(t *testing.T) {
		t.Parallel()
		c := s.in(t).newCustomer()
		access := c.access("fints/eachlogin", "methods+choice") // asks at every login, so that a method shows itself
		sync := c.start(access, pin)
		asked := c.choose(sync, c.until(sync, ""), "930")
		require.Equal(t, "EMBEDDED PHOTO", form(asked))
		require.Equal(t, "COMPLETED", c.confirm(sync, asked)["status"])
		id, _, known := c.storedMethod(access)
		require.Equal(t, "930", id)
		require.Positive(t, known)

		sync = c.start(access, pin)
		asked = c.until(sync, "")
		require.Equal(t, "EMBEDDED PHOTO", form(asked), "the stored one is used without asking")
		require.Equal(t, "COMPLETED", c.confirm(sync, asked)["status"])

		sync = c.start(access, chooses)
		asked = c.choose(sync, c.until(sync, ""), "920")
		require.Equal(t, "EMBEDDED TEXT", form(asked))
		c.post(sync+"/cancel", nil, 200, nil)
		require.Equal(t, 30007, codeOf(c.until(sync, asked["challenge"].(object)["id"].(string))))
		id, _, _ = c.storedMethod(access)
		require.Equal(t, "930", id, "the customer cancelled")

		sync = c.start(access, chooses)
		asked = c.choose(sync, c.until(sync, ""), "920")
		require.Equal(t, "COMPLETED", c.confirm(sync, asked)["status"])
		id, _, _ = c.storedMethod(access)
		require.Equal(t, "920", id)
		sync = c.start(access, pin)
		asked = c.until(sync, "")
		require.Equal(t, "EMBEDDED TEXT", form(asked))
		require.Equal(t, "COMPLETED", c.confirm(sync, asked)["status"])
	})

	t.Run("FinTS devices", func(t *testing.T) {
		t.Parallel()
		c := s.in(t).newCustomer()
		access := c.access("fints", "devices+choice")
		sync := c.start(access, pin)
		asked := c.choose(sync, c.choose(sync, c.until(sync, ""), "921"), "2")
		require.Equal(t, "COMPLETED", c.confirm(sync, asked)["status"])
		id, medium, _ := c.storedMethod(access)
		require.Equal(t, "921", id)
		require.NotEmpty(t, medium)

		sync = c.start(access, chooses)
		asked = c.choose(sync, c.until(sync, ""), "921")
		require.Equal(t, "METHOD_SELECTION", form(asked), "the device is asked for, too")
		c.post(sync+"/cancel", nil, 200, nil)
		require.Equal(t, 30007, codeOf(c.until(sync, asked["challenge"].(object)["id"].(string))))
		_, same, _ := c.storedMethod(access)
		require.Equal(t, medium, same)

		sync = c.start(access, chooses)
		asked = c.choose(sync, c.choose(sync, c.until(sync, ""), "921"), "1")
		require.Equal(t, "COMPLETED", asked["status"], "the bank wants no TAN for this login")
		_, other, _ := c.storedMethod(access)
		require.NotEqual(t, medium, other)
	})

	t.Run("one method is not asked for", func(t *testing.T) {
		t.Parallel()
		c := s.in(t).newCustomer()
		access := c.access("demo", "demo+choice")
		require.Equal(t, "COMPLETED", c.sync(access)["status"])
		_, _, known := c.storedMethod(access)
		require.Equal(t, 1, known)
		sync := c.start(access, chooses)
		asked := c.until(sync, "")
		require.Equal(t, "EMBEDDED TEXT", form(asked))
		require.Equal(t, "COMPLETED", c.confirm(sync, asked)["status"])
	})

	t.Run("the bank's pages", func(t *testing.T) {
		t.Parallel()
		c := s.in(t).newCustomer()
		c.refuse("POST", "/rest/accesses/"+c.access("confirmation", "demo+choice")+"/syncs", object{"choose_method": true}, 400, 1000)
	})
}

// An open question can be given up for another one.
func TestRestartChallenge(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	chooses := object{"choose_method": true}

	begin := func(t *testing.T, s *stack, bank, login string) (c *customer, sync string, asked object) {
		c = s.in(t).newCustomer()
		sync = c.start(c.access(bank, login), object{"credentials": c.secrets(bank)})
		return c, sync, c.until(sync, "")
	}

	for _, w := range []struct{ bank, login, asked string }{
		{"demo", "demo", "EMBEDDED TEXT"},
		{"demo", "photo", "EMBEDDED PHOTO"},
		{"demo", "decoupled", "DECOUPLED"},
		{"demo", "app", "DECOUPLED"},
		{"demo", "redirect", "REDIRECT"},
		{"demo", "oauth", "REDIRECT"},
		{"demo", "methods", "METHOD_SELECTION"},
		{"fints", "demo", "EMBEDDED TEXT"},
		{"fints", "flicker", "EMBEDDED HHD"},
		{"fints", "decoupled", "DECOUPLED"},
		{"fints", "app", "DECOUPLED"},
		{"fints", "methods", "METHOD_SELECTION"},
		{"recurring", "demo", "EMBEDDED TEXT"},
		{"statements", "demo", "EMBEDDED TEXT"},
		{"oauth", "demo", "REDIRECT"},
		{"prestep", "demo", "REDIRECT"},
		{"confirmation", "demo", "REDIRECT"},
		{"apikey", "app", "DECOUPLED"},
		{"legacy", "demo", "EMBEDDED TEXT"},
	} {
		t.Run(w.bank+"/"+w.login, func(t *testing.T) {
			t.Parallel()
			login := w.login + "+restart-" + w.bank
			c, sync, asked := begin(t, s, w.bank, login)
			require.Equal(t, w.asked, form(asked))
			first := asked["challenge"].(object)
			asked = c.restart(sync, asked, nil)
			require.Equal(t, w.asked, form(asked), "%v\n%s", asked, c.logs.complaints())
			second := asked["challenge"].(object)
			require.NotEqual(t, first["id"], second["id"])

			// The first one is over: nothing that answers it counts.
			switch first["type"] {
			case "EMBEDDED":
				c.refuse("POST", sync+"/challenges/"+first["id"].(string)+"/response", object{"value": tan}, 409, 1006)
			case "REDIRECT":
				require.NotEqual(t, first["location"], second["location"])
			}
			if w.login == "app" {
				require.NoError(t, c.bank.Decide(login, true))
			}
			y := c.finish(sync)
			require.Equal(t, "COMPLETED", y["status"], "%v\n%s", y, c.logs.complaints())
			require.LessOrEqual(t, c.bank.Counters().TANs[login], map[string]int{"prestep": 2}[w.bank]+1)
			require.NotEmpty(t, c.transactions())
		})
	}

	t.Run("another method", func(t *testing.T) {
		t.Parallel()
		c, sync, asked := begin(t, newStack(t, withBankClock()), "demo", "methods")
		asked = c.choose(sync, asked, "photo")
		require.Equal(t, "EMBEDDED PHOTO", form(asked))
		asked = c.restart(sync, asked, nil)
		require.Equal(t, "EMBEDDED PHOTO", form(asked), "the same method, without asking")
		c.bank.Advance(models.RestartPause)
		asked = c.restart(sync, asked, chooses)
		asked = c.choose(sync, asked, "push")
		require.Equal(t, "DECOUPLED", form(asked))
		c.bank.Advance(models.RestartPause)
		asked = c.restart(sync, asked, chooses)
		asked = c.choose(sync, asked, "sms")
		require.Equal(t, "EMBEDDED TEXT", form(asked))
		require.Equal(t, "COMPLETED", c.confirm(sync, asked)["status"])
		id, _, _ := c.storedMethod(accessOf(sync))
		require.Equal(t, "sms", id)
	})

	t.Run("the former page", func(t *testing.T) {
		t.Parallel()
		c, sync, asked := begin(t, s, "demo", "redirect+former")
		location := asked["challenge"].(object)["location"].(string)
		asked = c.restart(sync, asked, nil)
		c.visit(location) // granted at the bank, but it answers nothing here
		require.Equal(t, asked["challenge"], c.at(sync)["challenge"])
		require.Equal(t, "COMPLETED", c.confirm(sync, asked)["status"])
	})

	t.Run("bounds", func(t *testing.T) {
		t.Parallel()
		c, sync, asked := begin(t, newStack(t, withBankClock()), "demo", "demo")
		for n := 1; n <= models.MaxRestarts; n++ {
			before := asked["challenge"].(object)["id"].(string)
			asked = c.restart(sync, asked, nil)
			require.Equal(t, "EMBEDDED TEXT", form(asked))
			c.post(sync+"/challenges/"+before+"/restart", nil, 200, nil) // a second click
			c.refuse("POST", sync+"/challenges/"+before+"/restart", chooses, 409, 1006)
			restart := sync + "/challenges/" + asked["challenge"].(object)["id"].(string) + "/restart"
			if n < models.MaxRestarts {
				wait, err := strconv.Atoi(c.refused("POST", restart, object{}, 429, 1020).Get("Retry-After"))
				require.NoError(t, err)
				require.Positive(t, wait)
				require.LessOrEqual(t, wait, 60)
				c.bank.Advance(time.Duration(wait) * time.Second)
				continue
			}
			c.bank.Advance(30 * time.Minute)
			require.Empty(t, c.refused("POST", restart, object{}, 429, 1020).Get("Retry-After"))
		}
		c.post(sync+"/cancel", nil, 200, nil)
		id := asked["challenge"].(object)["id"].(string)
		require.Equal(t, 30007, codeOf(c.until(sync, id)))
		c.refuse("POST", sync+"/challenges/"+id+"/restart", nil, 409, 1006)
	})

	t.Run("clicks at once", func(t *testing.T) {
		t.Parallel()
		c, sync, asked := begin(t, s, "demo", "demo+clicks")
		id := asked["challenge"].(object)["id"].(string)
		for _, a := range c.atOnce(8, "POST", sync+"/challenges/"+id+"/restart", object{}, nil) {
			require.Equal(t, 200, a.status, "%v", a.body)
		}
		asked = c.until(sync, id)
		require.Equal(t, "COMPLETED", c.confirm(sync, asked)["status"])
		require.Equal(t, 1, c.bank.Counters().TANs["demo+clicks"])
		list := []object{}
		c.get(sync+"/challenges", &list)
		require.Len(t, list, 2)
	})

	t.Run("answered", func(t *testing.T) {
		t.Parallel()
		c, sync, asked := begin(t, s, "demo", "demo+answered")
		require.Equal(t, "COMPLETED", c.confirm(sync, asked)["status"])
		id := asked["challenge"].(object)["id"].(string)
		c.refuse("POST", sync+"/challenges/"+id+"/restart", nil, 409, 1006)
		c.refuse("POST", sync+"/challenges/"+models.NewID().String()+"/restart", nil, 404, 1002)
	})
}

// refused is a request that fails, and its answer's header.
func (c *customer) refused(method, path string, body object, status, code int) http.Header {
	c.t.Helper()
	encoded, err := json.Marshal(body)
	require.NoError(c.t, err)
	a, err := c.try(method, path, encoded, nil)
	require.NoError(c.t, err)
	require.Equal(c.t, status, a.status, "%v", a.body)
	require.EqualValues(c.t, code, a.body["error"].(object)["code"])
	return a.header
}

// TestEachLoginBank: a bank that wants the customer at every login is read when they are there, once a week. After the second
// time it is known for that: no automatic synchronization logs in, and nobody who is not there gets a message.
func TestEachLoginBank(t *testing.T) {
	t.Parallel()
	for _, login := range []string{"demo", "decoupled"} {
		t.Run(login, func(t *testing.T) {
			t.Parallel()
			s := newStack(t, withBankClock())
			c := s.newCustomer()
			access := c.access("fints/eachlogin", login)
			messages := func() int { return s.bank.Counters().Challenges[login] }
			present, absent := 0, 0
			for day := range 30 {
				if day%7 == 0 {
					before := messages()
					c.renewToken()
					c.storeSecrets(access)
					require.Greater(t, messages(), before, "the bank asks every time")
					present++
				}
				logins, before := s.bank.Counters().Logins[login], messages()
				for range 4 {
					s.bank.Advance(6 * time.Hour)
					s.sweep()
				}
				absent += messages() - before
				c.renewToken()
				enabled, reason, _, _ := c.autoSync(access)
				if present < 2 {
					continue
				}
				require.Equal(t, before, messages(), "day %d: a message to a customer who is not there", day)
				require.Equal(t, logins, s.bank.Counters().Logins[login], "day %d: nobody logs in", day)
				require.False(t, enabled)
				require.Equal(t, "NEEDS_USER_EACH_TIME", reason)
			}
			require.LessOrEqual(t, absent, 1, "before it was known")
			require.Equal(t, "ACTIVE", c.at("/rest/accesses/" + access)["status"])
			require.Equal(t, "COMPLETED", c.newest(access)["status"])
		})
	}
}

// TestEachLoginBankThatStops: when such a bank does without the customer again, the next synchronization with them shows
// it, and automatic ones come back. Before that nothing is tried without the customer.
func TestEachLoginBankThatStops(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	c := s.newCustomer()
	access := c.access("fints/eachlogin", "demo")
	for range 3 {
		c.storeSecrets(access)
		s.bank.Advance(24 * time.Hour)
		c.renewToken()
	}
	enabled, reason, next, _ := c.autoSync(access)
	require.False(t, enabled)
	require.Equal(t, "NEEDS_USER_EACH_TIME", reason)
	require.Zero(t, next)
	require.Zero(t, s.sweep())

	require.NoError(t, s.bank.EaseLogins("demo"))
	s.bank.Advance(24 * time.Hour)
	require.Zero(t, s.sweep(), "nobody knows yet")
	c.renewToken()
	challenges := s.bank.Counters().Challenges["demo"]
	c.storeSecrets(access)
	require.Equal(t, challenges, s.bank.Counters().Challenges["demo"])
	enabled, reason, next, _ = c.autoSync(access)
	require.True(t, enabled, reason)

	for range 2 {
		s.bank.Advance(next.Sub(s.bank.Now()) + time.Second)
		require.Equal(t, 1, s.sweep())
		c.renewToken()
		y := c.newest(access)
		require.Equal(t, "AUTO", y["trigger"])
		require.Equal(t, "COMPLETED", y["status"], "%v", y)
		enabled, reason, next, _ = c.autoSync(access)
		require.True(t, enabled, reason)
	}
	require.Equal(t, challenges, s.bank.Counters().Challenges["demo"], "nobody was troubled")
	c.requireSame(c.lately(c.atBank("demo", false)), c.lately(c.stored(false)))
}

// TestSyncPeriod: the first reading goes back as far as the client wants; a later one that wants more goes back further, and
// what was read before is not doubled.
func TestSyncPeriod(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	for _, bank := range []string{"demo", "fints"} {
		t.Run(bank, func(t *testing.T) {
			t.Parallel()
			c := s.in(t).newCustomer()
			login := "demo+period-" + bank
			access := c.access(bank, login)
			read := func(days int) (ids map[string]bool, oldest string) {
				body := object{"credentials": object{"pin": password}}
				if days > 0 {
					body["sync_period"] = days
				}
				y := c.finish(c.start(access, body))
				require.Equal(t, "COMPLETED", y["status"], "%v\n%s", y, c.logs.complaints())
				ids, oldest = make(map[string]bool), "9999"
				for _, x := range c.transactions() {
					ids[x["transaction_id"].(string)] = true
					if booked := bookedOn(x); booked != "" {
						oldest = min(oldest, booked)
					}
				}
				return ids, oldest
			}
			ago := func(days int) string { return s.bank.Now().UTC().AddDate(0, 0, -days).Format(time.DateOnly) }

			month, oldest := read(30)
			require.GreaterOrEqual(t, oldest, ago(30))
			require.Less(t, oldest, ago(20))
			same, _ := read(10)
			require.Equal(t, month, same, "less is not taken away")
			same, _ = read(0)
			require.Equal(t, month, same, "nothing more was wanted")

			year, oldest := read(365)
			require.Less(t, oldest, ago(330))
			require.GreaterOrEqual(t, oldest, ago(365))
			for id := range month {
				require.True(t, year[id], "an id has changed")
			}
			asked := s.bank.Counters().ByLogin[login]["transactions"]
			same, _ = read(365)
			require.Equal(t, year, same)
			require.LessOrEqual(t, s.bank.Counters().ByLogin[login]["transactions"]-asked, 2, "it is not read again")

			whole := c.access(bank, login)
			require.Equal(t, "COMPLETED", c.sync(whole)["status"])
			var list struct{ Transactions []object }
			c.get("/rest/transactions?count=10000&accounts="+c.account(access), &list)
			some := len(list.Transactions)
			c.get("/rest/transactions?count=10000&until="+s.bank.Now().UTC().Format(time.DateOnly)+"&since="+oldest+"&accounts="+c.account(whole), &list)
			require.Len(t, list.Transactions, some, "as if it had been read at once")
		})
	}
	c := s.newCustomer()
	path := "/rest/accesses/" + c.access("demo", "demo+bounds") + "/syncs"
	for _, days := range []any{0, -1, 3651, 1.5, "30", nil} {
		require.Contains(t, c.refuse("POST", path, object{"sync_period": days}, 400, 1000), "sync_period")
	}
}

// account is an access's only account.
func (c *customer) account(access string) string {
	c.t.Helper()
	list := c.at("/rest/accounts?access_id=" + access)["accounts"].([]any)
	require.Len(c.t, list, 1)
	return list[0].(object)["account_id"].(string)
}
