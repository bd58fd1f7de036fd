package reconcile_test

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/shopspring/decimal"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/kontoflow/kontoflow/banks"
	"github.com/kontoflow/kontoflow/internal/civil"
	"github.com/kontoflow/kontoflow/reconcile"
)

// A ledger is what really happened on an account; what the bank sends is derived from it, day by day, through the
// habits in quirks.md. The test knows which payment is behind every entry, and so behind every stored row.
type ledger struct {
	payments []payment
	bank     bank
}

// payment is one movement of money. Payments to the same merchant of the same amount are kin: once ids, spelling and
// dates may change, nobody can tell for sure which is which. Days count from 1 March.
type payment struct {
	merchant int
	number   int // of the invoice, the receipt; distinguishes nothing where the merchant prints none
	cents    int64

	pendingFrom int // day on which it is first seen, unbooked; 0: never
	vanishes    int // day on which the unbooked entry is gone, before the booked one comes; 0: never
	estimate    int64
	inDollars   bool // while pending: the estimate is the foreign amount
	undated     bool // while pending

	bookedOn  int // day on which the bank books it, and the booking date
	evening   bool
	valued    int // days from booking to value date
	movesOn   int // day on which the booking date moves …
	movesBy   int // … by so many days
	withdrawn int // day from which the bank does not know it any more; 0: never
}

// bank is how this one behaves.
type bank struct {
	ids       string
	swapDates bool
	style     int
	reformat  int // day on which style becomes otherStyle, for all of history; 0: never
	switched  int // day from which the account is read over another protocol: other ids, other style, other dates
	other     int
}

const lastDay = 45

var (
	merchants = []string{"REWE Markt GmbH", "Bäckerei Müller", "Deutsche Bahn AG", "Stadtwerke Köln", "Petra Groß", "Verein für Spaß e.V."}
	idKinds   = []string{"none", "placeholder", "stable", "new when booked", "new every day", "one per merchant", "by position", "short"}
)

func drawLedger(t *rapid.T) ledger {
	maybe := func(percent int, label string) bool { return rapid.IntRange(1, 100).Draw(t, label) > 100-percent } // shrinks to no
	within := func(low, high int, label string) int { return rapid.IntRange(low, high).Draw(t, label) }
	l := ledger{bank: bank{
		ids: rapid.SampledFrom(idKinds).Draw(t, "ids"), swapDates: maybe(20, "swaps dates"),
		style: within(0, 4, "style"), other: within(0, 4, "other style"),
	}}
	if maybe(30, "reformats") {
		l.bank.reformat = within(16, lastDay, "reformat day")
	}
	if maybe(30, "switches protocol") {
		l.bank.switched = within(16, lastDay, "switch day")
	}
	for n := range within(1, 40, "payments") {
		p := payment{
			merchant: within(0, len(merchants)-1, "merchant"), number: 1000 + 37*n, bookedOn: within(1, lastDay, "booked on"),
			cents: -rapid.SampledFrom([]int64{70, 250, 2500, 4999, 90000}).Draw(t, "cents"), valued: within(-1, 2, "valued"),
			evening: maybe(50, "evening"),
		}
		if l.prints(&p) && maybe(40, "was pending") {
			p.cents -= int64(n) // its own amount, so that the test knows its entry by it whatever else changes
			p.estimate = p.cents
			p.pendingFrom = p.bookedOn - within(1, 4, "pending days")
			p.undated = maybe(30, "undated")
			if maybe(30, "vanishes") {
				p.vanishes = p.bookedOn - 1
			}
			switch estimate := rapid.IntRange(0, 9).Draw(t, "estimate"); {
			case l.bank.reformat != 0 || l.bank.switched != 0: // another amount and another text at once are another payment
			case estimate == 9:
				p.estimate = p.cents * 9 / 10
			case estimate == 8:
				p.estimate = -p.cents
			case estimate == 7:
				p.estimate, p.inDollars = p.cents*11/10, true
			}
		}
		if maybe(10, "moves") {
			p.movesOn, p.movesBy = p.bookedOn+within(0, 5, "moves on"), within(1, 3, "moves by")
		}
		if maybe(10, "withdrawn") {
			p.withdrawn = p.bookedOn + within(1, 20, "withdrawn on")
		}
		l.payments = append(l.payments, p)
		if maybe(20, "twin") { // the same again, to the letter
			l.payments = append(l.payments, p)
		}
	}
	return l
}

// prints: merchants that print a number make their payments distinguishable, the others do not.
func (l *ledger) prints(p *payment) bool { return p.merchant >= 2 }

