package models

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/shopspring/decimal"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/civil"
	"github.com/kontoflow/kontoflow/reconcile"
)

// A Transaction on an account. Amount is signed, negative is money out, in Currency.
type Transaction struct {
	ID                uuid.UUID // ours, never derived from the bank's data
	AccountID         uuid.UUID
	Day               civil.Date // what it is ordered by: BookedAt, else SettledAt, else the day it was first seen
	Booked            bool
	BookedAt          civil.Date
	SettledAt         civil.Date
	Amount            decimal.Decimal
	Currency          string
	Name              *string
	AccountNumber     *string
	BankCode          *string
	BankName          *string
	IBAN              *string
	BIC               *string
	Purpose           *string
	Type              string
	BookingText       *string
	BookingKey        *string
	TransactionCode   *string
	EndToEndReference *string
	MandateReference  *string
	CreditorID        *string
	CustomerReference *string
	SEPAPurposeCode   *string
	AdditionalInfo    map[string]string `gorm:"serializer:json"`
	CreatedAt         time.Time
	ModifiedAt        time.Time
	CreatedBy         uuid.UUID // the synchronization that first saw it
	ModifiedBy        uuid.UUID // the one that last changed it
	MissedBy          *uuid.UUID
	RemovedAt         *time.Time // gone at the bank
	BankTransactionID *string
	EntryReference    *string
	Facts             reconcile.Facts
}

// transactionColumns are the columns that an entry of the bank decides, in COPY's order, after the id.
var transactionColumns = []string{"id", "account_id", "day", "booked", "booked_at", "settled_at", "amount", "currency", "name",
	"account_number", "bank_code", "bank_name", "iban", "bic", "purpose", "type", "booking_text", "booking_key", "transaction_code",
	"end_to_end_reference", "mandate_reference", "creditor_id", "customer_reference", "sepa_purpose_code", "additional_info",
	"bank_transaction_id", "entry_reference", "facts", "modified_at", "modified_by", "created_at", "created_by"}

// created is how many of transactionColumns, from the end, are set once.
const created = 2

// rowWriter turns entries into rows for COPY and UPDATE. It re-uses its row: each must be sent before the next.
type rowWriter struct {
	account, sync uuid.UUID
	today         civil.Date
	now           time.Time
	changes       []change // what was written, for the changes feed
	row           []any
	facts         []byte
}

func (w *rowWriter) values(id uuid.UUID, e *banks.Entry, facts *reconcile.Facts) ([]any, error) {
	day := facts.Date()
	if day.IsZero() {
		day = w.today
	}
	var info any
	if shown := additionalInfo(e); len(shown) > 0 {
		encoded, err := json.Marshal(shown)
		if err != nil {
			return nil, err
		}
		info = encoded
	}
	w.facts, _ = facts.AppendBinary(w.facts[:0])
	p := &e.Counterparty
	w.row = append(w.row[:0], [16]byte(id), [16]byte(w.account), sqlDate(day), !e.Pending, sqlDate(e.BookingDate), sqlDate(e.ValueDate),
		sqlNumeric(e.Amount), e.Currency, text(p.Name), text(p.AccountNumber), text(p.BankCode), text(p.BankName), text(p.IBAN), text(p.BIC),
		text(purpose(e)), transactionType(e), text(e.BookingText), text(e.BookingKey), text(e.PrimanotaCode),
		text(e.EndToEndID), text(e.MandateID), text(e.CreditorID), text(e.CustomerReference), text(e.PurposeCode), info,
		text(e.TransactionID), text(e.EntryReference), w.facts, w.now, [16]byte(w.sync), w.now, [16]byte(w.sync))
	return w.row, nil
}

// purpose is the remittance of a normalised entry: one line or none.
func purpose(e *banks.Entry) string { return strings.Join(e.Remittance, " ") }

// The foreign amount of a card payment stands among the additional information.
const (
	originalAmount   = "original_amount"
	originalCurrency = "original_currency"
)

func additionalInfo(e *banks.Entry) map[string]string {
	if e.OriginalCurrency == "" || e.OriginalAmount.IsZero() {
		return e.AdditionalInfo
	}
	info := maps.Clone(e.AdditionalInfo)
	if info == nil {
		info = make(map[string]string, 2)
	}
	info[originalAmount], info[originalCurrency] = e.OriginalAmount.String(), e.OriginalCurrency
	return info
}

// transactionType is the family's word for the kind of a transaction.
func transactionType(e *banks.Entry) string {
	switch {
	case e.MandateID != "" && e.Amount.IsNegative():
		return "Direct debit"
	case e.Amount.IsNegative():
		return "Transfer"
	case e.Amount.IsPositive():
		return "Credit"
	default:
		return "Unknown"
	}
}

func text(s string) pgtype.Text { return pgtype.Text{String: s, Valid: s != ""} }

func sqlDate(d civil.Date) pgtype.Date { return pgtype.Date{Time: d.Time(), Valid: !d.IsZero()} }

