package models

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"
)

// A Notification tells a client's receiver when something changes: see Announce… for what is told, and Lease for how
// it is delivered.
type Notification struct {
	ID         uuid.UUID
	UserID     string
	ObserveKey string // one of Observe…
	Receiver   string // host and port of the target
	State      *string
	Target     []byte // sealed
	CreatedAt  time.Time
}

// A Target is where deliveries go, and what signs them.
type Target struct {
	URI      string           `json:"uri"`
	Secret   string           `json:"secret"`             // "whsec_" and base64, as Standard Webhooks writes it
	Replaced []ReplacedSecret `json:"replaced,omitempty"` // the newest first
}

// A ReplacedSecret signs as well until a time.
type ReplacedSecret struct {
	Secret string    `json:"secret"`
	Until  time.Time `json:"until"`
}

const (
	rotationOverlap = 24 * time.Hour // how long a replaced secret signs, too
	maxReplaced     = 10             // that sign at a time: each adds 48 bytes to a header of every delivery
)

// Rotate replaces the secret. ErrTooMany: so many were replaced lately that one of them would have to stop signing early.
func (t *Target) Rotate(now time.Time) error {
	t.Replaced = slices.DeleteFunc(t.Replaced, func(r ReplacedSecret) bool { return !now.Before(r.Until) })
	if len(t.Replaced) == maxReplaced {
		return ErrTooMany
	}
	t.Replaced = slices.Insert(t.Replaced, 0, ReplacedSecret{t.Secret, now.Add(rotationOverlap)})
	t.Secret = newSigningSecret()
	return nil
}

// Secrets are those that sign at a time, the present one first.
func (t *Target) Secrets(now time.Time) []string {
	all := []string{t.Secret}
	for _, r := range t.Replaced {
		if now.Before(r.Until) {
			all = append(all, r.Secret)
		}
	}
	return all
}

func newSigningSecret() string {
	var b [32]byte
	rand.Read(b[:]) // never fails
	return "whsec_" + base64.StdEncoding.EncodeToString(b[:])
}

// receiverOf is the host and port that deliveries to uri go to.
func receiverOf(uri string) (string, error) {
	u, err := url.Parse(uri)
	if err != nil || u.Hostname() == "" {
		return "", errors.New("the receiver's address cannot be read") // the parser's error quotes it
	}
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return strings.ToLower(u.Hostname()) + ":" + port, nil
}

// maxNotifications is how many a user may have: every change is written once for each that observes it.
const maxNotifications = 1000

// ErrTooMany says that there are as many as there may be.
var ErrTooMany = errors.New("there are as many as there may be")

// CreateNotification stores a notification with a new signing secret. ErrNotFound: the user is gone. ErrTooMany.
func (s *Store) CreateNotification(ctx context.Context, user, observeKey, uri, state string) (n Notification, t Target, err error) {
	t = Target{URI: uri, Secret: newSigningSecret()}
	n = Notification{ID: NewID(), UserID: user, ObserveKey: observeKey, State: optional(state), CreatedAt: s.Now()}
	if err := s.sealTarget(&n, t); err != nil {
		return n, t, err
	}
	return n, t, s.Transact(ctx, func(tx *gorm.DB) error {
		var users []string
		// One at a time, and before or after a deletion of the user.
		if err := tx.Raw(`SELECT id FROM users WHERE id = ? AND deleted_at IS NULL FOR NO KEY UPDATE`, user).Scan(&users).Error; err != nil {
			return fmt.Errorf("lock the user: %w", err)
		}
		if len(users) == 0 {
			return ErrNotFound
		}
		var count int64
		if err := tx.Model(&Notification{}).Where("user_id = ?", user).Count(&count).Error; err != nil {
			return fmt.Errorf("count the notifications: %w", err)
		}
		if count >= maxNotifications {
			return ErrTooMany
		}
		if err := tx.Create(&n).Error; err != nil {
			return fmt.Errorf("store the notification: %w", err)
		}
		return nil
	})
}

func (s *Store) sealTarget(n *Notification, t Target) (err error) {
	if n.Receiver, err = receiverOf(t.URI); err != nil {
		return err
	}
	n.Target, err = seal(s.Vault, t, targetPlace(n.ID))
	return err
}

// OpenTarget opens where a notification's deliveries go.
func (s *Store) OpenTarget(n *Notification) (t Target, err error) {
	return t, open(s.Vault, n.Target, targetPlace(n.ID), &t)
}

// Notifications lists a user's, oldest first.
func (s *Store) Notifications(ctx context.Context, user string) (all []Notification, err error) {
	if err := s.DB.WithContext(ctx).Where("user_id = ?", user).Order("created_at, id").Find(&all).Error; err != nil {
		return nil, fmt.Errorf("read the notifications: %w", err)
	}
	return all, nil
}

