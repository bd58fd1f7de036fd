package models

import (
	"fmt"

	"github.com/google/uuid"
	"gorm.io/gorm"
)

// Transactions lock rows in one order, so that no two of them wait for each other in a circle:
//
//  1. the catalog: LockCatalog
//  2. the user
//  3. the user's accesses, by id
//  4. an account's progress in a synchronization (synchronization_accounts), by account
//  5. accounts, by id
//  6. the synchronization
//  7. what hangs on these rows: session, challenge, answer, consent, credentials, revocations. Whoever changes more than
//     one of them holds the access
//  8. notifications, by id; then what waits for them (notification_queues)
//  9. the changes feed (logChanges), always last
//
// A transaction may leave steps out. It may go back to a row that it holds already.
//
// Locks are FOR NO KEY UPDATE, as PostgreSQL takes them for an UPDATE. FOR UPDATE would also wait for FOR KEY SHARE, which
// a foreign key takes on the row that it names, and not only on INSERT: an UPDATE of a row that this transaction has
// written before checks the row's foreign keys again, even where they have not changed. Two accounts of a synchronization
// that are updated twice each both hold FOR KEY SHARE on it, and could then never get FOR UPDATE. Only a DELETE needs as
// much as that: it begins with the parent, whose children follow.

// lockUser makes a transaction wait for others that change what the user has.
func lockUser(tx *gorm.DB, user string) error {
	if err := tx.Exec(`SELECT FROM users WHERE id = ? FOR NO KEY UPDATE`, user).Error; err != nil {
		return fmt.Errorf("lock the user: %w", err)
	}
	return nil
}

// lockAccess makes a transaction that changes more than one thing of an access come before or after every other one.
func lockAccess(tx *gorm.DB, access uuid.UUID) error {
	if err := tx.Exec(`SELECT FROM accesses WHERE id = ? FOR NO KEY UPDATE`, access).Error; err != nil {
		return fmt.Errorf("lock the access: %w", err)
	}
	return nil
}

// lockProgress locks what has become of a synchronization's accounts, and the accounts that its end will write to: those
// that have not ended, or all of the access where the synchronization did not come to its accounts.
func lockProgress(tx *gorm.DB, sync, access uuid.UUID) error {
	if err := tx.Exec(`SELECT FROM synchronization_accounts WHERE sync_id = ? ORDER BY account_id FOR NO KEY UPDATE`, sync).Error; err != nil {
		return fmt.Errorf("lock the accounts' progress: %w", err)
	}
	err := tx.Exec(`SELECT FROM accounts k WHERE k.id IN (SELECT account_id FROM synchronization_accounts WHERE sync_id = @sync AND status = 'PENDING')
		OR k.access_id = @access AND NOT EXISTS (SELECT FROM synchronization_accounts WHERE sync_id = @sync)
		ORDER BY k.id FOR NO KEY UPDATE OF k`, map[string]any{"sync": sync, "access": access}).Error
	if err != nil {
		return fmt.Errorf("lock the accounts: %w", err)
	}
	return nil
}

// lockSynchronization locks a synchronization. A statement that waits for a row goes on with the snapshot that it began
// with: what is to be counted after the wait is counted in a statement of its own.
func lockSynchronization(tx *gorm.DB, sync uuid.UUID) error {
	if err := tx.Exec(`SELECT FROM synchronizations WHERE id = ? FOR NO KEY UPDATE`, sync).Error; err != nil {
		return fmt.Errorf("lock the synchronization: %w", err)
	}
	return nil
}

// LockCatalog makes changes of the catalog happen one after the other, until the transaction ends.
func LockCatalog(tx *gorm.DB) error {
	if err := tx.Exec(`SELECT pg_advisory_xact_lock(hashtext('kontoflow catalog'))`).Error; err != nil {
		return fmt.Errorf("lock the catalog: %w", err)
	}
	return nil
}
