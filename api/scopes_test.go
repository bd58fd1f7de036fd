package api_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/api"
	"github.com/kontoflow/kontoflow/models"
)

// withoutScope lists the operations that ask for no scope, and why. An operation belongs here only if a stolen token can
// neither read nor change anything of a user with it.
var withoutScope = map[string]string{
	"CreateUser":         "called by a client with its own secret",
	"CreateToken":        "called by a client with its own secret",
	"RevokeToken":        "called by a client with its own secret",
	"RevokeTokenByQuery": "called by a client with its own secret",
	"GetClientCatalog":   "called by a client with its own secret",
	"ListClientBanks":    "called by a client with its own secret",
	"ListClientServices": "called by a client with its own secret",
	"GetCatalog":         "the catalog is the same for everybody",
	"ListBanks":          "the catalog is the same for everybody",
	"ListServices":       "the catalog is the same for everybody",
}

// narrowed gets a token of the user with these scopes only.
func (u *user) narrowed(scopes ...string) string {
	u.t.Helper()
	r := u.call("POST", "/auth/token", u.authorization(), map[string]any{"grant_type": "client_credentials", "user_id": u.id, "scope": strings.Join(scopes, " ")})
	require.ElementsMatch(u.t, scopes, strings.Fields(r.expect(http.StatusOK).body["scope"].(string)))
	return "Bearer " + r.body["access_token"].(string)
}

// in is the same tenant in a subtest, whose failures are then its own.
func (c *tenant) in(t testing.TB) *tenant {
	w := *c.world
	w.t = t
	return &tenant{&w, c.id, c.secret}
}

// Every operation of the contract asks for a scope, or is listed above. It refuses a token that has all scopes but one
// that it asks for, and lets one through that has just these. Refused requests change nothing.
func TestEveryOperationHasAScope(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	u := w.tenant().user()
	access := u.access()
	account := u.accounts(access, "DE67900900424711951500")[0]
	ids := strings.NewReplacer("{access_id}", access, "{account_id}", account)
	bodies := map[string]any{
		"UpdateUser":    map[string]any{"email": "mallory@example.com", "full_name": "Mallory", "password": password},
		"DeleteUser":    map[string]any{"password": password},
		"UpdateAccount": map[string]any{"name": "Mallory"},
		"CreateSync":    map[string]any{"credentials": map[string]string{"pin": "12345"}},
		"CreateAccess":  map[string]any{"access_method_id": methodID, "credentials": map[string]string{"login": "mallory"}},
	}
	state := func() (all []string) {
		for _, path := range []string{"/rest/user", "/rest/accesses", "/rest/accesses/" + access + "/syncs", "/rest/accounts", "/rest/notifications"} {
			all = append(all, string(u.do("GET", path, nil).expect(http.StatusOK).raw))
		}
		return all
	}
	before := state()

	document, err := openapi3.NewLoader().LoadFromData(api.Specification)
	require.NoError(t, err)
	declared := slices.Sorted(maps.Keys(document.Components.SecuritySchemes["user"].Value.Flows.Password.Scopes))
	everything := u.narrowed(declared...)
	open, refused := maps.Clone(withoutScope), 0
	for path, item := range document.Paths.Map() {
		for method, operation := range item.Operations() {
			name := operation.OperationID
			require.NotNil(t, operation.Security, "%s says nothing of who may call it", name)
			require.Len(t, *operation.Security, 1, "%s has alternatives", name)
			requirement := (*operation.Security)[0]
			require.Len(t, requirement, 1, "%s combines schemes", name)
			needed, user := requirement["user"]
			if len(needed) == 0 {
				require.Contains(t, open, name, "%s asks for no scope and is not listed", name)
				delete(open, name)
				if user {
					u.call(method, path, u.narrowed("offline"), nil).expect(http.StatusOK)
				} else {
					u.call(method, path, everything, nil).fails(http.StatusUnauthorized, 1004)
				}
				continue
			}
			require.Subset(t, declared, needed, "%s asks for a scope that no token has", name)
			for _, missing := range needed {
				others := slices.DeleteFunc(slices.Clone(declared), func(scope string) bool { return scope == missing })
				u.call(method, ids.Replace(path), u.narrowed(others...), bodies[name]).fails(http.StatusForbidden, 1007)
				refused++
			}
			enough := u.call(method, strings.NewReplacer("{", "", "}", "").Replace(path), u.narrowed(needed...), nil)
			require.NotContains(t, []int{http.StatusUnauthorized, http.StatusForbidden}, enough.status, "%s: %s", name, enough.raw)
			require.Less(t, enough.status, 500, "%s: %s", name, enough.raw)
		}
	}
	require.Empty(t, open, "listed, but in need of a scope or gone")
	require.Greater(t, refused, 30)
	require.Equal(t, before, state())
}

