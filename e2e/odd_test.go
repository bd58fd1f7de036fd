package e2e_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// counted are the changes that a synchronization has made: added, modified, removed.
func counted(sync object) [3]int {
	progress := sync["progress"].(object)
	number := func(name string) int { n, _ := progress[name].(float64); return int(n) }
	return [3]int{number("transactions_added"), number("transactions_modified"), number("transactions_removed")}
}

// TestStaticBank: a bank that sends the same entries of long ago, whatever days it is asked for, adds nothing at the second
// synchronization and at the tenth: over XS2A with ids and without, as camt, and over FinTS.
func TestStaticBank(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	type reader struct {
		*customer
		access string
	}
	var readers []reader
	for _, bank := range []string{"demo", "recurring", "statements", "fints", "fints/whole-account"} {
		c := s.newCustomer()
		login := "static+" + strings.ReplaceAll(bank, "/", "-")
		readers = append(readers, reader{c, c.access(bank, login)})
	}
	for run := range 10 {
		for _, r := range readers {
			y := r.sync(r.access)
			require.Equal(t, "COMPLETED", y["status"], "%s: %v", r.login, y)
			want := [3]int{}
			if run == 0 {
				want[0] = 89
			}
			require.Equal(t, want, counted(y), "%s, synchronization %d", r.login, run+1)
			r.requireLedger(r.login, false)
		}
		s.bank.Advance(17 * 24 * time.Hour)
	}
}

// TestTwins: two accounts under one IBAN and currency are two, over every protocol, and keep their ids when a renewed
// consent lists them under other handles and in another order.
func TestTwins(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	for _, bank := range []string{"demo", "statements", "fints"} {
		t.Run(bank, func(t *testing.T) {
			t.Parallel()
			c := s.in(t).newCustomer()
			login := "twins+" + bank
			access := c.access(bank, login)
			require.Equal(t, "COMPLETED", c.sync(access)["status"])
			before := c.accountsByType()
			require.Len(t, before, 2)
			c.requireLedger(login, false)
			for range 3 {
				sync := c.start(access, object{"credentials": object{"pin": password}, "renew_consent": bank != "fints"})
				require.Equal(t, "COMPLETED", c.finish(sync)["status"])
				require.Equal(t, before, c.accountsByType())
				c.requireLedger(login, false)
			}
		})
	}
}

// accountsByType are the ids of the customer's accounts.
func (c *customer) accountsByType() map[string]string {
	c.t.Helper()
	var list struct {
		Accounts []struct {
			ID   string `json:"account_id"`
			Type string
		}
	}
	c.get("/rest/accounts", &list)
	ids := make(map[string]string)
	for _, a := range list.Accounts {
		ids[a.Type] = a.ID
	}
	require.Len(c.t, ids, len(list.Accounts))
	return ids
}

// requireLastWeeks is requireLedger for the last sixty days: the bank shows ninety, and what it no longer shows stays.
func (c *customer) requireLastWeeks() {
	c.t.Helper()
	oldest := c.bank.Now().AddDate(0, 0, -60).Format(time.DateOnly)
	last := func(all map[string][]string) map[string][]string {
		for account, lines := range all {
			all[account] = slices.DeleteFunc(lines, func(line string) bool { return line < oldest })
		}
		return all
	}
	c.requireSame(last(c.atBank(c.login, false)), last(c.stored(false)))
}

// TestSums: a batch that is booked as one sum on its day, and sent as its parts from the next day on, is there once after
// every synchronization.
func TestSums(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	type reader struct {
		*customer
		access string
	}
	var readers []reader
	for _, bank := range []string{"demo", "recurring", "statements", "fints", "fints/whole-account"} {
		c := s.newCustomer()
		readers = append(readers, reader{c, c.access(bank, "sums+"+strings.ReplaceAll(bank, "/", "-"))})
	}
	for day := range 6 { // Wednesday to Monday
		for _, r := range readers {
			y := r.sync(r.access)
			require.Equal(t, "COMPLETED", y["status"], "%s: %v", r.login, y)
			r.requireLastWeeks()
			if day == 1 {
				require.Equal(t, 1, counted(y)[2], "%s: the sum of the day before", r.login)
			}
		}
		s.bank.Advance(24 * time.Hour)
	}
}

