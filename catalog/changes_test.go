package catalog_test

import (
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/catalog"
	"github.com/kontoflow/kontoflow/internal/testground"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/rules"
)

func lines(c catalog.Changes) string {
	var b strings.Builder
	_ = c.Write(&b)
	return b.String()
}

// used gives a method of the catalog an access of a customer.
func used(t *testing.T, store *models.Store, bank, method uuid.UUID) {
	t.Helper()
	client, _, err := store.CreateClient(t.Context(), "client")
	require.NoError(t, err)
	user := models.User{ID: "U" + uuid.NewString()[:8], ClientID: client.ID, Email: uuid.NewString() + "@example.com", PasswordHash: "-", CreatedAt: time.Now()}
	require.NoError(t, store.DB.Create(&user).Error)
	access := models.Access{ID: models.NewID(), UserID: user.ID, BankID: bank, AccessMethodID: method, Status: rules.AccessActive, CreatedAt: time.Now()}
	require.NoError(t, store.DB.Omit("AuthMethods").Create(&access).Error)
}

// A dry run says what an import would do, and does nothing of it.
func TestDryRun(t *testing.T) {
	t.Parallel()
	store := testground.Store(t)
	text := func() (all string) {
		require.NoError(t, store.DB.Raw(`SELECT coalesce(string_agg(b::text, '' ORDER BY b.id), '') ||
			(SELECT coalesce(string_agg(m::text, '' ORDER BY m.id), '') FROM access_methods m) FROM banks b`).Scan(&all).Error)
		return all
	}
	dry := func(content string) catalog.Changes {
		before := text()
		_, changes, err := catalog.ImportWith(t.Context(), store, strings.NewReader(content), catalog.Options{DryRun: true})
		require.NoError(t, err)
		require.Equal(t, before, text())
		return changes
	}
	all := file(bank(0, nil), bank(1, nil), bank(2, nil))
	changes := dry(all)
	require.Len(t, changes.Added, 6)
	require.Empty(t, changes.Changed)
	_, err := catalog.Import(t.Context(), store, strings.NewReader(all))
	require.NoError(t, err)
	require.Empty(t, lines(dry(all)), "the same again changes nothing")

	changes = dry(file(bank(1, func(b, m, c object) {
		b["name"] = "Renamed"
		delete(b, "bic")
		m["requires_account_identifiers"] = true
		c["url"], c["headers"] = "https://elsewhere.example/psd2", object{"X-API-Key": "aNoThErKeY"}
	}), bank(2, nil), bank(3, nil)))
	said := lines(changes)
	require.Len(t, changes.Added, 2)
	require.Len(t, changes.Changed, 2)
	require.Len(t, changes.Vanished, 2)
	for _, want := range []string{"bic, name", "requires_account_identifiers, connection.headers, connection.url", "vanished  bank", "Bank 0", "added     bank", "Bank 3"} {
		require.Contains(t, said, want)
	}
	require.NotContains(t, said, "KeY", "secrets are not shown")

	wrong := bank(0, func(b, m, c object) { b["id"] = uuid.NewString() })
	_, _, err = catalog.ImportWith(t.Context(), store, strings.NewReader(file(wrong)), catalog.Options{DryRun: true})
	require.Error(t, err, "a dry run finds what an import would find")
}

