// Package memstore keeps records in the process's memory. They do not expire.
package memstore

import (
	"bytes"
	"context"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// Store is a store.Store in memory, and a store.Instant. Readers take no lock:
// each group's state is an immutable list in a sync.Map.
type Store struct {
	groups sync.Map // group -> *store.Reading
	closed atomic.Bool

	mu       sync.Mutex        // of writers
	where    map[string]string // the group that an ID is live in
	stamp    int64             // the latest
	seq      uint64            // calls that wrote
	revs     uint64
	watchers map[string]map[*watcher]struct{}
	owner    string
}

type watcher struct{ notify func(store.Notice) }

// New returns an empty Store that writes as owner.
func New(owner string) *Store {
	return &Store{
		where: make(map[string]string), watchers: make(map[string]map[*watcher]struct{}), owner: owner,
	}
}

// Put implements store.Store.
func (s *Store) Put(ctx context.Context, puts []store.Put) []store.PutResult {
	results := make([]store.PutResult, len(puts))
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, p := range puts {
		if err := s.alive(ctx); err != nil {
			results[i].Err = err
			continue
		}
		results[i] = s.put(p)
	}
	return results
}

func (s *Store) alive(ctx context.Context) error {
	if s.closed.Load() {
		return store.ErrClosed
	}
	return ctx.Err()
}

// put follows store.Rule. All calls are this store's owner's, each later than the
// one before, nothing expires and no tombstones are kept, so few of its rows occur.
func (s *Store) put(p store.Put) store.PutResult {
	s.seq++
	result := store.PutResult{Seq: s.seq}
	old := s.find(p.Service, p.ID)
	call, stamp := store.CallRegister, int64(0)
	if p.Reregister {
		call, stamp = store.CallReregister, p.RegisteredAt
	}
	overlay := p.Overlay
	if old != nil {
		overlay = old.Overlay
		for _, name := range p.ResetOverlay {
			overlay = merge(overlay, map[string]string{name: ""})
		}
	}
	verdict := store.FencingVerdict(call, store.SituationOf(s.owner, s.seq, stamp, old, nil))
	same := old != nil && bytes.Equal(old.Payload, p.Payload) && bytes.Equal(overlay, old.Overlay) && (!p.Reregister || old.RegisteredAt == stamp)
	if verdict == store.WriteOrExtend && same {
		result.RegisteredAt, result.Overlay = old.RegisteredAt, old.Overlay
		return result
	}
	if !p.Reregister {
		stamp = max(time.Now().UnixMicro(), s.stamp+1)
	}
	s.stamp = max(s.stamp, stamp)
	from, live := s.where[p.ID]
	moved := live && from != p.Service
	var there *store.Record
	if moved {
		there = s.find(from, p.ID)
	}
	r := &store.Record{ID: p.ID, Owner: s.owner, Seq: s.seq, RegisteredAt: stamp, Payload: p.Payload, Decoded: p.Decoded, Overlay: overlay}
	s.where[p.ID] = p.Service
	// The new name shows it before the old one stops.
	s.replace(p.Service, old, r, "")
	if moved && store.FencingVerdict(store.CallMove, store.SituationOf(s.owner, s.seq, stamp, there, nil)) == store.DoEnd {
		s.replace(from, there, nil, store.ReasonMoved)
	}
	result.RegisteredAt, result.Overlay = r.RegisteredAt, r.Overlay
	return result
}

func (s *Store) load(group string) *store.Reading {
	if v, ok := s.groups.Load(group); ok {
		return v.(*store.Reading)
	}
	return nil
}

func (s *Store) find(group, id string) *store.Record {
	if s.where[id] != group {
		return nil
	}
	for _, r := range s.load(group).Records {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// replace takes one record out of a group, and another one, which is its
// youngest, in. s.mu is held.
func (s *Store) replace(group string, old, new *store.Record, reason store.Reason) {
	var had []*store.Record
	if was := s.load(group); was != nil {
		had = was.Records
	}
	records := make([]*store.Record, 0, len(had)+1)
	for _, r := range had {
		if r != old {
			records = append(records, r)
		}
	}
	if new != nil {
		records = append(records, new)
	}
	next := s.state(group, records)
	if new == nil && old != nil {
		next.Tombstones = []store.Tombstone{{ID: old.ID, Reason: reason, RegisteredAt: old.RegisteredAt, Owner: old.Owner}}
	}
	s.publish(group, next)
	if (len(had) == 0) != (len(records) == 0) {
		s.catalog(group, len(records) > 0)
	}
}

func (s *Store) state(group string, records []*store.Record) *store.Reading {
	s.revs++
	return &store.Reading{Rev: strconv.FormatUint(s.revs, 36), Records: records, Cached: new(store.CachedValue)}
}

func (s *Store) publish(group string, state *store.Reading) {
	if len(state.Records) == 0 {
		s.groups.Delete(group)
	} else {
		s.groups.Store(group, state)
	}
	for w := range s.watchers[group] {
		w.notify(store.Notice{Reading: *state})
	}
}

// catalog adds a name to the catalog or takes it out.
func (s *Store) catalog(name string, live bool) {
	var names []*store.Record
	if was := s.load(store.Catalog); was != nil {
		names = slices.Clone(was.Records)
	}
	i, _ := slices.BinarySearchFunc(names, name, func(r *store.Record, n string) int {
		switch {
		case r.ID < n:
			return -1
		case r.ID > n:
			return 1
		}
		return 0
	})
	var buried []store.Tombstone
	if live {
		names = slices.Insert(names, i, &store.Record{ID: name})
	} else {
		names = slices.Delete(names, i, i+1)
		buried = []store.Tombstone{{ID: name, Reason: store.ReasonDeregistered}}
	}
	state := s.state(store.Catalog, names)
	state.Tombstones = buried
	s.publish(store.Catalog, state)
}

// Renew implements store.Store: nothing expires, so there is nothing to renew.
func (s *Store) Renew(_ context.Context, leases []store.ServiceLeases) []store.Renewal {
	return make([]store.Renewal, len(leases))
}

// Remove implements store.Store.
func (s *Store) Remove(ctx context.Context, r store.Removal) (store.RemoveResult, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.alive(ctx); err != nil {
		return store.RemoveResult{}, err
	}
	s.seq++
	removed := store.RemoveResult{Service: r.Service, Seq: s.seq}
	group, ok := s.where[r.ID]
	if !ok {
		return removed, nil
	}
	call, old := store.CallDeregisterAny, s.find(group, r.ID)
	if r.Own {
		call = store.CallDeregister
	}
	if store.FencingVerdict(call, store.SituationOf(s.owner, s.seq, r.RegisteredAt, old, nil)) == store.DoEnd {
		delete(s.where, r.ID)
		s.replace(group, old, nil, store.ReasonDeregistered)
		removed.Existed, removed.Service = true, group
	}
	return removed, nil
}

// The states of a group without records and of an empty catalog, of which
// readers make different things.
var (
	nothing = &store.Reading{Cached: new(store.CachedValue)}
	nobody  = &store.Reading{Cached: new(store.CachedValue)}
)

func (s *Store) present(group string) *store.Reading {
	if r := s.load(group); r != nil {
		return r
	}
	if group == store.Catalog {
		return nobody
	}
	return nothing
}

// Current implements store.Instant.
func (s *Store) Current(group string) (*store.Reading, error) {
	if s.closed.Load() {
		return nil, store.ErrClosed
	}
	return s.present(group), nil
}

// Read implements store.Store.
func (s *Store) Read(group string, _ store.KnownState, done func(store.Reading, error)) {
	r, err := s.Current(group)
	if err != nil {
		done(store.Reading{}, err)
		return
	}
	done(*r, nil)
}

// Watch implements store.Store. It pushes whole states, the present one first.
func (s *Store) Watch(group string, notify func(store.Notice)) (stop func()) {
	w := &watcher{notify}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watchers[group] == nil {
		s.watchers[group] = make(map[*watcher]struct{})
	}
	s.watchers[group][w] = struct{}{}
	notify(store.Notice{Reading: *s.present(group)})
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers[group], w)
		if len(s.watchers[group]) == 0 {
			delete(s.watchers, group)
		}
	}
}

// Close implements store.Store. It releases nothing outside.
func (s *Store) Close() error {
	s.closed.Store(true)
	return nil
}
