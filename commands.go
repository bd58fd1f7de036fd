package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/api"
	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/catalog"
	"github.com/kontoflow/kontoflow/internal/civil"
	"github.com/kontoflow/kontoflow/internal/temporalclient"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/sandbox"
	"github.com/kontoflow/kontoflow/up"
	"github.com/kontoflow/kontoflow/vault"
	"github.com/kontoflow/kontoflow/worker"
)

type upCommand struct {
	DatabaseURL     string   `env:"DATABASE_URL" placeholder:"URL" help:"PostgreSQL to use instead of a private one."`
	TemporalAddress string   `env:"TEMPORAL_ADDRESS" placeholder:"HOST:PORT" help:"Temporal server to use instead of a private one."`
	VaultKeys       string   `env:"VAULT_KEYS" placeholder:"JSON" help:"Tink keyset to use instead of one that is kept with the state."`
	Once            bool     `env:"ONCE" help:"End after the synchronization; the exit code says whether it completed."`
	Dir             string   `env:"KONTOFLOW_DIR" default:".data" type:"path" placeholder:"PATH" help:"Where state and logs are kept (.data)."`
	APIPort         int      `env:"API_PORT" default:"8080" placeholder:"PORT" help:"Port of the API (${default}). A port that is taken is passed by, this and the following ones."`
	BankPort        int      `env:"BANK_PORT" default:"8090" placeholder:"PORT" help:"Port of the sandbox bank (${default})."`
	PostgresPort    int      `env:"POSTGRES_PORT" default:"15432" placeholder:"PORT" help:"Port of the private PostgreSQL (${default})."`
	TemporalPort    int      `env:"TEMPORAL_PORT" default:"7233" placeholder:"PORT" help:"Port of the private Temporal server (${default})."`
	UIPort          int      `env:"TEMPORAL_UI_PORT" default:"8233" placeholder:"PORT" help:"Port of the Temporal UI (${default})."`
	DevServer       string   `name:"devserver" env:"KONTOFLOW_DEVSERVER" placeholder:"PATH" type:"path" help:"The kontoflow-devserver binary; by default beside this one, in ./bin, or built from ./devserver."`
	Command         []string `arg:"" optional:"" passthrough:"" help:"Command to run, after --, with DATABASE_URL and TEMPORAL_ADDRESS set to throwaway servers."`
}

func (c *upCommand) Run(ctx context.Context) error {
	options := up.Options{
		DatabaseURL:     c.DatabaseURL,
		TemporalAddress: c.TemporalAddress,
		DevServer:       c.DevServer,
		Once:            c.Once,
		Dir:             c.Dir,
		VaultKeys:       c.VaultKeys,
		APIPort:         c.APIPort,
		BankPort:        c.BankPort,
		PostgresPort:    c.PostgresPort,
		TemporalPort:    c.TemporalPort,
		UIPort:          c.UIPort,
	}
	command := c.Command
	if len(command) > 0 && command[0] == "--" {
		command = command[1:]
	}
	if len(command) == 0 {
		if err := setUpLog("warn", "text"); err != nil { // the transcript tells what happens; the parts have logs of their own
			return err
		}
		return up.Run(ctx, options, os.Stdout)
	}
	code, err := up.Command(ctx, options, command)
	if err == nil && code != 0 {
		os.Exit(code)
	}
	return err
}

type apiCommand struct {
	databaseSettings
	temporalSettings
	codecSettings
	vaultSettings
	publicSettings
	receiverSettings
	api.Config
}

func (c *apiCommand) Run(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	store, err := awaitStore(ctx, c.databaseSettings, c.vaultSettings)
	if err != nil {
		return err
	}
	defer store.Close()
	codec, err := c.codec()
	if err != nil {
		return err
	}
	temporal, err := temporalclient.Dial(temporalclient.Options{Address: c.TemporalAddress, Namespace: c.TemporalNamespace, Codec: codec,
		Lazy: true}) // without Temporal the API stores what it is asked for, and the worker's sweep starts it later
	if err != nil {
		return err
	}
	defer temporal.Close()
	return api.Run(ctx, c.Config, api.Options{Store: store, Temporal: temporal, TaskQueue: c.TaskQueue, PublicURL: c.PublicURL,
		LoopbackReceivers: c.LoopbackReceivers})
}

