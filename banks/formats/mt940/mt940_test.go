package mt940_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/formats/mt940"
	"github.com/kontoflow/kontoflow/internal/civil"
)

// specified is the example of the specification ("Messages – Finanzdatenformate", section B.8.1), with a last day that
// exists.
const specified = `
:20:1234567
:21:9876543210
:25:10020030/1234567
:28C:5/1
:60F:C011101EUR2187,95
:61:0111011102DR800,NSTONONREF//55555
/OCMT/EUR409,03/
:86:008?00DAUERAUFTRAG?100599?20Miete Nov
ember?3010020030?31234567
?32MUELLER?34339
:61:0111021102CR3000,NTRFNONREF//55556
/OCMT/USD1533,88/
:86:051?00UEBERWEISUNG?100599?20Gehalt Ok
tober
?21Firma Mustermann GmbH?3050060400?31084
7564700?32MUELLER?34339
:62F:C011130EUR4387,95
-
`

func TestSpecification(t *testing.T) {
	t.Parallel()
	for name, file := range map[string]string{
		"CR LF": strings.ReplaceAll(specified, "\n", "\r\n"), "LF": specified, "@@": strings.ReplaceAll(specified, "\n", "@@"),
	} {
		report, err := mt940.Read(file, "CHF")
		require.NoError(t, err, name)
		require.Len(t, report.Entries, 2)
		require.Equal(t, banks.Entry{
			TransactionID: "55555", BookingDate: civil.Day(2001, 11, 2), ValueDate: civil.Day(2001, 11, 1),
			Amount: report.Entries[0].Amount, Currency: "EUR",
			OriginalAmount: report.Entries[0].OriginalAmount, OriginalCurrency: "EUR",
			Counterparty: banks.Party{Name: "MUELLER", AccountNumber: "234567", BankCode: "10020030"},
			Remittance:   []string{"Miete November"}, BookingText: "DAUERAUFTRAG", BookingKey: "008", PrimanotaCode: "0599",
			AdditionalInfo: map[string]string{"text_key_extension": "339"},
		}, report.Entries[0])
		requireAmount(t, "-800", report.Entries[0].Amount)
		requireAmount(t, "-409.03", report.Entries[0].OriginalAmount)
		requireAmount(t, "3000", report.Entries[1].Amount)
		requireAmount(t, "1533.88", report.Entries[1].OriginalAmount)
		require.Equal(t, "USD", report.Entries[1].OriginalCurrency)
		require.Equal(t, []string{"Gehalt Oktober", "Firma Mustermann GmbH"}, report.Entries[1].Remittance)
		require.Equal(t, "openingBooked", report.Balances[0].Type)
		require.Equal(t, "closingBooked", report.Balances[1].Type)
		require.Equal(t, civil.Day(2001, 11, 30), report.Balances[1].Date)
		requireAmount(t, "4387.95", report.Balances[1].Amount)
	}
}

func requireAmount(t *testing.T, want string, got decimal.Decimal) {
	t.Helper()
	require.True(t, decimal.RequireFromString(want).Equal(got), "want %s, got %s", want, got)
}

func TestSEPATags(t *testing.T) {
	t.Parallel()
	report, err := mt940.Read(":20:STARTUMS\r\n:25:67900042/4711951500\r\n:28C:0\r\n:60F:C260101EUR1,00\r\n:61:2601020102D12,34NDDTKREF-1//BANKREF1\r\n"+
		":86:105?00FOLGELASTSCHRIFT?109248?20EREF+RE-2026-01-0001/ABC-DE?21FGH?22MREF+M-17?23CRED+DE98ZZZ09999999999?24SVWZ+Strom Janu"+
		"ar 26, Absch?25lag f\xfcr M\xfcller & S\xf6hne?26PURP+OTHR?27ABWA+Stadtwerke?30DEMODE01XXX?31DE67900900424711951500"+
		"?32Stadtwerke Musterstadt Gese?33llschaft\r\n"+
		":61:2512310102RC5,NMSCNONREF\r\n:86:Freitext ohne Struktur\r\n:61:260103D1,00NMSCNONREF\r\n:62F:D260103EUR16,34\r\n:86:zum Auszug\r\n-", "")
	require.NoError(t, err)
	require.Len(t, report.Entries, 3)
	e := report.Entries[0]
	require.Equal(t, "RE-2026-01-0001/ABC-DEFGH", e.EndToEndID)
	require.Equal(t, "M-17", e.MandateID)
	require.Equal(t, "DE98ZZZ09999999999", e.CreditorID)
	require.Equal(t, "OTHR", e.PurposeCode)
	require.Equal(t, "KREF-1", e.CustomerReference)
	require.Equal(t, "BANKREF1", e.TransactionID)
	require.Equal(t, []string{"Strom Januar 26, Abschlag für Müller & Söhne"}, e.Remittance)
	require.Equal(t, banks.Party{Name: "Stadtwerke Musterstadt Gesellschaft", IBAN: "DE67900900424711951500", BIC: "DEMODE01XXX"}, e.Counterparty)
	require.Equal(t, map[string]string{"ultimate_party": "Stadtwerke"}, e.AdditionalInfo)

	e = report.Entries[1]
	requireAmount(t, "-5", e.Amount)
	require.Equal(t, civil.Day(2026, 1, 2), e.BookingDate, "across the end of the year")
	require.Equal(t, civil.Day(2025, 12, 31), e.ValueDate)
	require.Equal(t, []string{"Freitext ohne Struktur"}, e.Remittance)
	require.Empty(t, report.Entries[2].Remittance, "the text behind a balance belongs to no entry")
	requireAmount(t, "-16.34", report.Balances[1].Amount)
}