// Whoever has only a token neither deletes the user nor gives them another e-mail address.
func TestTokenIsNotEnough(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c, stranger := w.tenant(), w.tenant()
	for name, row := range map[string]struct {
		proof map[string]any
		field string
	}{
		"nothing":                      {map[string]any{}, "password"},
		"empty texts":                  {map[string]any{"password": "", "client_secret": ""}, "password"},
		"another password":             {map[string]any{"password": "wrong one"}, "password"},
		"another secret":               {map[string]any{"client_secret": "wrong one"}, "client_secret"},
		"another client's secret":      {map[string]any{"client_secret": stranger.secret}, "client_secret"},
		"the secret as the password":   {map[string]any{"password": c.secret}, "password"},
		"the password as the secret":   {map[string]any{"client_secret": password}, "client_secret"},
		"the password, another secret": {map[string]any{"password": password, "client_secret": "wrong one"}, "client_secret"},
		"the secret, another password": {map[string]any{"password": "wrong one", "client_secret": c.secret}, "password"},
		"a number":                     {map[string]any{"password": 7}, "password"},
		"null":                         {map[string]any{"client_secret": nil}, "client_secret"},
		"a long password":              {map[string]any{"password": strings.Repeat("x", 1025)}, "password"},
		"the password and more":        {map[string]any{"password": password, "sure": true}, "sure"},
		"the field in other letters":   {map[string]any{"Password": password}, "Password"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := c.in(t).user()
			access := u.access()
			before := u.do("GET", "/rest/user", nil).expect(http.StatusOK).raw
			change := maps.Clone(row.proof)
			change["email"], change["full_name"] = "mallory-"+u.email, "Mallory"
			for _, r := range []*reply{u.do("PUT", "/rest/user", change), u.do("DELETE", "/rest/user", row.proof)} {
				r.fails(http.StatusBadRequest, 1000, row.field)
			}
			require.Equal(t, string(before), string(u.do("GET", "/rest/user", nil).expect(http.StatusOK).raw))
			u.do("GET", "/rest/accesses/"+access, nil).expect(http.StatusOK)
			u.call("POST", "/auth/token", u.authorization(), map[string]any{"grant_type": "password", "username": u.email, "password": password}).expect(http.StatusOK)
		})
	}
}

