package models_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/rules"
)

var plenty = models.AutoLimits{PerBank: 1000, Whole: 1000}

// due makes n accesses of the bank, over the method, due; the first of them for the longest time.
func due(t *testing.T, s *models.Store, like models.Access, n int) (ids []uuid.UUID) {
	t.Helper()
	for i := range n {
		a := models.Access{ID: models.NewID(), UserID: like.UserID, BankID: like.BankID, AccessMethodID: like.AccessMethodID,
			Status: rules.AccessActive, CreatedAt: s.Now(), NextSyncAt: s.Now().Add(-time.Hour + time.Duration(i)*time.Millisecond)}
		require.NoError(t, s.DB.Create(&a).Error)
		until := s.Now().AddDate(0, 0, 90)
		require.NoError(t, s.DB.Create(&models.Consent{ID: models.NewID(), AccessID: a.ID, Status: "VALID", ValidUntil: &until, CreatedAt: s.Now()}).Error)
		ids = append(ids, a.ID)
	}
	return ids
}

func standing(t *testing.T, s *models.Store, access uuid.UUID) models.AutoSync {
	t.Helper()
	all, err := models.AutoSyncs(s.DB, access)
	require.NoError(t, err)
	return all[access]
}

// unattended stores a synchronization without its customer that took a minute, until end.
func unattended(t *testing.T, s *models.Store, access uuid.UUID, end time.Time) {
	t.Helper()
	y := models.Synchronization{ID: models.NewID(), AccessID: access, Status: rules.Queued, Trigger: rules.Manual,
		Scope: models.Strings{rules.ScopeTransactions}, Unattended: true, CreatedAt: end.Add(-time.Minute)}
	require.NoError(t, s.DB.Create(&y).Error)
	require.NoError(t, s.DB.Exec(`UPDATE synchronizations SET status = 'RUNNING', started_at = created_at WHERE id = ?`, y.ID).Error)
	require.NoError(t, s.DB.Exec(`UPDATE synchronizations SET status = 'COMPLETED', ended_at = ? WHERE id = ?`, end, y.ID).Error)
}

// TestNextSyncIsWhenItRuns: what the API tells as the next time is when StartDue starts it, and not before; also where
// what the bank lets be read is used up by then.
func TestNextSyncIsWhenItRuns(t *testing.T) {
	t.Parallel()
	s := open(t)
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	s.DB.NowFunc = func() time.Time { return now }
	a := due(t, s, access(t, s), 1)[0]
	require.Equal(t, now, standing(t, s, a).NextSyncAt.UTC(), "it is overdue: now")

	for i := range rules.DailyReads {
		unattended(t, s, a, now.Add(time.Duration(i-6)*time.Hour))
	}
	next := standing(t, s, a).NextSyncAt
	require.Zero(t, standing(t, s, a).Remaining)
	require.Equal(t, now.Add(18*time.Hour), next.UTC(), "a day after the first of four")
	at := func(moment time.Time) int {
		now = moment
		found, err := s.StartDue(t.Context(), plenty)
		require.NoError(t, err)
		return len(found.Started)
	}
	require.Zero(t, at(now), "nothing is left")
	require.Zero(t, at(next.Add(-time.Microsecond)))
	require.Equal(t, next, standing(t, s, a).NextSyncAt, "it stays what it was")
	require.Equal(t, 1, at(next))
}

// reasons are those for which automatic synchronization is off, in the order in which they are told, and what makes each.
var reasons = []struct {
	reason rules.Reason
	update string
}{
	{rules.UpgradePending, `WITH by AS (
			INSERT INTO access_methods (id, bank_id, position, type, in_psd2_scope, configurable_consent, requires_account_identifiers, protocol, url, connection)
			SELECT gen_random_uuid(), bank_id, 1, type, true, true, false, protocol, url, connection FROM access_methods WHERE id = @method RETURNING id)
		UPDATE access_methods SET superseded_by = by.id, superseded_from = DATE '2026-01-01' FROM by WHERE access_methods.id = @method`},
	{rules.Disabled, `UPDATE accounts SET auto_sync = false WHERE access_id = @access`},
	{rules.WrongCredentials, `UPDATE accesses SET status = 'NEEDS_AUTH', stopped_by = 'WRONG_CREDENTIALS' WHERE id = @access`},
	{rules.ConsentExpired, `UPDATE consents SET status = 'EXPIRED', ended_at = @now WHERE access_id = @access`},
	{rules.NoStoredSecrets, `UPDATE access_methods SET credentials = '[{"key": "pin", "label": {"de": "PIN"}, "is_secret": true, "is_optional": false}]'
		WHERE id = @method`},
	{rules.UserActionRequired, `UPDATE accesses SET status = 'NEEDS_AUTH', stopped_by = 'USER_ACTION_REQUIRED' WHERE id = @access`},
}

