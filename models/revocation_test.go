package models_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"golang.org/x/sync/errgroup"
	"gorm.io/gorm"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/models"
	"github.com/kontoflow/kontoflow/rules"
)

// granted stores an access with a consent in force, and a running synchronization that loaded it.
func granted(t *testing.T, s *models.Store, until time.Time) (a models.Access, step *models.BankSession) {
	t.Helper()
	a = access(t, s)
	id, err := queue(s, a.ID)
	require.NoError(t, err)
	session, err := s.OpenSession(t.Context(), id)
	require.NoError(t, err)
	session.Conversation.Lasting = json.RawMessage(`{"consent_id":"1"}`)
	session.Conversation.Granted = &banks.Grant{ValidUntil: until}
	require.NoError(t, session.Transact(t.Context(), session.Save))
	step, err = s.OpenSession(t.Context(), id)
	require.NoError(t, err)
	step.Conversation.Granted = &banks.Grant{ValidUntil: until}
	return a, step
}

// owed are the states of what the bank of an access is owed.
func owed(t *testing.T, s *models.Store, access uuid.UUID) (states []string) {
	t.Helper()
	all, err := s.LostRevocations(t.Context(), s.Now().Add(24*time.Hour), 1000)
	require.NoError(t, err)
	for _, r := range all {
		if r.AccessID == access {
			attempt, err := s.AttemptRevocation(t.Context(), r.ID)
			require.NoError(t, err)
			states = append(states, string(attempt.Conversation.Lasting))
		}
	}
	return states
}

func TestLeaveBank(t *testing.T) {
	t.Parallel()
	s := open(t)
	a, _ := granted(t, s, time.Time{})
	for range 2 { // once
		require.NoError(t, s.Transact(t.Context(), func(tx *gorm.DB) error {
			_, err := s.LeaveBank(tx, a.ID)
			return err
		}))
	}
	_, err := models.ValidConsent(s.DB, a.ID)
	require.ErrorIs(t, err, models.ErrNotFound)
	require.NoError(t, s.DB.Take(&a, "id = ?", a.ID).Error)
	require.Nil(t, a.BankState)
	require.Equal(t, []string{`{"consent_id":"1"}`}, owed(t, s, a.ID))

	// Without the transaction's end nothing has happened.
	b, _ := granted(t, s, time.Time{})
	require.ErrorIs(t, s.Transact(t.Context(), func(tx *gorm.DB) error {
		_, err := s.LeaveBank(tx, b.ID)
		require.NoError(t, err)
		return models.ErrEdge
	}), models.ErrEdge)
	require.Empty(t, owed(t, s, b.ID))
	_, err = models.ValidConsent(s.DB, b.ID)
	require.NoError(t, err)
}

// What is owed is asked for until it has ended by itself: by the bank's date, or when half a year is over.
func TestOwedUntil(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := open(t, models.WithClock(func() time.Time { return now }))
	for name, end := range map[string]struct{ says, over time.Duration }{
		"in a week":         {7 * 24 * time.Hour, 7 * 24 * time.Hour},
		"in ten years":      {3650 * 24 * time.Hour, 180 * 24 * time.Hour},
		"it does not say":   {0, 180 * 24 * time.Hour},
		"it has ended long": {-time.Hour, -time.Hour},
	} {
		begun := now
		until := time.Time{}
		if end.says != 0 {
			until = begun.Add(end.says)
		}
		a, _ := granted(t, s, until)
		owed := leave(t, s, a.ID)
		for _, after := range []time.Duration{end.over - time.Minute, end.over + time.Minute} {
			now = begun.Add(after)
			attempt, err := s.AttemptRevocation(t.Context(), owed.ID)
			require.NoError(t, err)
			require.Equal(t, after > end.over, attempt.Over, "%s, after %s", name, after)
		}
		now = begun
	}

	// So is what an adapter gives up, and what comes too late.
	over := func(access uuid.UUID) bool {
		var newest uuid.UUID
		require.NoError(t, s.DB.Raw(`SELECT id FROM revocations WHERE access_id = ? ORDER BY created_at DESC LIMIT 1`, access).Row().Scan(&newest))
		attempt, err := s.AttemptRevocation(t.Context(), newest)
		require.NoError(t, err)
		return attempt.Over
	}
	week, month := now.AddDate(0, 0, 7), now.AddDate(0, 0, 30)
	given, step := granted(t, s, week)
	step.Conversation.Left = []json.RawMessage{step.Conversation.Lasting}
	step.Conversation.Lasting, step.Conversation.Granted = json.RawMessage(`{"consent_id":"2"}`), &banks.Grant{ValidUntil: month}
	require.NoError(t, step.Transact(t.Context(), step.Save))
	late, step := granted(t, s, week)
	_, err := s.HideAccess(s.DB, late.ID)
	require.NoError(t, err)
	now = now.Add(time.Second)
	step.Conversation.Lasting, step.Conversation.Granted = json.RawMessage(`{"consent_id":"2"}`), &banks.Grant{ValidUntil: month}
	require.ErrorIs(t, step.Transact(t.Context(), step.Save), models.ErrOvertaken)
	for _, end := range []time.Time{week, month} {
		for _, after := range []time.Duration{-time.Minute, time.Minute} {
			now = end.Add(after)
			require.Equal(t, now.After(week), over(given.ID))
			require.Equal(t, now.After(month), over(late.ID))
		}
	}
}

