package core

import (
	"context"
	"slices"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// maxFormer bounds how many registrations are remembered that were superseded,
// or whose Deregister failed.
const maxFormer = 10_000

// formerRegistration is what is remembered of a registration that is no longer
// kept alive, so that deregistering it does not end a newer owner's.
type formerRegistration struct {
	service      string
	registeredAt int64
	failed       bool // its Deregister failed
}

// registration is what this engine keeps alive.
type registration struct {
	service       string
	id            string
	payload       []byte
	value         any
	overlay       []byte
	seq           uint64    // the number of the call that made it: of two of one ID the later stands
	registeredAt  int64     // 0: a later call of this engine replaced it in the backend and then failed, so that it is to be registered again
	writtenAt     time.Time // when it was last written in full
	strayServices []string  // groups to which a move may have taken it that failed for its caller
	lost          bool      // the backend has said so, and it is not reregistered yet
	reregistering bool      // the healer has it
}

// Registering asks for a registration.
type RegisterRequest struct {
	Service      string
	ID           string
	Fresh        bool // the ID was generated for this call
	Payload      []byte
	Value        any
	ResetOverlay []string // members of the overlay to take out
}

// Register registers and keeps the registration alive from then on. It returns
// the stamp. A failed replacement leaves the earlier registration running. What a
// call leaves behind whose context ended is removed in the background.
func (e *Engine) Register(ctx context.Context, r RegisterRequest) (stamp int64, err error) {
	if err := e.checkOpen(ctx); err != nil {
		return 0, err
	}
	if err := e.awaitRollback(ctx, r.ID); err != nil {
		return 0, err
	}
	put := store.Put{Service: r.Service, ID: r.ID, NewID: r.Fresh, TTL: e.cfg.TTL, HeartbeatInterval: e.cfg.HeartbeatInterval,
		Payload: r.Payload, Decoded: r.Value, ResetOverlay: r.ResetOverlay}
	e.mu.Lock()
	if own := e.owned[r.ID]; own != nil && own.service != r.Service {
		put.PreviousService = own.service
	}
	e.pending[r.ID]++
	e.mu.Unlock()
	result := e.store.Put(ctx, []store.Put{put})[0]
	own := &registration{service: r.Service, id: r.ID, payload: r.Payload, value: r.Value,
		overlay: result.Overlay, seq: result.Seq, registeredAt: result.RegisteredAt, writtenAt: time.Now()}
	if how, lost := e.finishRegister(ctx, own, result); lost {
		e.reportLoss(own, how)
		return 0, nil
	}
	if result.Err != nil {
		return 0, result.Err
	}
	return result.RegisteredAt, nil
}

// registered takes the answer to a registration. It reports how it was lost
// again, if it took effect and that was found when it was sent again.
func (e *Engine) finishRegister(ctx context.Context, own *registration, result store.PutResult) (how Loss, lost bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	was, ended := e.owned[own.id], e.deregisteredSeq[own.id]
	if e.pending[own.id]--; e.pending[own.id] == 0 {
		delete(e.pending, own.id)
		delete(e.deregisteredSeq, own.id)
	}
	if result.Err != nil {
		if was != nil && was.service != own.service && !slices.Contains(was.strayServices, own.service) {
			was.strayServices = append(was.strayServices, own.service)
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
		own.registeredAt-- // which is not that of this registration: it is only known to be older
		if was == nil {
			e.rememberFormer(own)
		}
		return LossSuperseded, true
	case store.Overtaken:
		own.registeredAt = 0
	}
	// Of calls at once the later stands, as in the store, in whatever order they are answered.
	if ended < own.seq && (was == nil || was.seq < own.seq) {
		delete(e.former, own.id)
		e.owned[own.id] = own
		e.batch = nil
	}
	if e.cfg.TTL > 0 && !e.heartbeatRunning {
		e.heartbeatRunning = e.start(e.runHeartbeats)
	}
	return 0, false
}

// Deregister ends a registration, one's own or anybody's. An own one's
// heartbeat has stopped whatever the outcome. It returns the group it stood in.
func (e *Engine) Deregister(ctx context.Context, id string) (group string, err error) {
	if e.ctx.Err() != nil {
		return "", store.ErrClosed
	}
	e.mu.Lock()
	own, former := e.owned[id], e.former[id]
	e.removeOwned(id)
	removal := store.Removal{ID: id}
	var strays []string
	switch {
	case own != nil:
		strays = own.strayServices
		removal = store.Removal{Service: own.service, ID: id, Own: true, RegisteredAt: own.registeredAt}
	case former != nil: // which ends what is older only: the newer owner's stays
		removal = store.Removal{Service: former.service, ID: id, Own: true, RegisteredAt: former.registeredAt}
	}
	e.mu.Unlock()
	if own != nil {
		defer e.notifyLoss(own, LossDeregistered)
	}
	var removed store.RemoveResult
	if err = ctx.Err(); err == nil {
		removed, err = e.store.Remove(ctx, removal)
	}
	for i := 0; i < len(strays) && err == nil; i++ {
		stray := removal
		stray.Service = strays[i]
		_, err = e.store.Remove(ctx, stray)
	}
	if removal.Own {
		group = removal.Service
	} else {
		group = removed.Service
	}
	if late := e.finishDeregister(id, own, former, removed, err); late != nil {
		e.notifyLoss(late, LossDeregistered)
	}
	return group, err
}

// deregistered takes the answer to a removal. It returns the registration that
// was made by a call at the same time and ended by this later one, or nil.
func (e *Engine) finishDeregister(id string, own *registration, former *formerRegistration, removed store.RemoveResult, err error) *registration {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		if own != nil && e.owned[id] == nil && e.former[id] == nil {
			e.rememberFormer(own) // for when this is tried again
			e.former[id].failed = true
		}
		return nil
	}
	if former != nil && former.failed && e.former[id] == former {
		delete(e.former, id)
	}
	if e.pending[id] > 0 {
		e.deregisteredSeq[id] = max(e.deregisteredSeq[id], removed.Seq)
	}
	late := e.owned[id]
	if late == nil || late.seq >= removed.Seq {
		return nil
	}
	e.removeOwned(id)
	return late
}

// disown ends keeping alive what is owned by that ID. e.mu is held.
func (e *Engine) removeOwned(id string) {
	delete(e.owned, id)
	e.batch = nil
}

// remember notes a registration that is no longer kept alive. e.mu is held.
func (e *Engine) rememberFormer(own *registration) {
	if len(e.former) >= maxFormer {
		clear(e.former)
	}
	e.former[own.id] = &formerRegistration{service: own.service, registeredAt: own.registeredAt}
}

// Loss says how a registration was lost.
type Loss uint8

// Losses.
const (
	LossSuperseded          Loss = iota // a newer owner registered the ID
	LossDeregisteredByOther             // somebody else deregistered it
	LossDeregistered                    // this engine deregistered it
)

type lossListener struct{ notify func(Loss) }

// OnLoss calls notify, once and from any goroutine, when the registration of this
// engine with that ID ends other than by Close, unless stop is called before. It
// calls it at once when there is none: the registration is lost already.
func (e *Engine) OnLoss(id string, notify func(Loss)) (stop func()) {
	e.mu.Lock()
	if e.owned[id] == nil {
		how := LossDeregisteredByOther
		if e.former[id] != nil {
			how = LossSuperseded
		}
		e.mu.Unlock()
		notify(how)
		return func() {}
	}
	l := &lossListener{notify}
	if e.lossListeners[id] == nil {
		e.lossListeners[id] = make(map[*lossListener]struct{})
	}
	e.lossListeners[id][l] = struct{}{}
	e.mu.Unlock()
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.lossListeners[id], l)
		if len(e.lossListeners[id]) == 0 {
			delete(e.lossListeners, id)
		}
	}
}

