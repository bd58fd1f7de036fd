// Package notify delivers notifications: it takes what is due out of the database's outbox (models/delivery.go), sends
// it to the clients' receivers, signed as Standard Webhooks says, and stores what became of it.
//
// Every worker process runs a Deliverer. The outbox is durable, ordered and retried by itself, so no workflow stands
// around a delivery: one with a single activity costs Temporal 11 events and 5 writes.
package notify

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/metric/noop"

	"github.com/kontoflow/kontoflow/models"
)

const (
	atOnce              = 256 // notifications that one process serves at the same time
	atOnceStrangers     = 128 // of those, at receivers that are not known to answer
	atOnceUser          = 32  // of those, one user's
	atOnceHost          = 16  // of those, at one host and port
	atOnceHostStrangers = 8   // of those, at receivers that are not known to answer
	atOnceLanes         = 4   // deliveries of one notification at the same time
	pause               = 200 * time.Millisecond
	queueBatch          = 1000
	knownFor            = time.Hour           // how long a receiver that answered is known to
	grace               = 10 * time.Minute    // after the end of a delivery's time, for its last attempt
	keepParked          = 30 * 24 * time.Hour // then parked deliveries are forgotten
	tidyEvery           = time.Minute
	maxAnswer           = 4 << 10 // bytes of an answer that are read, so that its connection can be used again
)

// schedule is how long to wait after each failed attempt; the last one repeats. A little chance is added to each, so that
// what failed together does not come back together.
var schedule = []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour}

// Options are what a Deliverer needs.
type Options struct {
	Store    *models.Store
	Loopback bool          // receivers on this machine are allowed, over http, too
	Logger   *slog.Logger  // nil: slog's default
	Meter    metric.Meter  // nil: none
	Resolver *net.Resolver // nil: the machine's
	Patience time.Duration // for connecting, sending and answering; 0: 10 s
	Storing  time.Duration // at most, of the results; 0: 20 s. A lease is both
}

// A Deliverer delivers. Any number of them may work on one database.
//
// A slow or dead receiver costs others nothing. A receiver is known to answer if it has taken something within the last
// hour, in less than half of the patience, and has not failed since; all others are strangers: dead, slow or new. Half
// of the places are kept from strangers, who are asked one thing at a time each; and one user has an eighth of the places
// at most, whatever their receivers are. So what is known to answer finds a place however many others hang, and what is
// new finds one however many receivers of another user do. The same holds at a host that several clients share, where
// each is a receiver of its own: half of the host's places are kept from strangers, and whoever has the fewest is first.
type Deliverer struct {
	store     *models.Store
	transport *http.Transport
	patience  time.Duration
	storing   time.Duration
	log       *slog.Logger

	counted metric.Int64Counter
	rounds  sync.WaitGroup
	ended   chan struct{} // holds one: a round has ended

	mu        sync.Mutex
	receivers map[models.Receiver]*receiver // that were asked lately
	busy      map[models.Receiver]*receiver // those of them that have any rounds
	users     map[string]int                // rounds of each that has any
}

// receiver is what this process knows of one.
type receiver struct {
	busy     int       // rounds
	asked    time.Time // when the last of them began
	answered time.Time // when it took something last; zero: not yet, or it has failed or been slow since
}

// New makes a Deliverer.
func New(o Options) *Deliverer {
	if o.Patience == 0 {
		o.Patience = 10 * time.Second
	}
	if o.Storing == 0 {
		o.Storing = 20 * time.Second
	}
	d := &Deliverer{store: o.Store, transport: newTransport(o), patience: o.Patience, storing: o.Storing, log: o.Logger,
		ended:     make(chan struct{}, 1),
		receivers: make(map[models.Receiver]*receiver), busy: make(map[models.Receiver]*receiver), users: make(map[string]int)}
	if d.log == nil {
		d.log = slog.Default()
	}
	meter := o.Meter
	if meter == nil {
		meter = noop.Meter{}
	}
	// The names are constants: neither can fail.
	d.counted, _ = meter.Int64Counter("kontoflow_notification_attempts", metric.WithDescription("Attempts at deliveries, by outcome."))
	_, _ = meter.Float64ObservableGauge("kontoflow_notification_oldest_seconds",
		metric.WithDescription("Age of the oldest change of which a receiver has not heard."), metric.WithUnit("s"), metric.WithFloat64Callback(d.observeOldest))
	return d
}

