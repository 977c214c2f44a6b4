package core

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rollcall-sd/rollcall/internal/backoff"
	"github.com/rollcall-sd/rollcall/internal/store"
)

// defaultReadTimeout bounds a read whose caller set no deadline.
const defaultReadTimeout = 3 * time.Second

// readPauses are the pauses before a read that failed is tried again. They are
// well below the pause after which an outage counts from the start again (see
// outage.verify).
var readPauses = backoff.Pauses{Min: 10 * time.Millisecond, Max: expiryGrace / 3}

// Read returns what the backend holds on a service now. Concurrent callers share a
// request, but only one that starts after their call. A read that fails because
// the backend is unavailable is tried again until ctx ends or defaultReadTimeout is over.
func (e *Engine) Read(ctx context.Context, name string) (v View, err error) {
	err = e.readInto(ctx, name, &v)
	return v, err
}

// readInto writes its result in place, which leaves Read small enough to be
// inlined: to copy a View takes a good part of the time of a read from memory.
func (e *Engine) readInto(ctx context.Context, name string, v *View) error {
	if err := e.checkOpen(ctx); err != nil {
		return err
	}
	if e.local != nil {
		content, err := e.readLocal(name)
		if err == nil {
			v.Content, v.AsOf = content, time.Now()
		}
		return err
	}
	s := e.acquireService(name)
	defer e.releaseService(s)
	deadline := readDeadline(ctx)
	var last error // of the last try
	for try := 1; ; try++ {
		read := s.requestRead("", ctx.Done() == nil)
		if done := ctx.Done(); done == nil {
			<-read.done // without a select: all callers share the channel
		} else {
			select {
			case <-read.done:
			case <-done:
				return withLastFailure(ctx.Err(), last)
			}
		}
		if read.err == nil {
			*v = read.view
			return nil
		}
		last = read.err
		if err := e.pauseBeforeRetry(ctx, deadline, try, last); err != nil {
			return err
		}
	}
}

// ReadLeases returns the live records of a service with the ends of their leases,
// which takes reading all of it. It tries again as Read does.
func (e *Engine) ReadLeases(ctx context.Context, name string) ([]*Entry, error) {
	if err := e.checkOpen(ctx); err != nil {
		return nil, err
	}
	if e.local != nil {
		records, err := e.local.Leases(name)
		entries := make([]*Entry, len(records))
		for i, r := range records {
			entries[i] = &Entry{Record: r, Value: r.Decoded}
		}
		return entries, err
	}
	deadline := readDeadline(ctx)
	var last error // of the last try
	for try := 1; ; try++ {
		entries, err := e.readLeasesOnce(ctx, name)
		if err == nil {
			return entries, nil
		}
		if ctx.Err() != nil {
			return nil, withLastFailure(ctx.Err(), last)
		}
		last = err
		if err := e.pauseBeforeRetry(ctx, deadline, try, last); err != nil {
			return nil, err
		}
	}
}

func (e *Engine) readLeasesOnce(ctx context.Context, name string) ([]*Entry, error) {
	type answer struct {
		reading store.Reading
		err     error
	}
	s := e.acquireService(name)
	defer e.releaseService(s)
	s.mu.Lock()
	known := store.KnownState{ProveAbsence: s.outage.expected != nil}
	s.mu.Unlock()
	done, start := make(chan answer, 1), time.Now()
	e.store.Read(name, known, func(r store.Reading, err error) { done <- answer{r, err} })
	select {
	case a := <-done:
		if a.err != nil {
			return nil, a.err
		}
		s.mu.Lock()
		defer s.mu.Unlock()
		var state serviceState
		s.outage.applyEvidence(state.applyFull(&a.reading, e.decoder(name)))
		return state.live, s.outage.verify(&state, a.reading.WritesRefused, start, time.Now())
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-e.ctx.Done():
		return nil, store.ErrClosed
	}
}

// readLocal returns what a store.Local holds.
func (e *Engine) readLocal(name string) (*Content, error) {
	r, err := e.local.Current(name)
	if err != nil {
		return nil, err
	}
	if content, ok := r.Cached.Peek(); ok {
		return content.(*Content), nil
	}
	return r.Cached.Get(func() any {
		c := &Content{Entries: make([]*Entry, len(r.Records)), Revision: revisionNumber(r.Rev)}
		for i, record := range r.Records {
			c.Entries[i] = &Entry{Record: record, Value: record.Decoded}
		}
		return c
	}).(*Content), nil
}

// readDeadline returns when a read stops trying.
func readDeadline(ctx context.Context) time.Time {
	deadline := time.Now().Add(defaultReadTimeout)
	if own, ok := ctx.Deadline(); ok && own.Before(deadline) {
		return own
	}
	return deadline
}

// pauseBeforeRetry waits before a read that failed is tried again. It returns the
// error to fail with if a retry cannot help or there is no time left for one.
func (e *Engine) pauseBeforeRetry(ctx context.Context, deadline time.Time, failures int, last error) error {
	pause := readPauses.After(failures)
	if !errors.Is(last, store.ErrUnavailable) || errors.Is(last, store.ErrWritesRefused) || time.Until(deadline) < pause {
		return last
	}
	if err := e.sleep(ctx, pause); err != nil {
		return withLastFailure(err, last)
	}
	return nil
}

// withLastFailure returns the error of an ended context with the reason for which
// the last try failed, if one did.
func withLastFailure(ended, last error) error {
	if last == nil || ended == store.ErrClosed {
		return ended
	}
	return fmt.Errorf("%w: %w", ended, last)
}
