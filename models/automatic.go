package models

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/rules"
)

// Automatic synchronization: once a day, at the access's own time of the day, where nothing speaks against it.
//
// accesses.next_sync_at says when an access is looked at next. StartDue takes what is due, and asks AutoSyncs whether it
// may run; the API asks the same of the same function, so that what it tells is what will happen. The end of every
// synchronization sets the next time (settleSchedule).

// AutoSync is how it stands about an access's automatic synchronization.
type AutoSync struct {
	rules.Autonomy
	AccessID         uuid.UUID
	BankID           uuid.UUID
	Running          bool // a synchronization of the access is under way
	UpgradeTo        *uuid.UUID
	UpgradeAnnounced *uuid.UUID
}

// AutoSyncs returns how it stands about the automatic synchronization of accesses, at the time of tx's clock.
func AutoSyncs(tx *gorm.DB, accesses ...uuid.UUID) (map[uuid.UUID]AutoSync, error) {
	now := tx.NowFunc()
	reads, err := unattendedReads(tx, now, accesses)
	if err != nil {
		return nil, err
	}
	var all []struct {
		ID, BankID                                       uuid.UUID
		UpgradeAnnounced, UpgradeTo                      *uuid.UUID
		Running, Unwanted, NeedsUserEachTime             bool
		GrantsConsents, HasConsent, OneTime, SecretsLack bool
		Status                                           rules.AccessStatus
		StoppedBy                                        *rules.Reason
		ValidUntil                                       *time.Time
		FrequencyPerDay                                  int
		NextSyncAt                                       time.Time
	}
	err = tx.Raw(`
		SELECT a.id, a.bank_id, a.upgrade_announced, p.access_method_id AS upgrade_to, a.status, a.stopped_by, a.needs_user_each_time,
		       a.next_sync_at, m.grants_consents, coalesce(a.consent ->> 'recurring' = 'false', false) AS one_time,
		       c.id IS NOT NULL AS has_consent, c.valid_until, coalesce(c.frequency_per_day, 0) AS frequency_per_day,
		       EXISTS (SELECT FROM synchronizations y WHERE y.access_id = a.id AND y.ended_at IS NULL) AS running,
		       NOT (SELECT coalesce(bool_or(k.deleted_at IS NULL AND k.supported AND k.auto_sync), true)
		            FROM accounts k WHERE k.access_id = a.id) AS unwanted,
		       EXISTS (SELECT FROM jsonb_array_elements(m.credentials) f
		            WHERE NOT (f ->> 'is_optional')::boolean
		            AND NOT EXISTS (SELECT FROM credentials x WHERE x.access_id = a.id AND x.sync_id IS NULL AND x.keep AND x.key = f ->> 'key'))
		            AS secrets_lack
		FROM accesses a
		JOIN access_methods m ON m.id = a.access_method_id
		LEFT JOIN pending_upgrades p ON p.access_id = a.id AND p.superseded_from <= @now
		LEFT JOIN consents c ON c.access_id = a.id AND c.status = 'VALID'
		WHERE a.id IN @accesses`, map[string]any{"now": now, "accesses": accesses}).Scan(&all).Error
	if err != nil {
		return nil, fmt.Errorf("read how it stands about automatic synchronization: %w", err)
	}
	byAccess := make(map[uuid.UUID]AutoSync, len(all))
	for _, a := range all {
		facts := rules.AutoFacts{Status: a.Status, Superseded: a.UpgradeTo != nil, Unwanted: a.Unwanted, NeedsUserEachTime: a.NeedsUserEachTime,
			GrantsConsents: a.GrantsConsents, OneTime: a.OneTime, SecretsMissing: a.SecretsLack, NextSyncAt: a.NextSyncAt, Reads: reads[a.ID]}
		if a.StoppedBy != nil {
			facts.StoppedBy = *a.StoppedBy
		}
		if a.HasConsent {
			facts.Consent = &rules.Consent{FrequencyPerDay: a.FrequencyPerDay}
			if a.ValidUntil != nil {
				facts.Consent.ValidUntil = *a.ValidUntil
			}
		}
		byAccess[a.ID] = AutoSync{Autonomy: facts.Decide(now), AccessID: a.ID, BankID: a.BankID, Running: a.Running,
			UpgradeTo: a.UpgradeTo, UpgradeAnnounced: a.UpgradeAnnounced}
	}
	return byAccess, nil
}

// unattendedReads returns when accesses were read without their customers in the last 24 hours. What runs ends now.
func unattendedReads(tx *gorm.DB, now time.Time, accesses []uuid.UUID) (map[uuid.UUID]rules.Reads, error) {
	var ends []struct {
		AccessID uuid.UUID
		EndedAt  time.Time
	}
	err := tx.Raw(`SELECT access_id, coalesce(ended_at, @now) AS ended_at FROM synchronizations
		WHERE access_id IN @accesses AND unattended AND (ended_at IS NULL OR ended_at > @dayAgo AND started_at IS NOT NULL)`,
		map[string]any{"now": now, "dayAgo": now.Add(-24 * time.Hour), "accesses": accesses}).Scan(&ends).Error
	if err != nil {
		return nil, fmt.Errorf("read what was read without the customer: %w", err)
	}
	reads := make(map[uuid.UUID]rules.Reads)
	for _, e := range ends {
		reads[e.AccessID] = append(reads[e.AccessID], e.EndedAt)
	}
	return reads, nil
}

