package api

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/kontoflow/kontoflow/internal/admission"
)

// ListTransactions lists transactions of all or some of the user's accounts (GET /rest/transactions).
func (s *Server) ListTransactions(c echo.Context, params ListTransactionsParams) error {
	var accounts []uuid.UUID
	for i, id := range params.Accounts {
		account, err := parseID(id)
		if err != nil {
			return errNotFound
		}
		if !slices.Contains(params.Accounts[:i], id) && !slices.Contains(accounts, account) {
			accounts = append(accounts, account)
		}
	}
	return s.listTransactions(c, params, accounts)
}

// ListAccountTransactions lists transactions of one account (GET /rest/accounts/{id}/transactions).
func (s *Server) ListAccountTransactions(c echo.Context, accountID AccountID, p ListAccountTransactionsParams) error {
	account, err := parseID(accountID)
	if err != nil {
		return errNotFound
	}
	return s.listTransactions(c, ListTransactionsParams{
		Count: p.Count, Offset: p.Offset, Sort: ListTransactionsParamsSort(p.Sort), Since: p.Since, Until: p.Until,
		SinceType: ListTransactionsParamsSinceType(p.SinceType), MinAmount: p.MinAmount, MaxAmount: p.MaxAmount, Filter: p.Filter,
		SyncID: p.SyncID, IncludePending: p.IncludePending, IncludeStatistics: p.IncludeStatistics, Cents: p.Cents,
	}, []uuid.UUID{account})
}

// GetTransaction answers one transaction (GET /rest/accounts/{id}/transactions/{id}).
func (s *Server) GetTransaction(c echo.Context, accountID AccountID, transactionID string, params GetTransactionParams) error {
	account, id, err := parseIDs(accountID, transactionID)
	if err != nil {
		return err
	}
	rows, err := s.store.Pool.Query(c.Request().Context(), `SELECT `+transactionColumns+`
		FROM transactions t JOIN accounts k ON k.id = t.account_id
		WHERE t.id = $1 AND k.id = $2 AND k.user_id = $3 AND k.deleted_at IS NULL AND t.removed_at IS NULL`, id, account, callerOf(c).user)
	if err != nil {
		return fmt.Errorf("read the transaction: %w", err)
	}
	body, err := appendRows(nil, rows, params.Cents)
	if err != nil {
		return fmt.Errorf("read the transaction: %w", err)
	}
	if len(body) == 0 {
		return errNotFound
	}
	return c.JSONBlob(http.StatusOK, body)
}

// pages holds the buffers that pages of transactions are written in: they are large, and all alike.
var pages = sync.Pool{New: func() any { b := make([]byte, 0, 256<<10); return &b }}

// listTransactions answers a page. All its queries go to the database in one round trip, and rows become JSON without
// passing through reflection: a page is up to 10,000 of them. Without accounts, all of the user's are meant.
func (s *Server) listTransactions(c echo.Context, params ListTransactionsParams, accounts []uuid.UUID) error {
	ctx, pool := c.Request().Context(), s.store.Pool
	if readsMany(params) {
		if err := become(c, admission.Heavy); err != nil {
			return err
		}
		pool = s.store.HeavyPool
	}
	q, err := s.newTransactionQuery(ctx, callerOf(c).user, params, accounts)
	if err != nil {
		return err
	}
	var batch pgx.Batch
	batch.Queue(q.status(), q.arguments)
	batch.Queue(q.page(), q.arguments)
	batch.Queue(q.deleted(), q.arguments)
	if params.IncludePending {
		batch.Queue(q.pending(), q.arguments)
	}
	if params.IncludeStatistics {
		batch.Queue(q.statistics(params.IncludePending), q.arguments)
	}
	results := pool.SendBatch(ctx, &batch)
	defer results.Close()

	var known int
	var row statusRow
	if err := results.QueryRow().Scan(&known, &row.attempted, &row.succeeded, &row.failure, &row.withheld, &row.unreadable); err != nil {
		return fmt.Errorf("read the accounts: %w", err)
	}
	if known < len(accounts) {
		return errNotFound
	}
	status, err := row.read()
	if err != nil {
		return err
	}
	buffer := pages.Get().(*[]byte)
	b := (*buffer)[:0]
	defer func() { *buffer = b; pages.Put(buffer) }()

	b = append(b, `{"transactions":[`...)
	begin := len(b)
	if b, err = appendTransactions(b, results, params.Cents); err != nil {
		return fmt.Errorf("read the transactions: %w", err)
	}
	var deleted []uuid.UUID
	rows, err := results.Query()
	if err == nil {
		deleted, err = pgx.AppendRows([]uuid.UUID{}, rows, pgx.RowTo[uuid.UUID])
	}
	if err != nil {
		return fmt.Errorf("read the deleted transactions: %w", err)
	}
	if params.IncludePending {
		// Pending ones are the newest: before the booked ones in descending order, behind them in ascending order.
		booked := len(b)
		if b, err = appendTransactions(b, results, params.Cents); err != nil {
			return fmt.Errorf("read the pending transactions: %w", err)
		}
		b = joinLists(b, begin, booked, params.Sort != ListTransactionsParamsSortAsc)
	}
	b = append(b, `],"deleted":`...)
	if b, err = appendJSON(b, deleted); err != nil {
		return err
	}
	b = append(b, `,"status":`...)
	if b, err = appendJSON(b, status); err != nil {
		return err
	}
	if params.IncludeStatistics {
		statistics, err := collectStatistics(results, params.Cents)
		if err != nil {
			return fmt.Errorf("read the statistics: %w", err)
		}
		b = append(b, `,"statistics":`...)
		if b, err = appendJSON(b, statistics); err != nil {
			return err
		}
	}
	b = append(b, "}\n"...)
	return c.JSONBlob(http.StatusOK, b)
}

