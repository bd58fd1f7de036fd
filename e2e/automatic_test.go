package e2e_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/stretchr/testify/require"
	otelprometheus "go.opentelemetry.io/otel/exporters/prometheus"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.temporal.io/sdk/client"

	"github.com/kontoflow/kontoflow/sandbox"
	"github.com/kontoflow/kontoflow/workflows/contract"
)

// sweep runs the workflow that the Schedule runs, again while something waits, and waits until what was started has ended.
func (s *stack) sweep() (started int) {
	s.t.Helper()
	for {
		out := s.sweepAs("sweep-" + uuid.NewString())
		started += out.Started
		if !out.Waiting {
			return started
		}
	}
}

// sweepAs runs it once.
func (s *stack) sweepAs(id string) (out contract.AutomaticSynchronizationsOutcome) {
	s.t.Helper()
	out = s.startDue(id)
	require.Eventually(s.t, func() bool {
		var open int64
		require.NoError(s.t, s.store.DB.Raw(`SELECT count(*) FROM synchronizations WHERE trigger = 'AUTO' AND ended_at IS NULL`).Scan(&open).Error)
		return open == 0
	}, patience, 20*time.Millisecond)
	return out
}

// startDue runs it once, and does not wait for what it starts.
func (s *stack) startDue(id string) (out contract.AutomaticSynchronizationsOutcome) {
	s.t.Helper()
	run, err := s.temporal.ExecuteWorkflow(s.t.Context(), client.StartWorkflowOptions{ID: id, TaskQueue: s.queue},
		contract.AutomaticSynchronizations)
	require.NoError(s.t, err)
	require.NoError(s.t, run.Get(s.t.Context(), &out))
	return out
}

// autoSync is what the API tells of an access's automatic synchronization.
func (c *customer) autoSync(access string) (enabled bool, reason string, next time.Time, remaining int) {
	c.t.Helper()
	a := c.at("/rest/accesses/" + access)["auto_sync"].(object)
	if text, ok := a["next_sync_at"].(string); ok {
		var err error
		next, err = time.Parse(time.RFC3339, text)
		require.NoError(c.t, err)
	}
	reason, _ = a["reason"].(string)
	require.Equal(c.t, reason == "", a["enabled"])
	require.True(c.t, next.IsZero() || reason == "", "the time of the next one is there only where there is one")
	return reason == "", reason, next, int(a["remaining_today"].(float64))
}

// accessReadDaily adds an access whose customer was there once, and left their secrets.
func (c *customer) accessReadDaily(bank, login string) (access string) {
	c.t.Helper()
	access = c.access(bank, login)
	c.storeSecrets(access)
	return access
}

// storeSecrets reads an access with its customer, who leaves their secrets.
func (c *customer) storeSecrets(access string) {
	c.t.Helper()
	y := c.finish(c.start(access, object{"credentials": object{"pin": password}, "save_secrets": true}))
	require.Equal(c.t, "COMPLETED", y["status"], "%v", y)
}

// newest is the access's last synchronization.
func (c *customer) newest(access string) object {
	c.t.Helper()
	return c.at("/rest/accesses/" + access + "/syncs?count=1")["syncs"].([]any)[0].(object)
}

