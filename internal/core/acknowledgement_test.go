package core

import (
	"context"
	"fmt"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/internal/waittest"
)

// version returns the payload of a state's only instance, a number.
func version(v *Content) int64 {
	n, _ := strconv.ParseInt(v.Entries[0].Value.(string), 10, 64)
	return n
}

// reached reports whether a barrier's channel is closed.
func reached(barrier <-chan struct{}) bool {
	select {
	case <-barrier:
		return true
	default:
		return false
	}
}

// A barrier is reached once all loops have acknowledged its state, and not before,
// while states follow each other and loops begin and end.
func TestABarrierIsReachedWhenAllHaveAcknowledged(t *testing.T) {
	const (
		barriers = 50 // per waiter
		loops    = 60
		waiters  = 4
		alone    = 100
	)
	f := &fake{}
	e := start(t, f, "alpha")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	register(t, e, "g", "a", "1")

	watching, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	var has [loops]atomic.Int64
	for i := range has {
		running.Go(func() {
			for v := range e.Watch(watching, "g") {
				runtime.Gosched()
				has[i].Store(version(v.Content))
			}
		})
	}
	for i := range loops / 12 {
		running.Go(func() {
			for watching.Err() == nil {
				left := i
				for range e.Watch(watching, "g") {
					if left--; left < 0 {
						break
					}
				}
			}
		})
	}
	for i := range has {
		for has[i].Load() == 0 && ctx.Err() == nil {
			runtime.Gosched()
		}
	}

	var waiting sync.WaitGroup
	var done atomic.Int64
	for range waiters {
		waiting.Go(func() {
			defer done.Add(1)
			for range barriers {
				if err := checkBarrier(ctx, e, has[:]); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := 2; done.Load() < waiters; n++ {
		register(t, e, "g", "a", fmt.Sprint(n))
	}
	waiting.Wait()
	// One at a time: then each barrier is set while loops acknowledge its state.
	for n := range alone {
		register(t, e, "g", "a", fmt.Sprint(1_000_000+n))
		if err := checkBarrier(ctx, e, has[:]); err != nil {
			t.Error(err)
			break
		}
	}
	stop()
	running.Wait()
	if h := e.services["g"].hub; h != nil {
		t.Errorf("after the last watch there is a hub with %d subscribers and %d barriers", len(h.acks.subscribers), len(h.acks.barriers))
	}
}

// checkBarrier waits for a barrier at the current state, and then checks that all
// loops have that state or a later one.
func checkBarrier(ctx context.Context, e *Engine, has []atomic.Int64) error {
	s := e.acquireService("g")
	defer e.releaseService(s)
	s.mu.Lock()
	current := version(s.hub.publication.current.Load().content)
	barrier := s.hub.whenAcknowledged()
	s.mu.Unlock()
	select {
	case <-barrier:
	case <-ctx.Done():
		return fmt.Errorf("the barrier at state %d was not reached within a minute", current)
	}
	for i := range has {
		if n := has[i].Load(); n < current {
			return fmt.Errorf("the barrier at state %d was reached, and loop %d has acknowledged %d", current, i, n)
		}
	}
	return nil
}

// A subscriber that acknowledged one state, and is not counted off yet when the
// next barrier is set, is counted off the first barrier once.
func TestALateAcknowledgementCountsOnce(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		register(t, e, "g", "a", "1")
		watch(t, e, "g")
		s := e.acquireService("g")
		defer e.releaseService(s)
		s.mu.Lock()
		h := s.hub
		s.mu.Unlock()
		one, other := h.subscribe(), h.subscribe()
		barrier := func() <-chan struct{} {
			s.mu.Lock()
			defer s.mu.Unlock()
			return h.whenAcknowledged()
		}
		first, version := barrier(), h.publication.current.Load().version
		one.acknowledged.Store(version)
		register(t, e, "g", "a", "2")
		second := barrier()
		h.acknowledge(one, version)
		if reached(first) || reached(second) {
			t.Error("a barrier was reached that one of them has not acknowledged")
		}
		h.acknowledge(other, version)
		if !reached(first) || reached(second) {
			t.Errorf("both have acknowledged the first state only; barriers reached: first %v, second %v", reached(first), reached(second))
		}
		h.acknowledge(one, version+1)
		h.unsubscribe(other)
		synctest.Wait()
		if !reached(second) {
			t.Error("the only subscriber that had not acknowledged the second state is gone, and its barrier is not reached")
		}
		h.unsubscribe(one)
	})
}

// Once all barriers are reached, subscribers acknowledge without the lock again.
func TestSubscribersNeedNoLockWithoutABarrier(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		register(t, e, "g", "a", "1")
		watch(t, e, "g")
		busy, release := make(chan struct{}), make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			for v := range e.Watch(ctx, "g") {
				if version(v.Content) == 2 {
					close(busy)
					waitOrDone(ctx, release)
				}
			}
		}()
		register(t, e, "g", "a", "2")
		waittest.Receive(t, busy, "the loop to be handed the second state")
		s := e.acquireService("g")
		defer e.releaseService(s)
		s.mu.Lock()
		h := s.hub
		barrier := h.whenAcknowledged()
		s.mu.Unlock()
		advance(time.Second)
		if reached(barrier) {
			t.Error("the barrier was reached while a loop was busy with the state")
		}
		if !h.acks.hasBarriers.Load() {
			t.Error("there is a barrier, and subscribers do not look for it")
		}
		close(release)
		waittest.Receive(t, barrier, "the barrier to be reached")
		advance(time.Second)
		if h.acks.hasBarriers.Load() {
			t.Error("all barriers are reached, and subscribers still look for one")
		}
	})
}

// Subscribers still look for barriers when setting one finds that the one before it
// was reached.
func TestABarrierOutlastsTheOneBefore(t *testing.T) {
	h := &serviceHub{service: &service{}, retained: retainedInstances{}}
	h.acks.changed = func() {}
	s := h.subscribe()
	barrier := func(version uint64) <-chan struct{} {
		h.service.mu.Lock()
		defer h.service.mu.Unlock()
		h.publication.current.Store(&shownState{version: version})
		return h.whenAcknowledged()
	}
	first := barrier(1)
	s.acknowledged.Store(1) // it is about to count itself off
	second := barrier(2)
	h.acknowledge(s, 2)
	if !reached(first) || !reached(second) {
		t.Errorf("both states were acknowledged; barriers reached: first %v, second %v", reached(first), reached(second))
	}
}
