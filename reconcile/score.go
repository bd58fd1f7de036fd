package reconcile

import (
	"math/bits"

	"github.com/kontoflow/kontoflow/internal/civil"
)

const (
	// In thousandths of "the texts are the same".
	sameEndToEnd  = 400 // references and accounts, where both sides name them
	otherEndToEnd = -600
	sameParty     = 200
	otherParty    = -300
	sameID        = 500 // an id that is on several rows still says something
	perDay        = -30 // between the two dates that are nearest
	perOtherDay   = -5  // between the others: the same days are better than one in common
	sameStatus    = 50
	notLive       = -150 // a live row is the better partner
	textUnknown   = 300  // one side has no text at all

	// What a pair has to reach, by what a mistake would cost.
	believed    = -200 // the bank had to send the row and did not: amount and date say it is this one
	possible    = 0
	likely      = 300
	hardlyElse  = 500
	beyondDoubt = 700 // nobody would send the row's own entry again
	pairedAtAll = 100 // bonus of a pair over no pair, in the sum that assignment maximises
	clearly     = 900 // so much better than required that it need not be weighed against others

	// What texts alone have to reach.
	alikeInAmount = 500 // a card payment became dearer
	alikeWithID   = 700
	alikeInWords  = 800
	alikeInHold   = 850 // a hold (fuel pump, hotel) is another amount altogether: only its text can tell

	daysBooked  = 5 // weekends, holidays, and what lies between booking and value date
	daysPending = Reach
	daysSameID  = 31
	cardPercent = 25 // tips, exchange rates, deposits
)

// similarity is how much of the shorter text is in the longer one, by trigrams: 0 as much as chance would have it,
// 1000 all of it. A tenth of it goes by how much of both is shared, so that the whole text beats its beginning.
func similarity(a, b *[8]uint64) int32 {
	var inA, inB, both int32
	for i := range a {
		inA += int32(bits.OnesCount64(a[i]))
		inB += int32(bits.OnesCount64(b[i]))
		both += int32(bits.OnesCount64(a[i] & b[i]))
	}
	shorter := min(inA, inB)
	if shorter == 0 {
		return textUnknown
	}
	if both == inA && both == inB {
		return 1000
	}
	chance := inA * inB / 512
	if both <= chance || shorter <= chance {
		return 0
	}
	return 900*(both-chance)/(shorter-chance) + 100*both/(inA+inB-both)
}

// daysApart compares the dates in every role, since banks swap them, and takes the best.
func daysApart(s *Stored, e *Facts, w *Window) int32 {
	best := int32(1 << 20)
	for _, a := range [...]civil.Date{s.Facts.Booked, s.Facts.Valued} {
		for _, b := range [...]civil.Date{e.Booked, e.Valued} {
			if a != 0 && b != 0 {
				best = min(best, max(int32(a-b), int32(b-a)))
			}
		}
	}
	if best < 1<<20 {
		return best
	}
	a, b := s.Facts.Date(), e.Date()
	if a == 0 {
		a = s.Seen
	}
	if b == 0 {
		b = w.Today
	}
	if a == 0 || b == 0 {
		return 0
	}
	return max(int32(a-b), int32(b-a))
}

// otherDays compares first with first and last with last, up to where it is the text that matters.
func otherDays(f, g *Facts) int32 {
	first, last := f.days()
	from, to := g.days()
	if first == 0 || from == 0 {
		return 0
	}
	return int32(min(max(first-from, from-first)+max(last-to, to-last), 2*Reach))
}

func shareID(a, b *Facts) bool {
	for _, id := range a.IDs {
		if id != 0 && (id == b.IDs[0] || id == b.IDs[1]) {
			return true
		}
	}
	return false
}

// agree scores a reference that both sides may name.
func agree(a, b uint64, same, other int32) int32 {
	switch {
	case a == 0 || b == 0:
		return 0
	case a == b:
		return same
	default:
		return other
	}
}

// resemblance is everything but the amount: text, references, days, status.
func (m *matcher) resemblance(s *Stored, e *Facts) (score, alike, days int32) {
	alike, days = similarity(&s.Facts.Sketch, &e.Sketch), daysApart(s, e, &m.window)
	score = alike + perDay*days + perOtherDay*otherDays(&s.Facts, e) + agree(s.Facts.EndToEnd, e.EndToEnd, sameEndToEnd, otherEndToEnd) +
		agree(s.Facts.Party, e.Party, sameParty, otherParty)
	if m.lasting && m.reach.complete && shareID(&s.Facts, e) {
		score += sameID
	}
	if s.Facts.Pending == e.Pending {
		score += sameStatus
	}
	if s.State != Live {
		score += notLive
	}
	return score, alike, days
}

// scoreSameAmount judges a pair of the same amount and currency: by how much it is better than it has to be.
func (m *matcher) scoreSameAmount(si, ei int32) (int32, bool) {
	s, e := &m.stored[si], &m.sent[ei]
	if s.Facts.Amount != e.Amount || s.Facts.Currency != e.Currency {
		return 0, false
	}
	score, alike, days := m.resemblance(s, e)
	limit := int32(daysBooked)
	switch {
	case s.Facts.Pending || e.Pending:
		limit = daysPending
	case !m.reach.asked(&s.Facts):
		if alike < alikeWithID {
			return 0, false
		}
	case s.Facts.EndToEnd != 0 && s.Facts.EndToEnd == e.EndToEnd || m.lasting && shareID(&s.Facts, e):
		limit = daysPending
	}
	required := m.required(s, e)
	return score - required, days <= limit && score >= max(required, m.least) && m.free(s, e)
}

