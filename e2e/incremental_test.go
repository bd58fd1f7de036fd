package e2e_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/internal/civil"
	"github.com/kontoflow/kontoflow/sandbox"
)

const day = 24 * time.Hour

// TestDayByDay lets days pass at the bank, and synchronizes customers with all kinds of histories after each: what is
// stored is what the bank has, every transaction keeps its id, and a synchronization that is repeated changes nothing.
func TestDayByDay(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	followers := []*follower{
		{bank: "demo", login: "demo"},
		{bank: "demo", login: "pending"},
		{bank: "demo", login: "noids"},
		{bank: "demo", login: "placeholders"},
		{bank: "demo", login: "sharedids"},
		{bank: "demo", login: "freshids"},
		{bank: "demo", login: "movingdates"},
		{bank: "demo", login: "swappeddates"},
		{bank: "demo", login: "card"},
		{bank: "demo", login: "currencies"},
		{bank: "demo", login: "file"},
		{bank: "recurring", login: "demo+recurring"},
		{bank: "statements", login: "demo+statements"},
	}
	for i, days := range []int{0, 1, 1, 1, 2, 1, 12, 20} { // Wednesday, Thursday, Friday, Saturday, Monday, Tuesday, …
		s.bank.Advance(time.Duration(days) * day)
		t.Run(fmt.Sprintf("%d_%s", i, s.bank.Now().Format("2006-01-02")), func(t *testing.T) {
			for _, f := range followers {
				t.Run(f.login, func(t *testing.T) {
					t.Parallel()
					asked := f.follow(t, s)
					require.False(t, asked && i > 0, "the consent is valid, but the customer is asked")
				})
			}
		})
		if t.Failed() {
			return
		}
	}
	for _, f := range followers {
		if f.login == "demo" || f.login == "card" {
			require.Positive(t, f.settled, "%s: no transaction kept its id from pending to booked", f.login)
		}
	}
}

// A follower is a customer with an access that is synchronized again and again.
type follower struct {
	bank, login string

	user    *customer
	access  string
	known   map[string]object // transactions of the last time, by id
	cursor  string            // of the changes feed
	settled int               // how many were pending before, and are booked under the same id
	times   int               // followed so far
}

// follow synchronizes, and holds the outcome against the bank and what was known before. It tells whether the customer
// was asked.
func (f *follower) follow(t *testing.T, s *stack) (asked bool) {
	if f.user == nil {
		f.user = s.in(t).newCustomer()
		f.access = f.user.access(f.bank, f.login)
	}
	c := *f.user
	c.stack = s.in(t)

	sync := c.start(f.access, object{"credentials": c.secrets(f.bank)})
	y := c.until(sync, "")
	asked = y["status"] == "AWAIT_AUTH"
	y = c.finish(sync)
	require.Equal(t, "COMPLETED", y["status"], "%v", y)
	f.compare(&c)

	now := make(map[string]object)
	for _, x := range c.transactions() {
		now[x["transaction_id"].(string)] = x
	}
	for id, before := range f.known {
		x, there := now[id]
		switch {
		case before["booked"] == true:
			require.True(t, there, "lost: %v", before)
			require.Equal(t, true, x["booked"], "%v", x)
			require.Equal(t, before["amount"], x["amount"], "%v", x)
			require.Equal(t, before["created_at"], x["created_at"], "%v", x)
		case there && x["booked"] == true:
			f.settled++
		}
	}
	progress := y["progress"].(object)
	require.Equal(t, progress["accounts_total"], progress["accounts_done"])
	added, removed := int(progress["transactions_added"].(float64)), int(progress["transactions_removed"].(float64))
	require.Equal(t, len(f.known)+added-removed, len(now), "%v", progress)
	f.applyChanges(&c, progress)
	require.Equal(t, now, f.known)

	if f.times++; f.times%3 != 1 {
		return asked
	}
	// The same again, at once.
	y = c.finish(c.start(f.access, object{"credentials": c.secrets(f.bank)}))
	require.Equal(t, "COMPLETED", y["status"])
	for _, what := range []string{"transactions_added", "transactions_modified", "transactions_removed"} {
		require.EqualValues(t, 0, y["progress"].(object)[what], "%s although nothing happened", what)
	}
	f.applyChanges(&c, y["progress"].(object))
	return asked
}

