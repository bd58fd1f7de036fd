package lenient_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"kontoflow/plain"
	"kontoflow/providers/lenient"
)

func TestAmount(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"1": "1", "-1.50": "-1.5", "+0.70": "0.7", "1234567890123456.78": "1234567890123456.78", "-,5": "-0.5", "2,20": "2.2",
		"123456789012345678.12345678": "123456789012345678.12345678", "-123456789012345678,9": "-123456789012345678.9", "000": "0",
	} {
		got, ok := lenient.Amount(s)
		require.True(t, ok, s)
		require.Equal(t, want, got.String(), s)
	}
	for _, s := range []string{"", "-", ".", "1e9", "NaN", "1.234,56", "1 000", "0x1", "--1", "1234567890123456789", "1.1234567890123456789", "١"} {
		_, ok := lenient.Amount(s)
		require.False(t, ok, s)
	}
}

func TestDate(t *testing.T) {
	t.Parallel()
	require.Equal(t, plain.Day(2026, 1, 31), lenient.Date("2026-01-31"))
	require.Equal(t, plain.Day(2026, 1, 31), lenient.Date("2026-01-31T23:59:59-11:00"))
	for _, s := range []string{"", "2026-02-30", "31.01.2026", "20260131", "0001-01-01", "9999-12-31", "2026-01-31x"} {
		require.True(t, lenient.Date(s).IsZero(), s)
	}
}

func TestIBAN(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"DE67900900424711951500": "DE67900900424711951500", " de67 9009 0042 4711 9515 00": "DE67900900424711951500", "NO9386011117947": "NO9386011117947",
		"DE00900900424711951500": "DE00900900424711951500",
	} {
		got, ok := lenient.IBAN(s)
		require.True(t, ok, s)
		require.Equal(t, want, got)
	}
	for _, s := range []string{"", "5232********1234", "4711951500", "DE67", "DE6790090042471195150012345678901234567", "ДЕ67900900424711951500"} {
		_, ok := lenient.IBAN(s)
		require.False(t, ok, s)
	}
}

func TestText(t *testing.T) {
	t.Parallel()
	require.Equal(t, "Jürgen Groß", lenient.Text("  Jürgen\x00 Groß\r\n", 100))
	require.Equal(t, "a b", lenient.Text("a\tb\x1b", 100))
	require.Equal(t, "aé", lenient.Text("aéé", 4), "no character is cut in two")
	require.Equal(t, "EUR", lenient.Currency(" eur "))
	require.Empty(t, lenient.Currency("€"))
}

func FuzzText(f *testing.F) {
	f.Add("a\x00b\xff", 3)
	f.Fuzz(func(t *testing.T, s string, max int) {
		if max < 0 {
			return
		}
		clean := lenient.Text(s, max)
		require.True(t, utf8.ValidString(clean))
		require.LessOrEqual(t, len(clean), max)
		require.False(t, strings.ContainsRune(clean, 0))
	})
}

func FuzzAmount(f *testing.F) {
	f.Add("-12,345.6")
	f.Fuzz(func(t *testing.T, s string) {
		if d, ok := lenient.Amount(s); ok {
			require.LessOrEqual(t, len(d.String()), 33)
		}
	})
}
