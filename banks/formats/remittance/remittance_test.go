package remittance_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kontoflow/kontoflow/banks/formats/remittance"
)

type tags = []remittance.Tag

func TestSplit(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]struct {
		purpose string
		tags    tags
	}{
		"":            {},
		"Miete Maerz": {purpose: "Miete Maerz"},

		"EREF+E-9 KREF+KU-1 MREF+M-7 CRED+DE98ZZZ09999999999 SVWZ+Gas Maerz": {"Gas Maerz", tags{{"EREF", "E-9"}, {"KREF", "KU-1"}, {"MREF", "M-7"}, {"CRED", "DE98ZZZ09999999999"}}},
		"Gas MaerzEREF+E-9MREF+M-7":                                  {"Gas Maerz", tags{{"EREF", "E-9"}, {"MREF", "M-7"}}},
		"Gas EREF+E-9 SVWZ+Maerz":                                    {"Gas Maerz", tags{{"EREF", "E-9"}}},
		"EREF+E-9 S VWZ+Gas":                                         {"Gas", tags{{"EREF", "E-9"}}},
		"EREF+ SVWZ+Gas":                                             {purpose: "Gas"},
		"EREF+E-9 PURP+RINP Dauerauftrag/Rate":                       {"Dauerauftrag/Rate", tags{{"EREF", "E-9"}, {"PURP", "RINP"}}},
		"EREF+E-9 MTLG+815 SVWZ+Gas WATT+9":                          {"Gas WATT+9", tags{{"EREF", "E-9"}, {"MTLG", "815"}}},
		"EREF+E-9 IBAN+DE89 3704 0044 0532 0130 00 BIC+TESTDEFF XXX": {"", tags{{"EREF", "E-9"}, {"IBAN", "DE89370400440532013000"}, {"BIC", "TESTDEFFXXX"}}},
		"CRED+DE98ZZZ09 999999999 Folgebeitrag":                      {"Folgebeitrag", tags{{"CRED", "DE98ZZZ09999999999"}}},
		"EREF+Rechnung 4711 vom ersten Maerz und ohne jeden weiteren Text in einem anderen Tag": {"4711 vom ersten Maerz und ohne jeden weiteren Text in einem anderen Tag", tags{{"EREF", "Rechnung"}}},

		"Miete EREF: Beleg 47 11 MREF: M 7 / 2 CRED: DE98ZZZ09999999999":               {"Miete", tags{{"EREF", "Beleg 47 11"}, {"MREF", "M 7 / 2"}, {"CRED", "DE98ZZZ09999999999"}}},
		"EREF: E-9 MREF: M-7 Rechnung vom Mai SVWZ: 4711":                              {"Rechnung vom Mai 4711", tags{{"EREF", "E-9"}, {"MREF", "M-7"}}},
		"EREF: E-9 MREF: M 7 / 2":                                                      {"", tags{{"EREF", "E-9"}, {"MREF", "M 7 / 2"}}},
		"EREF: E-9 MREF: M-7 4711 Rechnung":                                            {"4711 Rechnung", tags{{"EREF", "E-9"}, {"MREF", "M-7"}}},
		"Miete MREF: M-7 CRED: DE98ZZZ09999999999 IBAN: DE89370400440532013000, danke": {"Miete danke", tags{{"MREF", "M-7"}, {"CRED", "DE98ZZZ09999999999"}, {"IBAN", "DE89370400440532013000"}}},

		"Abo End-to-End-Ref.: E-9 CORE / Mandatsref.: M-7 Gläubiger-ID: DE98ZZZ09999999999 SEPA-BASISLASTSCHRIFT wiederholend": {"Abo SEPA-BASISLASTSCHRIFT wiederholend", tags{{"EREF", "E-9"}, {"MREF", "M-7"}, {"CRED", "DE98ZZZ09999999999"}}},
		"Abo End-to-En d-Ref.: E-9 MANDATSREFERENZ : M-7 GLÄUBIGER-ID: DE98ZZZ09999999999 wiederholend":                        {"Abo wiederholend", tags{{"EREF", "E-9"}, {"MREF", "M-7"}, {"CRED", "DE98ZZZ09999999999"}}},
		"Abo, Mandatsreferenz: M-7, Glaeubiger ID: DE98ZZZ09999999999":                                                         {"Abo", tags{{"MREF", "M-7"}, {"CRED", "DE98ZZZ09999999999"}}},
		"Abo Mandatsref.: M-7 Gläubiger-ID: FR12ZZZ123456 Heft 3":                                                              {"Abo Heft 3", tags{{"MREF", "M-7"}, {"CRED", "FR12ZZZ123456"}}},
		"Spende End-to-End-Ref.: nicht angegeben":                                                                              {"Spende", tags{{"EREF", "nicht angegeben"}}},
		"Miete Kundenref.: KU-1": {"Miete", tags{{"KREF", "KU-1"}}},
		"Abo Kundenreferenz: 1047 Gläubiger-ID : LU96ZZZ0000000000000000058 Mandat: 5CX":       {"Abo", tags{{"KREF", "1047"}, {"CRED", "LU96ZZZ0000000000000000058"}, {"MREF", "5CX"}}},
		"mandatereference:M-7,creditorid:DE98ZZZ09999999999,remittanceinformation:Abo, Heft 3": {"Abo, Heft 3", tags{{"MREF", "M-7"}, {"CRED", "DE98ZZZ09999999999"}}},
		"mandatereference:,creditorid:,remittanceinformation:NR 9 Bonn":                        {purpose: "NR 9 Bonn"},
		"Auftraggeber: Anna Beispiel Buchungstext: Miete Ref. 1K2":                             {"Miete Ref. 1K2", tags{{"NAME", "Anna Beispiel"}}},
		"Referenz E-9 Mandat M-7 Einreicher-ID DE98ZZZ09999999999 Beitrag":                     {"Beitrag", tags{{"EREF", "E-9"}, {"MREF", "M-7"}, {"CRED", "DE98ZZZ09999999999"}}},
		"Mandat M-7 Einreicher-ID DE98ZZZ09999999999 Beitrag":                                  {"Beitrag", tags{{"MREF", "M-7"}, {"CRED", "DE98ZZZ09999999999"}}},
		"Referenz NOTPROVIDED Miete":                                                           {"Miete", tags{{"EREF", "NOTPROVIDED"}}},
	} {
		purpose, found := remittance.Split(text, nil)
		require.Equal(t, want.purpose, purpose, text)
		require.Equal(t, want.tags, found, text)
	}
}

