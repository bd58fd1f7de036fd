package sandbox_test

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks/formats/camt"
	"github.com/kontoflow/kontoflow/sandbox"
)

// pages follows the next links from a first page and returns all booked entries.
func (c *tpp) pages(first string, reading headers) (all []transactionReply, pages int) {
	c.t.Helper()
	for next := first; next != ""; pages++ {
		page := c.do("GET", next, nil, reading)
		require.Equal(c.t, 200, page.Status, string(page.Raw))
		all = append(all, page.Body.Transactions.Booked...)
		next = page.Body.Transactions.Links["next"].Href
	}
	return all, pages
}

func TestPagesAreTheWholeList(t *testing.T) {
	t.Parallel()
	c := visit(t, open(), "demo").checked()
	reading := with(atHome, "Consent-ID", c.consented("demo"))
	account := c.do("GET", "/v1/accounts", nil, reading).Body.Accounts[0]
	list := account.Links["transactions"].Href + "?bookingStatus=both&dateFrom=2020-01-01"

	whole, one := c.pages(list+"&itemsPerPage=5000", reading)
	require.Equal(t, 1, one)
	require.Greater(t, len(whole), 300)
	require.GreaterOrEqual(t, whole[len(whole)-1].BookingDate, "2025-02-12", "400 days are shown, whatever is asked for")
	for i := 1; i < len(whole); i++ {
		require.LessOrEqual(t, whole[i].BookingDate, whole[i-1].BookingDate, "newest first")
	}
	for _, size := range []string{"", "&itemsPerPage=7", "&itemsPerPage=1000"} {
		parts, _ := c.pages(list+size, reading)
		require.Equal(t, whole, parts)
	}
	part, _ := c.pages(account.Links["transactions"].Href+"?bookingStatus=booked&dateFrom=2026-02-02&dateTo=2026-02-06", reading)
	for _, entry := range part {
		require.True(t, entry.BookingDate >= "2026-02-02" && entry.BookingDate <= "2026-02-06")
		single := c.do("GET", account.Links["transactions"].Href+"/"+entry.TransactionID, nil, reading)
		require.Contains(t, string(single.Raw), entry.TransactionID)
	}
	require.NotEmpty(t, part)
}

func TestUnattendedReadsAreLimited(t *testing.T) {
	t.Parallel()
	b := open()
	c := visit(t, b, "demo").checked()
	consent := c.consented("savings")
	alone := headers{"Consent-ID": consent}
	accounts := c.do("GET", "/v1/accounts", nil, alone).Body.Accounts
	list := func(i int) string {
		return accounts[i].Links["transactions"].Href + "?bookingStatus=booked&dateFrom=2026-01-01&itemsPerPage=10"
	}
	first := c.do("GET", list(0), nil, alone)
	for range 5 {
		require.Equal(t, 200, c.do("GET", first.Body.Transactions.Links["next"].Href, nil, alone).Status, "a further page is not a further read")
	}
	b.Advance(time.Hour)
	for range 3 {
		require.Equal(t, 200, c.do("GET", list(0), nil, alone).Status)
	}
	exceeded := c.do("GET", list(0), nil, alone)
	require.Equal(t, 429, exceeded.Status)
	require.Equal(t, "ACCESS_EXCEEDED", exceeded.code())
	require.Equal(t, fmt.Sprint(23*3600+1), exceeded.Header.Get("Retry-After"), "when the first of them is a day old")
	require.Equal(t, 200, c.do("GET", list(1), nil, alone).Status, "another account has its own")
	require.Equal(t, 200, c.do("GET", list(0), nil, with(alone, "PSU-IP-Address", "192.0.2.7")).Status, "the customer is there")
	b.Advance(23*time.Hour + time.Second)
	require.Equal(t, 200, c.do("GET", list(0), nil, alone).Status)
	require.Equal(t, 429, c.do("GET", list(0), nil, alone).Status, "the others are still within the day")
}

func TestSharedLimitDoesNotSayWhen(t *testing.T) {
	t.Parallel()
	c := visit(t, open(), "recurring").checked()
	alone := headers{"Consent-ID": c.consented("savings")}
	accounts := c.do("GET", "/v1/accounts", nil, alone).Body.Accounts
	var statuses []int
	var last *reply
	for i := range 5 {
		last = c.do("GET", accounts[i%3].Links["transactions"].Href+"?bookingStatus=booked&dateFrom=2026-03-01", nil, alone)
		statuses = append(statuses, last.Status)
	}
	require.Equal(t, []int{200, 200, 200, 200, 429}, statuses)
	require.Empty(t, last.Header.Get("Retry-After"))
}

