package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"

	"github.com/kontoflow/kontoflow/activities"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/sandbox"
	"github.com/kontoflow/kontoflow/workflows/contract"
)

// defaultPace is the default of AUTO_SYNC_PER_SECOND: how many are started at once, and so how many are looked at.
const defaultPace = 4

// sweepGrowth compares what a due access costs the sweep where 1,000 accesses are stored and where 1,000,000 are: from
// the look at the index to the start of the workflow, which nobody works on.
func sweepGrowth(ctx context.Context, s *stack) ([]result, error) {
	const rounds, due = 7, 200
	few, err := s.world(ctx, 1_000)
	if err != nil {
		return nil, err
	}
	defer few.close()
	many, err := s.world(ctx, 1_000_000)
	if err != nil {
		return nil, err
	}
	defer many.close()
	ratio, large, small, err := compare(rounds, func(int) (float64, error) { return many.sweep(ctx, due) },
		func(int) (float64, error) { return few.sweep(ctx, due) })
	if err != nil {
		return nil, err
	}
	return []result{atMost("sweep_growth", ratio, 1.2, "%.2f ms for each due access of 1,000,000, %.2f ms of 1,000; without the start of its workflow %.2f and %.2f ms",
		large, small, median(many.stored), median(few.stored))}, nil
}

// A world is a database with accesses at ten banks that are read every day.
type world struct {
	stack    *stack
	name     string
	store    *models.Store
	pool     *pgxpool.Pool
	accesses int
	stored   []float64 // milliseconds for each due access in the database alone, by round
}

func (s *stack) world(ctx context.Context, accesses int) (w *world, err error) {
	w = &world{stack: s, accesses: accesses}
	var address string
	if address, w.name, w.pool, err = s.database(ctx); err != nil {
		return w, err
	}
	if w.store, err = models.Open(ctx, address, nil); err != nil {
		return w, err
	}
	// As rows, without the triggers: a year of somebody else's work.
	_, err = w.pool.Exec(ctx, fmt.Sprintf(`
		SET session_replication_role = replica;
		INSERT INTO clients (id, name, secret_hash) VALUES (gen_random_uuid(), 'bench', '');
		INSERT INTO users (id, client_id, email, password_hash) SELECT 'U' || lpad(n::text, 32, '0'), c.id, n || '@example.org', ''
			FROM generate_series(0, 9999) n, clients c;
		INSERT INTO banks (id, kind, name, country, supported) SELECT gen_random_uuid(), 'BANK', 'Bank ' || n, 'DE', true FROM generate_series(1, 10) n;
		INSERT INTO access_methods (id, bank_id, position, type, in_psd2_scope, configurable_consent, requires_account_identifiers, credentials, protocol, grants_consents, url, connection)
			SELECT gen_random_uuid(), id, 0, 'API', true, true, false, '[]', 'XS2A', true, 'https://bank.example', '' FROM banks;
		INSERT INTO accesses (id, user_id, bank_id, access_method_id, status, next_sync_at)
			SELECT gen_random_uuid(), 'U' || lpad((n %% 10000)::text, 32, '0'), m.bank_id, m.id, 'ACTIVE', now() + random() * interval '1 day' + interval '1 hour'
			FROM generate_series(1, %[1]d) n JOIN (SELECT *, row_number() OVER (ORDER BY id) AS nth FROM access_methods) m ON m.nth = n %% 10 + 1;
		INSERT INTO consents (id, access_id, status, valid_until, frequency_per_day) SELECT gen_random_uuid(), id, 'VALID', now() + interval '90 days', 4 FROM accesses;
		INSERT INTO accounts (id, user_id, access_id, bank_id, identity, resource_id, type) SELECT gen_random_uuid(), user_id, id, bank_id, id::text, 'r', 'Giro account' FROM accesses;
		INSERT INTO synchronizations (id, access_id, status, trigger, scope, unattended, created_at, started_at, ended_at)
			SELECT gen_random_uuid(), id, 'COMPLETED', 'AUTO', '{TRANSACTIONS}', true, next_sync_at - interval '1 day', next_sync_at - interval '1 day', next_sync_at - interval '1 day' FROM accesses;
		RESET session_replication_role;`, accesses))
	if err != nil {
		return w, err
	}
	_, err = w.pool.Exec(ctx, `VACUUM ANALYZE`)
	return w, err
}

