package models_test

import (
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/civil"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/rules"
)

// superseded stores an access with accounts of the types given, a running synchronization of it, and another method of
// its bank that takes over Giro accounts.
func superseded(t *testing.T, s *models.Store, ends bool, types ...banks.AccountType) (a models.Access, running uuid.UUID, by models.AccessMethod) {
	t.Helper()
	a = access(t, s)
	by = models.AccessMethod{ID: models.NewID(), BankID: a.BankID, Type: "API", SupportedAccountTypes: models.Strings{string(banks.Giro)},
		Credentials: []models.CredentialField{{Key: "login"}, {Key: "pin", IsSecret: true}}}
	require.NoError(t, s.SealConnection(&by, banks.Connection{Protocol: "XS2A", URL: "https://new.bank.example"}))
	require.NoError(t, s.DB.Create(&by).Error)
	fields := []models.CredentialField{{Key: "login"}, {Key: "number"}, {Key: "pin", IsSecret: true}}
	require.NoError(t, s.PutCredentials(s.DB, a.ID, nil, map[string]string{"login": "erika", "number": "7", "pin": "secret"}, fields, true))
	for i, kind := range types {
		account := models.Account{ID: models.NewID(), UserID: a.UserID, AccessID: a.ID, BankID: a.BankID, Identity: uuid.NewString(), Type: kind,
			Supported: true, Position: i, CreatedAt: time.Now()}
		require.NoError(t, s.DB.Create(&account).Error)
	}
	running, err := queue(s, a.ID)
	require.NoError(t, err)
	session, err := s.OpenSession(t.Context(), running)
	require.NoError(t, err)
	session.Conversation.Lasting = json.RawMessage(`{"consent":"of the old method"}`)
	session.Conversation.Granted = &banks.Grant{}
	require.NoError(t, s.Transact(t.Context(), session.Save))
	require.NoError(t, models.Supersede(s.DB, a.AccessMethodID, by.ID, civil.On(time.Now().AddDate(0, 0, -2)), !ends))
	return a, running, by
}