// sent is what the bank sends on a day (morning or evening) for bookings since from, and whose payment each entry is.
func (l *ledger) sent(today int, evening bool, from civil.Date) (entries []banks.Entry, payments []int) {
	for i := range l.payments {
		p := &l.payments[i]
		isBooked := l.isBooked(p, today, evening)
		isPending := !isBooked && p.pendingFrom != 0 && p.pendingFrom <= today && (p.vanishes == 0 || today < p.vanishes)
		if p.withdrawn != 0 && today >= p.withdrawn || !isBooked && !isPending {
			continue
		}
		e := l.entry(i, today, isPending)
		if isBooked && max(e.BookingDate, e.ValueDate) < from {
			continue
		}
		if l.bank.ids == "by position" {
			e.TransactionID = fmt.Sprint(1 + len(entries))
		}
		entries, payments = append(entries, e), append(payments, i)
	}
	return entries, payments
}

func (l *ledger) entry(i, today int, pending bool) banks.Entry {
	p, b := &l.payments[i], &l.bank
	other := b.switched != 0 && today >= b.switched
	style := b.style
	if other || b.reformat != 0 && today >= b.reformat {
		style = b.other
	}

	e := banks.Entry{Pending: pending, Currency: "EUR", Amount: decimal.New(p.cents, -2), BookingText: "Kartenzahlung"}
	booking := p.bookedOn
	if p.movesOn != 0 && today >= p.movesOn {
		booking += p.movesBy
	}
	e.BookingDate, e.ValueDate = day(booking), day(booking+p.valued)
	if p.inDollars {
		e.OriginalAmount, e.OriginalCurrency = decimal.New(p.estimate, -2), "USD"
	}
	if pending {
		if p.inDollars {
			e.Currency, e.OriginalAmount, e.OriginalCurrency = "USD", decimal.Zero, ""
		}
		e.Amount = decimal.New(p.estimate, -2)
		e.BookingDate, e.ValueDate = day(p.pendingFrom), day(p.pendingFrom)
		if p.undated {
			e.BookingDate, e.ValueDate = 0, 0
		}
	}
	if b.swapDates != other {
		e.BookingDate, e.ValueDate = e.ValueDate, e.BookingDate
	}

	name, receipt := merchants[p.merchant], ""
	if l.prints(p) {
		receipt = fmt.Sprint("Beleg ", p.number)
	}
	e.Counterparty.Name = name
	if p.merchant == 3 {
		e.EndToEndID = fmt.Sprint("E2E-", p.number)
	}
	switch text := strings.TrimSpace(name + " sagt Danke " + receipt); style {
	case 0:
		e.Remittance = []string{text}
	case 1: // FinTS: capitals, no umlauts, tags, lines of 27
		capitals := strings.NewReplacer("Ä", "AE", "Ö", "OE", "Ü", "UE", "ß", "SS", "ẞ", "SS")
		e.Counterparty.Name = capitals.Replace(strings.ToUpper(name))
		line := "EREF+" + cmp.Or(e.EndToEndID, "NOTPROVIDED") + "SVWZ+" + capitals.Replace(strings.ToUpper(text))
		for e.EndToEndID = ""; line != ""; {
			n := min(27, len(line))
			e.Remittance, line = append(e.Remittance, line[:n]), line[n:]
		}
	case 2: // everything in the text
		e.Counterparty.Name = ""
		e.Remittance = []string{receipt + "//" + name + "/DE/Karte 4711 Folge 1"}
	case 4: // cut
		e.Remittance = []string{text[:strings.LastIndex(text, " sagt")] + " sagt D"}
	case 3: // garbled in transport
		e.Remittance = []string{strings.NewReplacer("ä", "Ã¤", "ö", "Ã¶", "ü", "Ã¼", "ß", "Ã\u009f").Replace(text)}
	}

	kind := b.ids
	if other && kind == "stable" {
		kind = "stable elsewhere"
	}
	switch kind {
	case "placeholder":
		e.TransactionID, e.EntryReference = "NOTPROVIDED", "0"
	case "stable", "stable elsewhere":
		e.TransactionID = fmt.Sprint(kind, " ", i)
	case "new when booked":
		e.TransactionID = fmt.Sprint(pending, i)
	case "new every day":
		e.TransactionID = fmt.Sprint("D", today, "-", i)
	case "one per merchant":
		e.TransactionID = fmt.Sprint("M", p.merchant)
	case "short":
		e.EntryReference = fmt.Sprint(i)
	}
	return e
}

