package reconcile_test

import (
	"math"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/civil"
	"github.com/kontoflow/kontoflow/reconcile"
)

func euros(amount string) banks.Entry {
	return banks.Entry{BookingDate: day(10), ValueDate: day(10), Amount: decimal.RequireFromString(amount), Currency: "EUR"}
}

func with(e banks.Entry, change func(e *banks.Entry)) banks.Entry {
	change(&e)
	return e
}

func remit(lines ...string) func(e *banks.Entry) {
	return func(e *banks.Entry) { e.Remittance = lines }
}

func TestRemittanceIsJoined(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		lines []string
		want  string
	}{
		"nothing":                   {nil, ""},
		"blank":                     {[]string{" ", "\t"}, ""},
		"a word for nothing":        {[]string{"NOTPROVIDED"}, ""},
		"one line":                  {[]string{"Rechnung 4711"}, "Rechnung 4711"},
		"short lines":               {[]string{"Rechnung 4711", "Kunde 12"}, "Rechnung 4711 Kunde 12"},
		"27 wide, cut in a word":    {[]string{"Rechnung vom vierten Novemb", "er 2026"}, "Rechnung vom vierten November 2026"},
		"27 wide, blank at the cut": {[]string{"Rechnung vom vierten Novem ", "2026"}, "Rechnung vom vierten Novem 2026"},
		"blank lost at the cut":     {[]string{"Rechnung vom vierten Novemb", "er zweitausendsechsundzwan", "zig"}, "Rechnung vom vierten November zweitausendsechsundzwan zig"},
		"140 wide":                  {[]string{strings.Repeat("x", 140), "yz"}, strings.Repeat("x", 140) + "yz"},
		"no known width":            {[]string{"a line of thirty-one characters", "and more"}, "a line of thirty-one characters and more"},
		"cut text and the whole":    {[]string{strings.Repeat("Miete ", 23) + "Mi", strings.Repeat("Miete ", 23) + "Miete 11", "Danke"}, strings.Repeat("Miete ", 23) + "Miete 11 Danke"},
		"the same twice":            {[]string{"Miete Mai", "MIETE MAI"}, "MIETE MAI"},
		"a line that others repeat": {[]string{"Miete", "Miete Mai"}, "Miete Miete Mai"},
		"controls and blanks":       {[]string{" Rechnung\r\n\x00 4711\u00a0\u200b! "}, "Rechnung 4711 !"},
		"UTF-8 read as ISO 8859-1":  {[]string{"MÃ¼ller, StraÃ\u009fe; GrÃ¶ÃŸe"}, "Müller, Straße; Größe"},
		"ISO 8859-1 in UTF-8":       {[]string{"M\xfcller"}, "Müller"},
		"composed":                  {[]string{"Mu\u0308ller"}, "Müller"},
		"tags":                      {[]string{"EREF+E1MREF+M1CRED+C1SVWZ+Rechnung 4711"}, "Rechnung 4711"},
		"text before the tags":      {[]string{"Beitrag EREF+E1 SVWZ+Rechnung"}, "Beitrag Rechnung"},
		"a tag cut by the line":     {[]string{"EREF+12345678901234567890SV", "WZ+Rechnung"}, "Rechnung"},
		"tags with colons":          {[]string{"EREF: E1 MREF: M1 Rechnung vom Mai SVWZ: 4711"}, "Rechnung vom Mai 4711"},
		"words that look like tags": {[]string{"MEINEIBAN+BIC und Hemd:BIC"}, "MEINEIBAN+BIC und Hemd:BIC"},
	} {
		e := with(euros("-1"), remit(c.lines...))
		reconcile.Normalize(&e)
		require.Equal(t, c.want, strings.Join(e.Remittance, "|"), name)
	}
}

func TestTagsGoIntoTheirFields(t *testing.T) {
	t.Parallel()
	e := with(euros("-1"), remit("EREF+RE-1 KREF+K1 MREF+M1 CRED+DE98ZZZ09999999999 DEBT+D1 PURP+SALA IBAN+DE67 9009 0042 4711 9515 00",
		"BIC+DEMODE01XXX ABWA+Max Muster SVWZ+Lohn"))
	e.CustomerReference = "NONREF"
	e.MandateID = "another"
	reconcile.Normalize(&e)
	require.Equal(t, with(euros("-1"), func(want *banks.Entry) {
		want.Remittance = []string{"Lohn"}
		want.EndToEndID, want.CustomerReference, want.MandateID = "RE-1", "K1", "another"
		want.CreditorID, want.PurposeCode = "DE98ZZZ09999999999", "SALA"
		want.Counterparty = banks.Party{IBAN: "DE67900900424711951500", BIC: "DEMODE01XXX"}
		want.AdditionalInfo = map[string]string{"mref": "M1", "debt": "D1", "abwa": "Max Muster"}
	}), e)
}

