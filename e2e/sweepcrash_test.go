package e2e_test

import (
	"context"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/client"

	"github.com/kontoflow/kontoflow/internal/child"
	"github.com/kontoflow/kontoflow/internal/pgserver"
	"github.com/kontoflow/kontoflow/internal/temporalclient"
	"github.com/kontoflow/kontoflow/internal/testground"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/rules"
	"github.com/kontoflow/kontoflow/worker"
	"github.com/kontoflow/kontoflow/workflows/contract"
)

// TestWorkerKilledWhileSweeping kills -9 the worker's process on three days, each time at another moment of the sweep that
// starts what is due, and starts another one. Whatever the moment, every access is read exactly once on each of the days.
func TestWorkerKilledWhileSweeping(t *testing.T) {
	t.Parallel()
	const many = 60
	var strike atomic.Pointer[func()] // what happens at the bank's next request
	s := newStack(t, withBankClock(), withoutWorker(), withStrike(&strike))
	s.workerOptions.AutoSync = worker.AutoSync{Every: time.Second, PerBank: 2 * many, Whole: 2 * many}
	s.deleteScheduleAfterwards()
	var w workerProcess
	restart := func() { // with the clock of the day
		w.of(s, false)
		w.start()
	}
	restart()
	defer func() { w.kill() }()
	c := s.newCustomer()
	accesses := c.accessesReadDaily(many)
	next := func() {
		w.kill()
		s.bank.Advance(30 * time.Hour) // all daily times have passed once
	}

	// Within the transaction that stores what is due: one row of it waits for ours.
	next()
	tx := s.store.DB.Begin()
	defer tx.Rollback()
	y := models.Synchronization{ID: models.NewID(), AccessID: accesses[many/2], Status: rules.Queued, Trigger: rules.Auto,
		Scope: models.Strings{rules.ScopeTransactions}, CreatedAt: s.store.Now()}
	require.NoError(t, tx.Create(&y).Error)
	restart()
	c.eventually(func() bool {
		var waiting int
		err := s.store.DB.Raw(`SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`).Scan(&waiting).Error
		return err == nil && waiting > 0
	}, "the sweep is in its transaction")
	w.kill()
	require.NoError(t, tx.Rollback().Error)
	restart()
	s.requireReadOn(1, accesses)

	// Between the rows and the workflows.
	next()
	listening, err := pgx.Connect(t.Context(), s.database)
	require.NoError(t, err)
	defer listening.Close(context.Background())
	_, err = listening.Exec(t.Context(), `LISTEN synchronization_changed`)
	require.NoError(t, err)
	restart()
	_, err = listening.WaitForNotification(t.Context())
	require.NoError(t, err)
	w.kill()
	require.Positive(t, s.withoutWorkflow(), "the kill came too late")
	restart()
	s.requireReadOn(2, accesses)

	// While some of it is read, and the rest waits for them.
	next()
	s.workerOptions.AutoSync.PerBank = 7
	struck := strikeAfter(&strike, 100, func() { w.kill(); restart() })
	restart()
	s.await(struck)
	s.requireReadOn(3, accesses)
	c.requireLedgers(many)
}

// TestServersRestartedWhileSweeping kills -9 the Temporal server while a sweep is under way, on the next day ends
// PostgreSQL underneath both, and brings them up again on what they had stored. Every access is read exactly once on each
// of the days and on the one after, and nobody but the Schedule starts anything.
func TestServersRestartedWhileSweeping(t *testing.T) {
	t.Parallel()
	const many = 20
	g := newOwnGround(t)
	var strike atomic.Pointer[func()]
	s := newStack(t, withBankClock(), withStrike(&strike), func(s *stack) {
		s.database, s.address = g.postgres.URL("kontoflow"), g.address
		s.workerOptions.AutoSync = worker.AutoSync{Every: time.Second, PerBank: 5, Whole: 5}
	})
	c := s.newCustomer()
	accesses := c.accessesReadDaily(many)
	for day, disaster := range []func(){
		func() { g.killTemporal(); g.startTemporal() },
		func() { g.stopPostgres(); g.startPostgres() },
		func() {},
	} {
		struck := strikeAfter(&strike, 30, disaster)
		s.bank.Advance(30 * time.Hour)
		s.await(struck)
		s.requireReadOn(day+1, accesses)
	}
	c.requireLedgers(many)
}

// withStrike lets something happen when the bank is asked.
func withStrike(strike *atomic.Pointer[func()]) option {
	return func(s *stack) {
		s.wrapBank = func(bank http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if f := strike.Load(); f != nil {
					(*f)()
				}
				bank.ServeHTTP(w, r)
			})
		}
	}
}

// strikeAfter lets f happen in the middle of the n-th request from now on, once.
func strikeAfter(strike *atomic.Pointer[func()], n int32, f func()) (struck <-chan struct{}) {
	var requests atomic.Int32
	over := make(chan struct{})
	count := func() {
		if requests.Add(1) == n {
			defer close(over)
			f()
		}
	}
	strike.Store(&count)
	return over
}

func (s *stack) await(struck <-chan struct{}) {
	s.t.Helper()
	select {
	case <-struck:
	case <-time.After(patience):
		s.t.Fatalf("the bank is not asked; logs:\n%s", s.logs)
	}
}

// deleteScheduleAfterwards takes the test's Schedule off the Temporal server that all tests share.
func (s *stack) deleteScheduleAfterwards() {
	s.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		_ = s.temporal.ScheduleClient().GetHandle(ctx, contract.ScheduleID(s.queue)).Delete(ctx)
	})
}

