package redisstore

import (
	"errors"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// A server out of memory still lets watchers renew their leases, so a drain continues to
// wait for them.
func TestAWatchersLeaseOutlastsAFullServer(t *testing.T) {
	r := newHarness(t)
	renew := func(ttl time.Duration) error {
		return r.store.RenewWatcherLeases(t.Context(), []store.WatcherLease{{Service: "g", TTL: ttl}})[0].Err
	}
	if err := renew(testTTL); err != nil {
		t.Fatal(err)
	}
	r.do("CONFIG", "SET", "maxmemory", "1")
	if err := renew(2 * testTTL); err != nil {
		t.Errorf("the renewal was refused: %v", err)
	}
	err := r.open("beta").RenewWatcherLeases(t.Context(), []store.WatcherLease{{Service: "g", TTL: testTTL}})[0].Err
	if !errors.Is(err, store.ErrWritesRefused) {
		t.Errorf("a full server answered another watcher with %v, want an error that matches %v", err, store.ErrWritesRefused)
	}
	if w, err := r.store.LaggingWatchers(t.Context(), "g", "i", "1.alpha:1"); err != nil || w.Lagging != 1 {
		t.Errorf("the watchers are %+v, %v", w, err)
	}
	for _, ttl := range []time.Duration{2 * testTTL, testTTL} { // a shorter lease does not shorten the key's life
		r.do("CONFIG", "SET", "maxmemory", "0")
		if err := renew(ttl); err != nil {
			t.Fatal(err)
		}
		if left := r.admin.PTTL(t.Context(), r.recordKey("g", "w")).Val(); left < 2*testTTL+9*time.Minute || left > 2*testTTL+11*time.Minute {
			t.Errorf("the key lives for %v", left)
		}
	}
}

// Which processes lag is known only while Redis keeps its memory of the service.
func TestLaggingWatchersReportsALostMemory(t *testing.T) {
	r := newHarness(t)
	r.put(r.store, putOf("g", "i", "x"))
	rev := r.read("g", "").Rev
	for _, want := range []bool{true, false} {
		if w, err := r.store.LaggingWatchers(t.Context(), "g", "i", rev); err != nil || w.Lagging != 0 || w.RemembersRev != want {
			t.Errorf("%+v, %v; want none behind, kept: %t", w, err, want)
		}
		r.do("FLUSHALL")
	}
}

// A call that was not answered and arrives after a later one changes nothing.
func TestALateLeaseCallUndoesNoLaterOne(t *testing.T) {
	for _, late := range []time.Duration{0, testTTL} {
		r := newHarness(t)
		watching := testTTL - late // what the later call says is the opposite of the late one
		call := func(ttl time.Duration, number, unsure int) {
			t.Helper()
			err := watcherLeaseScript.run(t, r, r.recordKey("g", "w"), r.store.cfg.Owner, ttl.Milliseconds(), "0", int64(1)<<52, number, unsure)
			if err != nil {
				t.Fatal(err)
			}
		}
		leased := func() bool { return r.admin.HExists(t.Context(), r.recordKey("g", "w"), r.store.cfg.Owner).Val() }
		call(watching, 2, 1)
		call(late, 1, 0)
		if want := watching > 0; leased() != want {
			t.Errorf("after a late call of %v there is a lease: %t, want %t", late, !want, want)
		}
		call(0, 3, 0) // once none is under way
		if left := r.admin.HGetAll(t.Context(), r.recordKey("g", "w")).Val(); len(left) > 0 {
			t.Errorf("%v is left", left)
		}
	}
}

// run calls a script at once.
func (s *script) run(t *testing.T, r *harness, key string, args ...any) error {
	return r.admin.Eval(t.Context(), s.text, []string{key}, args...).Err()
}

// A drain learns that a service was lost and registered again.
func TestLaggingWatchersReportsANewMemory(t *testing.T) {
	r := newHarness(t)
	stamp := r.put(r.store, putOf("g", "i", "x"))
	before, err := r.store.LaggingWatchers(t.Context(), "g", "i", r.read("g", "").Rev)
	if err != nil || before.MemoryLostAgo >= 0 || before.MemoryID == "" || !before.RemembersRev {
		t.Fatalf("at first: %+v, %v", before, err)
	}
	rev := r.read("g", "").Rev
	r.do("FLUSHALL")
	p := putOf("g", "i", "x")
	p.Reregister, p.RegisteredAt = true, stamp[0].RegisteredAt
	r.put(r.store, p)
	after, err := r.store.LaggingWatchers(t.Context(), "g", "i", rev)
	if err != nil || after.MemoryLostAgo < 0 || after.MemoryID == before.MemoryID {
		t.Errorf("after a loss and a re-registration: %+v, %v; before: %+v", after, err, before)
	}
}
