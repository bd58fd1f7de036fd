package models

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// How what was announced goes out, in three steps that any number of workers take side by side:
//
//	QueueAnnounced  what is new is put behind what waits in its lane, and its notification is due
//	Lease           a worker takes some notifications that are due, and the first deliveries of some of their lanes
//	Settle          what became of these deliveries: gone, due again, or parked; the notification is free again
//
// Announcing only inserts, so that transactions that change something wait neither for each other nor for a worker.
// A worker that dies between Lease and Settle leaves a lease that ends: the same deliveries then go out again.

// A Round is what one lease of a notification delivers: of each lane one, all at the same time.
type Round struct {
	Notification Notification
	Receiver     Receiver
	Deliveries   []Delivery

	lease uuid.UUID
}

// A Delivery is one event on its way to one receiver.
type Delivery struct {
	ID         uuid.UUID // the event's: the same at every attempt
	Thing      uuid.UUID // what it is about: account, synchronization or access
	ObserveKey string
	Data       json.RawMessage
	CreatedAt  time.Time
	ExpiresAt  time.Time
	Attempts   int // before this one
}

// A Result is what became of one attempt at a Delivery.
type Result struct {
	Error  string    // as one word; empty: it was delivered
	NextAt time.Time // failed: when the next attempt is due; zero: it is parked
}

// QueueAnnounced queues up to limit deliveries that were announced since it was called last, and tells how many. Where
// another worker is at it, there is nothing to do.
func (s *Store) QueueAnnounced(ctx context.Context, limit int) (queued int, err error) {
	err = s.byIndex(ctx, func(tx pgx.Tx) error {
		var free bool
		if err := tx.QueryRow(ctx, `SELECT pg_try_advisory_xact_lock(hashtext('notification_events'))`).Scan(&free); err != nil || !free {
			return err
		}
		rows, err := tx.Query(ctx, `SELECT number, notification_id FROM notification_events WHERE NOT queued ORDER BY number LIMIT $1`, limit)
		if err != nil {
			return err
		}
		var numbers []int64
		var notifications []uuid.UUID
		var number int64
		var notification uuid.UUID
		_, err = pgx.ForEachRow(rows, []any{&number, &notification}, func() error {
			numbers, notifications = append(numbers, number), append(notifications, notification)
			return nil
		})
		if err != nil || len(numbers) == 0 {
			return err
		}
		queued = len(numbers)
		var batch pgx.Batch
		batch.Queue(`INSERT INTO notification_queues AS q (notification_id, client_id, user_id, receiver, next_at)
			SELECT id, (SELECT client_id FROM users WHERE id = user_id), user_id, receiver, $2 FROM notifications WHERE id = ANY ($1) ORDER BY id FOR SHARE -- which waits for a change of the receiver
			ON CONFLICT (notification_id) DO UPDATE SET receiver = excluded.receiver,
				next_at = CASE WHEN q.lease IS NULL THEN least(q.next_at, excluded.next_at) ELSE q.next_at END`, notifications, s.Now())
		// With the queues locked, nobody takes away the delivery that this one would have to wait for.
		batch.Queue(`UPDATE notification_events e SET queued = true, next_at = CASE WHEN NOT EXISTS (
				SELECT FROM notification_events b WHERE b.notification_id = e.notification_id AND b.thing = e.thing
				AND b.number < e.number AND b.parked_at IS NULL) THEN $2::timestamptz END
			WHERE number = ANY ($1) AND NOT queued`, numbers, s.Now())
		return tx.SendBatch(ctx, &batch).Close()
	})
	if err != nil {
		return 0, fmt.Errorf("queue what was announced: %w", err)
	}
	return queued, nil
}

// byIndex runs f in a transaction that reads no table from end to end. The outbox is empty at one moment and has a
// hundred thousand rows at the next: plans that were made for the empty one would do that, and are kept.
func (s *Store) byIndex(ctx context.Context, f func(tx pgx.Tx) error) error {
	return pgx.BeginTxFunc(ctx, s.Pool, pgx.TxOptions{BeginQuery: "BEGIN; SET LOCAL enable_seqscan = off"}, f)
}