func (e *Engine) notifyLoss(own *registration, how Loss) {
	e.mu.Lock()
	listeners := e.lossListeners[own.id]
	delete(e.lossListeners, own.id)
	e.mu.Unlock()
	for l := range listeners {
		l.notify(how)
	}
}

// Supersede ends a registration of this engine as if a newer owner had taken
// its ID, for tests of users. It reports whether there was one.
func (e *Engine) Supersede(id string) bool {
	e.mu.Lock()
	own := e.owned[id]
	e.mu.Unlock()
	return own != nil && e.loseRegistration(own, LossSuperseded)
}

// drop stops keeping a registration alive, if it still is the one meant.
func (e *Engine) loseRegistration(own *registration, how Loss) bool {
	e.mu.Lock()
	// Not while the ID is being registered anew: what the backend says may be that
	// call's own doing. If it is not, the next beat says so again.
	still := e.owned[own.id] == own && e.pending[own.id] == 0
	if still {
		e.removeOwned(own.id)
		if how == LossSuperseded {
			e.rememberFormer(own)
		}
	}
	e.mu.Unlock()
	if !still {
		return false
	}
	e.reportLoss(own, how)
	e.notifyLoss(own, how)
	return true
}

func (e *Engine) reportLoss(own *registration, how Loss) {
	e.cfg.Hooks.superseded(own.service, own.id, how == LossDeregisteredByOther)
	if how == LossDeregisteredByOther {
		e.cfg.Logger.Warn("instance was deregistered by another; its heartbeat has stopped", "service", own.service, "id", own.id)
	} else {
		e.cfg.Logger.Warn("instance was superseded by a newer owner of its ID; its heartbeat has stopped", "service", own.service, "id", own.id)
	}
}
