package core

import (
	"context"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// attendedStore is a fake that others watch, too. Every second answer comes late.
type attendedStore struct {
	*fakeStore

	mu    sync.Mutex
	calls int
	said  map[string]store.WatcherLease
}

func (s *attendedStore) RenewWatcherLeases(ctx context.Context, attendances []store.WatcherLease) []store.WatcherLeaseResult {
	s.mu.Lock()
	s.calls++
	wait := 50 * time.Millisecond
	if s.calls%2 == 0 {
		wait *= 4
	}
	s.mu.Unlock()
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return slices.Repeat([]store.WatcherLeaseResult{{Err: ctx.Err()}}, len(attendances))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	results := make([]store.WatcherLeaseResult, len(attendances))
	for i, a := range attendances {
		results[i].Continued = s.said[a.Service].TTL > 0
		s.said[a.Service] = a
	}
	return results
}

func (s *attendedStore) LaggingWatchers(context.Context, string, string, string) (store.Watchers, error) {
	return store.Watchers{RemembersRev: true, MemoryLostAgo: -1}, nil
}

func (s *attendedStore) attendance(group string) store.WatcherLease {
	synctest.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.said)[group]
}

func startAttended(t *testing.T, f *fake) (*Engine, *attendedStore) {
	s := &attendedStore{fakeStore: f.open("alpha"), said: map[string]store.WatcherLease{}}
	e := New(Config{
		Store: s, TTL: testTTL, HeartbeatInterval: testBeat, Logger: slog.New(slog.DiscardHandler),
		Decode: func(_ string, r *store.Record) (any, error) { return string(r.Payload), nil },
	})
	t.Cleanup(func() { _ = e.Close() })
	return e, s
}

// Whoever drains is told of the watch that began last, not of the end of the one before.
func TestAttendanceIsSaidInOrder(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e, s := startAttended(t, f)
		watch(t, e, "g").stop()
		synctest.Wait()
		w := watch(t, e, "g")
		pass(time.Second)
		if got := s.attendance("g"); got.TTL != testTTL {
			t.Errorf("while it watches it says %+v", got)
		}
		w.stop()
		pass(time.Second)
		if got := s.attendance("g"); got.TTL != 0 {
			t.Errorf("when it watches no more it says %+v", got)
		}
	})
}

// What readers have taken is said within a beat also when nothing in it was
// marked, for somebody may wait for what is gone by then.
func TestAttendanceKeepsUp(t *testing.T) {
	bubble(t, func(t *testing.T, f *fake) {
		e, s := startAttended(t, f)
		watch(t, e, "g")
		register(t, e, "g", "i", "x")
		pass(testBeat + time.Second)
		if got, want := s.attendance("g").Acknowledged, read(t, e, "g").Content; revisionNumber(got) != want.Revision {
			t.Errorf("it says that %q was taken", got)
		}
	})
}
