package core

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// service is what an engine knows of one service: the state that the backend
// reported last, the reads under way, and the hub of its watches.
type service struct {
	engine *Engine
	name   string
	users  int // callers of acquireService; Engine.servicesMu guards it

	mu          sync.Mutex
	state       serviceState
	currentRead *pendingRead   // nil if none is under way
	queuedRead  *pendingRead   // starts when currentRead ends
	changedLast bool           // the last read found a change
	pushes      []store.Notice // that wait for currentRead
	hub         *serviceHub    // nil if there is no watch
	outage      outage
}

// maxIdleServices bounds the services that are remembered without a watch.
const maxIdleServices = 4096

// acquireService returns what the engine knows of a service. The caller gives it
// back to releaseService.
func (e *Engine) acquireService(name string) *service {
	e.servicesMu.Lock()
	defer e.servicesMu.Unlock()
	s := e.services[name]
	if s == nil {
		if len(e.services) >= maxIdleServices {
			for other, known := range e.services {
				if known.users == 0 {
					delete(e.services, other)
					break
				}
			}
		}
		s = &service{engine: e, name: name}
		e.services[name] = s
	}
	s.users++
	return s
}

func (e *Engine) releaseService(s *service) {
	e.servicesMu.Lock()
	defer e.servicesMu.Unlock()
	s.users--
}

// knownService returns what the engine knows of a service, nil if it knows nothing.
func (e *Engine) knownService(name string) *service {
	e.servicesMu.Lock()
	defer e.servicesMu.Unlock()
	return e.services[name]
}

// allServices returns the services that the engine knows now.
func (e *Engine) allServices() []*service {
	e.servicesMu.Lock()
	defer e.servicesMu.Unlock()
	return slices.Collect(maps.Values(e.services))
}

// applyRead makes the answer to a read the state, and shows it to watches. The
// caller holds s.mu.
func (s *service) applyRead(read *pendingRead, r *store.Reading) {
	now := time.Now()
	rev := s.state.rev
	// A read that is answered with a full state instead of a delta may show that the
	// backend lost its memory.
	memoryLost := r.Kind == store.Full && rev != "" && rev != r.Rev
	clockJumped := s.state.clockJumped(r, now)
	s.state.expiriesVoid = s.state.expiriesVoid || s.state.clockSetBack(r, read.start.Sub(s.state.backendTimeAt))
	s.state.setBackendTime(r, now, true)
	leaseBegun := s.hub != nil && s.hub.lease.readFinished(read.leaseNumber, memoryLost)
	s.applyReading(r, answer{at: now, confirmed: read.start, clockJumped: clockJumped, writesProven: read.proveWrites, refused: r.WritesRefused})
	if leaseBegun {
		s.hub.wake() // subscribers that waited for the lease
	}
}

// applyPush makes a push the state, and shows it to watches. The caller holds s.mu.
func (s *service) applyPush(r *store.Reading) {
	if r.Kind == store.Delta && r.Rev == s.state.rev {
		return // it came twice
	}
	now := time.Now()
	clockJumped := s.state.clockJumped(r, now)
	s.state.expiriesVoid = s.state.expiriesVoid || s.state.clockSetBack(r, 0)
	s.state.setBackendTime(r, now, false)
	s.applyReading(r, answer{at: now, confirmed: now, clockJumped: clockJumped, refused: r.WritesRefused})
}

func (s *service) applyReading(r *store.Reading, a answer) {
	previous := s.state.mayEnd(r)
	ev := s.state.apply(r, s.engine.decoder(s.name))
	s.outage.applyEvidence(ev)
	for _, id := range r.Malformed {
		s.engine.reportMalformed(s.name, id, errors.New("not a record that this version can read"))
	}
	if s.hub != nil {
		s.hub.update(previous, ev, &a)
	}
}

// readFailed records that a read failed. The caller holds s.mu.
func (s *service) readFailed(err error) {
	if errors.Is(err, store.ErrClosed) {
		return
	}
	s.outage.begin(&s.state)
	if s.hub != nil {
		s.hub.readFailed(err)
	}
}
