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
