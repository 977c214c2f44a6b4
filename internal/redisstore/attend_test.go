package redisstore

import (
	"errors"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// A full server still lets watchers renew their leases: a drain that waits for them goes on waiting.
func TestAWatchersLeaseOutlastsAFullServer(t *testing.T) {
	r := newRig(t)
	attend := func(ttl time.Duration) error {
		return r.store.Attend(t.Context(), []store.Attendance{{Group: "g", TTL: ttl}})[0].Err
	}
	if err := attend(rigTTL); err != nil {
		t.Fatal(err)
	}
	r.do("CONFIG", "SET", "maxmemory", "1")
	if err := attend(2 * rigTTL); err != nil {
		t.Errorf("the renewal was refused: %v", err)
	}
	err := r.open("beta").Attend(t.Context(), []store.Attendance{{Group: "g", TTL: rigTTL}})[0].Err
	if !errors.Is(err, store.ErrRefused) {
		t.Errorf("a full server answered another watcher with %v, want an error that matches %v", err, store.ErrRefused)
	}
	if w, err := r.store.Behind(t.Context(), "g", "i", "1.alpha:1"); err != nil || w.Behind != 1 {
		t.Errorf("the watchers are %+v, %v", w, err)
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
		if w, err := r.store.Behind(t.Context(), "g", "i", rev); err != nil || w.Behind != 0 || w.Kept != want {
			t.Errorf("%+v, %v; want none behind, kept: %t", w, err, want)
		}
		r.do("FLUSHALL")
	}
}
