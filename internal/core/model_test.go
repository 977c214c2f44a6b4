package core

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
	"github.com/rollcall-sd/rollcall/internal/store/storetest"
)

// The store that this package's tests run on keeps the promises of a store.
func TestFakeConforms(t *testing.T) {
	storetest.Run(t, storetest.Harness{
		New: func(*testing.T) storetest.Backend {
			f := &fake{}
			return storetest.Backend{
				Open:   func(owner string) store.Store { return f.open(owner) },
				Expire: f.expire,
				RefuseWrites: func() (accept func()) {
					f.set(func() { f.refuseWrites = true })
					return func() { f.set(func() { f.refuseWrites = false }) }
				},
			}
		},
		Leases: true, SharedBackend: true, Deltas: true, Atomic: true, RefusesWrites: true,
	})
}

// model is the state of a backend, and what each call does to it. It is not safe
// for concurrent use. The zero value is an empty backend.
type model struct {
	services         map[string]*modelService
	lastRegisteredAt int64
	lastRev, lastSeq uint64
	clockStep        time.Duration        // of the backend's clock from the true time
	renewedAt        map[[2]string]string // by owner and service: the revision at which a renewal last found all
	push             func(service string, n store.Notice)
}

type modelService struct {
	rev        string
	records    map[string]*store.Record // replaced, never changed
	tombstones map[string]store.Tombstone
	log        []modelChange // since the backend last lost its memory
}

// modelChange is what a revision changed.
type modelChange struct {
	rev string
	ids []string
}

func (m *model) now() int64 { return time.Now().Add(m.clockStep).UnixMicro() }

func (m *model) service(name string) *modelService {
	if m.services == nil {
		m.services = map[string]*modelService{}
	}
	s := m.services[name]
	if s == nil {
		s = &modelService{records: map[string]*store.Record{}, tombstones: map[string]store.Tombstone{}}
		m.services[name] = s
	}
	return s
}

// current returns what the backend has of an ID: a record, a tombstone or neither.
func (s *modelService) current(id string) (*store.Record, *store.Tombstone) {
	if r := s.records[id]; r != nil {
		return r, nil
	}
	if t, ok := s.tombstones[id]; ok {
		return nil, &t
	}
	return nil, nil
}

// loseAll loses all that the backend knows, as FLUSHALL does.
func (m *model) loseAll() { m.services, m.renewedAt = nil, nil }

// loseRecord loses one record and the log, as an old backup does.
func (m *model) loseRecord(service, id string) {
	s := m.service(service)
	delete(s.records, id)
	m.lastRev++
	s.rev = strconv.FormatUint(m.lastRev, 10)
	s.log = []modelChange{{rev: s.rev}}
}

// change makes and pushes one revision: it ends the leases that are over, and then
// writes a record or a tombstone, if there is one.
func (m *model) change(service string, r *store.Record, t *store.Tombstone) {
	s := m.service(service)
	reading := store.Reading{Kind: store.Delta, Now: m.now()}
	for id, old := range s.records {
		if old.ExpiresAt < m.now() && (r == nil || id != r.ID) && (t == nil || id != t.ID) {
			reading.Tombstones = append(reading.Tombstones, expiredTombstone(old))
		}
	}
	if t != nil {
		reading.Tombstones = append(reading.Tombstones, *t)
	}
	if r != nil {
		reading.Records = []*store.Record{r}
	}
	if len(reading.Tombstones)+len(reading.Records) == 0 {
		return
	}
	var ids []string
	for _, t := range reading.Tombstones {
		delete(s.records, t.ID)
		s.tombstones[t.ID] = t
		ids = append(ids, t.ID)
	}
	if r != nil {
		delete(s.tombstones, r.ID)
		s.records[r.ID] = r
		ids = append(ids, r.ID)
	}
	previous := s.rev
	m.lastRev++
	s.rev = strconv.FormatUint(m.lastRev, 10)
	s.log = append(s.log, modelChange{s.rev, ids})
	reading.Rev = s.rev
	if m.push != nil {
		m.push(service, store.Notice{PreviousRev: previous, Reading: reading})
	}
	m.updateCatalog(service)
}

