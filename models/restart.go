package models

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/rules"
)

// Bounds of restarts. Each of them makes the bank send another TAN or push message, and most need the PIN once more.
const (
	// RestartPause is the time between two restarts of one synchronization.
	RestartPause = time.Minute
	// MaxRestarts is how many restarts one synchronization may have.
	MaxRestarts = 5
)

// TooManyRestarts says that a challenge may not be restarted now.
type TooManyRestarts struct {
	RetryAt time.Time // zero: not in this synchronization any more
}

func (e *TooManyRestarts) Error() string { return "the synchronization was restarted too often" }

// RestartChallenge gives up the open question of a synchronization: an answer to it is refused from now on, and its workflow
// begins another one. With choosing, the customer chooses the method before that. It sets RUNNING. The same restart again is
// no error, whatever has become of it. ErrAnswered: the question was restarted otherwise, or answered. ErrEdge: it is not
// open any more, or the synchronization is to end. *TooManyRestarts: the bounds of restarts.
func (s *Store) RestartChallenge(ctx context.Context, challenge uuid.UUID, choosing bool) error {
	return s.Transact(ctx, func(tx *gorm.DB) error {
		c, err := lockChallenge(tx, challenge)
		if err != nil {
			return err
		}
		switch {
		case c.Choosing != nil && *c.Choosing == choosing:
			return nil
		case c.Choosing != nil || c.Answered:
			return ErrAnswered
		case c.Status != "OPEN" || c.Expired || c.CancelRequested:
			return ErrEdge
		}
		now := tx.NowFunc()
		if err := checkRestarts(tx, c.SyncID, now); err != nil {
			return err
		}
		return restart(tx, c.SyncID, challenge, choosing, now)
	})
}

// restartable is what a restart has to know of a challenge.
type restartable struct {
	SyncID          uuid.UUID
	Status          string
	Choosing        *bool // it was restarted, with a choice or without; nil: it was not
	Expired         bool
	Answered        bool
	CancelRequested bool
}

// lockChallenge locks a challenge with what it belongs to, in the order of locks.go, and reads it after that: an answer comes
// before or after.
func lockChallenge(tx *gorm.DB, challenge uuid.UUID) (c restartable, err error) {
	var access uuid.UUID
	row := tx.Raw(`SELECT y.access_id, y.id FROM challenges c JOIN synchronizations y ON y.id = c.sync_id WHERE c.id = ?`, challenge).Row()
	if err := row.Scan(&access, &c.SyncID); err != nil {
		return c, found(err, "the challenge")
	}
	if err := lockAccess(tx, access); err != nil {
		return c, err
	}
	if err := lockSynchronization(tx, c.SyncID); err != nil {
		return c, err
	}
	if err := tx.Exec(`SELECT FROM challenges WHERE id = ? FOR NO KEY UPDATE`, challenge).Error; err != nil {
		return c, fmt.Errorf("lock the challenge: %w", err)
	}
	row = tx.Raw(`SELECT c.status, c.restart_choosing, c.expires_at <= now(),
		EXISTS (SELECT FROM answers w WHERE w.challenge_id = c.id), y.cancel_requested_at IS NOT NULL
		FROM challenges c JOIN synchronizations y ON y.id = c.sync_id WHERE c.id = ?`, challenge).Row()
	if err := row.Scan(&c.Status, &c.Choosing, &c.Expired, &c.Answered, &c.CancelRequested); err != nil {
		return c, found(err, "the challenge")
	}
	return c, nil
}

// checkRestarts holds the bounds of restarts.
func checkRestarts(tx *gorm.DB, sync uuid.UUID, now time.Time) error {
	var count int
	var last sql.NullTime
	row := tx.Raw(`SELECT count(*), max(restarted_at) FROM challenges WHERE sync_id = ? AND restarted_at IS NOT NULL`, sync).Row()
	if err := row.Scan(&count, &last); err != nil {
		return fmt.Errorf("count the restarts: %w", err)
	}
	switch next := last.Time.Add(RestartPause); {
	case count >= MaxRestarts:
		return &TooManyRestarts{}
	case last.Valid && now.Before(next):
		return &TooManyRestarts{RetryAt: next}
	}
	return nil
}

func restart(tx *gorm.DB, sync, challenge uuid.UUID, choosing bool, now time.Time) error {
	err := tx.Exec(`UPDATE challenges SET status = 'RESTARTED', restarted_at = ?, restart_choosing = ? WHERE id = ?`,
		now, choosing, challenge).Error
	if err != nil {
		return fmt.Errorf("restart the challenge: %w", err)
	}
	if choosing {
		err := tx.Exec(`UPDATE synchronizations SET choose_method = ? WHERE id = ?`, challenge, sync).Error
		if err != nil {
			return fmt.Errorf("store the wish to choose: %w", err)
		}
	}
	// A step that is waiting for the bank's app stores nothing any more.
	if err := tx.Exec(`UPDATE bank_sessions SET version = version + 1 WHERE sync_id = ?`, sync).Error; err != nil {
		return fmt.Errorf("end the wait: %w", err)
	}
	return Transition(tx, sync, rules.Running, nil)
}

// Restart takes a restarted challenge: whoever comes back from a redirect has another state from now on. Called again, it
// changes nothing.
func (b *BankSession) Restart(tx *gorm.DB, challenge uuid.UUID) error {
	var types []banks.ChallengeType
	err := tx.Raw(`UPDATE challenges SET status = 'CLOSED' WHERE id = ? AND status = 'RESTARTED' RETURNING type`, challenge).Scan(&types).Error
	if err != nil {
		return fmt.Errorf("close the challenge: %w", err)
	}
	if len(types) == 0 || types[0] != banks.RedirectTo {
		return nil
	}
	return b.renewRedirect(tx)
}

// Restarted reports whether the client has given up the question. ErrNotFound.
func (s *Store) Restarted(ctx context.Context, challenge uuid.UUID) (restarted bool, err error) {
	err = s.DB.WithContext(ctx).Raw(`SELECT restarted_at IS NOT NULL FROM challenges WHERE id = ?`, challenge).Row().Scan(&restarted)
	if errors.Is(err, sql.ErrNoRows) {
		return false, ErrNotFound
	}
	if err != nil {
		return false, fmt.Errorf("look whether the challenge was restarted: %w", err)
	}
	return restarted, nil
}

// LostRestarts lists challenges that were restarted before, and that no workflow has begun anew: their signal was lost.
func (s *Store) LostRestarts(ctx context.Context, before time.Time, limit int) (refs []AnswerRef, err error) {
	return refs, s.DB.WithContext(ctx).Raw(`
		SELECT sync_id, id AS challenge_id FROM challenges
		WHERE status = 'RESTARTED' AND restarted_at < ? ORDER BY restarted_at LIMIT ?`, before, limit).Scan(&refs).Error
}
