package reconcile_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/reconcile"
)

// The quirks by their numbers in quirks.md.

func booked(n int, amount, name, remittance string) banks.Entry {
	e := euros(amount)
	e.BookingDate, e.ValueDate = day(n), day(n)
	e.Counterparty.Name = name
	e.Remittance = []string{remittance}
	return e
}

func pending(n int, amount, name, remittance string) banks.Entry {
	e := booked(n, amount, name, remittance)
	e.Pending = true
	return e
}

func id(e banks.Entry, id string) banks.Entry {
	e.TransactionID = id
	return e
}

func card(e banks.Entry) banks.Entry {
	e.BookingText = "Kartenzahlung"
	return e
}

// sees asserts what each sent entry turned out to be: the index of its row, or -1 for a new one.
func sees(t *testing.T, plan reconcile.Plan, rows ...int) {
	t.Helper()
	got := make([]int, len(plan.Sent))
	for i, outcome := range plan.Sent {
		got[i] = outcome.Stored
	}
	require.Equal(t, rows, got)
}

func settled(t *testing.T, plan reconcile.Plan) {
	t.Helper()
	for i, outcome := range plan.Sent {
		require.Equal(t, reconcile.Unchanged, outcome.Change, "entry %d", i)
		require.False(t, outcome.Reappeared, "entry %d", i)
	}
	require.Empty(t, plan.Missing)
	require.Empty(t, plan.Removed)
}

func TestQuirk01NoID(t *testing.T) {
	t.Parallel()
	var a account
	rent, coffee := booked(10, "-900", "Hausverwaltung", "Miete März"), booked(11, "-3.20", "Café", "Danke")
	sees(t, a.read(complete(day(1), day(12), 1), rent, coffee), -1, -1)
	plan := a.read(complete(day(1), day(12), 2), coffee, rent)
	sees(t, plan, 1, 0)
	settled(t, plan)
}

func TestQuirk02PlaceholderIDs(t *testing.T) {
	t.Parallel()
	for _, placeholder := range []string{" ", "0", "NOTPROVIDED", "NONREF"} {
		var a account
		rent, coffee := id(booked(10, "-900", "Hausverwaltung", "Miete"), placeholder), id(booked(10, "-3.20", "Café", "Danke"), placeholder)
		sees(t, a.read(complete(day(1), day(12), 1), rent), -1)
		sees(t, a.read(complete(day(1), day(12), 2), coffee, rent), -1, 0)
	}
}

func TestQuirk03OneIDOnDifferentTransactions(t *testing.T) {
	t.Parallel()
	var a account
	rent, coffee := id(booked(10, "-900", "Hausverwaltung", "Miete"), "7"), id(booked(11, "-3.20", "Café", "Danke"), "7")
	sees(t, a.read(complete(day(1), day(10), 1), rent), -1)
	sees(t, a.read(complete(day(1), day(12), 2), coffee, rent), -1, 0)
	settled(t, a.read(complete(day(1), day(12), 3), rent, coffee))

	// … and when the first is no longer sent, the second is still another.
	var b account
	b.read(complete(day(1), day(10), 1), rent)
	plan := b.read(complete(day(1), day(12), 2), coffee)
	sees(t, plan, -1)
	require.Equal(t, []int{0}, plan.Missing)
}

func TestQuirk04ChangingID(t *testing.T) {
	t.Parallel()
	var a account
	rent := booked(10, "-900", "Hausverwaltung", "Miete")
	a.read(complete(day(1), day(12), 1), id(rent, "one"))
	plan := a.read(complete(day(1), day(12), 2), id(rent, "two"))
	sees(t, plan, 0)
	require.Equal(t, reconcile.Relabelled, plan.Sent[0].Change, "nothing that is shown changed")
	settled(t, a.read(complete(day(1), day(12), 3), id(rent, "two")))

	// The id may also move to the other field.
	rent.EntryReference = "two"
	rent.Counterparty.Name, rent.Remittance = "Hausverwaltung", []string{"Miete Haus 2"}
	rent.BookingDate = day(18)
	plan = a.read(complete(day(1), day(19), 4), rent)
	sees(t, plan, 0)
	require.Equal(t, reconcile.ByID, plan.Sent[0].Step)
}

