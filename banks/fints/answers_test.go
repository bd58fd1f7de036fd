package fints_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/banks/fints/syntax"
)

// Only an answer that says "none" means none: a list, even an empty one, or a 3010 that says so.
// Whatever else comes covers no window, so that nothing that is stored is taken for gone.
func TestOnlyNoneMeansNone(t *testing.T) {
	t.Parallel()
	const (
		covered = iota
		nothing // no window, and no pending entries
		booked  // the window, and not the pending entries
	)
	say := func(codes ...[]string) []syntax.Segment { return []syntax.Segment{feedback("HIRMS", 3, codes...)} }
	hikaz := func(elements ...string) syntax.Segment {
		s := syntax.New("HIKAZ", 7)
		for _, e := range elements {
			s.Elements = append(s.Elements, syntax.Binary([]byte(e)))
		}
		return s
	}
	hicaz := func(documents ...string) syntax.Segment {
		var booked syntax.Element
		for _, d := range documents {
			booked = append(booked, syntax.Binary([]byte(d))...)
		}
		return syntax.New("HICAZ", 1, syntax.Empty(), syntax.Text(camt08), booked)
	}
	one := statement("", ":61:260227D12,34NMSCNONREF//A1")
	type row struct {
		answer  []syntax.Segment
		want    int
		why     banks.Withheld
		entries int
	}
	rows := map[string]row{
		"entries":                                {one, covered, "", 2},
		"an empty MT940":                         {[]syntax.Segment{hikaz("")}, covered, "", 0},
		"an empty MT940 and an empty MT942":      {[]syntax.Segment{hikaz("", "")}, covered, "", 0},
		"a statement without an entry":           {[]syntax.Segment{hikaz(":20:X\r\n:25:1\r\n:28C:0\r\n:60F:C260101EUR0,00\r\n:62F:C260301EUR0,00\r\n-")}, covered, "", 0},
		"a segment without elements":             {[]syntax.Segment{hikaz()}, covered, "", 0},
		"an empty camt document":                 {[]syntax.Segment{hicaz(string(camtDay(0)))}, covered, "", 0},
		"several empty camt documents":           {[]syntax.Segment{hicaz(string(camtDay(0)), string(camtDay(0)))}, covered, "", 0},
		"an empty binary where camt belongs":     {[]syntax.Segment{hicaz("")}, covered, "", 0},
		"blanks where camt belongs":              {[]syntax.Segment{hicaz(" \r\n")}, covered, "", 0},
		"nothing at all":                         {nil, nothing, banks.NoList, 0},
		"only that the order was carried out":    {say([]string{"0020", "Auftrag ausgeführt"}), nothing, banks.NoList, 0},
		"only a warning":                         {say([]string{"3905", "Es wurde keine Challenge erzeugt."}), nothing, banks.NoList, 0},
		"3010 about another segment":             {[]syntax.Segment{feedback("HIRMS", 4, []string{"3010", "Es liegen keine Einträge vor"})}, nothing, banks.NoList, 0},
		"3010 about the whole message":           {[]syntax.Segment{feedback("HIRMG", 0, []string{"3010", "Es liegen keine Einträge vor"})}, covered, "", 0},
		"3010 and 0020":                          {say([]string{"3010", "Keine Umsätze vorhanden"}, []string{"0020", "Auftrag ausgeführt"}), covered, "", 0},
		"two 3010, one of them with a reason":    {say([]string{"3010", "Es liegen keine Einträge vor"}, []string{"3010", "Auftrag wird bearbeitet"}), nothing, banks.NoList, 0},
		"an empty list, and a reason":            {append([]syntax.Segment{hikaz("")}, say([]string{"3010", "Umsätze sind zurzeit nicht verfügbar"})...), nothing, banks.NoList, 0},
		"entries, and a reason":                  {append(one[:1:1], say([]string{"3010", "Umsätze nur teilweise verfügbar"})...), nothing, banks.Partial, 2},
		"entries, and no pending ones":           {append(one[:1:1], say([]string{"3010", "Es liegen keine vorgemerkten Umsätze vor"})...), covered, "", 2},
		"entries, and pending ones not now":      {append(one[:1:1], say([]string{"3010", "Vorgemerkte Umsätze sind derzeit nicht verfügbar"})...), booked, banks.Partial, 2},
		"no pending entries, and no list":        {say([]string{"3010", "Es liegen keine vorgemerkten Umsätze vor"}), nothing, banks.NoList, 0},
		"3040 without a point, about pending":    {append(one[:1:1], say([]string{"3040", "Mehr als 100 vorgemerkte Umsätze werden nicht angezeigt."})...), booked, banks.Partial, 2},
		"3040 without a point, about everything": {append(one[:1:1], say([]string{"3040", "Auftrag nur teilweise ausgeführt"})...), nothing, banks.Partial, 2},
		"3040 without a point, and no list":      {say([]string{"3040", "Auftrag nur teilweise ausgeführt"}), nothing, banks.NoList, 0},
		"3040 about another segment":             {append(one[:1:1], feedback("HIRMS", 4, []string{"3040", "Es liegen weitere Informationen vor"})), covered, "", 2},
	}
	for _, none := range []string{
		"", "Es liegen keine Einträge vor", "Es liegen keine Eintraege vor.", "Keine Umsätze vorhanden.", "KEINE UMSÄTZE VORHANDEN", "Es liegen keine Umsätze vor.",
		"Für den angegebenen Zeitraum liegen keine Umsätze vor", "Zu diesem Konto sind keine Buchungen vorhanden", "Keine neuen Umsätze",
		"Es wurden keine Umsätze gefunden.", "Umsätze nicht vorhanden", "Es liegen keine weiteren Informationen vor", "Keine Daten vorhanden",
		"No entries", "No entries available.", "There are no transactions for this account.", "Transactions not found", "Es liegen zurzeit keine Umsätze vor",
		"Ihre Abfrage ergab keine Ergebnisse", "Zur Kreditkarte liegen keine Umsätze vor", "0 Umsätze", "Es sind keine Umsätze verfügbar", "Keine Kontoumsätze",
	} {
		rows["none: "+none] = row{say([]string{"3010", none}), covered, "", 0}
	}
	for _, reason := range []string{
		"Kontonummer ist unbekannt.", "Auftrag wird bearbeitet", "Bitte warten", "Please wait", "Umsätze nicht verfügbar", "Transactions are not available",
		"Zurzeit keine Umsätze verfügbar", "Derzeit können keine Umsätze abgerufen werden", "Die Umsätze konnten nicht ermittelt werden",
		"Keine Berechtigung für Umsätze", "Keine Umsatzabfrage möglich", "Keine Umsatzabfrage für dieses Konto", "Nur teilweise ausgeführt", "Only partially executed",
		"Keine gültigen Kontodaten", "Es werden keine Umsätze angezeigt", "Technischer Fehler, keine Umsätze", "Umsatzanzeige wegen Wartung nicht möglich",
		"Keine Verbindung zum Umsatzsystem", "Das Konto ist gesperrt", "Umsätze", "Auftrag entgegengenommen", "Keine Antwort", "Try again later: no entries",
	} {
		rows["reason: "+reason] = row{say([]string{"3010", reason}), nothing, banks.NoList, 0}
	}
	for name, test := range rows {
		t.Run(strings.ReplaceAll(name, "/", "|"), func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			order := "HKKAZ"
			if len(test.answer) > 0 && test.answer[0].Name == "HICAZ" {
				order = "HKCAZ"
			}
			s.orderable, s.camt = []string{"HKSPA", order}, []string{camt08}
			s.orders = orders{"HKSPA": ibans, order: func(*syntax.Segment) []syntax.Segment { return test.answer }}
			r, err := s.customer().first(banks.Window{})
			require.NoError(t, err)
			require.Len(t, r.entries, test.entries)
			require.Equal(t, test.want != nothing, !r.last.Covered.To.IsZero(), "%+v", r.last.Covered)
			require.Equal(t, test.want == covered, r.last.PendingCovered)
			require.Equal(t, test.why, r.last.Withheld)
			if test.want == nothing {
				require.Zero(t, r.last.Covered)
			}
		})
	}
}

