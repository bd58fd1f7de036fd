package models

import (
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

// End finishes a synchronization; code 0 means that nothing failed as a whole. What that means for its accounts, the access
// and its next run is decided by rules.Settle. It closes the open challenge, forgets what the customer answered, and keeps or
// forgets the secrets as the client wished. Called again, it returns the same.
func (s *Store) End(ctx context.Context, id uuid.UUID, code int) (y Synchronization, err error) {
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		if y, err = lockForEnd(tx, id); err != nil || y.Status.Ended() {
			return err
		}
		e := ending{store: s, tx: tx, sync: &y}
		for _, step := range []func() error{
			func() error { return e.load(code) },
			e.endAccounts,
			e.settleSecrets,
			e.closeConversation,
			e.settleAccess,
			e.schedule,
			e.finish,
		} {
			if err := step(); err != nil {
				return err
			}
		}
		return tx.Take(&y, "id = ?", id).Error
	})
	return y, err
}

// lockForEnd locks the synchronization, and what its end writes to, and reads it. The access may be hidden, and a page may
// be stored, at this very moment.
func lockForEnd(tx *gorm.DB, id uuid.UUID) (y Synchronization, err error) {
	var access uuid.UUID
	if err := tx.Raw(`SELECT access_id FROM synchronizations WHERE id = ?`, id).Row().Scan(&access); err != nil {
		return y, found(err, "the synchronization")
	}
	if err := lockAccess(tx, access); err != nil {
		return y, err
	}
	if err := lockProgress(tx, id, access); err != nil {
		return y, err
	}
	if err := lockSynchronization(tx, id); err != nil {
		return y, err
	}
	return y, found(tx.Take(&y, "id = ?", id).Error, "the synchronization")
}

// ending is the end of a synchronization at work.
type ending struct {
	store      *Store
	tx         *gorm.DB
	sync       *Synchronization
	accounts   []SyncAccount
	failures   int // automatic synchronizations of the access that failed in a row before this one
	facts      rules.EndFacts
	settlement rules.Settlement
}

// load reads the facts, and decides.
func (e *ending) load(code int) (err error) {
	y := e.sync
	e.facts = rules.EndFacts{Trigger: y.Trigger, ReadsTransactions: y.reads(rules.ScopeTransactions), RenewsConsent: y.RenewConsent,
		SaveSecrets: y.SaveSecrets, CancelRequested: y.CancelRequestedAt != nil}
	if e.facts.Failure, err = lastFailure(e.tx, y.ID, code); err != nil {
		return err
	}
	if e.accounts, err = SyncAccounts(e.tx, y.ID); err != nil {
		return err
	}
	for _, a := range e.accounts {
		e.facts.Accounts = append(e.facts.Accounts, rules.AccountResult{Status: a.Status, Error: a.Error, Unread: a.Unread != nil})
	}
	err = e.tx.Raw(`SELECT a.status, m.grants_consents, a.bank_state IS NULL, a.auto_failures,
			EXISTS (SELECT FROM consents c WHERE c.access_id = a.id AND c.status = 'VALID'),
			EXISTS (SELECT FROM consents c WHERE c.access_id = a.id AND c.status = 'VALID' AND c.created_at < @began
				AND (c.valid_until IS NULL OR c.valid_until > @now))
		FROM accesses a JOIN access_methods m ON m.id = a.access_method_id WHERE a.id = @access`,
		map[string]any{"access": y.AccessID, "began": y.CreatedAt, "now": e.tx.NowFunc()}).Row().
		Scan(&e.facts.Access, &e.facts.GrantsConsents, &e.facts.LeftBank, &e.failures, &e.facts.HasConsent, &e.facts.HadConsent)
	if err != nil {
		return fmt.Errorf("read how it stands about the access: %w", found(err, "the access"))
	}
	e.settlement = rules.Settle(e.facts)
	return nil
}

