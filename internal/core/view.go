package core

import (
	"hash/fnv"
	"slices"
	"sync/atomic"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// Entry is one record with its decoded value. It is immutable.
type Entry struct {
	*store.Record
	Value any
	sum   uint64 // of the payload, unless the record came with its value
}

// View is the state of a group at one moment, as a reader is shown it.
type View struct {
	*Content
	AsOf  time.Time // when the backend last confirmed it
	Stale error     // nil while current
	// Confirmed is AsOf as of now, for a view that stands in a watch; nil otherwise.
	Confirmed *atomic.Pointer[time.Time]
}

// Content is the part of a View that only a change of the group moves. It is
// immutable and shared.
type Content struct {
	Entries  []*Entry // live, in order
	Revision uint64   // compare for equality only
	cached   store.CachedValue
}

// Memo returns what the caller makes of this content, made once.
func (c *Content) Cached(make func(*Content) any) any {
	if v, ok := c.cached.Peek(); ok {
		return v
	}
	return c.cached.Get(func() any { return make(c) })
}

// number makes a revision's number of its text and of what readers see differently.
func revisionNumber(rev string, but ...string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(rev))
	for _, id := range but {
		h.Write([]byte{0})
		h.Write([]byte(id))
	}
	return h.Sum64()
}

// Revision numbers an entry's own changes.
func (e *Entry) Revision() uint64 {
	h := fnv.New64a()
	h.Write([]byte(e.Owner))
	var b [8]byte
	for i := range b {
		b[i] = byte(e.RegisteredAt >> (8 * i))
	}
	h.Write(b[:])
	h.Write(e.Overlay)
	return h.Sum64()
}

func compareEntries(a, b *Entry) int {
	switch {
	case a.Before(b.Record):
		return -1
	case b.Before(a.Record):
		return 1
	}
	return 0
}

// insert returns a copy of a sorted list with one entry more.
func insertSorted(list []*Entry, e *Entry) []*Entry {
	i, _ := slices.BinarySearchFunc(list, e, compareEntries)
	out := make([]*Entry, len(list)+1)
	copy(out, list[:i])
	out[i] = e
	copy(out[i+1:], list[i:])
	return out
}
