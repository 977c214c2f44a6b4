package redisstore

import (
	"testing"

	"github.com/rollcall-sd/rollcall/internal/store"
)

func TestZZHint(t *testing.T) {
	r := newRig(t)
	b, c := r.open("beta"), r.open("gamma")
	first := r.put(r.store, asked("one", "i", "x"))[0].Stamp
	r.put(b, asked("two", "i", "x"))
	if _, err := r.store.Remove(t.Context(), store.Removal{Group: "one", ID: "i", Own: true, Stamp: first}); err != nil {
		t.Fatal(err)
	}
	r.put(c, asked("three", "i", "x"))
	if got := r.read("two", "").Records; len(got) != 0 {
		t.Errorf("stands in two as well: %+v", got[0])
	}
}

func TestZZHintSameGroup(t *testing.T) {
	r := newRig(t)
	b, c := r.open("beta"), r.open("gamma")
	first := r.put(r.store, asked("one", "i", "x"))[0].Stamp
	r.put(b, asked("one", "i", "x"))
	if _, err := r.store.Remove(t.Context(), store.Removal{Group: "one", ID: "i", Own: true, Stamp: first}); err != nil {
		t.Fatal(err)
	}
	r.put(c, asked("three", "i", "x"))
	if got := r.read("one", "").Records; len(got) != 0 {
		t.Errorf("stands in one as well: %+v", got[0])
	}
}

func TestZZExpiredNewer(t *testing.T) {
	r := newRig(t)
	// b's owner id sorts lower than the remover's, so that on equal stamps nobody is newer
	for _, owner := range []string{"aaa", "beta"} {
		b := r.open(owner)
		first := r.put(r.store, asked("g", "i"+owner, "x"))[0].Stamp
		second := r.put(b, asked("g", "i"+owner, "x"))[0].Stamp
		expire(t, r.admin, r.store.keys, "g", "i"+owner)
		if _, err := r.store.Remove(t.Context(), store.Removal{Group: "g", ID: "i" + owner, Own: true, Stamp: first}); err != nil {
			t.Fatal(err)
		}
		a := b.Renew(t.Context(), []store.GroupLeases{{Group: "g", TTL: rigTTL, Leases: []store.Lease{{ID: "i" + owner, Stamp: second}}}})[0]
		if a.Outcomes["i"+owner] != store.Lost {
			t.Errorf("%s: newer owner's renewal: %+v", owner, a)
		}
		p := asked("g", "i"+owner, "x")
		p.Heal, p.Stamp = true, second
		if got := r.put(b, p)[0]; got.Outcome != store.Done {
			t.Errorf("%s: newer owner's heal: %+v", owner, got)
		}
	}
}

func TestZZLeftover(t *testing.T) {
	r := newRig(t)
	r.put(r.store, asked("g", "i", "x"))
	r.do("DEL", r.key("g", "h"), r.key("g", "z"))
	r.do("SET", r.key("g", "z"), "foreign")
	res := r.store.Put(t.Context(), []store.Put{asked("new", "i", "x")})
	t.Log(res[0].Err)
	for _, key := range r.all() {
		if left := r.admin.PTTL(t.Context(), key).Val(); left <= 0 && key != r.key("g", "z") {
			t.Errorf("%s lives for %v", key, left)
		}
	}
}

func TestZZFromStale(t *testing.T) {
	r := newRig(t)
	r.put(r.store, asked("a", "i", "x"))
	p := asked("b", "i", "x")
	p.From = "a"
	r.put(r.store, p) // its reply was lost, say
	p = asked("c", "i", "x")
	p.From = "a"
	r.put(r.store, p)
	if got := r.read("b", "").Records; len(got) != 0 {
		t.Errorf("stands in b as well")
	}
}
