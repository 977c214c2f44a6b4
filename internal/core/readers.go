package core

import (
	"context"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// reader is one loop over a watch. A state counts as taken when the loop asks
// for the next. Guarded by the group's lock.
type reader struct{ taken uint64 }

// milestone is a state that somebody waits to be taken by all readers.
type milestone struct {
	serial uint64
	rev    string
	left   int // readers that have not taken it
	done   chan struct{}
}

// maxMilestones bounds how many states are followed at a time; a newer one
// that all have taken stands for those before it.
const maxMilestones = 64

// whenTaken returns a channel that is closed when all readers have taken what
// stands now. g.mu is held.
func (t *topic) whenTaken() <-chan struct{} {
	s := t.cur.Load()
	if s == nil {
		s = &shown{}
	}
	if n := len(t.milestones); n > 0 && t.milestones[n-1].serial == s.serial {
		t.milestones[n-1].rev = t.g.truth.rev // the same state, at a later revision
		return t.milestones[n-1].done
	}
	m := &milestone{serial: s.serial, rev: t.g.truth.rev, done: make(chan struct{})}
	for r := range t.readers {
		if r.taken < m.serial {
			m.left++
		}
	}
	if m.left == 0 {
		t.reached(m)
		return m.done
	}
	if len(t.milestones) == maxMilestones {
		t.milestones = t.milestones[1:]
	}
	t.milestones = append(t.milestones, m)
	return m.done
}

func (t *topic) reached(m *milestone) {
	close(m.done)
	if t.taken == m.rev {
		return
	}
	t.taken = m.rev
	if a, ok := t.g.e.store.(store.Attending); ok {
		t.g.e.attend(a, []store.Attendance{{Group: t.g.name, TTL: t.g.e.cfg.TTL, Taken: m.rev}})
	}
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

const (
	// attendTimeout bounds one renewal of a watcher's lease.
	attendTimeout = 2 * time.Second
	// attendFirstTimeout bounds how long a new watch waits for its lease before it reads.
	attendFirstTimeout = 300 * time.Millisecond
)

// attend says in the background what this process has taken as a watcher.
func (e *Engine) attend(a store.Attending, attendances []store.Attendance) {
	if len(attendances) == 0 || !e.enter() {
		return
	}
	go func() {
		defer e.leave()
		ctx, cancel := context.WithTimeout(e.ctx, attendTimeout)
		defer cancel()
		_ = a.Attend(ctx, attendances) // the next check says it again
	}()
}