func TestPlaceholdersAreNothing(t *testing.T) {
	t.Parallel()
	for _, nothing := range []string{"", " ", "0", "0000000", "-", "NOTPROVIDED", "Not Provided", "NONREF", "null", "N/A"} {
		e := euros("-1")
		e.TransactionID, e.EntryReference, e.EndToEndID, e.MandateID, e.CustomerReference = nothing, nothing, nothing, nothing, nothing
		facts := reconcile.Normalize(&e)
		require.Zero(t, facts.IDs, "%q", nothing)
		require.Zero(t, facts.EndToEnd, "%q", nothing)
		require.Empty(t, e.EndToEndID+e.MandateID+e.CustomerReference, "%q", nothing)
		require.Equal(t, strings.TrimSpace(nothing), e.TransactionID, "ids stay as sent")
	}
	e := with(euros("-1"), func(e *banks.Entry) { e.TransactionID, e.EntryReference = "a", "A" })
	facts := reconcile.Normalize(&e)
	require.NotZero(t, facts.IDs[0])
	require.NotZero(t, facts.IDs[1])
	require.NotEqual(t, facts.IDs[0], facts.IDs[1], "ids differ in case alone")
}

func TestMaskedCardNumberIsNoIBAN(t *testing.T) {
	t.Parallel()
	e := euros("-1")
	e.Counterparty.IBAN = "5355 XXXX XXXX 1234"
	facts := reconcile.Normalize(&e)
	require.Zero(t, facts.Party)
	require.Equal(t, banks.Party{AccountNumber: "5355 XXXX XXXX 1234"}, e.Counterparty)

	e = euros("-1")
	e.Counterparty.AccountNumber = "de67 9009 0042 4711 9515 00"
	require.NotZero(t, reconcile.Normalize(&e).Party)
	require.Equal(t, banks.Party{IBAN: "DE67900900424711951500"}, e.Counterparty)
}

func TestFingerprintSeesThroughSpelling(t *testing.T) {
	t.Parallel()
	base := func() banks.Entry {
		e := with(euros("-12.50"), remit("EREF+RE-4711", "SVWZ+Rechnung Nr. 4711 für Müller & Söhne"))
		e.ValueDate = day(9)
		e.Counterparty = banks.Party{Name: "Große Straßen GmbH", IBAN: "DE67900900424711951500"}
		return e
	}
	original := base()
	want := reconcile.Normalize(&original)

	for name, change := range map[string]func(e *banks.Entry){
		"upper case":      func(e *banks.Entry) { e.Counterparty.Name = strings.ToUpper(e.Counterparty.Name) },
		"umlauts written": remit("EREF+RE-4711 SVWZ+RECHNUNG NR 4711 FUER MUELLER SOEHNE"),
		"words split":     remit("EREF+RE-4711", "SVWZ+Rech nung N", "r. 4711 für Mül", "ler & Söhne"),
		"tag in its field": func(e *banks.Entry) {
			e.Remittance, e.EndToEndID = []string{"Rechnung Nr. 4711 für Müller & Söhne"}, "RE-4711"
		},
		"amount of 3 digits": func(e *banks.Entry) { e.Amount = decimal.RequireFromString("-12.500") },
		"IBAN with blanks":   func(e *banks.Entry) { e.Counterparty.IBAN = "DE67 9009 0042 4711 9515 00" },
		"mojibake":           remit("EREF+RE-4711SVWZ+Rechnung Nr. 4711 fÃ¼r MÃ¼ller & SÃ¶hne"),
		"another id":         func(e *banks.Entry) { e.TransactionID = "X" },
		"now booked":         func(e *banks.Entry) { e.Pending = true },
		"dates swapped":      func(e *banks.Entry) { e.BookingDate, e.ValueDate = e.ValueDate, e.BookingDate },
		"booking text":       func(e *banks.Entry) { e.BookingText = "LASTSCHRIFT" },
	} {
		e := base()
		change(&e)
		require.Equal(t, want.Print, reconcile.Normalize(&e).Print, name)
	}
	for name, change := range map[string]func(e *banks.Entry){
		"amount":     func(e *banks.Entry) { e.Amount = decimal.RequireFromString("-12.51") },
		"sign":       func(e *banks.Entry) { e.Amount = e.Amount.Neg() },
		"currency":   func(e *banks.Entry) { e.Currency = "USD" },
		"date":       func(e *banks.Entry) { e.BookingDate = day(11) },
		"value date": func(e *banks.Entry) { e.ValueDate = day(12) },
		"number":     remit("EREF+RE-4711", "SVWZ+Rechnung Nr. 4712 für Müller & Söhne"),
		"reference":  remit("EREF+RE-4712", "SVWZ+Rechnung Nr. 4711 für Müller & Söhne"),
		"party":      func(e *banks.Entry) { e.Counterparty.Name = "Kleine Straßen GmbH" },
		"party IBAN": func(e *banks.Entry) { e.Counterparty.IBAN = "DE02120300000000202051" },
	} {
		e := base()
		change(&e)
		require.NotEqual(t, want.Print, reconcile.Normalize(&e).Print, name)
		require.NotEqual(t, want.Content, reconcile.Normalize(&e).Content, name)
	}
}

