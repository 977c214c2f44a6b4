package redistest

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// permanent marks an error that is permanent.
type permanent struct{ error }

// until calls check until it returns nil, an error that is permanent,
// or ctx ends; then it returns what check said last.
func until(ctx context.Context, check func() error) error {
	tick := time.NewTicker(poll)
	defer tick.Stop()
	var last error
	for {
		err := check()
		var lasting permanent
		switch {
		case err == nil:
			return nil
		case errors.As(err, &lasting):
			return lasting.error
		case last == nil || ctx.Err() == nil:
			last = err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("gave up waiting: %w", last)
		case <-tick.C:
		}
	}
}

// within is until with a time limit of its own.
func within(limit time.Duration, check func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	return until(ctx, func() error { return check(ctx) })
}
