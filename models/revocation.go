package models

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/rules"
)

// A Revocation is owed to a bank: what it granted is over here, and has to be ended there. Whatever ends a relation to a
// bank writes one in the same transaction (LeaveBank); workflows.RevokeConsent goes on until the bank has done it.
type Revocation struct {
	ID       uuid.UUID
	AccessID uuid.UUID // may be gone
	BankID   uuid.UUID
}

// owedFor is how long a bank is asked where it did not say when the consent ends by itself, and at most: then it has to
// authenticate the customer anew before it shows anything (Delegated Regulation (EU) 2018/389, Art. 10(2)).
const owedFor = 180 * 24 * time.Hour

// LeaveBank ends an access's relation to its bank: the consent in force is revoked, the state at the bank forgotten, and
// what the bank has to be told is owed. The zero Revocation: nothing was granted. The caller has locked the access, or
// does not mind that LeaveBank does, and cancels a synchronization that runs.
func (s *Store) LeaveBank(tx *gorm.DB, access uuid.UUID) (owed Revocation, err error) {
	var a Access
	err = tx.Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).Select("id", "bank_id", "access_method_id", "bank_state").Take(&a, "id = ?", access).Error
	if err != nil {
		return owed, found(err, "the access")
	}
	var lasting json.RawMessage
	if err := open(s.Vault, a.BankState, bankStatePlace(access), &lasting); err != nil {
		return owed, err
	}
	until, err := consentEnd(tx, access)
	if err != nil {
		return owed, err
	}
	if owed, err = s.oweBoth(tx, &a, lasting, until); err != nil {
		return owed, err
	}
	if err := EndConsent(tx, access, "REVOKED"); err != nil {
		return owed, fmt.Errorf("end the consent: %w", err)
	}
	if err := tx.Exec(`UPDATE accesses SET bank_state = NULL, needs_user_each_time = false WHERE id = ?`, access).Error; err != nil {
		return owed, fmt.Errorf("forget the state at the bank: %w", err)
	}
	return owed, nil
}

// RevokeConsent ends a consent that the client does not want any more, with what is being read under it. One that has
// ended stays as it is. It answers the consent, and what goes on with it. ErrNotFound.
func (s *Store) RevokeConsent(ctx context.Context, access, consent uuid.UUID) (c Consent, ended Ended, err error) {
	err = s.Transact(ctx, func(tx *gorm.DB) (err error) {
		// In the order in which a step with the bank stores: the access, then its consent.
		if err := lockAccess(tx, access); err != nil {
			return err
		}
		if err := tx.Take(&c, "id = ? AND access_id = ?", consent, access).Error; err != nil {
			return found(err, "the consent")
		}
		if c.Status != "VALID" {
			return nil
		}
		c.Status = "REVOKED"
		if ended.Owed, err = s.LeaveBank(tx, access); err != nil {
			return err
		}
		if ended.Running, err = CancelRunning(tx, access); err != nil {
			return err
		}
		return setStatus(tx, access, rules.AccessNeedsAuth, nil)
	})
	return c, ended, err
}

// Ended is what goes on after an access's relation to its bank has ended.
type Ended struct {
	Running uuid.UUID  // the synchronization that ran, and is asked to end; or the nil UUID
	Owed    Revocation // to the bank; or the zero Revocation
}

// consentEnd is when the access's consent in force ends by itself; nil: there is none, or the bank did not say.
func consentEnd(tx *gorm.DB, access uuid.UUID) (until *time.Time, err error) {
	err = tx.Raw(`SELECT valid_until FROM consents WHERE access_id = ? AND status = 'VALID'`, access).Row().Scan(&until)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("read the consent: %w", err)
	}
	return until, nil
}

// oweBoth notes what owe does for a state with a consent that is to follow: for each by itself, so that neither waits for the
// other's end. It answers what is owed for the one in force.
func (s *Store) oweBoth(tx *gorm.DB, a *Access, lasting json.RawMessage, until *time.Time) (owed Revocation, err error) {
	if next := banks.NextConsent(lasting); next != nil {
		if _, err := s.owe(tx, a, next, nil); err != nil {
			return owed, err
		}
		if lasting, err = banks.WithoutNextConsent(lasting); err != nil {
			return owed, err
		}
	}
	return s.owe(tx, a, lasting, until)
}

// owe notes that what lasting holds has to be ended at the bank. until is the consent's own end; nil: unknown. The end of one
// consent is owed once: the tokens of an older state of it may be spent, and using them would end the newer ones.
func (s *Store) owe(tx *gorm.DB, a *Access, lasting json.RawMessage, until *time.Time) (owed Revocation, err error) {
	if len(lasting) == 0 {
		return owed, nil
	}
	owed = Revocation{AccessID: a.ID, BankID: a.BankID}
	if owed.ID, err = s.owedConsent(tx, a, banks.ConsentID(lasting)); err != nil {
		return owed, err
	}
	if owed.ID == uuid.Nil {
		owed.ID = NewID()
	}
	sealed, err := seal(s.Vault, lasting, revocationPlace(owed.ID))
	if err != nil {
		return owed, err
	}
	now := tx.NowFunc()
	end := now.Add(owedFor)
	if until != nil && until.Before(end) {
		end = *until
	}
	err = tx.Exec(`INSERT INTO revocations AS r (id, access_id, access_method_id, state, owed_until, created_at) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET state = excluded.state, owed_until = greatest(r.owed_until, excluded.owed_until)`,
		owed.ID, a.ID, a.AccessMethodID, sealed, end, now).Error
	if err != nil {
		return owed, fmt.Errorf("note what the bank is owed: %w", err)
	}
	return owed, nil
}

