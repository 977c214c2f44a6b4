package registrytest

import (
	"context"
	"iter"
	"testing"

	"github.com/rollcall-sd/rollcall/registry"
)

// mutated is a ref of which some methods are replaced.
type mutated struct {
	*ref
	n             int // which of its universe's registries it is
	register      func(context.Context, registry.ServiceInfo) error
	deregister    func(context.Context, string) error
	discover      func(context.Context, string) ([]registry.ServiceInfo, error)
	snapshot      func(context.Context, string) (registry.Snapshot, error)
	instances     func(context.Context, string) ([]registry.Instance, error)
	services      func(context.Context) ([]string, error)
	events        func(context.Context, string) ([]registry.Event, error)
	watch         func(context.Context, string) iter.Seq[registry.Snapshot]
	watchServices func(context.Context) iter.Seq[registry.Catalog]
	notifyLost    func(string, func(error)) func()
	close         func() error
}

func newMutated(r *ref, n int) *mutated {
	return &mutated{
		ref: r, n: n, register: r.Register, deregister: r.Deregister, discover: r.Discover, snapshot: r.Snapshot,
		instances: r.Instances, services: r.Services, events: r.Events, watch: r.Watch, watchServices: r.WatchServices, notifyLost: r.NotifyLost, close: r.Close,
	}
}

func (m *mutated) Register(ctx context.Context, s registry.ServiceInfo) error {
	return m.register(ctx, s)
}
func (m *mutated) Deregister(ctx context.Context, id string) error { return m.deregister(ctx, id) }
func (m *mutated) Discover(ctx context.Context, name string) ([]registry.ServiceInfo, error) {
	return m.discover(ctx, name)
}
func (m *mutated) Snapshot(ctx context.Context, name string) (registry.Snapshot, error) {
	return m.snapshot(ctx, name)
}
func (m *mutated) Instances(ctx context.Context, name string) ([]registry.Instance, error) {
	return m.instances(ctx, name)
}
func (m *mutated) Services(ctx context.Context) ([]string, error) { return m.services(ctx) }
func (m *mutated) Events(ctx context.Context, name string) ([]registry.Event, error) {
	return m.events(ctx, name)
}
func (m *mutated) Watch(ctx context.Context, name string) iter.Seq[registry.Snapshot] {
	return m.watch(ctx, name)
}
func (m *mutated) WatchServices(ctx context.Context) iter.Seq[registry.Catalog] {
	return m.watchServices(ctx)
}
func (m *mutated) NotifyLost(id string, lost func(error)) func() { return m.notifyLost(id, lost) }
func (m *mutated) Close() error                                  { return m.close() }

// mutate is refHarness with registries that spoil changes.
func mutate(spoil func(*mutated)) func() Harness {
	return func() Harness {
		h := refHarness("")
		h.New = func(testing.TB) Universe {
			w, n := newWorld(testTTL, testBeat, ""), 0
			u := w.universe()
			u.Open = func(testing.TB) registry.Registry {
				m := newMutated(w.open(), n)
				n++
				spoil(m)
				return m
			}
			return u
		}
		return h
	}
}

// withFault is refHarness with a fault of the reference's own.
func withFault(fault string) func() Harness { return func() Harness { return refHarness(fault) } }

// mutateWatch edits each state of a service's watch: edit returns false to
// leave the state out.
func mutateWatch(edit func(m *mutated, n int, s *registry.Snapshot) bool) func() Harness {
	return mutate(func(m *mutated) {
		m.watch = func(ctx context.Context, name string) iter.Seq[registry.Snapshot] {
			return edited(m.ref.Watch(ctx, name), func(n int, s *registry.Snapshot) bool { return edit(m, n, s) })
		}
	})
}

// mutateCatalog is mutateWatch for the catalog.
func mutateCatalog(edit func(n int, c *registry.Catalog) bool) func() Harness {
	return mutate(func(m *mutated) {
		m.watchServices = func(ctx context.Context) iter.Seq[registry.Catalog] { return edited(m.ref.WatchServices(ctx), edit) }
	})
}

func edited[T any](states iter.Seq[T], edit func(int, *T) bool) iter.Seq[T] {
	return func(yield func(T) bool) {
		n := 0
		for s := range states {
			n++
			if edit(n-1, &s) && !yield(s) {
				return
			}
		}
	}
}

// mutateDiscover edits each list that Discover returns.
func mutateDiscover(edit func(m *mutated, name string, list []registry.ServiceInfo) []registry.ServiceInfo) func() Harness {
	return mutate(func(m *mutated) {
		m.discover = func(ctx context.Context, name string) ([]registry.ServiceInfo, error) {
			list, err := m.ref.Discover(ctx, name)
			if err != nil {
				return list, err
			}
			return edit(m, name, list), nil
		}
	})
}