func TestPasswordOrClientIsEnough(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.tenant()
	login := func(u *user, email string) *reply {
		return u.call("POST", "/auth/token", u.authorization(), map[string]any{"grant_type": "password", "username": email, "password": password})
	}
	for name, proof := range map[string]map[string]any{
		"password": {"password": password}, "client": {"client_secret": c.secret}, "both": {"password": password, "client_secret": c.secret},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u := c.in(t).user()
			change := maps.Clone(proof)
			change["email"] = "new-" + u.email
			r := u.do("PUT", "/rest/user", change).expect(http.StatusOK)
			require.Equal(t, "new-"+u.email, r.body["email"])
			login(u, u.email).fails(http.StatusUnauthorized, 1003)
			login(u, "new-"+u.email).expect(http.StatusOK)
			u.do("DELETE", "/rest/user", proof).expect(http.StatusNoContent)
			u.do("GET", "/rest/user", nil).fails(http.StatusUnauthorized, 1003)
			login(u, "new-"+u.email).fails(http.StatusUnauthorized, 1003)
		})
	}
	t.Run("what is no other address needs neither", func(t *testing.T) {
		t.Parallel()
		u := c.in(t).user()
		r := u.do("PUT", "/rest/user", map[string]any{"email": u.email, "full_name": "Jane Roe"}).expect(http.StatusOK)
		require.Equal(t, "Jane Roe", r.body["full_name"])
		u.do("PUT", "/rest/user", map[string]any{"email": strings.ToUpper(u.email)}).fails(http.StatusBadRequest, 1000, "password")
	})
	t.Run("a new password needs the present one, whoever the client is", func(t *testing.T) {
		t.Parallel()
		u := c.in(t).user()
		u.do("PUT", "/rest/user", map[string]any{"new_password": "another one", "client_secret": c.secret}).fails(http.StatusBadRequest, 1000, "password")
		login(u, u.email).expect(http.StatusOK)
	})
	t.Run("wrong passwords lock the user, and the client still gets through", func(t *testing.T) {
		t.Parallel()
		u := c.in(t).user()
		for range 3 {
			u.do("DELETE", "/rest/user", map[string]any{"password": "wrong one"}).fails(http.StatusBadRequest, 1000, "password")
		}
		u.do("DELETE", "/rest/user", map[string]any{"password": password}).fails(http.StatusUnauthorized, 1010)
		u.do("PUT", "/rest/user", map[string]any{"email": "new-" + u.email, "password": password}).fails(http.StatusUnauthorized, 1010)
		login(u, u.email).fails(http.StatusUnauthorized, 1010)
		u.do("DELETE", "/rest/user", map[string]any{"client_secret": c.secret}).expect(http.StatusNoContent)
		login(u, u.email).fails(http.StatusUnauthorized, 1003)
	})
}

// A client of the family deletes its users with a token that may do so, and without a body. Nothing else needs less.
func TestTokenIsEnoughForTheFamily(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	c := w.tenant()
	change := func(family bool) {
		_, err := w.store.ChangeClient(t.Context(), c.id, models.ClientChange{Family: &family})
		require.NoError(t, err)
	}
	change(true)
	u, other := c.user(), c.user()
	u.do("PUT", "/rest/user", map[string]any{"email": "new-" + u.email}).fails(http.StatusBadRequest, 1000, "password")
	u.do("PUT", "/rest/user", map[string]any{"new_password": "another one"}).fails(http.StatusBadRequest, 1000, "password")
	u.do("DELETE", "/rest/user", map[string]any{"password": "wrong one"}).fails(http.StatusBadRequest, 1000, "password")
	u.do("DELETE", "/rest/user", map[string]any{"client_secret": "wrong one"}).fails(http.StatusBadRequest, 1000, "client_secret")
	narrow := u.narrowed("accounts=ro", "balance=ro", "transactions=ro", "accesses=rw", "offline")
	u.call("DELETE", "/rest/user", narrow, nil).fails(http.StatusForbidden, 1007)
	u.do("GET", "/rest/user", nil).expect(http.StatusOK)
	u.call("DELETE", "/rest/user", u.narrowed("user=rw"), nil).expect(http.StatusNoContent)
	u.do("GET", "/rest/user", nil).fails(http.StatusUnauthorized, 1003)

	w.tenant().user().do("DELETE", "/rest/user", nil).fails(http.StatusBadRequest, 1000, "password")
	change(false)
	other.do("DELETE", "/rest/user", nil).fails(http.StatusBadRequest, 1000, "password")
	other.do("GET", "/rest/user", nil).expect(http.StatusOK)
}
