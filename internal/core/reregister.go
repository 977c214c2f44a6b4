package core

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

const (
	// A batch of registrations that are written again has at most about so many bytes:
	// minReregisterBytes at first, and up to maxReregisterBytes on a quick connection.
	minReregisterBytes = 256 << 10
	maxReregisterBytes = 4 << 20
	// A batch that is answered within quickReregister raises the bound. One that takes
	// longer than slowReregister holds up other requests, and resets it.
	quickReregister = 300 * time.Millisecond
	slowReregister  = time.Second
	// smallRecordBytes is up to how many bytes a registration counts as small.
	smallRecordBytes = 4 << 10
	// recordOverheadBytes is about what a registration takes in addition to its payload.
	recordOverheadBytes = 200
)

// reregisterQueue writes registrations again that a heartbeat found missing, or due to
// be written in full. It works concurrently with the heartbeat, and has a goroutine
// only while registrations wait. Engine.mu guards it.
type reregisterQueue struct {
	waiting []*registration
	running bool
}

// queueReregister has registrations written again. That is tried until they are
// back or no longer wanted.
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

// runReregister works until the queue is empty, in batches of bounded size. What a
// heartbeat adds meanwhile is ordered with what waits, and what is done is not
// sent again when another batch fails.
func (e *Engine) runReregister() {
	var waiting []*registration // failed, or not sent yet
	bound := reregisterBound(minReregisterBytes)
	back := 0
	for failures := 0; ; {
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
		waiting, n, err = e.reregisterWaiting(waiting, &bound)
		back += n
		e.noteAvailability(reregisterRequests, err)
		if err == nil {
			failures = 0
			continue
		}
		failures++
		if e.sleep(e.ctx, retryPauses.After(failures)) != nil {
			waiting = nil
		}
	}
	if back > 0 {
		e.cfg.Logger.Info("registrations that the backend had lost are back", "instances", back)
	}
}

// reregisterWaiting sends registrations in batches, until more are queued. After a
// failure it leaves out the rest of that service. It returns the registrations
// that are left, and how many that were lost are back.
func (e *Engine) reregisterWaiting(regs []*registration, bound *reregisterBound) (left []*registration, back int, err error) {
	failed := make(map[string]bool)
	for rest := fairOrder(regs); len(rest) > 0; {
		batch := rest[:bound.batchLen(rest)]
		rest = rest[len(batch):]
		began := time.Now()
		again, n, batchErr := e.reregisterBatch(batch)
		bound.adapt(wireBytes(batch), time.Since(began), batchErr != nil)
		back += n
		left = append(left, again...)
		if batchErr != nil {
			err = batchErr
			for _, r := range again {
				failed[r.service] = true
			}
			// The other services must not wait while each batch of this one fails.
			rest = slices.DeleteFunc(rest, func(r *registration) bool {
				if failed[r.service] {
					left = append(left, r)
				}
				return failed[r.service]
			})
		}
		if e.ctx.Err() != nil || e.moreToReregister() {
			return append(left, rest...), back, err
		}
	}
	return left, back, err
}

func (e *Engine) moreToReregister() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.reregisterQueue.waiting) > 0
}

// fairOrder orders registrations so that each waits for about as many bytes of any
// other service as its own service has had before it. Small services, and the
// small registrations of each, come first, and none waits for a large one.
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

// wireBytes returns about how many bytes a registration takes in a request.
func (r *registration) wireBytes() int { return recordOverheadBytes + len(r.payload) }

// wireBytes returns about how many bytes registrations take in a request.
func wireBytes(regs []*registration) int {
	bytes := 0
	for _, r := range regs {
		bytes += r.wireBytes()
	}
	return bytes
}

// reregisterBound bounds the bytes of a batch. It adapts to the line: all of a
// batch are answered together, so one must not take long, but large ones cost the
// backend less.
type reregisterBound int

// batchLen returns how many of these registrations, at least one, form the next
// batch. Small ones at the front do not go with a large one.
func (b reregisterBound) batchLen(regs []*registration) int {
	bytes, small := 0, regs[0].wireBytes() <= smallRecordBytes
	for i, r := range regs {
		bytes += r.wireBytes()
		if i > 0 && (bytes > int(b) || small && r.wireBytes() > smallRecordBytes) {
			return i
		}
	}
	return len(regs)
}

// adapt takes how long a batch of so many bytes took, and whether it failed. A
// small batch does not show what the line takes.
func (b *reregisterBound) adapt(bytes int, took time.Duration, failed bool) {
	switch {
	case failed || took > slowReregister:
		*b = minReregisterBytes
	case took < quickReregister && bytes > int(*b)/2:
		*b = min(maxReregisterBytes, 4**b)
	}
}

