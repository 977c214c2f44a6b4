package core

import (
	"bytes"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// put registers or reregisters a record of owner.
func (m *model) put(owner string, p store.Put) store.PutResult {
	m.collect(store.Catalog)
	m.collect(p.Service)
	m.lastSeq++
	result := store.PutResult{Seq: m.lastSeq}
	call, registeredAt := store.CallRegister, int64(0)
	if p.Reregister {
		call, registeredAt = store.CallReregister, p.RegisteredAt
	}
	s := m.service(p.Service)
	record, tombstone := s.current(p.ID)
	verdict := store.FencingVerdict(call, store.SituationOf(owner, result.Seq, registeredAt, record, tombstone))
	if refusal, refused := refusedPut(verdict); refused {
		result.Outcome = refusal
		return result
	}
	if verdict == store.WriteOrExtend && samePut(record, p) {
		extended := *record
		extended.Seq, extended.ExpiresAt = result.Seq, m.now()+p.TTL.Microseconds()
		s.records[p.ID] = &extended
		m.updateCatalog(p.Service)
		result.RegisteredAt, result.Overlay = record.RegisteredAt, record.Overlay
		return result
	}
	// What the ID has in another service counts as if it were here.
	elsewhere := m.serviceOf(p.ID, p.Service)
	var otherRecord *store.Record
	var otherTombstone *store.Tombstone
	if elsewhere != "" {
		m.collect(elsewhere)
		otherRecord, otherTombstone = m.service(elsewhere).current(p.ID)
		situation := store.SituationOf(owner, result.Seq, registeredAt, otherRecord, otherTombstone)
		if refusal, refused := refusedPut(store.FencingVerdict(call, situation)); refused {
			result.Outcome = refusal
			return result
		}
	}
	now := m.now()
	if !p.Reregister {
		registeredAt = max(now, m.lastRegisteredAt+1)
	}
	m.lastRegisteredAt = max(m.lastRegisteredAt, registeredAt)
	overlay := p.Overlay
	if record != nil && record.Owner == owner {
		overlay = resetOverlay(record.Overlay, p.ResetOverlay)
	}
	m.change(p.Service, &store.Record{ID: p.ID, Owner: owner, Seq: result.Seq, RegisteredAt: registeredAt, TTL: p.TTL,
		HeartbeatInterval: p.HeartbeatInterval, ExpiresAt: now + p.TTL.Microseconds(), Payload: p.Payload, Overlay: overlay}, nil)
	if elsewhere != "" && store.FencingVerdict(store.CallMove,
		store.SituationOf(owner, result.Seq, registeredAt, otherRecord, otherTombstone)) == store.DoEnd {
		m.change(elsewhere, nil, &store.Tombstone{ID: p.ID, Reason: store.ReasonMoved, Owner: owner, Seq: result.Seq,
			RegisteredAt: max(registeredAt, registrationTime(otherRecord, otherTombstone))})
	}
	result.RegisteredAt, result.Overlay = registeredAt, overlay
	return result
}

// refusedPut returns the outcome of a put that writes nothing.
func refusedPut(verdict store.Verdict) (store.Outcome, bool) {
	switch verdict {
	case store.IsDeregistered:
		return store.Deregistered, true
	case store.IsSuperseded:
		return store.Superseded, true
	case store.IsOvertaken:
		return store.Overtaken, true
	}
	return store.Done, false
}

// samePut reports whether a put asks for the record that the backend has.
func samePut(r *store.Record, p store.Put) bool {
	return bytes.Equal(r.Payload, p.Payload) && r.TTL == p.TTL && r.HeartbeatInterval == p.HeartbeatInterval &&
		bytes.Equal(r.Overlay, resetOverlay(r.Overlay, p.ResetOverlay)) && (!p.Reregister || r.RegisteredAt == p.RegisteredAt)
}

func resetOverlay(overlay []byte, members []string) []byte {
	if len(members) == 0 {
		return overlay
	}
	set := map[string]string{}
	for _, name := range members {
		set[name] = ""
	}
	return patchedOverlay(overlay, set)
}

func registrationTime(r *store.Record, t *store.Tombstone) int64 {
	if r != nil {
		return r.RegisteredAt
	}
	return t.RegisteredAt
}

// serviceOf returns the service in which an ID was last, except one service; "" if
// there is none.
func (m *model) serviceOf(id, except string) (found string) {
	latest, isRecord := int64(0), false
	for name, s := range m.services {
		if name == except || name == store.Catalog {
			continue
		}
		r, t := s.current(id)
		if r == nil && (t == nil || isRecord) {
			continue
		}
		if at := registrationTime(r, t); at > latest || r != nil && !isRecord {
			found, latest, isRecord = name, at, r != nil
		}
	}
	return found
}

// renew extends leases of owner in one service.
func (m *model) renew(owner string, l store.ServiceLeases) store.Renewal {
	m.collect(store.Catalog)
	m.collect(l.Service)
	m.lastSeq++
	answer := store.Renewal{Outcomes: map[string]store.Outcome{}, Overlays: map[string][]byte{}}
	s := m.services[l.Service]
	if s == nil {
		s = &modelService{}
	}
	for _, lease := range l.Leases {
		r, t := s.current(lease.ID)
		switch store.FencingVerdict(store.CallRenew, store.SituationOf(owner, m.lastSeq, lease.RegisteredAt, r, t)) {
		case store.OkOrLost:
			if r.RegisteredAt != lease.RegisteredAt {
				answer.Outcomes[lease.ID] = store.Lost
				continue
			}
			extended := *r
			extended.ExpiresAt = m.now() + l.TTL.Microseconds()
			s.records[lease.ID] = &extended
			answer.Overlays[lease.ID] = r.Overlay
		case store.IsSuperseded:
			answer.Outcomes[lease.ID] = store.Superseded
		case store.IsDeregistered:
			answer.Outcomes[lease.ID] = store.Deregistered
		default:
			answer.Outcomes[lease.ID] = store.Lost
		}
	}
	if s.rev != "" {
		m.updateCatalog(l.Service)
	}
	if len(answer.Outcomes) > 0 {
		return answer
	}
	key := [2]string{owner, l.Service}
	if m.renewedAt[key] == s.rev {
		return store.Renewal{} // nothing changed since the owner last asked
	}
	if m.renewedAt == nil {
		m.renewedAt = map[[2]string]string{}
	}
	m.renewedAt[key] = s.rev
	return answer
}

// remove ends a record.
func (m *model) remove(owner string, r store.Removal) store.RemoveResult {
	m.collect(store.Catalog)
	m.lastSeq++
	result := store.RemoveResult{Service: r.Service, Seq: m.lastSeq}
	call, service, registeredAt := store.CallDeregister, r.Service, r.RegisteredAt
	if !r.Own {
		call, service, registeredAt = store.CallDeregisterAny, m.serviceOf(r.ID, ""), 0
		if service == "" {
			return result
		}
	}
	m.collect(service)
	s := m.service(service)
	record, tombstone := s.current(r.ID)
	end := store.Tombstone{ID: r.ID, Reason: store.ReasonDeregistered, RegisteredAt: registeredAt, Owner: owner, Seq: m.lastSeq}
	if record != nil {
		end = endOf(end, expiredTombstone(record), r.Own)
	} else if tombstone != nil {
		end = endOf(end, *tombstone, r.Own)
	}
	switch store.FencingVerdict(call, store.SituationOf(owner, m.lastSeq, registeredAt, record, tombstone)) {
	case store.DoEnd:
		m.change(service, nil, &end)
		if record != nil {
			result.Existed, result.Service = true, service
		}
	case store.DoRenumber:
		renumbered := *tombstone
		renumbered.Seq = m.lastSeq
		s.tombstones[r.ID] = renumbered
	}
	return result
}

// endOf completes the tombstone of a removal: the owner whose record it ended must
// find itself in it, unless that is the caller.
func endOf(end, before store.Tombstone, own bool) store.Tombstone {
	end.RegisteredAt = max(end.RegisteredAt, before.RegisteredAt)
	if !own && before.Owner != end.Owner {
		end.Owner, end.Seq = before.Owner, before.Seq
	}
	return end
}

// patch sets members of an overlay.
func (m *model) patch(p store.OverlayPatch) store.PatchResult {
	m.collect(store.Catalog)
	service := m.serviceOf(p.ID, "")
	if service != "" {
		m.collect(service)
	}
	s := m.services[service]
	if service == "" || s.records[p.ID] == nil {
		return store.PatchResult{}
	}
	old := s.records[p.ID]
	patched := *old
	patched.Overlay = patchedOverlay(old.Overlay, p.Set)
	changed := !bytes.Equal(old.Overlay, patched.Overlay)
	if changed {
		m.change(service, &patched, nil)
	}
	return store.PatchResult{Existed: true, Changed: changed, Service: service, Rev: s.rev, Overlay: patched.Overlay}
}
