package sandbox_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/internal/civil"
	"github.com/kontoflow/kontoflow/sandbox"
)

// oddBank is a bank of the server, asked by a customer of whom no strong authentication is wanted.
type oddBank struct {
	t       *testing.T
	url     string
	consent string
	account string
	bank    *sandbox.Bank
}

func newOddBank(t *testing.T, path, login string) *oddBank {
	t.Helper()
	b := &oddBank{t: t, bank: sandbox.New(sandbox.Options{})}
	server := httptest.NewServer(b.bank.Handler())
	t.Cleanup(server.Close)
	b.url = server.URL + "/" + path
	var created struct{ ConsentID string }
	_, body := b.call("POST", "/v1/consents", `{"access":{"allPsd2":"allAccounts"},"recurringIndicator":true,"validUntil":"9999-12-31","frequencyPerDay":4,"combinedServiceIndicator":false}`, login)
	require.NoError(t, json.Unmarshal(body, &created), "%s", body)
	b.consent = created.ConsentID
	var begun struct{ AuthorisationID string }
	_, body = b.call("POST", "/v1/consents/"+b.consent+"/authorisations", "", login)
	require.NoError(t, json.Unmarshal(body, &begun), "%s", body)
	_, body = b.call("PUT", "/v1/consents/"+b.consent+"/authorisations/"+begun.AuthorisationID, `{"psuData":{"password":"demo"}}`, login)
	if bytes.Contains(body, []byte("challengeData")) {
		b.call("PUT", "/v1/consents/"+b.consent+"/authorisations/"+begun.AuthorisationID, `{"scaAuthenticationData":"111111"}`, login)
	}
	return b
}

