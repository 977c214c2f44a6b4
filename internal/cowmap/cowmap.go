// Package cowmap has a map that is copied on write, for maps that are read far more
// often than they change.
package cowmap

import (
	"maps"
	"sync/atomic"
)

// Map is a map whose readers take no lock: each change replaces it with a changed
// copy. The caller serializes changes. The zero Map is empty. A Map must not be copied.
type Map[K comparable, V any] struct {
	current atomic.Pointer[map[K]V]
}

// Get returns the value of a key, or the zero value if there is none.
func (m *Map[K, V]) Get(key K) V {
	return m.All()[key]
}

// All returns the present entries. Shared, read only.
func (m *Map[K, V]) All() map[K]V {
	if p := m.current.Load(); p != nil {
		return *p
	}
	return nil
}

// Set sets the value of a key.
func (m *Map[K, V]) Set(key K, value V) {
	next := maps.Clone(m.All())
	if next == nil {
		next = make(map[K]V)
	}
	next[key] = value
	m.current.Store(&next)
}

// Delete removes a key.
func (m *Map[K, V]) Delete(key K) {
	next := maps.Clone(m.All())
	delete(next, key)
	m.current.Store(&next)
}

// Clear removes all entries and returns them.
func (m *Map[K, V]) Clear() map[K]V {
	old := m.All()
	m.current.Store(nil)
	return old
}