func (d *Deliverer) observeOldest(ctx context.Context, o metric.Float64Observer) error {
	oldest, err := d.store.WaitingSince(ctx)
	if err != nil {
		return err
	}
	age := 0.0
	if !oldest.IsZero() {
		age = d.store.Now().Sub(oldest).Seconds()
	}
	o.Observe(age)
	return nil
}

// Run delivers until ctx ends; then it returns when the attempts under way are over, which takes half a minute
// at most: as long as a lease, even where the database hangs.
//
// It looks into the database five times a second rather than listening to it: two index probes cost less than a
// notification of the database's own in every transaction that announces something.
func (d *Deliverer) Run(ctx context.Context) {
	defer d.rounds.Wait()
	tidied := time.Now().Add(-rand.N(tidyEvery)) // workers that were started together spread out
	for ctx.Err() == nil {
		begun, err := d.begin(ctx)
		if err == nil && time.Since(tidied) > tidyEvery {
			tidied = time.Now()
			err = d.Tidy(ctx)
		}
		wait := pause
		switch {
		case err != nil && ctx.Err() == nil:
			d.log.WarnContext(ctx, "notifications cannot be delivered at the moment", "error", err)
			wait = 5 * time.Second
		case begun > 0:
			continue
		}
		select {
		case <-ctx.Done():
		case <-d.ended:
		case <-time.After(wait):
		}
	}
}

// Deliver delivers all that is due by the store's clock, and returns when nothing is.
func (d *Deliverer) Deliver(ctx context.Context) error {
	for {
		begun, err := d.begin(ctx)
		d.rounds.Wait()
		if err != nil || begun == 0 {
			return err
		}
	}
}

// begin starts the rounds that are due, as far as there is room for them, and tells how many.
func (d *Deliverer) begin(ctx context.Context) (begun int, err error) {
	queued, err := d.store.QueueAnnounced(ctx, queueBatch)
	if err != nil {
		return 0, err
	}
	rounds, err := d.store.Lease(ctx, d.store.Now().Add(d.patience+d.storing), d.limits)
	if err != nil {
		return 0, err
	}
	for _, r := range rounds {
		d.enter(r)
		d.rounds.Go(func() { d.round(context.WithoutCancel(ctx), r) })
	}
	if queued == queueBatch {
		return queued, nil
	}
	return len(rounds), nil
}

// limits are what there is room for, where something is due for these receivers.
func (d *Deliverer) limits(due []models.Receiver) models.Limits {
	d.mu.Lock()
	defer d.mu.Unlock()
	l := models.Limits{Rounds: atOnce, Strangers: atOnceStrangers, PerUser: atOnceUser, Lanes: atOnceLanes, Users: make(map[string]int, len(d.users))}
	for user, busy := range d.users {
		l.Users[user] = atOnceUser - busy
	}
	all, strangers := map[string]int{}, map[string]int{} // the rounds at each host
	for at, its := range d.busy {
		l.Rounds -= its.busy
		all[at.Host] += its.busy
		if !d.known(its) {
			l.Strangers -= its.busy
			strangers[at.Host] += its.busy
		}
	}
	for _, at := range due {
		its, asked := d.receivers[at]
		if !asked {
			its = &receiver{}
		}
		limit := models.ReceiverLimit{Receiver: at, Known: d.known(its), Busy: its.busy, LastAt: its.asked, AtHost: atOnceHost - all[at.Host]}
		if limit.Known {
			limit.Rounds, limit.OfKind = limit.AtHost, limit.AtHost
		} else {
			limit.Rounds, limit.OfKind = 1-its.busy, min(l.Strangers, atOnceHostStrangers-strangers[at.Host])
		}
		if min(limit.Rounds, limit.AtHost, limit.OfKind) > 0 {
			l.Receivers = append(l.Receivers, limit)
		}
	}
	return l
}

func (d *Deliverer) known(r *receiver) bool {
	return !r.answered.IsZero() && d.store.Now().Sub(r.answered) < knownFor
}

func (d *Deliverer) enter(r *models.Round) {
	d.mu.Lock()
	defer d.mu.Unlock()
	its := d.receivers[r.Receiver]
	if its == nil {
		its = &receiver{}
		d.receivers[r.Receiver] = its
	}
	its.busy++
	its.asked = d.store.Now()
	d.busy[r.Receiver] = its
	d.users[r.Notification.UserID]++
	if !d.known(its) && len(r.Deliveries) > 1 {
		r.Deliveries = r.Deliveries[:1] // the others remain due
	}
}

