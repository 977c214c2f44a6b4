package redisstore

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/shardproxy"
	"github.com/rollcall-sd/rollcall/internal/store"
	"github.com/rollcall-sd/rollcall/internal/waittest"
)

func TestOpenFindsAShardProxy(t *testing.T) {
	server := redistest.Start(t, redistest.WithShardProxy())
	s := openTest(t, redisclient.Config{Addr: server.Addr()}, "test", "alpha")
	defer closeTest(t, s)
	if !s.oneSlot() {
		t.Error("behind a proxy, a script has keys of several slots")
	}
	if got := server.ShardProxy().Refused(); got["CROSSSLOT"] != 1 || len(got) != 1 {
		t.Errorf("the proxy refused %v, want one CROSSSLOT", got)
	}
	alone := newHarness(t)
	if alone.store.oneSlot() {
		t.Error("on one server, scripts have keys of one slot only")
	}
	if keys := alone.all(); len(keys) != 0 {
		t.Errorf("opening left the keys %q", keys)
	}
}

func TestKeysOfTheTwoSlotScriptAreFirstAndLast(t *testing.T) {
	for _, namespace := range []string{"default", "", "prod:{a}", "%"} {
		keys := newKeyspace(namespace).inTwoSlots()
		if a, b := shardproxy.Slot(keys[0]), shardproxy.Slot(keys[1]); a != 0 || b != 16383 {
			t.Errorf("%q: slots %d and %d, want 0 and 16383", keys, a, b)
		}
	}
}

func TestWordsOfRefusal(t *testing.T) {
	for _, text := range []string{
		"CROSSSLOT Keys in request don't hash to the same slot",
		"CROSSSLOT Keys in request don't hash to the same slot (context='', command='evalsha', original-slot='15058', wrong-slot='8436', first-key='a', violating-key='b')",
		"ERR CROSSSLOT Keys in request don't hash to the same slot",
		"ERR eval/evalsha command keys must be in same slot",
		"ERR 'EVAL' command keys must in same slot",
		"ERR Script attempted to access keys that do not hash to the same slot script: 1",
		"ERR Script attempted to access a non local key in a cluster node script: 1",
		"ERR Error running script: script tried accessing undeclared key",
	} {
		if !refusesTwoSlots(unavailable(serverError(text))) {
			t.Errorf("%q is not understood", text)
		}
	}
	for _, err := range []error{nil, errors.New("CROSSSLOT of no server"), serverError("MOVED 1 127.0.0.1:1"), serverError("NOPERM this user has no permissions"),
		serverError("CLUSTERDOWN Hash slot not served")} {
		if refusesTwoSlots(err) {
			t.Errorf("%v counts as a refusal of two slots", err)
		}
	}
}

// The address leads to a sharded server while the process runs: each kind of call finds
// that out by itself, and takes effect.
func TestACallFindsThatScriptsMustUseOneSlotNow(t *testing.T) {
	calls := map[string]func(r *harness, s *Store) error{
		"register": func(r *harness, s *Store) error {
			puts := []store.Put{putOf("web", "new", "1"), putOf("db", "other", "1")}
			for _, result := range s.Put(r.Context(), puts) {
				if result.Err != nil || result.Outcome != store.Done {
					return fmt.Errorf("%+v", result)
				}
			}
			return nil
		},
		"renew": func(r *harness, s *Store) error {
			answer := s.Renew(r.Context(), []store.ServiceLeases{{Service: "web", TTL: testTTL, Leases: []store.Lease{{ID: "a"}}}})[0]
			return answer.Err
		},
		"deregister by ID": func(r *harness, s *Store) error {
			removed, err := s.Remove(r.Context(), store.Removal{ID: "a"})
			if err == nil && !removed.Existed {
				err = errors.New("nothing was removed")
			}
			return err
		},
		"set a status": func(r *harness, s *Store) error {
			result, err := s.PatchOverlay(r.Context(), store.OverlayPatch{ID: "a", Set: map[string]string{"health": `"warning"`}})
			if err == nil && !result.Existed {
				err = errors.New("there is no such instance")
			}
			return err
		},
		"read": func(r *harness, s *Store) error {
			reading := readTest(r.T, s, "none")
			if len(reading.Records) != 0 {
				return fmt.Errorf("%d records", len(reading.Records))
			}
			return nil
		},
	}
	for name, call := range calls {
		t.Run(name, func(t *testing.T) {
			r := newHarness(t, redistest.WithShardProxy())
			proxy := r.server.ShardProxy()
			proxy.SetLenient(true)
			s := r.open("beta")
			if s.oneSlot() {
				t.Fatal("the proxy was not lenient")
			}
			r.put(s, putOf("web", "a", "1"))
			proxy.SetLenient(false)
			if err := call(r, s); err != nil {
				t.Error(err)
			}
			if !s.oneSlot() {
				t.Error("the store still uses several slots per script")
			}
			if reading := readTest(t, s, store.Catalog); len(reading.Records) == 0 && name != "deregister by ID" {
				t.Error("the catalog is empty")
			}
		})
	}
}

