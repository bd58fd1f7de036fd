package models

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"kontoflow/providers"
)

// ErrBusy says that a synchronization of the access runs.
var ErrBusy = errors.New("a synchronization of the access runs")

// HideAccess takes an access out of everybody's sight: its secrets are deleted, a running synchronization is asked to
// end, and its removal at the bank may start (workflows.RemoveAccess). It answers the running synchronization's id,
// or the nil UUID.
func HideAccess(tx *gorm.DB, access uuid.UUID) (running uuid.UUID, err error) {
	now := tx.NowFunc()
	result := tx.Model(&Access{}).Where("id = ? AND deleted_at IS NULL", access).Updates(map[string]any{"deleted_at": now, "status": AccessRevoked})
	if result.Error != nil {
		return running, fmt.Errorf("hide the access: %w", result.Error)
	}
	if result.RowsAffected == 0 {
		return running, ErrNotFound
	}
	if err := ForgetSecrets(tx, access); err != nil {
		return running, fmt.Errorf("forget the secrets: %w", err)
	}
	if err := tx.Model(&Account{}).Where("access_id = ? AND deleted_at IS NULL", access).Update("deleted_at", now).Error; err != nil {
		return running, fmt.Errorf("hide the accounts: %w", err)
	}
	return CancelRunning(tx, access)
}

// CancelRunning asks an access's running synchronization to end. It answers its id, or the nil UUID where none runs.
func CancelRunning(tx *gorm.DB, access uuid.UUID) (running uuid.UUID, err error) {
	var ids []uuid.UUID
	err = tx.Raw(`UPDATE synchronizations SET cancel_requested_at = coalesce(cancel_requested_at, ?)
		WHERE access_id = ? AND status IN ('QUEUED', 'RUNNING', 'AWAIT_AUTH') RETURNING id`, tx.NowFunc(), access).Scan(&ids).Error
	if err != nil {
		return running, fmt.Errorf("cancel the running synchronization: %w", err)
	}
	if len(ids) > 0 {
		running = ids[0]
	}
	return running, nil
}

// A Revocation is what the bank has to be told that an access is over.
type Revocation struct {
	Conversation providers.Conversation

	store  *Store
	access uuid.UUID
	kept   []byte // sealed, as loaded
}

// OpenRevocation opens an access's revocation. ErrBusy: a synchronization still runs. ErrNotFound: the access is gone.
func (s *Store) OpenRevocation(ctx context.Context, access uuid.UUID) (*Revocation, error) {
	db := s.DB.WithContext(ctx)
	var acc Access
	var method AccessMethod
	if err := db.Take(&acc, "id = ?", access).Error; err != nil {
		return nil, found(err, "the access")
	}
	var running int64
	err := db.Model(&Synchronization{}).Where("access_id = ? AND status NOT IN ?", access, []SyncStatus{Completed, Failed}).Count(&running).Error
	if err != nil {
		return nil, fmt.Errorf("look for a running synchronization: %w", err)
	}
	if running > 0 {
		return nil, ErrBusy
	}
	if err := db.Take(&method, "id = ?", acc.AccessMethodID).Error; err != nil {
		return nil, found(err, "the access method")
	}
	r := &Revocation{store: s, access: access, kept: acc.BankState}
	c := &r.Conversation
	c.Resumed = true
	if c.Connection, err = s.OpenConnection(&method); err != nil {
		return nil, err
	}
	if c.Credentials, err = s.openCredentials(ctx, access, nil); err != nil {
		return nil, err
	}
	return r, open(s.Vault, acc.BankState, bankStatePlace(access), &c.Lasting)
}

// Done forgets what was kept of the relation to the bank, so that the next synchronization begins anew. What another
// one has stored since stays.
func (r *Revocation) Done(ctx context.Context) error {
	err := r.store.DB.WithContext(ctx).Exec(`UPDATE accesses SET bank_state = NULL WHERE id = ? AND bank_state = ?`, r.access, r.kept).Error
	if err != nil {
		return fmt.Errorf("forget the access's state at the bank: %w", err)
	}
	return nil
}

// DeleteAccess deletes a hidden access with everything below it, and its user where he is deleted too and this was his
// last. Called again, it changes nothing.
func (s *Store) DeleteAccess(ctx context.Context, access uuid.UUID) error {
	return s.Transact(ctx, func(tx *gorm.DB) error {
		var users []string
		err := tx.Raw(`DELETE FROM accesses WHERE id = ? AND deleted_at IS NOT NULL RETURNING user_id`, access).Scan(&users).Error
		if err != nil {
			return fmt.Errorf("delete the access: %w", err)
		}
		if len(users) == 0 {
			return nil
		}
		err = tx.Exec(`DELETE FROM users u WHERE u.id = ? AND u.deleted_at IS NOT NULL
			AND NOT EXISTS (SELECT FROM accesses a WHERE a.user_id = u.id)`, users[0]).Error
		if err != nil {
			return fmt.Errorf("delete the user: %w", err)
		}
		return nil
	})
}
