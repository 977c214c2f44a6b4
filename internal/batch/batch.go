// Package batch sends operations in batches: while one batch is on its way, the
// operations that arrive wait, and then travel together in the next.
package batch

import "sync"

// Batcher gathers operations and sends them in batches, one batch at a time and
// in the order of their arrival. An idle Batcher holds no goroutine.
type Batcher[T any] struct {
	send func([]T)
	size func([]T) int // how many of the waiting operations form the next batch; nil: all

	mu      sync.Mutex
	first   []T // sent before waiting
	waiting []T
	running bool
	closed  bool
	done    sync.WaitGroup
}

// New returns a Batcher that hands each batch to send. An operation is part of
// exactly one batch, whose send starts after the call of Add.
func New[T any](send func([]T)) *Batcher[T] {
	return &Batcher[T]{send: send}
}

// NewBounded is like New, with batches of bounded size: size returns how many of
// the waiting operations form the next batch, at least 1. It is called by one
// goroutine at a time.
func NewBounded[T any](send func([]T), size func(waiting []T) int) *Batcher[T] {
	return &Batcher[T]{send: send, size: size}
}

// Add queues an operation. It reports false, and drops the operation, if the
// Batcher is closed.
func (b *Batcher[T]) Add(op T) bool { return b.add(&b.waiting, op) }

// AddFirst is like Add for an operation that must not wait behind others: it is
// part of the next batch, however many operations wait, and outside its bound.
func (b *Batcher[T]) AddFirst(op T) bool { return b.add(&b.first, op) }

func (b *Batcher[T]) add(to *[]T, op T) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return false
	}
	*to = append(*to, op)
	if !b.running {
		b.running = true
		b.done.Add(1)
		go b.run()
	}
	return true
}

// Do is like Add for a caller that waits for its operation whatever happens: if
// the Batcher is idle, the caller's goroutine sends the batch. This saves two
// switches between goroutines.
func (b *Batcher[T]) Do(op T) bool {
	b.mu.Lock()
	if b.closed || b.running {
		b.mu.Unlock()
		return b.Add(op)
	}
	b.running = true
	b.done.Add(1)
	b.mu.Unlock()
	b.send([]T{op})
	b.mu.Lock()
	more := len(b.waiting)+len(b.first) > 0
	b.running = more
	b.mu.Unlock()
	if more {
		go b.run()
	} else {
		b.done.Done()
	}
	return true
}

func (b *Batcher[T]) run() {
	defer b.done.Done()
	for {
		b.mu.Lock()
		batch := b.nextBatch()
		if len(batch) == 0 {
			b.running = false
			b.mu.Unlock()
			return
		}
		b.mu.Unlock()
		b.send(batch)
	}
}

// nextBatch removes the next batch from the queue and returns it. The caller holds b.mu.
func (b *Batcher[T]) nextBatch() []T {
	batch := b.waiting
	if b.size != nil && len(batch) > 0 {
		batch = batch[:b.size(batch)]
	}
	if b.waiting = b.waiting[len(batch):]; len(b.waiting) == 0 {
		b.waiting = nil
	}
	if len(b.first) > 0 {
		batch = append(b.first, batch...)
		b.first = nil
	}
	return batch[:len(batch):len(batch)]
}

// Close refuses further operations. Operations that wait are still sent; Wait
// waits for them.
func (b *Batcher[T]) Close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
}

// Wait returns when the Batcher is idle. Call it after Close.
func (b *Batcher[T]) Wait() { b.done.Wait() }
