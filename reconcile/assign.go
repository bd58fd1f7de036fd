package reconcile

import (
	"cmp"
	"slices"

	"github.com/kontoflow/kontoflow/internal/civil"
)

const (
	exactly    = 128 // so many rows and entries are assigned optimally: cubic
	neighbours = 256 // above that, every entry looks at so many rows
)

// assignSameAmounts is step 3a. References and texts that single out one row and one entry of an amount go first: they
// leave the assignment small when a bank rewrites its whole history or the protocol changed. The least score is high
// before pending rows had their turn, which may have changed into an amount that a row here has by chance.
func (m *matcher) assignSameAmounts(least int32) {
	m.least = least
	believable := func(s, e int32) bool {
		_, ok := m.scoreSameAmount(s, e)
		return ok
	}
	m.pair(ByAssignment, uniqueOfRest, func(f *Facts, dst []key) []key {
		if f.EndToEnd != 0 {
			dst = append(dst, key{f.EndToEnd, f.money()})
		}
		return dst
	}, believable)
	m.pair(ByAssignment, uniqueOfRest, func(f *Facts, dst []key) []key {
		var text uint64
		for _, word := range f.Sketch {
			text = mix(text ^ word)
		}
		return append(dst, key{text, f.money()})
	}, believable)

	rest := m.unmatched(func(*Stored) bool { return true })
	slices.SortFunc(rest, func(a, b candidate) int {
		if a.money != b.money {
			return cmp.Compare(a.money, b.money)
		}
		return a.compare(b)
	})
	for start := 0; start < len(rest); {
		end, last := start+1, rest[start].last
		for end < len(rest) && rest[end].money == rest[start].money && rest[end].first <= last+Reach {
			last = max(last, rest[end].last)
			end++
		}
		m.assign(rest[start:end], ByAssignment, m.scoreSameAmount)
		start = end
	}
}

// assignPending is step 3b: what is left of the pending rows, against anything.
func (m *matcher) assignPending() {
	rest := m.unmatched(func(s *Stored) bool { return s.Facts.Pending })
	slices.SortFunc(rest, candidate.compare)
	m.assign(rest, ByPendingAssignment, m.scorePending)
}

// candidate is an unmatched row or entry, with the days that any of its dates may stand for.
type candidate struct {
	money       uint64
	first, last civil.Date
	index       int32 // of a stored row; a sent entry's is negative: ^index
	rank        int32 // canonical
}

func (c candidate) compare(d candidate) int {
	if c.first != d.first {
		return cmp.Compare(c.first, d.first)
	}
	if (c.index < 0) != (d.index < 0) {
		return cmp.Compare(d.index, c.index)
	}
	return cmp.Compare(c.rank, d.rank)
}

func (m *matcher) unmatched(wanted func(*Stored) bool) []candidate {
	var rest []candidate
	add := func(f *Facts, otherwise civil.Date, index int32, rank int) {
		first, last := f.days()
		if first == 0 {
			first, last = otherwise, otherwise
		}
		rest = append(rest, candidate{f.money(), first, last, index, int32(rank)})
	}
	for rank, s := range m.storedOrder {
		if row := &m.stored[s]; m.sentFor[s] < 0 && wanted(row) {
			add(&row.Facts, row.Seen, s, rank)
		}
	}
	if len(rest) == 0 {
		return nil
	}
	for rank, e := range m.sentOrder {
		if m.storedFor[e] < 0 {
			add(&m.sent[e], m.window.Today, ^e, rank)
		}
	}
	return rest
}

// assign pairs the rows and entries of one group. score says how well a pair fits, and whether it may be at all.
func (m *matcher) assign(group []candidate, step Step, score func(s, e int32) (int32, bool)) {
	rows, entries := m.rows[:0], m.entries[:0]
	for _, c := range group {
		if c.index < 0 {
			entries = append(entries, c)
		} else {
			rows = append(rows, c)
		}
	}
	m.rows, m.entries = rows, entries
	switch {
	case len(rows) == 0 || len(entries) == 0:
	case len(rows) == 1 && len(entries) == 1:
		if s, e := rows[0].index, ^entries[0].index; allowed(score(s, e)) {
			m.match(s, e, step)
		}
	case len(rows) <= exactly && len(entries) <= exactly:
		for i, j := range maximise(len(rows), len(entries), func(i, j int) int32 {
			if value, ok := score(rows[i].index, ^entries[j].index); ok {
				return value + pairedAtAll // never 0
			}
			return 0
		}) {
			if j >= 0 {
				m.match(rows[i].index, ^entries[j].index, step)
			}
		}
	default:
		for _, enough := range [...]int32{clearly, 0} {
			m.takeNearest(rows, entries, step, enough, score)
		}
	}
}

