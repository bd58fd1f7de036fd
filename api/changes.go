package api

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// changes tells waiting requests that a synchronization changed. One connection per process listens to the database,
// whose trigger notifies at every change; a thousand waiting requests cost no query.
type changes struct {
	done <-chan struct{} // closed when the server closes

	mu      sync.Mutex
	waiting map[uuid.UUID]map[chan struct{}]struct{}
}

func newChanges(ctx context.Context, config *pgx.ConnConfig, log *slog.Logger) *changes {
	c := &changes{done: ctx.Done(), waiting: make(map[uuid.UUID]map[chan struct{}]struct{})}
	go func() {
		for ctx.Err() == nil {
			if err := c.listen(ctx, config); err != nil && ctx.Err() == nil {
				log.WarnContext(ctx, "listening to the database was interrupted", "error", cause(err))
				select {
				case <-ctx.Done():
				case <-time.After(time.Second):
				}
			}
		}
	}()
	return c
}

func (c *changes) listen(ctx context.Context, config *pgx.ConnConfig) error {
	conn, err := pgx.ConnectConfig(ctx, config)
	if err != nil {
		return err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, `LISTEN synchronization_changed`); err != nil {
		return err
	}
	c.wakeAll() // whatever changed while nobody listened
	for {
		notification, err := conn.WaitForNotification(ctx)
		if err != nil {
			return err
		}
		if id, err := uuid.Parse(notification.Payload); err == nil {
			c.wake(id)
		}
	}
}

// of subscribes to a synchronization's changes. The channel holds one change, so that none between two looks is missed.
func (c *changes) of(id uuid.UUID) (changed <-chan struct{}, unsubscribe func()) {
	ch := make(chan struct{}, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting[id] == nil {
		c.waiting[id] = make(map[chan struct{}]struct{})
	}
	c.waiting[id][ch] = struct{}{}
	return ch, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.waiting[id], ch)
		if len(c.waiting[id]) == 0 {
			delete(c.waiting, id)
		}
	}
}

func (c *changes) wake(id uuid.UUID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for ch := range c.waiting[id] {
		select {
		case ch <- struct{}{}:
		default: // it has one to look at already
		}
	}
}

func (c *changes) wakeAll() {
	c.mu.Lock()
	ids := make([]uuid.UUID, 0, len(c.waiting))
	for id := range c.waiting {
		ids = append(ids, id)
	}
	c.mu.Unlock()
	for _, id := range ids {
		c.wake(id)
	}
}
