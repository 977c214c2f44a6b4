package storetest

import (
	"fmt"
	"sync"

	"github.com/rollcall-sd/rollcall/internal/store"
)

var ownerChecks = []check{
	{name: "The newest owner wins", needs: owners | leases, run: newestWins},
	{name: "The earlier owner never takes it back, even after the later one's end", needs: owners | leases, run: neverBack},
	{name: "The earlier owner may register again", needs: owners | leases, run: earlierRegistersAgain},
	{name: "A move by another owner supersedes", needs: owners | leases, run: moveSupersedes},
	{name: "Another owner starts with its own overlay", needs: owners, run: ownOverlay},
	{name: "Another owner's newer record stays when the earlier one deregisters", needs: owners, run: newerStays},
	{name: "No owner is superseded by itself", needs: leases, run: notByItself},
	{name: "Of two owners at once exactly one stands", needs: owners | leases, run: twoAtOnce},
	{name: "After a loss of memory the newer of two reregistering owners stands", needs: owners | leases, run: twoReregister},
}

func newestWins(e *env) {
	b := e.open("beta")
	first := e.put(e.alpha, putOf("g", "i", "a"))
	second := e.put(b, putOf("g", "i", "a"))
	if second <= first {
		e.Errorf("registration times %d and %d", first, second)
	}
	if rec := e.record("g", "i"); rec.Owner != "beta" || rec.RegisteredAt != second {
		e.Errorf("it reads as %+v", rec)
	}
	if r := e.renew(e.alpha, "g", store.Lease{ID: "i", RegisteredAt: first}); r.Outcomes["i"] != store.Superseded {
		e.Errorf("the earlier's renewal: %+v", r)
	}
	if r := e.try(e.alpha, reregister(putOf("g", "i", "a"), first)); r.Outcome != store.Superseded {
		e.Errorf("the earlier owner's reregistration: %+v", r)
	}
	if r := e.renew(b, "g", store.Lease{ID: "i", RegisteredAt: second}); len(r.Outcomes) != 0 {
		e.Errorf("the later's renewal: %+v", r)
	}
}

func neverBack(e *env) {
	b := e.open("beta")
	for id, end := range map[string]func(string, int64){
		"died": func(id string, _ int64) { e.backend.Expire("g", id) },
		"left": func(id string, registeredAt int64) { e.deregister(b, "g", id, registeredAt) },
	} {
		first := e.put(e.alpha, putOf("g", id, "a"))
		end(id, e.put(b, putOf("g", id, "b")))
		if r := e.renew(e.alpha, "g", store.Lease{ID: id, RegisteredAt: first}); r.Outcomes[id] != store.Superseded {
			e.Errorf("%s: the earlier's renewal: %+v", id, r)
		}
		if r := e.try(e.alpha, reregister(putOf("g", id, "a"), first)); r.Outcome != store.Superseded {
			e.Errorf("%s: the earlier owner's reregistration: %+v", id, r)
		}
	}
	e.wantIDs("g")
}

func earlierRegistersAgain(e *env) {
	b := e.open("beta")
	e.put(e.alpha, putOf("g", "i", "a"))
	second := e.put(b, putOf("g", "i", "b"))
	third := e.put(e.alpha, putOf("g", "i", "a"))
	if third <= second {
		e.Errorf("registration times %d and %d", second, third)
	}
	if r := e.renew(b, "g", store.Lease{ID: "i", RegisteredAt: second}); r.Outcomes["i"] != store.Superseded {
		e.Errorf("the later's renewal: %+v", r)
	}
	if rec := e.record("g", "i"); rec.Owner != "alpha" || rec.RegisteredAt != third {
		e.Errorf("it reads as %+v", rec)
	}
}

func moveSupersedes(e *env) {
	b := e.open("beta")
	first := e.put(e.alpha, putOf("old", "i", "a"))
	second := e.put(b, putOf("new", "i", "b"))
	e.wantIDs("old")
	e.wantIDs("new", "i")
	if second <= first {
		e.Errorf("registration times %d and %d", first, second)
	}
	if r := e.renew(e.alpha, "old", store.Lease{ID: "i", RegisteredAt: first}); r.Outcomes["i"] != store.Superseded {
		e.Errorf("the earlier's renewal: %+v", r)
	}
	if r := e.try(e.alpha, reregister(putOf("old", "i", "a"), first)); r.Outcome != store.Superseded {
		e.Errorf("the earlier owner's reregistration: %+v", r)
	}
	e.wantIDs("old")
}

