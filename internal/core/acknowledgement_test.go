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
		t.Errorf("nobody watches, yet there is a topic with %d readers and %d milestones", len(left.subscribers), len(left.barriers))
	}
}

// takenByAll waits until what stands now is taken, and checks that it is.
func takenByAll(ctx context.Context, e *Engine, has []atomic.Int64) error {
	g := e.acquireService("g")
	defer e.releaseService(g)
	g.mu.Lock()
	stands := version(g.hub.shown.Load().content)
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
		first, serial := follow(), topic.shown.Load().version
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
		if !topic.hasBarriers.Load() {
			t.Error("it is waited for, and not followed")
		}
		close(free)
		<-taken
		pass(time.Second)
		if topic.hasBarriers.Load() {
			t.Error("all have taken it, and it is followed still")
		}
	})
}

// A state is followed on when the count for it finds that the one before was taken.
func TestFollowingOutlastsTheStateBefore(t *testing.T) {
	tp := &serviceHub{service: &service{e: New(Config{})}, retained: map[string]*retainedInstance{}}
	r := tp.subscribe()
	follow := func(serial uint64) <-chan struct{} {
		tp.service.mu.Lock()
		defer tp.service.mu.Unlock()
		tp.shown.Store(&shownState{version: serial})
		return tp.whenAcknowledged()
	}
	first := follow(1)
	r.acknowledged.Store(1) // on its way to be counted off
	second := follow(2)
	tp.acknowledge(r, 2)
	for i, taken := range []<-chan struct{}{first, second} {
		select {
		case <-taken:
		default:
			t.Errorf("nobody is told that state %d was taken", i+1)
		}
	}
}
