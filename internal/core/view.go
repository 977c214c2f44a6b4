package core

import (
	"sync/atomic"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// Entry is one record with its decoded value. Users must not change it.
type Entry struct {
	*store.Record
	Value any
	sum   uint64 // of the payload, unless the record came with its value
}

// View is the state of a service at one moment, as a caller is shown it.
type View struct {
	*Content
	AsOf  time.Time // when the backend last confirmed it
	Stale error     // nil while current
	// Confirmed holds the present AsOf of a view that a watch yielded; nil otherwise.
	Confirmed *atomic.Pointer[time.Time]
}

// Content is the part of a View that only a change of the service changes. It is
// immutable and shared.
type Content struct {
	Entries  []*Entry // live, in order
	Revision uint64   // compare for equality only
	cached   store.CachedValue
}

// Cached returns what compute returned for this content. It is called once.
func (c *Content) Cached(compute func(*Content) any) any {
	if v, ok := c.cached.Peek(); ok {
		return v
	}
	return c.cached.Get(func() any { return compute(c) })
}

// compareEntries orders entries: oldest first.
func compareEntries(a, b *Entry) int {
	switch {
	case a.Before(b.Record):
		return -1
	case b.Before(a.Record):
		return 1
	}
	return 0
}
