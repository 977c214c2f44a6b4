package core

import (
	"maps"
	"slices"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// serviceState is what the backend reported last on a service: its records at a
// revision. The service's lock guards it.
type serviceState struct {
	rev        string
	entries    map[string]*Entry // by ID: all records of the revision
	expired    map[string]bool   // those of them whose lease has ended
	live       []*Entry          // the others, in order; replaced, never changed
	nextExpiry int64             // earliest end of a live record's lease, backend's clock; 0: none
	// cached is the Content of live; nil until it is asked for.
	cached *Content

	backendTime   int64     // backend's clock as it was last read; 0: never
	backendTimeAt time.Time // when that was
	// expiriesVoid: the backend's clock was set back, so the known ends of leases mean nothing.
	expiriesVoid bool
}

// decoder returns the entry of a record: old if that is the same registration.
// It reports false if the record cannot be decoded.
type decoder func(old *Entry, record *store.Record) (*Entry, bool)

// smallDelta is up to how many changes are applied to the sorted list one by one,
// instead of sorting all of it again.
const smallDelta = 8

// isLive reports whether the state lists an instance whose lease has not ended.
func (s *serviceState) isLive(id string) bool { return s.entries[id] != nil && !s.expired[id] }

// expiredIDs returns the IDs of the records whose lease has ended, in order.
func (s *serviceState) expiredIDs() []string { return slices.Sorted(maps.Keys(s.expired)) }

// localTime converts a time of the backend's clock.
func (s *serviceState) localTime(backend int64) time.Time {
	return s.backendTimeAt.Add(time.Duration(backend-s.backendTime) * time.Microsecond)
}

// content returns the live entries, the same pointer until they change.
func (s *serviceState) content() *Content {
	if s.cached == nil {
		s.cached = &Content{Entries: s.live, Revision: revisionNumber(s.rev, s.expiredIDs()...)}
	}
	return s.cached
}

// mayEnd returns the live entries that a reading may end: all of them if it is a
// full state, otherwise those that it names.
func (s *serviceState) mayEnd(r *store.Reading) []*Entry {
	if r.Kind == store.Full {
		return s.live
	}
	var named []*Entry
	add := func(id string) {
		if s.isLive(id) {
			named = append(named, s.entries[id])
		}
	}
	for _, t := range r.Tombstones {
		add(t.ID)
	}
	for _, id := range r.Expired {
		add(id)
	}
	for _, id := range r.Malformed {
		add(id)
	}
	return named
}

// apply makes a reading the state, and returns the evidence in it.
func (s *serviceState) apply(r *store.Reading, decode decoder) evidence {
	switch r.Kind {
	case store.Unchanged:
		return s.applyUnchanged(r)
	case store.Delta:
		return s.applyDelta(r, decode)
	}
	return s.applyFull(r, decode)
}

// applyUnchanged applies a reading that confirmed the revision.
func (s *serviceState) applyUnchanged(r *store.Reading) evidence {
	s.nextExpiry = r.NextExpiry
	if r.Expired == nil {
		return nil
	}
	return s.setExpired(r.Expired)
}

// applyDelta applies what changed since the revision.
func (s *serviceState) applyDelta(r *store.Reading, decode decoder) evidence {
	if s.entries == nil {
		s.entries = make(map[string]*Entry)
	}
	small := len(r.Records)+len(r.Tombstones)+len(r.Malformed) <= smallDelta && len(s.expired) == 0
	remove := func(id string) {
		if old := s.entries[id]; old != nil {
			delete(s.entries, id)
			if small {
				s.live = removeSorted(s.live, old)
			}
		}
	}
	ev := tombstones(r)
	for id := range ev {
		remove(id)
	}
	for _, id := range r.Malformed {
		remove(id)
	}
	for _, record := range r.Records {
		e, ok := decode(s.entries[record.ID], record)
		remove(record.ID)
		if !ok {
			continue
		}
		s.entries[record.ID] = e
		if small {
			s.live = insertSorted(s.live, e)
		}
		if record.ExpiresAt > 0 && (s.nextExpiry == 0 || record.ExpiresAt < s.nextExpiry) {
			s.nextExpiry = record.ExpiresAt
		}
	}
	s.rev, s.cached = r.Rev, nil
	if r.NextExpiry != 0 {
		s.nextExpiry = r.NextExpiry
	}
	// A push has no Expired. Each write first ends all leases that are over,
	// so the leases that it does not name have not ended.
	s.expired = nil
	if r.Expired != nil {
		maps.Copy(ev, s.setExpired(r.Expired))
	}
	if !small {
		s.sortLive()
	}
	return ev
}

// applyFull applies a whole state.
func (s *serviceState) applyFull(r *store.Reading, decode decoder) evidence {
	entries := make(map[string]*Entry, len(r.Records))
	same := len(r.Records) == len(s.entries) && len(s.expired) == 0 && r.Rev == s.rev
	for _, record := range r.Records {
		old := s.entries[record.ID]
		if e, ok := decode(old, record); ok {
			entries[record.ID] = e
			same = same && e == old
		}
	}
	s.rev, s.nextExpiry, s.entries, s.expired, s.expiriesVoid = r.Rev, r.NextExpiry, entries, nil, false
	if !same {
		s.sortLive()
	}
	return tombstones(r)
}

func tombstones(r *store.Reading) evidence {
	ev := make(evidence, len(r.Tombstones))
	for _, t := range r.Tombstones {
		ev[t.ID] = t
	}
	return ev
}

// setExpired sets which records' leases have ended.
func (s *serviceState) setExpired(ids []string) evidence {
	if len(ids) == 0 && len(s.expired) == 0 {
		return nil
	}
	changed := len(ids) != len(s.expired)
	expired := make(map[string]bool, len(ids))
	ev := make(evidence, len(ids))
	for _, id := range ids {
		if e := s.entries[id]; e != nil {
			expired[id] = true
			ev[id] = store.Tombstone{ID: id, Reason: store.ReasonExpired, RegisteredAt: e.RegisteredAt, Owner: e.Owner}
			changed = changed || !s.expired[id]
		}
	}
	if changed {
		s.expired = expired
		s.sortLive()
	}
	return ev
}

// sortLive makes the list of live entries from the map.
func (s *serviceState) sortLive() {
	s.live = make([]*Entry, 0, len(s.entries))
	for id, e := range s.entries {
		if !s.expired[id] {
			s.live = append(s.live, e)
		}
	}
	slices.SortFunc(s.live, compareEntries)
	s.cached = nil
}

// insertSorted returns a copy of a sorted list with one entry added.
func insertSorted(list []*Entry, e *Entry) []*Entry {
	i, _ := slices.BinarySearchFunc(list, e, compareEntries)
	out := make([]*Entry, 0, len(list)+1)
	out = append(append(out, list[:i]...), e)
	return append(out, list[i:]...)
}

// removeSorted returns a copy of a sorted list without one entry.
func removeSorted(list []*Entry, e *Entry) []*Entry {
	i, ok := slices.BinarySearchFunc(list, e, compareEntries)
	if !ok {
		return list
	}
	out := make([]*Entry, 0, len(list)-1)
	return append(append(out, list[:i]...), list[i+1:]...)
}
