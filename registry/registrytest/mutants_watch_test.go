package registrytest

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// deaf lets a watch outlive its context, for ten minutes.
func deaf(ctx context.Context) context.Context {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Minute)
	context.AfterFunc(ctx, cancel)
	return ctx
}

var (
	deafWatch = mutate(func(o *mutated) {
		o.watch = func(ctx context.Context, name string) iter.Seq[registry.Snapshot] {
			return o.ref.Watch(deaf(ctx), name)
		}
	})
	skipsFirst = mutateWatch(func(_ *mutated, n int, _ *registry.Snapshot) bool { return n > 0 })
	skipsEmpty = mutateWatch(func(_ *mutated, _ int, s *registry.Snapshot) bool { return len(s.Instances) > 0 })
	skipsStale = mutateWatch(func(_ *mutated, _ int, s *registry.Snapshot) bool { return s.Stale == nil })
	hidesZero  = mutateWatch(func(_ *mutated, n int, s *registry.Snapshot) bool { return n == 0 || len(s.Instances) > 0 })
	freezes    = mutateWatch(func(_ *mutated, n int, _ *registry.Snapshot) bool { return n == 0 })
	grows      = mutate(func(o *mutated) { // a removal does not show
		o.watch = func(ctx context.Context, name string) iter.Seq[registry.Snapshot] {
			most := -1
			return edited(o.ref.Watch(ctx, name), func(_ int, s *registry.Snapshot) bool {
				grown := len(s.Instances) > most
				most = max(most, len(s.Instances))
				return grown
			})
		}
	})
)