// A revocation that nobody asks for is found, one that is being asked for is left alone: however many there are of banks
// that are down, none hides the others.
func TestLostRevocations(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := open(t, models.WithClock(func() time.Time { return now }))
	lost := func() int {
		all, err := s.LostRevocations(t.Context(), now.Add(-10*time.Second), 10)
		require.NoError(t, err)
		return len(all)
	}
	a, _ := granted(t, s, time.Time{})
	r := leave(t, s, a.ID)
	require.Zero(t, lost(), "it may be on its way")
	now = now.Add(time.Minute)
	require.Equal(t, 1, lost())
	attempt, err := s.AttemptRevocation(t.Context(), r.ID)
	require.NoError(t, err)
	now = now.Add(2 * time.Hour)
	require.Zero(t, lost())
	now = now.Add(2 * time.Hour)
	require.Equal(t, 1, lost(), "its workflow is gone")

	// What an attempt has changed is there for the next one.
	attempt.Conversation.Lasting = json.RawMessage(`{"consent_id":"1","token":"new"}`)
	require.NoError(t, attempt.Keep(t.Context()))
	require.Equal(t, []string{`{"consent_id":"1","token":"new"}`}, owed(t, s, a.ID))
	require.NoError(t, attempt.Settle(t.Context()))
	_, err = s.AttemptRevocation(t.Context(), r.ID)
	require.ErrorIs(t, err, models.ErrNotFound)
}

// The longest waiting come first, so that however many banks end nothing, none of the others is hidden behind them.
func TestHopelessRevocationsHideNoOther(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := open(t, models.WithClock(func() time.Time { return now }))
	var all []uuid.UUID
	for range 3 {
		a, _ := granted(t, s, time.Time{})
		all = append(all, leave(t, s, a.ID).ID)
		now = now.Add(time.Minute)
	}
	look := func() (found []uuid.UUID) { // sees two of them; then their workflows are lost
		lost, err := s.LostRevocations(t.Context(), now, 2)
		require.NoError(t, err)
		for _, r := range lost {
			_, err := s.AttemptRevocation(t.Context(), r.ID)
			require.NoError(t, err)
			found = append(found, r.ID)
			now = now.Add(time.Minute)
		}
		now = now.Add(4 * time.Hour)
		return found
	}
	require.Equal(t, []uuid.UUID{all[0], all[1]}, look())
	require.Equal(t, []uuid.UUID{all[2], all[0]}, look())
	require.Equal(t, []uuid.UUID{all[1], all[2]}, look())
}

func leave(t *testing.T, s *models.Store, access uuid.UUID) (r models.Revocation) {
	t.Helper()
	require.NoError(t, s.Transact(t.Context(), func(tx *gorm.DB) (err error) {
		r, err = s.LeaveBank(tx, access)
		return err
	}))
	return r
}

