package registrytest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

var backendChecks = []check{
	{name: "Snapshot shows what Discover shows and the others", needs: backend, run: snapshotShows},
	{name: "Snapshot of an unknown service is empty and not stale", needs: backend, run: snapshotUnknown},
	{name: "Snapshot's revision moves with every change and only then", needs: backend, run: snapshotRevision},
	{name: "a returned snapshot does not change", needs: backend, run: snapshotImmutable},
	{name: "Instances lists every live instance whatever its status", needs: backend, run: instancesAll},
	{name: "an instance's revision moves with its changes only", needs: backend, run: instanceRevision},
	{name: "Services lists the names with a live instance, sorted", needs: backend, run: servicesSorted},
	{name: "ExpiresAt is zero where nothing expires", needs: backend, lacks: expiry, run: expiresNever},
	{name: "ExpiresAt moves on with the heartbeats", needs: backend | expiry, run: expiresAt},
	{name: "Instances and Services forget a crashed instance", needs: backend | expiry, run: forgetCrashed},
}

func (e *env) snapshot(b registry.Backend, name string) registry.Snapshot {
	e.Helper()
	s := ask(e, fmt.Sprintf("Snapshot(%q)", name), func(ctx context.Context) (registry.Snapshot, error) {
		return b.Snapshot(ctx, name)
	})
	if s.Stale != nil {
		e.Fatalf("Snapshot(%q) is stale: %v", name, s.Stale)
	}
	return s
}

func (e *env) instances(b registry.Backend, name string) []registry.Instance {
	e.Helper()
	return ask(e, fmt.Sprintf("Instances(%q)", name), func(ctx context.Context) ([]registry.Instance, error) {
		return b.Instances(ctx, name)
	})
}

// instance returns the live instance of that ID.
func (e *env) instance(b registry.Backend, name, id string) registry.Instance {
	e.Helper()
	all := e.instances(b, name)
	i := slices.IndexFunc(all, func(in registry.Instance) bool { return in.ID == id })
	if i < 0 {
		e.Fatalf("Instances(%q) = %+v, without %q", name, all, id)
	}
	return all[i]
}

func (e *env) services(b registry.Backend) []string {
	e.Helper()
	return ask(e, "Services", b.Services)
}

// registerStatuses registers one instance of each status, named after it.
func registerStatuses(e *env, r registry.Registry) {
	e.Helper()
	for _, status := range []registry.Status{
		registry.StatusWarning, registry.StatusCritical, registry.StatusPassing, registry.StatusDraining,
	} {
		s := instance("api", string(status))
		s.Status = status
		e.register(r, s)
	}
}

func snapshotShows(e *env) {
	r := e.openBackend()
	registerStatuses(e, r)
	before := time.Now()
	s := e.snapshot(r, "api")
	if err := sameLists(s.Instances, e.discover(r, "api")); err != nil {
		e.Errorf("Instances and Discover differ: %v", err)
	}
	if got, want := ids(s.Others), []string{"critical", "draining"}; !slices.Equal(got, want) {
		e.Errorf("the others are %v, want %v", got, want)
	}
	if s.Service != "api" {
		e.Errorf("Service is %q, want %q", s.Service, "api")
	}
	if s.AsOf.Before(before) || s.AsOf.After(time.Now()) {
		e.Errorf("AsOf is %v: not during the call, which began at %v", s.AsOf, before)
	}
}

func snapshotUnknown(e *env) {
	r := e.openBackend()
	s := e.snapshot(r, "unknown")
	if s.Instances == nil || len(s.Instances)+len(s.Others) != 0 {
		e.Fatalf("Snapshot of an unknown service is %+v, want Instances empty and not nil", s)
	}
	if got := e.instances(r, "unknown"); len(got) != 0 {
		e.Fatalf("Instances of an unknown service are %+v", got)
	}
}

func snapshotRevision(e *env) {
	r := e.openBackend()
	seen := revisions{}
	current := func() uint64 { e.Helper(); return e.snapshot(r, "api").Revision }
	moved := func(state string) { e.Helper(); seen.add(e, current(), state) }
	moved("nothing")
	e.register(r, at("api", "a", 1))
	moved("a")
	e.register(r, at("api", "a", 2))
	moved("a replaced")
	e.register(r, at("api", "b", 1))
	moved("a and b")
	e.register(r, at("api", "b", 1), at("web", "c", 1)) // a renewal, another service
	before := current()
	e.throughout(e.quiet(), func() error {
		if revision := current(); revision != before {
			return fmt.Errorf("nothing changed, yet the revision moved from %d to %d", before, revision)
		}
		return nil
	})
	e.register(r, at("web", "b", 1))
	moved("a after b moved away")
	e.deregister(r, "a")
	moved("nothing")
}

func snapshotImmutable(e *env) {
	r := e.openBackend()
	registerStatuses(e, r)
	f := subscribeService(e, r, "api")
	for what, s := range map[string]registry.Snapshot{
		"Snapshot": e.snapshot(r, "api"), "Watch": f.until(e.seen(), showing("warning", "passing")),
	} {
		before := s.Clone()
		for i, id := range []string{"warning", "critical", "passing"} {
			e.register(r, at("api", id, 1000+i))
			e.discover(r, "api")
		}
		e.deregister(r, "warning")
		e.discover(r, "api")
		for _, lists := range [][2][]registry.ServiceInfo{{s.Instances, before.Instances}, {s.Others, before.Others}} {
			if err := sameLists(lists[0], lists[1]); err != nil {
				e.Fatalf("a snapshot of %s changed after it was returned: %v", what, err)
			}
		}
		e.deregister(r, "draining")
		registerStatuses(e, r)
	}
}

