package faults

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/faultnet"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// A slow connection with delays below the timeout of a request.
//
// Promise 1, kept alive; promise 7: watches notice nothing.
func TestConnectionDelays(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	line := faultnet.New(t, server.Addr())
	const ttl, beat = 3 * time.Second, time.Second // a request waits for one beat
	cfg := config(t, server, ttl, beat)
	cfg.RedisAddr = line.Addr()
	owner, reader := open(t, cfg), open(t, cfg)
	register(t, owner, "web", "a1")
	want := present(t, reader, "web")
	seen := watch(t, reader, "web")
	seen.await(t, time.Now(), beat+slack, "the start", is(want))
	began := time.Now()
	line.Delay(faultnet.ToServer, 80*time.Millisecond)
	line.Delay(faultnet.ToClient, 80*time.Millisecond)
	for n := 0; time.Since(began) < ttl+beat; n++ {
		if err := same(present(t, reader, "web"), want); err != nil {
			t.Fatal(err)
		}
		id := fmt.Sprint("o", n)
		register(t, owner, "other", id)
		if err := retryStalled(t, beat, func() error { return owner.Deregister(t.Context(), id) }); err != nil {
			t.Fatal(err)
		}
	}
	seen.requireKept(t, began, "a1")
	for _, s := range seen.since(began) {
		if s.State.Stale != nil && !wasStalled(t, beat, s.At) {
			t.Fatalf("stale on a connection that works:\n%s", seen.describe(began))
		}
	}
}

// A connection that loses requests, and one that loses replies to requests that
// took effect.
//
// Promise 3, comes back; promise 5: no registry is superseded by itself; promise 7.
func TestConnectionDrops(t *testing.T) {
	t.Parallel()
	for name, dir := range map[string]faultnet.Direction{"requests": faultnet.ToServer, "replies": faultnet.ToClient} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			line := faultnet.New(t, server.Addr())
			owner, reader := openShort(t, server, throughAddr(line.Addr())), openShort(t, server, throughAddr(line.Addr()))
			direct := openShort(t, server)
			m, err := registry.Join(t.Context(), owner, service("web", "a1"))
			if err != nil {
				t.Fatal(err)
			}
			want := present(t, direct, "web")
			seen := watch(t, reader, "web")
			seen.await(t, time.Now(), backBy, "the start", is(want))

			began := time.Now()
			line.Drop(dir)
			err = owner.Register(contextFor(t, 250*time.Millisecond), service("other", "o"))
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Fatalf("register on a connection that loses %s: %v", name, err)
			}
			list, err := reader.Discover(contextFor(t, 250*time.Millisecond), "web")
			if err == nil {
				t.Fatalf("discover on a connection that loses %s: %s", name, describeInstances(list))
			}
			figure(t, "connection loses "+name+": stale shown", seen.await(t, began, backBy, "staleness", isStale))
			pause(t, time.Until(began.Add(shortTTL+500*time.Millisecond)), "longer than the TTL")
			line.Heal()
			restored := time.Now()
			figure(t, "connection loses "+name+": back", within(t, restored, backBy, "all in Discover", discoversExactly(direct, "web", want)))
			figure(t, "connection loses "+name+": watch current", seen.await(t, restored, 2*backBy, "a current state", is(want)))
			register(t, owner, "other", "o")
			must(t, retryStalled(t, shortHeartbeat, discovers(direct, "other", "o")))
			seen.requireKept(t, began, "a1")
			select {
			case <-m.Lost():
				t.Fatalf("lost without a newer owner: %v", m.Err())
			default:
			}
		})
	}
}

// The connection ends before, in and after the reply to each call, which took
// effect. The call is retried and succeeds, once.
//
// Promise 5: no registry is superseded by itself; an error is never an empty list.
func TestConnectionEndsInAReply(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	line := faultnet.New(t, server.Addr())
	writer := openShort(t, server)
	for n := range 20 {
		register(t, writer, "web", fmt.Sprint("a", n))
	}
	want := present(t, writer, "web")
	steady := openShort(t, server, throughAddr(line.Addr()))
	for _, after := range []int{0, 1, 2, 7, 30, 150, 1000, 4000} {
		owner := openShort(t, server, throughAddr(line.Addr()))
		line.CutReplyAfter(after)
		if got, err := owner.Discover(t.Context(), "web"); err != nil || same(got, want) != nil {
			t.Fatalf("discover, reply cut after %d bytes: %v, %v", after, err, same(got, want))
		}
		line.CutReplyAfter(after)
		if got, err := steady.Discover(t.Context(), "web"); err != nil || same(got, want) != nil {
			t.Fatalf("discover again, reply cut after %d bytes: %v, %v", after, err, same(got, want))
		}
		line.CutReplyAfter(after)
		m, err := registry.Join(t.Context(), owner, service("other", "o"))
		if err != nil {
			t.Fatalf("register, reply cut after %d bytes: %v", after, err)
		}
		must(t, retryStalled(t, shortHeartbeat, discovers(writer, "other", "o")))
		line.CutReplyAfter(after)
		if err := m.Leave(t.Context()); err != nil {
			t.Fatalf("deregister, reply cut after %d bytes: %v", after, err)
		}
		must(t, retryStalled(t, shortHeartbeat, discovers(writer, "other")))
		if m.Err() != nil {
			t.Fatalf("lost without a newer owner: %v", m.Err())
		}
		line.Heal()
	}
}
