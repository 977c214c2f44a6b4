package consulapi

import (
	"context"
	"sync"
	"time"
)

// clock gives indexes: each is greater than those before. The zero value is ready.
type clock struct {
	mu   sync.Mutex
	last uint64
}

func (c *clock) next() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last = max(c.last+1, uint64(time.Now().UnixMicro()))
	return c.last
}

// cell is a state with an index, for which blocking queries wait. It is safe for
// concurrent use.
type cell[T any] struct {
	mu      sync.Mutex
	value   T
	index   uint64        // 0 until the first state is known
	changed chan struct{} // closed when index changes
	updated chan struct{} // closed when the state is replaced; nil if that is not awaited
}

func newCell[T any]() *cell[T] { return &cell[T]{changed: make(chan struct{})} }

// set replaces the state. Queries wake if the index is another one.
func (c *cell[T]) set(value T, index uint64) {
	c.update(func(uint64) (T, uint64) { return value, index })
}

// update replaces the state by what f makes of its index. Queries wake if the index is
// another one.
func (c *cell[T]) update(f func(index uint64) (T, uint64)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	value, index := f(c.index)
	c.value = value
	if c.updated != nil {
		close(c.updated)
		c.updated = nil
	}
	if index == c.index {
		return
	}
	c.index = index
	close(c.changed)
	c.changed = make(chan struct{})
}

// touch gives a known state the next index, so that queries wake.
func (c *cell[T]) touch(clock *clock) {
	c.update(func(index uint64) (T, uint64) {
		if index != 0 {
			index = clock.next()
		}
		return c.value, index
	})
}

func (c *cell[T]) get() (value T, index uint64, changed <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.value, c.index, c.changed
}

// known reports whether there is a first state.
func (c *cell[T]) known() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.index != 0
}

// observe is get with a channel that is closed when the state is replaced, also by one
// with the same index: a state that became stale has the index that it had.
func (c *cell[T]) observe() (value T, index uint64, updated <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.updated == nil {
		c.updated = make(chan struct{})
	}
	return c.value, c.index, c.updated
}

// await returns the state once its index is greater than after, or what it is when ctx
// ends or stop is closed.
func (c *cell[T]) await(ctx context.Context, stop <-chan struct{}, after uint64) (T, uint64) {
	for {
		value, index, changed := c.get()
		if index > after {
			return value, index
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return value, index
		case <-stop:
			return value, index
		}
	}
}
