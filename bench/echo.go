package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/labstack/echo/v4"

	"github.com/kontoflow/kontoflow/models"
)

// runBareEcho serves two resources of the API as one would who has nothing else to do: the same SQL, and
// encoding/json of plain structs; no judgement of tokens and scopes, no contract, no log, no metrics.
func runBareEcho(ctx context.Context, args []string) error {
	address, user := args[0], args[1]
	pool, err := pgxpool.New(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		return err
	}
	defer pool.Close()
	e := echo.New()
	e.HideBanner, e.HidePort = true, true
	e.GET("/ready", func(c echo.Context) error { return c.JSON(http.StatusOK, "ready") })
	e.GET("/rest/accesses/:access/syncs/:sync", func(c echo.Context) error {
		token := models.HashSecret(strings.TrimPrefix(c.Request().Header.Get(echo.HeaderAuthorization), "Bearer "))
		sync, err := bareSync(pool.QueryRow(c.Request().Context(), syncOfToken, token, c.Param("sync"), c.Param("access")))
		if err != nil {
			return err
		}
		return c.JSON(http.StatusOK, sync)
	})
	e.GET(open+"/rest/accesses/:access/syncs/:sync", func(c echo.Context) error {
		sync, err := bareSync(pool.QueryRow(c.Request().Context(), syncOfUser, c.Param("sync"), c.Param("access"), user))
		if err != nil {
			return err
		}
		return c.JSON(http.StatusOK, sync)
	})
	e.GET("/rest/accounts/:account/transactions", func(c echo.Context) error {
		page, err := barePage(c.Request().Context(), pool, c.Param("account"), user, c.QueryParam("count"))
		if err != nil {
			return err
		}
		c.Response().Header().Set(echo.HeaderContentType, echo.MIMEApplicationJSON)
		encoder := json.NewEncoder(c.Response())
		encoder.SetEscapeHTML(false)
		return encoder.Encode(page)
	})
	context.AfterFunc(ctx, func() { _ = e.Close() })
	if err := e.Start(address); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// instant is a timestamp as the API writes it.
type instant time.Time

func (i instant) MarshalJSON() ([]byte, error) {
	return time.Time(i).UTC().AppendFormat(nil, `"2006-01-02T15:04:05.000Z"`), nil
}

type syncJSON struct {
	AccessID  string            `json:"access_id"`
	Accounts  []syncAccountJSON `json:"accounts"`
	CreatedAt instant           `json:"created_at"`
	EndedAt   *instant          `json:"ended_at,omitempty"`
	ExpiresAt *instant          `json:"expires_at,omitempty"`
	ID        string            `json:"id"`
	Progress  struct {
		AccountsDone         int `json:"accounts_done"`
		AccountsTotal        int `json:"accounts_total"`
		TransactionsAdded    int `json:"transactions_added"`
		TransactionsModified int `json:"transactions_modified"`
		TransactionsRemoved  int `json:"transactions_removed"`
	} `json:"progress"`
	Scope     []string `json:"scope"`
	StartedAt *instant `json:"started_at,omitempty"`
	Status    string   `json:"status"`
	Trigger   string   `json:"trigger"`
}

type syncAccountJSON struct {
	AccountID string          `json:"account_id"`
	Error     json.RawMessage `json:"error,omitempty"`
	Status    string          `json:"status"`
}

// open is where the bare side has resources for everybody, without a token in their queries.
const open = "/open"

// The query of api/syncs.go, which finds a synchronization and the owner of a token at once; and without the token.
const (
	syncColumns = `
	SELECT y.id::text, y.access_id::text, y.status, y.trigger, y.scope, y.created_at, y.started_at, y.ended_at, y.expires_at, y.error,
	       y.accounts_total, y.accounts_done, y.transactions_added, y.transactions_modified, y.transactions_removed,
	       c.id::text, c.created_at, c.content,
	       (SELECT json_agg(json_build_object('account_id', w.account_id, 'status', w.status, 'error', w.error) ORDER BY w.position)
	        FROM synchronization_accounts w WHERE w.sync_id = y.id)`
	openChallenge = ` LEFT JOIN challenges c ON c.sync_id = y.id AND c.status = 'OPEN' AND y.status = 'AWAIT_AUTH' `

	syncOfToken = syncColumns + ` FROM tokens t JOIN token_families f ON f.id = t.family AND f.revoked_at IS NULL JOIN users u ON u.id = t.user_id AND u.deleted_at IS NULL
	LEFT JOIN (synchronizations y JOIN accesses a ON a.id = y.access_id AND a.deleted_at IS NULL)
	  ON y.id = $2 AND y.access_id = $3 AND a.user_id = t.user_id` + openChallenge + `
	WHERE t.hash = $1 AND t.kind = 'ACCESS' AND t.revoked_at IS NULL AND t.expires_at > now()`
	syncOfUser = syncColumns + ` FROM synchronizations y JOIN accesses a ON a.id = y.access_id` + openChallenge + `
	WHERE y.id = $1 AND y.access_id = $2 AND a.user_id = $3 AND a.deleted_at IS NULL`
)

func bareSync(row pgx.Row) (*syncJSON, error) {
	var y syncJSON
	var created time.Time
	var started, ended, expires, asked *time.Time
	var challenge *string
	var failure, content, accounts []byte
	err := row.Scan(&y.ID, &y.AccessID, &y.Status, &y.Trigger, &y.Scope, &created, &started, &ended, &expires, &failure,
		&y.Progress.AccountsTotal, &y.Progress.AccountsDone, &y.Progress.TransactionsAdded, &y.Progress.TransactionsModified, &y.Progress.TransactionsRemoved,
		&challenge, &asked, &content, &accounts)
	if err != nil {
		return nil, err
	}
	y.CreatedAt, y.StartedAt, y.EndedAt, y.ExpiresAt = instant(created), (*instant)(started), (*instant)(ended), (*instant)(expires)
	if err := json.Unmarshal(accounts, &y.Accounts); err != nil {
		return nil, err
	}
	for i := range y.Accounts {
		if string(y.Accounts[i].Error) == "null" {
			y.Accounts[i].Error = nil
		}
	}
	return &y, nil
}

type pageJSON struct {
	Transactions []*transactionJSON `json:"transactions"`
	Deleted      []string           `json:"deleted"`
	Status       struct {
		SucceededAt *instant `json:"succeeded_at,omitempty"`
		SyncedAt    *instant `json:"synced_at,omitempty"`
	} `json:"status"`
}

type transactionJSON struct {
	ID                string          `json:"transaction_id"`
	AccountID         string          `json:"account_id"`
	Name              *string         `json:"name,omitempty"`
	AccountNumber     *string         `json:"account_number,omitempty"`
	BankCode          *string         `json:"bank_code,omitempty"`
	BankName          *string         `json:"bank_name,omitempty"`
	IBAN              *string         `json:"iban,omitempty"`
	BIC               *string         `json:"bic,omitempty"`
	Purpose           *string         `json:"purpose,omitempty"`
	Type              string          `json:"type"`
	BookingText       *string         `json:"booking_text,omitempty"`
	BookingKey        *string         `json:"booking_key,omitempty"`
	TransactionCode   *string         `json:"transaction_code,omitempty"`
	EndToEndReference *string         `json:"end_to_end_reference,omitempty"`
	MandateReference  *string         `json:"mandate_reference,omitempty"`
	CreditorID        *string         `json:"creditor_id,omitempty"`
	CustomerReference *string         `json:"customer_reference,omitempty"`
	SEPAPurposeCode   *string         `json:"sepa_purpose_code,omitempty"`
	Amount            json.Number     `json:"amount"`
	Currency          string          `json:"currency"`
	Booked            bool            `json:"booked"`
	BookedAt          *day            `json:"booked_at,omitempty"`
	SettledAt         *day            `json:"settled_at,omitempty"`
	AdditionalInfo    json.RawMessage `json:"additional_info,omitempty"`
	CreatedAt         instant         `json:"created_at"`
	ModifiedAt        instant         `json:"modified_at"`
}

type day time.Time

func (d day) MarshalJSON() ([]byte, error) {
	return time.Time(d).AppendFormat(nil, `"2006-01-02T00:00:00.000Z"`), nil
}

// barePage runs the queries of api/transactions.go for one account, in one round trip as well.
func barePage(ctx context.Context, pool *pgxpool.Pool, account, user, count string) (*pageJSON, error) {
	var batch pgx.Batch
	batch.Queue(`SELECT count(*), max(k.attempted_at), CASE WHEN count(*) = count(k.succeeded_at) THEN min(k.succeeded_at) END,
		(array_agg(k.error) FILTER (WHERE k.error IS NOT NULL))[1] FROM accounts k WHERE k.id = $1 AND k.user_id = $2 AND k.deleted_at IS NULL`, account, user)
	batch.Queue(`SELECT t.id::text, t.account_id::text, t.name, t.account_number, t.bank_code, t.bank_name, t.iban, t.bic,
		t.amount::text, t.currency, t.booked, t.booked_at, t.settled_at, t.purpose, t.type, t.booking_text, t.booking_key, t.transaction_code,
		t.end_to_end_reference, t.mandate_reference, t.creditor_id, t.customer_reference, t.sepa_purpose_code, t.additional_info,
		t.created_at, t.modified_at
		FROM transactions t JOIN accounts k ON k.id = t.account_id WHERE k.id = $1 AND k.user_id = $2 AND k.deleted_at IS NULL
		AND t.account_id = $1 AND t.booked AND t.removed_at IS NULL ORDER BY t.day DESC, t.id DESC LIMIT $3 OFFSET 0`, account, user, count)
	batch.Queue(`SELECT t.id::text FROM transactions t JOIN accounts k ON k.id = t.account_id WHERE k.id = $1 AND k.user_id = $2 AND k.deleted_at IS NULL
		AND t.removed_at IS NOT NULL ORDER BY t.removed_at DESC, t.id LIMIT 10000`, account, user)
	results := pool.SendBatch(ctx, &batch)
	defer results.Close()

	page := &pageJSON{}
	var accounts int
	var attempted, succeeded *time.Time
	var failure []byte
	if err := results.QueryRow().Scan(&accounts, &attempted, &succeeded, &failure); err != nil {
		return nil, err
	}
	if accounts == 0 || failure != nil {
		return nil, echo.ErrNotFound
	}
	page.Status.SyncedAt, page.Status.SucceededAt = (*instant)(attempted), (*instant)(succeeded)
	rows, err := results.Query()
	if err != nil {
		return nil, err
	}
	page.Transactions, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (*transactionJSON, error) {
		var t transactionJSON
		var amount string
		var booked, settled *time.Time
		err := row.Scan(&t.ID, &t.AccountID, &t.Name, &t.AccountNumber, &t.BankCode, &t.BankName, &t.IBAN, &t.BIC,
			&amount, &t.Currency, &t.Booked, &booked, &settled, &t.Purpose, &t.Type, &t.BookingText, &t.BookingKey, &t.TransactionCode,
			&t.EndToEndReference, &t.MandateReference, &t.CreditorID, &t.CustomerReference, &t.SEPAPurposeCode, &t.AdditionalInfo,
			(*time.Time)(&t.CreatedAt), (*time.Time)(&t.ModifiedAt))
		t.Amount, t.BookedAt, t.SettledAt = json.Number(amount), (*day)(booked), (*day)(settled)
		return &t, err
	})
	if err != nil {
		return nil, err
	}
	if rows, err = results.Query(); err != nil {
		return nil, err
	}
	page.Deleted, err = pgx.AppendRows([]string{}, rows, pgx.RowTo[string])
	return page, err
}
