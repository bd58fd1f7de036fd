package catalog

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/google/uuid"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/fints"
	"github.com/kontoflow/kontoflow/banks/xs2a"
	"github.com/kontoflow/kontoflow/models"
)

// Germany's banks come from three places: bank codes, names and BICs from the JSON of the npm package bankdata-germany
// (Deutsche Bundesbank's list), FinTS addresses from the blz.properties of hbci4java, and the XS2A addresses of the
// large groups from germany.json, which is ours. The first two are read when the operator imports them; neither is
// part of Kontoflow.
type Germany struct {
	Banks []byte // dist/cjs/data/current.json of bankdata-germany
	FinTS []byte // blz.properties of hbci4java; nil: no FinTS
	XS2A  []byte // rules in the form of germany.json; nil: ours
	// Client is the operator's certificate for mutual TLS with XS2A banks; nil: none.
	Client *banks.KeyPair
	// ProductID is the operator's registration for FinTS.
	ProductID string
}

// rule gives the banks that match all of its patterns an XS2A address.
type rule struct {
	Group     string   `json:"group"`
	BankCode  string   `json:"bank_code"` // regular expression; empty: any
	BIC       string   `json:"bic"`       // regular expression; empty: any
	Name      string   `json:"name"`      // part of the name; empty: any
	URL       string   `json:"url"`       // "{bank_code}" stands for the bank's own
	Dialect   string   `json:"dialect"`
	PSUIDType string   `json:"psu_id_type"`
	Flows     []string `json:"flows"`

	OAuth *banks.OAuth `json:"oauth"` // where it needs no registration of the operator's

	bankCode, bic *regexp.Regexp
}

//go:embed germany.json
var xs2aGermany []byte

// germanBanks is the namespace of the ids: the same bank code has the same id in every import.
var germanBanks = uuid.MustParse("0f3a8f4e-53d1-5c0b-9a34-6b1f4f0f7d5e")

// IsBankData reports whether raw is bankdata-germany's JSON rather than an import file.
func IsBankData(raw []byte) bool {
	var listed map[string]json.RawMessage
	if json.Unmarshal(raw, &listed) != nil {
		return false
	}
	for code := range listed {
		return eightDigits.MatchString(code)
	}
	return false
}

// Import puts the three together and imports the result like any other file.
func (g Germany) Import(ctx context.Context, store *models.Store) (Report, error) {
	report, _, err := g.ImportWith(ctx, store, Options{})
	return report, err
}

// ImportWith is Import with options. It returns what changes as well.
func (g Germany) ImportWith(ctx context.Context, store *models.Store, options Options) (Report, Changes, error) {
	file, err := g.File()
	if err != nil {
		return Report{}, Changes{}, err
	}
	encoded, err := json.Marshal(file)
	if err != nil {
		return Report{}, Changes{}, fmt.Errorf("write the catalog file: %w", err)
	}
	return ImportWith(ctx, store, bytes.NewReader(encoded), options)
}

// File puts the three together, in the order of the bank codes. A bank without an address is listed as not supported.
func (g Germany) File() (File, error) {
	var listed map[string][]string
	if err := json.Unmarshal(g.Banks, &listed); err != nil {
		return File{}, errors.New("the bank data is not the JSON of bankdata-germany: bank code → [name, BIC]")
	}
	fints, err := finTSAddresses(g.FinTS)
	if err != nil {
		return File{}, err
	}
	if g.XS2A == nil {
		g.XS2A = xs2aGermany
	}
	rules, err := readRules(g.XS2A)
	if err != nil {
		return File{}, err
	}
	var file File
	for _, code := range slices.Sorted(maps.Keys(listed)) {
		fields := listed[code]
		if len(fields) == 0 || !eightDigits.MatchString(code) {
			return File{}, fmt.Errorf("the bank data has no name for bank code %.16q", code)
		}
		bank := Bank{ID: uuid.NewSHA1(germanBanks, []byte(code)), Kind: "BANK", Name: fields[0], Country: "DE", BankCode: code,
			Language: Languages{Available: []string{"de"}}, AccessMethods: []AccessMethod{}}
		if len(fields) > 1 {
			bank.BIC = fields[1]
		}
		for _, r := range rules {
			if r.matches(&bank) {
				bank.AccessMethods = append(bank.AccessMethods, g.api(&bank, r))
				break
			}
		}
		if address := fints[code]; address != "" {
			bank.AccessMethods = append(bank.AccessMethods, g.fints(&bank, address))
		}
		supported := len(bank.AccessMethods) > 0
		bank.Supported = &supported
		file.Banks = append(file.Banks, bank)
	}
	return file, nil
}

