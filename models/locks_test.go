package models_test

import (
	"errors"
	"fmt"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/testground"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/rules"
	"github.com/kontoflow/kontoflow/vault"
)

// openWide is a store with enough connections for many transactions at once.
func openWide(t *testing.T, connections int) *models.Store {
	t.Helper()
	secrets, err := vault.Open(testground.Keyset(t))
	require.NoError(t, err)
	address, err := url.Parse(testground.Database(t))
	require.NoError(t, err)
	query := address.Query()
	query.Set("pool_max_conns", fmt.Sprint(connections))
	address.RawQuery = query.Encode()
	s, err := models.Open(t.Context(), address.String(), secrets)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	return s
}

// atOnce starts all functions at the same moment, and returns their errors.
func atOnce(functions []func() error) error {
	start, failures := make(chan struct{}), make([]error, len(functions))
	var all sync.WaitGroup
	for i, f := range functions {
		all.Go(func() {
			<-start
			failures[i] = f()
		})
	}
	close(start)
	all.Wait()
	return errors.Join(failures...)
}

// over leaves out the errors that say that somebody else was faster.
func over(err error) error {
	for _, expected := range []error{models.ErrOvertaken, models.ErrAccountDeleted, models.ErrEdge, models.ErrNotFound, models.ErrCancelled} {
		if errors.Is(err, expected) {
			return nil
		}
	}
	return err
}

// TestNoDeadlocks ends twenty accounts of one access at the same moment, fifty times: first readings, later ones and
// failures, some while the client cancels, deletes an account, or deletes the access. No transaction waits for another
// in a circle; the test ground asks PostgreSQL, too.
func TestNoDeadlocks(t *testing.T) {
	t.Parallel()
	const accounts, rounds = 20, 50
	s := openWide(t, accounts+4)
	listed := make([]banks.Account, accounts)
	for i := range listed {
		listed[i] = banks.Account{ResourceID: fmt.Sprint(i), Number: fmt.Sprintf("%010d", i), Currency: "EUR"}
	}
	begin := func(access uuid.UUID) (*models.BankSession, []models.SyncAccount) {
		id, err := queue(s, access)
		require.NoError(t, err)
		session, err := s.OpenSession(t.Context(), id)
		require.NoError(t, err)
		var work []models.SyncAccount
		require.NoError(t, s.Transact(t.Context(), func(tx *gorm.DB) (err error) {
			if err := session.Lock(tx); err != nil {
				return err
			}
			work, err = session.PutAccounts(tx, listed)
			return err
		}))
		return session, work
	}
	var a models.Access
	for round := range rounds {
		if round%10 == 0 {
			a = access(t, s)
			_, _, err := s.CreateNotification(t.Context(), a.UserID, models.ObserveTransactions, "https://receiver.example/", "")
			require.NoError(t, err)
		}
		session, work := begin(a.ID)
		var together []func() error
		for i, w := range work {
			if w.Status != "PENDING" {
				continue
			}
			r, err := s.OpenReading(t.Context(), session.Sync.ID, w.AccountID)
			require.NoError(t, err)
			together = append(together, func() error {
				found := entries(1+round, 3)
				if i == 0 {
					return s.Transact(t.Context(), func(tx *gorm.DB) error {
						return models.EndAccount(tx, session.Sync.ID, w.AccountID, &rules.SyncError{Code: banks.CodeBankCannot})
					})
				}
				if r.First {
					return over(r.PutPage(t.Context(), &banks.Page{Entries: found}, time.Now()))
				}
				return over(r.PutWindow(t.Context(), found, nil, banks.Window{}, true, time.Now()))
			})
		}
		code := 0
		switch round % 10 {
		case 5:
			together = append(together, func() error { return over(s.RequestCancel(t.Context(), session.Sync.ID)) })
		case 6:
			together = append(together, func() error { return over(s.DeleteAccount(t.Context(), a.UserID, work[3].AccountID)) })
		case 7, 8:
			code = banks.CodeCancelled
			together = append(together, func() error {
				_, err := s.End(t.Context(), session.Sync.ID, code)
				return err
			})
		case 9:
			code = banks.CodeCancelled
			together = append(together, func() error {
				return s.Transact(t.Context(), func(tx *gorm.DB) error {
					_, err := s.HideAccess(tx, a.ID)
					return err
				})
			})
		}
		require.NoError(t, atOnce(together), "round %d", round)
		y, err := s.End(t.Context(), session.Sync.ID, code)
		require.NoError(t, err)
		if code == 0 {
			require.Equal(t, [2]int{len(work), len(work)}, [2]int{y.AccountsTotal, y.AccountsDone}, "round %d", round)
		}
	}
}

// Matching the transactions of a large account takes longer than a transaction may stand still.
func TestLongWorkKeepsItsTransaction(t *testing.T) {
	t.Parallel()
	s := open(t)
	work := func(backend uint32) {
		old := false
		for !old {
			err := s.Pool.QueryRow(t.Context(), `SELECT coalesce(max(clock_timestamp() - xact_start) > '5 seconds', true) FROM pg_stat_activity WHERE pid = $1`,
				backend).Scan(&old)
			if !assert.NoError(t, err) {
				return
			}
		}
	}
	require.NoError(t, models.WhileWorking(t.Context(), s, 2*time.Second, 50*time.Millisecond, work))
	require.Error(t, models.WhileWorking(t.Context(), s, 2*time.Second, time.Hour, work), "who does not ask loses it")
}