// Nobody waits for a bank that is just answering when a synchronization is cancelled or its access deleted. What the bank
// did is not lost, and a consent that is over does not come back.
func TestLateSteps(t *testing.T) {
	t.Parallel()
	s := open(t)
	cancel := func(t *testing.T, step *models.BankSession) {
		require.NoError(t, s.RequestCancel(t.Context(), step.Sync.ID))
		_, err := s.End(t.Context(), step.Sync.ID, banks.CodeCancelled)
		require.NoError(t, err)
	}
	next := func(lasting string) func(*testing.T, *models.BankSession) { // the next one has begun, and come so far
		return func(t *testing.T, step *models.BankSession) {
			cancel(t, step)
			id, err := queue(s, step.Access.ID)
			require.NoError(t, err)
			session, err := s.OpenSession(t.Context(), id)
			require.NoError(t, err)
			session.Conversation.Lasting, session.Conversation.Granted = json.RawMessage(lasting), &banks.Grant{}
			require.NoError(t, session.Transact(t.Context(), session.Save))
		}
	}
	const renewed, another, third = `{"consent_id":"1","token":"renewed"}`, `{"consent_id":"2"}`, `{"consent_id":"3"}`
	const followed, followedByThird = `{"consent_id":"1","next":{"consent_id":"2"}}`, `{"consent_id":"1","next":{"consent_id":"3"}}`
	for name, late := range map[string]struct {
		first   bool                                         // of the access: nothing was granted before
		happens func(t *testing.T, step *models.BankSession) // while the bank answers
		answer  string
		granted bool
		owed    []string
		kept    string // of the access; "": nothing
		valid   bool   // a consent
	}{
		"nothing, and it goes on":                  {happens: func(*testing.T, *models.BankSession) {}, answer: renewed, granted: true, kept: renewed, valid: true},
		"cancelled, a token is renewed":            {happens: cancel, answer: renewed, granted: true, kept: renewed, valid: true},
		"cancelled, a consent is created":          {happens: cancel, answer: another, owed: []string{another}, kept: `{"consent_id":"1"}`, valid: true},
		"cancelled, the first consent is created":  {first: true, happens: cancel, answer: another, owed: []string{another}},
		"cancelled, the first consent is in force": {first: true, happens: cancel, answer: another, granted: true, kept: another, valid: true},
		"revoked, a token is renewed": {answer: renewed, granted: true, owed: []string{renewed}, happens: func(t *testing.T, step *models.BankSession) {
			leave(t, s, step.Access.ID)
			_, err := models.CancelRunning(s.DB, step.Access.ID)
			require.NoError(t, err)
		}},
		"deleted, a consent is in force": {answer: another, granted: true, owed: []string{`{"consent_id":"1"}`, another}, happens: func(t *testing.T, step *models.BankSession) {
			_, err := s.HideAccess(s.DB, step.Access.ID)
			require.NoError(t, err)
		}},
		"deleted and gone, the first consent is created": {first: true, answer: another, owed: []string{another}, happens: func(t *testing.T, step *models.BankSession) {
			_, err := s.HideAccess(s.DB, step.Access.ID)
			require.NoError(t, err)
			require.NoError(t, s.DeleteAccess(t.Context(), step.Access.ID))
		}},
		"deleted, the first consent is in force": {first: true, answer: another, granted: true, owed: []string{another}, happens: func(t *testing.T, step *models.BankSession) {
			_, err := s.HideAccess(s.DB, step.Access.ID)
			require.NoError(t, err)
		}},
		"cancelled, the next one has another consent, one is in force":                {happens: next(third), answer: another, granted: true, owed: []string{another}, kept: third, valid: true},
		"cancelled, the next one has another consent, one is created":                 {happens: next(third), answer: another, owed: []string{another}, kept: third, valid: true},
		"cancelled, the next one has another consent, the old one's token is renewed": {happens: next(third), answer: renewed, granted: true, owed: []string{renewed}, kept: third, valid: true},
		"cancelled, the next one has the same consent, its token is renewed": {happens: next(`{"consent_id":"1","token":"other"}`), answer: renewed, granted: true,
			kept: `{"consent_id":"1","token":"other"}`, valid: true},
		"cancelled, the next one has the first consent": {first: true, happens: next(third), answer: another, granted: true, owed: []string{another}, kept: third, valid: true},
		"cancelled, one that is to follow is created":   {happens: cancel, answer: followed, granted: true, kept: followed, valid: true},
		"cancelled, the next one has changed something, one that is to follow is created": {happens: next(renewed), answer: followed, granted: true,
			owed: []string{another}, kept: renewed, valid: true},
		"cancelled, the next one has another that is to follow": {happens: next(followedByThird), answer: followed, granted: true,
			owed: []string{another}, kept: followedByThird, valid: true},
		"cancelled, the next one goes on with what is to follow": {happens: next(followed), answer: followed, granted: true, kept: followed, valid: true},
		"deleted, one that is to follow is created": {answer: followed, granted: true, owed: []string{`{"consent_id":"1"}`, another}, happens: func(t *testing.T, step *models.BankSession) {
			_, err := s.HideAccess(s.DB, step.Access.ID)
			require.NoError(t, err)
		}},
		"cancelled, the next one has one, here is none": {happens: next(third), answer: `{"token":"new"}`, kept: third, valid: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a, step := granted(t, s, time.Time{})
			if late.first {
				require.NoError(t, s.DB.Exec(`UPDATE accesses SET bank_state = NULL WHERE id = ?`, a.ID).Error)
				require.NoError(t, s.DB.Exec(`DELETE FROM consents WHERE access_id = ?`, a.ID).Error)
				var err error
				step, err = s.OpenSession(t.Context(), step.Sync.ID)
				require.NoError(t, err)
			}
			late.happens(t, step)
			step.Conversation.Lasting, step.Conversation.Granted = json.RawMessage(late.answer), nil
			if late.granted {
				step.Conversation.Granted = &banks.Grant{}
			}
			err := step.Transact(t.Context(), step.Save)
			require.Equal(t, name == "nothing, and it goes on", err == nil, "%v", err)

			require.ElementsMatch(t, late.owed, owed(t, s, a.ID))
			_, err = models.ValidConsent(s.DB, a.ID)
			require.Equal(t, late.valid, err == nil)
			if late.kept == "" {
				var states [][]byte
				require.NoError(t, s.DB.Model(&models.Access{}).Where("id = ? AND bank_state IS NOT NULL", a.ID).Pluck("bank_state", &states).Error)
				require.Empty(t, states)
				return
			}
			_, _ = queue(s, a.ID) // unless one runs
			var runs []uuid.UUID
			require.NoError(t, s.DB.Raw(`SELECT id FROM synchronizations WHERE access_id = ? AND ended_at IS NULL`, a.ID).Scan(&runs).Error)
			session, err := s.OpenSession(t.Context(), runs[0])
			require.NoError(t, err)
			require.JSONEq(t, late.kept, string(session.Conversation.Lasting))
		})
	}
}

