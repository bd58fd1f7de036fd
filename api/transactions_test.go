package api_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/models"
)

// accounts lets the worker find accounts, and answers their ids in the bank's order.
func (u *user) accounts(access string, ibans ...string) []string {
	u.t.Helper()
	path := u.sync(access)
	offered := make([]banks.Account, len(ibans))
	for i, iban := range ibans {
		offered[i] = banks.Account{ResourceID: iban, IBAN: iban, Currency: "EUR", Type: banks.Giro, Name: "Girokonto", Owner: "Jane Doe",
			Balances: []banks.Balance{{Type: "expected", Amount: dec("99.5")}, {Type: "interimBooked", Amount: dec("1234.5"), Date: day("2026-01-30")}}}
	}
	var ids []string
	u.worker(idOf(path), func(b *models.BankSession, tx *gorm.DB) error {
		work, err := b.PutAccounts(tx, offered)
		for _, w := range work {
			ids = append(ids, w.AccountID.String())
			if err == nil {
				err = models.EndAccount(tx, w.SyncID, w.AccountID, nil)
			}
		}
		return err
	})
	_, err := u.store.End(u.t.Context(), uuid.MustParse(idOf(path)), 0)
	require.NoError(u.t, err)
	return ids
}

// stored is a transaction as the worker would store it.
type stored struct {
	day, amount, currency, name, purpose string
	pending, removed                     bool
	created, modified                    time.Time
	sync                                 uuid.UUID
}

func (w *world) store1(account string, s stored) string {
	w.t.Helper()
	id := models.NewID()
	if s.currency == "" {
		s.currency = "EUR"
	}
	if s.created.IsZero() {
		s.created = time.Date(2026, 2, 1, 8, 15, 0, 123_456_000, time.UTC)
	}
	if s.modified.IsZero() {
		s.modified = s.created
	}
	if s.sync == uuid.Nil {
		s.sync = models.NewID()
	}
	var bookedAt, removedAt, name, purpose any
	if !s.pending {
		bookedAt = s.day
	}
	if s.removed {
		removedAt = s.modified
	}
	if s.name != "" {
		name = s.name
	}
	if s.purpose != "" {
		purpose = s.purpose
	}
	require.NoError(w.t, w.store.DB.Exec(`INSERT INTO transactions (id, account_id, day, booked, booked_at, settled_at, amount, currency, name, purpose, type,
		created_at, modified_at, created_by, modified_by, removed_at, facts)
		VALUES (?, ?, ?, ?, ?, ?, ?::numeric, ?, ?, ?, 'Transfer', ?, ?, ?, ?, ?, '')`,
		id, account, s.day, !s.pending, bookedAt, bookedAt, s.amount, s.currency, name, purpose, s.created, s.modified, s.sync, s.sync, removedAt).Error)
	return id.String()
}

func ids(r *reply) []string {
	r.t.Helper()
	all := []string{}
	for _, item := range r.at("transactions").([]any) {
		all = append(all, item.(map[string]any)["transaction_id"].(string))
	}
	return all
}

