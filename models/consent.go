package models

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/rules"
)

// A Consent is what the bank granted. Its id at the bank is part of the access's sealed bank state.
type Consent struct {
	ID              uuid.UUID
	AccessID        uuid.UUID
	Status          string // VALID | EXPIRED | REVOKED
	ValidUntil      *time.Time
	FrequencyPerDay *int
	CreatedAt       time.Time
	EndedAt         *time.Time
}

// ValidConsent finds the access's consent in force, or ErrNotFound.
func ValidConsent(tx *gorm.DB, access uuid.UUID) (c Consent, err error) {
	return c, found(tx.Take(&c, "access_id = ? AND status = 'VALID'", access).Error, "the consent")
}

// recordGrant keeps the consent in force in line with what the bank last said.
func recordGrant(tx *gorm.DB, access uuid.UUID, g *banks.Grant) error {
	c := Consent{ID: NewID(), AccessID: access, Status: "VALID", CreatedAt: tx.NowFunc()}
	if !g.ValidUntil.IsZero() {
		until := g.ValidUntil.UTC()
		c.ValidUntil = &until
	}
	if g.FrequencyPerDay > 0 {
		c.FrequencyPerDay = &g.FrequencyPerDay
	}
	return tx.Clauses(clause.OnConflict{
		Columns:     []clause.Column{{Name: "access_id"}},
		TargetWhere: clause.Where{Exprs: []clause.Expression{clause.Eq{Column: clause.Column{Name: "status"}, Value: clause.Expr{SQL: "'VALID'"}}}},
		DoUpdates:   clause.AssignmentColumns([]string{"valid_until", "frequency_per_day"}),
	}).Create(&c).Error
}

// EndConsent closes the consent in force, if there is one. Status is EXPIRED or REVOKED.
func EndConsent(tx *gorm.DB, access uuid.UUID, status string) error {
	return tx.Model(&Consent{}).Where("access_id = ? AND status = 'VALID'", access).
		Updates(map[string]any{"status": status, "ended_at": tx.NowFunc()}).Error
}

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
			if err := setStatus(tx, c.AccessID, rules.AccessNeedsAuth, nil); err != nil {
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
