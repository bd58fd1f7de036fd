package models

import (
	"context"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
)

// A Bank (or payment service) of the catalog.
type Bank struct {
	ID            uuid.UUID
	Kind          string // BANK | SERVICE
	Name          string
	Country       string // ISO 3166, two letters, upper case
	BankCode      *string
	BIC           *string
	Supported     bool
	Icon          *Icon `gorm:"serializer:json"`
	Languages     Strings
	AccessMethods []AccessMethod `gorm:"foreignKey:BankID"`
}

// Icon is a bank's logo.
type Icon struct {
	URL         string            `json:"url"`
	Resolutions map[string]string `json:"resolutions,omitempty"`
}

// An AccessMethod is one way to reach a bank's accounts.
type AccessMethod struct {
	ID                          uuid.UUID
	BankID                      uuid.UUID
	Position                    int
	Type                        string // API | FINTS | SCRAPING
	InPSD2Scope                 bool   `gorm:"column:in_psd2_scope"`
	SupportedAccountTypes       Strings
	ConfigurableConsent         bool
	RequiresAccountIdentifiers  bool
	CustomerAuthenticationFlows Strings
	Advice                      map[string]string `gorm:"serializer:json"` // by language
	Credentials                 []CredentialField `gorm:"serializer:json"`
	Protocol                    string            // as its adapter is registered (banks.Registration)
	GrantsConsents              bool              // a capability of the protocol (banks.Capabilities)
	URL                         string
	Connection                  []byte // sealed; see Store.Connection
}

// CredentialField describes what a customer enters to connect. Lengths in characters, 0: no bound.
type CredentialField struct {
	Key        string            `json:"key"`
	Label      map[string]string `json:"label"` // by language
	MinLength  int               `json:"min_length,omitempty"`
	MaxLength  int               `json:"max_length,omitempty"`
	IsOptional bool              `json:"is_optional"`
	IsSecret   bool              `json:"is_secret"`
}

// SealConnection puts the connection into the method, with its public parts in clear beside it.
func (s *Store) SealConnection(m *AccessMethod, c banks.Connection) (err error) {
	m.Protocol, m.URL, m.GrantsConsents = c.Protocol, c.URL, c.Capabilities().GrantsConsents
	m.Connection, err = seal(s.Vault, c, connectionPlace(m.ID))
	return err
}

// OpenConnection opens the method's connection.
func (s *Store) OpenConnection(m *AccessMethod) (c banks.Connection, err error) {
	return c, open(s.Vault, m.Connection, connectionPlace(m.ID), &c)
}

// AccessMethod finds a method by id.
func (s *Store) AccessMethod(ctx context.Context, id uuid.UUID) (m AccessMethod, err error) {
	return m, found(s.DB.WithContext(ctx).Take(&m, "id = ?", id).Error, "the access method")
}

// WithMethods preloads the banks' access methods in the catalog's order.
func WithMethods(tx *gorm.DB) *gorm.DB {
	return tx.Preload("AccessMethods", func(tx *gorm.DB) *gorm.DB { return tx.Order("position") })
}
