package models_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/civil"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/rules"
)

// listed stores an access with one account, and a synchronization that is about to read it.
func listed(t *testing.T, s *models.Store) (session *models.BankSession, account uuid.UUID) {
	t.Helper()
	id, err := queue(s, access(t, s).ID)
	require.NoError(t, err)
	session, err = s.OpenSession(t.Context(), id)
	require.NoError(t, err)
	return session, list(t, s, session)[0].AccountID
}

func list(t *testing.T, s *models.Store, session *models.BankSession) (work []models.SyncAccount) {
	t.Helper()
	require.NoError(t, s.Transact(t.Context(), func(tx *gorm.DB) (err error) {
		work, err = session.PutAccounts(tx, []banks.Account{{ResourceID: "1", IBAN: "DE67900900424711951500", Currency: "EUR"}})
		return err
	}))
	return work
}

func entries(from, n int) []banks.Entry {
	all := make([]banks.Entry, n)
	for i := range all {
		all[i] = banks.Entry{TransactionID: fmt.Sprintf("booking %d", from+i), BookingDate: civil.Day(2026, 1, 31),
			Amount: decimal.New(int64(from+i), -2), Currency: "EUR"}
	}
	return all
}

func stored(t *testing.T, s *models.Store, account uuid.UUID) (n int) {
	t.Helper()
	require.NoError(t, s.DB.Raw(`SELECT count(*) FROM transactions WHERE account_id = ?`, account).Scan(&n).Error)
	return n
}

// A reading that was broken off and goes on knows what was stored last, however much came before: the pages may have
// moved meanwhile.
func TestResumedReadingDropsWhatCameAgain(t *testing.T) {
	t.Parallel()
	s := open(t)
	session, account := listed(t, s)
	begin := func() *models.Reading {
		r, err := s.OpenReading(t.Context(), session.Sync.ID, account)
		require.NoError(t, err)
		require.True(t, r.First)
		return r
	}
	r := begin()
	for page := range 4 {
		require.NoError(t, r.PutPage(t.Context(), &banks.Page{Entries: entries(1+page*6000, 6000), Next: "more"}, time.Now()))
	}
	r = begin()
	require.Equal(t, "more", r.Cursor)
	require.NoError(t, r.PutPage(t.Context(), &banks.Page{Entries: entries(20_001, 6000)}, time.Now()))
	require.Equal(t, 26_000, stored(t, s, account), "4,000 of the last page had come before")
}

// A worker that is told to stop cuts a reading off at any moment, also in the middle of a COPY. The next one begins where
// the last whole page ended.
func TestReadingIsCutOff(t *testing.T) {
	t.Parallel()
	s := open(t)
	session, account := listed(t, s)
	pages, cut := 0, 0
	for attempt := range 60 {
		r, err := s.OpenReading(t.Context(), session.Sync.ID, account)
		require.NoError(t, err)
		require.Equal(t, pages, r.Pages)
		ctx, cancel := context.WithTimeout(t.Context(), time.Duration(1+attempt)*time.Millisecond)
		if err = r.PutPage(ctx, &banks.Page{Entries: entries(1+pages*500, 500), Next: "more"}, time.Now()); err == nil {
			pages++
		} else {
			cut++
		}
		cancel()
	}
	require.Positive(t, cut)
	require.Equal(t, pages*500, stored(t, s, account))
	r, err := s.OpenReading(t.Context(), session.Sync.ID, account)
	require.NoError(t, err)
	require.NoError(t, r.PutPage(t.Context(), &banks.Page{Entries: entries(1+pages*500, 500)}, time.Now()))
}

