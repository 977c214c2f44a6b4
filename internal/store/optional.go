package store

import (
	"context"
	"time"
)

// A Store may implement these interfaces as well. There are no others.

// Local is a Store in the memory of this process, whose state can be had at any
// time without a request.
type Local interface {
	// Current returns the service's state: the same pointer while nothing changes.
	Current(service string) (*LocalState, error)

	// Leases returns the service's records, oldest first, with the present ends of their
	// leases. Shared, read only.
	Leases(service string) ([]*Record, error)
}

// LocalState is a Full reading of a Local store. Shared, read only.
type LocalState struct {
	Reading
	// Cached keeps what the reader computes from this state.
	Cached CachedValue
}

// Resubscriber is a Store whose pushes come over a connection that can fail
// without a sign.
type Resubscriber interface {
	// Resubscribe replaces that connection. It does not wait.
	Resubscribe()
}

// WatcherLeases is a Store that several processes watch. Each watching process
// holds a lease per service, which says the revision that its subscribers have
// acknowledged. Drain waits on that.
type WatcherLeases interface {
	// RenewWatcherLeases renews this process's leases. It returns the results in the
	// given order, when ctx ends at the latest. A lease that is not renewed ends
	// after its TTL.
	RenewWatcherLeases(ctx context.Context, leases []WatcherLease) []WatcherLeaseResult

	// LaggingWatchers reports the processes that watch a service and have not
	// acknowledged rev, at which the overlay of id was patched.
	LaggingWatchers(ctx context.Context, service, id, rev string) (Watchers, error)
}

// WatcherLease is the lease of one process as a watcher of a service.
type WatcherLease struct {
	Service      string
	TTL          time.Duration // 0: it stopped watching
	Acknowledged string        // the last revision that all its subscribers acknowledged
}

// WatcherLeaseResult answers for one WatcherLease.
type WatcherLeaseResult struct {
	Continued bool  // the lease had not ended since it was renewed before
	Err       error // may be an ErrWritesRefused or an ErrNoPermission
}

// Watchers is what a backend knows of the processes that watch a service.
type Watchers struct {
	Lagging      int           // processes that have not acknowledged the revision or a later one
	LongestLease time.Duration // until the last lease of those ends
	RemembersRev bool          // the backend has kept its memory of the service since the revision
	// MemoryID names what the backend remembers of the service: with another value it
	// lost its memory, and may not know of all watchers yet. "": unknown.
	MemoryID string
	// MemoryLostAgo, if not negative, is how long ago the backend lost its memory of
	// the service, when the instance is registered since longer.
	MemoryLostAgo time.Duration
}

// Sharer is a Store whose backend other stores of this process can use as well, each as
// another owner.
type Sharer interface {
	// Share returns a store that writes as owner, letters and digits. Events show it by
	// name. Closing it leaves this one open; it must be closed before this one.
	Share(owner, name string) (Store, error)
}

// SharedLocal is a Local store whose memory other stores can share. Those may end
// registrations of its engine, and wait for watches of its engine.
type SharedLocal interface {
	Local
	Sharer

	// Attach tells the store of its engine. It is called once, before any other method.
	Attach(Companion)

	// LaggingWatchers reports the owners of the other stores that watch a service and have
	// not acknowledged rev, at which the overlay of id was patched.
	LaggingWatchers(ctx context.Context, service, id, rev string) (Watchers, error)
}

// Companion is what a SharedLocal asks of its engine. Its methods do not wait.
type Companion interface {
	// Decode returns the Decoded of a record. An error refuses the record.
	Decode(service string, r *Record) (any, error)
	// Recheck is called after another owner ended a registration of the engine.
	Recheck()
	// Acknowledged returns a channel that is closed once all watches of the service that
	// the engine has now have acknowledged the present state.
	Acknowledged(service string) <-chan struct{}
}
