package store

import (
	"context"
	"sync/atomic"
)

// A Store numbers its calls itself. Calls that reach it from another process are numbered
// there, in the order in which that process made them: they may arrive in another order.

type numbersKey struct{}

// WithNumbers returns a context whose calls have the numbers from first on, in the order in
// which the store takes them.
func WithNumbers(ctx context.Context, first uint64) context.Context {
	next := new(atomic.Uint64)
	next.Store(first - 1)
	return context.WithValue(ctx, numbersKey{}, next)
}

// NextNumber returns the number of a call: the next of ctx if that has numbers, otherwise
// the next of the store's own.
func NextNumber(ctx context.Context, own *atomic.Uint64) uint64 {
	if next, ok := ctx.Value(numbersKey{}).(*atomic.Uint64); ok {
		return next.Add(1)
	}
	return own.Add(1)
}