// What the client deletes while it is read is gone, and stays gone.
func TestNothingIsStoredForADeletedAccount(t *testing.T) {
	t.Parallel()
	s := open(t)
	for name, put := range map[string]func(*models.Reading) error{
		"first": func(r *models.Reading) error {
			return r.PutPage(t.Context(), &banks.Page{Entries: entries(1, 3)}, time.Now())
		},
		"later": func(r *models.Reading) error {
			return r.PutWindow(t.Context(), entries(1, 3), nil, banks.Window{}, true, time.Now())
		},
	} {
		session, account := listed(t, s)
		r, err := s.OpenReading(t.Context(), session.Sync.ID, account)
		require.NoError(t, err)
		require.NoError(t, s.DB.Exec(`UPDATE accounts SET deleted_at = now() WHERE id = ?`, account).Error)
		require.ErrorIs(t, put(r), models.ErrAccountDeleted, name)
		require.Zero(t, stored(t, s, account), name)
		r, err = s.OpenReading(t.Context(), session.Sync.ID, account)
		require.NoError(t, err)
		require.Equal(t, rules.AccountFailed, r.Status, "its part has ended")
	}
}

// The client deletes an account in the moment in which the bank lists it again.
func TestListingUndoesNoDeletion(t *testing.T) {
	t.Parallel()
	s := open(t)
	first, account := listed(t, s)
	_, err := s.End(t.Context(), first.Sync.ID, banks.CodeCancelled)
	require.NoError(t, err)
	id, err := queue(s, first.Access.ID)
	require.NoError(t, err)
	session, err := s.OpenSession(t.Context(), id)
	require.NoError(t, err)

	work := make(chan []models.SyncAccount, 1)
	require.NoError(t, s.Transact(t.Context(), func(tx *gorm.DB) error {
		if err := tx.Exec(`UPDATE accounts SET deleted_at = now() WHERE id = ?`, account).Error; err != nil {
			return err
		}
		go func() { work <- list(t, s, session) }()
		require.Eventually(t, func() (waits bool) {
			require.NoError(t, s.DB.Raw(`SELECT EXISTS (SELECT FROM pg_locks l JOIN pg_stat_activity a USING (pid)
				WHERE NOT l.granted AND a.datname = current_database())`).Scan(&waits).Error)
			return waits
		}, time.Minute, 10*time.Millisecond)
		return nil
	}))
	require.Empty(t, <-work)
	var deleted bool
	require.NoError(t, s.DB.Raw(`SELECT deleted_at IS NOT NULL FROM accounts WHERE id = ?`, account).Scan(&deleted).Error)
	require.True(t, deleted)
}

// The client deletes the access in the moment in which its synchronization is cancelled and a page is stored: nobody
// waits for another in circles.
func TestDeletionMeetsTheEnd(t *testing.T) {
	t.Parallel()
	s := open(t)
	for range 20 {
		session, account := listed(t, s)
		r, err := s.OpenReading(t.Context(), session.Sync.ID, account)
		require.NoError(t, err)
		var all sync.WaitGroup
		failed := make(chan error, 4)
		together := func(f func() error) { all.Go(func() { failed <- f() }) }
		together(func() error {
			_, err := s.End(t.Context(), session.Sync.ID, banks.CodeCancelled)
			return err
		})
		together(func() error {
			return s.Transact(t.Context(), func(tx *gorm.DB) error {
				_, err := s.HideAccess(tx, session.Access.ID)
				return err
			})
		})
		together(func() error {
			err := r.PutPage(t.Context(), &banks.Page{Entries: entries(1, 100)}, time.Now())
			if errors.Is(err, models.ErrOvertaken) || errors.Is(err, models.ErrAccountDeleted) {
				return nil
			}
			return err
		})
		together(func() error {
			session.Conversation.Lasting = json.RawMessage(`{"consent_id":"1"}`)
			err := s.Transact(t.Context(), func(tx *gorm.DB) error {
				if err := session.Lock(tx); err != nil {
					return err
				}
				if _, err := session.Ask(tx, &banks.Challenge{Type: banks.Embedded}, time.Now().Add(time.Minute)); err != nil {
					return err
				}
				return session.Finish(tx, 1, "asked")
			})
			if errors.Is(err, models.ErrOvertaken) || errors.Is(err, models.ErrEdge) {
				return nil
			}
			return err
		})
		all.Wait()
		close(failed)
		for err := range failed {
			require.NoError(t, err)
		}
	}
}
