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
			want, got := r.atBank(r.login, false), r.stored(false)
			for account, lines := range got { // what the bank no longer shows stays
				oldest := want[account][0][:len("2026-01-31")]
				got[account] = slices.DeleteFunc(lines, func(line string) bool { return line < oldest })
			}
			r.requireSame(want, got)
			if day == 1 {
				require.Equal(t, 1, counted(y)[2], "%s: the sum of the day before", r.login)
			}
		}
		s.bank.Advance(24 * time.Hour)
	}
}
