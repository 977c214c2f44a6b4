package balance

import (
	"fmt"

	"github.com/rollcall-sd/rollcall/registry"
)

// set is what there is to pick from after one snapshot; it never changes.
type set struct {
	near    group // the caller's zone; everybody if it has none or is in none
	far     group
	problem error         // why it is empty; nil if it is not
	waiting bool          // for the first snapshot
	final   bool          // there will be no other
	changed chan struct{} // closed when there is another
}

func (s *set) size() int { return len(s.near.endpoints) + len(s.far.endpoints) }

func (s *set) empty() bool { return len(s.near.endpoints) == 0 }

func emptySet(problem error) *set {
	return &set{problem: problem, changed: make(chan struct{})}
}

// newSet makes a set of the endpoints that a selection left of a snapshot.
func newSet(snap *registry.Snapshot, chosen []endpoint, c *config) *set {
	if len(chosen) == 0 {
		return emptySet(noInstances(snap, &c.selection))
	}
	s := &set{changed: make(chan struct{})}
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
			s.near, s.far = newGroup(near), newGroup(far)
			return s
		}
	}
	s.near = newGroup(chosen)
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