func allowed(_ int32, ok bool) bool { return ok }

// takeNearest gives every entry, by date, the best of the nearest rows that are still free.
func (m *matcher) takeNearest(rows, entries []candidate, step Step, enough int32, score func(s, e int32) (int32, bool)) {
	next := make([]int32, len(rows)+1) // linked list of free rows; 0 is its head
	tail := int32(0)
	for i, row := range rows {
		if m.sentFor[row.index] < 0 {
			next[tail] = int32(i + 1)
			tail = int32(i + 1)
		}
	}
	next[tail] = -1
	for _, entry := range entries {
		e := ^entry.index
		if m.storedFor[e] >= 0 {
			continue
		}
		for next[0] > 0 && rows[next[0]-1].last+Reach < entry.first {
			next[0] = next[next[0]] // too old for this entry, and for all after it
		}
		best, before := enough-1, int32(-1)
		for previous, looked := int32(0), 0; next[previous] > 0 && looked < neighbours; previous, looked = next[previous], looked+1 {
			row := rows[next[previous]-1]
			if row.first > entry.last+Reach {
				break
			}
			if value, ok := score(row.index, e); ok && value > best {
				best, before = value, previous
			}
		}
		if before >= 0 {
			m.match(rows[next[before]-1].index, e, step)
			next[before] = next[next[before]]
		}
	}
}

// maximise finds the one-to-one assignment of rows to columns with the greatest sum of weights, by the Hungarian method
// in O(min² · max); a weight of 0 is no pair. It returns the column of every row, or -1.
func maximise(rows, columns int, weight func(row, column int) int32) []int {
	n, m, transposed := rows, columns, rows > columns
	if transposed {
		n, m = m, n
	}
	cost := make([]int32, n*m)
	for i := range n {
		for j := range m {
			if transposed {
				cost[i*m+j] = -weight(j, i)
			} else {
				cost[i*m+j] = -weight(i, j)
			}
		}
	}

	// Potentials u, v keep cost-u-v ≥ 0; row by row, a shortest augmenting path. Index 0 is the unassigned row and column.
	const infinite = 1 << 30
	u, v, shortest := make([]int32, n+1), make([]int32, m+1), make([]int32, m+1)
	rowOf, way, done := make([]int, m+1), make([]int, m+1), make([]bool, m+1)
	for i := 1; i <= n; i++ {
		rowOf[0] = i
		for j := range shortest {
			shortest[j], done[j] = infinite, false
		}
		column := 0
		for rowOf[column] != 0 {
			done[column] = true
			row, delta, following := rowOf[column], int32(infinite), 0
			for j := 1; j <= m; j++ {
				if done[j] {
					continue
				}
				if reduced := cost[(row-1)*m+j-1] - u[row] - v[j]; reduced < shortest[j] {
					shortest[j], way[j] = reduced, column
				}
				if shortest[j] < delta {
					delta, following = shortest[j], j
				}
			}
			for j := range done {
				if done[j] {
					u[rowOf[j]] += delta
					v[j] -= delta
				} else {
					shortest[j] -= delta
				}
			}
			column = following
		}
		for column != 0 {
			rowOf[column] = rowOf[way[column]]
			column = way[column]
		}
	}

	columnOf := make([]int, rows)
	for i := range columnOf {
		columnOf[i] = -1
	}
	for j := 1; j <= m; j++ {
		if i := rowOf[j]; i != 0 && cost[(i-1)*m+j-1] != 0 {
			if transposed {
				columnOf[j-1] = i - 1
			} else {
				columnOf[i-1] = j - 1
			}
		}
	}
	return columnOf
}
