package core

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// reader is one loop over a watch. It waits on a channel of its own: on one that
// all share, thousands of them would queue for its lock when they are woken.
type reader struct {
	taken   atomic.Uint64 // the latest state that the loop has taken, by asking for the next
	counted uint64        // the state up to which it is counted off the milestones; guarded by the group's lock
	place   int           // in the topic's readers; guarded by the group's lock

	// waiting: it sleeps or is about to. Whoever sets it back to false ends that:
	// the reader itself, or another, who then sends to woken.
	waiting atomic.Bool
	woken   chan struct{}
	others  []*reader       // that the one woken wakes first of all
	ended   <-chan struct{} // of a context that cannot call back; nil otherwise
	heeding sync.WaitGroup  // for the call back of the context
}

// wakeEach is how many readers are woken by one of them: so few that the last
// hears of it in time, so many that who publishes has a small part of the work.
const wakeEach = 64

// wake wakes the readers that wait. g.mu is held.
func (t *topic) wake() {
	for some := range slices.Chunk(slices.Clone(t.readers), wakeEach) {
		for i, r := range some {
			// One that is busy with a state may be so for long: it gets no task.
			if r.wake(some[i+1:]) {
				break
			}
		}
	}
}

// wakeAll wakes all readers that wait, for the engine has ended.
func (e *Engine) wakeAll() {
	for _, g := range e.allGroups() {
		g.mu.Lock()
		if g.topic != nil {
			g.topic.wake()
		}
		g.mu.Unlock()
	}
}

// wake wakes a reader, if it waits, and has it wake others.
func (r *reader) wake(others []*reader) bool {
	if !r.waiting.CompareAndSwap(true, false) {
		return false
	}
	r.others = others
	r.woken <- struct{}{} // has room: there is one send per sleep
	return true
}

// next waits for a state that the reader has not taken. It returns nil when the
// watch is over.
func (t *topic) next(ctx context.Context, r *reader) *shown {
	for {
		if s, over := t.look(ctx, r); s != nil || over {
			return s
		}
		r.waiting.Store(true)
		// A new state, or an end, stands before the waiting are woken: what came
		// too early to wake this one is seen here.
		if s, over := t.look(ctx, r); (s != nil || over) && r.waiting.CompareAndSwap(true, false) {
			continue
		}
		if !r.sleep() {
			return nil
		}
	}
}

// look returns the state that stands, if the reader has not taken it, and
// whether the watch is over.
func (t *topic) look(ctx context.Context, r *reader) (s *shown, over bool) {
	if t.g.e.alive(ctx) != nil {
		return nil, true
	}
	if s := t.cur.Load(); s != nil && s.serial > r.taken.Load() {
		if s.stale == nil && t.lease.lapsed() {
			// The process was stalled. Once the backend knows of it again and the state
			// was read again, or that fails, it is woken.
			t.g.e.attend(t.g.name)
			return nil, false
		}
		return s, false
	}
	return nil, false
}

// sleep waits to be woken, and wakes others before anything else. It reports
// false when the watch's context ended first.
func (r *reader) sleep() bool {
	if r.ended == nil {
		<-r.woken
	} else if !r.sleepUntil(r.ended) {
		return false
	}
	if r.others != nil {
		r.wakeOthers()
	}
	return true
}

func (r *reader) sleepUntil(ended <-chan struct{}) (woken bool) {
	select {
	case <-r.woken:
		return true
	case <-ended:
		if r.waiting.CompareAndSwap(true, false) {
			return false
		}
		<-r.woken
		return true
	}
}

func (r *reader) wakeOthers() {
	for _, other := range r.others {
		other.wake(nil)
	}
	r.others = nil
}

// heed has the end of ctx wake the reader. What it returns ends that.
func (r *reader) heed(ctx context.Context) (heedNot func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	r.heeding.Add(1)
	stop := context.AfterFunc(heeded{ctx, r}, func() {
		defer r.heeding.Done()
		r.wake(nil)
	})
	return func() {
		if !stop() {
			r.heeding.Wait()
		}
	}
}

// heeded is a watch's context. Package context calls back at the end of its own
// ones; with those of others it asks for AfterFunc, and would start a goroutine
// if there were none.
type heeded struct {
	context.Context
	r *reader
}

func (h heeded) AfterFunc(f func()) (stop func() bool) {
	if c, ok := h.Context.(interface{ AfterFunc(func()) func() bool }); ok {
		return c.AfterFunc(f)
	}
	h.r.ended = h.Done()
	return func() bool { return true }
}
