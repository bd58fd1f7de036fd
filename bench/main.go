// Command bench measures Kontoflow against bare servers, side by side in one run, so that a slow or busy machine slows
// both: `make bench`, or for some measurements alone
//
//	bin/kontoflow up -- go run ./bench -only sync_vs_bare,events_plain
//
// It expects PostgreSQL and Temporal as `kontoflow up --` gives them (DATABASE_URL, TEMPORAL_ADDRESS), makes a database
// and a task queue of its own, and starts bank, worker and API as processes of the kontoflow binary. docs/performance.md
// says what each number means.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// A result is one line of the table. Bound nil: for the record.
type result struct {
	Name  string   `json:"name"`
	Value float64  `json:"value"`
	Bound *float64 `json:"bound"`
	OK    bool     `json:"ok"`

	sign   string // of the bound
	detail string
}

func atLeast(name string, value, bound float64, detail string, args ...any) result {
	return result{name, value, &bound, value >= bound, "≥", fmt.Sprintf(detail, args...)}
}

func atMost(name string, value, bound float64, detail string, args ...any) result {
	return result{name, value, &bound, value <= bound, "≤", fmt.Sprintf(detail, args...)}
}

func recorded(name string, value float64, detail string, args ...any) result {
	return result{name, value, nil, true, "", fmt.Sprintf(detail, args...)}
}

// A measurement yields the results of the given names.
type measurement struct {
	names []string
	run   func(context.Context, *stack) ([]result, error)
}

var measurements = []measurement{
	{[]string{"events_plain", "events_challenge"}, events},
	{[]string{"sync_vs_bare"}, synchronizations},
	{[]string{"ingest_vs_copy"}, ingest},
	{[]string{"get_sync_vs_bare"}, getSync},
	{[]string{"list_transactions_vs_bare"}, listTransactions},
	{[]string{"history_growth"}, history},
	{[]string{"mt940_mb_per_s", "camt_mb_per_s", "camt_vs_mt940", "fints_message_mb_per_s"}, formats},
	{[]string{"fints_sync_vs_xs2a"}, finTS},
	{[]string{"sweep_growth"}, sweepGrowth},
	{[]string{"manual_start_p50", "manual_start_p99"}, manualStarts},
	{[]string{"deliveries_vs_posts", "deliveries_beside_dead"}, deliveries},
	{[]string{"waiting_kib_per_sync"}, waiting},
}

var (
	binary  = flag.String("kontoflow", "bin/kontoflow", "the binary to measure")
	out     = flag.String("out", "bench.json", "file for the results")
	only    = flag.String("only", "", "names of the results wanted, with commas between them; empty: all")
	waiters = flag.Int("waiting", 1_000, "synchronizations that wait at once in waiting_kib_per_sync")
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	var err error
	if len(os.Args) > 1 && os.Args[1] == bareWorker {
		err = runBareWorker(ctx)
	} else if len(os.Args) > 1 && os.Args[1] == bareEcho {
		err = runBareEcho(ctx, os.Args[2:])
	} else {
		flag.Parse()
		err = run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) (err error) {
	wanted := func(names []string) bool {
		return *only == "" || slices.ContainsFunc(strings.Split(*only, ","), func(n string) bool { return slices.Contains(names, n) })
	}
	s, err := newStack(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.stop()) }()

	var results []result
	for _, m := range measurements {
		if !wanted(m.names) {
			continue
		}
		started := time.Now()
		got, err := m.run(ctx, s)
		if err != nil {
			return fmt.Errorf("%s: %w", m.names[0], err)
		}
		results = append(results, got...)
		fmt.Fprintf(os.Stderr, "bench: %s, %.0f s\n", strings.Join(m.names, ", "), time.Since(started).Seconds())
	}
	printTable(os.Stdout, results)
	encoded, err := json.MarshalIndent(results, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(*out, append(encoded, '\n'), 0o644); err != nil {
		return err
	}
	if missed := slices.IndexFunc(results, func(r result) bool { return !r.OK }); missed >= 0 {
		return fmt.Errorf("%s misses its bound", results[missed].Name)
	}
	return nil
}

func printTable(to io.Writer, results []result) {
	table := tabwriter.NewWriter(to, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "name\tvalue\tbound\t\t%d cores\n", runtime.NumCPU())
	for _, r := range results {
		bound, verdict := "", ""
		if r.Bound != nil {
			bound, verdict = fmt.Sprintf("%s %g", r.sign, *r.Bound), "ok"
		}
		if !r.OK {
			verdict = "MISSED"
		}
		fmt.Fprintf(table, "%s\t%.4g\t%s\t%s\t%s\n", r.Name, r.Value, bound, verdict, r.detail)
	}
	_ = table.Flush()
}

// median is the middle of some numbers.
func median(values []float64) float64 { return quantile(values, 0.5) }

func quantile(values []float64, q float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	return sorted[int(float64(len(sorted)-1)*q+0.5)]
}

// compare runs ours and bare in turns, and answers the medians of both and of their ratios round by round. A first
// round of each warms up.
func compare(rounds int, ours, bare func(round int) (float64, error)) (ratio, our, their float64, err error) {
	var ratios, a, b []float64
	for round := range rounds + 1 {
		x, err := ours(round)
		if err != nil {
			return 0, 0, 0, err
		}
		y, err := bare(round)
		if err != nil {
			return 0, 0, 0, err
		}
		if round > 0 {
			ratios, a, b = append(ratios, x/y), append(a, x), append(b, y)
		}
	}
	return median(ratios), median(a), median(b), nil
}
