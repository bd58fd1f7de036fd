package api

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"unicode/utf8"

	"github.com/google/uuid"
	"github.com/labstack/echo/v4"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/internal/openapi"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/rules"
	workflows "github.com/kontoflow/kontoflow/workflows/contract"
)

// CreateAccess connects a user to a bank (POST /rest/accesses). Nothing is said to the bank before the first
// synchronization.
func (s *Server) CreateAccess(c echo.Context, params CreateAccessParams) error {
	body, err := bind[NewAccess](c)
	if err != nil {
		return err
	}
	ctx := c.Request().Context()
	methodID, err := parseID(body.AccessMethodID)
	if err != nil {
		return errNotFound
	}
	method, err := s.store.AccessMethod(ctx, methodID)
	if err != nil {
		return err
	}
	var bank models.Bank
	if err := s.store.DB.WithContext(ctx).Take(&bank, "id = ?", method.BankID).Error; err != nil {
		return fmt.Errorf("read the bank: %w", err)
	}
	if !bank.Supported || method.Type == string(AccessMethodTypeSCRAPING) {
		return invalid("access_method_id", "is not supported")
	}
	consent, err := consentRequest(body.Consent, method)
	if err != nil {
		return err
	}
	err = checkCredentials(method.Credentials, body.Credentials, func(f models.CredentialField) bool { return !f.IsSecret })
	if err != nil {
		return err
	}
	access := models.Access{ID: models.NewID(), UserID: callerOf(c).user, BankID: bank.ID, AccessMethodID: method.ID,
		Status: rules.AccessNew, Consent: consent, SaveCredentials: body.SaveCredentials, CreatedAt: s.store.Now()}
	err = s.store.Transact(ctx, func(tx *gorm.DB) error {
		// A deletion of the user at the same moment comes before or after, not in between.
		var there bool
		err := tx.Raw(`SELECT true FROM users WHERE id = ? AND deleted_at IS NULL FOR SHARE`, access.UserID).Scan(&there).Error
		if err == nil && !there {
			err = errUnauthorized
		}
		if err != nil {
			return err
		}
		if err := tx.Omit("AuthMethods").Create(&access).Error; err != nil {
			return err
		}
		return s.store.PutCredentials(tx, access.ID, nil, body.Credentials, method.Credentials, body.SaveCredentials)
	})
	if err != nil {
		return fmt.Errorf("store the access: %w", err)
	}
	return s.answerAccess(c, http.StatusCreated, access, params.Embed)
}

// consentRequest is what will be asked of the bank; nil outside PSD2 scope, where there is no consent.
func consentRequest(body ConsentRequest, method models.AccessMethod) (*models.ConsentRequest, error) {
	if !method.InPSD2Scope {
		return nil, nil
	}
	if method.RequiresAccountIdentifiers && len(body.Accounts) == 0 {
		return nil, invalid("consent.accounts", "is required by this access method")
	}
	consent := &models.ConsentRequest{Recurring: body.Recurring == nil || *body.Recurring}
	if consent.Recurring {
		consent.Period = body.Period
	}
	for _, scope := range body.Scopes {
		consent.Scopes = append(consent.Scopes, string(scope))
	}
	for _, account := range body.Accounts {
		consent.Accounts = append(consent.Accounts, models.ConsentAccount{ID: account.ID, Currency: account.Currency})
	}
	return consent, nil
}

// checkCredentials refuses with 1011 unknown fields, values of the wrong length, and fields that are missing although
// they are needed. An optional field is never needed.
func checkCredentials(fields []models.CredentialField, given map[string]string, needed func(models.CredentialField) bool) error {
	problems := make(openapi.Problems)
	known := make(map[string]bool, len(fields))
	for _, f := range fields {
		known[f.Key] = true
		value, there := given[f.Key]
		length := utf8.RuneCountInString(value)
		switch {
		case !there:
			if !f.IsOptional && needed(f) {
				problems.Add("credentials."+f.Key, "is required")
			}
		case length == 0:
			problems.Add("credentials."+f.Key, "must not be empty")
		case length < f.MinLength:
			problems.Add("credentials."+f.Key, fmt.Sprintf("must have at least %d characters", f.MinLength))
		case f.MaxLength > 0 && length > f.MaxLength:
			problems.Add("credentials."+f.Key, fmt.Sprintf("must have at most %d characters", f.MaxLength))
		}
	}
	for key := range given {
		if !known[key] {
			problems.Add("credentials."+key, "is not asked for by this access method")
		}
	}
	if len(problems) > 0 {
		return incomplete(problems)
	}
	return nil
}

