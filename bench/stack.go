package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"golang.org/x/sync/errgroup"

	"github.com/kontoflow/kontoflow/internal/child"
	"github.com/kontoflow/kontoflow/internal/temporalclient"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/sandbox"
	"github.com/kontoflow/kontoflow/vault"
)

// A stack is one Kontoflow with the sandbox bank, each part a process, and one customer of one client.
type stack struct {
	dir    string // logs
	server string // URL of the database that DATABASE_URL names
	env    []string

	databaseName string // of ours
	pool         *pgxpool.Pool
	temporal     client.Client
	queue        string

	bank, api *part
	worker    *part
	bankURL   string
	apiURL    string
	user      string
	bearer    string
	http      *http.Client
	logins    map[string]int // customers made, by persona
}

type part struct {
	process *child.Process
	pid     int
	log     string
	metrics string // address, of a worker
}

func newStack(ctx context.Context) (s *stack, err error) {
	s = &stack{server: os.Getenv("DATABASE_URL"), queue: "bench-" + uuid.NewString(), logins: make(map[string]int)}
	if s.server == "" || os.Getenv("TEMPORAL_ADDRESS") == "" {
		return nil, errors.New("DATABASE_URL or TEMPORAL_ADDRESS is not set: run `make bench`")
	}
	if _, err := os.Stat(*binary); err != nil {
		return nil, fmt.Errorf("no binary to measure (make build): %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.stop())
		}
	}()
	if s.dir, err = os.MkdirTemp("", "kontoflow-bench-"); err != nil {
		return s, err
	}
	var databaseURL string
	if databaseURL, s.databaseName, s.pool, err = s.database(ctx); err != nil {
		return s, err
	}
	keys, err := vault.NewKeyset()
	if err != nil {
		return s, err
	}
	if s.temporal, err = temporalclient.Dial(temporalclient.Options{Address: os.Getenv("TEMPORAL_ADDRESS")}); err != nil {
		return s, err
	}
	bank, api := freeAddress(), freeAddress()
	s.bankURL, s.apiURL = "http://"+bank, "http://"+api
	s.env = append(os.Environ(), "DATABASE_URL="+databaseURL, "TASK_QUEUE="+s.queue, "VAULT_KEYS="+keys, "PUBLIC_URL="+s.apiURL,
		"CHALLENGE_TIMEOUT=2h", "LOOPBACK_RECEIVERS=true", "AUTO_SYNC_EVERY=0", // nothing runs by itself but what is measured
		// The limits count every request, but one user is to send more than they let through.
		"LIMIT_USER_PER_SECOND=1000000", "LIMIT_USER_BURST=1000000", "LIMIT_USER_AT_ONCE=1000", "LIMIT_USER_HEAVY=1000", "LIMIT_USER_WAITING=10000",
		"LIMIT_CLIENT_PER_SECOND=1000000", "LIMIT_CLIENT_BURST=1000000", "LIMIT_CLIENT_AT_ONCE=1000", "LIMIT_CLIENT_HEAVY=1000", "LIMIT_CLIENT_WAITING=10000")
	s.http = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: time.Minute}

	if s.bank, err = s.start(*binary, "bank", "--listen", bank); err != nil {
		return s, err
	}
	if err := s.await(ctx, s.bankURL+"/"); err != nil {
		return s, err
	}
	if err := s.importCatalog(ctx); err != nil {
		return s, err
	}
	if s.api, err = s.start(*binary, "api", "--listen", api); err != nil {
		return s, err
	}
	if err := s.await(ctx, s.apiURL+"/ready"); err != nil {
		return s, err
	}
	if s.worker, err = s.start(*binary, "worker"); err != nil {
		return s, err
	}
	return s, s.newCustomer(ctx)
}

// database makes a migrated database beside the one of DATABASE_URL.
func (s *stack) database(ctx context.Context) (address, name string, pool *pgxpool.Pool, err error) {
	name = "bench_" + strings.ToLower(rand.Text())
	if err := execute(ctx, s.server, "CREATE DATABASE "+name); err != nil {
		return "", "", nil, err
	}
	u, err := url.Parse(s.server)
	if err != nil {
		return "", name, nil, errors.New("DATABASE_URL is not a URL")
	}
	u.Path = "/" + name
	if err := models.Migrate(ctx, u.String()); err != nil {
		return "", name, nil, err
	}
	pool, err = pgxpool.New(ctx, u.String())
	return u.String(), name, pool, err
}

