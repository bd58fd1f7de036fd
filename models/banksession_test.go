package models_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/rules"
)

// A worker dies after it has taken the customer's return from the bank and before it has stored anything else; then
// the bank sends them off once more.
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
			challenge, err = session.Ask(tx, &banks.Challenge{Type: banks.RedirectTo}, time.Now().Add(time.Minute))
			return err
		}))
		require.NoError(t, s.PutAnswer(t.Context(), challenge.ID, banks.Answer{Query: map[string]string{"error": "access_denied"}}))
		require.ErrorIs(t, s.PutAnswer(t.Context(), challenge.ID, banks.Answer{Query: map[string]string{"code": "1"}}), models.ErrAnswered,
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
	_, err = s.End(t.Context(), id, banks.CodeCancelled)
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
	session.Conversation.Granted = &banks.Grant{FrequencyPerDay: 4}
	require.NoError(t, s.Transact(t.Context(), session.Save))
	_, err = models.ValidConsent(s.DB, session.Access.ID)
	require.NoError(t, err)

	require.NoError(t, models.EndConsent(s.DB, session.Access.ID, "REVOKED"))
	session, err = s.OpenSession(t.Context(), id)
	require.NoError(t, err)
	session.Conversation.Granted = &banks.Grant{FrequencyPerDay: 4}
	require.NoError(t, s.Transact(t.Context(), session.Save))
	_, err = models.ValidConsent(s.DB, session.Access.ID)
	require.ErrorIs(t, err, models.ErrNotFound)

	// Another one may come.
	session.Conversation.Lasting = json.RawMessage(`{"consent_id":"2"}`)
	require.NoError(t, s.Transact(t.Context(), session.Save))
	_, err = models.ValidConsent(s.DB, session.Access.ID)
	require.NoError(t, err)
}

// Whatever a synchronization failed with: where the bank no longer knows the consent, nothing goes on without the customer.
// A bank that is down, or has no consents, does not want them.
func TestWithoutConsentTheCustomerIsNeeded(t *testing.T) {
	t.Parallel()
	s := open(t)
	for name, test := range map[string]struct {
		consents bool
		before   rules.AccessStatus
		over     bool // the consent
		code     int
		after    rules.AccessStatus
	}{
		"the consent is over, then the bank is down": {true, rules.AccessActive, true, banks.CodeMaintenance, rules.AccessNeedsAuth},
		"… then the client cancels":                  {true, rules.AccessActive, true, banks.CodeCancelled, rules.AccessNeedsAuth},
		"the bank is down":                           {true, rules.AccessActive, false, banks.CodeMaintenance, rules.AccessActive},
		"the client cancels":                         {true, rules.AccessActive, false, banks.CodeCancelled, rules.AccessActive},
		"the bank knows no consents":                 {false, rules.AccessActive, true, banks.CodeMaintenance, rules.AccessActive},
		"nothing was ever granted":                   {true, rules.AccessNew, true, banks.CodeMaintenance, rules.AccessNew},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, step := granted(t, s, time.Time{})
			require.NoError(t, s.DB.Model(&a).Update("status", test.before).Error)
			require.NoError(t, s.DB.Exec(`UPDATE access_methods SET grants_consents = ? WHERE id = ?`, test.consents, a.AccessMethodID).Error)
			if test.over {
				step.Conversation.Lasting, step.Conversation.Granted = json.RawMessage(`{}`), nil
				require.NoError(t, step.Transact(t.Context(), step.Save))
			}
			_, err := s.End(t.Context(), step.Sync.ID, test.code)
			require.NoError(t, err)
			require.NoError(t, s.DB.Take(&a, "id = ?", a.ID).Error)
			require.Equal(t, test.after, a.Status)
		})
	}
}