// What sends customers' secrets elsewhere is imported only where the operator confirms it.
func TestConfirm(t *testing.T) {
	t.Parallel()
	certificate, _ := keyPair(t)
	for name, c := range map[string]struct {
		change func(b, m, c object)
		says   string // "": needs no confirmation
	}{
		"host":         {func(_, _, c object) { c["url"] = "https://evil.example/psd2" }, "host xs2a.bank.example → evil.example"},
		"port":         {func(_, _, c object) { c["url"] = "https://xs2a.bank.example:8443/psd2" }, "host xs2a.bank.example → xs2a.bank.example:8443"},
		"roots":        {func(_, _, c object) { c["ca_pem"] = certificate }, "trusted roots"},
		"password":     {func(_, _, c object) { c["password_ca_pem"] = certificate }, "trusted roots"},
		"client":       {func(_, _, c object) { c["oauth"].(object)["client_id"] = "other" }, "OAuth client"},
		"no client":    {func(_, _, c object) { delete(c, "oauth") }, "OAuth client"},
		"token":        {func(_, _, c object) { c["oauth"].(object)["metadata_url"] = "https://evil.example/m" }, "OAuth host none → evil.example"},
		"path":         {func(_, _, c object) { c["url"] = "https://xs2a.bank.example/v2/psd2" }, ""},
		"default port": {func(_, _, c object) { c["url"] = "https://XS2A.bank.example:443/psd2" }, ""},
		"secret":       {func(_, _, c object) { c["oauth"].(object)["client_secret"] = "another" }, ""},
		"header":       {func(_, _, c object) { c["headers"] = object{"X-API-Key": "another"} }, ""},
		"name":         {func(b, _, _ object) { b["name"] = "Another" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := testground.Store(t)
			_, err := catalog.Import(t.Context(), store, strings.NewReader(file(bank(0, nil), bank(1, nil))))
			require.NoError(t, err)
			method := uuid.MustParse(bank(0, nil)["access_methods"].([]any)[0].(object)["id"].(string))
			used(t, store, uuid.MustParse(bank(0, nil)["id"].(string)), method)
			url := func() (url string) {
				require.NoError(t, store.DB.Raw(`SELECT url FROM access_methods WHERE id = ?`, method).Scan(&url).Error)
				return url
			}
			before := url()
			content := file(bank(0, c.change), bank(1, c.change)) // nobody uses the second one
			_, err = catalog.Import(t.Context(), store, strings.NewReader(content))
			if c.says == "" {
				require.NoError(t, err)
				return
			}
			var unconfirmed *catalog.Unconfirmed
			require.ErrorAs(t, err, &unconfirmed)
			require.Len(t, unconfirmed.Changes, 1)
			require.ErrorContains(t, err, c.says)
			require.ErrorContains(t, err, "1 accesses")
			require.Equal(t, before, url(), "nothing is imported")
			_, changes, err := catalog.ImportWith(t.Context(), store, strings.NewReader(content), catalog.Options{DryRun: true})
			require.NoError(t, err)
			require.Contains(t, lines(changes), c.says)
			_, _, err = catalog.ImportWith(t.Context(), store, strings.NewReader(content), catalog.Options{Confirmed: true})
			require.NoError(t, err)
		})
	}
}

// A file comes from where nobody can change it on the way, and is no larger than it may be.
func TestFetch(t *testing.T) {
	t.Parallel()
	routes := http.NewServeMux()
	routes.HandleFunc("/file", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "content") })
	routes.HandleFunc("/large", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(catalog.MaxFile+1))
		_, _ = w.Write([]byte("x"))
	})
	routes.HandleFunc("/to", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, r.URL.Query().Get("address"), http.StatusFound)
	})
	server := httptest.NewServer(routes)
	defer server.Close()
	sum := fmt.Sprintf("%x", sha256.Sum256([]byte("content")))
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, []byte("content"), 0o600))
	for _, source := range []string{path, server.URL + "/file", server.URL + "/to?address=/file"} {
		raw, err := catalog.Fetch(t.Context(), source, sum)
		require.NoError(t, err, source)
		require.Equal(t, "content", string(raw))
		_, err = catalog.Fetch(t.Context(), source, strings.Repeat("0", 64))
		require.ErrorContains(t, err, sum)
	}
	_, err := catalog.Fetch(t.Context(), path, "12")
	require.ErrorContains(t, err, "64 hexadecimal digits")
	for source, says := range map[string]string{
		"http://files.example/catalog.json":                       "must be https",
		"https://user:password@files.example/catalog.json":        "carry no credentials",
		"ftp://files.example/catalog.json":                        "must be https",
		server.URL + "/missing":                                   "404",
		server.URL + "/large":                                     "larger than 256 MiB",
		server.URL + "/to?address=http://files.example/file":      "neither https",
		server.URL + "/to?address=" + server.URL + "/to?address=": "",
	} {
		_, err := catalog.Fetch(t.Context(), source, "")
		require.ErrorContains(t, err, says, source)
	}
	secure := httptest.NewTLSServer(http.RedirectHandler(server.URL+"/file", http.StatusFound))
	defer secure.Close()
	require.ErrorContains(t, catalog.FetchWith(t.Context(), secure.Client(), secure.URL), "from https to http")
	large := filepath.Join(t.TempDir(), "large")
	require.NoError(t, os.WriteFile(large, nil, 0o600))
	require.NoError(t, os.Truncate(large, catalog.MaxFile+1))
	_, err = catalog.Fetch(t.Context(), large, "")
	require.ErrorContains(t, err, "larger than 256 MiB")
}
