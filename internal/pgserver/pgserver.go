// Package pgserver runs a private PostgreSQL from installed binaries: data, password and log in one directory, TCP on
// loopback only. It is for development and tests; it ends with this process, and comes up again after any end.
package pgserver

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/kontoflow/kontoflow/internal/child"
)

// User is the superuser that URLs of the server name.
const User = "kontoflow"

// Options say where the server lives and how careful it is.
type Options struct {
	Dir       string                           // made where missing; belongs to one server at a time
	Port      int                              // preferred; another one is taken where it is in use, any where it is 0
	Throwaway bool                             // the data need not outlive a crash of the machine: no fsync
	Say       func(format string, args ...any) // told what takes long or is not as expected
}

// Server is a running PostgreSQL.
type Server struct {
	dir      string
	port     int
	password string
	process  *child.Process
	lock     *os.File
}

// Start finds or installs PostgreSQL, creates the cluster where there is none, stops what an earlier run that was
// killed may have left running, and returns once the server answers.
func Start(ctx context.Context, opts Options) (*Server, error) {
	account, err := unprivileged()
	if err != nil {
		return nil, err
	}
	dir, err := prepareDir(opts, account)
	if err != nil {
		return nil, err
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, lock: lock}
	if err := s.start(ctx, opts, account); err != nil {
		lock.Close()
		return nil, fmt.Errorf("private PostgreSQL in %s: %w", dir, err)
	}
	return s, nil
}

// URL is the address of one database, password included.
func (s *Server) URL(database string) string {
	u := url.URL{
		Scheme:   "postgres",
		User:     url.UserPassword(User, s.password),
		Host:     net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)),
		Path:     "/" + database,
		RawQuery: "sslmode=disable",
	}
	return u.String()
}

// Dir is where the data are; it differs from the one asked for where that one is out of the server's reach.
func (s *Server) Dir() string { return s.dir }

// Done is closed when the server has ended, by Stop or by itself.
func (s *Server) Done() <-chan struct{} { return s.process.Done() }

// Stop ends the server: open connections are cut, what is committed is kept.
func (s *Server) Stop() error {
	defer s.lock.Close()
	return s.process.Stop(fastShutdown, time.Minute)
}

