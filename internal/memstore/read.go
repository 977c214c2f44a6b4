package memstore

import (
	"maps"
	"slices"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// watcher is a caller of Watch.
type watcher struct {
	notify func(store.Notice)
	whole  bool // it gets whole states; otherwise what changed
}

func (m *memory) watch(service string, w *watcher) (stop func()) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.watchers[service] == nil {
		m.watchers[service] = make(map[*watcher]struct{})
	}
	m.watchers[service][w] = struct{}{}
	if w.whole {
		w.notify(store.Notice{Reading: m.currentState(service).Reading})
	} else {
		w.notify(store.Notice{Resync: store.ResyncConnected})
	}
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		delete(m.watchers[service], w)
		if len(m.watchers[service]) == 0 {
			delete(m.watchers, service)
		}
	}
}

// notify tells watches of a change. The caller holds m.mu.
func (m *memory) notify(e *edit, whole *store.Reading) {
	for w := range m.watchers[e.s.name] {
		if w.whole {
			w.notify(store.Notice{Reading: *whole})
			continue
		}
		r := store.Reading{Kind: store.Delta, Now: m.now(), Rev: e.s.rev, Tombstones: slices.Clone(e.ended)}
		for _, record := range e.changed {
			r.Records = append(r.Records, m.copyOf(e.s, record))
		}
		w.notify(store.Notice{PreviousRev: e.previous, Reading: r})
	}
}

// copyOf returns a record as it is now, for a reader that may change it. One of the
// catalog has the longest lease of its service.
func (m *memory) copyOf(s *service, r *store.Record) *store.Record {
	c := *r
	c.Decoded = nil
	if l := s.leases[r.ID]; l != nil {
		c.ExpiresAt = l.ends
	}
	if s.name == store.Catalog && m.services[r.ID] != nil {
		for _, instance := range m.services[r.ID].records {
			c.TTL = max(c.TTL, instance.TTL)
			c.HeartbeatInterval = max(c.HeartbeatInterval, instance.HeartbeatInterval)
		}
	}
	return &c
}

// read reads a service for a store that shares the memory. The caller holds m.mu.
func (m *memory) read(name string, known store.KnownState) store.Reading {
	now := m.now()
	if name == store.Catalog { // it follows the services
		for _, s := range m.services {
			m.collect(s, now)
		}
	}
	s := m.services[name]
	if s != nil {
		m.collect(s, now)
		m.forget(s, now)
		if len(s.records)+len(s.tombstones) == 0 {
			delete(m.services, name)
			s = nil
		}
	}
	if s == nil {
		return store.Reading{Now: now}
	}
	r := store.Reading{Now: now, Rev: s.rev}
	for _, l := range s.leases {
		if l.ends != 0 && (r.NextExpiry == 0 || l.ends < r.NextExpiry) {
			r.NextExpiry = l.ends
		}
	}
	if known.Rev == s.rev {
		r.Kind = store.Unchanged
		return r
	}
	if m.delta(s, known.Rev, &r) {
		return r
	}
	r.Kind, r.Records, r.Tombstones = store.Full, nil, nil
	for _, record := range s.records {
		r.Records = append(r.Records, m.copyOf(s, record))
	}
	for _, id := range slices.Sorted(maps.Keys(s.tombstones)) {
		r.Tombstones = append(r.Tombstones, s.tombstones[id].Tombstone)
	}
	return r
}

// delta makes r what changed since a revision. It reports false if that is not known.
func (m *memory) delta(s *service, rev string, r *store.Reading) bool {
	at := slices.IndexFunc(s.log, func(c change) bool { return c.rev == rev })
	if at < 0 {
		return false
	}
	r.Kind = store.Delta
	seen := make(map[string]bool)
	for _, c := range s.log[at+1:] {
		if seen[c.id] {
			continue
		}
		seen[c.id] = true
		switch record, t := s.find(c.id); {
		case record != nil:
			r.Records = append(r.Records, m.copyOf(s, record))
		case t != nil:
			r.Tombstones = append(r.Tombstones, t.Tombstone)
		default:
			return false
		}
	}
	return true
}