// ListAccesses lists the user's accesses, oldest first (GET /rest/accesses).
func (s *Server) ListAccesses(c echo.Context, params ListAccessesParams) error {
	ctx := c.Request().Context()
	var all []models.Access
	err := s.store.DB.WithContext(ctx).Where("user_id = ? AND deleted_at IS NULL", callerOf(c).user).Order("created_at, id").Find(&all).Error
	if err != nil {
		return fmt.Errorf("read the accesses: %w", err)
	}
	wire, err := s.wireAccesses(c, all, params.Embed)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, wire)
}

// GetAccess answers one access (GET /rest/accesses/{id}).
func (s *Server) GetAccess(c echo.Context, accessID AccessID, params GetAccessParams) error {
	access, err := s.access(c.Request().Context(), callerOf(c).user, accessID)
	if err != nil {
		return err
	}
	return s.answerAccess(c, http.StatusOK, access, params.Embed)
}

// DeleteAccess hides an access and its accounts at once; the consent at the bank and the rows follow
// (DELETE /rest/accesses/{id}).
func (s *Server) DeleteAccess(c echo.Context, accessID AccessID) error {
	ctx := c.Request().Context()
	access, err := s.access(ctx, callerOf(c).user, accessID)
	if err != nil {
		return err
	}
	var ended models.Ended
	err = s.store.Transact(ctx, func(tx *gorm.DB) (err error) {
		ended, err = s.store.HideAccess(tx, access.ID)
		return err
	})
	if err != nil {
		return err
	}
	s.goOn(ctx, ended)
	return c.NoContent(http.StatusNoContent)
}

