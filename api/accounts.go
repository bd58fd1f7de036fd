package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/labstack/echo/v4"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/rules"
)

// ListAccounts lists the user's accounts (GET /rest/accounts).
func (s *Server) ListAccounts(c echo.Context, params ListAccountsParams) error {
	ctx, who := c.Request().Context(), callerOf(c)
	filter, arguments := "", []any{who.user}
	if params.AccessID != "" {
		access, err := s.access(ctx, who.user, params.AccessID)
		if err != nil {
			return err
		}
		filter, arguments = " AND k.access_id = $2", append(arguments, access.ID)
	}
	accounts, err := s.accounts(ctx, who, filter+" ORDER BY a.created_at, a.id, k.position, k.id", arguments...)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, map[string][]Account{"accounts": accounts})
}

// GetAccount answers one account (GET /rest/accounts/{id}).
func (s *Server) GetAccount(c echo.Context, accountID AccountID) error {
	account, err := s.account(c.Request().Context(), callerOf(c), accountID)
	if err != nil {
		return err
	}
	return c.JSON(http.StatusOK, account)
}

// UpdateAccount changes what the body names (PUT /rest/accounts/{id}). A name of the client's own stays, whatever the
// bank calls the account.
func (s *Server) UpdateAccount(c echo.Context, accountID AccountID) error {
	body, err := bind[AccountChange](c)
	if err != nil {
		return err
	}
	ctx, who := c.Request().Context(), callerOf(c)
	id, err := parseID(accountID)
	if err != nil {
		return errNotFound
	}
	result, err := s.store.Pool.Exec(ctx, `UPDATE accounts SET name = coalesce($3, name), owner = coalesce($4, owner),
		renamed = renamed OR $3 IS NOT NULL OR $4 IS NOT NULL, auto_sync = coalesce($5, auto_sync)
		WHERE id = $1 AND user_id = $2 AND deleted_at IS NULL`, id, who.user, optional(body.Name), optional(body.Owner), body.AutoSync)
	if err != nil {
		return fmt.Errorf("change the account: %w", err)
	}
	if result.RowsAffected() == 0 {
		return errNotFound
	}
	return s.GetAccount(c, accountID)
}

// DeleteAccount deletes what is stored of an account, and keeps in mind not to read it again
// (DELETE /rest/accounts/{id}).
func (s *Server) DeleteAccount(c echo.Context, accountID AccountID) error {
	id, err := parseID(accountID)
	if err != nil {
		return errNotFound
	}
	if err := s.store.DeleteAccount(c.Request().Context(), callerOf(c).user, id); err != nil {
		return err
	}
	return c.NoContent(http.StatusNoContent)
}

// GetBalance answers an account's balance (GET /rest/accounts/{id}/balance).
func (s *Server) GetBalance(c echo.Context, accountID AccountID) error {
	account, err := s.account(c.Request().Context(), callerOf(c), accountID)
	if err != nil {
		return err
	}
	balance := account.Balance
	balance.Status = account.Status
	return c.JSON(http.StatusOK, balance)
}

func (s *Server) account(ctx context.Context, who *caller, id string) (Account, error) {
	key, err := parseID(id)
	if err != nil {
		return Account{}, errNotFound
	}
	accounts, err := s.accounts(ctx, who, " AND k.id = $2", who.user, key)
	if err != nil {
		return Account{}, err
	}
	if len(accounts) == 0 {
		return Account{}, errNotFound
	}
	return accounts[0], nil
}

