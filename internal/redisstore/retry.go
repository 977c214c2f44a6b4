package redisstore

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/backoff"
)

// Put, Remove, PatchOverlay and Events are retried until the deadline of their caller, as the
// same call with the same number, so that they take effect once. Heartbeats,
// reregistrations and reads are not retried here, other than on a new connection when
// theirs ended: their callers repeat them.

// defaultCallTimeout bounds a call whose context has no earlier deadline.
const defaultCallTimeout = 3 * time.Second

// retryPauses are the pauses between two tries of a call.
var retryPauses = backoff.Pauses{Min: 20 * time.Millisecond, Max: 320 * time.Millisecond}

// deadlineOf returns when a call stops being retried.
func deadlineOf(ctx context.Context) time.Time {
	limit := time.Now().Add(defaultCallTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(limit) {
		return d
	}
	return limit
}

// pauseBeforeRetry pauses before the next try. It returns false if the call must not
// be retried: there is no time left before tryUntil, or ctx or the store ended.
func (s *Store) pauseBeforeRetry(ctx context.Context, tryUntil time.Time, try int) bool {
	d := retryPauses.After(try + 1)
	if time.Until(tryUntil) < d {
		return false
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(s.ctx, cancel)()
	return backoff.Sleep(ctx, d) == nil
}

// retryable reports whether a call that failed with err may succeed when retried.
// An error reply of the server is final, unless it comes from a server that is
// starting, is being replaced or waits for a replica.
func retryable(err error) bool {
	var reply redis.Error
	if !errors.As(err, &reply) {
		return !errors.Is(err, errReply)
	}
	for _, prefix := range []string{"LOADING", "READONLY", "CLUSTERDOWN", "TRYAGAIN", "MASTERDOWN", "BUSY", "MOVED", "ASK", "NOREPLICAS"} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	return false
}
