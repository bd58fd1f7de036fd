package catalog_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/catalog"
	"github.com/kontoflow/kontoflow/internal/openapi"
	"github.com/kontoflow/kontoflow/internal/testground"
	"github.com/kontoflow/kontoflow/vault"
)

type object = map[string]any

// bank is a good bank of an import file; change makes it what the test wants.
func bank(n int, change func(bank, method, connection object)) object {
	connection := object{"protocol": "XS2A", "url": "https://xs2a.bank.example/psd2", "headers": object{"X-API-Key": "hEaDeRkEy"},
		"oauth": object{"flow": "INTEGRATED", "client_id": "kontoflow", "client_secret": "oAuThSeCrEt"}}
	method := object{"id": fmt.Sprintf("0190a000-0000-7000-8000-0000000%05d", n+50000), "type": "API", "in_psd2_scope": true,
		"supported_account_types": []string{"Giro account"}, "customer_authentication_flows": []string{"REDIRECT"},
		"advice": object{"de": "Hallo"}, "connection": connection,
		"credentials": []any{object{"key": "login", "label": object{"de": "Anmeldename", "en": "Login"}, "max_length": 20}}}
	b := object{"id": fmt.Sprintf("0190a000-0000-7000-8000-0000000%05d", n), "name": fmt.Sprintf("Bank %d", n), "country": "DE", "bank_code": fmt.Sprintf("9009%04d", n),
		"bic": "DEMODE01XXX", "access_methods": []any{method}}
	if change != nil {
		change(b, method, connection)
	}
	return b
}

func file(banks ...object) string {
	b, err := json.Marshal(object{"banks": banks})
	if err != nil {
		panic(err)
	}
	return string(b)
}

func TestImport(t *testing.T) {
	t.Parallel()
	store := testground.Store(t)
	many := make([]object, 1500) // more than one batch
	for i := range many {
		many[i] = bank(i, nil)
	}
	report, err := catalog.Import(t.Context(), store, strings.NewReader(file(many...)))
	require.NoError(t, err)
	require.Equal(t, catalog.Report{Banks: 1500, AccessMethods: 1500, NewBanks: 1500}, report)

	report, err = catalog.Import(t.Context(), store, strings.NewReader(file(bank(7, func(b, m, c object) {
		b["name"], b["supported"], b["kind"] = "Renamed", false, "SERVICE"
		delete(b, "bic")
		c["url"] = "https://elsewhere.example"
	}), bank(1500, nil))))
	require.NoError(t, err)
	require.Equal(t, catalog.Report{Banks: 2, AccessMethods: 2, NewBanks: 1}, report)
	banks, err := catalog.Find(t.Context(), store, catalog.Query{Exact: "Renamed", Count: 10})
	require.NoError(t, err)
	require.Len(t, banks, 1)
	require.False(t, banks[0].Supported)
	require.Nil(t, banks[0].BIC, "what the file does not say any more is gone")

	method := banks[0].AccessMethods[0]
	for _, secret := range []string{"hEaDeRkEy", "oAuThSeCrEt"} {
		require.NotContains(t, string(method.Connection), secret)
	}
	connection, err := store.OpenConnection(&method)
	require.NoError(t, err)
	require.Equal(t, "https://elsewhere.example", connection.URL)
	require.Equal(t, "hEaDeRkEy", connection.Headers["X-API-Key"])
	require.Equal(t, "oAuThSeCrEt", connection.OAuth.ClientSecret)
	method.ID = uuid.New()
	_, err = store.OpenConnection(&method)
	require.ErrorIs(t, err, vault.ErrSealed, "it is sealed to its access method")
}

