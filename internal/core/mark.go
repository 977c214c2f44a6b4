package core

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// Mark sets parts of an instance's overlay, whoever owns it.
func (e *Engine) Mark(ctx context.Context, id string, set map[string]string) (store.Marked, error) {
	if err := e.alive(ctx); err != nil {
		return store.Marked{}, err
	}
	e.mu.Lock()
	group := ""
	if own := e.owned[id]; own != nil {
		group = own.group
	}
	e.mu.Unlock()
	marked, err := e.store.Mark(ctx, store.Mark{Group: group, ID: id, Set: set})
	if err == nil && marked.Existed {
		e.mu.Lock()
		if own := e.owned[id]; own != nil && own.group == marked.Group {
			own.overlay = marked.Overlay // known at once to what heals it
		}
		e.mu.Unlock()
	}
	return marked, err
}

const (
	// behindEvery is how often a wait asks how many watchers are left: often at first.
	behindFirst = 5 * time.Millisecond
	behindMost  = 200 * time.Millisecond
	// remarkEvery is how often a wait makes sure that the mark still stands.
	remarkEvery = time.Second
)

// MarkAndWait is Mark, and then waits until every process that watches the
// service has taken a state with it. The error of an ended ctx says how many have not.
func (e *Engine) MarkAndWait(ctx context.Context, id string, set map[string]string) (store.Marked, error) {
	marked, err := e.Mark(ctx, id, set)
	if err != nil || !marked.Existed {
		return marked, err
	}
	attending, ok := e.store.(store.Attending)
	if !ok {
		return marked, e.waitTaken(ctx, marked.Group)
	}
	rev, asked := marked.Rev, time.Now()
	for pause := behindFirst; ; pause = min(2*pause, behindMost) {
		behind, err := attending.Behind(ctx, marked.Group, rev)
		if err == nil && behind == 0 {
			return marked, nil
		}
		if err != nil && !errors.Is(err, store.ErrUnavailable) && ctx.Err() == nil {
			return marked, err
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return marked, waited(ctx, behind, err)
		case <-e.ctx.Done():
			t.Stop()
			return marked, store.ErrClosed
		}
		if time.Since(asked) < remarkEvery {
			continue
		}
		asked = time.Now()
		// The backend may have lost its memory, and the mark with it.
		if again, err := e.Mark(ctx, id, set); err == nil && (again.Changed || !again.Existed) {
			if again.Rev == "" {
				return marked, nil // nothing is left of the service
			}
			rev = again.Rev
		}
	}
}

func waited(ctx context.Context, behind int, err error) error {
	if err != nil {
		return fmt.Errorf("how many watching processes have not taken it yet is unknown: %w: %w", ctx.Err(), err)
	}
	return fmt.Errorf("%d watching processes have not taken it yet: %w", behind, ctx.Err())
}

// waitTaken waits until this process's readers have taken what stands now.
func (e *Engine) waitTaken(ctx context.Context, name string) error {
	e.groupsMu.Lock()
	g := e.groups[name]
	e.groupsMu.Unlock()
	if g == nil {
		return nil
	}
	g.mu.Lock()
	if g.topic == nil {
		g.mu.Unlock()
		return nil
	}
	taken := g.topic.whenTaken()
	g.mu.Unlock()
	select {
	case <-taken:
		return nil
	case <-ctx.Done():
		return waited(ctx, 1, nil)
	case <-e.ctx.Done():
		return store.ErrClosed
	}
}