// TestReasons: whatever comes together, the reason is what the client has to do something about first.
func TestReasons(t *testing.T) {
	t.Parallel()
	s := open(t)
	for all := range 1 << len(reasons) {
		like := access(t, s)
		a := due(t, s, like, 1)[0]
		account := models.Account{ID: models.NewID(), UserID: like.UserID, AccessID: a, BankID: like.BankID, Identity: "x", ResourceID: "x",
			Type: "Giro account", AutoSync: true, Supported: true, CreatedAt: s.Now()}
		require.NoError(t, s.DB.Create(&account).Error)
		var together []rules.Reason
		for i, r := range slices.Backward(reasons) {
			if all&(1<<i) != 0 {
				require.NoError(t, s.DB.Exec(r.update, map[string]any{"access": a, "method": like.AccessMethodID, "now": s.Now()}).Error)
				together = append(together, r.reason)
			}
		}
		first := rules.Reason("")
		if len(together) > 0 {
			first = together[len(together)-1]
		}
		require.Equal(t, first, standing(t, s, a).Reason, "%s", together)
	}
}

// TestBanksAtTheirLimitHideNobody: however many of them have something due, and for however long.
func TestBanksAtTheirLimitHideNobody(t *testing.T) {
	t.Parallel()
	s := open(t)
	like := access(t, s)
	// 250 banks, each with one automatic synchronization that runs and one access that is due for an hour.
	require.NoError(t, s.DB.Exec(`
		WITH b AS (
			INSERT INTO banks (id, kind, name, country, supported) SELECT gen_random_uuid(), 'BANK', 'Bank', 'DE', true
			FROM generate_series(1, 250) RETURNING id
		), a AS (
			INSERT INTO accesses (id, user_id, bank_id, access_method_id, status, next_sync_at)
			SELECT gen_random_uuid(), @user, b.id, @method, 'ACTIVE', CAST(@now AS timestamptz) + (n || ' days')::interval
			FROM b CROSS JOIN generate_series(-1, 1, 2) n RETURNING id, next_sync_at
		)
		INSERT INTO synchronizations (id, access_id, trigger, scope)
		SELECT gen_random_uuid(), id, 'AUTO', '{TRANSACTIONS}' FROM a WHERE next_sync_at > @now`,
		map[string]any{"user": like.UserID, "method": like.AccessMethodID, "now": s.Now()}).Error)
	free := due(t, s, like, 3)

	found, err := s.StartDue(t.Context(), models.AutoLimits{PerBank: 1, Whole: 252})
	require.NoError(t, err)
	require.True(t, found.Waiting)
	require.Len(t, found.Started, 1, "one of its bank's three")
	require.Equal(t, free[0], found.Started[0].AccessID)

	found, err = s.StartDue(t.Context(), models.AutoLimits{PerBank: 3, Whole: 252})
	require.NoError(t, err)
	require.True(t, found.Waiting)
	require.Equal(t, 1, found.Examined, "251 of 252 run")
}

