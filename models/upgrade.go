package models

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/civil"
	"github.com/kontoflow/kontoflow/rules"
)

// ErrSupersession says that one access method cannot supersede another: it is of another bank, not supported, or itself
// superseded by it.
var ErrSupersession = errors.New("an access method is superseded by another one of the same bank that is supported, and not in a circle")

// Supersede marks an access method: from a day on, another one of the same bank takes its accesses over. carriesRest
// says that the old one goes on reading the accounts that the new one does not. Marked again, the last mark counts.
// ErrNotFound, ErrSupersession.
func Supersede(tx *gorm.DB, old, by uuid.UUID, from civil.Date, carriesRest bool) error {
	if err := LockCatalog(tx); err != nil { // two marks at once could make a circle that neither of them sees
		return err
	}
	var both []AccessMethod
	err := tx.Select("id", "bank_id", "type").Where("id IN ?", []uuid.UUID{old, by}).Order("id").Find(&both).Error
	if err != nil {
		return fmt.Errorf("read the access methods: %w", err)
	}
	scraping := slices.ContainsFunc(both, func(m AccessMethod) bool { return m.ID == by && m.Type == "SCRAPING" })
	switch {
	case old == by, scraping, len(both) == 2 && both[0].BankID != both[1].BankID:
		return ErrSupersession
	case len(both) < 2:
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

// ErrNothingPending says that an access has no upgrade before it, any more: the operator has marked its method anew.
var ErrNothingPending = errors.New("the access has no upgrade before it")

// A PendingUpgrade is what the next synchronization that a client starts will do to an access.
type PendingUpgrade struct {
	AccessID       uuid.UUID
	SupersededID   uuid.UUID // the access's method
	AccessMethodID uuid.UUID // the one that takes over
}

// PendingUpgrades tells which of the accesses have an upgrade before them.
func (s *Store) PendingUpgrades(ctx context.Context, accesses ...uuid.UUID) (all []PendingUpgrade, err error) {
	return pendingUpgrades(s.DB.WithContext(ctx), accesses...)
}

func pendingUpgrades(tx *gorm.DB, accesses ...uuid.UUID) (all []PendingUpgrade, err error) {
	err = tx.Raw(`SELECT * FROM pending_upgrades WHERE access_id IN ? AND superseded_from <= ?`, accesses, tx.NowFunc()).Scan(&all).Error
	if err != nil {
		return nil, fmt.Errorf("look for pending upgrades: %w", err)
	}
	return all, nil
}

// announceUpgrade tells of a method that supersedes the access's own, once.
func announceUpgrade(tx *gorm.DB, a AutoSync) error {
	err := tx.Model(&Access{}).Where("id = ?", a.AccessID).Update("upgrade_announced", a.UpgradeTo).Error
	if err != nil {
		return fmt.Errorf("note the upgrade's announcement: %w", err)
	}
	return AnnounceAccess(tx, a.AccessID, EventUpgradePending, nil)
}

// An Upgrade is what became of an access whose method was superseded. It is the data of the synchronization's error
// (docs/api.md).
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
// as its failure; called again, Upgrade answers the same. ErrNothingPending; ErrNotFound: the access is deleted.
func (s *Store) Upgrade(ctx context.Context, sync uuid.UUID) (done *Upgrade, err error) {
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		u := upgrade{store: s, tx: tx}
		if err := u.lock(sync); err != nil {
			return err
		}
		if done, err = earlierUpgrade(tx, &u.sync); done != nil || err != nil {
			return err
		}
		if u.sync.Status != rules.Running {
			return ErrEdge
		}
		if err := u.load(); err != nil {
			return err
		}
		u.decide()
		if err := u.move(); err != nil {
			return err
		}
		done = u.outcome()
		failure := rules.SyncError{Code: done.Code}
		if failure.Data, err = done.data(); err != nil {
			return err
		}
		err := tx.Exec(`UPDATE bank_sessions SET failure = ?::jsonb WHERE sync_id = ?`, failure.JSON(), sync).Error
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
	if failure == nil || !failure.Upgraded() {
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
	sync     Synchronization
	access   Access
	old, new AccessMethod
	ends     bool      // the old method carries nothing any more
	accounts []Account // the access's, in the bank's order; deleted ones too, which do not come back elsewhere
	plan     rules.UpgradePlan
	created  *Access //  takes the accounts that move; nil: the access itself takes the new method
}

// lock locks the user, the access and its accounts, and reads the last two: a deletion of any of them comes before or
// after, and does not miss the access that is added.
func (u *upgrade) lock(sync uuid.UUID) error {
	err := u.tx.Exec(`SELECT FROM users WHERE id = (SELECT a.user_id FROM accesses a JOIN synchronizations y ON y.access_id = a.id WHERE y.id = ?)
		FOR SHARE`, sync).Error
	if err != nil {
		return fmt.Errorf("lock the user: %w", err)
	}
	err = u.tx.Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).
		Take(&u.access, "id = (SELECT access_id FROM synchronizations WHERE id = ?)", sync).Error
	if err != nil {
		return found(err, "the access")
	}
	err = u.tx.Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).Where("access_id = ?", u.access.ID).Order("id").Find(&u.accounts).Error
	if err != nil {
		return fmt.Errorf("read the accounts: %w", err)
	}
	slices.SortFunc(u.accounts, func(a, b Account) int {
		return cmp.Or(cmp.Compare(a.Position, b.Position), bytes.Compare(a.ID[:], b.ID[:]))
	})
	if err := lockSynchronization(u.tx, sync); err != nil {
		return err
	}
	return found(u.tx.Take(&u.sync, "id = ?", sync).Error, "the synchronization")
}

func (u *upgrade) load() error {
	if u.access.DeletedAt != nil {
		return ErrNotFound
	}
	pending, err := pendingUpgrades(u.tx, u.access.ID)
	if err != nil {
		return err
	}
	if len(pending) == 0 {
		return ErrNothingPending
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
	return nil
}

// decide plans the upgrade.
func (u *upgrade) decide() {
	facts := rules.UpgradeFacts{NewTypes: u.new.SupportedAccountTypes, OldEnds: u.ends}
	for i := range u.accounts {
		a := &u.accounts[i]
		facts.Accounts = append(facts.Accounts, rules.UpgradingAccount{Type: a.Type, Supported: a.Supported, Deleted: a.DeletedAt != nil})
	}
	u.plan = rules.PlanUpgrade(facts)
}

// move carries the plan out.
func (u *upgrade) move() error {
	var moving, staying []uuid.UUID
	for i := range u.accounts {
		if id := u.accounts[i].ID; u.plan.Moves[i] {
			moving = append(moving, id)
		} else {
			staying = append(staying, id)
		}
	}
	if err := u.tx.Model(&Account{}).Where("id IN ?", moving).Update("resource_id", "").Error; err != nil {
		return fmt.Errorf("forget the old method's handles: %w", err)
	}
	if u.plan.Code == banks.CodeUpgradeDirect {
		return u.direct()
	}
	if u.plan.Parts {
		if err := u.part(moving); err != nil {
			return err
		}
	}
	if u.plan.Code != banks.CodeUpgradePartial {
		return nil
	}
	if err := u.tx.Model(&Account{}).Where("id IN ?", staying).Update("supported", false).Error; err != nil {
		return fmt.Errorf("mark the accounts as unsupported: %w", err)
	}
	for i := range u.accounts {
		u.accounts[i].Supported = u.plan.Moves[i]
	}
	if err := u.leave(func(Credential) bool { return false }); err != nil {
		return err
	}
	return setStatus(u.tx, u.access.ID, rules.AccessRevoked, &u.sync)
}

// status is that of an access of the new method: its customer is known, and has to authorize it first.
func (u *upgrade) status() rules.AccessStatus {
	if len(u.accounts) == 0 {
		return rules.AccessNew
	}
	return rules.AccessNeedsAuth
}

// direct gives the access itself the new method.
func (u *upgrade) direct() error {
	if err := u.leave(u.keeps); err != nil {
		return err
	}
	u.access.AccessMethodID, u.access.Consent = u.new.ID, u.consent()
	err := u.tx.Model(&u.access).Select("access_method_id", "consent").Updates(&u.access).Error
	if err != nil {
		return fmt.Errorf("give the access its new method: %w", err)
	}
	return setStatus(u.tx, u.access.ID, u.status(), &u.sync)
}

// part makes another access of the new method, and gives it the accounts.
func (u *upgrade) part(accounts []uuid.UUID) error {
	origin := u.access.PartedFrom
	if origin == nil {
		origin = &u.access.ID
	}
	u.created = &Access{ID: NewID(), UserID: u.access.UserID, BankID: u.new.BankID, AccessMethodID: u.new.ID, Status: u.status(),
		Consent: u.consent(), SaveCredentials: u.access.SaveCredentials, PartedFrom: origin, CreatedAt: u.tx.NowFunc()}
	if err := u.tx.Omit("AuthMethods").Create(u.created).Error; err != nil {
		return fmt.Errorf("store the additional access: %w", err)
	}
	if u.created.Status == rules.AccessNeedsAuth && !u.sync.DisableNotifications {
		if err := AnnounceAccess(u.tx, u.created.ID, EventNeedsAuth, nil); err != nil {
			return err
		}
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
// want.
func (u *upgrade) leave(keep func(Credential) bool) error {
	var known []Credential
	if err := u.tx.Where("access_id = ?", u.access.ID).Find(&known).Error; err != nil {
		return fmt.Errorf("read the credentials: %w", err)
	}
	for _, c := range known {
		if keep(c) {
			continue
		}
		if err := u.tx.Delete(&c).Error; err != nil {
			return fmt.Errorf("forget a credential: %w", err)
		}
	}
	if _, err := u.store.LeaveBank(u.tx, u.access.ID); err != nil {
		return err
	}
	if err := u.tx.Exec(`UPDATE accesses SET auth_methods = NULL WHERE id = ?`, u.access.ID).Error; err != nil {
		return fmt.Errorf("forget the authentication methods: %w", err)
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
		var named []ConsentAccount
		for i := range u.accounts {
			if a := &u.accounts[i]; u.plan.Moves[i] && a.DeletedAt == nil && a.IBAN != nil {
				named = append(named, ConsentAccount{ID: *a.IBAN, Currency: value(a.Currency)})
			}
		}
		if len(named) > 0 { // else what the client named stays: none at all would stand for all
			consent.Accounts = named
		}
	}
	return &consent
}

// outcome tells what was done.
func (u *upgrade) outcome() *Upgrade {
	done := &Upgrade{Code: u.plan.Code, AccessID: u.access.ID, AccessMethodID: u.new.ID,
		Accounts: []UpgradedAccount{}, Created: []uuid.UUID{}}
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
