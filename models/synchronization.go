package models

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/rules"
)

// ErrEdge says that a synchronization cannot go where it was sent: it has ended, or another state comes first.
var ErrEdge = errors.New("the synchronization is not in a state for this")

// A Synchronization is one run of reading an access. Its id is its workflow's id.
type Synchronization struct {
	ID                   uuid.UUID
	AccessID             uuid.UUID
	Status               rules.SyncStatus
	Trigger              string // MANUAL | AUTO
	Scope                Strings
	SaveSecrets          *bool // true stores, false forgets, nil leaves them alone
	DisableNotifications bool
	RenewConsent         bool       // although one is in force, which stays until the customer has granted the new one
	ChooseMethod         *uuid.UUID // whose wish it is that the customer chooses the method anew: its own, or a restarted challenge's
	SyncPeriod           *int       // days of history to ask for; nil: as the account's reading needs
	RedirectURI          *string
	State                *string // the client's own, appended to RedirectURI
	PSU                  []byte  `gorm:"column:psu"` // sealed banks.PSU; nil: the user is absent, or it has ended
	Unattended           bool    // the bank counts it: the customer's address is not known
	IdempotencyKey       *string
	RequestHash          []byte
	CreatedAt            time.Time
	StartedAt            *time.Time
	EndedAt              *time.Time
	ExpiresAt            *time.Time // in AWAIT_AUTH: when the wait ends
	CancelRequestedAt    *time.Time
	Error                *rules.SyncError `gorm:"serializer:json"`
	AccountsTotal        int
	AccountsDone         int
	TransactionsAdded    int
	TransactionsModified int
	TransactionsRemoved  int
}

// reads reports whether the scope names what.
func (y *Synchronization) reads(what string) bool { return slices.Contains(y.Scope, what) }

// SealPSU puts the customer's presence into the synchronization.
func (s *Store) SealPSU(y *Synchronization, psu banks.PSU) (err error) {
	y.Unattended = psu.IPAddress == ""
	if psu == (banks.PSU{}) {
		return nil
	}
	y.PSU, err = seal(s.Vault, psu, psuPlace(y.ID))
	return err
}

// Synchronization finds one by id.
func (s *Store) Synchronization(ctx context.Context, id uuid.UUID) (y Synchronization, err error) {
	return y, found(s.DB.WithContext(ctx).Take(&y, "id = ?", id).Error, "the synchronization")
}

// CreateSynchronization stores a new synchronization, in QUEUED. gorm.ErrDuplicatedKey: another one of the access is
// under way, or has its idempotency key.
func CreateSynchronization(tx *gorm.DB, y *Synchronization) error {
	if err := tx.Create(y).Error; err != nil {
		return fmt.Errorf("store the synchronization: %w", err)
	}
	return announceSync(tx, y.ID)
}

// Transition moves a synchronization along a legal edge, setting what belongs to the new state; every state change
// goes through here. ErrEdge: it was not in a state that leads there.
func Transition(tx *gorm.DB, id uuid.UUID, to rules.SyncStatus, set map[string]any) error {
	now := tx.NowFunc()
	columns := map[string]any{"status": to, "expires_at": nil}
	switch to {
	case rules.Running:
		columns["started_at"] = gorm.Expr("coalesce(started_at, ?)", now)
	case rules.Completed, rules.Failed:
		columns["ended_at"], columns["psu"] = now, nil
	}
	for column, value := range set {
		columns[column] = value
	}
	result := tx.Model(&Synchronization{}).Where("id = ? AND status IN ?", id, to.EnteredFrom()).Updates(columns)
	if result.Error != nil {
		return fmt.Errorf("move the synchronization to %s: %w", to, result.Error)
	}
	if result.RowsAffected == 0 {
		return ErrEdge
	}
	return announceSync(tx, id)
}

// RequestCancel notes that the client wants the synchronization to end. ErrEdge: it has ended.
func (s *Store) RequestCancel(ctx context.Context, id uuid.UUID) error {
	result := s.DB.WithContext(ctx).Model(&Synchronization{}).
		Where("id = ? AND ended_at IS NULL", id).
		Update("cancel_requested_at", gorm.Expr("coalesce(cancel_requested_at, ?)", s.Now()))
	if result.Error != nil {
		return fmt.Errorf("request the cancel: %w", result.Error)
	}
	if result.RowsAffected == 0 {
		return ErrEdge
	}
	return nil
}

// SyncRef is what starts a synchronization's workflow: ids and plain words only.
type SyncRef struct {
	ID       uuid.UUID
	AccessID uuid.UUID
	BankID   uuid.UUID
	Trigger  string
	Scope    Strings
}

