package redisstore

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/faultnet"
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

// A server that was demoted and ends its connections answers no read with what it
// holds: the request that is sent again has a write as well.
func TestReadsSentAgainProveThatTheServerIsNoReplica(t *testing.T) {
	for name, known := range map[string]func(rev string) store.KnownState{
		"nothing is known":   func(string) store.KnownState { return store.KnownState{} },
		"the state is known": func(rev string) store.KnownState { return store.KnownState{Rev: rev} },
		"it changed last time": func(rev string) store.KnownState {
			return store.KnownState{Rev: rev, Hints: store.ReadHints{ChangedLast: true}}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newHarness(t)
			r.put(r.store, putOf("g", "i", "1"))
			line := faultnet.New(t, r.server.Addr())
			client := mustDial(t, redisclient.Config{Addr: line.Addr()})
			s, err := Open(t.Context(), Config{Client: client, CloseClient: client.Close, Namespace: "test", Owner: "beta",
				HeartbeatInterval: testHeartbeat, Logger: slog.New(slog.DiscardHandler)})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = s.Close() })
			r.store = s
			rev := r.readFrom("g", store.KnownState{}).Rev
			r.do("REPLICAOF", "127.0.0.1", "1")
			r.store.writable.mu.Lock()
			r.store.writable.accepted = time.Time{} // as after a heartbeat interval
			r.store.writable.mu.Unlock()
			line.CutReplyAfter(0)
			if _, err := r.tryRead("g", known(rev)); err == nil || !strings.Contains(err.Error(), "READONLY") {
				t.Errorf("a replica was read: error %v, want READONLY", err)
			}
		})
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

// A replica may not have yet what its primary has: what it does not find is no proof
// that there is none.
func TestAReplicaDoesNotSayThatAnIDIsUnknown(t *testing.T) {
	generated, err := store.NewID()
	if err != nil {
		t.Fatal(err)
	}
	for what, id := range map[string]string{"chosen": "chosen", "generated": generated} {
		for name, call := range map[string]func(*Store, context.Context) error{
			"Remove": func(s *Store, ctx context.Context) error {
				_, err := s.Remove(ctx, store.Removal{ID: id})
				return err
			},
			"PatchOverlay": func(s *Store, ctx context.Context) error {
				_, err := s.PatchOverlay(ctx, store.OverlayPatch{ID: id, Set: map[string]string{"s": `"x"`}})
				return err
			},
			"PatchOverlay in a service": func(s *Store, ctx context.Context) error {
				_, err := s.PatchOverlay(ctx, store.OverlayPatch{Service: "none", ID: id, Set: map[string]string{"s": `"x"`}})
				return err
			},
		} {
			t.Run(name+" of a "+what+" ID", func(t *testing.T) {
				r := newHarness(t)
				r.put(r.store, putOf("g", "i", "1"))
				if err := call(r.store, t.Context()); err != nil {
					t.Fatalf("on a primary: %v", err)
				}
				r.do("REPLICAOF", "127.0.0.1", "1")
				if err := call(r.store, t.Context()); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "READONLY") {
					t.Errorf("on a replica: error %v, want ErrUnavailable with READONLY", err)
				}
			})
		}
	}
}
