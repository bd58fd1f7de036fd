package xs2a_test

import (
	"fmt"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
)

const oneAccount = `{"accounts":[{"resourceId":"a","iban":"DE02120300000000202051","currency":"EUR","_links":{"transactions":{"href":"/v1/accounts/a/transactions"},"balances":{"href":"/v1/accounts/a/balances"}}}]}`

// accounts lists the accounts, and the paths that the bank was asked.
func (b *readingBank) accounts() (all []banks.Account, asked string, err error) {
	b.t.Helper()
	b.requests()
	all, err = b.adapter.Accounts(b.t.Context(), b.conv)
	var paths []string
	for _, u := range b.requests() {
		paths = append(paths, strings.TrimPrefix(u.RequestURI(), "/v1/"))
	}
	return all, strings.Join(paths, " "), err
}

// A bank that does not take the wish for balances is asked without it, and from then on account by
// account.
func TestBalancesThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, refusal := range []said{
		{status: 400, body: `{"tppMessages":[{"category":"ERROR","code":"PARAMETER_NOT_SUPPORTED"}]}`}, {status: 400, body: `{"tppMessages":[{"category":"ERROR","code":"FORMAT_ERROR"}]}`},
		{status: 400, media: "text/plain"}, {status: 403}, {status: 405, body: `{"tppMessages":[{"category":"ERROR","code":"SERVICE_INVALID"}]}`}, {status: 422}, {status: 501},
	} {
		t.Run(fmt.Sprint(refusal.status, refusal.body), func(t *testing.T) {
			t.Parallel()
			b := newReadingBank(t, func(_ int, r *http.Request) said {
				switch {
				case r.URL.Query().Get("withBalance") != "":
					return refusal
				case strings.HasSuffix(r.URL.Path, "/balances"):
					return said{body: `{"balances":[{"balanceType":"closingBooked","balanceAmount":{"currency":"EUR","amount":"7"}}]}`}
				case strings.HasSuffix(r.URL.Path, "/card-accounts"):
					return said{body: `{"cardAccounts":[]}`}
				}
				return said{body: oneAccount}
			})
			all, asked, err := b.accounts()
			require.NoError(t, err)
			require.Equal(t, "accounts?withBalance=true accounts card-accounts accounts/a/balances", asked)
			require.Equal(t, "7", all[0].Balances[0].Amount.String())

			all, asked, err = b.accounts()
			require.NoError(t, err)
			require.Equal(t, "accounts accounts/a/balances", asked, "it is remembered")
			require.Len(t, all[0].Balances, 1)
		})
	}
	t.Run("not for another reason", func(t *testing.T) {
		t.Parallel()
		for _, refusal := range []said{{status: 429}, {status: 500}, {status: 401, body: `{"tppMessages":[{"category":"ERROR","code":"CONSENT_EXPIRED"}]}`}} {
			b := newReadingBank(t, func(int, *http.Request) said { return refusal })
			_, asked, err := b.accounts()
			require.Error(t, err)
			require.Equal(t, "accounts?withBalance=true", asked)
		}
	})
}

