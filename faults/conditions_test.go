package faults

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/stall"
	"github.com/rollcall-sd/rollcall/registry"
)

// The settings of most scenarios, and the contract's bounds for them.
const (
	shortTTL       = 1500 * time.Millisecond
	shortHeartbeat = 400 * time.Millisecond

	// goneBy: after its owner's last heartbeat an instance is gone (promise 2).
	goneBy = shortTTL + slack
	// backBy: after Redis answers again every live registration is back (promise
	// 3). Within as long a change is seen by a watch whose push was lost (promise
	// 8), and a watch that is disconnected says so.
	backBy = shortHeartbeat + slack
	// retainedFor: once Redis answers again after it was away or lost its memory, an
	// instance whose owner died is gone (promise 2).
	retainedFor = max(shortTTL, shortHeartbeat+slack)
)

// openShort opens a registry with these settings.
func openShort(t testing.TB, s *redistest.Server, tune ...func(*registry.RedisRegistryConfig)) *registry.RedisRegistry {
	t.Helper()
	cfg := config(t, s, shortTTL, shortHeartbeat)
	for _, f := range tune {
		f(&cfg)
	}
	return open(t, cfg)
}

// throughAddr makes a registry connect to another address.
func throughAddr(addr string) func(*registry.RedisRegistryConfig) {
	return func(cfg *registry.RedisRegistryConfig) { cfg.RedisAddr = addr }
}

// present returns what Discover shows and fails the test if it fails.
func present(t testing.TB, r registry.Registry, name string) []registry.ServiceInfo {
	t.Helper()
	var list []registry.ServiceInfo
	err := retryStalled(t, shortHeartbeat, func() (err error) { list, err = discover(r, name); return err })
	if err != nil {
		t.Fatalf("discover %q: %v", name, err)
	}
	return list
}

// discoversExactly fails unless Discover answers with exactly these instances, every field the same.
func discoversExactly(r registry.Registry, name string, want []registry.ServiceInfo) func() error {
	return func() error {
		got, err := discover(r, name)
		if err != nil {
			return err
		}
		return same(got, want)
	}
}

func same(got, want []registry.ServiceInfo) error {
	if len(got) == 0 && len(want) == 0 || reflect.DeepEqual(got, want) {
		return nil
	}
	return fmt.Errorf("got %s, want %s", describeInstances(got), describeInstances(want))
}

func describeInstances(list []registry.ServiceInfo) string {
	parts := make([]string, len(list))
	for i, s := range list {
		parts[i] = s.ID + "@" + s.RegisteredAt.Format("05.000000")
	}
	return "[" + strings.Join(parts, " ") + "]"
}

func without(list []registry.ServiceInfo, id string) []registry.ServiceInfo {
	return slices.DeleteFunc(slices.Clone(list), func(s registry.ServiceInfo) bool { return s.ID == id })
}

// Conditions for await.

func isStale(s registry.Snapshot) bool { return s.Stale != nil }

func isZero(s registry.Snapshot) bool { return s.Stale == nil && len(s.Instances) == 0 }

// is holds if the state is current and has exactly these instances, every field the same.
func is(want []registry.ServiceInfo) func(registry.Snapshot) bool {
	return func(s registry.Snapshot) bool { return s.Stale == nil && same(s.Instances, want) == nil }
}

// with holds if these are shown.
func with(ids ...string) func(registry.Snapshot) bool {
	return func(s registry.Snapshot) bool {
		have := idsOf(s.Instances)
		return !slices.ContainsFunc(ids, func(id string) bool { return !slices.Contains(have, id) })
	}
}

// lacking holds if this one is not shown.
func lacking(id string) func(registry.Snapshot) bool {
	return func(s registry.Snapshot) bool { return !slices.Contains(idsOf(s.Instances), id) }
}

// await waits for a state that was current after from and meets cond. It returns how
// long after from the watch yielded it. It fails the test if that is more than the
// bound plus the machine's stall.
func (s *watchLog) await(t testing.TB, from time.Time, bound time.Duration, what string, cond func(registry.Snapshot) bool) time.Duration {
	t.Helper()
	for late := false; ; {
		for _, seen := range s.since(from) {
			took := max(0, seen.At.Sub(from))
			if cond(seen.State) && (took <= bound || took <= bound+stall.Between(t, from, seen.At)) {
				reportBound(t, from, took, bound, what)
				return took
			}
		}
		if late {
			t.Fatalf("%s: the watch of %q did not show it within %s and a stall of %s; from then on it showed\n%s",
				what, s.service, bound, round(stall.Since(t, from)), s.describe(from))
		}
		late = time.Since(from) > bound && time.Since(from) > bound+stall.Since(t, from)
		pause(t, 5*time.Millisecond, "between looks")
	}
}

// describe describes the states since from.
func (s *watchLog) describe(from time.Time) string {
	var b strings.Builder
	for _, seen := range s.since(from) {
		fmt.Fprintf(&b, "  %+.3fs %s stale: %v\n", seen.At.Sub(from).Seconds(), describeInstances(seen.State.Instances), seen.State.Stale)
	}
	return b.String()
}

// contextFor returns a context of the test's that gives a call d.
func contextFor(t testing.TB, d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