// Some banks number the lines of every answer. A payment that looks like yesterday's then carries yesterday's id.
func TestQuirk04IDsThatNumberTheLines(t *testing.T) {
	t.Parallel()
	answer := func(days ...int) (lines []banks.Entry) {
		for i, n := range days {
			lines = append(lines, id(booked(n, "-2.50", "Parkhaus", "Einfahrt"), fmt.Sprint(i+1)))
		}
		return lines
	}
	var a account
	a.read(complete(day(1), day(10), 1), answer(9, 8, 7, 6)...) // newest first
	plan := a.read(complete(day(1), day(12), 2), answer(11, 10, 9, 8, 7, 6)...)
	sees(t, plan, -1, -1, 0, 1, 2, 3)
	plan = a.read(complete(day(8), day(12), 3), answer(11, 10, 9, 8)...)
	sees(t, plan, 4, 5, 0, 1)
	require.Empty(t, plan.Missing)
}

func TestQuirk05IDsOfOneAccountSayNothingAboutAnother(t *testing.T) {
	t.Parallel()
	var giro, savings account
	giro.read(complete(day(1), day(12), 1), id(booked(10, "-900", "Hausverwaltung", "Miete"), "1"))
	sees(t, savings.read(complete(day(1), day(12), 1), id(booked(10, "900", "Eigenes Konto", "Sparen"), "1")), -1)
}

func TestQuirk06TrueTwins(t *testing.T) {
	t.Parallel()
	var a account
	coffee := booked(10, "-0.70", "Automat", "Kaffee")
	sees(t, a.read(complete(day(1), day(11), 1), coffee, coffee), -1, -1)
	sees(t, a.read(complete(day(1), day(11), 2), coffee, coffee, coffee), 0, 1, -1)
	settled(t, a.read(complete(day(1), day(11), 3), coffee, coffee, coffee))
	plan := a.read(complete(day(1), day(11), 4), coffee, coffee)
	sees(t, plan, 0, 1)
	require.Equal(t, []int{2}, plan.Missing, "the youngest of equals is the one that is missing")
}

func TestQuirk07BookingUnderAnotherID(t *testing.T) {
	t.Parallel()
	for _, ids := range [][2]string{{"P1", "B1"}, {"P1", ""}, {"", "B1"}} {
		var a account
		a.read(complete(day(1), day(10), 1), id(card(pending(10, "-25", "REWE", "REWE SAGT DANKE")), ids[0]))
		plan := a.read(complete(day(1), day(12), 2), id(card(booked(11, "-25", "REWE", "REWE SAGT DANKE 11.03.")), ids[1]))
		sees(t, plan, 0)
		require.Equal(t, reconcile.Modified, plan.Sent[0].Change)
		require.Empty(t, plan.Removed)
	}
}

func TestQuirk08BookingWithAnotherAmountSignOrText(t *testing.T) {
	t.Parallel()
	hotel := card(pending(10, "-100", "Hotel Adler", "Hotel Adler Freiburg Vormerkung"))
	foreign := booked(12, "-92.31", "Hotel Adler", "Hotel Adler Freiburg")
	foreign.OriginalAmount, foreign.OriginalCurrency = decimal.NewFromInt(-100), "USD"
	inDollars := hotel
	inDollars.Currency = "USD"
	for name, c := range map[string]struct{ pending, booked banks.Entry }{
		"another amount on a card":  {hotel, card(booked(12, "-112.50", "Hotel Adler", "Hotel Adler Freiburg"))},
		"another sign":              {hotel, booked(12, "100", "Hotel Adler", "Hotel Adler Freiburg")},
		"another text":              {hotel, booked(12, "-100", "", "VISA 4711 10.03.")},
		"foreign amount":            {inDollars, foreign},
		"another amount, same id":   {id(hotel, "X"), id(booked(12, "-160", "Hotel Adler", "Hotel Adler"), "X")},
		"a hold at the fuel pump":   {card(pending(10, "-1", "Aral AG", "Aral Station Ulm")), card(booked(11, "-63.20", "Aral AG", "Aral Station Ulm"))},
		"another text, amount, id ": {id(hotel, "X"), id(card(booked(12, "-98", "HOTEL ADLER", "Freiburg")), "Y")},
	} {
		var a account
		a.read(complete(day(1), day(10), 1), c.pending)
		plan := a.read(complete(day(1), day(13), 2), c.booked)
		require.Equal(t, 0, plan.Sent[0].Stored, name)
		require.Empty(t, plan.Removed, name)
	}
	for name, c := range map[string]struct{ pending, booked banks.Entry }{
		"another amount, no card": {pending(10, "-100", "Hotel Adler", "Rechnung"), booked(12, "-112.50", "Hotel Adler", "Rechnung")},
		"another shop":            {card(pending(10, "-100", "Hotel Adler", "Freiburg")), card(booked(12, "-112.50", "Aral AG", "Tankstelle"))},
		"weeks later":             {hotel, card(booked(25, "-112.50", "Hotel Adler", "Hotel Adler Freiburg"))},
		"a booked one":            {card(booked(10, "-100", "Hotel Adler", "Freiburg")), card(booked(12, "-112.50", "Hotel Adler", "Freiburg"))},
	} {
		var a account
		a.read(complete(day(1), day(10), 1), c.pending)
		require.Equal(t, -1, a.read(complete(day(1), day(26), 2), c.booked).Sent[0].Stored, name)
	}
}

