// Package worker is the wiring of the background: which workflows and activities run, on which task queue, the sweep
// that repairs what an API process left half done, and the delivery of notifications.
package worker

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"go.opentelemetry.io/otel/metric"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/interceptor"
	"go.temporal.io/sdk/worker"

	"github.com/kontoflow/kontoflow/activities"
	"github.com/kontoflow/kontoflow/banks"
	_ "github.com/kontoflow/kontoflow/banks/protocols"
	"github.com/kontoflow/kontoflow/internal/await"
	"github.com/kontoflow/kontoflow/internal/temporalclient"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/notify"
	"github.com/kontoflow/kontoflow/vault"
	"github.com/kontoflow/kontoflow/workflows"
	"github.com/kontoflow/kontoflow/workflows/contract"
)

// Config is a worker process's configuration.
type Config struct {
	DatabaseURL       string
	VaultKeys         string // Tink keyset, JSON
	TemporalAddress   string
	TemporalNamespace string
	Codec             *temporalclient.Codec // nil: none
	TaskQueue         string
	PublicURL         string // where banks send customers back to
	ChallengeTimeout  time.Duration
	AutoSync          AutoSync
	LoopbackReceivers bool   // see Options
	Metrics           string // listen address of the metrics, "" for none
}

// Run works until ctx ends, then lets running activities finish for up to 30 s.
func Run(ctx context.Context, config Config) error {
	secrets, err := vault.Open(config.VaultKeys)
	if err != nil {
		return err
	}
	store, err := await.For(ctx, "PostgreSQL", func() (*models.Store, error) { return models.Open(ctx, config.DatabaseURL, secrets) }, models.Unreachable)
	if err != nil {
		return err
	}
	defer store.Close()
	metrics, err := serveMetrics(ctx, config.Metrics)
	if err != nil {
		return err
	}
	temporal, err := await.For(ctx, "Temporal", func() (client.Client, error) {
		return temporalclient.Dial(temporalclient.Options{Address: config.TemporalAddress, Namespace: config.TemporalNamespace, Meter: metrics, Codec: config.Codec})
	}, temporalclient.Unreachable)
	if err != nil {
		return err
	}
	defer temporal.Close()
	w, err := Start(ctx, Options{Client: temporal, Store: store, TaskQueue: config.TaskQueue, PublicURL: config.PublicURL,
		ChallengeTimeout: config.ChallengeTimeout, AutoSync: config.AutoSync,
		LoopbackReceivers: config.LoopbackReceivers, Meter: metrics})
	if err != nil {
		return err
	}
	slog.InfoContext(ctx, "worker started", "task_queue", config.TaskQueue)
	<-ctx.Done()
	w.Stop()
	return nil
}

// AutoSync is how automatic synchronizations are started.
type AutoSync struct {
	Every   time.Duration // how often the Schedule looks for due accesses; 0: never, there is no Schedule
	PerBank int           // synchronizations of one bank that run at once; 0: 20
	Whole   int           // of all banks; 0: 200

	PerSecond int // started in a second; 0: as many as the others let
}

// Options are what a worker needs.
type Options struct {
	Client           client.Client
	Store            *models.Store
	TaskQueue        string
	PublicURL        string
	ChallengeTimeout time.Duration
	Logger           *slog.Logger             // nil: slog's default
	Adapters         map[string]banks.Adapter // nil: of all protocols that are registered
	AutoSync         AutoSync
	// LoopbackReceivers lets notifications go to this machine, over http, too; the API has to allow it as well.
	LoopbackReceivers bool
	Meter             metric.Meter // nil: none
	Interceptors      []interceptor.WorkerInterceptor
	SweepAfter        time.Duration // how old something lost is before it is repaired; 0: 10 s
}

// A Worker runs workflows and activities.
type Worker struct {
	worker worker.Worker
	stop   context.CancelFunc
	beside sync.WaitGroup // what runs beside Temporal's worker
}

// Start begins to work.
func Start(ctx context.Context, o Options) (*Worker, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Adapters == nil {
		o.Adapters = banks.Adapters(banks.Options{Logger: o.Logger, Now: o.Store.Now})
	}
	if o.SweepAfter == 0 {
		o.SweepAfter = 10 * time.Second
	}
	if o.AutoSync.PerBank == 0 {
		o.AutoSync.PerBank = 20
	}
	if o.AutoSync.Whole == 0 {
		o.AutoSync.Whole = 200
	}
	if o.AutoSync.Every > 0 {
		if err := contract.EnsureSchedule(ctx, o.Client, o.TaskQueue, o.AutoSync.Every); err != nil {
			return nil, err
		}
	}
	w := worker.New(o.Client, o.TaskQueue, worker.Options{
		WorkerStopTimeout:          30 * time.Second,
		Interceptors:               o.Interceptors,
		WorkflowTaskPollerBehavior: worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{}),
		ActivityTaskPollerBehavior: worker.NewPollerBehaviorAutoscaling(worker.PollerBehaviorAutoscalingOptions{}),
		// Customers who look for their phone hold a slot each (AwaitConfirmation): they must not stop the others.
		MaxConcurrentActivityExecutionSize: 2000,
		// A workflow that waits a second for a processor is not a deadlock: taken for one, its task fails, and its memory is
		// read while it still runs.
		DeadlockDetectionTimeout: 10 * time.Second,
	})
	workflows.Register(w)
	w.RegisterActivity(&activities.Activities{
		Store:            o.Store,
		Adapters:         o.Adapters,
		CallbackURL:      strings.TrimSuffix(o.PublicURL, "/") + "/callback/redirect",
		ChallengeTimeout: o.ChallengeTimeout,
		StartSync: func(ctx context.Context, run contract.Run) error {
			return contract.Start(ctx, o.Client, o.TaskQueue, run)
		},
		AutoLimits: models.AutoLimits{PerBank: o.AutoSync.PerBank, Whole: o.AutoSync.Whole},
		AutoPace:   o.AutoSync.PerSecond,
		Log:        o.Logger,
	})
	if err := w.Start(); err != nil {
		return nil, fmt.Errorf("start the worker: %w", err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	started := &Worker{worker: w, stop: stop}
	if o.Meter != nil {
		observe(o.Meter, o.Store)
	}
	started.beside.Go(func() { (&sweep{Options: o}).run(ctx) })
	deliverer := notify.New(notify.Options{Store: o.Store, Loopback: o.LoopbackReceivers, Logger: o.Logger, Meter: o.Meter})
	started.beside.Go(func() { deliverer.Run(ctx) })
	return started, nil
}

// Stop takes no new work, and returns when the running activities are done or 30 s are over.
func (w *Worker) Stop() {
	w.stop()
	w.worker.Stop()
	w.beside.Wait()
}
