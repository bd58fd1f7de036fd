// Package up brings up everything that Kontoflow needs on one machine: for a first look (Run), and for tests and
// benchmarks (Command).
package up

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/kontoflow/kontoflow/internal/child"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/vault"
)

// Options are the settings of both.
type Options struct {
	DatabaseURL     string // empty: a private PostgreSQL
	TemporalAddress string // empty: a private Temporal server
	DevServer       string // path of kontoflow-devserver; empty: beside us, in ./bin, or built from ./devserver

	// Of Run alone.
	Once         bool   // end after the transcript
	Dir          string // where the state is kept
	VaultKeys    string // Tink keyset; empty: one that is kept in Dir
	APIPort      int    // preferred ports: where one is taken, another one is used
	BankPort     int
	PostgresPort int
	TemporalPort int
	UIPort       int
}

// Run brings up all of Kontoflow, runs one synchronization against the sandbox bank and prints its transcript to out,
// and stays until ctx ends or a part dies. Whatever it started ends with it.
func Run(ctx context.Context, opts Options, out io.Writer) (err error) {
	dir, err := filepath.Abs(opts.Dir)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return err
	}
	s := &stack{dir: dir, died: make(chan error, 16)}
	defer func() { err = errors.Join(err, s.stop()) }()

	fmt.Fprintln(out, "Kontoflow is coming up …")
	s.ground, err = startGround(ctx, groundOptions{
		Dir:             dir,
		DatabaseURL:     opts.DatabaseURL,
		TemporalAddress: opts.TemporalAddress,
		DevServer:       opts.DevServer,
		PostgresPort:    opts.PostgresPort,
		TemporalPort:    opts.TemporalPort,
		UIPort:          opts.UIPort,
		Say:             say,
	})
	if err != nil {
		return err
	}
	grounds := s.ground.Died()
	go func() {
		for name := range grounds {
			s.died <- fmt.Errorf("%s ended by itself; its log is in %s", name, dir)
		}
	}()
	if err := s.startParts(ctx, opts); err != nil {
		return err
	}
	client, err := s.client(ctx)
	if err != nil {
		return err
	}

	w := &walk{api: s.apiURL, client: client, out: out}
	walked := make(chan error, 1)
	go func() { walked <- w.run(ctx) }()
	select {
	case err := <-walked:
		if err != nil {
			return err
		}
	case err := <-s.died:
		return err
	}
	if err := s.writeEnv(client); err != nil {
		return err
	}
	s.printAddresses(out, client, w.sync)
	if opts.Once {
		return nil
	}
	fmt.Fprintln(out, "\n  Ctrl-C ends it; make run brings it back as it was.")
	select {
	case <-ctx.Done():
		return nil
	case err := <-s.died:
		return err
	}
}

// stack is what Run has started.
type stack struct {
	dir       string
	ground    *ground
	parts     []part // in the order of their start
	died      chan error
	apiURL    string
	bankURL   string
	vaultKeys string
	env       []string // of the parts
}

type part struct {
	name    string
	process *child.Process
}

// startParts starts bank, worker and API, each a process of this same binary with its log in dir/log.
func (s *stack) startParts(ctx context.Context, opts Options) error {
	free, err := freeAddresses(opts.APIPort, opts.BankPort)
	if err != nil {
		return err
	}
	api, bank := free[0], free[1]
	s.apiURL, s.bankURL = "http://"+api, "http://"+bank
	s.vaultKeys = opts.VaultKeys
	if s.vaultKeys == "" {
		if s.vaultKeys, err = s.keep("vault.json", vault.NewKeyset); err != nil {
			return err
		}
	}
	s.env = append(os.Environ(),
		"DATABASE_URL="+s.ground.DatabaseURL,
		"TEMPORAL_ADDRESS="+s.ground.TemporalAddress,
		"VAULT_KEYS="+s.vaultKeys,
		"PUBLIC_URL="+s.apiURL,
		"LOOPBACK_RECEIVERS=true",
	)
	if err := models.Migrate(ctx, s.ground.DatabaseURL); err != nil {
		return err
	}
	if err := s.start("bank", "--listen", bank); err != nil {
		return err
	}
	if err := s.await(ctx, s.bankURL+"/"); err != nil {
		return err
	}
	if err := s.importSandbox(ctx); err != nil {
		return err
	}
	if err := s.start("worker"); err != nil {
		return err
	}
	if err := s.start("api", "--listen", api); err != nil {
		return err
	}
	return s.await(ctx, s.apiURL+"/ready")
}

// start starts a subcommand of this binary as a part of the stack.
func (s *stack) start(name string, flags ...string) error {
	log, err := openLog(s.dir, name)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd, err := s.command(context.Background(), append([]string{name}, flags...)...)
	if err != nil {
		return err
	}
	cmd.Stdout, cmd.Stderr = log, log
	process, err := child.Start(cmd, syscall.SIGKILL) // as we are killed, so are they; their state is in the database
	if err != nil {
		return err
	}
	s.parts = append(s.parts, part{name, process})
	go func() {
		<-process.Done()
		s.died <- fmt.Errorf("%s ended by itself (%v); its log is %s", name, process.Err(), log.Name())
	}()
	return nil
}

