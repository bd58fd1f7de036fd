package models

import (
	"context"
	"errors"
	"fmt"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/kontoflow/kontoflow/vault"
)

// A sealedColumn is a column of ciphertexts.
type sealedColumn struct {
	table, column string
	key           string // the column that names the row in its seal; empty: the value is gone when its synchronization ends
	used          string // holds of a row t whose value somebody has read, who stores only what follows from it
}

// sealedColumns are all that there are, see sealed.go.
var sealedColumns = []sealedColumn{
	{table: "credentials", column: "value", key: "id"},
	{table: "access_methods", column: "connection", key: "id"},
	{table: "accesses", column: "bank_state", key: "id",
		used: `EXISTS (SELECT FROM synchronizations y WHERE y.access_id = t.id AND y.ended_at IS NULL)`},
	{table: "challenges", column: "content", key: "id"},
	{table: "answers", column: "fingerprint", key: "challenge_id"},
	{table: "notifications", column: "target", key: "id"},
	{table: "revocations", column: "state", key: "id", used: `t.attempted_at > now() - interval '10 minutes'`},
	{table: "answers", column: "value"},
	{table: "bank_sessions", column: "dialog"},
	{table: "synchronizations", column: "psu"},
	{table: "synchronization_accounts", column: "cursor"},
}

// resealedAtOnce is how many rows are locked together.
const resealedAtOnce = 200

// Resealed is what Store.Reseal has come to.
type Resealed struct {
	Moved int // values that the primary key seals now
	Left  int // values that an older key seals still: they are in use, or did not open
}

// Reseal seals anew, with the keyset's primary key, what older keys have sealed. What is in use at the moment is left to a
// later call, and so is what does not open, of which the error tells the places. Run it when no process seals with an older
// key any more: when it has left nothing, the older keys open nothing that the database holds.
func (s *Store) Reseal(ctx context.Context) (r Resealed, err error) {
	var unopened []error
	for _, c := range sealedColumns {
		if c.key != "" {
			moved, failed, err := s.resealColumn(ctx, c)
			if err != nil {
				return r, fmt.Errorf("reseal %s.%s: %w", c.table, c.column, err)
			}
			r.Moved += moved
			unopened = append(unopened, failed...)
		}
		var left int
		err := s.Pool.QueryRow(ctx, `SELECT count(*) FROM `+c.table+` t WHERE `+c.older(), s.Vault.Prefix()).Scan(&left)
		if err != nil {
			return r, fmt.Errorf("count what is left of %s.%s: %w", c.table, c.column, err)
		}
		r.Left += left
	}
	return r, errors.Join(unopened...)
}

// older is what holds of a row t whose value is not sealed by the primary key ($1).
func (c sealedColumn) older() string {
	return fmt.Sprintf(`t.%s IS NOT NULL AND substring(t.%[1]s FOR 5) <> $1`, c.column)
}

// resealColumn goes through a table once, by its key.
func (s *Store) resealColumn(ctx context.Context, c sealedColumn) (moved int, unopened []error, err error) {
	used := c.used
	if used == "" {
		used = "false"
	}
	// Rows that somebody else has locked are about to change, and left.
	page := fmt.Sprintf(`SELECT t.%s, t.%s FROM %s t WHERE t.%[1]s > $2 AND %[4]s ORDER BY t.%[1]s LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED`,
		c.key, c.column, c.table, c.older())
	// A statement of its own: whether a row is in use shows after it is locked.
	store := fmt.Sprintf(`UPDATE %s t SET %s = n.value FROM unnest($1::uuid[], $2::bytea[]) AS n (key, value) WHERE t.%s = n.key AND (%s) IS NOT TRUE`,
		c.table, c.column, c.key, used)
	for after, more := uuid.Nil, true; more; {
		err := pgx.BeginFunc(ctx, s.Pool, func(tx pgx.Tx) error {
			rows, err := tx.Query(ctx, page, s.Vault.Prefix(), after, resealedAtOnce)
			if err != nil {
				return err
			}
			var keys []uuid.UUID
			var values [][]byte
			var key uuid.UUID
			var sealed []byte
			found := 0
			_, err = pgx.ForEachRow(rows, []any{&key, &sealed}, func() error {
				after, found = key, found+1
				value, _, err := s.Vault.Reseal(sealed, vault.Context{Table: c.table, Column: c.column, Row: key.String()})
				if err != nil {
					unopened = append(unopened, err)
					return nil
				}
				keys, values = append(keys, key), append(values, value)
				return nil
			})
			if more = found == resealedAtOnce; err != nil || len(keys) == 0 {
				return err
			}
			result, err := tx.Exec(ctx, store, keys, values)
			moved += int(result.RowsAffected())
			return err
		})
		if err != nil {
			return moved, unopened, err
		}
	}
	return moved, unopened, nil
}
