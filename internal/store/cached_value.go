package store

import (
	"sync"
	"sync/atomic"
)

// CachedValue computes a value once and keeps it. The zero value is empty. It is
// safe for concurrent use and must not be copied.
type CachedValue struct {
	once     sync.Once
	computed atomic.Bool
	value    any
}

// Get returns the value. The first call computes it.
func (c *CachedValue) Get(compute func() any) any {
	c.once.Do(func() {
		c.value = compute()
		c.computed.Store(true)
	})
	return c.value
}

// Peek returns the value if it was computed. A caller that uses it first need not
// allocate the function for Get.
func (c *CachedValue) Peek() (value any, ok bool) {
	if !c.computed.Load() {
		return nil, false
	}
	return c.value, true
}
