package e2e_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/internal/civil"
)

// TestCardsAndDepotsOverFinTS: a card that has an order of its own is read with it, and a depot,
// for which there is no order, is listed as not read. It fails neither the synchronization nor
// itself, and the next one is no different.
func TestCardsAndDepotsOverFinTS(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	c := s.newCustomer()
	const login = "card+depot"
	access := c.access("fints/cards", login)
	for range 2 {
		y := c.sync(access)
		require.Equal(t, "COMPLETED", y["status"], "%v", y)
		require.Zero(t, codeOf(y))
		for _, a := range y["accounts"].([]any) {
			require.Zero(t, codeOf(a.(object)), "%v", a)
		}
		stored := c.stored(false)
		const depot = "7700000001 EUR 0.00"
		require.Equal(t, []string{}, stored[depot], "%v", slices.Collect(maps.Keys(stored)))
		delete(stored, depot)
		c.requireSame(c.atBank(login, false), stored)

		var list struct{ Accounts []object }
		c.get("/rest/accounts", &list)
		require.Len(t, list.Accounts, 3)
		for _, a := range list.Accounts {
			isDepot := a["type"] == "Depot"
			require.Equal(t, !isDepot, a["supported"], "%v", a)
			if isDepot {
				status := a["status"].(object)
				require.Equal(t, "DEPOT", status["withheld"])
				require.Equal(t, "The account holds securities. Its transactions are not read.", status["message"])
			}
		}
	}
}

// TestBusyBankOverFinTS: a bank that says every other day that there are no statements to be had
// takes nothing away: what was stored stays, and is complete again the day after.
func TestBusyBankOverFinTS(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	c := s.newCustomer()
	const login = "pending+busy"
	access := c.access("fints/busy", login)
	y := c.sync(access)
	if withheld(y) != nil { // it begins on a day without statements
		s.bank.Advance(24 * time.Hour)
		y = c.sync(access)
	}
	require.Equal(t, "COMPLETED", y["status"], "%v", y)
	require.Nil(t, withheld(y))
	for range 3 {
		before := c.transactions()
		require.NotEmpty(t, before)
		s.bank.Advance(24 * time.Hour)
		y = c.sync(access)
		require.Equal(t, "COMPLETED", y["status"], "%v", y)
		require.Equal(t, "NO_LIST", withheld(y))
		require.Len(t, c.transactions(), len(before), "nothing is taken for gone")

		s.bank.Advance(24 * time.Hour)
		y = c.sync(access)
		require.Nil(t, withheld(y))
		c.requireSame(c.lately(c.atBank(login, false)), c.lately(c.stored(false)))
	}
}

// lately are the entries of the last 60 days: the bank shows 90, and older ones stay stored.
func (c *customer) lately(all map[string][]string) map[string][]string {
	oldest := civil.On(c.bank.Now()).AddDays(-60).String()
	for account, lines := range all {
		all[account] = slices.DeleteFunc(lines, func(line string) bool { return line < oldest })
	}
	return all
}

// withheld is why the only account of a synchronization was not read as a whole; nil: it was.
func withheld(sync object) any {
	return sync["accounts"].([]any)[0].(object)["withheld"]
}
