package main

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"gorm.io/driver/postgres"
	"gorm.io/gorm"
	"gorm.io/gorm/logger"

	"github.com/kontoflow/kontoflow/models"
)

// ingest compares a first synchronization of an account, bank and all, with a bare COPY of the rows that it stored,
// into the same table. Beside it, the usual way of GORM.
func ingest(ctx context.Context, s *stack) ([]result, error) {
	const rounds = 3
	rows := 0
	var last uuid.UUID // account of the last synchronization
	ours := func(int) (float64, error) {
		access, err := s.access(ctx, methodOfOneYear, "huge")
		if err != nil {
			return 0, err
		}
		sync, err := s.synchronize(ctx, access)
		if err != nil {
			return 0, err
		}
		var seconds float64
		err = s.pool.QueryRow(ctx, `SELECT y.transactions_added, extract(epoch FROM y.ended_at - y.created_at), k.id
			FROM synchronizations y JOIN accounts k ON k.access_id = y.access_id WHERE y.id = $1`, sync).Scan(&rows, &seconds, &last)
		return float64(rows) / seconds, err
	}
	var gorms []float64
	theirs := func(int) (float64, error) {
		perSecond, err := s.copyAgain(ctx, last)
		if err != nil {
			return 0, err
		}
		slow, err := s.createInBatches(ctx, last)
		gorms = append(gorms, slow)
		return perSecond, err
	}
	ratio, our, their, err := compare(rounds, ours, theirs)
	if err != nil {
		return nil, err
	}
	return []result{atLeast("ingest_vs_copy", ratio, 0.35, "%.0f new transactions/s of %d from the bank into the database, bare COPY %.0f/s, GORM's CreateInBatches %.0f/s",
		our, rows, their, median(gorms[1:]))}, nil
}

// twin makes another account like the given one, without transactions.
func (s *stack) twin(ctx context.Context, account uuid.UUID) (uuid.UUID, error) {
	twin := models.NewID()
	_, err := s.pool.Exec(ctx, `INSERT INTO accounts (id, user_id, access_id, bank_id, identity, resource_id, type)
		SELECT $2, user_id, access_id, bank_id, $3, '', type FROM accounts WHERE id = $1`, account, twin, "twin "+twin.String())
	return twin, err
}

// copyAgain copies an account's transactions to a twin of it, in one stream and one transaction, and answers rows a second.
func (s *stack) copyAgain(ctx context.Context, account uuid.UUID) (float64, error) {
	twin, err := s.twin(ctx, account)
	if err != nil {
		return 0, err
	}
	stored, err := s.pool.Query(ctx, `SELECT * FROM transactions WHERE account_id = $1 ORDER BY id`, account)
	if err != nil {
		return 0, err
	}
	var columns []string
	for _, f := range stored.FieldDescriptions() {
		columns = append(columns, f.Name)
	}
	rows, err := pgx.CollectRows(stored, func(row pgx.CollectableRow) ([]any, error) { return row.Values() })
	if err != nil {
		return 0, err
	}
	for _, row := range rows { // id and account_id come first
		row[0], row[1] = models.NewID(), twin
	}
	started := time.Now()
	n, err := s.pool.CopyFrom(ctx, pgx.Identifier{"transactions"}, columns, pgx.CopyFromRows(rows))
	if err == nil && int(n) != len(rows) {
		err = fmt.Errorf("COPY stored %d of %d", n, len(rows))
	}
	return float64(n) / time.Since(started).Seconds(), err
}

// createInBatches stores the first tenth of an account's transactions again, a thousand in a statement.
func (s *stack) createInBatches(ctx context.Context, account uuid.UUID) (float64, error) {
	twin, err := s.twin(ctx, account)
	if err != nil {
		return 0, err
	}
	sql := stdlib.OpenDBFromPool(s.pool)
	defer sql.Close()
	db, err := gorm.Open(postgres.New(postgres.Config{Conn: sql}), &gorm.Config{Logger: logger.Discard})
	if err != nil {
		return 0, err
	}
	db = db.WithContext(ctx)
	var rows []models.Transaction
	if err := db.Where("account_id = ?", account).Order("id").Limit(10_000).Find(&rows).Error; err != nil {
		return 0, err
	}
	for i := range rows {
		rows[i].ID, rows[i].AccountID = models.NewID(), twin
	}
	started := time.Now()
	err = db.CreateInBatches(rows, 1000).Error
	return float64(len(rows)) / time.Since(started).Seconds(), err
}