func TestQuirk09NoDateOrAFutureOne(t *testing.T) {
	t.Parallel()
	for _, change := range map[string]func(e *banks.Entry){
		"no date":  func(e *banks.Entry) { e.BookingDate, e.ValueDate = 0, 0 },
		"tomorrow": func(e *banks.Entry) { e.BookingDate, e.ValueDate = day(14), 0 },
	} {
		var a account
		unbooked := with(pending(10, "-25", "REWE", "REWE SAGT DANKE"), change)
		a.read(complete(day(1), day(10), 1), unbooked)
		settled(t, a.read(complete(day(1), day(10), 2), unbooked))
		sees(t, a.read(complete(day(1), day(13), 3), booked(13, "-25", "REWE", "REWE SAGT DANKE")), 0)
	}
}

func TestQuirk10PendingVanishes(t *testing.T) {
	t.Parallel()
	var a account
	hold := card(pending(10, "-50", "Tankstelle", "Aral 4711"))
	a.read(complete(day(1), day(10), 1), hold)

	unknown := complete(day(1), day(11), 2)
	unknown.PendingComplete = false
	require.Empty(t, a.read(unknown).Removed, "pending entries were not asked for")

	require.Equal(t, []int{0}, a.read(complete(day(1), day(11), 3)).Removed)
	require.Zero(t, a.count(reconcile.Live))
	settled(t, a.read(complete(day(1), day(11), 4)))

	plan := a.read(complete(day(1), day(12), 5), card(booked(12, "-50", "Tankstelle", "Aral 4711 Ulm")))
	sees(t, plan, 0)
	require.True(t, plan.Sent[0].Reappeared, "booked after all, under the id it had")
	require.Equal(t, 1, a.count(reconcile.Live))
}

func TestQuirk11PendingSentUnderThreeIDsInAWeek(t *testing.T) {
	t.Parallel()
	var a account
	hold := pending(10, "-50", "Tankstelle", "Aral 4711")
	for run := range uint64(3) {
		hold.BookingDate = day(10 + int(run))
		a.read(complete(day(1), day(12+2*int(run)), run+1), id(hold, fmt.Sprint("P", run)))
	}
	require.Len(t, a.rows, 1)
}

func TestQuirk12DatesSwapRoles(t *testing.T) {
	t.Parallel()
	var a account
	rent := booked(10, "-900", "Hausverwaltung", "Miete")
	rent.ValueDate = day(17)
	swapped := rent
	swapped.BookingDate, swapped.ValueDate = rent.ValueDate, rent.BookingDate
	a.read(complete(day(1), day(20), 1), rent)
	sees(t, a.read(complete(day(1), day(20), 2), swapped), 0)
}

func TestQuirk13BookingDateMovesLater(t *testing.T) {
	t.Parallel()
	var a account
	a.read(complete(day(1), day(10), 1), booked(6, "-900", "Hausverwaltung", "Miete"), booked(9, "-25", "REWE", "DANKE"))
	plan := a.read(complete(day(1), day(12), 2), booked(9, "-900", "Hausverwaltung", "Miete"), booked(10, "-25", "REWE", "DANKE"))
	sees(t, plan, 0, 1)
	require.Empty(t, plan.Missing)

	// Across the edge of the window: the row's day is no longer asked for, its new one is.
	sees(t, a.read(complete(day(10), day(12), 3), booked(11, "-900", "Hausverwaltung", "Miete"), booked(10, "-25", "REWE", "DANKE")), 0, 1)
}

