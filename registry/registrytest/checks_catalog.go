package registrytest

import (
	"context"
	"fmt"
	"iter"
	"slices"

	"github.com/rollcall-sd/rollcall/registry"
)

var catalogChecks = []check{
	{name: "a catalog watch yields the names at once", needs: backend, run: catalogAtOnce},
	{name: "a catalog watch yields no names at once", needs: backend, run: catalogEmpty},
	{name: "a catalog watch yields the names after each change of the set", needs: backend, run: catalogChanges},
	{name: "a catalog watch is not woken by anything else", needs: backend, run: catalogQuiet},
	{name: "a catalog's revision moves with every change", needs: backend, run: catalogRevision},
	{name: "a break ends a catalog watch", needs: backend, run: catalogBreak},
	{name: "the end of its context or Close ends a catalog watch", needs: backend, run: catalogEnds},
	{name: "a catalog watch drops a crashed service within its TTL", needs: backend | expiry, run: catalogExpiry},
}

func subscribeCatalog(e *env, b registry.Backend) *subscriber[registry.Catalog] {
	return subscribe(e, b.WatchServices)
}

// naming is a condition: exactly these names, current.
func naming(want ...string) func(registry.Catalog) error {
	return func(c registry.Catalog) error {
		switch {
		case c.Stale != nil:
			return fmt.Errorf("the catalog is stale: %w", c.Stale)
		case c.Names == nil:
			return fmt.Errorf("the names are nil")
		case !slices.Equal(c.Names, want):
			return fmt.Errorf("the names are %q, want %q", c.Names, want)
		}
		return nil
	}
}

func catalogAtOnce(e *env) {
	r := e.openBackend()
	e.register(r, instance("web", "w"), instance("api", "a"), instance("api", "b"))
	c := subscribeCatalog(e, r).first()
	if err := naming("api", "web")(c); err != nil {
		e.Fatalf("the first catalog: %v", err)
	}
	if c.AsOf.IsZero() {
		e.Error("Catalog.AsOf is not set")
	}
}

func catalogEmpty(e *env) {
	if err := naming()(subscribeCatalog(e, e.openBackend()).first()); err != nil {
		e.Fatalf("the first catalog: %v", err)
	}
}

func catalogChanges(e *env) {
	r := e.openBackend()
	f := subscribeCatalog(e, r)
	f.until(e.seen(), naming())
	e.register(r, instance("web", "w"))
	f.until(e.seen(), naming("web"))
	sick := instance("api", "a")
	sick.Status = registry.StatusCritical // live all the same
	e.register(r, sick)
	f.until(e.seen(), naming("api", "web"))
	e.register(r, instance("new", "w"))
	f.until(e.seen(), naming("api", "new"))
	e.deregister(r, "a")
	f.until(e.seen(), naming("new"))
	e.deregister(r, "w")
	f.until(e.seen(), naming())
}

func catalogQuiet(e *env) {
	r := e.openBackend()
	e.register(r, instance("api", "a"))
	f := subscribeCatalog(e, r)
	f.until(e.seen(), naming("api"))
	e.register(r, instance("api", "b"), instance("api", "b"), at("api", "a", 9))
	e.deregister(r, "b")
	f.silent(e.lifetimes(2), "though the set of names did not change")
}

func catalogRevision(e *env) {
	r := e.openBackend()
	f := subscribeCatalog(e, r)
	seen := revisions{}
	changed := func(want ...string) {
		e.Helper()
		seen.add(e, f.until(e.seen(), naming(want...)).Revision, fmt.Sprint(want))
	}
	changed()
	e.register(r, instance("api", "a"))
	changed("api")
	e.register(r, instance("web", "w"))
	changed("api", "web")
	e.deregister(r, "a")
	changed("web")
}

func catalogBreak(e *env) {
	f := subscribeCatalog(e, e.openBackend())
	f.first()
	f.stop()
	if !f.ended(contextGrace) {
		e.Fatalf("the loop broke, and %v later the catalog watch still runs", contextGrace)
	}
}

func catalogEnds(e *env) {
	r := e.openBackend()
	byContext, byClose := subscribeCatalog(e, r), subscribe(e, func(context.Context) iter.Seq[registry.Catalog] { return r.WatchServices(context.Background()) })
	byContext.until(e.seen(), naming())
	byContext.silent(pollInterval, "though nothing changed")
	byClose.until(e.seen(), naming())
	byContext.cancel()
	if !byContext.ended(contextGrace) {
		e.Fatalf("a catalog watch has not ended %v after its context", contextGrace)
	}
	e.close(r)
	if !byClose.ended(contextGrace) {
		e.Fatalf("a catalog watch has not ended %v after Close", contextGrace)
	}
}

func catalogExpiry(e *env) {
	owner, reader := e.openBackend(), e.openBackend()
	e.register(owner, instance("api", "a"))
	e.register(reader, instance("web", "w"))
	f := subscribeCatalog(e, reader)
	f.until(e.seen(), naming("api", "web"))
	e.crash(owner)
	f.until(e.gone(), naming("web"))
}