// A cancelled synchronization leaves nothing at the bank that the customer could still authorize, and leaves alone what
// is in force.
func TestCancelLeavesNothingUnfinished(t *testing.T) {
	t.Parallel()
	s := open(t)
	for _, inForce := range []bool{true, false} {
		a, step := granted(t, s, time.Time{})
		if !inForce {
			step.Conversation.Lasting, step.Conversation.Granted = json.RawMessage(`{"consent_id":"2"}`), nil
			require.NoError(t, step.Transact(t.Context(), step.Save))
		}
		_, err := s.End(t.Context(), step.Sync.ID, banks.CodeCancelled)
		require.NoError(t, err)
		_, err = models.ValidConsent(s.DB, a.ID)
		require.Equal(t, inForce, err == nil)
		if inForce {
			require.Empty(t, owed(t, s, a.ID))
		} else {
			require.Equal(t, []string{`{"consent_id":"2"}`}, owed(t, s, a.ID))
		}
	}
}

// A consent that an adapter gives up although the bank may hold it valid is owed with what takes its place.
func TestGivenUpConsentsAreOwed(t *testing.T) {
	t.Parallel()
	s := open(t)
	a, step := granted(t, s, time.Time{})
	step.Conversation.Lasting = json.RawMessage(`{"consent_id":"2"}`)
	step.Conversation.Left = []json.RawMessage{json.RawMessage(`{"consent_id":"1"}`)}
	require.ErrorIs(t, step.Transact(t.Context(), func(tx *gorm.DB) error {
		require.NoError(t, step.Save(tx))
		return models.ErrEdge
	}), models.ErrEdge)
	require.Empty(t, owed(t, s, a.ID))
	for range 2 {
		require.NoError(t, step.Transact(t.Context(), step.Save))
	}
	require.Equal(t, []string{`{"consent_id":"1"}`}, owed(t, s, a.ID))
}

