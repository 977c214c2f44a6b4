package redisstore

import (
	"errors"
	"testing"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/store"
)

// A call that finds nothing to write proves no right to write.
func TestCallsThatWriteNothingShowNoRight(t *testing.T) {
	r := newHarness(t, redistest.WithACLFile("user app on >secret ~rollcall:* &rollcall:* -@all +eval +evalsha "+
		"+hget +hmget +hgetall +zscore +zrange +zrangebyscore +zrevrangebyscore +time +subscribe +unsubscribe +ping"))
	r.put(r.store, putOf("g", "i", "1"))
	reader := openTest(t, redisclient.Config{Addr: r.server.Addr(), Username: "app", Password: "secret"}, "test", "beta")
	t.Cleanup(func() { _ = reader.Close() })
	for what, call := range map[string]func() error{
		"Remove": func() error {
			_, err := reader.Remove(t.Context(), store.Removal{ID: "chosen"})
			return err
		},
		"PatchOverlay in a service": func() error {
			_, err := reader.PatchOverlay(t.Context(), store.OverlayPatch{Service: "none", ID: "chosen", Set: map[string]string{"s": `"x"`}})
			return err
		},
		"Renew": func() error {
			return reader.Renew(t.Context(), []store.ServiceLeases{{Service: "none", TTL: testTTL, Leases: []store.Lease{{ID: "x", RegisteredAt: 1}}}})[0].Err
		},
	} {
		if err := call(); err != nil && !noPermission(err) {
			t.Errorf("%s: %v", what, err)
		}
		if !reader.writable.neverPermitted() {
			t.Errorf("after %s of what does not exist the user counts as one with the right to write", what)
		}
	}
}

// A first read that must prove an absence verifies that writes are accepted, also if
// nothing has expired.
func TestFirstReadThatProves(t *testing.T) {
	r := newHarness(t)
	r.put(r.store, putOf("g", "i", "1"))
	r.server.ConfigSet("min-replicas-to-write", "1")
	if got := r.readFrom("g", store.KnownState{}); got.WritesRefused != nil || len(got.Records) != 1 {
		t.Errorf("a read that proves nothing: %d records, refused %v", len(got.Records), got.WritesRefused)
	}
	if got := r.readFrom("g", store.KnownState{ProveAbsence: true}); !errors.Is(got.WritesRefused, store.ErrWritesRefused) {
		t.Errorf("a read that is to prove an absence says refused %v, want the server's word", got.WritesRefused)
	}
}
