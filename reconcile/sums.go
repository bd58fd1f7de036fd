package reconcile

import (
	"cmp"
	"slices"

	"github.com/kontoflow/kontoflow/internal/civil"
)

// Banks book a batch as one sum, and later as its parts, or the other way round. Until both are known to be the same, the
// money is there twice. So rows that are replaced are removed at once, where the bank had to send them and did not: a row
// where new entries of its day add up to it to the cent, and rows of a day that add up to a new entry.
//
// The parts have something in common (an id, a reference, the other party), or they are all of the day that is missing or
// new. No other combination is searched for, so the cost is that of sorting.

// sum is what a batch and its parts agree in.
type sum struct {
	day      civil.Date
	currency [3]byte
	amount   int64
}

// batch are rows or entries of one day and currency that have something in common.
type batch struct {
	sum
	by      int    // what it is: the lower, the less it can be by chance
	value   uint64 // of what they have in common
	members []int32
	spent   bool // one of them is used
}

// largestPart bounds the amounts of parts, in millionths, so that sums do not overflow: a thousand millions.
const largestPart = 1_000_000_000 * 1_000_000

// unpaired are the missing rows, or the new entries.
type unpaired struct {
	members []int32 // in canonical order
	facts   func(int32) *Facts
	used    map[int32]bool
}

// batches puts together what has something in common, by their sums.
func (u *unpaired) batches() map[sum][]*batch {
	type common struct {
		sum
		by    int
		value uint64
	}
	found := make(map[common]*batch)
	for _, i := range u.members {
		f := u.facts(i)
		for by, value := range [...]uint64{f.IDs[0], f.IDs[1], f.EndToEnd, f.Party, uint64(f.Date())} {
			if value == 0 {
				continue
			}
			c := common{sum{day: f.Date(), currency: f.Currency}, by, value}
			if found[c] == nil {
				found[c] = &batch{sum: c.sum, by: by, value: value}
			}
			found[c].amount += f.Amount
			found[c].members = append(found[c].members, i)
		}
	}
	bySum := make(map[sum][]*batch)
	for _, b := range found {
		if len(b.members) > 1 && b.amount != 0 {
			bySum[b.sum] = append(bySum[b.sum], b)
		}
	}
	for _, same := range bySum {
		slices.SortFunc(same, func(a, b *batch) int { return cmp.Or(cmp.Compare(a.by, b.by), cmp.Compare(a.value, b.value)) })
	}
	return bySum
}

// settle finds for each one the parts that add up to it. What is found is used up on both sides.
func (u *unpaired) settle(parts *unpaired) {
	batches := parts.batches()
	for _, i := range u.members {
		f := u.facts(i)
		for _, b := range batches[sum{f.Date(), f.Currency, f.Amount}] {
			if b.spent = b.spent || slices.ContainsFunc(b.members, func(part int32) bool { return parts.used[part] }); b.spent {
				continue
			}
			b.spent, u.used[i] = true, true
			for _, part := range b.members {
				parts.used[part] = true
			}
			break
		}
	}
}

// replaced returns which of the stored rows stand in new entries now.
func (m *matcher) replaced() map[int32]bool {
	missing := unpaired{facts: func(s int32) *Facts { return &m.stored[s].Facts }, used: make(map[int32]bool)}
	fresh := unpaired{facts: func(e int32) *Facts { return &m.sent[e] }, used: make(map[int32]bool)}
	fits := func(f *Facts) bool {
		return !f.Pending && f.Date() != 0 && f.Amount <= largestPart && f.Amount >= -largestPart
	}
	for _, s := range m.storedOrder {
		row := &m.stored[s]
		if m.sentFor[s] < 0 && row.State == Live && fits(&row.Facts) && m.reach.complete && m.reach.resent(&row.Facts) {
			missing.members = append(missing.members, s)
		}
	}
	for _, e := range m.sentOrder {
		if m.storedFor[e] < 0 && fits(&m.sent[e]) {
			fresh.members = append(fresh.members, e)
		}
	}
	if len(missing.members) == 0 || len(fresh.members) == 0 {
		return nil
	}
	missing.settle(&fresh)
	fresh.settle(&missing)
	return missing.used
}
