package faults

import (
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/testredis"
	"github.com/rollcall-sd/rollcall/registry"
)

// Redis is frozen for longer than the TTL and thaws: its clock says that every
// lease has run out.
//
// Promise 7, no false empty: nobody that lives is dropped by a watch.
// Promise 3: the living are back, the same. Promise 2: one that died during the
// freeze goes in time.
func TestRedisFrozenPastTheTTL(t *testing.T) {
	t.Parallel()
	server := testredis.Start(t)
	a, b, reader := open(t, server.Addr()), open(t, server.Addr()), open(t, server.Addr())
	register(t, a, "web", "a1", "a2")
	register(t, b, "web", "b1")
	doomed := startOwner(t, server.Addr(), service("web", "d1"), service("lonely", "d2"))
	all := discover(t, reader, "web")
	want := without(all, "d1")
	// A watch in an owner's process, and one in a process that only reads.
	watches := []*film{follow(t, reader, "web"), follow(t, a, "web")}
	lonely := follow(t, reader, "lonely")
	for _, w := range watches {
		w.await(t, time.Now(), backBy, "the start", shows(all))
	}
	lonely.await(t, time.Now(), backBy, "the start", with("d2"))

	began := time.Now()
	server.Freeze()
	for _, w := range watches {
		figure(t, "freeze: stale shown", w.await(t, began, backBy, "staleness", stale))
	}
	doomed.kill()
	pause(t, time.Until(began.Add(ttl+time.Second)))
	server.Thaw()
	thawed := time.Now()
	figure(t, "freeze: all back", eventually(t, thawed, backBy, "the living in Discover", lists(reader, "web", want)))
	for _, w := range watches {
		figure(t, "freeze: the dead gone", w.await(t, thawed, heldFor, "the dead one's end", shows(want)))
	}
	figure(t, "freeze: true zero seen", lonely.await(t, thawed, heldFor, "a true zero",
		func(s registry.Snapshot) bool { return s.Stale == nil && len(s.Instances) == 0 }))
	pause(t, 2*beat)
	for _, w := range watches {
		w.hold(t, began, "a1", "a2", "b1")
	}
}

// Redis is frozen for a little less than the TTL, again and again, so that a
// lease may run out before its owner gets through.
//
// Promise 7: nobody is dropped by a watch.
func TestRedisFrozenAgainAndAgain(t *testing.T) {
	t.Parallel()
	server := testredis.Start(t)
	a, reader := open(t, server.Addr()), open(t, server.Addr())
	register(t, a, "web", "a1", "a2")
	want := discover(t, reader, "web")
	watch := follow(t, reader, "web")
	watch.await(t, time.Now(), backBy, "the start", shows(want))
	began := time.Now()
	for _, d := range []time.Duration{ttl - 200*time.Millisecond, ttl, ttl + 200*time.Millisecond} {
		server.Freeze()
		pause(t, d)
		server.Thaw()
		pause(t, 150*time.Millisecond)
	}
	thawed := time.Now()
	figure(t, "freeze again and again: all back", eventually(t, thawed, backBy, "all in Discover", lists(reader, "web", want)))
	watch.await(t, thawed, backBy, "a current state", shows(want))
	watch.hold(t, began, "a1", "a2")
}
