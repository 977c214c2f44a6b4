package core

import (
	"hash/maphash"
	"maps"
	"slices"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// truth is the state of a group at a revision.
type serviceState struct {
	rev           string
	nextExpiry    int64 // earliest expiry of a live record, backend's clock
	backendTime   int64 // backend's clock when last heard of
	backendTimeAt time.Time
	entries       map[string]*Entry // all that are part of the revision
	expired       map[string]bool   // of those, the ones past their expiry
	live          []*Entry          // those that live
	cachedContent *Content          // nil until asked for
	// distrust: the backend's clock was set back, so the expiries known are void.
	expiriesVoid bool
}

// lists reports whether an instance is part of it and lives.
func (t *serviceState) isLive(id string) bool { return t.entries[id] != nil && !t.expired[id] }

// expiredIDs lists those that are past their expiry, in order.
func (t *serviceState) expiredIDs() []string { return slices.Sorted(maps.Keys(t.expired)) }

// gone returns the live records that a reading, unless it is full, says have
// ended or cannot be read any more.
func (t *serviceState) endedBy(r *store.Reading) []*Entry {
	var out []*Entry
	note := func(id string) {
		if e := t.entries[id]; e != nil && !t.expired[id] {
			out = append(out, e)
		}
	}
	for _, b := range r.Tombstones {
		note(b.ID)
	}
	for _, id := range r.Expired {
		note(id)
	}
	for _, id := range r.Malformed {
		note(id)
	}
	return out
}

// view returns the content as of now, made once per change.
func (t *serviceState) content() *Content {
	if t.cachedContent == nil {
		t.cachedContent = &Content{Entries: t.live, Revision: revisionNumber(t.rev, t.expiredIDs()...)}
	}
	return t.cachedContent
}

// same takes a reading that confirmed the revision.
func (t *serviceState) applyUnchanged(r *store.Reading) evidence {
	t.nextExpiry = r.NextExpiry
	if r.Expired == nil {
		return nil
	}
	return t.setExpired(r.Expired)
}

// expire sets which records are past their expiry.
func (t *serviceState) setExpired(ids []string) evidence {
	if len(ids) == 0 && len(t.expired) == 0 {
		return nil
	}
	changed := len(ids) != len(t.expired)
	now := make(map[string]bool, len(ids))
	ev := make(evidence, len(ids))
	for _, id := range ids {
		if e := t.entries[id]; e != nil {
			now[id] = true
			ev[id] = store.Tombstone{ID: id, Reason: store.ReasonExpired, RegisteredAt: e.RegisteredAt, Owner: e.Owner}
			changed = changed || !t.expired[id]
		}
	}
	if changed {
		t.expired = now
		t.rebuildLive()
	}
	return ev
}

// sort makes the list of those that live anew.
func (t *serviceState) rebuildLive() {
	t.live = make([]*Entry, 0, len(t.entries))
	for id, e := range t.entries {
		if !t.expired[id] {
			t.live = append(t.live, e)
		}
	}
	slices.SortFunc(t.live, compareEntries)
	t.cachedContent = nil
}

// delta takes what changed.
func (t *serviceState) applyDelta(g *service, r *store.Reading) evidence {
	ev := make(evidence, len(r.Tombstones))
	if t.entries == nil {
		t.entries = make(map[string]*Entry)
	}
	few := len(r.Records)+len(r.Tombstones)+len(r.Malformed) <= 8 && len(t.expired) == 0
	drop := func(id string) {
		if old := t.entries[id]; old != nil {
			delete(t.entries, id)
			if few {
				t.live = removeSorted(t.live, old)
			}
		}
	}
	for _, b := range r.Tombstones {
		ev[b.ID] = b
		drop(b.ID)
	}
	for _, id := range r.Malformed {
		drop(id)
	}
	for _, rec := range r.Records {
		old := t.entries[rec.ID]
		e, ok := g.decodeEntry(old, rec)
		if old != nil {
			delete(t.entries, rec.ID)
			if few {
				t.live = removeSorted(t.live, old)
			}
		}
		if !ok {
			continue
		}
		t.entries[rec.ID] = e
		if few {
			t.live = insertSorted(t.live, e)
		}
		if rec.ExpiresAt > 0 && (t.nextExpiry == 0 || rec.ExpiresAt < t.nextExpiry) {
			t.nextExpiry = rec.ExpiresAt
		}
	}
	t.rev = r.Rev
	t.cachedContent = nil
	if r.NextExpiry != 0 {
		t.nextExpiry = r.NextExpiry
	}
	if r.Expired == nil {
		// A push says nothing of the others' leases. Every script prunes first, so
		// none of those it did not bury was past its expiry.
		t.expired = nil
	} else {
		t.expired = nil
		for id, tomb := range t.setExpired(r.Expired) {
			ev[id] = tomb
		}
	}
	if !few {
		t.rebuildLive()
	}
	return ev
}

func removeSorted(list []*Entry, e *Entry) []*Entry {
	i, ok := slices.BinarySearchFunc(list, e, compareEntries)
	if !ok {
		return list
	}
	out := make([]*Entry, 0, len(list)-1)
	return append(append(out, list[:i]...), list[i+1:]...)
}

// full takes a whole state.
func (t *serviceState) applyFull(g *service, r *store.Reading) evidence {
	ev := make(evidence, len(r.Tombstones))
	for _, b := range r.Tombstones {
		ev[b.ID] = b
	}
	entries := make(map[string]*Entry, len(r.Records))
	same := len(r.Records) == len(t.entries) && len(t.expired) == 0 && r.Rev == t.rev
	for _, rec := range r.Records {
		old := t.entries[rec.ID]
		if e, ok := g.decodeEntry(old, rec); ok {
			entries[rec.ID] = e
			same = same && e == old
		}
	}
	t.rev, t.nextExpiry, t.entries, t.expired, t.expiriesVoid = r.Rev, r.NextExpiry, entries, nil, false
	if !same {
		t.rebuildLive()
	}
	return ev
}

// entry returns the decoded record, the one known already when it is the same.
func (g *service) decodeEntry(old *Entry, rec *store.Record) (*Entry, bool) {
	if rec.Decoded != nil {
		if old != nil && old.Record == rec {
			return old, true
		}
		return &Entry{Record: rec, Value: rec.Decoded}, true
	}
	sum := payloadSum(rec.Payload) // before Decode, which may let go of it
	if old != nil && old.RegisteredAt == rec.RegisteredAt && old.Owner == rec.Owner && old.sum == sum && string(old.Overlay) == string(rec.Overlay) {
		if g.name == store.Catalog {
			old.TTL, old.HeartbeatInterval = max(old.TTL, rec.TTL), max(old.HeartbeatInterval, rec.HeartbeatInterval)
		}
		return old, true
	}
	v, err := g.e.cfg.Decode(g.name, rec)
	if err != nil {
		g.e.reportBadRecord(g.name, rec.ID, err)
		return nil, false
	}
	return &Entry{Record: rec, Value: v, sum: sum}, true
}

var payloadSumSeed = maphash.MakeSeed()

// sumOf stands for a payload where it is compared with a later one of the same
// owner and stamp, so that it need not be kept. Two payloads share these 64 bits
// once in 2^64, and nobody can choose two that do: the seed is the process's own.
func payloadSum(payload []byte) uint64 { return maphash.Bytes(payloadSumSeed, payload) }
