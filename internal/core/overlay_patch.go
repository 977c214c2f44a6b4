package core

import (
	"context"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// Mark sets parts of an instance's overlay, whatever owner it has. An instance of
// this engine that the backend does not know where this engine has it was moved by
// another owner, or was lost: then it is registered again first.
func (e *Engine) PatchOverlay(ctx context.Context, id string, set map[string]string) (store.PatchResult, error) {
	give := time.Now().Add(defaultReadTimeout)
	for {
		if err := e.checkOpen(ctx); err != nil {
			return store.PatchResult{}, err
		}
		e.mu.Lock()
		own, group := e.owned[id], ""
		if own != nil {
			group = own.service
		}
		e.mu.Unlock()
		marked, err := e.store.PatchOverlay(ctx, store.OverlayPatch{Service: group, ID: id, Set: set})
		if err == nil && marked.Existed {
			e.mu.Lock()
			if own := e.owned[id]; own != nil && own.service == marked.Service {
				own.overlay = marked.Overlay // known at once to what heals it
			}
			e.mu.Unlock()
		}
		if err != nil || marked.Existed || own == nil || time.Now().After(give) {
			return marked, err
		}
		here, err := e.reregisterNow(ctx, own)
		if err != nil {
			return store.PatchResult{}, err
		}
		if !here {
			marked, err = e.store.PatchOverlay(ctx, store.OverlayPatch{ID: id, Set: set})
			if err != nil || marked.Existed {
				return marked, err
			}
		}
	}
}

// reregister writes a registration of this engine again, as it was, before the
// heartbeat does. It reports whether it stands: otherwise another owner has the
// ID, or it was deregistered, or this engine is just registering it.
func (e *Engine) reregisterNow(ctx context.Context, own *registration) (stands bool, err error) {
	keeps := func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return e.isCurrent(own)
	}
	if !keeps() {
		return false, nil
	}
	e.mu.Lock()
	put := store.Put{Service: own.service, ID: own.id, Reregister: own.registeredAt > 0, RegisteredAt: own.registeredAt, TTL: e.cfg.TTL, HeartbeatInterval: e.cfg.HeartbeatInterval,
		Payload: own.payload, Decoded: own.value, Overlay: own.overlay, StillWanted: keeps}
	e.mu.Unlock()
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
		e.batch = nil
	}
	return true, nil
}
