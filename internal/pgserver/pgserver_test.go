package pgserver_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/internal/pgserver"
)

func start(t *testing.T, dir string) *pgserver.Server {
	t.Helper()
	return startWith(t, pgserver.Options{Dir: dir, Throwaway: true, Say: t.Logf})
}

func startWith(t *testing.T, opts pgserver.Options) *pgserver.Server {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	server, err := pgserver.Start(ctx, opts)
	require.NoError(t, err)
	t.Cleanup(func() { _ = server.Stop() })
	return server
}

// reachable is a directory below which the server can work even where we are root and t.TempDir is closed to others.
func reachable(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "kontoflow-pgserver-")
	require.NoError(t, err)
	require.NoError(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return filepath.Join(dir, "postgres")
}

func connect(t *testing.T, server *pgserver.Server) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.URL("postgres"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func postmaster(t *testing.T, server *pgserver.Server) int {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(server.Dir(), "data", "postmaster.pid"))
	require.NoError(t, err)
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(first)
	require.NoError(t, err)
	return pid
}

func TestDataSurviveARestart(t *testing.T) {
	t.Parallel()
	dir := reachable(t)

	first := start(t, dir)
	_, err := connect(t, first).Exec(t.Context(), `CREATE TABLE kept AS SELECT 42 AS answer`)
	require.NoError(t, err)
	require.NoError(t, first.Stop())

	var answer int
	require.NoError(t, connect(t, start(t, dir)).QueryRow(t.Context(), `SELECT answer FROM kept`).Scan(&answer))
	require.Equal(t, 42, answer)
}

func TestComesUpAfterItWasKilled(t *testing.T) {
	t.Parallel()
	careful := pgserver.Options{Dir: reachable(t)}

	first := startWith(t, careful)
	_, err := connect(t, first).Exec(t.Context(), `CREATE TABLE kept AS SELECT 42 AS answer`)
	require.NoError(t, err)
	require.NoError(t, syscall.Kill(postmaster(t, first), syscall.SIGKILL))
	<-first.Done()
	require.FileExists(t, filepath.Join(first.Dir(), "data", "postmaster.pid"))
	_ = first.Stop() // gives the directory free, as the end of the process would

	var answer int
	require.NoError(t, connect(t, startWith(t, careful)).QueryRow(t.Context(), `SELECT answer FROM kept`).Scan(&answer))
	require.Equal(t, 42, answer)
}

func TestLeavesAProcessAloneThatTookThePid(t *testing.T) {
	t.Parallel()
	dir := reachable(t)
	first := start(t, dir)
	require.NoError(t, first.Stop())

	bystander := exec.Command("sleep", "300")
	require.NoError(t, bystander.Start())
	t.Cleanup(func() { _ = bystander.Process.Kill(); _ = bystander.Wait() })
	pidFile := filepath.Join(first.Dir(), "data", "postmaster.pid")
	require.NoError(t, os.WriteFile(pidFile, []byte(strconv.Itoa(bystander.Process.Pid)+"\n"), 0o600))

	start(t, dir)
	require.NoError(t, bystander.Process.Signal(syscall.Signal(0)), "the bystander lives")
}

func TestDirectoryBelongsToOneServer(t *testing.T) {
	t.Parallel()
	dir := reachable(t)
	start(t, dir)

	_, err := pgserver.Start(t.Context(), pgserver.Options{Dir: dir})
	require.ErrorContains(t, err, "in use")
}

func TestTakenPortIsPassedBy(t *testing.T) {
	t.Parallel()
	first := start(t, reachable(t))
	config, err := pgx.ParseConfig(first.URL("postgres"))
	require.NoError(t, err)

	second := startWith(t, pgserver.Options{Dir: reachable(t), Port: int(config.Port), Throwaway: true})
	require.NotEqual(t, first.URL("postgres"), second.URL("postgres"))
	connect(t, second)
}

func TestPasswordIsAskedFor(t *testing.T) {
	t.Parallel()
	server := start(t, reachable(t))
	config, err := pgx.ParseConfig(server.URL("postgres"))
	require.NoError(t, err)

	config.Password = "wrong"
	_, err = pgx.ConnectConfig(t.Context(), config)
	require.ErrorContains(t, err, "28P01")

	info, err := os.Stat(filepath.Join(server.Dir(), "password"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), info.Mode().Perm())
}
