package balance

import (
	"fmt"

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
	s := &candidates{changed: make(chan struct{})}
	if c.zone != "" {
		var near, far []endpoint
		for _, e := range chosen {
			if e.info.Metadata[registry.MetadataZone] == c.zone {
				near = append(near, e)
			} else {
				far = append(far, e)
			}
		}
		if len(near) > 0 {
			s.near, s.far = newAliasTable(near), newAliasTable(far)
			return s
		}
	}
	s.near = newAliasTable(chosen)
	return s
}

// noInstances says why there is no instance to call.
func noInstances(snap *registry.Snapshot, s *selection) error {
	var err error
	switch {
	case len(snap.Instances) > 0 && s.all():
		err = fmt.Errorf("%w: no callable instances of %q: a newer registration has the address of each, and is critical or draining", ErrNoInstances, snap.Service)
	case len(snap.Instances) > 0:
		err = fmt.Errorf("%w: none of the %d instances of %q has %v", ErrNoInstances, len(snap.Instances), snap.Service, s)
	case len(snap.Others) > 0:
		err = fmt.Errorf("%w: no callable instances of %q: %d critical or draining", ErrNoInstances, snap.Service, len(snap.Others))
	default:
		err = fmt.Errorf("%w: no instances of %q", ErrNoInstances, snap.Service)
	}
	if snap.Stale != nil {
		err = fmt.Errorf("%w, as far as is known: %w", err, snap.Stale)
	}
	return err
}
