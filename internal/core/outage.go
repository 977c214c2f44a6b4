package core

import (
	"fmt"
	"slices"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// outage remembers which records a service had when the backend could not be read
// or refused writes, so that no read reports as absent what its owner could not
// renew. The service's lock guards it.
type outage struct {
	expected      []*Entry  // nil if there was no outage, or it is over
	writableSince time.Time // since when each answer found that the backend accepts writes
	lastWritable  time.Time // when the last of these answers came
}

// begin records that a read failed. expected becomes what the state lists, and
// what it lacks since an outage that is not over.
func (o *outage) begin(state *serviceState) {
	expected := slices.Clip(state.live) // shared, so that append must copy it
	for _, e := range o.expected {
		if !state.isLive(e.ID) {
			expected = append(expected, e)
		}
	}
	o.expected, o.writableSince = expected, time.Time{}
}

// applyEvidence stops expecting the records that were deregistered or moved.
func (o *outage) applyEvidence(ev evidence) {
	if o.expected == nil || len(ev) == 0 {
		return
	}
	o.expected = slices.DeleteFunc(slices.Clone(o.expected), func(e *Entry) bool {
		return decide(situation{tombstone: ev.reason(e), disconnected: true}) == drop
	})
}

// verify returns why the state that a read found is no answer yet for callers:
// the backend refuses writes (refused), or has accepted them again for less time
// than owners need for their next try, and some expected record is not back. The
// read began at start and was answered at the time at.
func (o *outage) verify(state *serviceState, refused error, start, at time.Time) error {
	switch {
	case refused != nil:
		o.begin(state)
		return refused
	case o.expected == nil:
		return nil
	case o.writableSince.IsZero(), start.Sub(o.lastWritable) > expiryGrace/2:
		o.writableSince = at // in a longer pause it may have refused them again
	}
	o.lastWritable = at
	if at.Sub(o.writableSince) < expiryGrace {
		for _, e := range o.expected {
			if !state.isLive(e.ID) {
				return fmt.Errorf("%w: it accepts writes again only now, and the owner of instance %q may not have renewed it yet",
					store.ErrUnavailable, e.ID)
			}
		}
	}
	o.expected = nil
	return nil
}