// A Receiver is a host and port at which a client hears of its users' changes. What another client has at the same host
// is another receiver.
type Receiver struct {
	Host     string    `json:"receiver"`
	ClientID uuid.UUID `json:"client_id"`
}

// Limits are how much may be leased at once.
type Limits struct {
	Rounds    int             // together
	Receivers []ReceiverLimit // and at no others
	Strangers int             // at those that are not known to answer together
	PerUser   int             // of each user
	Users     map[string]int  // of those that may have fewer
	Lanes     int             // deliveries of a round
}

// A ReceiverLimit is how many rounds may be leased for a receiver, and what its turn depends on.
type ReceiverLimit struct {
	Receiver
	Known  bool      `json:"known"`   // to answer
	Rounds int       `json:"rounds"`  // for it
	AtHost int       `json:"at_host"` // at its host, for all clients together
	OfKind int       `json:"of_kind"` // of these, for receivers that are as known as it
	Busy   int       `json:"busy"`    // rounds that it has already
	LastAt time.Time `json:"last_at"` // when the last of them began; zero: none did
}

// dueReceivers finds the receivers for which something is due ($1). It goes from one to the next by index.
const dueReceivers = `
	WITH RECURSIVE receivers AS (
		(SELECT receiver, client_id FROM notification_queues ORDER BY receiver, client_id LIMIT 1)
		UNION ALL
		SELECT q.* FROM receivers r CROSS JOIN LATERAL (SELECT receiver, client_id FROM notification_queues
			WHERE (receiver, client_id) > (r.receiver, r.client_id) ORDER BY receiver, client_id LIMIT 1) q
	)
	SELECT receiver, client_id FROM receivers r
	WHERE (SELECT next_at FROM notification_queues WHERE receiver = r.receiver AND client_id = r.client_id ORDER BY next_at LIMIT 1) <= $1`

// leaseDue leases the notifications that are due ($1) until $2, for the lease $3. Of each receiver ($5) it takes those
// that have waited longest: what waits for one costs the others nothing. Receivers take turns: those that have the fewest
// rounds are first, and of these the one that was served the longest time ago.
const leaseDue = `
	WITH due AS (
		SELECT q.*, r.receiver, r.client_id, r.known, r.at_host, r.of_kind, r.last_at,
			r.busy + row_number() OVER (PARTITION BY r.receiver, r.client_id ORDER BY q.next_at) AS turn
		FROM jsonb_to_recordset($5) AS r (receiver text, client_id uuid, known boolean, rounds integer, at_host integer, of_kind integer,
			busy integer, last_at timestamptz)
		CROSS JOIN LATERAL (
			SELECT notification_id, user_id, next_at FROM notification_queues
			WHERE receiver = r.receiver AND client_id = r.client_id AND next_at <= $1 AND coalesce(($7::jsonb ->> user_id)::integer, $8) > 0
			ORDER BY next_at LIMIT r.rounds FOR UPDATE SKIP LOCKED) q
	), ordered AS (
		SELECT *, row_number() OVER (ORDER BY turn, last_at, next_at) AS place FROM due
	), of_kinds AS (
		SELECT *, row_number() OVER (PARTITION BY receiver, known ORDER BY place) AS nth_of_kind FROM ordered
	), fair AS (
		SELECT *, row_number() OVER (PARTITION BY receiver ORDER BY place) AS nth_at_host,
			row_number() OVER (PARTITION BY known ORDER BY place) AS nth_known,
			row_number() OVER (PARTITION BY user_id ORDER BY place) AS nth_of_user
		FROM of_kinds WHERE nth_of_kind <= of_kind
	)
	UPDATE notification_queues SET lease = $3, next_at = $2
	WHERE notification_id = ANY (ARRAY(SELECT notification_id FROM fair
		WHERE nth_at_host <= at_host AND (known OR nth_known <= $6) AND nth_of_user <= coalesce(($7::jsonb ->> user_id)::integer, $8)
		ORDER BY place LIMIT $4))
	RETURNING notification_id`

