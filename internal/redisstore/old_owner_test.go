package redisstore

import (
	"testing"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// deregister has an owner deregister what it holds since registeredAt.
func (r *harness) deregister(s *Store, service, id string, stamp int64) {
	r.Helper()
	if _, err := s.Remove(r.Context(), store.Removal{Service: service, ID: id, Own: true, RegisteredAt: stamp}); err != nil {
		r.Fatal(err)
	}
}

// When an owner deregisters after it was superseded, the index entry stays by which the
// newer owner's registration is found when it is replaced.
func TestASupersededOwnersRemovalKeepsTheIndexEntry(t *testing.T) {
	for _, later := range []string{"one", "two"} {
		t.Run(later, func(t *testing.T) {
			r := newHarness(t)
			stamp := r.put(r.store, putOf("one", "i", "x"))[0].RegisteredAt
			r.put(r.open("beta"), putOf(later, "i", "x"))
			r.deregister(r.store, "one", "i", stamp)
			r.put(r.open("gamma"), putOf("three", "i", "x"))
			if got := r.read(later, "").Records; len(got) != 0 {
				t.Errorf("after it was registered under another name it still stands as %+v", got[0])
			}
		})
	}
}

// A newer owner that was stalled past its TTL registers again, although the earlier
// one deregistered meanwhile.
func TestASupersededOwnersRemovalSparesAStalledOwner(t *testing.T) {
	for _, newer := range []string{"aaa", "zzz"} { // before and after "alpha"
		t.Run(newer, func(t *testing.T) {
			r := newHarness(t)
			b := r.open(newer)
			first := r.put(r.store, putOf("g", "i", "x"))[0].RegisteredAt
			second := r.put(b, putOf("g", "i", "y"))[0].RegisteredAt
			expire(t, r.admin, r.store.keys, "g", "i")
			r.deregister(r.store, "g", "i", first)
			renewal := b.Renew(t.Context(), []store.ServiceLeases{{Service: "g", TTL: testTTL, Leases: []store.Lease{{ID: "i", RegisteredAt: second}}}})[0]
			if renewal.Outcomes["i"] != store.Lost {
				t.Errorf("the newer owner's renewal: %+v, want Lost", renewal)
			}
			reregistration := putOf("g", "i", "y")
			reregistration.Reregister, reregistration.RegisteredAt = true, second
			if got := r.put(b, reregistration)[0]; got.Outcome != store.Done || got.RegisteredAt != second {
				t.Errorf("the newer owner's reregistration: %+v", got)
			}
		})
	}
}

// Of two concurrent calls that move an own ID, the second finds it where the first put it.
func TestAMoveFindsAnIDThatHasMovedSince(t *testing.T) {
	for _, id := range []string{"i", "00000000-0000-4000-8000-000000000000", generatedID(t)} {
		r := newHarness(t)
		r.put(r.store, putOf("one", id, "x"))
		for _, service := range []string{"two", "three"} {
			p := putOf(service, id, "x")
			p.Hints.PreviousService = "one"
			r.put(r.store, p)
		}
		if got := r.read("two", "").Records; len(got) != 0 {
			t.Errorf("%s stands under two names", id)
		}
	}
}

func generatedID(t *testing.T) string {
	t.Helper()
	id, err := store.NewID()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// A script that another program's data ends midway leaves no key without a time to live.
func TestAPutRefusedMidwayLeavesNoKeyForEver(t *testing.T) {
	r := newHarness(t)
	r.put(r.store, putOf("taken", "i", "x"))
	r.do("SET", r.recordKey("taken", "h"), "another program's")
	if got := r.store.Put(t.Context(), []store.Put{putOf("new", "i", "x")})[0]; got.Err == nil {
		t.Error("an ID was moved out of another program's data")
	}
	for _, key := range r.all() {
		if left := r.admin.PTTL(t.Context(), key).Val(); left <= 0 && key != r.recordKey("taken", "h") {
			t.Errorf("%s has no time to live", key)
		}
	}
	r.do("DEL", r.recordKey("taken", "z"))
	r.do("SET", r.recordKey("taken", "z"), "another program's")
	if got := r.store.Put(t.Context(), []store.Put{putOf("new", "i", "x")})[0]; got.Err != nil {
		t.Errorf("with an index entry that leads nowhere: %v", got.Err)
	}
}

// Of one owner's calls the later stands, also when it only renewed the record: a
// Deregister that was given up before it does not end it when it arrives late.
func TestALateRemovalSparesAnIdenticalRegistration(t *testing.T) {
	r := newHarness(t)
	stamp := r.put(r.store, putOf("g", "i", "x"))[0].RegisteredAt
	late := r.store.nextSeq()
	if got := r.put(r.store, putOf("g", "i", "x"))[0].RegisteredAt; got != stamp {
		t.Fatalf("an identical registration has registration time %d, want %d", got, stamp)
	}
	reply := r.call(removeScript, r.store.instanceKeys("g", "i"),
		r.store.cfg.Owner, late, "g", r.store.keys.prefix, "i", r.now()+1_000_000, "own", stamp)
	if text(reply, 2) != "none" || len(r.read("g", "").Records) != 1 {
		t.Errorf("the late removal answered %v and left %+v", reply, r.read("g", "").Records)
	}
}