func TestMT942(t *testing.T) {
	t.Parallel()
	report, err := mt940.Read(":20:STARTDISPE\r\n:25:67900042/4711951500\r\n:28C:00000/001\r\n:34F:USD0,\r\n:13D:2601031200+0100\r\n"+
		":61:260103D0,70NMSCNONREF\r\n:86:005?20PARKEN?32STADT\r\n:61:260103D0,70NMSCNONREF\r\n:86:005?20PARKEN?32STADT\r\n:90D:2USD1,40\r\n:90C:0USD0,\r\n-", "EUR")
	require.NoError(t, err)
	require.Len(t, report.Entries, 2, "twins are two")
	require.Equal(t, report.Entries[0], report.Entries[1])
	require.Equal(t, "USD", report.Entries[0].Currency)
	requireAmount(t, "-0.70", report.Entries[0].Amount)
}

func TestOthers(t *testing.T) {
	t.Parallel()
	report, err := mt940.Read("", "EUR")
	require.NoError(t, err)
	require.Empty(t, report.Entries)
	for _, file := range []string{"no statement", "<?xml", "\x00\xff", ":25:00 Uhr", "Wartung\n:86:bis acht", ":13:30 Uhr\r\n-\r\n"} {
		_, err := mt940.Read(file, "EUR")
		require.ErrorIs(t, err, mt940.ErrNone, file)
	}
	for _, entry := range []string{"", "26", "260101", "260101X1,00NMSC", "260101DN", "260101D1,2,3NMSC", "260101D" + strings.Repeat("9", 40) + "NMSC"} {
		_, err := mt940.Read(":20:X\n:61:"+entry+"\n", "EUR")
		require.ErrorIs(t, err, mt940.ErrEntry, entry)
		var place *banks.EntryError
		require.ErrorAs(t, err, &place, entry)
		require.Regexp(t, `^statement 1, entry 1, field 61: (sign|amount)$`, place.Place)
		require.Equal(t, place.Error(), banks.OwnWords(err).Error(), "what is logged names the place")
	}
}

// Where neither the entry nor its statement has a day, it is booked today.
func TestNoDayAtAll(t *testing.T) {
	t.Parallel()
	before := civil.On(time.Now())
	report, err := mt940.Read(":20:X\r\n:61:261302D1,00NMSCNONREF\r\n-", "EUR")
	require.NoError(t, err)
	require.GreaterOrEqual(t, report.Entries[0].BookingDate, before)
	require.True(t, report.Entries[0].ValueDate.IsZero())
	require.Equal(t, banks.Unreadable{Count: 1, First: "statement 1, entry 1, field 61: value date"}, report.Unreadable)
}

// The first statement of an account has no day in its opening balance: "0" ("Messages – Finanzdatenformate", section B.8).
func TestFirstStatement(t *testing.T) {
	t.Parallel()
	report, err := mt940.Read(":20:X\r\n:60F:C0CHF0,00\r\n:61:260103C0,70NMSCNONREF\r\n:62F:C260103CHF0,70\r\n-", "EUR")
	require.NoError(t, err)
	require.Equal(t, "CHF", report.Entries[0].Currency)
	require.Len(t, report.Balances, 2)
	require.Equal(t, "openingBooked", report.Balances[0].Type)
	require.True(t, report.Balances[0].Date.IsZero())
}

func TestJoin(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		parts []string
		want  string
	}{
		{nil, ""}, {[]string{"", ""}, ""}, {[]string{"", ":20:A"}, ":20:A"},
		{[]string{":20:A", ":20:B"}, ":20:A\r\n:20:B"}, {[]string{":20:A\r\n", "", ":20:B"}, ":20:A\r\n:20:B"},
		{[]string{":20:A@@", ":20:B"}, ":20:A@@:20:B"}, {[]string{":61:26", "0302"}, ":61:260302"},
	} {
		require.Equal(t, row.want, mt940.Join(row.parts...), row.parts)
	}
}

// A bank may cut a file into thousands of parts. However many there are, the whole is allocated once.
func TestJoinIsLinear(t *testing.T) { //nolint:paralleltest // allocations of other tests would count
	part := ":20:A\r\n" + strings.Repeat("x", 1000)
	for _, n := range []int{100, 10_000} {
		parts := slices.Repeat([]string{part}, n)
		require.LessOrEqual(t, testing.AllocsPerRun(3, func() { mt940.Join(parts...) }), 2.0, "%d parts", n)
	}
}

func FuzzRead(f *testing.F) {
	f.Add(specified)
	f.Add(":61:260103D0,70NMSCNONREF\r\n:86:005?20EREF+X?21SVWZ+Y?32STADT\r\n")
	f.Fuzz(func(t *testing.T, file string) {
		statements, rest := mt940.Complete(file)
		require.Equal(t, file, statements+rest)
		report, err := mt940.Read(file, "EUR")
		if err != nil {
			return
		}
		require.LessOrEqual(t, len(report.Balances), 50)
		for _, e := range report.Entries {
			require.NotEmpty(t, e.Currency)
			require.False(t, e.BookingDate.IsZero())
		}
	})
}

func BenchmarkRead(b *testing.B) {
	file := strings.Repeat(strings.ReplaceAll(specified, "\n", "\r\n"), 500)
	b.SetBytes(int64(len(file)))
	b.ReportAllocs()
	for b.Loop() {
		report, err := mt940.Read(file, "EUR")
		if err != nil || len(report.Entries) != 1000 {
			b.Fatal(err)
		}
	}
}
