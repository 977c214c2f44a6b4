package faults

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// An operator deregisters instances of another process by their IDs alone: one
// with an ID that its user chose, and one with a generated ID.
//
// Promise 4, final: from the owner's next heartbeat, through a loss of memory after it.
func TestOperatorDeregistersByID(t *testing.T) {
	t.Parallel()
	testOperatorDeregistersByID(t)
}

func testOperatorDeregistersByID(t *testing.T, opts ...redistest.Option) {
	server := redistest.Start(t, opts...)
	said := &logs{}
	a := openShort(t, server, func(cfg *registry.RedisRegistryConfig) { cfg.Logger, cfg.Name = said.logger(), "the owner" })
	operator := openShort(t, server, func(cfg *registry.RedisRegistryConfig) { cfg.Name = "the operator" })
	web := watch(t, operator, "web")
	for _, id := range []string{"chosen", ""} {
		m, err := registry.Join(t.Context(), a, service("web", id))
		if err != nil {
			t.Fatal(err)
		}
		register(t, a, "web", "other")
		web.await(t, time.Now(), backBy, "the start", with(m.ID(), "other"))
		if err := operator.Deregister(t.Context(), m.ID()); err != nil {
			t.Fatal(err)
		}
		at := time.Now()
		must(t, retryStalled(t, shortHeartbeat, discovers(a, "web", "other")))
		web.await(t, at, backBy, "it is gone from the watch", lacking(m.ID()))
		lostWithin(t, m, at, shortHeartbeat+slack, registry.ErrDeregistered, "promise 4: owner reports an operator's Deregister")
		requireReason(t, a, "web", m.ID(), reason{kind: registry.EventDeregistered, by: "the operator", note: "the owner"})
		flush(t, server)
		at = time.Now()
		within(t, at, backBy, "the other one is back", discovers(a, "web", "other"))
		throughout(t, at.Add(shortTTL+slack), "it stays gone", isGone(operator, "web", m.ID()))
		web.requireNever(t, at, m.ID())
		if lines := said.lines("deregistered by another", m.ID()); len(lines) != 1 {
			t.Errorf("the log has %d lines on it: %q", len(lines), lines)
		}
		// A new Register does bring it back, and it may be lost again.
		register(t, a, "web", m.ID())
		web.await(t, time.Now(), backBy, "registered again", with(m.ID()))
		if err := a.Deregister(t.Context(), m.ID()); err != nil {
			t.Fatal(err)
		}
		requireReason(t, operator, "web", m.ID(), reason{kind: registry.EventDeregistered, by: "the owner"})
	}
	if err := operator.Deregister(t.Context(), "unknown"); err != nil {
		t.Errorf("deregistering an unknown ID: %v", err)
	}
}

// lostWithin waits until a membership is lost for a reason.
func lostWithin(t testing.TB, m *registry.Membership, from time.Time, bound time.Duration, why error, what string) {
	t.Helper()
	figure(t, what, within(t, from, bound, what, func() error {
		select {
		case <-m.Lost():
			return nil
		case <-time.After(20 * time.Millisecond):
			return fmt.Errorf("the owner of %q did not report its loss", m.ID())
		}
	}))
	if !errors.Is(m.Err(), why) {
		t.Fatalf("the membership's error is %v, want one that matches %q", m.Err(), why)
	}
}

// notLost fails the test when one of the memberships was lost.
func notLost(t testing.TB, members ...*registry.Membership) {
	t.Helper()
	if i := slices.IndexFunc(members, func(m *registry.Membership) bool { return m.Err() != nil }); i >= 0 {
		t.Fatalf("%q was lost: %v", members[i].ID(), members[i].Err())
	}
}
