package e2e_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"image/png"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/sandbox"
)

func TestPlainTAN(t *testing.T) {
	t.Parallel()
	c := newStack(t).newCustomer()
	access := c.access("demo", "demo")
	y := c.sync(access)
	require.Equal(t, "COMPLETED", y["status"], "%v\n%s", y, c.logs)
	require.NotEmpty(t, c.transactions())
}

// TestPersonas goes through all customers and all banks of the sandbox: what each is asked, and that what is stored
// afterwards is what the bank has.
func TestPersonas(t *testing.T) {
	t.Parallel()
	s := newStack(t, withBankClock())
	for _, p := range []struct {
		bank, login string
		asked       string   // challenges, in order
		picks       []string // what is chosen of a METHOD_SELECTION; nothing: the first
		types       string   // of the accounts, in the bank's order; "": one giro account
		plain       bool     // entries come without names to compare
	}{
		{bank: "demo", login: "demo", asked: "TEXT"},
		{bank: "demo", login: "methods", asked: "METHOD_SELECTION(sms photo chip push) TEXT"},
		{bank: "demo", login: "methods+photo", asked: "METHOD_SELECTION(sms photo chip push) PHOTO", picks: []string{"photo"}},
		{bank: "demo", login: "methods+chip", asked: "METHOD_SELECTION(sms photo chip push) HHD", picks: []string{"chip"}},
		{bank: "demo", login: "methods+push", asked: "METHOD_SELECTION(sms photo chip push) DECOUPLED", picks: []string{"push"}},
		{bank: "demo", login: "devices", asked: "METHOD_SELECTION(sms chip) METHOD_SELECTION(sms-1 sms-2 sms-3) TEXT", picks: []string{"sms", "sms-2"}},
		{bank: "demo", login: "devices+chip", asked: "METHOD_SELECTION(sms chip) METHOD_SELECTION(chip-1 chip-2) HHD", picks: []string{"chip", "chip-2"}},
		{bank: "demo", login: "photo", asked: "PHOTO"},
		{bank: "demo", login: "flicker", asked: "HHD"},
		{bank: "demo", login: "decoupled", asked: "DECOUPLED"},
		{bank: "demo", login: "redirect", asked: "REDIRECT"},
		{bank: "demo", login: "oauth", asked: "REDIRECT"},
		{bank: "demo", login: "again", asked: "TEXT TEXT"},
		{bank: "demo", login: "exempt"},
		{bank: "demo", login: "slow"},
		{bank: "demo", login: "flaky"},
		{bank: "demo", login: "savings", asked: "TEXT", types: "Giro account, Savings account, Daily savings account"},
		{bank: "demo", login: "card", asked: "TEXT", types: "Giro account, Credit card", plain: true},
		{bank: "demo", login: "currencies", asked: "TEXT", types: "Giro account, Giro account, Giro account"},
		{bank: "demo", login: "pending"},
		{bank: "demo", login: "file"},
		{bank: "demo", login: "thirty"},
		{bank: "demo", login: "thousand"},
		{bank: "recurring", login: "demo+recurring", asked: "TEXT"},
		{bank: "statements", login: "demo+statements", asked: "TEXT"},
		{bank: "statements", login: "methods+statements", asked: "METHOD_SELECTION(sms photo chip push) TEXT"},
		{bank: "oauth", login: "savings+oauth", asked: "REDIRECT", types: "Giro account, Savings account, Daily savings account"},
		{bank: "prestep", login: "demo+prestep", asked: "REDIRECT TEXT"},
		{bank: "prestep", login: "methods+prestep", asked: "REDIRECT METHOD_SELECTION(sms photo chip push) TEXT"},
		{bank: "prestep", login: "exempt+prestep", asked: "REDIRECT"},
		{bank: "signed", login: "demo+signed", asked: "TEXT"},
		{bank: "encrypted", login: "demo+encrypted", asked: "TEXT"},
		{bank: "confirmation", login: "demo+confirmation", asked: "REDIRECT"},
		{bank: "token", login: "demo+token", asked: "REDIRECT TEXT"},
		{bank: "token", login: "methods+token", asked: "REDIRECT METHOD_SELECTION(sms photo chip push) TEXT"},
		{bank: "apikey", login: "demo+apikey", asked: "DECOUPLED"},
		{bank: "legacy", login: "demo+legacy", asked: "TEXT"},
		{bank: "legacy", login: "photo+legacy", asked: "PHOTO"},
	} {
		t.Run(p.bank+"/"+p.login, func(t *testing.T) {
			t.Parallel()
			c := s.in(t).newCustomer()
			access := c.access(p.bank, p.login)
			sync := c.start(access, object{"credentials": c.secrets(p.bank)})

			var asked []string
			answered := ""
			y := c.until(sync, answered)
			for ; y["status"] == "AWAIT_AUTH"; y = c.until(sync, answered) {
				challenge := y["challenge"].(object)
				asked = append(asked, c.describe(challenge))
				answered = challenge["id"].(string)
				var same object
				c.get(sync+"/challenges/"+answered, &same)
				require.Equal(t, challenge, same)
				if challenge["type"] == "METHOD_SELECTION" && len(p.picks) > 0 {
					c.post(sync+"/challenges/"+answered+"/response", object{"method_id": p.picks[0]}, 200, nil)
					p.picks = p.picks[1:]
					continue
				}
				c.answer(sync, challenge)
			}
			require.Equal(t, "COMPLETED", y["status"], "%v", y)
			require.Equal(t, p.asked, strings.Join(asked, " "))
			c.requireLedger(p.login, !p.plain)

			var list struct {
				Accounts []struct{ Type string }
			}
			c.get("/rest/accounts?access_id="+access, &list)
			var types []string
			for _, a := range list.Accounts {
				types = append(types, a.Type)
			}
			if p.types == "" {
				p.types = "Giro account"
			}
			require.Equal(t, p.types, strings.Join(types, ", "))

			var after object
			c.get("/rest/accesses/"+access, &after)
			require.Equal(t, "ACTIVE", after["status"])
			require.NotEmpty(t, after["consent"].(object)["expires_at"])
			require.Equal(t, 1, s.bank.Counters().Consents[p.login], "one consent, granted once")
		})
	}
}

