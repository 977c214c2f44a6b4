package balance

import (
	"fmt"

	"github.com/rollcall-sd/rollcall/internal/selector"
	"github.com/rollcall-sd/rollcall/registry"
)

// candidates are the endpoints to pick from after one snapshot. They never change.
type candidates struct {
	near    aliasTable // those in the caller's zone; all if it has none or none is in it
	far     aliasTable
	problem error         // why it is empty; nil if it is not
	waiting bool          // for the first snapshot
	final   bool          // no others follow
	changed chan struct{} // closed when others follow
}

func (s *candidates) size() int { return len(s.near.endpoints) + len(s.far.endpoints) }

func (s *candidates) empty() bool { return len(s.near.endpoints) == 0 }

func noCandidates(problem error) *candidates {
	return &candidates{problem: problem, changed: make(chan struct{})}
}

// newCandidates makes candidates of the endpoints of a snapshot that were selected.
func newCandidates(snap *registry.Snapshot, chosen []endpoint, c *config) *candidates {
	if len(chosen) == 0 {
		return noCandidates(noInstances(snap, &c.selection))
	}
	near, far := selector.SplitZone(chosen, c.zone, func(e endpoint) *registry.ServiceInfo { return e.info })
	return &candidates{near: newAliasTable(near), far: newAliasTable(far), changed: make(chan struct{})}
}

// noInstances says why there is no instance to call.
func noInstances(snap *registry.Snapshot, s *selection) error {
	err := fmt.Errorf("%w: %s", ErrNoInstances, selector.Absence(snap, s.String()))
	if snap.Stale != nil {
		err = fmt.Errorf("%w, as far as is known: %w", err, snap.Stale)
	}
	return err
}
