package faults

import (
	"fmt"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// Two owners are killed, one of a short and one of a long TTL. No other is
// registered, so no process writes.
//
// Promise 2, gone after a crash: each with its own TTL, from Discover and from
// every watch; and in the end nothing of them is left in Redis.
func TestGoneAfterACrashWithoutWrites(t *testing.T) {
	t.Parallel()
	testGoneAfterACrashWithoutWrites(t)
}

func testGoneAfterACrashWithoutWrites(t *testing.T, opts ...redistest.Option) {
	const longTTL = 4 * time.Second
	server := redistest.Start(t, append(opts, redistest.WithFakeTime())...)
	keys := server.Client(t)
	cfg := config(t, server, shortTTL, shortHeartbeat)
	long := cfg
	long.TTL = longTTL
	one, other := openShort(t, server), openShort(t, server)
	short := startOwner(t, ownerConfig(cfg, [2]string{"web", "short"}))
	patient := startOwner(t, ownerConfig(long, [2]string{"web", "long"}))
	first, second := watch(t, one, "web"), watch(t, other, "web")
	first.await(t, time.Now(), backBy, "the start", with("short", "long"))
	second.await(t, time.Now(), backBy, "the start", with("short", "long"))

	short.kill()
	patient.kill()
	killed := time.Now()
	check := func() error {
		if left := keysWithoutTTL(t, keys); len(left) > 0 {
			return fmt.Errorf("keys without a time to live: %q", left)
		}
		return nil
	}
	end := leaseEnds(t, one, "web")
	for _, gonner := range []struct {
		id    string
		ttl   time.Duration
		owner *owner
	}{{"short", shortTTL, short}, {"long", longTTL, patient}} {
		last := end[gonner.id].Add(-gonner.ttl) // heartbeat
		limit := gonner.ttl + slack
		took := within(t, last, limit, gonner.id+" leaves Discover", func() error {
			if err := check(); err != nil {
				t.Fatal(err)
			}
			return isGone(one, "web", gonner.id)()
		})
		if took < gonner.ttl {
			t.Errorf("%q was gone %s after its last heartbeat, before its TTL of %s", gonner.id, took, gonner.ttl)
		}
		took = max(took, within(t, last, limit, gonner.id+" leaves Discover elsewhere", isGone(other, "web", gonner.id)))
		figure(t, "promise 2: killed owner gone from Discover after the last heartbeat, beyond its TTL", took-gonner.ttl)
		took = max(first.await(t, last, limit, gonner.id+" leaves a watch", lacking(gonner.id)),
			second.await(t, last, limit, gonner.id+" leaves another watch", lacking(gonner.id)))
		figure(t, "promise 2: killed owner gone from every watch after the last heartbeat, beyond its TTL", took-gonner.ttl)
		requireReason(t, one, "web", gonner.id, expired(gonner.owner.pid, gonner.ttl))
	}
	// A watch that dropped the short one kept the long one until its own lease ended.
	for _, w := range []*watchLog{first, second} {
		for _, seen := range w.since(killed) {
			if seen.At.Before(end["long"]) && lacking("long")(seen.State) {
				t.Errorf("the watch dropped %q before its lease ended:\n%s", "long", w.describe(killed))
			}
		}
	}
	if names, err := one.Services(t.Context()); err != nil || len(names) != 0 {
		t.Errorf("services are %q, %v", names, err)
	}

	// A process that watches has a watcher lease in Redis, which ends with Close.
	for _, reg := range []*registry.RedisRegistry{one, other} {
		if err := reg.Close(); err != nil {
			t.Error(err)
		}
	}
	server.StepClock(26 * time.Hour)
	within(t, time.Now(), 5*time.Second, "Redis is empty", func() error {
		left, err := keys.Keys(t.Context(), "*").Result()
		if err == nil && len(left) > 0 {
			err = fmt.Errorf("it holds %q", left)
		}
		return err
	})
}
