package registrytest

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/rollcall-sd/rollcall/registry"
)

// flakyWatch forwards a backend's watch. While its Flaky is disconnected it keeps
// the state that its subscriber was given last, marked stale.
type flakyWatch[T any] struct {
	f         *Flaky
	states    func(context.Context) iter.Seq[T]
	unknown   T // the state before the first one
	staleOf   func(T) error
	withStale func(T, error) T // the state, stale because of err
}

// latest is the slot between the backend's watch and the subscriber.
type latest[T any] struct {
	mu    sync.Mutex
	state T
	n     int           // how many states came
	wake  chan struct{} // semaphore of size 1
}

func (s *latest[T]) put(state T) {
	s.mu.Lock()
	s.state = state
	s.n++
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *latest[T]) get() (T, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state, s.n
}

func (w flakyWatch[T]) seq(ctx context.Context) iter.Seq[T] {
	return func(yield func(T) bool) {
		ctx, cancel := context.WithCancel(ctx)
		slot := &latest[T]{wake: make(chan struct{}, 1)}
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			for state := range w.states(ctx) {
				slot.put(state)
			}
		}()
		defer func() { cancel(); <-ended }()
		w.run(ctx, slot, ended, yield)
	}
}

func (w flakyWatch[T]) run(ctx context.Context, slot *latest[T], ended <-chan struct{}, yield func(T) bool) {
	select { // the first state, which the backend gives at once
	case <-slot.wake:
	case <-ended:
	}
	shown, acknowledged := w.unknown, 0 // the state that the subscriber was given, and its number
	var reported *outage                // why that was stale
	for first := true; ; {
		state, n := slot.get()
		cause, changed := w.f.disconnection()
		if n > acknowledged && w.final(state) { // a bad name or a closed registry
			yield(state)
			return
		}
		switch {
		case ctx.Err() != nil:
			return
		case cause != nil && (first || cause != reported):
			reported = cause
			shown = w.withStale(shown, cause.err)
		case cause == nil && (n > acknowledged || reported != nil):
			shown, acknowledged, reported = state, n, nil
		default:
			select {
			case <-slot.wake:
			case <-changed:
			case <-ended:
				if _, now := slot.get(); now == n { // there is no newer state
					return
				}
			}
			continue
		}
		first = false
		if !yield(shown) {
			return
		}
	}
}

// final reports whether a watch ends with this state.
func (w flakyWatch[T]) final(state T) bool {
	err := w.staleOf(state)
	return errors.Is(err, registry.ErrInvalidService) || errors.Is(err, registry.ErrClosed)
}
