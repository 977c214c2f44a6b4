package core

import (
	"slices"
	"sync/atomic"
)

// acknowledgements count which states all subscribers of a hub have acknowledged,
// by asking for the next. The service's lock guards the fields that are not
// atomic.
//
// A subscriber acknowledges a state without the lock, unless there are barriers:
//
//	subscriber:  acknowledged = version;  if hasBarriers, count off under the lock
//	addBarrier:  hasBarriers = true;      count the subscribers by their acknowledged
//
// hasBarriers stays true until, under the lock, no barrier is left. Atomic
// operations have one order that all goroutines agree on. So of the two that read
// what the other has written before, at least one sees it: either addBarrier finds
// the state acknowledged, or the subscriber counts itself off. If both do,
// subscriber.counted shows, under the lock, that nothing is left to count.
type acknowledgements struct {
	subscribers []*subscriber
	barriers    []*barrier // ascending by version
	hasBarriers atomic.Bool
	rev         string // the latest revision known to be acknowledged by all subscribers
	changed     func() // called after rev has changed at a barrier
}

// barrier is a state that all subscribers must acknowledge.
type barrier struct {
	version   uint64
	rev       string // "": no other process may wait for it
	remaining int    // subscribers that have not acknowledged it
	// waiting are closed once all have: those of this barrier, and of earlier ones
	// that it replaced.
	waiting []chan struct{}
}

// maxBarriers bounds the barriers at a time. Beyond it the oldest gives way: who
// waits for it then waits for the next, which comes later.
const maxBarriers = 64

// add adds a subscriber.
func (a *acknowledgements) add() *subscriber {
	s := &subscriber{index: len(a.subscribers), woken: make(chan struct{}, 1)}
	a.subscribers = append(a.subscribers, s)
	for _, b := range a.barriers {
		b.remaining++
	}
	return s
}

// remove removes a subscriber. No barrier waits for it any longer.
func (a *acknowledgements) remove(s *subscriber) {
	last := len(a.subscribers) - 1
	a.subscribers[s.index] = a.subscribers[last]
	a.subscribers[s.index].index = s.index
	a.subscribers[last] = nil
	a.subscribers = a.subscribers[:last]
	a.countOff(s, ^uint64(0))
	a.updateHasBarriers()
}

// addBarrier adds a barrier at a version, which is at the revision rev. It returns
// nil if all subscribers have acknowledged the version.
func (a *acknowledgements) addBarrier(version uint64, rev string) *barrier {
	if n := len(a.barriers); n > 0 && a.barriers[n-1].version == version {
		a.barriers[n-1].rev = rev // the same state, at a later revision
		return a.barriers[n-1]
	}
	b := &barrier{version: version, rev: rev}
	a.hasBarriers.Store(true)
	for _, s := range a.subscribers {
		a.countOff(s, s.acknowledged.Load())
		if s.counted < version {
			b.remaining++
		}
	}
	if b.remaining == 0 {
		a.reached(b)
		a.updateHasBarriers()
		return nil
	}
	if len(a.barriers) == maxBarriers {
		next := a.barriers[1]
		next.waiting = append(next.waiting, a.barriers[0].waiting...)
		a.barriers = a.barriers[1:]
	}
	a.barriers = append(a.barriers, b)
	return b
}

// countOff counts a subscriber off the barriers up to a version. The caller then
// calls updateHasBarriers.
func (a *acknowledgements) countOff(s *subscriber, version uint64) {
	before := s.counted
	if before >= version {
		return
	}
	s.counted = version
	a.barriers = slices.DeleteFunc(a.barriers, func(b *barrier) bool {
		if b.version > before && b.version <= version {
			b.remaining--
		}
		if b.remaining == 0 {
			a.reached(b)
		}
		return b.remaining == 0
	})
}

// updateHasBarriers lets subscribers acknowledge without the lock if no barrier is
// left. It must not be called while addBarrier counts.
func (a *acknowledgements) updateHasBarriers() { a.hasBarriers.Store(len(a.barriers) > 0) }

func (a *acknowledgements) reached(b *barrier) {
	for _, done := range b.waiting {
		close(done)
	}
	if b.rev != "" && a.rev != b.rev {
		a.rev = b.rev
		a.changed()
	}
}

// all reports whether all subscribers have acknowledged a version.
func (a *acknowledgements) all(version uint64) bool {
	return !slices.ContainsFunc(a.subscribers, func(s *subscriber) bool { return s.acknowledged.Load() < version })
}

// subscribe adds a subscriber to the hub.
func (h *serviceHub) subscribe() *subscriber {
	h.service.mu.Lock()
	defer h.service.mu.Unlock()
	return h.acks.add()
}

// unsubscribe removes a subscriber from the hub.
func (h *serviceHub) unsubscribe(s *subscriber) {
	h.service.mu.Lock()
	defer h.service.mu.Unlock()
	h.acks.remove(s)
}

// acknowledge records that a subscriber has finished with a state.
func (h *serviceHub) acknowledge(s *subscriber, version uint64) {
	s.acknowledged.Store(version)
	if !h.acks.hasBarriers.Load() {
		return
	}
	h.service.mu.Lock()
	defer h.service.mu.Unlock()
	h.acks.countOff(s, version)
	h.acks.updateHasBarriers()
}

// addBarrier reports to other processes once all subscribers have acknowledged the
// current state. It returns nil if they have. The caller holds the service's lock.
func (h *serviceHub) addBarrier() *barrier {
	rev := h.service.state.rev
	if h.retained.hasLosses() {
		rev = "" // what is shown is not this revision
	}
	var version uint64
	if s := h.publication.current.Load(); s != nil {
		version = s.version
	}
	return h.acks.addBarrier(version, rev)
}

// whenAcknowledged returns a channel that is closed when all subscribers have
// acknowledged the current state. The caller holds the service's lock.
func (h *serviceHub) whenAcknowledged() <-chan struct{} {
	done := make(chan struct{})
	if b := h.addBarrier(); b != nil {
		b.waiting = append(b.waiting, done)
	} else {
		close(done)
	}
	return done
}

// noteAcknowledged brings the acknowledged revision up to date if no barrier did,
// because no state had an overlay. The caller holds the service's lock.
func (h *serviceHub) noteAcknowledged() {
	s := h.publication.current.Load()
	if s != nil && !h.retained.hasLosses() && h.lease.valid() && h.acks.all(s.version) {
		h.acks.rev = h.service.state.rev
	}
}
