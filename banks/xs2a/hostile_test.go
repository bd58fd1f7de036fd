package xs2a_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/xs2a"
)

// hostile is a bank that answers each call with what the test says, whatever was asked.
type hostile map[string]string // "GET /v1/accounts" → body; "HOST" in it is the bank's own address

func (h hostile) open(t *testing.T) *banks.Conversation {
	t.Helper()
	var server *httptest.Server
	server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, ok := h[r.Method+" "+r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if r.Method == http.MethodPost {
			w.WriteHeader(http.StatusCreated)
		}
		_, _ = w.Write([]byte(strings.ReplaceAll(body, "HOST", server.URL)))
	}))
	t.Cleanup(server.Close)
	return conversation(banks.Connection{Protocol: "XS2A", URL: server.URL}, "demo")
}

const (
	created = `{"consentStatus":"received","consentId":"c-1","_links":{%s}}`
	valid   = `{"consentStatus":"valid","consentId":"c-1","validUntil":"2099-12-31","frequencyPerDay":"4","recurringIndicator":"true","_links":{}}`
)

// ready is a bank that grants a consent at once.
func (h hostile) ready() hostile {
	h["POST /v1/consents"] = strings.Replace(valid, "valid", "valid", 1)
	h["GET /v1/consents/c-1"] = valid
	return h
}

func run(t *testing.T, conv *banks.Conversation) (banks.Step, error) {
	t.Helper()
	p := xs2a.New(xs2a.Options{})
	step, err := p.Authorize(t.Context(), conv)
	for range 20 {
		if err != nil || step.Status != banks.Moving {
			return step, err
		}
		step, err = p.Authorize(t.Context(), conv)
	}
	t.Fatal("moves without end")
	return step, err
}

// A link of the bank is followed on the catalog's host only: anything else is a door to somewhere else, with the
// customer's PIN, TAN and consent in the request.
func TestLinksNeverLeaveTheBank(t *testing.T) {
	t.Parallel()
	var visits atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		visits.Add(1)
		_, _ = w.Write([]byte(`{"authorization_endpoint":"https://a.example","token_endpoint":"https://a.example"}`))
	}))
	t.Cleanup(elsewhere.Close)
	link := func(name string) string { return fmt.Sprintf(`"%s":{"href":"%s/x"}`, name, elsewhere.URL) }

	for _, name := range []string{"startAuthorisation", "startAuthorisationWithPsuAuthentication", "startAuthorisationWithPsuIdentification",
		"updatePsuIdentification", "updatePsuAuthentication", "scaOAuth"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conv := hostile{"POST /v1/consents": fmt.Sprintf(created, link(name))}.open(t)
			conv.Connection.OAuth = &banks.OAuth{Flow: "INTEGRATED", ClientID: "kontoflow"}
			_, err := run(t, conv)
			requireKind(t, err, banks.Rejected, "%v", err)
		})
	}
	t.Run("the picture", func(t *testing.T) {
		t.Parallel()
		conv := hostile{"POST /v1/consents": fmt.Sprintf(`{"consentStatus":"received","consentId":"c-1","challengeData":{"imageLink":"%s/x.png"},
			"_links":{"startAuthorisationWithTransactionAuthorisation":{"href":"/a"}}}`, elsewhere.URL)}.open(t)
		_, err := run(t, conv)
		requireKind(t, err, banks.Rejected)
	})
	t.Run("reads", func(t *testing.T) {
		t.Parallel()
		for _, answers := range []hostile{
			{"GET /v1/accounts": `{"accounts":[{"resourceId":"a","currency":"EUR","iban":"DE67900900424711951500","_links":{` + link("balances") + `}}]}`},
			{"GET /v1/accounts/a/transactions": `{"transactions":{"booked":[],"_links":{` + link("next") + `}}}`},
			{"GET /v1/accounts/a/transactions": `{"_links":{` + link("download") + `}}`},
		} {
			conv := answers.ready().open(t)
			_, err := run(t, conv)
			require.NoError(t, err)
			p := xs2a.New(xs2a.Options{})
			if answers["GET /v1/accounts"] != "" {
				_, err = p.Accounts(t.Context(), conv)
			} else {
				_, err = p.Transactions(t.Context(), conv, banks.Account{ResourceID: "a"}, banks.Window{}, "")
			}
			requireKind(t, err, banks.Rejected)
		}
	})
	t.Cleanup(func() { assert.Zero(t, visits.Load(), "somebody else was asked") })
}

