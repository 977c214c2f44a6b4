package redisstore

import (
	"context"
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redisclient"
	"github.com/rollcall-sd/rollcall/internal/store"
)

// execWaiting runs a pipeline and waits for it or for ctx. It returns no error for a
// key that is missing or holds another program's data.
func (s *Store) execWaiting(ctx context.Context, pipe redis.Pipeliner) error {
	if pipe.Len() == 0 {
		return nil
	}
	_, err := runUntilDone(ctx, s, func() ([]redis.Cmder, error) {
		ctx, cancel := s.requestContext()
		defer cancel()
		cmds := redisclient.Exec(ctx, pipe)
		for _, c := range cmds {
			if c.Err() != nil && c.Err() != redis.Nil && !isForeignData(c.Err()) {
				s.reloadSlotsAfter(c.Err())
				return nil, c.Err()
			}
		}
		return cmds, nil
	})
	return err
}

// retryLook looks before a call writes anything. Like the call it is retried until its
// deadline, if the server did not answer.
func retryLook[T any](ctx context.Context, s *Store, look func() (T, error)) (T, error) {
	tryUntil := deadlineOf(ctx)
	for try := 0; ; try++ {
		found, err := look()
		if err == nil || !errors.Is(err, store.ErrUnavailable) || !retryable(err) || !s.pauseBeforeRetry(ctx, tryUntil, try) {
			return found, err
		}
	}
}

// runUntilDone runs f and returns when f or ctx ends. Close waits for f.
func runUntilDone[T any](ctx context.Context, s *Store, f func() (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var zero T
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return zero, store.ErrClosed
	}
	s.loops.Add(1)
	s.mu.Unlock()
	done := make(chan answer, 1)
	go func() {
		defer s.loops.Done()
		v, err := f()
		done <- answer{v, err}
	}()
	select {
	case a := <-done:
		if a.err != nil {
			return zero, s.callError(ctx, a.err)
		}
		return a.value, nil
	case <-ctx.Done():
		return zero, ctx.Err()
	}
}
