package models

import (
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/rules"
)

// What a notification can observe: paths of the API whose answers change (docs/api.md). The first two of
// an account are of its id, and so is the last.
const (
	ObserveTransactions        = "/rest/transactions"
	ObserveAccountTransactions = "/rest/accounts/%s/transactions"
	ObserveBalance             = "/rest/accounts/%s/balance"
	ObserveSyncs               = "/rest/syncs"
	ObserveAccesses            = "/rest/accesses"
	ObserveAccess              = "/rest/accesses/%s"
)

// alike are the observe keys that tell the same as one of them does: of all things, and of the one whose id takes the
// place of %s.
func alike(key string) (ofAll, ofOne string) {
	switch {
	case strings.HasSuffix(key, "/transactions"):
		return ObserveTransactions, ObserveAccountTransactions
	case strings.HasPrefix(key, ObserveAccesses):
		return ObserveAccesses, ObserveAccess
	default: // nothing else tells the same
		return key, key
	}
}

// AccessEvent is why an access is announced.
type AccessEvent string

const (
	EventStatusChanged   AccessEvent = "STATUS_CHANGED"
	EventNeedsAuth       AccessEvent = "NEEDS_AUTH"       // nothing works any more until the customer has done something
	EventHealed          AccessEvent = "HEALED"           // they have
	EventConsentExpiring AccessEvent = "CONSENT_EXPIRING" // the bank's consent is about to end: `expires_at`
	EventUpgradePending  AccessEvent = "UPGRADE_PENDING"  // the next synchronization that a client starts upgrades it
)

// deliveryWindow is how long a delivery is tried, from the change that it tells of on.
const deliveryWindow = 72 * time.Hour

// AnnounceAccess tells whoever observes the access of an event; set adds to what they hear: ids, states, codes and
// times, nothing else. Call it in the transaction that makes the change, and not where the synchronization that caused
// it has DisableNotifications.
func AnnounceAccess(tx *gorm.DB, access uuid.UUID, event AccessEvent, set map[string]any) error {
	var a struct{ UserID, Status string }
	// Locked, so that the access's announcements are numbered in the order in which they are committed.
	err := tx.Raw(`SELECT user_id, status FROM accesses WHERE id = ? FOR NO KEY UPDATE`, access).Scan(&a).Error
	if err != nil {
		return fmt.Errorf("read the access that is announced: %w", err)
	}
	var observers []observer
	err = tx.Raw(`SELECT id, observe_key FROM notifications WHERE user_id = ? AND observe_key IN ? ORDER BY id FOR SHARE`,
		a.UserID, []string{ObserveAccesses, fmt.Sprintf(ObserveAccess, access)}).Scan(&observers).Error
	if err != nil {
		return fmt.Errorf("look who observes the access: %w", err)
	}
	data := map[string]any{"access_id": access, "event": event, "status": a.Status}
	if event == EventUpgradePending {
		data["status"] = rules.AccessUpgradePending // which is never stored
	}
	maps.Copy(data, set)
	return announce(tx, observers, access, data)
}

// announceSync tells whoever observes synchronizations which state this one has come to.
func announceSync(tx *gorm.DB, sync uuid.UUID) error {
	var rows []struct {
		Observer  observer `gorm:"embedded"`
		AccessID  uuid.UUID
		Status    rules.SyncStatus
		Trigger   string
		ErrorCode *int
	}
	err := tx.Raw(`SELECT n.id, n.observe_key, y.access_id, y.status, y.trigger, (y.error->>'code')::integer AS error_code
		FROM synchronizations y JOIN accesses a ON a.id = y.access_id
		JOIN notifications n ON n.user_id = a.user_id AND n.observe_key = ?
		WHERE y.id = ? AND NOT y.disable_notifications ORDER BY n.id FOR SHARE OF n`, ObserveSyncs, sync).Scan(&rows).Error
	if err != nil {
		return fmt.Errorf("look who observes the synchronization: %w", err)
	}
	if len(rows) == 0 {
		return nil
	}
	data := map[string]any{"sync_id": sync, "access_id": rows[0].AccessID, "status": rows[0].Status, "trigger": rows[0].Trigger}
	if code := rows[0].ErrorCode; code != nil {
		data["error_code"] = *code
	}
	observers := make([]observer, len(rows))
	for i := range rows {
		observers[i] = rows[i].Observer
	}
	return announce(tx, observers, sync, data)
}

