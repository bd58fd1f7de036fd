package xs2a

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"io"
	"net/http"

	"github.com/go-jose/go-jose/v4"
)

// encrypt seals the password for the bank: JWE (RFC 7516) with RSA-OAEP-256 and A256GCM for the
// certificate that the bank publishes.
func (t *talk) encrypt(ctx context.Context, password string) (string, error) {
	const doing = "encrypt the password"
	u, err := t.bank.resolve(t.dialect.encryptPassword)
	if err != nil {
		return "", nonsense(doing, err.Error())
	}
	r, err := t.send(ctx, call{doing: "read the certificate for passwords", method: http.MethodGet, url: u, accept: "*/*"})
	if err != nil {
		return "", err
	}
	defer r.body.Close()
	file, err := io.ReadAll(r.body)
	if err != nil {
		return "", unreadable(doing, err)
	}
	var chain []string
	var key *rsa.PublicKey
	for block, rest := pem.Decode(file); block != nil && len(chain) < 8; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return "", nonsense(doing, "the bank's certificate cannot be read")
		}
		if key == nil {
			now := t.options.Now()
			public, ok := certificate.PublicKey.(*rsa.PublicKey)
			if !ok || now.Before(certificate.NotBefore) || now.After(certificate.NotAfter) {
				return "", nonsense(doing, "the bank's certificate is not valid now, or not RSA")
			}
			key = public
		}
		chain = append(chain, base64Of(certificate.Raw))
	}
	if key == nil {
		return "", nonsense(doing, "the bank publishes no certificate")
	}
	encrypter, err := jose.NewEncrypter(jose.A256GCM, jose.Recipient{Algorithm: jose.RSA_OAEP_256, Key: key},
		(&jose.EncrypterOptions{}).WithHeader("x5u", u.String()).WithHeader("x5c", chain))
	if err != nil {
		return "", misconfigured(err)
	}
	sealed, err := encrypter.Encrypt([]byte(password))
	if err != nil {
		return "", misconfigured(err)
	}
	compact, err := sealed.CompactSerialize()
	if err != nil {
		return "", misconfigured(err)
	}
	return compact, nil
}