// TestUndated: entries without a booking date have that of their value date, and those without any date the day on which
// they are there.
func TestUndated(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	readers := make(map[string]*customer)
	accesses := make(map[string]string)
	for _, bank := range []string{"demo", "statements", "plain-mt940", "fints", "fints/whole-account"} {
		readers[bank] = s.newCustomer()
		accesses[bank] = readers[bank].access(bank, "undated+"+strings.ReplaceAll(bank, "/", "-"))
	}
	for range 3 {
		for bank, c := range readers {
			y := c.sync(accesses[bank])
			require.Equal(t, "COMPLETED", y["status"], "%s: %v", bank, y)
			c.requireLastWeeks()
		}
		s.bank.Advance(24 * time.Hour)
	}
}

// TestRagged: what a bank writes in odd forms is what its ledger says, over every protocol and format.
func TestRagged(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	for _, bank := range []string{"demo", "recurring", "statements", "plain-mt940", "fints", "fints/whole-account"} {
		t.Run(bank, func(t *testing.T) {
			t.Parallel()
			c := s.in(t).newCustomer()
			login := "ragged+" + strings.ReplaceAll(bank, "/", "-")
			access := c.access(bank, login)
			y := c.sync(access)
			require.Equal(t, "COMPLETED", y["status"], "%v", y)
			swift := bank == "plain-mt940" || strings.HasPrefix(bank, "fints")
			c.requireLedger(login, !swift)
			y = c.sync(access)
			require.Equal(t, [3]int{}, counted(y), "%v", y)
		})
	}
}

// TestUnreadable: what cannot be read and is no money is counted where the result stands; what is, fails its account alone,
// with the place.
func TestUnreadable(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	for _, bank := range []string{"demo", "statements", "fints", "fints/whole-account"} {
		t.Run(bank, func(t *testing.T) {
			t.Parallel()
			suffix := "+unreadable-" + strings.ReplaceAll(bank, "/", "-")
			c := s.in(t).newCustomer()
			y := c.sync(c.access(bank, "ragged"+suffix))
			require.Equal(t, "COMPLETED", y["status"], "%v", y)
			ledgers, err := s.bank.Ledgers("ragged" + suffix)
			require.NoError(t, err)
			impossible := 0 // the bank calls the last of February the 30th
			for _, e := range ledgers[0].Entries {
				value := e.ValueDate
				if strings.HasPrefix(bank, "fints") { // card payments have the value date of their booking there
					value = max(value, e.BookingDate)
				}
				if !e.Pending && value.Time().Month() == time.February && value.AddDays(1).Time().Month() == time.March {
					impossible++
				}
			}
			require.Positive(t, impossible)
			require.EqualValues(t, impossible, y["accounts"].([]any)[0].(object)["unreadable"])
			var list struct{ Accounts []object }
			c.get("/rest/accounts", &list)
			require.EqualValues(t, impossible, list.Accounts[0]["status"].(object)["unreadable"])

			c = s.in(t).newCustomer()
			y = c.sync(c.access(bank, "badamount"+suffix))
			require.Equal(t, "COMPLETED", y["status"], "%v", y)
			accounts := y["accounts"].([]any)
			require.Equal(t, "COMPLETED", accounts[0].(object)["status"])
			require.Equal(t, "FAILED", accounts[1].(object)["status"])
			failure := accounts[1].(object)["error"].(object)
			require.EqualValues(t, 20000, failure["code"])
			require.Regexp(t, `^An entry of the bank's answer cannot be read: .*entry \d+.*amount$`, failure["message"])
			c.get("/rest/accounts", &list)
			require.Equal(t, failure["message"], list.Accounts[1]["status"].(object)["message"])
			require.Equal(t, true, list.Accounts[1]["supported"])
			for _, x := range c.transactions() {
				require.Equal(t, list.Accounts[0]["account_id"], x["account_id"])
			}
		})
	}
}
