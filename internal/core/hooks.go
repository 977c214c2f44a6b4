package core

import "time"

// Hooks are called with what an engine does. Each may be nil.
type Hooks struct {
	Heartbeat     func(instances int, took time.Duration, err error)
	HeartbeatLate func(late time.Duration)
	Lost          func(service, id string)
	Reregistered  func(service, id string)
	Superseded    func(service, id string, removed bool)
	Resync        func(service, reason string)
	Read          func(service, kind string, took time.Duration, err error)
	SnapshotAge   func(service string, age time.Duration)
	BadRecord     func(service, id string)
}

// Why a service was read although no caller asked for it.
const (
	resyncStart  = "start"  // a watch began
	resyncGap    = "gap"    // a push does not follow the state
	resyncCheck  = "check"  // once per heartbeat interval
	resyncExpiry = "expiry" // a lease or a grace period ends, or a retry is due
)

func (h *Hooks) heartbeat(n int, took time.Duration, err error) {
	if h.Heartbeat != nil {
		h.Heartbeat(n, took, err)
	}
}

func (h *Hooks) heartbeatLate(d time.Duration) {
	if h.HeartbeatLate != nil {
		h.HeartbeatLate(d)
	}
}

func (h *Hooks) lost(service, id string) {
	if h.Lost != nil {
		h.Lost(service, id)
	}
}

func (h *Hooks) reregistered(service, id string) {
	if h.Reregistered != nil {
		h.Reregistered(service, id)
	}
}

func (h *Hooks) superseded(service, id string, removed bool) {
	if h.Superseded != nil {
		h.Superseded(service, id, removed)
	}
}

func (h *Hooks) resync(service, reason string) {
	if h.Resync != nil {
		h.Resync(service, reason)
	}
}

func (h *Hooks) badRecord(service, id string) {
	if h.BadRecord != nil {
		h.BadRecord(service, id)
	}
}
