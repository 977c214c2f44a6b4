package faultnet

import (
	"bytes"
	"sync"
	"time"
)

// chunk is a number of bytes to deliver.
type chunk struct {
	bytes []byte
	due   time.Time // earliest time of delivery
}

// queue holds one direction's bytes in order, without a limit. One goroutine
// pushes and closes, one pops.
type queue struct {
	mu     sync.Mutex
	chunks []chunk
	closed bool
	ready  chan struct{}
}

func newQueue() *queue { return &queue{ready: make(chan struct{}, 1)} }

// push appends a copy of b.
func (q *queue) push(b []byte, due time.Time) {
	q.mu.Lock()
	q.chunks = append(q.chunks, chunk{bytes.Clone(b), due})
	q.mu.Unlock()
	q.signal()
}

// close says that nothing more will be pushed.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
}

func (q *queue) signal() {
	select {
	case q.ready <- struct{}{}:
	default:
	}
}

// pop waits for the next chunk. It reports false at the end of the queue or when
// done is closed.
func (q *queue) pop(done <-chan struct{}) (chunk, bool) {
	for {
		q.mu.Lock()
		if len(q.chunks) > 0 {
			next := q.chunks[0]
			q.chunks = q.chunks[1:]
			q.mu.Unlock()
			return next, true
		}
		closed := q.closed
		q.mu.Unlock()
		if closed {
			return chunk{}, false
		}
		select {
		case <-q.ready:
		case <-done:
			return chunk{}, false
		}
	}
}
