package core

import (
	"context"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// PatchOverlay sets members of an instance's overlay, in whichever service it is and
// whatever owner it has. An instance of this engine that the backend does not list where this engine
// registered it was moved by another owner, or was lost: then it is first
// registered again.
func (e *Engine) PatchOverlay(ctx context.Context, patch store.OverlayPatch) (store.PatchResult, error) {
	id := patch.ID
	deadline := time.Now().Add(defaultReadTimeout)
	for {
		if err := e.checkOpen(ctx); err != nil {
			return store.PatchResult{}, err
		}
		e.mu.Lock()
		own := e.owned[id]
		if patch.Service = ""; own != nil {
			patch.Service = own.service
		}
		e.mu.Unlock()
		patched, err := e.store.PatchOverlay(ctx, patch)
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
		patch.Service = ""
		patched, err = e.store.PatchOverlay(ctx, patch)
		if err != nil || patched.Existed {
			return patched, err
		}
	}
}
