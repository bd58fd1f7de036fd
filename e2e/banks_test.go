package e2e_test

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/catalog"
	"github.com/kontoflow/kontoflow/internal/civil"
	"github.com/kontoflow/kontoflow/sandbox"
)

// A bankAsItIs is a bank of the sandbox that writes or behaves as a group of real banks does. Every bank of the sandbox
// has at least one row.
type bankAsItIs struct {
	bank  string // path on the sandbox server
	login string // persona; empty: demo. Each row gets a customer of its own

	days    int  // how many days of bookings the bank gives, today among them; 0: all that the persona has
	booked  bool // the bank gives booked entries only
	unnamed bool // the bank writes the names otherwise
	first   bool // entries of the first account only are read; the others are listed with their balances
	depot   bool // the bank lists a depot, which is not read, beside the ledger's accounts
	logins  int  // passwords that reach the bank during the first synchronization; 0: one
	again   int  // and during the second; 0: none for XS2A, one for FinTS
}

var banksAsTheyAre = []bankAsItIs{
	{bank: "demo"},
	{bank: "recurring", booked: true},
	{bank: "statements", booked: true},
	{bank: "oauth", login: "savings"},
	{bank: "prestep"},
	{bank: "signed"},
	{bank: "encrypted"},
	{bank: "confirmation"},
	{bank: "mutual"},
	{bank: "token"},
	{bank: "apikey"},
	{bank: "legacy"},
	{bank: "signed-date"},
	{bank: "base-path"},
	{bank: "base-path", login: "methods"},
	{bank: "start-put"},
	{bank: "client-token"},
	{bank: "password-token"},
	{bank: "password-token", login: "decoupled"},
	{bank: "wrong-pin-sentence"},
	{bank: "server-error", logins: 2}, // the customer visits the bank's pages twice
	{bank: "demo", login: "unreadable"},
	{bank: "fints", unnamed: true, logins: 2}, // one to learn the methods, one with the method
	{bank: "demo", login: "returns"},
	{bank: "statements", login: "returns", booked: true},
	{bank: "fints", login: "returns", unnamed: true, logins: 2},
	{bank: "fints/onestep", unnamed: true, logins: 2},
	{bank: "fints/no-anonymous", unnamed: true, logins: 2},
	{bank: "fints/nomedium", login: "devices", unnamed: true, logins: 3}, // and one to ask for the TAN media
	{bank: "fints/eachlogin", login: "decoupled", unnamed: true, logins: 2},
	{bank: "fints/renewed-bpd", unnamed: true, logins: 2},
	{bank: "fints/few-polls", login: "decoupled", unnamed: true, logins: 2},
	{bank: "fints/ibanonly", unnamed: true, logins: 2},
	{bank: "fints/whole-account", unnamed: true, logins: 2},
	{bank: "fints/camtonly", unnamed: true, logins: 2},
	{bank: "fints/short-history", days: 90, unnamed: true, logins: 2},
	{bank: "fints/cards", login: "card", unnamed: true, depot: true, logins: 2},
	{bank: "fints/busy", login: "pending", unnamed: true, logins: 2},
	{bank: "fints/new-cards", login: "card", unnamed: true, logins: 2},
	{bank: "fints/spelling", login: "currencies", unnamed: true, logins: 2},
	{bank: "fints/wants-tan", unnamed: true, logins: 2},
	{bank: "fints/two-codes", login: "pending", booked: true, unnamed: true, logins: 2},
	{bank: "fints/ignores-dates", unnamed: true, logins: 2},
	{bank: "fints/variant1", login: "again", unnamed: true, logins: 2},
	{bank: "fints/several-tans", unnamed: true, logins: 2},

	{bank: "download"},
	{bank: "download", login: "savings"},
	{bank: "ignores-dates"},
	{bank: "refuses-balance"},
	{bank: "short-history-30", days: 30},
	{bank: "short-history-60", days: 60},
	{bank: "short-history-90", days: 90},
	{bank: "short-history-365", days: 365},
	{bank: "short-history-365", login: "savings", days: 365},
	{bank: "plain-mt940", unnamed: true},
	{bank: "plain-mt940", login: "pending", unnamed: true},
	{bank: "loose"},
	{bank: "loose", login: "currencies"},
	{bank: "circle"},
	{bank: "giro-only", login: "savings", first: true},
}

