package models_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"kontoflow/models"
	"kontoflow/providers"
)

// A worker dies after it has taken the customer's return from the bank and before it has stored anything else; then
// the bank sends him off once more.
func TestEveryRedirectHasItsOwnState(t *testing.T) {
	t.Parallel()
	s := open(t)
	id, err := queue(s, access(t, s).ID)
	require.NoError(t, err)
	states := make(map[string]bool)
	for range 3 {
		session, err := s.OpenSession(t.Context(), id)
		require.NoError(t, err)
		states[session.Conversation.Redirect.State] = true
		var challenge *models.Challenge
		require.NoError(t, s.Transact(t.Context(), func(tx *gorm.DB) (err error) {
			challenge, err = session.Ask(tx, &providers.Challenge{Type: providers.RedirectTo}, time.Now().Add(time.Minute))
			return err
		}))
		require.NoError(t, s.PutAnswer(t.Context(), challenge.ID, providers.Answer{Query: map[string]string{"error": "access_denied"}}))
		require.ErrorIs(t, s.PutAnswer(t.Context(), challenge.ID, providers.Answer{Query: map[string]string{"code": "1"}}), models.ErrAnswered,
			"only the first return counts")
		require.NoError(t, s.Transact(t.Context(), func(tx *gorm.DB) error { return session.Resume(tx, challenge.ID) }))
	}
	require.Len(t, states, 3)
}

// A step that is still under way when its synchronization is cancelled stores nothing any more: the next one may have
// begun already.
func TestStepsStoreNothingAfterTheEnd(t *testing.T) {
	t.Parallel()
	s := open(t)
	id, err := queue(s, access(t, s).ID)
	require.NoError(t, err)
	session, err := s.OpenSession(t.Context(), id)
	require.NoError(t, err)
	_, err = s.End(t.Context(), id, providers.CodeCancelled)
	require.NoError(t, err)
	session.Conversation.Lasting = json.RawMessage(`{"consent_id":"late"}`)
	require.ErrorIs(t, s.Transact(t.Context(), session.Save), models.ErrOvertaken)
}

// The client revokes a consent while a synchronization goes on that knows it as valid.
func TestRevokedConsentStaysRevoked(t *testing.T) {
	t.Parallel()
	s := open(t)
	id, err := queue(s, access(t, s).ID)
	require.NoError(t, err)
	session, err := s.OpenSession(t.Context(), id)
	require.NoError(t, err)
	session.Conversation.Lasting = json.RawMessage(`{"consent_id":"1"}`)
	session.Conversation.Granted = &providers.Grant{FrequencyPerDay: 4}
	require.NoError(t, s.Transact(t.Context(), session.Save))
	_, err = s.ValidConsent(t.Context(), session.Access.ID)
	require.NoError(t, err)

	require.NoError(t, models.EndConsent(s.DB, session.Access.ID, "REVOKED"))
	session, err = s.OpenSession(t.Context(), id)
	require.NoError(t, err)
	session.Conversation.Granted = &providers.Grant{FrequencyPerDay: 4}
	require.NoError(t, s.Transact(t.Context(), session.Save))
	_, err = s.ValidConsent(t.Context(), session.Access.ID)
	require.ErrorIs(t, err, models.ErrNotFound)

	// Another one may come.
	session.Conversation.Lasting = json.RawMessage(`{"consent_id":"2"}`)
	require.NoError(t, s.Transact(t.Context(), session.Save))
	_, err = s.ValidConsent(t.Context(), session.Access.ID)
	require.NoError(t, err)
}
