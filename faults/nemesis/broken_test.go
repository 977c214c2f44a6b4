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

// broken is a backend with one of its promises taken away.
type broken struct {
	registry.Backend
	clients sync.WaitGroup

	mu    sync.Mutex
	infos map[string]registry.ServiceInfo // last registered, by ID
}

func (b *broken) Register(ctx context.Context, info registry.ServiceInfo) error {
	err := b.Backend.Register(ctx, info)
	if err == nil {
		b.mu.Lock()
		b.infos[info.ID] = info
		b.mu.Unlock()
	}
	return err
}

func (b *broken) Close() error {
	err := b.Backend.Close()
	b.clients.Wait()
	return err
}

// again registers once more, as it was, what was registered last, as a
// heartbeat does that asks nobody.
func (b *broken) again(id string) {
	b.mu.Lock()
	info, ok := b.infos[id]
	b.mu.Unlock()
	if ok {
		_ = b.Backend.Register(context.Background(), info)
	}
}

// resurrecting has a heartbeat in flight when it deregisters.
type resurrecting struct{ *broken }

func (b resurrecting) Deregister(ctx context.Context, id string) error {
	err := b.Backend.Deregister(ctx, id)
	b.clients.Go(func() { b.again(id) })
	return err
}

// emptying takes an error for an empty list.
type emptying struct{ *broken }

func (b emptying) Watch(ctx context.Context, service string) iter.Seq[registry.Snapshot] {
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

// dying watches until its backend is away for the first time.
type dying struct{ *broken }

func (b dying) Watch(ctx context.Context, service string) iter.Seq[registry.Snapshot] {
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

// undead goes on with its heartbeats after a crash.
type undead struct {
	*broken
	t *testing.T
}

func (b undead) Close() error {
	b.t.Cleanup(func() { _ = b.Backend.Close() })
	return nil
}

// breakage takes a promise away from what is opened with cfg.
type breakage func(t *testing.T, b *broken, cfg *registry.RedisRegistryConfig) registry.Backend

// opened is an opener of backends that are broken so.
func (wrap breakage) opened(t *testing.T) opener {
	return func(ctx context.Context, cfg registry.RedisRegistryConfig) (registry.Backend, error) {
		b := &broken{infos: map[string]registry.ServiceInfo{}}
		wrapped := wrap(t, b, &cfg)
		backend, err := openReal(ctx, cfg)
		b.Backend = backend
		return wrapped, err
	}
}

// shortPlan has three instances of one service, each with an owner of its own.
func shortPlan(d time.Duration, server ...Step) *Plan {
	p := NewPlan(1, 0)
	p.Duration, p.Server = d, server
	p.Slots = nil
	for i, id := range []string{"a", "b", "c"} {
		p.Slots = append(p.Slots, []Move{{Wait: 300 * time.Millisecond, Act: Replace, ID: id,
			Line: p.Owners[i].Line, Service: p.Services[0], Patience: 2 * second}})
	}
	return p
}

// then lets the same happen to all three.
func (p *Plan) then(wait time.Duration, act Act, line string) *Plan {
	for i, moves := range p.Slots {
		m := moves[0]
		m.Wait, m.Act, m.Line = wait, act, line
		p.Slots[i] = append(moves, m)
	}
	return p
}

func (p *Plan) crashing(s Step) *Plan {
	p.Crashes = []Step{s}
	return p
}

// TestCheckerCatchesBrokenStores runs a short workload on the library whole,
// and with one promise taken away each time.
func TestCheckerCatchesBrokenStores(t *testing.T) {
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
		wrap breakage
	}{
		{"whole, writes refused", 0, shortPlan(9*second, refuse),
			func(_ *testing.T, b *broken, _ *registry.RedisRegistryConfig) registry.Backend { return b }},
		{"whole", 0, shortPlan(9*second, flush, freeze).then(second, Replace, "o4").then(5*second, Leave, ""),
			func(_ *testing.T, b *broken, _ *registry.RedisRegistryConfig) registry.Backend { return b }},
		{"resurrects the deregistered", Final, shortPlan(3*second).then(second, Leave, ""),
			func(_ *testing.T, b *broken, _ *registry.RedisRegistryConfig) registry.Backend {
				return resurrecting{b}
			}},
		{"drops all from watches when away", NoFalse, shortPlan(7*second, longFreeze),
			func(_ *testing.T, b *broken, _ *registry.RedisRegistryConfig) registry.Backend { return emptying{b} }},
		{"drops all from watches while writes are refused", NoFalse,
			shortPlan(8*second, refuse),
			func(_ *testing.T, b *broken, _ *registry.RedisRegistryConfig) registry.Backend { return emptying{b} }},
		{"lets watches die", WatchAlive, shortPlan(7*second, flush).then(3*second, Replace, "o1"),
			func(_ *testing.T, b *broken, _ *registry.RedisRegistryConfig) registry.Backend { return dying{b} }},
		{"keeps dead ones", Gone, shortPlan(6 * second).crashing(Step{Wait: second, Line: "o1", Span: second}),
			func(t *testing.T, b *broken, _ *registry.RedisRegistryConfig) registry.Backend { return undead{b, t} }},
		{"does not heal", ComesBack, shortPlan(6*second, flush),
			func(_ *testing.T, b *broken, cfg *registry.RedisRegistryConfig) registry.Backend {
				cfg.Observer.Missing = func(_, id string) {
					b.clients.Go(func() { _ = b.Backend.Deregister(context.Background(), id) })
				}
				return b
			}},
		{"lets the older owner win", NewestWins, shortPlan(5*second).then(second, Replace, "o4"),
			func(_ *testing.T, b *broken, cfg *registry.RedisRegistryConfig) registry.Backend {
				tell := cfg.Observer.Superseded
				cfg.Observer.Superseded = func(service, id string) {
					tell(service, id)
					b.clients.Go(func() { b.again(id) })
				}
				return b
			}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if test.want == 0 {
				for _, v := range Check(carryOut(t, test.plan, test.wrap.opened(t))) {
					t.Error(v)
				}
				return
			}
			// A machine that stands for much of a plan excuses much: then once more.
			for range 5 {
				h := carryOut(t, test.plan, test.wrap.opened(t))
				found := Check(h)
				if slices.ContainsFunc(found, func(v Violation) bool { return v.Promise == test.want }) {
					return
				}
				if stood := newStalls(h.Stalls).between(0, h.End); stood < h.End/4 {
					t.Fatalf("found %v, want a violation of promise %d; the machine stood for %v of %v", found, test.want, stood, h.End)
				}
			}
			t.Errorf("in five tries, in which the machine stood for much of the time, no violation of promise %d was found", test.want)
		})
	}
}
