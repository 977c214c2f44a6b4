package storetest

import (
	"context"
	"errors"
	"slices"

	"github.com/rollcall-sd/rollcall/internal/store"
)

var catalogChecks = []check{
	{name: "The catalog names the services with a live record", run: catalogNames},
	{name: "The catalog drops a service whose last record moved", run: catalogMoved},
	{name: "The catalog drops a service whose leases ended", needs: leases, run: catalogExpired},
	{name: "The catalog has evidence of what ended", needs: deltas | atomicSteps, run: catalogEvidence},
	{name: "The catalog's revision moves only with its names", run: catalogRevision},
	{name: "The catalog is watched", run: catalogWatched},
}

var closeChecks = []check{
	{name: "After Close every call says so", run: afterClose},
	{name: "Close ends no records", needs: owners, run: closeEndsNothing},
}

func catalogNames(e *env) {
	e.wantIDs(store.Catalog)
	names := []string{"a:b", "a", "{a}", "a*", "a b", "名前", "%7Ba%7D", "}{"}
	times := map[string]int64{}
	for _, n := range names {
		times[n] = e.put(e.alpha, putOf(n, "in "+n, "x"))
	}
	slices.Sort(names)
	e.wantIDs(store.Catalog, names...)
	for _, n := range names {
		e.wantIDs(n, "in "+n)
	}
	e.deregister(e.alpha, "{a}", "in {a}", times["{a}"])
	names = slices.DeleteFunc(names, func(n string) bool { return n == "{a}" })
	e.wantIDs(store.Catalog, names...)
}

func catalogMoved(e *env) {
	e.put(e.alpha, putOf("old", "i", "x"))
	p := putOf("new", "i", "x")
	p.Hints.PreviousService = "old"
	e.put(e.alpha, p)
	e.wantIDs(store.Catalog, "new")
}

func catalogExpired(e *env) {
	e.put(e.alpha, putOf("g", "i", "x"))
	e.put(e.alpha, putOf("h", "i2", "x"))
	e.backend.Expire("g", "i")
	e.backend.Expire(store.Catalog, "g")
	e.wantIDs(store.Catalog, "h")
	e.put(e.alpha, putOf("g", "i", "x"))
	e.wantIDs(store.Catalog, "g", "h")
}

func catalogEvidence(e *env) {
	registeredAt := e.put(e.alpha, putOf("g", "i", "x"))
	e.deregister(e.alpha, "g", "i", registeredAt)
	if t, ok := tombstoneOf(e.full(store.Catalog), "g"); !ok || t.Reason != store.ReasonDeregistered {
		e.Errorf("after the last one ended: %+v, %v", t, ok)
	}
}

func catalogRevision(e *env) {
	first := e.put(e.alpha, putOf("g", "i", "x"))
	before := e.full(store.Catalog).Rev
	e.put(e.alpha, putOf("g", "j", "x"))
	e.deregister(e.alpha, "g", "i", first)
	if after := e.full(store.Catalog).Rev; after != before {
		e.Errorf("the revision went from %s to %s", before, after)
	}
	e.put(e.alpha, putOf("h", "k", "x"))
	if after := e.full(store.Catalog).Rev; after == before {
		e.Error("another name did not move the revision")
	}
}

func catalogWatched(e *env) {
	f := e.watch(store.Catalog)
	pushed := func(all []store.Notice) bool { return len(all) > 0 }
	registeredAt := e.put(e.alpha, putOf("g", "i", "x"))
	f.waitUntil("a new name", pushed)
	f.clear()
	e.deregister(e.alpha, "g", "i", registeredAt)
	f.waitUntil("the end of a name", pushed)
}

func afterClose(e *env) {
	registeredAt := e.put(e.alpha, putOf("g", "i", "x"))
	s := e.backend.Open("beta")
	stop := s.Watch("g", func(store.Notice) {})
	for range 2 {
		if err := s.Close(); err != nil {
			e.Errorf("Close: %v", err)
		}
	}
	ctx := context.Background()
	if r := s.Put(ctx, []store.Put{putOf("g", "j", "x")}); !errors.Is(r[0].Err, store.ErrClosed) {
		e.Errorf("Put: %v", r[0].Err)
	}
	if _, err := s.Remove(ctx, store.Removal{ID: "i"}); !errors.Is(err, store.ErrClosed) {
		e.Errorf("Remove: %v", err)
	}
	if _, err := e.tryRead(s, "g", store.KnownState{}); !errors.Is(err, store.ErrClosed) {
		e.Errorf("Read: %v", err)
	}
	if e.harness.Leases {
		r := s.Renew(ctx, []store.ServiceLeases{{Service: "g", TTL: ttl, Leases: []store.Lease{{ID: "i", RegisteredAt: registeredAt}}}})
		if !errors.Is(r[0].Err, store.ErrClosed) {
			e.Errorf("Renew: %v", r[0].Err)
		}
	}
	s.Watch("g", func(store.Notice) {})()
	stop()
}

func closeEndsNothing(e *env) {
	s := e.backend.Open("beta")
	e.put(s, putOf("g", "i", "x"))
	if err := s.Close(); err != nil {
		e.Error(err)
	}
	e.wantIDs("g", "i")
}
