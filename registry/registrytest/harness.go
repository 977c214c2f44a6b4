package registrytest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/internal/stall"
	"github.com/rollcall-sd/rollcall/registry"
)

// Harness says how to open the registries under test and what they can do.
// What it declares is tested; what it does not declare is tested to be absent
// where absence can be seen.
type Harness struct {
	// New returns a universe of its own for one check: no instance in it, and
	// nothing shared with any other universe. Required. It is called from
	// several goroutines at once; tb is the check's.
	New func(tb testing.TB) Universe

	// Backend: what Open returns is a registry.Backend. Implies Push.
	Backend bool
	// Push: what Open returns is a registry.Watcher.
	Push bool
	// Shared: every registry that one universe's Open returns sees the same
	// instances. Without it each is alone.
	Shared bool
	// Expiry: instances go within TTL + 1 s once their registry stopped. Only a
	// second registry can see that, so it needs Shared.
	Expiry bool
	// Cached: Discover answers from memory. It shows its own registry's changes
	// at once, those of others within a heartbeat + 1 s, and goes on answering
	// while the backend is mute.
	Cached bool
	// Mute: universes have a Mute function.
	Mute bool
	// Refuse: universes have a Refuse function. Needs Expiry.
	Refuse bool

	// TTL and Heartbeat are what the registries were opened with. TTL is
	// required with Expiry and must be zero without. An expiry check lasts up to
	// five TTLs, so keep it short, but longer than a busy machine may stall the
	// process: 2 s and 500 ms are a good choice for a real server.
	// Heartbeat is also how often a watch verifies that it is up to date.
	TTL, Heartbeat time.Duration

	// Bubble runs every check in a testing/synctest bubble: for registries that
	// live in memory, with neither sockets nor goroutines that outlive Close.
	// Waiting then takes no time.
	Bubble bool
}

// Universe is one place where registries meet: a server, a namespace on it, a
// shared table in memory.
type Universe struct {
	// Open returns another registry on this universe. Required. The suite closes
	// it at the end of the check, also when the check closed or crashed it.
	Open func(tb testing.TB) registry.Registry

	// Crash stops a registry's heartbeats as the death of its process would,
	// deregistering nothing. Default: its Close, which deregisters nothing either.
	Crash func(r registry.Registry)

	// Mute makes the backend accept calls and never answer them, until the end
	// of the check. Required with Harness.Mute.
	Mute func()

	// Refuse makes the backend refuse writes, as with a full disk, and answer
	// reads, until accept is called. Required with Harness.Refuse.
	Refuse func() (accept func())
}

// capability is what a Harness may declare.
type capability uint8

const (
	push capability = 1 << iota
	backend
	shared
	expiry
	cached
	mute
	refuse
)

var powerNames = []struct {
	power capability
	name  string
}{{push, "push"}, {backend, "backend"}, {shared, "shared"}, {expiry, "expiry"}, {cached, "cached"}, {mute, "mute"}, {refuse, "refuse"}}

func (h Harness) capabilities() capability {
	var p capability
	for _, d := range []struct {
		declared bool
		power    capability
	}{{h.Push || h.Backend, push}, {h.Backend, backend}, {h.Shared, shared}, {h.Expiry, expiry}, {h.Cached, cached}, {h.Mute, mute}, {h.Refuse, refuse}} {
		if d.declared {
			p |= d.power
		}
	}
	return p
}

// validate says what is wrong with the declaration itself.
func (h Harness) validate() error {
	switch {
	case h.New == nil:
		return fmt.Errorf("Harness.New is not set")
	case h.Expiry && !h.Shared:
		return fmt.Errorf("Harness.Expiry needs Shared: only a second registry sees an instance outlive its own")
	case h.Expiry && (h.TTL <= 0 || h.Heartbeat <= 0 || h.Heartbeat >= h.TTL):
		return fmt.Errorf("Harness.Expiry needs a TTL and a Heartbeat below it: they are %v and %v", h.TTL, h.Heartbeat)
	case h.Refuse && !h.Expiry:
		return fmt.Errorf("Harness.Refuse needs Expiry: nothing shows that a lease cannot be renewed otherwise")
	case !h.Expiry && h.TTL != 0:
		return fmt.Errorf("Harness.TTL is %v, but Expiry is not declared", h.TTL)
	}
	return nil
}

// check is one promise and its test. It runs against harnesses that have all
// capabilities of needs and none of lacks.
type check struct {
	name  string
	needs capability
	lacks capability
	run   func(*env)
}

func (c check) applies(p capability) bool { return p&c.needs == c.needs && p&c.lacks == 0 }

func allChecks() []check {
	var all []check
	for _, some := range [][]check{
		discoverChecks, registerChecks, inputChecks, contextChecks, closeChecks, sharedChecks,
		expiryChecks, watchChecks, catalogChecks, backendChecks, eventChecks, muteChecks, refuseChecks, absenceChecks, lostChecks,
	} {
		all = append(all, some...)
	}
	return all
}

// maxParallel is how many checks run at a time.
const maxParallel = 8

// Run tests that the registries of h keep every promise of package registry,
// one subtest for each promise, named after it. Up to eight run at a time,
// whatever -parallel says, because most of them wait; Run returns when all have
// ended. One line of the log says which capabilities the harness does not declare and
// how many checks that leaves out.
func Run(t *testing.T, h Harness) {
	t.Helper()
	if err := h.validate(); err != nil {
		t.Fatalf("registrytest: %v", err)
	}
	p := h.capabilities()
	t.Log(summary(p))
	if !h.Bubble {
		stall.Measure(t)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	slots := make(chan struct{}, maxParallel)
	for _, c := range allChecks() {
		if !c.applies(p) {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			t.Run(c.name, func(t *testing.T) {
				if h.Bubble {
					synctest.Test(t, func(t *testing.T) { c.run(newEnv(t, h)) })
				} else {
					c.run(newEnv(t, h))
				}
			})
		})
	}
}

// summary lists what is declared and what that leaves out.
func summary(p capability) string {
	var declared, absent []string
	for _, n := range powerNames {
		if p&n.power != 0 {
			declared = append(declared, n.name)
		} else {
			absent = append(absent, n.name)
		}
	}
	run, left := 0, 0
	for _, c := range allChecks() {
		switch {
		case c.applies(p):
			run++
		case p&c.needs != c.needs:
			left++
		}
	}
	return fmt.Sprintf("registrytest: %d checks; declared: %s; not declared: %s, which leaves out %d checks",
		run, orNone(declared), orNone(absent), left)
}

func orNone(names []string) string {
	if len(names) == 0 {
		return "nothing"
	}
	return strings.Join(names, ", ")
}
