package xs2a

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"net/url"

	"github.com/go-jose/go-jose/v4"

	"github.com/kontoflow/kontoflow/banks"
)

const (
	encryptPassword = "encrypt the password"
	maxChain        = 8    // certificates of the bank that are read
	leastRSA        = 2048 // bits of its key
)

// encrypt seals the password for the bank: JWE (RFC 7516) with RSA-OAEP-256 and A256GCM for the
// certificate that the bank publishes.
func (t *talk) encrypt(ctx context.Context, password string) (string, error) {
	u, err := t.bank.resolve(t.dialect.encryptPassword)
	if err != nil {
		return "", nonsense(encryptPassword, err.Error())
	}
	chain, err := t.passwordChain(ctx, u)
	if err != nil {
		return "", err
	}
	if err := t.trustForPassword(chain); err != nil {
		return "", err
	}
	x5c := make([]string, len(chain))
	for i, certificate := range chain {
		x5c[i] = base64Of(certificate.Raw)
	}
	recipient := jose.Recipient{Algorithm: jose.RSA_OAEP_256, Key: chain[0].PublicKey}
	encrypter, err := jose.NewEncrypter(jose.A256GCM, recipient, (&jose.EncrypterOptions{}).WithHeader("x5u", u.String()).WithHeader("x5c", x5c))
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

// passwordChain reads the bank's certificate for passwords, and those that vouch for it.
func (t *talk) passwordChain(ctx context.Context, u *url.URL) (chain []*x509.Certificate, err error) {
	const doing = "read the certificate for passwords"
	r, err := t.send(ctx, call{doing: doing, method: http.MethodGet, url: u, accept: "*/*", anonymous: true})
	if err != nil {
		return nil, err
	}
	defer r.body.Close()
	file, err := io.ReadAll(r.body)
	if err != nil {
		return nil, unreadable(doing, err)
	}
	for block, rest := pem.Decode(file); block != nil && len(chain) < maxChain; block, rest = pem.Decode(rest) {
		certificate, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, nonsense(encryptPassword, "the bank's certificate cannot be read")
		}
		chain = append(chain, certificate)
	}
	if len(chain) == 0 {
		return nil, nonsense(encryptPassword, "the bank publishes no certificate")
	}
	return chain, nil
}

// trustForPassword checks the first certificate of a chain. Without roots in the connection it is
// believed because it came over TLS from the bank's host.
func (t *talk) trustForPassword(chain []*x509.Certificate) error {
	leaf, now := chain[0], t.options.Now()
	key, ok := leaf.PublicKey.(*rsa.PublicKey)
	switch {
	case !ok || now.Before(leaf.NotBefore) || now.After(leaf.NotAfter):
		return nonsense(encryptPassword, "the bank's certificate is not valid now, or not RSA")
	case key.N.BitLen() < leastRSA:
		return nonsense(encryptPassword, "the key of the bank's certificate is too short")
	case t.conv.Connection.PasswordCAPEM == "":
		return nil
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(t.conv.Connection.PasswordCAPEM)) {
		return misconfigured(errors.New("no certificate in password_ca_pem"))
	}
	for _, certificate := range chain[1:] {
		between.AddCert(certificate)
	}
	if _, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}); err != nil {
		return &banks.Error{Kind: banks.Rejected, Code: banks.CodeInternal,
			Err: banks.OwnError(encryptPassword + ": nobody in password_ca_pem vouches for the bank's certificate")}
	}
	return nil
}
