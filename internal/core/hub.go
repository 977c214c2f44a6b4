package core

import (
	"cmp"
	"errors"
	"slices"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// serviceHub is what all watches of one service share: what they are shown, the
// instances that are retained, and what subscribers have acknowledged. The
// service's lock guards its fields, except where their types say otherwise.
type serviceHub struct {
	service    *service
	watches    int    // that use the hub
	stopPushes func() // ends the store's Watch

	publication  publication
	retained     retainedInstances
	connectivity connectivity
	acks         acknowledgements
	lease        watcherLease
	timer        *time.Timer // of the next read; see scheduleRead
	// unannounced is a revision that a check found before a push announced it.
	unannounced string
}

var errRetaining = errors.New("the backend lost instances or could not be watched, and their owners have not registered them again yet")

func newHub(s *service) *serviceHub {
	h := &serviceHub{service: s, retained: make(retainedInstances)}
	h.acks.changed = func() { s.engine.renewWatcherLeases(s.name) }
	_, watchers := s.engine.store.(store.WatcherLeases)
	h.lease.needed = watchers && s.engine.local == nil && s.name != store.Catalog
	return h
}

// acquireHub returns the hub of a service, which all its watches share. The caller
// gives it back to releaseHub.
func (e *Engine) acquireHub(name string) *serviceHub {
	s := e.acquireService(name)
	s.mu.Lock()
	h := s.hub
	first := h == nil
	if first {
		h = newHub(s)
		s.hub = h
	}
	h.watches++
	s.mu.Unlock()
	if !first {
		return h
	}
	stop := e.store.Watch(name, s.handlePush)
	s.mu.Lock()
	h.stopPushes = stop
	s.mu.Unlock()
	switch {
	case e.local != nil:
	case h.lease.needed:
		e.startCheck()
		e.acquireWatcherLease(s) // which then reads the state
	default:
		e.startCheck()
		s.sharedRead(ResyncStart)
	}
	return h
}

// releaseHub gives back what acquireHub returned.
func (e *Engine) releaseHub(h *serviceHub) {
	s := h.service
	s.mu.Lock()
	h.watches--
	var stop func()
	if h.watches == 0 {
		s.hub = nil
		stop = h.stopPushes
		if h.timer != nil {
			h.timer.Stop()
		}
		if s.name != store.Catalog {
			e.renewWatcherLeases(s.name)
		}
	}
	s.mu.Unlock()
	if stop != nil {
		stop()
	}
	e.releaseService(s)
}

// update shows the service's state after an answer. previous are the instances
// that were live before it and may have ended.
func (h *serviceHub) update(previous []*Entry, ev evidence, a *answer) {
	if h.connectivity.lastAnswer.IsZero() && h.publication.current.Load() == nil {
		previous = nil // an earlier reader may have seen them long ago, and no watch showed them
	}
	var maxSilence time.Duration
	cfg := &h.service.engine.cfg
	if cfg.HeartbeatInterval > 0 && h.service.engine.local == nil {
		maxSilence = cfg.HeartbeatInterval + time.Second
	}
	disconnected, lossTime := h.connectivity.answered(a, maxSilence, max(maxRetryPause, cfg.HeartbeatInterval))
	if a.refused == nil {
		h.publication.confirmedAt.Store(&a.confirmed)
	}
	h.retained.update(&h.service.state, previous, ev, a, disconnected, lossTime)
	h.publish()
	h.scheduleRead()
}

// readFailed shows that a read failed, if that is not the first failure.
func (h *serviceHub) readFailed(err error) {
	read := h.service.currentRead
	h.connectivity.failed(err, read == nil || time.Since(read.start) > slowFailure)
	h.publish()
	h.scheduleRead()
}

// publish hands subscribers the state to show, if it differs from the one they have.
func (h *serviceHub) publish() {
	content, stale, ok := h.stateToShow()
	if !ok {
		return
	}
	old := h.publication.current.Load()
	if h.lease.valid() && (hasOverlays(content) || old != nil && old.content != content && hasOverlays(old.content)) {
		defer h.addBarrier() // a Drain may wait for it
	}
	if h.publication.set(content, stale, len(h.retained) > 0) {
		h.wake()
	}
}

// stateToShow returns what subscribers are to be shown. It reports false if they
// must wait: for the first answer, or for the watcher lease.
func (h *serviceHub) stateToShow() (content *Content, stale error, ok bool) {
	stale = h.connectivity.err
	if stale == nil && h.retained.hasLosses() {
		stale = errRetaining
	}
	old := h.publication.current.Load()
	if old == nil && stale == nil && h.connectivity.failures > 0 {
		return nil, nil, false // nothing is known yet, and a retry is due
	}
	if h.lease.valid() {
		return h.content(), stale, true
	}
	stale = cmp.Or(h.connectivity.err, h.lease.err)
	switch {
	case stale == nil:
		if h.lease.failures == 0 { // otherwise a retry is due
			h.service.engine.renewWatcherLeases(h.service.name)
		}
		return nil, nil, false
	case h.lease.refused:
		return h.content(), stale, true
	case old != nil:
		return old.content, stale, true
	}
	return &Content{Entries: []*Entry{}}, stale, true
}

// content returns the service's state with the retained instances.
func (h *serviceHub) content() *Content {
	state := &h.service.state
	if len(h.retained) == 0 {
		return state.content()
	}
	entries := slices.Clone(state.live)
	for _, i := range h.retained {
		entries = append(entries, i.entry)
	}
	slices.SortFunc(entries, compareEntries)
	retained := h.retained.labels()
	slices.Sort(retained)
	differs := append(state.expiredIDs(), "\nretained") // which no ID is
	return &Content{Entries: entries, Revision: revisionNumber(state.rev, append(differs, retained...)...)}
}

func hasOverlays(c *Content) bool {
	return slices.ContainsFunc(c.Entries, func(e *Entry) bool { return len(e.Overlay) > 0 })
}

// scheduleRead sets the timer of the next read that is due without a push: a
// retry, or else the earliest expiry or end of a grace period.
func (h *serviceHub) scheduleRead() {
	var next time.Time
	consider := func(at time.Time) {
		if next.IsZero() || at.Before(next) {
			next = at
		}
	}
	if retry := h.connectivity.retryAt; !retry.IsZero() {
		consider(retry)
	} else {
		if state := &h.service.state; state.nextExpiry != 0 {
			consider(state.localTime(state.nextExpiry).Add(time.Millisecond))
		}
		for _, i := range h.retained {
			consider(i.graceEnd)
		}
	}
	if h.timer != nil {
		h.timer.Stop()
	}
	if next.IsZero() {
		return
	}
	s := h.service
	h.timer = time.AfterFunc(max(time.Until(next), time.Millisecond), func() {
		if s.engine.beginWork() {
			defer s.engine.endWork()
			s.sharedRead(ResyncExpiry)
		}
	})
}