// Over weeks of reads, whatever the bank does: as many rows as payments, kin by kin; a payment without kin keeps its id;
// a row disappears only by the rule; doing it again changes nothing; no order matters.
func TestLedger(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := drawLedger(t)
		t.Logf("%+v", l)
		var a account
		ever := map[int]bool{}         // payments that were ever sent
		shown := map[int]bool{}        // … and were not gone in a read after that
		behind := map[int]int{}        // row → payment, or one of its kin
		rowOf := map[int]uuid.UUID{}   // payment without kin → id of its row
		flagged := map[int]uuid.UUID{} // row → run that missed it
		deleted := map[int]bool{}      // rows that the user deleted
		run := uint64(0)

		for today := 15; today <= lastDay; today++ {
			if rapid.IntRange(1, 100).Draw(t, "reads") > 60 && today != lastDay {
				continue
			}
			for _, evening := range []bool{false, true} {
				if evening && !rapid.Bool().Draw(t, "reads in the evening") {
					continue
				}
				run++
				w, entries, payments := l.read(t, today, evening, run, a.known)
				sent := facts(entries)
				plan := reconcile.Match(a.rows, sent, w)
				t.Logf("day %d run %d %v..%v complete %v pending %v sends %v: %+v", today, run, w.From, w.To, w.Complete, w.PendingComplete, payments, plan)
				requireOrderIndependent(t, a.rows, sent, w, plan)

				for p := range l.payments {
					if l.gone(p, today, evening) {
						shown[p] = false
						delete(rowOf, p) // a new payment may be taken for it meanwhile
					}
				}

				// Missing rows: by the rule, and only where a payment is really gone.
				unsent := map[int]int{}
				for _, s := range append(slices.Clone(plan.Missing), plan.Removed...) {
					row := a.rows[s]
					require.Equal(t, reconcile.Live, row.State)
					require.True(t, w.Complete, "acted on an incomplete read")
					if row.Facts.Pending {
						require.True(t, w.PendingComplete)
					} else {
						require.Less(t, row.Facts.Date(), w.Today)
						require.GreaterOrEqual(t, row.Facts.Date(), w.From)
					}
					unsent[l.eldest(behind[s])]++
				}
				for kin, rows := range unsent {
					gone := l.count(kin, func(p int) bool { return ever[p] && l.gone(p, today, evening) })
					require.LessOrEqual(t, rows, gone, "rows of payments like %d are missing that exist", kin)
				}
				for _, s := range plan.Removed {
					if !a.rows[s].Facts.Pending {
						require.NotZero(t, flagged[s], "removed without having been flagged")
						require.NotEqual(t, w.Run, flagged[s], "removed by the run that flagged it")
					}
				}
				for _, s := range plan.Missing {
					flagged[s] = w.Run
				}

				newest := len(a.rows)
				a.apply(plan, sent, w)
				for e, outcome := range plan.Sent {
					s := outcome.Stored
					if outcome.Change == reconcile.New {
						s, newest = newest, newest+1
					} else if deleted[s] {
						require.Equal(t, l.eldest(behind[s]), l.eldest(payments[e]), "payment %d is hidden by a deleted row", payments[e])
					}
					p := payments[e]
					behind[s], ever[p], shown[p] = p, true, true
					if outcome.Reappeared {
						delete(flagged, s)
					}
					if id, known := rowOf[p]; known && !slices.ContainsFunc(a.rows, func(row reconcile.Stored) bool { return row.ID == id && row.State == reconcile.Deleted }) && l.count(l.eldest(p), func(int) bool { return true }) == 1 {
						require.Equal(t, id, a.rows[s].ID, "payment %d changed its id", p)
					}
					rowOf[p] = a.rows[s].ID
				}

				// As many rows as payments.
				held, visible := map[int]int{}, map[int]int{}
				for s, row := range a.rows {
					if row.State != reconcile.Removed {
						held[l.eldest(behind[s])]++
					}
					if row.State == reconcile.Live {
						visible[l.eldest(behind[s])]++
					}
					require.Equal(t, deleted[s], row.State == reconcile.Deleted)
				}
				for p := range l.payments {
					if kin := l.eldest(p); kin == p {
						seen := l.count(kin, func(p int) bool { return ever[p] })
						exist := l.count(kin, func(p int) bool { return shown[p] })
						if w.Complete && w.PendingComplete { // half an answer may be taken for the other half, until it comes
							require.GreaterOrEqual(t, held[kin], exist, "a payment like %d is lost", kin)
						}
						require.LessOrEqual(t, visible[kin], seen, "a payment like %d is doubled", kin)
					}
				}

				again := reconcile.Match(a.rows, sent, w)
				for _, outcome := range again.Sent {
					require.Equal(t, reconcile.Unchanged, outcome.Change, "the same again")
					require.False(t, outcome.Reappeared)
				}
				require.Empty(t, again.Missing)
				require.Empty(t, again.Removed)

				if len(a.rows) > 0 && rapid.IntRange(1, 100).Draw(t, "user deletes") > 95 {
					s := rapid.IntRange(0, len(a.rows)-1).Draw(t, "deletes")
					if a.rows[s].State == reconcile.Live {
						a.rows[s].State, deleted[s] = reconcile.Deleted, true
					}
				}
			}
		}
	})
}

