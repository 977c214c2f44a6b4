package core

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
)

// subscriber is one loop that ranges over a watch. It waits on a channel of its
// own: thousands of subscribers of one channel would queue for its lock when they
// are woken.
type subscriber struct {
	acknowledged atomic.Uint64 // the latest version that the loop has finished with, by asking for the next
	counted      uint64        // the version up to which it is counted off the barriers; the service's lock guards it
	index        int           // in acknowledgements.subscribers; the service's lock guards it

	// waiting: it sleeps or is about to. The goroutine that sets it to false ends
	// that: the subscriber itself, or another, which then sends to woken.
	waiting  atomic.Bool
	woken    chan struct{}
	toWake   []*subscriber   // that this one wakes before anything else
	done     <-chan struct{} // of a context that has no AfterFunc; nil otherwise
	callback sync.WaitGroup  // for the callback of the context
}

// wakeFanout is how many subscribers one of them wakes. So few that the last is
// woken in time, and so many that the publishing goroutine does little of the work.
const wakeFanout = 64

// wake wakes the subscribers that wait. The caller holds the service's lock.
func (h *serviceHub) wake() {
	for chunk := range slices.Chunk(slices.Clone(h.acks.subscribers), wakeFanout) {
		for i, s := range chunk {
			// A subscriber that is busy with a state may be so for long: it gets no task.
			if s.wake(chunk[i+1:]) {
				break
			}
		}
	}
}

// wakeAll wakes all subscribers that wait, for the engine is closed.
func (e *Engine) wakeAll() {
	for _, s := range e.allServices() {
		s.mu.Lock()
		if s.hub != nil {
			s.hub.wake()
		}
		s.mu.Unlock()
	}
}

// wake wakes a subscriber, which then wakes others. It reports false if the
// subscriber does not wait.
func (s *subscriber) wake(others []*subscriber) bool {
	if !s.waiting.CompareAndSwap(true, false) {
		return false
	}
	s.toWake = others
	s.woken <- struct{}{} // has room: there is one send per sleep
	return true
}

// awaitWake waits to be woken, and wakes others before anything else. It reports
// false if the watch's context ended first.
func (s *subscriber) awaitWake() bool {
	if s.done == nil {
		<-s.woken
	} else if !s.awaitWakeOrDone() {
		return false
	}
	for _, other := range s.toWake {
		other.wake(nil)
	}
	s.toWake = nil
	return true
}

func (s *subscriber) awaitWakeOrDone() (woken bool) {
	select {
	case <-s.woken:
		return true
	case <-s.done:
		if s.waiting.CompareAndSwap(true, false) {
			return false
		}
		<-s.woken
		return true
	}
}

// wakeWhenDone has the end of ctx wake the subscriber, until stop is called.
func (s *subscriber) wakeWhenDone(ctx context.Context) (stop func()) {
	if ctx.Done() == nil {
		return func() {}
	}
	s.callback.Add(1)
	cancel := context.AfterFunc(callbackContext{ctx, s}, func() {
		defer s.callback.Done()
		s.wake(nil)
	})
	return func() {
		if !cancel() {
			s.callback.Wait()
		}
	}
}

// callbackContext is the context of a watch. Package context calls its own
// contexts back without a goroutine. It asks others for a method AfterFunc, and
// would start a goroutine if there were none.
type callbackContext struct {
	context.Context
	subscriber *subscriber
}

// AfterFunc uses the context's own AfterFunc. If it has none, the subscriber waits
// on the context's Done channel instead.
func (c callbackContext) AfterFunc(f func()) (stop func() bool) {
	if own, ok := c.Context.(interface{ AfterFunc(func()) func() bool }); ok {
		return own.AfterFunc(f)
	}
	c.subscriber.done = c.Done()
	return func() bool { return true }
}