// accounts reads accounts of the user ($1), each with the balance that says best what is on it (models.ShownBalance).
func (s *Server) accounts(ctx context.Context, who *caller, filter string, arguments ...any) ([]Account, error) {
	rows, err := s.store.Pool.Query(ctx, `
		SELECT k.id, k.access_id, k.bank_id, k.account_number, k.bank_code, b.name, k.iban, k.bic, k.name, k.owner, k.type,
		       k.currency, b.icon, k.auto_sync, k.supported AND k.unread IS NULL, `+statusColumns+`,
		       l.amount::text, l.currency, l.date, l.observed_at
		FROM accounts k
		JOIN accesses a ON a.id = k.access_id AND a.deleted_at IS NULL
		JOIN banks b ON b.id = k.bank_id
		LEFT JOIN LATERAL (`+models.ShownBalance+`) l ON true
		WHERE k.user_id = $1 AND k.deleted_at IS NULL`+filter, arguments...)
	if err != nil {
		return nil, fmt.Errorf("read the accounts: %w", err)
	}
	accounts, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Account, error) { return scanAccount(row, who) })
	if err != nil {
		return nil, fmt.Errorf("read the accounts: %w", err)
	}
	return accounts, nil
}

func scanAccount(row pgx.Row, who *caller) (Account, error) {
	var k Account
	var number, bankCode, iban, bic, name, owner, currency, balance, balanceCurrency *string
	var icon []byte
	var observed, day *time.Time
	var status statusRow
	err := row.Scan(&k.AccountID, &k.AccessID, &k.BankID, &number, &bankCode, &k.BankName, &iban, &bic, &name, &owner, &k.Type,
		&currency, &icon, &k.AutoSync, &k.Supported, &status.attempted, &status.succeeded, &status.failure, &status.withheld, &status.unreadable,
		&balance, &balanceCurrency, &day, &observed)
	if err != nil {
		return k, err
	}
	k.AccountNumber, k.BankCode, k.IBAN, k.BIC = text(number), text(bankCode), text(iban), text(bic)
	k.Name, k.Owner, k.Currency = text(name), text(owner), text(currency)
	if icon != nil {
		if err := json.Unmarshal(icon, &k.Icon); err != nil {
			return k, errors.New("the stored icon is not readable")
		}
	}
	if k.Status, err = status.read(); err != nil {
		return k, err
	}
	if balance == nil || !who.may(scopeBalance) {
		return k, nil
	}
	if balanceCurrency == nil {
		balanceCurrency = currency
	}
	k.Balance = Balance{Balance: amount(*balance, text(balanceCurrency)), Status: k.Status}
	switch {
	case day != nil:
		k.Balance.BalanceDate = Timestamp(*day)
	case observed != nil:
		k.Balance.BalanceDate = Timestamp(*observed)
	}
	return k, nil
}

// statusColumns are those of account k that a statusRow takes up.
const statusColumns = `k.attempted_at, k.succeeded_at, k.error, coalesce(k.unread, k.withheld), k.unreadable`

// statusRow is how reading an account, or several, went.
type statusRow struct {
	attempted, succeeded *time.Time
	failure              []byte
	withheld             *string
	unreadable           int
}

// notRead words why no transactions were read although nothing failed; "": they were.
func notRead(withheld string) string {
	switch withheld {
	case "", string(banks.Partial):
		return ""
	case string(banks.NoList):
		return "The bank sent no list of transactions."
	case banks.UnreadNotOffered:
		return "The bank does not offer the transactions of this account."
	case banks.UnreadNoOrder:
		return "The bank has no way to read the transactions of this account over this access method."
	case banks.UnreadDepot:
		return "The account holds securities. Its transactions are not read."
	default:
		return "The transactions of this account cannot be read."
	}
}

// read words how it went.
func (r *statusRow) read() (ReadStatus, error) {
	status := ReadStatus{SyncedAt: timestamp(r.attempted), SucceededAt: timestamp(r.succeeded), Withheld: text(r.withheld), Unreadable: r.unreadable}
	if r.failure == nil {
		status.Message = notRead(status.Withheld)
		return status, nil
	}
	var e rules.SyncError
	if err := json.Unmarshal(r.failure, &e); err != nil {
		return status, errors.New("the stored error is not readable")
	}
	if status.Message = e.Message; status.Message == "" {
		status.Message = rules.LookUp(e.Code).EN
	}
	return status, nil
}
