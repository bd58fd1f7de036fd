package e2e_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/rules"
	"github.com/kontoflow/kontoflow/sandbox"
	"github.com/kontoflow/kontoflow/worker"
)

// monthBanks are the banks of TestSimulatedMonth: nine XS2A dialects, and FinTS.
var monthBanks = []string{"demo", "recurring", "statements", "oauth", "signed", "encrypted", "legacy", "token", "apikey", "fints"}

// monthPersonas are its customers: how their bank's data behaves from day to day.
var monthPersonas = []string{"demo", "pending", "freshids", "movingdates", "sharedids"}

// TestSimulatedMonth lives through thirty days of the bank's and the scheduler's clock, with faults switched on and off:
// every eligible access is read every day, never more than four times in any 24 hours without its customer, no login
// follows a wrong PIN, no transaction is lost or doubled, and every consent's end is announced in time.
//
// MONTH_ACCESSES is the number of accesses (10), MONTH_STEP the hours between two looks of the scheduler (4).
// Run it whole with MONTH_ACCESSES=2000 MONTH_STEP=2.
func TestSimulatedMonth(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some minutes")
	}
	t.Parallel()
	m := newMonth(t, setting(t, "MONTH_ACCESSES", 10), time.Duration(setting(t, "MONTH_STEP", 4))*time.Hour)
	begun := time.Now()
	m.open()
	t.Logf("%d accesses opened in %s", len(m.accesses), time.Since(begun).Round(time.Second))

	const days = 30
	for day := range days {
		m.events(day)
		m.live()
		t.Logf("day %d is over after %s", day+1, time.Since(begun).Round(time.Second))
	}
	m.bank.ClearFaults()
	m.checkDays()
	m.checkLimits()
	m.checkWarnings()
	m.checkLedgers()
	var runs int64
	require.NoError(t, m.store.DB.Model(&models.Synchronization{}).Where("trigger = 'AUTO'").Count(&runs).Error)
	t.Logf("%d accesses, %d days, %d automatic synchronizations in %s", len(m.accesses), days, runs, time.Since(begun).Round(time.Second))
}

// A month is the test's world.
type month struct {
	*stack
	step     time.Duration
	midnight time.Time // at which the present day began
	accesses []*monthly
	byID     map[uuid.UUID]*monthly
	outages  map[string]bool // banks that are closed for the whole present day
	lossy    map[string]bool // banks that lose answers on it
	opens    time.Time       // when what is closed opens again; zero: nothing does today
	heard    *heard
}

// A monthly is one access in it.
type monthly struct {
	*customer
	id       uuid.UUID
	path     string
	bankPath string
	secret   bool // its access method asks for a PIN; others lead to the bank's own pages
	pin      string
	first    map[string][]string // what the bank showed on the first day, by account
	days     []monthDay          // those on which it was eligible from beginning to end, and its bank open
	broken   rules.Reason        // why nothing automatic may go on, once it is noticed, until the day repair
	repair   int                 // the day on which its customer mends it; 0: nothing is broken
	ends     []time.Time         // of the consents that it had
}

// A monthDay is a day on which an access is to be read.
type monthDay struct {
	from time.Time // midnight
	to   time.Time // the latest that it may have been read
}

func newMonth(t *testing.T, accesses int, step time.Duration) *month {
	m := &month{step: step, byID: map[uuid.UUID]*monthly{}, heard: &heard{first: map[string]time.Time{}}}
	m.stack = newStack(t, withBankClock(), func(s *stack) {
		s.workerOptions.AutoSync = worker.AutoSync{PerBank: 20, Whole: 64}
		s.workerOptions.LoopbackReceivers = true
	})
	receiver := httptest.NewServer(m.heard)
	t.Cleanup(receiver.Close)

	const perCustomer = 10
	var c *customer
	for i := range accesses {
		if i%perCustomer == 0 {
			c = m.newCustomer()
			c.post("/rest/notifications", object{"observe_key": "/rest/accesses", "notify_uri": receiver.URL}, 201, nil)
		}
		bank := monthBanks[i%len(monthBanks)]
		own := *c // each has its login
		own.login = fmt.Sprintf("%s+%s%d", monthPersonas[(i+i/len(monthBanks))%len(monthPersonas)], bank, i)
		m.accesses = append(m.accesses, &monthly{customer: &own, bankPath: bank, pin: password})
	}
	return m
}

