package faults

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
)

// Redis's clock steps a minute ahead, twice.
//
// Promise 6, one clock: watches drop nothing; all are back in
// Discover within a heartbeat + 1 s; registration times stay unique and in order.
func TestClockStepsAhead(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.WithFakeTime())
	a, b, reader := openShort(t, server), openShort(t, server), openShort(t, server)
	register(t, a, "web", "a1", "a2")
	register(t, b, "web", "b1")
	register(t, b, "db", "b2")
	web, db := watch(t, reader, "web"), watch(t, reader, "db")
	want, wantDB := present(t, reader, "web"), present(t, reader, "db")
	web.await(t, time.Now(), backBy, "the start", is(want))
	began := time.Now()
	for n := range 3 {
		server.StepClock(time.Minute)
		at := time.Now()
		took := max(within(t, at, backBy, "all are back", discoversExactly(reader, "web", want)),
			within(t, at, backBy, "all are back", discoversExactly(reader, "db", wantDB)))
		figure(t, "promise 6: all back after the clock stepped ahead", took)
		web.await(t, at, 2*backBy, "a current state", is(want))
		id := fmt.Sprintf("new-%d", n)
		register(t, a, "web", id)
		want = append(want, inOrder(t, present(t, reader, "web"), id))
	}
	db.await(t, time.Now(), 2*backBy, "a current state", is(wantDB))
	web.requireKept(t, began, "a1", "a2", "b1")
	db.requireKept(t, began, "b2")
}

// Redis's clock steps a minute back just after owners died: one of a service
// with a living owner, and the only ones of services that are watched, read at
// intervals, or only listed by name.
//
// Promise 6: expiries are delayed by at most one TTL, and watches drop nothing.
func TestClockStepsBack(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.WithFakeTime())
	a, reader, asker := openShort(t, server), openShort(t, server), openShort(t, server)
	register(t, a, "web", "a1")
	want := present(t, reader, "web")
	doomed := startOwner(t, ownerConfig(config(t, server, shortTTL, shortHeartbeat),
		[2]string{"web", "d1"}, [2]string{"watched", "d2"}, [2]string{"asked", "d3"}, [2]string{"named", "d4"}))
	web, watched := watch(t, reader, "web"), watch(t, reader, "watched")
	web.await(t, time.Now(), backBy, "the start", with("a1", "d1"))
	present(t, asker, "asked")
	began := time.Now()
	doomed.kill()
	killed := time.Now()
	server.StepClock(-time.Minute)

	const limit = shortTTL + goneBy // delayed by at most one TTL
	register(t, a, "web", "new")
	newcomer := inOrder(t, present(t, reader, "web"), "new")
	took := within(t, killed, limit, "the dead one of a living service leaves Discover", discoversExactly(reader, "web", append(slices.Clone(want), newcomer)))
	took = max(took, within(t, killed, limit, "the dead one leaves Discover", discovers(asker, "asked")))
	took = max(took, within(t, killed, limit, "the dead one leaves Discover", discovers(asker, "watched")))
	figure(t, "promise 6: dead owner gone from Discover after the clock stepped back", took)
	took = max(web.await(t, killed, limit, "the dead one leaves the watch", lacking("d1")),
		watched.await(t, killed, limit, "the dead one leaves the watch", lacking("d2")))
	figure(t, "promise 6: dead owner gone from a watch after the clock stepped back", took)
	within(t, killed, limit, "the dead ones' names are gone", func() error {
		names, err := asker.Services(t.Context())
		if err == nil && !slices.Equal(names, []string{"web"}) {
			err = fmt.Errorf("services are %q", names)
		}
		return err
	})
	requireReason(t, reader, "web", "d1", expired(doomed.pid, shortTTL))
	throughout(t, time.Now().Add(shortTTL), "the living stay", discoversExactly(reader, "web", append(slices.Clone(want), newcomer)))

	// And ahead, to where it was.
	server.StepClock(time.Minute)
	at := time.Now()
	within(t, at, backBy, "all are back", discoversExactly(reader, "web", append(slices.Clone(want), newcomer)))
	web.await(t, at, 2*backBy, "a current state", is(append(want, newcomer)))
	web.requireKept(t, began, "a1")
	for _, w := range []*watchLog{web, watched} {
		for _, id := range []string{"d1", "d2"} {
			w.requireNever(t, at, id)
		}
	}
}