type workerCommand struct {
	databaseSettings
	temporalSettings
	codecSettings
	vaultSettings
	publicSettings
	receiverSettings
	metricsSettings
	ChallengeTimeout  time.Duration `env:"CHALLENGE_TIMEOUT" default:"5m" placeholder:"DURATION" help:"How long a customer may take over one challenge (${default})."`
	AutoSyncEvery     time.Duration `env:"AUTO_SYNC_EVERY" default:"1m" placeholder:"DURATION" help:"How often to look for accesses that are due for their daily synchronization (${default}); 0: this worker does not set it up."`
	AutoSyncPerBank   int           `env:"AUTO_SYNC_PER_BANK" default:"20" placeholder:"NUMBER" help:"How many automatic synchronizations of one bank run at once (${default})."`
	AutoSyncAtOnce    int           `env:"AUTO_SYNC_AT_ONCE" default:"200" placeholder:"NUMBER" help:"How many of all banks (${default})."`
	AutoSyncPerSecond int           `env:"AUTO_SYNC_PER_SECOND" default:"4" placeholder:"NUMBER" help:"How many are started in a second (${default}), which leaves room for those that somebody waits for; 0: as many as the others let."`
}

func (c *workerCommand) Run(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.ChallengeTimeout < time.Second {
		return errors.New("CHALLENGE_TIMEOUT must be a second or more")
	}
	if c.AutoSyncEvery != 0 && c.AutoSyncEvery < time.Second || c.AutoSyncPerBank < 1 || c.AutoSyncAtOnce < 1 || c.AutoSyncPerSecond < 0 {
		return errors.New("AUTO_SYNC_EVERY must be 0 or a second or more, AUTO_SYNC_PER_BANK and AUTO_SYNC_AT_ONCE 1 or more, AUTO_SYNC_PER_SECOND 0 or more")
	}
	keys, err := c.keyset()
	if err != nil {
		return err
	}
	codec, err := c.codec()
	if err != nil {
		return err
	}
	return worker.Run(ctx, worker.Config{
		DatabaseURL:       c.DatabaseURL,
		VaultKeys:         keys,
		TemporalAddress:   c.TemporalAddress,
		TemporalNamespace: c.TemporalNamespace,
		Codec:             codec,
		TaskQueue:         c.TaskQueue,
		PublicURL:         c.PublicURL,
		ChallengeTimeout:  c.ChallengeTimeout,
		LoopbackReceivers: c.LoopbackReceivers,
		AutoSync:          worker.AutoSync{Every: c.AutoSyncEvery, PerBank: c.AutoSyncPerBank, Whole: c.AutoSyncAtOnce, PerSecond: c.AutoSyncPerSecond},
		Metrics:           c.MetricsListen,
	})
}

type codecCommand struct {
	codecSettings
	Listen string `env:"LISTEN" default:"127.0.0.1:8234" placeholder:"HOST:PORT" help:"Where to listen (${default}); elsewhere than on this machine with a token only."`
	UI     string `name:"ui" env:"CODEC_UI" default:"http://127.0.0.1:8233" placeholder:"URL" help:"Origin of the Temporal UI, whose pages may ask (${default})."`
	Token  string `env:"CODEC_TOKEN" placeholder:"TOKEN" help:"Bearer token that requests need; none by default."`
}

func (c *codecCommand) Run(ctx context.Context) error {
	codec, err := c.codec()
	if err != nil {
		return err
	}
	if codec == nil {
		return errors.New("TEMPORAL_CODEC_KEYS or TEMPORAL_CODEC_KEYS_FILE is missing: make a keyset with kontoflow keys create FILE")
	}
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listening for the Temporal UI: %w", err)
	}
	if c.Token == "" && !listener.Addr().(*net.TCPAddr).IP.IsLoopback() {
		listener.Close()
		return errors.New("CODEC_TOKEN is missing: whoever reaches this address could read all payloads")
	}
	server := &http.Server{Handler: temporalclient.CodecServer(codec, strings.TrimSuffix(c.UI, "/"), c.Token), ReadTimeout: 30 * time.Second, WriteTimeout: 30 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() })
	slog.InfoContext(ctx, "the codec server listens", "address", listener.Addr().String())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the Temporal UI: %w", err)
	}
	return nil
}

