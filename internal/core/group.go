package core

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// group is what an engine knows of one group: the truth as of its last read or
// push, the reads under way, and what its watchers are shown.
//
// At most one read is in flight. A caller joins only a read that starts after
// its call. Pushes that arrive during a read wait for it, so that what is older
// than its answer is not applied on top of it.
type group struct {
	e    *Engine
	name string

	mu      sync.Mutex
	truth   truth
	current *flight
	next    *flight
	moving  bool // the last read found a change
	pushed  []store.Notice
	topic   *topic // nil while nobody watches
	readers int    // that hold on to this group, so that it stays in the engine
	outage  outage // of the backend's accepting writes
}

// flight is one read, waited for by any number of callers.
type flight struct {
	start  time.Time
	reason string // of a resync; "" for a caller's read
	lease  uint64 // number of the watcher lease under which it began
	prove  bool   // it makes sure that the backend accepts writes
	done   chan struct{}
	ended  bool // by its answer, or by Close before that; guarded by the group's lock
	view   View
	err    error
}

// maxIdleGroups bounds the groups kept for readers that do not watch.
const maxIdleGroups = 4096

// group returns the state of a group, which the caller releases.
func (e *Engine) group(name string) *group {
	e.groupsMu.Lock()
	defer e.groupsMu.Unlock()
	g := e.groups[name]
	if g == nil {
		if len(e.groups) >= maxIdleGroups {
			for n, other := range e.groups {
				if other.readers == 0 {
					delete(e.groups, n)
					break
				}
			}
		}
		g = &group{e: e, name: name}
		e.groups[name] = g
	}
	g.readers++
	return g
}

// allGroups returns the groups of this moment.
func (e *Engine) allGroups() []*group {
	e.groupsMu.Lock()
	defer e.groupsMu.Unlock()
	return slices.Collect(maps.Values(e.groups))
}

func (e *Engine) release(g *group) {
	e.groupsMu.Lock()
	defer e.groupsMu.Unlock()
	g.readers--
}

// join returns the flight that a caller of now may wait for.
func (g *group) join(reason string) *flight { return g.fly(reason, false) }

// fly is join for a caller that, with here, has nothing else to wait for: the
// read may then be done by its goroutine.
func (g *group) fly(reason string, here bool) *flight {
	g.mu.Lock()
	if g.e.ctx.Err() != nil {
		g.mu.Unlock()
		return endedFlight
	}
	if g.current != nil {
		if g.next == nil {
			g.next = &flight{reason: reason, done: make(chan struct{})}
		}
		f := g.next
		g.mu.Unlock()
		return f
	}
	f := &flight{reason: reason, done: make(chan struct{})}
	known := g.take(f)
	known.Here = here
	g.mu.Unlock()
	g.e.store.Read(g.name, known, func(r store.Reading, err error) { g.land(f, r, err) })
	return f
}

// endedFlight is what a caller gets after Close.
var endedFlight = func() *flight {
	f := &flight{done: make(chan struct{}), ended: true, err: store.ErrClosed}
	close(f.done)
	return f
}()

// endFlights ends all reads for those who wait for them, whenever the store
// answers. None begins after the engine's context has ended.
func (e *Engine) endFlights() {
	for _, g := range e.allGroups() {
		g.mu.Lock()
		for _, f := range []*flight{g.current, g.next} {
			if f != nil && !f.ended {
				f.ended, f.err = true, store.ErrClosed
				close(f.done)
			}
		}
		g.next = nil
		g.mu.Unlock()
	}
}

// take makes f the read in flight. g.mu is held.
func (g *group) take(f *flight) store.Known {
	f.start = time.Now()
	g.current = f
	f.prove = g.outage.unproven != nil
	if g.topic != nil {
		f.prove, f.lease = f.prove || len(g.topic.held) > 0, g.topic.lease.number
	}
	if g.truth.distrust {
		return store.Known{Prove: f.prove}
	}
	return store.Known{Rev: g.truth.rev, Next: g.truth.next, Moving: g.moving, Prove: f.prove}
}

// land takes a read's answer and starts the read that waited for it.
func (g *group) land(f *flight, r store.Reading, err error) {
	for {
		g.mu.Lock()
		gap, waited, failed := "", !f.ended, err
		if err != nil {
			g.pushed = nil // the next read answers for them
			g.blind(err)
		} else {
			before := g.truth.rev
			g.moving = r.Kind != store.Same
			g.apply(f, &r)
			if g.topic != nil && f.reason == resyncCheck && before != "" && before != r.Rev && len(g.pushed) == 0 {
				g.topic.unpushed = r.Rev
			}
			gap = g.catchUp()
			failed = g.outage.settle(&g.truth, r.Refused, f.start, time.Now())
		}
		if waited {
			f.ended, f.err, f.view = true, failed, View{Content: g.truth.view(), AsOf: f.start}
		}
		if gap != "" && g.next == nil && g.e.ctx.Err() == nil {
			g.next = &flight{reason: gap, done: make(chan struct{})}
		}
		next := g.next
		g.next, g.current = nil, nil
		var known store.Known
		if next != nil {
			known = g.take(next)
		}
		g.mu.Unlock()
		if waited {
			close(f.done)
		}
		g.e.contact(source(g.name), failed)
		if errors.Is(err, store.ErrForeign) {
			g.e.reportBad(g.name, "", err)
		}
		g.e.readEnded(g.name, f, &r, failed)
		if next == nil {
			return
		}
		// A store may answer before Read returns: loop instead of growing the stack.
		type answer struct {
			r   store.Reading
			err error
		}
		var mu sync.Mutex
		var got *answer
		returned := false
		g.e.store.Read(g.name, known, func(r store.Reading, err error) {
			mu.Lock()
			if !returned {
				got = &answer{r, err}
				mu.Unlock()
				return
			}
			mu.Unlock()
			g.land(next, r, err)
		})
		mu.Lock()
		returned = true
		a := got
		mu.Unlock()
		if a == nil {
			return
		}
		f, r, err = next, a.r, a.err
	}
}