// applyChanges brings what is known up to date by the changes feed, which tells what the progress has counted.
func (f *follower) applyChanges(c *customer, progress object) {
	c.t.Helper()
	added, modified, removed := c.changes(&f.cursor)
	require.EqualValues(c.t, progress["transactions_added"], len(added))
	require.EqualValues(c.t, progress["transactions_modified"], len(modified))
	require.EqualValues(c.t, progress["transactions_removed"], len(removed))
	if f.known == nil {
		f.known = make(map[string]object)
	}
	for id, x := range added {
		require.NotContains(c.t, f.known, id)
		f.known[id] = x
	}
	for id, x := range modified {
		require.Contains(c.t, f.known, id)
		f.known[id] = x
	}
	for _, id := range removed {
		require.Contains(c.t, f.known, id)
		delete(f.known, id)
	}
}

// compare holds what is stored against what the bank shows now. What it shows no longer is still stored: the last week
// of its history is left out, where dates that move come and go.
func (f *follower) compare(c *customer) {
	c.t.Helper()
	oldest := civil.On(c.bank.Now())
	ledgers, err := c.bank.Ledgers(f.login)
	require.NoError(c.t, err)
	for _, l := range ledgers {
		for _, e := range l.Entries {
			oldest = min(oldest, e.BookingDate)
		}
	}
	since := func(all map[string][]string) map[string][]string {
		for account, lines := range all {
			all[account] = slices.DeleteFunc(lines, func(l string) bool { return l < oldest.AddDays(7).String() })
		}
		return all
	}
	c.requireSame(since(c.atBank(f.login, false)), since(c.stored(false)))
}

// TestReformattedHistory: a bank writes all of its history anew overnight. The same bookings under other ids and in
// other words are the same transactions.
func TestReformattedHistory(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	for _, login := range []string{"demo", "pending", "noids", "sharedids"} {
		f := &follower{bank: "demo", login: login}
		f.follow(t, s)
		before := slices.Sorted(maps.Keys(f.known))
		require.NoError(t, s.bank.Reformat(login))
		y := f.user.sync(f.access)
		require.Equal(t, "COMPLETED", y["status"])
		require.EqualValues(t, 0, y["progress"].(object)["transactions_added"], "%s: doubled", login)
		require.EqualValues(t, 0, y["progress"].(object)["transactions_removed"], "%s: lost", login)
		f.compare(f.user)
		var after []string
		for _, x := range f.user.transactions() {
			after = append(after, x["transaction_id"].(string))
		}
		require.ElementsMatch(t, before, after, login)

		// A day later, and back again.
		s.bank.Advance(day)
		require.NoError(t, s.bank.Reformat(login))
		f.follow(t, s)
	}
}

// TestConsentEnds: after the consent has expired, or was revoked at the bank, the customer is asked again, and the new
// consent opens the same accounts, though the bank calls them otherwise.
func TestConsentEnds(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*sandbox.Bank, string){
		"expired": func(b *sandbox.Bank, _ string) { b.Advance(182 * day) },
		"revoked": func(b *sandbox.Bank, login string) { b.RevokeConsents(login) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStack(t, withBankClock())
			for _, f := range []*follower{
				{bank: "demo", login: "currencies"},
				{bank: "demo", login: "redirect"},
				{bank: "oauth", login: "savings+oauth"},
				{bank: "legacy", login: "demo+legacy"},
				{bank: "prestep", login: "demo+prestep"},
			} {
				f.follow(t, s)
				c := f.user
				accounts, handles := c.accountIDs(), c.resourceIDs()
				first := c.consent(f.access)
				require.Equal(t, "ACTIVE", first[len(first)-1]["status"])

				end(s.bank, f.login)
				require.True(t, f.follow(t, s), f.login)
				require.Equal(t, accounts, c.accountIDs())
				for _, handle := range c.resourceIDs() {
					require.NotContains(t, handles, handle)
				}
				require.Equal(t, 2, s.bank.Counters().Consents[f.login])

				all := c.consent(f.access)
				require.Len(t, all, 2)
				require.Equal(t, "EXPIRED", all[0]["status"])
				require.Equal(t, "ACTIVE", all[1]["status"])
				require.False(t, f.follow(t, s), f.login)
				c.revoked(f.access)
				require.Equal(t, 1, s.bank.RevokeConsents(f.login), "the old one is not left at the bank")
			}
		})
	}
}

