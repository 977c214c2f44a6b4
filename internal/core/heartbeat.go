package core

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

const (
	// retryMost bounds the pause after a failed beat. Readers that see an expiry
	// wait a little longer than this before they believe it (see doubt).
	maxRetryPause = 500 * time.Millisecond
	// rewriteEvery is how often a registration is written in full although
	// nothing was lost, so that what finds its ID does not lapse.
	rewriteInterval = 8 * time.Hour
)

// heartbeat renews all leases of this engine, one round trip a beat, until the
// engine closes. Beats are at most one interval apart: jitter only shortens.
func (e *Engine) runHeartbeats() {
	due := time.Now().Add(jittered(e.cfg.HeartbeatInterval))
	owed := due // since when a beat that succeeds is due
	for e.sleep(time.Until(due)) {
		start := time.Now()
		done := e.heartbeat(owed)
		due = start.Add(jittered(e.cfg.HeartbeatInterval))
		if done {
			owed = due
		}
	}
}

func jittered(d time.Duration) time.Duration { return d - rand.N(d/10+1) }

// beat renews until everything was renewed or found lost, and hands over what was
// lost to be healed. It reports false when the time until the next beat was not enough.
func (e *Engine) heartbeat(due time.Time) (done bool) {
	todo := e.heartbeatBatch()
	began := time.Now()
	for try := 0; len(todo.leases) > 0; try++ {
		start := time.Now()
		failed := make(map[string]bool)
		var lost []*registration
		var err error
		for i, renewal := range e.store.Renew(e.ctx, todo.leases) {
			if renewal.Err != nil {
				group := todo.leases[i].Service
				failed[group], err = true, renewal.Err
				if errors.Is(err, store.ErrForeignData) {
					e.reportBadRecord(group, "", err)
				}
				continue
			}
			lost = append(lost, e.applyRenewal(todo.services[i], renewal)...)
		}
		if e.ctx.Err() != nil {
			return false
		}
		e.queueReregister(lost)
		e.noteAvailability(heartbeatRequests, err)
		e.cfg.Hooks.heartbeat(todo.count, time.Since(start), err)
		if err == nil {
			if late := time.Since(due); late > e.cfg.HeartbeatInterval/10 {
				e.cfg.Hooks.heartbeatLate(late)
			}
			return true
		}
		left := e.cfg.HeartbeatInterval - time.Since(began)
		if left <= 0 {
			return false // the next beat is due, for those as well that did not fail
		}
		pause := min(maxRetryPause, 50*time.Millisecond<<min(try, 5))
		// Cut to what is left after the jitter, or the last pauses would shrink without end.
		if !e.sleep(min(left, pause/2+rand.N(pause/2+1))) {
			return false
		}
		// Anew from what is owned: registrations come and go meanwhile.
		todo = e.heartbeatBatch().restrictedTo(failed)
	}
	return true
}

// renewed takes a renewal's answer and returns what is to be written again.
func (e *Engine) applyRenewal(sent *ownedService, answer store.Renewal) []*registration {
	now := time.Now()
	if answer.Outcomes == nil && answer.Overlays == nil && now.Sub(sent.oldestWrite) < rewriteInterval {
		return nil
	}
	var again []*registration
	for _, r := range sent.regs {
		outcome := answer.Outcomes[r.id] // Done when not named
		if outcome == store.Done {
			e.mu.Lock()
			if overlay, ok := answer.Overlays[r.id]; ok {
				r.overlay = overlay
			}
			due := now.Sub(r.writtenAt) >= rewriteInterval
			e.mu.Unlock()
			if !due {
				continue
			}
		}
		switch outcome {
		case store.Superseded:
			e.loseRegistration(r, LossSuperseded)
			continue
		case store.Deregistered:
			e.loseRegistration(r, LossDeregisteredByOther)
			continue
		case store.Lost:
			e.mu.Lock()
			keeps, known := e.isCurrent(r), r.lost && r.reregistering
			r.lost = r.lost || keeps
			e.mu.Unlock()
			if !keeps {
				continue
			}
			if known {
				continue
			}
			e.cfg.Hooks.lost(r.service, r.id)
		}
		again = append(again, r)
	}
	return again
}

// keeps reports whether a registration was neither deregistered nor is just
// being replaced. e.mu is held.
func (e *Engine) isCurrent(r *registration) bool { return e.owned[r.id] == r && e.pending[r.id] == 0 }