// Of two synchronizations of an access that are started at once, one runs. Its upgrade may run twice, also at the same
// time: it is done once, and all attempts answer the same.
func TestUpgradeIsDoneOnce(t *testing.T) {
	t.Parallel()
	s := open(t)
	a, running, by := superseded(t, s, false, banks.Giro, banks.Savings)
	outcomes := make([]*models.Upgrade, 8)
	var all sync.WaitGroup
	for i := range outcomes {
		all.Go(func() {
			var err error
			if outcomes[i], err = s.Upgrade(t.Context(), running); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	for _, o := range outcomes {
		require.Equal(t, outcomes[0], o)
	}
	require.Equal(t, 40002, outcomes[0].Code)
	require.Equal(t, by.ID, outcomes[0].AccessMethodID)
	require.Len(t, outcomes[0].Created, 1)
	var accesses int64
	require.NoError(t, s.DB.Model(&models.Access{}).Where("user_id = ?", a.UserID).Count(&accesses).Error)
	require.EqualValues(t, 2, accesses)

	// Also when the synchronization has ended, and whatever it was told to end with.
	y, err := s.End(t.Context(), running, banks.CodeCancelled)
	require.NoError(t, err)
	require.Equal(t, 40002, y.Error.Code)
	again, err := s.Upgrade(t.Context(), running)
	require.NoError(t, err)
	require.Equal(t, outcomes[0], again)
}

// A transaction that breaks off at any of its writes leaves everything as it was.
func TestUpgradeIsWhollyBeforeOrAfter(t *testing.T) {
	t.Parallel()
	for _, table := range []string{"accesses", "accounts", "credentials", "revocations", "consents", "bank_sessions"} {
		t.Run(table, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			a, running, _ := superseded(t, s, true, banks.Giro, banks.Savings)
			before := everything(t, s)
			require.NoError(t, s.DB.Exec(`CREATE FUNCTION crash() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'crash'; END $$`).Error)
			require.NoError(t, s.DB.Exec(`CREATE TRIGGER crash AFTER INSERT OR UPDATE OR DELETE ON `+table+` FOR EACH STATEMENT EXECUTE FUNCTION crash()`).Error)
			_, err := s.Upgrade(t.Context(), running)
			require.Error(t, err)
			require.Equal(t, before, everything(t, s))
			pending, err := s.PendingUpgrades(t.Context(), a.ID)
			require.NoError(t, err)
			require.Len(t, pending, 1)

			require.NoError(t, s.DB.Exec(`DROP TRIGGER crash ON `+table).Error)
			done, err := s.Upgrade(t.Context(), running)
			require.NoError(t, err)
			require.Equal(t, 40003, done.Code)
			require.NotEqual(t, before, everything(t, s))
		})
	}
}

// everything is what the database holds of accesses.
func everything(t *testing.T, s *models.Store) map[string]string {
	t.Helper()
	all := make(map[string]string)
	for _, table := range []string{"accesses", "accounts", "credentials", "consents", "revocations", "bank_sessions", "synchronizations"} {
		var rows string
		require.NoError(t, s.DB.Raw(`SELECT coalesce(json_agg(r ORDER BY r::text), '[]')::text FROM `+table+` r`).Scan(&rows).Error)
		all[table] = rows
	}
	return all
}

func TestUpgradeDecides(t *testing.T) {
	t.Parallel()
	s := open(t)
	for name, way := range map[string]struct {
		types   []banks.AccountType
		ends    bool
		code    int // 0: no upgrade is pending
		created int
		logins  []string          // of the access afterwards
		left    bool              // the old consent is to be revoked
		moves   banks.AccountType // beside Giro accounts
		any     bool              // the new method does not say which types it reads
	}{
		"all are carried":        {types: []banks.AccountType{banks.Giro, banks.Giro}, code: 40001, logins: []string{"login"}, left: true},
		"all are, the old ends":  {types: []banks.AccountType{banks.Giro}, ends: true, code: 40001, logins: []string{"login"}, left: true},
		"none yet":               {code: 40001, logins: []string{"login"}, left: true},
		"some are":               {types: []banks.AccountType{banks.Giro, banks.Savings}, code: 40002, created: 1, logins: []string{"login", "number", "pin"}},
		"some are, the old ends": {types: []banks.AccountType{banks.Giro, banks.Savings}, ends: true, code: 40003, created: 1, left: true},
		"none is, the old ends":  {types: []banks.AccountType{banks.Savings}, ends: true, code: 40003, left: true},
		"none is, the old stays": {types: []banks.AccountType{banks.Savings}, logins: []string{"login", "number", "pin"}},
		// Of an account whose type the bank did not tell nobody knows: it stays as long as it is read, and then goes along.
		"one is unknown":                 {types: []banks.AccountType{banks.Giro, banks.Unknown}, code: 40002, created: 1, logins: []string{"login", "number", "pin"}},
		"one is unknown, the old ends":   {types: []banks.AccountType{banks.Giro, banks.Unknown}, ends: true, code: 40001, moves: banks.Unknown, logins: []string{"login"}, left: true},
		"it is unknown, the old stays":   {types: []banks.AccountType{banks.Unknown}, logins: []string{"login", "number", "pin"}},
		"it says no types: it reads all": {types: []banks.AccountType{banks.Giro, banks.Depot}, any: true, code: 40001, moves: banks.Depot, logins: []string{"login"}, left: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, running, by := superseded(t, s, way.ends, way.types...)
			if way.any {
				require.NoError(t, s.DB.Model(&by).Update("supported_account_types", models.Strings{}).Error)
			}
			pending, err := s.PendingUpgrades(t.Context(), a.ID)
			require.NoError(t, err)
			done, err := s.Upgrade(t.Context(), running)
			if way.code == 0 {
				require.Empty(t, pending)
				require.ErrorIs(t, err, models.ErrNothingPending)
			} else {
				require.NoError(t, err)
				require.Len(t, pending, 1)
				require.Equal(t, way.code, done.Code)
				require.Len(t, done.Created, way.created)
				require.Len(t, done.Accounts, len(way.types))
				for i, account := range done.Accounts {
					moves := way.types[i] == banks.Giro || way.types[i] == way.moves
					require.Equal(t, moves || !way.ends, account.Supported)
					require.Equal(t, moves, account.AccessMethodID == by.ID)
				}
				pending, err = s.PendingUpgrades(t.Context(), append(done.Created, a.ID)...)
				require.NoError(t, err)
				require.Empty(t, pending, "an upgrade leaves nothing to upgrade")
				for _, created := range done.Created {
					requireLogins(t, s, created, []string{"login"})
				}
			}
			requireLogins(t, s, a.ID, way.logins)

			owed, err := s.LostRevocations(t.Context(), time.Now().Add(time.Hour), 100)
			require.NoError(t, err)
			found := false
			for _, r := range owed {
				if r.AccessID != a.ID {
					continue
				}
				found = true
				attempt, err := s.AttemptRevocation(t.Context(), r.ID)
				require.NoError(t, err)
				require.Equal(t, "https://bank.example", attempt.Conversation.Connection.URL)
				require.JSONEq(t, `{"consent":"of the old method"}`, string(attempt.Conversation.Lasting))
				require.NoError(t, attempt.Settle(t.Context()))
			}
			require.Equal(t, way.left, found)
			_, err = models.ValidConsent(s.DB, a.ID)
			require.Equal(t, way.left, err != nil)
		})
	}
}

func requireLogins(t *testing.T, s *models.Store, access uuid.UUID, want []string) {
	t.Helper()
	stored, err := models.StoredCredentials(s.DB, access)
	require.NoError(t, err)
	keys := make([]string, 0, len(stored))
	for _, c := range stored {
		keys = append(keys, c.Key)
	}
	require.ElementsMatch(t, want, keys)
}

// An upgrade meets what clients do at that moment: all of it comes before or after, nothing waits for another in circles,
// and an access that is added belongs to a user who is there.
func TestUpgradeMeetsDeletions(t *testing.T) {
	t.Parallel()
	s := open(t)
	for n := range 30 {
		a, running, _ := superseded(t, s, n%2 == 0, banks.Giro, banks.Savings)
		var all sync.WaitGroup
		failed := make(chan error, 4)
		together := func(f func() error) { all.Go(func() { failed <- f() }) }
		together(func() error {
			_, err := s.Upgrade(t.Context(), running)
			if errors.Is(err, models.ErrNotFound) || errors.Is(err, models.ErrEdge) { // deleted, or cancelled
				return nil
			}
			return err
		})
		together(func() error {
			if n%3 == 0 {
				return s.RequestCancel(t.Context(), running)
			}
			_, err := s.End(t.Context(), running, banks.CodeCancelled)
			return err
		})
		together(func() error {
			return s.DB.Exec(`UPDATE accounts SET name = 'renamed', deleted_at = now() WHERE access_id = ? AND type = ?`, a.ID, banks.Savings).Error
		})
		together(func() error { // as DELETE /rest/user does
			return s.Transact(t.Context(), func(tx *gorm.DB) error {
				if err := tx.Exec(`UPDATE users SET deleted_at = now() WHERE id = ?`, a.UserID).Error; err != nil {
					return err
				}
				var ids []uuid.UUID
				err := tx.Raw(`SELECT id FROM accesses WHERE user_id = ? AND deleted_at IS NULL ORDER BY id FOR UPDATE`, a.UserID).Scan(&ids).Error
				for _, id := range ids {
					if err == nil {
						_, err = s.HideAccess(tx, id)
					}
				}
				return err
			})
		})
		all.Wait()
		close(failed)
		for err := range failed {
			if !errors.Is(err, models.ErrEdge) {
				require.NoError(t, err)
			}
		}
		var left int64
		require.NoError(t, s.DB.Model(&models.Access{}).Where("user_id = ? AND deleted_at IS NULL", a.UserID).Count(&left).Error)
		require.Zero(t, left)
		require.Len(t, owed(t, s, a.ID), 1, "the old method's consent, once")
	}
}

// What an upgrade has left nothing to read stays as it is, whatever becomes of its accounts.
func TestNothingUpgradesTwice(t *testing.T) {
	t.Parallel()
	s := open(t)
	a, running, _ := superseded(t, s, true, banks.Giro, banks.Savings)
	_, err := s.Upgrade(t.Context(), running)
	require.NoError(t, err)
	_, err = s.End(t.Context(), running, 40003)
	require.NoError(t, err)
	require.NoError(t, s.DB.Exec(`UPDATE accounts SET deleted_at = now() WHERE access_id = ?`, a.ID).Error)
	pending, err := s.PendingUpgrades(t.Context(), a.ID)
	require.NoError(t, err)
	require.Empty(t, pending)
}

// No access is added for accounts that the client has deleted.
func TestUpgradeOfDeletedAccounts(t *testing.T) {
	t.Parallel()
	s := open(t)
	a, running, _ := superseded(t, s, true, banks.Giro, banks.Savings)
	require.NoError(t, s.DB.Exec(`UPDATE accounts SET deleted_at = now() WHERE access_id = ? AND type = ?`, a.ID, banks.Giro).Error)
	done, err := s.Upgrade(t.Context(), running)
	require.NoError(t, err)
	require.Equal(t, 40003, done.Code)
	require.Empty(t, done.Created)
	require.Len(t, done.Accounts, 1)
	require.False(t, done.Accounts[0].Supported)
}

// A customer who let the bank show one account, and whose access was never read, has not let it show all.
func TestUpgradeAsksForNoMoreAccounts(t *testing.T) {
	t.Parallel()
	s := open(t)
	a, running, by := superseded(t, s, false)
	require.NoError(t, s.DB.Model(&by).Update("in_psd2_scope", true).Error)
	one := models.ConsentRequest{Recurring: true, Accounts: []models.ConsentAccount{{ID: "DE02120300000000202051", Currency: "EUR"}}}
	require.NoError(t, s.DB.Model(&a).Select("consent").Updates(&models.Access{Consent: &one}).Error)
	_, err := s.Upgrade(t.Context(), running)
	require.NoError(t, err)
	var after models.Access
	require.NoError(t, s.DB.Take(&after, "id = ?", a.ID).Error)
	require.Equal(t, by.ID, after.AccessMethodID)
	require.Equal(t, &one, after.Consent)
}

// An access is parted, and what was parted from it is parted again: none of the three brings the others' accounts back
// when it looks for new ones, and neither does it when the one between them is deleted.
func TestPartedAgain(t *testing.T) {
	t.Parallel()
	s := open(t)
	numbers := map[banks.AccountType]string{banks.Giro: "DE02120300000000202051", banks.DailySavings: "DE02500105170137075030",
		banks.Depot: "DE02370502990000684712"}
	var all []banks.Account
	for kind, iban := range numbers {
		all = append(all, banks.Account{ResourceID: iban, IBAN: iban, Currency: "EUR", Type: kind})
	}
	first := access(t, s)
	require.Len(t, put(t, s, first.ID, all), 3)
	part := func(from models.Access, kinds ...banks.AccountType) (added models.Access) {
		t.Helper()
		method := models.AccessMethod{ID: models.NewID(), BankID: from.BankID, Type: "API"}
		for _, kind := range kinds {
			method.SupportedAccountTypes = append(method.SupportedAccountTypes, string(kind))
		}
		require.NoError(t, s.SealConnection(&method, banks.Connection{Protocol: "XS2A", URL: "https://new.bank.example"}))
		require.NoError(t, s.DB.Create(&method).Error)
		require.NoError(t, models.Supersede(s.DB, from.AccessMethodID, method.ID, civil.Day(2026, 1, 1), true))
		running, err := queue(s, from.ID)
		require.NoError(t, err)
		_, err = s.OpenSession(t.Context(), running)
		require.NoError(t, err)
		done, err := s.Upgrade(t.Context(), running)
		require.NoError(t, err)
		require.Len(t, done.Created, 1)
		_, err = s.End(t.Context(), running, done.Code)
		require.NoError(t, err)
		require.NoError(t, s.DB.Take(&added, "id = ?", done.Created[0]).Error)
		return added
	}
	second := part(first, banks.Giro, banks.DailySavings)
	third := part(second, banks.Giro)
	for range 2 {
		require.Len(t, put(t, s, first.ID, all), 1)
		require.Len(t, put(t, s, third.ID, all), 1)
		require.NoError(t, s.DB.Exec(`DELETE FROM accesses WHERE id = ?`, second.ID).Error)
		all = slices.DeleteFunc(all, func(a banks.Account) bool { return a.Type == banks.DailySavings })
	}
}

// The mark counts from its day on, in the bank's country, by the clock that everything about days goes by.
func TestSupersedeFromADay(t *testing.T) {
	t.Parallel()
	s := open(t)
	a, running, by := superseded(t, s, false, banks.Giro)
	for _, mark := range []struct {
		day      civil.Date
		midnight time.Time // in Berlin
	}{
		{civil.Day(2026, 3, 5), time.Date(2026, 3, 4, 23, 0, 0, 0, time.UTC)},
		{civil.Day(2031, 7, 1), time.Date(2031, 6, 30, 22, 0, 0, 0, time.UTC)},
	} {
		require.NoError(t, models.Supersede(s.DB, a.AccessMethodID, by.ID, mark.day, true))
		for before, pending := range map[time.Duration]bool{-time.Millisecond: false, 0: true, 48 * time.Hour: true} {
			s.DB.NowFunc = func() time.Time { return mark.midnight.Add(before) }
			found, err := s.PendingUpgrades(t.Context(), a.ID)
			require.NoError(t, err)
			require.Equal(t, pending, len(found) == 1, "%s after %s", before, mark.midnight)
			require.Equal(t, pending, standing(t, s, a.ID).Reason == rules.UpgradePending)
		}
	}
	s.DB.NowFunc = func() time.Time { return time.Date(2031, 6, 30, 12, 0, 0, 0, time.UTC) }
	_, err := s.Upgrade(t.Context(), running)
	require.ErrorIs(t, err, models.ErrNothingPending, "and none before")
}

func TestSupersedeRefuses(t *testing.T) {
	t.Parallel()
	s := open(t)
	a, _, by := superseded(t, s, false)
	other := access(t, s)
	mark := func(old, by uuid.UUID) error {
		return s.Transact(t.Context(), func(tx *gorm.DB) error { return models.Supersede(tx, old, by, civil.Day(2026, 1, 1), true) })
	}
	require.ErrorIs(t, mark(by.ID, by.ID), models.ErrSupersession)
	require.ErrorIs(t, mark(by.ID, a.AccessMethodID), models.ErrSupersession, "a circle")
	require.ErrorIs(t, mark(by.ID, other.AccessMethodID), models.ErrSupersession, "another bank")
	require.ErrorIs(t, mark(by.ID, uuid.New()), models.ErrNotFound)
	scraping := models.AccessMethod{ID: models.NewID(), BankID: a.BankID, Type: "SCRAPING", Connection: []byte{}}
	require.NoError(t, s.DB.Create(&scraping).Error)
	require.ErrorIs(t, mark(by.ID, scraping.ID), models.ErrSupersession, "nothing reads it")
}

// Accounts keep their ids when another protocol says other things about them.
func TestAccountsAreRecognisedAcrossProtocols(t *testing.T) {
	t.Parallel()
	s := open(t)
	const iban, other = "DE12900900420000012345", "DE55900900420000099999"
	for name, pair := range map[string]struct {
		before, after []banks.Account
		same          bool
	}{
		"number and bank code, then the IBAN": {same: true,
			before: []banks.Account{{ResourceID: "1", BankCode: "90090042", Number: "12345", Currency: "EUR"}},
			after:  []banks.Account{{ResourceID: "x", IBAN: iban, Currency: "EUR"}}},
		"no currency, then one": {same: true,
			before: []banks.Account{{ResourceID: "1", IBAN: iban}},
			after:  []banks.Account{{ResourceID: "x", IBAN: iban, Currency: "EUR"}}},
		"no currency, then two": {
			before: []banks.Account{{ResourceID: "1", IBAN: iban}},
			after:  []banks.Account{{ResourceID: "x", IBAN: iban, Currency: "EUR"}, {ResourceID: "y", IBAN: iban, Currency: "USD"}}},
		"another currency": {
			before: []banks.Account{{ResourceID: "1", IBAN: iban, Currency: "EUR"}},
			after:  []banks.Account{{ResourceID: "x", IBAN: iban, Currency: "USD"}}},
		"a type, then none": {same: true,
			before: []banks.Account{{ResourceID: "1", IBAN: iban, Type: banks.Giro}},
			after:  []banks.Account{{ResourceID: "x", IBAN: iban, Currency: "EUR", Type: banks.Unknown}}},
		"another number": {
			before: []banks.Account{{ResourceID: "1", BankCode: "90090042", Number: "12345", Currency: "EUR"}},
			after:  []banks.Account{{ResourceID: "x", IBAN: other, Currency: "EUR"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := access(t, s)
			first, second := put(t, s, a.ID, pair.before), put(t, s, a.ID, pair.after)
			require.Equal(t, pair.same, first[0] == second[0])
			account, err := s.Account(t.Context(), second[0])
			require.NoError(t, err)
			if pair.same {
				require.Equal(t, "x", account.ResourceID)
				require.Equal(t, iban, *account.IBAN)
				require.Equal(t, pair.before[0].Type, account.Type)
				require.Equal(t, second, put(t, s, a.ID, pair.after), "and again")
			}
		})
	}
}

// put lists accounts in one synchronization, and answers their ids.
func put(t *testing.T, s *models.Store, access uuid.UUID, listed []banks.Account) (ids []uuid.UUID) {
	t.Helper()
	running, err := queue(s, access)
	require.NoError(t, err)
	require.NoError(t, s.DB.Exec(`UPDATE synchronizations SET scope = '{ACCOUNTS}' WHERE id = ?`, running).Error)
	session, err := s.OpenSession(t.Context(), running)
	require.NoError(t, err)
	require.NoError(t, s.Transact(t.Context(), func(tx *gorm.DB) error {
		work, err := session.PutAccounts(tx, listed)
		for _, w := range work {
			ids = append(ids, w.AccountID)
		}
		return err
	}))
	_, err = s.End(t.Context(), running, 0)
	require.NoError(t, err)
	return ids
}
