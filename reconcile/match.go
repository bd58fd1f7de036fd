package reconcile

import (
	"bytes"
	"cmp"
	"slices"

	"github.com/google/uuid"

	"github.com/kontoflow/kontoflow/internal/civil"
)

const (
	// Overlap is how many days before the last complete one a read begins: what a bank still changes, it changes within them.
	Overlap = 14
	// Reach is how many days outside a read's window stored rows may still belong to what was sent: dates move.
	// Match wants the stored rows of From-Reach and later, the pending ones, and those without a date.
	Reach = 10
	// Edge is how many days from its beginning a window may lack: a bank may choose by a date that it does not show, the one
	// from before a long weekend or a holiday. What it leaves out there is not withdrawn.
	Edge = 5
)

// Since is the first day of the next read: Overlap days before the last complete one, or zero (everything) before the first.
func Since(lastComplete civil.Date) civil.Date { return lastComplete.AddDays(-Overlap) }

// Stored is a transaction of the account as the database has it.
type Stored struct {
	ID       uuid.UUID // ours; among equals, the oldest is matched first
	Facts    Facts     // of NormalizerVersion
	State    State
	MissedBy uuid.UUID  // synchronization that flagged it as missing; zero: not flagged
	Seen     civil.Date // day on which it was first stored: stands in where the bank gave no date
}

// State is what became of a stored transaction.
type State uint8

const (
	Live    State = iota // shown
	Deleted              // by the user: the bank still sends it
	Removed              // by a plan: the bank no longer sent it
)

// Window is what was read.
type Window struct {
	From, To        civil.Date // what the bank answered for; zero From: as far back as it gave, zero To: until today
	Complete        bool       // every page was read and none failed
	NoBooked        bool       // the answer is no list of booked entries: none of them is missing
	PendingComplete bool       // all pending entries are among the sent
	Today           civil.Date // never complete
	Known           civil.Date // last complete day of the reads before; zero: there was none
	KnownFrom       civil.Date // first day of the reads before; zero: as far back as the bank gives
	Card            bool       // a credit card account
	Run             uuid.UUID  // this synchronization, the same when it is run again
}

// LastComplete is the last day that this read knows in full, or what was known before if it knows none.
func (w Window) LastComplete() civil.Date {
	last := w.Today - 1
	if w.To != 0 {
		last = min(last, w.To)
	}
	if !w.Complete || w.NoBooked {
		return w.Known
	}
	return max(last, w.Known)
}

// A Plan says what to do with what the bank sent, and with what it did not send.
type Plan struct {
	Sent    []Outcome // one per sent entry, in their order
	Missing []int     // indexes into stored: flag as missed by this run
	Removed []int     // indexes into stored: the bank has withdrawn them, or sends them as other entries
	// Doubtful counts rows that were missing and left alone, because more than half of the window was gone: banks
	// answer with too little far oftener than they withdraw half a month.
	Doubtful int
}

// Outcome is what a sent entry turned out to be.
type Outcome struct {
	Stored     int // index into stored; -1: new
	Change     Change
	Step       Step
	Reappeared bool // the row was flagged as missing or removed, and is neither any more
}

// Change is what has to be written.
type Change uint8

const (
	New        Change = iota // insert it, under an id of ours
	Unchanged                // nothing
	Relabelled               // the facts only: the bank gave it another id, and nothing that is shown changed
	Modified                 // everything: what is shown changed. A row deleted by the user stays deleted
)

// Step is the step of the algorithm that found a match.
type Step uint8

const (
	ByNothing Step = iota
	BySameWords
	ByID
	ByFingerprint
	ByAssignment
	ByPendingAssignment
)

// Match reconciles one account's stored transactions with the entries that one read sent (without repetitions from
// paging, see Paging). It depends on no order: not of stored, not of sent. Applying a plan and matching the same read
// again gives a plan that changes nothing.
func Match(stored []Stored, sent []Facts, w Window) Plan {
	m := newMatcher(stored, sent, w)
	m.pairSameWords()
	if m.lasting = m.idsLast(); m.lasting {
		m.pairIDs(m.sureID)
		m.pairFingerprints()
	} else {
		m.pairFingerprints()
		m.pairIDs(m.sureID)
	}
	m.assignSameAmounts(beyondDoubt)
	m.assignPending()
	if m.lasting {
		m.pairIDs(m.likelyID)
	}
	m.assignSameAmounts(believed)
	return m.plan()
}

type matcher struct {
	stored []Stored
	sent   []Facts
	window Window
	reach  reach

	lasting bool  // ids stay with their transactions
	least   int32 // what every pair of the same amount has to score

	storedFor []int32 // per sent entry: index of its stored row, or -1
	sentFor   []int32 // per stored row: index of its sent entry, or -1
	steps     []Step  // per sent entry

	storedOrder []int32 // canonical orders, so that ties fall the same way whatever order the caller has
	sentOrder   []int32

	keyed         []keyed     // scratch of pair
	rows, entries []candidate // scratch of assign
}

