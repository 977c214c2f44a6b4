package core

import (
	"context"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// PatchOverlay sets members of an instance's overlay, whatever owner the instance
// has. An instance of this engine that the backend does not list where this engine
// registered it was moved by another owner, or was lost: then it is first
// registered again.
func (e *Engine) PatchOverlay(ctx context.Context, id string, set map[string]string) (store.PatchResult, error) {
	deadline := time.Now().Add(defaultReadTimeout)
	for {
		if err := e.checkOpen(ctx); err != nil {
			return store.PatchResult{}, err
		}
		e.mu.Lock()
		own, service := e.owned[id], ""
		if own != nil {
			service = own.service
		}
		e.mu.Unlock()
		patched, err := e.store.PatchOverlay(ctx, store.OverlayPatch{Service: service, ID: id, Set: set})
		if err == nil && patched.Existed {
			e.mu.Lock()
			if own := e.owned[id]; own != nil && own.service == patched.Service {
				own.overlay = patched.Overlay // so that a registration that is lost before the next heartbeat gets it back
			}
			e.mu.Unlock()
		}
		if err != nil || patched.Existed || own == nil || time.Now().After(deadline) {
			return patched, err
		}
		registered, err := e.reregisterNow(ctx, own)
		if err != nil {
			return store.PatchResult{}, err
		}
		if registered {
			continue
		}
		patched, err = e.store.PatchOverlay(ctx, store.OverlayPatch{ID: id, Set: set})
		if err != nil || patched.Existed {
			return patched, err
		}
	}
}