// sweep lets as many accesses be due as wanted, and answers the milliseconds that each takes.
func (w *world) sweep(ctx context.Context, due int) (float64, error) {
	_, err := w.pool.Exec(ctx, `UPDATE accesses SET next_sync_at = now() - random() * interval '1 hour'
		WHERE id IN (SELECT id FROM accesses TABLESAMPLE BERNOULLI ($1) LIMIT $2)`, min(100, 300*float64(due)/float64(w.accesses)), due)
	if err != nil {
		return 0, err
	}
	var storing time.Duration
	begun, started := time.Now(), 0
	for {
		looked := time.Now()
		found, err := w.store.StartDue(ctx, models.AutoLimits{PerBank: due, Whole: 10 * due, Starts: defaultPace})
		if err != nil {
			return 0, err
		}
		storing += time.Since(looked)
		if found.Examined == 0 {
			break
		}
		err = side(ctx, len(found.Started), 8, func(ctx context.Context, i int) error {
			return contract.Start(ctx, w.stack.temporal, w.stack.queue+"-nobody", activities.Run(found.Started[i]))
		})
		if err != nil {
			return 0, err
		}
		started += len(found.Started)
	}
	took := time.Since(begun)
	w.stored = append(w.stored, float64(storing.Microseconds())/1000/float64(due))
	if started != due {
		return 0, fmt.Errorf("%d of %d due accesses were started", started, due)
	}
	_, err = w.pool.Exec(ctx, `DELETE FROM synchronizations WHERE status = 'QUEUED'`)
	return float64(took.Microseconds()) / 1000 / float64(due), err
}

