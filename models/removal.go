package models

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/rules"
)

// HideAccess deletes an access as far as anybody can see: it is gone from all answers, its secrets are deleted, and what
// the bank granted is owed to be revoked. The rows follow (DeletedAccesses).
func (s *Store) HideAccess(tx *gorm.DB, access uuid.UUID) (ended Ended, err error) {
	now := tx.NowFunc()
	result := tx.Model(&Access{}).Where("id = ? AND deleted_at IS NULL", access).Updates(map[string]any{"deleted_at": now, "status": rules.AccessRevoked})
	if result.Error != nil {
		return ended, fmt.Errorf("hide the access: %w", result.Error)
	}
	if result.RowsAffected == 0 {
		return ended, ErrNotFound
	}
	if ended.Owed, err = s.LeaveBank(tx, access); err != nil {
		return ended, err
	}
	if err := ForgetSecrets(tx, access); err != nil {
		return ended, err
	}
	var accounts []uuid.UUID
	err = tx.Raw(`UPDATE accounts SET deleted_at = ? WHERE access_id = ? AND deleted_at IS NULL RETURNING id`, now, access).Scan(&accounts).Error
	if err != nil {
		return ended, fmt.Errorf("hide the accounts: %w", err)
	}
	if ended.Running, err = CancelRunning(tx, access); err != nil || len(accounts) == 0 {
		return ended, err
	}
	return ended, logHidden(tx, access, accounts)
}

// logHidden tells the user's changes feed that the transactions of an access are gone. Where the user goes with all their
// accesses, nobody is left to read it.
func logHidden(tx *gorm.DB, access uuid.UUID, accounts []uuid.UUID) error {
	var user string
	err := tx.Raw(`SELECT u.id FROM users u JOIN accesses a ON a.user_id = u.id WHERE a.id = ? AND u.deleted_at IS NULL`, access).Scan(&user).Error
	if err != nil {
		return fmt.Errorf("read the user: %w", err)
	}
	if user == "" {
		return nil
	}
	return logRemovals(tx, user, `SELECT id, removed_at FROM transactions WHERE account_id IN ?`, accounts)
}

// DeleteAccount deletes what is stored of an account of the user's, and keeps in mind not to read it again. ErrNotFound.
func (s *Store) DeleteAccount(ctx context.Context, user string, account uuid.UUID) error {
	return s.Transact(ctx, func(tx *gorm.DB) error {
		result := tx.Exec(`UPDATE accounts SET deleted_at = ?, name = NULL, owner = NULL, listed_name = NULL
			WHERE id = ? AND user_id = ? AND deleted_at IS NULL`, tx.NowFunc(), account, user)
		if result.Error != nil {
			return fmt.Errorf("delete the account: %w", result.Error)
		}
		if result.RowsAffected == 0 {
			return ErrNotFound
		}
		if err := tx.Where("account_id = ?", account).Delete(&Balance{}).Error; err != nil {
			return fmt.Errorf("delete the balances: %w", err)
		}
		return logRemovals(tx, user, `DELETE FROM transactions WHERE account_id = ? RETURNING id, removed_at`, account)
	})
}

// CancelRunning asks an access's running synchronization to end. It answers its id, or the nil UUID where none runs.
func CancelRunning(tx *gorm.DB, access uuid.UUID) (running uuid.UUID, err error) {
	var ids []uuid.UUID
	err = tx.Raw(`UPDATE synchronizations SET cancel_requested_at = coalesce(cancel_requested_at, ?)
		WHERE access_id = ? AND ended_at IS NULL RETURNING id`, tx.NowFunc(), access).Scan(&ids).Error
	if err != nil {
		return running, fmt.Errorf("cancel the running synchronization: %w", err)
	}
	if len(ids) > 0 {
		running = ids[0]
	}
	return running, nil
}

// DeletedAccesses lists accesses that were deleted before and whose rows are still there. While a synchronization of one
// comes to its end it is left out.
func (s *Store) DeletedAccesses(ctx context.Context, before time.Time, limit int) (ids []uuid.UUID, err error) {
	return ids, s.DB.WithContext(ctx).Raw(`
		SELECT id FROM accesses a WHERE deleted_at < ?
		  AND NOT EXISTS (SELECT FROM synchronizations y WHERE y.access_id = a.id AND y.ended_at IS NULL)
		ORDER BY deleted_at LIMIT ?`, before, limit).Scan(&ids).Error
}

// DeleteAccess deletes a hidden access with everything below it, and its user where they are deleted too and this was their
// last. Called again, it changes nothing.
func (s *Store) DeleteAccess(ctx context.Context, access uuid.UUID) error {
	return s.Transact(ctx, func(tx *gorm.DB) error {
		var users []string
		if err := tx.Raw(`SELECT user_id FROM accesses WHERE id = ? AND deleted_at IS NOT NULL`, access).Scan(&users).Error; err != nil {
			return fmt.Errorf("read the access: %w", err)
		}
		if len(users) == 0 {
			return nil
		}
		// Of two removals at once, or a removal and the user's deletion, the later one sees that nothing is left.
		if err := lockUser(tx, users[0]); err != nil {
			return err
		}
		err := tx.Exec(`DELETE FROM accesses WHERE id = ? AND deleted_at IS NOT NULL`, access).Error
		if err != nil {
			return fmt.Errorf("delete the access: %w", err)
		}
		err = tx.Exec(`DELETE FROM users u WHERE u.id = ? AND u.deleted_at IS NOT NULL
			AND NOT EXISTS (SELECT FROM accesses a WHERE a.user_id = u.id)`, users[0]).Error
		if err != nil {
			return fmt.Errorf("delete the user: %w", err)
		}
		return nil
	})
}
