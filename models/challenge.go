package models

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/rules"
)

// A Challenge is a question of the bank to the customer.
type Challenge struct {
	ID           uuid.UUID
	SyncID       uuid.UUID
	Ordinal      int
	Type         banks.ChallengeType
	Status       string // OPEN | ANSWERED | RESTARTED | CLOSED
	Content      []byte // sealed; see Store.OpenChallenge
	RedirectHash []byte // HashSecret of the state that comes back on our callback
	CreatedAt    time.Time
	ExpiresAt    time.Time
}

// Ask stores a challenge and sets AWAIT_AUTH until expires. Call it in the transaction that saves the session.
func (b *BankSession) Ask(tx *gorm.DB, question *banks.Challenge, expires time.Time) (*Challenge, error) {
	c := &Challenge{ID: NewID(), SyncID: b.Sync.ID, Type: question.Type, Status: "OPEN",
		CreatedAt: tx.NowFunc(), ExpiresAt: expires.UTC()}
	if question.Type == banks.RedirectTo {
		c.RedirectHash = HashSecret(b.state.RedirectState)
	}
	var err error
	if c.Content, err = seal(b.store.Vault, question, challengePlace(c.ID)); err != nil {
		return nil, err
	}
	if err := tx.Raw(`SELECT count(*) + 1 FROM challenges WHERE sync_id = ?`, c.SyncID).Scan(&c.Ordinal).Error; err != nil {
		return nil, fmt.Errorf("number the challenge: %w", err)
	}
	if err := tx.Create(c).Error; err != nil {
		return nil, fmt.Errorf("store the challenge: %w", err)
	}
	if question.Type == banks.MethodSelection && b.Conversation.Methods == nil { // else the adapter knows better
		methods, err := json.Marshal(question.AuthMethods)
		if err != nil {
			return nil, err
		}
		if err := tx.Exec(`UPDATE accesses SET auth_methods = ? WHERE id = ?`, string(methods), b.Access.ID).Error; err != nil {
			return nil, fmt.Errorf("store the authentication methods: %w", err)
		}
	}
	return c, Transition(tx, b.Sync.ID, rules.AwaitAuth, map[string]any{"expires_at": c.ExpiresAt})
}

// Resume ends the wait for the challenge and sets RUNNING. Called again, it changes nothing.
func (b *BankSession) Resume(tx *gorm.DB, challenge uuid.UUID) error {
	var types []banks.ChallengeType
	err := tx.Raw(`UPDATE challenges SET status = 'ANSWERED' WHERE id = ? AND status = 'OPEN' RETURNING type`, challenge).Scan(&types).Error
	if err != nil {
		return fmt.Errorf("settle the challenge: %w", err)
	}
	if len(types) == 0 {
		return nil
	}
	if types[0] == banks.RedirectTo {
		if err := b.renewRedirect(tx); err != nil {
			return err
		}
	}
	return Transition(tx, b.Sync.ID, rules.Running, nil)
}

// renewRedirect makes another state for the next redirect: it must not be answered by this one's return, also where the
// step is run again.
func (b *BankSession) renewRedirect(tx *gorm.DB) error {
	b.state.RedirectState = NewSecret("")
	b.Conversation.Redirect.State = b.state.RedirectState
	return b.Save(tx)
}

// OpenChallenge opens the question.
func (s *Store) OpenChallenge(c *Challenge) (question banks.Challenge, err error) {
	return question, open(s.Vault, c.Content, challengePlace(c.ID), &question)
}

// ErrAnswered says that the challenge has another answer already.
var ErrAnswered = errors.New("the challenge was answered differently")

// PutAnswer stores the customer's answer to an open challenge. The same answer again is no error, whatever has
// become of the challenge. ErrAnswered: there is another one. ErrEdge: the challenge is closed.
func (s *Store) PutAnswer(ctx context.Context, challenge uuid.UUID, answer banks.Answer) error {
	sealed, err := seal(s.Vault, answer, answerPlace(challenge))
	if err != nil {
		return err
	}
	encoded, err := json.Marshal(answer)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	// Sealed as well: a TAN has so few digits that whoever has its hash can find it.
	hash := sha256.Sum256(encoded)
	fingerprint, err := seal(s.Vault, hash[:], fingerprintPlace(challenge))
	if err != nil {
		return err
	}
	// The lock lets it come before or after End, which forgets the answers that it finds.
	result := s.DB.WithContext(ctx).Exec(`INSERT INTO answers (challenge_id, value, fingerprint, created_at)
		SELECT id, ?, ?, ? FROM challenges WHERE id = ? AND status = 'OPEN' AND expires_at > now() FOR SHARE
		ON CONFLICT DO NOTHING`, sealed, fingerprint, s.Now(), challenge)
	if result.Error != nil {
		return fmt.Errorf("store the answer: %w", result.Error)
	}
	if result.RowsAffected == 1 {
		return nil
	}
	var earlier []byte
	err = s.DB.WithContext(ctx).Raw(`SELECT fingerprint FROM answers WHERE challenge_id = ?`, challenge).Row().Scan(&fingerprint)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return ErrEdge
	case err != nil:
		return fmt.Errorf("read the answer's fingerprint: %w", err)
	}
	if err := open(s.Vault, fingerprint, fingerprintPlace(challenge), &earlier); err != nil {
		return err
	}
	if !bytes.Equal(earlier, hash[:]) {
		return ErrAnswered
	}
	return nil
}

// Answer opens the answer to a challenge. ErrNotFound: there is none yet, or the synchronization has ended.
func (s *Store) Answer(ctx context.Context, challenge uuid.UUID) (answer banks.Answer, err error) {
	var sealed []byte
	row := s.DB.WithContext(ctx).Raw(`SELECT value FROM answers WHERE challenge_id = ? AND value IS NOT NULL`, challenge).Row()
	if err := row.Scan(&sealed); err != nil {
		return answer, found(err, "the answer")
	}
	return answer, open(s.Vault, sealed, answerPlace(challenge), &answer)
}