// CreateDatabase makes a database where there is none of that name.
func (s *Server) CreateDatabase(ctx context.Context, name string) error {
	conn, err := pgx.Connect(ctx, s.URL("postgres"))
	if err != nil {
		return fmt.Errorf("creating database %s: %w", name, err)
	}
	defer conn.Close(ctx)
	var exists bool
	if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)`, name).Scan(&exists); err != nil {
		return fmt.Errorf("creating database %s: %w", name, err)
	}
	if exists {
		return nil
	}
	if _, err := conn.Exec(ctx, `CREATE DATABASE `+pgx.Identifier{name}.Sanitize()); err != nil {
		return fmt.Errorf("creating database %s: %w", name, err)
	}
	return nil
}

// fastShutdown is the signal by which a postmaster rolls back and ends without waiting for its clients.
const fastShutdown = syscall.SIGINT

func (s *Server) start(ctx context.Context, opts Options, account *account) error {
	data := filepath.Join(s.dir, "data")
	bin, err := binaries(ctx, dataVersion(data), opts.Say)
	if err != nil {
		return err
	}
	if s.password, err = s.keepPassword(account); err != nil {
		return err
	}
	if dataVersion(data) == "" {
		if err := s.initialize(ctx, bin, data, account); err != nil {
			return err
		}
	}
	if err := stopPrevious(data); err != nil {
		return err
	}

	// A start may fail for reasons that pass: the port was taken a moment ago, or the last processes of a killed
	// server still hold its shared memory.
	const attempts = 5
	for attempt := 1; ; attempt++ {
		if s.port, err = choosePort(opts.Port); err != nil {
			return err
		}
		err = s.launch(ctx, bin, data, opts.Throwaway, account)
		if err == nil || attempt == attempts || ctx.Err() != nil {
			return err
		}
		time.Sleep(time.Second)
	}
}

func (s *Server) initialize(ctx context.Context, bin, data string, account *account) error {
	// A cluster comes into being whole: what an initdb that was killed left behind is no cluster.
	fresh := data + ".new"
	if err := os.RemoveAll(fresh); err != nil {
		return err
	}
	initdb := func(locale string) error {
		cmd := exec.CommandContext(ctx, filepath.Join(bin, "initdb"), "--pgdata", fresh, "--username", User,
			"--pwfile", s.passwordFile(), "--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", locale, "--no-sync")
		cmd.Dir = s.dir
		account.apply(cmd)
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("initdb: %w: %s", err, lastLines(string(out), 3))
		}
		return nil
	}
	if err := initdb("C.UTF-8"); err != nil { // upper and lower case of umlauts; not every system has it
		if err := initdb("C"); err != nil {
			return err
		}
	}
	return os.Rename(fresh, data)
}

func (s *Server) launch(ctx context.Context, bin, data string, throwaway bool, account *account) error {
	logPath := filepath.Join(s.dir, "postgres.log")
	log, err := os.OpenFile(logPath, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()

	args := []string{"-D", data}
	for _, setting := range settings(s.port, throwaway) {
		args = append(args, "-c", setting)
	}
	cmd := exec.Command(filepath.Join(bin, "postgres"), args...)
	cmd.Dir = s.dir
	cmd.Stdout, cmd.Stderr = log, log
	account.apply(cmd)
	if s.process, err = child.Start(cmd, fastShutdown); err != nil {
		return err
	}

	deadline := time.NewTimer(time.Minute) // a crash recovery may take a while
	defer deadline.Stop()
	for {
		err := ping(ctx, s.URL("postgres"))
		if err == nil {
			return nil
		}
		select {
		case <-s.process.Done():
			text, _ := os.ReadFile(logPath)
			return fmt.Errorf("the server ended at once: %s", lastLines(string(text), 5))
		case <-ctx.Done():
			return errors.Join(ctx.Err(), s.process.Stop(fastShutdown, time.Minute))
		case <-deadline.C:
			return errors.Join(fmt.Errorf("the server does not answer: %w", err), s.process.Stop(fastShutdown, time.Minute))
		case <-time.After(50 * time.Millisecond):
		}
	}
}

func settings(port int, throwaway bool) []string {
	connections := "300"
	if throwaway {
		connections = "1000" // many tests at once, each with an API and a worker of its own
	}
	s := []string{
		"listen_addresses=127.0.0.1",
		"port=" + strconv.Itoa(port),
		"unix_socket_directories=",
		"max_connections=" + connections,
		"shared_buffers=256MB",
		"max_wal_size=2GB",
		"wal_level=minimal",
		"max_wal_senders=0",
		"jit=off", // compiling costs more than the short statements here take
		"log_min_messages=warning",
		"log_line_prefix=%m [%p] ",
		"log_statement=none",
		"log_min_error_statement=panic", // statements and their parameters stay out of the log
		"log_parameter_max_length=0",
	}
	if throwaway {
		s = append(s, "fsync=off", "synchronous_commit=off", "full_page_writes=off")
	}
	return s
}

func ping(ctx context.Context, databaseURL string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, databaseURL)
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}

func (s *Server) passwordFile() string { return filepath.Join(s.dir, "password") }

// keepPassword returns the password of the cluster, and makes one up for a new cluster.
func (s *Server) keepPassword(account *account) (string, error) {
	password, err := os.ReadFile(s.passwordFile())
	if err == nil && len(password) > 0 {
		return string(password), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	fresh := make([]byte, 16)
	if _, err := rand.Read(fresh); err != nil {
		return "", err
	}
	text := hex.EncodeToString(fresh)
	if err := os.WriteFile(s.passwordFile(), []byte(text), 0o600); err != nil {
		return "", err
	}
	return text, account.own(s.passwordFile())
}

// stopPrevious stops the server that a run of us that was killed left behind. We hold the directory's lock, so nobody
// is using it, and a pid file that still is there afterwards describes a process that is long gone.
func stopPrevious(data string) error {
	pidFile := filepath.Join(data, "postmaster.pid")
	text, err := os.ReadFile(pidFile)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(text), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err == nil && pid > 0 {
		deadline := time.Now().Add(time.Minute)
		for sent := false; isPostmaster(pid, data); sent = true {
			if !sent {
				if err := syscall.Kill(pid, fastShutdown); err != nil {
					break
				}
			}
			if time.Now().After(deadline) {
				return fmt.Errorf("the server of an earlier run (process %d) does not end", pid)
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	if err := os.Remove(pidFile); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// isPostmaster tells whether the process is a server on these data: process ids are used again.
func isPostmaster(pid int, data string) bool {
	command, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		command, err = exec.Command("ps", "-o", "args=", "-p", strconv.Itoa(pid)).Output()
	}
	return err == nil && strings.Contains(string(command), "postgres") && strings.Contains(string(command), data)
}

func lockDir(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("%s is in use: is another kontoflow running here?", dir)
	}
	return f, nil
}

// choosePort returns the preferred port where it is free, else another one.
func choosePort(preferred int) (int, error) {
	l, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(preferred)))
	if err != nil {
		if l, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
			return 0, fmt.Errorf("finding a free port: %w", err)
		}
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	if len(lines) > n {
		lines = lines[len(lines)-n:]
	}
	return strings.Join(lines, "; ")
}
