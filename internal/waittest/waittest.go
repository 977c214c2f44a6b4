// Package waittest waits in tests. A wait that lasts longer than Limit fails its
// test and says what it waited for.
package waittest

import (
	"context"
	"iter"
	"testing"
	"time"
)

// Limit is far more than any wait of a test takes, on a busy machine too. It is no
// bound on what a test measures.
const Limit = time.Minute

// Receive returns the next value of c, or the zero value if c is closed.
func Receive[T any](t testing.TB, c <-chan T, what string) T {
	t.Helper()
	limit := time.NewTimer(Limit)
	defer limit.Stop()
	select {
	case v := <-c:
		return v
	case <-limit.C:
		t.Fatalf("waited %s for %s", Limit, what)
		panic("unreachable")
	}
}

// Eventually waits until ok holds, which it asks every 2 ms.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	ticker := time.NewTicker(2 * time.Millisecond)
	defer ticker.Stop()
	for giveUp := time.Now().Add(Limit); !ok(); <-ticker.C {
		if !time.Now().Before(giveUp) {
			t.Fatalf("waited %s for %s", Limit, what)
		}
	}
}

// Watch begins a watch that ends with ctx.
type Watch[S any] func(ctx context.Context) iter.Seq[S]

// State returns the first state of a watch that ok accepts.
func State[S any](t testing.TB, watch Watch[S], what string, ok func(S) bool) S {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Limit)
	defer cancel()
	var last S
	for last = range watch(ctx) {
		if ok(last) {
			return last
		}
	}
	t.Fatalf("waited %s for %s; the watch showed last: %+v", Limit, what, last)
	panic("unreachable")
}