// command is a run of this binary against the stack.
func (s *stack) command(ctx context.Context, args ...string) (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, self, args...)
	cmd.Env = append([]string(nil), s.env...)
	return cmd, nil
}

// stop ends the parts, last one first, and then what they stand on.
func (s *stack) stop() error {
	var errs []error
	for i := len(s.parts) - 1; i >= 0; i-- {
		errs = append(errs, s.parts[i].process.Stop(syscall.SIGTERM, 40*time.Second))
	}
	if s.ground != nil {
		errs = append(errs, s.ground.Stop())
	}
	return errors.Join(errs...)
}

// await returns when the address answers with success.
func (s *stack) await(ctx context.Context, url string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err == nil {
			response.Body.Close()
			if response.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(response.Status)
		}
		select {
		case died := <-s.died:
			return died
		case <-ctx.Done():
			return fmt.Errorf("waiting for %s: %w", url, err)
		case <-time.After(50 * time.Millisecond):
		}
	}
}

const sandboxBankCode = "90090042"

// importSandbox puts the sandbox bank into the catalog, the way every bank gets there. The bank makes its keys up anew
// at each start, and its port may be another one than before.
func (s *stack) importSandbox(ctx context.Context) error {
	cmd, err := s.command(ctx, "catalog", "import", "--confirm", s.bankURL+"/catalog.json")
	if err != nil {
		return err
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("importing the sandbox bank into the catalog: %w: %s", err, bytes.TrimSpace(out))
	}
	return nil
}

// client is the API client of the walk: made at the first start, and again where the database has forgotten it.
func (s *stack) client(ctx context.Context) (credentials, error) {
	const name = "client.json"
	for attempt := 1; ; attempt++ {
		var c credentials
		text, err := s.keep(name, func() (string, error) { return s.newClient(ctx) })
		if err == nil {
			err = json.Unmarshal([]byte(text), &c)
		}
		if err != nil {
			return c, fmt.Errorf("creating an API client: %w", err)
		}
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.apiURL+"/catalog/banks?count=1", nil)
		if err != nil {
			return c, err
		}
		request.SetBasicAuth(c.ID, c.Secret)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return c, err
		}
		response.Body.Close()
		if response.StatusCode != http.StatusUnauthorized || attempt == 2 {
			return c, nil
		}
		if err := os.Remove(filepath.Join(s.dir, name)); err != nil {
			return c, err
		}
	}
}

func (s *stack) newClient(ctx context.Context) (string, error) {
	cmd, err := s.command(ctx, "client", "create", "--json", "demo-"+time.Now().UTC().Format("20060102-150405"))
	if err != nil {
		return "", err
	}
	out, err := cmd.Output()
	return string(out), err
}

// keep returns the text of a file that belongs to us alone, and writes it where it is missing.
func (s *stack) keep(name string, fresh func() (string, error)) (string, error) {
	path := filepath.Join(s.dir, name)
	text, err := os.ReadFile(path)
	if err == nil {
		return string(text), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	made, err := fresh()
	if err != nil {
		return "", err
	}
	return made, os.WriteFile(path, []byte(made), 0o600)
}

// writeEnv leaves what a shell needs to go on with: API, CLIENT, SECRET and the sandbox's BANK as in docs/api.md and
// docs/walkthrough.md, and kontoflow's other commands against this stack. The servers' addresses are not exported: make would take them for the operator's own.
func (s *stack) writeEnv(client credentials) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	text := fmt.Sprintf("export API='%s' CLIENT='%s' SECRET='%s' BANK='%s'\nkontoflow() {\n\tDATABASE_URL='%s' TEMPORAL_ADDRESS='%s' VAULT_KEYS='%s' '%s' \"$@\"\n}\n",
		s.apiURL, client.ID, client.Secret, s.bankURL, s.ground.DatabaseURL, s.ground.TemporalAddress, s.vaultKeys, self)
	return os.WriteFile(filepath.Join(s.dir, "env"), []byte(text), 0o600)
}

func (s *stack) printAddresses(out io.Writer, client credentials, sync string) {
	run := ""
	if s.ground.TemporalUI != "" {
		run = s.ground.TemporalUI + "/namespaces/" + namespace + "/workflows/" + sync
	}
	lines := [][2]string{
		{"API", s.apiURL},
		{"its documentation", s.apiURL + "/docs"},
		{"Temporal UI", s.ground.TemporalUI},
		{"the run above", run},
		{"sandbox bank", s.bankURL},
		{"API client", client.ID + ":" + client.Secret},
		{"for your shell", "source " + filepath.Join(s.dir, "env")},
		{"state and logs", s.dir},
	}
	fmt.Fprintln(out, "\n"+strings.Repeat("─", 72))
	for _, line := range lines {
		if line[1] != "" {
			fmt.Fprintf(out, "  %-18s %s\n", line[0], line[1])
		}
	}
}
