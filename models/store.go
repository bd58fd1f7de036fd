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
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/kontoflow/kontoflow/vault"
)

// ErrNotFound says that a row is not there, or not for this user: which of the two is nobody's business.
var ErrNotFound = errors.New("not found")

// Store is the database, through GORM and through the pgx pool underneath it (COPY and the hot reads), with the
// vault that seals its secret columns.
//
// AuthPool and HeavyPool are few connections beside Pool's: for reading who a request acts for, and for lists that read
// many rows. So neither waits for the other, nor anything else for them. A process that uses them opens them when it does.
type Store struct {
	DB        *gorm.DB
	Pool      *pgxpool.Pool
	AuthPool  *pgxpool.Pool
	HeavyPool *pgxpool.Pool
	Vault     *vault.Vault
}

// Sizes of the pools beside the main one, and how long a statement of theirs may take.
const (
	authConnections  = 4
	heavyConnections = 4
	authTimeout      = 5 * time.Second
	heavyTimeout     = 10 * time.Second
)

// How long a transaction may wait for its process, or for a lock. A worker that freezes inside a transaction holds its
// locks for no longer.
const (
	idleTimeout = 15 * time.Second
	lockTimeout = 20 * time.Second
)

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
	guard(config)
	pools, err := openPools(ctx, config)
	if err != nil {
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
	db, err := gorm.Open(postgres.New(postgres.Config{Conn: stdlib.OpenDBFromPool(pools[0])}), orm)
	if err != nil {
		closePools(pools)
		return nil, fmt.Errorf("open the store: %w", err)
	}
	return &Store{DB: db, Pool: pools[0], AuthPool: pools[1], HeavyPool: pools[2], Vault: v}, nil
}

// guard bounds how long a connection holds what others wait for, and how long a peer that is gone is waited for. What the
// URL says itself stays.
func guard(config *pgxpool.Config) {
	for name, value := range map[string]string{
		"idle_in_transaction_session_timeout": milliseconds(idleTimeout), "lock_timeout": milliseconds(lockTimeout),
		"tcp_keepalives_idle": "15", "tcp_keepalives_interval": "5", "tcp_keepalives_count": "3", "client_connection_check_interval": "10000",
	} {
		if _, said := config.ConnConfig.RuntimeParams[name]; !said {
			config.ConnConfig.RuntimeParams[name] = value
		}
	}
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: 15 * time.Second, Interval: 5 * time.Second, Count: 3}}
	config.ConnConfig.DialFunc = dialer.DialContext
}

func milliseconds(d time.Duration) string { return strconv.FormatInt(d.Milliseconds(), 10) }

// openPools opens the main pool, and makes the two beside it.
func openPools(ctx context.Context, config *pgxpool.Config) ([]*pgxpool.Pool, error) {
	auth, heavy := config.Copy(), config.Copy()
	auth.MaxConns, heavy.MaxConns = authConnections, heavyConnections
	auth.ConnConfig.RuntimeParams["statement_timeout"] = milliseconds(authTimeout)
	heavy.ConnConfig.RuntimeParams["statement_timeout"] = milliseconds(heavyTimeout)
	for _, c := range []*pgxpool.Config{auth, heavy} {
		c.MinConns, c.MinIdleConns = 0, 0
	}
	var pools []*pgxpool.Pool
	for _, c := range []*pgxpool.Config{config, auth, heavy} {
		pool, err := pgxpool.NewWithConfig(ctx, c)
		if err != nil {
			closePools(pools)
			return nil, err
		}
		pools = append(pools, pool)
	}
	if err := pools[0].Ping(ctx); err != nil {
		closePools(pools)
		return nil, err
	}
	return pools, nil
}

func closePools(pools []*pgxpool.Pool) {
	for _, pool := range pools {
		pool.Close()
	}
}

// Now is the time by the store's clock; inside a transaction tx.NowFunc() is the same.
func (s *Store) Now() time.Time { return s.DB.NowFunc() }

// Unreachable reports whether an error of Open may pass: nobody listens yet, the server is starting or has too many
// connections. A refused password or a database that does not exist does not pass.
func Unreachable(err error) bool {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		return strings.HasPrefix(server.Code, "57") || strings.HasPrefix(server.Code, "53") || strings.HasPrefix(server.Code, "08")
	}
	var connect *pgconn.ConnectError
	return errors.As(err, &connect) || errors.Is(err, context.DeadlineExceeded)
}

// Close gives the connections back.
func (s *Store) Close() { closePools([]*pgxpool.Pool{s.Pool, s.AuthPool, s.HeavyPool}) }

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
