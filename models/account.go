package models

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/civil"
	"github.com/kontoflow/kontoflow/rules"
)

// An Account of a customer. Its id stays, whatever the bank does to its handles and ids.
type Account struct {
	ID            uuid.UUID
	UserID        string
	AccessID      uuid.UUID
	BankID        uuid.UUID
	Identity      string // rules.Identity, as last listed
	ResourceID    string // the bank's handle under the present consent; "": moved to another method, and not listed since
	Card          bool
	IBAN          *string
	AccountNumber *string
	BankCode      *string
	BIC           *string
	Name          *string
	Owner         *string
	ListedName    *string // as the bank calls it, whatever the client does
	Renamed       bool    // name and owner were set by the client
	Type          banks.AccountType
	Currency      *string
	AutoSync      bool
	Supported     bool // false: readable, but no longer synchronized
	Position      int
	ReadUntil     civil.Date // last day that a complete reading covered
	ReadFrom      civil.Date // first day that a reading asked for; zero: as far back as the bank gives
	AttemptedAt   *time.Time
	SucceededAt   *time.Time
	Error         *rules.SyncError  `gorm:"serializer:json"` // of the last attempt; nil: it succeeded
	Shortfall     `gorm:"embedded"` // of the last attempt
	CreatedAt     time.Time
	DeletedAt     *time.Time
}

// A Shortfall is what was not read of an account although its reading did not fail.
type Shortfall struct {
	Unread     *string // why its transactions are never asked for (banks.Account.Unread); nil: they are
	Withheld   *string // why the answer did not cover all that was asked for (banks.Withheld); nil: it did
	Unreadable int     // values that were left out or replaced (banks.Unreadable)
}

// SyncAccount is what happens to one account in one synchronization.
type SyncAccount struct {
	SyncID               uuid.UUID `gorm:"primaryKey"`
	AccountID            uuid.UUID `gorm:"primaryKey"`
	Position             int
	Status               rules.AccountStatus
	Error                *rules.SyncError `gorm:"serializer:json"`
	Pages                int              // stored pages of a first reading
	Cursor               []byte           // sealed: where the next page begins
	TransactionsAdded    int
	TransactionsModified int
	TransactionsRemoved  int
	BalanceChanged       bool
	Shortfall            `gorm:"embedded"`
}

// TableName is the entity's long name.
func (SyncAccount) TableName() string { return "synchronization_accounts" }

// SyncAccounts lists the accounts of a synchronization in the bank's order.
func SyncAccounts(tx *gorm.DB, sync uuid.UUID) (all []SyncAccount, err error) {
	if err := tx.Where("sync_id = ?", sync).Order("position").Find(&all).Error; err != nil {
		return nil, fmt.Errorf("read the synchronization's accounts: %w", err)
	}
	return all, nil
}

// PutAccounts stores what the bank lists for the session's access, and makes it the synchronization's work. Known
// accounts keep their ids (rules.Recognise). New ones are added on an access's first reading, and when the scope is ACCOUNTS.
// Known ones that the bank no longer lists fail with 10011. With the scope ACCOUNTS alone, and for those whose transactions
// the bank does not offer, being listed is all there is to do. An automatic synchronization leaves alone those that the
// client does not want to be read by themselves.
func (b *BankSession) PutAccounts(tx *gorm.DB, listed []banks.Account) ([]SyncAccount, error) {
	listed = rules.Distinct(listed)
	known, err := b.knownAccounts(tx)
	if err != nil {
		return nil, err
	}
	adding := b.Sync.reads(rules.ScopeAccounts) || !slices.ContainsFunc(known, b.owns)
	var work []SyncAccount
	seen := make(map[uuid.UUID]bool, len(listed))
	for position, at := range rules.Recognise(asListed(known), listed) {
		var account *Account
		switch {
		case at >= 0:
			if account = known[at]; !b.owns(account) || account.DeletedAt != nil || !account.Supported {
				continue
			}
		case !adding:
			continue
		default:
			account = &Account{ID: NewID(), UserID: b.Access.UserID, AccessID: b.Access.ID, BankID: b.Access.BankID,
				AutoSync: true, Supported: true, CreatedAt: tx.NowFunc()}
		}
		seen[account.ID] = true
		if err := b.putAccount(tx, account, &listed[position], position); err != nil {
			return nil, err
		}
		if b.leavesAlone(account) {
			continue
		}
		changed, err := PutBalances(tx, account.ID, listed[position].Balances, tx.NowFunc())
		if err != nil {
			return nil, err
		}
		w := SyncAccount{SyncID: b.Sync.ID, AccountID: account.ID, Position: position, Status: rules.AccountPending, BalanceChanged: changed,
			Shortfall: Shortfall{Unread: account.Unread}}
		if !b.Sync.reads(rules.ScopeTransactions) || w.Unread != nil {
			w.Status = rules.AccountCompleted
		}
		work = append(work, w)
	}
	gone, err := b.failGone(tx, known, seen)
	if err != nil {
		return nil, err
	}
	for _, w := range gone {
		w.Position = len(listed) + len(work)
		work = append(work, w)
	}
	if len(work) > 0 {
		if err := tx.Create(&work).Error; err != nil {
			return nil, fmt.Errorf("store the synchronization's accounts: %w", err)
		}
	}
	if err := countAccounts(tx, b.Sync.ID); err != nil {
		return nil, err
	}
	for _, w := range work {
		if w.Status == rules.AccountCompleted { // no reading follows that would announce it
			if err := announceAccount(tx, w.SyncID, w.AccountID); err != nil {
				return nil, err
			}
		}
	}
	return work, nil
}

