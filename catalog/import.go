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

	"kontoflow/internal/openapi"
	"kontoflow/models"
)

// maxFile is the most that an import file may have, in bytes: room for all banks of Europe, certificates included.
const maxFile = 256 << 20

// A Report says what an import did.
type Report struct {
	Banks         int // in the file
	AccessMethods int // in the file
	NewBanks      int // of those, not known before
}

func (r Report) String() string {
	return fmt.Sprintf("%d banks and services (%d of them new) with %d access methods", r.Banks, r.NewBanks, r.AccessMethods)
}

// Import reads a file into the database: all of it, or nothing. Known ids are brought in line with the file, new ones
// added; what the file does not name stays, since accesses may hang on it. What is wrong with the file comes as
// openapi.Problems.
func Import(ctx context.Context, store *models.Store, r io.Reader) (Report, error) {
	var report Report
	raw, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return report, fmt.Errorf("read the catalog file: %w", err)
	}
	if len(raw) > maxFile {
		return report, openapi.Problems{"file": {"is too large"}}
	}
	file, err := Parse(raw)
	if err != nil {
		return report, err
	}
	banks := make([]models.Bank, 0, len(file.Banks))
	methods := make([]models.AccessMethod, 0, len(file.Banks))
	at := make(map[uuid.UUID]string) // access method → path in the file
	superseded := make(map[uuid.UUID]Superseded)
	for i, bank := range file.Banks {
		banks = append(banks, bank.model())
		for j, method := range bank.AccessMethods {
			row, err := method.model(store, bank.ID, j)
			if err != nil {
				return report, err
			}
			methods = append(methods, row)
			at[row.ID] = fmt.Sprintf("banks[%d].access_methods[%d].id", i, j)
			if method.Superseded != nil {
				superseded[row.ID] = *method.Superseded
			}
		}
	}
	report.Banks, report.AccessMethods = len(banks), len(methods)
	err = store.Transact(ctx, func(tx *gorm.DB) error {
		if err := models.LockCatalog(tx); err != nil {
			return err
		}
		var before, after int64
		if err := tx.Model(&models.Bank{}).Count(&before).Error; err != nil {
			return err
		}
		if err := refuseMoves(tx, methods, at); err != nil {
			return err
		}
		if err := upsert(tx, banks); err != nil {
			return err
		}
		if err := upsert(tx, methods); err != nil {
			return err
		}
		if err := supersede(tx, methods, superseded, at); err != nil {
			return err
		}
		if err := tx.Model(&models.Bank{}).Count(&after).Error; err != nil {
			return err
		}
		report.NewBanks = int(after - before)
		return nil
	})
	var problems openapi.Problems
	if errors.As(err, &problems) {
		return Report{}, problems
	}
	if err != nil {
		return Report{}, fmt.Errorf("import the catalog: %w", err)
	}
	return report, nil
}

// refuseMoves keeps an access method with its bank: accesses name both.
func refuseMoves(tx *gorm.DB, methods []models.AccessMethod, at map[uuid.UUID]string) error {
	problems := make(openapi.Problems)
	for begin := 0; begin < len(methods); begin += batch {
		part := methods[begin:min(begin+batch, len(methods))]
		bankOf := make(map[uuid.UUID]uuid.UUID, len(part))
		ids := make([]uuid.UUID, len(part))
		for i, m := range part {
			ids[i], bankOf[m.ID] = m.ID, m.BankID
		}
		var known []models.AccessMethod
		if err := tx.Select("id", "bank_id").Find(&known, "id IN ?", ids).Error; err != nil {
			return err
		}
		for _, k := range known {
			if k.BankID != bankOf[k.ID] {
				problems.Add(at[k.ID], "belongs to another bank already")
			}
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
