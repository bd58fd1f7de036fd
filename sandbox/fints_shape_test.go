package sandbox_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/fints/syntax"
	"github.com/kontoflow/kontoflow/sandbox"
)

// at is the same client at another of the FinTS banks.
func (c *fintsClient) at(path, bankCode string) *fintsClient {
	c.url, c.bankCode = c.url+"/"+path, bankCode
	return c
}

func TestFinTSBankWithOneStep(t *testing.T) {
	t.Parallel()
	bank := sandbox.New(sandbox.Options{Now: clock})
	require.Equal(t, []string{"9400", "9800"}, newFinTSClient(t, bank, "", "").at("onestep", "90090070").send("", newFinTSClient(t, bank, "", "").at("", "90090070").identify()...).codes())
	c := newFinTSClient(t, bank, "demo", "999").at("onestep", "90090070")
	answer := c.send("", append(c.identify(), syntax.New("HKSYN", 3, syntax.Text("0")))...)
	require.Equal(t, "900", answer.parameter("3920"))
	require.NotNil(t, answer.Find("HIUPD"))
	require.Equal(t, 1, answer.Find("HITANS").Version)
	require.NotNil(t, c.send("", syntax.New("HKSAL", 6, answer.Find("HIUPD").At(0), syntax.Text("N"))).Find("HISAL"))
	require.Equal(t, 1, bank.Counters().Calls["fints/onestep/balances"])
}

func TestFinTSBankWithoutParametersInTheAnonymousDialog(t *testing.T) {
	t.Parallel()
	c := newFinTSClient(t, sandbox.New(sandbox.Options{Now: clock}), "", "").at("no-anonymous", "90090071")
	answer := c.send("", c.identify()...)
	require.Equal(t, []string{"0010", "0020"}, answer.codes())
	require.Nil(t, answer.Find("HIBPA"))
}

func TestFinTSBankWithoutAMedium(t *testing.T) {
	t.Parallel()
	bank := sandbox.New(sandbox.Options{Now: clock})
	c := newFinTSClient(t, bank, "devices", "921").at("nomedium", "90090072")
	c.synchronize()
	c.send("", append(c.identify(), tanFor("HKTAB", ""))...)
	media := c.send("", syntax.New("HKTAB", 5, syntax.Text("0"), syntax.Text("A"))).Find("HITAB")
	for _, one := range media.Elements[1:] {
		require.Equal(t, "2", one.Get(1))
	}
	c.end()
	c.again("921")
	require.Subset(t, c.logIn("Diensthandy ***12").codes(), []string{"9210"})
	c.again("921")
	require.Subset(t, c.logIn("").codes(), []string{"0030"})
}

func TestFinTSBankWithAuthenticationAtEachLogin(t *testing.T) {
	t.Parallel()
	c := newFinTSClient(t, sandbox.New(sandbox.Options{Now: clock}), "demo", "920").at("eachlogin", "90090073")
	c.synchronize()
	for range 3 {
		answer := c.logIn("")
		require.Subset(t, answer.codes(), []string{"0030"})
		require.Subset(t, c.send("111111", tanStep("2", answer.Find("HITAN").Get(2, 0))).codes(), []string{"0900"})
		c.end()
		c.again("920")
	}
}

func TestFinTSBankWhoseParametersChangeOvernight(t *testing.T) {
	t.Parallel()
	bank := sandbox.New(sandbox.Options{Now: clock})
	c := newFinTSClient(t, bank, "demo", "999").at("renewed-bpd", "90090074")
	seen := map[string]bool{}
	for night := range 3 {
		if night > 0 {
			former := c.function
			bank.Advance(24 * time.Hour)
			c.again(former)
			answer := c.logIn("")
			require.Subset(t, answer.codes(), []string{"9010", "9800"})
			require.Nil(t, answer.Find("HIBPA"))
			require.Empty(t, answer.parameter("3920"))
		}
		c.system = "0"
		answer := c.synchronize()
		c.again(answer.parameter("3920"))
		require.Subset(t, c.logIn("").codes(), []string{"0030"})
		seen[fmt.Sprint(c.function, answer.Find("HIBPA").Get(0, 0))] = true
	}
	require.Len(t, seen, 2)
}

func TestFinTSBankWithFewPolls(t *testing.T) {
	t.Parallel()
	bank := sandbox.New(sandbox.Options{Now: clock})
	c := newFinTSClient(t, bank, "app", "940").at("few-polls", "90090075")
	c.synchronize()
	waiting := c.logIn("").Find("HITAN")
	require.Equal(t, []string{"20260318", "130020"}, []string{waiting.Get(5, 0), waiting.Get(5, 1)})
	for range 4 {
		bank.Advance(2 * time.Second)
		require.Subset(t, c.send("", tanStep("S", waiting.Get(2, 0))).codes(), []string{"3956"})
	}
	bank.Advance(2 * time.Second)
	require.Subset(t, c.send("", tanStep("S", waiting.Get(2, 0))).codes(), []string{"9951"})
}

func TestFinTSDialogsBelongToTheirBank(t *testing.T) {
	t.Parallel()
	c := newFinTSClient(t, sandbox.New(sandbox.Options{Now: clock}), "exempt", "920")
	c.synchronize()
	c.logIn("")
	c.at("eachlogin", "90090073")
	require.Equal(t, []string{"9120", "9800"}, c.send("", syntax.New("HKEND", 1, syntax.Text(c.dialog))).codes())
}

// Every FinTS bank of the catalog is in the documentation's table.
func TestFinTSBanksAreDocumented(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile(filepath.Join("..", "docs", "sandbox.md"))
	require.NoError(t, err)
	var catalog struct {
		Banks []struct {
			Name          string
			AccessMethods []struct{ Connection banks.Connection } `json:"access_methods"`
		}
	}
	require.NoError(t, json.Unmarshal(sandbox.New(sandbox.Options{}).Catalog("http://127.0.0.1"), &catalog))
	documented := 0
	for _, bank := range catalog.Banks {
		for _, m := range bank.AccessMethods {
			if c := m.Connection; c.Protocol == "FINTS" {
				documented++
				require.Contains(t, string(raw), fmt.Sprintf("| `%s` | %s | %s | ", strings.TrimPrefix(c.URL, "http://127.0.0.1"), bank.Name, c.BankCode))
			}
		}
	}
	require.Greater(t, documented, 6)
}
