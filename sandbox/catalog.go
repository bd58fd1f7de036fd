package sandbox

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/google/uuid"

	"github.com/kontoflow/kontoflow/banks"
)

// names is where the ids of the sandbox's catalog entries come from (UUID version 5): they never change.
var names = uuid.MustParse("6f3c1d5e-2a44-5c0b-9d0f-90090042aaaa")

type label struct {
	DE string `json:"de"`
	EN string `json:"en"`
}

type catalogBank struct {
	ID            uuid.UUID       `json:"id"`
	Name          string          `json:"name"`
	Kind          string          `json:"kind"`
	Country       string          `json:"country"`
	BankCode      string          `json:"bank_code"`
	BIC           string          `json:"bic"`
	Supported     bool            `json:"supported"`
	Icon          map[string]any  `json:"icon"`
	Language      map[string]any  `json:"language"`
	AccessMethods []catalogMethod `json:"access_methods"`
}

type catalogMethod struct {
	ID                         uuid.UUID        `json:"id"`
	Type                       string           `json:"type"`
	InPSD2Scope                bool             `json:"in_psd2_scope"`
	SupportedAccountTypes      []string         `json:"supported_account_types"`
	ConfigurableConsent        bool             `json:"configurable_consent"`
	RequiresAccountIdentifiers bool             `json:"requires_account_identifiers"`
	Flows                      []string         `json:"customer_authentication_flows"`
	Advice                     label            `json:"advice"`
	Credentials                []catalogField   `json:"credentials"`
	Connection                 banks.Connection `json:"connection"`
}

type catalogField struct {
	Key        string `json:"key"`
	Label      label  `json:"label"`
	MinLength  int    `json:"min_length"`
	MaxLength  int    `json:"max_length"`
	IsOptional bool   `json:"is_optional"`
	IsSecret   bool   `json:"is_secret"`
}

// BankID and AccessMethodID are the catalog ids of the bank with the given path ("demo", "fints/onestep", …). The demo
// bank's way in over FinTS is AccessMethodID("fints").
func BankID(path string) uuid.UUID         { return uuid.NewSHA1(names, []byte("bank/"+path)) }
func AccessMethodID(path string) uuid.UUID { return uuid.NewSHA1(names, []byte("access-method/"+path)) }

// Catalog is the bank's own entries in the catalog's import format (docs/catalog.md), for a server that is reached
// at baseURL. It holds the keys of the sandbox's registered client.
func (b *Bank) Catalog(baseURL string) []byte {
	baseURL = strings.TrimSuffix(baseURL, "/")
	var banks []catalogBank
	for _, f := range b.faces {
		d := f.dialect
		if d.clientCertificate && !strings.HasPrefix(baseURL, "https:") {
			continue
		}
		banks = append(banks, catalogBank{
			ID: BankID(d.Path), Name: d.Name, Kind: "BANK", Country: "DE", BankCode: d.BankCode, BIC: d.BIC, Supported: true,
			Icon:          map[string]any{"url": baseURL + "/icon.png", "resolutions": map[string]string{"48x48": baseURL + "/icon.png"}},
			Language:      map[string]any{"available": []string{"de", "en"}},
			AccessMethods: []catalogMethod{b.accessMethod(d, baseURL)},
		})
		if d.Path == "demo" {
			last := &banks[len(banks)-1]
			last.AccessMethods = append(last.AccessMethods, finTSMethod(&fintsShapes[0], baseURL))
		}
	}
	for i := range fintsShapes {
		if s := &fintsShapes[i]; s.Path != fintsBank { // the plain one is the demo bank's other way in
			banks = append(banks, catalogBank{
				ID: BankID(s.Path), Name: s.Name, Kind: "BANK", Country: "DE", BankCode: s.BankCode, BIC: s.BIC, Supported: true,
				Icon:          map[string]any{"url": baseURL + "/icon.png", "resolutions": map[string]string{"48x48": baseURL + "/icon.png"}},
				Language:      map[string]any{"available": []string{"de", "en"}},
				AccessMethods: []catalogMethod{finTSMethod(s, baseURL)},
			})
		}
	}
	raw, err := json.MarshalIndent(map[string]any{"banks": banks}, "", "  ")
	if err != nil {
		panic(fmt.Sprintf("sandbox: encode catalog: %v", err)) // nothing in it that could fail
	}
	return raw
}

func (b *Bank) serveCatalog(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	_, _ = w.Write(b.Catalog((&face{bank: b}).base(r)))
}

