package registrytest

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// subscriber ranges over a watch one state at a time: the loop asks for the next state
// only when next is called. One goroutine may use it.
type subscriber[T any] struct {
	e        *env
	cancel   context.CancelFunc // ends the watch's context
	states   chan T
	more     chan struct{}
	leave    chan struct{} // closed: the loop breaks
	done     chan struct{} // closed: the loop has ended
	panicked any           // set before done is closed
	waiting  bool          // the loop waits for more
}

func subscribe[T any](e *env, watch func(context.Context) iter.Seq[T]) *subscriber[T] {
	ctx, cancel := context.WithCancel(context.Background())
	f := &subscriber[T]{
		e: e, cancel: cancel,
		states: make(chan T), more: make(chan struct{}), leave: make(chan struct{}), done: make(chan struct{}),
	}
	go f.loop(watch(ctx))
	e.Cleanup(func() {
		cancel()
		f.stop()
		if !f.ended(waitLimit) {
			e.Errorf("a watch whose context has ended is still running after %v", waitLimit)
		}
	})
	return f
}

func subscribeService(e *env, r registry.Registry, name string) *subscriber[registry.Snapshot] {
	return subscribe(e, func(ctx context.Context) iter.Seq[registry.Snapshot] { return r.(registry.Watcher).Watch(ctx, name) })
}

func (f *subscriber[T]) loop(states iter.Seq[T]) {
	defer close(f.done)
	defer func() { f.panicked = recover() }()
	for s := range states {
		select {
		case f.states <- s:
		case <-f.leave:
			return
		}
		select {
		case <-f.more:
		case <-f.leave:
			return
		}
	}
}

// stop makes the loop break out.
func (f *subscriber[T]) stop() {
	select {
	case <-f.leave:
	default:
		close(f.leave)
	}
}

// next asks for the next state and waits for it at most d. Without one it says
// whether the watch has ended.
func (f *subscriber[T]) next(d time.Duration) (state T, ok, ended bool) {
	f.e.Helper()
	if f.waiting {
		f.waiting = false
		select {
		case <-f.leave: // the loop breaks instead
		default:
			f.more <- struct{}{}
		}
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case state = <-f.states:
		f.waiting = true
		return state, true, false
	case <-f.done:
		if f.panicked != nil {
			f.e.Fatalf("the watch panicked: %v", f.panicked)
		}
		return state, false, true
	case <-timer.C:
		return state, false, false
	}
}

// due is next for a state that has to come: the machine's stall is added to d.
func (f *subscriber[T]) due(d time.Duration) (state T, ok, ended bool) {
	f.e.Helper()
	start := time.Now()
	for left := d; ; {
		state, ok, ended = f.next(max(0, left))
		if left = f.e.left(start, d); ok || ended || left <= 0 {
			return state, ok, ended
		}
	}
}

// first returns the state that the watch yields at once.
func (f *subscriber[T]) first() T {
	f.e.Helper()
	s, ok, ended := f.due(f.e.seen())
	if !ok {
		f.e.Fatalf("the watch has yielded no first state after %v (ended: %t)", f.e.seen(), ended)
	}
	return s
}

// until skips states until one satisfies cond.
func (f *subscriber[T]) until(d time.Duration, cond func(T) error) T {
	f.e.Helper()
	start := time.Now()
	err := fmt.Errorf("no state came")
	for {
		s, ok, ended := f.due(f.e.left(start, d))
		if ended {
			f.e.Fatalf("the watch ended by itself; before: %v", err)
		}
		if !ok {
			f.e.Fatalf("the watch does not show it after %v: %v", d, err)
		}
		if err = cond(s); err == nil {
			return s
		}
	}
}

// silent requires that no state comes. A stalled machine may make a watch stale:
// a state that comes then proves nothing, and the wait starts again.
func (f *subscriber[T]) silent(d time.Duration, why string) {
	f.e.Helper()
	for tries := 1; ; tries++ {
		start := time.Now()
		s, ok, ended := f.next(d)
		if ended {
			f.e.Fatal("the watch ended by itself")
		}
		if !ok {
			return
		}
		if tries == 10 || !f.e.stood(start) {
			f.e.Fatalf("the watch was woken %s: %+v", why, s)
		}
	}
}

// ended skips all further states and reports whether the watch ends in time.
func (f *subscriber[T]) ended(d time.Duration) bool {
	f.e.Helper()
	start := time.Now()
	for {
		_, ok, ended := f.due(f.e.left(start, d))
		if ended {
			return true
		}
		if !ok {
			return false
		}
	}
}

// showing is a condition: exactly these IDs, current, in a well-formed snapshot.
func showing(want ...string) func(registry.Snapshot) error {
	return func(s registry.Snapshot) error {
		switch {
		case s.Stale != nil:
			return fmt.Errorf("the state is stale: %w", s.Stale)
		case s.Instances == nil:
			return fmt.Errorf("Instances is nil")
		case !slices.Equal(ids(s.Instances), want):
			return fmt.Errorf("Instances are %v, want %v", ids(s.Instances), want)
		}
		return nil
	}
}
