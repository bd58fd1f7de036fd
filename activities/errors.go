package activities

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgconn"
	"go.temporal.io/sdk/temporal"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/workflows/contract"
)

// failure is the one place that turns what went wrong into what Temporal sees: a type that is the error's code, whether
// and when to retry, and a text that holds nobody's data. Causes are left behind on purpose: their texts are not ours.
func failure(err error) error {
	var classified *banks.Error
	var application *temporal.ApplicationError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &application):
		return application
	case errors.Is(err, context.Canceled):
		return context.Canceled
	case errors.As(err, &classified):
		return temporal.NewApplicationErrorWithOptions(classified.Error(), strconv.Itoa(classified.Code), temporal.ApplicationErrorOptions{
			NonRetryable:   classified.Kind != banks.Transient,
			NextRetryDelay: classified.RetryAfter,
			Category:       category(classified.Kind),
		})
	case errors.Is(err, models.ErrEdge), errors.Is(err, models.ErrNotFound):
		return temporal.NewNonRetryableApplicationError("the synchronization is over", contract.Ended, nil)
	case errors.Is(err, models.ErrCancelled):
		return temporal.NewNonRetryableApplicationError("the client cancelled", strconv.Itoa(banks.CodeCancelled), nil)
	default:
		return temporal.NewApplicationError(describe(err), contract.Storage)
	}
}

// category keeps failures that are part of the business (a wrong PIN) out of the alerts for those that are not.
func category(kind banks.Kind) temporal.ApplicationErrorCategory {
	if kind == banks.Transient {
		return temporal.ApplicationErrorCategoryUnspecified
	}
	return temporal.ApplicationErrorCategoryBenign
}

// describe tells an error of our own side without the values that databases quote in theirs.
func describe(err error) string {
	var pg *pgconn.PgError
	switch {
	case errors.As(err, &pg):
		return fmt.Sprintf("database: SQLSTATE %s at %s.%s", pg.Code, pg.TableName, pg.ConstraintName)
	case errors.Is(err, models.ErrOvertaken):
		return models.ErrOvertaken.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return "not done in time"
	default:
		return fmt.Sprintf("unexpected: %T", unwrapped(err))
	}
}

func unwrapped(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}
