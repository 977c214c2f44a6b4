package core

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// reader is one loop over a watch. It waits on a channel of its own: on one that
// all share, thousands of them would queue for its lock when they are woken.
type subscriber struct {
	acknowledged atomic.Uint64 // the latest state that the loop has taken, by asking for the next
	counted      uint64        // the state up to which it is counted off the milestones; guarded by the group's lock
	index        int           // in the topic's readers; guarded by the group's lock

	// waiting: it sleeps or is about to. Whoever sets it back to false ends that:
	// the reader itself, or another, who then sends to woken.
	waiting  atomic.Bool
	woken    chan struct{}
	toWake   []*subscriber   // that the one woken wakes first of all
	done     <-chan struct{} // of a context that cannot call back; nil otherwise
	callback sync.WaitGroup  // for the call back of the context
}

// wakeEach is how many readers are woken by one of them: so few that the last
// hears of it in time, so many that who publishes has a small part of the work.
const wakeFanout = 64

// wake wakes the readers that wait. g.mu is held.
func (t *serviceHub) wake() {
	for some := range slices.Chunk(slices.Clone(t.subscribers), wakeFanout) {
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
	for _, g := range e.allServices() {
		g.mu.Lock()
		if g.hub != nil {
			g.hub.wake()
		}
		g.mu.Unlock()
	}
}

// wake wakes a reader, if it waits, and has it wake others.
func (r *subscriber) wake(others []*subscriber) bool {
	if !r.waiting.CompareAndSwap(true, false) {
		return false
	}
	r.toWake = others
	r.woken <- struct{}{} // has room: there is one send per sleep
	return true
}

// next waits for a state that the reader has not taken. It returns nil when the
// watch is over.
func (t *serviceHub) awaitState(ctx context.Context, r *subscriber) *shownState {
	for {
		if s, over := t.newState(ctx, r); s != nil || over {
			return s
		}
		r.waiting.Store(true)
		// A new state, or an end, stands before the waiting are woken: what came
		// too early to wake this one is seen here.
		if s, over := t.newState(ctx, r); (s != nil || over) && r.waiting.CompareAndSwap(true, false) {
			continue
		}
		if !r.awaitWake() {
			return nil
		}
	}
}

// look returns the state that stands, if the reader has not taken it, and
// whether the watch is over.
func (t *serviceHub) newState(ctx context.Context, r *subscriber) (s *shownState, over bool) {
	if t.service.e.checkOpen(ctx) != nil {
		return nil, true
	}
	if s := t.shown.Load(); s != nil && s.version > r.acknowledged.Load() {
		if s.stale == nil && t.lease.mayHaveEnded() {
			// The process was stalled. Once the backend knows of it again and the state
			// was read again, or that fails, it is woken.
			t.service.e.renewWatcherLeases(t.service.name)
			return nil, false
		}
		return s, false
	}
	return nil, false
}

// sleep waits to be woken, and wakes others before anything else. It reports
// false when the watch's context ended first.
func (r *subscriber) awaitWake() bool {
	if r.done == nil {
		<-r.woken
	} else if !r.awaitWakeOrDone(r.done) {
		return false
	}
	if r.toWake != nil {
		r.wakeOthers()
	}
	return true
}

func (r *subscriber) awaitWakeOrDone(ended <-chan struct{}) (woken bool) {
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

func (r *subscriber) wakeOthers() {
	for _, other := range r.toWake {
		other.wake(nil)
	}
	r.toWake = nil
}

// heed has the end of ctx wake the reader. What it returns ends that.
func (r *subscriber) wakeWhenDone(ctx context.Context) (heedNot func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	r.callback.Add(1)
	stop := context.AfterFunc(callbackContext{ctx, r}, func() {
		defer r.callback.Done()
		r.wake(nil)
	})
	return func() {
		if !stop() {
			r.callback.Wait()
		}
	}
}

// heeded is a watch's context. Package context calls back at the end of its own
// ones; with those of others it asks for AfterFunc, and would start a goroutine
// if there were none.
type callbackContext struct {
	context.Context
	subscriber *subscriber
}

func (h callbackContext) AfterFunc(f func()) (stop func() bool) {
	if c, ok := h.Context.(interface{ AfterFunc(func()) func() bool }); ok {
		return c.AfterFunc(f)
	}
	h.subscriber.done = h.Done()
	return func() bool { return true }
}