// LostStarts lists synchronizations that are QUEUED since before: they were stored, and then could not be started. Among
// them are those that wait for a worker: automatic ones come last, so that however many wait, they hide no other.
func (s *Store) LostStarts(ctx context.Context, before time.Time, limit int) (refs []SyncRef, err error) {
	return refs, s.DB.WithContext(ctx).Raw(`
		SELECT y.id, y.access_id, a.bank_id, y.trigger, y.scope
		FROM synchronizations y JOIN accesses a ON a.id = y.access_id
		WHERE y.status = 'QUEUED' AND y.ended_at IS NULL AND y.created_at < ? ORDER BY y.trigger = ?, y.created_at LIMIT ?`, before, rules.Auto, limit).Scan(&refs).Error
}

// AnswerRef is an answer or a restart that was stored and may not have reached its workflow.
type AnswerRef struct {
	SyncID      uuid.UUID
	ChallengeID uuid.UUID
}

// LostAnswers lists answers from before that still stand with an open challenge: their signal was lost.
func (s *Store) LostAnswers(ctx context.Context, before time.Time, limit int) (refs []AnswerRef, err error) {
	return refs, s.DB.WithContext(ctx).Raw(`
		SELECT c.sync_id, c.id AS challenge_id FROM answers w JOIN challenges c ON c.id = w.challenge_id
		WHERE c.status = 'OPEN' AND w.created_at < ? ORDER BY w.created_at LIMIT ?`, before, limit).Scan(&refs).Error
}

// LostCancels lists synchronizations that go on although their cancel was requested before.
func (s *Store) LostCancels(ctx context.Context, before time.Time, limit int) (ids []uuid.UUID, err error) {
	return ids, s.DB.WithContext(ctx).Raw(`
		SELECT id FROM synchronizations
		WHERE ended_at IS NULL AND cancel_requested_at < ? LIMIT ?`, before, limit).Scan(&ids).Error
}

// UnderWay is a synchronization that has not ended.
type UnderWay struct {
	SyncRef   `gorm:"embedded"`
	Status    rules.SyncStatus
	CreatedAt time.Time
}

// LongUnderWay lists synchronizations that are under way since before, the oldest first, from the one after the given one
// on; after the zero UnderWay comes the oldest.
func (s *Store) LongUnderWay(ctx context.Context, before time.Time, after UnderWay, limit int) (page []UnderWay, err error) {
	return page, s.DB.WithContext(ctx).Raw(`
		SELECT y.id, y.access_id, a.bank_id, y.trigger, y.scope, y.status, y.created_at
		FROM synchronizations y JOIN accesses a ON a.id = y.access_id
		WHERE y.ended_at IS NULL AND y.created_at < ? AND (y.created_at, y.id) > (?, ?)
		ORDER BY y.created_at, y.id LIMIT ?`, before, after.CreatedAt, after.ID, limit).Scan(&page).Error
}

// End finishes a synchronization; code 0 means that nothing failed as a whole. What accounts had not ended fail
// with it; accounts that all failed sink it with the first one's error. Credentials that the bank refused for one account
// mean the same for the access as if it had failed with them. It closes the open challenge, forgets what the
// customer answered, keeps or forgets the secrets as the client wished, and sets the access's status. Called again, it
// answers the same.
func (s *Store) End(ctx context.Context, id uuid.UUID, code int) (y Synchronization, err error) {
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		// The access may be hidden, and a page may be stored, at this very moment.
		var access uuid.UUID
		if err := tx.Raw(`SELECT access_id FROM synchronizations WHERE id = ?`, id).Row().Scan(&access); err != nil {
			return found(err, "the synchronization")
		}
		if err := lockAccess(tx, access); err != nil {
			return err
		}
		if err := lockProgress(tx, id, access); err != nil {
			return err
		}
		if err := lockSynchronization(tx, id); err != nil {
			return err
		}
		if err := tx.Take(&y, "id = ?", id).Error; err != nil {
			return found(err, "the synchronization")
		}
		if y.Status.Ended() {
			return nil
		}
		failure, err := lastFailure(tx, id, code)
		if err != nil {
			return err
		}
		accounts, failure, err := endAccounts(tx, id, failure)
		if err != nil {
			return err
		}
		settled := failure // what its end means for the access
		if i := slices.IndexFunc(accounts, func(a SyncAccount) bool { return a.Error != nil && a.Error.RefusesCredentials() }); i >= 0 {
			settled = accounts[i].Error
		}
		unchanged, err := renewalFailed(tx, &y, settled, accounts)
		if err != nil {
			return err
		}
		if failure != nil && len(accounts) == 0 && !unchanged {
			if err := attemptFailed(tx, y.AccessID, failure); err != nil {
				return err
			}
		}
		if err := settleSecrets(tx, &y, settled); err != nil {
			return err
		}
		if err := tx.Model(&Challenge{}).Where("sync_id = ? AND status IN ('OPEN', 'RESTARTED')", id).Update("status", "CLOSED").Error; err != nil {
			return fmt.Errorf("close the challenge: %w", err)
		}
		err = tx.Exec(`UPDATE answers SET value = NULL WHERE challenge_id IN (SELECT id FROM challenges WHERE sync_id = ?)`, id).Error
		if err != nil {
			return fmt.Errorf("forget the answers: %w", err)
		}
		if err := tx.Exec(`UPDATE bank_sessions SET dialog = NULL, failure = NULL, version = version + 1, updated_at = now() WHERE sync_id = ?`, id).Error; err != nil {
			return fmt.Errorf("forget the dialog: %w", err)
		}
		if !unchanged {
			if err := s.settleAccess(tx, &y, settled); err != nil {
				return err
			}
			if err := settleSchedule(tx, &y, settled, accounts); err != nil {
				return err
			}
		}
		if failure == nil {
			err = Transition(tx, id, rules.Completed, nil)
		} else {
			err = Transition(tx, id, rules.Failed, map[string]any{"error": gorm.Expr("?::jsonb", failure.JSON())})
		}
		if err != nil {
			return err
		}
		return tx.Take(&y, "id = ?", id).Error
	})
	return y, err
}

