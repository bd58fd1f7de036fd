package api

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/labstack/echo/v4"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/openapi"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/rules"
)

// syncError words why a synchronization failed; nil: it did not.
func syncError(e *rules.SyncError) SyncError {
	if e == nil {
		return SyncError{}
	}
	known := rules.LookUp(e.Code)
	return SyncError{Code: e.Code, Group: ErrorGroup(known.Group()), Description: known.EN, Data: e.Data, Message: e.Message}
}

// A problem is how a request fails: what the caller gets, and for the log why.
type problem struct {
	status  int
	code    int
	data    openapi.Problems // field → texts
	retryAt time.Time        // when the caller may try again, by the store's clock; zero: not said
	retry   time.Duration    // or after how long; 0: not said
	cause   error            // never shown to the caller
}

func (p *problem) Error() string {
	if p.cause != nil {
		return fmt.Sprintf("%d: %v", p.code, p.cause)
	}
	return fmt.Sprintf("%d", p.code)
}

func (p *problem) Unwrap() error { return p.cause }

var (
	errNotFound     = &problem{status: http.StatusNotFound, code: rules.CodeNotFound}
	errExists       = &problem{status: http.StatusConflict, code: rules.CodeExists}
	errState        = &problem{status: http.StatusConflict, code: rules.CodeState}
	errForbidden    = &problem{status: http.StatusForbidden, code: rules.CodeForbidden}
	errUnauthorized = &problem{status: http.StatusUnauthorized, code: rules.CodeUnauthorized}
	errClient       = &problem{status: http.StatusUnauthorized, code: rules.CodeClient}
	errLocked       = &problem{status: http.StatusUnauthorized, code: rules.CodeLocked}
)

// invalid is 1000 for one field.
func invalid(field, message string) *problem {
	return refuse(http.StatusBadRequest, openapi.Problems{field: {message}})
}

func refuse(status int, problems openapi.Problems) *problem {
	return &problem{status: status, code: rules.CodeInvalid, data: problems}
}

// incomplete is 1011 for credential fields.
func incomplete(problems openapi.Problems) *problem {
	return &problem{status: http.StatusBadRequest, code: rules.CodeCredentials, data: problems}
}

// tooMany is 1020: the caller may try again at the given time; zero: not at all.
func tooMany(retryAt time.Time) *problem {
	p := &problem{status: http.StatusTooManyRequests, code: rules.CodeTooMany, retryAt: retryAt}
	if !retryAt.IsZero() {
		p.data = openapi.Problems{"retry_at": {retryAt.UTC().Format(timestampLayout)}}
	}
	return p
}

// asProblem classifies whatever a handler returned.
func asProblem(err error) *problem {
	var p *problem
	var h *echo.HTTPError
	var restarts *models.TooManyRestarts
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, models.ErrNotFound):
		return errNotFound
	case errors.Is(err, models.ErrExists):
		return errExists
	case errors.Is(err, models.ErrLocked):
		return errLocked
	case errors.Is(err, models.ErrEdge), errors.Is(err, models.ErrAnswered):
		return errState
	case errors.As(err, &restarts):
		return tooMany(restarts.RetryAt)
	case errors.As(err, &h):
		switch {
		case h.Code == http.StatusNotFound:
			return errNotFound
		case h.Code == http.StatusMethodNotAllowed:
			return refuse(h.Code, openapi.Problems{"method": {"is not allowed here"}})
		case h.Code < http.StatusInternalServerError:
			return refuse(http.StatusBadRequest, openapi.Problems{"request": {"is malformed"}})
		}
	}
	if tookTooLong(err) {
		return refuse(http.StatusBadRequest, openapi.Problems{"request": {"reads too much: narrow it by accounts, since and until"}})
	}
	if unavailable(err) {
		return &problem{status: http.StatusServiceUnavailable, code: banks.CodeTemporary, cause: err}
	}
	return &problem{status: http.StatusInternalServerError, code: banks.CodeInternal, cause: err}
}

// tookTooLong reports whether the database ended a statement of the pool for large lists, which it does after a time
// (Store.HeavyPool).
func tookTooLong(err error) bool {
	var server *pgconn.PgError
	return errors.As(err, &server) && server.Code == "57014" && strings.Contains(server.Message, "statement timeout")
}

// unavailable reports whether the database could not be reached in time, so that a later call may succeed.
func unavailable(err error) bool {
	var connect *pgconn.ConnectError
	var server *pgconn.PgError
	var network net.Error
	switch {
	case errors.As(err, &server):
		class := server.Code[:2]
		// Operator intervention, out of resources, deadlock, a lock not had in time, the transaction ended while it was idle.
		return class == "57" || class == "53" || class == "40" || class == "55" || server.Code == "25P03"
	case errors.As(err, &connect), errors.As(err, &network), errors.Is(err, context.DeadlineExceeded),
		errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.EOF), errors.Is(err, driver.ErrBadConn), errors.Is(err, sql.ErrConnDone): // it broke
		return true
	}
	return pgconn.SafeToRetry(err)
}

// fail answers an error in the contract's form; it is Echo's error handler.
func (s *Server) fail(err error, c echo.Context) {
	p := asProblem(err)
	ctx := c.Request().Context()
	if c.Response().Committed {
		return
	}
	if p.cause != nil && !errors.Is(err, context.Canceled) {
		s.log.ErrorContext(ctx, "a request failed", "request_id", requestID(c), "route", c.Path(), "error", cause(p.cause))
	}
	if p.status == http.StatusUnauthorized {
		scheme := `Bearer realm="kontoflow"`
		if o := s.contract.operation(c); o != nil && o.client {
			scheme = `Basic realm="kontoflow", charset="UTF-8"`
		}
		c.Response().Header().Set(echo.HeaderWWWAuthenticate, scheme)
	}
	retry := p.retry
	switch {
	case p.status == http.StatusServiceUnavailable:
		retry = time.Second
	case !p.retryAt.IsZero():
		retry = max(time.Second, p.retryAt.Sub(s.store.Now()))
	}
	if retry > 0 {
		c.Response().Header().Set(echo.HeaderRetryAfter, strconv.Itoa(int(math.Ceil(retry.Seconds()))))
	}
	known := rules.LookUp(p.code)
	failure := Error{Code: p.code, Group: ErrorGroup(known.Group()), Description: known.EN, Data: p.data}
	if err := c.JSON(p.status, Failure{Error: failure}); err != nil {
		s.log.DebugContext(ctx, "the caller went away", "request_id", requestID(c))
	}
}

// cause words an error for the log. The database's own words may quote a row or a parameter, so of its errors only the
// names stay.
func cause(err error) slog.Value {
	var server *pgconn.PgError
	if errors.As(err, &server) {
		return slog.GroupValue(slog.String("sqlstate", server.Code), slog.String("routine", server.Routine),
			slog.String("table", server.TableName), slog.String("constraint", server.ConstraintName))
	}
	return slog.StringValue(err.Error())
}