// What becomes known of a consent whose end is owed already replaces what was known of it, its later end too, and an
// attempt that began before does not bring the old state back.
func TestOwedConsentsStayNew(t *testing.T) {
	t.Parallel()
	now := time.Now()
	s := open(t, models.WithClock(func() time.Time { return now }))
	a, step := granted(t, s, now.AddDate(0, 0, 7))
	r := leave(t, s, a.ID)
	old, err := s.AttemptRevocation(t.Context(), r.ID)
	require.NoError(t, err)

	const renewed = `{"consent_id":"1","token":"new"}`
	require.NoError(t, s.DB.Exec(`UPDATE synchronizations SET cancel_requested_at = now() WHERE access_id = ?`, a.ID).Error)
	step.Conversation.Lasting = json.RawMessage(renewed)
	step.Conversation.Granted = &banks.Grant{ValidUntil: now.AddDate(0, 0, 30)}
	require.NoError(t, step.KeepLate(t.Context()))
	old.Conversation.Lasting = json.RawMessage(`{"consent_id":"1","token":"spent"}`)
	require.NoError(t, old.Keep(t.Context()))

	now = now.AddDate(0, 0, 29)
	attempt, err := s.AttemptRevocation(t.Context(), r.ID)
	require.NoError(t, err)
	require.JSONEq(t, renewed, string(attempt.Conversation.Lasting))
	require.False(t, attempt.Over)
}

// A consent that is revoked when the last account has been read stays revoked, and its access needs its customer. A cancel
// that comes as late changes nothing.
func TestRevokedAtTheLastMoment(t *testing.T) {
	t.Parallel()
	s := open(t)
	ends := func(meanwhile func(models.Access)) (rules.AccessStatus, []map[string]any) {
		a, step := granted(t, s, time.Time{})
		observe(t, s, a.UserID, models.ObserveAccesses)
		meanwhile(a)
		y, err := s.End(t.Context(), step.Sync.ID, 0)
		require.NoError(t, err)
		require.Equal(t, rules.Completed, y.Status)
		require.NoError(t, s.DB.Take(&a, "id = ?", a.ID).Error)
		told := announced(t, s, models.ObserveAccesses)
		require.NoError(t, s.DB.Exec(`DELETE FROM notification_events`).Error)
		return a.Status, told
	}
	status, told := ends(func(a models.Access) {
		consent, err := models.ValidConsent(s.DB, a.ID)
		require.NoError(t, err)
		_, _, err = s.RevokeConsent(t.Context(), a.ID, consent.ID)
		require.NoError(t, err)
	})
	require.Equal(t, rules.AccessNeedsAuth, status)
	require.Len(t, told, 1)
	require.EqualValues(t, models.EventNeedsAuth, told[0]["event"])

	status, _ = ends(func(a models.Access) {
		_, err := models.CancelRunning(s.DB, a.ID)
		require.NoError(t, err)
	})
	require.Equal(t, rules.AccessActive, status)
}

// A user goes with the last of their accesses, also where two are removed at the same moment, and beside their own deletion.
func TestUsersGoWithTheirLastAccess(t *testing.T) {
	t.Parallel()
	s := open(t)
	const users = 60
	for range users {
		first := access(t, s)
		ids := []uuid.UUID{first.ID, due(t, s, first, 1)[0]}
		require.NoError(t, s.DB.Exec(`UPDATE users SET deleted_at = now() WHERE id = ?`, first.UserID).Error)
		for _, id := range ids {
			_, err := s.HideAccess(s.DB, id)
			require.NoError(t, err)
		}
		start := make(chan struct{})
		removals := errgroup.Group{}
		for _, id := range ids {
			removals.Go(func() error {
				<-start
				return s.DeleteAccess(t.Context(), id)
			})
		}
		close(start)
		require.NoError(t, removals.Wait())
	}
	var left int64
	require.NoError(t, s.DB.Model(&models.User{}).Count(&left).Error)
	require.Zero(t, left)
}

