package redisstore

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// Concurrent removals of IDs without an index entry search the services together.
func TestManyUnknownIDsAreLookedForTogether(t *testing.T) {
	const services, calls = 1000, 4000
	r := newHarness(t)
	puts := make([]store.Put, services)
	for i := range puts {
		puts[i] = putOf(fmt.Sprint("g", i), fmt.Sprint("i", i), "x")
	}
	r.put(r.store, puts...)
	known := generatedID(t)
	r.put(r.store, putOf("g7", known, "x"))
	var failed atomic.Int64
	var last atomic.Value
	var wg sync.WaitGroup
	for i := range calls {
		wg.Go(func() {
			id := fmt.Sprint("unknown-", i)
			if i == calls/2 {
				id = known
			}
			removed, err := r.store.Remove(t.Context(), store.Removal{ID: id})
			if err != nil {
				failed.Add(1)
				last.Store(err)
			}
			if removed.Existed != (id == known) {
				t.Errorf("%s: %+v", id, removed)
			}
		})
	}
	wg.Wait()
	if n := failed.Load(); n > 0 {
		t.Errorf("%d of %d removals failed, for example: %v", n, calls, last.Load())
	}
	if got := r.read("g7", "").Records; len(got) != 1 {
		t.Errorf("%d records where the known one stood", len(got))
	}
}

// A lookup returns the service of a live registration rather than that of an ended one, in
// few services and in many.
func TestALookupPrefersALiveRegistration(t *testing.T) {
	for _, services := range []int{1, 200} {
		r := newHarness(t)
		live, expired, left := generatedID(t), generatedID(t), generatedID(t)
		for i := range services {
			r.put(r.store, putOf(fmt.Sprint("g", i), fmt.Sprint("i", i), "x"))
		}
		r.put(r.store, putOf("expired", live, "x"), putOf("expired", expired, "x"))
		expire(t, r.admin, r.store.keys, "expired", live, expired)
		r.put(r.store, putOf("live", live, "x"))
		r.deregister(r.store, "live", left, r.put(r.store, putOf("live", left, "x"))[0].RegisteredAt)
		want := map[string]string{live: "live", expired: "expired", left: "", "unknown": ""}
		var wg sync.WaitGroup
		for range 100 {
			for id, service := range want {
				wg.Go(func() {
					if got, err := r.store.lookUpID(t.Context(), id); err != nil || got != service {
						t.Errorf("%d services: %s is found in %q, %v; want %q", services, id, got, err, service)
					}
				})
			}
		}
		wg.Wait()
	}
}
