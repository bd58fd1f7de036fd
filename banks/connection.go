package banks

import (
	"net/netip"
	"net/url"
)

// Connection says where a bank is and how it speaks. It comes from the catalog (docs/catalog.md describes the
// same fields for operators); the parts marked secret are sealed at rest.
type Connection struct {
	Protocol string            `json:"protocol"`          // as its adapter is registered
	URL      string            `json:"url"`               // https, or http on loopback; for XS2A the part before /v1
	Dialect  string            `json:"dialect,omitempty"` // row of the adapter's dialect table; empty: standard
	Headers  map[string]string `json:"headers,omitempty"` // sent with every call, such as an API key. Secret

	OAuth   *OAuth   `json:"oauth,omitempty"`
	TLS     *KeyPair `json:"tls,omitempty"`     // client certificate for mutual TLS (QWAC)
	Signing *KeyPair `json:"signing,omitempty"` // request signing (QSealC)
	CAPEM   string   `json:"ca_pem,omitempty"`  // roots to trust instead of the system's

	SignDate          bool   `json:"sign_date,omitempty"`          // the signature covers Date, as before version 1.3.4
	PasswordCAPEM     string `json:"password_ca_pem,omitempty"`    // roots of the certificate that the password is encrypted for
	RedirectPreferred *bool  `json:"redirect_preferred,omitempty"` // TPP-Redirect-Preferred; nil: false where we have the PIN

	BankCode  string `json:"bank_code,omitempty"`  // FINTS: the bank's code (Bankleitzahl) that its server knows it by
	ProductID string `json:"product_id,omitempty"` // FINTS: our registration with the Deutsche Kreditwirtschaft; empty: Kontoflow

	PSUIDType         string `json:"psu_id_type,omitempty"`         // PSU-ID-Type header where the bank wants one
	Parallel          int    `json:"parallel,omitempty"`            // accounts read at once; 0: 3
	RequestsPerSecond int    `json:"requests_per_second,omitempty"` // 0: no limit declared
	HistoryDays       int    `json:"history_days,omitempty"`        // how far back the first read asks; 0: all the bank gives
}

// Capabilities are those of the connection's protocol; none where nobody knows the protocol.
func (c *Connection) Capabilities() Capabilities {
	r, _ := Registered(c.Protocol)
	return r.Capabilities
}

// AccountsAtOnce is how many accounts of one access may be read side by side.
func (c *Connection) AccountsAtOnce() int {
	switch {
	case c.Capabilities().OneDialog:
		return 1
	case c.Parallel > 0:
		return c.Parallel
	}
	return 3
}

// SafeAddress reports whether a bank may be reached at u: over https, or over http on loopback, which is for sandboxes.
func SafeAddress(u *url.URL) bool {
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

// OAuth is our registration as a client of the bank's authorization server.
type OAuth struct {
	// Flow is INTEGRATED: the customer's token comes with the consent. CLIENT_CREDENTIALS: likewise, and what comes before
	// carries a token of our own (RFC 6749, section 4.4). PRE_STEP: the customer's token comes before everything, from the
	// bank's pages. PASSWORD_TOKEN: likewise, for login and PIN, posted as JSON to TokenURL.
	Flow             string `json:"flow"`
	ClientID         string `json:"client_id,omitempty"`         // all but PASSWORD_TOKEN
	ClientSecret     string `json:"client_secret,omitempty"`     // secret; empty with mutual TLS or public clients
	MetadataURL      string `json:"metadata_url,omitempty"`      // RFC 8414, where the bank's scaOAuth link is missing
	AuthorizationURL string `json:"authorization_url,omitempty"` // instead of metadata
	TokenURL         string `json:"token_url,omitempty"`         // instead of metadata; PASSWORD_TOKEN: where to log in
	Scope            string `json:"scope,omitempty"`             // default "AIS:<consentId>" (INTEGRATED), "AIS" (PRE_STEP)
}

// KeyPair is a certificate chain and its private key, both PEM. The key is secret.
type KeyPair struct {
	CertificatePEM string `json:"certificate_pem"`
	KeyPEM         string `json:"key_pem"`
	KeyID          string `json:"key_id,omitempty"` // Signing: keyId of the Signature header; default SN=…,CA=…
}
