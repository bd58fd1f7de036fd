package lenient_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks/formats/lenient"
	"github.com/kontoflow/kontoflow/internal/civil"
)

func TestAmount(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]string{
		"1": "1", "-1.50": "-1.5", "+0.70": "0.7", "1234567890123456.78": "1234567890123456.78", "-,5": "-0.5", "2,20": "2.2",
		"123456789012345678.12345678": "123456789012345678.12345678", "-123456789012345678,9": "-123456789012345678.9", "000": "0",
		"1.2345678E7": "12345678", "-1.5e-3": "-0.0015", "1.1234567890123456789": "1.123456789012", "0.30000000000000004": "0.3", "1E3": "1000", "9.99999999999E11": "999999999999",
		"1,234.56": "1234.56", "1.234,56": "1234.56", "1 234,56": "1234.56", "1'234'567.89": "1234567.89", "1.234.567": "1234567",
		"1,234,567": "1234567", "12\u00a0345,00": "12345", "1.234": "1.234", "0,234": "0.234", "1234,567": "1234.567",
		"\u22125.00": "-5", "- 6.00": "-6", "7.00-": "-7", "8.00 +": "8", " 9.00 ": "9", "\u201310.00": "-10",
	} {
		got, ok := lenient.Amount(s)
		require.True(t, ok, s)
		require.Equal(t, want, got.String(), s)
	}
	for _, s := range []string{"", "-", ".", "NaN", "Infinity", "0x1", "--1", "1234567890123456789", "١", "1e", "1e999",
		"1E18", "1,234", "12..34", "1,23,456", "1.23.456", "1 23", "12 34.5", "1,234'567", "- ", "-1-", "1.5.2", "EUR 5"} {
		_, ok := lenient.Amount(s)
		require.False(t, ok, s)
	}
}

func TestWithoutNoise(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ amount, currency, want string }{
		{"101.960000000017", "EUR", "101.96"}, {"-7.000000000001", "EUR", "-7"}, {"0.30000000000000004", "EUR", "0.3"},
		{"0.300000000004", "EUR", "0.3"}, {"101.95999908", "EUR", "101.96"}, {"1.23456", "EUR", "1.23456"}, {"1.2345678", "EUR", "1.2345678"},
		{"99.999999999", "JPY", "100"}, {"1.234000000001", "KWD", "1.234"}, {"1.500000000001", "???", "1.5"},
	} {
		amount, ok := lenient.Amount(row.amount)
		require.True(t, ok, row)
		require.Equal(t, row.want, lenient.WithoutNoise(amount, row.currency).String(), row)
	}
}

func TestDay(t *testing.T) {
	t.Parallel()
	january := civil.Day(2026, 1, 31)
	for _, s := range []string{"2026-01-31", "20260131", "31.01.2026", "2026/01/31", " 2026-01-31 ", "2026-01-31Z", "2026-01-31+01:00",
		"2026-01-31-05:00", "2026-01-31T23:59:59-11:00", "2026-01-31T23:30:00Z", "2026-01-31 12:00:00", "20260131T120000", "2026-01-31T10:00:00.000+0100"} {
		d, ok := lenient.Day(s)
		require.True(t, ok, s)
		require.Equal(t, january, d, s)
	}
	for s, want := range map[string]civil.Date{"2026-02-30": civil.Day(2026, 2, 28), "2028-02-30": civil.Day(2028, 2, 29), "20260431": civil.Day(2026, 4, 30),
		"31.11.2026": civil.Day(2026, 11, 30), "2026-02-31T00:00:00Z": civil.Day(2026, 2, 28)} {
		d, ok := lenient.Day(s)
		require.False(t, ok, s)
		require.Equal(t, want, d, s)
	}
	for _, s := range []string{"", "   ", "0001-01-01", "9999-12-31", "0000-00-00", "00000000", "9999-12-31T00:00:00"} {
		d, ok := lenient.Day(s)
		require.True(t, ok, s)
		require.True(t, d.IsZero(), s)
	}
	for _, s := range []string{"2026-01-31x", "31 January 2026", "2026-13-01", "2026-01-32", "2026-00-10", "tomorrow", "2026-1-3", "1767139200000"} {
		d, ok := lenient.Day(s)
		require.False(t, ok, s)
		require.True(t, d.IsZero(), s)
	}
}

func TestBerlinDay(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]civil.Date{"2026-01-31T22:59:59Z": civil.Day(2026, 1, 31), "2026-01-31T23:00:00Z": civil.Day(2026, 2, 1),
		"2026-06-30T22:00:00.000Z": civil.Day(2026, 7, 1), "2026-01-31T23:30:00+00:00": civil.Day(2026, 2, 1), "2026-01-31T23:30:00+01:00": civil.Day(2026, 1, 31),
		"2026-01-31T23:30:00": civil.Day(2026, 1, 31), "2026-01-31Z": civil.Day(2026, 1, 31)} {
		d, ok := lenient.BerlinDay(s)
		require.True(t, ok, s)
		require.Equal(t, want, d, s)
	}
	d, ok := lenient.BerlinDay("2026-02-30T12:00:00Z")
	require.False(t, ok)
	require.Equal(t, civil.Day(2026, 2, 28), d)
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

// Marks of direction and invisible characters change what a name seems to say.
func TestFormatCharactersAreLeftOut(t *testing.T) {
	t.Parallel()
	for _, mark := range []string{"\u00ad", "\u061c", "\u200b", "\u200c", "\u200d", "\u200e", "\u200f", "\u202a", "\u202b", "\u202c", "\u202d", "\u202e",
		"\u2060", "\u2066", "\u2067", "\u2068", "\u2069", "\ufeff", "\ufff9", "\U000e0041"} {
		s := mark + "Erika " + mark + "Bei" + mark + "spiel" + mark
		require.Equal(t, "Erika Beispiel", lenient.Text(s, 100), "%q", mark)
		require.Equal(t, "Erika Beispiel", lenient.Line(s, 100), "%q", mark)
		require.Equal(t, "Erika Beispiel", lenient.PlainText("<b>"+s+"</b>", 100), "%q", mark)
		require.Equal(t, "<b>Erika Beispiel</b>", lenient.Markup("<b>"+s+"</b>"), "%q", mark)
	}
	require.Equal(t, "1.00 EUR", lenient.PlainText("1.00&#x202e; EUR", 100), "written as an entity")
	require.Equal(t, "a b", lenient.Text("a\u2028b", 100), "a line's end")
	require.Equal(t, "Łódź Привет 中文", lenient.Text("Łódź Привет 中文", 100), "letters stay")
	require.Equal(t, " a b ", lenient.Line(" a\tb ", 100), "blanks at the ends of a line stay")
	require.Equal(t, "a b", lenient.Line("\n\t a b \r\n ", 100), "indentation goes")
}

func FuzzText(f *testing.F) {
	f.Add("a\x00b\xff", 3)
	f.Add("EUR \u202e00.1\u2066 \u200d", 30)
	f.Fuzz(func(t *testing.T, s string, max int) {
		if max < 0 {
			return
		}
		clean := lenient.Text(s, max)
		require.True(t, utf8.ValidString(clean))
		require.LessOrEqual(t, len(clean), max)
		require.False(t, strings.ContainsFunc(clean, func(r rune) bool { return r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Cf, r)) }))
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