func (w *world) close() {
	if w.store != nil {
		w.store.Close()
	}
	if w.pool != nil {
		w.pool.Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	_ = execute(ctx, w.stack.server, "DROP DATABASE IF EXISTS "+w.name+" WITH (FORCE)")
}

// manualStarts compares how long the start of a manual synchronization takes, from the request to RUNNING, on an idle
// system and on one where 5,000 automatic ones are due. As many of those as are reached meanwhile are customers of six
// banks whose data is read; the others wait behind them.
func manualStarts(ctx context.Context, s *stack) ([]result, error) {
	const samples, queued, each = 200, 5_000, 60
	banks := []string{"demo", "statements", "signed", "encrypted", "legacy", "recurring"}
	var real []uuid.UUID
	for _, bank := range banks {
		accesses, err := s.accesses(ctx, sandbox.AccessMethodID(bank), "thirty", each)
		if err != nil {
			return nil, err
		}
		real = append(real, accesses...)
	}
	err := side(ctx, len(real), 16, func(ctx context.Context, i int) error {
		id, err := s.beginWith(ctx, real[i], object{"credentials": object{"pin": "demo"}, "save_secrets": true})
		if err != nil {
			return err
		}
		return s.finish(ctx, id)
	})
	if err != nil {
		return nil, err
	}
	manual, err := s.accesses(ctx, demo, "thirty", 2*samples)
	if err != nil {
		return nil, err
	}
	idle, err := s.starts(ctx, manual[:samples])
	if err != nil {
		return nil, err
	}

	if _, err := s.pool.Exec(ctx, `UPDATE accesses SET next_sync_at = now() - interval '2 hours' WHERE id = ANY($1)`, real); err != nil {
		return nil, err
	}
	if _, err := s.pool.Exec(ctx, waitingAccesses, queued-len(real), real[0]); err != nil {
		return nil, err
	}
	sweep, err := s.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{ID: s.queue + "-sweep", TaskQueue: s.queue}, contract.AutomaticSynchronizations)
	if err != nil {
		return nil, err
	}
	loaded, err := s.starts(ctx, manual[samples:])
	if err != nil {
		return nil, err
	}
	var reached, failed int
	err = s.pool.QueryRow(ctx, `SELECT count(*), count(*) FILTER (WHERE status = 'FAILED') FROM synchronizations WHERE trigger = 'AUTO'`).Scan(&reached, &failed)
	if err != nil {
		return nil, err
	}
	if reached == 0 || failed > 0 || reached > len(real) {
		return nil, fmt.Errorf("%d automatic synchronizations were started meanwhile, %d failed: that is not the load that was meant", reached, failed)
	}
	var over *serviceerror.NotFound // it goes on for some minutes only
	if err := s.temporal.TerminateWorkflow(ctx, sweep.GetID(), "", "enough"); err != nil && !errors.As(err, &over) {
		return nil, err
	}
	if _, err := s.pool.Exec(ctx, `UPDATE accesses SET next_sync_at = now() + interval '1 day'`); err != nil {
		return nil, err
	}
	for open := 1; open > 0; {
		if err := s.pool.QueryRow(ctx, `SELECT count(*) FROM synchronizations WHERE trigger = 'AUTO' AND ended_at IS NULL`).Scan(&open); err != nil {
			return nil, err
		}
		time.Sleep(100 * time.Millisecond)
	}
	at := func(q float64) (float64, float64, float64) {
		a, b := quantile(loaded, q), quantile(idle, q)
		return a / b, a, b
	}
	p50, loaded50, idle50 := at(0.5)
	p99, loaded99, idle99 := at(0.99)
	return []result{
		atMost("manual_start_p50", p50, 2, "%.0f ms with %d automatic ones due, %d of them started meanwhile; %.0f ms on an idle system", loaded50, queued, reached, idle50),
		atMost("manual_start_p99", p99, 2, "%.0f ms and %.0f ms", loaded99, idle99),
	}, nil
}

// waitingAccesses stores accesses that are due ($1 of them, like the access $2), and that nobody comes to read here.
const waitingAccesses = `
	WITH waiting AS (
		INSERT INTO accesses (id, user_id, bank_id, access_method_id, status, next_sync_at)
		SELECT gen_random_uuid(), a.user_id, a.bank_id, a.access_method_id, 'ACTIVE', now() - interval '1 hour' FROM accesses a, generate_series(1, $1) WHERE a.id = $2
		RETURNING id
	), secrets AS (
		INSERT INTO credentials (id, access_id, key, is_secret, keep, value) SELECT gen_random_uuid(), id, 'pin', true, true, '' FROM waiting
	)
	INSERT INTO consents (id, access_id, status) SELECT gen_random_uuid(), id, 'VALID' FROM waiting`

// starts synchronizes accesses one after the other, and answers for each the milliseconds from the request to RUNNING.
func (s *stack) starts(ctx context.Context, accesses []uuid.UUID) (took []float64, err error) {
	for _, access := range accesses {
		begun := time.Now()
		id, err := s.begin(ctx, access)
		if err != nil {
			return nil, err
		}
		var sync struct{ Status string }
		if err := s.call(ctx, "GET", s.apiURL+"/rest/accesses/"+access.String()+"/syncs/"+id.String()+"?wait=30&after=QUEUED", s.customer, nil, &sync); err != nil {
			return nil, err
		}
		took = append(took, float64(time.Since(begun).Microseconds())/1000)
		if sync.Status == "QUEUED" || sync.Status == "FAILED" {
			return nil, errors.New("a manual synchronization is " + sync.Status)
		}
		if err := s.finish(ctx, id); err != nil {
			return nil, err
		}
	}
	return took, nil
}