// owedConsent finds what is owed for a consent of an access by its id at the bank, and locks it; the nil UUID: nothing is.
func (s *Store) owedConsent(tx *gorm.DB, a *Access, consent string) (uuid.UUID, error) {
	if consent == "" {
		return uuid.Nil, nil
	}
	var all []struct {
		ID    uuid.UUID
		State []byte
	}
	err := tx.Raw(`SELECT id, state FROM revocations WHERE access_id = ? AND access_method_id = ? ORDER BY id FOR NO KEY UPDATE`,
		a.ID, a.AccessMethodID).Scan(&all).Error
	if err != nil {
		return uuid.Nil, fmt.Errorf("look for what the bank is owed: %w", err)
	}
	for _, r := range all {
		var lasting json.RawMessage
		if err := open(s.Vault, r.State, revocationPlace(r.ID), &lasting); err != nil {
			return uuid.Nil, err
		}
		if banks.ConsentID(lasting) == consent {
			return r.ID, nil
		}
	}
	return uuid.Nil, nil
}

// forgottenAfter is how long nobody tries before a revocation's workflow is thought lost. Between two tries lies an hour at
// most (activities.LongestPause).
const forgottenAfter = 3 * time.Hour

// LostRevocations lists what is owed since before and not being asked for: its workflow was not started, or is lost.
func (s *Store) LostRevocations(ctx context.Context, before time.Time, limit int) (all []Revocation, err error) {
	return all, s.DB.WithContext(ctx).Raw(`
		SELECT r.id, r.access_id, m.bank_id FROM revocations r JOIN access_methods m ON m.id = r.access_method_id
		WHERE r.created_at < ? AND (r.attempted_at IS NULL OR r.attempted_at < ?) ORDER BY r.attempted_at NULLS FIRST, r.created_at LIMIT ?`,
		before, before.Add(-forgottenAfter), limit).Scan(&all).Error
}

// OwedSince is since when the oldest revocation is owed; zero: none is.
func (s *Store) OwedSince(ctx context.Context) (since time.Time, err error) {
	err = s.DB.WithContext(ctx).Raw(`SELECT created_at FROM revocations ORDER BY created_at LIMIT 1`).Row().Scan(&since)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return since, fmt.Errorf("look for the oldest revocation: %w", err)
	}
	return since, nil
}

// A RevocationAttempt is one try to have the bank end what it granted.
type RevocationAttempt struct {
	Over         bool // it has ended by itself
	Conversation banks.Conversation

	store  *Store
	id     uuid.UUID
	sealed []byte // the state as stored
}

// AttemptRevocation opens what the bank is to be told, and counts the attempt. ErrNotFound: it has done it.
func (s *Store) AttemptRevocation(ctx context.Context, id uuid.UUID) (*RevocationAttempt, error) {
	now := s.Now()
	var method AccessMethod
	var sealed []byte
	var until time.Time
	row := s.DB.WithContext(ctx).Raw(`UPDATE revocations r SET attempts = attempts + 1, attempted_at = ? FROM access_methods m
		WHERE r.id = ? AND m.id = r.access_method_id RETURNING m.id, m.connection, r.state, r.owed_until`, now, id).Row()
	if err := row.Scan(&method.ID, &method.Connection, &sealed, &until); err != nil {
		return nil, found(err, "the revocation")
	}
	t := &RevocationAttempt{Over: until.Before(now), store: s, id: id, sealed: sealed}
	t.Conversation.Resumed = true
	var err error
	if t.Conversation.Connection, err = s.OpenConnection(&method); err != nil {
		return nil, err
	}
	return t, open(s.Vault, sealed, revocationPlace(id), &t.Conversation.Lasting)
}

// Settle ends the revocation: the bank is owed nothing any more.
func (t *RevocationAttempt) Settle(ctx context.Context) error {
	if err := t.store.DB.WithContext(ctx).Exec(`DELETE FROM revocations WHERE id = ?`, t.id).Error; err != nil {
		return fmt.Errorf("settle the revocation: %w", err)
	}
	return nil
}

// Keep stores what a failed attempt has changed, such as tokens that the next one needs. A state that was stored while it
// went on is newer, and stays.
func (t *RevocationAttempt) Keep(ctx context.Context) error {
	sealed, err := seal(t.store.Vault, t.Conversation.Lasting, revocationPlace(t.id))
	if err != nil {
		return err
	}
	err = t.store.DB.WithContext(ctx).Exec(`UPDATE revocations SET state = ? WHERE id = ? AND state = ?`, sealed, t.id, t.sealed).Error
	if err != nil {
		return fmt.Errorf("keep the revocation's state: %w", err)
	}
	return nil
}