// The customer's browser may go to another host of the bank's, but only over https (or to a sandbox on this machine).
func TestWhereTheCustomerIsSent(t *testing.T) {
	t.Parallel()
	for location, fine := range map[string]bool{
		"https://login.bank.example/x?y=1": true, "http://127.0.0.1:9/login": true, "/login/1": true,
		"http://login.bank.example": false, "javascript:alert(1)": false, "data:text/html,x": false, "https://user@bank.example": false, "https:///x": false, "": false,
	} {
		t.Run(location, func(t *testing.T) {
			t.Parallel()
			step, err := run(t, hostile{"POST /v1/consents": fmt.Sprintf(created, fmt.Sprintf(`"scaRedirect":{"href":%q}`, location))}.open(t))
			if !fine {
				requireKind(t, err, banks.Rejected)
				return
			}
			require.NoError(t, err)
			require.True(t, strings.HasSuffix(step.Challenge.Location, location))
		})
	}
}

// What is shown to the customer is harmless and of bounded size.
func TestWhatTheCustomerIsShown(t *testing.T) {
	t.Parallel()
	challenge := func(t *testing.T, data string) (banks.Step, error) {
		t.Helper()
		return run(t, hostile{"POST /v1/consents": `{"consentStatus":"received","consentId":"c-1","challengeData":` + data + `,
			"chosenScaMethod":{"authenticationType":"CHIP_OTP","authenticationMethodId":"1","name":"<b>chip</b>TAN"},
			"psuMessage":"<script>alert(1)</script>","_links":{"startAuthorisationWithTransactionAuthorisation":{"href":"/a"}}}`}.open(t))
	}
	text := func(s string) string {
		raw, err := json.Marshal(map[string]any{"additionalInformation": s, "otpMaxLength": "6", "otpFormat": "integer"})
		require.NoError(t, err)
		return string(raw)
	}
	t.Run("HTML", func(t *testing.T) {
		t.Parallel()
		step, err := challenge(t, text(`<p onclick="x()">TAN <b>jetzt</b><script>alert(1)</script><img src="https://evil.example/x"><a href="javascript:x">hier</a></p>`))
		require.NoError(t, err)
		require.Equal(t, banks.Challenge{Type: banks.Embedded, Format: banks.FormatHTML, Data: "<p>TAN <b>jetzt</b>hier</p>",
			AdditionalInfo: "TAN jetzthier", Label: "chipTAN", InputFormat: "integer", MaxLength: 6}, *step.Challenge)
	})
	t.Run("text", func(t *testing.T) {
		t.Parallel()
		step, err := challenge(t, text("Betrag < 30 € & mehr\x00\u0007"))
		require.NoError(t, err)
		require.Equal(t, banks.FormatText, step.Challenge.Format)
		require.Equal(t, "Betrag < 30 € & mehr", step.Challenge.Data)
	})
	t.Run("too much text", func(t *testing.T) {
		t.Parallel()
		step, err := challenge(t, text(strings.Repeat("ä", 100_000)))
		require.NoError(t, err)
		require.LessOrEqual(t, len(step.Challenge.Data), 4096)
	})
	picture := func(file []byte) string {
		return `{"image":"` + base64.StdEncoding.EncodeToString(file) + `"}`
	}
	draw := func(width, height int) []byte {
		var file bytes.Buffer
		require.NoError(t, png.Encode(&file, image.NewGray(image.Rect(0, 0, width, height))))
		return file.Bytes()
	}
	for name, c := range map[string]struct {
		data string
		fine bool
	}{
		"a picture":        {picture(draw(160, 160)), true},
		"a data URI":       {`{"image":"data:image/png;base64,` + base64.StdEncoding.EncodeToString(draw(8, 8)) + `"}`, true},
		"too many dots":    {picture(draw(8192, 1)), false},
		"SVG":              {picture([]byte(`<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"/>`)), false},
		"HTML as picture":  {picture([]byte(`<html>`)), false},
		"no base64":        {`{"image":"%%%"}`, false},
		"too large":        {picture(make([]byte, 300<<10)), false},
		"flicker":          {`{"data":["0A8101201234567845"]}`, true},
		"a flicker's like": {`{"data":["87123456"]}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			step, err := challenge(t, c.data)
			if !c.fine {
				requireKind(t, err, banks.Rejected)
				return
			}
			require.NoError(t, err)
			if strings.Contains(c.data, "image") {
				require.True(t, strings.HasPrefix(step.Challenge.Data, "data:image/png;base64,"))
				require.Equal(t, banks.FormatPhoto, step.Challenge.Format)
			}
		})
	}
}

// A bank that leads in circles, or nowhere, comes to an end.
func TestNoWayForward(t *testing.T) {
	t.Parallel()
	circle := `{"scaStatus":"received","authorisationId":"1","_links":{"updatePsuIdentification":{"href":"/a"}}}`
	for name, h := range map[string]hostile{
		"no links":            {"POST /v1/consents": fmt.Sprintf(created, "")},
		"no consent id":       {"POST /v1/consents": `{"consentStatus":"received","_links":{}}`},
		"not JSON":            {"POST /v1/consents": `<html>`},
		"circle":              {"POST /v1/consents": fmt.Sprintf(created, `"startAuthorisation":{"href":"/a"}`), "POST /a": circle, "PUT /a": circle},
		"one method for ever": {"POST /v1/consents": fmt.Sprintf(created, `"startAuthorisation":{"href":"/a"}`), "POST /a": oneMethod, "PUT /a": oneMethod},
		"never valid":         {"POST /v1/consents": valid, "GET /v1/consents/c-1": `{"consentStatus":"rejected"}`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := run(t, h.open(t))
			require.Error(t, err)
			require.Contains(t, []banks.Kind{banks.Rejected, banks.NeedsUser}, banks.AsError(err).Kind, "%v", err)
		})
	}
}

const oneMethod = `{"scaStatus":"psuAuthenticated","authorisationId":"1","scaMethods":[{"authenticationType":"SMS_OTP","authenticationMethodId":"1"}],
	"_links":{"selectAuthenticationMethod":{"href":"/a"}}}`

// The official examples are wrong in places, and banks copy them.
func TestLenientReading(t *testing.T) {
	t.Parallel()
	h := hostile{
		"GET /v1/accounts": `{"accounts":[
			{"resourceId":1,"iban":"DE00900900424711951500","currency":"eur","cashAccountType":"CurrentAccount","product":"Girokonto","status":"ACTIVE",
				"balances":{"balanceAmount":{"currency":"EUR","amount":500},"balanceType":"closingBooked","referenceDate":"2026-01-31T00:00:00Z"},"_links":null},
			{"resourceId":"2","bban":"4711951501","currency":"EUR","cashAccountType":"SVGS","product":"Tagesgeld Plus"},
			{"name":"nothing to recognise it by"}, null, "nonsense"],
			"_links":[]}`,
		"GET /v1/card-accounts": `{"cardAccounts":[{"resourceId":"3","maskedPan":"5232********1234","currency":"EUR","debitAccounting":true,
			"balances":[{"balanceAmount":{"currency":"EUR","amount":"12.50"},"balanceType":"nonInvoiced"}]}]}`,
		"GET /v1/accounts/2/balances": `{"balances":[{"balanceAmount":{"amount":"7,5"}}]}`,
	}.ready()
	conv := h.open(t)
	_, err := run(t, conv)
	require.NoError(t, err)
	require.Equal(t, 4, conv.Granted.FrequencyPerDay)
	accounts, err := xs2a.New(xs2a.Options{}).Accounts(t.Context(), conv)
	require.NoError(t, err)
	require.Len(t, accounts, 3)

	giro, savings, card := accounts[0], accounts[1], accounts[2]
	require.Equal(t, []banks.AccountType{banks.Giro, banks.DailySavings, banks.CreditCard},
		[]banks.AccountType{giro.Type, savings.Type, card.Type})
	require.Equal(t, "1 DE00900900424711951500 4711951500 90090042 EUR", giro.ResourceID+" "+giro.IBAN+" "+giro.Number+" "+giro.BankCode+" "+giro.Currency)
	require.Equal(t, "500", giro.Balances[0].Amount.String())
	require.Equal(t, "2026-01-31", giro.Balances[0].Date.String())
	require.Equal(t, "7.5", savings.Balances[0].Amount.String())
	require.True(t, card.Card)
	require.Equal(t, "-12.5", card.Balances[0].Amount.String(), "debits are quoted positive")
}