// goOn lets the workflows do the rest where relations to banks have ended: synchronizations that ran stop, and the banks
// revoke what they granted. All of it has the patience of one call; what is left is done by the worker's sweep.
func (s *Server) goOn(ctx context.Context, relations ...models.Ended) {
	s.tell(ctx, "leave the banks", func(ctx context.Context) error {
		for _, ended := range relations {
			if ended.Running != uuid.Nil {
				if err := workflows.Cancel(ctx, s.temporal, ended.Running); err != nil {
					return err
				}
			}
			if ended.Owed.ID != uuid.Nil {
				if err := workflows.StartRevocation(ctx, s.temporal, s.taskQueue, workflows.Revocation(ended.Owed)); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// ForgetSecrets deletes stored secrets (POST /rest/accesses/{id}/remove_pin).
func (s *Server) ForgetSecrets(c echo.Context, accessID AccessID) error {
	ctx := c.Request().Context()
	access, err := s.access(ctx, callerOf(c).user, accessID)
	if err != nil {
		return err
	}
	err = s.store.Transact(ctx, func(tx *gorm.DB) error { return models.ForgetSecrets(tx, access.ID) })
	if err != nil {
		return err
	}
	access.SaveCredentials = false
	return s.answerAccess(c, http.StatusOK, access, nil)
}

// access finds one of the user's accesses.
func (s *Server) access(ctx context.Context, user, id string) (access models.Access, err error) {
	key, err := parseID(id)
	if err != nil {
		return access, errNotFound
	}
	result := s.store.DB.WithContext(ctx).Limit(1).Find(&access, "id = ? AND user_id = ? AND deleted_at IS NULL", key, user)
	switch {
	case result.Error != nil:
		return access, fmt.Errorf("read the access: %w", result.Error)
	case result.RowsAffected == 0:
		return access, errNotFound
	}
	return access, nil
}

func (s *Server) answerAccess(c echo.Context, status int, access models.Access, embed Embed) error {
	wire, err := s.wireAccesses(c, []models.Access{access}, embed)
	if err != nil {
		return err
	}
	return c.JSON(status, wire[0])
}

// wireAccesses words accesses for the wire, with as many queries for all as for one.
func (s *Server) wireAccesses(c echo.Context, all []models.Access, embed Embed) ([]Access, error) {
	db := s.store.DB.WithContext(c.Request().Context())
	ids, methodIDs := make([]uuid.UUID, len(all)), make([]uuid.UUID, len(all))
	for i, a := range all {
		ids[i], methodIDs[i] = a.ID, a.AccessMethodID
	}
	var methods []models.AccessMethod
	var consents []models.Consent
	if err := db.Find(&methods, "id IN ?", methodIDs).Error; err != nil {
		return nil, fmt.Errorf("read the access methods: %w", err)
	}
	if err := db.Find(&consents, "access_id IN ? AND status = 'VALID'", ids).Error; err != nil {
		return nil, fmt.Errorf("read the consents: %w", err)
	}
	automatic, err := models.AutoSyncs(db, ids...)
	if err != nil {
		return nil, err
	}
	language := preferredLanguage(c)
	var banks []models.Bank
	if slices.Contains(embed, "provider") {
		bankIDs := make([]uuid.UUID, len(all))
		for i, a := range all {
			bankIDs[i] = a.BankID
		}
		if err := models.WithMethods(db).Find(&banks, "id IN ?", bankIDs).Error; err != nil {
			return nil, fmt.Errorf("read the banks: %w", err)
		}
	}

	wire := make([]Access, len(all))
	for i, a := range all {
		wire[i] = Access{ID: a.ID, AccessMethodID: a.AccessMethodID, ProviderID: a.BankID, Status: AccessStatus(a.Status),
			AuthMethods: wireMethods(a.AuthMethods), SaveCredentials: a.SaveCredentials, CreatedAt: Timestamp(a.CreatedAt),
			AutoSync: wireAutoSync(automatic[a.ID])}
		if automatic[a.ID].UpgradeTo != nil {
			wire[i].Status = AccessStatusUPGRADEPENDING
		}
		if a.Consent != nil {
			wire[i].Consent = wireConsent(a.Consent)
		}
		for _, consent := range consents {
			if consent.AccessID == a.ID {
				if a.Consent == nil { // nothing was asked of the customer, and the adapter asked for everything
					wire[i].Consent = wireConsent(&models.ConsentRequest{Recurring: true})
				}
				wire[i].Consent.ExpiresAt = timestamp(consent.ValidUntil)
			}
		}
		for j := range methods {
			if methods[j].ID == a.AccessMethodID && slices.Contains(embed, "access_method") {
				wire[i].AccessMethod = wireMethod(&methods[j], language)
			}
		}
		for j := range banks {
			if banks[j].ID == a.BankID {
				wire[i].Provider = wireProvider(&banks[j], language)
			}
		}
	}
	return wire, nil
}

func wireAutoSync(a models.AutoSync) AutoSync {
	wire := AutoSync{Enabled: a.Reason == "", Reason: AutoSyncReason(a.Reason), RemainingToday: a.Remaining}
	if wire.Enabled && !a.NextSyncAt.IsZero() {
		wire.NextSyncAt = timestamp(&a.NextSyncAt)
	}
	return wire
}

func wireConsent(asked *models.ConsentRequest) Consent {
	consent := Consent{Recurring: asked.Recurring, Period: asked.Period, Scopes: []ConsentScope{ConsentScopeACCOUNTS, ConsentScopeBALANCES, ConsentScopeTRANSACTIONS}}
	if len(asked.Scopes) > 0 {
		consent.Scopes = nil
	}
	for _, scope := range asked.Scopes {
		consent.Scopes = append(consent.Scopes, ConsentScope(scope))
	}
	for _, account := range asked.Accounts {
		consent.Accounts = append(consent.Accounts, ConsentAccount{ID: account.ID, Currency: account.Currency})
	}
	return consent
}