func execute(ctx context.Context, server, statement string) error {
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		return errors.New("no connection to DATABASE_URL")
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

// stop ends the parts and forgets what they stored.
func (s *stack) stop() error {
	var errs []error
	for _, p := range []*part{s.api, s.worker, s.bank} {
		errs = append(errs, p.stop())
	}
	if s.temporal != nil {
		s.temporal.Close()
	}
	if s.pool != nil {
		s.pool.Close()
	}
	if s.databaseName != "" {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		errs = append(errs, execute(ctx, s.server, "DROP DATABASE "+s.databaseName+" WITH (FORCE)"))
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

// start starts a command with our environment, its log in a file.
func (s *stack) start(path string, args ...string) (*part, error) {
	log, err := os.CreateTemp(s.dir, filepath.Base(args[0])+"-*.log")
	if err != nil {
		return nil, err
	}
	defer log.Close()
	cmd := exec.Command(path, args...)
	cmd.Env, cmd.Stdout, cmd.Stderr = s.env, log, log
	p := &part{log: log.Name()}
	if p.process, err = child.Start(cmd, syscall.SIGKILL); err != nil {
		return nil, err
	}
	p.pid = cmd.Process.Pid
	return p, nil
}

func (p *part) stop() error {
	if p == nil {
		return nil
	}
	return p.process.Stop(syscall.SIGTERM, 40*time.Second)
}

// restartWorker gives a worker that has done nothing yet, with metrics.
func (s *stack) restartWorker(ctx context.Context) (err error) {
	if err := s.worker.stop(); err != nil {
		return err
	}
	metrics := freeAddress()
	if s.worker, err = s.start(*binary, "worker", "--metrics-listen", metrics); err != nil {
		return err
	}
	s.worker.metrics = "http://" + metrics + "/metrics"
	return s.await(ctx, s.worker.metrics)
}

// await returns when the address answers with success.
func (s *stack) await(ctx context.Context, address string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		err := s.call(ctx, "GET", address, nil, nil, nil)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", address, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// methodOfOneYear is an access method of the bank of the sandbox whose history begins with 2025, so that its customers
// of the persona huge have 100,000 old transactions.
var methodOfOneYear = uuid.MustParse("5a3c4a49-43f6-4b8b-9a3b-0d7c8a5e2025")

// importCatalog imports the sandbox's catalog, and methodOfOneYear.
func (s *stack) importCatalog(ctx context.Context) error {
	var file struct {
		Banks []map[string]any `json:"banks"`
	}
	if err := s.call(ctx, "GET", s.bankURL+"/catalog.json", nil, nil, &file); err != nil {
		return err
	}
	for _, bank := range file.Banks {
		methods := bank["access_methods"].([]any)
		method := methods[0].(map[string]any)
		if method["id"] != sandbox.AccessMethodID("demo").String() {
			continue
		}
		var another map[string]any
		if err := json.Unmarshal(must(json.Marshal(method)), &another); err != nil {
			return err
		}
		another["id"] = methodOfOneYear
		days := time.Since(time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC)) / (24 * time.Hour)
		another["connection"].(map[string]any)["history_days"] = int(days)
		bank["access_methods"] = append(methods, another)
	}
	path := filepath.Join(s.dir, "catalog.json")
	if err := os.WriteFile(path, must(json.Marshal(file)), 0o600); err != nil {
		return err
	}
	_, err := s.kontoflow(ctx, "catalog", "import", path)
	return err
}

// kontoflow runs a command of the binary to its end.
func (s *stack) kontoflow(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, *binary, args...)
	cmd.Env = s.env
	var failed bytes.Buffer
	cmd.Stderr = &failed
	printed, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("kontoflow %s: %w: %s", args[0], err, failed.Bytes())
	}
	return printed, nil
}

// newCustomer makes a client with a user, and takes a token for them.
func (s *stack) newCustomer(ctx context.Context) error {
	printed, err := s.kontoflow(ctx, "client", "create", "--json", "bench")
	if err != nil {
		return err
	}
	var tenant struct{ ID, Secret string }
	if err := json.Unmarshal(printed, &tenant); err != nil {
		return err
	}
	basic := func(r *http.Request) { r.SetBasicAuth(tenant.ID, tenant.Secret) }
	var user struct {
		ID string `json:"user_id"`
	}
	var token struct {
		Access string `json:"access_token"`
	}
	err = s.call(ctx, "POST", s.apiURL+"/auth/user", basic, object{"email": "bench@example.org", "password": "Maßstab 2026", "full_name": "Erika Mustermann"}, &user)
	if err == nil {
		err = s.call(ctx, "POST", s.apiURL+"/auth/token", basic, object{"grant_type": "client_credentials", "user_id": user.ID}, &token)
	}
	s.user, s.bearer = user.ID, token.Access
	return err
}

// object is JSON on its way out.
type object = map[string]any

func (s *stack) customer(r *http.Request) {
	r.Header.Set("Authorization", "Bearer "+s.bearer)
	r.Header.Set("PSU-IP-Address", "192.0.2.17")
}

// call makes a request, expects success, and decodes the answer.
func (s *stack) call(ctx context.Context, method, address string, auth func(*http.Request), body, into any) error {
	var payload io.Reader
	if body != nil {
		payload = bytes.NewReader(must(json.Marshal(body)))
	}
	request, err := http.NewRequestWithContext(ctx, method, address, payload)
	if err != nil {
		return err
	}
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	if auth != nil {
		auth(request)
	}
	response, err := s.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s: %s", method, address, response.Status, answer)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}

// access adds an access of another customer of the persona.
func (s *stack) access(ctx context.Context, method uuid.UUID, persona string) (uuid.UUID, error) {
	all, err := s.accesses(ctx, method, persona, 1)
	if err != nil {
		return uuid.Nil, err
	}
	return all[0], nil
}

func (s *stack) accesses(ctx context.Context, method uuid.UUID, persona string, n int) ([]uuid.UUID, error) {
	made := make([]uuid.UUID, n)
	first := s.logins[persona]
	s.logins[persona] += n
	return made, side(ctx, n, 8, func(ctx context.Context, i int) error {
		var access struct {
			ID uuid.UUID `json:"id"`
		}
		login := persona + "+" + strconv.Itoa(first+i)
		err := s.call(ctx, "POST", s.apiURL+"/rest/accesses", s.customer,
			object{"access_method_id": method, "credentials": object{"login": login}}, &access)
		made[i] = access.ID
		return err
	})
}

// synchronize starts a synchronization and waits for the end of its workflow.
func (s *stack) synchronize(ctx context.Context, access uuid.UUID) (uuid.UUID, error) {
	id, err := s.begin(ctx, access)
	if err != nil {
		return id, err
	}
	return id, s.finish(ctx, id)
}

// finish waits for the end of a synchronization's workflow.
func (s *stack) finish(ctx context.Context, id uuid.UUID) error {
	for {
		err := s.temporal.GetWorkflow(ctx, id.String(), "").Get(ctx, nil)
		var missing *serviceerror.NotFound
		if !errors.As(err, &missing) {
			return err
		}
		select { // a start that Temporal did not take in time is made up for by the worker's sweep
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// begin starts a synchronization.
func (s *stack) begin(ctx context.Context, access uuid.UUID) (uuid.UUID, error) {
	return s.beginWith(ctx, access, object{"credentials": object{"pin": "demo"}})
}

func (s *stack) beginWith(ctx context.Context, access uuid.UUID, body object) (uuid.UUID, error) {
	var sync struct {
		ID uuid.UUID `json:"id"`
	}
	err := s.call(ctx, "POST", s.apiURL+"/rest/accesses/"+access.String()+"/syncs", s.customer, body, &sync)
	return sync.ID, err
}

// side calls f n times, at most parallel at once.
func side(ctx context.Context, n, parallel int, f func(ctx context.Context, i int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i := range n {
		g.Go(func() error { return f(ctx, i) })
	}
	return g.Wait()
}

func freeAddress() string {
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	return l.Addr().String()
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
