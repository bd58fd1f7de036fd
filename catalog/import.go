package catalog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	_ "github.com/kontoflow/kontoflow/banks/protocols"
	"github.com/kontoflow/kontoflow/internal/openapi"
	"github.com/kontoflow/kontoflow/models"
)

// MaxFile is the most that an import file, or a source of one, may have, in bytes: room for all banks of Europe,
// certificates included.
const MaxFile = 256 << 20

// A Report says what an import did.
type Report struct {
	Banks         int // in the file
	AccessMethods int // in the file
	NewBanks      int // of those, not known before
}

func (r Report) String() string {
	return fmt.Sprintf("%d banks and services (%d of them new) with %d access methods", r.Banks, r.NewBanks, r.AccessMethods)
}

// Options of an import.
type Options struct {
	DryRun bool // nothing is changed
	// Confirmed says that the operator wants changes that send secrets of customers elsewhere (Change.Redirects).
	Confirmed bool
}

// Import reads a file into the database: all of it, or nothing. Known ids are brought in line with the file, new ones
// added; what the file does not name stays, since accesses may hang on it. What is wrong with the file comes as
// openapi.Problems. *Unconfirmed: it would send secrets of customers elsewhere.
func Import(ctx context.Context, store *models.Store, r io.Reader) (Report, error) {
	report, _, err := ImportWith(ctx, store, r, Options{})
	return report, err
}

// ImportWith is Import with options. It returns what changes as well.
func ImportWith(ctx context.Context, store *models.Store, r io.Reader, options Options) (report Report, changes Changes, err error) {
	raw, err := Read(r)
	if err != nil {
		return report, changes, err
	}
	rows, err := parseRows(store, raw)
	if err != nil {
		return report, changes, err
	}
	err = store.Transact(ctx, func(tx *gorm.DB) (err error) {
		report, changes, err = rows.put(tx, store, options)
		return err
	})
	var problems openapi.Problems
	var unconfirmed *Unconfirmed
	switch {
	case errors.Is(err, errDryRun):
		return report, changes, nil
	case errors.As(err, &problems):
		return Report{}, changes, problems
	case errors.As(err, &unconfirmed):
		return Report{}, changes, unconfirmed
	case err != nil:
		return Report{}, changes, fmt.Errorf("import the catalog: %w", err)
	}
	return report, changes, nil
}

