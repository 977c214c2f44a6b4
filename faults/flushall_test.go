package faults

import (
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// FLUSHALL removes everything while all processes run.
//
// Promise 3, comes back; promise 7, no false empty.
func TestNoFalseEmptyAfterFlushAll(t *testing.T) {
	t.Parallel()
	testNoFalseEmptyAfterFlushAll(t)
}

func testNoFalseEmptyAfterFlushAll(t *testing.T, opts ...redistest.Option) {
	server := redistest.Start(t, opts...)
	a, b, reader := openShort(t, server), openShort(t, server), openShort(t, server)
	register(t, a, "web", "a1", "a2")
	register(t, b, "web", "b1")
	register(t, b, "db", "b2")
	want, wantDB := present(t, reader, "web"), present(t, reader, "db")
	web := watch(t, reader, "web")
	web.await(t, time.Now(), backBy, "the start", is(want))
	began := time.Now()
	for range 3 {
		flush(t, server)
		at := time.Now()
		took := within(t, at, backBy, "web in Discover", discoversExactly(reader, "web", want))
		took = max(took, within(t, at, backBy, "db in Discover", discoversExactly(reader, "db", wantDB)))
		figure(t, "FLUSHALL: all back", took)
		web.await(t, at, 2*backBy, "a current state", is(want))
	}
	web.requireKept(t, began, "a1", "a2", "b1")
	names, err := reader.Services(t.Context())
	if err != nil || len(names) != 2 {
		t.Fatalf("services: %q, %v", names, err)
	}
}

// FLUSHALL as owners die: a service with one owner left, and one with none.
//
// Promise 2, gone after a crash: within max(TTL, heartbeat + 1 s).
// Promise 7: a true zero is still seen.
func TestFlushAllWhenOwnersDie(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	a, reader := openShort(t, server), openShort(t, server)
	register(t, a, "web", "a1")
	doomed := startOwner(t, ownerConfig(config(t, server, shortTTL, shortHeartbeat), [2]string{"web", "d1"}, [2]string{"lonely", "d2"}))
	web, lonely := watch(t, reader, "web"), watch(t, reader, "lonely")
	web.await(t, time.Now(), backBy, "the start", with("a1", "d1"))
	lonely.await(t, time.Now(), backBy, "the start", with("d2"))
	want := without(present(t, reader, "web"), "d1")

	began := time.Now()
	doomed.kill()
	flush(t, server)
	at := time.Now()
	figure(t, "FLUSHALL: living back", within(t, at, backBy, "the living in Discover", discoversExactly(reader, "web", want)))
	figure(t, "FLUSHALL: dead of a living service gone", web.await(t, at, retainedFor, "the dead one's end", is(want)))
	figure(t, "FLUSHALL: true zero seen", lonely.await(t, at, retainedFor, "a true zero",
		func(s registry.Snapshot) bool { return s.Stale == nil && len(s.Instances) == 0 }))
	web.requireKept(t, began, "a1")
}

func flush(t testing.TB, s *redistest.Server) {
	t.Helper()
	if err := s.Client(t).FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}
