package faults

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/stall"
	"github.com/rollcall-sd/rollcall/registry"
)

// Redis is killed, stays away for longer than the TTL, and comes back empty.
//
// Promise 3, comes back: same ID, same RegisteredAt, same data.
// Promise 7, no false empty: watches and cached lookups keep what they know,
// marked Stale; Discover says what Redis holds, first in part, then in full.
// Promise 2, gone after a crash: an instance whose owner died meanwhile goes in time.
func TestComesBackAfterRedisRestartedEmpty(t *testing.T) {
	t.Parallel()
	testComesBackAfterRedisRestartedEmpty(t)
}

func testComesBackAfterRedisRestartedEmpty(t *testing.T, opts ...redistest.Option) {
	server := redistest.Start(t, opts...)
	a, b, doomed, reader := openShort(t, server), openShort(t, server), openShort(t, server), openShort(t, server)
	cache := registry.NewCachedRegistry(openShort(t, server))
	t.Cleanup(func() { cache.Close() })

	register(t, a, "web", "a1", "a2")
	register(t, b, "web", "b1")
	want := present(t, reader, "web")
	register(t, doomed, "web", "d1")
	all := present(t, reader, "web")
	web := watch(t, reader, "web")
	web.await(t, time.Now(), backBy, "the start", is(all))
	if got := present(t, cache, "web"); same(got, all) != nil {
		t.Fatalf("cache: %v", same(got, all))
	}

	server.Kill()
	killed := time.Now()
	if err := doomed.Close(); err != nil {
		t.Fatal(err)
	}
	figure(t, "restart empty: stale shown", web.await(t, killed, backBy, "staleness", isStale))

	// A watch begun now yields at once that nothing is known.
	asked := time.Now()
	later := watch(t, reader, "other")
	figure(t, "watch begun while away", later.await(t, asked, time.Second, "an empty stale state",
		func(s registry.Snapshot) bool { return s.Stale != nil && s.Instances != nil && len(s.Instances) == 0 }))

	for time.Since(killed) < shortTTL+500*time.Millisecond {
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		list, err := reader.Discover(ctx, "web")
		cancel()
		if err == nil {
			t.Fatalf("Discover without a server answered %s", describeInstances(list))
		}
		if !errors.Is(err, registry.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Discover without a server: %v", err)
		}
		if got, err := cache.Discover(t.Context(), "web"); err != nil || same(got, all) != nil {
			t.Fatalf("cached Discover without a server: %s, %v", describeInstances(got), err)
		}
		if cache.Lookup("web").Stale == nil {
			if away := time.Since(killed); away > backBy+stall.Since(t, killed) {
				t.Fatalf("Lookup does not say that the server is away for %s", away)
			}
		}
		pause(t, 20*time.Millisecond, "between looks")
	}

	server.Restart()
	back := time.Now()
	figure(t, "restart empty: all back", within(t, back, backBy, "Discover in full", discoversExactly(reader, "web", want)))
	figure(t, "restart empty: watch current without the dead", web.await(t, back, retainedFor, "the dead one's end", is(want)))
	web.requireKept(t, killed, "a1", "a2", "b1")
	within(t, back, retainedFor+backBy, "the cache's list", discoversExactly(cache, "web", want))
	within(t, back, retainedFor+backBy, "the other watch is current", later.shows())
}
