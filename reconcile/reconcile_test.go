package reconcile_test

import (
	"encoding/binary"
	"flag"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/civil"
	"github.com/kontoflow/kontoflow/reconcile"
)

// The generated tests repeat themselves from run to run, so that a red one is red for a reason in the change at hand. To
// look for new cases: go test ./reconcile -run TestLedger -rapid.checks 10000 -rapid.seed N.
func TestMain(m *testing.M) {
	flag.Parse()
	if seed := flag.Lookup("rapid.seed"); seed.Value.String() == seed.DefValue {
		if err := seed.Value.Set("20260301"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// day counts the days of March 2026.
func day(n int) civil.Date { return civil.Day(2026, time.March, n) }

// account is what a caller of reconcile keeps: stored rows, and how it acts on a plan.
type account struct {
	rows  []reconcile.Stored
	known civil.Date // last complete day
	ids   uint64
}

// read reconciles one read and acts on the plan.
func (a *account) read(w reconcile.Window, entries ...banks.Entry) reconcile.Plan {
	w.Known = a.known
	sent := facts(entries)
	plan := reconcile.Match(a.rows, sent, w)
	a.apply(plan, sent, w)
	return plan
}

func (a *account) apply(plan reconcile.Plan, sent []reconcile.Facts, w reconcile.Window) {
	for e, outcome := range plan.Sent {
		if outcome.Change == reconcile.New {
			a.rows = append(a.rows, reconcile.Stored{ID: a.newID(), Facts: sent[e], Seen: w.Today})
			continue
		}
		row := &a.rows[outcome.Stored]
		row.Facts = sent[e]
		if outcome.Reappeared {
			row.MissedBy = uuid.Nil
			if row.State == reconcile.Removed {
				row.State = reconcile.Live
			}
		}
	}
	for _, s := range plan.Missing {
		a.rows[s].MissedBy = w.Run
	}
	for _, s := range plan.Removed {
		a.rows[s].State = reconcile.Removed
	}
	a.known = w.LastComplete()
}

func (a *account) newID() uuid.UUID {
	a.ids++
	return number(a.ids)
}

func number(n uint64) (id uuid.UUID) {
	binary.BigEndian.PutUint64(id[8:], n)
	return id
}

func (a *account) count(state reconcile.State) (n int) {
	for _, row := range a.rows {
		if row.State == state {
			n++
		}
	}
	return n
}

// complete is a read of everything since from, on the given day; run tells synchronizations apart.
func complete(from, today civil.Date, run uint64) reconcile.Window {
	return reconcile.Window{From: from, To: today, Complete: true, PendingComplete: true, Today: today, Run: number(run)}
}

func facts(entries []banks.Entry) []reconcile.Facts {
	sent := make([]reconcile.Facts, len(entries))
	for i := range entries {
		e := entries[i]
		e.Remittance = slices.Clone(e.Remittance)
		sent[i] = reconcile.Normalize(&e)
	}
	return sent
}
