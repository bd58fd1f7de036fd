package sandbox_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks/fints/syntax"
	"github.com/kontoflow/kontoflow/banks/formats/hhd"
	"github.com/kontoflow/kontoflow/sandbox"
)

const libFinTSVersion = "1.5.0"

// TestThirdPartyFinTSClients lets FinTS clients that others have written walk through the bank: what holds it to the
// protocol is that they understand it. A client that cannot be installed here is skipped.
func TestThirdPartyFinTSClients(t *testing.T) {
	t.Run("lib-fints", testLibFinTS)
	t.Run("AqBanking", testAqBanking)
	t.Run("HBCI4Java", testHBCI4Java)
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

// testHBCI4Java: https, HITANS 6, the flicker code, media; MT940 and MT942.
func testHBCI4Java(t *testing.T) {
	install(t, "/usr/share/java/hbci4j-core.jar", "libhbci4j-core-java")
	if _, err := exec.LookPath("javac"); err != nil {
		install(t, "/usr/bin/javac", "default-jdk-headless")
	}
	classes := t.TempDir()
	classPath := strings.Join([]string{classes, "/usr/share/java/hbci4j-core.jar", "/usr/share/java/jaxb-api.jar", "/usr/share/java/jaxb-runtime.jar"}, ":")
	run(t, "javac", "-cp", classPath, "-d", classes, filepath.Join("testdata", "fints", "HBCI4Java.java"))
	bank := sandbox.New(sandbox.Options{})
	challenges := &overheard{Handler: bank.Handler()}
	server := httptest.NewTLSServer(challenges)
	t.Cleanup(server.Close)
	for _, customer := range []struct{ login, method, medium, says string }{
		{login: "flicker", method: "910", says: "flicker "},
		{login: "devices", method: "921", medium: "Diensthandy ***12", says: "media Handy von J"},
		{login: "savings", method: "920", says: "challenge mTAN TAN  Bitte geben Sie die TAN ein"},
	} {
		t.Run(customer.login, func(t *testing.T) {
			out := run(t, "java", "-cp", classPath, "-Dfile.encoding=UTF-8", "-Dstdout.encoding=UTF-8", "HBCI4Java",
				server.URL[strings.LastIndexByte(server.URL, ':')+1:], customer.login, "demo", "111111", customer.method, customer.medium)
			t.Log(out)
			require.Contains(t, out, customer.says)
			require.Equal(t, 1, bank.Counters().TANs[customer.login], "a customer system that is known needs no other TAN")
			if customer.login == "flicker" {
				code, err := hhd.ParseFlicker(challenges.last())
				require.NoError(t, err)
				require.Contains(t, out, "flicker "+code.Code()+"\n", "both render the same bars")
			}
			ledgers, err := bank.Ledgers(customer.login)
			require.NoError(t, err)
			for _, l := range ledgers {
				booked, sum := bookedOf(l)
				require.Contains(t, out, "account "+l.IBAN+" "+l.Number+" "+l.Currency+"\n")
				require.Contains(t, out, fmt.Sprintf("balance %d\n", l.Balance))
				require.Contains(t, out, fmt.Sprintf("statement %d %d pending %d\n", booked, sum, len(l.Entries)-booked))
				require.Contains(t, out, fmt.Sprintf("last %d ", l.Balance))
			}
		})
	}
}

// testAqBanking: http, HITANS 6, MT940 and MT942, paging.
func testAqBanking(t *testing.T) {
	install(t, "/usr/bin/aqhbci-tool4", "aqbanking-tools")
	bank := sandbox.New(sandbox.Options{})
	server := httptest.NewServer(bank.Handler())
	t.Cleanup(server.Close)
	for _, customer := range []struct {
		login, method string
		tans          int
	}{
		{login: "demo", method: "6920", tans: 1}, {login: "again", method: "6920", tans: 2}, {login: "exempt", method: "6920"},
	} {
		t.Run(customer.login, func(t *testing.T) {
			directory := t.TempDir()
			pins := filepath.Join(directory, "pins")
			require.NoError(t, os.WriteFile(pins, []byte(fmt.Sprintf("PIN_90090042_%s = \"demo\"\n", customer.login)), 0o600))
			statements := filepath.Join(directory, "statements")
			tool := func(program string, arguments ...string) string {
				// Whatever it does, the tool reads a key now and then, to see whether one wants to stop. Empty lines are no TAN.
				return runWith(t, strings.Repeat("\n", 200)+"111111\n", program, append([]string{"-D", filepath.Join(directory, "settings"), "-A", "-P", pins}, arguments...)...)
			}
			tool("aqhbci-tool4", "adduser", "-N", "Test", "-b", "90090042", "-u", customer.login, "-c", customer.login, "-t", "pintan",
				"-s", server.URL+"/fints", "--hbciversion=300")
			tool("aqhbci-tool4", "getbankinfo", "-u", "1")
			tool("aqhbci-tool4", "getitanmodes", "-u", "1")
			tool("aqhbci-tool4", "setitanmode", "-u", "1", "-m", customer.method)
			tool("aqhbci-tool4", "getsysid", "-u", "1")
			tool("aqhbci-tool4", "getaccounts", "-u", "1")
			ledgers, err := bank.Ledgers(customer.login)
			require.NoError(t, err)
			l := ledgers[0]
			require.Contains(t, tool("aqhbci-tool4", "listaccounts"), "Account Number: "+l.Number)
			tool("aqbanking-cli", "request", "--account="+l.Number, "--balance", "--transactions", "-c", statements)
			require.Equal(t, customer.tans, bank.Counters().TANs[customer.login])
			require.Contains(t, tool("aqbanking-cli", "listbal", "-c", statements), "\t"+euros(l.Balance)+"\t")

			amounts := map[bool]map[string]int{true: {}, false: {}}
			for _, e := range l.Entries {
				amounts[e.Pending][euros(e.Cents)]++
			}
			for pending, kind := range map[bool]string{false: "statement", true: "notedStatement"} {
				seen := map[string]int{}
				for _, amount := range strings.Fields(tool("aqbanking-cli", "listtrans", "-c", statements, "-tt", kind, "-T", "$(valueAsString)")) {
					seen[amount]++
				}
				require.Equal(t, amounts[pending], seen, kind)
			}
		})
	}
}

// overheard keeps the last Challenge HHD_UC that went by.
type overheard struct {
	http.Handler
	mu  sync.Mutex
	hhd string
}

func (o *overheard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer := httptest.NewRecorder()
	o.Handler.ServeHTTP(answer, r)
	wire, _ := base64.StdEncoding.DecodeString(answer.Body.String())
	if m, err := syntax.Read(wire); err == nil && m.Find("HITAN") != nil {
		if code := m.Find("HITAN").Get(4, 0); code != "" {
			o.mu.Lock()
			o.hhd = code
			o.mu.Unlock()
		}
	}
	w.WriteHeader(answer.Code)
	_, _ = w.Write(answer.Body.Bytes())
}

func (o *overheard) last() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.hhd
}

// install fetches Debian packages where the file is missing: in continuous integration, as root. Elsewhere the test is
// skipped.
func install(t *testing.T, file string, packages ...string) {
	t.Helper()
	if _, err := os.Stat(file); err == nil {
		return
	}
	if os.Getenv("CI") == "" || os.Geteuid() != 0 {
		t.Skipf("%s is not installed (Debian: %s)", file, strings.Join(packages, " "))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, "sh", "-c", "apt-get update -qq && apt-get install -y -qq --no-install-recommends "+strings.Join(packages, " "))
	command.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	if out, err := command.CombinedOutput(); err != nil {
		t.Skipf("%s cannot be installed: %v\n%s", strings.Join(packages, " "), err, out)
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
	return runWith(t, "", name, arguments...)
}

// runWith also types something.
func runWith(t *testing.T, typed, name string, arguments ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	command := exec.CommandContext(ctx, name, arguments...)
	var complaints strings.Builder
	command.Stderr = &complaints
	command.Stdin = strings.NewReader(typed)
	out, err := command.Output()
	require.NoError(t, err, "%s\n%s", out, complaints.String())
	return string(out)
}
