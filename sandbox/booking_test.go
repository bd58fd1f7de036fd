package sandbox_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/internal/iban"
	"github.com/kontoflow/kontoflow/sandbox"
)

// household reads one account's list and closing balance again and again.
type household struct {
	*tpp
	bank    *sandbox.Bank
	reading headers
	links   linksReply
	iban    string
}

func move(t *testing.T, login string) *household {
	b := open()
	c := visit(t, b, "demo").checked()
	reading := with(atHome, "Consent-ID", c.consented(login))
	account := c.do("GET", "/v1/accounts", nil, reading).Body.Accounts[0]
	return &household{c, b, reading, account.Links, account.IBAN}
}

func (h *household) list(from string) (booked, pending []transactionReply) {
	h.t.Helper()
	r := h.do("GET", h.links["transactions"].Href+"?bookingStatus=both&itemsPerPage=5000&dateFrom="+from, nil, h.reading)
	require.Equal(h.t, 200, r.Status, string(r.Raw))
	return r.Body.Transactions.Booked, r.Body.Transactions.Pending
}

func (h *household) balance() decimal.Decimal {
	h.t.Helper()
	r := h.do("GET", h.links["balances"].Href, nil, h.reading)
	require.Equal(h.t, "closingBooked", r.Body.Balances[0].Type)
	return decimal.RequireFromString(r.Body.Balances[0].Amount.Amount)
}

func sum(entries []transactionReply) (total decimal.Decimal) {
	for _, e := range entries {
		total = total.Add(decimal.RequireFromString(e.TransactionAmount.Amount))
	}
	return total
}

func TestBalanceIsTheSumOfBookings(t *testing.T) {
	t.Parallel()
	for _, login := range []string{"demo", "pending", "savings", "thousand", "currencies", "partial"} {
		h := move(t, login)
		before := h.balance()
		known, _ := h.list("2026-03-18")
		h.bank.Advance(30 * 24 * time.Hour)
		booked, _ := h.list("2026-03-18")
		require.NotEmpty(t, booked, login)
		require.Equal(t, before.Add(sum(booked)).Sub(sum(known)).StringFixed(2), h.balance().StringFixed(2), login)
	}
}

func TestTodayIsPartial(t *testing.T) {
	t.Parallel()
	h := move(t, "partial")
	var counts []int
	for range 24 {
		booked, _ := h.list("2026-03-18")
		counts = append(counts, len(booked))
		h.bank.Advance(time.Hour / 2)
	}
	require.True(t, slices.IsSorted(counts))
	require.Less(t, counts[0], counts[23], "%v", counts)
	before := h.balance()
	h.bank.Advance(2 * 24 * time.Hour)
	booked, _ := h.list("2026-03-18")
	late := len(booked)
	require.Greater(t, late, counts[23])
	require.NotEqual(t, before, h.balance())
}

// Booking adds the day's entries at the front and leaves the rest as it was.
func TestPastDoesNotChange(t *testing.T) {
	t.Parallel()
	h := move(t, "demo")
	before, _ := h.list("2026-01-01")
	h.bank.Advance(5 * 24 * time.Hour)
	after, _ := h.list("2026-01-01")
	require.Greater(t, len(after), len(before))
	require.Equal(t, before, after[len(after)-len(before):])
	ids := map[string]bool{}
	for _, e := range after {
		require.NotEmpty(t, e.TransactionID)
		require.False(t, ids[e.TransactionID], "an id is not given twice")
		ids[e.TransactionID] = true
	}
}

func TestPendingIsBookedOtherwise(t *testing.T) {
	t.Parallel()
	h := move(t, "pending")
	_, pending := h.list("2026-03-01")
	require.GreaterOrEqual(t, len(pending), 3, "a hotel's hold, a fuel pump's and a purchase at least")
	h.bank.Advance(24 * time.Hour)
	booked, _ := h.list("2026-03-19")
	amounts := map[string]int{}
	for _, e := range booked {
		amounts[e.TransactionAmount.Amount]++
	}
	var same, other int
	for _, p := range pending {
		require.Empty(t, p.BookingDate)
		for _, e := range booked {
			require.NotEqual(t, p.TransactionID, e.TransactionID)
			require.NotEqual(t, p.CreditorName, e.CreditorName)
		}
		if amounts[p.TransactionAmount.Amount] > 0 {
			same++
		} else {
			other++
		}
	}
	require.NotZero(t, same)
	require.GreaterOrEqual(t, other, 2, "the hotel takes another amount, the fuel pump's hold vanishes")
}

func TestTrueTwins(t *testing.T) {
	t.Parallel()
	h := move(t, "demo")
	booked, _ := h.list("2025-02-12")
	twins := 0
	for i := 1; i < len(booked); i++ {
		a, b := booked[i-1], booked[i]
		a.TransactionID, a.EntryReference, b.TransactionID, b.EntryReference = "", "", "", ""
		if a == b {
			twins++
		}
	}
	require.Greater(t, twins, 5)
}

func TestLooksLikeAGermanAccount(t *testing.T) {
	t.Parallel()
	h := move(t, "demo")
	list := h.do("GET", h.links["transactions"].Href+"?bookingStatus=booked&itemsPerPage=5000&dateFrom=2025-03-01", nil, h.reading)
	all := string(list.Raw)
	for _, want := range []string{"Gehalt 0", "Miete 0", `"purposeCode":"SALA"`, `"mandateId":"M-`, `"creditorId":"DE`, "Bäckerei Grünwald",
		"remittanceInformationUnstructuredArray", `"sourceCurrency":"USD"`, "DAUERAUFTRAG"} {
		require.Contains(t, all, want)
	}
	require.Less(t, h.balance().Abs().IntPart(), int64(60_000))
	for _, part := range strings.Split(all, `"iban":"`)[1:] {
		number, _, _ := strings.Cut(part, `"`)
		_, err := iban.Parse(number)
		require.NoError(t, err, number)
	}
	for _, entry := range list.Body.Transactions.Booked {
		day, err := time.Parse(time.DateOnly, entry.BookingDate)
		require.NoError(t, err)
		require.NotContains(t, []time.Weekday{time.Saturday, time.Sunday}, day.Weekday(), "banks do not book at the weekend")
	}
}

