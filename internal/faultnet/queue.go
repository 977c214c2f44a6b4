package faultnet

import (
	"bytes"
	"sync"
	"time"
)

// piece is some bytes on their way.
type piece struct {
	bytes []byte
	due   time.Time // not to be delivered before
}

// queue holds one direction's bytes in order, without a limit. One goroutine
// pushes and closes, one pops.
type queue struct {
	mu     sync.Mutex
	pieces []piece
	closed bool
	ready  chan struct{}
}

func newQueue() *queue { return &queue{ready: make(chan struct{}, 1)} }

// push appends a copy of b.
func (q *queue) push(b []byte, due time.Time) {
	q.mu.Lock()
	q.pieces = append(q.pieces, piece{bytes.Clone(b), due})
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

// pop waits for the next piece. It reports false at the end of the queue or when
// done is closed.
func (q *queue) pop(done <-chan struct{}) (piece, bool) {
	for {
		q.mu.Lock()
		if len(q.pieces) > 0 {
			next := q.pieces[0]
			q.pieces = q.pieces[1:]
			q.mu.Unlock()
			return next, true
		}
		closed := q.closed
		q.mu.Unlock()
		if closed {
			return piece{}, false
		}
		select {
		case <-q.ready:
		case <-done:
			return piece{}, false
		}
	}
}