// open adds the accesses, and reads each for the first time with its customer. Of every other one the consent ends
// within the month.
func (m *month) open() {
	together(m.t, m.accesses, func(i int, a *monthly) {
		body := object{"access_method_id": a.method(a.bankPath), "credentials": object{"login": a.login}}
		if i%2 == 1 && a.bankPath != "fints" {
			body["consent"] = object{"recurring": true, "period": 20}
		}
		var access object
		a.post("/rest/accesses?embed=access_method", body, 201, &access)
		a.secret = len(access["access_method"].(object)["credentials"].([]any)) > 1
		a.path, a.id = "/rest/accesses/"+access["id"].(string), uuid.MustParse(access["id"].(string))
		a.read()
	})
	for _, a := range m.accesses {
		m.byID[a.id] = a
		a.first = map[string][]string{}
		for account, lines := range a.atBank(a.login, false) {
			a.first[number(account)] = lines
		}
	}
	m.midnight = m.bank.Now().Truncate(day).Add(day)
	m.bank.Advance(m.midnight.Sub(m.bank.Now()))
}

// read is a synchronization with the customer, which stores their secrets.
func (a *monthly) read() {
	a.renewToken() // a whole month takes longer than a token lives
	body := object{}
	if a.secret {
		body = object{"credentials": object{"pin": a.pin}, "save_secrets": true}
	}
	y := a.finish(a.start(a.id.String(), body))
	require.Equal(a.t, "COMPLETED", y["status"], "%s at %s: %v", a.login, a.bankPath, y["error"])
	if end, ok := a.at(a.path)["consent"].(object)["expires_at"].(string); ok {
		at, err := time.Parse(time.RFC3339, end)
		require.NoError(a.t, err)
		if !slices.Contains(a.ends, at) {
			a.ends = append(a.ends, at)
		}
	}
}

// events is what goes wrong, and what is mended, at the beginning of a day.
func (m *month) events(day int) {
	m.bank.ClearFaults()
	m.outages, m.lossy, m.opens = map[string]bool{}, map[string]bool{}, time.Time{}
	inject := func(f sandbox.Fault) { require.NoError(m.t, m.bank.Inject(f)) }
	closed := func(bank string) {
		inject(sandbox.Fault{Bank: bank, Endpoint: "*", Action: sandbox.ActStatus, Status: 503, Code: "SERVICE_UNAVAILABLE"})
	}
	switch day {
	case 3:
		closed("demo")
		m.opens = m.midnight.Add(5 * time.Hour)
	case 5:
		inject(sandbox.Fault{Bank: "statements", Endpoint: "*", Every: 3, Action: sandbox.ActDrop})
		m.lossy["statements"] = true
	case 7:
		inject(sandbox.Fault{Bank: "fints", Endpoint: "transactions", Every: 2, Action: sandbox.ActDrop})
	case 9:
		inject(sandbox.Fault{Bank: "encrypted", Endpoint: "transactions", Every: 2, Action: sandbox.ActLose})
		m.lossy["encrypted"] = true
	case 10:
		inject(sandbox.Fault{Bank: "oauth", Endpoint: "transactions", Every: 2, Action: sandbox.ActTruncate})
		m.lossy["oauth"] = true
	case 12:
		closed("legacy")
		m.outages["legacy"] = true
	case 15:
		inject(sandbox.Fault{Endpoint: "balances", Every: 4, Action: sandbox.ActStatus, Status: 500, Code: "INTERNAL_SERVER_ERROR"})
	}
	for i, a := range m.accesses {
		switch {
		case day == 8 && a.bankPath == "fints" && i%20 == 9:
			a.pin = "another-" + password
			m.canaries.add("the new PIN", a.pin)
			require.NoError(m.t, m.bank.ChangePassword(a.login, a.pin))
			a.broken, a.repair = rules.WrongCredentials, day+4
		case day == 16 && a.bankPath == "signed":
			m.bank.RevokeConsents(a.login)
			a.broken, a.repair = rules.ConsentExpired, day+3
		}
	}
	var mended []*monthly
	for _, a := range m.accesses {
		expired := !a.end().IsZero() && !a.end().After(m.bank.Now())
		if a.repair != 0 && a.repair <= day || expired {
			mended = append(mended, a)
		}
	}
	together(m.t, mended, func(_ int, a *monthly) {
		a.read()
		a.repair = 0
	})
}

