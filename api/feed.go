package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/kontoflow/kontoflow/internal/admission"
	"github.com/kontoflow/kontoflow/models"
)

// ListTransactionChanges answers what happened to the user's transactions since the last call
// (GET /rest/transactions/changes).
func (s *Server) ListTransactionChanges(c echo.Context, params ListTransactionChangesParams) error {
	ctx, user := c.Request().Context(), callerOf(c).user
	var from models.Cursor
	if params.Cursor != "" {
		var err error
		if from, err = models.ParseCursor(user, params.Cursor); err != nil {
			return asCursorProblem(err)
		}
	}
	count := params.Count
	if count == 0 {
		count = 1000
	}
	pool := s.store.Pool
	if count > 1000 {
		if err := become(c, admission.Heavy); err != nil {
			return err
		}
		pool = s.store.HeavyPool
	}
	buffer := pages.Get().(*[]byte)
	b := (*buffer)[:0]
	defer func() { *buffer = b; pages.Put(buffer) }()

	// The log and the transactions are read as of one moment.
	moment := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, pool, moment, func(tx pgx.Tx) error {
		changes, err := models.ReadChanges(ctx, tx, user, from, count)
		if err != nil {
			return err
		}
		b, err = appendChanges(ctx, b, tx, user, changes, params.Cents)
		return err
	})
	if err != nil {
		return asCursorProblem(err)
	}
	return c.JSONBlob(http.StatusOK, b)
}

func asCursorProblem(err error) error {
	switch {
	case errors.Is(err, models.ErrCursor):
		return invalid("cursor", "is none of this user's changes")
	case errors.Is(err, models.ErrCursorExpired):
		return invalid("cursor", "is too old: begin again without one")
	}
	return err
}

func appendChanges(ctx context.Context, b []byte, tx pgx.Tx, user string, changes *models.Changes, cents bool) ([]byte, error) {
	// One look into the index for each: for a large page, a join would read all that is stored.
	const content = `SELECT ` + transactionColumns + ` FROM unnest($1::uuid[]) WITH ORDINALITY AS c (id, n)
		CROSS JOIN LATERAL (SELECT * FROM transactions WHERE id = c.id LIMIT 1) t JOIN accounts k ON k.id = t.account_id
		WHERE k.user_id = $2 AND k.deleted_at IS NULL ORDER BY c.n`
	var batch pgx.Batch
	lists := [...]struct {
		name string
		ids  []uuid.UUID
	}{{"added", changes.Added}, {"modified", changes.Modified}}
	for _, list := range lists {
		if len(list.ids) > 0 {
			batch.Queue(content, list.ids, user)
		}
	}
	results := tx.SendBatch(ctx, &batch)
	defer results.Close()

	b = append(b, '{')
	for _, list := range lists {
		b = append(b, '"')
		b = append(b, list.name...)
		b = append(b, `":[`...)
		if len(list.ids) > 0 {
			var err error
			if b, err = appendTransactions(b, results, cents); err != nil {
				return b, fmt.Errorf("read the %s transactions: %w", list.name, err)
			}
		}
		b = append(b, `],`...)
	}
	b = append(b, `"removed":[`...)
	for i, id := range changes.Removed {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendUUID(b, id)
	}
	b = append(b, `],"cursor":"`...)
	b = append(b, changes.Next.String(user)...)
	b = append(b, `","has_more":`...)
	b = strconv.AppendBool(b, changes.More)
	return append(b, "}\n"...), nil
}