type bankCommand struct {
	Listen    string `env:"LISTEN" default:"127.0.0.1:8090" placeholder:"HOST:PORT" help:"Where the bank listens (${default})."`
	PublicURL string `env:"BANK_URL" placeholder:"URL" help:"Where its customers' browsers and the worker reach it; by default as they did."`
	Seed      uint64 `env:"BANK_SEED" default:"1" placeholder:"NUMBER" help:"Seed of all accounts and bookings (${default})."`
	Password  string `env:"BANK_PASSWORD" default:"demo" help:"Every customer's password (${default})."`
	TAN       string `env:"BANK_TAN" default:"111111" help:"The right answer to every challenge (${default})."`
}

func (c *bankCommand) Run(ctx context.Context) error {
	listener, err := net.Listen("tcp", c.Listen)
	if err != nil {
		return fmt.Errorf("listening for the bank: %w", err)
	}
	bank := sandbox.New(sandbox.Options{Seed: c.Seed, Password: c.Password, TAN: c.TAN, PublicURL: c.PublicURL, Logger: slog.Default()})
	server := &http.Server{Handler: bank.Handler(), ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() { _ = server.Close() }) // a bank that goes down in the middle of an answer is worth having
	slog.InfoContext(ctx, "the sandbox bank listens", "address", listener.Addr().String())
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serving the bank: %w", err)
	}
	return nil
}

type migrateCommand struct {
	databaseSettings
	TemporalAddress   string `env:"TEMPORAL_ADDRESS" placeholder:"HOST:PORT" help:"Temporal server to register the search attributes with; none by default."`
	TemporalNamespace string `env:"TEMPORAL_NAMESPACE" default:"default" placeholder:"NAME" help:"Namespace to register them in (${default})."`
}

func (c *migrateCommand) Run(ctx context.Context) error {
	if err := models.Migrate(ctx, c.DatabaseURL); err != nil {
		return err
	}
	if c.TemporalAddress == "" {
		return nil
	}
	temporal, err := temporalclient.Dial(temporalclient.Options{Address: c.TemporalAddress, Namespace: c.TemporalNamespace})
	if err != nil {
		return err
	}
	defer temporal.Close()
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	return worker.RegisterSearchAttributes(ctx, temporal, c.TemporalNamespace)
}

type notificationsCommand struct {
	Parked notificationsParkedCommand `cmd:"" help:"List the deliveries that no receiver took within three days, oldest first."`
	Retry  notificationsRetryCommand  `cmd:"" help:"Try parked deliveries for another three days."`
}

type notificationsParkedCommand struct {
	databaseSettings
	Count int `default:"1000" placeholder:"NUMBER" help:"List this many at most (${default})."`
}

func (c *notificationsParkedCommand) Run(ctx context.Context) error {
	store, err := models.Open(ctx, c.DatabaseURL, nil) // it shows nothing that is sealed
	if err != nil {
		return err
	}
	defer store.Close()
	parked, err := store.ParkedDeliveries(ctx, c.Count)
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "ID\tCHANGED\tPARKED\tNOTIFICATION\tOBSERVES\tRECEIVER\tATTEMPTS\tLAST ERROR")
	for _, d := range parked {
		fmt.Fprintf(table, "%s\t%s\t%s\t%s\t%s\t%s\t%d\t%s\n", d.ID, d.CreatedAt.UTC().Format(time.RFC3339), d.ParkedAt.UTC().Format(time.RFC3339),
			d.NotificationID, d.ObserveKey, d.Receiver, d.Attempts, d.LastError)
	}
	return table.Flush()
}

type notificationsRetryCommand struct {
	databaseSettings
	IDs []uuid.UUID `arg:"" optional:"" name:"id" help:"Ids of the deliveries."`
	All bool        `help:"All that are parked."`
}

func (c *notificationsRetryCommand) Run(ctx context.Context) error {
	if c.All == (len(c.IDs) > 0) {
		return errors.New("name deliveries by their ids, or say --all")
	}
	store, err := models.Open(ctx, c.DatabaseURL, nil)
	if err != nil {
		return err
	}
	defer store.Close()
	retried, err := store.RetryParked(ctx, c.IDs...)
	if err != nil {
		return err
	}
	fmt.Println("retrying", retried)
	return nil
}

