package reconcile

// Paging drops the entries that a bank sends twice within one read, because its pages moved under the reader: same
// strong id and same fingerprint as on an earlier page. Two such entries on one page are two, and entries without an id
// always count: a doubled row is found by the next read, a lost one by nobody.
//
// It remembers the last 16,384 entries, in under 2 MB, however long the history is. The zero value is ready; one Paging
// belongs to one read of one account. A first read, with nothing stored to match against, needs nothing else.
type Paging struct {
	seen   map[repetition]struct{}
	ring   []repetition
	oldest int
	fresh  []int
}

type repetition struct{ ids, print [2]uint64 }

// Remembered is how many entries a Paging remembers.
const Remembered = 1 << 14

// Fresh returns the indexes of the entries of the next page that were on no page before. The slice is good until the
// next call.
func (p *Paging) Fresh(page []Facts) []int {
	p.fresh = p.fresh[:0]
	for i := range page {
		if _, repeated := p.seen[repetition{page[i].IDs, page[i].Print}]; !repeated {
			p.fresh = append(p.fresh, i)
		}
	}
	p.Remember(page)
	return p.fresh
}

// Remember counts entries as sent before: those stored last, when a read goes on that another process began.
func (p *Paging) Remember(page []Facts) {
	if p.seen == nil {
		p.seen = make(map[repetition]struct{})
	}
	for i := range page {
		r := repetition{page[i].IDs, page[i].Print}
		if _, known := p.seen[r]; known || r.ids == [2]uint64{} {
			continue
		}
		if len(p.ring) < Remembered {
			p.ring = append(p.ring, r)
		} else {
			delete(p.seen, p.ring[p.oldest])
			p.ring[p.oldest] = r
			p.oldest = (p.oldest + 1) % Remembered
		}
		p.seen[r] = struct{}{}
	}
}
