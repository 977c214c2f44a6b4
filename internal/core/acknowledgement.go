package core

// How far the readers of a topic are. A reader that takes a state notes that
// without the group's lock, unless some state is followed:
//
//	the reader:  taken = serial;     if following, settle under the lock
//	follow:      following = true;   count the readers by their taken
//
// and following stays true until, under the lock again, nothing is followed.
//
// Atomics have one order that all agree on, so of the two that ask for what the
// other has set before, at least one sees it: either follow finds the state
// taken, or the reader comes to be counted off. If both do, the reader's counted
// tells, under the lock, that there is nothing left to count.

// milestone is a state that somebody waits to be taken by all readers.
type barrier struct {
	version   uint64
	rev       string // "": none that other processes may wait for
	remaining int    // readers that have not taken it
	// waiting are closed then: its own, and those of states before it that are
	// not followed any more.
	waiting []chan struct{}
}

// maxMilestones bounds how many states are followed at a time; a newer one
// that all have taken stands for those before it.
const maxBarriers = 64

// whenTaken returns a channel that is closed when all readers have taken what
// stands now. g.mu is held.
func (t *serviceHub) whenAcknowledged() <-chan struct{} {
	done := make(chan struct{})
	if m := t.addBarrier(); m != nil {
		m.waiting = append(m.waiting, done)
	} else {
		close(done)
	}
	return done
}

// follow tells other processes once all readers have taken what stands now. It
// returns nil when they have. g.mu is held.
func (t *serviceHub) addBarrier() *barrier {
	s := t.shown.Load()
	if s == nil {
		s = &shownState{}
	}
	rev := t.service.state.rev
	if t.hasLosses() {
		rev = "" // what is shown is not this revision
	}
	if n := len(t.barriers); n > 0 && t.barriers[n-1].version == s.version {
		t.barriers[n-1].rev = rev // the same state, at a later revision
		return t.barriers[n-1]
	}
	m := &barrier{version: s.version, rev: rev}
	t.hasBarriers.Store(true)
	for _, r := range t.subscribers {
		t.countOff(r, r.acknowledged.Load())
		if r.counted < m.version {
			m.remaining++
		}
	}
	if m.remaining == 0 {
		t.barrierReached(m)
		t.updateHasBarriers()
		return nil
	}
	if len(t.barriers) == maxBarriers {
		next := t.barriers[1]
		next.waiting = append(next.waiting, t.barriers[0].waiting...)
		t.barriers = t.barriers[1:]
	}
	t.barriers = append(t.barriers, m)
	return m
}

func (t *serviceHub) barrierReached(m *barrier) {
	for _, done := range m.waiting {
		close(done)
	}
	if m.rev != "" && t.acknowledgedRev != m.rev {
		t.acknowledgedRev = m.rev
		t.service.e.renewWatcherLeases(t.service.name)
	}
}

// noteTaken brings what is said to be taken up to now, when nothing that could
// be waited for made that happen. g.mu is held.
func (t *serviceHub) noteAcknowledged() {
	s := t.shown.Load()
	if s == nil || t.hasLosses() || !t.lease.valid() {
		return
	}
	for _, r := range t.subscribers {
		if r.acknowledged.Load() < s.version {
			return
		}
	}
	t.acknowledgedRev = t.service.state.rev
}

// join adds a reader.
func (t *serviceHub) subscribe() *subscriber {
	t.service.mu.Lock()
	defer t.service.mu.Unlock()
	r := &subscriber{index: len(t.subscribers), woken: make(chan struct{}, 1)}
	t.subscribers = append(t.subscribers, r)
	for _, m := range t.barriers {
		m.remaining++
	}
	return r
}

// part takes a reader away: it reads nothing any more.
func (t *serviceHub) unsubscribe(r *subscriber) {
	t.service.mu.Lock()
	defer t.service.mu.Unlock()
	last := len(t.subscribers) - 1
	t.subscribers[r.index] = t.subscribers[last]
	t.subscribers[r.index].index = r.index
	t.subscribers[last] = nil
	t.subscribers = t.subscribers[:last]
	t.countOff(r, ^uint64(0))
	t.updateHasBarriers()
}

// took notes that a reader has taken a state.
func (t *serviceHub) acknowledge(r *subscriber, serial uint64) {
	r.acknowledged.Store(serial)
	if !t.hasBarriers.Load() {
		return
	}
	t.service.mu.Lock()
	defer t.service.mu.Unlock()
	t.countOff(r, serial)
	t.updateHasBarriers()
}

// stillFollowing ends the following when there is nothing left to follow. g.mu is held.
func (t *serviceHub) updateHasBarriers() { t.hasBarriers.Store(len(t.barriers) > 0) }

// settle counts a reader off the milestones up to a state. g.mu is held.
func (t *serviceHub) countOff(r *subscriber, now uint64) {
	before := r.counted
	if before >= now {
		return
	}
	r.counted = now
	if len(t.barriers) == 0 {
		return
	}
	kept := t.barriers[:0]
	for _, m := range t.barriers {
		if m.version > before && m.version <= now {
			m.remaining--
		}
		if m.remaining == 0 {
			t.barrierReached(m)
			continue
		}
		kept = append(kept, m)
	}
	clear(t.barriers[len(kept):])
	t.barriers = kept
}
