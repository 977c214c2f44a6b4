package core

import (
	"hash/maphash"
	"maps"
	"slices"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// truth is the state of a group at a revision.
type truth struct {
	rev     string
	next    int64 // earliest expiry of a live record, backend's clock
	now     int64 // backend's clock when last heard of
	at      time.Time
	entries map[string]*Entry // all that are part of the revision
	expired map[string]bool   // of those, the ones past their expiry
	sorted  []*Entry          // those that live
	content *Content          // nil until asked for
	// distrust: the backend's clock was set back, so the expiries known are void.
	distrust bool
}

// lists reports whether an instance is part of it and lives.
func (t *truth) lists(id string) bool { return t.entries[id] != nil && !t.expired[id] }

// expiredIDs lists those that are past their expiry, in order.
func (t *truth) expiredIDs() []string { return slices.Sorted(maps.Keys(t.expired)) }

// gone returns the live records that a reading, unless it is full, says have
// ended or cannot be read any more.
func (t *truth) gone(r *store.Reading) []*Entry {
	var out []*Entry
	note := func(id string) {
		if e := t.entries[id]; e != nil && !t.expired[id] {
			out = append(out, e)
		}
	}
	for _, b := range r.Buried {
		note(b.ID)
	}
	for _, id := range r.Expired {
		note(id)
	}
	for _, id := range r.Bad {
		note(id)
	}
	return out
}

// view returns the content as of now, made once per change.
func (t *truth) view() *Content {
	if t.content == nil {
		t.content = &Content{Entries: t.sorted, Revision: number(t.rev, t.expiredIDs()...)}
	}
	return t.content
}

// same takes a reading that confirmed the revision.
func (t *truth) same(r *store.Reading) evidence {
	t.next = r.Next
	if r.Expired == nil {
		return nil
	}
	return t.expire(r.Expired)
}

// expire sets which records are past their expiry.
func (t *truth) expire(ids []string) evidence {
	if len(ids) == 0 && len(t.expired) == 0 {
		return nil
	}
	changed := len(ids) != len(t.expired)
	now := make(map[string]bool, len(ids))
	ev := make(evidence, len(ids))
	for _, id := range ids {
		if e := t.entries[id]; e != nil {
			now[id] = true
			ev[id] = store.Tombstone{ID: id, Reason: store.Expired, Stamp: e.Stamp, Owner: e.Owner}
			changed = changed || !t.expired[id]
		}
	}
	if changed {
		t.expired = now
		t.sort()
	}
	return ev
}

// sort makes the list of those that live anew.
func (t *truth) sort() {
	t.sorted = make([]*Entry, 0, len(t.entries))
	for id, e := range t.entries {
		if !t.expired[id] {
			t.sorted = append(t.sorted, e)
		}
	}
	slices.SortFunc(t.sorted, compare)
	t.content = nil
}

// delta takes what changed.
func (t *truth) delta(g *group, r *store.Reading) evidence {
	ev := make(evidence, len(r.Buried))
	if t.entries == nil {
		t.entries = make(map[string]*Entry)
	}
	few := len(r.Records)+len(r.Buried)+len(r.Bad) <= 8 && len(t.expired) == 0
	drop := func(id string) {
		if old := t.entries[id]; old != nil {
			delete(t.entries, id)
			if few {
				t.sorted = without(t.sorted, old)
			}
		}
	}
	for _, b := range r.Buried {
		ev[b.ID] = b
		drop(b.ID)
	}
	for _, id := range r.Bad {
		drop(id)
	}
	for _, rec := range r.Records {
		old := t.entries[rec.ID]
		e, ok := g.entry(old, rec)
		if old != nil {
			delete(t.entries, rec.ID)
			if few {
				t.sorted = without(t.sorted, old)
			}
		}
		if !ok {
			continue
		}
		t.entries[rec.ID] = e
		if few {
			t.sorted = insert(t.sorted, e)
		}
		if rec.Expires > 0 && (t.next == 0 || rec.Expires < t.next) {
			t.next = rec.Expires
		}
	}
	t.rev = r.Rev
	t.content = nil
	if r.Next != 0 {
		t.next = r.Next
	}
	if r.Expired == nil {
		// A push says nothing of the others' leases. Every script prunes first, so
		// none of those it did not bury was past its expiry.
		t.expired = nil
	} else {
		t.expired = nil
		for id, tomb := range t.expire(r.Expired) {
			ev[id] = tomb
		}
	}
	if !few {
		t.sort()
	}
	return ev
}

func without(list []*Entry, e *Entry) []*Entry {
	i, ok := slices.BinarySearchFunc(list, e, compare)
	if !ok {
		return list
	}
	out := make([]*Entry, 0, len(list)-1)
	return append(append(out, list[:i]...), list[i+1:]...)
}

// full takes a whole state.
func (t *truth) full(g *group, r *store.Reading) evidence {
	ev := make(evidence, len(r.Buried))
	for _, b := range r.Buried {
		ev[b.ID] = b
	}
	entries := make(map[string]*Entry, len(r.Records))
	same := len(r.Records) == len(t.entries) && len(t.expired) == 0 && r.Rev == t.rev
	for _, rec := range r.Records {
		old := t.entries[rec.ID]
		if e, ok := g.entry(old, rec); ok {
			entries[rec.ID] = e
			same = same && e == old
		}
	}
	t.rev, t.next, t.entries, t.expired, t.distrust = r.Rev, r.Next, entries, nil, false
	if !same {
		t.sort()
	}
	return ev
}

// entry returns the decoded record, the one known already when it is the same.
func (g *group) entry(old *Entry, rec *store.Record) (*Entry, bool) {
	if rec.Value != nil {
		if old != nil && old.Record == rec {
			return old, true
		}
		return &Entry{Record: rec, Value: rec.Value}, true
	}
	sum := sumOf(rec.Payload) // before Decode, which may let go of it
	if old != nil && old.Stamp == rec.Stamp && old.Owner == rec.Owner && old.sum == sum && string(old.Overlay) == string(rec.Overlay) {
		if g.name == store.Catalog {
			old.TTL, old.Beat = max(old.TTL, rec.TTL), max(old.Beat, rec.Beat)
		}
		return old, true
	}
	v, err := g.e.cfg.Decode(g.name, rec)
	if err != nil {
		g.e.reportBad(g.name, rec.ID, err)
		return nil, false
	}
	return &Entry{Record: rec, Value: v, sum: sum}, true
}

var sumSeed = maphash.MakeSeed()

// sumOf stands for a payload where it is compared with a later one of the same
// owner and stamp, so that it need not be kept. Two payloads share these 64 bits
// once in 2^64, and nobody can choose two that do: the seed is the process's own.
func sumOf(payload []byte) uint64 { return maphash.Bytes(sumSeed, payload) }
