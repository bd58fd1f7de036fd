package catalog

import (
	"context"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
	"gorm.io/gorm"
	"gorm.io/gorm/clause"

	"github.com/kontoflow/kontoflow/internal/iban"
	"github.com/kontoflow/kontoflow/models"
)

// A Query says which banks are looked for. Empty fields leave nothing out.
type Query struct {
	Kind    string // BANK or SERVICE
	Country string // two letters, any case
	Exact   string // bank code, BIC, IBAN, name or id, any case
	Search  string // beginning or part of a name, with typing errors; beginning of a bank code or BIC; an IBAN
	Count   int
	Offset  int
}

// similar is how much of the looked-for word's trigrams a name must share, to count as meant. pg_trgm's own default,
// 0.6, takes "Sparkase" for a Sparkasse but not "Spakasse".
const similar = "0.4"

// Find lists banks and services with their access methods: the best match first with a Search, else by name.
func Find(ctx context.Context, store *models.Store, q Query) (banks []models.Bank, err error) {
	err = store.Transact(ctx, func(tx *gorm.DB) error {
		find := models.WithMethods(tx).Limit(q.Count).Offset(q.Offset)
		if q.Kind != "" {
			find = find.Where("kind = ?", q.Kind)
		}
		if q.Country != "" {
			find = find.Where("country = ?", strings.ToUpper(q.Country))
		}
		q.Exact, q.Search = bankCodeOf(q.Exact), bankCodeOf(q.Search)
		if q.Exact != "" {
			id, _ := uuid.Parse(q.Exact) // no id is the nil UUID, which no bank has
			find = find.Where("(bank_code = ? OR upper(bic) = ? OR lower(name) = lower(?) OR id = ?)",
				q.Exact, strings.ToUpper(q.Exact), q.Exact, id)
		}
		if q.Search == "" {
			return find.Order("lower(name), id").Find(&banks).Error
		}
		if err := tx.Exec("SET LOCAL pg_trgm.word_similarity_threshold = " + similar).Error; err != nil {
			return err
		}
		name := strings.ToLower(strings.TrimSpace(q.Search))
		code := likeEscape(strings.ToUpper(strings.ReplaceAll(q.Search, " ", ""))) + "%"
		begins, contains := likeEscape(name)+"%", "%"+likeEscape(name)+"%"
		// Of fewer than four characters, nothing is left that a typing error could be told by.
		typed := utf8.RuneCountInString(name) > 3
		return find.
			Where("(lower(name) LIKE ? OR ? AND ? <% lower(name) OR bank_code LIKE ? OR upper(bic) LIKE ?)", contains, typed, name, code, code).
			Order(clause.OrderBy{Expression: gorm.Expr(`CASE WHEN bank_code LIKE ? OR upper(bic) LIKE ? OR lower(name) LIKE ? THEN 0
				WHEN lower(name) LIKE ? THEN 1 ELSE 2 END, word_similarity(?, lower(name)) DESC, length(name), lower(name), id`,
				code, code, begins, contains, name)}).
			Find(&banks).Error
	})
	if err != nil {
		return nil, fmt.Errorf("search the catalog: %w", err)
	}
	return banks, nil
}

// bankCodeOf is the bank code inside a German IBAN, and anything else as it is.
func bankCodeOf(word string) string {
	if parsed, err := iban.Parse(word); err == nil {
		if code, _, ok := parsed.German(); ok {
			return code
		}
	}
	return word
}

func likeEscape(s string) string {
	return strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(s)
}
