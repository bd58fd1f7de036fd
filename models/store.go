// Package models is what Kontoflow stores: one file per entity with its queries, and the migrations that make the
// tables. The database holds the laws that must hold whatever the code does: the edges of the state machine, one
// active synchronization per access, one open challenge per synchronization (migrations/00001_initial.sql).
package models

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"kontoflow/vault"
)

// ErrNotFound says that a row is not there, or not for this user: which of the two is nobody's business.
var ErrNotFound = errors.New("not found")

// Store is the database, through GORM and through the pgx pool underneath it (COPY and the hot reads), with the
// vault that seals its secret columns.
type Store struct {
	DB    *gorm.DB
	Pool  *pgxpool.Pool
	Vault *vault.Vault
}

// An Option of Open.
type Option func(*gorm.Config)

// WithClock lets the store live by another clock than the machine's: what is created, ends, expires and is due goes by
// it. Challenges and tokens are people's, and keep to the machine's.
func WithClock(now func() time.Time) Option {
	return func(c *gorm.Config) { c.NowFunc = func() time.Time { return now().UTC() } }
}

// Open connects to the database. It does not migrate; call Migrate before, or `kontoflow migrate`.
func Open(ctx context.Context, url string, v *vault.Vault, options ...Option) (*Store, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, errors.New("the database's URL cannot be read") // the parser's error may quote the password
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("connect to the database: %w", err)
	}
	orm := &gorm.Config{
		SkipDefaultTransaction: true,           // transactions are opened where two statements belong together
		Logger:                 logger.Discard, // GORM's logger writes parameters, and those name people
		TranslateError:         true,
		NowFunc:                func() time.Time { return time.Now().UTC() },
	}
	for _, o := range options {
		o(orm)
	}
	db, err := gorm.Open(postgres.New(postgres.Config{Conn: stdlib.OpenDBFromPool(pool)}), orm)
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("open the store: %w", err)
	}
	return &Store{DB: db, Pool: pool, Vault: v}, nil
}

// Now is the time by the store's clock; inside a transaction tx.NowFunc() is the same.
func (s *Store) Now() time.Time { return s.DB.NowFunc() }

// Close gives the connections back.
func (s *Store) Close() { s.Pool.Close() }

// Transact runs f in one database transaction.
func (s *Store) Transact(ctx context.Context, f func(tx *gorm.DB) error) error {
	return s.DB.WithContext(ctx).Transaction(f)
}

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations is the embedded migrations folder, for those who make databases of their own from it.
func Migrations() fs.FS {
	sub, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return sub
}

// Migrate brings the database to the newest schema. An advisory lock lets several processes start at once.
func Migrate(ctx context.Context, url string) error {
	config, err := pgxpool.ParseConfig(url) // which knows the pool's settings, too
	if err != nil {
		return errors.New("the database's URL cannot be read")
	}
	db := stdlib.OpenDB(*config.ConnConfig)
	defer db.Close()
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, Migrations(), goose.WithSessionLocker(locker),
		goose.WithSlog(slog.New(slog.DiscardHandler)))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	results, err := provider.Up(ctx)
	if err != nil {
		return fmt.Errorf("migrate the database: %w", err)
	}
	for _, r := range results {
		slog.Info("migrated", "version", r.Source.Version, "took", r.Duration.Round(time.Millisecond))
	}
	return nil
}

// NewID makes an id: time-ordered, so that new rows lie side by side in their indexes.
func NewID() uuid.UUID { return uuid.Must(uuid.NewV7()) }

// Strings is a text[] column.
type Strings []string

// pgTypes are pgx's conversions. They learn while they are used, so two goroutines must not use the same.
var pgTypes = sync.Pool{New: func() any { return pgtype.NewMap() }}

// Scan reads a text[].
func (s *Strings) Scan(src any) error {
	types := pgTypes.Get().(*pgtype.Map)
	defer pgTypes.Put(types)
	return types.SQLScanner((*[]string)(s)).Scan(src)
}

// Value writes a text[].
func (s Strings) Value() (driver.Value, error) {
	if s == nil {
		return "{}", nil
	}
	types := pgTypes.Get().(*pgtype.Map)
	defer pgTypes.Put(types)
	b, err := types.Encode(pgtype.TextArrayOID, pgtype.TextFormatCode, []string(s), nil)
	return string(b), err
}

// GormDataType names the column's type.
func (Strings) GormDataType() string { return "text[]" }

var _ sql.Scanner = (*Strings)(nil)

// found turns a missing row into ErrNotFound.
func found(err error, what string) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, gorm.ErrRecordNotFound), errors.Is(err, sql.ErrNoRows):
		return ErrNotFound
	default:
		return fmt.Errorf("read %s: %w", what, err)
	}
}
