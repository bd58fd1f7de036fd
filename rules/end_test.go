package rules_test

import (
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/rules"
)

func code(c int) *rules.SyncError { return &rules.SyncError{Code: c} }

func codeOf(e *rules.SyncError) int {
	if e == nil {
		return 0
	}
	return e.Code
}

func TestSettle(t *testing.T) {
	t.Parallel()
	done, pending := rules.AccountResult{Status: rules.AccountCompleted}, rules.AccountResult{Status: rules.AccountPending}
	failed := func(c int) rules.AccountResult {
		return rules.AccountResult{Status: rules.AccountFailed, Error: code(c)}
	}
	card := rules.AccountResult{Status: rules.AccountCompleted, Unread: true}
	type want struct {
		code    int // of the synchronization; 0: COMPLETED
		access  rules.AccessStatus
		leaves  bool
		attempt bool // all accounts of the access are told
		stays   bool // neither the access nor its next run change
	}
	active := rules.EndFacts{Access: rules.AccessActive, GrantsConsents: true, HasConsent: true, HadConsent: true}
	with := func(change func(f *rules.EndFacts)) rules.EndFacts {
		f := active
		change(&f)
		return f
	}
	for name, c := range map[string]struct {
		facts rules.EndFacts
		want  want
	}{
		"all is read": {with(func(f *rules.EndFacts) { f.Accounts = []rules.AccountResult{done, done} }), want{access: rules.AccessActive}},
		"one account fails alone": {with(func(f *rules.EndFacts) { f.Accounts = []rules.AccountResult{done, failed(10011)} }),
			want{access: rules.AccessActive}},
		"all accounts fail: the first one's error": {with(func(f *rules.EndFacts) { f.Accounts = []rules.AccountResult{failed(20000), failed(10011)} }),
			want{code: 20000}},
		"all accounts fail that were asked for": {with(func(f *rules.EndFacts) { f.Accounts = []rules.AccountResult{failed(20000), card} }),
			want{code: 20000}},
		"cards alone": {with(func(f *rules.EndFacts) { f.Accounts = []rules.AccountResult{card} }), want{access: rules.AccessActive}},
		"a reading that never ended": {with(func(f *rules.EndFacts) { f.Accounts = []rules.AccountResult{pending} }),
			want{code: banks.CodeTemporary}},
		"the PIN was refused for one account": {with(func(f *rules.EndFacts) { f.Accounts = []rules.AccountResult{done, failed(10001)} }),
			want{access: rules.AccessNeedsAuth}},
		"the login failed": {with(func(f *rules.EndFacts) { f.Failure = code(10002) }), want{code: 10002, access: rules.AccessNeedsAuth, attempt: true}},
		"maintenance":      {with(func(f *rules.EndFacts) { f.Failure = code(20003) }), want{code: 20003, attempt: true}},
		"nothing goes on without a consent": {with(func(f *rules.EndFacts) { f.Failure, f.HasConsent, f.HadConsent = code(30005), false, false }),
			want{code: 30005, access: rules.AccessNeedsAuth, attempt: true}},
		"a bank that grants none": {with(func(f *rules.EndFacts) { f.Failure, f.HasConsent, f.GrantsConsents = code(30005), false, false }),
			want{code: 30005, attempt: true}},
		"cancelled before anything is in force": {with(func(f *rules.EndFacts) { f.Access, f.Failure, f.HasConsent = rules.AccessNew, code(30007), false }),
			want{code: 30007, leaves: true, attempt: true}},
		"cancelled beside a consent": {with(func(f *rules.EndFacts) { f.Failure = code(30007) }), want{code: 30007, attempt: true}},
		"cancelled when all was read": {with(func(f *rules.EndFacts) { f.CancelRequested = true; f.Accounts = []rules.AccountResult{done} }),
			want{access: rules.AccessActive}},
		"left by the client when all was read": {with(func(f *rules.EndFacts) {
			f.CancelRequested, f.LeftBank, f.HasConsent = true, true, false
			f.Accounts = []rules.AccountResult{done}
		}), want{}},
		"only the renewal failed": {with(func(f *rules.EndFacts) { f.RenewsConsent, f.Failure = true, code(30005) }), want{code: 30005, stays: true}},
		"the renewal failed with the PIN": {with(func(f *rules.EndFacts) { f.RenewsConsent, f.Failure = true, code(10001) }),
			want{code: 10001, access: rules.AccessNeedsAuth, attempt: true}},
		"a renewal of what was never in force": {with(func(f *rules.EndFacts) { f.RenewsConsent, f.HadConsent, f.Failure = true, false, code(20003) }),
			want{code: 20003, attempt: true}},
		"a renewal that read something": {with(func(f *rules.EndFacts) {
			f.RenewsConsent, f.Failure, f.Accounts = true, code(20003), []rules.AccountResult{pending}
		}), want{code: 20003}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := rules.Settle(c.facts)
			require.Equal(t, c.want, want{code: codeOf(s.Failure), access: s.Access, leaves: s.LeavesBank, attempt: s.Attempt != nil, stays: s.OnlyRenewal})
			for _, a := range s.Accounts {
				require.NotEqual(t, rules.AccountPending, a.Status)
				require.Equal(t, a.Status == rules.AccountFailed, a.Error != nil)
			}
			if c.want.stays {
				require.Equal(t, rules.NextRun{}, s.NextRun(c.facts, uuid.New(), 0, now))
			}
		})
	}
}