// TestBanksShareEvenly: of banks with much and for long due, none keeps another one waiting.
func TestBanksShareEvenly(t *testing.T) {
	t.Parallel()
	s := open(t)
	busy, quiet := access(t, s), access(t, s)
	due(t, s, busy, 30)
	late := due(t, s, quiet, 2)
	require.NoError(t, s.DB.Exec(`UPDATE accesses SET next_sync_at = next_sync_at - interval '1 day' WHERE bank_id = ?`, busy.BankID).Error)
	limits := models.AutoLimits{PerBank: 10, Whole: 6}
	found, err := s.StartDue(t.Context(), limits)
	require.NoError(t, err)
	var banks []uuid.UUID
	for _, y := range found.Started {
		banks = append(banks, y.BankID)
	}
	require.ElementsMatch(t, []uuid.UUID{busy.BankID, busy.BankID, busy.BankID, busy.BankID, quiet.BankID, quiet.BankID}, banks)

	// With all of the limit used by the busy bank, what becomes free goes to the other one.
	require.NoError(t, s.DB.Exec(`UPDATE accesses SET next_sync_at = ? WHERE id = ?`, s.Now(), late[0]).Error)
	for _, y := range found.Started {
		if y.BankID == quiet.BankID {
			_, err := s.End(t.Context(), y.ID, 30007)
			require.NoError(t, err)
		}
	}
	limits.Whole = 5
	found, err = s.StartDue(t.Context(), limits)
	require.NoError(t, err)
	require.Len(t, found.Started, 1)
	require.Equal(t, late[0], found.Started[0].AccessID)
}

// TestStartsOfOneCall: those that cannot be started do not count, and what is left stays due.
func TestStartsOfOneCall(t *testing.T) {
	t.Parallel()
	s := open(t)
	like := access(t, s)
	ids := due(t, s, like, 9)
	require.NoError(t, s.DB.Exec(`UPDATE accesses SET stopped_by = 'WRONG_CREDENTIALS' WHERE id IN ?`, ids[:2]).Error)
	limits := plenty
	limits.Starts = 3
	for _, want := range []struct{ examined, started int }{{5, 3}, {3, 3}, {1, 1}, {0, 0}} {
		found, err := s.StartDue(t.Context(), limits)
		require.NoError(t, err)
		require.Equal(t, want.examined, found.Examined)
		require.Len(t, found.Started, want.started)
		require.Equal(t, want.started == 3, found.Waiting)
		for i, y := range found.Started {
			require.Equal(t, ids[2+i], y.AccessID, "the longest due first")
		}
		ids = append(ids[:2:2], ids[2+want.started:]...)
	}
}

// TestWorkOfOneCall: as few accesses as are to be started are examined and held, however many are due; those that are off
// among them do not keep the others from being reached.
func TestWorkOfOneCall(t *testing.T) {
	t.Parallel()
	s := open(t)
	ids := due(t, s, access(t, s), 50)
	require.NoError(t, s.DB.Exec(`UPDATE accesses SET stopped_by = 'WRONG_CREDENTIALS' WHERE id IN ?`, ids[:40]).Error)
	limits := plenty
	limits.Starts = 2
	for started := 0; started < 10; {
		found, err := s.StartDue(t.Context(), limits)
		require.NoError(t, err)
		require.Positive(t, found.Examined)
		require.LessOrEqual(t, found.Examined, 4*limits.Starts)
		started += len(found.Started)
		require.Equal(t, started < 10, found.Waiting)
	}
}

// TestQueuesHideNoLostStart: a manual synchronization whose start was lost is found behind any number of automatic ones
// that wait for a worker.
func TestQueuesHideNoLostStart(t *testing.T) {
	t.Parallel()
	s := open(t)
	like := access(t, s)
	ids := due(t, s, like, 20)
	_, err := s.StartDue(t.Context(), plenty)
	require.NoError(t, err)
	manual, err := queue(s, like.ID)
	require.NoError(t, err)
	lost, err := s.LostStarts(t.Context(), time.Now().Add(time.Minute), len(ids))
	require.NoError(t, err)
	require.Len(t, lost, len(ids))
	require.Equal(t, manual, lost[0].ID)
}