// endAccounts ends what accounts had not ended, with the synchronization's failure. It returns them, and the failure: where
// nothing failed as a whole and all accounts that the bank was asked about failed, it is the first one's.
func endAccounts(tx *gorm.DB, sync uuid.UUID, failure *rules.SyncError) ([]SyncAccount, *rules.SyncError, error) {
	accounts, err := SyncAccounts(tx, sync)
	if err != nil {
		return nil, nil, err
	}
	pending := failure
	if pending == nil { // a reading that never came to an end, however often it was tried
		pending = &rules.SyncError{Code: banks.CodeTemporary}
	}
	var first *rules.SyncError
	asked, failed := 0, 0
	for i := range accounts {
		a := &accounts[i]
		if a.Status == "PENDING" {
			if err := EndAccount(tx, sync, a.AccountID, pending); err != nil {
				return nil, nil, err
			}
			a.Status, a.Error = "FAILED", pending
		}
		if a.Unread == nil {
			asked++
		}
		if a.Status == "FAILED" {
			failed++
			first = cmp.Or(first, a.Error)
		}
	}
	if failure == nil && failed > 0 && failed == asked {
		failure = first
	}
	return accounts, failure, nil
}

// lastFailure is the error for code, in the bank's words where the step that failed left them. An upgrade that is done
// is what the client has to learn, whatever happened after it.
func lastFailure(tx *gorm.DB, id uuid.UUID, code int) (*rules.SyncError, error) {
	if code == 0 {
		return nil, nil
	}
	failure, err := storedFailure(tx, id)
	if err != nil {
		return nil, err
	}
	if failure == nil || failure.Code != code && !failure.Upgraded() {
		failure = &rules.SyncError{Code: code}
	}
	return failure, nil
}

// storedFailure is what the step that failed left; nil: none did.
func storedFailure(tx *gorm.DB, id uuid.UUID) (*rules.SyncError, error) {
	var stored []byte
	err := tx.Raw(`SELECT failure FROM bank_sessions WHERE sync_id = ?`, id).Row().Scan(&stored)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, fmt.Errorf("read the failure: %w", err)
	}
	if stored == nil {
		return nil, nil
	}
	failure := &rules.SyncError{}
	if err := json.Unmarshal(stored, failure); err != nil {
		return nil, fmt.Errorf("read the failure: %w", err)
	}
	return failure, nil
}

// attemptFailed tells the access's accounts of a synchronization that failed before it came to them.
func attemptFailed(tx *gorm.DB, access uuid.UUID, failure *rules.SyncError) error {
	now := tx.NowFunc()
	err := tx.Model(&Account{}).Where("access_id = ? AND deleted_at IS NULL AND supported", access).
		Select("attempted_at", "error").Updates(&Account{AttemptedAt: &now, Error: failure}).Error
	if err != nil {
		return fmt.Errorf("record the attempt: %w", err)
	}
	return nil
}