// Whatever is shown and changes is a change; ids are not shown.
func TestContentIsAllThatIsShown(t *testing.T) {
	t.Parallel()
	full := func() banks.Entry {
		return banks.Entry{
			TransactionID: "T", EntryReference: "R", Pending: true, BookingDate: day(1), ValueDate: day(2),
			Amount: decimal.New(-1250, -2), Currency: "EUR", OriginalAmount: decimal.New(-14, 0), OriginalCurrency: "USD",
			Counterparty: banks.Party{Name: "N", IBAN: "DE67900900424711951500", AccountNumber: "1", BIC: "B", BankCode: "C", BankName: "D"},
			Remittance:   []string{"P"}, BookingText: "T", BookingKey: "K", PrimanotaCode: "1", EndToEndID: "E", MandateID: "M",
			CreditorID: "C", CustomerReference: "U", PurposeCode: "SALA", AdditionalInfo: map[string]string{"a": "b", "c": "d"},
		}
	}
	original := full()
	want := reconcile.Normalize(&original)
	changes := []func(e *banks.Entry){
		func(e *banks.Entry) { e.Pending = false }, func(e *banks.Entry) { e.BookingDate++ }, func(e *banks.Entry) { e.ValueDate++ },
		func(e *banks.Entry) { e.Amount = e.Amount.Neg() }, func(e *banks.Entry) { e.Currency = "CHF" },
		func(e *banks.Entry) { e.OriginalAmount = e.Amount }, func(e *banks.Entry) { e.OriginalCurrency = "CHF" },
		func(e *banks.Entry) { e.Counterparty.Name = "n" }, func(e *banks.Entry) { e.Counterparty.IBAN = "" },
		func(e *banks.Entry) { e.Counterparty.AccountNumber = "2" }, func(e *banks.Entry) { e.Counterparty.BIC = "X" },
		func(e *banks.Entry) { e.Counterparty.BankCode = "X" }, func(e *banks.Entry) { e.Counterparty.BankName = "X" },
		remit("p"), func(e *banks.Entry) { e.BookingText = "X" }, func(e *banks.Entry) { e.BookingKey = "X" },
		func(e *banks.Entry) { e.PrimanotaCode = "X" }, func(e *banks.Entry) { e.EndToEndID = "X" },
		func(e *banks.Entry) { e.MandateID = "X" }, func(e *banks.Entry) { e.CreditorID = "X" },
		func(e *banks.Entry) { e.CustomerReference = "X" }, func(e *banks.Entry) { e.PurposeCode = "X" },
		func(e *banks.Entry) { e.AdditionalInfo = map[string]string{"a": "b"} },
		func(e *banks.Entry) { e.AdditionalInfo = map[string]string{"a": "bc", "c": "d"} },
	}
	for i, change := range changes {
		e := full()
		change(&e)
		require.NotEqual(t, want.Content, reconcile.Normalize(&e).Content, "change %d", i)
	}
	renamed := full()
	renamed.TransactionID, renamed.EntryReference = "other", "ids"
	facts := reconcile.Normalize(&renamed)
	require.Equal(t, want.Content, facts.Content)
	require.NotEqual(t, want, facts)
}

