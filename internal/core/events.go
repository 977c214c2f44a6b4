package core

import (
	"context"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// Events returns what the backend remembers of a service's changes, oldest first.
func (e *Engine) Events(ctx context.Context, name string) ([]store.Event, error) {
	if err := e.checkOpen(ctx); err != nil {
		return nil, err
	}
	return e.store.Events(ctx, name)
}
