package models_test

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/testground"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/rules"
	"github.com/kontoflow/kontoflow/vault"
)

func open(t *testing.T, options ...models.Option) *models.Store {
	t.Helper()
	return testground.Store(t, options...)
}

// access stores a customer with an access, and what stands above it.
func access(t *testing.T, s *models.Store) models.Access {
	t.Helper()
	client, _, err := s.CreateClient(t.Context(), "client "+uuid.NewString())
	require.NoError(t, err)
	user := models.User{ID: "U" + uuid.NewString(), ClientID: client.ID, Email: uuid.NewString(), PasswordHash: "-", CreatedAt: time.Now()}
	require.NoError(t, s.DB.Create(&user).Error)
	bank := models.Bank{ID: models.NewID(), Kind: "BANK", Name: "Bank", Country: "DE"}
	require.NoError(t, s.DB.Create(&bank).Error)
	method := models.AccessMethod{ID: models.NewID(), BankID: bank.ID, Type: "API"}
	require.NoError(t, s.SealConnection(&method, banks.Connection{Protocol: "XS2A", URL: "https://bank.example"}))
	require.NoError(t, s.DB.Create(&method).Error)
	a := models.Access{ID: models.NewID(), UserID: user.ID, BankID: bank.ID, AccessMethodID: method.ID, Status: rules.AccessNew, CreatedAt: time.Now()}
	require.NoError(t, s.DB.Create(&a).Error)
	return a
}

func queue(s *models.Store, access uuid.UUID) (uuid.UUID, error) {
	y := models.Synchronization{ID: models.NewID(), AccessID: access, Status: rules.Queued, Trigger: rules.Manual,
		Scope: models.Strings{rules.ScopeTransactions}, CreatedAt: time.Now()}
	return y.ID, s.DB.Create(&y).Error
}

var states = []rules.SyncStatus{rules.Queued, rules.Running, rules.AwaitAuth, rules.Completed, rules.Failed}

// legal is the picture of the state machine, written down a third time on purpose: the code's table and the database's
// trigger are both held against it.
var legal = map[[2]rules.SyncStatus]bool{
	{rules.Queued, rules.Running}:    true,
	{rules.Running, rules.AwaitAuth}: true,
	{rules.AwaitAuth, rules.Running}: true,
	{rules.Running, rules.Completed}: true,
	{rules.Queued, rules.Failed}:     true,
	{rules.Running, rules.Failed}:    true,
	{rules.AwaitAuth, rules.Failed}:  true,
}

var paths = map[rules.SyncStatus][]rules.SyncStatus{
	rules.Queued:    nil,
	rules.Running:   {rules.Running},
	rules.AwaitAuth: {rules.Running, rules.AwaitAuth},
	rules.Completed: {rules.Running, rules.Completed},
	rules.Failed:    {rules.Failed},
}

func columns(to rules.SyncStatus) map[string]any {
	switch to {
	case rules.AwaitAuth:
		return map[string]any{"expires_at": time.Now().Add(time.Minute)}
	case rules.Failed:
		return map[string]any{"error": gorm.Expr(`'{"code": 30000}'::jsonb`)}
	}
	return nil
}

func TestOnlyLegalEdgesAreStored(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, from := range states {
		for _, to := range states {
			if from == to {
				continue
			}
			id, err := queue(s, access(t, s).ID)
			require.NoError(t, err)
			for _, step := range paths[from] {
				require.NoError(t, models.Transition(s.DB, id, step, columns(step)))
			}
			// The code's own table.
			err = s.Transact(t.Context(), func(tx *gorm.DB) error {
				if err := models.Transition(tx, id, to, columns(to)); err != nil {
					return err
				}
				return tx.Exec("ROLLBACK").Error
			})
			if to != rules.Queued { // nothing leads there, and Transition is never asked to
				require.Equal(t, legal[[2]rules.SyncStatus{from, to}], err == nil || !isEdge(err), "%s → %s: %v", from, to, err)
			}
			// The database's, whatever the code does.
			set := map[string]any{"status": to, "expires_at": nil, "ended_at": nil, "error": nil}
			for k, v := range columns(to) {
				set[k] = v
			}
			if to.Ended() {
				set["ended_at"] = time.Now()
			}
			err = s.DB.Model(&models.Synchronization{}).Where("id = ?", id).Updates(set).Error
			require.Equal(t, legal[[2]rules.SyncStatus{from, to}], err == nil, "%s → %s: %v", from, to, err)
		}
	}
}