func newMatcher(stored []Stored, sent []Facts, w Window) *matcher {
	if w.To == 0 {
		w.To = w.Today
	}
	indexes := make([]int32, 2*(len(stored)+len(sent)))
	take := func(n int) []int32 {
		part := indexes[:n:n]
		indexes = indexes[n:]
		return part
	}
	m := &matcher{
		stored: stored, sent: sent, window: w,
		storedFor: take(len(sent)), sentFor: take(len(stored)), steps: make([]Step, len(sent)),
		storedOrder: take(len(stored)), sentOrder: take(len(sent)),
	}
	m.reach = newReach(sent, w)
	for i := range m.stored {
		m.sentFor[i], m.storedOrder[i] = -1, int32(i)
	}
	for i := range m.sent {
		m.storedFor[i], m.sentOrder[i] = -1, int32(i)
	}
	slices.SortFunc(m.storedOrder, func(a, b int32) int {
		x, y := &stored[a], &stored[b]
		if x.State != y.State {
			return cmp.Compare(x.State, y.State)
		}
		return bytes.Compare(x.ID[:], y.ID[:])
	})
	slices.SortFunc(m.sentOrder, func(a, b int32) int { return sent[a].compare(&sent[b]) })
	return m
}

func (m *matcher) match(s, e int32, step Step) {
	m.sentFor[s], m.storedFor[e], m.steps[e] = e, s, step
}

type key = [2]uint64

type keyed struct {
	key   key
	index int32 // of a stored row; a sent entry's is negative: ^index
	rank  int32
}

// scope is what pair does with several rows or entries of one key.
type scope uint8

const (
	counted      scope = iota // the first row gets the first entry, in canonical order, and so on
	uniqueOfRest              // nothing, but those that have been matched before do not count
	uniqueOfAll               // nothing
)

// pair matches unmatched rows and entries of the same key. keys appends a row's keys to dst; believable may refuse a pair.
func (m *matcher) pair(step Step, scope scope, keys func(f *Facts, dst []key) []key, believable func(s, e int32) bool) {
	all := m.keyed[:0]
	var buf [2]key
	for rank, s := range m.storedOrder {
		if m.sentFor[s] < 0 || scope == uniqueOfAll {
			for _, k := range keys(&m.stored[s].Facts, buf[:0]) {
				all = append(all, keyed{k, s, int32(rank)})
			}
		}
	}
	rows := len(all)
	for rank, e := range m.sentOrder {
		if m.storedFor[e] < 0 || scope == uniqueOfAll {
			for _, k := range keys(&m.sent[e], buf[:0]) {
				all = append(all, keyed{k, ^e, int32(rank)})
			}
		}
	}
	m.keyed = all
	if rows == 0 || rows == len(all) {
		return
	}
	slices.SortFunc(all, func(a, b keyed) int {
		if a.key != b.key {
			if c := cmp.Compare(a.key[0], b.key[0]); c != 0 {
				return c
			}
			return cmp.Compare(a.key[1], b.key[1])
		}
		if (a.index < 0) != (b.index < 0) {
			return cmp.Compare(b.index, a.index) // stored rows first
		}
		return cmp.Compare(a.rank, b.rank)
	})
	for start := 0; start < len(all); {
		end, split := start+1, start
		for end < len(all) && all[end].key == all[start].key {
			end++
		}
		for split < end && all[split].index >= 0 {
			split++
		}
		rows, entries := all[start:split], all[split:end]
		start = end
		if scope != counted && (len(rows) != 1 || len(entries) != 1) {
			continue
		}
		for i := 0; i < len(rows) && i < len(entries); i++ {
			s, e := rows[i].index, ^entries[i].index
			// A row with two ids may have been matched by the other one in this very pass.
			if m.sentFor[s] < 0 && m.storedFor[e] < 0 && (believable == nil || believable(s, e)) {
				m.match(s, e, step)
			}
		}
	}
}

// pairSameWords: the bank repeats itself, to the letter or nearly so. Most of every read ends here.
func (m *matcher) pairSameWords() {
	m.pair(BySameWords, counted, func(f *Facts, dst []key) []key {
		return append(dst, key{mix(f.Print[0] ^ f.Content), mix(f.Print[1]^f.IDs[0]) ^ f.IDs[1]})
	}, nil)
	m.pair(BySameWords, counted, func(f *Facts, dst []key) []key {
		if f.IDs == [2]uint64{} {
			return dst
		}
		return append(dst, key{f.Print[0], mix(f.Print[1]^f.IDs[0]) ^ f.IDs[1]})
	}, nil)
}

// idsLast reports whether this bank's ids stay with their transactions. Some number the lines of every answer, and a
// payment that looks like yesterday's then carries yesterday's id: unless equal fingerprints have the same ids much
// oftener than others, fingerprints go first.
func (m *matcher) idsLast() bool {
	confirmed, contradicted := 0, 0
	for e := range m.sent {
		if m.storedFor[e] >= 0 && m.sent[e].IDs != [2]uint64{} {
			confirmed++
		}
	}
	m.pair(ByNothing, counted, fingerprint, func(s, e int32) bool {
		f, g := &m.stored[s].Facts, &m.sent[e]
		if f.IDs != [2]uint64{} && g.IDs != [2]uint64{} && !shareID(f, g) {
			contradicted++
		}
		return false
	})
	return confirmed >= 4*contradicted
}

