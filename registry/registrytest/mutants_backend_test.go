package registrytest

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

var deafCatalog = mutate(func(o *mutated) {
	o.watchServices = func(ctx context.Context) iter.Seq[registry.Catalog] { return o.ref.WatchServices(deaf(ctx)) }
})

var catalogMutants = []mutant{
	{"a catalog watch of a closed registry says so and ends", "no first state", mutate(func(o *mutated) {
		o.watchServices = func(ctx context.Context) iter.Seq[registry.Catalog] {
			if o.closed() {
				return func(func(registry.Catalog) bool) {}
			}
			return o.ref.WatchServices(ctx)
		}
	})},
	{"a catalog watch yields the names at once", "the names are", mutateCatalog(func(_ int, c *registry.Catalog) bool {
		slices.Reverse(c.Names)
		return true
	})},
	{"a catalog watch yields no names at once", "no first state",
		mutateCatalog(func(_ int, c *registry.Catalog) bool { return len(c.Names) > 0 })},
	{"a catalog watch yields no names at once", "the names are nil", mutateCatalog(func(_ int, c *registry.Catalog) bool {
		c.Names = append([]string(nil), c.Names...)
		return true
	})},
	{"a catalog watch yields the names after each change of the set", "does not show it",
		mutateCatalog(func(n int, _ *registry.Catalog) bool { return n == 0 })},
	{"a catalog watch is not woken by anything else", "the set of names did not change", withFault("catalog wakes")},
	{"a catalog's revision moves with every change", "stands for",
		mutateCatalog(func(_ int, c *registry.Catalog) bool { c.Revision = 7; return true })},
	{"a break ends a catalog watch", "the loop broke", mutate(func(o *mutated) {
		o.watchServices = func(ctx context.Context) iter.Seq[registry.Catalog] {
			return func(yield func(registry.Catalog) bool) {
				for c := range o.ref.WatchServices(ctx) {
					if !yield(c) {
						linger(time.Minute)
						return
					}
				}
			}
		}
	})},
	{"the end of its context or Close ends a catalog watch", "after its context", deafCatalog},
	{"the end of its context or Close ends a catalog watch", "after Close", mutate(func(o *mutated) {
		o.watchServices = func(ctx context.Context) iter.Seq[registry.Catalog] {
			return func(yield func(registry.Catalog) bool) {
				for c := range o.ref.WatchServices(ctx) {
					if !yield(c) {
						return
					}
				}
				select {
				case <-ctx.Done():
				case <-time.After(time.Minute):
				}
			}
		}
	})},
	{"a catalog watch drops a crashed service within its TTL", "does not show it", withFault("never expires")},
}

func editsSnapshot(edit func(*registry.Snapshot)) func() Harness {
	return mutate(func(o *mutated) {
		o.snapshot = func(ctx context.Context, name string) (registry.Snapshot, error) {
			s, err := o.ref.Snapshot(ctx, name)
			edit(&s)
			return s, err
		}
	})
}

func editsInstances(edit func([]registry.Instance) []registry.Instance) func() Harness {
	return mutate(func(o *mutated) {
		o.instances = func(ctx context.Context, name string) ([]registry.Instance, error) {
			all, err := o.ref.Instances(ctx, name)
			return edit(all), err
		}
	})
}

var backendMutants = []mutant{
	{"Snapshot shows what Discover shows and the others", "the others are", editsSnapshot(func(s *registry.Snapshot) { s.Others = nil })},
	{"Snapshot shows what Discover shows and the others", "AsOf is", editsSnapshot(func(s *registry.Snapshot) { s.AsOf = time.Time{} })},
	{"Snapshot shows what Discover shows and the others", "Instances and Discover differ",
		editsSnapshot(func(s *registry.Snapshot) { s.Instances = append(s.Instances, s.Others...) })},
	{"Snapshot of an unknown service is empty and not stale", "want Instances empty",
		editsSnapshot(func(s *registry.Snapshot) { s.Instances = nil })},
	{"Snapshot of an unknown service is empty and not stale", "is stale",
		editsSnapshot(func(s *registry.Snapshot) { s.Stale = registry.ErrNotReady })},
	{"Snapshot's revision moves with every change and only then", "stands for",
		editsSnapshot(func(s *registry.Snapshot) { s.Revision = 1 })},
	{"Snapshot's revision moves with every change and only then", "nothing changed", withFault("heartbeats wake")},
	{"a returned snapshot does not change", "a snapshot of Snapshot changed", mutate(func(o *mutated) {
		buffer := make([]registry.ServiceInfo, 10)
		o.snapshot = func(ctx context.Context, name string) (registry.Snapshot, error) {
			s, err := o.ref.Snapshot(ctx, name)
			s.Instances = buffer[:copy(buffer, s.Instances)]
			return s, err
		}
		o.discover = func(ctx context.Context, name string) ([]registry.ServiceInfo, error) {
			s, err := o.snapshot(ctx, name)
			return slices.Clone(s.Instances), err
		}
	})},
	{"a returned snapshot does not change", "a snapshot of Watch changed", mutate(func(o *mutated) {
		var shown []registry.ServiceInfo
		o.watch = func(ctx context.Context, name string) iter.Seq[registry.Snapshot] {
			return edited(o.ref.Watch(ctx, name), func(_ int, s *registry.Snapshot) bool { shown = s.Instances; return true })
		}
		o.discover = func(ctx context.Context, name string) ([]registry.ServiceInfo, error) {
			l, err := o.ref.Discover(ctx, name)
			copy(shown, l)
			return l, err
		}
	})},
	{"Instances lists every live instance whatever its status", "Instances lists [warning passing]",
		editsInstances(func(all []registry.Instance) []registry.Instance {
			return slices.DeleteFunc(all, func(in registry.Instance) bool {
				return in.Status == registry.StatusCritical || in.Status == registry.StatusDraining
			})
		})},
	{"Instances lists every live instance whatever its status", "changing what Instances returned", func() Harness {
		var kept []registry.Instance
		return editsInstances(func(all []registry.Instance) []registry.Instance {
			if kept == nil {
				kept = all
			}
			return kept
		})()
	}},
	{"an instance's revision moves with its changes only", "did not change, yet", withFault("beats move instances")},
	{"an instance's revision moves with its changes only", "was replaced, yet",
		editsInstances(func(all []registry.Instance) []registry.Instance {
			for i := range all {
				all[i].Revision = 1
			}
			return all
		})},
	{"Services lists the names with a live instance, sorted", "Services are", mutate(func(o *mutated) {
		o.services = func(ctx context.Context) ([]string, error) {
			names, err := o.ref.Services(ctx)
			slices.Reverse(names)
			return names, err
		}
	})},
	{"ExpiresAt is zero where nothing expires", "no ExpiresAt", func() Harness { return localHarness("expires all the same") }},
	{"ExpiresAt moves on with the heartbeats", "is still", editsInstances(func(all []registry.Instance) []registry.Instance {
		for i := range all {
			all[i].ExpiresAt = all[i].RegisteredAt.Add(testTTL)
		}
		return all
	})},
	{"ExpiresAt moves on with the heartbeats", "after RegisteredAt", editsInstances(func(all []registry.Instance) []registry.Instance {
		for i := range all {
			all[i].ExpiresAt = all[i].ExpiresAt.Add(time.Hour)
		}
		return all
	})},
	{"Instances and Services forget a crashed instance", "Instances of a dead service", withFault("never expires")},
}
