package models

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"kontoflow/plain"
	"kontoflow/providers"
)

// ErrSupersession says that one access method cannot supersede another: it is of another bank, or itself superseded by it.
var ErrSupersession = errors.New("an access method is superseded by another one of the same bank, and not in a circle")

// Supersede marks an access method: from a day on, another one of the same bank takes its accesses over. carriesRest
// says that the old one goes on reading the accounts that the new one does not. Marked again, the last mark counts.
// ErrNotFound, ErrSupersession.
func Supersede(tx *gorm.DB, old, by uuid.UUID, from plain.Date, carriesRest bool) error {
	// One at a time: two marks at once could make a circle that neither of them sees.
	var banks []AccessMethod
	err := tx.Clauses(clause.Locking{Strength: "UPDATE"}).Select("id", "bank_id").Where("id IN ?", []uuid.UUID{old, by}).Order("id").Find(&banks).Error
	if err != nil {
		return fmt.Errorf("read the access methods: %w", err)
	}
	switch {
	case old == by, len(banks) == 2 && banks[0].BankID != banks[1].BankID:
		return ErrSupersession
	case len(banks) < 2:
		return ErrNotFound
	}
	var circle bool
	err = tx.Raw(`WITH RECURSIVE chain (id) AS (
			SELECT superseded_by FROM access_methods WHERE id = ?
			UNION SELECT m.superseded_by FROM access_methods m JOIN chain c ON c.id = m.id)
		SELECT EXISTS (SELECT FROM chain WHERE id = ?)`, by, old).Scan(&circle).Error
	if err != nil {
		return fmt.Errorf("follow the supersessions: %w", err)
	}
	if circle {
		return ErrSupersession
	}
	err = tx.Exec(`UPDATE access_methods SET superseded_by = ?, superseded_from = ?, carries_rest = ? WHERE id = ?`, by, from, carriesRest, old).Error
	if err != nil {
		return fmt.Errorf("mark the access method: %w", err)
	}
	return nil
}

// A PendingUpgrade is what the next synchronization that a client starts will do to an access.
type PendingUpgrade struct {
	AccessID       uuid.UUID
	SupersededID   uuid.UUID // the access's method
	AccessMethodID uuid.UUID // the one that takes over
}

// PendingUpgrades tells which of the accesses have an upgrade before them.
func (s *Store) PendingUpgrades(ctx context.Context, accesses ...uuid.UUID) (all []PendingUpgrade, err error) {
	err = s.DB.WithContext(ctx).Raw(`SELECT * FROM pending_upgrades WHERE access_id IN ?`, accesses).Scan(&all).Error
	if err != nil {
		return nil, fmt.Errorf("look for pending upgrades: %w", err)
	}
	return all, nil
}

// An Upgrade is what became of an access whose method was superseded. It is the data of the synchronization's error
// (API.md, "Access upgrades").
type Upgrade struct {
	Code           int               `json:"code,omitempty"`   // 40001, 40002 or 40003; not part of the data
	AccessID       uuid.UUID         `json:"access_id"`        // that was synchronized
	AccessMethodID uuid.UUID         `json:"access_method_id"` // the new one
	Accounts       []UpgradedAccount `json:"accounts"`
	Created        []uuid.UUID       `json:"accesses_created"`
}

// An UpgradedAccount says where an account is after an upgrade.
type UpgradedAccount struct {
	AccountID      uuid.UUID `json:"account_id"`
	AccessID       uuid.UUID `json:"access_id"`
	AccessMethodID uuid.UUID `json:"access_method_id"`
	Supported      bool      `json:"supported"` // false: readable, but no longer synchronized
}

