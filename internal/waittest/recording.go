package waittest

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"
)

// Observation is a state that a watch yielded, and when.
type Observation[S any] struct {
	At    time.Time
	State S
}

// Recording records what a watch yields. It is safe for concurrent use.
type Recording[S any] struct {
	stop  context.CancelFunc
	first chan struct{} // closed with the first state
	done  chan struct{} // closed when the watch has ended

	mu  sync.Mutex
	all []Observation[S]
}

// Record begins a watch, which ends with the test at the latest.
func Record[S any](t testing.TB, watch Watch[S]) *Recording[S] {
	ctx, cancel := context.WithCancel(context.Background())
	r := &Recording[S]{stop: cancel, first: make(chan struct{}), done: make(chan struct{})}
	go func() {
		defer close(r.done)
		for state := range watch(ctx) {
			r.add(Observation[S]{time.Now(), state})
		}
	}()
	t.Cleanup(func() { cancel(); <-r.done })
	return r
}

func (r *Recording[S]) add(o Observation[S]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.all = append(r.all, o)
	if len(r.all) == 1 {
		close(r.first)
	}
}

// Stop ends the watch's context. It does not wait for the watch to end.
func (r *Recording[S]) Stop() { r.stop() }

// Started is closed once the watch has yielded a state.
func (r *Recording[S]) Started() <-chan struct{} { return r.first }

// Done is closed once the watch has ended.
func (r *Recording[S]) Done() <-chan struct{} { return r.done }

// Ended reports whether the watch has ended.
func (r *Recording[S]) Ended() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

// All returns what the watch has yielded, oldest first.
func (r *Recording[S]) All() []Observation[S] {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clip(r.all)
}

// Last returns the newest observation. ok is false if there is none.
func (r *Recording[S]) Last() (o Observation[S], ok bool) {
	all := r.All()
	if len(all) == 0 {
		return o, false
	}
	return all[len(all)-1], true
}
