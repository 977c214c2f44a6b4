package registrytest

import (
	"context"
	"errors"
	"iter"
	"sync"

	"github.com/rollcall-sd/rollcall/registry"
)

// flakyWatch passes a backend's watch on. While its Flaky is blind it holds the
// last state that its reader knows and marks it stale.
type flakyWatch[T any] struct {
	f       *Flaky
	states  func(context.Context) iter.Seq[T]
	nothing T // the state of which nothing is known
	stale   func(T) error
	mark    func(T, error) T // the state, stale because of err
}

// newest is the slot between the backend's watch and the reader.
type newest[T any] struct {
	mu    sync.Mutex
	state T
	n     int           // how many states came
	wake  chan struct{} // has room for one
}

func (s *newest[T]) put(state T) {
	s.mu.Lock()
	s.state = state
	s.n++
	s.mu.Unlock()
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *newest[T]) get() (T, int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state, s.n
}

func (w flakyWatch[T]) seq(ctx context.Context) iter.Seq[T] {
	return func(yield func(T) bool) {
		ctx, cancel := context.WithCancel(ctx)
		slot := &newest[T]{wake: make(chan struct{}, 1)}
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

func (w flakyWatch[T]) run(ctx context.Context, slot *newest[T], ended <-chan struct{}, yield func(T) bool) {
	select { // the first state, which the backend gives at once
	case <-slot.wake:
	case <-ended:
	}
	known, taken := w.nothing, 0 // what the reader knows and which state that is
	var told *trouble            // why the reader believes it to be stale
	for first := true; ; {
		state, n := slot.get()
		blind, command := w.f.blind()
		if n > taken && w.final(state) { // a bad name or a closed registry
			yield(state)
			return
		}
		switch {
		case ctx.Err() != nil:
			return
		case blind != nil && (first || blind != told):
			told = blind
			known = w.mark(known, blind.err)
		case blind == nil && (n > taken || told != nil):
			known, taken, told = state, n, nil
		default:
			select {
			case <-slot.wake:
			case <-command:
			case <-ended:
				if _, now := slot.get(); now == n { // nothing was left behind
					return
				}
			}
			continue
		}
		first = false
		if !yield(known) {
			return
		}
	}
}

// final reports whether a watch ends with this state.
func (w flakyWatch[T]) final(state T) bool {
	err := w.stale(state)
	return errors.Is(err, registry.ErrInvalidService) || errors.Is(err, registry.ErrClosed)
}