// readsMany reports whether a list may have to read many more rows than it returns, or returns many.
func readsMany(p ListTransactionsParams) bool {
	const few = 1000
	return p.Filter != "" || p.IncludeStatistics || p.IncludePending || p.MinAmount != "" || p.MaxAmount != "" || p.Count > few || p.Offset > few
}

func collectStatistics(results pgx.BatchResults, cents bool) (Statistics, error) {
	all := Statistics{Currencies: []CurrencyStatistics{}}
	rows, err := results.Query()
	if err != nil {
		return all, err
	}
	all.Currencies, err = pgx.AppendRows(all.Currencies, rows, func(row pgx.CollectableRow) (CurrencyStatistics, error) {
		var y CurrencyStatistics
		var amounts [4]string
		err := row.Scan(&y.Currency, &y.Count, &amounts[0], &amounts[1], &amounts[2], &amounts[3])
		for i, to := range []*Amount{&y.Incoming, &y.Outgoing, &y.Minimum, &y.Maximum} {
			*to = Amount(appendAmount(nil, amounts[i], y.Currency, cents))
		}
		all.Count += y.Count
		return y, err
	})
	return all, err
}

// A transactionQuery holds what the queries of one page have in common. Arguments are named: each query takes those
// that it mentions.
type transactionQuery struct {
	arguments  pgx.NamedArgs
	accounts   string // conditions on accounts k
	conditions string // on transactions t
	removed    string // on removed transactions t
	order      string // the column that sorts, and its type
	orderType  string
	descending string // " DESC" or nothing
	one        bool   // exactly one account
}

