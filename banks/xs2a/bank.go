package xs2a

import (
	"crypto/rsa"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/internal/transport"
)

// A bank is one address of the catalog with its open connections.
type bank struct {
	base   *url.URL   // ends without a slash
	hosts  []*url.URL // that requests may go to: the catalog's, and those of its OAuth addresses
	signer *signer    // nil: requests are not signed
	client clientToken
	*transport.Client
}

func (p *provider) dial(c *banks.Connection) (*bank, error) {
	base, err := url.Parse(strings.TrimRight(c.URL, "/"))
	if err != nil {
		return nil, errors.New("connection URL cannot be read")
	}
	if !banks.SafeAddress(base) {
		return nil, errors.New("connection URL is neither https, nor http on loopback")
	}
	base.RawQuery, base.Fragment = "", ""
	made := &bank{base: base, hosts: []*url.URL{base}, client: newClientToken()}
	if o := c.OAuth; o != nil {
		for _, address := range []string{o.MetadataURL, o.TokenURL, o.AuthorizationURL} {
			u, err := url.Parse(address)
			if address == "" {
				continue
			}
			if err != nil || !banks.SafeAddress(u) {
				return nil, errors.New("OAuth URL is neither https, nor http on loopback")
			}
			made.hosts = append(made.hosts, u)
		}
	}
	if c.Signing != nil {
		if made.signer, err = newSigner(c.Signing); err != nil {
			return nil, fmt.Errorf("read signing certificate: %w", err)
		}
	}
	made.Client, err = transport.NewClient(c, transport.Settings{Connect: p.options.ConnectTimeout, Answer: p.options.AnswerTimeout, HTTP2: true})
	return made, err
}

// A signer signs requests as the NextGenPSD2 Implementation Guidelines say ("Signatures"): the cavage draft of HTTP
// signatures with rsa-sha256, and the certificate beside it.
type signer struct {
	keyID       string
	certificate string // base64 of the DER
	key         *rsa.PrivateKey
}

func newSigner(pair *banks.KeyPair) (*signer, error) {
	loaded, err := tls.X509KeyPair([]byte(pair.CertificatePEM), []byte(pair.KeyPEM))
	if err != nil {
		return nil, err
	}
	key, ok := loaded.PrivateKey.(*rsa.PrivateKey)
	if !ok {
		return nil, errors.New("the signing key is not RSA")
	}
	block, _ := pem.Decode([]byte(pair.CertificatePEM))
	s := &signer{keyID: pair.KeyID, key: key, certificate: base64Of(loaded.Leaf.Raw)}
	if s.keyID == "" && block != nil {
		s.keyID = fmt.Sprintf("SN=%X,CA=%s", loaded.Leaf.SerialNumber, loaded.Leaf.Issuer.String())
	}
	return s, nil
}
