package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"github.com/kontoflow/kontoflow/sandbox"
)

var demo = sandbox.AccessMethodID("demo")

// events counts the history events of a synchronization of one account, without and with a challenge: the most of some.
func events(ctx context.Context, s *stack) ([]result, error) {
	const runs = 5
	var plain, challenged counts
	for range runs {
		access, err := s.access(ctx, demo, "thirty")
		if err != nil {
			return nil, err
		}
		id, err := s.synchronize(ctx, access)
		if err != nil {
			return nil, err
		}
		if err := s.count(ctx, id, &plain); err != nil {
			return nil, err
		}
		if access, err = s.access(ctx, demo, "demo"); err != nil {
			return nil, err
		}
		if id, err = s.begin(ctx, access); err != nil {
			return nil, err
		}
		if err := s.answer(ctx, access, id); err != nil {
			return nil, err
		}
		if err := s.count(ctx, id, &challenged); err != nil {
			return nil, err
		}
	}
	return []result{
		atMost("events_plain", float64(plain.events), 30, "history events of a synchronization of one account, %d activities, the most of %d runs", plain.activities, runs),
		atMost("events_challenge", float64(challenged.events), 44, "with one TAN, %d activities", challenged.activities),
	}, nil
}

// answer waits for the challenge, answers it, and waits for the end.
func (s *stack) answer(ctx context.Context, access, id uuid.UUID) error {
	at := s.apiURL + "/rest/accesses/" + access.String() + "/syncs/" + id.String()
	var sync struct {
		Status    string
		Challenge struct{ ID string }
	}
	sync.Status = "QUEUED"
	for sync.Status != "AWAIT_AUTH" {
		if sync.Status == "FAILED" || sync.Status == "COMPLETED" {
			return errors.New("the bank asked for no TAN")
		}
		if err := s.call(ctx, "GET", at+"?wait=10&after="+sync.Status, s.customer, nil, &sync); err != nil {
			return err
		}
	}
	if err := s.call(ctx, "POST", at+"/challenges/"+sync.Challenge.ID+"/response", s.customer, object{"value": "111111"}, nil); err != nil {
		return err
	}
	return s.finish(ctx, id)
}

type counts struct{ events, activities int }

// count counts what the history of a run holds, where that is more than n.
func (s *stack) count(ctx context.Context, id uuid.UUID, n *counts) error {
	var these counts
	history := s.temporal.GetWorkflowHistory(ctx, id.String(), "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		event, err := history.Next()
		if err != nil {
			return err
		}
		these.events++
		if event.EventType == enums.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED {
			these.activities++
		}
	}
	n.events, n.activities = max(n.events, these.events), max(n.activities, these.activities)
	return nil
}

// synchronizations compares synchronizations of 30 new transactions with workflows of as many activities that do nothing.
func synchronizations(ctx context.Context, s *stack) ([]result, error) {
	const rounds, each, parallel = 5, 64, 16
	accesses, err := s.accesses(ctx, demo, "thirty", 1+(rounds+1)*each)
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	bareSide, err := s.start(self, bareWorker)
	if err != nil {
		return nil, err
	}
	defer bareSide.stop()

	first, err := s.synchronize(ctx, accesses[0])
	if err != nil {
		return nil, err
	}
	var history counts
	if err := s.count(ctx, first, &history); err != nil {
		return nil, err
	}
	ours := func(round int) (float64, error) {
		return rate(ctx, each, parallel, func(ctx context.Context, i int) error {
			_, err := s.synchronize(ctx, accesses[1+round*each+i])
			return err
		})
	}
	theirs := func(int) (float64, error) {
		return rate(ctx, each, parallel, func(ctx context.Context, _ int) error {
			run, err := s.temporal.ExecuteWorkflow(ctx, client.StartWorkflowOptions{TaskQueue: s.queue + bareQueue}, bare, history.activities)
			if err != nil {
				return err
			}
			return run.Get(ctx, nil)
		})
	}
	ratio, our, their, err := compare(rounds, ours, theirs)
	if err != nil {
		return nil, err
	}
	var stored int
	if err := s.pool.QueryRow(ctx, `SELECT min(transactions_added) FROM synchronizations WHERE access_id = ANY($1)`, accesses).Scan(&stored); err != nil {
		return nil, err
	}
	return []result{atLeast("sync_vs_bare", ratio, 0.6, "%.1f synchronizations/s with %d new transactions each, %.1f bare workflows/s with %d no-op activities",
		our, stored, their, history.activities)}, nil
}

// rate is how many of n calls are done in a second.
func rate(ctx context.Context, n, parallel int, f func(ctx context.Context, i int) error) (float64, error) {
	started := time.Now()
	err := side(ctx, n, parallel, f)
	return float64(n) / time.Since(started).Seconds(), err
}
