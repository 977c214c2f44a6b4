package core

import (
	"errors"
	"maps"
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
	// healBatch is how many registrations are healed in one go.
	healBatch = 1000
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

// beat renews until everything was renewed or found lost, and heals what was
// lost. It reports false when the time until the next beat was not enough.
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
		again, healErr := e.heal(lost)
		if healErr != nil {
			err = healErr
			maps.Copy(failed, again)
		}
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
			if overlay, ok := answer.Overlays[r.id]; ok {
				e.mu.Lock()
				r.overlay = overlay
				e.mu.Unlock()
			}
			if now.Sub(r.put) < rewriteEvery {
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
			keeps := e.keeps(r)
			e.mu.Unlock()
			if !keeps {
				continue
			}
			r.lost = true
			e.cfg.Hooks.lost(r.group, r.id)
		}
		again = append(again, r)
	}
	return again
}

// keeps reports whether a registration was neither deregistered nor is just
// being replaced. e.mu is held.
func (e *Engine) keeps(r *registration) bool { return e.owned[r.id] == r && e.pending[r.id] == 0 }

// heal writes registrations again, as they were. It returns the groups in
// which that failed in passing.
func (e *Engine) heal(lost []*registration) (failed map[string]bool, err error) {
	healed := 0
	for len(lost) > 0 {
		part := lost[:min(healBatch, len(lost))]
		lost = lost[len(part):]
		var puts []store.Put
		var regs []*registration
		e.mu.Lock()
		for _, r := range part {
			if !e.keeps(r) {
				continue
			}
			puts = append(puts, store.Put{Group: r.group, ID: r.id, Heal: r.stamp > 0, Stamp: r.stamp,
				TTL: e.cfg.TTL, Beat: e.cfg.Beat, Payload: r.payload, Value: r.value, Overlay: r.overlay,
				// It may be deregistered, and forgotten again by the backend, before this is sent.
				Wanted: func() bool {
					e.mu.Lock()
					defer e.mu.Unlock()
					return e.keeps(r)
				}})
			regs = append(regs, r)
		}
		e.mu.Unlock()
		if len(puts) == 0 {
			continue
		}
		for i, result := range e.store.Put(e.ctx, puts) {
			r := regs[i]
			switch {
			case errors.Is(result.Err, store.ErrUnavailable):
				if failed == nil {
					failed = make(map[string]bool)
				}
				failed[r.group] = true
				err = result.Err
			case result.Err != nil: // closed
				err = result.Err
			case result.Outcome == store.Superseded:
				e.drop(r, LossSuperseded)
			case result.Outcome == store.Buried:
				e.drop(r, LossRemoved)
			default:
				e.mu.Lock()
				r.put = time.Now()
				if r.stamp == 0 {
					r.seq, r.stamp = result.Seq, result.Stamp
				}
				if !store.Generated(r.id) {
					r.strays = nil // which ended it where a move had taken it
				}
				e.beats = nil
				e.mu.Unlock()
				if r.lost { // otherwise it was due to be written again
					r.lost = false
					healed++
					e.cfg.Hooks.healed(r.group, r.id)
				}
			}
		}
	}
	if healed > 0 {
		e.cfg.Logger.Info("registrations that the backend had lost are back", "instances", healed)
	}
	return failed, err
}