// readLeased reads the first deliveries of the due lanes of leased notifications, for each at most $3.
const readLeased = `
	SELECT n.id, n.user_id, n.receiver, n.state, n.target, (SELECT client_id FROM users WHERE id = n.user_id), e.id, e.thing, e.observe_key, e.data, e.created_at, e.expires_at, e.attempts
	FROM notifications n LEFT JOIN LATERAL (
		SELECT * FROM notification_events WHERE notification_id = n.id AND next_at <= $2 ORDER BY next_at, number LIMIT $3) e ON true
	WHERE n.id = ANY ($1) ORDER BY n.id, e.number`

// Lease takes what is due, until a time, as far as the limits let it, which are asked with the receivers for which
// something is. A Round may be without deliveries, and is to be settled all the same.
func (s *Store) Lease(ctx context.Context, until time.Time, limits func(due []Receiver) Limits) (rounds []*Round, err error) {
	now, lease := s.Now(), NewID()
	err = s.byIndex(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, dueReceivers, now)
		if err != nil {
			return err
		}
		due, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Receiver])
		if err != nil || len(due) == 0 {
			return err
		}
		limits := limits(due)
		if limits.Rounds <= 0 || len(limits.Receivers) == 0 {
			return nil
		}
		rows, err = tx.Query(ctx, leaseDue, now, until, lease, limits.Rounds, limits.Receivers, limits.Strangers, limits.Users, limits.PerUser)
		if err != nil {
			return err
		}
		leased, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if err != nil || len(leased) == 0 {
			return err
		}
		// A statement of its own, which sees what was settled by whoever had the lease before.
		if rows, err = tx.Query(ctx, readLeased, leased, now, limits.Lanes); err != nil {
			return err
		}
		var n Notification
		var client uuid.UUID
		var id, thing *uuid.UUID
		var key *string
		var created, expires *time.Time
		var attempts *int
		var d Delivery
		_, err = pgx.ForEachRow(rows, []any{&n.ID, &n.UserID, &n.Receiver, &n.State, &n.Target, &client, &id, &thing, &key, &d.Data, &created, &expires, &attempts}, func() error {
			if len(rounds) == 0 || rounds[len(rounds)-1].Notification.ID != n.ID {
				rounds = append(rounds, &Round{Notification: n, Receiver: Receiver{n.Receiver, client}, lease: lease})
			}
			if id != nil {
				r := rounds[len(rounds)-1]
				r.Deliveries = append(r.Deliveries, Delivery{ID: *id, Thing: *thing, ObserveKey: *key, Data: d.Data, CreatedAt: *created,
					ExpiresAt: *expires, Attempts: *attempts})
			}
			n, d = Notification{}, Delivery{} // whose slices the round has
			return nil
		})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("lease deliveries: %w", err)
	}
	return rounds, nil
}

const (
	// promote makes the first deliveries of lanes ($1 notifications, $2 things, side by side) due ($3), where they are
	// not yet. One that is first and not yet queued will be due when it is.
	promote = `UPDATE notification_events e SET next_at = $3
		FROM unnest($1::uuid[], $2::uuid[]) AS lane (notification_id, thing)
		CROSS JOIN LATERAL (SELECT id, queued, next_at FROM notification_events f
			WHERE f.notification_id = lane.notification_id AND f.thing = lane.thing AND f.parked_at IS NULL ORDER BY f.number LIMIT 1) first
		WHERE e.id = first.id AND first.queued AND first.next_at IS NULL`
	// release lets notifications ($1) be due again with the first of their lanes; if that is due already, behind those
	// that are due at the moment ($2).
	release = `UPDATE notification_queues q SET lease = NULL, next_at = greatest($2, first.next_at)
		FROM unnest($1::uuid[]) AS n (id)
		CROSS JOIN LATERAL (SELECT min(next_at) AS next_at FROM notification_events WHERE notification_id = n.id AND next_at IS NOT NULL) first
		WHERE q.notification_id = n.id AND first.next_at IS NOT NULL`
	// drained forgets those of the notifications ($1) for which nothing waits. What was announced meanwhile makes it anew.
	drained = `DELETE FROM notification_queues q WHERE notification_id = ANY ($1)
		AND NOT EXISTS (SELECT FROM notification_events e WHERE e.notification_id = q.notification_id AND e.next_at IS NOT NULL)`
)

