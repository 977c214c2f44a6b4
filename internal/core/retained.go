package core

import (
	"strconv"
	"time"
)

// expiryGrace is how long an expiry must stand before a watch believes it. An
// owner tries again at most maxRetryPause after a failed heartbeat. So after a
// stall of the backend that was too short for a reader to notice, the owner has
// renewed or registered its instances again by then.
const expiryGrace = maxRetryPause + 100*time.Millisecond

// retainedInstances are the instances that a hub shows although the backend does
// not list them, by ID. The caller holds the service's lock.
type retainedInstances map[string]*retainedInstance

type retainedInstance struct {
	entry    *Entry
	graceEnd time.Time
	lost     bool // there is no evidence that it ended; otherwise its lease has just expired
}

// update applies the drop rule to the instances that the backend listed before
// this answer (previous) and to those retained so far. If the backend lost
// instances, it did so at lossTime or later.
func (r retainedInstances) update(state *serviceState, previous []*Entry, ev evidence, a *answer, disconnected bool, lossTime time.Time) {
	for _, e := range previous {
		if r[e.ID] != nil {
			continue // handled below
		}
		switch decide(situation{listed: state.isLive(e.ID), tombstone: ev.reason(e), disconnected: disconnected}) {
		case retainAsLost:
			r[e.ID] = &retainedInstance{entry: e, graceEnd: e.lossGraceEnd(lossTime, a.at), lost: true}
		case retainAsExpired:
			r[e.ID] = &retainedInstance{entry: e, graceEnd: a.at.Add(expiryGrace)}
		}
	}
	for id, i := range r {
		grace := graceRunning
		if a.writesProven && !a.at.Before(i.graceEnd) {
			grace = graceOver
		}
		switch decide(situation{state.isLive(id), ev.reason(i.entry), disconnected, grace}) {
		case showListed, drop:
			delete(r, id)
		case retainAsLost: // its owner's time begins again
			i.lost, i.graceEnd = true, later(i.graceEnd, i.entry.lossGraceEnd(lossTime, a.at))
		}
	}
}

// lossGraceEnd returns when an owner has had the time to register a lost instance
// again: the greater of the TTL and heartbeat + 1 s after the loss, and not before
// its next heartbeat. The loss was at lossTime or later, and known at the time known.
func (e *Entry) lossGraceEnd(lossTime, known time.Time) time.Time {
	const forRead = 200 * time.Millisecond // for the read that then shows the end
	return later(lossTime.Add(max(e.TTL, e.HeartbeatInterval+time.Second)-forRead), known.Add(e.HeartbeatInterval+maxRetryPause))
}

// hasLosses reports whether instances are shown that the backend may have lost.
func (r retainedInstances) hasLosses() bool {
	for _, i := range r {
		if i.lost {
			return true
		}
	}
	return false
}

// labels returns a text for each retained registration, for a revision number.
func (r retainedInstances) labels() []string {
	labels := make([]string, 0, len(r))
	for id, i := range r {
		labels = append(labels, id+"\n"+strconv.FormatUint(i.entry.Revision(), 36))
	}
	return labels
}

// later returns the later of two times.
func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
