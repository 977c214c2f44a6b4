package core

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// source is what may find the backend unavailable: heartbeats, reregistrations, or
// the reads of one service, by its name.
type requestSource string

const ( // which no service is named
	heartbeatRequests  requestSource = "\nheartbeats"
	reregisterRequests requestSource = "\nreregistrations"
)

// health is whether the backend is available, as one state of the engine: it is
// unavailable from the first failure of any source until none fails any longer.
// A backend that refuses writes answers some reads meanwhile.
type availability struct {
	mu      sync.Mutex
	since   time.Time                   // zero while it is available
	failing map[requestSource]time.Time // when they failed last
}

// contact notes how a request ended. It logs once when the backend becomes
// unavailable, and once when it is available again.
func (e *Engine) noteAvailability(from requestSource, err error) {
	if errors.Is(err, store.ErrClosed) || errors.Is(err, context.Canceled) {
		return
	}
	if errors.Is(err, store.ErrForeignData) {
		err = nil // the backend answered, of one service
	}
	if began, ended := e.availability.note(from, err, 2*e.cfg.HeartbeatInterval+time.Second); began {
		e.cfg.Logger.Warn("backend unavailable; serving the last known state and retrying", "error", err)
	} else if ended > 0 {
		e.cfg.Logger.Info("backend available again", "away", ended.Round(time.Millisecond))
	}
}

// note reports whether an outage began, or how long one took that ended. A source
// that has not been heard of for longer than forget is not waited for: a reader
// may have asked once and gone.
func (h *availability) note(from requestSource, err error, forget time.Duration) (began bool, ended time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	if err != nil {
		if h.failing == nil {
			h.failing = make(map[requestSource]time.Time)
		}
		if len(h.failing) < maxIdleServices {
			h.failing[from] = now
		}
		if began = h.since.IsZero(); began {
			h.since = now
		}
		return began, 0
	}
	if h.since.IsZero() {
		return false, 0
	}
	delete(h.failing, from)
	for other, at := range h.failing {
		if now.Sub(at) > forget {
			delete(h.failing, other)
		}
	}
	if len(h.failing) > 0 {
		return false, 0
	}
	ended = max(now.Sub(h.since), time.Nanosecond)
	h.since = time.Time{}
	return false, ended
}