// What is wrong is named by its path; nothing of a wrong file is stored, and nothing of it is quoted.
func TestWrongFiles(t *testing.T) {
	t.Parallel()
	store := testground.Store(t)
	certificate, key := keyPair(t)
	_, otherKey := keyPair(t)
	first := "banks[1].access_methods[0]"
	connected := func(field string, value any) object {
		return bank(1, func(b, m, c object) { c[field] = value })
	}
	for name, c := range map[string]struct {
		bank object
		want []string
	}{
		"unknown field":                {bank(1, func(b, m, c object) { b["nmae"] = "x" }), []string{"banks[1].nmae"}},
		"missing":                      {object{}, []string{"banks[1].id", "banks[1].name", "banks[1].country", "banks[1].access_methods"}},
		"no UUID":                      {bank(1, func(b, m, c object) { b["id"] = "1" }), []string{"banks[1].id"}},
		"same bank twice":              {bank(0, func(b, m, c object) { m["id"] = uuid.NewString() }), []string{"banks[1].id"}},
		"same method twice":            {bank(0, func(b, m, c object) { b["id"] = uuid.NewString() }), []string{first + ".id"}},
		"country":                      {bank(1, func(b, m, c object) { b["country"] = "de" }), []string{"banks[1].country"}},
		"BIC":                          {bank(1, func(b, m, c object) { b["bic"] = "X" }), []string{"banks[1].bic"}},
		"NUL":                          {bank(1, func(b, m, c object) { b["name"] = "a\x00" }), []string{"banks[1].name"}},
		"icon over http":               {bank(1, func(b, m, c object) { b["icon"] = object{"url": "http://bank.example/i.png"} }), []string{"banks[1].icon.url"}},
		"http":                         {connected("url", "http://xs2a.bank.example"), []string{first + ".connection.url"}},
		"http to a lookalike":          {connected("url", "http://localhost.bank.example"), []string{first + ".connection.url"}},
		"credentials in URL":           {connected("url", "https://user:secret@bank.example"), []string{first + ".connection.url"}},
		"no host":                      {connected("url", "https:///psd2"), []string{first + ".connection.url"}},
		"other scheme":                 {connected("url", "file:///etc/passwd"), []string{first + ".connection.url"}},
		"half of an OAuth pair":        {connected("oauth", object{"flow": "PRE_STEP", "client_id": "k", "token_url": "https://bank.example/token"}), []string{first + ".connection.oauth"}},
		"the other half of it":         {connected("oauth", object{"flow": "INTEGRATED", "client_id": "k", "authorization_url": "https://bank.example/x"}), []string{first + ".connection.oauth"}},
		"OAuth without a client":       {connected("oauth", object{"flow": "INTEGRATED"}), []string{first + ".connection.oauth.client_id"}},
		"an unknown flow":              {connected("oauth", object{"flow": "IMPLICIT", "client_id": "k"}), []string{first + ".connection.oauth.flow"}},
		"no address for our own token": {connected("oauth", object{"flow": "CLIENT_CREDENTIALS", "client_id": "k"}), []string{first + ".connection.oauth"}},
		"no address for the password":  {connected("oauth", object{"flow": "PASSWORD_TOKEN"}), []string{first + ".connection.oauth", first + ".connection.oauth.token_url"}},
		"a page beside the password":   {connected("oauth", object{"flow": "PASSWORD_TOKEN", "token_url": "https://bank.example/t", "authorization_url": "https://bank.example/a"}), []string{first + ".connection.oauth"}},
		"roots for the password":       {connected("password_ca_pem", "none"), []string{first + ".connection.password_ca_pem"}},
		"OAuth over http":              {connected("oauth", object{"flow": "PRE_STEP", "client_id": "k", "metadata_url": "http://bank.example"}), []string{first + ".connection.oauth.metadata_url"}},
		"unknown in connection":        {connected("proxy", "x"), []string{first + ".connection.proxy"}},
		"key of another":               {connected("tls", object{"certificate_pem": certificate, "key_pem": otherKey}), []string{first + ".connection.tls"}},
		"no PEM":                       {connected("signing", object{"certificate_pem": "x", "key_pem": key}), []string{first + ".connection.signing"}},
		"no roots":                     {connected("ca_pem", "x"), []string{first + ".connection.ca_pem"}},
		"wrong protocol":               {connected("protocol", "FINTS"), []string{first + ".connection.protocol"}},
		"no such protocol":             {connected("protocol", "HBCI"), []string{first + ".connection.protocol"}},
		"credential twice": {bank(1, func(b, m, c object) {
			m["credentials"] = []any{object{"key": "pin", "label": object{"de": "PIN"}}, object{"key": "pin", "label": object{}, "min_length": 5, "max_length": 4}}
		}), []string{first + ".credentials[1].key", first + ".credentials[1].label", first + ".credentials[1].max_length"}},
		"flow": {bank(1, func(b, m, c object) { m["customer_authentication_flows"] = []string{"REDIRECT", "FAX"} }), []string{first + ".customer_authentication_flows[1]"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := catalog.Import(t.Context(), store, strings.NewReader(file(bank(0, nil), c.bank)))
			var problems openapi.Problems
			require.ErrorAs(t, err, &problems)
			for _, path := range c.want {
				require.Contains(t, problems, path)
			}
			require.Len(t, problems, len(c.want), "%v", err)
			for _, secret := range []string{"hEaDeRkEy", "oAuThSeCrEt", "secret@", "PRIVATE KEY"} {
				require.NotContains(t, err.Error(), secret)
			}
		})
	}
	for _, text := range []string{"", "{", "[]", "null", `{"banks":{}}`, `{"banks":[]} x`, `{}`} {
		_, err := catalog.Import(t.Context(), store, strings.NewReader(text))
		require.Error(t, err, text)
	}
	banks, err := catalog.Find(t.Context(), store, catalog.Query{Count: 10})
	require.NoError(t, err)
	require.Empty(t, banks)
}

func TestLoopbackMayBeHTTP(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"http://127.0.0.1:8000/bank", "http://localhost:8000", "http://[::1]/"} {
		_, err := catalog.Parse([]byte(file(bank(0, func(b, m, c object) { c["url"] = url }))))
		require.NoError(t, err, url)
	}
}