// TestEveryDay: an access whose secrets are stored is read once a day, at its own time, without anybody starting
// anything, and the API says so before.
func TestEveryDay(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	for _, bank := range []string{"demo", "fints"} {
		c := s.newCustomer()
		access := c.access(bank, "demo")
		_, reason, _, remaining := c.autoSync(access)
		require.Equal(t, "NO_STORED_SECRETS", reason)
		require.Equal(t, 4, remaining)

		c.storeSecrets(access)
		enabled, reason, next, remaining := c.autoSync(access)
		require.True(t, enabled, reason)
		require.Equal(t, 4, remaining, "their customer was there")
		now := s.bank.Now()
		require.WithinRange(t, next, now, now.Add(30*time.Hour))
		if next.Format(time.DateOnly) == now.UTC().Format(time.DateOnly) {
			require.GreaterOrEqual(t, next.Sub(now), 6*time.Hour-time.Minute, "not again right away")
		}
		require.Zero(t, s.sweep(), "nothing is due")

		challenges, before := s.bank.Counters().Challenges["demo"], len(c.transactions())
		for range 3 {
			s.bank.Advance(next.Sub(s.bank.Now()) + time.Second)
			require.Equal(t, 1, s.sweep())
			y := c.newest(access)
			require.Equal(t, "AUTO", y["trigger"])
			require.Equal(t, "COMPLETED", y["status"], "%v", y)
			require.Zero(t, s.sweep(), "once a day")
			s.bank.Advance(time.Minute) // yesterday's is more than a day ago
			_, _, again, remaining := c.autoSync(access)
			require.Equal(t, next.Add(24*time.Hour), again, "the same time every day")
			require.Equal(t, 3, remaining)
			next = again
		}
		require.Equal(t, challenges, s.bank.Counters().Challenges["demo"], "nobody was troubled")
		require.Greater(t, len(c.transactions()), before, "new bookings were read")
		c.call("DELETE", "/rest/accesses/"+access, c.auth, nil, 204, nil)
	}
}

// TestAutomaticEndsWhereTheCustomerIsNeeded: a challenge ends it at once; no TAN is sent, and it does not come back
// until a manual one succeeded.
func TestAutomaticEndsWhereTheCustomerIsNeeded(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	c := s.newCustomer()
	access := c.accessReadDaily("demo", "demo")
	_, _, next, _ := c.autoSync(access)
	s.bank.RevokeConsents("demo")
	challenges, logins := s.bank.Counters().Challenges["demo"], s.bank.Counters().Logins["demo"]

	s.bank.Advance(next.Sub(s.bank.Now()))
	require.Equal(t, 1, s.sweep())
	y := c.newest(access)
	require.Equal(t, "FAILED", y["status"])
	require.Equal(t, 10009, codeOf(y))
	require.Equal(t, "NEEDS_AUTH", c.at("/rest/accesses/" + access)["status"])
	_, reason, _, _ := c.autoSync(access)
	require.Equal(t, "CONSENT_EXPIRED", reason, "what they have to renew")
	for range 3 {
		s.bank.Advance(24 * time.Hour)
		require.Zero(t, s.sweep())
	}
	require.Equal(t, challenges, s.bank.Counters().Challenges["demo"], "no TAN was touched")
	require.Equal(t, logins, s.bank.Counters().Logins["demo"])

	require.Equal(t, "COMPLETED", c.sync(access)["status"])
	require.Equal(t, "ACTIVE", c.at("/rest/accesses/" + access)["status"])
	enabled, reason, next, _ := c.autoSync(access)
	require.True(t, enabled, reason)
	s.bank.Advance(next.Sub(s.bank.Now()))
	require.Equal(t, 1, s.sweep())
	require.Equal(t, "COMPLETED", c.newest(access)["status"])
}

