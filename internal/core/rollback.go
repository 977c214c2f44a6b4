package core

import (
	"context"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// rollbackTimeout bounds the removal of a registration whose caller gave up. What
// an unavailable backend keeps ends with its lease.
const rollbackTimeout = time.Second

// rollBack removes, in the background, what a Register call may have left in the
// backend when its context ended before the reply came. It removes nothing if
// this engine has another registration of that ID, or another call under way.
//
// The removal names this owner only, and has a later number than the call. So it
// does not end another owner's registration, and the call cannot take effect
// after it. A Register of the same ID waits for it (see afterRollback), because
// the removal could end that newer registration. The caller holds e.mu.
func (e *Engine) rollBack(service, id string) {
	if e.owned[id] != nil || e.pending[id] > 0 || e.rollbacks[id] != nil {
		return
	}
	done := make(chan struct{})
	started := e.start(func() {
		ctx, cancel := context.WithTimeout(e.ctx, rollbackTimeout)
		// After an error the instance ends with its lease, as Register documents.
		_, _ = e.store.Remove(ctx, store.Removal{Service: service, ID: id, Own: true})
		cancel()
		e.mu.Lock()
		delete(e.rollbacks, id)
		e.mu.Unlock()
		close(done)
	})
	if started {
		e.rollbacks[id] = done
	}
}

// afterRollback calls f, with e.mu held, when no rollback of that ID is under way. It
// returns ctx's error, without the call, if that ends first.
func (e *Engine) afterRollback(ctx context.Context, id string, f func()) error {
	for {
		e.mu.Lock()
		done := e.rollbacks[id]
		if done == nil {
			f()
			e.mu.Unlock()
			return nil
		}
		e.mu.Unlock()
		select {
		case <-done:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// AwaitRollback waits until a registration of that ID whose caller gave up is
// removed from the backend, or the removal has failed, or ctx ends.
func (e *Engine) AwaitRollback(ctx context.Context, id string) {
	_ = e.afterRollback(ctx, id, func() {})
}

// awaitRollbacks waits up to rollbackTimeout for all rollbacks, before Close ends them.
func (e *Engine) awaitRollbacks() {
	e.mu.Lock()
	all := make([]chan struct{}, 0, len(e.rollbacks))
	for _, done := range e.rollbacks {
		all = append(all, done)
	}
	e.mu.Unlock()
	timeout := time.NewTimer(rollbackTimeout)
	defer timeout.Stop()
	for _, done := range all {
		select {
		case <-done:
		case <-timeout.C:
			return
		}
	}
}
