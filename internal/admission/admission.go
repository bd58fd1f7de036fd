// Package admission decides whether a request may begin, before any work is done for it. Each caller has a rate and a
// number of requests at once, by the kind of work; what goes beyond is refused with the time after which to come again.
// Nobody is queued: a queue would be filled by the one who sends most.
//
// The limits hold for one process.
package admission

import (
	"container/list"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Work is the kind of a request. Each kind has a share of its own, so that one does not crowd out another.
type Work int

// Kinds of work.
const (
	Light   Work = iota // a few rows by their index
	Heavy               // reads or sorts many rows
	Waiting             // does nothing most of the time: long polls and event streams
	kinds
)

// Limits of one caller.
type Limits struct {
	PerSecond float64 // requests in the long run
	Burst     int     // and at once, after a pause
	Light     int     // requests under way, by their kind
	Heavy     int
	Waiting   int
}

func (l Limits) atOnce(w Work) int { return [kinds]int{l.Light, l.Heavy, l.Waiting}[w] }

// busyRetry is when a caller with too many requests under way should come again.
const busyRetry = time.Second

// A Gate admits callers of one kind: users, clients, addresses. It remembers as many as were seen last, and all with
// requests under way.
type Gate struct {
	limits Limits
	most   int
	now    func() time.Time

	mu      sync.Mutex
	callers map[string]*list.Element // of *caller
	recent  list.List                // front: seen last
}

type caller struct {
	key     string
	bucket  *rate.Limiter
	running [kinds]int
}

// NewGate makes a gate that remembers at least most callers.
func NewGate(limits Limits, most int) *Gate {
	return &Gate{limits: limits, most: most, now: time.Now, callers: make(map[string]*list.Element)}
}

// Enter counts a request of a caller. Where it is refused, pass is nil and retry is the time after which to come again.
func (g *Gate) Enter(key string, work Work) (pass *Pass, retry time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	c := g.caller(key)
	if c.running[work] >= g.limits.atOnce(work) {
		return nil, busyRetry
	}
	if wait := c.take(g.now()); wait > 0 {
		return nil, wait
	}
	c.running[work]++
	return &Pass{gate: g, caller: c, work: work}, 0
}

// Check reports how long a caller has to wait until Enter or Spend would be possible; 0: no time. It counts nothing.
func (g *Gate) Check(key string) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	e := g.callers[key]
	if e == nil {
		return 0
	}
	missing := 1 - e.Value.(*caller).bucket.TokensAt(g.now())
	if missing <= 0 {
		return 0
	}
	return time.Duration(missing / g.limits.PerSecond * float64(time.Second))
}

// Spend counts a request that was made without Enter.
func (g *Gate) Spend(key string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.caller(key).take(g.now())
}

// take takes one request out of the bucket, or returns how long there is none.
func (c *caller) take(now time.Time) time.Duration {
	r := c.bucket.ReserveN(now, 1)
	if !r.OK() {
		return time.Duration(math.MaxInt64)
	}
	wait := r.DelayFrom(now)
	if wait > 0 {
		r.CancelAt(now)
	}
	return wait
}

func (g *Gate) caller(key string) *caller {
	if e := g.callers[key]; e != nil {
		g.recent.MoveToFront(e)
		return e.Value.(*caller)
	}
	g.forget()
	c := &caller{key: key, bucket: rate.NewLimiter(rate.Limit(g.limits.PerSecond), g.limits.Burst)}
	g.callers[key] = g.recent.PushFront(c)
	return c
}

// forget makes room for one more: of the few callers that were seen longest ago, those without requests under way go.
func (g *Gate) forget() {
	const looks = 16
	e := g.recent.Back()
	for range looks {
		if e == nil || len(g.callers) < g.most {
			return
		}
		before := e.Prev()
		if c := e.Value.(*caller); c.running == [kinds]int{} {
			g.recent.Remove(e)
			delete(g.callers, c.key)
		}
		e = before
	}
}

// A Pass is a request under way. A nil Pass is of nobody, and does nothing.
type Pass struct {
	gate   *Gate
	caller *caller
	work   Work
	left   bool
}

// Become makes the request one of another kind of work. Where there are too many of it, it stays what it was, and retry
// is the time after which to come again.
func (p *Pass) Become(work Work) (retry time.Duration) {
	if p == nil {
		return 0
	}
	p.gate.mu.Lock()
	defer p.gate.mu.Unlock()
	if work == p.work || p.left {
		return 0
	}
	if p.caller.running[work] >= p.gate.limits.atOnce(work) {
		return busyRetry
	}
	p.caller.running[p.work]--
	p.caller.running[work]++
	p.work = work
	return 0
}

// Leave ends the request. Again, it does nothing.
func (p *Pass) Leave() {
	if p == nil {
		return
	}
	p.gate.mu.Lock()
	defer p.gate.mu.Unlock()
	if !p.left {
		p.left = true
		p.caller.running[p.work]--
	}
}