func sqlNumeric(d decimal.Decimal) pgtype.Numeric {
	return pgtype.Numeric{Int: d.Coefficient(), Exp: d.Exponent(), Valid: true}
}

var observationColumns = []string{"transaction_id", "sync_id", "change", "bank_transaction_id", "entry_reference",
	"booked", "booked_at", "settled_at", "amount", "observed_at"}

func (w *rowWriter) observation(id uuid.UUID, change string, e *banks.Entry) []any {
	w.row = append(w.row[:0], [16]byte(id), [16]byte(w.sync), change, text(e.TransactionID), text(e.EntryReference), !e.Pending,
		sqlDate(e.BookingDate), sqlDate(e.ValueDate), sqlNumeric(e.Amount), w.now)
	return w.row
}

// insert copies new transactions with their first observations. The ids are in the entries' order.
func (w *rowWriter) insert(ctx context.Context, c *pgx.Conn, ids []uuid.UUID, entries []*banks.Entry, facts []*reconcile.Facts) error {
	if len(ids) == 0 {
		return nil
	}
	_, err := c.CopyFrom(ctx, pgx.Identifier{"transactions"}, transactionColumns, pgx.CopyFromSlice(len(ids), func(i int) ([]any, error) {
		return w.values(ids[i], entries[i], facts[i])
	}))
	if err != nil {
		return fmt.Errorf("store new transactions: %w", err)
	}
	_, err = c.CopyFrom(ctx, pgx.Identifier{"observations"}, observationColumns, pgx.CopyFromSlice(len(ids), func(i int) ([]any, error) {
		return w.observation(ids[i], "ADDED", entries[i]), nil
	}))
	if err != nil {
		return fmt.Errorf("store observations: %w", err)
	}
	for _, id := range ids {
		w.changes = append(w.changes, change{id, changeAdded})
	}
	return nil
}

// entry is the stored transaction as the bank once sent it, near enough for a newer normalizer to judge it again.
func (t *Transaction) entry() *banks.Entry {
	e := &banks.Entry{TransactionID: value(t.BankTransactionID), EntryReference: value(t.EntryReference), Pending: !t.Booked,
		BookingDate: t.BookedAt, ValueDate: t.SettledAt, Amount: t.Amount, Currency: t.Currency,
		Counterparty: banks.Party{Name: value(t.Name), IBAN: value(t.IBAN), AccountNumber: value(t.AccountNumber),
			BIC: value(t.BIC), BankCode: value(t.BankCode), BankName: value(t.BankName)},
		BookingText: value(t.BookingText), BookingKey: value(t.BookingKey), PrimanotaCode: value(t.TransactionCode),
		EndToEndID: value(t.EndToEndReference), MandateID: value(t.MandateReference), CreditorID: value(t.CreditorID),
		CustomerReference: value(t.CustomerReference), PurposeCode: value(t.SEPAPurposeCode), AdditionalInfo: maps.Clone(t.AdditionalInfo)}
	if amount, err := decimal.NewFromString(e.AdditionalInfo[originalAmount]); err == nil {
		e.OriginalAmount, e.OriginalCurrency = amount, e.AdditionalInfo[originalCurrency]
		delete(e.AdditionalInfo, originalAmount)
		delete(e.AdditionalInfo, originalCurrency)
	}
	if t.Purpose != nil {
		e.Remittance = []string{*t.Purpose}
	}
	return e
}

// A span is a closed range of days.
type span struct{ first, last civil.Date }

const (
	earliest = civil.Date(-1 << 30) // before every day
	latest   = civil.Date(1 << 30)  // after every day
	// maxSpans is how many ranges of days are looked up. Entries that are spread over more days than that have one range.
	maxSpans = 1000
)

// spansOf are the days on which stored rows may be what a reading has brought: from its first day on, and around older
// entries, which banks send that do not heed the days they are asked for. So what is loaded depends on what was sent, not
// on how much history there is. A zero from: only around the entries.
func spansOf(from civil.Date, facts []reconcile.Facts) (spans []span) {
	begin := latest
	if !from.IsZero() {
		begin = max(earliest, from-reconcile.Reach)
		spans = append(spans, span{begin, latest})
	}
	for i := range facts {
		f := &facts[i]
		if date := f.Date(); date == 0 || date >= begin {
			continue
		}
		for _, d := range [...]civil.Date{f.Booked, f.Valued} {
			if d != 0 {
				spans = append(spans, span{d - reconcile.Reach, d + reconcile.Reach})
			}
		}
	}
	slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.first, b.first) })
	merged := spans[:0]
	for _, s := range spans {
		if n := len(merged); n > 0 && s.first <= merged[n-1].last+1 {
			merged[n-1].last = max(merged[n-1].last, s.last)
		} else {
			merged = append(merged, s)
		}
	}
	if len(merged) > maxSpans {
		return []span{{merged[0].first, merged[len(merged)-1].last}}
	}
	return merged
}

