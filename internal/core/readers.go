package core

// reader is one loop over a watch. A state counts as taken when the loop asks
// for the next. Guarded by the group's lock.
type reader struct{ taken uint64 }

// milestone is a state that somebody waits to be taken by all readers.
type milestone struct {
	serial uint64
	rev    string
	left   int // readers that have not taken it
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
	if n := len(t.milestones); n > 0 && t.milestones[n-1].serial == s.serial {
		t.milestones[n-1].rev = t.g.truth.rev // the same state, at a later revision
		return t.milestones[n-1]
	}
	m := &milestone{serial: s.serial, rev: t.g.truth.rev}
	for r := range t.readers {
		if r.taken < m.serial {
			m.left++
		}
	}
	if m.left == 0 {
		t.reached(m)
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
	if t.taken != m.rev {
		t.taken = m.rev
		t.g.e.attend(t.g.name)
	}
}

// noteTaken brings what is said to be taken up to now, when nothing that could
// be waited for made that happen. g.mu is held.
func (t *topic) noteTaken() {
	s := t.cur.Load()
	if s == nil {
		return
	}
	for r := range t.readers {
		if r.taken < s.serial {
			return
		}
	}
	t.taken = t.g.truth.rev
}

// join adds a reader.
func (t *topic) join() *reader {
	t.g.mu.Lock()
	defer t.g.mu.Unlock()
	r := &reader{}
	t.readers[r] = struct{}{}
	for _, m := range t.milestones {
		m.left++
	}
	return r
}

// part takes a reader away: it reads nothing any more.
func (t *topic) part(r *reader) {
	t.g.mu.Lock()
	defer t.g.mu.Unlock()
	delete(t.readers, r)
	t.settle(r.taken, ^uint64(0))
}

// took notes that a reader has taken a state.
func (t *topic) took(r *reader, serial uint64) {
	t.g.mu.Lock()
	defer t.g.mu.Unlock()
	before := r.taken
	r.taken = max(r.taken, serial)
	t.settle(before, r.taken)
}

// settle counts a reader off the milestones between two states. g.mu is held.
func (t *topic) settle(before, now uint64) {
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
	t.milestones = kept
}