// required is the score from which a pair of the same amount is believed.
func (m *matcher) required(s *Stored, e *Facts) int32 {
	switch {
	case s.State == Deleted && !(m.old(e) && m.reach.asked(&s.Facts)): // a mistake would hide a new entry
		return hardlyElse
	case s.State == Deleted:
		return possible
	case e.Pending && !s.Facts.Pending: // bookings are not taken back to pending
		return hardlyElse
	case s.Facts.Pending && m.reach.pending: // it may yet be an entry of another amount, and is judged again with those
		return beyondDoubt
	case s.Facts.Pending:
		return likely
	case s.State == Removed:
		return beyondDoubt
	case m.reach.asked(&s.Facts) && m.reach.complete:
		return believed
	// Its own entry may come yet, but this one is hardly new.
	case m.reach.asked(&s.Facts) && (m.window.Known == 0 || m.old(e)):
		return likely
	default:
		return beyondDoubt
	}
}

// scorePending judges a pending row against what no row of its amount has taken. The same amount is only one reason more:
// its own booking may have another one.
func (m *matcher) scorePending(si, ei int32) (int32, bool) {
	s, e := &m.stored[si], &m.sent[ei]
	f := &s.Facts
	score, alike, days := m.resemblance(s, e)
	switch {
	case !m.reach.pending || days > daysPending: // the row's own entry may still be there
		return 0, false
	case f.Currency == e.Currency && f.Amount == e.Amount:
		return score - believed, score >= [...]int32{Live: believed, Removed: likely, Deleted: hardlyElse}[s.State]
	case e.Pending && !(m.lasting && shareID(f, e)): // pending ones become booked, not other pending ones
		return 0, false
	case f.Currency == e.Currency && f.Amount == -e.Amount:
		score -= 200
	case sameForeign(f, e) || sameForeign(e, f):
		score -= 100
	case f.Currency != e.Currency || (f.Amount < 0) != (e.Amount < 0) || !(f.Card || e.Card || m.window.Card):
		return 0, false
	case percentApart(f.Amount, e.Amount) <= cardPercent:
		if alike < alikeInAmount {
			return 0, false
		}
		score -= 8 * int32(percentApart(f.Amount, e.Amount))
	case alike < alikeInHold || days > daysBooked:
		return 0, false
	default:
		score -= 400
	}
	return score - believed, score >= [...]int32{Live: likely, Removed: hardlyElse, Deleted: hardlyElse}[s.State]
}

// sameForeign: one side has the foreign amount where the other has the booked one.
func sameForeign(a, b *Facts) bool {
	return b.ForeignAmount != 0 && a.Currency == b.ForeignCurrency && (a.Amount == b.ForeignAmount || a.Amount == -b.ForeignAmount)
}

// percentApart is the difference of two amounts of the same sign, in percent of the larger.
func percentApart(a, b int64) int64 {
	a, b = max(a, -a), max(b, -b)
	larger := max(a, b)
	if larger < 100 {
		return 100
	}
	return max(a-b, b-a) / (larger / 100)
}

// sureID: an id that stands on one row and one entry is believed at once where amount, text and days agree. Banks reuse
// ids, so where they do not, the id is one reason among others, in assignment.
func (m *matcher) sureID(si, ei int32) bool {
	s, e := &m.stored[si], &m.sent[ei]
	f, days := &s.Facts, daysApart(s, e, &m.window)
	sameAmount := f.Currency == e.Currency && (f.Amount == e.Amount || f.Amount == -e.Amount)
	switch {
	case !sameAmount && !sameForeign(f, e) && !sameForeign(e, f), similarity(&f.Sketch, &e.Sketch) < alikeWithID:
		return false
	case f.Pending:
		return days <= daysSameID
	default:
		return (days == 0 || days <= daysBooked && m.reach.resent(f)) && m.free(s, e)
	}
}

// likelyID: what nothing else explains may be a row whose amount the bank has put right.
func (m *matcher) likelyID(si, ei int32) bool {
	s, e := &m.stored[si], &m.sent[ei]
	alike := similarity(&s.Facts.Sketch, &e.Sketch)
	if s.Facts.Pending {
		return m.reach.pending && alike >= textUnknown && daysApart(s, e, &m.window) <= daysPending
	}
	return s.Facts.Date() == e.Date() && alike >= alikeInWords && m.free(s, e)
}

// free reports whether a booked row may be given to an entry of a day that was never read in full. Such days hold what
// was never stored, however much it looks like something else; the row's own entry comes later in an unfinished read,
// and never where the bank was not asked about it.
func (m *matcher) free(s *Stored, e *Facts) bool {
	switch {
	case s.Facts.Pending || m.old(e) || m.reach.complete && m.reach.resent(&s.Facts):
		return true
	default:
		first, last := s.Facts.days()
		from, to := e.days()
		return first == from && last == to && m.reach.resent(&s.Facts)
	}
}

// old: both its days have been read in full before, so it is hardly new.
func (m *matcher) old(e *Facts) bool {
	first, last := e.days()
	return first >= m.window.KnownFrom && last <= m.window.Known
}

// compare is the canonical order of sent entries: by date, then by what tells them apart. Entries that compare equal
// are interchangeable.
func (f *Facts) compare(g *Facts) int {
	order := func(a, b uint64) int {
		if a < b {
			return -1
		}
		return 1
	}
	if f.Date() != g.Date() {
		return order(uint64(f.Date()), uint64(g.Date()))
	}
	for _, pair := range [...][2]uint64{
		{f.EndToEnd, g.EndToEnd}, {f.Party, g.Party}, {f.Print[0], g.Print[0]}, {f.Print[1], g.Print[1]},
		{f.Content, g.Content}, {f.IDs[0], g.IDs[0]}, {f.IDs[1], g.IDs[1]},
	} {
		if pair[0] != pair[1] {
			return order(pair[0], pair[1])
		}
	}
	return 0
}