// settleSecrets forgets what was given for this synchronization, or stores it where the client said save_secrets, has not
// taken it back (ForgetSecrets), and the bank did not refuse it.
func settleSecrets(tx *gorm.DB, y *Synchronization, failure *rules.SyncError) error {
	if y.SaveSecrets != nil {
		refused := failure != nil && failure.RefusesCredentials()
		if !*y.SaveSecrets {
			err := tx.Where("access_id = ? AND is_secret AND sync_id IS NULL", y.AccessID).Delete(&Credential{}).Error
			if err != nil {
				return fmt.Errorf("forget the stored secrets: %w", err)
			}
		} else if !refused {
			err := tx.Exec(`DELETE FROM credentials WHERE access_id = ? AND sync_id IS NULL AND key IN
				(SELECT key FROM credentials WHERE sync_id = ? AND keep)`, y.AccessID, y.ID).Error
			if err == nil {
				err = tx.Model(&Credential{}).Where("sync_id = ? AND keep", y.ID).Update("sync_id", nil).Error
			}
			if err == nil {
				err = tx.Model(&Credential{}).Where("access_id = ? AND sync_id IS NULL", y.AccessID).Update("keep", true).Error
			}
			if err != nil {
				return fmt.Errorf("store the secrets: %w", err)
			}
		}
	}
	err := tx.Where("sync_id = ? OR (access_id = ? AND sync_id IS NULL AND NOT keep)", y.ID, y.AccessID).Delete(&Credential{}).Error
	if err != nil {
		return fmt.Errorf("forget the secrets: %w", err)
	}
	return nil
}

// renewalFailed reports whether all that failed was the granting of a new consent beside the one in force: nothing was read, and
// what the customer did not do about the new one says nothing about the other. Credentials that the bank refused do.
func renewalFailed(tx *gorm.DB, y *Synchronization, failure *rules.SyncError, accounts []SyncAccount) (failed bool, err error) {
	if !y.RenewConsent || failure == nil || failure.RefusesCredentials() || len(accounts) > 0 {
		return false, nil
	}
	err = tx.Raw(`SELECT EXISTS (SELECT FROM consents c JOIN accesses a ON a.id = c.access_id JOIN access_methods m ON m.id = a.access_method_id
		WHERE c.access_id = ? AND c.status = 'VALID' AND c.created_at < ? AND (c.valid_until IS NULL OR c.valid_until > ?) AND m.protocol = 'XS2A')`,
		y.AccessID, y.CreatedAt, tx.NowFunc()).Scan(&failed).Error
	if err != nil {
		return false, fmt.Errorf("look for the consent that was to be renewed: %w", err)
	}
	return failed, nil
}

// settleAccess sets what a synchronization's end says about its access. One that was cancelled before anything is in force
// leaves the bank: the customer could still authorize there what the client does not want any more.
func (s *Store) settleAccess(tx *gorm.DB, y *Synchronization, failure *rules.SyncError) error {
	switch {
	case failure == nil:
		if left, err := leftBank(tx, y); err != nil || left {
			return err
		}
		return setStatus(tx, y.AccessID, rules.AccessActive, y)
	case rules.LookUp(failure.Code).Customer:
		return setStatus(tx, y.AccessID, rules.AccessNeedsAuth, y)
	}
	var without rules.AccessStatus // of an access that should have a consent in force, and has none
	err := tx.Raw(`SELECT a.status FROM accesses a JOIN access_methods m ON m.id = a.access_method_id
		WHERE a.id = ? AND m.protocol = 'XS2A'
		AND NOT EXISTS (SELECT FROM consents c WHERE c.access_id = a.id AND c.status = 'VALID')`, y.AccessID).Scan(&without).Error
	if err != nil {
		return fmt.Errorf("look for a consent in force: %w", err)
	}
	if without != "" && failure.Code == banks.CodeCancelled {
		if _, err := s.LeaveBank(tx, y.AccessID); err != nil {
			return err
		}
	}
	if without == rules.AccessActive { // whatever it failed with: nothing goes on without the customer
		return setStatus(tx, y.AccessID, rules.AccessNeedsAuth, y)
	}
	return nil
}

// leftBank reports whether the client has ended the access's relation to the bank when the synchronization had read
// everything already. Other cancels that come so late change nothing.
func leftBank(tx *gorm.DB, y *Synchronization) (left bool, err error) {
	if y.CancelRequestedAt == nil {
		return false, nil
	}
	err = tx.Raw(`SELECT bank_state IS NULL FROM accesses WHERE id = ?`, y.AccessID).Scan(&left).Error
	if err != nil {
		return false, fmt.Errorf("look whether the access has left its bank: %w", err)
	}
	return left, nil
}
