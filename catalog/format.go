// Package catalog is the list of banks and services that can be connected: its import file (format.go, schema.yaml),
// the import into the database (import.go), and the search for a bank (search.go).
package catalog

import (
	"crypto/tls"
	"crypto/x509"
	_ "embed"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/google/uuid"
	"go.yaml.in/yaml/v3"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/civil"
	"github.com/kontoflow/kontoflow/internal/openapi"
	"github.com/kontoflow/kontoflow/models"
)

// A File is an import file. docs/catalog.md describes every field.
type File struct {
	Banks []Bank `json:"banks"`
}

// A Bank or payment service of the file.
type Bank struct {
	ID            uuid.UUID      `json:"id"`
	Kind          string         `json:"kind,omitempty"` // BANK (default) or SERVICE
	Name          string         `json:"name"`
	Country       string         `json:"country"` // ISO 3166, upper case
	BankCode      string         `json:"bank_code,omitempty"`
	BIC           string         `json:"bic,omitempty"`
	Supported     *bool          `json:"supported,omitempty"` // default true
	Icon          *models.Icon   `json:"icon,omitempty"`
	Language      Languages      `json:"language,omitzero"`
	AccessMethods []AccessMethod `json:"access_methods"`
}

// Languages are those that the bank's pages and challenges speak, as ISO 639-1.
type Languages struct {
	Available []string `json:"available,omitempty"`
}

// An AccessMethod is one way to reach a bank's accounts.
type AccessMethod struct {
	ID                          uuid.UUID                `json:"id"`
	Type                        string                   `json:"type"` // API, FINTS or SCRAPING
	InPSD2Scope                 bool                     `json:"in_psd2_scope,omitempty"`
	SupportedAccountTypes       []string                 `json:"supported_account_types,omitempty"`
	ConfigurableConsent         bool                     `json:"configurable_consent,omitempty"`
	RequiresAccountIdentifiers  bool                     `json:"requires_account_identifiers,omitempty"`
	CustomerAuthenticationFlows []string                 `json:"customer_authentication_flows,omitempty"`
	Advice                      map[string]string        `json:"advice,omitempty"` // by language
	Credentials                 []models.CredentialField `json:"credentials"`
	Connection                  banks.Connection         `json:"connection"`
	Superseded                  *Superseded              `json:"superseded,omitempty"`
}

// Superseded says that another method of the same bank takes the accesses of this one over.
type Superseded struct {
	By   uuid.UUID  `json:"by"`
	From civil.Date `json:"from"`           // the day from which it counts
	Ends bool       `json:"ends,omitempty"` // this method then reads nothing any more, not even what the other one does not
}

//go:embed schema.yaml
var schemaYAML []byte

var schema = func() *openapi3.Schema {
	// The YAML decoder resolves the anchors, and the schema reads JSON.
	var document any
	if err := yaml.Unmarshal(schemaYAML, &document); err != nil {
		panic(err) // it is embedded
	}
	encoded, err := json.Marshal(document)
	if err != nil {
		panic(err)
	}
	s := openapi3.NewSchema()
	if err := json.Unmarshal(encoded, s); err != nil {
		panic(err)
	}
	return s
}()

// Parse reads an import file. What is wrong with it comes as openapi.Problems, by path:
// "banks[3].access_methods[0].connection.url".
func Parse(raw []byte) (File, error) {
	var file File
	var value any
	if err := json.Unmarshal(raw, &value); err != nil {
		// The decoder's own words may quote the file, and the file holds keys.
		return file, openapi.Problems{"file": {"is not JSON"}}
	}
	if problems := openapi.Check(schema, value); problems != nil {
		return file, problems
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		return file, openapi.Problems{"file": {"is not of the catalog's format"}}
	}
	problems := make(openapi.Problems)
	banks, methods := make(map[uuid.UUID]bool), make(map[uuid.UUID]bool)
	for i, bank := range file.Banks {
		at := fmt.Sprintf("banks[%d]", i)
		if banks[bank.ID] {
			problems.Add(at+".id", "is in the file twice")
		}
		banks[bank.ID] = true
		if bank.Icon != nil {
			checkAddress(problems, at+".icon.url", bank.Icon.URL)
			for resolution, address := range bank.Icon.Resolutions {
				checkAddress(problems, at+".icon.resolutions."+resolution, address)
			}
		}
		for j, method := range bank.AccessMethods {
			at := fmt.Sprintf("%s.access_methods[%d]", at, j)
			if methods[method.ID] {
				problems.Add(at+".id", "is in the file twice")
			}
			methods[method.ID] = true
			checkMethod(problems, at, method)
		}
	}
	if len(problems) > 0 {
		return file, problems
	}
	return file, nil
}