// Read reads a catalog file, or a source of one, as far as it may be large.
func Read(r io.Reader) ([]byte, error) {
	raw, err := io.ReadAll(io.LimitReader(r, MaxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the catalog file: %w", err)
	}
	if len(raw) > MaxFile {
		return nil, openapi.Problems{"file": {"is too large"}}
	}
	return raw, nil
}

// errDryRun takes back what a dry run has done.
var errDryRun = errors.New("a dry run")

// rows are a file as the database will hold it.
type rows struct {
	banks      []models.Bank
	methods    []models.AccessMethod
	at         map[uuid.UUID]string // access method → path in the file
	superseded map[uuid.UUID]Superseded
}

func parseRows(store *models.Store, raw []byte) (*rows, error) {
	file, err := Parse(raw)
	if err != nil {
		return nil, err
	}
	r := &rows{at: make(map[uuid.UUID]string), superseded: make(map[uuid.UUID]Superseded)}
	for i, bank := range file.Banks {
		r.banks = append(r.banks, bank.model())
		for j, method := range bank.AccessMethods {
			row, err := method.model(store, bank.ID, j)
			if err != nil {
				return nil, err
			}
			r.methods = append(r.methods, row)
			r.at[row.ID] = fmt.Sprintf("banks[%d].access_methods[%d].id", i, j)
			if method.Superseded != nil {
				r.superseded[row.ID] = *method.Superseded
			}
		}
	}
	return r, nil
}

// put stores the rows, and says what changes. A dry run does the same, so that it finds the same wrong, and ends in errDryRun.
func (r *rows) put(tx *gorm.DB, store *models.Store, options Options) (report Report, changes Changes, err error) {
	if err := models.LockCatalog(tx); err != nil {
		return report, changes, err
	}
	before, err := loadKnown(tx)
	if err != nil {
		return report, changes, err
	}
	if err := refuseMoves(before.methods, r.methods, r.at); err != nil {
		return report, changes, err
	}
	if changes, err = before.compare(tx, store, r); err != nil {
		return report, changes, err
	}
	if sensitive := changes.redirecting(); len(sensitive) > 0 && !options.Confirmed && !options.DryRun {
		return report, changes, &Unconfirmed{sensitive}
	}
	if err := upsert(tx, r.banks); err != nil {
		return report, changes, err
	}
	if err := upsert(tx, r.methods); err != nil {
		return report, changes, err
	}
	if err := supersede(tx, r.methods, r.superseded, r.at); err != nil {
		return report, changes, err
	}
	report = Report{Banks: len(r.banks), AccessMethods: len(r.methods)}
	for _, b := range r.banks {
		if _, there := before.banks[b.ID]; !there {
			report.NewBanks++
		}
	}
	if options.DryRun {
		return report, changes, errDryRun
	}
	return report, changes, nil
}

// refuseMoves keeps an access method with its bank: accesses name both.
func refuseMoves(known map[uuid.UUID]models.AccessMethod, methods []models.AccessMethod, at map[uuid.UUID]string) error {
	problems := make(openapi.Problems)
	for _, m := range methods {
		if before, there := known[m.ID]; there && before.BankID != m.BankID {
			problems.Add(at[m.ID], "belongs to another bank already")
		}
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}

// supersede marks what the file says is superseded. What it says nothing about stays as an operator marked it.
func supersede(tx *gorm.DB, methods []models.AccessMethod, superseded map[uuid.UUID]Superseded, at map[uuid.UUID]string) error {
	problems := make(openapi.Problems)
	for _, m := range methods {
		s, marked := superseded[m.ID]
		if !marked {
			continue
		}
		err := models.Supersede(tx, m.ID, s.By, s.From, !s.Ends)
		switch {
		case errors.Is(err, models.ErrSupersession), errors.Is(err, models.ErrNotFound):
			problems.Add(strings.TrimSuffix(at[m.ID], "id")+"superseded.by", "must be another access method of the same bank that is supported, and not be superseded by this one")
		case err != nil:
			return err
		}
	}
	if len(problems) > 0 {
		return problems
	}
	return nil
}

// batch is how many rows one statement carries; PostgreSQL takes 65,535 parameters.
const batch = 1000

func upsert[T any](tx *gorm.DB, rows []T) error {
	if len(rows) == 0 {
		return nil
	}
	return tx.Omit(clause.Associations).Clauses(clause.OnConflict{Columns: []clause.Column{{Name: "id"}}, UpdateAll: true}).
		CreateInBatches(rows, batch).Error
}

func (b Bank) model() models.Bank {
	m := models.Bank{ID: b.ID, Kind: b.Kind, Name: b.Name, Country: b.Country, Supported: b.Supported == nil || *b.Supported,
		Icon: b.Icon, Languages: b.Language.Available}
	if m.Kind == "" {
		m.Kind = "BANK"
	}
	if b.BankCode != "" {
		m.BankCode = &b.BankCode
	}
	if b.BIC != "" {
		m.BIC = &b.BIC
	}
	return m
}

func (a AccessMethod) model(store *models.Store, bank uuid.UUID, position int) (models.AccessMethod, error) {
	m := models.AccessMethod{ID: a.ID, BankID: bank, Position: position, Type: a.Type, InPSD2Scope: a.InPSD2Scope,
		SupportedAccountTypes: a.SupportedAccountTypes, ConfigurableConsent: a.ConfigurableConsent,
		RequiresAccountIdentifiers: a.RequiresAccountIdentifiers, CustomerAuthenticationFlows: a.CustomerAuthenticationFlows,
		Advice: a.Advice, Credentials: a.Credentials}
	if m.Advice == nil {
		m.Advice = map[string]string{}
	}
	if m.Credentials == nil {
		m.Credentials = []models.CredentialField{}
	}
	return m, store.SealConnection(&m, a.Connection)
}