func TestSecrets(t *testing.T) {
	t.Parallel()
	yes, no := true, false
	for _, c := range []struct {
		save    *bool
		failure *rules.SyncError
		want    rules.SecretsAction
	}{
		{nil, nil, rules.ForgetGiven},
		{nil, code(10001), rules.ForgetGiven},
		{&no, nil, rules.ForgetStored},
		{&no, code(10001), rules.ForgetStored},
		{&yes, nil, rules.StoreGiven},
		{&yes, code(20003), rules.StoreGiven},
		{&yes, code(10000), rules.ForgetGiven},
		{&yes, code(10001), rules.ForgetGiven},
	} {
		require.Equal(t, c.want, rules.Settle(rules.EndFacts{SaveSecrets: c.save, Failure: c.failure}).Secrets)
	}
}

func TestNextRun(t *testing.T) {
	t.Parallel()
	access := uuid.New()
	slot := rules.NextSlot(access, now)
	reason := func(r rules.Reason) *rules.Reason { return &r }
	count := func(n int) *int { return &n }
	passing := rules.AccountResult{Status: rules.AccountFailed, Error: code(20003)}
	gone := rules.AccountResult{Status: rules.AccountFailed, Error: code(10011)}
	done := rules.AccountResult{Status: rules.AccountCompleted}
	late := slot.Add(time.Hour)
	told := &rules.SyncError{Code: 20000, Data: map[string]any{"retry_at": late.Format(time.RFC3339)}}
	for name, c := range map[string]struct {
		facts    rules.EndFacts
		failures int
		want     rules.NextRun
	}{
		"all is read": {rules.EndFacts{Trigger: rules.Auto, ReadsTransactions: true, Accounts: []rules.AccountResult{done}}, 2,
			rules.NextRun{StoppedBy: reason(""), Failures: count(0), NextSyncAt: slot}},
		"only the accounts are read: the day is not done": {rules.EndFacts{Trigger: rules.Manual, Accounts: []rules.AccountResult{done}}, 2,
			rules.NextRun{StoppedBy: reason(""), Failures: count(0)}},
		"the PIN is wrong":                {rules.EndFacts{Trigger: rules.Auto, Failure: code(10001)}, 1, rules.NextRun{StoppedBy: reason(rules.WrongCredentials)}},
		"the bank wants the customer":     {rules.EndFacts{Trigger: rules.Manual, Failure: code(20007)}, 1, rules.NextRun{StoppedBy: reason(rules.UserActionRequired)}},
		"a manual one failed":             {rules.EndFacts{Trigger: rules.Manual, Failure: code(20003)}, 0, rules.NextRun{}},
		"an automatic one is cancelled":   {rules.EndFacts{Trigger: rules.Auto, Failure: code(30007)}, 0, rules.NextRun{}},
		"it failed: an hour later":        {rules.EndFacts{Trigger: rules.Auto, Failure: code(20000)}, 0, rules.NextRun{Failures: count(1), NextSyncAt: now.Add(time.Hour)}},
		"then six":                        {rules.EndFacts{Trigger: rules.Auto, Failure: code(20000)}, 1, rules.NextRun{Failures: count(2), NextSyncAt: now.Add(6 * time.Hour)}},
		"then the next day":               {rules.EndFacts{Trigger: rules.Auto, Failure: code(20000)}, 2, rules.NextRun{Failures: count(3), NextSyncAt: slot}},
		"not before the bank wants it":    {rules.EndFacts{Trigger: rules.Auto, Failure: told}, 0, rules.NextRun{Failures: count(1), NextSyncAt: late.Truncate(time.Second)}},
		"an account failed for a while":   {rules.EndFacts{Trigger: rules.Auto, ReadsTransactions: true, Accounts: []rules.AccountResult{done, passing}}, 0, rules.NextRun{Failures: count(1), NextSyncAt: now.Add(time.Hour)}},
		"an account is gone for good":     {rules.EndFacts{Trigger: rules.Auto, ReadsTransactions: true, Accounts: []rules.AccountResult{done, gone}}, 0, rules.NextRun{StoppedBy: reason(""), Failures: count(0), NextSyncAt: slot}},
		"one that never ended in a whole": {rules.EndFacts{Trigger: rules.Auto, ReadsTransactions: true, Accounts: []rules.AccountResult{done, {Status: rules.AccountPending}}}, 0, rules.NextRun{Failures: count(1), NextSyncAt: now.Add(time.Hour)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, rules.Settle(c.facts).NextRun(c.facts, access, c.failures, now))
		})
	}
}