// TestNextTimeUnderTheConsent: what the API tells as the next time comes true. After the last one that the bank's consent
// reaches to it tells none, until the consent has ended and the customer has renewed it.
func TestNextTimeUnderTheConsent(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	c := s.newCustomer()
	c.login = "demo"
	var created object
	c.post("/rest/accesses", object{"access_method_id": c.method("demo"), "credentials": object{"login": c.login},
		"consent": object{"recurring": true, "period": 2}}, 201, &created)
	access := created["id"].(string)
	c.storeSecrets(access)
	end, err := time.Parse(time.RFC3339, c.at("/rest/accesses/" + access)["consent"].(object)["expires_at"].(string))
	require.NoError(t, err)
	comesTrue := func(next time.Time) {
		t.Helper()
		s.bank.Advance(next.Sub(s.bank.Now()))
		require.Equal(t, 1, s.sweep())
		require.Equal(t, "COMPLETED", c.newest(access)["status"])
	}

	times := 0
	enabled, reason, next, _ := c.autoSync(access)
	for ; !next.IsZero(); enabled, reason, next, _ = c.autoSync(access) {
		require.True(t, next.Before(end), "%s, and the consent ends at %s", next, end)
		comesTrue(next)
		times++
	}
	require.GreaterOrEqual(t, times, 2, "on every day of it")
	require.True(t, enabled, reason)
	require.True(t, s.bank.Now().Before(end))

	s.bank.Advance(end.Sub(s.bank.Now()))
	_, reason, _, _ = c.autoSync(access)
	require.Equal(t, "CONSENT_EXPIRED", reason)
	require.Zero(t, s.sweep())
	c.storeSecrets(access)
	_, _, next, _ = c.autoSync(access)
	comesTrue(next)
}

// TestUnattendedReadsAreCounted: four in any 24 hours; the fifth is refused with the time when there is one again. With
// its customer present, a synchronization costs nothing.
func TestUnattendedReadsAreCounted(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	c := s.newCustomer()
	access := c.accessReadDaily("demo", "demo")

	c.absent = true
	for left := 3; left >= 0; left-- {
		require.Equal(t, "COMPLETED", c.finish(c.start(access, object{}))["status"])
		_, _, _, remaining := c.autoSync(access)
		require.Equal(t, left, remaining)
		s.bank.Advance(time.Hour)
	}
	var refused object
	c.call("POST", "/rest/accesses/"+access+"/syncs", c.auth, object{}, 429, &refused)
	failure := refused["error"].(object)
	require.EqualValues(t, 1020, failure["code"])
	retry, err := time.Parse(time.RFC3339, failure["data"].(object)["retry_at"].([]any)[0].(string))
	require.NoError(t, err)
	require.WithinDuration(t, s.bank.Now().Add(20*time.Hour), retry, 10*time.Minute, "24 hours after the first of them")
	c.absent = false
	require.Equal(t, "COMPLETED", c.finish(c.start(access, object{}))["status"], "their customer is there")

	c.absent = true
	s.bank.Advance(retry.Sub(s.bank.Now()) + time.Second)
	_, _, _, remaining := c.autoSync(access)
	require.Equal(t, 1, remaining)
	require.Equal(t, "COMPLETED", c.finish(c.start(access, object{}))["status"])
	c.call("POST", "/rest/accesses/"+access+"/syncs", c.auth, object{}, 429, nil)
}

// TestLostReadsAreCounted: a bank that counts a read whose answer is lost is not asked more often than it lets. A
// synchronization without the customer asks it once, and the next one comes after an hour, and after six.
func TestLostReadsAreCounted(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	c := s.newCustomer()
	access := c.accessReadDaily("demo", "demo")
	_, _, next, _ := c.autoSync(access)
	s.bank.Advance(next.Sub(s.bank.Now()))
	require.NoError(t, s.bank.Inject(sandbox.Fault{Bank: "demo", Endpoint: "transactions", Action: sandbox.ActLose}))
	reads := func() int { return s.bank.Counters().Calls["demo/transactions"] }
	before := reads()
	for attempt, after := range []time.Duration{0, time.Hour, 6 * time.Hour} {
		s.bank.Advance(after)
		require.Equal(t, 1, s.sweep())
		require.Equal(t, 30006, codeOf(c.newest(access)))
		require.Equal(t, before+attempt+1, reads())
	}
	c.absent = true
	require.Equal(t, 30006, codeOf(c.finish(c.start(access, object{}))))
	require.Equal(t, before+4, reads())
	c.call("POST", "/rest/accesses/"+access+"/syncs", c.auth, object{}, 429, nil)
	require.Empty(t, s.bank.Counters().Exceeded)

	s.bank.ClearFaults()
	_, _, next, _ = c.autoSync(access)
	s.bank.Advance(next.Sub(s.bank.Now()))
	require.Equal(t, 1, s.sweep())
	require.Equal(t, "COMPLETED", c.newest(access)["status"])
}

