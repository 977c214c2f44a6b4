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
)

// version is what the one instance of the tests below says of a state.
func version(v *Content) int64 {
	n, _ := strconv.ParseInt(v.Entries[0].Value.(string), 10, 64)
	return n
}

// Whoever waits for a state to be taken waits until all loops have taken it, and
// no longer, while states follow each other and loops come and go.
func TestTakenMeansTakenByAll(t *testing.T) {
	const (
		waits   = 50
		readers = 60
		waiters = 4
		alone   = 100
	)
	f := &fake{}
	e := start(t, f, "alpha")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	register(t, e, "g", "a", "1")

	watching, stop := context.WithCancel(ctx)
	var loops sync.WaitGroup
	var has [readers]atomic.Int64
	for i := range has {
		loops.Go(func() {
			for v := range e.Watch(watching, "g") {
				runtime.Gosched()
				has[i].Store(version(v.Content))
			}
		})
	}
	for i := range readers / 12 {
		loops.Go(func() {
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
		for has[i].Load() == 0 {
			runtime.Gosched()
		}
	}

	var waiting sync.WaitGroup
	var waited atomic.Int64
	for range waiters {
		waiting.Go(func() {
			defer waited.Add(1)
			for range waits {
				if err := takenByAll(ctx, e, has[:]); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for n := 2; waited.Load() < waiters; n++ {
		register(t, e, "g", "a", fmt.Sprint(n))
	}
	waiting.Wait()
	// Alone: what is followed then begins anew with each state, as loops take it.
	for n := range alone {
		register(t, e, "g", "a", fmt.Sprint(1_000_000+n))
		if err := takenByAll(ctx, e, has[:]); err != nil {
			t.Error(err)
			break
		}
	}
	stop()
	loops.Wait()
	if left := e.services["g"].hub; left != nil {
		t.Errorf("nobody watches, yet there is a topic with %d readers and %d milestones", len(left.acks.subscribers), len(left.acks.barriers))
	}
}

// takenByAll waits until what stands now is taken, and checks that it is.
func takenByAll(ctx context.Context, e *Engine, has []atomic.Int64) error {
	g := e.acquireService("g")
	defer e.releaseService(g)
	g.mu.Lock()
	stands := version(g.hub.publication.current.Load().content)
	taken := g.hub.whenAcknowledged()
	g.mu.Unlock()
	select {
	case <-taken:
	case <-ctx.Done():
		return fmt.Errorf("state %d does not come to be taken", stands)
	}
	for i := range has {
		if n := has[i].Load(); n < stands {
			return fmt.Errorf("state %d is said to be taken by all, and loop %d has taken %d", stands, i, n)
		}
	}
	return nil
}

// A loop that has taken one state, and has not come to be counted off yet when
// the next is followed, is counted off the first once.
func TestTakingWhileTheNextIsFollowed(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		register(t, e, "g", "a", "1")
		watch(t, e, "g")
		g := e.acquireService("g")
		defer e.releaseService(g)
		g.mu.Lock()
		topic := g.hub
		g.mu.Unlock()
		r, other := topic.subscribe(), topic.subscribe()
		follow := func() (taken func() bool) {
			g.mu.Lock()
			defer g.mu.Unlock()
			done := topic.whenAcknowledged()
			return func() bool {
				select {
				case <-done:
					return true
				default:
					return false
				}
			}
		}
		first, serial := follow(), topic.publication.current.Load().version
		r.acknowledged.Store(serial)
		register(t, e, "g", "a", "2")
		second := follow()
		topic.acknowledge(r, serial)
		if first() || second() {
			t.Error("taken by all, though one of them has taken none")
		}
		topic.acknowledge(other, serial)
		if !first() || second() {
			t.Errorf("both have taken the first only; taken by all: the first %v, the second %v", first(), second())
		}
		topic.acknowledge(r, serial+1)
		topic.unsubscribe(other)
		synctest.Wait()
		if !second() {
			t.Error("who has not taken the second is gone, and it does not come to be taken")
		}
		topic.unsubscribe(r)
	})
}

// A state that all have taken is followed no longer, so that taking needs no lock.
func TestOnlyWhatIsWaitedForIsFollowed(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e := start(t, f, "alpha")
		register(t, e, "g", "a", "1")
		watch(t, e, "g")
		busy, free := make(chan struct{}), make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			for v := range e.Watch(ctx, "g") {
				if version(v.Content) == 2 {
					close(busy)
					<-free
				}
			}
		}()
		register(t, e, "g", "a", "2")
		<-busy
		g := e.acquireService("g")
		defer e.releaseService(g)
		g.mu.Lock()
		topic := g.hub
		taken := topic.whenAcknowledged()
		g.mu.Unlock()
		pass(time.Second)
		select {
		case <-taken:
			t.Error("taken, while a loop is busy with it")
		default:
		}
		if !topic.acks.hasBarriers.Load() {
			t.Error("it is waited for, and not followed")
		}
		close(free)
		<-taken
		pass(time.Second)
		if topic.acks.hasBarriers.Load() {
			t.Error("all have taken it, and it is followed still")
		}
	})
}

// The subscribers still count themselves off when the count for a barrier finds that
// the barrier before it was reached.
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
	for i, acknowledged := range []<-chan struct{}{first, second} {
		select {
		case <-acknowledged:
		default:
			t.Errorf("state %d was acknowledged, and its barrier was not reached", i+1)
		}
	}
}
