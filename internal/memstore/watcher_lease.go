package memstore

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// watcherLease is the lease of one owner as a watcher of a service.
type watcherLease struct {
	ends         int64 // also of one that was given up
	given        bool  // up
	acknowledged uint64
	seq          uint64 // of the call that set it: an earlier one changes nothing
}

// revNumber returns the number of a revision of this memory, which grows; 0 for others.
func (m *memory) revNumber(rev string) uint64 {
	number, nonce, _ := strings.Cut(rev, ".")
	n, err := strconv.ParseUint(number, 10, 64)
	if err != nil || nonce != m.nonce {
		return 0
	}
	return n
}

// RenewWatcherLeases implements store.WatcherLeases.
func (p *Peer) RenewWatcherLeases(ctx context.Context, leases []store.WatcherLease) []store.WatcherLeaseResult {
	results := make([]store.WatcherLeaseResult, len(leases))
	p.m.mu.Lock()
	defer p.m.unlock()
	for i, l := range leases {
		if err := p.check(ctx); err != nil {
			results[i].Err = err
			continue
		}
		results[i].Continued = p.m.renewWatcher(p.call(ctx), l)
	}
	return results
}

func (m *memory) renewWatcher(c call, l store.WatcherLease) (continued bool) {
	all := m.watcherLeases[l.Service]
	for owner, w := range all {
		// A lease that was given up is remembered for as long as a call may be late.
		if w.ends+time.Minute.Microseconds() < c.now {
			delete(all, owner)
		}
	}
	had := all[c.owner]
	if had != nil && had.seq > c.seq {
		return false
	}
	if had == nil && l.TTL == 0 {
		return false
	}
	if all == nil {
		all = make(map[string]*watcherLease)
		m.watcherLeases[l.Service] = all
	}
	all[c.owner] = &watcherLease{ends: c.now + l.TTL.Microseconds(), given: l.TTL == 0, acknowledged: m.revNumber(l.Acknowledged), seq: c.seq}
	return had != nil && !had.given && had.ends >= c.now
}

// LaggingWatchers implements store.WatcherLeases. The process of the Local store counts if
// its engine has a watch of the service.
func (p *Peer) LaggingWatchers(ctx context.Context, service, id, rev string) (store.Watchers, error) {
	if p.closed.Load() {
		return store.Watchers{}, store.ErrClosed
	}
	w, err := p.m.laggingWatchers(ctx, service, id, rev)
	if err == nil && p.m.localLags(service, rev) {
		w.Lagging++
	}
	return w, err
}

// LaggingWatchers implements store.SharedLocal.
func (s *Store) LaggingWatchers(ctx context.Context, service, id, rev string) (store.Watchers, error) {
	return s.m.laggingWatchers(ctx, service, id, rev)
}

func (m *memory) laggingWatchers(ctx context.Context, service, id, rev string) (store.Watchers, error) {
	m.mu.Lock()
	defer m.unlock()
	if err := m.check(ctx); err != nil {
		return store.Watchers{}, err
	}
	now, number := m.now(), m.revNumber(rev)
	w := store.Watchers{RemembersRev: number > 0, MemoryID: m.nonce, MemoryLostAgo: -1}
	for _, l := range m.watcherLeases[service] {
		if !l.given && l.ends >= now && l.acknowledged < number {
			w.Lagging++
			w.LongestLease = max(w.LongestLease, time.Duration(l.ends-now)*time.Microsecond)
		}
	}
	if record, _ := m.services[service].find(id); record != nil && record.RegisteredAt < m.begun {
		w.MemoryLostAgo = time.Duration(now-m.begun) * time.Microsecond
	}
	return w, nil
}

// localLags reports whether the engine of the Local store has not acknowledged a revision.
// The first call begins to wait for that.
func (m *memory) localLags(service, rev string) bool {
	if m.companion == nil {
		return false
	}
	key := service + "\n" + rev
	m.mu.Lock()
	done := m.localWaits[key]
	m.mu.Unlock()
	if done == nil {
		done = m.companion.Acknowledged(service) // without m.mu, which the engine's notices hold
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for k, d := range m.localWaits { // also those of drains that were given up
		if isClosed(d) {
			delete(m.localWaits, k)
		}
	}
	if isClosed(done) {
		return false
	}
	m.localWaits[key] = done
	return true
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
