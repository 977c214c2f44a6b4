// Package memstore is the store in the memory of the process. Its records do not
// expire.
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

// Store is a store.Store and a store.Local. Readers take no lock: each service's state is
// immutable and replaced as a whole.
type Store struct {
	services sync.Map // by service: *store.LocalState
	closed   atomic.Bool

	mu               sync.Mutex        // held by writers
	serviceOf        map[string]string // the service in which an ID is live
	lastRegisteredAt int64             // the latest registration time
	seq              uint64            // the number of the latest call
	lastRev          uint64
	watchers         map[string]map[*watcher]struct{}
	owner            string
	history          history
}

type watcher struct{ notify func(store.Notice) }

// New returns an empty Store that writes as owner. Its events show it by name.
func New(owner, name string) *Store {
	return &Store{
		serviceOf: make(map[string]string), watchers: make(map[string]map[*watcher]struct{}), owner: owner,
		history: history{by: name, services: make(map[string]*serviceHistory)},
	}
}

// Put implements store.Store.
func (s *Store) Put(ctx context.Context, puts []store.Put) []store.PutResult {
	results := make([]store.PutResult, len(puts))
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, p := range puts {
		if err := s.checkUsable(ctx); err != nil {
			results[i].Err = err
			continue
		}
		results[i] = s.put(p)
	}
	return results
}

func (s *Store) checkUsable(ctx context.Context) error {
	if s.closed.Load() {
		return store.ErrClosed
	}
	return ctx.Err()
}

// put obeys store.FencingVerdict. All calls are the one owner's, each later than the one
// before. Nothing expires and no tombstones are kept, so few situations occur.
func (s *Store) put(p store.Put) store.PutResult {
	s.seq++
	result := store.PutResult{Seq: s.seq}
	old := s.recordOf(p.Service, p.ID)
	call, registeredAt := store.CallRegister, int64(0)
	if p.Reregister {
		call, registeredAt = store.CallReregister, p.RegisteredAt
	}
	overlay := p.Overlay
	if old != nil {
		overlay = old.Overlay
		for _, name := range p.ResetOverlay {
			overlay = patched(overlay, map[string]string{name: ""})
		}
	}
	verdict := store.FencingVerdict(call, store.SituationOf(s.owner, s.seq, registeredAt, old, nil))
	same := old != nil && bytes.Equal(old.Payload, p.Payload) && bytes.Equal(overlay, old.Overlay) && (!p.Reregister || old.RegisteredAt == registeredAt)
	if verdict == store.WriteOrExtend && same {
		result.RegisteredAt, result.Overlay = old.RegisteredAt, old.Overlay
		return result
	}
	if !p.Reregister {
		registeredAt = max(time.Now().UnixMicro(), s.lastRegisteredAt+1)
	}
	s.lastRegisteredAt = max(s.lastRegisteredAt, registeredAt)
	from, live := s.serviceOf[p.ID]
	moved := live && from != p.Service
	var there *store.Record
	if moved {
		there = s.recordOf(from, p.ID)
	}
	r := &store.Record{ID: p.ID, Owner: s.owner, Seq: s.seq, RegisteredAt: registeredAt, Payload: p.Payload, Decoded: p.Decoded, Overlay: overlay}
	s.serviceOf[p.ID] = p.Service
	// The new name shows it before the old one stops to.
	s.replace(p.Service, old, r, "")
	kind := store.EventRegistered
	if old != nil {
		kind = store.EventReplaced
	}
	s.history.add(p.Service, store.Event{ID: p.ID, Kind: kind}, eventTime)
	if moved && store.FencingVerdict(store.CallMove, store.SituationOf(s.owner, s.seq, registeredAt, there, nil)) == store.DoEnd {
		s.replace(from, there, nil, store.ReasonMoved)
		s.history.add(from, store.Event{ID: p.ID, Kind: store.EventMoved, Note: p.Service}, removalTime)
	}
	result.RegisteredAt, result.Overlay = r.RegisteredAt, r.Overlay
	return result
}

