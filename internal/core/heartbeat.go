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
	retryMost = 500 * time.Millisecond
	// rewriteEvery is how often a registration is written in full although
	// nothing was lost, so that what finds its ID does not lapse.
	rewriteEvery = 8 * time.Hour
)

// heartbeat renews all leases of this engine, one round trip a beat, until the
// engine closes. Beats are at most one interval apart: jitter only shortens.
func (e *Engine) heartbeat() {
	due := time.Now().Add(jittered(e.cfg.Beat))
	owed := due // since when a beat that succeeds is due
	for e.sleep(time.Until(due)) {
		start := time.Now()
		done := e.beat(owed)
		due = start.Add(jittered(e.cfg.Beat))
		if done {
			owed = due
		}
	}
}

func jittered(d time.Duration) time.Duration { return d - rand.N(d/10+1) }

// beat renews until everything was renewed or found lost, and hands over what was
// lost to be healed. It reports false when the time until the next beat was not enough.
func (e *Engine) beat(due time.Time) (done bool) {
	todo := e.todo()
	began := time.Now()
	for try := 0; len(todo.leases) > 0; try++ {
		start := time.Now()
		failed := make(map[string]bool)
		var lost []*registration
		var err error
		for i, renewal := range e.store.Renew(e.ctx, todo.leases) {
			if renewal.Err != nil {
				group := todo.leases[i].Group
				failed[group], err = true, renewal.Err
				if errors.Is(err, store.ErrForeign) {
					e.reportBad(group, "", err)
				}
				continue
			}
			lost = append(lost, e.renewed(todo.of[i], renewal)...)
		}
		if e.ctx.Err() != nil {
			return false
		}
		e.heal(lost)
		e.contact(heartbeats, err)
		e.cfg.Hooks.heartbeat(todo.n, time.Since(start), err)
		if err == nil {
			if late := time.Since(due); late > e.cfg.Beat/10 {
				e.cfg.Hooks.late(late)
			}
			return true
		}
		left := e.cfg.Beat - time.Since(began)
		if left <= 0 {
			return false // the next beat is due, for those as well that did not fail
		}
		pause := min(retryMost, 50*time.Millisecond<<min(try, 5))
		// Cut to what is left after the jitter, or the last pauses would shrink without end.
		if !e.sleep(min(left, pause/2+rand.N(pause/2+1))) {
			return false
		}
		// Anew from what is owned: registrations come and go meanwhile.
		todo = e.todo().in(failed)
	}
	return true
}

// renewed takes a renewal's answer and returns what is to be written again.
func (e *Engine) renewed(sent *ownGroup, answer store.Renewal) []*registration {
	now := time.Now()
	if answer.Outcomes == nil && answer.Overlays == nil && now.Sub(sent.put) < rewriteEvery {
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
			due := now.Sub(r.put) >= rewriteEvery
			e.mu.Unlock()
			if !due {
				continue
			}
		}
		switch outcome {
		case store.Superseded:
			e.drop(r, LossSuperseded)
			continue
		case store.Buried:
			e.drop(r, LossRemoved)
			continue
		case store.Lost:
			e.mu.Lock()
			keeps, known := e.keeps(r), r.lost && r.healing
			r.lost = r.lost || keeps
			e.mu.Unlock()
			if !keeps {
				continue
			}
			if known {
				continue
			}
			e.cfg.Hooks.lost(r.group, r.id)
		}
		again = append(again, r)
	}
	return again
}

// keeps reports whether a registration was neither deregistered nor is just
// being replaced. e.mu is held.
func (e *Engine) keeps(r *registration) bool { return e.owned[r.id] == r && e.pending[r.id] == 0 }