func expiredTombstone(r *store.Record) store.Tombstone {
	return store.Tombstone{ID: r.ID, Reason: store.ReasonExpired, RegisteredAt: r.RegisteredAt, Owner: r.Owner, Seq: r.Seq}
}

// collect ends the leases that are over.
func (m *model) collect(service string) {
	if m.services[service] != nil {
		m.change(service, nil, nil)
	}
}

// updateCatalog brings the catalog's record of a service up to date.
func (m *model) updateCatalog(service string) {
	if service == store.Catalog {
		return
	}
	name := store.Record{ID: service}
	for _, r := range m.service(service).records {
		name.ExpiresAt, name.TTL = max(name.ExpiresAt, r.ExpiresAt), max(name.TTL, r.TTL)
	}
	catalog, now := m.service(store.Catalog), m.now()
	old := catalog.records[service]
	listed, live := old != nil && old.ExpiresAt >= now, name.ExpiresAt >= now
	switch {
	case live && listed:
		catalog.records[service] = &name
	case live:
		m.change(store.Catalog, &name, nil)
	case listed:
		m.change(store.Catalog, nil, &store.Tombstone{ID: service, Reason: store.ReasonDeregistered})
	}
}

// read returns the answer to a read while writes are accepted or refused.
func (m *model) read(service string, known store.KnownState, refused error) store.Reading {
	s := m.services[service]
	if s == nil {
		s = &modelService{}
	}
	now := m.now()
	r := store.Reading{Now: now, Rev: s.rev}
	expired := []string{}
	for _, id := range slices.Sorted(maps.Keys(s.records)) {
		record := s.records[id]
		switch {
		case record.ExpiresAt >= now:
			r.Records = append(r.Records, record)
			if r.NextExpiry == 0 || record.ExpiresAt < r.NextExpiry {
				r.NextExpiry = record.ExpiresAt
			}
		case refused != nil:
			r.WritesRefused = refused
			r.Records = append(r.Records, record)
		default:
			expired = append(expired, id)
			r.Tombstones = append(r.Tombstones, expiredTombstone(record))
		}
	}
	r.Tombstones = slices.AppendSeq(r.Tombstones, maps.Values(s.tombstones))
	if known.ProveAbsence || s.rev == "" {
		r.WritesRefused = refused
	}
	if r.WritesRefused != nil {
		r.NextExpiry = now - 1
	}
	since := slices.IndexFunc(s.log, func(c modelChange) bool { return c.rev == known.Rev })
	if known.Rev == "" || since < 0 {
		return r
	}
	r.Expired = expired
	var changed []string
	for _, c := range s.log[since+1:] {
		changed = append(changed, c.ids...)
	}
	r.Records = slices.DeleteFunc(r.Records, func(r *store.Record) bool { return !slices.Contains(changed, r.ID) })
	r.Tombstones = slices.DeleteFunc(r.Tombstones, func(t store.Tombstone) bool {
		return !slices.Contains(changed, t.ID) || slices.Contains(expired, t.ID)
	})
	if r.Kind = store.Delta; len(changed) == 0 {
		r.Kind = store.Unchanged
	}
	return r
}

// patchedOverlay returns an overlay with members set or, for "", removed.
func patchedOverlay(overlay []byte, set map[string]string) []byte {
	members := map[string]json.RawMessage{}
	if len(overlay) > 0 {
		_ = json.Unmarshal(overlay, &members)
	}
	for name, value := range set {
		if delete(members, name); value != "" {
			members[name] = json.RawMessage(value)
		}
	}
	if len(members) == 0 {
		return nil
	}
	patched, _ := json.Marshal(members)
	return patched
}