var watchMutants = []mutant{
	{"Close ends every watch", "has not ended after Close", mutate(func(o *mutated) {
		o.watch = func(ctx context.Context, name string) iter.Seq[registry.Snapshot] {
			return func(yield func(registry.Snapshot) bool) {
				for s := range o.ref.Watch(ctx, name) {
					if !yield(s) {
						return
					}
				}
				<-ctx.Done()
			}
		}
	})},
	{"a watch of a closed registry says so and ends", "no first state", mutate(func(o *mutated) {
		o.watch = func(ctx context.Context, name string) iter.Seq[registry.Snapshot] {
			if o.closed() {
				return func(func(registry.Snapshot) bool) {}
			}
			return o.ref.Watch(ctx, name)
		}
	})},
	{"a watch drops a crashed instance within its TTL", "does not show it", grows},
	{"a watch drops a crashed instance within its TTL", "woken after the last change", mutate(func(o *mutated) {
		o.watch = func(ctx context.Context, name string) iter.Seq[registry.Snapshot] {
			return func(yield func(registry.Snapshot) bool) {
				for s := range o.ref.Watch(ctx, name) {
					for range 2 {
						if !yield(s) {
							return
						}
					}
				}
			}
		}
	})},
	{"a watch keeps a running owner's instance", "of a running owner", withFault("no heartbeat")},
	{"a watch yields the current state at once", "no first state", skipsFirst},
	{"a watch yields the current state at once", "Service is", mutateWatch(func(_ *mutated, _ int, s *registry.Snapshot) bool {
		s.Service = ""
		return true
	})},
	{"a watch yields the state of an unoffered service at once", "no first state", skipsEmpty},
	{"a watch yields the state of an unoffered service at once", "Instances is nil",
		mutateWatch(func(_ *mutated, _ int, s *registry.Snapshot) bool {
			if len(s.Instances) == 0 {
				s.Instances = nil
			}
			return true
		})},
	{"a watch yields the state after each change", "does not show it", freezes},
	{"a watch yields the state after each change", "does not show it", hidesZero},
	{"a watch sees an instance move to another name", "does not show it", grows},
	{"a watch carries every field", "differ", mutateWatch(func(_ *mutated, _ int, s *registry.Snapshot) bool {
		for i := range s.Instances {
			s.Instances[i].Metadata = nil
		}
		return true
	})},
	{"a watch separates callable instances from the others", "the others are", mutateWatch(func(_ *mutated, _ int, s *registry.Snapshot) bool {
		s.Others = nil
		return true
	})},
	{"a watch's revision moves with every change", "stands for", mutateWatch(func(_ *mutated, _ int, s *registry.Snapshot) bool {
		s.Revision = 1
		return true
	})},
	{"a watch is not woken by other services", "woken by other services", withFault("wakes others")},
	{"a watch is not woken by heartbeats and renewals", "woken by heartbeats", withFault("heartbeats wake")},
	{"a slow subscriber is given the newest state", "a backlog", mutate(func(o *mutated) {
		o.register = func(ctx context.Context, s registry.ServiceInfo) error {
			defer linger(time.Millisecond)
			return o.ref.Register(ctx, s)
		}
		o.watch = func(ctx context.Context, name string) iter.Seq[registry.Snapshot] {
			return func(yield func(registry.Snapshot) bool) { queued(o.ref.Watch(ctx, name), yield) }
		}
	})},
	{"a slow subscriber slows no other", "Register beside a slow subscriber has not returned", mutate(func(o *mutated) {
		var readers atomic.Int32
		o.register = func(ctx context.Context, s registry.ServiceInfo) error {
			for readers.Load() > 0 {
				linger(time.Millisecond)
			}
			return o.ref.Register(ctx, s)
		}
		o.watch = func(ctx context.Context, name string) iter.Seq[registry.Snapshot] {
			return func(yield func(registry.Snapshot) bool) {
				for s := range o.ref.Watch(ctx, name) {
					readers.Add(1)
					more := yield(s)
					readers.Add(-1)
					if !more {
						return
					}
				}
			}
		}
	})},
	{"a break ends a watch", "the loop broke", mutate(func(o *mutated) {
		o.watch = func(ctx context.Context, name string) iter.Seq[registry.Snapshot] {
			return func(yield func(registry.Snapshot) bool) {
				for s := range o.ref.Watch(ctx, name) {
					if !yield(s) {
						linger(time.Minute)
						return
					}
				}
			}
		}
	})},
	{"the end of its context ends a watch", "has not ended", deafWatch},
	{"a watch with an ended context ends at once", "whose context had ended before", deafWatch},
	{"a watch does not end by itself", "ended by itself", mutate(func(o *mutated) {
		o.watch = func(ctx context.Context, name string) iter.Seq[registry.Snapshot] {
			return func(yield func(registry.Snapshot) bool) {
				n := 0
				for s := range o.ref.Watch(ctx, name) {
					if n++; !yield(s) || n == 3 {
						return
					}
				}
			}
		}
	})},
	{"a watch of a bad name yields one stale state and ends", "does not match", mutate(func(o *mutated) {
		o.watch = func(ctx context.Context, name string) iter.Seq[registry.Snapshot] {
			if named(name) != nil {
				name = "fallback"
			}
			return o.ref.Watch(ctx, name)
		}
	})},
	{"many watches of one service all see each change", "does not show it", mutate(func(o *mutated) {
		watches := 0
		o.watch = func(ctx context.Context, name string) iter.Seq[registry.Snapshot] {
			watches++
			if frozen := watches > 20; frozen {
				return edited(o.ref.Watch(ctx, name), func(n int, _ *registry.Snapshot) bool { return n == 0 })
			}
			return o.ref.Watch(ctx, name)
		}
	})},
	{"watches never mix odd names", "does not show it", withFault("mixes case")},
	{"a watch converges to Discover", "does not show it", mutate(func(o *mutated) {
		o.watch = func(ctx context.Context, name string) iter.Seq[registry.Snapshot] {
			first := map[string]int{}
			return edited(o.ref.Watch(ctx, name), func(_ int, s *registry.Snapshot) bool {
				for i, in := range s.Instances {
					if port, ok := first[in.ID]; ok {
						s.Instances[i].Port = port
					}
					first[in.ID] = s.Instances[i].Port
				}
				return true
			})
		}
	})},
	{"a watch sees what other registries change", "does not show it", mutate(func(o *mutated) {
		var own atomic.Bool
		o.register = func(ctx context.Context, s registry.ServiceInfo) error {
			own.Store(true)
			return o.ref.Register(ctx, s)
		}
		o.watch = func(ctx context.Context, name string) iter.Seq[registry.Snapshot] {
			return edited(o.ref.Watch(ctx, name), func(n int, _ *registry.Snapshot) bool { return n == 0 || own.Load() })
		}
	})},

	{"a watch of a mute backend keeps the last state and goes stale", "dropped the last known state",
		mutateWatch(func(_ *mutated, _ int, s *registry.Snapshot) bool {
			if s.Stale != nil {
				s.Instances = []registry.ServiceInfo{}
			}
			return true
		})},
	{"a watch of a mute backend keeps the last state and goes stale", "does not show it", skipsStale},
	{"a watch begun while the backend is mute is empty and stale at once", "want Instances empty", skipsStale},
	{"a watch of a mute backend ends with its context", "still running", deafWatch},
}

// queued keeps every state for its reader.
func queued(states iter.Seq[registry.Snapshot], yield func(registry.Snapshot) bool) {
	var mu sync.Mutex
	var queue []registry.Snapshot
	wake := make(chan struct{}, 1)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := range states {
			mu.Lock()
			queue = append(queue, s)
			mu.Unlock()
			select {
			case wake <- struct{}{}:
			default:
			}
		}
	}()
	for {
		mu.Lock()
		taken := queue
		queue = nil
		mu.Unlock()
		for _, s := range taken {
			if !yield(s) {
				return
			}
		}
		select {
		case <-wake:
		case <-done:
			return
		}
	}
}
