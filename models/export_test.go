package models

import (
	"context"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/civil"
)

// SealedColumns are those that Store.Reseal knows, as table.column.
func SealedColumns() (all []string) {
	for _, c := range sealedColumns {
		all = append(all, c.table+"."+c.column)
	}
	return all
}

// LoadedFor is how many stored rows a reading since a day loads that has brought these entries; -1 after an error.
func LoadedFor(ctx context.Context, s *Store, account uuid.UUID, from civil.Date, entries []banks.Entry) (rows int) {
	err := s.transactCopy(ctx, func(_ *gorm.DB, c *pgx.Conn) error {
		stored, err := storedIn(ctx, c, account, spansOf(from, normalize(entries)))
		rows = len(stored)
		return err
	})
	if err != nil {
		return -1
	}
	return rows
}

// ReadsFrom is what a reading stores as the first day of its account.
func (r *Reading) ReadsFrom() civil.Date { return r.from }

// WhileWorking runs work in a transaction that may stand still for limit, and is kept alive every so often.
func WhileWorking(ctx context.Context, s *Store, limit, every time.Duration, work func(backend uint32)) error {
	return s.transactCopy(ctx, func(_ *gorm.DB, c *pgx.Conn) error {
		if _, err := c.Exec(ctx, `SELECT set_config('idle_in_transaction_session_timeout', $1, true)`, milliseconds(limit)); err != nil {
			return err
		}
		return keepAlive(ctx, c, every, func() { work(c.PgConn().PID()) })
	})
}
