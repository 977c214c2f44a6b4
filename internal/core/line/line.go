// Package line is the one group commit of the library: what waits while a
// batch is under way travels together in the next.
package line

import "sync"

// Line gathers operations and sends them in batches, one batch at a time and in
// the order of their arrival. While idle it holds no goroutine.
type Line[T any] struct {
	send func([]T)

	mu      sync.Mutex
	waiting []T
	running bool
	closed  bool
	done    sync.WaitGroup
}

// New returns a Line that hands each batch to send. An operation is part of
// exactly one batch, which begins after its Add.
func New[T any](send func([]T)) *Line[T] {
	return &Line[T]{send: send}
}

// Add puts an operation on the line. It reports false, and forgets the
// operation, when the line is closed.
func (l *Line[T]) Add(op T) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.waiting = append(l.waiting, op)
	if !l.running {
		l.running = true
		l.done.Add(1)
		go l.run()
	}
	return true
}

// Do is Add for a caller that waits for its operation in any case: while the
// line is idle, the caller's own goroutine sends the batch. It saves waking
// another goroutine and being woken by it.
func (l *Line[T]) Do(op T) bool {
	l.mu.Lock()
	if l.closed || l.running {
		l.mu.Unlock()
		return l.Add(op)
	}
	l.running = true
	l.done.Add(1)
	l.mu.Unlock()
	l.send([]T{op})
	l.mu.Lock()
	more := len(l.waiting) > 0
	l.running = more
	l.mu.Unlock()
	if more {
		go l.run()
	} else {
		l.done.Done()
	}
	return true
}

func (l *Line[T]) run() {
	defer l.done.Done()
	for {
		l.mu.Lock()
		batch := l.waiting
		l.waiting = nil
		if len(batch) == 0 {
			l.running = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		l.send(batch)
	}
}

// Close refuses further operations. What waits is still sent; Wait waits for it.
func (l *Line[T]) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
}

// Wait returns when the line is idle. Call it after Close.
func (l *Line[T]) Wait() { l.done.Wait() }