// endAccounts ends what accounts had not ended. Where the synchronization did not come to its accounts, it is an attempt of
// all the access has.
func (e *ending) endAccounts() error {
	for _, a := range e.accounts {
		if a.Status == rules.AccountPending {
			if err := EndAccount(e.tx, e.sync.ID, a.AccountID, e.settlement.Pending); err != nil {
				return err
			}
		}
	}
	if e.settlement.Attempt == nil {
		return nil
	}
	now := e.tx.NowFunc()
	err := e.tx.Model(&Account{}).Where("access_id = ? AND deleted_at IS NULL AND supported", e.sync.AccessID).
		Select("attempted_at", "error").Updates(&Account{AttemptedAt: &now, Error: e.settlement.Attempt}).Error
	if err != nil {
		return fmt.Errorf("record the attempt: %w", err)
	}
	return nil
}

// settleSecrets forgets what was given for this synchronization, or stores it where the client said save_secrets and has
// not taken it back (ForgetSecrets).
func (e *ending) settleSecrets() error {
	tx, y := e.tx, e.sync
	switch e.settlement.Secrets {
	case rules.ForgetStored:
		err := tx.Where("access_id = ? AND is_secret AND sync_id IS NULL", y.AccessID).Delete(&Credential{}).Error
		if err != nil {
			return fmt.Errorf("forget the stored secrets: %w", err)
		}
	case rules.StoreGiven:
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
	case rules.ForgetGiven:
	}
	err := tx.Where("sync_id = ? OR (access_id = ? AND sync_id IS NULL AND NOT keep)", y.ID, y.AccessID).Delete(&Credential{}).Error
	if err != nil {
		return fmt.Errorf("forget the secrets: %w", err)
	}
	return nil
}

// closeConversation closes the open challenge, and forgets what the customer answered and what the bank's dialog needs.
func (e *ending) closeConversation() error {
	tx, id := e.tx, e.sync.ID
	if err := tx.Model(&Challenge{}).Where("sync_id = ? AND status IN ('OPEN', 'RESTARTED')", id).Update("status", "CLOSED").Error; err != nil {
		return fmt.Errorf("close the challenge: %w", err)
	}
	err := tx.Exec(`UPDATE answers SET value = NULL WHERE challenge_id IN (SELECT id FROM challenges WHERE sync_id = ?)`, id).Error
	if err != nil {
		return fmt.Errorf("forget the answers: %w", err)
	}
	if err := tx.Exec(`UPDATE bank_sessions SET dialog = NULL, failure = NULL, version = version + 1, updated_at = now() WHERE sync_id = ?`, id).Error; err != nil {
		return fmt.Errorf("forget the dialog: %w", err)
	}
	return nil
}

func (e *ending) settleAccess() error {
	if e.settlement.LeavesBank {
		if _, err := e.store.LeaveBank(e.tx, e.sync.AccessID); err != nil {
			return err
		}
	}
	if e.settlement.Access == "" {
		return nil
	}
	return setStatus(e.tx, e.sync.AccessID, e.settlement.Access, e.sync)
}

// schedule sets when the access is synchronized next by itself.
func (e *ending) schedule() error {
	next := e.settlement.NextRun(e.facts, e.sync.AccessID, e.failures, e.tx.NowFunc())
	set := make(map[string]any)
	if next.StoppedBy != nil {
		set["stopped_by"] = gorm.Expr("nullif(?, '')", *next.StoppedBy)
	}
	if next.Failures != nil {
		set["auto_failures"] = *next.Failures
	}
	if !next.NextSyncAt.IsZero() {
		set["next_sync_at"] = next.NextSyncAt
	}
	if len(set) == 0 {
		return nil
	}
	if err := e.tx.Model(&Access{}).Where("id = ?", e.sync.AccessID).Updates(set).Error; err != nil {
		return fmt.Errorf("set the access's next time: %w", err)
	}
	return nil
}

func (e *ending) finish() error {
	if failure := e.settlement.Failure; failure != nil {
		return Transition(e.tx, e.sync.ID, rules.Failed, map[string]any{"error": gorm.Expr("?::jsonb", failure.JSON())})
	}
	return Transition(e.tx, e.sync.ID, rules.Completed, nil)
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
