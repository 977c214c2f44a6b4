package memstore

import (
	"cmp"
	"slices"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// collect ends the records of a service whose leases have ended. Each call about a service
// does so first, so that a renewal that comes after the end is a visible change.
func (m *memory) collect(s *service, now int64) {
	if s == nil || s.nextExpiry == 0 || s.nextExpiry >= now {
		return
	}
	var over []string
	s.nextExpiry = 0
	for id, l := range s.leases {
		switch {
		case l.ends == 0:
		case l.ends < now:
			over = append(over, id)
		case s.nextExpiry == 0 || l.ends < s.nextExpiry:
			s.nextExpiry = l.ends
		}
	}
	if len(over) == 0 {
		return
	}
	slices.SortFunc(over, func(a, b string) int {
		return cmp.Or(cmp.Compare(s.leases[a].ends, s.leases[b].ends), cmp.Compare(a, b))
	})
	e := m.edit(s)
	for _, id := range over {
		r, _ := s.find(id)
		l := s.leases[id]
		e.end(&tombstone{flagged: l.flagged, Tombstone: store.Tombstone{
			ID: id, Reason: store.ReasonExpired, RegisteredAt: r.RegisteredAt, Owner: r.Owner, Seq: l.seq}}, now, callID{})
		m.history.add(s.name, store.Event{ID: id, Kind: store.EventExpired, By: l.by, Time: l.ends, LastHeartbeat: l.ends - r.TTL.Microseconds()}, now, removalTime)
	}
	e.commit()
}

// scheduleExpiry has the records of a service looked at when a lease ends.
func (m *memory) scheduleExpiry(s *service, ends int64) {
	if ends == 0 {
		return
	}
	if s.nextExpiry == 0 || ends < s.nextExpiry {
		s.nextExpiry = ends
	}
	m.setTimer(s.nextExpiry)
}

// setTimer has expired fire at a time, unless it fires before.
func (m *memory) setTimer(at int64) {
	if m.closed || m.expiryAt != 0 && m.expiryAt <= at {
		return
	}
	m.expiryAt = at
	// Just after, and not more often than every 10 ms.
	after := max(time.Duration(at-m.now())*time.Microsecond+time.Millisecond, 10*time.Millisecond)
	if m.expiry == nil {
		m.expiry = time.AfterFunc(after, m.expired)
	} else {
		m.expiry.Reset(after)
	}
}

// expired ends what has expired in all services.
func (m *memory) expired() {
	m.mu.Lock()
	defer m.unlock()
	if m.closed {
		return
	}
	m.expiryAt = 0
	now, next := m.now(), int64(0)
	for _, s := range m.services {
		m.collect(s, now)
		if s.nextExpiry != 0 && (next == 0 || s.nextExpiry < next) {
			next = s.nextExpiry
		}
	}
	if next != 0 {
		m.setTimer(next)
	}
}

// renew extends the leases of an owner in one service. The caller holds m.mu.
func (m *memory) renew(owner string, g *store.ServiceLeases, now int64) store.Renewal {
	s := m.services[g.Service]
	m.collect(s, now)
	renewal := store.Renewal{Outcomes: make(map[string]store.Outcome), Overlays: make(map[string][]byte)}
	for _, held := range g.Leases {
		record, tomb := s.find(held.ID)
		switch store.FencingVerdict(store.CallRenew, s.situation(callID{owner, store.LatestSeq}, held.RegisteredAt, record, tomb)) {
		case store.OkOrLost:
			if record.RegisteredAt != held.RegisteredAt {
				renewal.Outcomes[held.ID] = store.Lost
				continue
			}
			if l := s.leases[held.ID]; l.ends != 0 {
				l.ends = now + g.TTL.Microseconds()
				m.scheduleExpiry(s, l.ends)
			}
			renewal.Overlays[held.ID] = record.Overlay
		case store.IsSuperseded:
			renewal.Outcomes[held.ID] = store.Superseded
		case store.IsDeregistered:
			renewal.Outcomes[held.ID] = store.Deregistered
		default:
			renewal.Outcomes[held.ID] = store.Lost
		}
	}
	return renewal
}
