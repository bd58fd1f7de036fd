package main

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// history compares an incremental synchronization of an account with 1,000 stored transactions with one of an account
// with 1,000,000.
func history(ctx context.Context, s *stack) ([]result, error) {
	const pairs = 40
	if err := s.restartWorker(ctx); err != nil {
		return nil, err
	}
	small, err := s.access(ctx, demo, "thousand")
	if err != nil {
		return nil, err
	}
	large, err := s.access(ctx, demo, "huge")
	if err != nil {
		return nil, err
	}
	if _, err := s.synchronize(ctx, small); err != nil {
		return nil, err
	}
	started := time.Now()
	if _, err := s.synchronize(ctx, large); err != nil {
		return nil, err
	}
	first := time.Since(started)
	firstPeak, err := s.worker.memory("VmHWM")
	if err != nil {
		return nil, err
	}
	read, stored, err := s.fill(ctx, large, 1_000_000)
	if err != nil {
		return nil, err
	}
	few, _, err := s.fill(ctx, small, 0)
	if err != nil {
		return nil, err
	}

	// The worker begins anew: what it needed for the million is not to hide what an increment needs.
	if err := s.restartWorker(ctx); err != nil {
		return nil, err
	}
	var took, memory [2][]float64
	for i := range 2 * (1 + pairs) { // in turns; the first of each warms up
		before, err := s.metric(ctx, allocated)
		if err != nil {
			return nil, err
		}
		started := time.Now()
		if _, err := s.synchronize(ctx, [...]uuid.UUID{large, small}[i%2]); err != nil {
			return nil, err
		}
		span := time.Since(started).Seconds()
		after, err := s.metric(ctx, allocated)
		if err != nil {
			return nil, err
		}
		if i >= 2 {
			took[i%2], memory[i%2] = append(took[i%2], span), append(memory[i%2], after-before)
		}
	}
	peak, err := s.worker.memory("VmHWM")
	if err != nil {
		return nil, err
	}
	withLarge, withSmall := median(took[0]), median(took[1])
	allocatedLarge, allocatedSmall := median(memory[0]), median(memory[1])
	r := atMost("history_growth", withLarge/withSmall, 1.2, "increment on %d stored %.0f ms, on %d %.0f ms; worker allocates %.0f and %.0f KiB for it, peak %.0f MiB in memory; "+
		"first synchronization of %d: %.0f s, worker's peak %.0f MiB",
		stored, withLarge*1000, few, withSmall*1000, allocatedLarge/1024, allocatedSmall/1024, peak/1024, read, first.Seconds(), firstPeak/1024)
	r.OK = r.OK && allocatedLarge <= allocatedSmall+1<<20 // a million facts would be 150 MiB
	return []result{r}, nil
}

// fill brings the transactions of an access's only account to at least n, with copies of its oldest ones from years
// before. It answers how many there were and are.
func (s *stack) fill(ctx context.Context, access uuid.UUID, n int) (before, after int, err error) {
	var account uuid.UUID
	err = s.pool.QueryRow(ctx, `SELECT k.id, count(*) FROM accounts k JOIN transactions t ON t.account_id = k.id
		WHERE k.access_id = $1 GROUP BY k.id`, access).Scan(&account, &before)
	if err != nil || before >= n {
		return before, before, err
	}
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `CREATE TEMP TABLE older ON COMMIT DROP AS SELECT * FROM transactions WHERE account_id = $1 ORDER BY day LIMIT $2`, account, n-before)
		if err == nil {
			_, err = tx.Exec(ctx, `UPDATE older SET id = gen_random_uuid(), day = day - 3650`)
		}
		if err == nil {
			_, err = tx.Exec(ctx, `INSERT INTO transactions SELECT * FROM older`)
		}
		return err
	})
	return before, max(before, n), err
}

// memory reads a value in KiB of the process from the kernel: VmRSS is what it has in memory, VmHWM the most that it had.
func (p *part) memory(name string) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			return strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
		}
	}
	return 0, fmt.Errorf("no %s in the status of the process", name)
}

// allocated names how many bytes the worker has allocated since its start.
const allocated = "go_memstats_alloc_bytes_total"

// metric reads one of the worker's metrics.
func (s *stack) metric(ctx context.Context, name string) (float64, error) {
	request, err := http.NewRequestWithContext(ctx, "GET", s.worker.metrics, nil)
	if err != nil {
		return 0, err
	}
	response, err := s.http.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for lines.Scan() {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return strconv.ParseFloat(value, 64)
		}
	}
	return 0, fmt.Errorf("the worker's metrics have no %s", name)
}
