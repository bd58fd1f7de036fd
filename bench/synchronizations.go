package main

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/google/uuid"
	"go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"

	"kontoflow/sandbox"
)

var demo = sandbox.AccessMethodID("demo")

// events counts the history events of a synchronization of one account, without and with a challenge.
func events(ctx context.Context, s *stack) ([]result, error) {
	plain, err := s.access(ctx, demo, "thirty")
	if err != nil {
		return nil, err
	}
	id, err := s.synchronize(ctx, plain)
	if err != nil {
		return nil, err
	}
	without, err := s.historyOf(ctx, id)
	if err != nil {
		return nil, err
	}
	challenged, err := s.access(ctx, demo, "demo")
	if err != nil {
		return nil, err
	}
	if id, err = s.begin(ctx, challenged); err != nil {
		return nil, err
	}
	if err := s.answer(ctx, challenged, id); err != nil {
		return nil, err
	}
	with, err := s.historyOf(ctx, id)
	if err != nil {
		return nil, err
	}
	return []result{
		atMost("events_plain", float64(without.events), 30, "history events of a synchronization of one account, %d activities", without.activities),
		atMost("events_challenge", float64(with.events), 44, "with one TAN, %d activities", with.activities),
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
	return s.temporal.GetWorkflow(ctx, id.String(), "").Get(ctx, nil)
}

type counts struct{ events, activities int }

func (s *stack) historyOf(ctx context.Context, id uuid.UUID) (n counts, err error) {
	history := s.temporal.GetWorkflowHistory(ctx, id.String(), "", false, enums.HISTORY_EVENT_FILTER_TYPE_ALL_EVENT)
	for history.HasNext() {
		event, err := history.Next()
		if err != nil {
			return n, err
		}
		n.events++
		if event.EventType == enums.EVENT_TYPE_ACTIVITY_TASK_SCHEDULED {
			n.activities++
		}
	}
	return n, nil
}

// synchronizations compares synchronizations of 30 new transactions with workflows of as many activities that do nothing.
func synchronizations(ctx context.Context, s *stack) ([]result, error) {
	const rounds, each, parallel = 7, 64, 16
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
	history, err := s.historyOf(ctx, first)
	if err != nil {
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