func TestTransactionsOnTheWire(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	account := u.accounts(u.access(), "DE67900900424711951500")[0]
	purpose := "\"quoted\" \\ tab\t line\n bell\a <b>&amp;</b> Überweisung 🏦 sep\u2028\u2029 \u2067rtl ‚âŠ’ \u007f"
	id := w.store1(account, stored{day: "2026-01-31", amount: "-12.5", name: "Bäckerei Müller", purpose: purpose})
	require.NoError(t, w.store.DB.Exec(`UPDATE transactions SET additional_info = '{"a b": "ü\"\n", "n": "1"}', iban = 'DE67900900424711951500', sepa_purpose_code = 'SALA' WHERE id = ?`, id).Error)

	one := u.do("GET", "/rest/accounts/"+account+"/transactions/"+id, nil).expect(http.StatusOK)
	require.Equal(t, map[string]any{
		"transaction_id": id, "account_id": account, "name": "Bäckerei Müller", "purpose": purpose, "amount": json.Number("-12.50"), "currency": "EUR",
		"booked": true, "booked_at": "2026-01-31T00:00:00.000Z", "settled_at": "2026-01-31T00:00:00.000Z", "type": "Transfer", "iban": "DE67900900424711951500", "sepa_purpose_code": "SALA",
		"additional_info": map[string]any{"a b": "ü\"\n", "n": "1"}, "created_at": "2026-02-01T08:15:00.123Z", "modified_at": "2026-02-01T08:15:00.123Z",
	}, one.body)
	page := u.do("GET", "/rest/accounts/"+account+"/transactions", nil).expect(http.StatusOK)
	require.Equal(t, []any{any(one.body)}, page.at("transactions"))
	require.Equal(t, []any{}, page.at("deleted"))
	require.Contains(t, page.at("status"), "succeeded_at")
	require.NotContains(t, page.body, "statistics")
	require.Equal(t, "-1250", string(u.do("GET", "/rest/accounts/"+account+"/transactions/"+id+"?cents=true", nil).expect(http.StatusOK).at("amount").(json.Number)))
}

func TestAmounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	account := u.accounts(u.access(), "DE67900900424711951500")[0]
	for _, c := range []struct{ stored, currency, shown, cents string }{
		{"0", "EUR", "0.00", "0"},
		{"-0.5", "EUR", "-0.50", "-50"},
		{"0.05", "EUR", "0.05", "5"},
		{"1", "EUR", "1.00", "100"},
		{"-1234567890123456.78", "EUR", "-1234567890123456.78", "-123456789012345678"},
		{"12.500", "EUR", "12.50", "1250"},
		{"0.12345", "EUR", "0.12345", "12"},
		{"100", "JPY", "100", "100"},
		{"-7.00", "JPY", "-7", "-7"},
		{"1.5", "KWD", "1.500", "1500"},
		{"-0.001", "KWD", "-0.001", "-1"},
	} {
		id := w.store1(account, stored{day: "2026-01-31", amount: c.stored, currency: c.currency})
		path := "/rest/accounts/" + account + "/transactions/" + id
		require.Contains(t, string(u.do("GET", path, nil).expect(http.StatusOK).raw), `"amount":`+c.shown+`,`, "%v", c)
		require.Contains(t, string(u.do("GET", path+"?cents=true", nil).expect(http.StatusOK).raw), `"amount":`+c.cents+`,`, "%v", c)
	}
}

