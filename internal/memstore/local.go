// Package memstore is the store in the memory of the process. A Local store's own records
// do not expire. Other stores may share its memory: each is of another owner, and its
// records expire unless they are renewed.
//
//	memory.go         what stores share, and how a change is made
//	local.go          the Local store
//	peer.go           a store that shares the memory
//	put.go, remove.go, overlay_patch.go
//	                  one write each, by the table of package store
//	lease.go          renewals, and the end of leases
//	read.go           readings and notices of stores that share the memory
//	watcher_lease.go  which processes watch
//	history.go        what is remembered of changes
package memstore

import (
	"context"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// Store is a store.Store and a store.Local. Readers take no lock: each service's state is
// immutable and replaced as a whole.
type Store struct {
	m    *memory
	name string
	seq  uint64 // the number of the latest call; m.mu guards it
}

// New returns a Store on an empty memory, that writes as owner. Its events show it by name.
func New(owner, name string) *Store { return &Store{m: newMemory(owner), name: name} }

// Attach implements store.SharedLocal.
func (s *Store) Attach(c store.Companion) {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.companion = c
}

// check returns why a call must fail. The caller holds m.mu.
func (m *memory) check(ctx context.Context) error {
	if m.closed {
		return store.ErrClosed
	}
	return ctx.Err()
}

// unlock ends a call. The engine of the Local store learns if it lost a registration.
func (m *memory) unlock() {
	companion := m.companion
	lost := m.localLost && companion != nil
	m.localLost = false
	m.mu.Unlock()
	if lost {
		companion.Recheck()
	}
}

// call begins a call of this store. The caller holds m.mu.
func (s *Store) call() call {
	s.seq++
	return call{callID: callID{s.m.local, s.seq}, by: s.name, now: s.m.now()}
}

// Put implements store.Store.
func (s *Store) Put(ctx context.Context, puts []store.Put) []store.PutResult {
	results := make([]store.PutResult, len(puts))
	s.m.mu.Lock()
	defer s.m.unlock()
	for i := range puts {
		if err := s.m.check(ctx); err != nil {
			results[i].Err = err
			continue
		}
		results[i] = s.m.put(s.call(), &puts[i], false)
	}
	return results
}

// Renew implements store.Store. What does not expire is renewed, unless another owner
// ended it.
func (s *Store) Renew(ctx context.Context, leases []store.ServiceLeases) []store.Renewal {
	renewals := make([]store.Renewal, len(leases))
	s.m.mu.Lock()
	defer s.m.unlock()
	for i := range leases {
		switch err := s.m.check(ctx); {
		case err != nil:
			renewals[i].Err = err
		case s.m.shared:
			renewals[i] = s.m.renew(s.m.local, &leases[i], s.m.now())
		}
	}
	return renewals
}

// Remove implements store.Store.
func (s *Store) Remove(ctx context.Context, r store.Removal) (store.RemoveResult, error) {
	s.m.mu.Lock()
	defer s.m.unlock()
	if err := s.m.check(ctx); err != nil {
		return store.RemoveResult{}, err
	}
	c := s.call()
	removed := s.m.remove(c, r)
	removed.Seq = c.seq // earlier calls have taken effect
	return removed, nil
}

// PatchOverlay implements store.Store.
func (s *Store) PatchOverlay(ctx context.Context, patch store.OverlayPatch) (store.PatchResult, error) {
	s.m.mu.Lock()
	defer s.m.unlock()
	if err := s.m.check(ctx); err != nil {
		return store.PatchResult{}, err
	}
	return s.m.patchOverlay(s.call(), patch), nil
}

// Events implements store.Store.
func (s *Store) Events(ctx context.Context, service string) ([]store.Event, error) {
	return s.m.events(ctx, service)
}

func (m *memory) events(ctx context.Context, service string) ([]store.Event, error) {
	m.mu.Lock()
	defer m.unlock()
	if err := m.check(ctx); err != nil {
		return nil, err
	}
	now := m.now()
	m.collect(m.services[service], now)
	return m.history.eventsOf(service, now), nil
}

// The states of a service without records and of an empty catalog. Readers cache
// different values with each.
var (
	emptyService = &store.LocalState{}
	emptyCatalog = &store.LocalState{}
)

func (m *memory) currentState(service string) *store.LocalState {
	if v, ok := m.published.Load(service); ok {
		return v.(*store.LocalState)
	}
	if service == store.Catalog {
		return emptyCatalog
	}
	return emptyService
}

// Current implements store.Local.
func (s *Store) Current(service string) (*store.LocalState, error) {
	if s.m.ended.Load() {
		return nil, store.ErrClosed
	}
	return s.m.currentState(service), nil
}

// Leases implements store.Local.
func (s *Store) Leases(service string) ([]*store.Record, error) {
	s.m.mu.Lock()
	defer s.m.unlock()
	if s.m.closed {
		return nil, store.ErrClosed
	}
	entry := s.m.services[service]
	s.m.collect(entry, s.m.now())
	if entry == nil {
		return nil, nil
	}
	records := make([]*store.Record, len(entry.records))
	for i, r := range entry.records {
		records[i] = r
		if l := entry.leases[r.ID]; l.ends != 0 {
			with := *r
			with.ExpiresAt = l.ends
			records[i] = &with
		}
	}
	return records, nil
}

// Read implements store.Store.
func (s *Store) Read(service string, _ store.KnownState, done func(store.Reading, error)) {
	r, err := s.Current(service)
	if err != nil {
		done(store.Reading{}, err)
		return
	}
	done(r.Reading, nil)
}

// Watch implements store.Store. Its notices are whole states, the present one first.
func (s *Store) Watch(service string, notify func(store.Notice)) (stop func()) {
	return s.m.watch(service, &watcher{notify: notify, whole: true})
}

// Close implements store.Store. It closes the memory for all.
func (s *Store) Close() error {
	s.m.mu.Lock()
	defer s.m.mu.Unlock()
	s.m.closed = true
	s.m.ended.Store(true)
	if s.m.expiry != nil {
		s.m.expiry.Stop()
	}
	return nil
}
