package registrytest

import (
	"fmt"

	"slices"
	"sync"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

var discoverChecks = []check{
	{name: "an unknown service gives an empty list that is not nil", run: unknownService},
	{name: "every field comes back as it was registered", run: everyField},
	{name: "a registered value stays the caller's own", run: ownedOnTheWayIn},
	{name: "a returned value is the caller's own", run: ownedOnTheWayOut},
	{name: "instances come oldest first", run: oldestFirst},
	{name: "RegisteredAt is the backend's and unique within a service", run: uniqueStamps},
	{name: "critical and draining instances are not discovered", run: undiscovered},
	{name: "concurrent calls lose nothing", run: concurrency},
}

func unknownService(e *env) {
	r := e.open()
	e.lists(r, "unknown")
	e.register(r, instance("api", "a"))
	e.lists(r, "unknown")
	e.deregister(r, "a")
	e.lists(r, "api")
}

func everyField(e *env) {
	r := e.open()
	full := instance("api", "full")
	full.Status = registry.StatusWarning
	bare := registry.ServiceInfo{ID: "bare", Name: "api", Address: "2001:db8::1", Port: 65535}
	e.register(r, full, bare)
	got := e.discover(r, "api")
	if len(got) != 2 {
		e.Fatalf("Discover = %v, want [full bare]", ids(got))
	}
	for i, want := range []registry.ServiceInfo{full, bare} {
		if err := differs(got[i], want); err != nil {
			e.Errorf("instance %q: %v", want.ID, err)
		}
		if got[i].RegisteredAt.IsZero() {
			e.Errorf("instance %q: RegisteredAt is not set", want.ID)
		}
	}
}

// scribble changes everything that a ServiceInfo refers to.
func scribble(s registry.ServiceInfo) {
	s.Metadata["scribbled"] = "yes"
	s.Metadata[registry.MetadataZone] = "elsewhere"
	s.Extensions["x"] = "scribbled"
	s.Tags[0] = "scribbled"
}

func ownedOnTheWayIn(e *env) {
	r := e.open()
	given := instance("api", "a")
	e.register(r, given)
	scribble(given)
	if err := differs(e.one(r, "api"), instance("api", "a")); err != nil {
		e.Fatalf("changing the registered value changed the registry's: %v", err)
	}
}

func ownedOnTheWayOut(e *env) {
	r := e.open()
	e.register(r, instance("api", "a"))
	list := e.discover(r, "api")
	if len(list) != 1 || differs(list[0], instance("api", "a")) != nil {
		e.Fatalf("Discover = %+v, want what was registered", list)
	}
	scribble(list[0])
	list[0].Address = "scribbled"
	if err := differs(e.one(r, "api"), instance("api", "a")); err != nil {
		e.Fatalf("changing a discovered value changed the registry's: %v", err)
	}
}

func oldestFirst(e *env) {
	r := e.open()
	var want []string
	for i := range 40 { // IDs in an order that neither sorting nor hashing gives
		id := fmt.Sprintf("%02d", i*17%40)
		want = append(want, id)
		e.register(r, instance("api", id))
	}
	e.lists(r, "api", want...)
	e.deregister(r, want[7])
	e.lists(r, "api", slices.Delete(want, 7, 8)...)
}

func uniqueStamps(e *env) {
	r := e.open()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for j := range 10 {
				s := instance("api", fmt.Sprintf("%d-%d", i, j))
				s.RegisteredAt = time.Date(1999, 12, 31, 0, 0, 0, 0, time.UTC)
				ctx, cancel := e.call()
				if err := r.Register(ctx, s); err != nil {
					e.Errorf("Register: %v", err)
				}
				cancel()
			}
		})
	}
	wg.Wait()
	got := e.discover(r, "api")
	if len(got) != 80 {
		e.Fatalf("Discover shows %d instances of 80", len(got))
	}
	for i, s := range got {
		if s.RegisteredAt.Year() <= 1999 {
			e.Fatalf("instance %q: RegisteredAt is %v, not of the backend's clock", s.ID, s.RegisteredAt)
		}
		if i > 0 && !got[i-1].RegisteredAt.Before(s.RegisteredAt) {
			e.Fatalf("RegisteredAt of %q, %v, is not before that of %q, %v",
				got[i-1].ID, got[i-1].RegisteredAt, s.ID, s.RegisteredAt)
		}
	}
}

func undiscovered(e *env) {
	r := e.open()
	for _, status := range []registry.Status{
		registry.StatusPassing, registry.StatusCritical, "", registry.StatusDraining, registry.StatusWarning,
	} {
		s := instance("api", "is-"+string(status))
		s.Status = status
		e.register(r, s)
	}
	e.lists(r, "api", "is-passing", "is-", "is-warning")
}

// concurrency runs 100 callers on five services, then compares with what they
// must have left. The race detector does the rest.
func concurrency(e *env) {
	registries := []registry.Registry{e.open()}
	if e.h.Shared {
		registries = append(registries, e.open(), e.open())
	}
	const callers, services = 100, 5
	var wg sync.WaitGroup
	for i := range callers {
		r, name, id := registries[i%len(registries)], fmt.Sprintf("service-%d", i%services), fmt.Sprintf("id-%02d", i)
		wg.Go(func() {
			ctx, cancel := e.call()
			defer cancel()
			for port := 1; port <= 3; port++ {
				start := time.Now()
				if err := r.Register(ctx, at(name, id, port)); err != nil {
					e.Errorf("Register(%s): %v", id, err)
					return
				}
				list, err := r.Discover(ctx, name)
				if err != nil {
					e.Errorf("Discover(%s): %v", name, err)
					return
				}
				own := slices.IndexFunc(list, func(s registry.ServiceInfo) bool { return s.ID == id })
				if own < 0 || list[own].Port != port {
					if e.h.Cached && e.stood(start) {
						continue // a cache waits for its own change, but not for ever
					}
					e.Errorf("Discover(%s) right after Register(%s, port %d) does not show it: %v", name, id, port, ids(list))
					return
				}
			}
			if i%2 == 1 {
				if err := r.Deregister(ctx, id); err != nil {
					e.Errorf("Deregister(%s): %v", id, err)
				}
			}
		})
	}
	wg.Wait()
	for _, r := range registries {
		for n := range services {
			name := fmt.Sprintf("service-%d", n)
			e.within(e.lag(), func() error {
				var want []string
				for i := n; i < callers; i += services {
					if i%2 == 0 {
						want = append(want, fmt.Sprintf("id-%02d", i))
					}
				}
				got := ids(e.discover(r, name))
				if slices.Sort(got); !slices.Equal(got, want) {
					return fmt.Errorf("Discover(%s) shows %v, want %v", name, got, want)
				}
				return nil
			})
		}
	}
}