func TestTransactionFilters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	access := u.access()
	accounts := u.accounts(access, "DE67900900424711951500", "DE02120300000000202051")
	a, b := accounts[0], accounts[1]
	at := func(day int) time.Time { return time.Date(2026, 3, day, 12, 0, 0, 0, time.UTC) }
	sync := uuid.MustParse(idOf(u.sync(access)))
	rent := w.store1(a, stored{day: "2026-01-01", amount: "-900", name: "Vermieter", purpose: "Miete 50% Januar", created: at(1), modified: at(9)})
	salary := w.store1(a, stored{day: "2026-01-15", amount: "3000.01", name: "Arbeitgeber", purpose: "GEHALT", created: at(2)})
	coffee := w.store1(a, stored{day: "2026-01-15", amount: "-2.80", name: "Café_Central", created: at(3)})
	b1 := w.store1(b, stored{day: "2026-01-10", amount: "-5", created: time.Now().Add(time.Minute), sync: sync})
	pending := w.store1(a, stored{day: "2026-01-20", amount: "-7", name: "Tankstelle", pending: true, created: at(5)})
	gone := w.store1(a, stored{day: "2026-01-05", amount: "-1", removed: true, created: at(1), modified: at(6)})

	for _, c := range []struct {
		query string
		want  []string
	}{
		{"", []string{coffee, salary, b1, rent}},
		{"sort=asc", []string{rent, b1, salary, coffee}},
		{"count=2", []string{coffee, salary}},
		{"count=2&offset=1", []string{salary, b1}},
		{"offset=100", []string{}},
		{"accounts=" + b, []string{b1}},
		{"accounts=" + a + "," + b + "&count=1", []string{coffee}},
		{"accounts=" + a + "," + a, []string{coffee, salary, rent}},
		{"include_pending=true", []string{pending, coffee, salary, b1, rent}},
		{"include_pending=true&sort=asc&count=1", []string{rent, pending}},
		{"include_pending=true&offset=100", []string{pending}},
		{"since=2026-01-10", []string{coffee, salary, b1}},
		{"since=2026-01-10&until=2026-01-10", []string{b1}},
		{"until=2026-01-14", []string{b1, rent}},
		{"since=" + salary, []string{coffee}},
		{"until=" + salary, []string{salary, b1, rent}},
		{"since=" + rent + "&until=" + b1, []string{b1}},
		{"since=2026-01-10T23:59:59.999Z&until=2026-01-10T00:00:00Z", []string{b1}}, // by booking dates the day counts
		{"since=2026-01-10T23:30:00-05:00&until=2026-01-10", []string{b1}},          // as it is written
		{"since=2026-01-10+00:00:00&until=2026-01-10T00:00:00.000+0000", []string{b1}},
		{"since_type=created&until=" + salary + "&accounts=" + a, []string{salary, rent}},
		{"since=" + rent + "&sort=asc&count=2", []string{b1, salary}},
		{"since_type=created&sort=asc&accounts=" + a, []string{rent, salary, coffee}},
		{"since_type=created&since=2026-03-02&until=2026-03-02", []string{salary}},
		{"since_type=modified&since=2026-03-03&until=2026-03-31", []string{rent, coffee}},
		{"since_type=modified&accounts=" + a, []string{rent, coffee, salary}},
		{"min_amount=-5", []string{coffee, salary, b1}},
		{"max_amount=-2.80", []string{coffee, b1, rent}},
		{"min_amount=-280&max_amount=-280&cents=true", []string{coffee}},
		{"min_amount=3000.01&max_amount=%2B3000.01", []string{salary}},
		{"filter=gehalt", []string{salary}},
		{"filter=50%25", []string{rent}},
		{"filter=%25", []string{rent}},
		{"filter=f%C3%A9_c", []string{coffee}},
		{"filter=_", []string{coffee}},
		{"filter=%5C", []string{}},
		{"sync_id=" + sync.String(), []string{b1}},
		{"accounts=" + a + "&accounts=" + b + "&count=1", []string{coffee}},
		{"accounts[]=" + b + "&accounts%5B%5D=" + b, []string{b1}},
		{"accounts=(" + b + ")", []string{b1}},
		{"sort=ASC&since_type=Booked", []string{rent, b1, salary, coffee}},
		{"unknown=ignored&sort=DESC", []string{coffee, salary, b1, rent}},
	} {
		require.Equal(t, c.want, ids(u.do("GET", "/rest/transactions?"+c.query, nil).expect(http.StatusOK)), c.query)
	}
	require.Equal(t, []string{coffee, salary, rent}, ids(u.do("GET", "/rest/accounts/"+a+"/transactions", nil).expect(http.StatusOK)))
	require.Equal(t, []string{salary}, ids(u.do("GET", "/rest/accounts/"+a+"/transactions?since=2026-01-02&count=1&offset=1&sort=desc", nil).expect(http.StatusOK)))

	r := u.do("GET", "/rest/transactions", nil).expect(http.StatusOK)
	require.Equal(t, []any{gone}, r.at("deleted"))
	require.Equal(t, []any{gone}, u.do("GET", "/rest/transactions?since=2026-03-06", nil).expect(http.StatusOK).at("deleted"))
	require.Equal(t, []any{}, u.do("GET", "/rest/transactions?since=2026-03-07", nil).expect(http.StatusOK).at("deleted"))
	u.do("GET", "/rest/accounts/"+a+"/transactions/"+gone, nil).fails(http.StatusNotFound, 1002)
	u.do("GET", "/rest/accounts/"+b+"/transactions/"+rent, nil).fails(http.StatusNotFound, 1002)

	r = u.do("GET", "/rest/transactions?include_statistics=true&count=1&include_pending=true", nil).expect(http.StatusOK)
	require.JSONEq(t, `{"count":5,"currencies":[{"currency":"EUR","count":5,"incoming":3000.01,"outgoing":-914.80,"minimum":-900.00,"maximum":3000.01}]}`,
		string(mustJSON(t, r.at("statistics"))))
	r = u.do("GET", "/rest/accounts/"+b+"/transactions?include_statistics=true&cents=true", nil).expect(http.StatusOK)
	require.JSONEq(t, `{"count":1,"currencies":[{"currency":"EUR","count":1,"incoming":0,"outgoing":-500,"minimum":-500,"maximum":-500}]}`,
		string(mustJSON(t, r.at("statistics"))))
	r = u.do("GET", "/rest/transactions?include_statistics=true&filter=nothing", nil).expect(http.StatusOK)
	require.JSONEq(t, `{"count":0,"currencies":[]}`, string(mustJSON(t, r.at("statistics"))))

	for query, field := range map[string]string{
		"since=yesterday": "since", "since=2026-01-10T25:00:00Z": "since", "until=2026-01-10x": "until", "until=2026-01-10T": "until", "since=2026-02-30": "since", "until=2026-02-30": "until", "until=x": "until", "since_type=x": "since_type", "sort=up": "sort",
		"count=0": "count", "count=10001": "count", "count=x": "count", "count=1e3": "count", "offset=-1": "offset", "min_amount=1e9": "min_amount",
		"max_amount=NaN": "max_amount", "min_amount=": "min_amount", "filter=": "filter", "filter=%00": "filter", "filter=%ff": "filter", "cents=maybe": "cents",
		"include_pending=2": "include_pending", "count=1&count=2": "count", "sort=asc&sort=desc": "sort", "filter=" + strings.Repeat("x", 257): "filter",
	} {
		u.do("GET", "/rest/transactions?"+query, nil).fails(http.StatusBadRequest, 1000, field)
		u.do("GET", "/rest/accounts/"+a+"/transactions?"+query, nil).fails(http.StatusBadRequest, 1000, field)
	}
}