// live goes through a day, and notes which accesses were eligible all through it.
func (m *month) live() {
	eligible := maps.Clone(m.byID)
	next := m.midnight.Add(day)
	for hour := m.midnight; hour.Before(next); hour = hour.Add(m.step) {
		m.until(hour)
		if !m.opens.IsZero() && !hour.Before(m.opens) {
			m.bank.ClearFaults()
			m.opens = time.Time{}
		}
		began, before, looked := m.bank.Now(), m.standings(), m.bank.Now()
		m.sweep()
		done, after, over := m.bank.Now(), m.standings(), m.bank.Now()
		for id, a := range m.byID {
			was, is := before[id], after[id]
			a.requireReason(was.Reason, began, looked)
			a.requireReason(is.Reason, done, over)
			switch {
			case was.Reason != "" || is.Reason != "":
				delete(eligible, id)
			case was.NextSyncAt.IsZero(): // not before the consent's end
				require.Less(m.t, a.end().Sub(looked), 30*time.Hour)
				require.Zero(m.t, is.NextSyncAt)
			case was.NextSyncAt.After(done):
				require.Equal(m.t, was.NextSyncAt, is.NextSyncAt, "nothing ran before its time")
			case !was.NextSyncAt.After(looked):
				require.True(m.t, is.NextSyncAt.After(looked) || is.NextSyncAt.IsZero(), "what was due ran")
			}
		}
	}
	m.until(next)
	m.sweep() // what was due in the day's last hours
	for _, a := range eligible {
		d := monthDay{m.midnight, next.Add(m.step)} // when the scheduler looks for the first time after it
		if m.lossy[a.bankPath] {
			d.to = d.to.Add(6*time.Hour + m.step) // it comes again after an hour, and after six
		}
		if !m.outages[a.bankPath] {
			a.days = append(a.days, d)
		}
	}
	m.midnight = next
}

// requireReason holds why an access's automatic synchronization is off, as told between two moments, against what has
// happened to it: nothing else may keep it from being read.
func (a *monthly) requireReason(reason rules.Reason, from, to time.Time) {
	a.t.Helper()
	end := a.end()
	switch {
	case !end.IsZero() && !end.After(from):
		require.Equal(a.t, rules.ConsentExpired, reason, "%s at %s: the consent ended at %s", a.login, a.bankPath, end)
	case !end.IsZero() && !end.After(to): // at this very moment
	case a.repair != 0 && reason != "": // it is noticed by the next read
		require.Equal(a.t, a.broken, reason, "%s at %s", a.login, a.bankPath)
	default:
		require.Empty(a.t, reason, "%s at %s", a.login, a.bankPath)
	}
}

// end is when the access's consent ends; zero: it has none.
func (a *monthly) end() time.Time {
	if len(a.ends) == 0 {
		return time.Time{}
	}
	return a.ends[len(a.ends)-1]
}

// until moves the clocks on to a time.
func (m *month) until(at time.Time) {
	if ahead := at.Sub(m.bank.Now()); ahead > 0 {
		m.bank.Advance(ahead)
	}
}

// standings is what the API's auto_sync is made of, for all accesses at once.
func (m *month) standings() map[uuid.UUID]models.AutoSync {
	all, err := models.AutoSyncs(m.store.DB.WithContext(m.t.Context()), slices.Collect(maps.Keys(m.byID))...)
	require.NoError(m.t, err)
	return all
}

// checkDays: every eligible access was read on every day, at the latest when the scheduler looked for the first time after it,
// or by the last retry of it where the bank had lost answers.
func (m *month) checkDays() {
	m.t.Helper()
	var reads []models.Synchronization
	require.NoError(m.t, m.store.DB.Order("ended_at").Find(&reads, `status = 'COMPLETED' AND NOT EXISTS (
		SELECT FROM synchronization_accounts w WHERE w.sync_id = synchronizations.id AND w.status = 'FAILED')`).Error)
	ends := map[uuid.UUID][]time.Time{}
	for _, y := range reads {
		ends[y.AccessID] = append(ends[y.AccessID], *y.EndedAt)
	}
	for _, a := range m.accesses {
		require.GreaterOrEqual(m.t, len(a.days), 24, "%s at %s is eligible on most days", a.login, a.bankPath)
		for _, d := range a.days {
			require.True(m.t, slices.ContainsFunc(ends[a.id], func(end time.Time) bool { return end.After(d.from) && end.Before(d.to) }),
				"%s at %s was not read on %s", a.login, a.bankPath, d.from.Format(time.DateOnly))
		}
	}
}

