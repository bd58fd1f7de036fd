package transport

import (
	"context"
	"slices"
	"sync"
	"time"
)

// turns are the moments at which a bank may be asked, evenly spaced, so that no second has more than its limit. What waits
// takes them in the order of its arrival: the interactive, then, where nothing interactive waits, the background.
type turns struct {
	interval time.Duration

	mu      sync.Mutex
	next    time.Time          // the next turn is not before
	waiting [2][]chan struct{} // interactive and background; closed: it is your turn
	timer   *time.Timer        // set to next as long as something waits
}

func newTurns(perSecond int) *turns {
	t := &turns{interval: time.Second / time.Duration(perSecond)}
	t.timer = time.AfterFunc(0, t.give)
	return t
}

// wait returns when it is the caller's turn, or with the error of ctx: at once where its deadline is sure to come first.
func (t *turns) wait(ctx context.Context, interactive bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	queue, ahead := &t.waiting[0], 0
	t.mu.Lock()
	if !interactive {
		queue, ahead = &t.waiting[1], len(t.waiting[0])
	}
	earliest := t.next.Add(time.Duration(ahead+len(*queue)) * t.interval)
	if deadline, bounded := ctx.Deadline(); bounded && earliest.After(deadline) {
		t.mu.Unlock()
		return context.DeadlineExceeded
	}
	turn := make(chan struct{})
	*queue = append(*queue, turn)
	t.mu.Unlock()

	t.give()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if place := slices.Index(*queue, turn); place >= 0 {
		*queue = slices.Delete(*queue, place, place+1)
		return ctx.Err()
	}
	return nil // the turn came at the same moment, and is spent
}

// give gives the next turn if its time has come, and sees to it that it is called again as long as something waits.
func (t *turns) give() {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	for i := range t.waiting {
		if queue := &t.waiting[i]; len(*queue) > 0 && !now.Before(t.next) {
			close((*queue)[0])
			*queue = slices.Delete(*queue, 0, 1)
			t.next = now.Add(t.interval)
		}
	}
	if len(t.waiting[0])+len(t.waiting[1]) > 0 {
		t.timer.Reset(t.next.Sub(now))
	}
}
