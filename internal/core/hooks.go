package core

import (
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// Hooks are called with what an engine does, from any goroutine. Each may be nil.
type Hooks struct {
	// Heartbeat is called when a request for a heartbeat ends.
	Heartbeat func(instances int, took time.Duration, err error)
	// HeartbeatLate is called when a heartbeat succeeds after it was due.
	HeartbeatLate func(late time.Duration)
	// Missing is called when the backend has lost a registration, and Reregistered
	// when it is back.
	Missing, Reregistered func(service, id string)
	// Lost is called when a registration ends for a reason other than this engine.
	Lost func(service, id string, loss Loss)
	// Resync is called after a read that no caller asked for.
	Resync func(service, reason string)
	// Read is called after each read.
	Read func(service string, kind store.ReadingKind, took time.Duration, err error)
	// SnapshotAge is called at each check with the time since the state was confirmed.
	SnapshotAge func(service string, age time.Duration)
	// Malformed is called once for each record that cannot be read, and with the ID ""
	// for a service that cannot.
	Malformed func(service, id string)
}

// Reasons of a resync. There are also those of a store.Notice.
const (
	ResyncStart  = "start"  // a watch began
	ResyncCheck  = "check"  // once per heartbeat interval
	ResyncExpiry = "expiry" // a lease or a grace period ends, or a retry is due
)

// setDefaults sets what is nil to a function that does nothing.
func (h *Hooks) setDefaults() {
	if h.Heartbeat == nil {
		h.Heartbeat = func(int, time.Duration, error) {}
	}
	if h.HeartbeatLate == nil {
		h.HeartbeatLate = func(time.Duration) {}
	}
	if h.Missing == nil {
		h.Missing = func(string, string) {}
	}
	if h.Reregistered == nil {
		h.Reregistered = func(string, string) {}
	}
	if h.Lost == nil {
		h.Lost = func(string, string, Loss) {}
	}
	if h.Resync == nil {
		h.Resync = func(string, string) {}
	}
	if h.Read == nil {
		h.Read = func(string, store.ReadingKind, time.Duration, error) {}
	}
	if h.SnapshotAge == nil {
		h.SnapshotAge = func(string, time.Duration) {}
	}
	if h.Malformed == nil {
		h.Malformed = func(string, string) {}
	}
}
