package sandbox_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/sandbox"
)

// What comes back undoes something that was booked three working days before, all but the charges.
func TestReturns(t *testing.T) {
	t.Parallel()
	b := sandbox.New(sandbox.Options{})
	ledgers, err := b.Ledgers("returns")
	require.NoError(t, err)
	kinds := map[string]int{}
	entries := ledgers[0].Entries
	for _, back := range entries {
		if back.Reason == "" {
			continue
		}
		kinds[back.GVC]++
		require.Equal(t, back.Cents, back.OriginalCents-back.ChargeCents)
		require.NotEmpty(t, back.ReasonText)
		undone := 0
		for _, e := range entries {
			if e.Reason == "" && e.Cents == -back.OriginalCents && e.Name == back.Name && e.IBAN == back.IBAN && e.EndToEndID == back.EndToEndID && e.BookingDate < back.BookingDate {
				undone++
			}
		}
		if back.BookingDate > ledgers[0].Entries[len(entries)-1].BookingDate.AddDays(-80) { // else it may lie before the first day that is shown
			require.Positive(t, undone, "%+v", back)
		}
	}
	require.Positive(t, kinds["109"], "direct debits that others gave back")
	require.Positive(t, kinds["159"], "transfers")
	require.Positive(t, kinds["181"], "direct debits that the holder gave back")
}