func ownOverlay(e *env) {
	b := e.open("beta")
	p := putOf("g", "i", "a")
	p.Overlay = []byte(`{"o":"alpha"}`)
	e.put(e.alpha, p)
	if r := e.try(b, putOf("g", "i", "a")); len(r.Overlay) != 0 {
		e.Errorf("answered with the overlay %q", r.Overlay)
	}
	q := putOf("g", "i", "c")
	q.Overlay = []byte(`{"o":"gamma"}`)
	if r := e.try(e.open("gamma"), q); string(r.Overlay) != `{"o":"gamma"}` {
		e.Errorf("answered with the overlay %q", r.Overlay)
	}
}

func newerStays(e *env) {
	b := e.open("beta")
	first := e.put(e.alpha, putOf("g", "i", "a"))
	e.put(b, putOf("g", "i", "b"))
	if r := e.deregister(e.alpha, "g", "i", first); r.Existed {
		e.Errorf("the earlier ended something: %+v", r)
	}
	if rec := e.record("g", "i"); rec == nil || rec.Owner != "beta" {
		e.Errorf("it reads as %+v", rec)
	}
}

func notByItself(e *env) {
	first := e.put(e.alpha, putOf("g", "i", "x"))
	second := e.put(e.alpha, putOf("g", "i", "y"))
	// The reply of the second may have been lost, so that the owner knows the first only.
	if r := e.renew(e.alpha, "g", store.Lease{ID: "i", RegisteredAt: first}); r.Outcomes["i"] != store.Lost {
		e.Errorf("renewal of the earlier registration: %+v, want Lost", r)
	}
	if r := e.try(e.alpha, reregister(putOf("g", "i", "x"), first)); r.Outcome != store.Done {
		e.Errorf("reregistration of the earlier registration: %+v", r)
	}
	if second <= first {
		e.Errorf("registration times %d and %d", first, second)
	}
}

func twoAtOnce(e *env) {
	b := e.open("beta")
	for round := range 30 {
		id := fmt.Sprint("i", round)
		var times [2]int64
		var wg sync.WaitGroup
		for i, s := range []store.Store{e.alpha, b} {
			wg.Go(func() { times[i] = s.Put(e.Context(), []store.Put{putOf("g", id, "x")})[0].RegisteredAt })
		}
		wg.Wait()
		if times[0] == times[1] {
			e.Fatalf("both have registration time %d", times[0])
		}
		superseded := 0
		for i, s := range []store.Store{e.alpha, b} {
			if r := e.renew(s, "g", store.Lease{ID: id, RegisteredAt: times[i]}); r.Outcomes[id] == store.Superseded {
				superseded++
			} else if len(r.Outcomes) != 0 || times[i] < times[1-i] {
				e.Errorf("the owner of registration time %d of %v: %+v", times[i], times, r)
			}
		}
		if superseded != 1 {
			e.Errorf("%d of 2 owners are superseded", superseded)
		}
	}
}

func twoReregister(e *env) {
	b := e.open("beta")
	e.put(e.alpha, putOf("g", "other", "x"))
	base := e.full("g").Now - 60_000_000
	for id, order := range map[string][2]store.Store{"newer first": {b, e.alpha}, "newer last": {e.alpha, b}} {
		times := map[store.Store]int64{e.alpha: base, b: base + 1}
		for _, s := range order {
			e.try(s, reregister(putOf("g", id, "x"), times[s]))
		}
		if rec := e.record("g", id); rec == nil || rec.Owner != "beta" {
			e.Errorf("%s: it reads as %+v", id, rec)
		}
		if r := e.try(e.alpha, reregister(putOf("g", id, "x"), base)); r.Outcome != store.Superseded {
			e.Errorf("%s: the older reregisters: %+v", id, r)
		}
	}
}
