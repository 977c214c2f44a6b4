package core

import (
	"errors"
	"sync"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// pendingRead is one read of a service that any number of callers wait for.
//
// At most one read of a service is under way. A caller shares only a read that
// starts after its call, so that no answer is older than the call. Pushes that
// arrive during a read wait for it, so that none is applied to a state that is
// older than the push expects.
type pendingRead struct {
	start       time.Time
	reason      string // of a resync; "" for a caller's read
	leaseNumber uint64 // of the watcher lease under which it began
	proveWrites bool   // it makes sure that the backend accepts writes
	done        chan struct{}

	// The service's lock guards these until done is closed.
	ended bool // by the answer, or by Close before it
	view  View
	err   error
}

func newRead(reason string) *pendingRead {
	return &pendingRead{reason: reason, done: make(chan struct{})}
}

// end hands the result to the callers. The caller holds the service's lock.
func (read *pendingRead) end(view View, err error) {
	read.ended, read.view, read.err = true, view, err
	close(read.done)
}

// closedRead is what callers get after Close.
var closedRead = func() *pendingRead {
	read := newRead("")
	read.end(View{}, store.ErrClosed)
	return read
}()

// sharedRead returns a read that a caller of now may wait for.
func (s *service) sharedRead(reason string) *pendingRead { return s.requestRead(reason, false) }

// requestRead is like sharedRead. blocking: the caller does nothing else until the
// read has ended, so its goroutine may do the work.
func (s *service) requestRead(reason string, blocking bool) *pendingRead {
	s.mu.Lock()
	if s.engine.ctx.Err() != nil {
		s.mu.Unlock()
		return closedRead
	}
	if s.currentRead != nil {
		if s.queuedRead == nil {
			s.queuedRead = newRead(reason)
		}
		read := s.queuedRead
		s.mu.Unlock()
		return read
	}
	read := newRead(reason)
	known := s.beginRead(read)
	known.Hints.Blocking = blocking
	s.mu.Unlock()
	s.runReads(read, known)
	return read
}

// beginRead makes read the current one. It returns what the store need not send
// again. The caller holds s.mu.
func (s *service) beginRead(read *pendingRead) store.KnownState {
	read.start = time.Now()
	s.currentRead = read
	read.proveWrites = s.outage.expected != nil
	if s.hub != nil {
		read.proveWrites = read.proveWrites || len(s.hub.retained) > 0
		read.leaseNumber = s.hub.lease.number
	}
	return s.knownState(read.proveWrites)
}

// runReads sends a read, and then those that were queued meanwhile, until none is
// or one is answered later; the goroutine that answers it goes on.
func (s *service) runReads(read *pendingRead, known store.KnownState) {
	for read != nil {
		var a immediateAnswer
		s.engine.store.Read(s.name, known, func(r store.Reading, err error) {
			if !a.set(r, err) {
				s.runReads(s.finishRead(r, err))
			}
		})
		if !a.readReturned() {
			return
		}
		read, known = s.finishRead(a.reading, a.err)
	}
}

// immediateAnswer is the answer of a store whose Read calls back before it returns.
// A loop handles it: a call within the callback would grow the stack with each read.
type immediateAnswer struct {
	mu       sync.Mutex
	answered bool
	returned bool // Read has returned
	reading  store.Reading
	err      error
}

// set sets the answer. It reports false if Read has returned.
func (a *immediateAnswer) set(r store.Reading, err error) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.returned {
		return false
	}
	a.answered, a.reading, a.err = true, r, err
	return true
}

// readReturned records that Read has returned. It reports whether there is an answer.
func (a *immediateAnswer) readReturned() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.returned = true
	return a.answered
}

// finishRead takes the answer to the current read. It returns the read that was
// queued meanwhile and is to be sent next, or nil.
func (s *service) finishRead(r store.Reading, err error) (next *pendingRead, known store.KnownState) {
	s.mu.Lock()
	read, resync, failure := s.currentRead, "", err
	if err != nil {
		s.pushes = nil // the next read includes them
		s.readFailed(err)
	} else {
		before := s.state.rev
		s.changedLast = r.Kind != store.Unchanged
		s.applyRead(read, &r)
		if s.hub != nil && read.reason == ResyncCheck && before != "" && before != r.Rev && len(s.pushes) == 0 {
			s.hub.unannounced = r.Rev
		}
		resync = s.applyPushes()
		failure = s.outage.verify(&s.state, r.WritesRefused, read.start, time.Now())
	}
	if !read.ended {
		read.end(View{Content: s.state.content(), AsOf: read.start}, failure)
	}
	if resync != "" && s.queuedRead == nil && s.engine.ctx.Err() == nil {
		s.queuedRead = newRead(resync)
	}
	next, s.queuedRead, s.currentRead = s.queuedRead, nil, nil
	if next != nil {
		known = s.beginRead(next)
	}
	s.mu.Unlock()
	s.engine.noteAvailability(requestSource(s.name), failure)
	if errors.Is(err, store.ErrForeignData) {
		s.engine.reportMalformed(s.name, "", err)
	}
	s.engine.reportRead(s.name, read, &r, failure)
	return next, known
}

// endPendingReads ends all reads for their callers, for the engine is closed: the
// store may answer later. No read begins after the engine's context has ended.
func (e *Engine) endPendingReads() {
	for _, s := range e.allServices() {
		s.mu.Lock()
		for _, read := range []*pendingRead{s.currentRead, s.queuedRead} {
			if read != nil && !read.ended {
				read.end(View{}, store.ErrClosed)
			}
		}
		s.queuedRead = nil
		s.mu.Unlock()
	}
}

// reportRead reports a read that has ended to the hooks.
func (e *Engine) reportRead(name string, read *pendingRead, r *store.Reading, err error) {
	e.cfg.Hooks.Read(name, r.Kind, time.Since(read.start), err)
	if read.reason != "" && err == nil && (read.reason != ResyncCheck || r.Kind != store.Unchanged) {
		e.cfg.Hooks.Resync(name, read.reason)
	}
}