// knownAccounts reads the accounts of the session's access in the bank's order, and behind them those that an upgrade has
// moved to another access: they are recognised, too, so that they do not come back here.
func (b *BankSession) knownAccounts(tx *gorm.DB) (known []*Account, err error) {
	// Locked: what the client changes or deletes at this moment is not overwritten with what was read before.
	err = tx.Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).Where("access_id = ?", b.Access.ID).Order("id").Find(&known).Error
	if err != nil {
		return nil, fmt.Errorf("read the known accounts: %w", err)
	}
	if len(known) == 0 {
		return nil, nil
	}
	var moved []*Account
	err = tx.Where(`access_id IN (SELECT x.id FROM accesses x JOIN accesses a ON a.id = ? AND x.id <> a.id
		WHERE x.id = coalesce(a.parted_from, a.id) OR x.parted_from = coalesce(a.parted_from, a.id))`, b.Access.ID).Find(&moved).Error
	if err != nil {
		return nil, fmt.Errorf("read the accounts that moved away: %w", err)
	}
	for _, all := range [][]*Account{known, moved} {
		slices.SortFunc(all, func(x, y *Account) int {
			return cmp.Or(cmp.Compare(x.Position, y.Position), bytes.Compare(x.ID[:], y.ID[:]))
		})
	}
	return append(known, moved...), nil
}

// asListed returns the accounts as their bank listed them.
func asListed(known []*Account) []banks.Account {
	listed := make([]banks.Account, len(known))
	for i, a := range known {
		listed[i] = a.AtBank()
		listed[i].Name = value(a.ListedName)
	}
	return listed
}

func (b *BankSession) owns(a *Account) bool { return a.AccessID == b.Access.ID }

// leavesAlone reports whether the synchronization is an automatic one, and the client wants the account in none of those.
func (b *BankSession) leavesAlone(a *Account) bool {
	return b.Sync.Trigger == rules.Auto && !a.AutoSync
}

// putAccount stores what the bank says of one listed account.
func (b *BankSession) putAccount(tx *gorm.DB, account *Account, offered *banks.Account, position int) error {
	if account.Identity != "" && account.ResourceID == "" && len(offered.Balances) > 0 {
		// An upgrade moved it here: its new method names balances of other types.
		if err := tx.Where("account_id = ?", account.ID).Delete(&Balance{}).Error; err != nil {
			return fmt.Errorf("forget the balances of the old method: %w", err)
		}
	}
	account.describe(offered, position)
	if account.Unread != nil && !b.leavesAlone(account) { // all that can be read is read
		now := tx.NowFunc()
		account.AttemptedAt, account.SucceededAt, account.Error = &now, &now, nil
		account.Withheld, account.Unreadable = nil, 0
	}
	if err := tx.Save(account).Error; err != nil {
		return fmt.Errorf("store an account: %w", err)
	}
	return nil
}

