package core

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// watcherLease is what a hub knows of this process's watcher lease of the service.
// By these leases a Drain of another process knows who watches. Subscribers are
// handed no state unless the backend knew of the lease before the state was read,
// and has known of it since: otherwise a Drain could return while a subscriber
// has the instance, or is about to be handed it.
//
// The service's lock guards the fields that are not atomic.
type watcherLease struct {
	needed     bool                      // other processes can drain instances
	validUntil atomic.Pointer[time.Time] // the backend keeps the lease at least until then; nil before there is one
	number     uint64                    // grows with each lease that does not continue the one before
	stateRead  bool                      // a read that began under the lease has ended
	// uncertain: the backend may have lost its memory, and the lease with it.
	uncertain bool
	failures  int
	err       error // why there is no lease, once that is to be shown
	refused   bool  // the backend accepts no writes, neither leases nor drains
	denied    bool  // this user has no right to take a lease: drains do not know of the process
}

// valid reports whether subscribers may be handed what the backend says.
func (l *watcherLease) valid() bool {
	return !l.needed || l.denied || l.stateRead && !l.uncertain && !l.mayHaveEnded()
}

// mayHaveEnded reports whether the lease may have ended because it was not renewed
// in time. It needs no lock.
func (l *watcherLease) mayHaveEnded() bool {
	until := l.validUntil.Load()
	return until != nil && time.Now().After(*until)
}

// renewed takes the answer to a renewal that began at start. It reports whether the
// state has to be read, because it was not read under this lease.
func (l *watcherLease) renewed(start time.Time, ttl time.Duration, r store.WatcherLeaseResult) (read bool) {
	if r.Err != nil {
		l.failures++
		l.denied = errors.Is(r.Err, store.ErrNoPermission)
		l.refused = errors.Is(r.Err, store.ErrWritesRefused)
		if l.refused || l.failures > 1 || time.Since(start) > slowFailure {
			l.err = r.Err
		}
		return l.failures == 1 && l.number == 0
	}
	continued := r.Continued && l.number > 0 && !l.mayHaveEnded()
	until := start.Add(ttl)
	l.validUntil.Store(&until)
	l.failures, l.err, l.refused, l.denied, l.uncertain = 0, nil, false, false, false
	if continued {
		return false
	}
	l.number++
	l.stateRead = false
	return true
}

// readFinished takes the end of a read that began under the lease of that number.
// memoryLost: the backend may have lost its memory. It reports whether subscribers
// that waited for the lease may be handed states now.
func (l *watcherLease) readFinished(number uint64, memoryLost bool) (wake bool) {
	wake = !l.stateRead && number > 0 && number == l.number
	l.stateRead = l.stateRead || wake
	l.uncertain = l.uncertain || memoryLost && l.needed
	return wake
}