var eightDigits = regexp.MustCompile(`^[0-9]{8}$`)

func readRules(raw []byte) ([]rule, error) {
	var rules []rule
	if err := json.Unmarshal(raw, &rules); err != nil {
		return nil, errors.New("the XS2A rules are not JSON of the form of catalog/germany.json")
	}
	for i := range rules {
		r := &rules[i]
		var err error
		if r.bankCode, err = regexp.Compile(r.BankCode); err != nil {
			return nil, fmt.Errorf("XS2A rule %q: bank_code is not a regular expression", r.Group)
		}
		if r.bic, err = regexp.Compile(r.BIC); err != nil {
			return nil, fmt.Errorf("XS2A rule %q: bic is not a regular expression", r.Group)
		}
	}
	return rules, nil
}

func (r *rule) matches(b *Bank) bool {
	return r.bankCode.MatchString(b.BankCode) && r.bic.MatchString(b.BIC) && strings.Contains(b.Name, r.Name)
}

// finTSAddresses reads lines of "bank code=name|place|BIC|check|RDH host|PIN/TAN address|RDH version|PIN/TAN version|".
// Only FinTS 3.0 over https counts.
func finTSAddresses(properties []byte) (map[string]string, error) {
	addresses := make(map[string]string)
	for line := range bytes.Lines(properties) {
		code, rest, _ := strings.Cut(string(line), "=")
		fields := strings.Split(rest, "|")
		if len(fields) < 8 || fields[7] != "300" {
			continue
		}
		if address, err := url.Parse(strings.TrimSpace(fields[5])); err == nil && address.Scheme == "https" && address.Hostname() != "" {
			addresses[strings.TrimSpace(code)] = address.String()
		}
	}
	if len(properties) > 0 && len(addresses) == 0 {
		return nil, errors.New("the FinTS addresses are not hbci4java's blz.properties: no line has one")
	}
	return addresses, nil
}

func (g Germany) api(b *Bank, r rule) AccessMethod {
	return AccessMethod{
		ID: uuid.NewSHA1(b.ID, []byte("API")), Type: "API", InPSD2Scope: true, ConfigurableConsent: true,
		SupportedAccountTypes:       []string{string(banks.Giro), string(banks.CreditCard)},
		CustomerAuthenticationFlows: r.Flows, Credentials: onlineBanking(slices.Contains(r.Flows, "EMBEDDED_2FA")),
		Connection: banks.Connection{Protocol: xs2a.Protocol, URL: strings.ReplaceAll(r.URL, "{bank_code}", b.BankCode),
			Dialect: r.Dialect, PSUIDType: r.PSUIDType, TLS: g.Client, OAuth: r.OAuth},
	}
}

func (g Germany) fints(b *Bank, address string) AccessMethod {
	return AccessMethod{
		ID: uuid.NewSHA1(b.ID, []byte("FINTS")), Type: "FINTS",
		SupportedAccountTypes: []string{string(banks.Giro), string(banks.Savings), string(banks.DailySavings),
			string(banks.CreditCard), string(banks.Loan), string(banks.Depot)},
		CustomerAuthenticationFlows: []string{"EMBEDDED_2FA", "DECOUPLED"}, Credentials: onlineBanking(true),
		Connection: banks.Connection{Protocol: fints.Protocol, URL: address, BankCode: b.BankCode, ProductID: g.ProductID},
	}
}

// onlineBanking are the fields that a German bank's customer knows.
func onlineBanking(pin bool) []models.CredentialField {
	fields := []models.CredentialField{{Key: banks.CredentialLogin, Label: map[string]string{"de": "Anmeldename", "en": "Login"}, MinLength: 1, MaxLength: 64}}
	if pin {
		fields = append(fields, models.CredentialField{Key: banks.CredentialPIN, Label: map[string]string{"de": "PIN", "en": "PIN"},
			MinLength: 1, MaxLength: 64, IsSecret: true})
	}
	return fields
}
