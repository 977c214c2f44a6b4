package core

import (
	"context"
	"iter"
)

// Watch yields the state of a service at once, and again after each change, until
// ctx ends, the loop breaks or the engine closes. A state counts as acknowledged
// when the loop asks for the next.
func (e *Engine) Watch(ctx context.Context, name string) iter.Seq[View] {
	return func(yield func(View) bool) {
		if e.checkOpen(ctx) != nil {
			return
		}
		h := e.acquireHub(name)
		defer e.releaseHub(h)
		s := h.subscribe()
		defer h.unsubscribe(s)
		defer s.wakeWhenDone(ctx)()
		for state := h.awaitState(ctx, s); state != nil; state = h.awaitState(ctx, s) {
			if !yield(h.publication.view(state)) {
				return
			}
			h.acknowledge(s, state.version)
		}
	}
}

// awaitState waits for a state that the subscriber has not acknowledged. It
// returns nil when the watch is over.
func (h *serviceHub) awaitState(ctx context.Context, s *subscriber) *shownState {
	for {
		if state, over := h.newState(ctx, s); state != nil || over {
			return state
		}
		s.waiting.Store(true)
		// A new state, or the end, is set before the waiting subscribers are woken: if
		// that was too early to wake this one, it is seen here.
		if state, over := h.newState(ctx, s); (state != nil || over) && s.waiting.CompareAndSwap(true, false) {
			continue
		}
		if !s.awaitWake() {
			return nil
		}
	}
}

// newState returns the current state if the subscriber has not acknowledged it,
// and whether the watch is over.
func (h *serviceHub) newState(ctx context.Context, s *subscriber) (state *shownState, over bool) {
	if h.service.engine.checkOpen(ctx) != nil {
		return nil, true
	}
	state = h.publication.current.Load()
	if state == nil || state.version <= s.acknowledged.Load() {
		return nil, false
	}
	if state.stale == nil && h.lease.mayHaveEnded() {
		// The process was stalled. The subscriber is woken once the lease is confirmed
		// and the state read again, or that has failed.
		h.service.engine.renewWatcherLeases(h.service.name)
		return nil, false
	}
	return state, false
}
