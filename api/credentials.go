package api

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/labstack/echo/v4"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/models"
)

// ListCredentials lists what is stored of the customer's credentials, and the bank's consents
// (GET /rest/accesses/{id}/credentials). Secrets are named, never shown.
func (s *Server) ListCredentials(c echo.Context, accessID AccessID) error {
	ctx := c.Request().Context()
	access, err := s.access(ctx, callerOf(c).user, accessID)
	if err != nil {
		return err
	}
	stored, err := models.StoredCredentials(s.store.DB.WithContext(ctx), access.ID)
	if err != nil {
		return fmt.Errorf("read the credentials: %w", err)
	}
	var consents []models.Consent
	if err := s.store.DB.WithContext(ctx).Order("created_at, id").Find(&consents, "access_id = ?", access.ID).Error; err != nil {
		return fmt.Errorf("read the consents: %w", err)
	}
	wire := make([]Credential, 0, len(stored)+len(consents))
	for _, credential := range stored {
		wire = append(wire, wireCredential(credential))
	}
	for _, consent := range consents {
		wire = append(wire, wireGrant(consent, s.store.Now()))
	}
	return c.JSON(http.StatusOK, map[string][]Credential{"credentials": wire})
}

// RevokeCredential deletes a stored credential, or revokes the consent at the bank
// (PATCH /rest/accesses/{id}/credentials/{credential}).
func (s *Server) RevokeCredential(c echo.Context, accessID AccessID, credentialID string) error {
	if _, err := bind[CredentialChange](c); err != nil { // it can say nothing but REVOKED
		return err
	}
	ctx := c.Request().Context()
	access, err := s.access(ctx, callerOf(c).user, accessID)
	if err != nil {
		return err
	}
	id, err := parseID(credentialID)
	if err != nil {
		return errNotFound
	}
	var credential models.Credential
	err = s.store.Transact(ctx, func(tx *gorm.DB) error {
		if err := tx.Take(&credential, "id = ? AND access_id = ? AND sync_id IS NULL", id, access.ID).Error; err != nil {
			return err
		}
		return models.ForgetSecrets(tx, access.ID, credential.Key)
	})
	if err == nil {
		revoked := wireCredential(credential)
		revoked.Status = CredentialStatusREVOKED
		return c.JSON(http.StatusOK, revoked)
	}
	if !errors.Is(err, gorm.ErrRecordNotFound) {
		return fmt.Errorf("revoke the credential: %w", err)
	}
	consent, ended, err := s.store.RevokeConsent(ctx, access.ID, id)
	if err != nil {
		return err
	}
	s.goOn(ctx, ended)
	return c.JSON(http.StatusOK, wireGrant(consent, s.store.Now()))
}

func wireCredential(credential models.Credential) Credential {
	return Credential{ID: credential.ID, Type: CredentialTypeFIELD, Key: credential.Key, IsSecret: credential.IsSecret,
		Status: CredentialStatusACTIVE, CreatedAt: Timestamp(credential.CreatedAt)}
}

func wireGrant(consent models.Consent, now time.Time) Credential {
	wire := Credential{ID: consent.ID, Type: CredentialTypeCONSENT, Status: CredentialStatus(consent.Status), CreatedAt: Timestamp(consent.CreatedAt),
		ExpiresAt: timestamp(consent.ValidUntil)}
	switch {
	case consent.Status != "VALID":
	case consent.ValidUntil != nil && consent.ValidUntil.Before(now):
		wire.Status = CredentialStatusEXPIRED
	default:
		wire.Status = CredentialStatusACTIVE
	}
	return wire
}