// AutoLimits bound how many automatic synchronizations run at once. What is beyond them waits in the database, where it
// delays nobody.
type AutoLimits struct {
	PerBank int
	Whole   int
	Starts  int // of one call of StartDue; 0: as many as the others let
}

// Due is what StartDue found.
type Due struct {
	Started  []SyncRef // stored as QUEUED; their workflows are to be started
	Examined int       // accesses that were due and no longer are, whether they were started or not
	Waiting  bool      // more is due: beyond the limits, or locked by somebody else at this moment
}

// page is how many accesses one transaction of StartDue examines and holds: some more than are to be started, as not
// every one that is due may be.
func (l AutoLimits) page() int {
	const most, each = 200, 4
	if l.Starts == 0 {
		return most
	}
	return min(most, each*l.Starts)
}

// StartDue stores synchronizations for accesses that are due: of a bank the longest due first, and of the banks those of
// which the fewest run. Each access that was due has another next_sync_at after it: no access is examined twice for the
// same time, however often StartDue is interrupted.
func (s *Store) StartDue(ctx context.Context, limits AutoLimits) (due Due, err error) {
	err = s.Transact(ctx, func(tx *gorm.DB) error {
		due = Due{}
		candidates, waiting, err := dueAccesses(tx, limits)
		if err != nil {
			return err
		}
		due.Waiting = waiting
		if len(candidates) == 0 {
			return nil
		}
		standings, err := AutoSyncs(tx, candidates...)
		if err != nil {
			return err
		}
		next := make(map[uuid.UUID]time.Time, len(candidates))
		now := tx.NowFunc()
		for _, id := range candidates {
			a := standings[id]
			switch {
			case a.Reason != "":
				next[id] = rules.NextSlot(id, now)
				if a.Reason == rules.UpgradePending && (a.UpgradeAnnounced == nil || *a.UpgradeAnnounced != *a.UpgradeTo) {
					if err := announceUpgrade(tx, a); err != nil {
						return err
					}
				}
			case a.Running: // a manual one: when it succeeds, this day is done
				next[id] = now.Add(15 * time.Minute)
			case a.Remaining == 0:
				next[id] = a.RetryAt
			case limits.Starts > 0 && len(due.Started) == limits.Starts:
				due.Waiting = true
			default:
				next[id] = rules.NextSlot(id, now) // until its end says otherwise
				y := Synchronization{ID: NewID(), AccessID: id, Status: rules.Queued, Trigger: rules.Auto, Scope: Strings{rules.ScopeTransactions},
					Unattended: true, CreatedAt: now}
				if err := CreateSynchronization(tx, &y); err != nil {
					return err
				}
				due.Started = append(due.Started, SyncRef{ID: y.ID, AccessID: id, BankID: a.BankID, Trigger: y.Trigger, Scope: y.Scope})
			}
		}
		due.Examined = len(next)
		return reschedule(tx, next)
	})
	return due, err
}

// dueAccesses finds due accesses of every bank, within the limits, and locks them. Every bank is asked for its own with
// one look at an index, so that those of a bank that is at its limit cost nothing and stand in nobody's way. Banks share
// what the limits leave evenly: many slow ones, each below its limit, do not keep the others out. The first to start come
// first.
func dueAccesses(tx *gorm.DB, limits AutoLimits) (ids []uuid.UUID, waiting bool, err error) {
	var found []struct {
		ID      uuid.UUID
		Beyond  bool // its bank's limit
		Running int  // in the whole
	}
	err = tx.Raw(`
		WITH RECURSIVE `+banksWithAccesses+`, running AS (
			SELECT a.bank_id, count(*) AS n FROM synchronizations y JOIN accesses a ON a.id = y.access_id
			WHERE y.trigger = 'AUTO' AND y.ended_at IS NULL GROUP BY a.bank_id
		), due AS MATERIALIZED (
			SELECT bank.id, coalesce(r.n, 0) AS n, @perBank - coalesce(r.n, 0) AS room, count(*) OVER () AS banks
			FROM bank LEFT JOIN running r ON r.bank_id = bank.id
			CROSS JOIN LATERAL (SELECT FROM accesses a WHERE a.bank_id = bank.id AND a.deleted_at IS NULL AND a.next_sync_at <= @now
				ORDER BY a.next_sync_at LIMIT 1) first
			WHERE bank.id IS NOT NULL
		)
		SELECT d.id, d.place > due.room AS beyond, (SELECT coalesce(sum(n), 0) FROM running) AS running
		FROM due CROSS JOIN LATERAL (
			SELECT a.id, a.next_sync_at, row_number() OVER (ORDER BY a.next_sync_at) AS place FROM accesses a
			WHERE a.bank_id = due.id AND a.deleted_at IS NULL AND a.next_sync_at <= @now
			-- No more than the bank's part of the page, and one that tells whether there are more.
			ORDER BY a.next_sync_at LIMIT greatest(0, least(due.room, 1 + @page / due.banks)) + 1) d
		ORDER BY beyond, due.n + d.place, d.next_sync_at LIMIT @page`,
		map[string]any{"now": tx.NowFunc(), "perBank": limits.PerBank, "page": limits.page() + 1}).Scan(&found).Error
	if err != nil {
		return nil, false, fmt.Errorf("look for due accesses: %w", err)
	}
	for _, f := range found {
		if f.Beyond || len(ids) >= min(limits.Whole-f.Running, limits.page()) {
			waiting = true
			break
		}
		ids = append(ids, f.ID)
	}
	if len(ids) == 0 {
		return nil, waiting, nil
	}
	var locked []uuid.UUID
	err = tx.Raw(`SELECT id FROM accesses WHERE id IN ? AND deleted_at IS NULL AND next_sync_at <= ? ORDER BY id
		FOR NO KEY UPDATE SKIP LOCKED`, ids, tx.NowFunc()).Scan(&locked).Error
	if err != nil {
		return nil, false, fmt.Errorf("lock the due accesses: %w", err)
	}
	waiting = waiting || len(locked) < len(ids) // what somebody else works on at this moment is looked at again
	return slices.DeleteFunc(ids, func(id uuid.UUID) bool { return !slices.Contains(locked, id) }), waiting, nil
}

