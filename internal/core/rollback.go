package core

import (
	"context"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// undoTimeout bounds the removal of a registration whose caller gave up. The
// lease ends what a backend that is unavailable keeps.
const rollbackTimeout = time.Second

// undo removes in the background what a Register call may have left in the
// backend when its context ended before the reply came. It removes nothing when
// this engine has another registration of that ID, or another call under way.
//
// The removal names this owner only, and has a later number than the call, so it
// ends neither another owner's registration nor lets the call take effect late.
// A Register of the same ID waits for it (see awaitUndo): otherwise the removal
// could end that newer registration. e.mu is held.
func (e *Engine) rollBack(group, id string) {
	if e.owned[id] != nil || e.pending[id] > 0 || e.rollbacks[id] != nil {
		return
	}
	done := make(chan struct{})
	started := e.start(func() {
		ctx, cancel := context.WithTimeout(e.ctx, rollbackTimeout)
		// An error leaves the instance to its lease, as documented for Register.
		_, _ = e.store.Remove(ctx, store.Removal{Service: group, ID: id, Own: true})
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

// awaitUndo returns when no removal by undo of that ID is under way, or with
// ctx's error when that ends first.
func (e *Engine) awaitRollback(ctx context.Context, id string) error {
	e.mu.Lock()
	done := e.rollbacks[id]
	e.mu.Unlock()
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// AwaitUndo waits until a registration of that ID whose caller gave up is
// removed from the backend, or has failed to be, or ctx ends.
func (e *Engine) AwaitRollback(ctx context.Context, id string) {
	_ = e.awaitRollback(ctx, id)
}

// awaitUndos waits up to undoTimeout for all removals by undo, before Close ends them.
func (e *Engine) awaitRollbacks() {
	e.mu.Lock()
	all := make([]chan struct{}, 0, len(e.rollbacks))
	for _, done := range e.rollbacks {
		all = append(all, done)
	}
	e.mu.Unlock()
	limit := time.NewTimer(rollbackTimeout)
	defer limit.Stop()
	for _, done := range all {
		select {
		case <-done:
		case <-limit.C:
			return
		}
	}
}
