package api_test

import (
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/internal/civil"
)

func dec(s string) decimal.Decimal { return decimal.RequireFromString(s) }

func day(s string) civil.Date {
	d, err := civil.Parse(s)
	if err != nil {
		panic(err)
	}
	return d
}

func TestAccounts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	access, empty := u.access(), u.access()
	made := u.accounts(access, "DE67900900424711951500", "DE02120300000000202051")

	list := u.do("GET", "/rest/accounts", nil).expect(http.StatusOK).at("accounts").([]any)
	require.Len(t, list, 2)
	one := u.do("GET", "/rest/accounts/"+made[0], nil).expect(http.StatusOK)
	require.Equal(t, any(one.body), list[0])
	require.Equal(t, "DE67900900424711951500", one.body["iban"])
	require.Equal(t, "Sparkasse Musterstadt", one.body["bank_name"])
	require.Equal(t, bankID, one.body["bank_id"])
	require.Equal(t, "Giro account", one.body["type"])
	require.Contains(t, one.at("status"), "succeeded_at")
	require.NotContains(t, one.body, "bic", "absent is absent")
	require.Equal(t, json.Number("1234.50"), one.at("balance", "balance"), "the booked balance, not the expected one")
	require.Equal(t, "2026-01-30T00:00:00.000Z", one.at("balance", "balance_date"))
	balance := u.do("GET", "/rest/accounts/"+made[0]+"/balance", nil).expect(http.StatusOK)
	require.Equal(t, one.at("balance"), any(balance.body))

	require.Empty(t, u.do("GET", "/rest/accounts?access_id="+empty, nil).expect(http.StatusOK).at("accounts"))
	require.Len(t, u.do("GET", "/rest/accounts?access_id="+access, nil).expect(http.StatusOK).at("accounts"), 2)

	narrow := u.call("POST", "/auth/token", u.authorization(), map[string]any{"grant_type": "client_credentials", "user_id": u.id, "scope": "accounts=ro"})
	bearer := "Bearer " + narrow.body["access_token"].(string)
	require.NotContains(t, u.call("GET", "/rest/accounts/"+made[0], bearer, nil).expect(http.StatusOK).body, "balance")
	u.call("GET", "/rest/accounts/"+made[0]+"/balance", bearer, nil).fails(http.StatusForbidden, 1007)

	r := u.do("PUT", "/rest/accounts/"+made[0], map[string]any{"name": "Haushalt", "auto_sync": false}).expect(http.StatusOK)
	require.Equal(t, "Haushalt", r.body["name"])
	require.Equal(t, "Jane Doe", r.body["owner"])
	require.Equal(t, false, r.body["auto_sync"])
	u.do("PUT", "/rest/accounts/"+made[0], nil).expect(http.StatusOK)
	u.accounts(access, "DE67900900424711951500")
	require.Equal(t, "Haushalt", u.do("GET", "/rest/accounts/"+made[0], nil).body["name"], "the bank does not name it back")

	w.store1(made[0], stored{day: "2026-01-31", amount: "1"})
	u.do("DELETE", "/rest/accounts/"+made[0], nil).expect(http.StatusNoContent)
	u.do("DELETE", "/rest/accounts/"+made[0], nil).fails(http.StatusNotFound, 1002)
	u.do("GET", "/rest/accounts/"+made[0]+"/transactions", nil).fails(http.StatusNotFound, 1002)
	require.Empty(t, u.do("GET", "/rest/transactions", nil).expect(http.StatusOK).at("transactions"))
	u.accounts(access, "DE67900900424711951500")
	require.Len(t, u.do("GET", "/rest/accounts", nil).at("accounts"), 1, "it does not come back")
}

func TestDeleteAccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	access := u.access()
	account := u.accounts(access, "DE67900900424711951500")[0]
	w.grant(uuid.MustParse(access), time.Now().Add(time.Hour))
	sync := u.sync(access)
	u.do("DELETE", "/rest/accesses/"+access, nil).expect(http.StatusNoContent)
	for _, path := range []string{"/rest/accesses/" + access, sync, sync + "/challenges", "/rest/accounts/" + account, "/rest/accounts/" + account + "/transactions"} {
		u.do("GET", path, nil).fails(http.StatusNotFound, 1002)
	}
	u.do("DELETE", "/rest/accesses/"+access, nil).fails(http.StatusNotFound, 1002)
	require.Equal(t, "[]\n", string(u.do("GET", "/rest/accesses", nil).expect(http.StatusOK).raw))
	require.Empty(t, u.do("GET", "/rest/accounts", nil).expect(http.StatusOK).at("accounts"))
	y, err := w.store.Synchronization(t.Context(), uuid.MustParse(idOf(sync)))
	require.NoError(t, err)
	require.NotNil(t, y.CancelRequestedAt)
	w.requireOwed(access)
}