// Upgrade moves the access of a running synchronization to the method that superseded its own, all of it in one
// transaction: a crash leaves the access wholly before or wholly after. What was done stands with the synchronization
// as its failure; called again, Upgrade answers the same. ErrNotFound: there is nothing to upgrade.
func (s *Store) Upgrade(ctx context.Context, sync uuid.UUID) (done *Upgrade, err error) {
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		u := upgrade{store: s, tx: tx, sync: sync}
		if err := u.lock(); err != nil {
			return err
		}
		var y Synchronization
		if err := tx.Clauses(clause.Locking{Strength: "UPDATE"}).Take(&y, "id = ?", sync).Error; err != nil {
			return found(err, "the synchronization")
		}
		if done, err = earlierUpgrade(tx, &y); done != nil || err != nil {
			return err
		}
		if y.Status != Running {
			return ErrEdge
		}
		if err := u.load(); err != nil {
			return err
		}
		if err := u.move(); err != nil {
			return err
		}
		done = u.outcome()
		failure := SyncError{Code: done.Code}
		if failure.Data, err = done.data(); err != nil {
			return err
		}
		err := tx.Exec(`UPDATE bank_sessions SET failure = ?::jsonb WHERE sync_id = ?`, failure.json(), sync).Error
		if err != nil {
			return fmt.Errorf("store what the upgrade did: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return done, nil
}

// earlierUpgrade is what the synchronization has done already; nil: nothing.
func earlierUpgrade(tx *gorm.DB, y *Synchronization) (*Upgrade, error) {
	failure := y.Error
	if failure == nil {
		var err error
		if failure, err = storedFailure(tx, y.ID); err != nil {
			return nil, err
		}
	}
	if failure == nil || !failure.upgraded() {
		return nil, nil
	}
	encoded, err := json.Marshal(failure.Data)
	if err != nil {
		return nil, fmt.Errorf("read what the upgrade did: %w", err)
	}
	done := &Upgrade{Code: failure.Code}
	if err := json.Unmarshal(encoded, done); err != nil {
		return nil, fmt.Errorf("read what the upgrade did: %w", err)
	}
	return done, nil
}

// upgraded reports whether the failure tells of an upgrade.
func (e *SyncError) upgraded() bool {
	return e.Code >= providers.CodeUpgradeDirect && e.Code <= providers.CodeUpgradePartial
}

func (u Upgrade) data() (data map[string]any, err error) {
	u.Code = 0
	encoded, err := json.Marshal(u)
	if err != nil {
		return nil, err
	}
	return data, json.Unmarshal(encoded, &data)
}

// upgrade is one at work.
type upgrade struct {
	store    *Store
	tx       *gorm.DB
	sync     uuid.UUID
	access   Access
	old, new AccessMethod
	ends     bool      // the old method carries nothing any more
	accounts []Account // the access's, in the bank's order; deleted ones too, which do not come back elsewhere
	created  *Access   // takes the accounts that move; nil: the access itself takes the new method
}

// lock takes the user and the access first, as all do that change an access: a deletion of either comes before or after,
// and does not miss the access that is added.
func (u *upgrade) lock() error {
	err := u.tx.Exec(`SELECT FROM users WHERE id = (SELECT a.user_id FROM accesses a JOIN synchronizations y ON y.access_id = a.id WHERE y.id = ?)
		FOR SHARE`, u.sync).Error
	if err != nil {
		return fmt.Errorf("lock the user: %w", err)
	}
	err = u.tx.Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).
		Take(&u.access, "id = (SELECT access_id FROM synchronizations WHERE id = ?)", u.sync).Error
	return found(err, "the access")
}

func (u *upgrade) load() error {
	if u.access.DeletedAt != nil {
		return ErrNotFound
	}
	var pending []PendingUpgrade
	if err := u.tx.Raw(`SELECT * FROM pending_upgrades WHERE access_id = ?`, u.access.ID).Scan(&pending).Error; err != nil {
		return fmt.Errorf("look for the pending upgrade: %w", err)
	}
	if len(pending) == 0 {
		return ErrNotFound
	}
	if err := u.tx.Take(&u.old, "id = ?", pending[0].SupersededID).Error; err != nil {
		return found(err, "the superseded access method")
	}
	if err := u.tx.Take(&u.new, "id = ?", pending[0].AccessMethodID).Error; err != nil {
		return found(err, "the new access method")
	}
	if err := u.tx.Raw(`SELECT NOT carries_rest FROM access_methods WHERE id = ?`, u.old.ID).Scan(&u.ends).Error; err != nil {
		return fmt.Errorf("read the superseded access method: %w", err)
	}
	err := u.tx.Clauses(clause.Locking{Strength: "UPDATE"}).Where("access_id = ?", u.access.ID).Order("position, id").Find(&u.accounts).Error
	if err != nil {
		return fmt.Errorf("read the accounts: %w", err)
	}
	return nil
}

// carried reports whether the new method reads the account. A method that does not say which types it supports
// supports all.
func (u *upgrade) carried(a *Account) bool {
	types := u.new.SupportedAccountTypes
	return a.Supported && (len(types) == 0 || slices.Contains(types, string(a.Type)))
}

// move changes what is stored.
func (u *upgrade) move() error {
	var moving, staying []uuid.UUID
	stays := false // an account that is not deleted does not move
	for i := range u.accounts {
		a := &u.accounts[i]
		if u.carried(a) {
			moving = append(moving, a.ID)
			continue
		}
		staying = append(staying, a.ID)
		stays = stays || a.DeletedAt == nil
	}
	if err := u.tx.Model(&Account{}).Where("id IN ?", moving).Update("resource_id", "").Error; err != nil {
		return fmt.Errorf("forget the old method's handles: %w", err)
	}
	if !stays {
		return u.direct()
	}
	if len(moving) > 0 {
		if err := u.part(moving); err != nil {
			return err
		}
	}
	if !u.ends {
		return nil
	}
	if err := u.tx.Model(&Account{}).Where("id IN ?", staying).Update("supported", false).Error; err != nil {
		return fmt.Errorf("mark the accounts as unsupported: %w", err)
	}
	for i := range u.accounts {
		u.accounts[i].Supported = u.carried(&u.accounts[i])
	}
	if err := u.leave(func(Credential) bool { return false }); err != nil {
		return err
	}
	if err := u.tx.Model(&u.access).Update("status", AccessRevoked).Error; err != nil {
		return fmt.Errorf("close the access: %w", err)
	}
	return nil
}

// status is that of an access of the new method: its customer is known, and has to authorize it first.
func (u *upgrade) status() AccessStatus {
	if len(u.accounts) == 0 {
		return AccessNew
	}
	return AccessNeedsAuth
}

// direct gives the access itself the new method.
func (u *upgrade) direct() error {
	if err := u.leave(u.keeps); err != nil {
		return err
	}
	u.access.AccessMethodID, u.access.Status, u.access.Consent = u.new.ID, u.status(), u.consent()
	err := u.tx.Model(&u.access).Select("access_method_id", "status", "consent").Updates(&u.access).Error
	if err != nil {
		return fmt.Errorf("give the access its new method: %w", err)
	}
	return nil
}

// part makes another access of the new method, and gives it the accounts.
func (u *upgrade) part(accounts []uuid.UUID) error {
	u.created = &Access{ID: NewID(), UserID: u.access.UserID, BankID: u.new.BankID, AccessMethodID: u.new.ID, Status: u.status(),
		Consent: u.consent(), SaveCredentials: u.access.SaveCredentials, PartedFrom: &u.access.ID, CreatedAt: u.tx.NowFunc()}
	if err := u.tx.Omit("AuthMethods").Create(u.created).Error; err != nil {
		return fmt.Errorf("store the additional access: %w", err)
	}
	var known []Credential
	if err := u.tx.Where("access_id = ? AND sync_id IS NULL", u.access.ID).Order("created_at, id").Find(&known).Error; err != nil {
		return fmt.Errorf("read the credentials: %w", err)
	}
	values := make(map[string]string)
	for _, c := range known {
		if !u.keeps(c) {
			continue
		}
		value, err := u.store.Vault.Open(c.Value, credentialPlace(c.ID))
		if err != nil {
			return err
		}
		values[c.Key] = string(value)
	}
	if err := u.store.PutCredentials(u.tx, u.created.ID, nil, values, u.new.Credentials, false); err != nil {
		return fmt.Errorf("store the additional access's logins: %w", err)
	}
	if err := u.tx.Model(&Account{}).Where("id IN ?", accounts).Update("access_id", u.created.ID).Error; err != nil {
		return fmt.Errorf("move the accounts: %w", err)
	}
	for i := range u.accounts {
		if slices.Contains(accounts, u.accounts[i].ID) {
			u.accounts[i].AccessID = u.created.ID
		}
	}
	return nil
}

// leave drops what the old method alone needed: consent, state at the bank, and the credentials that keep does not
// want. What the bank has to be told is put aside for RevokeLeft.
func (u *upgrade) leave(keep func(Credential) bool) error {
	var known []Credential
	if err := u.tx.Where("access_id = ?", u.access.ID).Find(&known).Error; err != nil {
		return fmt.Errorf("read the credentials: %w", err)
	}
	left := leftConsent{Credentials: make(map[string]string)}
	for _, c := range known {
		if !c.IsSecret && c.SyncID == nil {
			value, err := u.store.Vault.Open(c.Value, credentialPlace(c.ID))
			if err != nil {
				return err
			}
			left.Credentials[c.Key] = string(value)
		}
		if keep(c) {
			continue
		}
		if err := u.tx.Delete(&c).Error; err != nil {
			return fmt.Errorf("forget a credential: %w", err)
		}
	}
	if err := open(u.store.Vault, u.access.BankState, bankStatePlace(u.access.ID), &left.Lasting); err != nil {
		return err
	}
	if len(left.Lasting) > 0 {
		id := NewID()
		sealed, err := seal(u.store.Vault, left, leftPlace(id))
		if err != nil {
			return err
		}
		err = u.tx.Exec(`INSERT INTO left_consents (id, access_id, access_method_id, state) VALUES (?, ?, ?, ?)`,
			id, u.access.ID, u.old.ID, sealed).Error
		if err != nil {
			return fmt.Errorf("put the consent aside: %w", err)
		}
	}
	if err := EndConsent(u.tx, u.access.ID, "REVOKED"); err != nil {
		return fmt.Errorf("end the consent: %w", err)
	}
	if err := u.tx.Exec(`UPDATE accesses SET bank_state = NULL, auth_methods = NULL WHERE id = ?`, u.access.ID).Error; err != nil {
		return fmt.Errorf("forget the state at the bank: %w", err)
	}
	return nil
}

// keeps reports whether the new method asks for the same: logins are carried over, secrets never.
func (u *upgrade) keeps(c Credential) bool {
	return !c.IsSecret && c.SyncID == nil && slices.ContainsFunc(u.new.Credentials, func(f CredentialField) bool {
		return f.Key == c.Key && !f.IsSecret
	})
}

// consent is what will be asked of the bank over the new method: what the client asked for before, or all there is.
func (u *upgrade) consent() *ConsentRequest {
	if !u.new.InPSD2Scope {
		return nil
	}
	consent := ConsentRequest{Recurring: true}
	if u.access.Consent != nil {
		consent = *u.access.Consent
	}
	if u.new.RequiresAccountIdentifiers || len(consent.Accounts) > 0 {
		consent.Accounts = nil
		for i := range u.accounts {
			if a := &u.accounts[i]; u.carried(a) && a.DeletedAt == nil && a.IBAN != nil {
				consent.Accounts = append(consent.Accounts, ConsentAccount{ID: *a.IBAN, Currency: value(a.Currency)})
			}
		}
	}
	return &consent
}

// outcome tells what was done.
func (u *upgrade) outcome() *Upgrade {
	done := &Upgrade{Code: providers.CodeUpgradeDirect, AccessID: u.access.ID, AccessMethodID: u.new.ID,
		Accounts: []UpgradedAccount{}, Created: []uuid.UUID{}}
	if u.access.AccessMethodID != u.new.ID {
		done.Code = providers.CodeUpgradeMulti
		if u.ends {
			done.Code = providers.CodeUpgradePartial
		}
	}
	if u.created != nil {
		done.Created = append(done.Created, u.created.ID)
	}
	for i := range u.accounts {
		a := &u.accounts[i]
		if a.DeletedAt != nil {
			continue
		}
		method := u.access.AccessMethodID
		if a.AccessID != u.access.ID {
			method = u.new.ID
		}
		done.Accounts = append(done.Accounts, UpgradedAccount{AccountID: a.ID, AccessID: a.AccessID, AccessMethodID: method, Supported: a.Supported})
	}
	return done
}

// leftConsent is what the sealed column `state` of left_consents holds.
type leftConsent struct {
	Credentials map[string]string `json:"credentials"` // logins; no secrets
	Lasting     json.RawMessage   `json:"lasting"`
}

// LeftConsent names a consent that an upgraded access left behind at its bank.
type LeftConsent struct {
	ID       uuid.UUID
	AccessID uuid.UUID
}

// LeftConsents lists those that were left before and are not revoked at the bank yet.
func (s *Store) LeftConsents(ctx context.Context, before time.Time, limit int) (all []LeftConsent, err error) {
	return all, s.DB.WithContext(ctx).Raw(`
		SELECT id, access_id FROM left_consents WHERE created_at < ? ORDER BY created_at LIMIT ?`, before, limit).Scan(&all).Error
}

// OpenLeftConsent opens what the bank has to be told. ErrNotFound: it was told.
func (s *Store) OpenLeftConsent(ctx context.Context, id uuid.UUID) (*providers.Conversation, error) {
	var method uuid.UUID
	var sealed []byte
	row := s.DB.WithContext(ctx).Raw(`SELECT access_method_id, state FROM left_consents WHERE id = ?`, id).Row()
	if err := row.Scan(&method, &sealed); err != nil {
		return nil, found(err, "the consent that was left")
	}
	m, err := s.AccessMethod(ctx, method)
	if err != nil {
		return nil, err
	}
	var left leftConsent
	if err := open(s.Vault, sealed, leftPlace(id), &left); err != nil {
		return nil, err
	}
	c := &providers.Conversation{Resumed: true, Credentials: left.Credentials, Lasting: left.Lasting}
	c.Connection, err = s.OpenConnection(&m)
	return c, err
}

// ForgetLeftConsent forgets a consent that is revoked, or that the bank would not revoke.
func (s *Store) ForgetLeftConsent(ctx context.Context, id uuid.UUID) error {
	if err := s.DB.WithContext(ctx).Exec(`DELETE FROM left_consents WHERE id = ?`, id).Error; err != nil {
		return fmt.Errorf("forget the consent that was left: %w", err)
	}
	return nil
}
