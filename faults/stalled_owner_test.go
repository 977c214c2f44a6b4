package faults

import (
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// An owner is stopped for longer than its TTL, then continues.
//
// Promise 3, comes back: also after its process was stalled, with the same
// RegisteredAt, for a watch that had dropped it too.
func TestOwnerStalledPastItsTTL(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	reader := openShort(t, server)
	o := startOwner(t, ownerConfig(config(t, server, shortTTL, shortHeartbeat), [2]string{"web", "staller"}, [2]string{"lonely", "staller-too"}))
	register(t, reader, "web", "other")
	web, lonely := watch(t, reader, "web"), watch(t, reader, "lonely")
	want, wantLonely := present(t, reader, "web"), present(t, reader, "lonely")
	web.await(t, time.Now(), backBy, "the start", is(want))
	began := time.Now()
	for range 2 {
		o.signal(syscall.SIGSTOP)
		at := time.Now()
		web.await(t, at, goneBy, "the stalled one is dropped", lacking("staller"))
		lonely.await(t, at, goneBy, "the stalled one is dropped", isZero)
		within(t, at, goneBy, "the stalled one leaves Discover", isGone(reader, "web", "staller"))
		within(t, at, goneBy, "the stalled one leaves Discover", isGone(reader, "lonely", "staller-too"))
		requireReason(t, reader, "web", "staller", expired(o.pid, shortTTL))
		requireReason(t, reader, "lonely", "staller-too", expired(o.pid, shortTTL))

		o.signal(syscall.SIGCONT)
		at = time.Now()
		took := within(t, at, backBy, "it is back in Discover", discoversExactly(reader, "web", want))
		took = max(took, within(t, at, backBy, "it is back in Discover", discoversExactly(reader, "lonely", wantLonely)))
		figure(t, "promise 3: stalled owner back in Discover", took)
		took = max(web.await(t, at, backBy, "it is back in the watch", is(want)),
			lonely.await(t, at, backBy, "it is back in the watch", is(wantLonely)))
		figure(t, "promise 3: stalled owner back in a watch", took)
		requireReason(t, reader, "web", "staller", reason{kind: registry.EventRegistered, by: pidOf(o.pid)})
	}
	web.requireKept(t, began, "other")
}
