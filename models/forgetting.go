package models

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"
)

const (
	// CourseKept is how long it is kept how an ended synchronization went: events, challenges with their answers, and the
	// conversation with the bank.
	CourseKept = 30 * 24 * time.Hour
	// SynchronizationsKept is how long an ended synchronization itself is kept, with what became of each account.
	SynchronizationsKept = ChangesKept
)

// ForgetCourses deletes how synchronizations went that ended before a time: at most limit of them, the oldest first. It
// answers how many there were. What another worker is deleting at this moment is left to it.
func (s *Store) ForgetCourses(ctx context.Context, before time.Time, limit int) (n int, err error) {
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		var ended []uuid.UUID
		// The first event is there as long as anything of the course is, and nothing ended before it began.
		err := tx.Raw(`SELECT e.sync_id FROM synchronization_events e JOIN synchronizations y ON y.id = e.sync_id
			WHERE e.number = 1 AND e.created_at < @before AND y.ended_at < @before
			ORDER BY e.created_at LIMIT @limit FOR NO KEY UPDATE OF y SKIP LOCKED FOR UPDATE OF e SKIP LOCKED`,
			map[string]any{"before": before, "limit": limit}).Scan(&ended).Error
		if err != nil {
			return fmt.Errorf("look for old synchronizations: %w", err)
		}
		if len(ended) == 0 {
			return nil
		}
		for _, table := range []string{"synchronization_events", "bank_sessions", "challenges"} { // answers go with their challenges
			if err := tx.Exec(`DELETE FROM `+table+` WHERE sync_id IN ?`, ended).Error; err != nil {
				return fmt.Errorf("forget how old synchronizations went: %w", err)
			}
		}
		n = len(ended)
		return nil
	})
	return n, err
}

// ForgetSynchronizations deletes synchronizations that ended before a time, but for each access's newest one. It looks at
// those that ended after another time, at most limit of them, the oldest first, and answers at how many, and when the last
// of them ended: what is kept of the oldest is passed over from there. Transactions go on naming what first saw or last
// changed them.
func (s *Store) ForgetSynchronizations(ctx context.Context, before, after time.Time, limit int) (last time.Time, n int, err error) {
	err = s.DB.WithContext(ctx).Raw(`
		WITH old AS (
			SELECT y.id, y.ended_at, EXISTS (SELECT FROM synchronizations n WHERE n.access_id = y.access_id
				AND (n.created_at, n.id) > (y.created_at, y.id)) AS followed
			FROM synchronizations y WHERE y.ended_at > @after AND y.ended_at < @before
			ORDER BY y.ended_at LIMIT @limit
		), gone AS (
			-- Only what goes is locked: a lock is a write, and most of what is looked at may be there to stay.
			DELETE FROM synchronizations WHERE id IN (
				SELECT id FROM synchronizations WHERE id IN (SELECT id FROM old WHERE followed) FOR UPDATE SKIP LOCKED)
		)
		SELECT coalesce(max(ended_at), @after), count(*) FROM old`,
		map[string]any{"before": before, "after": after, "limit": limit}).Row().Scan(&last, &n)
	if err != nil {
		return after, 0, fmt.Errorf("forget old synchronizations: %w", err)
	}
	return last, n, nil
}