// accessesReadDaily adds accesses that may be read automatically from the next day on.
func (c *customer) accessesReadDaily(n int) (accesses []uuid.UUID) {
	c.t.Helper()
	var syncs []string
	for i := range n {
		access := c.access("demo", dailyLogin(i))
		syncs = append(syncs, c.start(access, object{"credentials": object{"pin": password}, "save_secrets": true}))
		accesses = append(accesses, uuid.MustParse(access))
	}
	for _, sync := range syncs {
		require.Equal(c.t, "COMPLETED", c.finish(sync)["status"])
	}
	return accesses
}

func dailyLogin(i int) string { return fmt.Sprintf("thirty+%d", i) }

// requireLedgers holds everything that is stored of accessesReadDaily against what the bank has. It shows the last 30
// entries, one a day; those that it showed on the days before stay stored.
func (c *customer) requireLedgers(n int) {
	c.t.Helper()
	shown, stored := make(map[string][]string), c.stored(true)
	for i := range n {
		maps.Copy(shown, c.atBank(dailyLogin(i), true))
	}
	for account, entries := range stored {
		earlier, _ := slices.BinarySearch(entries, slices.Min(shown[account]))
		require.Equal(c.t, 4, earlier, "three times 30 hours, from a noon on")
		stored[account] = entries[earlier:]
	}
	c.requireSame(shown, stored)
}

// requireReadOn waits until every access has been read automatically on the day, and requires that none was twice, on that
// one or an earlier one.
func (s *stack) requireReadOn(day int, accesses []uuid.UUID) {
	s.t.Helper()
	require.Eventually(s.t, func() bool {
		var read int
		err := s.store.DB.Raw(`SELECT count(*) FROM (SELECT access_id FROM synchronizations WHERE trigger = 'AUTO' AND ended_at IS NOT NULL
			GROUP BY access_id HAVING count(*) >= ?) AS n`, day).Scan(&read).Error
		return err == nil && read == len(accesses)
	}, patience, 50*time.Millisecond, "logs:\n%s", s.logs)
	var counts []struct {
		AccessID uuid.UUID
		Status   string
		N        int
	}
	require.NoError(s.t, s.store.DB.Raw(`SELECT access_id, status, count(*) AS n FROM synchronizations WHERE trigger = 'AUTO'
		GROUP BY access_id, status`).Scan(&counts).Error)
	require.Len(s.t, counts, len(accesses))
	for _, c := range counts {
		require.Contains(s.t, accesses, c.AccessID)
		require.Equal(s.t, "COMPLETED", c.Status)
		require.Equal(s.t, day, c.N)
	}
}

// withoutWorkflow counts stored synchronizations whose workflows were not started.
func (s *stack) withoutWorkflow() (n int) {
	s.t.Helper()
	var queued []uuid.UUID
	require.NoError(s.t, s.store.DB.Raw(`SELECT id FROM synchronizations WHERE status = 'QUEUED'`).Scan(&queued).Error)
	for _, id := range queued {
		if _, err := s.temporal.DescribeWorkflowExecution(s.t.Context(), id.String(), ""); err != nil {
			require.ErrorContains(s.t, err, "not found")
			n++
		}
	}
	return n
}

// ownGround is a PostgreSQL and a Temporal server on it that the test may end and bring up again where they were.
type ownGround struct {
	t        *testing.T
	dir      string
	postgres *pgserver.Server
	port     int // of PostgreSQL
	temporal *child.Process
	binary   string // of the Temporal server
	address  string // where it is
}

func newOwnGround(t *testing.T) *ownGround {
	t.Helper()
	dir, err := os.MkdirTemp("", "kontoflow-ground-")
	require.NoError(t, err)
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	require.NoError(t, os.Chmod(dir, 0o711)) // PostgreSQL may run as another user
	g := &ownGround{t: t, dir: dir, binary: testground.DevServer(t)}
	g.startPostgres()
	t.Cleanup(g.stopPostgres)
	require.NoError(t, g.postgres.CreateDatabase(t.Context(), "kontoflow"))
	require.NoError(t, models.Migrate(t.Context(), g.postgres.URL("kontoflow")))
	free, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	g.address = free.Addr().String()
	require.NoError(t, free.Close())
	g.startTemporal()
	t.Cleanup(g.killTemporal)
	return g
}

// The following run outside the test's goroutine, too.

func (g *ownGround) startPostgres() {
	var err error
	g.postgres, err = pgserver.Start(context.Background(), pgserver.Options{Dir: g.dir + "/postgres", Port: g.port, Throwaway: true, Say: g.t.Logf})
	if err != nil {
		panic(err)
	}
	u, _ := url.Parse(g.postgres.URL(""))
	port, _ := strconv.Atoi(u.Port())
	if g.port != 0 && g.port != port {
		panic("PostgreSQL did not come back where it was")
	}
	g.port = port
}

func (g *ownGround) stopPostgres() {
	if err := g.postgres.Stop(); err != nil {
		g.t.Errorf("ending PostgreSQL: %v", err)
	}
}

func (g *ownGround) killTemporal() {
	g.temporal.Signal(syscall.SIGKILL)
	<-g.temporal.Done()
}

// startTemporal returns when the server's search attributes are usable.
func (g *ownGround) startTemporal() {
	cmd := exec.Command(g.binary, "--address", g.address)
	cmd.Env = append(os.Environ(), "DATABASE_URL="+g.postgres.URL("postgres"))
	var err error
	if g.temporal, err = child.Start(cmd, syscall.SIGKILL); err != nil {
		panic(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for err = context.DeadlineExceeded; err != nil && ctx.Err() == nil; {
		var c client.Client
		if c, err = temporalclient.Dial(temporalclient.Options{Address: g.address}); err != nil {
			continue
		}
		err = worker.RegisterSearchAttributes(ctx, c, "default")
		c.Close()
	}
	if err != nil {
		panic(err)
	}
}
