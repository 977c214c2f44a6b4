package registrytest

import (
	"fmt"

	"github.com/rollcall-sd/rollcall/registry"
)

var sharedChecks = []check{
	{name: "universes share nothing", run: universesApart},
	{name: "every registry sees the same instances in the same order", needs: shared, run: peersAgree},
	{name: "of two owners of one ID the newest wins", needs: shared, run: newestWins},
	{name: "an earlier owner's Deregister leaves the newest alone", needs: shared, run: earlierLeavesAlone},
	{name: "deregistering another's instance by its ID is final", needs: shared, run: deregisterByID},
	{name: "another owner's registration under another name moves the ID", needs: shared, run: foreignMove},
	{name: "a new Register brings a deregistered instance back", needs: shared, run: registerAfterForeignDeregister},
}

func universesApart(e *env) {
	r, other := e.open(), newEnv(e.TB, e.h).open()
	e.register(r, instance("api", "a"))
	e.lists(other, "api")
	e.register(other, at("api", "a", 9))
	e.deregister(other, "a")
	e.lists(r, "api", "a")
	e.lists(other, "api")
}

func peersAgree(e *env) {
	peers := []registry.Registry{e.open(), e.open(), e.open()}
	var want []string
	for i := range 12 {
		id := fmt.Sprintf("%02d", i*5%12)
		e.register(peers[i%3], instance("api", id))
		want = append(want, id)
	}
	for _, r := range peers {
		e.peerLists(r, "api", want...)
	}
	first := e.discover(peers[0], "api")
	for _, r := range peers[1:] {
		if err := sameLists(e.discover(r, "api"), first); err != nil {
			e.Fatalf("two registries differ: %v", err)
		}
	}
	for i, id := range want {
		if err := differs(first[i], instance("api", id)); err != nil {
			e.Fatalf("instance %q: %v", id, err)
		}
	}
}

// ported requires that every registry shows one instance "a" with that port.
func ported(e *env, port int, registries ...registry.Registry) func() error {
	return func() error {
		for i, r := range registries {
			got := e.discover(r, "api")
			if len(got) != 1 || got[0].ID != "a" || got[0].Port != port {
				return fmt.Errorf("registry %d shows %+v, want the one instance a with port %d", i, got, port)
			}
		}
		return nil
	}
}

func newestWins(e *env) {
	earlier, later := e.open(), e.open()
	e.register(earlier, at("api", "a", 1))
	e.register(later, at("api", "a", 2))
	wins := ported(e, 2, earlier, later)
	e.within(e.lag(), wins)
	e.throughout(e.lifetimes(2), wins)
	e.register(earlier, at("api", "a", 3)) // a new call makes it the newest
	wins = ported(e, 3, earlier, later)
	e.within(e.lag(), wins)
	e.throughout(e.quiet(), wins)
}

func earlierLeavesAlone(e *env) {
	earlier, superseded, later := e.open(), e.open(), e.open()
	e.register(superseded, at("api", "a", 1))
	e.register(earlier, at("api", "a", 2))
	e.register(later, at("api", "a", 3))
	e.deregister(earlier, "a")
	wins := ported(e, 3, later)
	e.within(0, wins)
	e.throughout(e.quiet(), wins) // after which the first owner knows
	e.deregister(superseded, "a")
	e.within(0, wins)
	e.throughout(e.quiet(), wins)
}

func deregisterByID(e *env) {
	owner, operator := e.open(), e.open()
	e.register(owner, instance("api", "a"), instance("api", someUUID), instance("api", "b"))
	e.deregister(operator, "a")
	e.deregister(operator, someUUID)
	e.peerLists(owner, "api", "b")
	e.peerLists(operator, "api", "b")
	e.throughout(e.lifetimes(2), func() error {
		e.lists(owner, "api", "b")
		e.lists(operator, "api", "b")
		return nil
	})
}

func foreignMove(e *env) {
	earlier, later := e.open(), e.open()
	e.register(earlier, instance("old", "a"), instance("old", someUUID), instance("old", "b"))
	e.register(later, instance("new", "a"), instance("new", someUUID))
	for _, r := range []registry.Registry{earlier, later} {
		e.peerLists(r, "new", "a", someUUID)
		e.peerLists(r, "old", "b")
	}
	e.throughout(e.quiet(), func() error {
		e.lists(later, "old", "b")
		e.lists(later, "new", "a", someUUID)
		return nil
	})
}

func registerAfterForeignDeregister(e *env) {
	owner, operator := e.open(), e.open()
	e.register(owner, at("api", "a", 1))
	e.deregister(operator, "a")
	e.register(owner, at("api", "a", 1))
	back := ported(e, 1, owner, operator)
	e.within(e.lag(), back)
	e.throughout(e.lifetimes(2), back)
}