// What a bank says about cards that it does not have is no reason to do without the accounts; nor
// does it end the consent under which they were listed a moment ago.
func TestCardAccountsThatAreRefused(t *testing.T) {
	t.Parallel()
	for _, refusal := range []said{{status: 500}, {status: 503}, {status: 501}, {status: 404}, {status: 403}, {status: 405}, {status: 429},
		{status: 401, body: `{"tppMessages":[{"category":"ERROR","code":"CONSENT_INVALID"}]}`}, {status: 401}, {status: 400, body: `{"tppMessages":[{"category":"ERROR","code":"SERVICE_INVALID"}]}`},
		{media: "text/html", body: "<html>"}, {body: `{"cardAccounts":null}`}, {status: 204}} {
		t.Run(fmt.Sprint(refusal.status, refusal.media, refusal.body), func(t *testing.T) {
			t.Parallel()
			seen := false
			b := newReadingBank(t, func(_ int, r *http.Request) said {
				if !strings.HasSuffix(r.URL.Path, "/card-accounts") {
					return said{body: oneAccount}
				}
				if seen {
					return said{body: `{"cardAccounts":[{"resourceId":"c","maskedPan":"5232********1234","currency":"EUR"}]}`}
				}
				return refusal
			})
			all, _, err := b.accounts()
			require.NoError(t, err)
			require.Len(t, all, 1)
			require.Equal(t, "valid", b.lastingOf("consent_status"))
			require.Empty(t, b.conv.Left)
			_, err = b.adapter.Transactions(t.Context(), b.conv, b.account, banks.Window{}, "")
			require.NoError(t, err)

			passes := refusal.status == 500 || refusal.status == 503 || refusal.status == 429
			seen = true
			all, asked, err := b.accounts()
			require.NoError(t, err)
			require.Equal(t, passes, strings.Contains(asked, "card-accounts"), asked)
			if !passes {
				return
			}
			require.Len(t, all, 2)
			seen = false
			_, _, err = b.accounts()
			requireKind(t, err, banks.AsError(err).Kind)
			require.Contains(t, []banks.Kind{banks.Transient, banks.LimitExceeded}, banks.AsError(err).Kind, "the card is not gone")
		})
	}
}

// A bank that links the transactions of some accounts only gives none of the others.
func TestAccountsWithoutTransactions(t *testing.T) {
	t.Parallel()
	account := func(id, links string) string {
		return fmt.Sprintf(`{"resourceId":%q,"iban":"DE02120300000000202051","currency":"EUR","balances":[],"_links":{%s}}`, id, links)
	}
	const transactions, balances = `"transactions":{"href":"/t"}`, `"balances":{"href":"/v1/b"}`
	for name, row := range map[string]struct{ list, unread string }{
		"one of three": {account("1", transactions) + "," + account("2", balances) + "," + account("3", transactions), "2"},
		"null":         {account("1", transactions) + "," + account("2", `"transactions":null`), "2"},
		"an empty one": {account("1", `"transactions":{"href":""}`) + "," + account("2", transactions), "1"},
		"no links":     {account("1", transactions) + "," + account("2", ""), "2"},
		"none has":     {account("1", balances) + "," + account("2", ""), ""},
		"all have":     {account("1", transactions) + "," + account("2", transactions), ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newReadingBank(t, func(_ int, r *http.Request) said {
				switch {
				case strings.HasSuffix(r.URL.Path, "/accounts"):
					return said{body: `{"accounts":[` + row.list + `]}`}
				case strings.HasSuffix(r.URL.Path, "/b"):
					return said{body: `{"balances":[{"balanceAmount":{"amount":"1"}}]}`}
				}
				return said{status: 404}
			})
			all, _, err := b.accounts()
			require.NoError(t, err)
			var unread []string
			for _, a := range all {
				if a.Unread != "" {
					require.Equal(t, banks.UnreadNotOffered, a.Unread)
					unread = append(unread, a.ResourceID)
				}
			}
			require.Equal(t, row.unread, strings.Join(unread, " "))
		})
	}
}