// TestBanksAsTheyAre goes through all banks of the sandbox with the public API alone: the first synchronization and the
// next one end COMPLETED, what is stored is what the bank has in its ledger, and the bank is given a password as often as
// is needed, and no more.
func TestBanksAsTheyAre(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	s.bankWithCertificates("mutual")
	s.onDayWithStatements()
	s.requireEveryBank()
	for _, row := range banksAsTheyAre {
		persona := row.login
		if persona == "" {
			persona = "demo"
		}
		t.Run(row.bank+"/"+persona, func(t *testing.T) {
			t.Parallel()
			c := s.in(t).newCustomer()
			login := persona + "+as-it-is-" + strings.ReplaceAll(row.bank, "/", "-")
			access := c.access(row.bank, login)
			logins := func() int { return s.bank.Counters().Logins[login] }

			sync := func() {
				y := c.finish(c.start(access, object{"credentials": c.secrets(row.bank)}))
				require.Equal(t, "COMPLETED", y["status"], "%v", y)
				stored := c.stored(!row.unnamed)
				if row.depot {
					const depot = "7700000001 EUR 0.00"
					require.Contains(t, stored, depot)
					require.Empty(t, stored[depot])
					delete(stored, depot)
				}
				c.requireSame(c.shownBy(row, login), stored)
			}

			sync()
			require.Equal(t, max(row.logins, 1), logins(), "passwords sent by the first synchronization")

			first := logins()
			sync()
			again := row.again
			if again == 0 && row.overFinTS() {
				again = 1
			}
			require.Equal(t, again, logins()-first, "passwords sent by the second synchronization")
		})
	}
}

// requireEveryBank fails where the sandbox has a bank without a row.
func (s *stack) requireEveryBank() {
	s.t.Helper()
	var list struct {
		Banks []struct {
			Name          string
			AccessMethods []struct{ ID uuid.UUID } `json:"access_methods"`
		}
	}
	require.NoError(s.t, json.Unmarshal(s.bank.Catalog("https://bank.example"), &list))
	rows := make(map[uuid.UUID]bool)
	for _, row := range banksAsTheyAre {
		rows[sandbox.AccessMethodID(row.bank)] = true
	}
	for _, bank := range list.Banks {
		for _, m := range bank.AccessMethods {
			require.True(s.t, rows[m.ID], "%s is in the sandbox and not in banksAsTheyAre", bank.Name)
		}
	}
}

// bankWithCertificates adds a bank that is offered over mutual TLS only, on a server of its own.
func (s *stack) bankWithCertificates(path string) {
	s.t.Helper()
	server := httptest.NewUnstartedServer(s.bank.Handler())
	server.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	server.StartTLS()
	s.t.Cleanup(server.Close)
	var list struct {
		Banks []object `json:"banks"`
	}
	require.NoError(s.t, json.Unmarshal(s.bank.Catalog(server.URL), &list))
	list.Banks = slices.DeleteFunc(list.Banks, func(bank object) bool { return bank["id"] != sandbox.BankID(path).String() })
	require.Len(s.t, list.Banks, 1)
	connection := list.Banks[0]["access_methods"].([]any)[0].(object)["connection"].(object)
	connection["ca_pem"] = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	raw, err := json.Marshal(object{"banks": list.Banks})
	require.NoError(s.t, err)
	_, err = catalog.Import(s.t.Context(), s.store, bytes.NewReader(raw))
	require.NoError(s.t, err)
}

// onDayWithStatements moves the clock to a day on which a bank that has statements every other day has them.
func (s *stack) onDayWithStatements() {
	s.t.Helper()
	c := s.newCustomer()
	if withheld(c.sync(c.access("fints/busy", "pending+day"))) != nil {
		s.bank.Advance(24 * time.Hour)
	}
}

func (row *bankAsItIs) overFinTS() bool { return strings.HasPrefix(row.bank, "fints") }

// shownBy is the part of the customer's ledger that a bank shows, as requireSame wants it.
func (c *customer) shownBy(row bankAsItIs, login string) map[string][]string {
	c.t.Helper()
	all := c.atBank(login, !row.unnamed)
	oldest := ""
	if row.days > 0 {
		oldest = civil.On(c.bank.Now()).AddDays(1 - row.days).String()
	}
	ledgers, err := c.bank.Ledgers(login)
	require.NoError(c.t, err)
	for account, lines := range all {
		if row.first && !strings.HasPrefix(account, ledgers[0].IBAN+" ") {
			all[account] = []string{}
			continue
		}
		all[account] = slices.DeleteFunc(lines, func(line string) bool {
			pending := line[:len("pending")] == "pending"
			return pending && row.booked || !pending && line[:len("2026-01-31")] < oldest
		})
	}
	return all
}

// TestParametersRenewedOvernight: a bank that replaces its parameters and methods every night, and does not say so, is
// read again the next day. Without the customer nothing is sent that needs them.
func TestParametersRenewedOvernight(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	c := s.newCustomer()
	const login = "demo+overnight"
	access := c.access("fints/renewed-bpd", login)
	count := func() [2]int { n := s.bank.Counters(); return [2]int{n.Logins[login], n.Challenges[login]} }
	require.Equal(t, "COMPLETED", c.sync(access)["status"])
	for range 3 {
		before := count()
		s.bank.Advance(24 * time.Hour)
		y := c.sync(access)
		require.Equal(t, "COMPLETED", y["status"], "%v", y)
		after := count()
		require.Equal(t, 3, after[0]-before[0], "refused, for the methods, for reading")
		require.Zero(t, after[1]-before[1], "the customer system is known")
		stored := c.stored(false)
		for account, lines := range c.atBank(login, false) {
			require.Subset(t, stored[account], lines)
		}
	}
	require.Zero(t, s.bank.Counters().WrongPINs[login])
}