// Notification finds one of a user's. ErrNotFound.
func (s *Store) Notification(ctx context.Context, user string, id uuid.UUID) (n Notification, err error) {
	return n, found(s.DB.WithContext(ctx).Take(&n, "id = ? AND user_id = ?", id, user).Error, "the notification")
}

// UpdateNotification changes one of a user's by what change does to it. Where it observes something else then, what waits
// and is none of that is dropped. Where it has another address, what waits is due there at once, as if it had never been
// tried, and an attempt that is under way at the old one counts for nothing. ErrNotFound, and change's own errors.
func (s *Store) UpdateNotification(ctx context.Context, user string, id uuid.UUID, change func(*Notification, *Target) error) (n Notification, t Target, err error) {
	return n, t, s.Transact(ctx, func(tx *gorm.DB) error {
		err := tx.Clauses(clause.Locking{Strength: "NO KEY UPDATE"}).Take(&n, "id = ? AND user_id = ?", id, user).Error
		if err != nil {
			return found(err, "the notification")
		}
		if err := lockQueues(tx, id); err != nil {
			return err
		}
		if t, err = s.OpenTarget(&n); err != nil {
			return err
		}
		key, uri := n.ObserveKey, t.URI
		if err := change(&n, &t); err != nil {
			return err
		}
		if err := s.sealTarget(&n, t); err != nil {
			return err
		}
		if err := tx.Model(&n).Select("observe_key", "receiver", "state", "target").Updates(&n).Error; err != nil {
			return fmt.Errorf("change the notification: %w", err)
		}
		if n.ObserveKey != key {
			if err := turnToKey(tx, &n, key); err != nil {
				return err
			}
		}
		if t.URI != uri {
			return turnToReceiver(tx, &n)
		}
		return nil
	})
}

// turnToKey lets what waits go out under the notification's key, as far as that tells of it as the one before did. What
// is dropped of a lane is all of it.
func turnToKey(tx *gorm.DB, n *Notification, before string) error {
	ofAll, ofOne := alike(before)
	err := tx.Exec(`DELETE FROM notification_events WHERE notification_id = ? AND ? NOT IN (?, format(?, thing))`, n.ID, n.ObserveKey, ofAll, ofOne).Error
	if err == nil {
		err = tx.Exec(`UPDATE notification_events SET observe_key = ? WHERE notification_id = ?`, n.ObserveKey, n.ID).Error
	}
	if err != nil {
		return fmt.Errorf("let the waiting deliveries follow the observe key: %w", err)
	}
	return nil
}

// turnToReceiver lets what waits go to the notification's receiver, at once.
func turnToReceiver(tx *gorm.DB, n *Notification) error {
	now := tx.NowFunc()
	err := tx.Exec(`UPDATE notification_events SET next_at = ?, attempts = 0 WHERE notification_id = ? AND next_at IS NOT NULL`, now, n.ID).Error
	if err == nil {
		err = tx.Exec(`UPDATE notification_queues SET receiver = ?, next_at = ?, lease = NULL WHERE notification_id = ?`, n.Receiver, now, n.ID).Error
	}
	if err != nil {
		return fmt.Errorf("let the waiting deliveries go to the new receiver: %w", err)
	}
	return nil
}

// DeleteNotification deletes one of a user's, with what waits for it. ErrNotFound.
func (s *Store) DeleteNotification(ctx context.Context, user string, id uuid.UUID) error {
	return s.Transact(ctx, func(tx *gorm.DB) error {
		deleted, err := deleteNotifications(tx, "id = ? AND user_id = ?", id, user)
		if err == nil && deleted == 0 {
			err = ErrNotFound
		}
		return err
	})
}

// DeleteNotifications deletes all of a user's.
func DeleteNotifications(tx *gorm.DB, user string) error {
	_, err := deleteNotifications(tx, "user_id = ?", user)
	return err
}

func deleteNotifications(tx *gorm.DB, which string, arguments ...any) (deleted int, err error) {
	var ids []uuid.UUID
	if err := tx.Raw(`SELECT id FROM notifications WHERE `+which+` ORDER BY id FOR UPDATE`, arguments...).Scan(&ids).Error; err != nil {
		return 0, fmt.Errorf("lock the notifications: %w", err)
	}
	if err := lockQueues(tx, ids...); err != nil {
		return 0, err
	}
	if err := tx.Where("id IN ?", ids).Delete(&Notification{}).Error; err != nil {
		return 0, fmt.Errorf("delete the notifications: %w", err)
	}
	return len(ids), nil
}

// lockQueues holds what waits for the notifications as it is. The notifications themselves are locked before, in the
// order of their ids, as QueueAnnounced does it: so that none waits for another in circles.
func lockQueues(tx *gorm.DB, notifications ...uuid.UUID) error {
	err := tx.Exec(`SELECT FROM notification_queues WHERE notification_id IN ? ORDER BY notification_id FOR UPDATE`, notifications).Error
	if err != nil {
		return fmt.Errorf("lock what waits for the notifications: %w", err)
	}
	return nil
}