// pairIDs: transaction id against transaction id first; then any of a row's ids, since banks move them between the fields.
func (m *matcher) pairIDs(believable func(s, e int32) bool) {
	m.pair(ByID, uniqueOfAll, func(f *Facts, dst []key) []key {
		if f.IDs[0] != 0 {
			dst = append(dst, key{f.IDs[0]})
		}
		return dst
	}, believable)
	m.pair(ByID, uniqueOfAll, func(f *Facts, dst []key) []key {
		if f.IDs[0] != 0 {
			dst = append(dst, key{f.IDs[0]})
		}
		if f.IDs[1] != 0 && f.IDs[1] != f.IDs[0] {
			dst = append(dst, key{f.IDs[1]})
		}
		return dst
	}, believable)
}

// pairFingerprints: booked to booked and pending to pending first, then across.
func (m *matcher) pairFingerprints() {
	m.pair(ByFingerprint, counted, func(f *Facts, dst []key) []key {
		k := f.Print
		if f.Pending {
			k[0] = ^k[0]
		}
		return append(dst, k)
	}, nil)
	m.pair(ByFingerprint, counted, fingerprint, nil)
}

func fingerprint(f *Facts, dst []key) []key { return append(dst, f.Print) }

func (m *matcher) plan() Plan {
	p := Plan{Sent: make([]Outcome, len(m.sent))}
	for e := range m.sent {
		s := m.storedFor[e]
		if s < 0 {
			p.Sent[e] = Outcome{Stored: -1}
			continue
		}
		row := &m.stored[s]
		change := Modified
		if row.Facts == m.sent[e] {
			change = Unchanged
		} else if row.Facts.Content == m.sent[e].Content {
			change = Relabelled
		}
		p.Sent[e] = Outcome{
			Stored: int(s), Change: change, Step: m.steps[e],
			Reappeared: row.State == Removed || row.MissedBy != uuid.Nil,
		}
	}

	var booked int // live booked rows that the bank had to send
	replaced := m.replaced()
	for s := range m.stored {
		row := &m.stored[s]
		switch {
		case row.State != Live:
		case replaced[int32(s)]:
			p.Removed = append(p.Removed, s)
		case row.Facts.Pending:
			if m.sentFor[s] < 0 && m.reach.pending {
				p.Removed = append(p.Removed, s)
			}
		case m.reach.covers(&row.Facts):
			booked++
			if m.sentFor[s] < 0 {
				p.Missing = append(p.Missing, s)
			}
		}
	}
	if len(p.Missing) >= 5 && 2*len(p.Missing) > booked {
		p.Doubtful, p.Missing = len(p.Missing), nil
	}
	p.Missing = slices.DeleteFunc(p.Missing, func(s int) bool {
		missedBy := m.stored[s].MissedBy
		if missedBy != uuid.Nil && missedBy != m.window.Run {
			p.Removed = append(p.Removed, s)
		}
		return missedBy != uuid.Nil
	})
	return p
}

// reach knows which stored rows belong to what was read.
type reach struct {
	complete bool
	pending  bool       // the pending set is complete as well
	from, to civil.Date // closed; to is before today
	open     bool       // the answer goes on to today and beyond
}

func newReach(sent []Facts, w Window) reach {
	r := reach{complete: w.Complete && !w.NoBooked, pending: w.Complete && w.PendingComplete, from: w.From, to: min(w.To, w.Today-1), open: w.To >= w.Today}
	if r.from == 0 { // as far back as the bank gave: what is older than its oldest entry it may not have looked at
		for i := range sent {
			for _, d := range [...]civil.Date{sent[i].Booked, sent[i].Valued} {
				if d != 0 && !sent[i].Pending && (r.from == 0 || d < r.from) {
					r.from = d
				}
			}
		}
		r.complete = r.complete && r.from != 0
	}
	return r
}

// asked: the read is about the row, whichever date the bank chooses by.
func (r reach) asked(f *Facts) bool {
	inside := func(d civil.Date) bool { return d != 0 && d >= r.from && (r.open || d <= r.to) }
	if f.Pending {
		return r.pending
	}
	return f.Date() == 0 || inside(f.Booked) || inside(f.Valued)
}

// resent: this read, or the one that repeats it, holds the row if the bank still has it.
func (r reach) resent(f *Facts) bool {
	inside := func(d civil.Date) bool { return d == 0 || d >= r.from && (r.open || d <= r.to) }
	return inside(f.Booked) && inside(f.Valued)
}

// covers: this read holds the row, or the bank has withdrawn it.
func (r reach) covers(f *Facts) bool {
	r.from = r.from.AddDays(Edge)
	return r.complete && r.resent(f) && f.Date() != 0 && f.Booked <= r.to && f.Valued <= r.to
}
