package api

import (
	"net/http"
	"strings"

	"github.com/labstack/echo/v4"
	"golang.org/x/text/language"

	"github.com/kontoflow/kontoflow/catalog"
	"github.com/kontoflow/kontoflow/internal/admission"
	"github.com/kontoflow/kontoflow/models"
)

// The catalog is there twice, for clients and for users: the same banks, another authorization.

// GetClientCatalog lists banks and services (GET /catalog).
func (s *Server) GetClientCatalog(c echo.Context, p GetClientCatalogParams) error {
	return s.wholeCatalog(c, GetCatalogParams(p))
}

// GetCatalog lists banks and services (GET /rest/catalog).
func (s *Server) GetCatalog(c echo.Context, p GetCatalogParams) error { return s.wholeCatalog(c, p) }

// ListClientBanks lists banks (GET /catalog/banks).
func (s *Server) ListClientBanks(c echo.Context, p ListClientBanksParams) error {
	return s.listProviders(c, "BANK", GetCatalogParams(p))
}

// ListBanks lists banks (GET /rest/catalog/banks).
func (s *Server) ListBanks(c echo.Context, p ListBanksParams) error {
	return s.listProviders(c, "BANK", GetCatalogParams(p))
}

// ListClientServices lists services (GET /catalog/services).
func (s *Server) ListClientServices(c echo.Context, p ListClientServicesParams) error {
	return s.listProviders(c, "SERVICE", GetCatalogParams(p))
}

// ListServices lists services (GET /rest/catalog/services).
func (s *Server) ListServices(c echo.Context, p ListServicesParams) error {
	return s.listProviders(c, "SERVICE", GetCatalogParams(p))
}

func (s *Server) wholeCatalog(c echo.Context, p GetCatalogParams) error {
	banks, err := s.providers(c, "BANK", p)
	if err != nil {
		return err
	}
	services, err := s.providers(c, "SERVICE", p)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, Catalog{Banks: banks, Services: services})
}

func (s *Server) listProviders(c echo.Context, kind string, p GetCatalogParams) error {
	providers, err := s.providers(c, kind, p)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, providers)
}

func (s *Server) providers(c echo.Context, kind string, p GetCatalogParams) ([]Provider, error) {
	if p.Count == 0 {
		p.Count = 1000
	}
	if p.Search != "" || p.Count > 1000 {
		if err := become(c, admission.Heavy); err != nil {
			return nil, err
		}
	}
	banks, err := catalog.Find(c.Request().Context(), s.store, catalog.Query{Kind: kind, Country: p.Country, Exact: p.Q, Search: p.Search,
		Count: p.Count, Offset: p.Offset})
	if err != nil {
		return nil, err
	}
	language := preferredLanguage(c)
	wire := make([]Provider, len(banks))
	for i := range banks {
		wire[i] = wireProvider(&banks[i], language)
	}
	return wire, nil
}

var languages = language.NewMatcher([]language.Tag{language.English, language.German})

// preferredLanguage is "de" or "en", whichever Accept-Language prefers.
func preferredLanguage(c echo.Context) string {
	_, i := language.MatchStrings(languages, c.Request().Header.Get("Accept-Language"))
	return [...]string{"en", "de"}[i]
}

// inLanguage is the text in that language, or in the other one.
func inLanguage(texts map[string]string, language string) string {
	if t := texts[language]; t != "" {
		return t
	}
	for _, other := range []string{"en", "de"} {
		if t := texts[other]; t != "" {
			return t
		}
	}
	return ""
}

func wireProvider(b *models.Bank, language string) Provider {
	p := Provider{ID: b.ID, Name: b.Name, Supported: b.Supported, Country: b.Country, BankCode: text(b.BankCode), BIC: text(b.BIC),
		AccessMethods: make([]AccessMethod, len(b.AccessMethods))}
	p.Language.Current, p.Language.Available = language, append([]string{}, b.Languages...)
	if b.Icon != nil {
		p.Icon = Icon{URL: b.Icon.URL, Resolutions: b.Icon.Resolutions}
	}
	for i := range b.AccessMethods {
		p.AccessMethods[i] = wireMethod(&b.AccessMethods[i], language)
	}
	return p
}

func wireMethod(m *models.AccessMethod, language string) AccessMethod {
	wire := AccessMethod{ID: m.ID, Type: AccessMethodType(m.Type), InPSD2Scope: m.InPSD2Scope,
		SupportedAccountTypes: []AccountType{}, ConfigurableConsent: m.ConfigurableConsent,
		RequiresAccountIdentifiers: m.RequiresAccountIdentifiers, CustomerAuthenticationFlows: []AccessMethodCustomerAuthenticationFlows{},
		Advice: inLanguage(m.Advice, language), Credentials: make([]CredentialField, len(m.Credentials))}
	for _, t := range m.SupportedAccountTypes {
		wire.SupportedAccountTypes = append(wire.SupportedAccountTypes, AccountType(t))
	}
	for _, flow := range m.CustomerAuthenticationFlows {
		wire.CustomerAuthenticationFlows = append(wire.CustomerAuthenticationFlows, AccessMethodCustomerAuthenticationFlows(flow))
	}
	for i, f := range m.Credentials {
		label := inLanguage(f.Label, language)
		if label == "" {
			label = strings.ToUpper(f.Key[:1]) + f.Key[1:]
		}
		wire.Credentials[i] = CredentialField{Key: f.Key, Label: label, MinLength: f.MinLength, MaxLength: f.MaxLength,
			IsOptional: f.IsOptional, IsSecret: f.IsSecret}
	}
	return wire
}
