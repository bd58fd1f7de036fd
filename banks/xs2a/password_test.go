package xs2a_test

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
)

// A certifier makes certificates.
type certifier struct {
	certificate *x509.Certificate
	key         crypto.Signer
}

// certify makes a certificate that by vouches for; nil: itself.
func certify(t *testing.T, by *certifier, key crypto.Signer, change func(*x509.Certificate)) *certifier {
	t.Helper()
	template := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: "Testbank"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), BasicConstraintsValid: true}
	change(template)
	parent, signer := template, key
	if by != nil {
		parent, signer = by.certificate, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), signer)
	require.NoError(t, err)
	certificate, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &certifier{certificate, key}
}

func (c *certifier) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.certificate.Raw}))
}

func authority(c *x509.Certificate) { c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign }
func plainLeaf(*x509.Certificate)   {}

// The PIN is encrypted for a certificate that the connection's roots vouch for, where it has some; for a strong key that is
// valid now in any case. Else it goes nowhere.
func TestWhoThePasswordIsEncryptedFor(t *testing.T) {
	t.Parallel()
	rsaKey := func(bits int) *rsa.PrivateKey {
		key, err := rsa.GenerateKey(rand.Reader, bits)
		require.NoError(t, err)
		return key
	}
	ec := func() *ecdsa.PrivateKey {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		require.NoError(t, err)
		return key
	}
	good := rsaKey(2048)
	root := certify(t, nil, ec(), authority)
	between := certify(t, root, ec(), authority)
	stranger := certify(t, nil, ec(), authority)
	leaf := certify(t, between, good, plainLeaf)
	own := certify(t, nil, good, plainLeaf)
	forged := certify(t, stranger, good, plainLeaf)
	byLeaf := certify(t, certify(t, root, ec(), plainLeaf), good, plainLeaf)
	for name, test := range map[string]struct {
		served string
		roots  string
		fine   bool
	}{
		"no roots":                  {own.pem(), "", true},
		"vouched for":               {leaf.pem() + between.pem(), root.pem(), true},
		"with the root":             {leaf.pem() + between.pem() + root.pem(), root.pem(), true},
		"pinned":                    {own.pem(), own.pem(), true},
		"one of several roots":      {leaf.pem() + between.pem(), stranger.pem() + root.pem(), true},
		"a link is missing":         {leaf.pem(), root.pem(), false},
		"another root":              {leaf.pem() + between.pem(), stranger.pem(), false},
		"self-signed":               {own.pem(), root.pem(), false},
		"forged, with its own root": {forged.pem() + stranger.pem(), root.pem(), false},
		"by what is no authority":   {byLeaf.pem(), root.pem(), false},
		"short key":                 {certify(t, nil, rsaKey(1024), plainLeaf).pem(), "", false},
		"not RSA":                   {certify(t, nil, ec(), plainLeaf).pem(), "", false},
		"over":                      {certify(t, nil, good, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }).pem(), "", false},
		"not yet":                   {certify(t, nil, good, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) }).pem(), "", false},
		"none":                      {"", "", false},
		"no PEM":                    {"hello", "", false},
		"a key":                     {"-----BEGIN CERTIFICATE-----\naGVsbG8=\n-----END CERTIFICATE-----\n", "", false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const at = "/v1/consents/c1/authorisations/a1"
			b := openFieldBank(t, "", map[string][]reply{
				"GET /pb/aspsp-certificates/tpp-pb-password_cert.pem": {{header: map[string]string{"Content-Type": "application/x-pem-file"}, body: test.served}},
				"POST /v1/consents": {{status: 201, body: fmt.Sprintf(consented, link("startAuthorisationWithEncryptedPsuAuthentication", at))}},
				"PUT " + at:         {{body: fmt.Sprintf(askTAN, at)}},
			})
			conv := b.conversation()
			conv.Connection.Dialect, conv.Connection.PasswordCAPEM = "deutsche-bank", test.roots
			_, err := goOn(t, newAdapter(), conv, nil)
			require.Empty(t, b.carrying(pin), "never in clear")
			if !test.fine {
				requireKind(t, err, banks.Rejected)
				require.NotContains(t, b.calls(), "PUT "+at)
				return
			}
			require.NoError(t, err)
			sealed, err := jose.ParseEncryptedCompact(passwordOf(t, b.got("PUT "+at)), []jose.KeyAlgorithm{jose.RSA_OAEP_256}, []jose.ContentEncryption{jose.A256GCM})
			require.NoError(t, err)
			opened, err := sealed.Decrypt(good)
			require.NoError(t, err)
			require.Equal(t, pin, string(opened))
		})
	}
}
