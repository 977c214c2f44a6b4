package faults

import (
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// Redis is frozen for longer than the TTL and thaws: its clock says that every
// lease has ended.
//
// Promise 7, no false empty: a watch drops no instance of a living owner.
// Promise 3: the living are back, the same. Promise 2: one that died during the
// freeze goes in time.
func TestRedisFrozenPastTheTTL(t *testing.T) {
	t.Parallel()
	testRedisFrozenPastTheTTL(t)
}

func testRedisFrozenPastTheTTL(t *testing.T, opts ...redistest.Option) {
	server := redistest.Start(t, opts...)
	a, b, reader := openShort(t, server), openShort(t, server), openShort(t, server)
	register(t, a, "web", "a1", "a2")
	register(t, b, "web", "b1")
	doomed := startOwner(t, ownerConfig(config(t, server, shortTTL, shortHeartbeat), [2]string{"web", "d1"}, [2]string{"lonely", "d2"}))
	all := present(t, reader, "web")
	want := without(all, "d1")
	// A watch in an owner's process, and one in a process that only reads.
	watches := []*watchLog{watch(t, reader, "web"), watch(t, a, "web")}
	lonely := watch(t, reader, "lonely")
	for _, w := range watches {
		w.await(t, time.Now(), backBy, "the start", is(all))
	}
	lonely.await(t, time.Now(), backBy, "the start", with("d2"))

	began := time.Now()
	server.Freeze()
	for _, w := range watches {
		figure(t, "freeze: stale shown", w.await(t, began, backBy, "staleness", isStale))
	}
	doomed.kill()
	pause(t, time.Until(began.Add(shortTTL+time.Second)), "longer than the TTL")
	server.Thaw()
	thawed := time.Now()
	figure(t, "freeze: all back", within(t, thawed, backBy, "the living in Discover", discoversExactly(reader, "web", want)))
	for _, w := range watches {
		figure(t, "freeze: the dead gone", w.await(t, thawed, retainedFor, "the dead one's end", is(want)))
	}
	figure(t, "freeze: true zero seen", lonely.await(t, thawed, retainedFor, "a true zero",
		func(s registry.Snapshot) bool { return s.Stale == nil && len(s.Instances) == 0 }))
	requireReason(t, reader, "lonely", "d2", expired(doomed.pid, shortTTL))
	pause(t, 2*shortHeartbeat, "lets two heartbeats pass")
	for _, w := range watches {
		w.requireKept(t, began, "a1", "a2", "b1")
	}
}

// Redis is frozen repeatedly for about the TTL, so that a lease may end before its
// owner can renew it.
//
// Promise 7: a watch drops no instance.
func TestRedisFrozenAgainAndAgain(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, reader := openShort(t, server), openShort(t, server)
	register(t, a, "web", "a1", "a2")
	want := present(t, reader, "web")
	web := watch(t, reader, "web")
	web.await(t, time.Now(), backBy, "the start", is(want))
	began := time.Now()
	for _, d := range []time.Duration{shortTTL - 200*time.Millisecond, shortTTL, shortTTL + 200*time.Millisecond} {
		server.Freeze()
		pause(t, d, "frozen for this long")
		server.Thaw()
		pause(t, 150*time.Millisecond, "lets some owners reregister")
	}
	thawed := time.Now()
	figure(t, "freeze again and again: all back", within(t, thawed, backBy, "all in Discover", discoversExactly(reader, "web", want)))
	web.await(t, thawed, backBy, "a current state", is(want))
	web.requireKept(t, began, "a1", "a2")
}
