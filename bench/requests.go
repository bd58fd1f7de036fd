package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"

	"github.com/google/uuid"
)

// getSync compares GET of a synchronization with a bare Echo handler.
func getSync(ctx context.Context, s *stack) ([]result, error) {
	access, err := s.access(ctx, demo, "thirty")
	if err != nil {
		return nil, err
	}
	id, err := s.synchronize(ctx, access)
	if err != nil {
		return nil, err
	}
	return s.requests(ctx, "get_sync_vs_bare", "/rest/accesses/"+access.String()+"/syncs/"+id.String(), true)
}

// listTransactions compares a page of 1,000 transactions with a bare Echo handler.
func listTransactions(ctx context.Context, s *stack) ([]result, error) {
	access, err := s.access(ctx, demo, "thousand")
	if err != nil {
		return nil, err
	}
	if _, err := s.synchronize(ctx, access); err != nil {
		return nil, err
	}
	var account uuid.UUID
	if err := s.pool.QueryRow(ctx, `SELECT id FROM accounts WHERE access_id = $1`, access).Scan(&account); err != nil {
		return nil, err
	}
	return s.requests(ctx, "list_transactions_vs_bare", "/rest/accounts/"+account.String()+"/transactions?count=1000", false)
}

// requests compares requests a second for a path, after both sides have answered the same bytes; and for the record
// with the bare side that is open to everybody.
func (s *stack) requests(ctx context.Context, name, path string, alsoOpen bool) ([]result, error) {
	const rounds, parallel, span = 7, 8, 2 * time.Second
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	address := freeAddress()
	bareSide, err := s.start(self, bareEcho, address, s.user)
	if err != nil {
		return nil, err
	}
	defer bareSide.stop()
	if err := s.await(ctx, "http://"+address+"/ready"); err != nil {
		return nil, err
	}
	ours, theirs := target{s, s.apiURL + path}, target{s, "http://" + address + path}
	answer, err := ours.get(ctx, nil)
	if err != nil {
		return nil, err
	}
	same, err := theirs.get(ctx, nil)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(answer, same) {
		return nil, fmt.Errorf("the bare handler answers something else:\n%.2000s\n%.2000s", answer, same)
	}
	var latencies [2][]float64
	side := func(t target, latencies *[]float64) func(int) (float64, error) {
		return func(round int) (float64, error) {
			took, err := t.load(ctx, parallel, span)
			if round > 0 {
				*latencies = append(*latencies, took...)
			}
			return float64(len(took)) / span.Seconds(), err
		}
	}
	ratio, our, their, err := compare(rounds, side(ours, &latencies[0]), side(theirs, &latencies[1]))
	if err != nil {
		return nil, err
	}
	r := atLeast(name, ratio, 0.7, "%.0f requests/s of %.1f KiB, p99 %.1f ms; bare Echo %.0f/s, p99 %.1f ms", our, float64(len(answer))/1024,
		quantile(latencies[0], .99)*1000, their, quantile(latencies[1], .99)*1000)
	if alsoOpen {
		var unused []float64
		ratio, _, their, err := compare(3, side(ours, &unused), side(target{s, "http://" + address + open + path}, &unused))
		if err != nil {
			return nil, err
		}
		r.detail += fmt.Sprintf("; %.2f of a bare Echo without the token in its query, %.0f/s", ratio, their)
	}
	return []result{r}, nil
}

type target struct {
	stack *stack
	url   string
}

// get makes one request. The answer is good until the next one with the same buffer.
func (t target) get(ctx context.Context, buffer *bytes.Buffer) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, "GET", t.url, nil)
	if err != nil {
		return nil, err
	}
	t.stack.customer(request)
	response, err := t.stack.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if buffer == nil {
		buffer = new(bytes.Buffer)
	}
	buffer.Reset()
	if _, err := io.Copy(buffer, response.Body); err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		return nil, errors.New(response.Status)
	}
	return buffer.Bytes(), nil
}

// load makes requests on some connections for a while, and answers how long each took, in seconds.
func (t target) load(ctx context.Context, parallel int, span time.Duration) ([]float64, error) {
	var mu sync.Mutex
	var all []float64
	end := time.Now().Add(span)
	err := side(ctx, parallel, parallel, func(ctx context.Context, _ int) error {
		var buffer bytes.Buffer
		var took []float64
		for time.Now().Before(end) {
			started := time.Now()
			if _, err := t.get(ctx, &buffer); err != nil {
				return err
			}
			took = append(took, time.Since(started).Seconds())
		}
		mu.Lock()
		defer mu.Unlock()
		all = append(all, took...)
		return nil
	})
	return all, err
}
