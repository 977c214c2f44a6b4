package core

import (
	"errors"
	"time"

	"github.com/rollcall-sd/rollcall/internal/backoff"
	"github.com/rollcall-sd/rollcall/internal/store"
)

const (
	// intervalJitter is the largest part by which an interval is shortened.
	intervalJitter = 0.1
	// rewriteInterval is how often a registration is written in full although it was
	// not lost, so that the index that finds its ID does not expire.
	rewriteInterval = 8 * time.Hour
)

// runHeartbeats renews all leases of the engine, with one round trip per
// heartbeat, until the engine closes. Heartbeats are at most one interval apart:
// jitter only shortens.
func (e *Engine) runHeartbeats() {
	next := time.Now().Add(backoff.Jitter(e.cfg.HeartbeatInterval, intervalJitter))
	due := next // of the next heartbeat that succeeds
	for e.sleep(e.ctx, time.Until(next)) == nil {
		start := time.Now()
		done := e.heartbeat(due)
		next = start.Add(backoff.Jitter(e.cfg.HeartbeatInterval, intervalJitter))
		if done {
			due = next
		}
	}
}

// heartbeat renews until all leases were renewed or found lost, and has the lost
// registrations written again. It reports false if the time until the next
// heartbeat was not enough. due is when the first heartbeat was due that has not
// succeeded since.
func (e *Engine) heartbeat(due time.Time) (done bool) {
	batch := e.heartbeatBatch()
	began := time.Now()
	for try := 1; len(batch.leases) > 0; try++ {
		failed, err := e.renew(batch)
		if e.ctx.Err() != nil {
			return false
		}
		if err == nil {
			if late := time.Since(due); late > e.cfg.HeartbeatInterval/10 {
				e.cfg.Hooks.HeartbeatLate(late)
			}
			return true
		}
		left := e.cfg.HeartbeatInterval - time.Since(began)
		if left <= 0 {
			return false // the next heartbeat is due, for the other services as well
		}
		// The minimum comes after the jitter, or the last pauses would shrink without end.
		if e.sleep(e.ctx, min(left, retryPauses.After(try))) != nil {
			return false
		}
		batch = e.heartbeatBatch().restrictedTo(failed) // what is owned may have changed
	}
	return true
}

// renew sends one batch. It returns the services for which that failed, and the
// last of their errors.
func (e *Engine) renew(batch *heartbeatBatch) (failed map[string]bool, err error) {
	start := time.Now()
	failed = make(map[string]bool)
	var lost []*registration
	for i, renewal := range e.store.Renew(e.ctx, batch.leases) {
		if renewal.Err != nil {
			service := batch.leases[i].Service
			failed[service], err = true, renewal.Err
			if errors.Is(err, store.ErrForeignData) {
				e.reportMalformed(service, "", err)
			}
			continue
		}
		lost = append(lost, e.applyRenewal(batch.services[i], renewal)...)
	}
	if e.ctx.Err() != nil {
		return failed, err
	}
	e.queueReregister(lost)
	e.noteAvailability(heartbeatRequests, err)
	e.cfg.Hooks.Heartbeat(batch.count, time.Since(start), err)
	return failed, err
}

// applyRenewal takes the answer to a renewal. It returns the registrations that
// are to be written again.
func (e *Engine) applyRenewal(sent *ownedService, answer store.Renewal) []*registration {
	now := time.Now()
	if answer.Outcomes == nil && answer.Overlays == nil && now.Sub(sent.oldestWrite) < rewriteInterval {
		return nil
	}
	var again []*registration
	for _, r := range sent.registrations {
		switch answer.Outcomes[r.id] { // Done if it is not named
		case store.Superseded:
			e.loseRegistration(r, LossSuperseded)
		case store.Deregistered:
			e.loseRegistration(r, LossDeregisteredByOther)
		case store.Lost:
			if e.noteLost(r) {
				e.cfg.Hooks.Missing(r.service, r.id)
				again = append(again, r)
			}
		case store.Done:
			overlay, known := answer.Overlays[r.id]
			if e.noteRenewed(r, overlay, known, now) {
				again = append(again, r)
			}
		default:
			again = append(again, r)
		}
	}
	return again
}

// noteLost records that the backend lost a registration. It reports whether that is
// news and the registration is to be written again.
func (e *Engine) noteLost(r *registration) (again bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.isCurrent(r) {
		return false
	}
	known := r.lost && r.reregistering
	r.lostWhileSent = r.sent // perhaps after it was written, before the answer
	r.lost = true
	return !known
}

// noteRenewed records a renewed lease, and the overlay if that is known. It reports
// whether the registration is due to be written in full.
func (e *Engine) noteRenewed(r *registration, overlay []byte, known bool, now time.Time) (due bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if known {
		r.overlay = overlay
	}
	return now.Sub(r.writtenAt) >= rewriteInterval
}

// isCurrent reports whether the engine keeps a registration alive: it was neither
// deregistered nor is being replaced. The caller holds e.mu.
func (e *Engine) isCurrent(r *registration) bool { return e.owned[r.id] == r && e.pending[r.id] == 0 }