// Every 3040 of an answer counts: a page is never lost, and what the bank holds back on one page is
// held back on the whole.
func TestEveryReturnCodeCounts(t *testing.T) {
	t.Parallel()
	more := func(point ...string) []string {
		return append([]string{"3040", "Es liegen weitere Informationen vor."}, point...)
	}
	pending := []string{"3040", "Mehr als 100 vorgemerkte Umsätze werden nicht angezeigt."}
	page := func(n int, codes ...syntax.Segment) []syntax.Segment {
		return append(statement("", fmt.Sprintf(":61:26022%dD1,00NMSCNONREF//A%d", n, n))[:1:1], codes...)
	}
	for name, test := range map[string]struct {
		pages   map[string][]syntax.Segment // by touchdown point
		want    string
		covered bool
		pending bool
	}{
		"pending withheld first": {map[string][]syntax.Segment{
			"": page(1, feedback("HIRMS", 3, pending, more("P2"))), "P2": page(2)}, "A1 A2", true, false},
		"pending withheld last": {map[string][]syntax.Segment{
			"": page(1, feedback("HIRMS", 3, more("P2"), pending)), "P2": page(2)}, "A1 A2", true, false},
		"pending withheld on the last page": {map[string][]syntax.Segment{
			"": page(1, feedback("HIRMS", 3, more("P2"))), "P2": page(2, feedback("HIRMS", 3, pending))}, "A1 A2", true, false},
		"in two segments": {map[string][]syntax.Segment{
			"": page(1, feedback("HIRMG", 0, pending), feedback("HIRMS", 3, more("P2"))), "P2": page(2)}, "A1 A2", true, false},
		"said twice": {map[string][]syntax.Segment{
			"": page(1, feedback("HIRMG", 0, more("P2")), feedback("HIRMS", 3, more("P2"))), "P2": page(2)}, "A1 A2", true, true},
		"about the whole message": {map[string][]syntax.Segment{
			"": page(1, feedback("HIRMG", 0, more("P2"))), "P2": page(2)}, "A1 A2", true, true},
		"with a word that has no point": {map[string][]syntax.Segment{
			"": page(1, feedback("HIRMS", 3, more(), more("P2"))), "P2": page(2)}, "A1 A2", false, false},
		"of another segment": {map[string][]syntax.Segment{
			"": page(1, feedback("HIRMS", 4, more("P9")), feedback("HIRMS", 3, more("P2"))), "P2": page(2)}, "A1 A2", true, true},
		"two points": {map[string][]syntax.Segment{
			"": page(1, feedback("HIRMS", 3, more("P2"), more("P3"))), "P2": page(2), "P3": page(3)}, "A1 A2 A3", true, true},
		"two points, the first of which goes on": {map[string][]syntax.Segment{
			"": page(1, feedback("HIRMS", 3, more("P2"), more("P4"))), "P2": page(2, feedback("HIRMS", 3, more("P3"))), "P3": page(3), "P4": page(4)}, "A1 A2 A3 A4", true, true},
		"a first page without a list": {map[string][]syntax.Segment{
			"": {feedback("HIRMS", 3, more("P2"))}, "P2": page(2)}, "A2", true, true},
		"a last page that says none": {map[string][]syntax.Segment{
			"": page(1, feedback("HIRMS", 3, more("P2"))), "P2": {feedback("HIRMS", 3, []string{"3010", "Es liegen keine Einträge vor"})}}, "A1", true, true},
		"a last page without a list": {map[string][]syntax.Segment{
			"": page(1, feedback("HIRMS", 3, more("P2"))), "P2": {feedback("HIRMS", 3, []string{"0020", "Auftrag ausgeführt"})}}, "A1", false, false},
		"a reason on the first page": {map[string][]syntax.Segment{
			"": page(1, feedback("HIRMS", 3, more("P2"), []string{"3010", "Umsätze nur teilweise verfügbar"})), "P2": page(2)}, "A1 A2", false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScript(t)
			s.orders = orders{"HKSPA": ibans, "HKKAZ": func(o *syntax.Segment) []syntax.Segment {
				answer, known := test.pages[o.Get(5, 0)]
				require.True(t, known, "no such page: %s", o.Get(5, 0))
				return answer
			}}
			r, err := s.customer().first(banks.Window{})
			require.NoError(t, err)
			require.Equal(t, test.want, strings.Join(ids(r.entries), " "))
			require.Equal(t, test.covered, !r.last.Covered.To.IsZero())
			require.Equal(t, test.pending, r.last.PendingCovered)
			require.Equal(t, test.covered && test.pending, r.last.Withheld == "")
		})
	}
	t.Run("points without end", func(t *testing.T) {
		t.Parallel()
		s := newScript(t)
		n := 0
		s.orders = orders{"HKSPA": ibans, "HKKAZ": func(o *syntax.Segment) []syntax.Segment {
			codes := [][]string{}
			for range 60 {
				n++
				codes = append(codes, more(fmt.Sprint(n)))
			}
			return page(1, feedback("HIRMS", 3, codes...))
		}}
		_, err := s.customer().first(banks.Window{})
		requireError(t, err, banks.Rejected, banks.CodeBankCannot)
	})
}
