// Package backoff spaces out retries: pauses that double from one try to the
// next, with jitter, and a sleep that a context ends. Each retry declares its Pauses
// beside it: calls and subscriptions in internal/redisstore (retry.go,
// subscription.go), reads, heartbeats with reregistrations, and drains in
// internal/core (read.go, connectivity.go, drain.go), Join in registry (join.go).
package backoff

import (
	"context"
	"math/rand/v2"
	"time"
)

// Pauses is a series of pauses between tries: the first is Min, each further one
// is twice the one before, up to Max. Both must be positive. Jitter shortens each
// pause by up to a half, so that clients that failed together do not return together.
type Pauses struct {
	Min, Max time.Duration
}

// After returns the pause after the given number of failed tries in a row, which
// is 1 after the first.
func (p Pauses) After(failures int) time.Duration {
	pause := p.Min
	for n := 1; n < failures && pause < p.Max; n++ {
		pause *= 2
	}
	return Jitter(min(pause, p.Max), 0.5)
}

// Sleep waits for the pause after the given number of failed tries in a row. It
// returns ctx's error if ctx ends first.
func (p Pauses) Sleep(ctx context.Context, failures int) error {
	return Sleep(ctx, p.After(failures))
}

// Jitter returns d shortened by a random part of at most share of it.
func Jitter(d time.Duration, share float64) time.Duration {
	return d - rand.N(time.Duration(share*float64(d))+1)
}

// Sleep waits for d. It returns ctx's error if ctx ends first.
func Sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