// Settle stores what became of a round's deliveries, and gives the lease back. ErrOvertaken: the lease had ended, or they
// go to another address now, and somebody delivers them again.
func (s *Store) Settle(ctx context.Context, r *Round, results []Result) error {
	now, notification := s.Now(), r.Notification.ID
	var delivered, failed, notifications, things []uuid.UUID
	var failures []string
	var nexts, parked []*time.Time
	for i, result := range results {
		d := &r.Deliveries[i]
		if result.Error == "" {
			delivered = append(delivered, d.ID)
		} else {
			failed, failures = append(failed, d.ID), append(failures, result.Error)
			if result.NextAt.IsZero() {
				nexts, parked = append(nexts, nil), append(parked, &now)
			} else {
				nexts, parked = append(nexts, &result.NextAt), append(parked, nil)
			}
		}
		notifications, things = append(notifications, notification), append(things, d.Thing)
	}
	err := s.byIndex(ctx, func(tx pgx.Tx) error {
		lock, err := tx.Exec(ctx, `SELECT FROM notification_queues WHERE notification_id = $1 AND lease = $2 FOR UPDATE`, notification, r.lease)
		if err != nil {
			return err
		}
		if lock.RowsAffected() == 0 {
			return ErrOvertaken
		}
		var batch pgx.Batch
		if len(delivered) > 0 {
			batch.Queue(`DELETE FROM notification_events WHERE id = ANY ($1)`, delivered)
		}
		if len(failed) > 0 {
			batch.Queue(`UPDATE notification_events e SET attempts = attempts + 1, last_error = f.error, next_at = f.next_at, parked_at = f.parked_at
				FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[]) AS f (id, error, next_at, parked_at) WHERE e.id = f.id`,
				failed, failures, nexts, parked)
		}
		batch.Queue(promote, notifications, things, now)
		batch.Queue(release, []uuid.UUID{notification}, now)
		batch.Queue(drained, []uuid.UUID{notification})
		return tx.SendBatch(ctx, &batch).Close()
	})
	if err != nil && !errors.Is(err, ErrOvertaken) {
		return fmt.Errorf("settle deliveries: %w", err)
	}
	return err
}

// ParkExpired parks what expired some time ago and was not even tried at the end, because its receiver answers too
// slowly for all that waits for it. It tells how many.
func (s *Store) ParkExpired(ctx context.Context, before time.Time) (parked int, err error) {
	now := s.Now()
	err = s.byIndex(ctx, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, `SELECT q.notification_id -- as often as something of it has expired
			FROM notification_events e JOIN notification_queues q USING (notification_id)
			WHERE e.parked_at IS NULL AND e.queued AND e.expires_at < $1 AND (q.lease IS NULL OR q.next_at < $2)
			ORDER BY e.expires_at LIMIT 1000 FOR UPDATE OF q SKIP LOCKED`, before, now)
		if err != nil {
			return err
		}
		locked, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
		if err != nil || len(locked) == 0 {
			return err
		}
		rows, err = tx.Query(ctx, `UPDATE notification_events SET parked_at = $3, next_at = NULL, last_error = coalesce(last_error, 'UNTRIED')
			WHERE notification_id = ANY ($1) AND parked_at IS NULL AND queued AND expires_at < $2 RETURNING notification_id, thing`, locked, before, now)
		if err != nil {
			return err
		}
		var notifications, things []uuid.UUID
		var notification, thing uuid.UUID
		_, err = pgx.ForEachRow(rows, []any{&notification, &thing}, func() error {
			notifications, things = append(notifications, notification), append(things, thing)
			return nil
		})
		if err != nil {
			return err
		}
		parked = len(things)
		var batch pgx.Batch
		batch.Queue(promote, notifications, things, now)
		batch.Queue(release, locked, now)
		batch.Queue(drained, locked)
		return tx.SendBatch(ctx, &batch).Close()
	})
	if err != nil {
		return 0, fmt.Errorf("park what has expired: %w", err)
	}
	return parked, nil
}

