package storetest

import (
	"sync"
	"sync/atomic"

	"github.com/rollcall-sd/rollcall/internal/store"
)

var removeChecks = []check{
	{name: "Remove of an own record leaves a tombstone", run: removeOwn},
	{name: "Remove of any record needs its ID only", run: removeAny},
	{name: "Remove of a generated ID needs its ID only", run: removeGenerated},
	{name: "Remove of an unknown ID is a no-op", run: removeUnknown},
	{name: "Remove repeated is a no-op", run: removeAgain},
	{name: "Remove of one leaves the others", run: removeOne},
	{name: "Remove of what expired finds nothing", needs: leases, run: removeExpired},
	{name: "Remove by ID is final also of what expired", needs: leases | owners, run: removeExpiredAny},
	{name: "Remove is final also where nothing stood", needs: leases, run: removeLost},
	{name: "Remove by two at once ends it once", run: removeTwice},
	{name: "Remove by another owner", needs: owners, run: removeOther},
}

func removeOwn(e *env) {
	registeredAt := e.put(e.alpha, putOf("g", "i", "x"))
	if r := e.deregister(e.alpha, "g", "i", registeredAt); !r.Existed || r.Service != "g" {
		e.Errorf("answered with %+v", r)
	}
	e.wantIDs("g")
	e.wantEvidence("g", "i", store.ReasonDeregistered, registeredAt)
}

func removeAny(e *env) {
	registeredAt := e.put(e.alpha, putOf("g", "i", "x"))
	if r := e.remove(e.alpha, store.Removal{ID: "i"}); !r.Existed || r.Service != "g" {
		e.Errorf("answered with %+v", r)
	}
	e.wantIDs("g")
	e.wantEvidence("g", "i", store.ReasonDeregistered, registeredAt)
}

func removeGenerated(e *env) {
	p := putOf("g", uuid, "x")
	p.Hints.NewID = true
	e.put(e.alpha, p)
	e.put(e.alpha, putOf("other", "i", "x"))
	if r := e.remove(e.alpha, store.Removal{ID: uuid}); !r.Existed || r.Service != "g" {
		e.Errorf("answered with %+v", r)
	}
	e.wantIDs("g")
}

func removeUnknown(e *env) {
	if r := e.remove(e.alpha, store.Removal{ID: "i"}); r.Existed {
		e.Errorf("answered with %+v", r)
	}
	e.put(e.alpha, putOf("g", "i", "x"))
	before := e.full("g").Rev
	for _, id := range []string{"j", uuid} {
		if r := e.remove(e.alpha, store.Removal{ID: id}); r.Existed {
			e.Errorf("%s: answered with %+v", id, r)
		}
	}
	if after := e.full("g").Rev; after != before {
		e.Errorf("the revision went from %s to %s", before, after)
	}
}

func removeAgain(e *env) {
	registeredAt := e.put(e.alpha, putOf("g", "i", "x"))
	e.deregister(e.alpha, "g", "i", registeredAt)
	before := e.full("g").Rev
	if r := e.deregister(e.alpha, "g", "i", registeredAt); r.Existed {
		e.Errorf("by its owner: %+v", r)
	}
	if r := e.remove(e.alpha, store.Removal{ID: "i"}); r.Existed {
		e.Errorf("by its ID: %+v", r)
	}
	if after := e.full("g").Rev; after != before {
		e.Errorf("the revision went from %s to %s", before, after)
	}
}

func removeOne(e *env) {
	e.put(e.alpha, putOf("g", "before", "x"))
	registeredAt := e.put(e.alpha, putOf("g", "i", "x"))
	e.put(e.alpha, putOf("g", "after", "x"))
	e.put(e.alpha, putOf("h", "j", "x"))
	e.deregister(e.alpha, "g", "i", registeredAt)
	e.wantIDs("g", "after", "before")
	e.wantIDs("h", "j")
}

func removeExpired(e *env) {
	registeredAt := e.put(e.alpha, putOf("g", "i", "x"))
	e.put(e.alpha, putOf("g", "j", "x"))
	e.backend.Expire("g", "i", "j")
	if r := e.remove(e.alpha, store.Removal{ID: "j"}); r.Existed {
		e.Errorf("by its ID: %+v", r)
	}
	if r := e.deregister(e.alpha, "g", "i", registeredAt); r.Existed {
		e.Errorf("by its owner: %+v", r)
	}
	if r := e.try(e.alpha, reregister(putOf("g", "i", "x"), registeredAt)); r.Outcome != store.Deregistered {
		e.Errorf("and reregistered: %+v", r)
	}
}

// Its owner may only be stalled.
func removeExpiredAny(e *env) {
	operator := e.open("operator")
	for _, id := range []string{"chosen", uuid} {
		for how, prune := range map[string]bool{"as it expired": false, "and was pruned": true} {
			registeredAt := e.put(e.alpha, putOf("g", id, "x"))
			e.put(e.alpha, putOf("g", "other", "x"))
			e.backend.Expire("g", id)
			if prune {
				e.put(e.alpha, putOf("g", "other", "y"))
			}
			if r := e.remove(operator, store.Removal{ID: id}); r.Existed {
				e.Errorf("%s %s: answered with %+v", id, how, r)
			}
			if r := e.renew(e.alpha, "g", store.Lease{ID: id, RegisteredAt: registeredAt}); r.Outcomes[id] != store.Deregistered {
				e.Errorf("%s %s: the owner's renewal: %+v", id, how, r)
			}
			if r := e.try(e.alpha, reregister(putOf("g", id, "x"), registeredAt)); r.Outcome != store.Deregistered {
				e.Errorf("%s %s: the owner reregisters: %+v", id, how, r)
			}
			e.wantIDs("g", "other")
			e.wantEvidence("g", id, store.ReasonDeregistered, registeredAt)
		}
	}
}

func removeLost(e *env) {
	e.put(e.alpha, putOf("g", "other", "x"))
	registeredAt := e.full("g").Now - 1_000_000
	if r := e.deregister(e.alpha, "g", "i", registeredAt); r.Existed {
		e.Errorf("answered with %+v", r)
	}
	if r := e.try(e.alpha, reregister(putOf("g", "i", "x"), registeredAt)); r.Outcome != store.Deregistered {
		e.Errorf("reregistered after it was deregistered: %+v", r)
	}
}

func removeTwice(e *env) {
	for range 20 {
		e.put(e.alpha, putOf("g", "i", "x"))
		var existed atomic.Int32
		var wg sync.WaitGroup
		for range 2 {
			wg.Go(func() {
				r, err := e.alpha.Remove(e.Context(), store.Removal{ID: "i"})
				if err != nil {
					e.Error(err)
				}
				if r.Existed {
					existed.Add(1)
				}
			})
		}
		wg.Wait()
		if n := existed.Load(); n != 1 {
			e.Fatalf("it existed for %d of 2", n)
		}
	}
}

func removeOther(e *env) {
	b := e.open("beta")
	registeredAt := e.put(e.alpha, putOf("g", "i", "x"))
	if r := e.remove(b, store.Removal{ID: "i"}); !r.Existed || r.Service != "g" {
		e.Errorf("answered with %+v", r)
	}
	e.wantIDs("g")
	e.wantEvidence("g", "i", store.ReasonDeregistered, registeredAt)
	if again := e.put(e.alpha, putOf("g", "i", "x")); again <= registeredAt {
		e.Errorf("registered again with registration time %d after %d", again, registeredAt)
	}
}
