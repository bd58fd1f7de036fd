package models

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
)

// consentWarning is how long before a consent's end its owner hears of it.
const consentWarning = 7 * 24 * time.Hour

// endingConsent is one that ends soon, or has ended.
type endingConsent struct {
	ID         uuid.UUID
	AccessID   uuid.UUID
	ValidUntil time.Time
}

// WarnOfConsents announces consents that end within a week, each once for its end: a bank that lets it be renewed sets
// another end. One that was asked for once has served by then. It answers how many of at most limit there were.
func (s *Store) WarnOfConsents(ctx context.Context, limit int) (warned int, err error) {
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		now := tx.NowFunc()
		ending, err := lockEnding(tx, `c.warned_of IS DISTINCT FROM c.valid_until AND c.valid_until > ? AND c.valid_until <= ?
			AND coalesce((a.consent ->> 'recurring')::boolean, true)`, limit, now, now.Add(consentWarning))
		if err != nil {
			return err
		}
		for _, c := range ending {
			if err := tx.Exec(`UPDATE consents SET warned_of = valid_until WHERE id = ?`, c.ID).Error; err != nil {
				return fmt.Errorf("note the warning: %w", err)
			}
			if err := AnnounceAccess(tx, c.AccessID, EventConsentExpiring, map[string]any{"expires_at": WireTime(c.ValidUntil)}); err != nil {
				return err
			}
		}
		warned = len(ending)
		return nil
	})
	return warned, err
}

// ExpireConsents closes consents whose end has come: their accesses need their customers. It answers how many of at most
// limit there were.
func (s *Store) ExpireConsents(ctx context.Context, limit int) (expired int, err error) {
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		ending, err := lockEnding(tx, `c.valid_until <= ?`, limit, tx.NowFunc())
		if err != nil {
			return err
		}
		for _, c := range ending {
			if err := EndConsent(tx, c.AccessID, "EXPIRED"); err != nil {
				return fmt.Errorf("close the consent: %w", err)
			}
			if err := setStatus(tx, c.AccessID, AccessNeedsAuth, nil); err != nil {
				return err
			}
		}
		expired = len(ending)
		return nil
	})
	return expired, err
}

// lockEnding finds consents in force, the first to end first, and locks their accesses as every step with the bank does.
// Those of an access that is being synchronized are left for the next time: its customer may be renewing it. The consents
// are locked too, so that one that was renewed at this very moment is looked at as it is now.
func lockEnding(tx *gorm.DB, which string, limit int, arguments ...any) (ending []endingConsent, err error) {
	err = tx.Raw(`SELECT c.id, c.access_id, c.valid_until FROM consents c JOIN accesses a ON a.id = c.access_id
		WHERE c.status = 'VALID' AND a.deleted_at IS NULL AND `+which+`
		AND NOT EXISTS (SELECT FROM synchronizations y WHERE y.access_id = a.id AND y.ended_at IS NULL)
		ORDER BY c.valid_until LIMIT ? FOR NO KEY UPDATE OF a, c SKIP LOCKED`, append(arguments, limit)...).Scan(&ending).Error
	if err != nil {
		return nil, fmt.Errorf("look for consents that end: %w", err)
	}
	return ending, nil
}

// setStatus sets an access's status and announces it, where it changes. The synchronization whose end it is may have
// been told to keep silent; nil: it is nobody's.
func setStatus(tx *gorm.DB, access uuid.UUID, status AccessStatus, y *Synchronization) error {
	var before AccessStatus
	err := tx.Raw(`SELECT status FROM accesses WHERE id = ? FOR NO KEY UPDATE`, access).Scan(&before).Error
	if err != nil {
		return fmt.Errorf("read the access's status: %w", err)
	}
	if before == status || before == AccessRevoked || before == "" {
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
	case status == AccessNeedsAuth:
		event = EventNeedsAuth
	case before == AccessNeedsAuth:
		event = EventHealed
	}
	return AnnounceAccess(tx, access, event, nil)
}

// announceUpgrade tells of a method that supersedes the access's own, once.
func announceUpgrade(tx *gorm.DB, a AutoSync) error {
	err := tx.Model(&Access{}).Where("id = ?", a.AccessID).Update("upgrade_announced", a.UpgradeTo).Error
	if err != nil {
		return fmt.Errorf("note the upgrade's announcement: %w", err)
	}
	return AnnounceAccess(tx, a.AccessID, EventUpgradePending, nil)
}

// WireTime is an instant as the API writes it: UTC, with milliseconds.
func WireTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