func checkMethod(problems openapi.Problems, at string, method AccessMethod) {
	keys := make(map[string]bool)
	for i, field := range method.Credentials {
		at := fmt.Sprintf("%s.credentials[%d]", at, i)
		if keys[field.Key] {
			problems.Add(at+".key", "is there twice")
		}
		keys[field.Key] = true
		if len(field.Label) == 0 {
			problems.Add(at+".label", "must have a text in de or en")
		}
		if field.MaxLength > 0 && field.MaxLength < field.MinLength {
			problems.Add(at+".max_length", "must not be less than min_length")
		}
	}
	c := method.Connection
	at += ".connection"
	if able := protocolsFor(method.Type); !slices.Contains(able, c.Protocol) {
		problems.Add(at+".protocol", "must be "+strings.Join(able, " or ")+" for the type "+method.Type)
	}
	checkAddress(problems, at+".url", c.URL)
	if o := c.OAuth; o != nil {
		checkOAuth(problems, at, o, keys)
		for field, address := range map[string]string{"metadata_url": o.MetadataURL, "authorization_url": o.AuthorizationURL, "token_url": o.TokenURL} {
			if address != "" {
				checkAddress(problems, at+".oauth."+field, address)
			}
		}
	}
	checkKeyPair(problems, at+".tls", c.TLS)
	checkKeyPair(problems, at+".signing", c.Signing)
	for field, roots := range map[string]string{"ca_pem": c.CAPEM, "password_ca_pem": c.PasswordCAPEM} {
		if roots != "" && !x509.NewCertPool().AppendCertsFromPEM([]byte(roots)) {
			problems.Add(at+"."+field, "must hold certificates in PEM")
		}
	}
}

// protocolsFor lists the protocols of a type of access methods. What a method of the type SCRAPING would speak matters to
// nobody, since none is used.
func protocolsFor(methodType string) (names []string) {
	for _, r := range banks.Protocols() {
		if r.MethodType == methodType || methodType == "SCRAPING" {
			names = append(names, r.Protocol)
		}
	}
	return names
}

// checkOAuth checks what each flow needs. keys are those of the credential fields.
func checkOAuth(problems openapi.Problems, at string, o *banks.OAuth, keys map[string]bool) {
	at += ".oauth"
	if o.Flow == "PASSWORD_TOKEN" {
		if o.TokenURL == "" {
			problems.Add(at+".token_url", "is required for this flow")
		}
		if o.AuthorizationURL != "" || o.MetadataURL != "" {
			problems.Add(at, "must have token_url alone for this flow")
		}
		if !keys[banks.CredentialLogin] || !keys[banks.CredentialPIN] {
			problems.Add(at, "needs the credentials login and pin for this flow")
		}
		return
	}
	if o.ClientID == "" {
		problems.Add(at+".client_id", "is required")
	}
	switch {
	case o.AuthorizationURL != "" && o.TokenURL == "":
		problems.Add(at, "must have token_url beside authorization_url")
	case o.Flow == "CLIENT_CREDENTIALS" && o.TokenURL == "" && o.MetadataURL == "":
		problems.Add(at, "must have token_url or metadata_url for this flow: its first token comes before any link of the bank")
	case o.Flow != "CLIENT_CREDENTIALS" && o.AuthorizationURL == "" && o.TokenURL != "":
		problems.Add(at, "must have authorization_url beside token_url")
	}
}

// checkAddress lets https through, and http on a loopback address.
func checkAddress(problems openapi.Problems, at, address string) {
	u, err := url.Parse(address)
	switch {
	case err != nil || u.Hostname() == "" || strings.ContainsAny(address, " \t\r\n"):
		problems.Add(at, "must be an absolute URL")
	case u.User != nil:
		problems.Add(at, "must not carry credentials")
	case u.Fragment != "":
		problems.Add(at, "must not have a fragment")
	case !banks.SafeAddress(u):
		problems.Add(at, "must be https, or http on a loopback address")
	}
}

func checkKeyPair(problems openapi.Problems, at string, pair *banks.KeyPair) {
	if pair == nil {
		return
	}
	if _, err := tls.X509KeyPair([]byte(pair.CertificatePEM), []byte(pair.KeyPEM)); err != nil {
		problems.Add(at, "must hold a certificate chain and its private key, both in PEM")
	}
}
