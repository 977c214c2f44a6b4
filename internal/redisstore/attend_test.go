package redisstore

import (
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// A full server still lets watchers renew their leases: a drain that waits for them goes on waiting.
func TestAWatchersLeaseOutlastsAFullServer(t *testing.T) {
	r := newRig(t)
	attend := func(ttl time.Duration) error {
		return r.store.Attend(t.Context(), []store.Attendance{{Group: "g", TTL: ttl}})
	}
	if err := attend(rigTTL); err != nil {
		t.Fatal(err)
	}
	r.do("CONFIG", "SET", "maxmemory", "1")
	if err := attend(2 * rigTTL); err != nil {
		t.Errorf("the renewal was refused: %v", err)
	}
	if err := r.open("beta").Attend(t.Context(), []store.Attendance{{Group: "g", TTL: rigTTL}}); err == nil {
		t.Error("a full server took another watcher")
	}
	if n, _, err := r.store.Behind(t.Context(), "g", "1.alpha:1"); err != nil || n != 1 {
		t.Errorf("%d watchers are behind, %v", n, err)
	}
	for _, ttl := range []time.Duration{2 * rigTTL, rigTTL} { // a shorter lease does not shorten the key's life
		r.do("CONFIG", "SET", "maxmemory", "0")
		if err := attend(ttl); err != nil {
			t.Fatal(err)
		}
		if left := r.admin.PTTL(t.Context(), r.key("g", "w")).Val(); left < 2*rigTTL+9*time.Minute || left > 2*rigTTL+11*time.Minute {
			t.Errorf("the key lives for %v", left)
		}
	}
}

// Who has not taken a revision is known only as long as the service is remembered.
func TestBehindTellsOfAMemoryLoss(t *testing.T) {
	r := newRig(t)
	r.put(r.store, asked("g", "i", "x"))
	rev := r.read("g", "").Rev
	for _, want := range []bool{true, false} {
		if n, kept, err := r.store.Behind(t.Context(), "g", rev); err != nil || n != 0 || kept != want {
			t.Errorf("behind %d, kept %t, %v; want 0 and %t", n, kept, err, want)
		}
		r.do("FLUSHALL")
	}
}