// announceAccount tells whoever observes an account what its part of a synchronization changed, if anything: called
// once, at the end of that part.
func announceAccount(tx *gorm.DB, sync, account uuid.UUID) error {
	transactions := []string{ObserveTransactions, fmt.Sprintf(ObserveAccountTransactions, account)}
	balance := fmt.Sprintf(ObserveBalance, account)
	var rows []struct {
		Observer                                                     observer `gorm:"embedded"`
		AccessID                                                     uuid.UUID
		TransactionsAdded, TransactionsModified, TransactionsRemoved int
	}
	err := tx.Raw(`SELECT n.id, n.observe_key, k.access_id, w.transactions_added, w.transactions_modified, w.transactions_removed
		FROM synchronization_accounts w JOIN synchronizations y ON y.id = w.sync_id
		JOIN accounts k ON k.id = w.account_id
		JOIN notifications n ON n.user_id = k.user_id AND (n.observe_key IN ? AND w.transactions_added + w.transactions_modified + w.transactions_removed > 0
			OR n.observe_key = ? AND w.balance_changed)
		WHERE w.sync_id = ? AND w.account_id = ? AND k.deleted_at IS NULL AND NOT y.disable_notifications
		ORDER BY n.id FOR SHARE OF n`, transactions, balance, sync, account).Scan(&rows).Error
	if err != nil {
		return fmt.Errorf("look who observes the account: %w", err)
	}
	for _, row := range rows {
		data := map[string]any{"account_id": account, "access_id": row.AccessID, "sync_id": sync}
		if row.Observer.ObserveKey != balance {
			data["added"], data["modified"], data["removed"] = row.TransactionsAdded, row.TransactionsModified, row.TransactionsRemoved
		}
		if err := announce(tx, []observer{row.Observer}, account, data); err != nil {
			return err
		}
	}
	return nil
}

// observer is a notification that hears of something.
type observer struct {
	ID         uuid.UUID
	ObserveKey string
}

// notificationEvent is a row of the outbox as it begins.
type notificationEvent struct {
	ID             uuid.UUID
	NotificationID uuid.UUID
	Thing          uuid.UUID
	ObserveKey     string
	Data           json.RawMessage `gorm:"type:jsonb"`
	CreatedAt      time.Time
	ExpiresAt      time.Time
}

// TableName is the entity's long name.
func (notificationEvent) TableName() string { return "notification_events" }

// announce puts a delivery for each observer into the outbox. The thing's row is locked, and so are the observers: what
// they observe does not change meanwhile.
func announce(tx *gorm.DB, observers []observer, thing uuid.UUID, data map[string]any) error {
	if len(observers) == 0 {
		return nil
	}
	encoded, err := json.Marshal(data)
	if err != nil {
		return fmt.Errorf("word the announcement: %w", err)
	}
	now := tx.NowFunc()
	events := make([]notificationEvent, len(observers))
	for i, o := range observers {
		events[i] = notificationEvent{ID: NewID(), NotificationID: o.ID, Thing: thing, ObserveKey: o.ObserveKey, Data: encoded,
			CreatedAt: now, ExpiresAt: now.Add(deliveryWindow)}
	}
	if err := tx.Create(&events).Error; err != nil {
		return fmt.Errorf("announce the change: %w", err)
	}
	return nil
}

// WireTime is an instant as the API writes it: UTC, with milliseconds.
func WireTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