// storedIn loads what reconciliation holds against a reading: the rows of some days, and the pending ones.
func storedIn(ctx context.Context, c *pgx.Conn, account uuid.UUID, spans []span) ([]reconcile.Stored, error) {
	firsts, lasts := make([]pgtype.Date, len(spans)), make([]pgtype.Date, len(spans))
	for i, s := range spans {
		firsts[i], lasts[i] = sqlBound(s.first), sqlBound(s.last)
	}
	rows, err := c.Query(ctx, `WITH span AS (SELECT * FROM unnest($2::date[], $3::date[]) AS s (first, last))
		SELECT id, facts, missed_by, removed_at IS NOT NULL, (created_at AT TIME ZONE 'UTC')::date
		FROM span CROSS JOIN LATERAL (SELECT * FROM transactions WHERE account_id = $1 AND day BETWEEN span.first AND span.last) t
		UNION ALL
		SELECT id, facts, missed_by, false, (created_at AT TIME ZONE 'UTC')::date
		FROM transactions WHERE account_id = $1 AND NOT booked AND removed_at IS NULL
		AND NOT EXISTS (SELECT FROM span WHERE day BETWEEN span.first AND span.last)`, account, firsts, lasts)
	if err != nil {
		return nil, fmt.Errorf("read the stored transactions: %w", err)
	}
	defer rows.Close()
	var stored []reconcile.Stored
	for rows.Next() {
		var r reconcile.Stored
		var facts []byte
		var missedBy *uuid.UUID
		var removed bool
		var seen time.Time
		if err := rows.Scan(&r.ID, &facts, &missedBy, &removed, &seen); err != nil {
			return nil, fmt.Errorf("read the stored transactions: %w", err)
		}
		if err := r.Facts.UnmarshalBinary(facts); err != nil {
			return nil, err
		}
		if missedBy != nil {
			r.MissedBy = *missedBy
		}
		if removed {
			r.State = reconcile.Removed
		}
		r.Seen = civil.On(seen)
		stored = append(stored, r)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read the stored transactions: %w", err)
	}
	return stored, nil
}

// storedLast loads the n transactions that a first reading stored last, in the order in which they came: their ids and facts.
func storedLast(ctx context.Context, c *pgx.Conn, account uuid.UUID, n int) ([]reconcile.Stored, error) {
	rows, err := c.Query(ctx, `SELECT id, facts FROM transactions WHERE account_id = $1 ORDER BY modified_at DESC, id DESC LIMIT $2`, account, n)
	if err != nil {
		return nil, fmt.Errorf("read the transactions stored last: %w", err)
	}
	stored, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (s reconcile.Stored, err error) {
		var encoded []byte
		if err := row.Scan(&s.ID, &encoded); err != nil {
			return s, err
		}
		return s, s.Facts.UnmarshalBinary(encoded)
	})
	if err != nil {
		return nil, fmt.Errorf("read the transactions stored last: %w", err)
	}
	slices.Reverse(stored)
	return stored, nil
}

// sqlBound is the end of a span as the database has it: infinite where it is beyond all days.
func sqlBound(d civil.Date) pgtype.Date {
	switch d {
	case earliest:
		return pgtype.Date{Valid: true, InfinityModifier: pgtype.NegativeInfinity}
	case latest:
		return pgtype.Date{Valid: true, InfinityModifier: pgtype.Infinity}
	}
	return pgtype.Date{Time: d.Time(), Valid: true}
}

// freshen gives stored rows whose facts an older normalizer made those of today's, and stores these: it is done once for
// each row.
func freshen(ctx context.Context, tx *gorm.DB, c *pgx.Conn, stored []reconcile.Stored) error {
	stale := make(map[uuid.UUID]*reconcile.Stored)
	ids := make([]uuid.UUID, 0)
	for i := range stored {
		if stored[i].Facts.Stale() {
			stale[stored[i].ID] = &stored[i]
			ids = append(ids, stored[i].ID)
		}
	}
	for len(ids) > 0 {
		n := min(len(ids), 1000)
		var rows []Transaction
		if err := tx.Where("id IN ?", ids[:n]).Find(&rows).Error; err != nil {
			return fmt.Errorf("read transactions of an older normalizer: %w", err)
		}
		batch := &pgx.Batch{}
		for i := range rows {
			s := stale[rows[i].ID]
			s.Facts = reconcile.Renew(rows[i].entry())
			encoded, err := s.Facts.MarshalBinary()
			if err != nil {
				return err
			}
			batch.Queue(`UPDATE transactions SET facts = $2 WHERE id = $1`, s.ID, encoded)
		}
		if err := c.SendBatch(ctx, batch).Close(); err != nil {
			return fmt.Errorf("store facts of today's normalizer: %w", err)
		}
		ids = ids[n:]
	}
	return nil
}
