package civil_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kontoflow/kontoflow/internal/civil"
)

// The day that a clock shows is the day, wherever the clock hangs.
func TestOnIsTheDayOfTheClock(t *testing.T) {
	t.Parallel()
	for _, offset := range []int{-12, -1, 0, 1, 14} {
		zone := time.FixedZone("", offset*3600)
		for _, hour := range []int{0, 12, 23} {
			require.Equal(t, "2026-03-29", civil.On(time.Date(2026, time.March, 29, hour, 59, 59, 999, zone)).String())
		}
	}
}

func TestParseAndString(t *testing.T) {
	t.Parallel()
	for _, s := range []string{"2026-01-31", "2024-02-29", "1970-01-01", "1969-12-30", "0001-01-01", "9999-12-31"} {
		d, err := civil.Parse(s)
		require.NoError(t, err)
		require.Equal(t, s, d.String())
	}
	for _, s := range []string{"", "2026-02-29", "2026-13-01", "26-01-31", "2026-1-31", "31.01.2026", "2026-01-31T00:00:00Z", " 2026-01-31"} {
		_, err := civil.Parse(s)
		require.Error(t, err, "%q", s)
	}
}

func TestZeroIsNoDate(t *testing.T) {
	t.Parallel()
	var none civil.Date
	require.True(t, none.IsZero())
	require.Empty(t, none.String())
	require.Zero(t, none.AddDays(14))
	require.True(t, none.Time().IsZero())
	require.False(t, civil.Day(1970, time.January, 1).IsZero(), "the first day is a day")
	require.Zero(t, civil.Day(1969, time.December, 31), "no booking is that old; who sends it has no date")
	require.Less(t, civil.Day(2026, time.February, 28), civil.Day(2026, time.March, 1))
}

func TestDaysAreConsecutive(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		year, month, day := rapid.IntRange(1, 9999).Draw(t, "year"), rapid.IntRange(1, 12).Draw(t, "month"), rapid.IntRange(1, 31).Draw(t, "day")
		n := rapid.IntRange(-1000, 1000).Draw(t, "days")
		d := civil.Day(year, time.Month(month), day)
		if d == 0 {
			t.Skip("the day before 1970-01-01 stands for no date")
		}
		instant := time.Date(year, time.Month(month), day, 0, 0, 0, 0, time.UTC)
		require.Equal(t, instant, d.Time())
		if later := d.AddDays(n); later != 0 {
			require.Equal(t, instant.AddDate(0, 0, n), later.Time())
		}
	})
}

func TestJSON(t *testing.T) {
	t.Parallel()
	type row struct {
		Day civil.Date `json:"day,omitempty"`
	}
	b, err := json.Marshal([]row{{civil.Day(2026, time.January, 31)}, {}})
	require.NoError(t, err)
	require.JSONEq(t, `[{"day":"2026-01-31"},{}]`, string(b))
	var rows []row
	require.NoError(t, json.Unmarshal([]byte(`[{"day":"2026-01-31"},{"day":""},{}]`), &rows))
	require.Equal(t, []row{{civil.Day(2026, time.January, 31)}, {}, {}}, rows)
	require.Error(t, json.Unmarshal([]byte(`{"day":"soon"}`), new(row)))
}

func TestDatabase(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		d := civil.Date(rapid.Int32Range(-700_000, 2_900_000).Draw(t, "day"))
		value, err := d.Value()
		require.NoError(t, err)
		var read civil.Date
		require.NoError(t, read.Scan(value))
		require.Equal(t, d, read)
	})
	value, err := civil.Date(0).Value()
	require.NoError(t, err)
	require.Nil(t, value)
	var d civil.Date
	require.NoError(t, d.Scan("2026-01-31"))
	require.Equal(t, civil.Day(2026, time.January, 31), d)
	require.Error(t, d.Scan(42))
	require.Error(t, d.Scan("soon"))
}
