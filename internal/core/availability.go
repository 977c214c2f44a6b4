package core

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// requestSource is what can find the backend unavailable: heartbeats,
// reregistrations, or the reads of one service, by its name.
type requestSource string

const ( // no service has these names
	heartbeatRequests  requestSource = "\nheartbeats"
	reregisterRequests requestSource = "\nreregistrations"
)

// availability is whether the backend is available to the engine: it is
// unavailable from the first failure of any source until none fails any longer. A
// backend that refuses writes still answers some reads.
type availability struct {
	mu      sync.Mutex
	since   time.Time                   // when it became unavailable; zero while it is available
	failing map[requestSource]time.Time // when each last failed
}

// noteAvailability takes the result of a request. It logs once when the backend
// becomes unavailable, and once when it is available again.
func (e *Engine) noteAvailability(from requestSource, err error) {
	if errors.Is(err, store.ErrClosed) || errors.Is(err, context.Canceled) {
		return
	}
	if errors.Is(err, store.ErrForeignData) {
		err = nil // the backend answered, and the failure is of one service only
	}
	if began, ended := e.availability.note(from, err, 2*e.cfg.HeartbeatInterval+time.Second); began {
		e.cfg.Logger.Warn("backend unavailable; serving the last known state and retrying", "error", err)
	} else if ended > 0 {
		e.cfg.Logger.Info("backend available again", "outage", ended.Round(time.Millisecond))
	}
}

// note reports whether an outage began, or how long one took that ended. It stops
// waiting for a source that sent no request for longer than forget: a caller may
// have read a service only once.
func (a *availability) note(from requestSource, err error, forget time.Duration) (began bool, ended time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	now := time.Now()
	if err != nil {
		if a.failing == nil {
			a.failing = make(map[requestSource]time.Time)
		}
		if len(a.failing) < maxIdleServices {
			a.failing[from] = now
		}
		if began = a.since.IsZero(); began {
			a.since = now
		}
		return began, 0
	}
	if a.since.IsZero() {
		return false, 0
	}
	delete(a.failing, from)
	for other, at := range a.failing {
		if now.Sub(at) > forget {
			delete(a.failing, other)
		}
	}
	if len(a.failing) > 0 {
		return false, 0
	}
	ended = max(now.Sub(a.since), time.Nanosecond)
	a.since = time.Time{}
	return false, ended
}
