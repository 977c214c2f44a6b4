package store

import (
	"sync"
	"sync/atomic"
)

// Memo computes a value once. The zero Memo is ready.
type CachedValue struct {
	once  sync.Once
	known atomic.Bool
	value any
}

// Get returns the value, computing it on the first call.
func (m *CachedValue) Get(compute func() any) any {
	m.once.Do(func() {
		m.value = compute()
		m.known.Store(true)
	})
	return m.value
}

// Known returns the value if it has been computed. It spares a caller making
// the function that Get wants.
func (m *CachedValue) Peek() (value any, ok bool) {
	if !m.known.Load() {
		return nil, false
	}
	return m.value, true
}
