package registry

import (
	"time"

	"github.com/rollcall-sd/rollcall/internal/core"
	"github.com/rollcall-sd/rollcall/internal/store"
)

// Observer receives what a registry does, for metrics. Each func may be nil, and
// so may the Observer. The funcs are called from the registry's own goroutines:
// they must be safe for concurrent use and must neither block nor call the
// registry. Set them before the registry is made, and do not change them later.
type Observer struct {
	// Heartbeat is called when a heartbeat ends: how many leases it renewed and how
	// long it took. err is not nil when it failed.
	Heartbeat func(instances int, took time.Duration, err error)
	// HeartbeatLate is called when a heartbeat succeeds after it was due, with the delay.
	HeartbeatLate func(late time.Duration)
	// Missing is called when the backend no longer holds a registration. It is
	// registered again.
	Missing func(service, id string)
	// Reregistered is called when a missing registration is back.
	Reregistered func(service, id string)
	// Superseded is called when a newer owner registered the ID of a registration,
	// whose heartbeat has stopped.
	Superseded func(service, id string)
	// Deregistered is called when another registry deregistered a registration,
	// whose heartbeat has stopped.
	Deregistered func(service, id string)
	// Resync is called when a watch reads its service instead of applying a change.
	Resync func(service string, reason ResyncReason)
	// Read is called when an authoritative read of a service ends.
	Read func(service string, kind ReadKind, took time.Duration, err error)
	// SnapshotAge is called at each check of a watched service with the time since
	// the backend last confirmed its state.
	SnapshotAge func(service string, age time.Duration)
	// BadRecord is called once for each record in the backend that cannot be read and
	// is left out. An empty id means that the service's own data is not the registry's.
	BadRecord func(service, id string)
}

// ResyncReason says why a watch reads its service.
type ResyncReason string

// Reasons of a resync.
const (
	ResyncStart     ResyncReason = "start"     // the first read of a watch
	ResyncGap       ResyncReason = "gap"       // a message was missed
	ResyncConnected ResyncReason = "connected" // the subscription was established again
	ResyncCheck     ResyncReason = "check"     // the periodic check found a change that was not pushed
	ResyncExpiry    ResyncReason = "expiry"    // an instance reached its expiry
)

// ReadKind says how much an authoritative read fetched.
type ReadKind string

// Kinds of reads.
const (
	ReadUnchanged ReadKind = "unchanged" // the known state was confirmed
	ReadDelta     ReadKind = "delta"     // what changed was fetched
	ReadFull      ReadKind = "full"      // everything was fetched
)

// hooks returns the Observer in the form of package core.
func (o *Observer) hooks() core.Hooks {
	if o == nil {
		return core.Hooks{}
	}
	h := core.Hooks{
		Heartbeat: o.Heartbeat, HeartbeatLate: o.HeartbeatLate, Missing: o.Missing, Reregistered: o.Reregistered,
		SnapshotAge: o.SnapshotAge, Malformed: o.BadRecord,
		Lost: func(service, id string, loss core.Loss) {
			report := o.Superseded
			if loss == core.LossDeregisteredByOther {
				report = o.Deregistered
			}
			if report != nil {
				report(service, id)
			}
		},
	}
	if o.Resync != nil {
		h.Resync = func(service, reason string) { o.Resync(service, ResyncReason(reason)) }
	}
	if o.Read != nil {
		h.Read = func(service string, kind store.ReadingKind, took time.Duration, err error) {
			o.Read(service, readKinds[kind], took, err)
		}
	}
	return h
}

var readKinds = map[store.ReadingKind]ReadKind{store.Unchanged: ReadUnchanged, store.Delta: ReadDelta, store.Full: ReadFull}