// Only balances in the account's own currency are its balances.
func TestBalancesOfTheAccount(t *testing.T) {
	t.Parallel()
	balance := func(kind, amount, currency, more string) string {
		return fmt.Sprintf(`{"balanceType":%q,"balanceAmount":{"currency":%q,"amount":%q}%s}`, kind, currency, amount, more)
	}
	many := make([]string, 90)
	for i := range many {
		many[i] = balance("closingBooked", fmt.Sprint(i), "EUR", fmt.Sprintf(`,"referenceDate":"2026-%02d-%02d"`, 1+i/28, 1+i%28))
	}
	slices.Reverse(many)
	for name, row := range map[string]struct{ currency, balances, want string }{
		"another currency":      {"EUR", balance("closingBooked", "500", "EUR", "") + "," + balance("closingBooked", "350", "USD", ""), "closingBooked 500 EUR 0"},
		"another one before":    {"EUR", balance("closingBooked", "350", "USD", "") + "," + balance("closingBooked", "500", "EUR", ""), "closingBooked 500 EUR 0"},
		"only another one":      {"EUR", balance("closingBooked", "350", "USD", ""), ""},
		"no currency":           {"EUR", balance("closingBooked", "350", "", ""), "closingBooked 350  0"},
		"several currencies":    {"XXX", balance("closingBooked", "350", "USD", "") + "," + balance("closingBooked", "500", "EUR", ""), "closingBooked 350 USD 0|closingBooked 500 EUR 0"},
		"a type of its own":     {"EUR", balance("disposable", "1.10", "EUR", ""), "disposable 1.1 EUR 0"},
		"an amount that is not": {"EUR", balance("expected", "n/a", "EUR", "") + "," + balance("expected", "1", "EUR", `,"referenceDate":"2026-02-30"`), "expected 1 EUR 2026-02-28"},
		"noise":                 {"EUR", balance("expected", "101.960000000017", "EUR", `,"lastChangeDateTime":"2026-03-02T23:59:59Z"`), "expected 101.96 EUR 2026-03-02"},
		"too many":              {"EUR", strings.Join(many, ","), "closingBooked 89 EUR 2026-04-06"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newReadingBank(t, func(_ int, r *http.Request) said {
				return said{body: fmt.Sprintf(`{"accounts":[{"resourceId":"a","iban":"DE02120300000000202051","currency":%q,"balances":[%s],"_links":{"transactions":"/t"}}]}`, row.currency, row.balances)}
			})
			all, _, err := b.accounts()
			require.NoError(t, err)
			var got []string
			for _, x := range all[0].Balances {
				date := x.Date.String()
				if x.Date.IsZero() {
					date = "0"
				}
				got = append(got, fmt.Sprint(x.Type, " ", x.Amount, " ", x.Currency, " ", date))
			}
			require.Equal(t, row.want, strings.Join(got, "|"))
		})
	}
}

// A list of millions costs about what it takes to hold its text. Not in parallel: the memory of all
// tests is counted.
func TestListsAreBoundedWhileTheyAreRead(t *testing.T) {
	fill := func(element string) string {
		return strings.Repeat(element+",", (16<<20-100)/(len(element)+1)) + element
	}
	keys := func(value string) string {
		var b strings.Builder
		for i := 0; b.Len() < 15<<20; i++ {
			fmt.Fprintf(&b, `"k%d":%s,`, i, value)
		}
		return b.String()
	}
	for name, body := range map[string]string{
		"accounts":           `{"accounts":[` + fill(`{}`) + `]}`,
		"null accounts":      `{"accounts":[` + fill(`0`) + `]}`,
		"under another name": `{"accountList":[` + fill(`{}`) + `]}`,
		"balances":           `{"accounts":[{"resourceId":"a","balances":[` + fill(`{}`) + `]}]}`,
		"balances of many":   `{"accounts":[` + strings.Repeat(`{"resourceId":"a","balances":[`+strings.Repeat(`{},`, 5_000)+`{}]},`, 999) + `{}]}`,
		"links":              `{"accounts":[{"resourceId":"a","_links":{` + keys(`{}`) + `"x":{}}}]}`,
		"messages":           `{"tppMessages":[` + fill(`{}`) + `]}`,
		"nested lists":       `{"accounts":[` + strings.Repeat("[", 9_000) + strings.Repeat("]", 9_000) + `]}`,
	} {
		t.Run(name, func(t *testing.T) {
			b := newReadingBank(t, func(_ int, r *http.Request) said {
				if strings.HasSuffix(r.URL.Path, "/accounts") {
					return said{body: body}
				}
				return said{status: 404}
			})
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			_, err := b.adapter.Accounts(t.Context(), b.conv)
			runtime.ReadMemStats(&after)
			if strings.Contains(name, "accounts") || strings.Contains(name, "under") {
				requireKind(t, err, banks.Rejected)
			}
			require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(256<<20), "bytes allocated for %d", len(body))
		})
	}
}