func instancesAll(e *env) {
	r := e.openBackend()
	registerStatuses(e, r)
	got := e.instances(r, "api")
	listed := make([]registry.ServiceInfo, len(got))
	for i, in := range got {
		listed[i] = in.ServiceInfo
		want := instance("api", in.ID)
		want.Status = registry.Status(in.ID)
		if err := differs(in.ServiceInfo, want); err != nil {
			e.Errorf("instance %q: %v", in.ID, err)
		}
		if i > 0 && in.Revision == got[i-1].Revision {
			e.Errorf("instances %q and %q have the same revision %d", in.ID, got[i-1].ID, in.Revision)
		}
	}
	if want := []string{"warning", "critical", "passing", "draining"}; !slices.Equal(ids(listed), want) {
		e.Fatalf("Instances lists %v, want %v", ids(listed), want)
	}
	if err := sameLists([]registry.ServiceInfo{listed[0], listed[2]}, e.discover(r, "api")); err != nil {
		e.Errorf("the callable ones differ from Discover: %v", err)
	}
	if e.Failed() {
		return
	}
	scribble(got[2].ServiceInfo)
	if err := differs(e.instance(r, "api", "passing").ServiceInfo, instance("api", "passing")); err != nil {
		e.Errorf("changing what Instances returned changed the registry's: %v", err)
	}
}

func instanceRevision(e *env) {
	r := e.openBackend()
	e.register(r, at("api", "a", 1), at("api", "b", 1))
	revision := func() uint64 { e.Helper(); return e.instance(r, "api", "a").Revision }
	first := revision()
	e.register(r, at("api", "b", 2), at("api", "a", 1))
	e.throughout(e.quiet(), func() error {
		if now := revision(); now != first {
			return fmt.Errorf("instance a did not change, yet its revision moved from %d to %d", first, now)
		}
		return nil
	})
	e.register(r, at("api", "a", 2), at("api", "b", 3))
	if now := revision(); now == first {
		e.Fatalf("instance a was replaced, yet its revision is %d as before", now)
	}
}

func servicesSorted(e *env) {
	r := e.openBackend()
	if got := e.services(r); len(got) != 0 {
		e.Fatalf("Services of an empty universe are %q", got)
	}
	var want []string
	for i, odd := range oddities {
		s := instance(odd, odd)
		if i%5 == 0 {
			s.Status = registry.StatusCritical // live all the same
		}
		e.register(r, s)
		want = append(want, odd)
	}
	e.register(r, instance(oddities[0], "second"))
	slices.Sort(want)
	if got := e.services(r); !slices.Equal(got, want) {
		e.Fatalf("Services are %q, want %q", got, want)
	}
	for _, odd := range oddities[1:] {
		e.deregister(r, odd)
	}
	if got := e.services(r); !slices.Equal(got, oddities[:1]) {
		e.Fatalf("Services are %q, want %q", got, oddities[:1])
	}
}

func expiresNever(e *env) {
	r := e.openBackend()
	e.register(r, instance("api", "a"))
	if got := e.instances(r, "api"); len(got) != 1 || !got[0].ExpiresAt.IsZero() {
		e.Fatalf("Instances = %+v, want one with no ExpiresAt", got)
	}
}

func expiresAt(e *env) {
	r := e.openBackend()
	e.register(r, instance("api", "a"))
	registered := time.Now()
	first := e.instance(r, "api", "a")
	lease := first.ExpiresAt.Sub(first.RegisteredAt)
	if renewed := time.Since(registered); lease <= 0 || lease > e.h.TTL+renewed {
		e.Fatalf("ExpiresAt, %v, is %v after RegisteredAt; the TTL is %v", first.ExpiresAt, lease, e.h.TTL)
	}
	e.within(e.h.Heartbeat+time.Second, func() error {
		if now := e.instance(r, "api", "a").ExpiresAt; !now.After(first.ExpiresAt) {
			return fmt.Errorf("ExpiresAt is still %v", now)
		}
		return nil
	})
}

func forgetCrashed(e *env) {
	owner, reader := e.openBackend(), e.openBackend()
	sick := instance("api", "a")
	sick.Status = registry.StatusCritical
	e.register(owner, sick)
	e.register(reader, instance("web", "w"))
	if got := e.services(reader); !slices.Equal(got, []string{"api", "web"}) {
		e.Fatalf("Services are %q, want [api web]", got)
	}
	e.crash(owner)
	e.within(e.gone(), func() error {
		if got := e.instances(reader, "api"); len(got) != 0 {
			return fmt.Errorf("Instances of a dead service are %+v", got)
		}
		if got := e.services(reader); !slices.Equal(got, []string{"web"}) {
			return fmt.Errorf("Services are %q, want [web]", got)
		}
		return nil
	})
}