// reregisterBatch writes registrations again, as they were. It returns those to
// try again, and how many that were lost are back.
func (e *Engine) reregisterBatch(batch []*registration) (again []*registration, back int, err error) {
	var puts []store.Put
	var sent []*registration
	// The records of a service travel in one call, as far as the store can send them together.
	slices.SortStableFunc(batch, func(a, b *registration) int { return cmp.Compare(a.service, b.service) })
	e.mu.Lock()
	for _, r := range batch {
		if !e.isCurrent(r) {
			r.reregistering = false // if it is kept alive after all, a heartbeat queues it again
			continue
		}
		r.sent, r.lostWhileSent = true, false
		puts = append(puts, e.reregisterPut(r))
		sent = append(sent, r)
	}
	e.mu.Unlock()
	if len(puts) == 0 {
		return nil, 0, nil
	}
	var doubtful []*registration
	for i, result := range e.store.Put(e.ctx, puts) {
		r := sent[i]
		if e.noteAnswered(r) {
			doubtful = append(doubtful, r)
		}
		if errors.Is(result.Err, store.ErrUnavailable) {
			again, err = append(again, r), result.Err
			if errors.Is(err, store.ErrForeignData) {
				e.reportMalformed(r.service, "", err)
			}
			continue
		}
		if e.reregistered(r, result) {
			back++
		}
	}
	e.recheck(doubtful)
	return again, back, err
}

// noteAnswered records that a write is no longer under way. It reports whether a
// heartbeat found the registration lost meanwhile, before or after that write.
func (e *Engine) noteAnswered(r *registration) (doubtful bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	doubtful = r.lostWhileSent
	r.sent, r.lostWhileSent = false, false
	return doubtful
}

// recheck renews registrations without waiting for the next heartbeat, and has
// those written again that are lost. That heartbeat makes up for a failure.
func (e *Engine) recheck(regs []*registration) {
	e.mu.Lock()
	regs = slices.DeleteFunc(regs, func(r *registration) bool { return r.reregistering || !e.isCurrent(r) })
	batch := newHeartbeatBatch(slices.Values(regs), e.cfg.TTL)
	e.mu.Unlock()
	if len(batch.leases) == 0 {
		return
	}
	for i, renewal := range e.store.Renew(e.ctx, batch.leases) {
		if renewal.Err == nil {
			e.queueReregister(e.applyRenewal(batch.services[i], renewal))
		}
	}
}

// reregisterPut returns what writes a registration again. The caller holds e.mu.
func (e *Engine) reregisterPut(r *registration) store.Put {
	return store.Put{Service: r.service, ID: r.id, Reregister: r.registeredAt > 0, RegisteredAt: r.registeredAt,
		TTL: e.cfg.TTL, HeartbeatInterval: e.cfg.HeartbeatInterval, Payload: r.payload, Decoded: r.decoded, Overlay: r.overlay,
		// Before this is sent it may be deregistered, and the backend may lose its memory of that.
		StillWanted: func() bool {
			e.mu.Lock()
			defer e.mu.Unlock()
			return e.isCurrent(r)
		}}
}

// reregistered handles an answer that ends the tries: the registration was written, or
// is lost, or the engine is closed. It reports whether a missing registration is back.
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
			r.strayServices = nil // the write ended it where a move had taken it
		}
		back, r.lost = r.lost, false
		e.ownedChanged()
	}
	e.mu.Unlock()
	switch {
	case back:
		e.cfg.Hooks.Reregistered(r.service, r.id)
	case written: // it was due to be written in full
	case result.Err != nil: // the engine is closed
	case result.Outcome == store.Superseded:
		e.loseRegistration(r, LossSuperseded)
	default:
		e.loseRegistration(r, LossDeregisteredByOther)
	}
	return back
}

// reregisterNow writes a registration again without waiting for a heartbeat. It
// reports whether the backend lists it: if not, another owner has the ID, or it was
// deregistered, or a Register call is under way.
func (e *Engine) reregisterNow(ctx context.Context, own *registration) (listed bool, err error) {
	e.mu.Lock()
	current, put := e.isCurrent(own), e.reregisterPut(own)
	e.mu.Unlock()
	if !current {
		return false, nil
	}
	result := e.store.Put(ctx, []store.Put{put})[0]
	switch {
	case result.Err != nil:
		return false, result.Err
	case result.Outcome == store.Superseded:
		e.loseRegistration(own, LossSuperseded)
		return false, nil
	case result.Outcome == store.Deregistered:
		e.loseRegistration(own, LossDeregisteredByOther)
		return false, nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if own.registeredAt == 0 {
		own.seq, own.registeredAt = result.Seq, result.RegisteredAt
		e.ownedChanged()
	}
	return true, nil
}