type catalogCommand struct {
	Import    catalogImportCommand    `cmd:"" help:"Add the banks of a file to the catalog, or bring them up to date. Its format: docs/catalog.md."`
	Check     catalogCheckCommand     `cmd:"" help:"Ask each host of the catalog whether it is there, without any customer and at most once a second."`
	Supersede catalogSupersedeCommand `cmd:"" help:"Let one access method of a bank take over the accesses of another, from a day on."`
}

type catalogSupersedeCommand struct {
	databaseSettings
	Old     uuid.UUID  `arg:"" help:"Id of the access method that is superseded."`
	New     uuid.UUID  `arg:"" help:"Id of the one that takes its accesses over, of the same bank."`
	From    civil.Date `required:"" placeholder:"DATE" help:"Day from which it counts, such as 2026-12-31."`
	OldEnds bool       `help:"The old method then reads nothing any more, not even the accounts that the new one does not."`
}

func (c *catalogSupersedeCommand) Run(ctx context.Context) error {
	store, err := models.Open(ctx, c.DatabaseURL, nil) // it seals nothing
	if err != nil {
		return err
	}
	defer store.Close()
	err = store.Transact(ctx, func(tx *gorm.DB) error { return models.Supersede(tx, c.Old, c.New, c.From, !c.OldEnds) })
	if errors.Is(err, models.ErrNotFound) {
		return errors.New("the catalog has no such access method")
	}
	if err != nil {
		return err
	}
	fmt.Printf("from %s on, %s takes over the accesses of %s\n", c.From, c.New, c.Old)
	return nil
}

type catalogImportCommand struct {
	databaseSettings
	vaultSettings
	Source  string `arg:"" name:"file" help:"JSON file, or its address (https, or http on loopback): of the catalog's format, or current.json of the npm package bankdata-germany."`
	DryRun  bool   `help:"Print what is added, what changes, and what the file does not name; change nothing."`
	Confirm bool   `help:"Do it although access methods that customers use get another host, other roots or another OAuth client."`
	SHA256  string `name:"sha256" placeholder:"HEX" help:"SHA-256 that the file has to have."`

	FinTS          string `name:"fints" type:"existingfile" placeholder:"PATH" help:"With bankdata-germany: hbci4java's blz.properties, for the banks' FinTS addresses."`
	XS2A           string `name:"xs2a" type:"existingfile" placeholder:"PATH" help:"With bankdata-germany: rules for XS2A addresses instead of the built-in ones."`
	TLSCertificate string `type:"existingfile" placeholder:"PATH" help:"With bankdata-germany: certificate chain (QWAC) in PEM for mutual TLS with XS2A banks."`
	TLSKey         string `type:"existingfile" placeholder:"PATH" help:"With bankdata-germany: its private key in PEM."`
	ProductID      string `placeholder:"ID" help:"With bankdata-germany: your FinTS product registration."`
}

func (c *catalogImportCommand) Run(ctx context.Context) error {
	store, err := openStore(ctx, c.databaseSettings, c.vaultSettings)
	if err != nil {
		return err
	}
	defer store.Close()
	raw, err := catalog.Fetch(ctx, c.Source, c.SHA256)
	if err != nil {
		return err
	}
	var report catalog.Report
	var changes catalog.Changes
	options := catalog.Options{DryRun: c.DryRun, Confirmed: c.Confirm}
	if catalog.IsBankData(raw) {
		report, changes, err = c.germany(ctx, store, raw, options)
	} else {
		report, changes, err = catalog.ImportWith(ctx, store, bytes.NewReader(raw), options)
	}
	var unconfirmed *catalog.Unconfirmed
	switch {
	case errors.As(err, &unconfirmed):
		return fmt.Errorf("%w\nlook at all changes with --dry-run; import with --confirm", err)
	case err != nil:
		return err
	case !c.DryRun:
		fmt.Println("imported", report)
		return nil
	}
	if err := changes.Write(os.Stdout); err != nil {
		return err
	}
	fmt.Printf("%d added, %d changed, %d vanished; nothing was imported\n", len(changes.Added), len(changes.Changed), len(changes.Vanished))
	return nil
}

