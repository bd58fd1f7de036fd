package models

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"kontoflow/plain"
	"kontoflow/providers"
)

// An Account of a customer. Its id stays, whatever the bank does to its handles and ids.
type Account struct {
	ID            uuid.UUID
	UserID        string
	AccessID      uuid.UUID
	BankID        uuid.UUID
	Identity      string // see identity
	ResourceID    string // the bank's handle under the present consent; "": moved to another method, and not listed since
	Card          bool
	IBAN          *string
	AccountNumber *string
	BankCode      *string
	BIC           *string
	Name          *string
	Owner         *string
	Renamed       bool // name and owner were set by the client
	Type          providers.AccountType
	Currency      *string
	AutoSync      bool
	Supported     bool // false: readable, but no longer synchronized
	Position      int
	ReadUntil     plain.Date // last day that a complete reading covered
	ReadFrom      plain.Date // first day that a reading asked for; zero: as far back as the bank gives
	AttemptedAt   *time.Time
	SucceededAt   *time.Time
	Error         *SyncError        `gorm:"serializer:json"` // of the last attempt; nil: it succeeded
	Shortfall     `gorm:"embedded"` // of the last attempt
	CreatedAt     time.Time
	DeletedAt     *time.Time
}

// A Shortfall is what was not read of an account although its reading did not fail.
type Shortfall struct {
	Unread     *string // why its transactions are never asked for (providers.Account.Unread); nil: they are
	Withheld   *string // why the answer did not cover all that was asked for (providers.Withheld); nil: it did
	Unreadable int     // values that were left out or replaced (providers.Unreadable)
}

// identity is what an account is recognised by: its IBAN or else its number, and its currency, since sub-accounts in
// several currencies share an IBAN. The bank's resource id would not do: it changes with every consent.
func identity(a providers.Account) string {
	number := a.IBAN
	if number == "" {
		number = a.BankCode + "/" + a.Number
	}
	if a.IBAN == "" && a.Number == "" {
		number = "#" + a.ResourceID // nothing better: a new consent may then make a new account
	}
	return number + "/" + a.Currency
}

// recognise tells of each listed account which of the known ones it is; nil: none. Identities come first. What is left
// over then may have been known over another protocol, which says other things about it: it is recognised by its number
// and currency, as far as both are said, where only one account comes into question.
func recognise(known []Account, listed []providers.Account) []*Account {
	found := make([]*Account, len(listed))
	taken := make(map[*Account]int) // how many listed ones it may be
	for i := range listed {
		for k := range known {
			if known[k].Identity == identity(listed[i]) {
				found[i] = &known[k]
				taken[found[i]]++
			}
		}
	}
	alike := make([]*Account, len(listed))
	for i := range listed {
		if found[i] != nil {
			continue
		}
		candidates := 0
		for k := range known {
			if taken[&known[k]] == 0 && known[k].alike(&listed[i]) {
				alike[i] = &known[k]
				candidates++
			}
		}
		if candidates != 1 {
			alike[i] = nil
		}
	}
	for _, a := range alike {
		taken[a]++
	}
	for i, a := range alike {
		if a != nil && taken[a] == 1 {
			found[i] = a
		}
	}
	return found
}

// alike reports whether a listed account may be this one: the same number, and no other currency.
func (a *Account) alike(listed *providers.Account) bool {
	number := nationalNumber(value(a.IBAN), value(a.BankCode), value(a.AccountNumber))
	return number != "" && number == nationalNumber(listed.IBAN, listed.BankCode, listed.Number) &&
		(a.Currency == nil || listed.Currency == "" || *a.Currency == listed.Currency)
}

// nationalNumber is the part of an IBAN that names bank and account. A German one is the bank code and the account's
// number, filled up with zeros to ten digits (IBAN-Regel 000000 of the Bundesbank), for those who say these instead.
func nationalNumber(iban, bankCode, number string) string {
	switch {
	case len(iban) > 4:
		return iban[:2] + iban[4:]
	case bankCode == "" && len(number) == 18:
		return "DE" + number
	case len(bankCode) == 8 && number != "" && len(number) <= 10:
		return "DE" + bankCode + strings.Repeat("0", 10-len(number)) + number
	}
	return ""
}