// read is one synchronization, with the trouble that it runs into.
func (l *ledger) read(t *rapid.T, today int, evening bool, run uint64, known civil.Date) (reconcile.Window, []banks.Entry, []int) {
	w := complete(reconcile.Since(known), day(today), run)
	w.Known = known
	entries, payments := l.sent(today, evening, w.From)
	trouble := rapid.IntRange(0, 9).Draw(t, "trouble")
	// What nobody can tell from something new in half an answer: a booking of another amount, whose pending entry may still
	// be there; one that moved to a day never read before, whose old place may still be filled; another spelling.
	unread := func(n int) bool { return n != 0 && n <= today && day(n) > known }
	if unread(l.bank.reformat) || unread(l.bank.switched) || slices.ContainsFunc(l.payments, func(p payment) bool {
		return p.estimate != 0 && p.estimate != p.cents || unread(p.movesOn)
	}) {
		trouble = min(trouble, 7)
	}
	switch trouble {
	case 9: // the paging broke off, or a 429 ended it
		w.Complete = false
		kept := rapid.IntRange(0, len(entries)).Draw(t, "kept")
		entries, payments = entries[:kept], payments[:kept]
	case 8: // no pending entries were asked for
		w.PendingComplete = false
		for i := len(entries) - 1; i >= 0; i-- {
			if entries[i].Pending {
				entries, payments = slices.Delete(entries, i, i+1), slices.Delete(payments, i, i+1)
			}
		}
	case 7: // the bank shortened the window
		if w.From != 0 {
			w.From = w.From.AddDays(rapid.IntRange(0, 10).Draw(t, "shortened by"))
			entries, payments = l.sent(today, evening, w.From)
		}
	}
	return w, entries, payments
}

// eldest names the kin of a payment by the first of them.
func (l *ledger) eldest(p int) int {
	return slices.IndexFunc(l.payments, func(q payment) bool {
		return q.merchant == l.payments[p].merchant && q.cents == l.payments[p].cents
	})
}

func (l *ledger) count(kin int, which func(p int) bool) (n int) {
	for p := range l.payments {
		if l.eldest(p) == kin && which(p) {
			n++
		}
	}
	return n
}

// gone: the bank has withdrawn the payment, or does not show it just now.
func (l *ledger) gone(i, today int, evening bool) bool {
	p := &l.payments[i]
	return p.withdrawn != 0 && today >= p.withdrawn || p.vanishes != 0 && today >= p.vanishes && !l.isBooked(p, today, evening)
}

func (l *ledger) isBooked(p *payment, today int, evening bool) bool {
	return p.bookedOn < today || p.bookedOn == today && (evening || !p.evening)
}

// verdict is a line of a plan without indexes, for comparing plans.
type verdict struct {
	row        uuid.UUID
	facts      reconcile.Facts
	change     reconcile.Change
	reappeared bool
}

func requireOrderIndependent(t *rapid.T, stored []reconcile.Stored, sent []reconcile.Facts, w reconcile.Window, plan reconcile.Plan) {
	read := func(stored []reconcile.Stored, sent []reconcile.Facts, plan reconcile.Plan) (verdicts []string, missing, removed []string) {
		for e, outcome := range plan.Sent {
			v := verdict{facts: sent[e], change: outcome.Change, reappeared: outcome.Reappeared}
			if outcome.Stored >= 0 {
				v.row = stored[outcome.Stored].ID
			}
			verdicts = append(verdicts, fmt.Sprint(v))
		}
		for _, s := range plan.Missing {
			missing = append(missing, stored[s].ID.String())
		}
		for _, s := range plan.Removed {
			removed = append(removed, stored[s].ID.String())
		}
		slices.Sort(verdicts)
		slices.Sort(missing)
		slices.Sort(removed)
		return
	}
	shuffledStored, shuffledSent := slices.Clone(stored), slices.Clone(sent)
	order := rand.New(rand.NewPCG(uint64(len(stored)), uint64(len(sent))))
	order.Shuffle(len(stored), func(i, j int) { shuffledStored[i], shuffledStored[j] = shuffledStored[j], shuffledStored[i] })
	order.Shuffle(len(sent), func(i, j int) { shuffledSent[i], shuffledSent[j] = shuffledSent[j], shuffledSent[i] })
	v, m, r := read(stored, sent, plan)
	v2, m2, r2 := read(shuffledStored, shuffledSent, reconcile.Match(shuffledStored, shuffledSent, w))
	require.Equal(t, v, v2)
	require.Equal(t, m, m2)
	require.Equal(t, r, r2)
}