// germany imports bankdata-germany with what the flags add to it.
func (c *catalogImportCommand) germany(ctx context.Context, store *models.Store, file []byte, options catalog.Options) (catalog.Report, catalog.Changes, error) {
	g := catalog.Germany{Banks: file, ProductID: c.ProductID}
	var certificate, key []byte
	for _, file := range []struct {
		path    string
		content *[]byte
	}{{c.FinTS, &g.FinTS}, {c.XS2A, &g.XS2A}, {c.TLSCertificate, &certificate}, {c.TLSKey, &key}} {
		if file.path == "" {
			continue
		}
		var err error
		if *file.content, err = catalog.Fetch(ctx, file.path, ""); err != nil {
			return catalog.Report{}, catalog.Changes{}, err
		}
	}
	if certificate != nil || key != nil {
		g.Client = &banks.KeyPair{CertificatePEM: string(certificate), KeyPEM: string(key)}
	}
	return g.ImportWith(ctx, store, options)
}

type catalogCheckCommand struct {
	databaseSettings
	vaultSettings
}

func (c *catalogCheckCommand) Run(ctx context.Context) error {
	store, err := openStore(ctx, c.databaseSettings, c.vaultSettings)
	if err != nil {
		return err
	}
	defer store.Close()
	report, err := catalog.Check(ctx, store, catalog.CheckOptions{Adapters: banks.Adapters(banks.Options{})})
	if err != nil {
		return err
	}
	table := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	for _, f := range report.Findings {
		fmt.Fprintf(table, "%s\t%s\t%d banks, such as %s\t%s\n", f.Problem, f.Address, f.Banks, f.Example, f.Detail)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if wrong := len(report.Findings); wrong > 0 {
		return fmt.Errorf("%d of %d addresses are wrong", wrong, report.Asked)
	}
	fmt.Printf("%d addresses asked, nothing is wrong\n", report.Asked)
	return nil
}

type keysCommand struct {
	Create keysCreateCommand `cmd:"" help:"Create a keyset."`
	Stage  keysStageCommand  `cmd:"" help:"Add a key that opens but does not seal yet: roll the file out everywhere, then rotate."`
	Rotate keysRotateCommand `cmd:"" help:"Seal with the newest key from now on."`
	Reseal keysResealCommand `cmd:"" help:"Seal anew what older keys have sealed in the database. Fails as long as something is left."`
	Retire keysRetireCommand `cmd:"" help:"Drop the keys older than the one that seals: what they sealed opens no more."`
}

type keysCreateCommand struct {
	File         string `arg:"" type:"path" help:"File to write, readable by its owner only."`
	UnlessExists bool   `help:"Leave a file that exists alone instead of failing."`
}

func (c *keysCreateCommand) Run() error {
	if c.UnlessExists {
		if _, err := os.Stat(c.File); !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	keyset, err := vault.NewKeyset()
	if err != nil {
		return err
	}
	file, err := os.OpenFile(c.File, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.WriteString(keyset)
	return errors.Join(err, file.Close())
}

type keysStageCommand struct {
	File string `arg:"" type:"existingfile" help:"The keyset's file."`
}

func (c *keysStageCommand) Run() error { return rewrite(c.File, vault.Stage) }

type keysRotateCommand struct {
	File string `arg:"" type:"existingfile" help:"The keyset's file."`
}

func (c *keysRotateCommand) Run() error { return rewrite(c.File, vault.Rotate) }

type keysResealCommand struct {
	databaseSettings
	vaultSettings
}

func (c *keysResealCommand) Run(ctx context.Context) error {
	store, err := openStore(ctx, c.databaseSettings, c.vaultSettings)
	if err != nil {
		return err
	}
	defer store.Close()
	r, err := store.Reseal(ctx)
	fmt.Println("sealed anew", r.Moved, "left", r.Left)
	if err == nil && r.Left > 0 {
		err = errors.New("what is left is in use: run it again later")
	}
	return err
}

type keysRetireCommand struct {
	File string `arg:"" type:"existingfile" help:"The keyset's file."`
}

func (c *keysRetireCommand) Run() error { return rewrite(c.File, vault.Retire) }

// rewrite replaces the file as a whole: a keyset that is half written opens nothing.
func rewrite(path string, change func(string) (string, error)) error {
	old, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	changed, err := change(string(old))
	if err != nil {
		return err
	}
	fresh := path + ".new"
	if err := os.WriteFile(fresh, []byte(changed), 0o600); err != nil {
		return err
	}
	return os.Rename(fresh, path)
}