func TestAmountsOfAnySize(t *testing.T) {
	t.Parallel()
	for amount, want := range map[string]int64{
		"0": 0, "-0.00": 0, "-0.70": -700_000, "12": 12_000_000, "1e3": 1_000_000_000, "0.0000001": 0,
		"123456789012.123456": 123456789012123456, "-99999999999999999999": -9_200_000_000_000_000_000,
		"1e1000": 9_200_000_000_000_000_000, "1.00000000000000000000000000000000000001": 1_000_000,
	} {
		require.Equal(t, want, factsOf(euros(amount)).Amount, amount)
	}
	for _, exponent := range []int32{math.MaxInt32, math.MinInt32} { // nobody writes these out
		hostile := euros("99999999999999999999")
		hostile.Amount = decimal.NewFromBigInt(hostile.Amount.Coefficient(), exponent)
		require.Equal(t, exponent > 0, factsOf(hostile).Amount != 0)
	}
	require.Equal(t, factsOf(euros("1.5")), factsOf(euros("1.50")))
	require.NotEqual(t, factsOf(euros("99999999999999999998")).Print, factsOf(euros("99999999999999999999")).Print, "exact in the fingerprint")
}

func factsOf(e banks.Entry) reconcile.Facts { return reconcile.Normalize(&e) }

func TestCardPayments(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(e *banks.Entry){
		"ISO 20022": func(e *banks.Entry) { e.BookingKey = "PMNT-CCRD-POSD" },
		"GVC":       func(e *banks.Entry) { e.BookingKey = "106" },
		"words":     func(e *banks.Entry) { e.BookingText = "KARTENZAHLUNG" },
		"scheme":    func(e *banks.Entry) { e.BookingText = "Visa Debit" },
	} {
		require.True(t, factsOf(with(euros("-1"), change)).Card, name)
	}
	require.False(t, factsOf(with(euros("-1"), func(e *banks.Entry) { e.BookingText = "LASTSCHRIFT" })).Card)
}

func TestFactsSurviveTheDatabase(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		e := anyEntry().Draw(t, "entry")
		facts := reconcile.Normalize(&e)
		value, err := facts.Value()
		require.NoError(t, err)
		var read reconcile.Facts
		require.NoError(t, read.Scan(value))
		require.Equal(t, facts, read)
		require.False(t, read.Stale())
	})
	var facts reconcile.Facts
	require.NoError(t, facts.Scan(nil))
	require.True(t, facts.Stale())
	require.NoError(t, facts.Scan([]byte{reconcile.NormalizerVersion + 1, 1, 2, 3}))
	require.True(t, facts.Stale(), "of another version")
	require.Error(t, facts.Scan([]byte{reconcile.NormalizerVersion, 1, 2, 3}))
	require.Error(t, facts.Scan("text"))
}

func anyEntry() *rapid.Generator[banks.Entry] {
	return rapid.Custom(func(t *rapid.T) banks.Entry {
		text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "NOTPROVIDED", "EREF+", "SVWZ+", "MREF: x y", "Ã¼", "Ãƒ¼", "\xff", "ü"}))
		date := rapid.Custom(func(t *rapid.T) civil.Date { return civil.Date(rapid.Int32Range(0, 30000).Draw(t, "day")) })
		e := banks.Entry{
			TransactionID: text.Draw(t, "id"), EntryReference: text.Draw(t, "reference"), Pending: rapid.Bool().Draw(t, "pending"),
			BookingDate: date.Draw(t, "booked"), ValueDate: date.Draw(t, "valued"),
			Amount:   decimal.New(rapid.Int64().Draw(t, "amount"), rapid.Int32Range(-10, 10).Draw(t, "exponent")),
			Currency: text.Draw(t, "currency"), OriginalAmount: decimal.New(rapid.Int64().Draw(t, "original"), -2), OriginalCurrency: "USD",
			Counterparty: banks.Party{Name: text.Draw(t, "name"), IBAN: text.Draw(t, "iban"), AccountNumber: text.Draw(t, "number")},
			Remittance:   rapid.SliceOf(text).Draw(t, "remittance"), BookingText: text.Draw(t, "booking text"),
			EndToEndID: text.Draw(t, "e2e"), MandateID: text.Draw(t, "mandate"),
		}
		if rapid.Bool().Draw(t, "info") {
			e.AdditionalInfo = rapid.MapOf(text, text).Draw(t, "additional")
		}
		return e
	})
}