func (s *Server) newTransactionQuery(ctx context.Context, user string, p ListTransactionsParams, accounts []uuid.UUID) (*transactionQuery, error) {
	q := &transactionQuery{one: len(accounts) == 1, order: "t.day", orderType: "::date", descending: " DESC",
		accounts:  "k.user_id = @user AND k.deleted_at IS NULL",
		arguments: pgx.NamedArgs{"user": user, "count": p.Count, "offset": p.Offset}}
	if p.Count == 0 {
		q.arguments["count"] = 1000
	}
	if p.Sort == ListTransactionsParamsSortAsc {
		q.descending = ""
	}
	switch p.SinceType {
	case ListTransactionsParamsSinceTypeCreated:
		q.order, q.orderType = "t.created_at", "::timestamptz"
	case ListTransactionsParamsSinceTypeModified:
		q.order, q.orderType = "t.modified_at", "::timestamptz"
	}
	if len(accounts) > 0 {
		q.accounts += " AND k.id = ANY(@accounts)"
		q.arguments["accounts"] = accounts
	}
	if q.one {
		q.accounts = "k.id = @account AND k.user_id = @user AND k.deleted_at IS NULL"
		q.arguments["account"] = accounts[0]
	}
	if err := s.since(ctx, q, user, p.Since); err != nil {
		return nil, err
	}
	if err := s.until(ctx, q, user, p.Until); err != nil {
		return nil, err
	}
	unit := ""
	if p.Cents {
		unit = " / " + minorUnits
	}
	if p.MinAmount != "" {
		q.where("t.amount >= @min::text::numeric"+unit, "min", p.MinAmount)
	}
	if p.MaxAmount != "" {
		q.where("t.amount <= @max::text::numeric"+unit, "max", p.MaxAmount)
	}
	if p.Filter != "" {
		like := "%" + strings.NewReplacer(`\`, `\\`, `%`, `\%`, `_`, `\_`).Replace(p.Filter) + "%"
		q.where("(t.name ILIKE @like OR t.purpose ILIKE @like OR t.booking_text ILIKE @like)", "like", like)
	}
	return q, s.ofSync(ctx, q, user, p.SyncID)
}

func (q *transactionQuery) where(condition, name string, value any) {
	q.conditions += " AND " + condition
	q.arguments[name] = value
}

// byDay reports whether the query goes by booking dates.
func (q *transactionQuery) byDay() bool { return q.orderType == "::date" }

// since adds the beginning: a day, an instant, or what comes after a transaction.
func (s *Server) since(ctx context.Context, q *transactionQuery, user, since string) error {
	if since == "" {
		return nil
	}
	if m, ok := parseMoment(since); ok {
		q.where(q.order+" >= @since"+q.orderType, "since", m.bound(q.byDay()))
		if q.order == "t.created_at" {
			q.conditions += " AND t.modified_at >= @since" // follows from it, and has an index
		}
		q.removed += " AND t.removed_at >= @removed"
		q.arguments["removed"] = m.at
		return nil
	}
	place, err := s.place(ctx, q, user, "since", since)
	if err != nil {
		return err
	}
	q.where("("+q.order+", t.id) > (@since"+q.orderType+", @transaction)", "since", place.at)
	q.arguments["transaction"] = place.id
	q.removed += " AND t.removed_at > @removed"
	q.arguments["removed"] = place.modified
	return nil
}

// until adds the end: a day, an instant or a transaction, each included.
func (s *Server) until(ctx context.Context, q *transactionQuery, user, until string) error {
	if until == "" {
		return nil
	}
	if m, ok := parseMoment(until); ok {
		q.where(q.order+" < @until"+q.orderType, "until", m.after(q.byDay()))
		return nil
	}
	place, err := s.place(ctx, q, user, "until", until)
	if err != nil {
		return err
	}
	q.where("("+q.order+", t.id) <= (@until"+q.orderType+", @last)", "until", place.at)
	q.arguments["last"] = place.id
	return nil
}

// A place is where a transaction stands in the order of a query.
type place struct {
	id       uuid.UUID
	at       time.Time // what the query is ordered by
	modified time.Time
}

// place finds the transaction that a parameter names.
func (s *Server) place(ctx context.Context, q *transactionQuery, user, parameter, value string) (p place, err error) {
	if p.id, err = parseID(value); err != nil {
		return p, invalid(parameter, "is neither a day, nor an instant, nor a transaction id")
	}
	var day, created time.Time
	err = s.store.Pool.QueryRow(ctx, `SELECT t.day, t.created_at, t.modified_at FROM transactions t JOIN accounts k ON k.id = t.account_id
		WHERE t.id = $1 AND k.user_id = $2 AND k.deleted_at IS NULL`, p.id, user).Scan(&day, &created, &p.modified)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, errNotFound
	}
	if err != nil {
		return p, fmt.Errorf("read the transaction: %w", err)
	}
	p.at = map[string]time.Time{"t.day": day, "t.created_at": created, "t.modified_at": p.modified}[q.order]
	return p, nil
}

// ofSync keeps what one synchronization added or changed. That happened when it was made or later, which is what the
// index knows.
func (s *Server) ofSync(ctx context.Context, q *transactionQuery, user, id string) error {
	if id == "" {
		return nil
	}
	sync, err := parseID(id)
	if err != nil {
		return errNotFound
	}
	var made time.Time
	err = s.store.Pool.QueryRow(ctx, `SELECT y.created_at FROM synchronizations y JOIN accesses a ON a.id = y.access_id
		WHERE y.id = $1 AND a.user_id = $2 AND a.deleted_at IS NULL`, sync, user).Scan(&made)
	if errors.Is(err, pgx.ErrNoRows) {
		return errNotFound
	}
	if err != nil {
		return fmt.Errorf("read the synchronization: %w", err)
	}
	q.where("t.modified_at >= @made AND (t.created_by = @sync OR t.modified_by = @sync)", "sync", sync)
	q.removed += " AND t.removed_at >= @made AND t.modified_by = @sync"
	q.arguments["made"] = made
	return nil
}

const transactionColumns = `t.id, t.account_id, t.name, t.account_number, t.bank_code, t.bank_name, t.iban, t.bic,
	t.amount::text, t.currency, t.booked, t.booked_at, t.settled_at, t.purpose, t.type, t.booking_text, t.booking_key, t.transaction_code,
	t.end_to_end_reference, t.mandate_reference, t.creditor_id, t.customer_reference, t.sepa_purpose_code, t.additional_info,
	t.created_at, t.modified_at`

// minorUnits is how many of its smallest units a transaction's currency has.
var minorUnits = func() string {
	b := strings.Builder{}
	b.WriteString("CASE t.currency")
	for currency, digits := range minorDigits {
		fmt.Fprintf(&b, " WHEN '%s' THEN %d", currency, int(math.Pow10(digits)))
	}
	b.WriteString(" ELSE 100 END")
	return b.String()
}()

// page selects booked transactions. Of several accounts, it takes no more rows from each than the page may need: that
// is as far as the index leads.
func (q *transactionQuery) page() string {
	order := " ORDER BY " + q.order + q.descending + ", t.id" + q.descending
	limit := " LIMIT @count OFFSET @offset"
	if q.one {
		return "SELECT " + transactionColumns + " FROM transactions t JOIN accounts k ON k.id = t.account_id WHERE " + q.accounts +
			" AND t.account_id = @account AND t.booked AND t.removed_at IS NULL" + q.conditions + order + limit
	}
	return "SELECT " + transactionColumns + " FROM accounts k CROSS JOIN LATERAL (SELECT * FROM transactions t" +
		" WHERE t.account_id = k.id AND t.booked AND t.removed_at IS NULL" + q.conditions + order + " LIMIT @count::bigint + @offset::bigint) t" +
		" WHERE " + q.accounts + order + limit
}

func (q *transactionQuery) pending() string {
	return "SELECT " + transactionColumns + " FROM transactions t JOIN accounts k ON k.id = t.account_id WHERE " + q.accounts +
		" AND NOT t.booked AND t.removed_at IS NULL" + q.conditions + " ORDER BY " + q.order + q.descending + ", t.id" + q.descending
}

// deleted selects ids of what was removed, newest first and bounded.
func (q *transactionQuery) deleted() string {
	return "SELECT t.id FROM transactions t JOIN accounts k ON k.id = t.account_id WHERE " + q.accounts +
		" AND t.removed_at IS NOT NULL" + q.removed + " ORDER BY t.removed_at DESC, t.id LIMIT 10000"
}

// status selects how many accounts there are, and how reading them went: the last attempt, the success that holds for
// all of them, and one failure.
func (q *transactionQuery) status() string {
	return "SELECT count(*), max(k.attempted_at), CASE WHEN count(*) = count(k.succeeded_at) THEN min(k.succeeded_at) END," +
		" (array_agg(k.error) FILTER (WHERE k.error IS NOT NULL))[1], min(coalesce(k.unread, k.withheld)), coalesce(sum(k.unreadable), 0) FROM accounts k WHERE " + q.accounts
}

func (q *transactionQuery) statistics(pending bool) string {
	booked := " AND t.booked"
	if pending {
		booked = ""
	}
	return "SELECT t.currency, count(*), coalesce(sum(t.amount) FILTER (WHERE t.amount > 0), 0)::text," +
		" coalesce(sum(t.amount) FILTER (WHERE t.amount < 0), 0)::text, min(t.amount)::text, max(t.amount)::text" +
		" FROM transactions t JOIN accounts k ON k.id = t.account_id WHERE " + q.accounts +
		booked + " AND t.removed_at IS NULL" + q.conditions + " GROUP BY t.currency ORDER BY t.currency"
}
