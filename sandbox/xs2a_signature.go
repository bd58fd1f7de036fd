package sandbox

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// keyring holds the RSA keys that some of the banks need; they are made when they are first asked for.
type keyring struct {
	client, bank         sync.Once
	clientPair, bankPair keyPair
}

// keyPair is a self-signed certificate and its key.
type keyPair struct {
	key         *rsa.PrivateKey
	certificate *x509.Certificate
}

// newKeyPair makes a certificate that lives for ten years from now. It began a year ago: the bank's clock may stand
// elsewhere than the machine's.
func newKeyPair(name string, now time.Time) keyPair {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(fmt.Sprintf("sandbox: make RSA key: %v", err)) // only a broken system gets here
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(4711),
		Subject:      pkix.Name{CommonName: name, Organization: []string{"Kontoflow Sandbox"}, Country: []string{"DE"}},
		NotBefore:    now.AddDate(-1, 0, 0),
		NotAfter:     now.AddDate(10, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(fmt.Sprintf("sandbox: make certificate: %v", err))
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		panic(fmt.Sprintf("sandbox: read own certificate: %v", err))
	}
	return keyPair{key, certificate}
}

func (p keyPair) certificatePEM() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.certificate.Raw}))
}

func (p keyPair) keyPEM() string {
	der, err := x509.MarshalPKCS8PrivateKey(p.key)
	if err != nil {
		panic(fmt.Sprintf("sandbox: encode key: %v", err))
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

// clientKeys are what the bank gave its registered client to sign requests and to open TLS connections with.
func (b *Bank) clientKeys() keyPair {
	b.keys.client.Do(func() { b.keys.clientPair = newKeyPair("Kontoflow Sandbox TPP", time.Now()) })
	return b.keys.clientPair
}

// bankKeys are what passwords are encrypted for.
func (b *Bank) bankKeys() keyPair {
	b.keys.bank.Do(func() { b.keys.bankPair = newKeyPair("Demo-Handelsbank PSU", time.Now()) })
	return b.keys.bankPair
}

// decrypt opens a password that came as a compact JWE (RFC 7516) with RSA-OAEP-256 and A256GCM.
func (b *Bank) decrypt(compact string) (string, error) {
	object, err := jose.ParseEncryptedCompact(compact, []jose.KeyAlgorithm{jose.RSA_OAEP_256}, []jose.ContentEncryption{jose.A256GCM})
	if err != nil {
		return "", fmt.Errorf("parse JWE: %w", err)
	}
	password, err := object.Decrypt(b.bankKeys().key)
	if err != nil {
		return "", fmt.Errorf("decrypt JWE: %w", err)
	}
	return string(password), nil
}

// serveCertificate gives out the certificate that passwords are encrypted for.
func (b *Bank) serveCertificate(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/x-pem-file")
	_, _ = w.Write([]byte(b.bankKeys().certificatePEM()))
}

// checkSignature verifies Digest, Signature and TPP-Signature-Certificate (Implementation Guidelines, section 12;
// draft-cavage-http-signatures-10). Only the client's own certificate is trusted.
func (c *call) checkSignature() *refusal {
	h := c.r.Header
	for _, name := range []string{"Digest", "Signature", "TPP-Signature-Certificate", "Date"} {
		if h.Get(name) == "" {
			if name == "TPP-Signature-Certificate" {
				return refuse(401, "CERTIFICATE_MISSING", name+" is missing")
			}
			return refuse(401, "SIGNATURE_MISSING", name+" is missing")
		}
	}
	sum := sha256.Sum256(c.body)
	if h.Get("Digest") != "SHA-256="+base64.StdEncoding.EncodeToString(sum[:]) {
		return refuse(400, "FORMAT_ERROR", "Digest does not fit the body")
	}
	date, err := http.ParseTime(h.Get("Date"))
	// The client's clock may follow the bank's, which can be advanced, or the machine's.
	if err != nil || time.Since(date).Abs() > 5*time.Minute && c.now.Sub(date).Abs() > 5*time.Minute {
		return formatError("Date", "is not now")
	}
	certificate, err := parseCertificate(h.Get("TPP-Signature-Certificate"))
	if err != nil || subtle.ConstantTimeCompare(certificate.Raw, c.face.bank.clientKeys().certificate.Raw) != 1 {
		return refuse(401, "CERTIFICATE_INVALID", "TPP-Signature-Certificate is not the client's")
	}
	parameters, err := signatureParameters(h.Get("Signature"))
	if err != nil {
		return refuse(401, "SIGNATURE_INVALID", "Signature cannot be read")
	}
	if !strings.EqualFold(parameters["algorithm"], "rsa-sha256") || parameters["keyId"] == "" {
		return refuse(401, "SIGNATURE_INVALID", "algorithm has to be rsa-sha256, and keyId has to be there")
	}
	names := strings.Fields(strings.ToLower(parameters["headers"]))
	signed := map[string]bool{}
	var lines []string
	for _, name := range names {
		if h.Get(name) == "" {
			return refuse(401, "SIGNATURE_INVALID", name+" is signed and not there")
		}
		signed[name] = true
		lines = append(lines, name+": "+h.Get(name))
	}
	if signed["date"] != c.face.dialect.signsDate {
		return formatError("Signature", "has Date among its headers, or has not, where this bank wants it otherwise")
	}
	for _, name := range []string{"digest", "x-request-id", "psu-id", "psu-corporate-id", "tpp-redirect-uri"} {
		if h.Get(name) != "" && !signed[name] {
			return refuse(401, "SIGNATURE_INVALID", name+" is not signed")
		}
	}
	signature, err := base64.StdEncoding.DecodeString(parameters["signature"])
	if err != nil {
		return refuse(401, "SIGNATURE_INVALID", "signature is no base64")
	}
	hash := sha256.Sum256([]byte(strings.Join(lines, "\n")))
	if rsa.VerifyPKCS1v15(certificate.PublicKey.(*rsa.PublicKey), crypto.SHA256, hash[:], signature) != nil {
		return refuse(401, "SIGNATURE_INVALID", "the signature is wrong")
	}
	return nil
}

// parseCertificate reads a base64 header: of DER, or of PEM.
func parseCertificate(header string) (*x509.Certificate, error) {
	raw, err := base64.StdEncoding.DecodeString(header)
	if err != nil {
		return nil, err
	}
	if block, _ := pem.Decode(raw); block != nil {
		raw = block.Bytes
	}
	return x509.ParseCertificate(raw)
}

// signatureParameters reads `keyId="…",algorithm="…",headers="…",signature="…"`.
func signatureParameters(header string) (map[string]string, error) {
	parameters := map[string]string{}
	for header != "" {
		name, rest, ok := strings.Cut(header, `="`)
		if !ok {
			return nil, errors.New("no name")
		}
		value, rest, ok := strings.Cut(rest, `"`)
		if !ok {
			return nil, errors.New("open quote")
		}
		parameters[strings.TrimSpace(name)] = value
		header = strings.TrimPrefix(strings.TrimSpace(rest), ",")
	}
	return parameters, nil
}
