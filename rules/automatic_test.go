package rules_test

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kontoflow/kontoflow/rules"
)

var now = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// obstacles are what speaks against automatic synchronization, in the order in which they are told.
var obstacles = []struct {
	reason rules.Reason
	is     func(f *rules.AutoFacts)
}{
	{rules.UpgradePending, func(f *rules.AutoFacts) { f.Superseded = true }},
	{rules.Disabled, func(f *rules.AutoFacts) { f.Unwanted = true }},
	{rules.WrongCredentials, func(f *rules.AutoFacts) { f.StoppedBy = rules.WrongCredentials }},
	{rules.NeedsUserEachTime, func(f *rules.AutoFacts) { f.NeedsUserEachTime = true }},
	{rules.ConsentExpired, func(f *rules.AutoFacts) { f.Consent = nil }},
	{rules.NoStoredSecrets, func(f *rules.AutoFacts) { f.SecretsMissing = true }},
	{rules.UserActionRequired, func(f *rules.AutoFacts) { f.Status = rules.AccessNeedsAuth }},
}

func autonomous() rules.AutoFacts {
	return rules.AutoFacts{Status: rules.AccessActive, GrantsConsents: true, Consent: &rules.Consent{}, NextSyncAt: now.Add(time.Hour)}
}

// Whatever comes together, the reason is what the client has to do something about first.
func TestReasons(t *testing.T) {
	t.Parallel()
	for all := range 1 << len(obstacles) {
		facts, first := autonomous(), rules.Reason("")
		for i, o := range slices.Backward(obstacles) {
			if all&(1<<i) != 0 {
				o.is(&facts)
				first = o.reason
			}
		}
		require.Equal(t, first, facts.Decide(now).Reason, "%b", all)
	}
}

func TestConsentsForReadingAlone(t *testing.T) {
	t.Parallel()
	with := func(change func(f *rules.AutoFacts)) rules.Reason {
		facts := autonomous()
		change(&facts)
		return facts.Decide(now).Reason
	}
	require.Empty(t, with(func(f *rules.AutoFacts) { f.Consent.ValidUntil = now.Add(time.Second) }))
	require.Equal(t, rules.ConsentExpired, with(func(f *rules.AutoFacts) { f.Consent.ValidUntil = now }))
	require.Equal(t, rules.ConsentExpired, with(func(f *rules.AutoFacts) { f.OneTime = true }))
	require.Empty(t, with(func(f *rules.AutoFacts) { f.GrantsConsents, f.Consent = false, nil }), "a bank that grants none")
	require.Equal(t, rules.UserActionRequired, with(func(f *rules.AutoFacts) { f.Status, f.Consent = rules.AccessNew, nil }), "nobody asked for one yet")

	facts := autonomous()
	facts.Consent.ValidUntil = facts.NextSyncAt
	require.Zero(t, facts.Decide(now).NextSyncAt, "it ends before")
}

// In any 24 hours there are at most as many readings without the customer as the bank lets, and the time that is told for
// the next one is the first at which there may be one.
func TestReadsLeft(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		facts := autonomous()
		facts.Consent.FrequencyPerDay = rapid.IntRange(0, 6).Draw(t, "frequency")
		allowed := rules.DailyReads
		if f := facts.Consent.FrequencyPerDay; f > 0 {
			allowed = min(allowed, f)
		}
		minutes := rapid.SliceOfN(rapid.IntRange(0, 24*60-1), 0, 8).Draw(t, "minutes ago")
		for _, m := range minutes {
			facts.Reads = append(facts.Reads, now.Add(-time.Duration(m)*time.Minute))
		}
		within := func(at time.Time) (n int) {
			for _, end := range facts.Reads {
				if end.After(at.Add(-24 * time.Hour)) {
					n++
				}
			}
			return n
		}
		a := facts.Decide(now)
		require.Equal(t, max(0, allowed-within(now)), a.Remaining)
		if a.Remaining > 0 {
			require.Zero(t, a.RetryAt)
			require.Equal(t, facts.NextSyncAt, a.NextSyncAt)
			return
		}
		require.Less(t, within(a.RetryAt), allowed, "there may be one")
		require.GreaterOrEqual(t, within(a.RetryAt.Add(-time.Nanosecond)), allowed, "and not before")
		require.False(t, a.NextSyncAt.Before(a.RetryAt))
	})
}

// Every day has a reading, and at the same time: the next slot is later today or tomorrow, and today only where what was
// read will be six hours old.
func TestNextSlot(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var access uuid.UUID
		binary.BigEndian.PutUint64(access[8:], rapid.Uint64().Draw(t, "access"))
		read := now.Add(time.Duration(rapid.Int64Range(0, int64(48*time.Hour)).Draw(t, "read")))
		today := read.Truncate(24 * time.Hour)
		slot := rules.NextSlot(access, read)
		switch slot.Truncate(24 * time.Hour) {
		case today:
			require.GreaterOrEqual(t, slot.Sub(read), 6*time.Hour)
		case today.Add(24 * time.Hour):
			require.Less(t, slot.Add(-24*time.Hour).Sub(read), 6*time.Hour)
		default:
			t.Fatal("neither today nor tomorrow")
		}
	})
}
