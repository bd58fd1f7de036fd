package models

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/rules"
)

// Automatic synchronization: once a day, at the access's own time of the day, where nothing speaks against it.
//
// accesses.next_sync_at says when an access is looked at next. StartDue takes what is due, and asks AutoSyncs whether it
// may run; the API asks the same of the same function, so that what it tells is what will happen. The end of every
// synchronization sets the next time (settleSchedule).

// DailyReads is how often a bank has to let an access be read in any 24 hours without its customer (RTS Art. 36(5)(b)).
const DailyReads = 4

// Reasons for which automatic synchronization of an access is off (docs/api.md). Of several it is the first in this
// order: what the client has to do something about before the others matter.
const (
	UpgradePending     = "UPGRADE_PENDING"      // the method is over, with its consent and its secrets
	Disabled           = "DISABLED"             // by the client, who deleted every account or wants none read by itself
	WrongCredentials   = "WRONG_CREDENTIALS"    // the bank refused the login or the PIN: tried again, they may block the customer
	NeedsUserEachTime  = "NEEDS_USER_EACH_TIME" // the bank wants strong customer authentication at every login
	ConsentExpired     = "CONSENT_EXPIRED"      // or spent, or revoked: the bank lets nobody read before the customer was there
	NoStoredSecrets    = "NO_STORED_SECRETS"    // the customer may leave them on the same occasion
	UserActionRequired = "USER_ACTION_REQUIRED" // whatever else the bank wants of the customer
)

// AutoSync is how it stands about an access's automatic synchronization.
type AutoSync struct {
	AccessID         uuid.UUID
	BankID           uuid.UUID
	Reason           string    // why it is off; "": it is on
	NextSyncAt       time.Time // on: when it runs next; the present: as soon as those before it let it; zero: the consent ends before
	Remaining        int       // unattended reads left in the 24 hours up to now
	RetryAt          time.Time // none left: when there is one again
	Running          bool      // a synchronization of the access is under way
	UpgradeTo        *uuid.UUID
	UpgradeAnnounced *uuid.UUID
}

// AutoSyncs tells how it stands about accesses' automatic synchronization, at the time of tx's clock.
func AutoSyncs(tx *gorm.DB, accesses ...uuid.UUID) (map[uuid.UUID]AutoSync, error) {
	now := tx.NowFunc()
	var all []struct {
		AutoSync  `gorm:"embedded"`
		Obstacles obstacles `gorm:"embedded"`
	}
	err := tx.Raw(`
		SELECT a.id AS access_id, a.bank_id, a.upgrade_announced, p.access_method_id AS upgrade_to,
		       greatest(0, b.allowed - b.used) AS remaining, r.retry_at,
		       CASE WHEN c.valid_until <= n.at THEN NULL ELSE n.at END AS next_sync_at,
		       EXISTS (SELECT FROM synchronizations y WHERE y.access_id = a.id AND y.ended_at IS NULL) AS running,
		       p.access_id IS NOT NULL AS superseded,
		       NOT (SELECT coalesce(bool_or(k.deleted_at IS NULL AND k.supported AND k.auto_sync), true)
		            FROM accounts k WHERE k.access_id = a.id) AS unwanted,
		       coalesce(a.stopped_by = @refused, false) AS refused,
		       a.needs_user_each_time AS each_time,
		       m.protocol = 'XS2A' AND a.status <> 'NEW' AND (c.id IS NULL OR coalesce(c.valid_until <= @now, false)
		            OR coalesce(a.consent ->> 'recurring' = 'false', false)) AS without_consent,
		       -- Secrets also where the bank's consent opens everything without them: they are the customer's leave.
		       EXISTS (SELECT FROM jsonb_array_elements(m.credentials) f
		            WHERE NOT (f ->> 'is_optional')::boolean
		            AND NOT EXISTS (SELECT FROM credentials x WHERE x.access_id = a.id AND x.sync_id IS NULL AND x.keep AND x.key = f ->> 'key'))
		            AS without_secrets,
		       a.status <> 'ACTIVE' OR a.stopped_by IS NOT NULL AS stopped
		FROM accesses a
		JOIN access_methods m ON m.id = a.access_method_id
		LEFT JOIN pending_upgrades p ON p.access_id = a.id AND p.superseded_from <= @now
		LEFT JOIN consents c ON c.access_id = a.id AND c.status = 'VALID'
		CROSS JOIN LATERAL (
			SELECT least(@daily, coalesce(c.frequency_per_day, @daily))::integer AS allowed, count(*)::integer AS used,
			       array_agg(coalesce(y.ended_at, @now) ORDER BY coalesce(y.ended_at, @now)) AS ends
			FROM synchronizations y WHERE y.access_id = a.id AND y.unattended
			AND (y.ended_at IS NULL OR y.ended_at > @dayAgo AND y.started_at IS NOT NULL)) b
		CROSS JOIN LATERAL (
			-- Of b.used reads, as many have to get older than a day as there are too many, and one more.
			SELECT CASE WHEN b.used >= b.allowed THEN b.ends[b.used - b.allowed + 1] + interval '24 hours' ELSE 'epoch' END AS retry_at) r
		CROSS JOIN LATERAL (SELECT greatest(a.next_sync_at, r.retry_at, @now) AS at) n
		WHERE a.id IN @accesses`,
		map[string]any{"now": now, "dayAgo": now.Add(-24 * time.Hour), "daily": DailyReads, "refused": WrongCredentials,
			"accesses": accesses}).Scan(&all).Error
	if err != nil {
		return nil, fmt.Errorf("read how it stands about automatic synchronization: %w", err)
	}
	byAccess := make(map[uuid.UUID]AutoSync, len(all))
	for _, a := range all {
		a.Reason = a.Obstacles.reason()
		byAccess[a.AccessID] = a.AutoSync
	}
	return byAccess, nil
}