// TestLongUnderWay: page by page, every one that is under way for long is listed once, also those that began at the same
// moment.
func TestLongUnderWay(t *testing.T) {
	t.Parallel()
	s := open(t)
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	s.DB.NowFunc = func() time.Time { return now }
	like := access(t, s)
	begin := func(n int) (ids []uuid.UUID) {
		due(t, s, like, n)
		found, err := s.StartDue(t.Context(), plenty)
		require.NoError(t, err)
		for _, y := range found.Started {
			ids = append(ids, y.ID)
		}
		require.Len(t, ids, n)
		return ids
	}
	long := begin(7)
	now = now.Add(time.Minute)
	long = append(long, begin(2)...)
	require.NoError(t, models.Transition(s.DB, long[8], rules.Running, nil))
	_, err := s.End(t.Context(), long[3], 30007)
	require.NoError(t, err)
	long = append(long[:3:3], long[4:]...)
	now = now.Add(time.Minute)
	begin(2)

	var listed []models.UnderWay
	for after := (models.UnderWay{}); ; after = listed[len(listed)-1] {
		page, err := s.LongUnderWay(t.Context(), now, after, 3)
		require.NoError(t, err)
		if len(page) == 0 {
			break
		}
		require.LessOrEqual(t, len(page), 3)
		listed = append(listed, page...)
	}
	var ids []uuid.UUID
	for _, y := range listed {
		require.Equal(t, like.BankID, y.BankID)
		require.Equal(t, rules.Auto, y.Trigger)
		ids = append(ids, y.ID)
	}
	require.ElementsMatch(t, long, ids)
	require.Equal(t, long[7], ids[7], "the oldest first")
	require.Equal(t, rules.Running, listed[7].Status)
}

// TestLockedAccessesAreWaitedFor: what somebody else works on when it is due is not left until the Schedule looks again.
func TestLockedAccessesAreWaitedFor(t *testing.T) {
	t.Parallel()
	s := open(t)
	ids := due(t, s, access(t, s), 2)
	err := s.Transact(t.Context(), func(tx *gorm.DB) error {
		if err := tx.Exec(`SELECT FROM accesses WHERE id = ? FOR NO KEY UPDATE`, ids[0]).Error; err != nil {
			return err
		}
		found, err := s.StartDue(t.Context(), plenty)
		require.NoError(t, err)
		require.Len(t, found.Started, 1)
		require.Equal(t, ids[1], found.Started[0].AccessID)
		require.True(t, found.Waiting)
		return nil
	})
	require.NoError(t, err)
	found, err := s.StartDue(t.Context(), plenty)
	require.NoError(t, err)
	require.Len(t, found.Started, 1)
	require.Equal(t, ids[0], found.Started[0].AccessID)
	require.False(t, found.Waiting)
}

// TestManySweepsAtOnce: with clients that start and delete at the same moments, every due access has one synchronization,
// and nobody waits for another in circles.
func TestManySweepsAtOnce(t *testing.T) {
	t.Parallel()
	s := open(t)
	ids := due(t, s, access(t, s), 60)
	var group sync.WaitGroup
	failed := make(chan error, 100)
	do := func(f func(context.Context) error) {
		group.Go(func() {
			if err := f(t.Context()); err != nil {
				failed <- err
			}
		})
	}
	for range 4 {
		do(func(ctx context.Context) error {
			for {
				found, err := s.StartDue(ctx, plenty)
				if err != nil || found.Examined == 0 && !found.Waiting {
					return err
				}
			}
		})
	}
	for i, id := range ids {
		switch i % 3 {
		case 0: // as the API does
			do(func(ctx context.Context) error {
				return s.Transact(ctx, func(tx *gorm.DB) error {
					if err := tx.Exec(`SELECT FROM accesses WHERE id = ? FOR SHARE`, id).Error; err != nil {
						return err
					}
					y := models.Synchronization{ID: models.NewID(), AccessID: id, Status: rules.Queued, Trigger: rules.Manual,
						Scope: models.Strings{rules.ScopeTransactions}, CreatedAt: s.Now()}
					if models.CreateSynchronization(tx.SavePoint("before"), &y) != nil { // the sweep was faster
						return tx.RollbackTo("before").Error
					}
					return nil
				})
			})
		case 1:
			do(func(ctx context.Context) error {
				return s.Transact(ctx, func(tx *gorm.DB) error {
					_, err := s.HideAccess(tx, id)
					return err
				})
			})
		}
	}
	group.Wait()
	close(failed)
	for err := range failed {
		require.NoError(t, err)
	}
	var counts []int
	require.NoError(t, s.DB.Raw(`SELECT count(y.id) FROM accesses a LEFT JOIN synchronizations y ON y.access_id = a.id
		WHERE a.id IN ? AND a.deleted_at IS NULL GROUP BY a.id`, ids).Scan(&counts).Error)
	require.Len(t, counts, 40)
	for _, n := range counts {
		require.Equal(t, 1, n)
	}
}

