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
type service struct {
	e    *Engine
	name string

	mu          sync.Mutex
	state       serviceState
	currentRead *pendingRead
	queuedRead  *pendingRead
	changedLast bool // the last read found a change
	pushes      []store.Notice
	hub         *serviceHub // nil while nobody watches
	users       int         // that hold on to this group, so that it stays in the engine
	outage      outage      // of the backend's accepting writes
}

// flight is one read, waited for by any number of callers.
type pendingRead struct {
	start       time.Time
	reason      string // of a resync; "" for a caller's read
	leaseNumber uint64 // number of the watcher lease under which it began
	proveWrites bool   // it makes sure that the backend accepts writes
	done        chan struct{}
	ended       bool // by its answer, or by Close before that; guarded by the group's lock
	view        View
	err         error
}

// maxIdleGroups bounds the groups kept for readers that do not watch.
const maxIdleServices = 4096

// group returns the state of a group, which the caller releases.
func (e *Engine) acquireService(name string) *service {
	e.servicesMu.Lock()
	defer e.servicesMu.Unlock()
	g := e.services[name]
	if g == nil {
		if len(e.services) >= maxIdleServices {
			for n, other := range e.services {
				if other.users == 0 {
					delete(e.services, n)
					break
				}
			}
		}
		g = &service{e: e, name: name}
		e.services[name] = g
	}
	g.users++
	return g
}

// allGroups returns the groups of this moment.
func (e *Engine) allServices() []*service {
	e.servicesMu.Lock()
	defer e.servicesMu.Unlock()
	return slices.Collect(maps.Values(e.services))
}

func (e *Engine) releaseService(g *service) {
	e.servicesMu.Lock()
	defer e.servicesMu.Unlock()
	g.users--
}

// join returns the flight that a caller of now may wait for.
func (g *service) sharedRead(reason string) *pendingRead { return g.requestRead(reason, false) }

// fly is join for a caller that, with here, has nothing else to wait for: the
// read may then be done by its goroutine.
func (g *service) requestRead(reason string, here bool) *pendingRead {
	g.mu.Lock()
	if g.e.ctx.Err() != nil {
		g.mu.Unlock()
		return closedRead
	}
	if g.currentRead != nil {
		if g.queuedRead == nil {
			g.queuedRead = &pendingRead{reason: reason, done: make(chan struct{})}
		}
		f := g.queuedRead
		g.mu.Unlock()
		return f
	}
	f := &pendingRead{reason: reason, done: make(chan struct{})}
	known := g.beginRead(f)
	known.Blocking = here
	g.mu.Unlock()
	g.e.store.Read(g.name, known, func(r store.Reading, err error) { g.finishRead(f, r, err) })
	return f
}

// endedFlight is what a caller gets after Close.
var closedRead = func() *pendingRead {
	f := &pendingRead{done: make(chan struct{}), ended: true, err: store.ErrClosed}
	close(f.done)
	return f
}()

// endFlights ends all reads for those who wait for them, whenever the store
// answers. None begins after the engine's context has ended.
func (e *Engine) endPendingReads() {
	for _, g := range e.allServices() {
		g.mu.Lock()
		for _, f := range []*pendingRead{g.currentRead, g.queuedRead} {
			if f != nil && !f.ended {
				f.ended, f.err = true, store.ErrClosed
				close(f.done)
			}
		}
		g.queuedRead = nil
		g.mu.Unlock()
	}
}

// take makes f the read in flight. g.mu is held.
func (g *service) beginRead(f *pendingRead) store.KnownState {
	f.start = time.Now()
	g.currentRead = f
	f.proveWrites = g.outage.expected != nil
	if g.hub != nil {
		f.proveWrites, f.leaseNumber = f.proveWrites || len(g.hub.retained) > 0, g.hub.lease.number
	}
	if g.state.expiriesVoid {
		return store.KnownState{ProveAbsence: f.proveWrites}
	}
	return store.KnownState{Rev: g.state.rev, NextExpiry: g.state.nextExpiry, ChangedLast: g.changedLast, ProveAbsence: f.proveWrites}
}

