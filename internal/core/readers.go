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
type milestone struct {
	serial uint64
	rev    string // "": none that other processes may wait for
	left   int    // readers that have not taken it
	// waiting are closed then: its own, and those of states before it that are
	// not followed any more.
	waiting []chan struct{}
}

// maxMilestones bounds how many states are followed at a time; a newer one
// that all have taken stands for those before it.
const maxMilestones = 64

// whenTaken returns a channel that is closed when all readers have taken what
// stands now. g.mu is held.
func (t *topic) whenTaken() <-chan struct{} {
	done := make(chan struct{})
	if m := t.follow(); m != nil {
		m.waiting = append(m.waiting, done)
	} else {
		close(done)
	}
	return done
}

// follow tells other processes once all readers have taken what stands now. It
// returns nil when they have. g.mu is held.
func (t *topic) follow() *milestone {
	s := t.cur.Load()
	if s == nil {
		s = &shown{}
	}
	rev := t.g.truth.rev
	if t.retains() {
		rev = "" // what is shown is not this revision
	}
	if n := len(t.milestones); n > 0 && t.milestones[n-1].serial == s.serial {
		t.milestones[n-1].rev = rev // the same state, at a later revision
		return t.milestones[n-1]
	}
	m := &milestone{serial: s.serial, rev: rev}
	t.following.Store(true)
	for _, r := range t.readers {
		t.settle(r, r.taken.Load())
		if r.counted < m.serial {
			m.left++
		}
	}
	if m.left == 0 {
		t.reached(m)
		t.stillFollowing()
		return nil
	}
	if len(t.milestones) == maxMilestones {
		next := t.milestones[1]
		next.waiting = append(next.waiting, t.milestones[0].waiting...)
		t.milestones = t.milestones[1:]
	}
	t.milestones = append(t.milestones, m)
	return m
}

func (t *topic) reached(m *milestone) {
	for _, done := range m.waiting {
		close(done)
	}
	if m.rev != "" && t.taken != m.rev {
		t.taken = m.rev
		t.g.e.attend(t.g.name)
	}
}

// noteTaken brings what is said to be taken up to now, when nothing that could
// be waited for made that happen. g.mu is held.
func (t *topic) noteTaken() {
	s := t.cur.Load()
	if s == nil || t.retains() || !t.lease.stands() {
		return
	}
	for _, r := range t.readers {
		if r.taken.Load() < s.serial {
			return
		}
	}
	t.taken = t.g.truth.rev
}

// join adds a reader.
func (t *topic) join() *reader {
	t.g.mu.Lock()
	defer t.g.mu.Unlock()
	r := &reader{place: len(t.readers), woken: make(chan struct{}, 1)}
	t.readers = append(t.readers, r)
	for _, m := range t.milestones {
		m.left++
	}
	return r
}

// part takes a reader away: it reads nothing any more.
func (t *topic) part(r *reader) {
	t.g.mu.Lock()
	defer t.g.mu.Unlock()
	last := len(t.readers) - 1
	t.readers[r.place] = t.readers[last]
	t.readers[r.place].place = r.place
	t.readers[last] = nil
	t.readers = t.readers[:last]
	t.settle(r, ^uint64(0))
	t.stillFollowing()
}

// took notes that a reader has taken a state.
func (t *topic) took(r *reader, serial uint64) {
	r.taken.Store(serial)
	if !t.following.Load() {
		return
	}
	t.g.mu.Lock()
	defer t.g.mu.Unlock()
	t.settle(r, serial)
	t.stillFollowing()
}

// stillFollowing ends the following when there is nothing left to follow. g.mu is held.
func (t *topic) stillFollowing() { t.following.Store(len(t.milestones) > 0) }

// settle counts a reader off the milestones up to a state. g.mu is held.
func (t *topic) settle(r *reader, now uint64) {
	before := r.counted
	if before >= now {
		return
	}
	r.counted = now
	if len(t.milestones) == 0 {
		return
	}
	kept := t.milestones[:0]
	for _, m := range t.milestones {
		if m.serial > before && m.serial <= now {
			m.left--
		}
		if m.left == 0 {
			t.reached(m)
			continue
		}
		kept = append(kept, m)
	}
	clear(t.milestones[len(kept):])
	t.milestones = kept
}