// secrets are what a customer types in here, at the start: nothing where they do so at the bank.
func (c *customer) secrets(bank string) object {
	switch bank {
	case "oauth", "prestep", "token", "confirmation", "client-token", "server-error":
		return object{}
	}
	return object{"pin": password}
}

// describe says what a challenge is, and holds its keys against the contract.
func (c *customer) describe(challenge object) string {
	c.t.Helper()
	kind := challenge["type"].(string)
	keys := slices.Sorted(maps.Keys(challenge))
	exactly := func(want ...string) {
		c.t.Helper()
		require.ElementsMatch(c.t, append(want, "id", "created_at", "type"), keys)
	}
	require.Regexp(c.t, `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`, challenge["created_at"])
	switch kind {
	case "METHOD_SELECTION":
		exactly("auth_methods")
		var ids []string
		for _, m := range challenge["auth_methods"].([]any) {
			method := m.(object)
			require.ElementsMatch(c.t, []string{"id", "type", "medium_name", "additional_info"}, slices.Collect(maps.Keys(method)))
			ids = append(ids, method["id"].(string))
		}
		return kind + "(" + strings.Join(ids, " ") + ")"
	case "REDIRECT":
		exactly("location")
		return kind
	case "DECOUPLED":
		exactly("message")
		return kind
	}
	require.Equal(c.t, "EMBEDDED", kind)
	required := []string{"id", "created_at", "type", "format", "data", "label"}
	require.Subset(c.t, keys, required)
	require.Subset(c.t, append(required, "version", "additional_info", "input_format", "min_length", "max_length"), keys)
	require.NotEmpty(c.t, challenge["label"])
	require.NotEmpty(c.t, challenge["additional_info"], "the bank says what must be shown")
	require.Equal(c.t, "integer", challenge["input_format"])
	require.EqualValues(c.t, len(tan), challenge["max_length"])
	data := challenge["data"].(string)
	switch challenge["format"] {
	case "PHOTO":
		encoded, found := strings.CutPrefix(data, "data:image/png;base64,")
		require.True(c.t, found, "%.40s", data)
		raw, err := base64.StdEncoding.DecodeString(encoded)
		require.NoError(c.t, err)
		_, err = png.Decode(bytes.NewReader(raw))
		require.NoError(c.t, err)
	case "HHD":
		require.Equal(c.t, "1.4", challenge["version"])
		code, err := hex.DecodeString(data)
		require.NoError(c.t, err)
		require.Equal(c.t, int(code[0]), len(code)-1)
	case "TEXT":
		require.NotEmpty(c.t, data)
	}
	return challenge["format"].(string)
}

