package models_test

import (
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

// again begins the access's next synchronization, and opens the reading of its one account.
func again(t *testing.T, s *models.Store, access, account uuid.UUID) *models.Reading {
	t.Helper()
	id, err := queue(s, access)
	require.NoError(t, err)
	session, err := s.OpenSession(t.Context(), id)
	require.NoError(t, err)
	list(t, s, session)
	r, err := s.OpenReading(t.Context(), id, account)
	require.NoError(t, err)
	return r
}

// finish ends the access's running synchronization.
func finish(t *testing.T, s *models.Store, access uuid.UUID) models.Synchronization {
	t.Helper()
	var id uuid.UUID
	require.NoError(t, s.DB.Raw(`SELECT id FROM synchronizations WHERE access_id = ? AND ended_at IS NULL`, access).Row().Scan(&id))
	y, err := s.End(t.Context(), id, 0)
	require.NoError(t, err)
	return y
}

// there counts an account's transactions that are shown, booked and pending, and those flagged as missing.
func there(t *testing.T, s *models.Store, account uuid.UUID) (booked, pending, missed int) {
	t.Helper()
	err := s.DB.Raw(`SELECT count(*) FILTER (WHERE booked), count(*) FILTER (WHERE NOT booked), count(missed_by)
		FROM transactions WHERE account_id = ? AND removed_at IS NULL`, account).Row().Scan(&booked, &pending, &missed)
	require.NoError(t, err)
	return booked, pending, missed
}

func readUntil(t *testing.T, s *models.Store, account uuid.UUID) civil.Date {
	t.Helper()
	a, err := s.Account(t.Context(), account)
	require.NoError(t, err)
	return a.ReadUntil
}

func pendingEntries(n int) []banks.Entry {
	all := entries(1000, n)
	for i := range all {
		all[i].Pending = true
	}
	return all
}

// TestOnlyNoneMeansNone: an answer that covers nothing removes nothing and flags nothing as missing, however often it comes,
// and the next synchronization asks for the same days. What it holds is stored. An empty list that covers its days does
// remove what it lacks.
func TestOnlyNoneMeansNone(t *testing.T) {
	t.Parallel()
	s := open(t)
	now := time.Date(2026, 2, 3, 9, 0, 0, 0, time.UTC)
	days := banks.Window{From: civil.Day(2026, 1, 1), To: civil.On(now)}
	session, account := listed(t, s)
	access := session.Access.ID

	r, err := s.OpenReading(t.Context(), session.Sync.ID, account)
	require.NoError(t, err)
	require.NoError(t, r.PutPage(t.Context(), &banks.Page{Entries: entries(1, 2), Withheld: banks.NoList}, now))
	finish(t, s, access)
	require.True(t, readUntil(t, s, account).IsZero(), "the first reading covered nothing")

	r = again(t, s, access, account)
	require.False(t, r.First)
	require.True(t, r.Since().IsZero(), "asks from the beginning again")
	require.NoError(t, r.PutWindow(t.Context(), append(entries(1, 4), pendingEntries(2)...), nil, days, true, now))
	finish(t, s, access)
	known := readUntil(t, s, account)
	require.Equal(t, civil.On(now)-1, known)

	nothing := func(note banks.Page, sent []banks.Entry, pending bool) {
		t.Helper()
		now = now.Add(24 * time.Hour)
		r := again(t, s, access, account)
		r.Note(&note)
		require.NoError(t, r.PutWindow(t.Context(), sent, nil, note.Covered, pending, now))
		y := finish(t, s, access)
		require.Equal(t, rules.Completed, y.Status)
		require.Equal(t, known, readUntil(t, s, account))
	}
	for range 3 {
		nothing(banks.Page{Withheld: banks.NoList}, nil, false)
	}
	nothing(banks.Page{Withheld: banks.NoList, Covered: days}, nil, false) // one page of several was no list
	booked, pending, missed := there(t, s, account)
	require.Equal(t, [3]int{4, 2, 0}, [3]int{booked, pending, missed})

	changed := entries(4, 2) // one is changed, one is new
	changed[0].Remittance = []string{"another text"}
	nothing(banks.Page{Withheld: banks.NoList}, changed, false)
	booked, pending, missed = there(t, s, account)
	require.Equal(t, [3]int{5, 2, 0}, [3]int{booked, pending, missed})
	var purpose string
	require.NoError(t, s.DB.Raw(`SELECT purpose FROM transactions WHERE bank_transaction_id = 'booking 4'`).Scan(&purpose).Error)
	require.Equal(t, "another text", purpose)

	nothing(banks.Page{Withheld: banks.NoList}, nil, true)
	booked, pending, missed = there(t, s, account)
	require.Equal(t, [3]int{5, 0, 0}, [3]int{booked, pending, missed}, "the pending ones were all that it covered")

	for range 2 { // an empty list: more than half is doubted, so all but one are sent
		now = now.Add(24 * time.Hour)
		require.NoError(t, again(t, s, access, account).PutWindow(t.Context(), entries(1, 4), nil, banks.Window{From: days.From, To: civil.On(now)}, true, now))
		finish(t, s, access)
	}
	booked, _, _ = there(t, s, account)
	require.Equal(t, 4, booked)
	require.Equal(t, civil.On(now)-1, readUntil(t, s, account))
}

// What was left out is counted with the synchronization and the account, over all pages of a first reading and of a later
// one, and forgotten with the next whole answer.
func TestShortfallsAreStored(t *testing.T) {
	t.Parallel()
	s := open(t)
	now := time.Date(2026, 2, 3, 9, 0, 0, 0, time.UTC)
	days := banks.Window{From: civil.Day(2026, 1, 1), To: civil.On(now)}
	session, account := listed(t, s)
	access := session.Access.ID
	requireShortfall := func(sync uuid.UUID, unreadable int, withheld string) {
		t.Helper()
		for _, query := range []string{`SELECT coalesce(withheld, ''), unreadable FROM synchronization_accounts WHERE sync_id = @sync AND account_id = @account`,
			`SELECT coalesce(withheld, ''), unreadable FROM accounts WHERE id = @account`} {
			var why string
			var n int
			require.NoError(t, s.DB.Raw(query, map[string]any{"sync": sync, "account": account}).Row().Scan(&why, &n))
			require.Equal(t, withheld, why)
			require.Equal(t, unreadable, n)
		}
	}
	first := banks.Page{Entries: entries(1, 2), Next: "2", Withheld: banks.Partial, Unreadable: banks.Unreadable{Count: 2, First: "entry 1: value date"}}
	r, err := s.OpenReading(t.Context(), session.Sync.ID, account)
	require.NoError(t, err)
	require.NoError(t, r.PutPage(t.Context(), &first, now))
	r, err = s.OpenReading(t.Context(), session.Sync.ID, account) // resumed
	require.NoError(t, err)
	require.NoError(t, r.PutPage(t.Context(), &banks.Page{Entries: entries(3, 1), Covered: days, Unreadable: banks.Unreadable{Count: 1}}, now))
	requireShortfall(session.Sync.ID, 3, "PARTIAL")
	require.False(t, readUntil(t, s, account).IsZero(), "the booked ones were all there")
	finish(t, s, access)

	r = again(t, s, access, account)
	r.Note(&banks.Page{Withheld: banks.Partial, Unreadable: banks.Unreadable{Count: 4}})
	r.Note(&banks.Page{Withheld: banks.NoList, Unreadable: banks.Unreadable{Count: 1}})
	r.Note(&banks.Page{Withheld: banks.Partial})
	require.NoError(t, r.PutWindow(t.Context(), entries(1, 3), nil, days, true, now))
	requireShortfall(finish(t, s, access).ID, 5, "NO_LIST")

	require.NoError(t, again(t, s, access, account).PutWindow(t.Context(), entries(1, 3), nil, days, true, now))
	requireShortfall(finish(t, s, access).ID, 0, "")
}

// An account whose transactions the bank does not offer is stored with its balance, is no work, and fails nothing; where
// all others fail, the synchronization does.
func TestUnreadAccountsAreNoWork(t *testing.T) {
	t.Parallel()
	s := open(t)
	a := access(t, s)
	offered := []banks.Account{
		{ResourceID: "1", IBAN: "DE67900900424711951500", Currency: "EUR", Type: banks.Giro},
		{ResourceID: "2", Number: "5232********1234", Currency: "EUR", Type: banks.CreditCard, Unread: banks.UnreadNotOffered,
			Balances: []banks.Balance{{Type: "closingBooked", Amount: decimal.New(-1250, -2), Currency: "EUR", Date: civil.Day(2026, 3, 2)}}},
	}
	for _, failure := range []*rules.SyncError{nil, {Code: banks.CodeBankCannot}} {
		id, err := queue(s, a.ID)
		require.NoError(t, err)
		session, err := s.OpenSession(t.Context(), id)
		require.NoError(t, err)
		var work []models.SyncAccount
		require.NoError(t, s.Transact(t.Context(), func(tx *gorm.DB) (err error) {
			work, err = session.PutAccounts(tx, offered)
			return err
		}))
		require.Len(t, work, 2)
		require.Equal(t, rules.AccountPending, work[0].Status)
		require.Equal(t, rules.AccountCompleted, work[1].Status)
		require.Equal(t, banks.UnreadNotOffered, *work[1].Unread)
		card, err := s.Account(t.Context(), work[1].AccountID)
		require.NoError(t, err)
		require.Equal(t, banks.UnreadNotOffered, *card.Unread)
		require.NotNil(t, card.SucceededAt)
		require.Equal(t, "-12.5", shownBalance(t, s.DB, card.ID))
		require.NoError(t, models.EndAccount(s.DB, id, work[0].AccountID, failure))
		y, err := s.End(t.Context(), id, 0)
		require.NoError(t, err)
		if failure == nil {
			require.Equal(t, rules.Completed, y.Status)
			require.Equal(t, 2, y.AccountsDone)
		} else {
			require.Equal(t, rules.Failed, y.Status)
			require.Equal(t, failure.Code, y.Error.Code)
		}
	}
	offered[1].Unread = "" // the bank offers them now
	id, err := queue(s, a.ID)
	require.NoError(t, err)
	session, err := s.OpenSession(t.Context(), id)
	require.NoError(t, err)
	work, err := session.PutAccounts(s.DB, offered)
	require.NoError(t, err)
	require.Equal(t, rules.AccountPending, work[1].Status)
	require.Nil(t, work[1].Unread)
}