// An access names its bank and its method: a method cannot move to another bank below it.
func TestMethodStaysWithItsBank(t *testing.T) {
	t.Parallel()
	store := testground.Store(t)
	_, err := catalog.Import(t.Context(), store, strings.NewReader(file(bank(0, nil))))
	require.NoError(t, err)
	moved := bank(0, func(b, m, c object) { b["id"], b["name"] = uuid.NewString(), "Thief" })
	_, err = catalog.Import(t.Context(), store, strings.NewReader(file(moved)))
	var problems openapi.Problems
	require.ErrorAs(t, err, &problems)
	require.Contains(t, problems, "banks[0].access_methods[0].id")
	banks, err := catalog.Find(t.Context(), store, catalog.Query{Count: 10})
	require.NoError(t, err)
	require.Len(t, banks, 1)
}

func TestFind(t *testing.T) {
	t.Parallel()
	store := testground.Store(t)
	named := func(n int, kind, country, name, code, bic string) object {
		return bank(n, func(b, m, c object) {
			b["kind"], b["country"], b["name"], b["bank_code"], b["bic"] = kind, country, name, code, bic
		})
	}
	_, err := catalog.Import(t.Context(), store, strings.NewReader(file(
		named(0, "BANK", "DE", "Sparkasse Köln Bonn", "37050198", "COLSDE33XXX"),
		named(1, "BANK", "DE", "Stadtsparkasse Düsseldorf", "30050110", "DUSSDEDDXXX"),
		named(2, "BANK", "DE", "Commerzbank", "37040044", "COBADEFFXXX"),
		named(3, "BANK", "AT", "Erste Bank 100%_sicher", "20111", "GIBAATWWXXX"),
		named(4, "SERVICE", "DE", "PayPal", "00000001", "PPLXLULLXXX"),
		named(5, "BANK", "DE", "Kölner Bank", "37160087", "GENODED1CGN"))))
	require.NoError(t, err)
	for query, want := range map[catalog.Query][]string{
		{}:                        {"Commerzbank", "Erste Bank 100%_sicher", "Kölner Bank", "PayPal", "Sparkasse Köln Bonn", "Stadtsparkasse Düsseldorf"},
		{Kind: "SERVICE"}:         {"PayPal"},
		{Country: "at"}:           {"Erste Bank 100%_sicher"},
		{Kind: "BANK", Offset: 4}: {"Stadtsparkasse Düsseldorf"},
		{Exact: "37040044"}:       {"Commerzbank"},
		{Exact: "cobadeffxxx"}:    {"Commerzbank"},
		{Exact: "commerzBANK"}:    {"Commerzbank"},
		{Exact: "Commerz"}:        {},
		{Exact: "0190a000-0000-7000-8000-000000000004"}: {"PayPal"},
		{Search: "spark"}:                {"Sparkasse Köln Bonn", "Stadtsparkasse Düsseldorf"},
		{Search: "  SPARKASSE "}:         {"Sparkasse Köln Bonn", "Stadtsparkasse Düsseldorf"},
		{Search: "Sparkase"}:             {"Sparkasse Köln Bonn", "Stadtsparkasse Düsseldorf"},
		{Search: "Comerzbank"}:           {"Commerzbank"},
		{Search: "Düsseldorf"}:           {"Stadtsparkasse Düsseldorf"},
		{Search: "köln"}:                 {"Kölner Bank", "Sparkasse Köln Bonn"},
		{Search: "370"}:                  {"Commerzbank", "Sparkasse Köln Bonn"},
		{Search: "37 05 01"}:             {"Sparkasse Köln Bonn"},
		{Search: "cobade"}:               {"Commerzbank"},
		{Search: "100%"}:                 {"Erste Bank 100%_sicher"},
		{Search: "%_s"}:                  {"Erste Bank 100%_sicher"},
		{Search: "zzzzzz"}:               {},
		{Search: "paypal", Kind: "BANK"}: {},
		{Search: "payapl"}:               {"PayPal"},
	} {
		if query.Count == 0 {
			query.Count = 10
		}
		banks, err := catalog.Find(t.Context(), store, query)
		require.NoError(t, err)
		names := []string{}
		for _, b := range banks {
			names = append(names, b.Name)
			require.Len(t, b.AccessMethods, 1)
		}
		require.Equal(t, want, names, "%+v", query)
	}
}

// The example of the documentation is a good file.
func TestDocumentedExample(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../docs/catalog.md")
	require.NoError(t, err)
	example := regexp.MustCompile("(?s)```json\n(.*?)```").FindSubmatch(text)
	require.NotNil(t, example)
	parsed, err := catalog.Parse(example[1])
	require.NoError(t, err)
	require.NotEmpty(t, parsed.Banks)
}

func keyPair(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	require.NoError(t, err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	require.NoError(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}))
}
