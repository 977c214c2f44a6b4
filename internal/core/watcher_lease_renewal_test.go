package core

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/internal/backoff"
	"github.com/rollcall-sd/rollcall/internal/store"
)

// leaseRecorder is a fake that keeps the last renewal of each watcher lease. Every
// second answer comes late.
type leaseRecorder struct {
	*fakeStore

	mu       sync.Mutex
	calls    int
	renewals map[string]store.WatcherLease
}

func (s *leaseRecorder) RenewWatcherLeases(ctx context.Context, leases []store.WatcherLease) []store.WatcherLeaseResult {
	s.mu.Lock()
	s.calls++
	wait := 50 * time.Millisecond
	if s.calls%2 == 0 {
		wait *= 4
	}
	s.mu.Unlock()
	if backoff.Sleep(ctx, wait) != nil {
		return slices.Repeat([]store.WatcherLeaseResult{{Err: ctx.Err()}}, len(leases))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	results := make([]store.WatcherLeaseResult, len(leases))
	for i, a := range leases {
		results[i].Continued = s.renewals[a.Service].TTL > 0
		s.renewals[a.Service] = a
	}
	return results
}

func (s *leaseRecorder) LaggingWatchers(context.Context, string, string, string) (store.Watchers, error) {
	return store.Watchers{RemembersRev: true, MemoryLostAgo: -1}, nil
}

func (s *leaseRecorder) lastRenewal(service string) store.WatcherLease {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.renewals[service]
}

func startRecorded(t *testing.T, f *fake) (*Engine, *leaseRecorder) {
	s := &leaseRecorder{fakeStore: f.open("alpha"), renewals: map[string]store.WatcherLease{}}
	return startOn(t, s), s
}

// The backend knows of the watch that began last, and not of the end of the one before.
func TestWatcherLeasesAreRenewedInOrder(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e, s := startRecorded(t, f)
		watch(t, e, "g").Stop()
		synctest.Wait()
		w := watch(t, e, "g")
		advance(time.Second)
		if got := s.lastRenewal("g"); got.TTL != testTTL {
			t.Errorf("while it watches, its last renewal is %+v", got)
		}
		w.Stop()
		advance(time.Second)
		if got := s.lastRenewal("g"); got.TTL != 0 {
			t.Errorf("after the last watch, its last renewal is %+v", got)
		}
	})
}

// What subscribers have acknowledged is reported within a heartbeat interval also if
// no instance has an overlay: a Drain may wait for an instance that is gone by then.
func TestTheAcknowledgedRevisionKeepsUp(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e, s := startRecorded(t, f)
		watch(t, e, "g")
		register(t, e, "g", "i", "x")
		advance(testHeartbeat + time.Second)
		if got, want := s.lastRenewal("g").Acknowledged, read(t, e, "g").Content; revisionNumber(got) != want.Revision {
			t.Errorf("the acknowledged revision is %q", got)
		}
	})
}
