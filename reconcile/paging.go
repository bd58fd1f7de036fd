package reconcile

// Paging drops the entries that a bank sends twice within one read, because its pages moved under the reader: same
// strong id and same fingerprint as on an earlier page. Two such entries on one page are two. Entries without an id always
// count, and so do those whose id names others as well: it is none, and of twins one may stand at a page's end and the other
// at the next one's beginning. A doubled row is found by the next read, a lost one by nobody.
//
// It remembers the last 16,384 ids, in under 2 MB, however long the history is. The zero value is ready; one Paging
// belongs to one read of one account. A first read, with nothing stored to match against, needs nothing else.
type Paging struct {
	seen   map[[2]uint64]named // by id
	ring   [][2]uint64
	oldest int
	fresh  []int
}

// named is what an id stands for.
type named struct {
	print  [2]uint64 // the first entry's fingerprint
	shared bool      // others have another one
}

// Remembered is how many ids a Paging remembers.
const Remembered = 1 << 14

// Fresh returns the indexes of the entries of the next page that were on no page before. The slice is good until the
// next call.
func (p *Paging) Fresh(page []Facts) []int {
	for again := true; again; {
		p.fresh, again = p.fresh[:0], false
		for i := range page {
			n, known := p.seen[page[i].IDs]
			switch {
			case !known || n.shared:
				p.fresh = append(p.fresh, i)
			case n.print != page[i].Print: // so none of the page's entries with this id is known by it
				p.share(page[i].IDs, n)
				again = true
			}
		}
	}
	p.Remember(page)
	return p.fresh
}

// Remember counts entries as sent before: those stored last, when a read goes on that another process began.
func (p *Paging) Remember(page []Facts) {
	if p.seen == nil {
		p.seen = make(map[[2]uint64]named)
	}
	for i := range page {
		id := page[i].IDs
		if id == [2]uint64{} {
			continue
		}
		if n, known := p.seen[id]; known {
			if !n.shared && n.print != page[i].Print {
				p.share(id, n)
			}
			continue
		}
		if len(p.ring) < Remembered {
			p.ring = append(p.ring, id)
		} else {
			delete(p.seen, p.ring[p.oldest])
			p.ring[p.oldest] = id
			p.oldest = (p.oldest + 1) % Remembered
		}
		p.seen[id] = named{print: page[i].Print}
	}
}

// share notes that an id names other entries, too.
func (p *Paging) share(id [2]uint64, n named) {
	n.shared = true
	p.seen[id] = n
}
