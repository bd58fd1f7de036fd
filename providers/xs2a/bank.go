package xs2a

import (
	"crypto/rsa"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"strings"

	"kontoflow/providers"
	"kontoflow/providers/internal/transport"
)

// A bank is one address of the catalog with its open connections.
type bank struct {
	base   *url.URL // ends without a slash
	hosts  []string // that requests may go to: the catalog's, and those of its OAuth addresses
	signer *signer  // nil: requests are not signed
	*transport.Client
}

func (p *provider) dial(c *providers.Connection) (*bank, error) {
	base, err := url.Parse(strings.TrimRight(c.URL, "/"))
	if err != nil {
		return nil, errors.New("connection URL cannot be read")
	}
	if !providers.SafeAddress(base) {
		return nil, errors.New("connection URL is neither https, nor http on loopback")
	}
	made := &bank{base: base, hosts: []string{base.Host}}
	if o := c.OAuth; o != nil {
		for _, address := range []string{o.MetadataURL, o.TokenURL, o.AuthorizationURL} {
			u, err := url.Parse(address)
			if address == "" {
				continue
			}
			if err != nil || !providers.SafeAddress(u) {
				return nil, errors.New("OAuth URL is neither https, nor http on loopback")
			}
			made.hosts = append(made.hosts, u.Host)
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

// resolve turns a link of the bank into an address. Paths count from the host, not from the base path
// (OpenAPI file 1.3.11, _linksConsents: "All links can be relative or full links"); a link to another host is refused.
func (b *bank) resolve(href string) (*url.URL, error) {
	if len(href) > 4096 {
		return nil, errors.New("link is too long")
	}
	u, err := url.Parse(strings.TrimSpace(href))
	if err != nil || u.Opaque != "" || u.User != nil {
		return nil, errors.New("link cannot be read")
	}
	host := *b.base
	host.Path, host.RawPath = "/", ""
	u = host.ResolveReference(u)
	u.Fragment, u.RawFragment = "", ""
	if u.Host != b.base.Host || u.Scheme != b.base.Scheme {
		return nil, errors.New("link leaves the bank's host")
	}
	return u, nil
}

// path is the address below the base of the catalog, "/v1/…".
func (b *bank) path(segments ...string) *url.URL { return b.base.JoinPath(segments...) }

// known reports whether u may be asked by us: one of the catalog's hosts.
func (b *bank) known(u *url.URL) bool {
	if !providers.SafeAddress(u) {
		return false
	}
	for _, host := range b.hosts {
		if u.Host == host {
			return true
		}
	}
	return false
}

// A signer signs requests as the NextGenPSD2 Implementation Guidelines say ("Signatures"): the cavage draft of HTTP
// signatures with rsa-sha256, and the certificate beside it.
type signer struct {
	keyID       string
	certificate string // base64 of the DER
	key         *rsa.PrivateKey
}

func newSigner(pair *providers.KeyPair) (*signer, error) {
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
