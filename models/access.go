package models

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/rules"
)

// An Access is one customer's relation to one bank over one method.
type Access struct {
	ID              uuid.UUID
	UserID          string
	BankID          uuid.UUID
	AccessMethodID  uuid.UUID
	Status          rules.AccessStatus
	Consent         *ConsentRequest `gorm:"serializer:json"`
	SaveCredentials bool
	AuthMethods     []banks.AuthMethod `gorm:"serializer:json"` // that the bank has for the customer, and the stored one
	BankState       []byte             // sealed: banks.Conversation.Lasting
	PartedFrom      *uuid.UUID         // the first of the accesses that upgrades made of one
	NextSyncAt      time.Time          // when automatic synchronization looks at it
	CreatedAt       time.Time
	DeletedAt       *time.Time
}

// ConsentRequest is what a client asks the bank to allow.
type ConsentRequest struct {
	Recurring bool             `json:"recurring"`
	Period    int              `json:"period,omitempty"` // days; without meaning when not recurring
	Scopes    []string         `json:"scopes,omitempty"`
	Accounts  []ConsentAccount `json:"accounts,omitempty"`
}

// ConsentAccount names an account by its IBAN.
type ConsentAccount struct {
	ID       string `json:"id"`
	Currency string `json:"currency,omitempty"`
}

// setStatus sets an access's status and announces it, where it changes. The synchronization whose end it is may have
// been told to keep silent; nil: it is nobody's.
func setStatus(tx *gorm.DB, access uuid.UUID, status rules.AccessStatus, y *Synchronization) error {
	var before rules.AccessStatus
	err := tx.Raw(`SELECT status FROM accesses WHERE id = ? FOR NO KEY UPDATE`, access).Scan(&before).Error
	if err != nil {
		return fmt.Errorf("read the access's status: %w", err)
	}
	if before == status || before == rules.AccessRevoked || before == "" {
		return nil
	}
	if err := tx.Model(&Access{}).Where("id = ?", access).Update("status", status).Error; err != nil {
		return fmt.Errorf("set the access's status: %w", err)
	}
	if y != nil && y.DisableNotifications {
		return nil
	}
	event := EventStatusChanged
	switch {
	case status == rules.AccessNeedsAuth:
		event = EventNeedsAuth
	case before == rules.AccessNeedsAuth:
		event = EventHealed
	}
	return AnnounceAccess(tx, access, event, nil)
}

// A Credential is one value the customer gave us, sealed whether it is a secret or a login.
type Credential struct {
	ID        uuid.UUID
	AccessID  uuid.UUID
	SyncID    *uuid.UUID // given for this synchronization only
	Key       string
	IsSecret  bool
	Keep      bool // false: forgotten at the end of its synchronization, or of the next one
	Value     []byte
	CreatedAt time.Time
}

// PutCredentials stores what the customer gave, replacing what was given for the same key and purpose. Fields tells
// which keys are secret. A sync's own credentials are forgotten when it ends, unless it was asked to save them.
func (s *Store) PutCredentials(tx *gorm.DB, access uuid.UUID, sync *uuid.UUID, values map[string]string,
	fields []CredentialField, keepSecrets bool) error {
	secret := make(map[string]bool, len(fields))
	for _, f := range fields {
		secret[f.Key] = f.IsSecret
	}
	for key, value := range values {
		c := Credential{ID: NewID(), AccessID: access, SyncID: sync, Key: key, IsSecret: secret[key],
			Keep: keepSecrets || !secret[key], CreatedAt: tx.NowFunc()}
		sealed, err := s.Vault.Seal([]byte(value), credentialPlace(c.ID))
		if err != nil {
			return err
		}
		c.Value = sealed
		// The row's id is part of the seal, so a replaced credential is a new row.
		same := tx.Where("access_id = ? AND key = ? AND sync_id IS NOT DISTINCT FROM ?", access, key, sync)
		if err := same.Delete(&Credential{}).Error; err != nil {
			return err
		}
		if err := tx.Create(&c).Error; err != nil {
			return err
		}
	}
	return nil
}

// StoredCredentials lists what is known of an access beyond a single synchronization, values sealed.
func StoredCredentials(tx *gorm.DB, access uuid.UUID) (all []Credential, err error) {
	return all, tx.Where("access_id = ? AND sync_id IS NULL", access).Order("created_at, id").Find(&all).Error
}

// ForgetSecrets deletes what is stored of an access under the given keys, or all its secrets where none is given; then
// logins stay. It is the client's last word: a synchronization that runs goes on with what it was given, and does without what was
// stored; it does not store anything at its end, and later ones store nothing that they are not told to.
func ForgetSecrets(tx *gorm.DB, access uuid.UUID, keys ...string) error {
	// First, since it locks the access: a synchronization begins or ends before or after.
	if err := tx.Model(&Access{}).Where("id = ?", access).Update("save_credentials", false).Error; err != nil {
		return fmt.Errorf("withdraw the leave to store secrets: %w", err)
	}
	forgotten := tx.Where("access_id = ? AND is_secret", access)
	if len(keys) > 0 {
		forgotten = tx.Where("access_id = ? AND key IN ?", access, keys)
	}
	if err := tx.Where(forgotten).Delete(&Credential{}, "sync_id IS NULL").Error; err != nil {
		return fmt.Errorf("forget the stored secrets: %w", err)
	}
	if err := tx.Model(&Credential{}).Where(forgotten).Update("keep", false).Error; err != nil {
		return fmt.Errorf("let the running synchronization store no secrets: %w", err)
	}
	return nil
}
