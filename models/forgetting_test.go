package models_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/models"
)

// course stores a synchronization that has asked and was answered.
func course(t *testing.T, s *models.Store, access uuid.UUID) uuid.UUID {
	t.Helper()
	id, err := queue(s, access)
	require.NoError(t, err)
	session, err := s.OpenSession(t.Context(), id)
	require.NoError(t, err)
	require.NoError(t, s.Transact(t.Context(), func(tx *gorm.DB) error {
		_, err := session.PutAccounts(tx, []banks.Account{{ResourceID: "1", IBAN: "DE67900900424711951500", Currency: "EUR", Type: banks.Giro}})
		if err != nil {
			return err
		}
		return session.Save(tx)
	}))
	var challenge *models.Challenge
	require.NoError(t, s.Transact(t.Context(), func(tx *gorm.DB) (err error) {
		challenge, err = session.Ask(tx, &banks.Challenge{Type: banks.Embedded, Format: banks.FormatText}, time.Now().Add(time.Minute))
		return err
	}))
	require.NoError(t, s.PutAnswer(t.Context(), challenge.ID, banks.Answer{Value: "1"}))
	return id
}

// rows counts what is stored of a synchronization.
func rows(t *testing.T, s *models.Store, sync uuid.UUID) (course, synchronization int) {
	t.Helper()
	require.NoError(t, s.DB.Raw(`SELECT (SELECT count(*) FROM synchronization_events WHERE sync_id = @id) + (SELECT count(*) FROM bank_sessions WHERE sync_id = @id)
		+ (SELECT count(*) FROM challenges WHERE sync_id = @id) + (SELECT count(*) FROM answers w JOIN challenges c ON c.id = w.challenge_id WHERE c.sync_id = @id),
		(SELECT count(*) FROM synchronizations WHERE id = @id) + (SELECT count(*) FROM synchronization_accounts WHERE sync_id = @id)`,
		map[string]any{"id": sync}).Row().Scan(&course, &synchronization))
	return course, synchronization
}

func TestCoursesAreForgotten(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := open(t, models.WithClock(func() time.Time { return now }))
	a := access(t, s)
	before, running := course(t, s, a.ID), course(t, s, access(t, s).ID)
	_, err := s.End(t.Context(), before, banks.CodeExpired)
	require.NoError(t, err)
	end := now

	now = end.Add(models.CourseKept)
	_, err = s.ForgetCourses(t.Context(), now.Add(-models.CourseKept), 100)
	require.NoError(t, err)
	stored, _ := rows(t, s, before)
	require.Positive(t, stored, "the last day is not over")

	now = now.Add(time.Hour)
	for _, want := range []int{1, 0} {
		n, err := s.ForgetCourses(t.Context(), now.Add(-models.CourseKept), 100)
		require.NoError(t, err)
		require.Equal(t, want, n)
		stored, synchronization := rows(t, s, before)
		require.Zero(t, stored)
		require.Equal(t, 2, synchronization)
	}
	stored, _ = rows(t, s, running)
	require.Positive(t, stored, "it goes on")
	_, err = s.End(t.Context(), running, banks.CodeExpired)
	require.NoError(t, err)
}

// Nothing is met twice, and nothing is left.
func TestCoursesAreForgottenByManyAtOnce(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := open(t, models.WithClock(func() time.Time { return now }))
	a := access(t, s)
	const all = 20
	for range all {
		_, err := s.End(t.Context(), course(t, s, a.ID), banks.CodeExpired)
		require.NoError(t, err)
	}
	now = now.Add(models.CourseKept + time.Hour)
	var workers sync.WaitGroup
	counts := make([]int, 4)
	for i := range counts {
		workers.Go(func() {
			for range all {
				n, err := s.ForgetCourses(t.Context(), now.Add(-models.CourseKept), 3)
				if err != nil {
					t.Error(err)
				}
				counts[i] += n
			}
		})
	}
	workers.Wait()
	sum := 0
	for _, n := range counts {
		sum += n
	}
	require.Equal(t, all, sum)
}

// Every access keeps its newest synchronization, however old it is.
func TestSynchronizationsAreForgotten(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := open(t, models.WithClock(func() time.Time { return now }))
	one, other := access(t, s).ID, access(t, s).ID
	var ids []uuid.UUID
	for _, a := range []uuid.UUID{one, one, other, one, one} {
		id := course(t, s, a)
		_, err := s.End(t.Context(), id, banks.CodeExpired)
		require.NoError(t, err)
		ids = append(ids, id)
		now = now.Add(time.Hour)
	}
	later := course(t, s, one)                                  // begins, and does not end
	now = now.Add(models.SynchronizationsKept - 90*time.Minute) // after the end of all but the last
	for range 2 {
		var last time.Time
		for n := 1; n > 0; {
			var err error
			last, n, err = s.ForgetSynchronizations(t.Context(), now.Add(-models.SynchronizationsKept), last, 1)
			require.NoError(t, err)
			require.LessOrEqual(t, n, 1)
		}
		for i, kept := range []bool{false, false, true, false, true} {
			_, stored := rows(t, s, ids[i])
			require.Equal(t, kept, stored > 0, i)
		}
	}
	_, stored := rows(t, s, later)
	require.Equal(t, 2, stored)
}