// checkLimits: the bank never had to refuse a read, and nobody tried a PIN that it had refused.
func (m *month) checkLimits() {
	m.t.Helper()
	counters := m.bank.Counters()
	require.Empty(m.t, counters.Exceeded, "more than four unattended reads in 24 hours")
	require.NotEmpty(m.t, counters.Unattended)
	wrong := map[string]int{}
	for _, a := range m.accesses {
		if a.pin != password {
			wrong[a.login] = 1
		}
	}
	require.Equal(m.t, wrong, counters.WrongPINs, "a PIN that the bank refused is not tried again")
	var most int
	require.NoError(m.t, m.store.DB.Raw(`SELECT max(n) FROM (SELECT count(*) AS n FROM synchronizations y
		JOIN synchronizations x ON x.access_id = y.access_id AND x.unattended AND x.started_at >= y.started_at AND x.started_at < y.started_at + interval '24 hours'
		WHERE y.unattended GROUP BY y.id) w`).Scan(&most).Error)
	require.LessOrEqual(m.t, most, rules.DailyReads)
}

// checkWarnings: every consent's end was announced seven days ahead.
func (m *month) checkWarnings() {
	m.t.Helper()
	warned := 0
	for _, a := range m.accesses {
		for _, end := range a.ends {
			from := end.Add(-7 * day)
			if !from.Before(m.midnight.Add(-m.step)) {
				continue
			}
			warned++
			require.Eventually(m.t, func() bool { return !m.heard.of(a.id, end).IsZero() }, patience, 20*time.Millisecond,
				"%s at %s: nobody said that the consent ends at %s", a.login, a.bankPath, end)
			require.WithinRange(m.t, m.heard.of(a.id, end), from, from.Add(m.step+time.Hour))
		}
	}
	require.Greater(m.t, warned, len(m.accesses)/4)
}

// checkLedgers: after a last reading by hand, what is stored is what the banks have, no more and no less; and before the
// days that they still show, what they had on the first day.
func (m *month) checkLedgers() {
	m.t.Helper()
	together(m.t, m.accesses, func(_ int, a *monthly) { a.read() })
	want := map[string]map[string][]string{}
	for _, a := range m.accesses {
		if want[a.customer.id] == nil {
			want[a.customer.id] = map[string][]string{}
		}
		for account, shown := range a.atBank(a.login, false) {
			// A week more, since dates that move come and go at the edge.
			oldest, err := time.Parse(time.DateOnly, shown[0][:len(time.DateOnly)])
			require.NoError(m.t, err)
			edge := oldest.Add(7 * day).Format(time.DateOnly)
			before := slices.DeleteFunc(slices.Clone(a.first[number(account)]), func(line string) bool { return line >= edge })
			since := slices.DeleteFunc(shown, func(line string) bool { return line < edge })
			require.NotEmpty(m.t, before, "the bank shows less than on the first day")
			want[a.customer.id][account] = append(before, since...)
		}
	}
	checked := map[string]bool{}
	for _, a := range m.accesses {
		if !checked[a.customer.id] {
			checked[a.customer.id] = true
			a.requireSame(want[a.customer.id], a.stored(false))
		}
	}
}

// number is an account's, without the balance that atBank adds.
func number(account string) string { return account[:strings.LastIndexByte(account, ' ')] }

// heard is a receiver of notifications that keeps when consents' ends were announced.
type heard struct {
	mu    sync.Mutex
	first map[string]time.Time // access and end → when
}

func (h *heard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var said struct {
		CreatedAt time.Time `json:"created_at"`
		Data      struct {
			AccessID  string `json:"access_id"`
			Event     string
			ExpiresAt time.Time `json:"expires_at"`
		}
	}
	if err := json.NewDecoder(r.Body).Decode(&said); err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	key := said.Data.AccessID + said.Data.ExpiresAt.String()
	if _, known := h.first[key]; !known && said.Data.Event == string(models.EventConsentExpiring) {
		h.first[key] = said.CreatedAt
	}
}

func (h *heard) of(access uuid.UUID, end time.Time) time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.first[access.String()+end.String()]
}

// setting is a number from the environment.
func setting(t *testing.T, name string, otherwise int) int {
	text := os.Getenv(name)
	if text == "" {
		return otherwise
	}
	n, err := strconv.Atoi(text)
	require.NoError(t, err, name)
	return n
}
