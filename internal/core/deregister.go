package core

import (
	"context"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// Deregister ends a registration of this engine or of any other owner. The
// heartbeat of an own registration has stopped whatever the result.
func (e *Engine) Deregister(ctx context.Context, id string) error {
	if e.ctx.Err() != nil {
		return store.ErrClosed
	}
	e.mu.Lock()
	own, former := e.owned[id], e.former[id]
	listeners := e.removeOwned(id)
	removal := store.Removal{ID: id}
	var strays []string
	switch {
	case own != nil:
		strays = own.strayServices
		removal = store.Removal{Service: own.service, ID: id, Own: true, RegisteredAt: own.registeredAt}
	case former != nil: // a newer owner's registration stays
		removal = store.Removal{Service: former.service, ID: id, Own: true, RegisteredAt: former.registeredAt}
	}
	e.mu.Unlock()
	defer listeners.notify(LossDeregistered)
	var removed store.RemoveResult
	err := ctx.Err()
	if err == nil {
		removed, err = e.store.Remove(ctx, removal)
	}
	for i := 0; i < len(strays) && err == nil; i++ {
		stray := removal
		stray.Service = strays[i]
		_, err = e.store.Remove(ctx, stray)
	}
	e.finishDeregister(id, own, former, removed, err).notify(LossDeregistered)
	return err
}

// finishDeregister takes the answer to a removal. It returns the listeners of a
// registration by a concurrent, earlier call that the removal ended.
func (e *Engine) finishDeregister(id string, own *registration, former *formerRegistration, removed store.RemoveResult, err error) lossListeners {
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil {
		if own != nil && e.owned[id] == nil && e.former[id] == nil {
			e.rememberFormer(own).deregisterFailed = true // for the caller's next try
		}
		return nil
	}
	if former != nil && former.deregisterFailed && e.former[id] == former {
		delete(e.former, id)
	}
	if e.pending[id] > 0 {
		e.deregisteredSeq[id] = max(e.deregisteredSeq[id], removed.Seq)
	}
	concurrent := e.owned[id]
	if concurrent == nil || concurrent.seq >= removed.Seq {
		return nil
	}
	return e.removeOwned(id)
}
