package faults

import (
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/testredis"
	"github.com/rollcall-sd/rollcall/registry"
)

// FLUSHALL takes everything while all goes on.
//
// Promise 3, comes back; promise 7, no false empty.
func TestFlushAll(t *testing.T) {
	t.Parallel()
	server := testredis.Start(t)
	a, b, reader := open(t, server.Addr()), open(t, server.Addr()), open(t, server.Addr())
	register(t, a, "web", "a1", "a2")
	register(t, b, "web", "b1")
	register(t, b, "db", "b2")
	want, wantDB := discover(t, reader, "web"), discover(t, reader, "db")
	watch := follow(t, reader, "web")
	watch.await(t, time.Now(), backBy, "the start", shows(want))
	began := time.Now()
	for range 3 {
		flush(t, server)
		at := time.Now()
		took := eventually(t, at, backBy, "web in Discover", lists(reader, "web", want))
		took = max(took, eventually(t, at, backBy, "db in Discover", lists(reader, "db", wantDB)))
		figure(t, "FLUSHALL: all back", took)
		watch.await(t, at, 2*backBy, "a current state", shows(want))
	}
	watch.hold(t, began, "a1", "a2", "b1")
	names, err := reader.Services(t.Context())
	if err != nil || len(names) != 2 {
		t.Fatalf("services: %q, %v", names, err)
	}
}

// FLUSHALL at the moment when owners die: a service with one owner left, and one with none.
//
// Promise 2, gone after a crash: within max(TTL, heartbeat + 1 s).
// Promise 7: a true zero is still seen.
func TestFlushAllWhenOwnersDie(t *testing.T) {
	t.Parallel()
	server := testredis.Start(t)
	a, reader := open(t, server.Addr()), open(t, server.Addr())
	register(t, a, "web", "a1")
	doomed := startOwner(t, server.Addr(), service("web", "d1"), service("lonely", "d2"))
	web, lonely := follow(t, reader, "web"), follow(t, reader, "lonely")
	web.await(t, time.Now(), backBy, "the start", with("a1", "d1"))
	lonely.await(t, time.Now(), backBy, "the start", with("d2"))
	want := without(discover(t, reader, "web"), "d1")

	began := time.Now()
	doomed.kill()
	flush(t, server)
	at := time.Now()
	figure(t, "FLUSHALL: living back", eventually(t, at, backBy, "the living in Discover", lists(reader, "web", want)))
	figure(t, "FLUSHALL: dead of a living service gone", web.await(t, at, heldFor, "the dead one's end", shows(want)))
	figure(t, "FLUSHALL: true zero seen", lonely.await(t, at, heldFor, "a true zero",
		func(s registry.Snapshot) bool { return s.Stale == nil && len(s.Instances) == 0 }))
	web.hold(t, began, "a1")
}

func flush(t testing.TB, s *testredis.Server) {
	t.Helper()
	if err := s.Client(t).FlushAll(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
}
