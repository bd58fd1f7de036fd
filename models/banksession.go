package models

import (
	"bytes"
	"context"
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

// ErrOvertaken says that another attempt at the same step stored first. Its outcome counts.
var ErrOvertaken = errors.New("another attempt at this step was faster")

// ErrCancelled says that the client wants the synchronization to end.
var ErrCancelled = errors.New("the client cancelled the synchronization")

// A BankSession is the conversation with the bank during one synchronization, opened for one step of it.
type BankSession struct {
	Sync         Synchronization // of both what loadSession reads
	Access       Access
	Superseded   bool // the access's method is; Store.PendingUpgrades tells what follows
	Conversation banks.Conversation
	Steps        int             // finished steps
	Outcome      json.RawMessage // of the last finished step

	store   *Store
	method  AccessMethod
	sealed  []byte // column `dialog`
	version int
	state   dialogState
	lasting []byte // as stored, to tell whether it changed; sealed it is Access.BankState
}

// dialogState is what the sealed column `dialog` holds.
type dialogState struct {
	Adapter       json.RawMessage `json:"adapter,omitempty"`
	RedirectState string          `json:"redirect_state"` // unguessable; of the present or next REDIRECT challenge
}

// OpenSession loads a synchronization's conversation, makes one if there is none, and opens its secrets. The first
// call moves QUEUED to RUNNING. ErrEdge: the synchronization has ended. ErrCancelled: it is to end.
func (s *Store) OpenSession(ctx context.Context, sync uuid.UUID) (*BankSession, error) {
	b := &BankSession{store: s}
	err := s.loadSession(ctx, sync, b)
	for err == nil && b.Sync.Status == rules.Queued && b.Sync.CancelRequestedAt == nil {
		if err = s.beginSession(ctx, b); errors.Is(err, ErrEdge) { // a copy of this attempt was faster, or a cancel
			err = s.loadSession(ctx, sync, b)
		}
	}
	switch {
	case err != nil:
		return nil, err
	case b.Sync.CancelRequestedAt != nil:
		return nil, ErrCancelled
	}
	return b, b.unseal(ctx)
}

// OpenLastSession is OpenSession for the end of a synchronization, be it cancelled or not. ErrEdge: it has ended, or never begun.
func (s *Store) OpenLastSession(ctx context.Context, sync uuid.UUID) (*BankSession, error) {
	b := &BankSession{store: s}
	if err := s.loadSession(ctx, sync, b); err != nil {
		return nil, err
	}
	if b.Sync.Status == rules.Queued {
		return nil, ErrEdge
	}
	return b, b.unseal(ctx)
}

// unseal opens what was loaded.
func (b *BankSession) unseal(ctx context.Context) (err error) {
	s, sync := b.store, b.Sync.ID
	if err := open(s.Vault, b.sealed, dialogPlace(sync), &b.state); err != nil {
		return err
	}
	c := &b.Conversation
	if c.Connection, err = s.OpenConnection(&b.method); err != nil {
		return err
	}
	if c.Credentials, err = s.openCredentials(ctx, b.Access.ID, &sync); err != nil {
		return err
	}
	if err := open(s.Vault, b.Sync.PSU, psuPlace(sync), &c.PSU); err != nil {
		return err
	}
	if err := open(s.Vault, b.Access.BankState, bankStatePlace(b.Access.ID), &c.Lasting); err != nil {
		return err
	}
	b.lasting = c.Lasting
	c.Dialog = b.state.Adapter
	c.Redirect.State = b.state.RedirectState
	c.Interactive = b.Sync.Trigger == rules.Manual
	c.Resumed = true
	c.Consent = b.Access.consent()
	if b.Sync.RenewConsent {
		c.Renew = sync.String()
	}
	if b.Sync.ChooseMethod != nil {
		c.ChooseMethod = b.Sync.ChooseMethod.String()
	}
	return nil
}

// loadSession reads everything that a step starts from in one query: every activity begins here.
func (s *Store) loadSession(ctx context.Context, sync uuid.UUID, b *BankSession) error {
	y, a := &b.Sync, &b.Access
	err := s.Pool.QueryRow(ctx, `
		SELECT y.id, y.access_id, y.status, y.trigger, y.scope, y.renew_consent, y.choose_method, y.sync_period, y.psu, y.cancel_requested_at,
		       a.id, a.user_id, a.bank_id, a.access_method_id, a.consent, a.bank_state, m.id, m.connection,
		       m.superseded_by IS NOT NULL, b.dialog, coalesce(b.version, 0), coalesce(b.steps, 0), b.outcome
		FROM synchronizations y
		JOIN accesses a ON a.id = y.access_id
		JOIN access_methods m ON m.id = a.access_method_id
		LEFT JOIN bank_sessions b ON b.sync_id = y.id
		WHERE y.id = $1`, sync).
		Scan(&y.ID, &y.AccessID, &y.Status, &y.Trigger, (*[]string)(&y.Scope), &y.RenewConsent, &y.ChooseMethod, &y.SyncPeriod, &y.PSU, &y.CancelRequestedAt,
			&a.ID, &a.UserID, &a.BankID, &a.AccessMethodID, &a.Consent, &a.BankState, &b.method.ID, &b.method.Connection,
			&b.Superseded, &b.sealed, &b.version, &b.Steps, (*[]byte)(&b.Outcome))
	switch {
	case err != nil:
		return found(err, "the bank session")
	case y.Status.Ended():
		return ErrEdge
	}
	return nil
}

// beginSession moves QUEUED to RUNNING, with a dialog that has nothing in it yet.
func (s *Store) beginSession(ctx context.Context, b *BankSession) error {
	sealed, err := seal(s.Vault, dialogState{RedirectState: NewSecret("")}, dialogPlace(b.Sync.ID))
	if err != nil {
		return err
	}
	return s.Transact(ctx, func(tx *gorm.DB) error {
		if err := Transition(tx, b.Sync.ID, rules.Running, nil); err != nil {
			return err
		}
		if err := tx.Exec(`INSERT INTO bank_sessions (sync_id, dialog) VALUES (?, ?)`, b.Sync.ID, sealed).Error; err != nil {
			return fmt.Errorf("begin the bank session: %w", err)
		}
		b.Sync.Status, b.sealed = rules.Running, sealed
		return nil
	})
}

// openCredentials opens what the customer gave for the access, where values given for this synchronization win.
func (s *Store) openCredentials(ctx context.Context, access uuid.UUID, sync *uuid.UUID) (map[string]string, error) {
	var all []Credential
	// NULLS FIRST: what was given for this synchronization comes last, and stays.
	err := s.DB.WithContext(ctx).Where("access_id = ? AND (sync_id IS NULL OR sync_id = ?)", access, sync).
		Order("sync_id NULLS FIRST").Find(&all).Error
	if err != nil {
		return nil, fmt.Errorf("read the credentials: %w", err)
	}
	values := make(map[string]string, len(all))
	for _, c := range all {
		value, err := s.Vault.Open(c.Value, credentialPlace(c.ID))
		if err != nil {
			return nil, err
		}
		values[c.Key] = string(value)
	}
	return values, nil
}

func (a *Access) consent() banks.Consent {
	if a.Consent == nil {
		return banks.Consent{Recurring: true}
	}
	c := banks.Consent{Recurring: a.Consent.Recurring, Scopes: a.Consent.Scopes}
	if c.Recurring {
		c.PeriodDays = a.Consent.Period
	}
	for _, account := range a.Consent.Accounts {
		c.Accounts = append(c.Accounts, banks.AccountRequest{IBAN: account.ID, Currency: account.Currency})
	}
	return c
}

// Lock locks the session's access. A transaction that changes more than the session calls it first: it then comes before
// or after the end of the synchronization and what the client does to the access (see locks.go).
func (b *BankSession) Lock(tx *gorm.DB) error { return lockAccess(tx, b.Access.ID) }

// Transact runs f, which saves the session, in one transaction; if it fails, the session is as it was before. What the
// bank did for a synchronization that is over by now is not lost with it, see KeepLate.
func (b *BankSession) Transact(ctx context.Context, f func(tx *gorm.DB) error) error {
	before, left := *b, b.Conversation.Left
	err := b.store.Transact(ctx, f)
	if err != nil {
		now := b.Conversation
		*b = before
		b.Conversation, b.Conversation.Left = now, left
		if late := b.KeepLate(ctx); late != nil {
			return late
		}
	}
	return err
}

// Save puts the conversation back, sealed. ErrOvertaken: another attempt stored since this one loaded, or the client
// ended the access's relation to the bank.
func (b *BankSession) Save(tx *gorm.DB) error { return b.save(tx, b.Steps, b.Outcome) }

// Finish puts the conversation back as the end of a step, with the outcome that a rerun of the step will answer.
func (b *BankSession) Finish(tx *gorm.DB, step int, outcome any) error {
	encoded, err := json.Marshal(outcome)
	if err != nil {
		return fmt.Errorf("encode the step's outcome: %w", err)
	}
	return b.save(tx, step, encoded)
}

func (b *BankSession) save(tx *gorm.DB, steps int, outcome json.RawMessage) error {
	b.state.Adapter = b.Conversation.Dialog
	sealed, err := seal(b.store.Vault, b.state, dialogPlace(b.Sync.ID))
	if err != nil {
		return err
	}
	if err := b.saveLasting(tx); err != nil { // before the session's own row: the access is always locked first, see Lock
		return err
	}
	result := tx.Exec(`UPDATE bank_sessions SET dialog = ?, version = version + 1, steps = ?, outcome = ?, updated_at = now()
		WHERE sync_id = ? AND version = ?`, sealed, steps, nullJSON(outcome), b.Sync.ID, b.version)
	if result.Error != nil {
		return fmt.Errorf("store the bank session: %w", result.Error)
	}
	if result.RowsAffected == 0 {
		return ErrOvertaken
	}
	b.version++
	b.Steps, b.Outcome = steps, outcome
	return nil
}

// saveLasting stores what lives with the access, where it changed, and what came of its consent. ErrOvertaken: it is not
// what was loaded any more, or the access is deleted.
func (b *BankSession) saveLasting(tx *gorm.DB) error {
	c := &b.Conversation
	if bytes.Equal(b.lasting, c.Lasting) { // a consent that the client revoked is not in force again because it is still known
		return b.oweLeft(tx)
	}
	sealed, err := seal(b.store.Vault, c.Lasting, bankStatePlace(b.Access.ID))
	if err != nil {
		return err
	}
	methods, err := b.methodsJSON()
	if err != nil {
		return err
	}
	result := tx.Exec(`UPDATE accesses SET bank_state = ?, auth_methods = coalesce(?::jsonb, auth_methods), needs_user_each_time = ?
		WHERE id = ? AND deleted_at IS NULL AND bank_state IS NOT DISTINCT FROM ?`,
		sealed, methods, banks.NeedsUserEachTime(c.Lasting), b.Access.ID, b.Access.BankState)
	switch {
	case result.Error != nil:
		return fmt.Errorf("store the access's state at the bank: %w", result.Error)
	case result.RowsAffected == 0:
		return ErrOvertaken
	}
	if err := b.oweLeft(tx); err != nil {
		return err
	}
	former := banks.ConsentID(b.lasting)
	if c.Granted != nil && former != "" && former != banks.ConsentID(c.Lasting) { // another consent has taken its place
		if err := EndConsent(tx, b.Access.ID, "REVOKED"); err != nil {
			return fmt.Errorf("end the former consent: %w", err)
		}
	}
	if c.Granted != nil {
		err = recordGrant(tx, b.Access.ID, c.Granted)
	} else { // there was one, perhaps, and the bank no longer knows it
		err = EndConsent(tx, b.Access.ID, "EXPIRED")
	}
	if err != nil {
		return fmt.Errorf("store the consent: %w", err)
	}
	b.Access.BankState, b.lasting = sealed, c.Lasting
	return nil
}

// methodsJSON are the methods that the adapter knows, as their column holds them; nil: it knows none.
func (b *BankSession) methodsJSON() (*string, error) {
	if b.Conversation.Methods == nil {
		return nil, nil
	}
	encoded, err := json.Marshal(b.Conversation.Methods)
	if err != nil {
		return nil, fmt.Errorf("encode the authentication methods: %w", err)
	}
	text := string(encoded)
	return &text, nil
}

// oweLeft notes that the consents which the adapter has given up have to be ended at the bank. When the one in force ends by
// itself is known; of others it is not.
func (b *BankSession) oweLeft(tx *gorm.DB) error {
	c := &b.Conversation
	for _, left := range c.Left {
		if id := banks.ConsentID(left); id == banks.ConsentID(c.Lasting) || id == banks.ConsentID(banks.NextConsent(c.Lasting)) {
			continue // a bank that answered the wish for another one with one it has
		}
		var until *time.Time
		if banks.ConsentID(left) == banks.ConsentID(b.lasting) {
			var err error
			if until, err = consentEnd(tx, b.Access.ID); err != nil {
				return err
			}
		}
		if _, err := b.store.owe(tx, &b.Access, left, until); err != nil {
			return err
		}
	}
	c.Left = nil
	return nil
}

// KeepLate deals with what a step has come to in a synchronization that is over meanwhile, cancelled or deleted, since
// nobody waits for a bank that is just answering: a consent that it has created is at the bank all the same. The access
// keeps what is in force, unless something else has become of it meanwhile; then, or where it is not in force, the bank is
// owed its end. It changes nothing while the synchronization goes on.
func (b *BankSession) KeepLate(ctx context.Context) error {
	c := &b.Conversation
	onlyLeft := bytes.Equal(b.lasting, c.Lasting)
	if len(c.Lasting) == 0 || onlyLeft && len(c.Left) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return b.store.Transact(ctx, func(tx *gorm.DB) error {
		var sealed []byte
		err := tx.Raw(`SELECT bank_state FROM accesses WHERE id = ? AND deleted_at IS NULL FOR NO KEY UPDATE`, b.Access.ID).Row().Scan(&sealed)
		gone := errors.Is(err, sql.ErrNoRows)
		if err != nil && !gone {
			return fmt.Errorf("lock the access: %w", err)
		}
		var goesOn bool
		err = tx.Raw(`SELECT EXISTS (SELECT FROM synchronizations WHERE id = ? AND ended_at IS NULL AND cancel_requested_at IS NULL)`,
			b.Sync.ID).Scan(&goesOn).Error
		if err != nil {
			return fmt.Errorf("look whether the synchronization goes on: %w", err)
		}
		asLoaded := !gone && bytes.Equal(sealed, b.Access.BankState)
		switch {
		case goesOn:
			return nil
		case onlyLeft:
			return b.oweLeft(tx)
		case asLoaded && (c.Granted != nil || !c.Connection.Capabilities().GrantsConsents):
			return b.saveLasting(tx)
		}
		var stored json.RawMessage
		if err := open(b.store.Vault, sealed, bankStatePlace(b.Access.ID), &stored); err != nil {
			return err
		}
		// What the access has stays: the next synchronization knows better how it stands.
		has := func(id string) bool {
			return id == "" || id == banks.ConsentID(stored) || id == banks.ConsentID(banks.NextConsent(stored))
		}
		next := banks.NextConsent(c.Lasting)
		switch {
		case !has(banks.ConsentID(c.Lasting)):
			var until *time.Time
			if c.Granted != nil && !c.Granted.ValidUntil.IsZero() {
				until = &c.Granted.ValidUntil
			}
			_, err = b.store.oweBoth(tx, &b.Access, c.Lasting, until)
		case !has(banks.ConsentID(next)):
			_, err = b.store.owe(tx, &b.Access, next, nil)
		}
		return err
	})
}

func nullJSON(raw json.RawMessage) any {
	if raw == nil {
		return nil
	}
	return string(raw)
}

// Fail puts the conversation back after a step that failed, with what the bank said: Store.End will want it.
func (b *BankSession) Fail(tx *gorm.DB, failure *rules.SyncError) error {
	if err := b.Save(tx); err != nil {
		return err
	}
	err := tx.Exec(`UPDATE bank_sessions SET failure = ?::jsonb WHERE sync_id = ?`, failure.JSON(), b.Sync.ID).Error
	if err != nil {
		return fmt.Errorf("store the failure: %w", err)
	}
	return nil
}
