package models

import (
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/civil"
	"github.com/kontoflow/kontoflow/rules"
)

// Balance is an account's balance of one type: the newest one that the bank has sent.
type Balance struct {
	AccountID  uuid.UUID `gorm:"primaryKey"`
	Type       string    `gorm:"primaryKey"`
	Amount     decimal.Decimal
	Currency   *string
	Date       civil.Date // zero: the bank did not say
	ObservedAt time.Time  // when the bank was asked
}

// day is the day that the balance counts for: its own, else the one on which it was read. A day that has not come yet
// would outlive every true one, so it counts for the day after the reading at most. The SQL of ShownBalance does the same.
func (b *Balance) day() civil.Date {
	read := civil.On(b.ObservedAt.UTC())
	if b.Date.IsZero() {
		return read
	}
	return min(b.Date, read.AddDays(1))
}

// replaces reports whether a balance takes the place of the one that is known: it is not of an older day, and of the same
// day it was not read earlier. Of the same reading, the one that comes later in the bank's answer counts.
func (b *Balance) replaces(known *Balance) bool {
	if day, before := b.day(), known.day(); day != before {
		return day > before
	}
	return !b.ObservedAt.Before(known.ObservedAt)
}

// PutBalances stores the balances of an account that are the newest of their type, in the account's own currency. What it
// stores in the end does not depend on the order of the calls. now is when the bank was asked. It reports whether a stored
// balance is new or has another amount than before; a later day alone is no change.
func PutBalances(tx *gorm.DB, account uuid.UUID, balances []banks.Balance, now time.Time) (changed bool, err error) {
	if len(balances) == 0 {
		return false, nil
	}
	var own *string
	if err := tx.Raw(`SELECT currency FROM accounts WHERE id = ?`, account).Row().Scan(&own); err != nil {
		return false, found(err, "the account's currency")
	}
	var stored []Balance
	if err := tx.Where("account_id = ?", account).Order("type").Find(&stored).Error; err != nil {
		return false, fmt.Errorf("read the balances: %w", err)
	}
	currency := balanceCurrency(value(own), stored, balances)
	known := make(map[string]*Balance, len(stored))
	for i := range stored {
		if inCurrency(value(stored[i].Currency), currency) {
			known[stored[i].Type] = &stored[i]
		}
	}
	newest, types := make(map[string]*Balance, len(balances)), make([]string, 0, len(balances))
	for _, b := range balances {
		row := &Balance{AccountID: account, Type: b.Type, Amount: b.Amount, Currency: optional(b.Currency), Date: b.Date, ObservedAt: now.UTC()}
		before, twice := newest[b.Type]
		if !twice {
			before = known[b.Type]
		}
		if !inCurrency(b.Currency, currency) || before != nil && !row.replaces(before) {
			continue
		}
		if !twice {
			types = append(types, b.Type)
		}
		newest[b.Type] = row
	}
	rows := make([]Balance, len(types))
	for i, t := range types {
		rows[i] = *newest[t]
		before := known[t]
		changed = changed || before == nil || !before.Amount.Equal(rows[i].Amount)
	}
	if len(rows) == 0 {
		return false, nil
	}
	if err := tx.Clauses(clause.OnConflict{UpdateAll: true}).Create(&rows).Error; err != nil {
		return false, fmt.Errorf("store the balances: %w", err)
	}
	return changed, nil
}

// balanceCurrency is the currency of the balances that count for an account: its own; else, where the bank did not say,
// the one that is stored already, or the first one given. "": no balance names one.
func balanceCurrency(own string, stored []Balance, given []banks.Balance) string {
	if own != "" && own != rules.SeveralCurrencies {
		return own
	}
	for _, b := range stored {
		if b.Currency != nil {
			return *b.Currency
		}
	}
	for _, b := range given {
		if b.Currency != "" {
			return b.Currency
		}
	}
	return ""
}

// inCurrency reports whether a balance is in the currency; one that names none is.
func inCurrency(of, currency string) bool { return of == "" || currency == "" || of == currency }

// ShownBalance selects amount, currency, date and observed_at of the balance that is shown of account k, as the body of a
// lateral join. Booked balances go before expected ones, and those before others; of booked ones the newest by its day is
// shown, and the type decides between equal days. What the bank has not sent for a quarter of a year while it sent others
// comes last.
const ShownBalance = `
	SELECT amount, currency, date, observed_at FROM (
		SELECT *, observed_at < max(observed_at) OVER () - interval '90 days' AS stale,
			(observed_at AT TIME ZONE 'UTC')::date AS read,
			array_position(ARRAY['interimBooked', 'closingBooked', 'openingBooked'], type) AS booked,
			array_position(ARRAY['expected', 'interimAvailable'], type) AS other
		FROM balances WHERE account_id = k.id AND (currency IS NULL OR coalesce(k.currency, 'XXX') IN ('XXX', currency))
	) b
	ORDER BY stale, booked IS NULL, CASE WHEN booked IS NULL THEN coalesce(other, 3) END,
		least(coalesce(date, read), read + 1) DESC, booked, type
	LIMIT 1`
