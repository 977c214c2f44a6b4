package store

import "sync"

// Memo computes a value once. The zero Memo is ready.
type Memo struct {
	once  sync.Once
	value any
}

// Get returns the value, computing it on the first call.
func (m *Memo) Get(compute func() any) any {
	m.once.Do(func() { m.value = compute() })
	return m.value
}