// failGone returns the failures of the accounts that were to be read and are not listed any more.
func (b *BankSession) failGone(tx *gorm.DB, known []*Account, seen map[uuid.UUID]bool) (gone []SyncAccount, err error) {
	if !b.Sync.reads(rules.ScopeTransactions) {
		return nil, nil
	}
	now := tx.NowFunc()
	failure := &rules.SyncError{Code: banks.CodeAccountGone}
	var ids []uuid.UUID
	for _, a := range known {
		if b.owns(a) && !seen[a.ID] && a.DeletedAt == nil && a.Supported && !b.leavesAlone(a) {
			ids = append(ids, a.ID)
			gone = append(gone, SyncAccount{SyncID: b.Sync.ID, AccountID: a.ID, Status: rules.AccountFailed, Error: failure})
		}
	}
	if len(ids) == 0 {
		return nil, nil
	}
	err = tx.Model(&Account{}).Where("id IN ?", ids).Select("attempted_at", "error").Updates(&Account{AttemptedAt: &now, Error: failure}).Error
	if err != nil {
		return nil, fmt.Errorf("record the attempt: %w", err)
	}
	return gone, nil
}

// describe takes over what the bank says, except the names that the client has given.
func (a *Account) describe(offered *banks.Account, position int) {
	a.ResourceID, a.Card, a.Position = offered.ResourceID, offered.Card, position
	a.Identity = rules.Identity(offered)
	a.Unread, a.ListedName = optional(offered.Unread), optional(offered.Name)
	if a.Type == "" || offered.Type != banks.Unknown {
		a.Type = offered.Type
	}
	for _, said := range []struct {
		before **string
		now    string
	}{{&a.IBAN, offered.IBAN}, {&a.AccountNumber, offered.Number}, {&a.BankCode, offered.BankCode}, {&a.BIC, offered.BIC}, {&a.Currency, offered.Currency}} {
		if said.now != "" { // one protocol says what the other one leaves out: what was known stays known
			*said.before = &said.now
		}
	}
	if !a.Renamed {
		a.Name, a.Owner = optional(offered.Name), optional(offered.Owner)
	}
}

// AtBank is the account as the adapter knows it.
func (a *Account) AtBank() banks.Account {
	return banks.Account{ResourceID: a.ResourceID, IBAN: value(a.IBAN), Number: value(a.AccountNumber),
		BankCode: value(a.BankCode), BIC: value(a.BIC), Currency: value(a.Currency), Type: a.Type, Card: a.Card}
}

// Account finds an account by id.
func (s *Store) Account(ctx context.Context, id uuid.UUID) (a Account, err error) {
	return a, found(s.DB.WithContext(ctx).Take(&a, "id = ?", id).Error, "the account")
}

// EndAccount records how one account's part of a synchronization ended; failure nil is success. Called again, it
// changes nothing.
func EndAccount(tx *gorm.DB, sync, account uuid.UUID, failure *rules.SyncError) error {
	now := tx.NowFunc()
	ended := map[string]any{"status": rules.AccountCompleted, "cursor": nil}
	attempt := map[string]any{"attempted_at": now, "succeeded_at": now, "error": nil}
	for _, column := range []string{"withheld", "unreadable"} {
		attempt[column] = gorm.Expr("(SELECT "+column+" FROM synchronization_accounts WHERE sync_id = ? AND account_id = ?)", sync, account)
	}
	if failure != nil {
		ended["status"] = rules.AccountFailed
		ended["error"] = gorm.Expr("?::jsonb", failure.JSON())
		attempt["error"] = ended["error"]
		delete(attempt, "succeeded_at")
	}
	result := tx.Model(&SyncAccount{}).Where("sync_id = ? AND account_id = ? AND status = 'PENDING'", sync, account).Updates(ended)
	if result.Error != nil {
		return fmt.Errorf("end the account: %w", result.Error)
	}
	if result.RowsAffected == 0 {
		return nil
	}
	if err := tx.Model(&Account{}).Where("id = ?", account).Updates(attempt).Error; err != nil {
		return fmt.Errorf("record the attempt: %w", err)
	}
	if err := countAccounts(tx, sync); err != nil {
		return err
	}
	return announceAccount(tx, sync, account)
}

// countAccounts brings the synchronization's progress in line with its accounts.
func countAccounts(tx *gorm.DB, sync uuid.UUID) error {
	if err := lockSynchronization(tx, sync); err != nil { // accounts are read side by side
		return err
	}
	err := tx.Exec(`UPDATE synchronizations SET (accounts_total, accounts_done, transactions_added, transactions_modified, transactions_removed) = (
		SELECT count(*), count(*) FILTER (WHERE status <> 'PENDING'), coalesce(sum(transactions_added), 0),
		       coalesce(sum(transactions_modified), 0), coalesce(sum(transactions_removed), 0)
		FROM synchronization_accounts WHERE sync_id = ?) WHERE id = ?`, sync, sync).Error
	if err != nil {
		return fmt.Errorf("count the accounts: %w", err)
	}
	return nil
}

// optional is nil for empty text: absent is absent.
func optional(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