func isEdge(err error) bool { return err == models.ErrEdge }

func TestNothingChangesAfterTheEnd(t *testing.T) {
	t.Parallel()
	s := open(t)
	id, err := queue(s, access(t, s).ID)
	require.NoError(t, err)
	_, err = s.End(t.Context(), id, banks.CodeCancelled)
	require.NoError(t, err)
	again, err := s.End(t.Context(), id, 0)
	require.NoError(t, err)
	require.Equal(t, rules.Failed, again.Status)
	require.Equal(t, banks.CodeCancelled, again.Error.Code)
	require.Error(t, s.DB.Exec(`UPDATE synchronizations SET accounts_total = 7 WHERE id = ?`, id).Error)
}

func TestOneActiveSynchronizationPerAccess(t *testing.T) {
	t.Parallel()
	s := open(t)
	a := access(t, s)
	var wg sync.WaitGroup
	errs := make(chan error, 16)
	for range cap(errs) {
		wg.Go(func() {
			_, err := queue(s, a.ID)
			errs <- err
		})
	}
	wg.Wait()
	close(errs)
	stored := 0
	for err := range errs {
		if err == nil {
			stored++
		} else {
			require.ErrorIs(t, err, gorm.ErrDuplicatedKey)
		}
	}
	require.Equal(t, 1, stored)
}

func TestEveryStateChangeIsAnEvent(t *testing.T) {
	t.Parallel()
	s := open(t)
	id, err := queue(s, access(t, s).ID)
	require.NoError(t, err)
	for _, to := range []rules.SyncStatus{rules.Running, rules.AwaitAuth, rules.Running, rules.Completed} {
		require.NoError(t, models.Transition(s.DB, id, to, columns(to)))
	}
	var seen []string
	require.NoError(t, s.DB.Raw(`SELECT status FROM synchronization_events WHERE sync_id = ? ORDER BY number`, id).Scan(&seen).Error)
	require.Equal(t, []string{"QUEUED", "RUNNING", "AWAIT_AUTH", "RUNNING", "COMPLETED"}, seen)
}

func TestOfTwoAttemptsAtOneStepOneStores(t *testing.T) {
	t.Parallel()
	s := open(t)
	id, err := queue(s, access(t, s).ID)
	require.NoError(t, err)
	first, err := s.OpenSession(t.Context(), id)
	require.NoError(t, err)
	second, err := s.OpenSession(t.Context(), id)
	require.NoError(t, err)
	require.NoError(t, s.Transact(t.Context(), func(tx *gorm.DB) error { return first.Finish(tx, 1, "first") }))
	require.ErrorIs(t, s.Transact(t.Context(), func(tx *gorm.DB) error { return second.Finish(tx, 1, "second") }), models.ErrOvertaken)
	third, err := s.OpenSession(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, 1, third.Steps)
	require.JSONEq(t, `"first"`, string(third.Outcome))
}

func TestMovedCiphertextDoesNotOpen(t *testing.T) {
	t.Parallel()
	s := open(t)
	one, other := access(t, s), access(t, s)
	fields := []models.CredentialField{{Key: "pin", IsSecret: true}}
	for _, a := range []models.Access{one, other} {
		require.NoError(t, s.PutCredentials(s.DB, a.ID, nil, map[string]string{"pin": "geheim " + a.ID.String()}, fields, true))
	}
	id, err := queue(s, one.ID)
	require.NoError(t, err)
	session, err := s.OpenSession(t.Context(), id)
	require.NoError(t, err)
	require.Equal(t, "geheim "+one.ID.String(), session.Conversation.Credentials["pin"])

	err = s.DB.Exec(`UPDATE credentials SET value = (SELECT value FROM credentials WHERE access_id = ?) WHERE access_id = ?`, other.ID, one.ID).Error
	require.NoError(t, err)
	_, err = s.OpenSession(t.Context(), id)
	require.ErrorIs(t, err, vault.ErrSealed)
	require.NotContains(t, err.Error(), "geheim")
}