// TestNothingLeftToRead: where the client deleted every account, there is nothing to read.
func TestNothingLeftToRead(t *testing.T) {
	t.Parallel()
	s := open(t)
	like := access(t, s)
	a := due(t, s, like, 1)[0]
	account := models.Account{ID: models.NewID(), UserID: like.UserID, AccessID: a, BankID: like.BankID, Identity: "x", ResourceID: "x",
		Type: "Giro account", AutoSync: true, Supported: true, CreatedAt: s.Now()}
	require.NoError(t, s.DB.Create(&account).Error)
	require.Empty(t, standing(t, s, a).Reason)
	require.NoError(t, s.DB.Model(&account).Update("deleted_at", s.Now()).Error)
	require.Equal(t, rules.Disabled, standing(t, s, a).Reason)
}

// TestAccountsThatFailAlone: an automatic synchronization of which one account failed for a passing reason comes again as one
// that failed as a whole does. What the customer has to mend, or nobody can, waits for the next day.
func TestAccountsThatFailAlone(t *testing.T) {
	t.Parallel()
	s := open(t)
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	s.DB.NowFunc = func() time.Time { return now }
	like := access(t, s)
	a := due(t, s, like, 1)[0]
	var accounts []uuid.UUID
	for i := range 3 {
		account := models.Account{ID: models.NewID(), UserID: like.UserID, AccessID: a, BankID: like.BankID, Identity: fmt.Sprint(i), ResourceID: "x",
			Type: "Giro account", AutoSync: true, Supported: true, CreatedAt: now}
		require.NoError(t, s.DB.Create(&account).Error)
		accounts = append(accounts, account.ID)
	}
	// read ends a synchronization of which the second account failed, and answers how long it takes to the next one.
	read := func(sync uuid.UUID, failure *rules.SyncError) time.Duration {
		t.Helper()
		require.NoError(t, models.Transition(s.DB, sync, rules.Running, nil))
		for i, account := range accounts {
			require.NoError(t, s.DB.Create(&models.SyncAccount{SyncID: sync, AccountID: account, Position: i, Status: "PENDING"}).Error)
			if i != 1 {
				require.NoError(t, models.EndAccount(s.DB, sync, account, nil))
			} else if failure == nil || failure.Code != 0 {
				require.NoError(t, models.EndAccount(s.DB, sync, account, failure))
			}
		}
		y, err := s.End(t.Context(), sync, 0)
		require.NoError(t, err)
		require.Equal(t, rules.Completed, y.Status)
		return standing(t, s, a).NextSyncAt.Sub(now)
	}
	automatic := func() uuid.UUID {
		t.Helper()
		now = standing(t, s, a).NextSyncAt.UTC()
		found, err := s.StartDue(t.Context(), plenty)
		require.NoError(t, err)
		require.Len(t, found.Started, 1)
		return found.Started[0].ID
	}
	const daily = 24 * time.Hour
	require.LessOrEqual(t, read(automatic(), nil), 30*time.Hour)
	for _, passing := range []int{30006, 20003, 20004, 0} { // 0: it never came to an end
		require.Equal(t, daily, read(automatic(), nil))
		require.Equal(t, time.Hour, read(automatic(), &rules.SyncError{Code: passing}), "%d", passing)
		require.Equal(t, 6*time.Hour, read(automatic(), &rules.SyncError{Code: passing}), "%d", passing)
		require.Equal(t, 17*time.Hour, read(automatic(), &rules.SyncError{Code: passing}), "%d", passing)
	}
	require.Equal(t, daily, read(automatic(), nil))
	for _, staying := range []int{10005, 10010, 10011, 10014, 20000, 20001, 30000} {
		require.Equal(t, daily, read(automatic(), &rules.SyncError{Code: staying}), "%d", staying)
	}
	limited := &rules.SyncError{Code: 30006, Data: map[string]any{"retry_at": models.WireTime(now.Add(daily + 4*time.Hour))}}
	require.Equal(t, 4*time.Hour, read(automatic(), limited), "when the bank says")

	manual, err := queue(s, a)
	require.NoError(t, err)
	require.Greater(t, read(manual, &rules.SyncError{Code: 30006}), 6*time.Hour, "whoever started it decides")
}