// leave notes how the receiver fared in a round that took some time; results may be empty.
func (d *Deliverer) leave(r *models.Round, results []models.Result, took time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	its := d.receivers[r.Receiver]
	if its.busy--; its.busy == 0 {
		delete(d.busy, r.Receiver)
	}
	if d.users[r.Notification.UserID]--; d.users[r.Notification.UserID] == 0 {
		delete(d.users, r.Notification.UserID)
	}
	slow := took > d.patience/2
	for _, result := range results {
		if slow || ofHost(result.Error) {
			its.answered = time.Time{}
		} else if result.Error == "" {
			its.answered = d.store.Now() // whatever else failed: it lives
			break
		}
	}
	select {
	case d.ended <- struct{}{}:
	default:
	}
}

// round makes one attempt at each of a round's deliveries, and stores what became of them.
func (d *Deliverer) round(ctx context.Context, r *models.Round) {
	results := make([]models.Result, len(r.Deliveries))
	var took time.Duration
	defer func() { d.leave(r, results, took) }()
	begun := time.Now()
	target, err := d.store.OpenTarget(&r.Notification)
	var attempts sync.WaitGroup
	for i := range r.Deliveries {
		attempts.Go(func() {
			failure := "SEALED"
			if err == nil {
				failure = d.attempt(ctx, &r.Notification, &target, &r.Deliveries[i])
			}
			results[i] = d.judge(&r.Deliveries[i], failure)
		})
	}
	attempts.Wait()
	took = time.Since(begun)
	settling, cancel := context.WithTimeout(ctx, d.storing)
	defer cancel()
	err = d.store.Settle(settling, r, results)
	if errors.Is(err, models.ErrOvertaken) {
		d.log.InfoContext(ctx, "deliveries were too slow for their lease, or their notification is gone or has another address", "notification_id", r.Notification.ID)
		return
	}
	if err != nil {
		d.log.WarnContext(ctx, "the results of deliveries are not stored: they will be delivered again", "notification_id", r.Notification.ID, "error", err)
		return
	}
	for i, result := range results {
		d.report(ctx, r, &r.Deliveries[i], result)
	}
}

// judge decides what follows an attempt.
func (d *Deliverer) judge(of *models.Delivery, failure string) models.Result {
	result := models.Result{Error: failure}
	if now := d.store.Now(); failure != "" && now.Before(of.ExpiresAt) {
		wait := schedule[min(of.Attempts, len(schedule)-1)]
		result.NextAt = now.Add(wait + rand.N(wait/10))
		if result.NextAt.After(of.ExpiresAt) {
			result.NextAt = of.ExpiresAt // the last one
		}
	}
	return result
}

func (d *Deliverer) report(ctx context.Context, r *models.Round, of *models.Delivery, result models.Result) {
	outcome, level := "delivered", slog.LevelDebug
	switch {
	case result.Error != "" && result.NextAt.IsZero():
		outcome, level = "parked", slog.LevelWarn
	case result.Error != "":
		outcome = "failed"
	}
	d.counted.Add(ctx, 1, metric.WithAttributes(attribute.String("outcome", outcome)))
	d.log.Log(ctx, level, "notification "+outcome, "notification_id", r.Notification.ID, "event_id", of.ID, "attempt", of.Attempts+1, "cause", result.Error)
}

// Tidy parks what has run out of time without a last attempt, and forgets what was parked long ago, and the receivers
// that were not asked lately.
func (d *Deliverer) Tidy(ctx context.Context) error {
	now := d.store.Now()
	d.mu.Lock()
	maps.DeleteFunc(d.receivers, func(_ models.Receiver, its *receiver) bool { return its.busy == 0 && now.Sub(its.asked) > knownFor })
	d.mu.Unlock()
	parked, err := d.store.ParkExpired(ctx, now.Add(-grace))
	if err != nil {
		return err
	}
	if parked > 0 {
		d.counted.Add(ctx, int64(parked), metric.WithAttributes(attribute.String("outcome", "parked")))
		d.log.WarnContext(ctx, "notifications parked whose receivers are too slow", "count", parked)
	}
	_, err = d.store.ForgetParked(ctx, now.Add(-keepParked))
	return err
}