// What people write is left alone, also where it has the words of tags and labels in it.
func TestSentencesStayWhole(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"Bitte Mandatsreferenz: siehe Rechnung, Gläubiger-ID: folgt",
		"Ihre Mandatsreferenz: 4711 gilt weiter",
		"Bitte Mandatsreferenz: 4711 und Gläubiger-ID: DE98ZZZ09999999999 angeben",
		"Mandat: erteilt am 1. Mai, Referenz: keine",
		"Rechnung Kundenreferenz: 4711 Maerz",
		"Kundenreferenz: 4711", "Referenz: 4711", "Mandat: 4711", "Verwendungszweck: Miete",
		"Neue IBAN: DE89370400440532013000 ab Mai", "BIC: TESTDEFFXXX",
		"Bitte IBAN+BIC mitteilen", "Bitte EREF+ und MREF+ angeben", "EREF+MREF angeben", "EREF: angeben",
		"MEINEIBAN+BIC und Hemd:BIC", "Kauf um 10:15:30", "1+1=2", "Turnier 3:2 + Training", "Empfänger: Anna Beispiel",
		"Referenz 4711 Rechnung 5", "Einreicher-ID fehlt", "Mandat M-7 Einreicher-ID folgt", "creditoridea:4",
	} {
		purpose, found := remittance.Split(text, nil)
		require.Equal(t, text, purpose)
		require.Empty(t, found, text)
	}
}

func TestJoin(t *testing.T) {
	t.Parallel()
	for want, lines := range map[string][]string{
		"":                                   nil,
		"Miete":                              {"Miete"},
		"Miete Maerz":                        {"Miete", "", "Maerz"},
		"Miete Maerz Haus 2":                 {"Miete\r\nMaerz", "Haus 2"},
		"Rechnung vom vierten November 2026": {"Rechnung vom vierten Novemb", "er 2026"},
		"Rechnung vom vierten Maerz 7 und 8": {"Rechnung vom vierten Maerz ", "7", "und 8"},
		"Vertrag 4711 Wasser, Gas Februar und Maerz":                        {"Vertrag 4711 Wasser, Gas Februar un", "d Maerz"},
		"Vertrag 4711 Wasser und Abwasser 2026 Abschlag Nr. 3 Februar":      {"Vertrag 4711 Wasser und Abwasser 2026 Abschlag Nr. 3 F", "ebruar"},
		"Vielen Dank fuer den Einkauf am 01.03.2026 um 13.24 UHR 1. Besuch": {"Vielen Dank", "fuer den Einkauf", "am 01.03.2026 um 13.24 UHR", "1. Besuch"},
		"Kauf Laden Nord DATUM 28.02.2026, 13.24 UHR 1.TAN 002153":          {"Kauf Laden Nord", "DATUM 28.02.2026, 13.24 UHR", "1.TAN 002153"},
		"Kauf Laden Nord Rechnung vom vierten November 2026":                {"Kauf Laden Nord", "Rechnung vom vierten Novemb", "er 2026"},
		"an unknown width of thirty-three and more":                         {"an unknown width of thirty-three ", "and more"},
	} {
		require.Equal(t, want, remittance.Join(lines), "%q", lines)
	}
	require.Equal(t, "Gartenbau Nord Otto Muster", remittance.JoinSubfields([]string{"Gartenbau Nord", "Otto Muster"}))
	require.Equal(t, "a line of twenty-eight characters", remittance.JoinSubfields([]string{"a line of twenty-eight chara", "cters"}))
	require.Equal(t, "a line that is much longer than subfields are Next", remittance.JoinSubfields([]string{"a line that is much longer than subfields are", "Next"}))
}