// TestWarnings: owners hear once of a consent that ends within a week; not of one that the bank gave for one time, by whose
// end nothing is lost.
func TestWarnings(t *testing.T) {
	t.Parallel()
	s := open(t)
	like := access(t, s)
	observe(t, s, like.UserID, models.ObserveAccesses)
	ids := due(t, s, like, 4)
	end := s.Now().AddDate(0, 0, 3)
	require.NoError(t, s.DB.Exec(`UPDATE consents SET valid_until = ? WHERE access_id IN ?`, end, ids[:3]).Error)
	for id, consent := range map[uuid.UUID]models.ConsentRequest{ids[1]: {Recurring: true, Period: 90}, ids[2]: {Recurring: false}} {
		require.NoError(t, s.DB.Model(&models.Access{ID: id}).Select("consent").Updates(&models.Access{Consent: &consent}).Error)
	}
	for _, want := range []int{2, 0} {
		warned, err := s.WarnOfConsents(t.Context(), 10)
		require.NoError(t, err)
		require.Equal(t, want, warned)
	}
	warning := func(access uuid.UUID) map[string]any {
		return map[string]any{"access_id": access.String(), "event": "CONSENT_EXPIRING", "status": "ACTIVE", "expires_at": models.WireTime(end)}
	}
	require.ElementsMatch(t, []map[string]any{warning(ids[0]), warning(ids[1])}, announced(t, s, models.ObserveAccesses))
}

// TestConsentsOfRunningSynchronizations: whoever may be renewing a consent at this moment keeps it until they are done.
func TestConsentsOfRunningSynchronizations(t *testing.T) {
	t.Parallel()
	s := open(t)
	a := due(t, s, access(t, s), 1)[0]
	require.NoError(t, s.DB.Exec(`UPDATE consents SET valid_until = ? WHERE access_id = ?`, s.Now().Add(-time.Second), a).Error)
	running, err := queue(s, a)
	require.NoError(t, err)
	expired, err := s.ExpireConsents(t.Context(), 10)
	require.NoError(t, err)
	require.Zero(t, expired)
	_, err = models.ValidConsent(s.DB, a)
	require.NoError(t, err)

	_, err = s.End(t.Context(), running, 30007)
	require.NoError(t, err)
	expired, err = s.ExpireConsents(t.Context(), 10)
	require.NoError(t, err)
	require.Equal(t, 1, expired)
	var status string
	require.NoError(t, s.DB.Raw(`SELECT status FROM accesses WHERE id = ?`, a).Scan(&status).Error)
	require.Equal(t, fmt.Sprint(rules.AccessNeedsAuth), status)
}

// TestLoginIsNeeded: without the login nothing goes to the bank by itself, though the PIN is there.
func TestLoginIsNeeded(t *testing.T) {
	t.Parallel()
	s := open(t)
	like := access(t, s)
	a := due(t, s, like, 1)[0]
	require.NoError(t, s.DB.Exec(`UPDATE access_methods SET credentials = '[{"key": "login", "is_secret": false, "is_optional": false},
		{"key": "corporate_id", "is_secret": false, "is_optional": true}, {"key": "pin", "is_secret": true, "is_optional": false}]' WHERE id = ?`, like.AccessMethodID).Error)
	fields := []models.CredentialField{{Key: "login"}, {Key: "pin", IsSecret: true}}
	require.NoError(t, s.PutCredentials(s.DB, a, nil, map[string]string{"login": "jane", "pin": "1234"}, fields, true))
	require.Empty(t, standing(t, s, a).Reason)
	require.NoError(t, models.ForgetSecrets(s.DB, a, "login"))
	require.Equal(t, rules.NoStoredSecrets, standing(t, s, a).Reason)
	found, err := s.StartDue(t.Context(), plenty)
	require.NoError(t, err)
	require.Empty(t, found.Started)
}
