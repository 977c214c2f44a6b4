package health

import (
	"context"
	"fmt"

	"github.com/rollcall-sd/rollcall/registry"
)

// turn is held by the one Register of an ID that is under way. Without it, two
// at the same time could reach the backend in one order and start their probes
// in the other: the address that is probed would not be the one that is listed.
type turn struct {
	holder chan struct{} // semaphore of size 1; who sends holds it
	users  int           // that hold it or wait for it; guarded by Checker.mu
}

// takeTurn waits until no other Register of an ID is under way, until ctx ends
// or the Checker closes. The caller calls done once its probe is in place.
func (c *Checker) takeTurn(ctx context.Context, id string) (done func(), err error) {
	if id == "" { // it will get an ID of its own
		return func() {}, nil
	}
	c.mu.Lock()
	t := c.turns[id]
	if t == nil {
		t = &turn{holder: make(chan struct{}, 1)}
		c.turns[id] = t
	}
	t.users++
	c.mu.Unlock()
	leave := func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(c.turns, id)
		}
	}
	select {
	case t.holder <- struct{}{}:
		return func() { <-t.holder; leave() }, nil
	case <-ctx.Done():
		err = ctx.Err()
	case <-c.ctx.Done():
		err = registry.ErrClosed
	}
	leave()
	return nil, fmt.Errorf("register %q: waiting for an earlier Register of this ID: %w", id, err)
}