// A caller's own client is used like the library's.
func TestOpenFindsAShardProxyThroughACallersClient(t *testing.T) {
	server := redistest.Start(t, redistest.WithShardProxy())
	client := redis.NewClient(&redis.Options{Addr: server.Addr(),
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}})
	defer client.Close()
	s, err := Open(t.Context(), Config{Client: client, Namespace: "test", Owner: "alpha", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer closeTest(t, s)
	if result := s.Put(t.Context(), []store.Put{putOf("web", "a", "1")})[0]; result.Err != nil || result.Outcome != store.Done {
		t.Errorf("%+v", result)
	}
	if reading := readTest(t, s, "web"); !s.oneSlot() || len(reading.Records) != 1 {
		t.Errorf("one slot: %v, records: %d", s.oneSlot(), len(reading.Records))
	}
}

func TestAServerThatMovedIsAskedForItsSlots(t *testing.T) {
	r := newHarness(t, redistest.WithShardProxy())
	r.server.ShardProxy().SetLenient(true)
	s := r.open("beta")
	s.checkSlotMode(t.Context())
	if s.oneSlot() {
		t.Error("a server without shards has one slot per script")
	}
	r.server.ShardProxy().SetLenient(false)
	s.checkSlotMode(t.Context())
	if !s.oneSlot() {
		t.Error("a server with shards has several slots per script")
	}
}

// One process reaches the server itself, and another through the proxy: each sees, moves
// and ends what the other registered.
func TestBothWaysUseTheSameKeysAndRecords(t *testing.T) {
	r := newHarness(t, redistest.WithShardProxy())
	through := r.store
	direct := openTest(t, redisclient.Config{Addr: r.admin.Options().Addr}, "test", "beta")
	defer closeTest(t, direct)
	if !through.oneSlot() || direct.oneSlot() {
		t.Fatalf("one slot through the proxy: %v, directly: %v", through.oneSlot(), direct.oneSlot())
	}
	ways := []*Store{direct, through}
	for i, s := range ways {
		other, id := ways[1-i], fmt.Sprint("id", i)
		first := r.put(s, putOf("web", id, "1"))[0]
		r.put(other, putOf("db", id, "2"))
		for _, reader := range ways {
			if n := len(readTest(t, reader, "web").Records); n != 0 {
				t.Errorf("way %d: web has %d instances after the ID moved", i, n)
			}
			if n := len(readTest(t, reader, "db").Records); n != 1 {
				t.Errorf("way %d: db has %d instances after the ID moved there", i, n)
			}
			// With one slot per script, the call that moved an ID does not wait until the
			// catalog lacks the name that it left.
			names := readTest(t, reader, store.Catalog).Records
			for giveUp := time.Now().Add(waittest.Limit); len(names) > 1 && time.Now().Before(giveUp); {
				names = readTest(t, reader, store.Catalog).Records
			}
			if len(names) != 1 || names[0].ID != "db" {
				t.Errorf("way %d: the catalog has %d names, want only db", i, len(names))
			}
		}
		leases := []store.ServiceLeases{{Service: "web", TTL: testTTL, Leases: []store.Lease{{ID: id, RegisteredAt: first.RegisteredAt}}}}
		if got := s.Renew(r.Context(), leases)[0]; got.Err != nil || got.Outcomes[id] != store.Superseded {
			t.Errorf("way %d: the earlier owner's renewal: %+v", i, got)
		}
		if removed, err := s.Remove(r.Context(), store.Removal{ID: id}); err != nil || !removed.Existed {
			t.Errorf("way %d: deregistered by ID: %+v, %v", i, removed, err)
		}
		if n := len(readTest(t, other, "db").Records); n != 0 {
			t.Errorf("way %d: db has %d instances after all were deregistered", i, n)
		}
	}
}