// banksWithAccesses is the recursive query `bank` of the banks that have any, with one look at an index for each. The last
// of them is NULL.
const banksWithAccesses = `bank (id) AS (
			(SELECT bank_id FROM accesses WHERE deleted_at IS NULL ORDER BY bank_id LIMIT 1)
			UNION ALL
			SELECT (SELECT bank_id FROM accesses WHERE deleted_at IS NULL AND bank_id > bank.id ORDER BY bank_id LIMIT 1)
			FROM bank WHERE bank.id IS NOT NULL
		)`

// DueSince is since when the access is due that waits for the longest time, of those whose automatic synchronization is
// on; zero: none waits. Where the longest due are all off, it is the time of the last that was looked at: none that is on
// waits for longer.
func (s *Store) DueSince(ctx context.Context) (since time.Time, err error) {
	const looked = 50
	db := s.DB.WithContext(ctx)
	var due []struct {
		ID         uuid.UUID
		NextSyncAt time.Time
	}
	// The first so many of all are among the first so many of the banks whose first come first.
	err = db.Raw(`
		WITH RECURSIVE `+banksWithAccesses+`, waiting AS MATERIALIZED (
			SELECT bank.id FROM bank CROSS JOIN LATERAL (SELECT a.next_sync_at FROM accesses a
				WHERE a.bank_id = bank.id AND a.deleted_at IS NULL AND a.next_sync_at <= @now ORDER BY a.next_sync_at LIMIT 1) first
			WHERE bank.id IS NOT NULL ORDER BY first.next_sync_at LIMIT @looked
		)
		SELECT d.id, d.next_sync_at FROM waiting CROSS JOIN LATERAL (SELECT a.id, a.next_sync_at FROM accesses a
			WHERE a.bank_id = waiting.id AND a.deleted_at IS NULL AND a.next_sync_at <= @now ORDER BY a.next_sync_at LIMIT @looked) d
		ORDER BY d.next_sync_at LIMIT @looked`, map[string]any{"now": db.NowFunc(), "looked": looked}).Scan(&due).Error
	if err != nil {
		return since, fmt.Errorf("look for the longest due: %w", err)
	}
	if len(due) == 0 {
		return since, nil
	}
	ids := make([]uuid.UUID, len(due))
	for i, d := range due {
		ids[i] = d.ID
	}
	standings, err := AutoSyncs(db, ids...)
	if err != nil {
		return since, err
	}
	for _, d := range due {
		if a := standings[d.ID]; a.Reason == "" && !a.Running && a.Remaining > 0 {
			return d.NextSyncAt, nil
		}
	}
	if len(due) == looked {
		since = due[looked-1].NextSyncAt
	}
	return since, nil
}

// reschedule sets when accesses are looked at next.
func reschedule(tx *gorm.DB, next map[uuid.UUID]time.Time) error {
	ids, times := make(Strings, 0, len(next)), make(Strings, 0, len(next))
	for id, at := range next {
		ids, times = append(ids, id.String()), append(times, at.UTC().Format(time.RFC3339Nano))
	}
	err := tx.Exec(`UPDATE accesses a SET next_sync_at = n.at::timestamptz
		FROM unnest(?::text[], ?::text[]) AS n (id, at) WHERE a.id = n.id::uuid`, ids, times).Error
	if err != nil {
		return fmt.Errorf("set the accesses' next time: %w", err)
	}
	return nil
}

// BeforeCreate gives a new access its time.
func (a *Access) BeforeCreate(tx *gorm.DB) error {
	if a.NextSyncAt.IsZero() {
		a.NextSyncAt = rules.NextSlot(a.ID, tx.NowFunc())
	}
	return nil
}