// Paging through any order meets every transaction once.
func TestPagingMeetsEverythingOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	accounts := u.accounts(u.access(), "DE67900900424711951500", "DE02120300000000202051")
	random := rand.New(rand.NewPCG(1, 2))
	want := make(map[string]bool)
	for range 60 {
		at := time.Date(2026, 1, 1+random.IntN(4), 0, 0, 0, 0, time.UTC)
		want[w.store1(accounts[random.IntN(2)], stored{day: at.Format(time.DateOnly), amount: "1", created: at, modified: at})] = true
	}
	for _, sort := range []string{"asc", "desc"} {
		for _, by := range []string{"booked", "created", "modified"} {
			got := make(map[string]bool)
			for offset := 0; ; offset += 7 {
				page := ids(u.do("GET", fmt.Sprintf("/rest/transactions?count=7&offset=%d&sort=%s&since_type=%s", offset, sort, by), nil).expect(http.StatusOK))
				for _, id := range page {
					require.False(t, got[id], "twice")
					got[id] = true
				}
				if len(page) < 7 {
					break
				}
			}
			require.Equal(t, want, got)
		}
	}
}

func mustJSON(t testing.TB, v any) []byte {
	t.Helper()
	b, err := json.Marshal(v)
	require.NoError(t, err)
	return b
}