func (s *Store) load(service string) *store.LocalState {
	if v, ok := s.services.Load(service); ok {
		return v.(*store.LocalState)
	}
	return nil
}

func (s *Store) recordOf(service, id string) *store.Record {
	if s.serviceOf[id] != service {
		return nil
	}
	for _, r := range s.load(service).Records {
		if r.ID == id {
			return r
		}
	}
	return nil
}

// replace removes a record from a service, and adds one, which is its newest. Either may
// be nil. The caller holds s.mu.
func (s *Store) replace(service string, old, new *store.Record, reason store.Reason) {
	var had []*store.Record
	if was := s.load(service); was != nil {
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
	next := s.newReading(service, records)
	if new == nil && old != nil {
		next.Tombstones = []store.Tombstone{{ID: old.ID, Reason: reason, RegisteredAt: old.RegisteredAt, Owner: old.Owner}}
	}
	s.publish(service, next)
	if (len(had) == 0) != (len(records) == 0) {
		s.updateCatalog(service, len(records) > 0)
	}
}

func (s *Store) newReading(service string, records []*store.Record) *store.LocalState {
	s.lastRev++
	return &store.LocalState{Reading: store.Reading{Rev: strconv.FormatUint(s.lastRev, 36), Records: records}}
}

func (s *Store) publish(service string, state *store.LocalState) {
	if len(state.Records) == 0 {
		s.services.Delete(service)
	} else {
		s.services.Store(service, state)
	}
	for w := range s.watchers[service] {
		w.notify(store.Notice{Reading: state.Reading})
	}
}

// updateCatalog adds a name to the catalog or removes it.
func (s *Store) updateCatalog(name string, live bool) {
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
	var tombstones []store.Tombstone
	if live {
		names = slices.Insert(names, i, &store.Record{ID: name})
	} else {
		names = slices.Delete(names, i, i+1)
		tombstones = []store.Tombstone{{ID: name, Reason: store.ReasonDeregistered}}
	}
	state := s.newReading(store.Catalog, names)
	state.Tombstones = tombstones
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
	if err := s.checkUsable(ctx); err != nil {
		return store.RemoveResult{}, err
	}
	s.seq++
	removed := store.RemoveResult{Service: r.Service, Seq: s.seq}
	service, ok := s.serviceOf[r.ID]
	if !ok {
		return removed, nil
	}
	call, old := store.CallDeregisterAny, s.recordOf(service, r.ID)
	if r.Own {
		call = store.CallDeregister
	}
	if store.FencingVerdict(call, store.SituationOf(s.owner, s.seq, r.RegisteredAt, old, nil)) == store.DoEnd {
		delete(s.serviceOf, r.ID)
		s.replace(service, old, nil, store.ReasonDeregistered)
		removed.Existed, removed.Service = true, service
		kept := removalTime
		if !r.Own {
			kept = othersRemovalTime
		}
		s.history.add(service, store.Event{ID: r.ID, Kind: store.EventDeregistered}, kept)
	}
	return removed, nil
}

// The states of a service without records and of an empty catalog. Readers cache
// different values with each.
var (
	emptyService = &store.LocalState{}
	emptyCatalog = &store.LocalState{}
)

func (s *Store) currentState(service string) *store.LocalState {
	if r := s.load(service); r != nil {
		return r
	}
	if service == store.Catalog {
		return emptyCatalog
	}
	return emptyService
}

// Current implements store.Local.
func (s *Store) Current(service string) (*store.LocalState, error) {
	if s.closed.Load() {
		return nil, store.ErrClosed
	}
	return s.currentState(service), nil
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
	w := &watcher{notify}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.watchers[service] == nil {
		s.watchers[service] = make(map[*watcher]struct{})
	}
	s.watchers[service][w] = struct{}{}
	notify(store.Notice{Reading: s.currentState(service).Reading})
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watchers[service], w)
		if len(s.watchers[service]) == 0 {
			delete(s.watchers, service)
		}
	}
}

// Close implements store.Store.
func (s *Store) Close() error {
	s.closed.Store(true)
	return nil
}
