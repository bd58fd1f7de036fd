package mt940_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kontoflow/kontoflow/banks/formats/mt940"
	"github.com/kontoflow/kontoflow/internal/civil"
)

// hostileLines are lines of a text that look like something else, and words that do not.
var hostileLines = []string{
	":26:37 Karte", ":20:15 Uhr", ":25:00", ":28:12/1", ":13:45:01", ":61:15 Uhr", ":61:12 C 5", ":64:D 7", ":60:00", ":62:30", ":65:", ":99:X", "-", "--", "- Zusatz", "", "  ",
	"{Nord}", "61", ":", "::", ":6", ":86", "@@", "EREF+E-1", "SVWZ+Miete", "?21 Haus", "Miete", "1.TAN 7", " :26:37", "-5,00", "C260302EUR1,00", "260302 D 1,00 NTRF",
}

// Whatever stands in the texts, each entry is read once, in the statement's currency, with its own day and amount.
func TestNoEntryIsLost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		currency := rapid.SampledFrom([]string{"EUR", "CHF", "USD"}).Draw(t, "currency")
		end := rapid.SampledFrom([]string{"\r\n", "\n", "\r"}).Draw(t, "line end")
		lines := []string{":20:STARTUMSE", ":25:50010517/0648489890", ":28C:1/1", ":60F:C260227" + currency + "1000,00"}
		n := rapid.IntRange(1, 6).Draw(t, "entries")
		var want []string
		for i := range n {
			day := rapid.IntRange(1, 28).Draw(t, "day")
			cents := rapid.IntRange(1, 9_999_999).Draw(t, "cents")
			sign := rapid.SampledFrom([]string{"D", "C", "DR", "RC", "RD"}).Draw(t, "mark")
			content := fmt.Sprintf("2603%02d03%02d%s%d,%02dNMSCNONREF//%d", day, day, sign, cents/100, cents%100, i)
			if broken := rapid.IntRange(0, len(content)+60).Draw(t, "broken"); broken < len(content)-len("REF//0") { // before the reference is whole
				content = content[:broken] + end + content[broken:]
			}
			lines = append(lines, rapid.SampledFrom([]string{"", "-", " ", "\x01"}).Draw(t, "junk")+":61:"+content)
			if !rapid.Bool().Draw(t, "text") {
				want = append(want, entryText(day, cents, sign, currency, i))
				continue
			}
			text := []string{rapid.SampledFrom([]string{":86:105?00LASTSCHRIFT?20SVWZ+Anfang", ":86:Anfang", ":86: 5?20Anfang"}).Draw(t, "first line")}
			text = append(text, rapid.SliceOfN(rapid.SampledFrom(hostileLines), 0, 5).Draw(t, "text lines")...)
			lines = append(lines, text...)
			lines = append(lines, rapid.SampledFrom([]string{"Ende", "?32Anna Beispiel"}).Draw(t, "last line"))
			want = append(want, entryText(day, cents, sign, currency, i))
		}
		lines = append(lines, ":62F:C260331"+currency+"1,00", "-", "")
		file := strings.Join(lines, end)

		report, err := mt940.Read(file, "SEK")
		require.NoError(t, err, "%q", file)
		var got []string
		for _, e := range report.Entries {
			got = append(got, fmt.Sprint(e.ValueDate, " ", e.BookingDate, " ", e.Amount.StringFixed(2), " ", e.Currency, " ", e.TransactionID))
		}
		require.Equal(t, want, got, "%q", file)
		require.Len(t, report.Balances, 2, "%q", file)
		require.Zero(t, report.Unreadable.Count, "%q", file)
	})
}

func entryText(day, cents int, sign, currency string, i int) string {
	minus := ""
	if sign == "D" || sign == "DR" || sign == "RC" {
		minus = "-"
	}
	date := civil.Day(2026, 3, day)
	return fmt.Sprint(date, " ", date, " ", minus, cents/100, ".", fmt.Sprintf("%02d", cents%100), " ", currency, " ", i)
}

// Pages are cut anywhere. Put together again by what Complete and Join say, they hold the same entries.
func TestPagesCutAnywhere(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 4 {
		fmt.Fprintf(&b, ":20:STARTUMSE\r\n:25:50010517/0648489890\r\n:28C:%d/1\r\n:60F:C260227EUR1000,00\r\n:61:2603020302D%d,00NMSCNONREF\r\n:86:105?20SVWZ+Kasse 8\r\n:20:15 Uhr\r\n-\r\n"+
			"Ende?32Anna Beispiel\r\n:62F:C260302EUR1,00\r\n-\r\n", i+1, i+1)
	}
	file := b.String()
	whole, err := mt940.Read(file, "EUR")
	require.NoError(t, err)
	require.Len(t, whole.Entries, 4)
	for cut := range len(file) {
		statements, rest := mt940.Complete(file[:cut])
		require.Equal(t, file[:cut], statements+rest)
		first, err := mt940.Read(statements, "EUR")
		require.NoError(t, err, "%q", statements)
		second, err := mt940.Read(mt940.Join(rest, file[cut:]), "EUR")
		require.NoError(t, err, "%q", rest)
		require.Equal(t, whole.Entries, append(first.Entries, second.Entries...), "cut at %d: %q", cut, rest)
	}
}
