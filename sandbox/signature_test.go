package sandbox_test

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/sandbox"
)

// signingKeys are the client's, out of the catalog.
func signingKeys(t *testing.T, b *sandbox.Bank) tls.Certificate {
	t.Helper()
	var said struct {
		Banks []struct {
			AccessMethods []struct{ Connection banks.Connection } `json:"access_methods"`
		}
	}
	require.NoError(t, json.Unmarshal(b.Catalog("http://127.0.0.1"), &said))
	for _, bank := range said.Banks {
		if keys := bank.AccessMethods[0].Connection.Signing; keys != nil {
			pair, err := tls.X509KeyPair([]byte(keys.CertificatePEM), []byte(keys.KeyPEM))
			require.NoError(t, err)
			return pair
		}
	}
	require.Fail(t, "no bank wants signatures")
	return tls.Certificate{}
}

// Every row is a well-signed request with one thing changed.
func TestSignaturesAreVerified(t *testing.T) {
	t.Parallel()
	b := open()
	c := visit(t, b, "signed")
	pair := signingKeys(t, b)
	body, err := json.Marshal(allAccounts())
	require.NoError(t, err)

	signed := func(names string) headers {
		digest := sha256.Sum256(body)
		h := with(atHome, "PSU-ID", "demo", "X-Request-ID", "99391c7e-ad88-49ec-a2ad-99ddcb1f7721", "Date", time.Now().UTC().Format(http.TimeFormat),
			"Digest", "SHA-256="+base64.StdEncoding.EncodeToString(digest[:]),
			"TPP-Signature-Certificate", base64.StdEncoding.EncodeToString(pair.Certificate[0]))
		canonical := map[string]string{}
		for name, value := range h {
			canonical[strings.ToLower(name)] = value
		}
		var lines []string
		for _, name := range strings.Fields(names) {
			lines = append(lines, name+": "+canonical[name])
		}
		hash := sha256.Sum256([]byte(strings.Join(lines, "\n")))
		signature, err := rsa.SignPKCS1v15(rand.Reader, pair.PrivateKey.(*rsa.PrivateKey), crypto.SHA256, hash[:])
		require.NoError(t, err)
		h["Signature"] = fmt.Sprintf(`keyId="SN=1267,CA=CN=Kontoflow",algorithm="rsa-sha256",headers="%s",signature="%s"`, names, base64.StdEncoding.EncodeToString(signature))
		return h
	}
	const all = "digest x-request-id psu-id"
	send := func(h headers, body string) *reply { return c.do("POST", "/v1/consents", body, h) }
	require.Equal(t, 201, send(signed(all), string(body)).Status)

	for _, row := range []struct {
		what   string
		header headers
		body   string
		code   string
	}{
		{"another body", signed(all), strings.Replace(string(body), "true", "false", 1), "FORMAT_ERROR"},
		{"another customer", with(signed(all), "PSU-ID", "methods"), string(body), "SIGNATURE_INVALID"},
		{"PSU-ID not signed", signed("digest x-request-id"), string(body), "SIGNATURE_INVALID"},
		{"Date signed", signed(all + " date"), string(body), "FORMAT_ERROR"},
		{"no Date", with(signed(all), "Date", ""), string(body), "SIGNATURE_MISSING"},
		{"no signature", with(signed(all), "Signature", ""), string(body), "SIGNATURE_MISSING"},
		{"no digest", with(signed(all), "Digest", ""), string(body), "SIGNATURE_MISSING"},
		{"no certificate", with(signed(all), "TPP-Signature-Certificate", ""), string(body), "CERTIFICATE_MISSING"},
		{"somebody else's certificate", with(signed(all), "TPP-Signature-Certificate", base64.StdEncoding.EncodeToString(signingKeys(t, open()).Certificate[0])), string(body), "CERTIFICATE_INVALID"},
		{"yesterday", with(signed(all), "Date", time.Now().Add(-24*time.Hour).UTC().Format(http.TimeFormat)), string(body), "FORMAT_ERROR"},
		{"half a header", with(signed(all), "Signature", `keyId="x`), string(body), "SIGNATURE_INVALID"},
	} {
		got := send(row.header, row.body)
		require.GreaterOrEqual(t, got.Status, 400, row.what)
		require.Equal(t, row.code, got.code(), row.what)
	}
	dated := visit(t, b, "signed-date")
	require.Equal(t, 201, dated.do("POST", "/v1/consents", string(body), signed(all+" date")).Status)
	require.Equal(t, "FORMAT_ERROR", dated.do("POST", "/v1/consents", string(body), signed(all)).code())
}

func TestPasswordHasToBeEncrypted(t *testing.T) {
	t.Parallel()
	c := visit(t, open(), "encrypted")
	require.Equal(t, "PSU-ID-Type", c.do("POST", "/v1/consents", allAccounts(), with(atHome, "PSU-ID", "demo")).Body.Messages[0].Path)
	psu := with(atHome, "PSU-ID", "demo", "PSU-ID-Type", "DE_ONLB_DB")
	consent := c.do("POST", "/v1/consents", allAccounts(), psu)
	start := consent.Body.Links["startAuthorisationWithEncryptedPsuAuthentication"].Href
	require.Equal(t, "psuData.password", c.do("POST", start, object{"psuData": object{"password": "demo"}}, psu).Body.Messages[0].Path)
	require.Equal(t, "psuData.encryptedPassword", c.do("POST", start, object{"psuData": object{"encryptedPassword": "demo"}}, psu).Body.Messages[0].Path)
}

func TestClientCertificateIsMissed(t *testing.T) {
	t.Parallel()
	got := visit(t, open(), "mutual").do("GET", "/v1/accounts", nil, nil)
	require.Equal(t, 401, got.Status)
	require.Equal(t, "CERTIFICATE_MISSING", got.code())
}
