package xs2a

import (
	"container/list"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	"kontoflow/providers"
)

// A bank is one address of the catalog with its open connections.
type bank struct {
	base   *url.URL // ends without a slash
	hosts  []string // that requests may go to: the catalog's, and those of its OAuth addresses
	client *http.Client
	signer *signer // nil: requests are not signed
}

// banks keeps the connections of the banks used last.
type banks struct {
	options Options
	mu      sync.Mutex
	byKey   map[[32]byte]*list.Element // of *kept
	recent  *list.List                 // most recently used first
}

type kept struct {
	key  [32]byte
	bank *bank
}

func newBanks(options Options) *banks {
	return &banks{options: options, byKey: map[[32]byte]*list.Element{}, recent: list.New()}
}

// of returns the bank that c leads to. Connections are shared by everything that makes them what they are.
func (b *banks) of(c *providers.Connection) (*bank, error) {
	identity, err := json.Marshal([]any{c.URL, c.OAuth, c.TLS, c.Signing, c.CAPEM})
	if err != nil {
		return nil, fmt.Errorf("read connection: %w", err)
	}
	key := sha256.Sum256(identity)
	b.mu.Lock()
	defer b.mu.Unlock()
	if e, ok := b.byKey[key]; ok {
		b.recent.MoveToFront(e)
		return e.Value.(*kept).bank, nil
	}
	made, err := b.dial(c)
	if err != nil {
		return nil, err
	}
	b.byKey[key] = b.recent.PushFront(&kept{key, made})
	if b.recent.Len() > b.options.MaxBanks {
		oldest := b.recent.Remove(b.recent.Back()).(*kept)
		delete(b.byKey, oldest.key)
		oldest.bank.client.CloseIdleConnections()
	}
	return made, nil
}

func (b *banks) dial(c *providers.Connection) (*bank, error) {
	base, err := url.Parse(strings.TrimRight(c.URL, "/"))
	if err != nil {
		return nil, errors.New("connection URL cannot be read")
	}
	if !safeAddress(base) {
		return nil, errors.New("connection URL is neither https, nor http on loopback")
	}
	made := &bank{base: base, hosts: []string{base.Host}}
	if o := c.OAuth; o != nil {
		for _, address := range []string{o.MetadataURL, o.TokenURL, o.AuthorizationURL} {
			u, err := url.Parse(address)
			if address == "" {
				continue
			}
			if err != nil || !safeAddress(u) {
				return nil, errors.New("OAuth URL is neither https, nor http on loopback")
			}
			made.hosts = append(made.hosts, u.Host)
		}
	}
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if c.CAPEM != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(c.CAPEM)) {
			return nil, errors.New("no certificate in ca_pem")
		}
	}
	if c.TLS != nil {
		pair, err := tls.X509KeyPair([]byte(c.TLS.CertificatePEM), []byte(c.TLS.KeyPEM))
		if err != nil {
			return nil, fmt.Errorf("read TLS client certificate: %w", err)
		}
		config.Certificates = []tls.Certificate{pair}
	}
	if c.Signing != nil {
		if made.signer, err = newSigner(c.Signing); err != nil {
			return nil, fmt.Errorf("read signing certificate: %w", err)
		}
	}
	made.client = &http.Client{
		Transport: &http.Transport{
			Proxy:                  http.ProxyFromEnvironment,
			DialContext:            (&net.Dialer{Timeout: b.options.ConnectTimeout}).DialContext,
			TLSClientConfig:        config,
			TLSHandshakeTimeout:    b.options.ConnectTimeout,
			ResponseHeaderTimeout:  b.options.AnswerTimeout,
			MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConnsPerHost:    16,
			IdleConnTimeout:        90 * time.Second,
			ForceAttemptHTTP2:      true,
		},
		// A redirect would carry the consent, the PIN or a token to where the bank's answer says.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return made, nil
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
	if !safeAddress(u) {
		return false
	}
	for _, host := range b.hosts {
		if u.Host == host {
			return true
		}
	}
	return false
}

// safeAddress reports whether u is https, or http on loopback, which is for sandboxes.
func safeAddress(u *url.URL) bool {
	if u.Hostname() == "" || u.User != nil {
		return false
	}
	switch u.Scheme {
	case "https":
		return true
	case "http":
		address, err := netip.ParseAddr(u.Hostname())
		return u.Hostname() == "localhost" || err == nil && address.IsLoopback()
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
