package storetest

import (
	"context"
	"errors"
	"slices"

	"github.com/rollcall-sd/rollcall/internal/store"
)

var catalogChecks = []check{
	{name: "The catalog names the groups with a live record", run: catalogNames},
	{name: "The catalog drops a group whose last record moved", run: catalogMoved},
	{name: "The catalog drops a group whose leases ran out", needs: leases, run: catalogExpired},
	{name: "The catalog has evidence of what left it", needs: deltas | oneStep, run: catalogEvidence},
	{name: "The catalog's revision moves only with its names", run: catalogRevision},
	{name: "The catalog is watched", run: catalogWatched},
}

var closeChecks = []check{
	{name: "After Close every call says so", run: afterClose},
	{name: "Close ends nobody's records", needs: owners, run: closeEndsNothing},
}

func catalogNames(e *env) {
	e.wantIDs(store.Catalog)
	names := []string{"a:b", "a", "{a}", "a*", "a b", "名前", "%7Ba%7D", "}{"}
	stamps := map[string]int64{}
	for _, n := range names {
		stamps[n] = e.put(e.a, ask(n, "in "+n, "x"))
	}
	slices.Sort(names)
	e.wantIDs(store.Catalog, names...)
	for _, n := range names {
		e.wantIDs(n, "in "+n)
	}
	e.leave(e.a, "{a}", "in {a}", stamps["{a}"])
	names = slices.DeleteFunc(names, func(n string) bool { return n == "{a}" })
	e.wantIDs(store.Catalog, names...)
}

func catalogMoved(e *env) {
	e.put(e.a, ask("old", "i", "x"))
	p := ask("new", "i", "x")
	p.PreviousService = "old"
	e.put(e.a, p)
	e.wantIDs(store.Catalog, "new")
}

func catalogExpired(e *env) {
	e.put(e.a, ask("g", "i", "x"))
	e.put(e.a, ask("h", "i2", "x"))
	e.b.Expire("g", "i")
	e.b.Expire(store.Catalog, "g")
	e.wantIDs(store.Catalog, "h")
	e.put(e.a, ask("g", "i", "x"))
	e.wantIDs(store.Catalog, "g", "h")
}

func catalogEvidence(e *env) {
	stamp := e.put(e.a, ask("g", "i", "x"))
	e.leave(e.a, "g", "i", stamp)
	if t, ok := tomb(e.full(store.Catalog), "g"); !ok || t.Reason != store.ReasonDeregistered {
		e.Errorf("after the last left: %+v, %v", t, ok)
	}
}

func catalogRevision(e *env) {
	first := e.put(e.a, ask("g", "i", "x"))
	before := e.full(store.Catalog).Rev
	e.put(e.a, ask("g", "j", "x"))
	e.leave(e.a, "g", "i", first)
	if after := e.full(store.Catalog).Rev; after != before {
		e.Errorf("the revision went from %s to %s", before, after)
	}
	e.put(e.a, ask("h", "k", "x"))
	if after := e.full(store.Catalog).Rev; after == before {
		e.Error("another name did not move the revision")
	}
}

func catalogWatched(e *env) {
	f := e.follow(store.Catalog)
	pushed := func(all []store.Notice) bool { return len(all) > 0 }
	stamp := e.put(e.a, ask("g", "i", "x"))
	f.until("a new name", pushed)
	f.forget()
	e.leave(e.a, "g", "i", stamp)
	f.until("the end of a name", pushed)
}

func afterClose(e *env) {
	stamp := e.put(e.a, ask("g", "i", "x"))
	s := e.b.Open("beta")
	stop := s.Watch("g", func(store.Notice) {})
	for range 2 {
		if err := s.Close(); err != nil {
			e.Errorf("Close: %v", err)
		}
	}
	ctx := context.Background()
	if r := s.Put(ctx, []store.Put{ask("g", "j", "x")}); !errors.Is(r[0].Err, store.ErrClosed) {
		e.Errorf("Put: %v", r[0].Err)
	}
	if _, err := s.Remove(ctx, store.Removal{ID: "i"}); !errors.Is(err, store.ErrClosed) {
		e.Errorf("Remove: %v", err)
	}
	if _, err := e.tryRead(s, "g", store.KnownState{}); !errors.Is(err, store.ErrClosed) {
		e.Errorf("Read: %v", err)
	}
	if e.h.Leases {
		r := s.Renew(ctx, []store.ServiceLeases{{Service: "g", TTL: ttl, Leases: []store.Lease{{ID: "i", RegisteredAt: stamp}}}})
		if !errors.Is(r[0].Err, store.ErrClosed) {
			e.Errorf("Renew: %v", r[0].Err)
		}
	}
	s.Watch("g", func(store.Notice) {})()
	stop()
}

func closeEndsNothing(e *env) {
	s := e.b.Open("beta")
	e.put(s, ask("g", "i", "x"))
	if err := s.Close(); err != nil {
		e.Error(err)
	}
	e.wantIDs("g", "i")
}