// TestOneOffConsent: a consent that does not recur is asked for anew every time.
func TestOneOffConsent(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	c := s.newCustomer()
	c.login = "demo"
	var access object
	c.post("/rest/accesses", object{"access_method_id": c.method("demo"), "credentials": object{"login": "demo"}, "consent": object{"recurring": false}}, 201, &access)
	require.Equal(t, false, access["consent"].(object)["recurring"])
	for range 2 {
		sync := c.start(access["id"].(string), object{"credentials": object{"pin": password}})
		require.Equal(t, "AWAIT_AUTH", c.until(sync, "")["status"])
		require.Equal(t, "COMPLETED", c.finish(sync)["status"])
		c.requireLedger("demo", true)
		s.bank.Advance(2 * time.Hour)
	}
}

// TestBig reads ten accounts with 200,000 transactions, and then again with nothing new.
func TestBig(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute")
	}
	t.Parallel()
	s := newStack(t, withBankClock())
	c := s.newCustomer()
	access := c.access("demo", "big")
	begun := time.Now()
	y := c.sync(access)
	require.Equal(t, "COMPLETED", y["status"], "%v", y)
	t.Logf("%v transactions of %v accounts in %s", y["progress"].(object)["transactions_added"], y["progress"].(object)["accounts_done"], time.Since(begun).Round(100*time.Millisecond))

	ledgers, err := s.bank.Ledgers("big")
	require.NoError(t, err)
	entries, sums := 0, map[string]decimal.Decimal{}
	for _, l := range ledgers {
		entries += len(l.Entries)
		for _, e := range l.Entries {
			sums[l.IBAN] = sums[l.IBAN].Add(decimal.New(e.Cents, -2))
		}
	}
	require.Greater(t, entries, 200_000)
	require.EqualValues(t, entries, y["progress"].(object)["transactions_added"])
	var list struct {
		Accounts []struct{ Account_id, IBAN string }
	}
	c.get("/rest/accounts", &list)
	require.Len(t, list.Accounts, 10)
	for _, a := range list.Accounts {
		var page struct {
			Statistics struct {
				Count      int
				Currencies []struct{ Incoming, Outgoing decimal.Decimal }
			}
		}
		c.get("/rest/accounts/"+a.Account_id+"/transactions?count=1&include_statistics=true", &page)
		require.Equal(t, entries/10, page.Statistics.Count)
		sum := page.Statistics.Currencies[0].Incoming.Add(page.Statistics.Currencies[0].Outgoing)
		require.True(t, sum.Equal(sums[a.IBAN]), "%s: %s, the bank has %s", a.IBAN, sum, sums[a.IBAN])
	}

	begun = time.Now()
	y = c.sync(access)
	require.Equal(t, "COMPLETED", y["status"], "%v", y)
	require.EqualValues(t, 0, y["progress"].(object)["transactions_added"])
	t.Logf("again in %s", time.Since(begun).Round(10*time.Millisecond))
}

// accountIDs are our ids of the customer's accounts, by IBAN and currency.
func (c *customer) accountIDs() map[string]string {
	c.t.Helper()
	var list struct{ Accounts []object }
	c.get("/rest/accounts", &list)
	ids := make(map[string]string)
	for _, a := range list.Accounts {
		ids[fmt.Sprint(a["iban"], a["account_number"], a["currency"])] = a["account_id"].(string)
	}
	return ids
}

// resourceIDs are the bank's handles of the customer's accounts.
func (c *customer) resourceIDs() (ids []string) {
	c.t.Helper()
	require.NoError(c.t, c.store.DB.Raw(`SELECT resource_id FROM accounts WHERE user_id = ?`, c.id).Scan(&ids).Error)
	require.NotEmpty(c.t, ids)
	return ids
}

// consent lists the access's consents, oldest first.
func (c *customer) consent(access string) (all []object) {
	c.t.Helper()
	var list struct{ Credentials []object }
	c.get("/rest/accesses/"+access+"/credentials", &list)
	for _, credential := range list.Credentials {
		if credential["type"] == "CONSENT" {
			require.True(c.t, strings.HasSuffix(credential["expires_at"].(string), "Z"))
			all = append(all, credential)
		}
	}
	return all
}
