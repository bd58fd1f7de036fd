package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/kontoflow/kontoflow/internal/admission"
)

const eventsPath = "/rest/accesses/:access_id/syncs/:sync_id/events"

const (
	streamLife = 30 * time.Minute // then the caller comes again, with Last-Event-ID
	heartbeat  = 15 * time.Second // keeps proxies from closing a silent stream
)

// StreamSync streams a synchronization's events until it has ended (GET …/syncs/{id}/events), in the form of the HTML
// standard, section 9.2. Every event is a row, so a caller who comes again misses none.
func (s *Server) StreamSync(c echo.Context, accessID AccessID, syncID SyncID, params StreamSyncParams) error {
	access, id, err := parseIDs(accessID, syncID)
	if err != nil {
		return err
	}
	if err := become(c, admission.Waiting); err != nil {
		return err
	}
	changed, unsubscribe := s.changes.of(id)
	defer unsubscribe()
	ctx, cancel := context.WithTimeout(c.Request().Context(), streamLife)
	defer cancel()
	if _, err := s.sync(ctx, callerOf(c).user, access, id); err != nil {
		return err
	}
	stream := http.NewResponseController(c.Response().Writer)
	c.Response().Header().Set(echo.HeaderContentType, "text/event-stream")
	c.Response().WriteHeader(http.StatusOK)
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	last, status, over := params.LastEventID, SyncStatus(""), false
	for {
		// The events first, the synchronization after them: what belongs to the newest event's state is there by then.
		events, err := s.events(ctx, id, last)
		if err != nil {
			return s.broken(c, err)
		}
		sync, err := s.sync(ctx, callerOf(c).user, access, id)
		if err != nil {
			return s.broken(c, err)
		}
		// Writing to a caller who does not read must not go on for ever.
		_ = stream.SetWriteDeadline(time.Now().Add(2 * heartbeat))
		for i, e := range events {
			name := "progress"
			if e.Status != status {
				name, status = "status", e.Status
			}
			if i == len(events)-1 && e.Status == sync.Status {
				e.Challenge, e.Error = sync.Challenge, sync.Error
			}
			data, err := json.Marshal(e.SyncEvent)
			if err != nil {
				return s.broken(c, err)
			}
			if _, err := fmt.Fprintf(c.Response(), "id: %d\nevent: %s\ndata: %s\n\n", e.number, name, data); err != nil {
				return nil // the caller went away
			}
			last = e.number
		}
		if err := stream.Flush(); err != nil {
			return nil
		}
		if ended(status) || over && len(events) == 0 {
			return nil
		}
		if over = ended(sync.Status); over {
			continue // for its last events, if there are any
		}
		select {
		case <-changed:
		case <-beat.C:
			if _, err := c.Response().Write([]byte(": still here\n\n")); err != nil {
				return nil
			}
		case <-s.changes.done:
			return nil
		case <-ctx.Done():
			return nil
		}
		// A token that was revoked, or has expired, sees no more.
		if _, err := s.authorizeUser(c); err != nil {
			return nil
		}
	}
}

// broken ends a stream that has begun; the caller comes again.
func (s *Server) broken(c echo.Context, err error) error {
	if c.Request().Context().Err() == nil {
		s.log.ErrorContext(c.Request().Context(), "an event stream broke off", "request_id", requestID(c), "error", cause(err))
	}
	return nil
}

type numberedEvent struct {
	SyncEvent
	number int
}

// events reads what happened after an event. Of a synchronization whose events are forgotten (Store.ForgetCourses) that is
// how it ended.
func (s *Server) events(ctx context.Context, sync uuid.UUID, after int) ([]numberedEvent, error) {
	rows, err := s.store.Pool.Query(ctx, `
		SELECT number, status, accounts_total, accounts_done, transactions_added, transactions_modified, transactions_removed, created_at
		FROM synchronization_events WHERE sync_id = $1 AND number > $2
		UNION ALL
		SELECT 0, status, accounts_total, accounts_done, transactions_added, transactions_modified, transactions_removed, ended_at
		FROM synchronizations WHERE id = $1 AND ended_at IS NOT NULL AND NOT EXISTS (SELECT FROM synchronization_events WHERE sync_id = $1)
		ORDER BY number`, sync, after)
	if err != nil {
		return nil, fmt.Errorf("read the events: %w", err)
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (numberedEvent, error) {
		e := numberedEvent{SyncEvent: SyncEvent{SyncID: sync}}
		var created time.Time
		p := &e.Progress
		err := row.Scan(&e.number, &e.Status, &p.AccountsTotal, &p.AccountsDone, &p.TransactionsAdded, &p.TransactionsModified,
			&p.TransactionsRemoved, &created)
		e.CreatedAt = Timestamp(created)
		return e, err
	})
}
