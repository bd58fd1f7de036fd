package activities

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/rules"
	"github.com/kontoflow/kontoflow/workflows/contract"
)

// ReadAccounts reads the list of accounts with their balances, and stores it.
func (a *Activities) ReadAccounts(ctx context.Context, sync uuid.UUID) (out contract.ReadAccountsOutcome, err error) {
	defer beat(ctx)()
	session, err := a.Store.OpenSession(ctx, sync)
	if err != nil {
		return out, failure(err)
	}
	out.Parallel = session.Conversation.Connection.AccountsAtOnce()
	work, err := models.SyncAccounts(a.Store.DB.WithContext(ctx), sync)
	if err != nil {
		return out, failure(err)
	}
	if len(work) == 0 { // not done by an attempt whose completion was lost
		provider, err := a.provider(&session.Conversation)
		if err != nil {
			return out, failure(err)
		}
		listed, err := provider.Accounts(ctx, &session.Conversation)
		var e *banks.Error
		if errors.As(err, &e) && e.Kind == banks.NeedsAuthorization {
			out.NeedsAuthorization = true
			return out, failure(session.Transact(ctx, session.Save))
		}
		if err != nil {
			return out, a.fail(ctx, session, 0, err)
		}
		err = session.Transact(ctx, func(tx *gorm.DB) error {
			if err := session.Lock(tx); err != nil {
				return err
			}
			if err := session.Save(tx); err != nil {
				return err
			}
			work, err = session.PutAccounts(tx, listed)
			return err
		})
		if err != nil {
			return out, failure(err)
		}
	}
	for _, w := range work {
		if w.Status == rules.AccountPending {
			out.Accounts = append(out.Accounts, w.AccountID)
		}
	}
	return out, nil
}
