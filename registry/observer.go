package registry

import (
	"time"

	"github.com/rollcall-sd/rollcall/internal/core"
)

// Observer is told what a registry does, for metrics. Any of its funcs may be
// nil, and so may the Observer. They are called from the registry's own
// goroutines, must be safe for concurrent use and must not block or call the
// registry. Set it before the registry starts and do not change it.
type Observer struct {
	// Heartbeat: a beat ended; instances is how many leases it renewed, took how long it took.
	// A failed beat has a non-nil err.
	Heartbeat func(instances int, took time.Duration, err error)
	// HeartbeatLate: a beat succeeded this long after it was due.
	HeartbeatLate func(late time.Duration)
	// Lost: the backend no longer held this registration, which is being registered again.
	Lost func(service, id string)
	// Healed: a lost registration is back.
	Healed func(service, id string)
	// Superseded: a newer owner took over this ID, or (removed) somebody else deregistered it; its heartbeat has stopped.
	Superseded func(service, id string, removed bool)
	// Resync: a watch had to read again instead of following changes; reason is one of the Resync constants.
	Resync func(service, reason string)
	// Read: an authoritative read ended; kind is one of the Read constants.
	Read func(service, kind string, took time.Duration, err error)
	// SnapshotAge: how long ago the backend last confirmed a watched state, once per check.
	SnapshotAge func(service string, age time.Duration)
	// BadRecord: a record found in the backend could not be read and was left out. With an empty id: the
	// service's own data is not the registry's. Once for each.
	BadRecord func(service, id string)
}

// Reasons given to Observer.Resync.
const (
	ResyncStart     = "start"     // the first read of a watch
	ResyncGap       = "gap"       // a message was missed
	ResyncConnected = "connected" // the subscription was established again
	ResyncCheck     = "check"     // the timed check found a change that was not pushed
	ResyncExpiry    = "expiry"    // an instance reached its expiry
)

// Kinds given to Observer.Read.
const (
	ReadUnchanged = "unchanged" // the known state was confirmed
	ReadDelta     = "delta"     // what changed was fetched
	ReadFull      = "full"      // everything was fetched
)

// hooks is the Observer as the core knows it.
func (o *Observer) hooks() core.Hooks {
	if o == nil {
		return core.Hooks{}
	}
	return core.Hooks{
		Heartbeat: o.Heartbeat, HeartbeatLate: o.HeartbeatLate, Lost: o.Lost, Reregistered: o.Healed,
		Superseded: o.Superseded, Resync: o.Resync, Read: o.Read, SnapshotAge: o.SnapshotAge, BadRecord: o.BadRecord,
	}
}