func TestSecretsAreKeptAsAsked(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for _, c := range []struct {
		name   string
		stored bool // before, from an earlier synchronization
		save   *bool
		code   int
		want   string
	}{
		{name: "true stores", save: &yes, want: "given"},
		{name: "true replaces", stored: true, save: &yes, want: "given"},
		{name: "false forgets", stored: true, save: &no},
		{name: "absent leaves alone", stored: true, want: "stored"},
		{name: "absent stores nothing"},
		{name: "true does not store what the bank refused", save: &yes, code: banks.CodePINInvalid},
		{name: "true stores although something else failed", save: &yes, code: banks.CodeMaintenance, want: "given"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := open(t)
			a := access(t, s)
			fields := []models.CredentialField{{Key: "login"}, {Key: "pin", IsSecret: true}}
			require.NoError(t, s.PutCredentials(s.DB, a.ID, nil, map[string]string{"login": "erika"}, fields, false))
			if c.stored {
				require.NoError(t, s.PutCredentials(s.DB, a.ID, nil, map[string]string{"pin": "stored"}, fields, true))
			}
			id, err := queue(s, a.ID)
			require.NoError(t, err)
			require.NoError(t, s.DB.Exec(`UPDATE synchronizations SET save_secrets = ? WHERE id = ?`, c.save, id).Error)
			require.NoError(t, s.PutCredentials(s.DB, a.ID, &id, map[string]string{"pin": "given"}, fields, c.save != nil && *c.save))
			session, err := s.OpenSession(t.Context(), id)
			require.NoError(t, err)
			require.Equal(t, map[string]string{"login": "erika", "pin": "given"}, session.Conversation.Credentials)
			_, err = s.End(t.Context(), id, c.code)
			require.NoError(t, err)

			next, err := queue(s, a.ID)
			require.NoError(t, err)
			session, err = s.OpenSession(t.Context(), next)
			require.NoError(t, err)
			require.Equal(t, "erika", session.Conversation.Credentials["login"])
			require.Equal(t, c.want, session.Conversation.Credentials["pin"])
		})
	}
}

func TestAnswerOnce(t *testing.T) {
	t.Parallel()
	s := open(t)
	ctx := context.Background()
	id, err := queue(s, access(t, s).ID)
	require.NoError(t, err)
	session, err := s.OpenSession(ctx, id)
	require.NoError(t, err)
	var challenge *models.Challenge
	require.NoError(t, s.Transact(ctx, func(tx *gorm.DB) (err error) {
		challenge, err = session.Ask(tx, &banks.Challenge{Type: banks.Embedded, Format: banks.FormatText}, time.Now().Add(time.Minute))
		return err
	}))
	require.NoError(t, s.PutAnswer(ctx, challenge.ID, banks.Answer{Value: "1"}))
	require.NoError(t, s.PutAnswer(ctx, challenge.ID, banks.Answer{Value: "1"}))
	require.ErrorIs(t, s.PutAnswer(ctx, challenge.ID, banks.Answer{Value: "2"}), models.ErrAnswered)
	_, err = s.End(ctx, id, 0)
	require.Error(t, err, "AWAIT_AUTH does not lead to COMPLETED")
	_, err = s.End(ctx, id, banks.CodeExpired)
	require.NoError(t, err)
	_, err = s.Answer(ctx, challenge.ID)
	require.ErrorIs(t, err, models.ErrNotFound, "it is forgotten")
	require.NoError(t, s.PutAnswer(ctx, challenge.ID, banks.Answer{Value: "1"}), "the same again, late")
	require.ErrorIs(t, s.PutAnswer(ctx, challenge.ID, banks.Answer{Value: "2"}), models.ErrAnswered)
	require.ErrorIs(t, s.PutAnswer(ctx, models.NewID(), banks.Answer{Value: "2"}), models.ErrEdge)
}

