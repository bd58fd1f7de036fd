package models_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/civil"
	"github.com/kontoflow/kontoflow/reconcile"
)

// What an older normalizer stored is brought up to date with the next reading: it is shown as today's normalizer reads it, it is
// not doubled, and its facts are made anew once, also where nothing that is shown changes.
func TestOlderNormalizer(t *testing.T) {
	t.Parallel()
	s := open(t)
	now := time.Date(2026, 2, 3, 9, 0, 0, 0, time.UTC)
	days := banks.Window{From: civil.Day(2026, 1, 1), To: civil.On(now)}
	session, account := listed(t, s)
	access := session.Access.ID
	sent := func() []banks.Entry {
		all := entries(1, 3)
		all[0].Remittance = []string{"Abo Januar Mandatsref.: M-7 Gläubiger-ID: DE98ZZZ09999999999"}
		return all
	}
	r, err := s.OpenReading(t.Context(), session.Sync.ID, account)
	require.NoError(t, err)
	require.NoError(t, r.PutPage(t.Context(), &banks.Page{Entries: sent(), Covered: days}, now))
	finish(t, s, access)

	old := reconcile.NormalizerVersion - 1 // which knew no labels
	require.NoError(t, s.DB.Exec(`UPDATE transactions SET facts = set_byte(facts, 0, ?) WHERE account_id = ?`, old, account).Error)
	require.NoError(t, s.DB.Exec(`UPDATE transactions SET mandate_reference = NULL, creditor_id = NULL,
		purpose = 'Abo Januar Mandatsref.: M-7 Gläubiger-ID: DE98ZZZ09999999999' WHERE account_id = ? AND mandate_reference IS NOT NULL`, account).Error)

	now = now.Add(24 * time.Hour)
	require.NoError(t, again(t, s, access, account).PutWindow(t.Context(), sent(), nil, days, true, now))
	sync := finish(t, s, access)
	var added, modified, removed, stale int
	require.NoError(t, s.DB.Raw(`SELECT transactions_added, transactions_modified, transactions_removed FROM synchronization_accounts WHERE sync_id = ?`,
		sync.ID).Row().Scan(&added, &modified, &removed))
	require.Equal(t, [3]int{0, 1, 0}, [3]int{added, modified, removed})
	var purpose, mandate string
	require.NoError(t, s.DB.Raw(`SELECT purpose, mandate_reference FROM transactions WHERE account_id = ? AND creditor_id IS NOT NULL`, account).Row().Scan(&purpose, &mandate))
	require.Equal(t, "Abo Januar", purpose)
	require.Equal(t, "M-7", mandate)
	require.NoError(t, s.DB.Raw(`SELECT count(*) FROM transactions WHERE account_id = ? AND get_byte(facts, 0) <> ?`, account, reconcile.NormalizerVersion).Row().Scan(&stale))
	require.Zero(t, stale)
}

// A first reading that a worker of an older version began knows what that one stored, and stores it once.
func TestFirstReadingOfAnOlderNormalizer(t *testing.T) {
	t.Parallel()
	s := open(t)
	session, account := listed(t, s)
	r, err := s.OpenReading(t.Context(), session.Sync.ID, account)
	require.NoError(t, err)
	require.NoError(t, r.PutPage(t.Context(), &banks.Page{Entries: entries(1, 10), Next: "more"}, time.Now()))
	require.NoError(t, s.DB.Exec(`UPDATE transactions SET facts = set_byte(facts, 0, ?) WHERE account_id = ?`, reconcile.NormalizerVersion-1, account).Error)
	r, err = s.OpenReading(t.Context(), session.Sync.ID, account)
	require.NoError(t, err)
	require.NoError(t, r.PutPage(t.Context(), &banks.Page{Entries: entries(6, 10)}, time.Now()))
	require.Equal(t, 15, stored(t, s, account))
}