// WaitingSince is when the oldest change was made of which somebody has not heard; zero: nothing waits.
func (s *Store) WaitingSince(ctx context.Context) (oldest time.Time, err error) {
	err = s.Pool.QueryRow(ctx, `SELECT created_at FROM notification_events WHERE parked_at IS NULL ORDER BY expires_at LIMIT 1`).Scan(&oldest)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return oldest, fmt.Errorf("look for the oldest delivery: %w", err)
	}
	return oldest, nil
}

// A ParkedDelivery was given up. It holds nothing that its receiver or its user would mind an operator to see.
type ParkedDelivery struct {
	ID             uuid.UUID
	NotificationID uuid.UUID
	ObserveKey     string
	Receiver       string
	LastError      string
	Attempts       int
	CreatedAt      time.Time
	ParkedAt       time.Time
}

// ParkedDeliveries lists what was given up, oldest first.
func (s *Store) ParkedDeliveries(ctx context.Context, limit int) (all []ParkedDelivery, err error) {
	err = s.DB.WithContext(ctx).Raw(`SELECT e.id, e.notification_id, e.observe_key, n.receiver, e.last_error, e.attempts, e.created_at, e.parked_at
		FROM notification_events e JOIN notifications n ON n.id = e.notification_id
		WHERE e.parked_at IS NOT NULL ORDER BY e.parked_at, e.number LIMIT ?`, limit).Scan(&all).Error
	if err != nil {
		return nil, fmt.Errorf("read the parked deliveries: %w", err)
	}
	return all, nil
}

// RetryParked lets parked deliveries be tried for as long as new ones; none named are all. They go to the end of their
// lanes, in the order that they had. It tells how many.
func (s *Store) RetryParked(ctx context.Context, ids ...uuid.UUID) (retried int, err error) {
	now := s.Now()
	result, err := s.Pool.Exec(ctx, `WITH again AS (
			SELECT id, row_number() OVER (ORDER BY number) AS turn FROM notification_events
			WHERE parked_at IS NOT NULL AND (coalesce(cardinality($1::uuid[]), 0) = 0 OR id = ANY ($1))
		), numbers AS (
			SELECT number, row_number() OVER (ORDER BY number) AS turn
			FROM (SELECT nextval(pg_get_serial_sequence('notification_events', 'number')) AS number FROM again) n
		)
		UPDATE notification_events e SET number = n.number, queued = false, parked_at = NULL, attempts = 0, expires_at = $2
		FROM again a JOIN numbers n USING (turn) WHERE e.id = a.id AND e.parked_at IS NOT NULL`, ids, now.Add(deliveryWindow))
	if err != nil {
		return 0, fmt.Errorf("retry parked deliveries: %w", err)
	}
	return int(result.RowsAffected()), nil
}

// ForgetParked deletes what was parked before, and tells how many.
func (s *Store) ForgetParked(ctx context.Context, before time.Time) (forgotten int, err error) {
	result, err := s.Pool.Exec(ctx, `DELETE FROM notification_events WHERE parked_at < $1`, before)
	if err != nil {
		return 0, fmt.Errorf("forget parked deliveries: %w", err)
	}
	return int(result.RowsAffected()), nil
}
