package registrytest

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

var expiryChecks = []check{
	{name: "an instance is gone within its TTL after a crash", needs: expiry, run: goneAfterCrash},
	{name: "a running owner's instance stays whatever happens to others", needs: expiry, run: keptAlive},
	{name: "Close deregisters nothing and instances expire with their TTL", needs: expiry, run: closeKeeps},
	{name: "the newest owner's death does not bring the earlier one back", needs: expiry, run: newestDies},
	{name: "a failed Deregister has stopped the heartbeat", needs: expiry, run: failedDeregister},
	{name: "an expired instance registers again as a new one", needs: expiry, run: expiredRegistersAgain},
	{name: "a watch drops a crashed instance within its TTL", needs: expiry | push, run: watchDropsCrashed},
	{name: "a watch keeps a running owner's instance", needs: expiry | push, run: watchKeepsRunning},
}

func (e *env) listing(r registry.Registry, name string, want ...string) func() error {
	return func() error {
		if got := ids(e.discover(r, name)); !slices.Equal(got, want) {
			return fmt.Errorf("Discover(%q) = %v, want %v", name, got, want)
		}
		return nil
	}
}

func goneAfterCrash(e *env) {
	owner, sibling, reader := e.open(), e.open(), e.open()
	e.register(owner, instance("api", "a"), instance("web", "w"))
	e.register(sibling, instance("api", "b"))
	e.peerLists(reader, "api", "a", "b")
	crashed := time.Now()
	e.crash(owner)
	e.within(e.gone(), e.listing(reader, "api", "b"))
	e.within(max(0, e.gone()-time.Since(crashed)), e.listing(reader, "web"))
	e.throughout(e.quiet(), e.listing(reader, "api", "b"))
}

func keptAlive(e *env) {
	owner, reader := e.open(), e.open()
	e.register(owner, instance("api", "a"))
	e.peerLists(reader, "api", "a")
	var next time.Time
	crashes := 0
	e.throughout(4*e.h.TTL, func() error {
		if !time.Now().Before(next) { // two other owners a TTL live and die
			next = time.Now().Add(e.h.TTL / 2)
			other := e.open()
			e.register(other, instance("api", fmt.Sprint("other-", crashes)))
			crashes++
			if crashes%2 == 0 {
				e.deregister(other, fmt.Sprint("other-", crashes-1))
			}
			e.crash(other)
		}
		for _, r := range []registry.Registry{owner, reader} {
			if got := ids(e.discover(r, "api")); !slices.Contains(got, "a") {
				return fmt.Errorf("Discover = %v, without the instance a of a running owner", got)
			}
		}
		return nil
	})
}

func closeKeeps(e *env) {
	owner, reader := e.open(), e.open()
	e.register(owner, instance("api", "a"))
	e.peerLists(reader, "api", "a")
	e.close(owner)
	e.lists(reader, "api", "a")
	e.within(e.gone(), e.listing(reader, "api"))
}

func newestDies(e *env) {
	earlier, later, reader := e.open(), e.open(), e.open()
	e.register(earlier, at("api", "a", 1))
	e.register(later, at("api", "a", 2))
	e.within(e.lag(), ported(e, 2, reader))
	e.throughout(e.quiet(), ported(e, 2, reader)) // the earlier owner learns that it was superseded
	e.crash(later)
	e.within(e.gone(), func() error {
		got := e.discover(reader, "api")
		if len(got) == 0 {
			return nil
		}
		return fmt.Errorf("Discover = %+v, want nothing", got)
	})
	e.throughout(e.quiet(), e.listing(reader, "api"))
}

func failedDeregister(e *env) {
	owner, reader := e.open(), e.open()
	e.register(owner, instance("api", "a"), instance("api", "b"))
	e.peerLists(reader, "api", "a", "b")
	ctx, cancel := context.WithCancel(e.Context())
	cancel()
	if owner.Deregister(ctx, "a") == nil {
		e.Fatal("Deregister with a cancelled context returned no error")
	}
	e.within(e.gone(), e.listing(reader, "api", "b"))
	e.throughout(e.quiet(), e.listing(reader, "api", "b"))
}

func expiredRegistersAgain(e *env) {
	first, second := e.open(), e.open()
	e.register(first, instance("api", "a"))
	e.peerLists(second, "api", "a")
	before := e.one(second, "api").RegisteredAt
	e.crash(first)
	e.within(e.gone(), e.listing(second, "api"))
	e.register(second, instance("api", "a"))
	if after := e.one(second, "api").RegisteredAt; !after.After(before) {
		e.Fatalf("registered again after its expiry, RegisteredAt is %v, not after %v", after, before)
	}
	e.throughout(e.lifetimes(2), e.listing(second, "api", "a"))
}

func watchDropsCrashed(e *env) {
	owner, sibling, reader := e.open(), e.open(), e.open()
	e.register(owner, instance("api", "a"))
	e.register(sibling, instance("api", "b"))
	f := subscribeService(e, reader, "api")
	f.until(e.seen(), showing("a", "b"))
	e.crash(owner)
	f.until(e.gone(), showing("b"))
	f.silent(e.quiet(), "after the last change")
}

func watchKeepsRunning(e *env) {
	owner, reader := e.open(), e.open()
	e.register(owner, instance("api", "a"))
	f := subscribeService(e, reader, "api")
	f.until(e.seen(), showing("a"))
	for deadline := time.Now().Add(3 * e.h.TTL); time.Now().Before(deadline); {
		other := e.open()
		e.register(other, instance("api", "other"))
		keeps := func(want ...string) func(registry.Snapshot) error {
			return func(s registry.Snapshot) error {
				if !slices.Contains(ids(s.Instances), "a") {
					e.Fatalf("the watch shows %v, without the instance a of a running owner", ids(s.Instances))
				}
				return showing(want...)(s)
			}
		}
		f.until(e.seen(), keeps("a", "other"))
		e.crash(other)
		f.until(e.gone(), keeps("a"))
	}
}