func TestAppend(t *testing.T) {
	t.Parallel()
	lines := remittance.Append(nil, "  Vertrag 4711 Wasser und Gas")
	lines = remittance.Append(lines, " fuer Maerz  ")
	lines = remittance.Append(lines, "   ")
	lines = remittance.Append(lines, " Haus 2")
	require.Equal(t, []string{"Vertrag 4711 Wasser und Gas", " fuer Maerz", "Haus 2"}, lines)
}

// However a bank cuts its lines at 27 characters, and whatever order the tags have: the values come out as they went in.
func TestCutAnywhere(t *testing.T) {
	t.Parallel()
	reference := rapid.StringMatching(`[A-Z0-9][A-Za-z0-9./-]{0,33}[A-Z0-9]`)
	words := rapid.StringMatching(`[A-Z][a-z]{2,9}( [A-Z][a-z]{2,9}| [0-9]{1,5}){0,6}`)
	rapid.Check(t, func(t *rapid.T) {
		want := map[string]string{"EREF": reference.Draw(t, "eref"), "MREF": reference.Draw(t, "mref"), "KREF": reference.Draw(t, "kref"), "CRED": "DE98ZZZ09999999999",
			"ABWA": words.Draw(t, "abwa"), "SVWZ": words.Draw(t, "svwz")}
		names := rapid.Permutation([]string{"EREF", "MREF", "KREF", "CRED", "ABWA", "SVWZ"}).Draw(t, "order")
		blank := rapid.SampledFrom([]string{"", " "}).Draw(t, "blank")
		var all []string
		for _, name := range names {
			all = append(all, name+"+"+want[name])
		}
		text := strings.Join(all, blank)
		var lines []string
		for len(text) > 27 {
			lines, text = append(lines, text[:27]), text[27:]
		}
		purpose, found := remittance.Split(remittance.JoinSubfields(append(lines, text)), nil)
		got := map[string]string{"SVWZ": purpose}
		for _, tag := range found {
			got[tag.Name] = tag.Value
		}
		require.Equal(t, want, got)
	})
}

func FuzzSplit(f *testing.F) {
	for _, text := range []string{"EREF+1SVWZ+Rechnung MREF: 12 34 CRED+x", "SVWZ+SVWZ+EREF: a IBAN+DE67 BIC:", "SSSVWZ+VWZ+VWZ+x", "A End-to- End-Ref.: 1 Mandatsref : 2",
		"Referenz 1 Mandat 2 Einreicher-ID DE98ZZZ09999999999 Einreicher-ID DE98ZZZ09999999999", "mandatereference:a,creditorid:b,remittanceinformation:", "CORE / Mandatsref.: 1 GLÄUBIGER-ID: DE98ZZZ09 999999999",
		"PURP+RINP Dauerauftrag", "EREF+1 MTLG+2 ABCD+3", "Auftraggeber: A Buchungstext: B"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 5000 {
			return
		}
		text = strings.Join(strings.Fields(text), " ")
		purpose, found := remittance.Split(text, nil)
		size := len(purpose)
		for _, tag := range found {
			require.NotEmpty(t, tag.Name)
			require.NotEmpty(t, tag.Value)
			require.Equal(t, strings.TrimSpace(tag.Value), tag.Value)
			size += len(tag.Value)
		}
		require.LessOrEqual(t, size, len(text))
		again, more := remittance.Split(purpose, nil)
		require.Equal(t, purpose, again)
		require.Empty(t, more)
	})
}

// Nothing that a bank writes takes long: a text is looked through a bounded number of times.
func BenchmarkSplit(b *testing.B) {
	for name, text := range map[string]string{
		"plain":   "REWE SAGT DANKE. 45678901 Koeln DE 2026-11-20T18.22 Debitk.1 2029-12",
		"tags":    "EREF+7100000123456789 MREF+M-0815 CRED+DE98ZZZ09999999999 SVWZ+Beitrag November",
		"hostile": strings.Repeat("S", 800) + strings.Repeat("SVWZ+VWZ+", 350),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				remittance.Split(text, nil)
			}
		})
	}
}