func TestQuirk14DatesArePlain(t *testing.T) {
	t.Parallel()
	facts := factsOf(booked(1, "-1", "", ""))
	require.Equal(t, day(1), facts.Booked, "a day without a zone stays that day")
}

func TestQuirk15TodayIsPartial(t *testing.T) {
	t.Parallel()
	var a account
	morning, evening := booked(10, "-3.20", "Café", "Danke"), booked(10, "-3.20", "Café", "Danke")
	a.read(complete(day(1), day(10), 1), morning)
	sees(t, a.read(complete(day(1), day(10), 2), morning, evening), 0, -1)
	require.Empty(t, a.read(complete(day(1), day(10), 3), morning).Missing, "today is never complete")
	require.Len(t, a.read(complete(day(1), day(11), 4), morning).Missing, 1, "yesterday is")
	require.Equal(t, day(10), complete(day(1), day(11), 4).LastComplete())
}

func TestQuirk16HistoryReformattedOvernight(t *testing.T) {
	t.Parallel()
	var before, after []banks.Entry
	for n := range 60 { // two a day, amounts that repeat
		amount := fmt.Sprintf("-%d.99", n%5)
		name := fmt.Sprint("Händler Nr. ", n)
		before = append(before, id(booked(1+n/2, amount, name, fmt.Sprint("Rechnung ", n*7919)), fmt.Sprint("old", n)))
		e := id(booked(1+n/2, amount, "", strings.ToUpper(fmt.Sprint("RG.", n*7919, " / haendler ", n, " sagt Danke"))), fmt.Sprint("new", n))
		after = append(after, e)
	}
	var a account
	a.read(complete(day(1), day(31), 1), before...)
	plan := a.read(complete(day(1), day(31), 2), after...)
	for n, outcome := range plan.Sent {
		require.Equal(t, n, outcome.Stored)
	}
	require.Empty(t, plan.Missing)
	settled(t, a.read(complete(day(1), day(31), 3), after...))
}

func TestQuirk17RemittanceCutAndSplit(t *testing.T) {
	t.Parallel()
	whole := strings.Repeat("Rechnung 4711 vom vierten März für Müller ", 5)
	var lines []string
	for rest := whole; rest != ""; {
		n := min(27, len(rest))
		lines, rest = append(lines, rest[:n]), rest[n:]
	}
	for name, remittance := range map[string][]string{
		"cut at 140":               {whole[:140]},
		"split anywhere":           lines,
		"cut and the whole beside": append([]string{whole[:140]}, lines...),
		"UTF-8 as ISO 8859-1":      {strings.NewReplacer("ä", "Ã¤", "ü", "Ã¼").Replace(whole)},
	} {
		var a account
		a.read(complete(day(1), day(12), 1), booked(10, "-25", "Müller", whole), booked(10, "-25", "Schmidt", "Rechnung 4712 vom vierten März"))
		sent := with(booked(10, "-25", "Müller", ""), remit(remittance...))
		require.Equal(t, 0, a.read(complete(day(1), day(12), 2), sent).Sent[0].Stored, name)
	}
}

func TestQuirk18CardAmounts(t *testing.T) {
	t.Parallel()
	purchase := pending(10, "-25", "REWE", "REWE SAGT DANKE")
	purchase.Counterparty.IBAN = "5355XXXXXXXX1234"
	flipped := booked(11, "25", "REWE", "REWE SAGT DANKE")
	var a account
	a.read(complete(day(1), day(10), 1), purchase)
	sees(t, a.read(complete(day(1), day(12), 2), flipped), 0)

	// The bank mends the amount of a booked one and keeps its id.
	inDollars := id(booked(10, "-100", "Hotel Adler", "Denver"), "X")
	mended := id(booked(10, "-92.31", "Hotel Adler", "Denver"), "X")
	var b account
	b.read(complete(day(1), day(12), 1), inDollars)
	sees(t, b.read(complete(day(1), day(13), 2), mended), 0)
}

