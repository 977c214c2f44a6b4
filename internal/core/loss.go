package core

import "sync/atomic"

// Loss says how a registration was lost.
type Loss uint8

const (
	LossSuperseded          Loss = iota // a newer owner registered the ID
	LossDeregisteredByOther             // another registry deregistered it
	LossDeregistered                    // this engine deregistered it
)

// lossListener is called when the registration ends during which it began to listen.
type lossListener struct {
	notify  func(Loss)
	stopped atomic.Bool
}

type lossListeners map[*lossListener]struct{}

func (all lossListeners) notify(loss Loss) {
	for l := range all {
		if !l.stopped.Load() {
			l.notify(loss)
		}
	}
}

// OnLoss calls notify, once and from any goroutine, when the registration of this
// engine with that ID ends other than by Close, unless stop is called before. If
// there is none, it calls notify at once: the registration is lost already.
func (e *Engine) OnLoss(id string, notify func(Loss)) (stop func()) {
	e.mu.Lock()
	if e.owned[id] == nil {
		loss := LossDeregisteredByOther
		switch f := e.former[id]; {
		case f != nil && f.deregisterFailed:
			loss = LossDeregistered
		case f != nil:
			loss = LossSuperseded
		}
		e.mu.Unlock()
		notify(loss)
		return func() {}
	}
	l := &lossListener{notify: notify}
	if e.lossListeners[id] == nil {
		e.lossListeners[id] = make(lossListeners)
	}
	e.lossListeners[id][l] = struct{}{}
	e.mu.Unlock()
	return func() {
		l.stopped.Store(true)
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.lossListeners[id], l)
		if len(e.lossListeners[id]) == 0 {
			delete(e.lossListeners, id)
		}
	}
}

// Supersede ends a registration of this engine as if a newer owner had registered
// its ID, for users' tests. It reports whether there was one.
func (e *Engine) Supersede(id string) bool {
	e.mu.Lock()
	own := e.owned[id]
	e.mu.Unlock()
	return own != nil && e.loseRegistration(own, LossSuperseded)
}

// loseRegistration stops keeping a registration alive, if that is still the current
// one of its ID.
func (e *Engine) loseRegistration(own *registration, loss Loss) bool {
	e.mu.Lock()
	// A Register call under way may be the reason for what the backend says. If it
	// is not, the next heartbeat says so again.
	current := e.isCurrent(own)
	var listeners lossListeners
	if current {
		listeners = e.removeOwned(own.id)
		if loss == LossSuperseded {
			e.rememberFormer(own)
		}
	}
	e.mu.Unlock()
	if !current {
		return false
	}
	e.reportLoss(own, loss)
	listeners.notify(loss)
	return true
}

func (e *Engine) reportLoss(own *registration, loss Loss) {
	e.cfg.Hooks.Lost(own.service, own.id, loss)
	if loss == LossDeregisteredByOther {
		e.cfg.Logger.Warn("instance was deregistered by another; its heartbeat has stopped", "service", own.service, "id", own.id)
	} else {
		e.cfg.Logger.Warn("instance was superseded by a newer owner of its ID; its heartbeat has stopped", "service", own.service, "id", own.id)
	}
}