func TestReformatChangesEverythingButTheBookings(t *testing.T) {
	t.Parallel()
	h := move(t, "demo")
	before, _ := h.list("2026-01-01")
	require.NoError(t, h.bank.Reformat("demo"))
	after, _ := h.list("2026-01-01")
	require.Len(t, after, len(before))
	for i := range after {
		require.NotEqual(t, before[i].TransactionID, after[i].TransactionID)
		require.NotEqual(t, before[i].Remittance, after[i].Remittance)
		require.Equal(t, before[i].TransactionAmount, after[i].TransactionAmount)
		require.Equal(t, before[i].BookingDate, after[i].BookingDate)
	}
	require.NoError(t, h.bank.Reformat("demo"))
	back, _ := h.list("2026-01-01")
	require.Equal(t, before, back)
}

func TestQuirks(t *testing.T) {
	t.Parallel()
	ids := func(entries []transactionReply) (all []string) {
		for _, e := range entries {
			all = append(all, e.TransactionID)
		}
		return all
	}
	for login, holds := range map[string]func(first, later []transactionReply) bool{
		"noids": func(first, _ []transactionReply) bool { return strings.Join(ids(first), "") == "" },
		"placeholders": func(first, _ []transactionReply) bool {
			return !slices.ContainsFunc(ids(first), func(id string) bool { return id != "NOTPROVIDED" })
		},
		"sharedids": func(first, _ []transactionReply) bool {
			return slices.Compact(ids(first))[0] != "" && len(slices.Compact(ids(first))) < len(first)
		},
		"freshids": func(first, later []transactionReply) bool {
			return !slices.ContainsFunc(ids(first), func(id string) bool { return slices.Contains(ids(later), id) })
		},
		"movingdates": func(first, later []transactionReply) bool {
			return first[0].BookingDate == "2026-03-18" && !slices.ContainsFunc(later, func(e transactionReply) bool {
				return e.BookingDate == "2026-03-18" && e.Remittance == first[0].Remittance
			})
		},
		"swappeddates": func(first, _ []transactionReply) bool {
			return slices.ContainsFunc(first, func(e transactionReply) bool { return e.BookingDate < e.ValueDate })
		},
	} {
		h := move(t, login)
		first, _ := h.list("2026-02-01")
		h.bank.Advance(24 * time.Hour)
		later, _ := h.list("2026-02-01")
		require.True(t, holds(first, later), login)
	}
}

func TestVolumes(t *testing.T) {
	t.Parallel()
	since := 31 + 28 + 18 // one a day in 2026
	for login, want := range map[string]int{"thirty": 30, "thousand": 1_000 + since, "big": 20_000 + since} {
		h := move(t, login)
		all, _ := h.pages(h.links["transactions"].Href+"?bookingStatus=booked&itemsPerPage=5000&dateFrom=2000-01-01", h.reading)
		require.Len(t, all, want, login)
	}
	c := visit(t, open(), "demo")
	require.Len(t, c.do("GET", "/v1/accounts", nil, with(atHome, "Consent-ID", c.consented("big"))).Body.Accounts, 10)
}

// A page of two thousand entries out of a million, as the bank makes it.
func BenchmarkPageOfHugeAccount(b *testing.B) {
	server := httptest.NewServer(open().Handler())
	b.Cleanup(server.Close)
	do := func(method, path, body string, reading string) string {
		request, err := http.NewRequestWithContext(b.Context(), method, server.URL+path, strings.NewReader(body))
		require.NoError(b, err)
		for name, value := range map[string]string{"X-Request-ID": uuid.NewString(), "PSU-IP-Address": "192.0.2.7", "PSU-ID": "huge", "Content-Type": "application/json", "Consent-ID": reading} {
			request.Header.Set(name, value)
		}
		response, err := http.DefaultClient.Do(request)
		require.NoError(b, err)
		defer response.Body.Close()
		raw, err := io.ReadAll(response.Body)
		require.NoError(b, err)
		require.Less(b, response.StatusCode, 300, string(raw))
		return string(raw)
	}
	after := func(text, mark string) string {
		_, rest, _ := strings.Cut(text, mark)
		value, _, _ := strings.Cut(rest, `"`)
		return value
	}
	consent := after(do("POST", "/demo/v1/consents", `{"access":{"allPsd2":"allAccounts"},"recurringIndicator":true,"validUntil":"2026-06-30","frequencyPerDay":4,"combinedServiceIndicator":false}`, ""), `"consentId":"`)
	authorisation := after(do("POST", "/demo/v1/consents/"+consent+"/authorisations", "", ""), `"authorisationId":"`)
	do("PUT", "/demo/v1/consents/"+consent+"/authorisations/"+authorisation, `{"psuData":{"password":"demo"}}`, "")
	list := after(do("GET", "/demo/v1/accounts", "", consent), `"transactions":{"href":"`)
	b.ReportAllocs()
	b.ResetTimer()
	for range b.N {
		page := do("GET", list+"?bookingStatus=booked&dateFrom=2016-01-01&dateTo=2025-06-30", "", consent)
		b.SetBytes(int64(len(page)))
	}
}