func TestConsentEnds(t *testing.T) {
	t.Parallel()
	b := open()
	c := visit(t, b, "demo").checked()
	accounts := func(id string) *reply { return c.do("GET", "/v1/accounts", nil, with(atHome, "Consent-ID", id)) }

	long := allAccounts()
	long["validUntil"] = "9999-12-31"
	k := c.do("POST", "/v1/consents", long, with(atHome, "PSU-ID", "demo"))
	require.Equal(t, "2026-09-14", c.do("GET", k.Body.Links["self"].Href, nil, nil).Body.ValidUntil, "the bank shortens it to 180 days")
	require.Equal(t, "CONSENT_INVALID", accounts(k.Body.ConsentID).code(), "nobody authorised it")

	revoked, deleted, expired := c.consented("demo"), c.consented("exempt"), c.consented("demo+expires")
	require.Equal(t, 1, b.RevokeConsents("demo"))
	require.Equal(t, "CONSENT_INVALID", accounts(revoked).code())
	require.Equal(t, 204, c.do("DELETE", "/v1/consents/"+deleted, nil, nil).Status)
	require.Equal(t, 204, c.do("DELETE", "/v1/consents/"+deleted, nil, nil).Status, "twice is once")
	require.Equal(t, "terminatedByTpp", c.do("GET", "/v1/consents/"+deleted+"/status", nil, nil).Body.ConsentStatus)
	require.Equal(t, "CONSENT_INVALID", accounts(deleted).code())

	require.Equal(t, 200, accounts(expired).Status)
	b.Advance(105 * 24 * time.Hour) // validUntil is 2026-06-30
	late := accounts(expired)
	require.Equal(t, 401, late.Status)
	require.Equal(t, "CONSENT_EXPIRED", late.code())
	require.Equal(t, "expired", c.do("GET", "/v1/consents/"+expired+"/status", nil, nil).Body.ConsentStatus)

	require.Equal(t, "CONSENT_UNKNOWN", accounts("nobody's").code())
	require.Equal(t, 403, c.do("GET", "/v1/consents/nobodys", nil, nil).Status)
}

func TestResourceIDsLiveAsLongAsTheConsent(t *testing.T) {
	t.Parallel()
	c := visit(t, open(), "demo").checked()
	first, second := c.consented("exempt"), c.consented("exempt")
	of := func(consent string) accountReply {
		return c.do("GET", "/v1/accounts", nil, with(atHome, "Consent-ID", consent)).Body.Accounts[0]
	}
	require.Equal(t, of(first), of(first))
	require.Equal(t, of(first).IBAN, of(second).IBAN)
	require.NotEqual(t, of(first).ResourceID, of(second).ResourceID)
	require.Equal(t, 404, c.do("GET", "/v1/accounts/"+of(first).ResourceID, nil, with(atHome, "Consent-ID", second)).Status)
}

func TestConsentOpensWhatItNames(t *testing.T) {
	t.Parallel()
	c := visit(t, open(), "demo").checked()
	all := c.do("GET", "/v1/accounts", nil, with(atHome, "Consent-ID", c.consented("savings"))).Body.Accounts
	named := []object{{"iban": all[1].IBAN}}
	request := allAccounts()
	request["access"] = object{"accounts": named, "balances": named}
	k := c.do("POST", "/v1/consents", request, with(atHome, "PSU-ID", "savings"))
	a := c.do("POST", k.Body.Links["startAuthorisation"].Href, nil, with(atHome, "PSU-ID", "savings"))
	a = c.do("PUT", a.Body.Links["updatePsuAuthentication"].Href, object{"psuData": object{"password": "demo"}}, nil)
	c.do("PUT", a.Body.Links["authoriseTransaction"].Href, object{"scaAuthenticationData": "111111"}, nil)
	reading := with(atHome, "Consent-ID", k.Body.ConsentID)
	seen := c.do("GET", "/v1/accounts", nil, reading).Body.Accounts
	require.Len(t, seen, 1)
	require.Equal(t, all[1].IBAN, seen[0].IBAN)
	require.Equal(t, 200, c.do("GET", seen[0].Links["balances"].Href, nil, reading).Status)
	require.NotContains(t, seen[0].Links, "transactions")
	refused := c.do("GET", "/v1/accounts/"+seen[0].ResourceID+"/transactions?bookingStatus=booked&dateFrom=2026-01-01", nil, reading)
	require.Equal(t, "CONSENT_INVALID", refused.code())
}