// apply makes a reading the truth and shows it to the watchers. g.mu is held.
func (g *group) apply(f *flight, r *store.Reading) {
	if r.Kind == store.Delta && f == nil && r.Rev == g.truth.rev {
		return
	}
	at := time.Now()
	jumped := g.truth.now != 0 && r.Now != 0 &&
		time.Duration(r.Now-g.truth.now)*time.Microsecond-at.Sub(g.truth.at) > maxJump
	// A push may have been under way for long; it tells the time only if that is later.
	elapsed := at.Sub(g.truth.at).Microseconds()
	if g.setBack(f, r) {
		g.truth.distrust = true
	}
	if r.Now != 0 && (f != nil || g.truth.now == 0 || r.Now > g.truth.now+elapsed) {
		g.truth.now, g.truth.at = r.Now, at
	}
	before, rev := g.truth.sorted, g.truth.rev
	gone := g.truth.gone(r)
	var ev evidence
	switch r.Kind {
	case store.Same:
		ev = g.truth.same(r)
	case store.Delta:
		ev = g.truth.delta(g, r)
	default:
		ev = g.truth.full(g, r)
	}
	g.outage.learn(ev)
	for _, id := range r.Bad {
		g.e.reportBad(g.name, id, errors.New("not a record that this version can read"))
	}
	if g.topic != nil {
		confirmed := at
		if f != nil {
			confirmed = f.start
		}
		if r.Kind == store.Full {
			gone = before
		}
		again := f != nil && g.topic.lease.landed(f.lease, r.Kind == store.Full && rev != "" && rev != r.Rev)
		g.topic.show(gone, ev, answer{at: at, confirmed: confirmed, jumped: jumped, proven: f != nil && f.prove, refused: r.Refused})
		if again {
			g.topic.wake() // those that the end of a lease held up
		}
	}
}

// setBack reports whether a reading shows that the backend's clock was set
// back. A read's answer is no older than its start.
func (g *group) setBack(f *flight, r *store.Reading) bool {
	if g.truth.now == 0 || r.Now == 0 {
		return false
	}
	least := g.truth.now - maxBack
	if f != nil {
		least += f.start.Sub(g.truth.at).Microseconds()
	}
	return r.Now < least
}

// blind notes that a read failed. g.mu is held.
func (g *group) blind(err error) {
	if errors.Is(err, store.ErrClosed) {
		return
	}
	g.outage.begin(&g.truth)
	if g.topic != nil {
		g.topic.lostSight(err)
	}
}

// notified takes a push. It must not block: it runs on the subscription's goroutine.
func (g *group) notified(n store.Notice) {
	g.mu.Lock()
	if g.topic == nil {
		g.mu.Unlock()
		return
	}
	if n.Lost == "" && n.Reading.Kind == store.Full {
		// A store that pushes whole states pushes them in order.
		g.apply(nil, &n.Reading)
		g.mu.Unlock()
		return
	}
	g.topic.unpushed = ""
	reason := n.Lost
	if reason == "" {
		g.pushed = append(g.pushed, n)
		if g.current != nil {
			g.mu.Unlock()
			return
		}
		reason = g.catchUp()
	}
	g.mu.Unlock()
	if reason != "" {
		g.join(reason)
	}
}

// maxPushed bounds the pushes that wait for a read.
const maxPushed = 256

// maxJump is how far the backend's clock may run ahead of one's own before it counts as set.
const maxJump = time.Second

// maxBack is how far, in µs, an answer may lie before an earlier one without the
// clock having been set back: pushes and replies come on different connections.
const maxBack = 1_000_000

// catchUp applies the pushes that follow the truth. It returns the reason to
// read again when some do not. g.mu is held.
func (g *group) catchUp() (gap string) {
	pushed := g.pushed
	g.pushed = nil
	if len(pushed) > maxPushed {
		return resyncGap
	}
	// What came before the revision that was read is part of it.
	for i := len(pushed) - 1; i >= 0; i-- {
		if pushed[i].Reading.Rev == g.truth.rev {
			pushed = pushed[i+1:]
			break
		}
	}
	for i := range pushed {
		if pushed[i].Prev != g.truth.rev {
			return resyncGap
		}
		g.apply(nil, &pushed[i].Reading)
	}
	if g.truth.distrust {
		return resyncGap
	}
	return ""
}