// finTSMethod is the way into a FinTS bank, with FinTS 3.0 PIN/TAN: to the same customers and accounts.
func finTSMethod(s *fintsShape, baseURL string) catalogMethod {
	return catalogMethod{
		ID: AccessMethodID(s.Path), Type: "FINTS", InPSD2Scope: true,
		SupportedAccountTypes: []string{"Giro account", "Savings account", "Daily savings account", "Credit card"},
		Flows:                 []string{"EMBEDDED_1FA", "EMBEDDED_2FA", "DECOUPLED"},
		Advice: label{
			DE: "Eine Bank zum Ausprobieren, über FinTS mit PIN und TAN.",
			EN: "A bank to try things with, over FinTS with PIN and TAN (" + s.Shows + ").",
		},
		Credentials: []catalogField{
			{Key: banks.CredentialLogin, Label: label{"Anmeldename", "Login"}, MinLength: 1, MaxLength: 64},
			{Key: banks.CredentialPIN, Label: label{"PIN", "PIN"}, MinLength: 1, MaxLength: 64, IsSecret: true},
		},
		Connection: banks.Connection{Protocol: "FINTS", URL: baseURL + "/" + s.Path, BankCode: s.BankCode},
	}
}

func (b *Bank) accessMethod(d *dialect, baseURL string) catalogMethod {
	m := catalogMethod{
		ID: AccessMethodID(d.Path), Type: "API", InPSD2Scope: true,
		SupportedAccountTypes: []string{"Giro account", "Savings account", "Daily savings account", "Credit card"},
		ConfigurableConsent:   true,
		Flows:                 []string{"EMBEDDED_2FA"},
		Advice: label{
			DE: "Eine Bank zum Ausprobieren. Der Anmeldename ist eine Persona, etwa „demo“; sie stehen auf der Startseite der Bank.",
			EN: "A bank to try things with (" + d.Shows + "). The login is a persona, such as demo; the bank's front page lists them.",
		},
		Credentials: []catalogField{
			{Key: banks.CredentialLogin, Label: label{"Anmeldename", "Login"}, MinLength: 1, MaxLength: 64},
			{Key: banks.CredentialPIN, Label: label{"PIN", "PIN"}, MinLength: 1, MaxLength: 64, IsSecret: true},
		},
		Connection: banks.Connection{Protocol: "XS2A", URL: baseURL + "/" + d.Path + d.at, Dialect: d.Adapter, PSUIDType: d.psuIDType, SignDate: d.signsDate},
	}
	registration := &banks.OAuth{Flow: "INTEGRATED", ClientID: oauthClientID, MetadataURL: baseURL + "/.well-known/oauth-authorization-server/" + d.Path + d.at}
	switch {
	case d.clientToken:
		registration.Flow, registration.ClientSecret, registration.MetadataURL = "CLIENT_CREDENTIALS", oauthClientSecret, ""
		registration.TokenURL = m.Connection.URL + "/oauth/token"
		m.Connection.OAuth = registration
		m.Flows = []string{"REDIRECT"}
	case d.passwordToken:
		m.Connection.OAuth = &banks.OAuth{Flow: "PASSWORD_TOKEN", TokenURL: baseURL + d.loginPath()}
	case d.preStep:
		registration.Flow, registration.ClientSecret = "PRE_STEP", oauthClientSecret
		m.Connection.OAuth = registration
		m.Flows = []string{"REDIRECT", "EMBEDDED_2FA"}
	case d.approach == decoupled:
		m.Flows = []string{"DECOUPLED"}
	case d.approach != "":
		m.Flows = []string{"REDIRECT"}
		if d.approach == oauth {
			m.Connection.OAuth = registration
		}
	case d.Path == "demo":
		m.Flows = []string{"EMBEDDED_1FA", "EMBEDDED_2FA", "REDIRECT", "DECOUPLED"}
		m.Connection.OAuth = registration
	}
	if d.preStep || d.approach == redirect || d.approach == oauth { // the customer types their PIN only into the bank's own pages
		m.Credentials[0].IsOptional = true
		m.Credentials = m.Credentials[:1]
	}
	if d.apiKey != "" {
		m.Connection.Headers = map[string]string{"X-API-Key": d.apiKey}
	}
	if d.signed {
		keys := b.clientKeys()
		m.Connection.Signing = &banks.KeyPair{CertificatePEM: keys.certificatePEM(), KeyPEM: keys.keyPEM()}
	}
	if d.clientCertificate {
		keys := b.clientKeys()
		m.Connection.TLS = &banks.KeyPair{CertificatePEM: keys.certificatePEM(), KeyPEM: keys.keyPEM()}
	}
	return m
}