// The customer answers at the very moment of the end: nothing is stored that nobody will forget.
func TestAnswerMeetsTheEnd(t *testing.T) {
	t.Parallel()
	s := open(t)
	id, err := queue(s, access(t, s).ID)
	require.NoError(t, err)
	session, err := s.OpenSession(t.Context(), id)
	require.NoError(t, err)
	var challenge *models.Challenge
	require.NoError(t, s.Transact(t.Context(), func(tx *gorm.DB) (err error) {
		challenge, err = session.Ask(tx, &banks.Challenge{Type: banks.Embedded, Format: banks.FormatText}, time.Now().Add(time.Minute))
		return err
	}))
	answered := make(chan error, 1)
	require.NoError(t, s.Transact(t.Context(), func(tx *gorm.DB) error {
		if err := tx.Exec(`UPDATE challenges SET status = 'CLOSED' WHERE id = ?`, challenge.ID).Error; err != nil { // as End does
			return err
		}
		go func() { answered <- s.PutAnswer(t.Context(), challenge.ID, banks.Answer{Value: "1"}) }()
		require.Eventually(t, func() bool {
			var waits bool
			err := s.DB.Raw(`SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`).Scan(&waits).Error
			return err == nil && waits || len(answered) > 0
		}, time.Minute, 10*time.Millisecond)
		return nil
	}))
	require.ErrorIs(t, <-answered, models.ErrEdge)
	_, err = s.Answer(t.Context(), challenge.ID)
	require.ErrorIs(t, err, models.ErrNotFound)
}

// A database from before forgets what it holds of those that have ended, and nothing of the others.
func TestMigrationForgets(t *testing.T) {
	t.Parallel()
	s := open(t)
	script, err := fs.ReadFile(models.Migrations(), "00009_forgotten_at_the_end.sql")
	require.NoError(t, err)
	up, down, _ := strings.Cut(string(script), "-- +goose Down")
	conn, err := s.Pool.Acquire(t.Context())
	require.NoError(t, err)
	defer conn.Release()
	execute := func(statements string) {
		_, err := conn.Conn().PgConn().Exec(t.Context(), statements).ReadAll()
		require.NoError(t, err)
	}
	execute(down)
	kept := make(map[uuid.UUID]bool)
	for _, ended := range []bool{true, false} {
		id, err := queue(s, access(t, s).ID)
		require.NoError(t, err)
		execute(fmt.Sprintf(`UPDATE synchronizations SET psu = 'x' WHERE id = '%[1]s';
			INSERT INTO challenges (id, sync_id, ordinal, type, status, content, expires_at) VALUES ('%[1]s', '%[1]s', 1, 'EMBEDDED', 'ANSWERED', 'x', now());
			INSERT INTO answers (challenge_id, value) VALUES ('%[1]s', 'x');`, id))
		if ended {
			execute(fmt.Sprintf(`UPDATE synchronizations SET status = 'FAILED', error = '{}', ended_at = now() WHERE id = '%s'`, id))
		}
		kept[id] = !ended
	}
	execute(up)
	for id, kept := range kept {
		var psu, value []byte
		require.NoError(t, s.DB.Raw(`SELECT y.psu, w.value FROM synchronizations y JOIN answers w ON w.challenge_id = y.id WHERE y.id = ?`, id).Row().Scan(&psu, &value))
		require.Equal(t, kept, psu != nil)
		require.Equal(t, kept, value != nil)
	}
}

func ExampleSyncStatus_Ended() {
	fmt.Println(rules.AwaitAuth.Ended(), rules.Failed.Ended())
	// Output: false true
}

// The database's URL says how many connections a process may have, to every command.
func TestPoolIsSetInTheURL(t *testing.T) {
	t.Parallel()
	url := testground.Database(t) + "&pool_max_conns=3"
	require.NoError(t, models.Migrate(t.Context(), url))
	s, err := models.Open(t.Context(), url, nil)
	require.NoError(t, err)
	t.Cleanup(s.Close)
	require.EqualValues(t, 3, s.Pool.Config().MaxConns)
}
