package core

import (
	"context"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// maxFormer bounds how many registrations are remembered that were superseded,
// or whose Deregister failed.
const maxFormer = 10_000

// registration is what this engine keeps alive.
type registration struct {
	group   string
	id      string
	payload []byte
	value   any
	overlay []byte
	stamp   int64
	put     time.Time // when it was last written in full
	failed  bool      // its Deregister failed
	lost    bool      // the backend has said so, and it is not healed yet; only the heartbeat's
}

// Registering asks for a registration.
type Registering struct {
	Group   string
	ID      string
	Fresh   bool // the ID was generated for this call
	Payload []byte
	Value   any
	Reset   []string // members of the overlay to take out
}

// Register registers and keeps the registration alive from then on. It returns
// the stamp. A failed replacement leaves the earlier registration running. What a
// call leaves behind whose context ended is removed in the background.
func (e *Engine) Register(ctx context.Context, r Registering) (stamp int64, err error) {
	if err := e.alive(ctx); err != nil {
		return 0, err
	}
	if err := e.awaitUndo(ctx, r.ID); err != nil {
		return 0, err
	}
	put := store.Put{Group: r.Group, ID: r.ID, Fresh: r.Fresh, TTL: e.cfg.TTL, Beat: e.cfg.Beat,
		Payload: r.Payload, Value: r.Value, Reset: r.Reset}
	e.mu.Lock()
	if own := e.owned[r.ID]; own != nil && own.group != r.Group {
		put.From = own.group
	}
	e.pending[r.ID]++
	e.mu.Unlock()
	result := e.store.Put(ctx, []store.Put{put})[0]
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.pending[r.ID]--; e.pending[r.ID] == 0 {
		delete(e.pending, r.ID)
	}
	if result.Err != nil {
		if ctx.Err() != nil {
			e.undo(r.Group, r.ID)
		}
		return 0, result.Err
	}
	if result.Outcome != store.Done {
		return 0, nil // it stood, and a later call of somebody has ended it since
	}
	// Of two calls at once the later stands, as in the store.
	delete(e.former, r.ID)
	if own := e.owned[r.ID]; own == nil || own.stamp <= result.Stamp {
		e.owned[r.ID] = &registration{group: r.Group, id: r.ID, payload: r.Payload, value: r.Value,
			overlay: result.Overlay, stamp: result.Stamp, put: time.Now()}
		e.beats = nil
	}
	if e.cfg.TTL > 0 && !e.beating {
		e.beating = e.start(e.heartbeat)
	}
	return result.Stamp, nil
}

// Deregister ends a registration, one's own or anybody's. An own one's
// heartbeat has stopped whatever the outcome. It returns the group it stood in.
func (e *Engine) Deregister(ctx context.Context, id string) (group string, err error) {
	if e.ctx.Err() != nil {
		return "", store.ErrClosed
	}
	e.mu.Lock()
	own := e.owned[id]
	e.disown(id)
	former := e.former[id]
	e.mu.Unlock()
	if own == nil && former != nil {
		own = former // which ends what is older only: the newer owner's stays
	}
	if own == nil {
		if err := ctx.Err(); err != nil {
			return "", err
		}
		removed, err := e.store.Remove(ctx, store.Removal{ID: id})
		return removed.Group, err
	}
	defer e.tellLoss(own, LossDeregistered)
	if err = ctx.Err(); err == nil {
		_, err = e.store.Remove(ctx, store.Removal{Group: own.group, ID: id, Own: true, Stamp: own.stamp})
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case err != nil && e.owned[id] == nil && e.former[id] == nil:
		own.failed = true
		e.remember(own) // for when this is tried again
	case err == nil && own.failed && e.former[id] == own:
		delete(e.former, id)
	}
	return own.group, err
}

// disown ends keeping alive what is owned by that ID. e.mu is held.
func (e *Engine) disown(id string) {
	delete(e.owned, id)
	e.beats = nil
}

// remember keeps a registration that is no longer kept alive, so that
// deregistering it does not end a newer owner's. e.mu is held.
func (e *Engine) remember(own *registration) {
	if len(e.former) >= maxFormer {
		clear(e.former)
	}
	e.former[own.id] = own
}

// Loss says how a registration was lost.
type Loss uint8

// Losses.
const (
	LossSuperseded   Loss = iota // a newer owner registered the ID
	LossRemoved                  // somebody else deregistered it
	LossDeregistered             // this engine deregistered it
)

type lossListener struct{ tell func(Loss) }

// OnLoss calls tell, from any goroutine, each time that a registration of this
// engine with that ID ends other than by Close, until stop is called. It calls it
// at once when there is none: whoever has just registered has lost it already.
func (e *Engine) OnLoss(id string, tell func(Loss)) (stop func()) {
	l := &lossListener{tell}
	e.mu.Lock()
	if e.lost[id] == nil {
		e.lost[id] = make(map[*lossListener]struct{})
	}
	e.lost[id][l] = struct{}{}
	gone, how := e.owned[id] == nil, LossRemoved
	if e.former[id] != nil {
		how = LossSuperseded
	}
	e.mu.Unlock()
	if gone {
		tell(how)
	}
	return func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.lost[id], l)
		if len(e.lost[id]) == 0 {
			delete(e.lost, id)
		}
	}
}

func (e *Engine) tellLoss(own *registration, how Loss) {
	e.mu.Lock()
	listeners := make([]*lossListener, 0, len(e.lost[own.id]))
	for l := range e.lost[own.id] {
		listeners = append(listeners, l)
	}
	e.mu.Unlock()
	for _, l := range listeners {
		l.tell(how)
	}
}

// Supersede ends a registration of this engine as if a newer owner had taken
// its ID, for tests of users. It reports whether there was one.
func (e *Engine) Supersede(id string) bool {
	e.mu.Lock()
	own := e.owned[id]
	e.mu.Unlock()
	return own != nil && e.drop(own, LossSuperseded)
}

// drop stops keeping a registration alive, if it still is the one meant.
func (e *Engine) drop(own *registration, how Loss) bool {
	e.mu.Lock()
	// Not while the ID is being registered anew: what the backend says may be that
	// call's own doing. If it is not, the next beat says so again.
	still := e.owned[own.id] == own && e.pending[own.id] == 0
	if still {
		e.disown(own.id)
		if how == LossSuperseded {
			e.remember(own)
		}
	}
	e.mu.Unlock()
	if !still {
		return false
	}
	e.cfg.Hooks.superseded(own.group, own.id, how == LossRemoved)
	if how == LossRemoved {
		e.cfg.Logger.Warn("instance was deregistered by another; its heartbeat has stopped", "service", own.group, "id", own.id)
	} else {
		e.cfg.Logger.Warn("instance was superseded by a newer owner of its ID; its heartbeat has stopped", "service", own.group, "id", own.id)
	}
	e.tellLoss(own, how)
	return true
}