func (b *oddBank) call(method, path, body, login string) (*http.Response, []byte) {
	b.t.Helper()
	request, err := http.NewRequestWithContext(b.t.Context(), method, b.url+path, strings.NewReader(body))
	require.NoError(b.t, err)
	for name, value := range map[string]string{"X-Request-ID": "99391c7e-ad88-49ec-a2ad-99ddcb1f7721", "PSU-IP-Address": "192.0.2.7", "PSU-ID": login,
		"Content-Type": "application/json", "Consent-ID": b.consent} {
		if value != "" {
			request.Header.Set(name, value)
		}
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(b.t, err)
	defer response.Body.Close()
	var answer bytes.Buffer
	_, err = answer.ReadFrom(response.Body)
	require.NoError(b.t, err)
	return response, answer.Bytes()
}

func (b *oddBank) get(path string) (int, string) {
	b.t.Helper()
	response, body := b.call("GET", path, "", "")
	return response.StatusCode, string(body)
}

type listedAccount struct {
	ResourceID string
	Links      map[string]struct{ Href string } `json:"_links"`
}

// accounts are the handles of the accounts, in their order.
func (b *oddBank) accounts() (all []listedAccount) {
	b.t.Helper()
	status, body := b.get("/v1/accounts")
	require.Equal(b.t, 200, status, body)
	var list struct{ Accounts []listedAccount }
	require.NoError(b.t, json.Unmarshal([]byte(body), &list))
	return list.Accounts
}

// transactions reads those of the account from a day on.
func (b *oddBank) transactions(back int) (int, string) {
	b.t.Helper()
	if b.account == "" {
		b.account = b.accounts()[0].ResourceID
	}
	from := civil.On(b.bank.Now()).AddDays(-back)
	return b.get("/v1/accounts/" + b.account + "/transactions?bookingStatus=both&dateFrom=" + from.String())
}

// Each of the banks that are odd where they are read does what its line in the table says.
func TestOddReads(t *testing.T) {
	t.Parallel()
	for path, check := range map[string]func(*oddBank){
		"download": func(b *oddBank) {
			all := b.accounts()
			b.account = all[0].ResourceID
			status, body := b.transactions(5)
			require.Equal(b.t, 200, status)
			require.Contains(b.t, body, `"download":{"href":"/download/v1/files/`+b.account+`"}`)
			require.Contains(b.t, body, `"booked":[{`)
			status, _ = b.get("/v1/files/" + all[0].ResourceID)
			require.Equal(b.t, 404, status)
			status, body = b.get("/v1/files/" + all[1].ResourceID)
			require.Equal(b.t, 200, status)
			require.Equal(b.t, "\x00\x01\x02\x03", body)
		},
		"ignores-dates": func(b *oddBank) {
			_, all := b.transactions(399)
			_, few := b.transactions(1)
			require.Equal(b.t, strings.Count(all, "transactionAmount"), strings.Count(few, "transactionAmount"))
			require.Equal(b.t, 100, strings.Count(few, `"bookingDate"`))
			var page struct {
				Transactions struct {
					Links map[string]struct{ Href string } `json:"_links"`
				}
			}
			require.NoError(b.t, json.Unmarshal([]byte(few), &page))
			status, body := b.get(strings.TrimPrefix(page.Transactions.Links["next"].Href, "/ignores-dates"))
			require.Equal(b.t, 200, status, body)
		},
		"refuses-balance": func(b *oddBank) {
			status, body := b.get("/v1/accounts?withBalance=true")
			require.Equal(b.t, 400, status)
			require.Contains(b.t, body, "PARAMETER_NOT_SUPPORTED")
			status, _ = b.get("/v1/card-accounts")
			require.Equal(b.t, 500, status)
			status, _ = b.get("/v1/accounts/" + b.accounts()[0].ResourceID + "/balances")
			require.Equal(b.t, 200, status)
		},
		"short-history-30":  func(b *oddBank) { b.requireDays(30, 403, "") },
		"short-history-60":  func(b *oddBank) { b.requireDays(60, 422, "WRONG_TRANSACTIONS_PERIOD") },
		"short-history-90":  func(b *oddBank) { b.requireDays(90, 400, "FORMAT_ERROR") },
		"short-history-365": func(b *oddBank) { b.requireDays(365, 400, civil.On(b.bank.Now()).AddDays(-364).String()) },
		"plain-mt940": func(b *oddBank) {
			response, body := b.call("GET", "/v1/accounts/"+b.accounts()[0].ResourceID+"/transactions?bookingStatus=both&dateFrom="+civil.On(b.bank.Now()).AddDays(-9).String(), "", "")
			require.Equal(b.t, "text/plain;charset=ISO-8859-1", response.Header.Get("Content-Type"))
			require.True(b.t, bytes.HasPrefix(body, []byte(":20:STARTUMS\r\n")), "%.40s", body)
		},
		"loose": func(b *oddBank) {
			_, body := b.transactions(90)
			require.True(b.t, strings.HasPrefix(body, "\uFEFF\r\n{"))
			require.Regexp(b.t, `"amount":-?\d+(\.\d+)?}`, body)
			require.Regexp(b.t, `"bookingDateTime":"\d{4}-\d\d-\d\dT00:00:00.000\+01:00"`, body)
			require.NotContains(b.t, body, `"bookingDate"`)
			require.NotContains(b.t, body, `"pending":[]`)
		},
		"circle": func(b *oddBank) {
			_, body := b.transactions(2)
			require.Contains(b.t, body, `"next":{"href":"/circle/v1/accounts/`+b.account+`/transactions?bookingStatus=both`)
		},
		"giro-only": func(b *oddBank) {
			all := b.accounts()
			require.Len(b.t, all, 3)
			require.Contains(b.t, all[0].Links, "transactions")
			require.NotContains(b.t, all[1].Links, "transactions")
		},
	} {
		t.Run(path, func(t *testing.T) {
			t.Parallel()
			login := "demo"
			if path == "download" || path == "giro-only" {
				login = "savings"
			}
			check(newOddBank(t, path, login))
		})
	}
}

// requireDays checks how much the bank gives, and how it refuses more.
func (b *oddBank) requireDays(days, status int, says string) {
	b.t.Helper()
	if b.bank.Now().Hour() == 23 && b.bank.Now().Minute() == 59 {
		b.bank.Advance(time.Minute) // not over midnight
	}
	got, body := b.transactions(days)
	require.Equal(b.t, status, got)
	require.Contains(b.t, body, says)
	got, _ = b.transactions(days - 1)
	require.Equal(b.t, 200, got)
}
