package sandbox_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"kontoflow/sandbox"
)

const libFinTSVersion = "1.5.0"

// TestThirdPartyFinTSClients lets FinTS clients that others have written walk through the bank: what holds it to the
// protocol is that they understand it. A client that cannot be installed here is skipped.
func TestThirdPartyFinTSClients(t *testing.T) {
	t.Run("lib-fints", testLibFinTS)
}

// testLibFinTS: HITANS 7, decoupled, photoTAN; camt and MT940.
func testLibFinTS(t *testing.T) {
	entry := installLibFinTS(t)
	bank := sandbox.New(sandbox.Options{})
	server := httptest.NewServer(bank.Handler())
	t.Cleanup(server.Close)
	for _, customer := range []struct{ login, method, medium, challenge string }{
		{login: "demo", method: "920", challenge: "TAN"},
		{login: "flicker", method: "910", challenge: "TAN-Generator"},
		{login: "photo", method: "930", challenge: "image/png"},
		{login: "decoupled", method: "940", challenge: "App"},
		{login: "devices", method: "921", medium: "Diensthandy ***12", challenge: "TAN"},
		{login: "methods", method: "910", challenge: "TAN-Generator"},
		{login: "markup", method: "950", challenge: "<b>Kontoflow</b>"},
		{login: "again", method: "920", challenge: "TAN"},
		{login: "exempt", method: "920"},
		{login: "savings", method: "920", challenge: "TAN"},
	} {
		t.Run(customer.login, func(t *testing.T) {
			out := run(t, "node", filepath.Join("testdata", "fints", "lib-fints.mjs"), entry, server.URL+"/fints", customer.login, "demo", "111111", customer.method, customer.medium)
			var seen struct {
				Challenges []string
				Codes      []int
				Methods    []int
				Accounts   []struct {
					IBAN, Balance, Currency string
					Camt, MT940             struct {
						Entries   int
						Sum, Last string
					}
				}
			}
			require.NoError(t, json.Unmarshal([]byte(out), &seen), out)
			if customer.challenge == "" {
				require.Empty(t, seen.Challenges)
			} else {
				require.Contains(t, strings.Join(seen.Challenges, " "), customer.challenge)
			}
			ledgers, err := bank.Ledgers(customer.login)
			require.NoError(t, err)
			require.Len(t, seen.Accounts, len(ledgers))
			for i, l := range ledgers {
				booked, sum := bookedOf(l)
				a := seen.Accounts[i]
				require.Equal(t, []string{l.IBAN, euros(l.Balance), l.Currency}, []string{a.IBAN, a.Balance, a.Currency})
				require.Equal(t, []any{booked, euros(sum)}, []any{a.MT940.Entries, a.MT940.Sum})
				require.Equal(t, euros(l.Balance), a.MT940.Last)
				require.Equal(t, []any{booked, euros(sum)}, []any{a.Camt.Entries, a.Camt.Sum})
			}
			t.Log(out)
		})
	}
}

// bookedOf counts and adds up what is booked.
func bookedOf(l sandbox.Ledger) (n int, sum int64) {
	for _, e := range l.Entries {
		if !e.Pending {
			n++
			sum += e.Cents
		}
	}
	return n, sum
}

func euros(cents int64) string {
	sign := ""
	if cents < 0 {
		sign, cents = "-", -cents
	}
	return fmt.Sprintf("%s%d.%02d", sign, cents/100, cents%100)
}

// installLibFinTS fetches the npm package into the cache once, and returns its entry.
func installLibFinTS(t *testing.T) string {
	t.Helper()
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("lib-fints needs node and npm")
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	directory := filepath.Join(cache, "kontoflow", "lib-fints-"+libFinTSVersion)
	entry := filepath.Join(directory, "node_modules", "lib-fints", "dist", "index.js")
	if _, err := os.Stat(entry); err != nil {
		require.NoError(t, os.MkdirAll(directory, 0o755))
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		if out, err := exec.CommandContext(ctx, "npm", "install", "--no-audit", "--no-fund", "--prefix", directory, "lib-fints@"+libFinTSVersion).CombinedOutput(); err != nil {
			t.Skipf("lib-fints cannot be installed: %v\n%s", err, out)
		}
	}
	return entry
}

// run runs a program to its end and returns what it printed.
func run(t *testing.T, name string, arguments ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, name, arguments...)
	var complaints strings.Builder
	command.Stderr = &complaints
	out, err := command.Output()
	require.NoError(t, err, "%s\n%s", out, complaints.String())
	return string(out)
}