// land takes a read's answer and starts the read that waited for it.
func (g *service) finishRead(f *pendingRead, r store.Reading, err error) {
	for {
		g.mu.Lock()
		gap, waited, failed := "", !f.ended, err
		if err != nil {
			g.pushes = nil // the next read answers for them
			g.readFailed(err)
		} else {
			before := g.state.rev
			g.changedLast = r.Kind != store.Unchanged
			g.apply(f, &r)
			if g.hub != nil && f.reason == resyncCheck && before != "" && before != r.Rev && len(g.pushes) == 0 {
				g.hub.unannounced = r.Rev
			}
			gap = g.applyPushes()
			failed = g.outage.verify(&g.state, r.WritesRefused, f.start, time.Now())
		}
		if waited {
			f.ended, f.err, f.view = true, failed, View{Content: g.state.content(), AsOf: f.start}
		}
		if gap != "" && g.queuedRead == nil && g.e.ctx.Err() == nil {
			g.queuedRead = &pendingRead{reason: gap, done: make(chan struct{})}
		}
		next := g.queuedRead
		g.queuedRead, g.currentRead = nil, nil
		var known store.KnownState
		if next != nil {
			known = g.beginRead(next)
		}
		g.mu.Unlock()
		if waited {
			close(f.done)
		}
		g.e.noteAvailability(requestSource(g.name), failed)
		if errors.Is(err, store.ErrForeignData) {
			g.e.reportBadRecord(g.name, "", err)
		}
		g.e.reportRead(g.name, f, &r, failed)
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
			g.finishRead(next, r, err)
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
func (g *service) apply(f *pendingRead, r *store.Reading) {
	if r.Kind == store.Delta && f == nil && r.Rev == g.state.rev {
		return
	}
	at := time.Now()
	jumped := g.state.backendTime != 0 && r.Now != 0 &&
		time.Duration(r.Now-g.state.backendTime)*time.Microsecond-at.Sub(g.state.backendTimeAt) > maxClockJump
	// A push may have been under way for long; it tells the time only if that is later.
	elapsed := at.Sub(g.state.backendTimeAt).Microseconds()
	if g.clockSetBack(f, r) {
		g.state.expiriesVoid = true
	}
	if r.Now != 0 && (f != nil || g.state.backendTime == 0 || r.Now > g.state.backendTime+elapsed) {
		g.state.backendTime, g.state.backendTimeAt = r.Now, at
	}
	before, rev := g.state.live, g.state.rev
	gone := g.state.endedBy(r)
	var ev evidence
	switch r.Kind {
	case store.Unchanged:
		ev = g.state.applyUnchanged(r)
	case store.Delta:
		ev = g.state.applyDelta(g, r)
	default:
		ev = g.state.applyFull(g, r)
	}
	g.outage.applyEvidence(ev)
	for _, id := range r.Malformed {
		g.e.reportBadRecord(g.name, id, errors.New("not a record that this version can read"))
	}
	if g.hub != nil {
		confirmed := at
		if f != nil {
			confirmed = f.start
		}
		if r.Kind == store.Full {
			gone = before
		}
		again := f != nil && g.hub.lease.readFinished(f.leaseNumber, r.Kind == store.Full && rev != "" && rev != r.Rev)
		g.hub.update(gone, ev, answer{at: at, confirmed: confirmed, jumped: jumped, proven: f != nil && f.proveWrites, refused: r.WritesRefused})
		if again {
			g.hub.wake() // those that the end of a lease held up
		}
	}
}

// setBack reports whether a reading shows that the backend's clock was set
// back. A read's answer is no older than its start.
func (g *service) clockSetBack(f *pendingRead, r *store.Reading) bool {
	if g.state.backendTime == 0 || r.Now == 0 {
		return false
	}
	least := g.state.backendTime - maxClockStepBack
	if f != nil {
		least += f.start.Sub(g.state.backendTimeAt).Microseconds()
	}
	return r.Now < least
}

// blind notes that a read failed. g.mu is held.
func (g *service) readFailed(err error) {
	if errors.Is(err, store.ErrClosed) {
		return
	}
	g.outage.begin(&g.state)
	if g.hub != nil {
		g.hub.readFailed(err)
	}
}

// notified takes a push. It must not block: it runs on the subscription's goroutine.
func (g *service) handlePush(n store.Notice) {
	g.mu.Lock()
	if g.hub == nil {
		g.mu.Unlock()
		return
	}
	if n.Resync == "" && n.Reading.Kind == store.Full {
		// A store that pushes whole states pushes them in order.
		g.apply(nil, &n.Reading)
		g.mu.Unlock()
		return
	}
	g.hub.unannounced = ""
	reason := n.Resync
	if reason == "" {
		g.pushes = append(g.pushes, n)
		if g.currentRead != nil {
			g.mu.Unlock()
			return
		}
		reason = g.applyPushes()
	}
	g.mu.Unlock()
	if reason != "" {
		g.sharedRead(reason)
	}
}

// maxPushed bounds the pushes that wait for a read.
const maxQueuedPushes = 256

// maxJump is how far the backend's clock may run ahead of one's own before it counts as set.
const maxClockJump = time.Second

// maxBack is how far, in µs, an answer may lie before an earlier one without the
// clock having been set back: pushes and replies come on different connections.
const maxClockStepBack = 1_000_000

// catchUp applies the pushes that follow the truth. It returns the reason to
// read again when some do not. g.mu is held.
func (g *service) applyPushes() (gap string) {
	pushed := g.pushes
	g.pushes = nil
	if len(pushed) > maxQueuedPushes {
		return resyncGap
	}
	// What came before the revision that was read is part of it.
	for i := len(pushed) - 1; i >= 0; i-- {
		if pushed[i].Reading.Rev == g.state.rev {
			pushed = pushed[i+1:]
			break
		}
	}
	for i := range pushed {
		if pushed[i].PreviousRev != g.state.rev {
			return resyncGap
		}
		g.apply(nil, &pushed[i].Reading)
	}
	if g.state.expiriesVoid {
		return resyncGap
	}
	return ""
}
