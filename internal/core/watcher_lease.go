package core

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// watcherLease is what a topic knows of this process's lease as a watcher of the
// service. Loops are handed no state unless the backend knew of them before it
// was read and has known of them since: otherwise a drain could end while a loop
// holds, or is about to be handed, the instance.
//
// Its fields are guarded by the group's lock unless atomic.
type watcherLease struct {
	needed     bool                      // there are drains by other processes
	validUntil atomic.Pointer[time.Time] // the backend keeps the lease until then at least; nil before there is one
	number     uint64                    // of the lease: it grows when one begins that does not follow the one before without a gap
	stateRead  bool                      // a read that began after the lease has landed
	// doubted: the backend may have lost its memory, and the lease with it.
	uncertain bool
	failures  int
	err       error // why there is none, once that shows
	refused   bool  // the backend accepts no writes, neither leases nor drains
	denied    bool  // this user has no right to take one: drains do not know of its loops
}

// stands reports whether loops may be handed what the backend says.
func (l *watcherLease) valid() bool {
	return !l.needed || l.denied || l.stateRead && !l.uncertain && !l.mayHaveEnded()
}

// lapsed reports whether the lease may have ended for want of a renewal. It needs
// no lock where the lease is needed and was had.
func (l *watcherLease) mayHaveEnded() bool {
	until := l.validUntil.Load()
	return until != nil && time.Now().After(*until)
}

// result takes the answer to a renewal that was begun at start. It reports whether
// the state has to be read, because it was not under this lease.
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
	unbroken := r.Continued && l.number > 0 && !l.mayHaveEnded()
	until := start.Add(ttl)
	l.validUntil.Store(&until)
	l.failures, l.err, l.refused, l.denied, l.uncertain = 0, nil, false, false, false
	if unbroken {
		return false
	}
	l.number++
	l.stateRead = false
	return true
}

// landed takes a read that was begun under the lease of that number. changed: it
// brought a whole state instead of what changed, so that the backend may have
// lost its memory. It reports whether loops may be handed states again.
func (l *watcherLease) readFinished(number uint64, changed bool) (again bool) {
	again = !l.stateRead && number > 0 && number == l.number
	l.stateRead = l.stateRead || again
	l.uncertain = l.uncertain || changed && l.needed
	return again
}