func TestQuirk20ShortenedHistory(t *testing.T) {
	t.Parallel()
	old, recent := booked(7, "-900", "Hausverwaltung", "Miete"), booked(20, "-25", "REWE", "DANKE")
	read := func(w reconcile.Window, entries ...banks.Entry) reconcile.Plan {
		var a account
		a.read(complete(day(1), day(21), 1), old, recent)
		return a.read(w, entries...)
	}
	require.Equal(t, []int{0}, read(complete(day(1), day(22), 2), recent).Missing)
	require.Empty(t, read(complete(day(8), day(22), 2), recent).Missing, "asked for everything, answered from the 8th")
	require.Empty(t, read(complete(0, day(22), 2), recent).Missing, "as far back as it gives: its oldest entry is the edge")
	require.Empty(t, read(complete(0, day(22), 2)).Missing, "… and nothing says where it is")
	valuedBefore := complete(day(8), day(22), 2)
	require.Empty(t, read(valuedBefore, recent).Missing)
}

// The bank shows a booking under the next working day, and still chooses by the one before: from the day that it shows on,
// it leaves the booking out.
func TestChosenByADateThatIsNotShown(t *testing.T) {
	t.Parallel()
	before, after := booked(13, "-14.90", "Stadtwerke", "Strom"), booked(16, "-14.90", "Stadtwerke", "Strom")
	rent := booked(26, "-900", "Hausverwaltung", "Miete")
	var a account
	a.read(complete(day(1), day(14), 1), before)
	sees(t, a.read(complete(day(1), day(27), 2), after, rent), 0, -1)
	for from := 14; from <= 16; from++ {
		settled(t, a.read(complete(day(from), day(27), uint64(from)), rent))
	}
	// Deep inside a window it would be withdrawn.
	require.Equal(t, []int{0}, a.read(complete(day(11), day(27), 30), rent).Missing)
}

func TestQuirk22LimitIsNotEmptiness(t *testing.T) {
	t.Parallel()
	var a account
	rent, shop := booked(10, "-900", "Hausverwaltung", "Miete"), pending(11, "-25", "REWE", "DANKE")
	a.read(complete(day(1), day(12), 1), rent, shop)
	known := a.known
	refused := complete(day(1), day(14), 2)
	refused.Complete = false
	settled(t, a.read(refused))
	require.Equal(t, known, a.known, "the window does not move")
	require.Equal(t, 2, a.count(reconcile.Live))
}

func TestQuirk23RowsThatTheUserDeletedComeAgain(t *testing.T) {
	t.Parallel()
	var a account
	rent, coffee := booked(10, "-900", "Hausverwaltung", "Miete"), booked(10, "-0.70", "Automat", "Kaffee")
	a.read(complete(day(1), day(12), 1), rent, coffee, coffee)
	a.rows[0].State, a.rows[1].State = reconcile.Deleted, reconcile.Deleted

	rent.Remittance = []string{"MIETE MAERZ"} // changed, and still the same
	plan := a.read(complete(day(1), day(12), 2), coffee, rent, coffee)
	require.Equal(t, 0, plan.Sent[1].Stored)
	require.ElementsMatch(t, []int{1, 2}, []int{plan.Sent[0].Stored, plan.Sent[2].Stored})
	require.Equal(t, 2, a.count(reconcile.Deleted), "what the user deleted stays deleted")

	plan = a.read(complete(day(1), day(12), 3), coffee)
	sees(t, plan, 2)
	require.Empty(t, plan.Missing, "a row that nobody sees is not missed")

	// An entry that only has the amount of a deleted row is not hidden.
	sees(t, a.read(complete(day(1), day(14), 4), coffee, booked(12, "-900", "Reisebüro", "Urlaub")), 2, -1)
}

func TestQuirk24ResourceIDIsNoPartOfIdentity(t *testing.T) {
	t.Parallel()
	// Banks build entry references from the account's handle, which changes with the consent.
	var a account
	rent := booked(10, "-900", "Hausverwaltung", "Miete")
	rent.EntryReference = "8f3c-1/17"
	a.read(complete(day(1), day(12), 1), rent)
	rent.EntryReference = "e09a-1/17"
	plan := a.read(complete(day(1), day(12), 2), rent)
	sees(t, plan, 0)
	require.Equal(t, reconcile.Relabelled, plan.Sent[0].Change)
}

