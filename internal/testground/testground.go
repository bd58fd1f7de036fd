// Package testground gives tests the real servers that `make test` brings up: a PostgreSQL and a Temporal server.
package testground

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	_ "github.com/kontoflow/kontoflow/banks/protocols" // access methods have the capabilities of their protocols
	"github.com/kontoflow/kontoflow/internal/temporalclient"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/vault"
)

const missing = "%s is not set: run `make test`, or `go run . up -- go test ./…` for some packages"

// Temporal is the address of the Temporal server. All tests share its namespace (TEMPORAL_NAMESPACE, default
// "default"): each has a task queue of its own.
func Temporal(t testing.TB) string {
	t.Helper()
	address := os.Getenv("TEMPORAL_ADDRESS")
	if address == "" {
		t.Fatalf(missing, "TEMPORAL_ADDRESS")
	}
	return address
}

// DevServer is the path of the kontoflow-devserver binary, for tests that need a Temporal server of their own.
func DevServer(t testing.TB) string {
	t.Helper()
	path := os.Getenv("KONTOFLOW_DEVSERVER")
	if path == "" {
		t.Fatalf(missing, "KONTOFLOW_DEVSERVER")
	}
	return path
}

// Database is the URL of a migrated, empty database of the test's own. It is dropped after the test, together with
// whatever is still connected to it. A test in whose database transactions waited for each other in a circle fails.
func Database(t testing.TB) string {
	t.Helper()
	server := os.Getenv("DATABASE_URL")
	if server == "" {
		t.Fatalf(missing, "DATABASE_URL")
	}
	template, err := migratedTemplate()
	if err != nil {
		t.Fatalf("preparing the database that tests copy: %v", err)
	}
	name := "test_" + strings.ToLower(rand.Text())
	if err := execute(t.Context(), server, `CREATE DATABASE `+quote(name)+` TEMPLATE `+quote(template)); err != nil {
		t.Fatalf("creating the test's database: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if n, err := deadlocks(ctx, server, name); err != nil || n > 0 {
			t.Errorf("PostgreSQL broke off %d transactions that waited for each other in a circle (%v)", n, err)
		}
		if err := execute(ctx, server, `DROP DATABASE `+quote(name)+` WITH (FORCE)`); err != nil {
			t.Errorf("dropping the test's database: %v", err)
		}
	})
	return withDatabase(server, name)
}

// Store opens a database of the test's own, with a vault of its own, and closes it after the test.
func Store(t testing.TB, options ...models.Option) *models.Store {
	t.Helper()
	secrets, err := vault.Open(Keyset(t))
	if err != nil {
		t.Fatal(err)
	}
	store, err := models.Open(t.Context(), Database(t), secrets, options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(store.Close)
	return store
}

// Keyset is a new set of keys, as VAULT_KEYS and TEMPORAL_CODEC_KEYS hold them.
func Keyset(t testing.TB) string {
	t.Helper()
	keys, err := vault.NewKeyset()
	if err != nil {
		t.Fatal(err)
	}
	return keys
}

// Codec seals what Temporal holds with keys.
func Codec(t testing.TB, keys string) *temporalclient.Codec {
	t.Helper()
	codec, err := temporalclient.NewCodec(keys, false)
	if err != nil {
		t.Fatal(err)
	}
	return codec
}

// A Log can be read while it is written.
type Log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

// Write appends to it.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// String is what was written so far.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// migratedTemplate makes the database that all tests copy, once for all test processes on the server: copying takes
// a tenth of the time that migrating takes. Its name says which migrations are in it.
var migratedTemplate = sync.OnceValues(func() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	server := os.Getenv("DATABASE_URL")
	fingerprint, err := fingerprint(models.Migrations())
	if err != nil {
		return "", err
	}
	name := "kontoflow_template_" + fingerprint

	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return "", errors.New("no connection to DATABASE_URL") // the driver's words may quote the URL
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock(hashtext('kontoflow template'))`); err != nil {
		return "", err
	}
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&exists); err != nil || exists {
		return name, err
	}
	// It gets its name when it is finished: a run that is killed leaves no half template behind.
	unfinished := name + "_unfinished"
	for _, statement := range []string{
		`DROP DATABASE IF EXISTS ` + quote(unfinished) + ` WITH (FORCE)`,
		`CREATE DATABASE ` + quote(unfinished),
	} {
		if _, err := conn.Exec(ctx, statement); err != nil {
			return "", err
		}
	}
	if err := models.Migrate(ctx, withDatabase(server, unfinished)); err != nil {
		return "", err
	}
	_, err = conn.Exec(ctx, `ALTER DATABASE `+quote(unfinished)+` RENAME TO `+quote(name))
	return name, err
})

func fingerprint(migrations fs.FS) (string, error) {
	hash := sha256.New()
	err := fs.WalkDir(migrations, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(migrations, path)
		fmt.Fprintf(hash, "%s\x00%d\x00%s", path, len(text), text)
		return err
	})
	return hex.EncodeToString(hash.Sum(nil)[:8]), err
}

// deadlocks counts those that PostgreSQL has found in a database. A backend reports what it has counted when it ends, at
// the latest: so all that are still connected are ended first.
func deadlocks(ctx context.Context, server, database string) (n int, err error) {
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return 0, errors.New("no connection to DATABASE_URL")
	}
	defer conn.Close(context.WithoutCancel(ctx))
	for connected := true; connected; {
		err := conn.QueryRow(ctx, `SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_stat_activity WHERE datname = $1`, database).Scan(&connected)
		if err != nil {
			return 0, err
		}
	}
	return n, conn.QueryRow(ctx, `SELECT deadlocks FROM pg_stat_database WHERE datname = $1`, database).Scan(&n)
}

func execute(ctx context.Context, server, statement string) error {
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return errors.New("no connection to DATABASE_URL")
	}
	defer conn.Close(context.WithoutCancel(ctx))
	_, err = conn.Exec(ctx, statement)
	return err
}

func withDatabase(server, name string) string {
	u, err := url.Parse(server)
	if err != nil {
		panic("DATABASE_URL is not a URL") // it was connected to before
	}
	u.Path = "/" + name
	return u.String()
}

func quote(name string) string { return pgx.Identifier{name}.Sanitize() }
