package reconcile_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/reconcile"
)

// misread are entries as an older reader and normalizer stored them, and as they are read now.
var misread = map[string]struct{ before, now banks.Entry }{
	"tags were found at the beginning of lines only": {
		with(booked(10, "-12.34", "Stadtwerke Nord", ""), func(e *banks.Entry) {
			e.EndToEndID, e.Remittance = "RG-77 KREF+KU-1 MREF+M-7 CRED+DE98ZZZ09999999999 SVWZ+Gas Maerz Zaehler 998", nil
		}),
		with(booked(10, "-12.34", "Stadtwerke Nord", "Gas Maerz Zaehler 998"), func(e *banks.Entry) {
			e.EndToEndID, e.CustomerReference, e.MandateID, e.CreditorID = "RG-77", "KU-1", "M-7", "DE98ZZZ09999999999"
		}),
	},
	"short lines were glued": {
		booked(10, "-12.34", "Gartenbau NordInhaber Otto Muster", "Vielen Dankfuer Ihren Einkaufbeim1. Besuch"),
		booked(10, "-12.34", "Gartenbau Nord Inhaber Otto Muster", "Vielen Dank fuer Ihren Einkauf beim 1. Besuch"),
	},
	"values ended at the first blank": {
		with(booked(10, "-700", "Hausverwaltung West", "Miete Maerz 47 11 7 / 2"), func(e *banks.Entry) { e.EndToEndID, e.MandateID = "Beleg", "M" }),
		with(booked(10, "-700", "Hausverwaltung West", "Miete Maerz"), func(e *banks.Entry) { e.EndToEndID, e.MandateID = "Beleg 47 11", "M 7 / 2" }),
	},
	"labels were a part of the text": {
		booked(10, "-9.99", "Verlag Nord", "Abo Maerz End-to-E nd-Ref.: E-9 Mandatsref: M-7 Gläubiger-ID: DE98ZZZ09999999999"),
		with(booked(10, "-9.99", "Verlag Nord", "Abo Maerz"), func(e *banks.Entry) {
			e.EndToEndID, e.MandateID, e.CreditorID = "E-9", "M-7", "DE98ZZZ09999999999"
		}),
	},
	"names for machines were a part of the text": {
		booked(10, "-9.99", "Verlag Nord", "mandatereference:M-7,creditorid:DE98ZZZ09999999999,remittanceinformation:Abo Maerz"),
		with(booked(10, "-9.99", "Verlag Nord", "Abo Maerz"), func(e *banks.Entry) { e.MandateID, e.CreditorID = "M-7", "DE98ZZZ09999999999" }),
	},
	"the text was not taken for structured": {
		with(booked(10, "-55", "", "020?00UEBERWEISUNG?20 Miete Maerz?30TESTDEFFXXX?31DE89370400440532013000?32Anna Beispiel"), func(e *banks.Entry) { e.EndToEndID = "E-1?21" }),
		with(booked(10, "-55", "Anna Beispiel", "Miete Maerz"), func(e *banks.Entry) {
			e.EndToEndID, e.BookingText, e.BookingKey, e.Counterparty.IBAN = "E-1", "UEBERWEISUNG", "020", "DE89370400440532013000"
		}),
	},
	"the text broke off": {
		booked(10, "-8.20", "", "Cafe Nord 2026-03-10T09"),
		with(booked(10, "-8.20", "Cafe Nord", "Cafe Nord 2026-03-10T09:31:05 Karte 2 Folge 1"), func(e *banks.Entry) { e.Counterparty.IBAN = "DE89370400440532013000" }),
	},
	"only the first of two texts was read": {
		booked(10, "-850.39", "", "020"),
		with(booked(10, "-850.39", "Anna Beispiel", "Miete"), func(e *banks.Entry) { e.BookingText, e.BookingKey = "UEBERWEISUNG", "020" }),
	},
	"the other party was the account's holder": {
		booked(10, "-53", "Segelclub Musterhafen", "Beitrag 2026"),
		booked(10, "-53", "Otto Muster", "Beitrag 2026 Widerspruch"),
	},
	"nothing given was a reference": {
		with(booked(10, "-20", "Spendenhilfe", "Spende"), func(e *banks.Entry) { e.EndToEndID = "nicht angegeben" }),
		booked(10, "-20", "Spendenhilfe", "Spende"),
	},
}

// What is read better than before is the transaction that was stored: it is changed, and not doubled, also where there are
// twins of it.
func TestReadBetterIsModified(t *testing.T) {
	t.Parallel()
	for name, c := range misread {
		for _, twins := range []int{1, 2, 3} {
			var a account
			var sent []banks.Entry
			for range twins {
				stored := c.before
				a.rows = append(a.rows, reconcile.Stored{ID: a.newID(), Facts: reconcile.Renew(&stored), Seen: day(11)})
				sent = append(sent, c.now)
			}
			a.known = day(11)
			plan := a.read(complete(day(1), day(12), 2), sent...)
			matched := map[int]bool{}
			for _, outcome := range plan.Sent {
				require.Equal(t, reconcile.Modified, outcome.Change, "%s, %d of them", name, twins)
				matched[outcome.Stored] = true
			}
			require.Len(t, matched, twins, name)
			require.Empty(t, plan.Missing, name)
			require.Empty(t, plan.Removed, name)
			settled(t, a.read(complete(day(1), day(12), 3), sent...))
		}
	}
}

// All of them together, and each beside another of the same amount, find their own row.
func TestReadBetterAmongOthers(t *testing.T) {
	t.Parallel()
	var a account
	var sent []banks.Entry
	other := 0
	for _, c := range misread {
		other++
		stranger := with(c.before, func(e *banks.Entry) {
			e.Counterparty.Name, e.Remittance, e.EndToEndID = fmt.Sprint("Fremder ", other), []string{fmt.Sprint("Ganz andere Sache ", other)}, ""
		})
		for _, stored := range []banks.Entry{c.before, stranger} {
			a.rows = append(a.rows, reconcile.Stored{ID: a.newID(), Facts: reconcile.Renew(&stored), Seen: day(11)})
		}
		sent = append(sent, c.now, stranger)
	}
	a.known = day(11)
	plan := a.read(complete(day(1), day(12), 2), sent...)
	for i, outcome := range plan.Sent {
		require.Equal(t, i, outcome.Stored)
		require.Equal(t, i%2 == 0, outcome.Change == reconcile.Modified, "entry %d", i)
	}
}

// A stored transaction is recognised by what today's normalizer makes of it, and known by what it shows.
func TestRenew(t *testing.T) {
	t.Parallel()
	for name, c := range misread {
		now := c.now
		fresh := reconcile.Normalize(&now)
		again := now
		require.Equal(t, fresh, reconcile.Renew(&again), "%s: of what is up to date nothing changes", name)

		stored := c.before
		require.NotEqual(t, fresh.Content, reconcile.Renew(&stored).Content, name)
	}
	label := misread["labels were a part of the text"]
	stored, now := label.before, label.now
	before, fresh := reconcile.Renew(&stored), reconcile.Normalize(&now)
	require.Equal(t, fresh.Print, before.Print, "it is recognised")
	require.Equal(t, fresh.EndToEnd, before.EndToEnd)
	require.False(t, before.Stale())
}