func TestCardAccounts(t *testing.T) {
	t.Parallel()
	c := visit(t, open(), "demo").checked()
	reading := with(atHome, "Consent-ID", c.consented("card"))
	require.Len(t, c.do("GET", "/v1/accounts", nil, reading).Body.Accounts, 1)
	cards := c.do("GET", "/v1/card-accounts", nil, reading).Body.CardAccounts
	require.Len(t, cards, 1)
	require.Contains(t, cards[0].MaskedPan, "****")
	for _, path := range []string{"", "/balances", "/transactions?bookingStatus=both&dateFrom=2026-01-01"} {
		got := c.do("GET", "/v1/card-accounts/"+cards[0].ResourceID+path, nil, reading)
		require.Equal(t, 200, got.Status, string(got.Raw))
	}
}

// The same days as JSON and as camt, read by our own reader.
func TestCamtSaysTheSame(t *testing.T) {
	t.Parallel()
	c := visit(t, open(), "demo").checked()
	reading := with(atHome, "Consent-ID", c.consented("demo"))
	account := c.do("GET", "/v1/accounts", nil, reading).Body.Accounts[0]
	for status, message := range map[string]string{"booked": "camt.053", "both": "camt.052"} {
		list := account.Links["transactions"].Href + "?dateFrom=2025-12-01&itemsPerPage=5000&bookingStatus=" + status
		asJSON := c.do("GET", list, nil, reading).Body.Transactions
		asXML := c.do("GET", list, nil, with(reading, "Accept", "application/xml"))
		require.Contains(t, string(asXML.Raw), message+".001.08")
		report, err := camt.Read(strings.NewReader(string(asXML.Raw)), "EUR")
		require.NoError(t, err)
		var booked, pending int
		for _, entry := range report.Entries {
			if entry.Pending {
				pending++
				continue
			}
			want := asJSON.Booked[booked]
			require.Equal(t, want.TransactionAmount.Amount, entry.Amount.StringFixed(2))
			require.Equal(t, want.BookingDate, entry.BookingDate.String())
			booked++
		}
		require.Equal(t, len(asJSON.Booked), booked)
		require.Equal(t, len(asJSON.Pending), pending)
	}
}

func TestFile(t *testing.T) {
	t.Parallel()
	c := visit(t, open(), "demo").checked()
	reading := with(atHome, "Consent-ID", c.consented("file"))
	account := c.do("GET", "/v1/accounts", nil, reading).Body.Accounts[0]
	answer := c.do("GET", account.Links["transactions"].Href+"?bookingStatus=booked&dateFrom=2026-01-01", nil, reading)
	require.Empty(t, answer.Body.Transactions.Booked)
	file := c.do("GET", answer.Body.Links["download"].Href, nil, reading)
	require.Equal(t, 200, file.Status, string(file.Raw))
	require.Greater(t, len(file.Body.Transactions.Booked), 50)
}