func requireNormal(t require.TestingT, e banks.Entry) {
	facts := reconcile.Normalize(&e)
	again := e
	require.Equal(t, facts, reconcile.Normalize(&again), "the same facts")
	require.Equal(t, e, again, "nothing changes")
	require.LessOrEqual(t, len(e.Remittance), 1)
	for _, text := range append(e.Remittance, e.TransactionID, e.EntryReference, e.Counterparty.Name, e.Counterparty.IBAN,
		e.Counterparty.AccountNumber, e.BookingText, e.EndToEndID, e.MandateID, e.CustomerReference) {
		require.True(t, utf8.ValidString(text), "%q", text)
		require.False(t, strings.ContainsFunc(text, unicode.IsControl), "%q", text)
		require.Equal(t, strings.TrimSpace(text), text)
		require.LessOrEqual(t, len(text), 4096)
	}
}

func TestNormalizingAgainChangesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) { requireNormal(t, anyEntry().Draw(t, "entry")) })
}

func FuzzNormalize(f *testing.F) {
	f.Add("NONREF", "Müller", "DE67900900424711951500", "EREF+1SVWZ+Rechnung\nMREF: 12 34 CRED+x", "E", int64(-70), int32(-2))
	f.Add("\xff\xfe", "Ãƒ\u009f¼", "5355XXXXXXXX1234", "SVWZ+SVWZ+EREF: a IBAN+DE67 BIC:", "0", int64(math.MinInt64), int32(math.MaxInt32))
	f.Add("1", "", "", "Abo End-to-E\nnd-Ref.: E-9 CORE / Mandatsref.: M 7 Gläubiger-ID: DE98ZZZ09\n999999999 wiederholend", "KREF+", int64(1), int32(0))
	f.Add("2", "A", "1", "mandatereference:a,creditorid:b,remittanceinformation:SSSVWZ+VWZ+VWZ+x", "nicht angegeben", int64(1), int32(0))
	f.Fuzz(func(t *testing.T, id, name, account, remittance, reference string, coefficient int64, exponent int32) {
		requireNormal(t, banks.Entry{
			TransactionID: id, Amount: decimal.New(coefficient, exponent), Currency: "EUR", EndToEndID: reference,
			Counterparty: banks.Party{Name: name, IBAN: account, AccountNumber: reference}, CustomerReference: reference,
			Remittance: strings.Split(remittance, "\n"), AdditionalInfo: map[string]string{name: remittance},
		})
	})
}

func FuzzFactsOfAnyBytes(f *testing.F) {
	good := factsOf(euros("1"))
	b, _ := good.MarshalBinary()
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var facts reconcile.Facts
		if facts.UnmarshalBinary(b) == nil && !facts.Stale() {
			again, err := facts.MarshalBinary()
			require.NoError(t, err)
			b[1] &= 3
			require.Equal(t, b, again)
		}
	})
}

func BenchmarkNormalize(b *testing.B) {
	e := with(euros("-12.50"), func(e *banks.Entry) {
		e.TransactionID, e.EntryReference = "2026-11-22-08.15.47.123456", "0001234567"
		e.Counterparty = banks.Party{Name: "REWE Markt GmbH", IBAN: "DE67900900424711951500", BIC: "DEMODE01XXX"}
		e.BookingText, e.BookingKey, e.EndToEndID = "KARTENZAHLUNG", "PMNT-CCRD-POSD", "RE-4711"
	})
	for name, lines := range map[string][]string{
		"plain": {"REWE SAGT DANKE. 45678901 Koeln DE", "2026-11-20T18:22 Debitk.1 2029-12"},
		"tags":  {"EREF+7100000123456789 MREF+M-0815 CRED+DE98ZZZ09999999999 SVWZ+Beitrag November für Müller"},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				fresh := e
				fresh.Remittance = lines
				reconcile.Normalize(&fresh)
			}
		})
	}
}
