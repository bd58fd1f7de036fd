package models_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/testground"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/vault"
)

// After a rotation everything that the database holds is sealed anew, but for what is in use; then the old key can go.
func TestReseal(t *testing.T) {
	t.Parallel()
	database, first := testground.Database(t), testground.Keyset(t)
	with := func(keys string) *models.Store {
		secrets, err := vault.Open(keys)
		require.NoError(t, err)
		s, err := models.Open(t.Context(), database, secrets)
		require.NoError(t, err)
		t.Cleanup(s.Close)
		return s
	}
	s := with(first)
	reseal := func(s *models.Store, moved, left int) {
		t.Helper()
		r, err := s.Reseal(t.Context())
		require.NoError(t, err)
		require.Equal(t, models.Resealed{Moved: moved, Left: left}, r)
	}

	// Of everything one, and of secrets more than are locked together.
	a, step := granted(t, s, time.Time{})
	const secrets = 450
	for range secrets {
		require.NoError(t, s.PutCredentials(s.DB, a.ID, nil, map[string]string{uuid.NewString(): "1234"}, nil, true))
	}
	var challenge *models.Challenge
	require.NoError(t, s.Transact(t.Context(), func(tx *gorm.DB) (err error) {
		challenge, err = step.Ask(tx, &banks.Challenge{Type: banks.Embedded, Label: "TAN"}, time.Now().Add(time.Minute))
		return err
	}))
	answer := banks.Answer{Value: "111111"}
	require.NoError(t, s.PutAnswer(t.Context(), challenge.ID, answer))
	n, target, err := s.CreateNotification(t.Context(), a.UserID, models.ObserveAccesses, "https://receiver.example/token", "")
	require.NoError(t, err)
	b, _ := granted(t, s, time.Time{})
	r := leave(t, s, b.ID)
	reseal(s, 0, 0)

	second, err := vault.Rotate(first)
	require.NoError(t, err)
	rotated := with(second)
	// secrets, two connections, question, fingerprint, target, revocation; left: a's state, the answer, both dialogs
	reseal(rotated, secrets+6, 4)
	reseal(rotated, 0, 4)
	for _, access := range []models.Access{a, b} {
		_, err = s.End(t.Context(), underWay(t, s, access.ID), 10000)
		require.NoError(t, err)
	}
	reseal(rotated, 1, 0)

	third, err := vault.Retire(second)
	require.NoError(t, err)
	retired := with(third)
	reseal(retired, 0, 0)
	stored, err := models.StoredCredentials(retired.DB, a.ID)
	require.NoError(t, err)
	require.Len(t, stored, secrets)
	id, err := queue(retired, a.ID)
	require.NoError(t, err)
	session, err := retired.OpenSession(t.Context(), id)
	require.NoError(t, err, "credentials, connection and state open")
	require.Len(t, session.Conversation.Credentials, secrets)
	require.JSONEq(t, `{"consent_id":"1"}`, string(session.Conversation.Lasting))
	require.NoError(t, retired.DB.Take(challenge, "id = ?", challenge.ID).Error)
	question, err := retired.OpenChallenge(challenge)
	require.NoError(t, err)
	require.Equal(t, "TAN", question.Label)
	require.NoError(t, retired.PutAnswer(t.Context(), challenge.ID, answer), "the same answer again")
	require.NoError(t, retired.DB.Take(&n, "id = ?", n.ID).Error)
	opened, err := retired.OpenTarget(&n)
	require.NoError(t, err)
	require.Equal(t, target, opened)
	attempt, err := retired.AttemptRevocation(t.Context(), r.ID)
	require.NoError(t, err)
	require.JSONEq(t, `{"consent_id":"1"}`, string(attempt.Conversation.Lasting))

	// What no key opens is told, holds nothing else up, and stays.
	foreign := with(testground.Keyset(t))
	bad := access(t, foreign)
	fourth, err := vault.Rotate(third)
	require.NoError(t, err)
	rotated = with(fourth)
	result, err := rotated.Reseal(t.Context())
	require.ErrorIs(t, err, vault.ErrSealed)
	require.ErrorContains(t, err, "access_methods.connection of "+bad.AccessMethodID.String())
	require.Equal(t, models.Resealed{Moved: secrets + 5, Left: 4}, result, "left: the bad one, a's state and dialog, what is being revoked")
}

func underWay(t *testing.T, s *models.Store, access uuid.UUID) (sync uuid.UUID) {
	t.Helper()
	require.NoError(t, s.DB.Raw(`SELECT id FROM synchronizations WHERE access_id = ? AND ended_at IS NULL`, access).Row().Scan(&sync))
	return sync
}

// Every sealed column is resealed: whoever adds one says which it is.
func TestEverySealedColumnIsKnown(t *testing.T) {
	t.Parallel()
	s := open(t)
	rows, err := s.Pool.Query(t.Context(), `SELECT table_name || '.' || column_name FROM information_schema.columns
		WHERE table_schema = 'public' AND data_type = 'bytea' ORDER BY 1`)
	require.NoError(t, err)
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(t, err)
	unknown := slices.DeleteFunc(all, func(column string) bool {
		return slices.Contains(models.SealedColumns(), column) || strings.HasSuffix(column, "hash")
	})
	require.Equal(t, []string{"transactions.facts"}, unknown)
}