// What the bank does not accept: every row is a good request with one thing wrong, and names what it was.
func TestStrictness(t *testing.T) {
	t.Parallel()
	c := visit(t, open(), "demo")
	consent := c.consented("exempt")
	reading := with(atHome, "Consent-ID", consent)
	account := c.do("GET", "/v1/accounts", nil, reading).Body.Accounts[0]
	list := account.Links["transactions"].Href + "?"
	psu := with(atHome, "PSU-ID", "demo")
	but := func(field string, value any) object {
		o := allAccounts()
		if value == nil {
			delete(o, field)
		} else {
			o[field] = value
		}
		return o
	}
	for _, row := range []struct {
		what, method, path string
		body               any
		header             headers
		status             int
		code, field        string
	}{
		{"no X-Request-ID", "GET", "/v1/accounts", nil, with(reading, "X-Request-ID", ""), 400, "FORMAT_ERROR", "X-Request-ID"},
		{"X-Request-ID no UUID", "GET", "/v1/accounts", nil, with(reading, "X-Request-ID", "17"), 400, "FORMAT_ERROR", "X-Request-ID"},
		{"X-Request-ID in braces", "GET", "/v1/accounts", nil, with(reading, "X-Request-ID", "{99391c7e-ad88-49ec-a2ad-99ddcb1f7721}"), 400, "FORMAT_ERROR", "X-Request-ID"},
		{"no PSU-IP-Address", "POST", "/v1/consents", allAccounts(), headers{"PSU-ID": "demo"}, 400, "FORMAT_ERROR", "PSU-IP-Address"},
		{"PSU-IP-Address", "POST", "/v1/consents", allAccounts(), with(psu, "PSU-IP-Address", "home"), 400, "FORMAT_ERROR", "PSU-IP-Address"},
		{"unknown customer", "POST", "/v1/consents", allAccounts(), with(psu, "PSU-ID", "nobody"), 401, "PSU_CREDENTIALS_INVALID", ""},
		{"preference", "POST", "/v1/consents", allAccounts(), with(psu, "TPP-Redirect-Preferred", "yes"), 400, "FORMAT_ERROR", "TPP-Redirect-Preferred"},
		{"redirect URI", "POST", "/v1/consents", allAccounts(), with(psu, "TPP-Redirect-URI", "/back"), 400, "FORMAT_ERROR", "TPP-Redirect-URI"},
		{"method of the customer's request", "POST", "/v1/consents", allAccounts(), with(psu, "PSU-Http-Method", "LOOK"), 400, "FORMAT_ERROR", "PSU-Http-Method"},
		{"device", "POST", "/v1/consents", allAccounts(), with(psu, "PSU-Device-ID", "phone"), 400, "FORMAT_ERROR", "PSU-Device-ID"},
		{"no JSON", "POST", "/v1/consents", "hello", psu, 400, "FORMAT_ERROR", ""},
		{"media type", "POST", "/v1/consents", "a=b", with(psu, "Content-Type", "text/plain"), 415, "FORMAT_ERROR", ""},
		{"too large", "POST", "/v1/consents", strings.Repeat(" ", 1<<17), psu, 413, "FORMAT_ERROR", ""},
		{"no access", "POST", "/v1/consents", but("access", nil), psu, 400, "FORMAT_ERROR", "access"},
		{"empty access", "POST", "/v1/consents", but("access", object{}), psu, 400, "FORMAT_ERROR", "access"},
		{"two kinds of access", "POST", "/v1/consents", but("access", object{"allPsd2": "allAccounts", "accounts": []object{}}), psu, 400, "FORMAT_ERROR", "access"},
		{"unknown access", "POST", "/v1/consents", but("access", object{"allPsd2": "everything"}), psu, 400, "FORMAT_ERROR", "access.allPsd2"},
		{"IBAN", "POST", "/v1/consents", but("access", object{"accounts": []object{{"iban": "DE68900900424711951500"}}}), psu, 400, "FORMAT_ERROR", "access.accounts"},
		{"currency", "POST", "/v1/consents", but("access", object{"accounts": []object{{"iban": "DE67900900424711951500", "currency": "Euro"}}}), psu, 400, "FORMAT_ERROR", "access.accounts"},
		{"somebody else's account", "POST", "/v1/consents", but("access", object{"accounts": []object{{"iban": "DE02120300000000202051"}}}), psu, 400, "RESOURCE_UNKNOWN", "access"},
		{"no recurringIndicator", "POST", "/v1/consents", but("recurringIndicator", nil), psu, 400, "FORMAT_ERROR", "recurringIndicator"},
		{"recurringIndicator as text", "POST", "/v1/consents", but("recurringIndicator", "true"), psu, 400, "FORMAT_ERROR", "recurringIndicator"},
		{"one-off, and four times", "POST", "/v1/consents", but("recurringIndicator", false), psu, 400, "FORMAT_ERROR", "frequencyPerDay"},
		{"no validUntil", "POST", "/v1/consents", but("validUntil", nil), psu, 400, "FORMAT_ERROR", "validUntil"},
		{"validUntil no date", "POST", "/v1/consents", but("validUntil", "tomorrow"), psu, 400, "FORMAT_ERROR", "validUntil"},
		{"validUntil yesterday", "POST", "/v1/consents", but("validUntil", "2026-03-17"), psu, 400, "TIMESTAMP_INVALID", "validUntil"},
		{"never a day", "POST", "/v1/consents", but("frequencyPerDay", 0), psu, 400, "FORMAT_ERROR", "frequencyPerDay"},
		{"combined", "POST", "/v1/consents", but("combinedServiceIndicator", true), psu, 400, "SESSIONS_NOT_SUPPORTED", ""},
		{"misspelt field", "POST", "/v1/consents", but("recuringIndicator", true), psu, 400, "FORMAT_ERROR", "recuringIndicator"},
		{"no Consent-ID", "GET", "/v1/accounts", nil, atHome, 400, "FORMAT_ERROR", "Consent-ID"},
		{"unknown parameter", "GET", "/v1/accounts?withBalances=true", nil, reading, 400, "PARAMETER_NOT_SUPPORTED", "withBalances"},
		{"no bookingStatus", "GET", list + "dateFrom=2026-01-01", nil, reading, 400, "FORMAT_ERROR", "bookingStatus"},
		{"bookingStatus", "GET", list + "dateFrom=2026-01-01&bookingStatus=done", nil, reading, 400, "FORMAT_ERROR", "bookingStatus"},
		{"no dateFrom", "GET", list + "bookingStatus=booked", nil, reading, 400, "FORMAT_ERROR", "dateFrom"},
		{"dateFrom", "GET", list + "bookingStatus=booked&dateFrom=01.01.2026", nil, reading, 400, "FORMAT_ERROR", "dateFrom"},
		{"backwards", "GET", list + "bookingStatus=booked&dateFrom=2026-03-02&dateTo=2026-03-01", nil, reading, 400, "PERIOD_INVALID", "dateFrom"},
		{"page", "GET", list + "bookingStatus=booked&dateFrom=2026-03-02&page=9", nil, reading, 400, "FORMAT_ERROR", "page"},
		{"delta", "GET", list + "bookingStatus=booked&dateFrom=2026-03-02&deltaList=true", nil, reading, 400, "PARAMETER_NOT_SUPPORTED", "deltaList"},
		{"format", "GET", list + "bookingStatus=booked&dateFrom=2026-03-02", nil, with(reading, "Accept", "text/plain"), 406, "REQUESTED_FORMATS_INVALID", ""},
		{"no such account", "GET", "/v1/accounts/" + url.PathEscape("../x"), nil, reading, 404, "RESOURCE_UNKNOWN", ""},
		{"no such transaction", "GET", account.Links["transactions"].Href + "/9", nil, reading, 404, "RESOURCE_UNKNOWN", ""},
		{"no such resource", "GET", "/v1/payments", nil, reading, 404, "RESOURCE_UNKNOWN", ""},
		{"no such method", "PUT", "/v1/accounts", object{}, reading, 405, "SERVICE_INVALID", ""},
		{"no such authorisation", "GET", "/v1/consents/" + consent + "/authorisations/9", nil, nil, 404, "RESOURCE_UNKNOWN", ""},
	} {
		got := c.do(row.method, row.path, row.body, row.header)
		require.Equal(t, row.status, got.Status, "%s: %s", row.what, got.Raw)
		require.Equal(t, row.code, got.code(), row.what)
		if row.field != "" {
			require.Equal(t, row.field, got.Body.Messages[0].Path, row.what)
		}
	}
}