// requireLedger holds everything that is stored of the customer's only access against what their bank has.
func (c *customer) requireLedger(login string, names bool) {
	c.t.Helper()
	c.requireSame(c.atBank(login, names), c.stored(names))
}

// requireSame compares entries by account.
func (c *customer) requireSame(want, got map[string][]string) {
	c.t.Helper()
	require.ElementsMatch(c.t, slices.Collect(maps.Keys(want)), slices.Collect(maps.Keys(got)))
	for account, entries := range want {
		if !slices.Equal(entries, got[account]) {
			missing, extra := difference(entries, got[account])
			c.t.Fatalf("%s: %d stored, the bank has %d\nmissing: %s\nnot at the bank: %s", account, len(got[account]), len(entries),
				strings.Join(missing, "\n         "), strings.Join(extra, "\n                 "))
		}
	}
}

// atBank lists per account what the bank has, a line for each entry, sorted. The account's name holds its balance.
func (c *customer) atBank(login string, names bool) map[string][]string {
	c.t.Helper()
	ledgers, err := c.bank.Ledgers(login)
	require.NoError(c.t, err)
	all := make(map[string][]string)
	for _, l := range ledgers {
		lines := []string{}
		for _, e := range l.Entries {
			if strings.Contains(login, "+recurring") || strings.Contains(login, "+statements") {
				if e.Pending { // these banks show booked ones only
					continue
				}
			}
			lines = append(lines, line(e, names))
		}
		slices.Sort(lines)
		number := l.IBAN
		if l.MaskedPAN != "" {
			number = l.MaskedPAN
		}
		all[fmt.Sprintf("%s %s %s", number, l.Currency, decimal.New(l.Balance, -2).StringFixed(2))] = lines
	}
	return all
}

func line(e sandbox.Entry, names bool) string {
	date, name := e.BookingDate.String(), ""
	if e.Pending {
		date = "pending"
	}
	if names {
		name = e.Name
	}
	return fmt.Sprintf("%s %s %s %s", date, decimal.New(e.Cents, -2).StringFixed(2), e.Currency, name)
}

// stored is what the API has of the same.
func (c *customer) stored(names bool) map[string][]string {
	c.t.Helper()
	var list struct {
		Accounts []struct {
			ID       string `json:"account_id"`
			IBAN     string
			Number   string `json:"account_number"`
			Currency string
			Balance  struct{ Balance decimal.Decimal }
		}
	}
	c.get("/rest/accounts", &list)
	all, called := make(map[string][]string), make(map[string]string)
	for _, a := range list.Accounts {
		number := a.IBAN
		if number == "" {
			number = a.Number
		}
		called[a.ID] = fmt.Sprintf("%s %s %s", number, a.Currency, a.Balance.Balance.StringFixed(2))
		all[called[a.ID]] = []string{}
	}
	for _, x := range c.transactions() {
		date := bookedOn(x)
		if x["booked"] == false {
			date = "pending"
		}
		name, _ := x["name"].(string)
		if !names {
			name = ""
		}
		account := called[x["account_id"].(string)]
		all[account] = append(all[account], fmt.Sprintf("%s %s %s %s", date, decimal.NewFromFloat(x["amount"].(float64)).StringFixed(2), x["currency"], name))
	}
	for _, lines := range all {
		slices.Sort(lines)
	}
	return all
}

// difference of two sorted lists, as multisets; at most ten lines of each.
func difference(want, got []string) (missing, extra []string) {
	count := make(map[string]int)
	for _, l := range want {
		count[l]++
	}
	for _, l := range got {
		count[l]--
	}
	for _, l := range slices.Sorted(maps.Keys(count)) {
		switch n := count[l]; {
		case n > 0 && len(missing) < 10:
			missing = append(missing, l)
		case n < 0 && len(extra) < 10:
			extra = append(extra, l)
		}
	}
	return missing, extra
}