// SyncAccount is what happens to one account in one synchronization.
type SyncAccount struct {
	SyncID               uuid.UUID `gorm:"primaryKey"`
	AccountID            uuid.UUID `gorm:"primaryKey"`
	Position             int
	Status               string     // PENDING | COMPLETED | FAILED
	Error                *SyncError `gorm:"serializer:json"`
	Pages                int        // stored pages of a first reading
	Cursor               []byte     // sealed: where the next page begins
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
// accounts keep their ids. New ones are added on an access's first reading, and when the scope is ACCOUNTS. Known ones
// that the bank no longer lists fail with 10011. With the scope ACCOUNTS alone, being listed is all there is to do. An
// automatic synchronization leaves alone those that the client does not want to be read by themselves.
func (b *BankSession) PutAccounts(tx *gorm.DB, listed []providers.Account) ([]SyncAccount, error) {
	now := tx.NowFunc()
	var known []Account
	// Locked: what the client changes or deletes at this moment is not overwritten with what was read before.
	err := tx.Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).Where("access_id = ?", b.Access.ID).Order("id").Find(&known).Error
	if err != nil {
		return nil, fmt.Errorf("read the known accounts: %w", err)
	}
	alike := recognise(known, listed)
	transactions, adding := b.Sync.reads(ScopeTransactions), len(known) == 0 || b.Sync.reads(ScopeAccounts)
	var parted []Account // an upgrade moved them to another access: they do not come back
	if adding && len(known) > 0 {
		err := tx.Where(`access_id IN (SELECT x.id FROM accesses x JOIN accesses a ON a.id = ? AND x.id <> a.id
			WHERE x.id = coalesce(a.parted_from, a.id) OR x.parted_from = coalesce(a.parted_from, a.id))`, b.Access.ID).Find(&parted).Error
		if err != nil {
			return nil, fmt.Errorf("read the accounts that moved away: %w", err)
		}
	}
	moved := recognise(parted, listed)

	var work []SyncAccount
	seen, added := make(map[uuid.UUID]bool, len(listed)), make(map[string]*Account)
	for position, offered := range listed {
		account := alike[position]
		if account == nil {
			account = added[identity(offered)]
		}
		switch {
		case account == nil && (!adding || moved[position] != nil), account != nil && (account.DeletedAt != nil || !account.Supported || seen[account.ID]):
			continue
		case account == nil:
			account = &Account{ID: NewID(), UserID: b.Access.UserID, AccessID: b.Access.ID, BankID: b.Access.BankID,
				Identity: identity(offered), AutoSync: true, Supported: true, CreatedAt: now}
			added[account.Identity] = account
		}
		seen[account.ID] = true
		if alike[position] != nil && account.ResourceID == "" && len(offered.Balances) > 0 { // moved by an upgrade: another method says other kinds of balances
			if err := tx.Where("account_id = ?", account.ID).Delete(&Balance{}).Error; err != nil {
				return nil, fmt.Errorf("forget the balances of the old method: %w", err)
			}
		}
		account.describe(offered, position)
		if account.Unread != nil { // all that can be read is read
			account.AttemptedAt, account.SucceededAt, account.Error = &now, &now, nil
		}
		if err := tx.Save(account).Error; err != nil {
			return nil, fmt.Errorf("store an account: %w", err)
		}
		if b.Sync.Trigger == Auto && !account.AutoSync {
			continue
		}
		changed, err := PutBalances(tx, account.ID, offered.Balances, now)
		if err != nil {
			return nil, err
		}
		w := SyncAccount{SyncID: b.Sync.ID, AccountID: account.ID, Position: position, Status: "PENDING", BalanceChanged: changed,
			Shortfall: Shortfall{Unread: account.Unread}}
		if !transactions || w.Unread != nil {
			w.Status = "COMPLETED"
		}
		work = append(work, w)
	}
	for _, account := range known {
		if !seen[account.ID] && account.DeletedAt == nil && account.Supported && transactions && (account.AutoSync || b.Sync.Trigger != Auto) {
			work = append(work, SyncAccount{SyncID: b.Sync.ID, AccountID: account.ID, Position: len(listed) + len(work),
				Status: "FAILED", Error: &SyncError{Code: providers.CodeAccountGone}})
		}
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
		if w.Status == "COMPLETED" { // being listed is all there was to do: no reading follows that would announce it
			if err := announceAccount(tx, w.SyncID, w.AccountID); err != nil {
				return nil, err
			}
		}
	}
	return work, nil
}

// describe takes over what the bank says, except what the client named himself.
func (a *Account) describe(offered providers.Account, position int) {
	a.ResourceID, a.Card, a.Position = offered.ResourceID, offered.Card, position
	a.Identity = identity(offered)
	a.Unread = optional(offered.Unread)
	if a.Type == "" || offered.Type != providers.Unknown {
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
func (a *Account) AtBank() providers.Account {
	return providers.Account{ResourceID: a.ResourceID, IBAN: value(a.IBAN), Number: value(a.AccountNumber),
		BankCode: value(a.BankCode), BIC: value(a.BIC), Currency: value(a.Currency), Type: a.Type, Card: a.Card}
}

// Account finds an account by id.
func (s *Store) Account(ctx context.Context, id uuid.UUID) (a Account, err error) {
	return a, found(s.DB.WithContext(ctx).Take(&a, "id = ?", id).Error, "the account")
}

// EndAccount records how one account's part of a synchronization ended; failure nil is success. Called again, it
// changes nothing.
func EndAccount(tx *gorm.DB, sync, account uuid.UUID, failure *SyncError) error {
	now := tx.NowFunc()
	ended := map[string]any{"status": "COMPLETED", "cursor": nil}
	attempt := map[string]any{"attempted_at": now, "succeeded_at": now, "error": nil}
	for _, column := range []string{"withheld", "unreadable"} {
		attempt[column] = gorm.Expr("(SELECT "+column+" FROM synchronization_accounts WHERE sync_id = ? AND account_id = ?)", sync, account)
	}
	if failure != nil {
		ended["status"] = "FAILED"
		ended["error"] = gorm.Expr("?::jsonb", failure.json())
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
