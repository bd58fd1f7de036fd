package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// A hook is a receiver of notifications that takes everything at once, or nothing ever.
type hook struct {
	url    string
	server *http.Server
	taken  atomic.Int64
}

func newHook(dead bool) (*hook, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	h := &hook{url: "http://" + listener.Addr().String()}
	h.server = &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		if dead {
			<-r.Context().Done()
		}
		h.taken.Add(1)
	})}
	go func() { _ = h.server.Serve(listener) }()
	return h, nil
}

// deliveries compares the delivery of notifications with bare POSTs of the same size to the same receiver, and with
// itself while 100,000 deliveries wait for a receiver that never answers.
func deliveries(ctx context.Context, s *stack) ([]result, error) {
	const (
		rounds        = 3
		notifications = 200
		each          = 40 // deliveries of a notification, two for each of twenty things
		waiting       = 100_000
	)
	live, err := newHook(false)
	if err != nil {
		return nil, err
	}
	defer live.server.Close()
	dead, err := newHook(true)
	if err != nil {
		return nil, err
	}
	defer dead.server.Close()
	for range notifications {
		if _, err := s.observe(ctx, live.url); err != nil {
			return nil, err
		}
	}
	ours := func(int) (float64, error) {
		want := live.taken.Load() + notifications*each
		started := time.Now()
		if err := s.announce(ctx, live.url, each); err != nil {
			return 0, err
		}
		for live.taken.Load() < want {
			if time.Since(started) > 5*time.Minute {
				return 0, errors.New("deliveries do not arrive")
			}
			select {
			case <-ctx.Done():
				return 0, ctx.Err()
			case <-time.After(5 * time.Millisecond):
			}
		}
		return notifications * each / time.Since(started).Seconds(), nil
	}
	body := bytes.Repeat([]byte("x"), 320)
	bare := func(int) (float64, error) {
		return rate(ctx, notifications*each, 64, func(ctx context.Context, _ int) error {
			request, err := http.NewRequestWithContext(ctx, http.MethodPost, live.url, bytes.NewReader(body))
			if err != nil {
				return err
			}
			request.Header.Set("Content-Type", "application/json")
			response, err := s.http.Do(request)
			if err != nil {
				return err
			}
			return response.Body.Close()
		})
	}
	ratio, our, their, err := compare(rounds, ours, bare)
	if err != nil {
		return nil, err
	}
	besides := func(round int) (float64, error) {
		id, err := s.observe(ctx, dead.url)
		if err != nil {
			return 0, err
		}
		if err := s.announce(ctx, dead.url, waiting); err != nil {
			return 0, err
		}
		if err := s.untilQueued(ctx); err != nil {
			return 0, err
		}
		perSecond, err := ours(round)
		if err == nil {
			err = s.call(ctx, http.MethodDelete, s.apiURL+"/rest/notifications/"+id, s.customer, nil, nil)
		}
		return perSecond, err
	}
	undisturbed, beside, alone, err := compare(1, besides, ours)
	if err != nil {
		return nil, err
	}
	return []result{
		atLeast("deliveries_vs_posts", ratio, 0.06, "%.0f deliveries/s, %.0f bare POSTs/s", our, their),
		atLeast("deliveries_beside_dead", undisturbed, 0.7, "%.0f deliveries/s while %d wait for a receiver that hangs, %.0f/s alone", beside, waiting, alone),
	}, nil
}

func (s *stack) observe(ctx context.Context, uri string) (id string, err error) {
	var made struct {
		ID string `json:"notification_id"`
	}
	err = s.call(ctx, http.MethodPost, s.apiURL+"/rest/notifications", s.customer, map[string]any{"observe_key": "/rest/accesses", "notify_uri": uri}, &made)
	return made.ID, err
}

// announce stores deliveries for each notification at a receiver, of which always two are about one thing.
func (s *stack) announce(ctx context.Context, uri string, each int) error {
	_, err := s.pool.Exec(ctx, `INSERT INTO notification_events (id, notification_id, thing, observe_key, data, created_at, expires_at)
		SELECT gen_random_uuid(), n.id, md5((k / 2)::text)::uuid, n.observe_key,
			jsonb_build_object('access_id', gen_random_uuid(), 'event', 'STATUS_CHANGED', 'status', 'ACTIVE'), now(), now() + interval '3 days'
		FROM notifications n, generate_series(0, $2 - 1) k WHERE n.receiver = $1 ORDER BY k`, uri[len("http://"):], each)
	return err
}

// untilQueued returns when the workers have seen everything that was announced.
func (s *stack) untilQueued(ctx context.Context) error {
	for {
		var fresh bool
		if err := s.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM notification_events WHERE NOT queued)`).Scan(&fresh); err != nil || !fresh {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
