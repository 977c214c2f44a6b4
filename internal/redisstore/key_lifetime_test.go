package redisstore

import (
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// After every kind of write by any owner, the keys live longer than the
// longest lease and the last tombstone in them.
func TestKeysOutliveWhatIsInThem(t *testing.T) {
	const day = 24 * time.Hour
	r := newHarness(t)
	b := r.open("beta")
	long := putOf("g", "long", "x")
	long.TTL = day
	stamp := r.put(r.store, long)[0].RegisteredAt
	check := func(after string, least time.Duration) {
		t.Helper()
		for _, which := range []string{"h", "z"} {
			if left := r.admin.PTTL(t.Context(), r.recordKey("g", which)).Val(); left < least+10*time.Minute-time.Minute {
				t.Errorf("after %s, the key %q lives for %v, want over %v", after, which, left, least+10*time.Minute)
			}
		}
	}
	check("the first registration", day)
	if _, err := b.PatchOverlay(t.Context(), store.OverlayPatch{Service: "g", ID: "long", Set: map[string]string{"a": "1"}}); err != nil {
		t.Fatal(err)
	}
	check("a patch", day)
	r.put(b, putOf("g", "short", "x"))
	check("a short lease", day)
	r.store.collect("g") // travels before the renewal
	renewal := r.store.Renew(t.Context(), []store.ServiceLeases{{Service: "g", TTL: day, Leases: []store.Lease{{ID: "long", RegisteredAt: stamp}}}})[0]
	if renewal.Err != nil || len(renewal.Outcomes) > 0 {
		t.Fatalf("the renewal: %+v", renewal)
	}
	check("a tidying and a renewal", day)
	if _, err := b.Remove(t.Context(), store.Removal{ID: "short"}); err != nil {
		t.Fatal(err)
	}
	check("a removal", day)
	// Without the field life, the time to live is computed again.
	r.do("HDEL", r.recordKey("g", "h"), "life")
	r.do("PEXPIRE", r.recordKey("g", "h"), 60_000)
	r.put(b, putOf("g", "short", "x"))
	check("a put without the field life", day)
}

// An expiry that a call finds is not an effect of the call: sent again, it runs.
func TestACallThatFoundAnExpiryHasNotRunForThat(t *testing.T) {
	r := newHarness(t)
	r.put(r.store, putOf("g", "i", "x"), putOf("g", "j", "x"))
	keys := []string{r.recordKey("g", "h"), r.recordKey("g", "z"), r.store.keys.catalog, r.store.keys.idIndex("i"), r.store.keys.idIndex("k")}
	prefix := r.store.keys.prefix
	past, soon := micros(r.now()-1), micros(r.now()+time.Hour.Microseconds())
	record := func(seq int, id, deadline string) []any {
		return []any{seq, id, "n", 0, 30000, 10000, "x", "", "", deadline, "?"}
	}
	put := func(records ...[]any) []any {
		args := []any{"beta", "g", prefix, len(records)}
		for _, record := range records {
			args = append(args, record...)
		}
		return r.call(putScript, keys[:3+len(records)], args...)
	}
	expire(t, r.admin, r.store.keys, "g", "i")
	if reply := put(record(7, "i", past), record(8, "k", soon)); text(reply, 2) != "late" || text(reply, 5) != "ok" {
		t.Fatalf("a late one and one in time: %v", reply)
	}
	if reply := put(record(7, "i", soon)); text(reply, 2) != "ok" {
		t.Fatalf("sent again: %v", reply)
	}
	if got := r.read("g", "").Records; len(got) != 3 {
		t.Errorf("%d of 3 are registered", len(got))
	}

	patch := func() []any {
		return r.call(patchOverlayScript, keys[:4], "operator", 4, "g", prefix, "i", soon, "s", "operator", "", "a", "1")
	}
	expire(t, r.admin, r.store.keys, "g", "i")
	if reply := patch(); text(reply, 2) != "none" {
		t.Fatalf("a patch of what has expired: %v", reply)
	}
	r.put(r.store, putOf("g", "i", "y"))
	if reply := patch(); text(reply, 2) != "ok" || text(reply, 4) != `{"a":1}` {
		t.Errorf("sent again when it is back: %v", reply)
	}
}

// Out of memory, nothing is registered, and a service that lost one key keeps the other.
func TestAFullServerRefusesWhereOneKeyIsMissing(t *testing.T) {
	for _, which := range []string{"h", "z"} {
		r := newHarness(t)
		r.put(r.store, putOf("g", "i", "x"))
		r.do("DEL", r.recordKey("g", which))
		before := r.all()
		r.do("CONFIG", "SET", "maxmemory", "1")
		if got := r.store.Put(t.Context(), []store.Put{putOf("g", "j", "x")})[0]; got.Err == nil {
			t.Errorf("without %q it was registered: %+v", which, got)
		}
		r.do("CONFIG", "SET", "maxmemory", "0")
		if after := r.all(); len(after) != len(before) {
			t.Errorf("without %q the keys were %q and are %q", which, before, after)
		}
	}
}
