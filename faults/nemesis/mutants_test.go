package nemesis

import (
	"context"
	"iter"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// mutant is a backend that violates one promise.
type mutant struct {
	registry.Backend
	clients sync.WaitGroup

	mu    sync.Mutex
	infos map[string]registry.ServiceInfo // last registered, by ID
}

func (b *mutant) Register(ctx context.Context, info registry.ServiceInfo) error {
	err := b.Backend.Register(ctx, info)
	if err == nil {
		b.mu.Lock()
		b.infos[info.ID] = info
		b.mu.Unlock()
	}
	return err
}

func (b *mutant) Close() error {
	err := b.Backend.Close()
	b.clients.Wait()
	return err
}

// registerAgain repeats the last registration of an ID, like a heartbeat that does
// not check whether the registration was superseded.
func (b *mutant) registerAgain(id string) {
	b.mu.Lock()
	info, ok := b.infos[id]
	b.mu.Unlock()
	if ok {
		_ = b.Backend.Register(context.Background(), info)
	}
}

// reregistersRemoved has a heartbeat in flight when it deregisters.
type reregistersRemoved struct{ *mutant }

func (b reregistersRemoved) Deregister(ctx context.Context, id string) error {
	err := b.Backend.Deregister(ctx, id)
	b.clients.Go(func() { b.registerAgain(id) })
	return err
}

// emptiesOnError yields an empty list when its backend is disconnected.
type emptiesOnError struct{ *mutant }

func (b emptiesOnError) Watch(ctx context.Context, service string) iter.Seq[registry.Snapshot] {
	return func(yield func(registry.Snapshot) bool) {
		for s := range b.Backend.Watch(ctx, service) {
			if s.Stale != nil {
				s.Instances = nil
			}
			if !yield(s) {
				return
			}
		}
	}
}

// endsWatches stops yielding when its backend is disconnected for the first time.
type endsWatches struct{ *mutant }

func (b endsWatches) Watch(ctx context.Context, service string) iter.Seq[registry.Snapshot] {
	return func(yield func(registry.Snapshot) bool) {
		for s := range b.Backend.Watch(ctx, service) {
			if s.Stale != nil {
				break
			}
			if !yield(s) {
				return
			}
		}
		<-ctx.Done()
	}
}

// heartbeatsAfterCrash continues to send heartbeats after a crash.
type heartbeatsAfterCrash struct {
	*mutant
	t *testing.T
}

func (b heartbeatsAfterCrash) Close() error {
	b.t.Cleanup(func() { _ = b.Backend.Close() })
	return nil
}

// mutation makes a mutant of the backend that is opened with cfg.
type mutation func(t *testing.T, b *mutant, cfg *registry.RedisRegistryConfig) registry.Backend

// opener opens such mutants.
func (wrap mutation) opener(t *testing.T) opener {
	return func(ctx context.Context, cfg registry.RedisRegistryConfig) (registry.Backend, error) {
		b := &mutant{infos: map[string]registry.ServiceInfo{}}
		wrapped := wrap(t, b, &cfg)
		backend, err := openReal(ctx, cfg)
		b.Backend = backend
		return wrapped, err
	}
}

// shortPlan has three instances of one service, each with its own owner.
func shortPlan(d time.Duration, server ...Step) *Plan {
	p := NewPlan(1, 0)
	p.Duration, p.ServerFaults = d, server
	p.Slots = nil
	for i, id := range []string{"a", "b", "c"} {
		p.Slots = append(p.Slots, []Move{{Wait: 300 * time.Millisecond, Act: Replace, ID: id,
			Proxy: p.Owners[i].Proxy, Service: p.Services[0], Timeout: 2 * second}})
	}
	return p
}

// then adds the same act for all three instances.
func (p *Plan) then(wait time.Duration, act Act, proxy string) *Plan {
	for i, moves := range p.Slots {
		m := moves[0]
		m.Wait, m.Act, m.Proxy = wait, act, proxy
		p.Slots[i] = append(moves, m)
	}
	return p
}

func (p *Plan) crashing(s Step) *Plan {
	p.Crashes = []Step{s}
	return p
}

// A short workload finds no violation in the library and one in each mutant.
func TestCheckerCatchesMutants(t *testing.T) {
	t.Parallel()
	flush := Step{Wait: 2 * second, Kind: FlushAll}
	freeze := Step{Wait: 2 * second, Kind: Freeze, Span: 1500 * time.Millisecond}
	refuse := Step{Wait: 2 * second, Kind: RefuseWrites, Span: 4 * second}
	// Longer than a watch needs to notice.
	longFreeze := Step{Wait: 2 * second, Kind: Freeze, Span: 3 * second}
	for _, test := range []struct {
		name string
		want Promise // 0: none
		plan *Plan
		wrap mutation
	}{
		{"library, writes refused", 0, shortPlan(9*second, refuse),
			func(_ *testing.T, b *mutant, _ *registry.RedisRegistryConfig) registry.Backend { return b }},
		{"library", 0, shortPlan(9*second, flush, freeze).then(second, Replace, "o4").then(5*second, Leave, ""),
			func(_ *testing.T, b *mutant, _ *registry.RedisRegistryConfig) registry.Backend { return b }},
		{"registers the deregistered again", Final, shortPlan(3*second).then(second, Leave, ""),
			func(_ *testing.T, b *mutant, _ *registry.RedisRegistryConfig) registry.Backend {
				return reregistersRemoved{b}
			}},
		{"drops all from watches when disconnected", NoFalse, shortPlan(7*second, longFreeze),
			func(_ *testing.T, b *mutant, _ *registry.RedisRegistryConfig) registry.Backend {
				return emptiesOnError{b}
			}},
		{"drops all from watches while writes are refused", NoFalse,
			shortPlan(8*second, refuse),
			func(_ *testing.T, b *mutant, _ *registry.RedisRegistryConfig) registry.Backend {
				return emptiesOnError{b}
			}},
		{"ends watches", WatchAlive, shortPlan(7*second, flush).then(3*second, Replace, "o1"),
			func(_ *testing.T, b *mutant, _ *registry.RedisRegistryConfig) registry.Backend { return endsWatches{b} }},
		{"keeps instances of dead owners", Gone, shortPlan(6 * second).crashing(Step{Wait: second, Proxy: "o1", Span: second}),
			func(t *testing.T, b *mutant, _ *registry.RedisRegistryConfig) registry.Backend {
				return heartbeatsAfterCrash{b, t}
			}},
		{"does not reregister", ComesBack, shortPlan(6*second, flush),
			func(_ *testing.T, b *mutant, cfg *registry.RedisRegistryConfig) registry.Backend {
				cfg.Observer.Missing = func(_, id string) {
					b.clients.Go(func() { _ = b.Backend.Deregister(context.Background(), id) })
				}
				return b
			}},
		{"lets the older owner win", NewestWins, shortPlan(5*second).then(second, Replace, "o4"),
			func(_ *testing.T, b *mutant, cfg *registry.RedisRegistryConfig) registry.Backend {
				report := cfg.Observer.Superseded
				cfg.Observer.Superseded = func(service, id string) {
					report(service, id)
					b.clients.Go(func() { b.registerAgain(id) })
				}
				return b
			}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if test.want == 0 {
				for _, v := range Check(runPlan(t, test.plan, test.wrap.opener(t))) {
					t.Error(v)
				}
				return
			}
			// If the machine stalls for much of a plan, the bounds grow and a violation may
			// stay within them: then the test repeats.
			for range 5 {
				h := runPlan(t, test.plan, test.wrap.opener(t))
				found := Check(h)
				if slices.ContainsFunc(found, func(v Violation) bool { return v.Promise == test.want }) {
					return
				}
				if stalled := newStalls(h.Stalls).between(0, h.End); stalled < h.End/4 {
					t.Fatalf("found %v, want a violation of promise %d; the machine stalled for %v of %v", found, test.want, stalled, h.End)
				}
			}
			t.Errorf("no violation of promise %d was found in five tries, in which the machine stalled for much of the time", test.want)
		})
	}
}