// TestDisabled: an account that its client does not want to be read by itself is left alone, and an access all of whose
// accounts are so has nothing automatic.
func TestDisabled(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	c := s.newCustomer()
	access := c.accessReadDaily("demo", "savings")
	accounts := c.at("/rest/accounts")["accounts"].([]any)
	require.Greater(t, len(accounts), 1)
	id := func(i int) string { return accounts[i].(object)["account_id"].(string) }
	c.call("PUT", "/rest/accounts/"+id(0), c.auth, object{"auto_sync": false}, 200, nil)

	_, _, next, _ := c.autoSync(access)
	s.bank.Advance(next.Sub(s.bank.Now()))
	require.Equal(t, 1, s.sweep())
	y := c.newest(access)
	require.Equal(t, "COMPLETED", y["status"])
	require.Len(t, y["accounts"], len(accounts)-1)
	for _, read := range y["accounts"].([]any) {
		require.NotEqual(t, id(0), read.(object)["account_id"])
	}

	for i := range accounts {
		c.call("PUT", "/rest/accounts/"+id(i), c.auth, object{"auto_sync": false}, 200, nil)
	}
	_, reason, _, _ := c.autoSync(access)
	require.Equal(t, "DISABLED", reason)
	s.bank.Advance(48 * time.Hour)
	require.Zero(t, s.sweep())
	require.Equal(t, "COMPLETED", c.sync(access)["status"], "by hand it is read")
}

// TestStartedEvenly: what is due all at once is started at the pace that the operator gives.
func TestStartedEvenly(t *testing.T) {
	t.Parallel()
	const many, perSecond = 9, 2
	s := newStack(t, withBankClock(), func(s *stack) { s.workerOptions.AutoSync.PerSecond = perSecond })
	c := s.newCustomer()
	accesses := c.accessesReadDaily(many)
	s.bank.Advance(30 * time.Hour)
	require.Equal(t, many, s.sweep())
	s.requireReadOn(1, accesses)
	var syncs []string
	require.NoError(t, s.store.DB.Raw(`SELECT id FROM synchronizations WHERE trigger = 'AUTO'`).Scan(&syncs).Error)
	var first, last time.Time
	for _, id := range syncs {
		d, err := s.temporal.DescribeWorkflowExecution(t.Context(), id, "")
		require.NoError(t, err)
		started := d.WorkflowExecutionInfo.StartTime.AsTime()
		if first.IsZero() || started.Before(first) {
			first = started
		}
		if started.After(last) {
			last = started
		}
	}
	const apart = (many - 1) * time.Second / perSecond
	require.GreaterOrEqual(t, last.Sub(first), apart-time.Second, "of the first, the way to Temporal may take longer")
}