// TestRenewedConsents: a consent that takes another's place is another one for the client, too; what is owed for the former ends
// with it. One that is only to follow changes nothing.
func TestRenewedConsents(t *testing.T) {
	t.Parallel()
	s := open(t)
	ends := s.Now().Add(5 * 24 * time.Hour).Truncate(time.Second)
	a, step := granted(t, s, ends)
	former, err := models.ValidConsent(s.DB, a.ID)
	require.NoError(t, err)
	save := func(lasting string, until time.Time, left ...json.RawMessage) {
		step.Conversation.Lasting, step.Conversation.Granted, step.Conversation.Left = json.RawMessage(lasting), &banks.Grant{ValidUntil: until}, left
		require.NoError(t, step.Transact(t.Context(), step.Save))
	}
	save(`{"consent_id":"1","next":{"consent_id":"2"}}`, ends)
	same, err := models.ValidConsent(s.DB, a.ID)
	require.NoError(t, err)
	require.Equal(t, former.ID, same.ID)
	require.Empty(t, owed(t, s, a.ID))

	save(`{"consent_id":"1","next":{"consent_id":"3"}}`, ends, json.RawMessage(`{"consent_id":"2"}`))
	save(`{"consent_id":"3"}`, ends.Add(90*24*time.Hour), json.RawMessage(`{"consent_id":"1"}`))
	now, err := models.ValidConsent(s.DB, a.ID)
	require.NoError(t, err)
	require.NotEqual(t, former.ID, now.ID)
	require.True(t, now.ValidUntil.Equal(ends.Add(90*24*time.Hour)))
	require.NoError(t, s.DB.Take(&former, "id = ?", former.ID).Error)
	require.Equal(t, "REVOKED", former.Status)
	var until []time.Time
	require.NoError(t, s.DB.Raw(`SELECT owed_until FROM revocations WHERE access_id = ? ORDER BY owed_until`, a.ID).Scan(&until).Error)
	require.Len(t, until, 2)
	require.True(t, until[0].Equal(ends), "the former ends by itself then")
	require.True(t, until[1].After(ends), "when the other would is not known")
}

// TestLeftIsOwedThoughNothingElseChanged: a consent was created and given up within one move.
func TestLeftIsOwedThoughNothingElseChanged(t *testing.T) {
	t.Parallel()
	s := open(t)
	a, step := granted(t, s, time.Time{})
	step.Conversation.Left = []json.RawMessage{json.RawMessage(`{"consent_id":"2"}`)}
	require.NoError(t, step.Transact(t.Context(), step.Save))
	require.Equal(t, []string{`{"consent_id":"2"}`}, owed(t, s, a.ID))
	require.Empty(t, step.Conversation.Left)
}

// TestAFailedRenewal: what becomes of an access whose customer did not grant another consent.
func TestAFailedRenewal(t *testing.T) {
	t.Parallel()
	s := open(t)
	for code, status := range map[int]rules.AccessStatus{
		banks.CodeLoginNotPossible: rules.AccessActive, banks.CodeConfirmAtBank: rules.AccessActive, banks.CodeExpired: rules.AccessActive,
		banks.CodeCancelled: rules.AccessActive, banks.CodePINInvalid: rules.AccessNeedsAuth,
	} {
		a, step := granted(t, s, time.Time{})
		_, err := s.End(t.Context(), step.Sync.ID, 0)
		require.NoError(t, err)
		id, err := queue(s, a.ID)
		require.NoError(t, err)
		require.NoError(t, s.DB.Exec(`UPDATE synchronizations SET renew_consent = true WHERE id = ?`, id).Error)
		session, err := s.OpenSession(t.Context(), id)
		require.NoError(t, err)
		require.Equal(t, id.String(), session.Conversation.Renew)
		session.Conversation.Lasting, session.Conversation.Granted = json.RawMessage(`{"consent_id":"1","next":{"consent_id":"2"}}`), &banks.Grant{}
		require.NoError(t, session.Transact(t.Context(), session.Save))
		_, err = s.End(t.Context(), id, code)
		require.NoError(t, err)

		var now models.Access
		require.NoError(t, s.DB.Take(&now, "id = ?", a.ID).Error)
		require.Equal(t, status, now.Status, code)
		_, err = models.ValidConsent(s.DB, a.ID)
		require.NoError(t, err)
		require.Empty(t, owed(t, s, a.ID), "they may grant it still")
		if code != banks.CodeCancelled {
			continue
		}
		// They do, while the cancel is on its way. The bank has ended the other.
		session.Conversation.Lasting, session.Conversation.Left = json.RawMessage(`{"consent_id":"2"}`), []json.RawMessage{json.RawMessage(`{"consent_id":"1"}`)}
		require.Error(t, session.Transact(t.Context(), session.Save))
		require.Equal(t, []string{`{"consent_id":"1"}`}, owed(t, s, a.ID))
		id, err = queue(s, a.ID)
		require.NoError(t, err)
		session, err = s.OpenSession(t.Context(), id)
		require.NoError(t, err)
		require.JSONEq(t, `{"consent_id":"2"}`, string(session.Conversation.Lasting))
	}
}
