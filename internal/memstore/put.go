package memstore

import (
	"bytes"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// put obeys store.FencingVerdict, in the way that DESIGN.md of redisstore describes. The
// caller holds m.mu.
func (m *memory) put(c call, p *store.Put, leased bool) store.PutResult {
	s := m.serviceOf(p.Service)
	m.collect(s, c.now)
	a := putCall{m: m, s: s, call: c, put: p, leased: leased, kind: store.CallRegister}
	if p.Reregister {
		a.kind, a.registeredAt = store.CallReregister, p.RegisteredAt
	}
	result := a.run()
	result.Seq = c.seq
	if len(s.records)+len(s.tombstones) == 0 && s.rev == "" {
		delete(m.services, p.Service) // nothing was written
	}
	return result
}

// putCall is one put that is under way.
type putCall struct {
	m            *memory
	s            *service
	call         call
	put          *store.Put
	leased       bool // the record expires unless it is renewed
	kind         store.Call
	registeredAt int64 // of a reregistration; 0 before a registration has one

	record *store.Record // what stands here
	tomb   *tombstone
	there  *service // in which something else stands of the ID; nil if nowhere
	thereR *store.Record
	thereT *tombstone
}

func (a *putCall) run() store.PutResult {
	id := a.put.ID
	a.record, a.tomb = a.s.find(id)
	verdict := store.FencingVerdict(a.kind, a.s.situation(a.call.callID, a.registeredAt, a.record, a.tomb))
	overlay := a.overlay()
	switch verdict {
	case store.WriteOrSuperseded:
		if verdict = store.DoWrite; a.s.tookEffect(a.call.callID) {
			verdict = store.IsSuperseded
		}
	case store.WriteOrExtend:
		if verdict = store.DoWrite; sameContent(a.record, a.put, a.leased) && bytes.Equal(overlay, a.record.Overlay) &&
			(a.kind == store.CallRegister || a.record.RegisteredAt == a.registeredAt) {
			verdict = store.DoExtend
		}
	case store.DoRestore:
		// The call took effect, and its lease ended before it was sent again.
		verdict, a.kind, a.registeredAt = store.DoWrite, store.CallReregister, a.tomb.RegisteredAt
	}
	switch verdict {
	case store.DoExtend:
		l := a.s.leases[id]
		l.seq, l.ends = a.call.seq, a.leaseEnd()
		a.m.scheduleExpiry(a.s, l.ends)
		return store.PutResult{RegisteredAt: a.record.RegisteredAt, Overlay: a.record.Overlay}
	case store.DoWrite:
	default:
		return refusedPut(verdict, a.record, a.tomb)
	}
	if refused, ok := a.lookElsewhere(); ok {
		return refused
	}
	return a.write(overlay)
}

// overlay returns the overlay that the record starts with: the one that stands, if it is
// the owner's, without the members to reset; else the call's.
func (a *putCall) overlay() []byte {
	if a.record == nil || a.record.Owner != a.call.owner || len(a.record.Overlay) == 0 {
		return a.put.Overlay
	}
	overlay := a.record.Overlay
	for _, name := range a.put.ResetOverlay {
		overlay = patched(overlay, map[string]string{name: ""})
	}
	return overlay
}

func (a *putCall) leaseEnd() int64 {
	if !a.leased {
		return 0
	}
	return a.call.now + a.put.TTL.Microseconds()
}

// refusedPut is the result of a put that writes nothing.
func refusedPut(verdict store.Verdict, r *store.Record, t *tombstone) store.PutResult {
	result := store.PutResult{Outcome: map[store.Verdict]store.Outcome{
		store.IsOvertaken: store.Overtaken, store.IsDeregistered: store.Deregistered, store.IsSuperseded: store.Superseded}[verdict]}
	switch {
	case r != nil:
		result.RegisteredAt, result.Overlay = r.RegisteredAt, r.Overlay
	case t != nil:
		result.RegisteredAt = t.RegisteredAt
	}
	return result
}

// lookElsewhere finds what stands of the ID in another service, which counts as if it
// stood here. It reports whether the put is refused therefore.
func (a *putCall) lookElsewhere() (refused store.PutResult, ok bool) {
	from, known := a.m.where[a.put.ID]
	if a.record != nil || !known || from == a.put.Service {
		return store.PutResult{}, false
	}
	there := a.m.services[from]
	if there == nil {
		return store.PutResult{}, false
	}
	a.m.collect(there, a.call.now)
	a.thereR, a.thereT = there.find(a.put.ID)
	if a.thereR == nil && a.thereT == nil {
		return store.PutResult{}, false
	}
	a.there = there
	switch verdict := store.FencingVerdict(a.kind, there.situation(a.call.callID, a.registeredAt, a.thereR, a.thereT)); verdict {
	case store.IsOvertaken, store.IsSuperseded, store.IsDeregistered:
		result := refusedPut(verdict, a.thereR, a.thereT)
		result.Overlay = nil
		return result, true
	}
	return store.PutResult{}, false
}

// write writes the record, and ends what stands elsewhere.
func (a *putCall) write(overlay []byte) store.PutResult {
	m, p, c := a.m, a.put, a.call
	before, there := standing(a.s, a.record, a.tomb), standing(a.there, a.thereR, a.thereT)
	if a.kind == store.CallRegister {
		a.registeredAt = max(c.now, m.lastRegisteredAt+1, p.RegisteredAt, before.registeredAt+1, there.registeredAt+1)
	}
	m.lastRegisteredAt = max(m.lastRegisteredAt, a.registeredAt)
	l := &lease{ends: a.leaseEnd(), seq: c.seq, by: c.by, flagged: before.anothers(c.owner) || there.anothers(c.owner)}
	r := &store.Record{ID: p.ID, Owner: c.owner, Seq: c.seq, RegisteredAt: a.registeredAt, Payload: p.Payload, Decoded: p.Decoded, Overlay: overlay}
	if a.leased {
		r.TTL, r.HeartbeatInterval = p.TTL, p.HeartbeatInterval
	}
	what := store.Event{ID: p.ID, Kind: store.EventRegistered, By: c.by}
	if a.record != nil {
		what.Kind = store.EventReplaced
		if a.record.Owner != c.owner {
			what.Note = a.s.leases[p.ID].by
			m.noteLoss(a.record, c)
		}
	}
	// The new name shows it before the old one stops to.
	e := m.edit(a.s)
	e.put(r, l, c.callID)
	e.commit()
	m.history.add(a.s.name, what, c.now, eventTime)
	if a.there != nil && store.FencingVerdict(store.CallMove, a.there.situation(c.callID, a.registeredAt, a.thereR, a.thereT)) == store.DoEnd {
		m.endAsMoved(a.there, there, c, p, a.registeredAt)
		if a.thereR != nil {
			m.noteLoss(a.thereR, c)
		}
	}
	return store.PutResult{RegisteredAt: r.RegisteredAt, Overlay: r.Overlay}
}

// endAsMoved ends what stands of an ID, because it is registered in another service.
func (m *memory) endAsMoved(s *service, what stands, c call, p *store.Put, registeredAt int64) {
	e := m.edit(s)
	e.end(&tombstone{flagged: what.anothers(c.owner), Tombstone: store.Tombstone{
		ID: p.ID, Reason: store.ReasonMoved, RegisteredAt: max(registeredAt, what.registeredAt), Owner: c.owner, Seq: c.seq}}, c.now, c.callID)
	m.where[p.ID] = p.Service
	e.commit()
	m.history.add(s.name, store.Event{ID: p.ID, Kind: store.EventMoved, By: c.by, Note: p.Service}, c.now, removalTime)
}

// stands is what a record and a tombstone have in common.
type stands struct {
	owner        string
	registeredAt int64
	flagged      bool
}

func standing(s *service, r *store.Record, t *tombstone) stands {
	switch {
	case r != nil:
		return stands{r.Owner, r.RegisteredAt, s.leases[r.ID].flagged}
	case t != nil:
		return stands{t.Owner, t.RegisteredAt, t.flagged}
	}
	return stands{}
}

// anothers reports whether another owner may have to learn of a write by owner.
func (w stands) anothers(owner string) bool {
	return w.flagged || w.owner != "" && w.owner != owner
}

// noteLoss notes that a call ended a record of the Local store, if that is another's.
func (m *memory) noteLoss(r *store.Record, c call) {
	if r.Owner == m.local && c.owner != m.local {
		m.localLost = true
	}
}
