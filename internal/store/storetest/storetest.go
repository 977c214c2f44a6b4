// Package storetest is the conformance suite of the seam: one subtest for each
// rule that package store states. A Harness declares what its backend cannot do; the
// suite then checks what it does instead, and lists the checks that it omits.
package storetest

import (
	"strings"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// Harness is a backend under test.
type Harness struct {
	// New returns how to open stores on a backend of its own, empty so far. All
	// that one opener returns share the backend. The suite closes them.
	New func(t *testing.T) Backend

	// Leases: records expire unless they are renewed.
	Leases bool
	// SharedBackend: several stores see the same records.
	SharedBackend bool
	// Deltas: reads and notices say what changed. Otherwise each is a whole state.
	Deltas bool
	// Atomic: what changes several services changes them, and the catalog, in one step.
	Atomic bool
	// RefusesWrites: the backend may refuse writes while it answers reads.
	RefusesWrites bool
	// Events: the backend remembers what changed.
	Events bool
}

// Backend is one backend of a test.
type Backend struct {
	// Open returns a store that writes as owner, letters and digits, with the name NameOf(owner).
	Open func(owner string) store.Store
	// Expire makes leases of a service end at once; with Leases. In the
	// catalog, the IDs are names.
	Expire func(service string, ids ...string)
	// RefuseWrites makes the backend refuse writes and answer reads, until accept is
	// called; with RefusesWrites.
	RefuseWrites func() (accept func())
}

// NameOf is the name by which events of a test show an owner's store.
func NameOf(owner string) string { return "test@host-" + owner + " pid 1" }

// The records of the suite expire so late that none does by itself.
const (
	ttl       = 10 * time.Minute
	heartbeat = 3 * time.Minute
	timeout   = 20 * time.Second // for what a working store does within milliseconds
)

// check is one check. It is omitted if the harness lacks one of its needs, or has
// its unless.
type check struct {
	name   string
	needs  capability
	unless capability
	run    func(*env)
}

type capability uint8

const (
	leases capability = 1 << iota
	owners
	deltas
	atomicSteps
	refusesWrites
	remembers
)

func (h Harness) capabilities() capability {
	var p capability
	for bit, has := range map[capability]bool{leases: h.Leases, owners: h.SharedBackend, deltas: h.Deltas, atomicSteps: h.Atomic, refusesWrites: h.RefusesWrites, remembers: h.Events} {
		if has {
			p |= bit
		}
	}
	return p
}

// Run runs every check that the harness does not exclude.
func Run(t *testing.T, h Harness) {
	has := h.capabilities()
	var out []string
	for _, part := range [][]check{putChecks, ownerChecks, renewChecks, removeChecks, eventChecks, historyChecks, overlayChecks, readChecks, watchChecks, catalogChecks, refusedWriteChecks, closeChecks} {
		for _, c := range part {
			if c.needs&^has != 0 || c.unless&has != 0 {
				out = append(out, c.name)
				continue
			}
			t.Run(c.name, func(t *testing.T) { c.run(newEnv(t, h)) })
		}
	}
	if len(out) > 0 {
		t.Logf("not promised by this backend, as its harness declares:\n\t%s", strings.Join(out, "\n\t"))
	}
}
