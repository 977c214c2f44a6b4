// Package line is the one group commit of the library: what waits while a
// batch is under way travels together in the next.
package line

import "sync"

// Line gathers operations and sends them in batches, one batch at a time and in
// the order of their arrival. While idle it holds no goroutine.
type Line[T any] struct {
	send func([]T)
	take func([]T) int // how many of what waits travel together; nil: all

	mu      sync.Mutex
	first   []T // before all that waits
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

// NewBounded is New with batches of bounded size: take is asked, by one goroutine
// at a time, how many of what waits make up the next batch. It returns at least 1.
func NewBounded[T any](send func([]T), take func(waiting []T) int) *Line[T] {
	return &Line[T]{send: send, take: take}
}

// Add puts an operation on the line. It reports false, and forgets the
// operation, when the line is closed.
func (l *Line[T]) Add(op T) bool { return l.add(&l.waiting, op) }

// AddFirst is Add for an operation that no other may hold up: it is part of the
// next batch, however many wait, and outside its bound.
func (l *Line[T]) AddFirst(op T) bool { return l.add(&l.first, op) }

func (l *Line[T]) add(to *[]T, op T) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	*to = append(*to, op)
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
	more := len(l.waiting)+len(l.first) > 0
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
		batch := l.next()
		if len(batch) == 0 {
			l.running = false
			l.mu.Unlock()
			return
		}
		l.mu.Unlock()
		l.send(batch)
	}
}

// next takes what makes up the next batch. l.mu is held.
func (l *Line[T]) next() []T {
	batch := l.waiting
	if l.take != nil && len(batch) > 0 {
		batch = batch[:l.take(batch)]
	}
	if l.waiting = l.waiting[len(batch):]; len(l.waiting) == 0 {
		l.waiting = nil
	}
	if len(l.first) > 0 {
		batch = append(l.first, batch...)
		l.first = nil
	}
	return batch[:len(batch):len(batch)]
}

// Close refuses further operations. What waits is still sent; Wait waits for it.
func (l *Line[T]) Close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
}

// Wait returns when the line is idle. Call it after Close.
func (l *Line[T]) Wait() { l.done.Wait() }
