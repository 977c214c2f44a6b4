package faults

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// Redis is out of memory under noeviction for longer than the TTL.
//
// Promise 1, kept alive: heartbeats pass, Register is refused with an error that
// says why; Deregister and reads work. Afterwards all is as before.
func TestOutOfMemory(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	admin := server.Client(t)
	owner, reader := openShort(t, server), openShort(t, server)
	register(t, owner, "web", "a1", "a2", "leaves")
	all := present(t, reader, "web")
	seen := watch(t, reader, "web")
	seen.await(t, time.Now(), backBy, "the start", is(all))
	began := time.Now()

	server.ConfigSet("maxmemory", "1mb")
	if err := admin.Set(t.Context(), "x", strings.Repeat("x", 1<<20), 0).Err(); !redis.HasErrorPrefix(err, "OOM") {
		t.Fatalf("the server is not out of memory: %v", err)
	}
	full := time.Now()
	for n := 0; time.Since(full) < 2*shortTTL; n++ {
		err := owner.Register(t.Context(), service("web", fmt.Sprint("n", n)))
		if !errors.Is(err, registry.ErrUnavailable) || !strings.Contains(err.Error(), "OOM") || !strings.Contains(err.Error(), "maxmemory") {
			t.Fatalf("register on a server out of memory: %v", err)
		}
		must(t, retryStalled(t, shortHeartbeat, discoversExactly(reader, "web", all)))
		pause(t, 50*time.Millisecond, "between looks")
	}
	for _, s := range seen.since(began) {
		if !is(all)(s.State) {
			t.Fatalf("the watch noticed:\n%s", seen.describe(began))
		}
	}
	if err := owner.Deregister(t.Context(), "leaves"); err != nil {
		t.Fatalf("deregister on a server out of memory: %v", err)
	}
	want := without(all, "leaves")
	figure(t, "out of memory: deregistration seen", seen.await(t, time.Now(), backBy, "a deregistration", is(want)))

	server.ConfigSet("maxmemory", "0")
	freed := time.Now()
	register(t, owner, "web", "late")
	figure(t, "out of memory: register works again", time.Since(freed))
	seen.await(t, freed, backBy, "a registration", with("a1", "a2", "late"))
	seen.requireKept(t, began, "a1", "a2")
}

// Redis loses everything while it is out of memory, and gets memory again.
//
// Promise 3, comes back; promise 7, no false empty.
func TestFlushedAndOutOfMemory(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	owner, reader := openShort(t, server), openShort(t, server)
	register(t, owner, "web", "a1", "a2")
	want := present(t, reader, "web")
	seen := watch(t, reader, "web")
	seen.await(t, time.Now(), backBy, "the start", is(want))
	server.ConfigSet("maxmemory", "1")
	flush(t, server)
	flushed := time.Now()
	seen.await(t, flushed, backBy, "staleness", isStale)
	pause(t, time.Until(flushed.Add(retainedFor-500*time.Millisecond)), "the limit ends shortly before the grace period does")
	server.ConfigSet("maxmemory", "0")
	freed := time.Now()
	figure(t, "flushed and out of memory: back", within(t, freed, backBy, "all in Discover", discoversExactly(reader, "web", want)))
	seen.await(t, freed, backBy, "a current state", is(want))
}

// One of a service's two keys is evicted. The test deletes it itself, to choose
// which.
//
// Promise 3, comes back: same ID, same RegisteredAt; promise 7, no false empty;
// promise 11: half a service is never shown as the whole.
func TestAtomicThoughOneKeyOfTwoIsEvicted(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"h", "z"} {
		t.Run(key, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			admin := server.Client(t)
			owner, other, reader := openShort(t, server), openShort(t, server), openShort(t, server)
			register(t, owner, "web", "a1", "a2")
			register(t, other, "web", "b1")
			want := present(t, reader, "web")
			seen := watch(t, reader, "web")
			seen.await(t, time.Now(), backBy, "the start", is(want))
			began := time.Now()
			for range 3 {
				keys, err := admin.Keys(t.Context(), "*{web}:"+key).Result()
				if err != nil || len(keys) != 1 {
					t.Fatalf("keys: %q, %v", keys, err)
				}
				if n, err := admin.Unlink(t.Context(), keys[0]).Result(); err != nil || n != 1 {
					t.Fatalf("evicting %s: %d, %v", keys[0], n, err)
				}
				at := time.Now()
				fresh := openShort(t, server) // one that knows nothing yet
				figure(t, "one key evicted: back", within(t, at, backBy, "all in a new reader's Discover", discoversExactly(fresh, "web", want)))
				within(t, at, backBy, "all in Discover", discoversExactly(reader, "web", want))
				seen.await(t, at, 2*backBy, "a current state", is(want))
			}
			seen.requireKept(t, began, "a1", "a2", "b1")
		})
	}
}

// A server with the policy volatile-ttl evicts what expires soon, which is all that
// the registry stores. A warning about the policy is logged at the start.
//
// Promise 3, comes back; promise 7, no false empty; promise 12: any policy but
// noeviction is logged at the start.
func TestEviction(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.WithMaxMemory(64<<20, "volatile-ttl"))
	admin := server.Client(t)
	var said logs
	owner := openShort(t, server, func(cfg *registry.RedisRegistryConfig) { cfg.Logger = said.logger() })
	if got := said.lines("level=WARN", "maxmemory-policy", "volatile-ttl", "noeviction"); len(got) != 1 {
		t.Fatalf("warnings of the policy: %q", got)
	}
	reader := openShort(t, server)
	register(t, owner, "web", "a1", "a2")
	want := present(t, reader, "web")
	seen := watch(t, reader, "web")
	seen.await(t, time.Now(), backBy, "the start", is(want))
	began := time.Now()
	for range 3 {
		evicted := evictions(t, admin)
		server.ConfigSet("maxmemory", "1") // evicts all that has a time to live
		server.ConfigSet("maxmemory", strconv.Itoa(64<<20))
		at := time.Now()
		if evictions(t, admin) == evicted {
			t.Fatal("nothing was evicted")
		}
		figure(t, "evicted: back", within(t, at, backBy, "all in Discover", discoversExactly(reader, "web", want)))
		seen.await(t, at, 2*backBy, "a current state", is(want))
	}
	seen.requireKept(t, began, "a1", "a2")
}

// No warning is logged under noeviction, or if the policy cannot be read.
func TestNoWarningOfNoeviction(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.WithMaxMemory(64<<20, "noeviction"))
	var said logs
	openShort(t, server, func(cfg *registry.RedisRegistryConfig) { cfg.Logger = said.logger() })
	if got := said.lines("level="); len(got) != 0 {
		t.Fatalf("said of a healthy server: %q", got)
	}
	server.ConfigSet("maxmemory-policy", "allkeys-lru")
	if err := server.Client(t).Do(t.Context(), "ACL", "SETUSER", "default", "-info").Err(); err != nil {
		t.Fatal(err)
	}
	openShort(t, server, func(cfg *registry.RedisRegistryConfig) { cfg.Logger = said.logger() })
	if got := said.lines("level="); len(got) != 0 {
		t.Fatalf("said of a server that may not be asked: %q", got)
	}
}

func evictions(t testing.TB, admin *redis.Client) string {
	t.Helper()
	info, err := admin.Info(t.Context(), "stats").Result()
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(info, "evicted_keys:")
	n, _, _ := strings.Cut(rest, "\r\n")
	return n
}