// TestWrongStoredPIN: a stored PIN that is no longer right is tried once, and automatic synchronization does not come back
// before a manual one succeeded. Over XS2A nobody is logged in without the customer, so it is they who find out.
func TestWrongStoredPIN(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	for bank, manually := range map[string]bool{"fints": false, "demo": true} {
		c := s.newCustomer()
		login := "demo+" + bank
		access := c.accessReadDaily(bank, login)
		require.NoError(t, s.bank.ChangePassword(login, "another-"+password))
		if manually {
			s.bank.RevokeConsents(login)
		}
		logins, due := s.bank.Counters().Logins[login], func() int {
			t.Helper()
			s.bank.Advance(30 * time.Hour)
			return s.sweep()
		}

		require.Equal(t, 1, due())
		y := c.newest(access)
		require.Equal(t, "FAILED", y["status"])
		_, reason, _, _ := c.autoSync(access)
		if manually {
			require.Equal(t, 10009, codeOf(y))
			require.Equal(t, "CONSENT_EXPIRED", reason)
			require.Equal(t, logins, s.bank.Counters().Logins[login], "no PIN without the customer")
			require.Equal(t, 10001, codeOf(c.finish(c.start(access, object{}))), "the stored one")
			_, reason, _, _ = c.autoSync(access)
		} else {
			require.Equal(t, 10001, codeOf(y))
		}
		require.Equal(t, "WRONG_CREDENTIALS", reason)
		for range 3 {
			require.Zero(t, due())
		}
		require.Equal(t, 1, s.bank.Counters().WrongPINs[login], "tried once")
		require.Equal(t, logins+1, s.bank.Counters().Logins[login])

		// Another wrong one changes nothing; the right one does.
		require.Equal(t, 10001, codeOf(c.finish(c.start(access, object{"credentials": object{"pin": "nonsense"}, "save_secrets": true}))))
		require.Zero(t, due())
		s.canaries.add("the new password", "another-"+password)
		require.Equal(t, "COMPLETED", c.finish(c.start(access, object{"credentials": object{"pin": "another-" + password}, "save_secrets": true}))["status"])
		enabled, reason, _, _ := c.autoSync(access)
		require.True(t, enabled, reason)
		require.Equal(t, 1, due())
		require.Equal(t, "COMPLETED", c.newest(access)["status"])
		require.Equal(t, 2, s.bank.Counters().WrongPINs[login])
		c.call("DELETE", "/rest/accesses/"+access, c.auth, nil, 204, nil)
	}
}

// TestWhatIsLate: the metrics tell for how long accesses wait that are due, as long as they are on, and for how long banks
// are owed revocations.
func TestWhatIsLate(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewRegistry()
	exporter, err := otelprometheus.New(otelprometheus.WithRegisterer(registry))
	require.NoError(t, err)
	s := newStack(t, withBankClock(), func(s *stack) {
		s.workerOptions.Meter = sdkmetric.NewMeterProvider(sdkmetric.WithReader(exporter)).Meter("kontoflow")
	})
	late := func(what string) (seconds float64) {
		t.Helper()
		measured := httptest.NewRecorder()
		promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(measured, httptest.NewRequestWithContext(t.Context(), "GET", "/metrics", nil))
		for line := range strings.Lines(measured.Body.String()) {
			if strings.HasPrefix(line, what+"{") {
				_, err := fmt.Sscan(line[strings.LastIndex(line, " "):], &seconds)
				require.NoError(t, err)
				return seconds
			}
		}
		require.Fail(t, "not measured", what)
		return 0
	}
	c := s.newCustomer()
	off, on := c.access("demo", "demo+off"), c.accessReadDaily("demo", "demo+on")
	require.NoError(t, s.store.DB.Exec(`UPDATE accesses SET next_sync_at = ? WHERE id = ?`, s.bank.Now().Add(-time.Hour), off).Error)
	require.Zero(t, late("kontoflow_auto_sync_oldest_seconds"), "what is due is off")
	require.Zero(t, late("kontoflow_revocation_oldest_seconds"))
	_, _, next, _ := c.autoSync(on)
	s.bank.Advance(next.Add(time.Hour).Sub(s.bank.Now()))
	require.InDelta(t, 3600, late("kontoflow_auto_sync_oldest_seconds"), 300)
	require.Equal(t, 1, s.sweep())
	require.Zero(t, late("kontoflow_auto_sync_oldest_seconds"))

	require.NoError(t, s.bank.Inject(sandbox.Fault{Endpoint: "consents.delete", Action: sandbox.ActStatus, Status: 503}))
	c.call("DELETE", "/rest/accesses/"+on, c.auth, nil, 204, nil)
	s.bank.Advance(2 * time.Hour)
	require.InDelta(t, 7200, late("kontoflow_revocation_oldest_seconds"), 300)
	s.bank.ClearFaults()
	c.revoked(on)
	require.Zero(t, late("kontoflow_revocation_oldest_seconds"))
}
