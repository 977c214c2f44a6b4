// Package turns lets calls about one key run one after the other. Calls about other
// keys are not delayed.
package turns

import (
	"context"
	"errors"
	"sync"
)

// ErrStopped is returned by Take when its stop channel was closed.
var ErrStopped = errors.New("stopped")

// Turns has a turn for each key. The zero value is ready. It is safe for concurrent
// use and remembers only keys whose turn is held or waited for.
type Turns struct {
	mu    sync.Mutex
	byKey map[string]*turn
}

type turn struct {
	holder chan struct{} // semaphore of size 1; who sends holds it
	users  int           // that hold it or wait for it; guarded by Turns.mu
}

// Take waits until no other call holds the turn of key. The caller calls done when it
// is finished. Take fails with ctx's error when ctx ends, and with ErrStopped when stop
// is closed.
func (s *Turns) Take(ctx context.Context, stop <-chan struct{}, key string) (done func(), err error) {
	s.mu.Lock()
	t := s.byKey[key]
	if t == nil {
		t = &turn{holder: make(chan struct{}, 1)}
		if s.byKey == nil {
			s.byKey = make(map[string]*turn)
		}
		s.byKey[key] = t
	}
	t.users++
	s.mu.Unlock()
	leave := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(s.byKey, key)
		}
	}
	select {
	case t.holder <- struct{}{}:
		return func() { <-t.holder; leave() }, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-stop:
		err = ErrStopped
	}
	leave()
	return nil, err
}
