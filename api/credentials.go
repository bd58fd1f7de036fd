package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"gorm.io/gorm"

	"kontoflow/models"
	"kontoflow/workflows"
)

// ListCredentials lists what is stored of the customer's credentials, and the bank's consents
// (GET /rest/accesses/{id}/credentials). Secrets are named, never shown.
func (s *Server) ListCredentials(c echo.Context, accessID AccessID) error {
	ctx := c.Request().Context()
	access, err := s.access(ctx, callerOf(c).user, accessID)
	if err != nil {
		return err
	}
	stored, err := s.store.StoredCredentials(ctx, access.ID)
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
	err = s.store.DB.WithContext(ctx).Take(&credential, "id = ? AND access_id = ? AND sync_id IS NULL", id, access.ID).Error
	if err == nil {
		if err := s.store.DB.WithContext(ctx).Delete(&credential).Error; err != nil {
			return fmt.Errorf("delete the credential: %w", err)
		}
		revoked := wireCredential(credential)
		revoked.Status = CredentialStatusREVOKED
		return c.JSON(http.StatusOK, revoked)
	}
	if !errors.Is(err, gorm.ErrRecordNotFound) {
		return fmt.Errorf("read the credential: %w", err)
	}
	return s.revokeConsent(c, access, id)
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

// revokeConsent ends a consent here at once, with what is being read under it, and lets a workflow end it at the bank.
// There is no row that a sweep would find, so where the workflow cannot be started the caller is told to come again.
func (s *Server) revokeConsent(c echo.Context, access models.Access, id uuid.UUID) error {
	ctx := c.Request().Context()
	var consent models.Consent
	var running uuid.UUID
	err := s.store.Transact(ctx, func(tx *gorm.DB) (err error) {
		// In the order in which a step with the bank stores: the access, then its consent.
		if err := tx.Exec(`SELECT FROM accesses WHERE id = ? FOR NO KEY UPDATE`, access.ID).Error; err != nil {
			return err
		}
		result := tx.Limit(1).Find(&consent, "id = ? AND access_id = ?", id, access.ID)
		if result.Error != nil || result.RowsAffected == 0 || consent.Status != "VALID" {
			return result.Error
		}
		consent.Status = "REVOKED"
		if err := models.EndConsent(tx, access.ID, consent.Status); err != nil {
			return err
		}
		if err := tx.Model(&access).Update("status", models.AccessNeedsAuth).Error; err != nil {
			return err
		}
		running, err = models.CancelRunning(tx, access.ID)
		return err
	})
	switch {
	case err != nil:
		return fmt.Errorf("revoke the consent: %w", err)
	case consent.ID != id:
		return errNotFound
	}
	if running != uuid.Nil {
		s.tell(ctx, "cancel a synchronization", func(ctx context.Context) error { return workflows.Cancel(ctx, s.temporal, running) })
	}
	if consent.Status == "REVOKED" {
		if err := workflows.StartRevocation(ctx, s.temporal, s.taskQueue, access.ID, consent.ID); err != nil {
			return &problem{status: http.StatusServiceUnavailable, code: codeUnavailable, cause: err}
		}
	}
	return c.JSON(http.StatusOK, wireGrant(consent, s.store.Now()))
}