func TestStepsOutOfTurn(t *testing.T) {
	t.Parallel()
	c := visit(t, open(), "demo").checked()
	_, a := c.started("demo")
	self := a.Body.Links["scaStatus"].Href
	for _, body := range []object{{"authenticationMethodId": "sms"}, {"scaAuthenticationData": "111111"}, {"confirmationCode": "1"}} {
		got := c.do("PUT", self, body, nil)
		require.Equal(t, 409, got.Status)
		require.Equal(t, "STATUS_INVALID", got.code())
	}
	require.Equal(t, "FORMAT_ERROR", c.do("PUT", self, object{"psuData": object{"password": "demo"}, "scaAuthenticationData": "111111"}, nil).code())
	require.Equal(t, "psuIdentified", c.do("GET", self, nil, nil).Body.ScaStatus, "and nothing happened")
}

func TestWorldIsTheSameEveryTime(t *testing.T) {
	t.Parallel()
	read := func(options sandbox.Options) []byte {
		options.Now = clock
		c := visit(t, sandbox.New(options), "demo")
		reading := with(atHome, "Consent-ID", c.consented("exempt"))
		account := c.do("GET", "/v1/accounts", nil, reading).Body.Accounts[0]
		list := c.do("GET", account.Links["transactions"].Href+"?bookingStatus=booked&itemsPerPage=5000&dateFrom=2025-01-01", nil, reading).Body.Transactions.Booked
		raw, err := json.Marshal(list)
		require.NoError(t, err)
		return raw
	}
	require.Equal(t, read(sandbox.Options{}), read(sandbox.Options{Seed: 1}))
	require.NotEqual(t, read(sandbox.Options{}), read(sandbox.Options{Seed: 2}))
}