func TestQuirk25TheSameAccountOverAnotherProtocol(t *testing.T) {
	t.Parallel()
	fints := func(n int, amount, name, lines string) banks.Entry {
		e := booked(n, amount, name, "")
		e.Remittance = strings.Split(lines, "|")
		return e
	}
	api := func(reference string, bookedOn, valued int, amount, name, remittance string) banks.Entry {
		e := booked(bookedOn, amount, name, remittance)
		e.TransactionID, e.ValueDate = reference, day(valued)
		return e
	}
	var a account
	a.read(complete(day(1), day(20), 1),
		fints(10, "-25", "REWE MARKT GMBH-ZW", "EREF+71000123SVWZ+REWE SAGT|DANKE 45678901 KOELN"),
		fints(10, "-25", "ALDI SUED", "SVWZ+ALDI SUED SAGT DANKE 47|11 KOELN"),
		fints(12, "-25", "REWE MARKT GMBH-ZW", "EREF+71000987SVWZ+REWE SAGT|DANKE 45678901 KOELN"),
		fints(13, "-25", "MUELLER, PETRA", "GESCHENK"),
		fints(16, "2500", "MUSTER AG", "SVWZ+LOHN MAERZ"),
	)
	sent := []banks.Entry{
		api("a", 13, 11, "-25", "Rewe Markt GmbH", "REWE SAGT DANKE. 45678901 Köln//DE"),
		api("b", 11, 10, "-25", "Rewe Markt GmbH", "REWE SAGT DANKE. 45678901 Köln//DE"),
		api("c", 16, 16, "2500", "Muster Aktiengesellschaft", "Gehalt"),
		api("d", 14, 13, "-25", "Petra Müller", "Geschenk"),
		api("e", 11, 10, "-25", "Aldi Süd", "Kartenzahlung"),
	}
	sees(t, a.read(complete(day(1), day(20), 2), sent...), 2, 0, 4, 3, 1)
	settled(t, a.read(complete(day(1), day(20), 3), sent...))
}

func TestMissingIsFlaggedAndRemovedByTheNextRun(t *testing.T) {
	t.Parallel()
	var a account
	rent, shop := booked(9, "-900", "Hausverwaltung", "Miete"), booked(10, "-25", "REWE", "DANKE")
	a.read(complete(day(1), day(12), 1), rent, shop)

	plan := a.read(complete(day(1), day(12), 2), rent)
	require.Equal(t, []int{1}, plan.Missing)
	require.Empty(t, plan.Removed)
	settled(t, a.read(complete(day(1), day(12), 2), rent)) // the same run again, after a crash

	incomplete := complete(day(1), day(12), 3)
	incomplete.Complete = false
	settled(t, a.read(incomplete, rent))

	plan = a.read(complete(day(1), day(12), 4), rent, shop)
	sees(t, plan, 0, 1)
	require.True(t, plan.Sent[1].Reappeared)
	require.Equal(t, uuid.Nil, a.rows[1].MissedBy)

	a.read(complete(day(1), day(12), 5), rent)
	plan = a.read(complete(day(1), day(12), 6), rent)
	require.Equal(t, []int{1}, plan.Removed)
	settled(t, a.read(complete(day(1), day(12), 7), rent))

	plan = a.read(complete(day(1), day(12), 8), rent, shop)
	sees(t, plan, 0, 1)
	require.True(t, plan.Sent[1].Reappeared, "a removed row takes its entry back")
	require.Equal(t, 2, a.count(reconcile.Live))
}

func TestHalfAMonthIsNotBelievedToBeGone(t *testing.T) {
	t.Parallel()
	var a account
	var month []banks.Entry
	for n := range 12 {
		month = append(month, booked(6+n, fmt.Sprint("-", n+1), "REWE", fmt.Sprint("Einkauf ", n)))
	}
	a.read(complete(day(1), day(20), 1), month...)
	for run := range uint64(3) {
		plan := a.read(complete(day(1), day(20), 2+run))
		require.Equal(t, 12, plan.Doubtful)
		settled(t, plan)
	}
	plan := a.read(complete(day(1), day(20), 9), month[:9]...)
	require.Len(t, plan.Missing, 3)
	require.Zero(t, plan.Doubtful)
}

// Rows that were not asked for are only given away where there is no doubt: nobody would send their entries again.
func TestRowsOutsideTheWindowAreNotGivenAway(t *testing.T) {
	t.Parallel()
	var a account
	parking := func(n int) banks.Entry { return booked(n, "-2.50", "Parkhaus", "Einfahrt") }
	a.read(complete(day(1), day(10), 1), parking(8), parking(9))
	sees(t, a.read(complete(day(10), day(11), 2), parking(10), parking(11)), -1, -1)
	require.Len(t, a.rows, 4)
}
