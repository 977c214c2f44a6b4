package core

import (
	"context"
	"slices"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// maxFormer bounds the former registrations that are remembered.
const maxFormer = 10_000

// registration is an instance that this engine keeps alive. Engine.mu guards the
// fields that change.
type registration struct {
	service string
	id      string
	payload []byte
	decoded any
	overlay []byte
	seq     uint64 // of the call that made it: of two of one ID the later call's stands
	// registeredAt is 0 if a later call of this engine replaced the registration in
	// the backend and then failed, so that it must be registered again.
	registeredAt  int64
	writtenAt     time.Time // when it was last written in full
	strayServices []string  // to which a move may have taken it that failed for its caller
	lost          bool      // the backend lost it, and it is not registered again yet
	reregistering bool      // it is in the queue to be written again
	sent          bool      // that write is under way
	lostWhileSent bool      // a heartbeat found it lost since sent
}

// formerRegistration is what is remembered of a registration that is no longer
// kept alive, so that deregistering it does not end a newer owner's.
type formerRegistration struct {
	service          string
	registeredAt     int64
	deregisterFailed bool
}

// RegisterRequest asks for a registration.
type RegisterRequest struct {
	Service      string
	ID           string
	NewID        bool // the ID was generated for this call
	Payload      []byte
	Decoded      any
	ResetOverlay []string // members to remove from the overlay
}

// Register registers an instance and keeps it alive from then on. After an error
// an earlier registration of the ID stays, and what the call left in the backend
// because its context ended is removed in the background.
func (e *Engine) Register(ctx context.Context, r RegisterRequest) error {
	if err := e.checkOpen(ctx); err != nil {
		return err
	}
	put := store.Put{Service: r.Service, ID: r.ID, Hints: store.PutHints{NewID: r.NewID}, TTL: e.cfg.TTL, HeartbeatInterval: e.cfg.HeartbeatInterval,
		Payload: r.Payload, Decoded: r.Decoded, ResetOverlay: r.ResetOverlay}
	// Pending in the same step, or a rollback that begins in between could end this registration.
	err := e.afterRollback(ctx, r.ID, func() {
		if own := e.owned[r.ID]; own != nil && own.service != r.Service {
			put.Hints.PreviousService = own.service
		}
		e.pending[r.ID]++
	})
	if err != nil {
		return err
	}
	result := e.store.Put(ctx, []store.Put{put})[0]
	own := &registration{service: r.Service, id: r.ID, payload: r.Payload, decoded: r.Decoded,
		overlay: result.Overlay, seq: result.Seq, registeredAt: result.RegisteredAt, writtenAt: time.Now()}
	if loss, lost := e.finishRegister(ctx, own, result); lost {
		e.reportLoss(own, loss)
		return nil
	}
	return result.Err
}

// finishRegister takes the answer to a registration. It reports how the
// registration was lost, if it took effect and a retry of the request found that.
func (e *Engine) finishRegister(ctx context.Context, own *registration, result store.PutResult) (loss Loss, lost bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	previous, deregistered := e.owned[own.id], e.deregisteredSeq[own.id]
	if e.pending[own.id]--; e.pending[own.id] == 0 {
		delete(e.pending, own.id)
		delete(e.deregisteredSeq, own.id)
	}
	if result.Err != nil {
		if previous != nil && previous.service != own.service && !slices.Contains(previous.strayServices, own.service) {
			previous.strayServices = append(previous.strayServices, own.service)
		}
		if ctx.Err() != nil {
			e.rollBack(own.service, own.id)
		}
		return 0, false
	}
	switch result.Outcome {
	case store.Deregistered:
		return LossDeregisteredByOther, true
	case store.Superseded:
		own.registeredAt-- // the time is the newer owner's: this registration is older
		if previous == nil {
			e.rememberFormer(own)
		}
		return LossSuperseded, true
	case store.Overtaken:
		own.registeredAt = 0
	}
	// Of concurrent calls the one with the later number stands, as in the store, in
	// whatever order they are answered.
	if deregistered < own.seq && (previous == nil || previous.seq < own.seq) {
		delete(e.former, own.id)
		e.owned[own.id] = own
		e.ownedChanged()
	}
	if e.cfg.TTL > 0 && !e.heartbeatRunning {
		e.heartbeatRunning = e.start(e.runHeartbeats)
	}
	return 0, false
}

// removeOwned stops keeping alive what is registered by that ID, and returns who
// listens for the end of that registration. A registration of the ID that follows has
// listeners of its own. The caller holds e.mu, and notifies them without it.
func (e *Engine) removeOwned(id string) lossListeners {
	delete(e.owned, id)
	e.ownedChanged()
	listeners := e.lossListeners[id]
	delete(e.lossListeners, id)
	return listeners
}

// rememberFormer remembers a registration that is no longer kept alive. The caller
// holds e.mu.
func (e *Engine) rememberFormer(own *registration) *formerRegistration {
	if len(e.former) >= maxFormer {
		clear(e.former)
	}
	f := &formerRegistration{service: own.service, registeredAt: own.registeredAt}
	e.former[own.id] = f
	return f
}
