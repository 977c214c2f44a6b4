package core

import (
	"fmt"
	"slices"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// evidence says why records are gone: by ID, the reason and the latest stamp it covers.
type evidence map[string]store.Tombstone

// ended returns the reason for which a record has ended, "" when nothing shows that it has.
func (ev evidence) reason(e *Entry) store.Reason {
	if t, ok := ev[e.ID]; ok && t.RegisteredAt >= e.RegisteredAt {
		return t.Reason
	}
	return ""
}

// fate is what a watch does about an instance that it shows and that the backend
// does not list.
type verdict uint8

const (
	// retained: it is shown, and the state is Stale, until its owner had the time to
	// register it again and a read proves that it did not.
	retain verdict = iota
	// doubted: it is shown for a short time, in which its owner may show up.
	wait
	// dropped: it is not shown any longer.
	drop
)

// judge is the rule that watches drop an instance only on evidence. ended is the
// evidence that the backend's answer gives. blind: owners may have been unable to
// renew since the last answer, because the backend was not there, refused writes
// or had its clock set. docs/architecture.md has it as a table.
//
// An expiry is evidence only if the backend accepted a write after the end of the
// lease: no Reading says Expired without that.
func judge(ended store.Reason, blind bool) verdict {
	switch {
	case ended == store.ReasonDeregistered, ended == store.ReasonMoved:
		return drop
	case ended == store.ReasonExpired && !blind:
		return wait
	}
	return retain
}

// held is an instance that is shown although the backend does not list it.
type retainedInstance struct {
	entry    *Entry
	graceEnd time.Time
	// loss: it is gone without proof; otherwise its lease has just run out, and
	// owners that were held up as the backend was get a moment to show up.
	loss bool
}

// doubt is how long an expiry must stand before watchers are told. Owners try
// again at most retryMost apart, so after a short stall of the backend, which
// no reader may have noticed, they are back by then.
const expiryGrace = maxRetryPause + 100*time.Millisecond

// heldUntil is when an owner has had the time to register again, if the backend
// answers since a moment between since and at. The read that then shows the end
// takes a little, too, but not at the cost of what an owner's next try may take.
func (e *Entry) lossGraceEnd(since, at time.Time) time.Time {
	const read = 200 * time.Millisecond
	return maxTime(since.Add(max(e.TTL, e.HeartbeatInterval+time.Second)-read), at.Add(e.HeartbeatInterval+maxRetryPause))
}

// outage remembers which records a group had when the backend could not be read
// or refused writes. Guarded by the group's lock.
type outage struct {
	expected      []*Entry  // nil when there was none
	writableSince time.Time // since when each read found that the backend accepts writes
	lastWritable  time.Time // when the last of these was answered
}

// begin notes that a read failed, with what was known before: the truth, and what
// it lacks since an outage that had just ended.
func (o *outage) begin(t *serviceState) {
	unproven := slices.Clip(t.live) // shared: what is appended must not be
	for _, e := range o.expected {
		if !t.isLive(e.ID) {
			unproven = append(unproven, e)
		}
	}
	o.expected, o.writableSince = unproven, time.Time{}
}

// learn takes the evidence of a reading or a push.
func (o *outage) applyEvidence(ev evidence) {
	if o.expected == nil || len(ev) == 0 {
		return
	}
	o.expected = slices.DeleteFunc(slices.Clone(o.expected), func(e *Entry) bool { return judge(ev.reason(e), true) == drop })
}

// settle returns why readers cannot be answered from the truth after a read that
// succeeded: the backend refuses writes (refused), or accepts them again since
// less than owners take for their next try, and some of what it had is not back.
// The read began at start and was answered at the time at.
func (o *outage) verify(t *serviceState, refused error, start, at time.Time) error {
	switch {
	case refused != nil:
		o.begin(t)
		return refused
	case o.expected == nil:
		return nil
	case o.writableSince.IsZero(), start.Sub(o.lastWritable) > expiryGrace/2:
		o.writableSince = at // in a longer pause it may have refused them again
	}
	o.lastWritable = at
	if at.Sub(o.writableSince) < expiryGrace {
		for _, e := range o.expected {
			if !t.isLive(e.ID) {
				return fmt.Errorf("%w: it answers and accepts writes again only now, and the owner of instance %q may not have renewed it yet",
					store.ErrUnavailable, e.ID)
			}
		}
	}
	o.expected = nil
	return nil
}