// obstacles are what speaks against an access's automatic synchronization.
type obstacles struct {
	Superseded     bool // its method is, by one that the access can take
	Unwanted       bool // there is no account to read
	Refused        bool // the bank did not take the login or the PIN
	EachTime       bool // the bank wants the customer at every login
	WithoutConsent bool // where the bank wants one, and for more than one time
	WithoutSecrets bool // where the method has some
	Stopped        bool // the bank wants the customer, for whatever reason
}

// reason is the one that is told; "": nothing speaks against it.
func (o obstacles) reason() string {
	switch {
	case o.Superseded:
		return UpgradePending
	case o.Unwanted:
		return Disabled
	case o.Refused:
		return WrongCredentials
	case o.EachTime:
		return NeedsUserEachTime
	case o.WithoutConsent:
		return ConsentExpired
	case o.WithoutSecrets:
		return NoStoredSecrets
	case o.Stopped:
		return UserActionRequired
	}
	return ""
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
				next[id] = nextSlot(id, now)
				if a.Reason == UpgradePending && (a.UpgradeAnnounced == nil || *a.UpgradeAnnounced != *a.UpgradeTo) {
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
				next[id] = nextSlot(id, now) // until its end says otherwise
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

// enoughFor is how long what was read is fresh enough to pass over a slot later on the same day.
const enoughFor = 6 * time.Hour

// nextSlot is the first of an access's daily slots after its data was read, so that every day has a reading: a slot is
// passed over only where its day has one already, and a late one. The slot follows from the access's random id: it stays,
// and accesses are spread evenly over the day (UTC).
func nextSlot(access uuid.UUID, read time.Time) time.Time {
	const day = 24 * time.Hour
	read = read.UTC()
	midnight := read.Truncate(day)
	slot := midnight.Add(time.Duration(binary.BigEndian.Uint64(access[8:])%uint64(day/time.Millisecond)) * time.Millisecond)
	if slot.Sub(read) < enoughFor { // passed, or soon
		slot = slot.Add(day)
	}
	return slot
}

// BeforeCreate gives a new access its time.
func (a *Access) BeforeCreate(tx *gorm.DB) error {
	if a.NextSyncAt.IsZero() {
		a.NextSyncAt = nextSlot(a.ID, tx.NowFunc())
	}
	return nil
}

// retries are the waits after the first automatic synchronizations that failed. After those it is once a day again:
// together with the day's own they leave one of DailyReads for a client that comes without its customer.
var retries = [...]time.Duration{time.Hour, 6 * time.Hour}

// settleSchedule sets what a synchronization's end means for the automatic ones of its access. An automatic one of which an
// account failed alone, and for a passing reason, comes again as if it had failed as a whole: else that account's data
// would be a day older than the others'.
func settleSchedule(tx *gorm.DB, y *Synchronization, failure *rules.SyncError, accounts []SyncAccount) error {
	if failure == nil && y.Trigger == rules.Auto {
		if i := slices.IndexFunc(accounts, func(a SyncAccount) bool { return a.Error != nil && rules.LookUp(a.Error.Code).Passes }); i >= 0 {
			failure = accounts[i].Error
		}
	}
	slot := nextSlot(y.AccessID, tx.NowFunc())
	set := make(map[string]any)
	switch {
	case failure == nil:
		set["auto_failures"], set["stopped_by"] = 0, nil
		if y.reads(rules.ScopeTransactions) {
			set["next_sync_at"] = slot
		}
	case failure.RefusesCredentials():
		set["stopped_by"] = WrongCredentials
	case rules.LookUp(failure.Code).Customer:
		set["stopped_by"] = UserActionRequired
	case y.Trigger == rules.Auto && failure.Code != banks.CodeCancelled:
		var failures int
		if err := tx.Raw(`SELECT auto_failures FROM accesses WHERE id = ?`, y.AccessID).Scan(&failures).Error; err != nil {
			return fmt.Errorf("count the failures: %w", err)
		}
		next := slot
		if failures < len(retries) {
			next = tx.NowFunc().Add(retries[failures])
		}
		if at := failure.RetryAt(); at.After(next) {
			next = at
		}
		set["auto_failures"], set["next_sync_at"] = failures+1, next
	default:
		return nil
	}
	if err := tx.Model(&Access{}).Where("id = ?", y.AccessID).Updates(set).Error; err != nil {
		return fmt.Errorf("set the access's next time: %w", err)
	}
	return nil
}
