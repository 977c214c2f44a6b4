package core

import (
	"cmp"
	"errors"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

const (
	// healBatch is how many registrations are reregistered in one go, and
	// healBatchBytes about how many bytes of them.
	maxReregisterBatch = 1000
	maxReregisterBytes = 256 << 10
	smallRecordBytes   = 4 << 10
	// healRecordBytes is about what a registration takes besides its data.
	recordOverheadBytes = 200
)

// healer reregisters, beside the heartbeat, what the heartbeat found lost or due
// to be written in full. It has a goroutine only while there is some. Guarded by
// the engine's mutex.
type reregisterQueue struct {
	waiting []*registration
	running bool
}

// heal hands registrations over to be reregistered, which is tried until they
// are back or no longer wanted.
func (e *Engine) queueReregister(regs []*registration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, r := range regs {
		if !r.reregistering {
			r.reregistering = true
			e.reregisterQueue.waiting = append(e.reregisterQueue.waiting, r)
		}
	}
	if len(e.reregisterQueue.waiting) > 0 && !e.reregisterQueue.running {
		e.reregisterQueue.running = e.start(e.runReregister)
	}
}

// healAll works until nothing is left, in parts whose size is bounded: what the
// heartbeat finds meanwhile takes its place among what waits, and what is done
// is not sent again when another part fails.
func (e *Engine) runReregister() {
	var waiting []*registration // failed, or not yet sent
	healed := 0
	for try := 0; ; {
		e.mu.Lock()
		waiting = append(waiting, e.reregisterQueue.waiting...)
		e.reregisterQueue.waiting = nil
		if len(waiting) == 0 || e.ctx.Err() != nil {
			e.reregisterQueue.running = false
			e.mu.Unlock()
			break
		}
		e.mu.Unlock()
		var n int
		var err error
		waiting, n, err = e.reregisterWaiting(waiting)
		healed += n
		e.noteAvailability(reregisterRequests, err)
		if err == nil {
			try = 0
			continue
		}
		pause := min(maxRetryPause, 50*time.Millisecond<<min(try, 5))
		try++
		if !e.sleep(pause/2 + rand.N(pause/2+1)) {
			waiting = nil
		}
	}
	if healed > 0 {
		e.cfg.Logger.Info("registrations that the backend had lost are back", "instances", healed)
	}
}

// healSome sends all of these in parts, but none of a group that has failed, until
// more comes in. It returns what is left, and how many are back that were lost.
func (e *Engine) reregisterWaiting(regs []*registration) (left []*registration, healed int, err error) {
	sick := make(map[string]bool)
	for rest := fairOrder(regs); len(rest) > 0; {
		part := rest[:reregisterBatchLen(rest)]
		rest = rest[len(part):]
		again, n, partErr := e.reregisterBatch(part)
		healed += n
		left = append(left, again...)
		if partErr != nil {
			err = partErr
			for _, r := range again {
				sick[r.service] = true
			}
			// The others must not wait for each of its parts to fail.
			rest = slices.DeleteFunc(rest, func(r *registration) bool {
				if sick[r.service] {
					left = append(left, r)
				}
				return sick[r.service]
			})
		}
		if e.ctx.Err() != nil || e.moreToReregister() {
			return append(left, rest...), healed, err
		}
	}
	return left, healed, err
}

func (e *Engine) moreToReregister() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.reregisterQueue.waiting) > 0
}

// fairly orders registrations so that each waits for about as many bytes of any
// other group as its own group has had: small groups, and the small ones of each,
// come first, and none is held up by a large one.
func fairOrder(regs []*registration) []*registration {
	order := slices.Clone(regs)
	slices.SortFunc(order, func(a, b *registration) int { return cmp.Compare(len(a.payload), len(b.payload)) })
	sent := make(map[string]int)
	turn := make(map[*registration]int, len(order))
	for _, r := range order {
		sent[r.service] += r.wireBytes()
		turn[r] = sent[r.service]
	}
	slices.SortStableFunc(order, func(a, b *registration) int { return cmp.Compare(turn[a], turn[b]) })
	return order
}

func (r *registration) wireBytes() int { return recordOverheadBytes + len(r.payload) }

// partOf returns how many of these, at least one, are sent in one go. All of them
// are answered together, so small ones that come first do not go with a large one.
func reregisterBatchLen(regs []*registration) int {
	bytes, small := 0, regs[0].wireBytes() <= smallRecordBytes
	for i, r := range regs[:min(len(regs), maxReregisterBatch)] {
		bytes += r.wireBytes()
		if i > 0 && (bytes > maxReregisterBytes || small && r.wireBytes() > smallRecordBytes) {
			return i
		}
	}
	return min(len(regs), maxReregisterBatch)
}

// healPart writes registrations again, as they were. It returns those for which
// that failed in passing, and how many are back that were lost.
func (e *Engine) reregisterBatch(part []*registration) (again []*registration, healed int, err error) {
	var puts []store.Put
	var regs []*registration
	e.mu.Lock()
	for _, r := range part {
		if !e.isCurrent(r) {
			r.reregistering = false // a renewal finds it again if it is kept after all
			continue
		}
		puts = append(puts, store.Put{Service: r.service, ID: r.id, Reregister: r.registeredAt > 0, RegisteredAt: r.registeredAt,
			TTL: e.cfg.TTL, HeartbeatInterval: e.cfg.HeartbeatInterval, Payload: r.payload, Decoded: r.value, Overlay: r.overlay,
			// It may be deregistered, and forgotten again by the backend, before this is sent.
			StillWanted: func() bool {
				e.mu.Lock()
				defer e.mu.Unlock()
				return e.isCurrent(r)
			}})
		regs = append(regs, r)
	}
	e.mu.Unlock()
	if len(puts) == 0 {
		return nil, 0, nil
	}
	for i, result := range e.store.Put(e.ctx, puts) {
		r := regs[i]
		if errors.Is(result.Err, store.ErrUnavailable) {
			again, err = append(again, r), result.Err
			if errors.Is(err, store.ErrForeignData) {
				e.reportBadRecord(r.service, "", err)
			}
			continue
		}
		if e.reregistered(r, result) {
			healed++
		}
	}
	return again, healed, err
}

// healDone takes the answer to a reregistration that did not fail in passing. It
// reports whether what was lost is back.
func (e *Engine) reregistered(r *registration, result store.PutResult) (back bool) {
	e.mu.Lock()
	r.reregistering = false
	written := result.Err == nil && result.Outcome != store.Superseded && result.Outcome != store.Deregistered
	if written {
		r.writtenAt = time.Now()
		if r.registeredAt == 0 {
			r.seq, r.registeredAt = result.Seq, result.RegisteredAt
		}
		if !store.IsGeneratedID(r.id) {
			r.strayServices = nil // which ended it where a move had taken it
		}
		back, r.lost = r.lost, false
		e.batch = nil
	}
	e.mu.Unlock()
	switch {
	case back:
		e.cfg.Hooks.reregistered(r.service, r.id)
	case written || result.Err != nil: // closed
	case result.Outcome == store.Superseded:
		e.loseRegistration(r, LossSuperseded)
	default:
		e.loseRegistration(r, LossDeregisteredByOther)
	}
	return back
}
