package memstore

import "github.com/rollcall-sd/rollcall/internal/store"

// remove obeys store.FencingVerdict. The caller holds m.mu.
func (m *memory) remove(c call, r store.Removal) store.RemoveResult {
	if service, done := m.doneCalls.services[c.callID]; done && !r.Own {
		return store.RemoveResult{Existed: true, Service: service}
	}
	name, result := r.Service, store.RemoveResult{Service: r.Service}
	if !r.Own {
		if at, ok := m.where[r.ID]; ok {
			name = at
		}
	}
	s := m.services[name]
	if s == nil && (!r.Own || !m.shared) {
		return result
	}
	s = m.serviceOf(name)
	m.collect(s, c.now)
	kind, registeredAt := store.CallDeregisterAny, int64(0)
	if r.Own {
		kind, registeredAt = store.CallDeregister, r.RegisteredAt
	}
	record, tomb := s.find(r.ID)
	before := standing(s, record, tomb)
	verdict := store.FencingVerdict(kind, s.situation(c.callID, registeredAt, record, tomb))
	if verdict != store.DoNothing && (r.Own || before.owner == c.owner) {
		result.Seq = c.seq
	}
	switch {
	case verdict == store.DoRenumber:
		tomb.Seq = c.seq
	case verdict == store.DoEnd && (record != nil || m.shared):
		m.end(s, record, tomb, c, r)
		result.Existed, result.Service = record != nil, name
		if !r.Own {
			m.doneCalls.note(c.callID, name)
		}
	}
	return result
}

// end leaves a tombstone of what stands of an ID.
func (m *memory) end(s *service, record *store.Record, tomb *tombstone, c call, r store.Removal) {
	before := standing(s, record, tomb)
	what := store.Event{ID: r.ID, Kind: store.EventDeregistered, By: c.by}
	t := &tombstone{flagged: true, Tombstone: store.Tombstone{ID: r.ID, Reason: store.ReasonDeregistered, RegisteredAt: before.registeredAt, Owner: before.owner}}
	switch {
	case r.Own:
		t.RegisteredAt, t.Owner, t.Seq, t.flagged = max(r.RegisteredAt, before.registeredAt), c.owner, c.seq, before.anothers(c.owner)
	case before.owner == c.owner:
		t.Seq = c.seq
	case record != nil:
		t.Seq = s.leases[r.ID].seq
	default:
		t.Seq = tomb.Seq
	}
	if record != nil {
		if record.Owner != c.owner {
			what.Note = s.leases[r.ID].by
		}
		m.noteLoss(record, c)
	}
	e := m.edit(s)
	e.end(t, c.now, c.callID)
	if m.shared {
		m.where[r.ID] = s.name
	}
	e.commit()
	kept := removalTime
	if !r.Own {
		kept = othersRemovalTime
	}
	m.history.add(s.name, what, c.now, kept)
}
