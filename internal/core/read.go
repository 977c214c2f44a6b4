package core

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// Read returns what the backend holds on a group now. Callers at the same time
// share a request, but only one that starts after their call. What fails in
// passing is tried again until ctx ends or patience does.
func (e *Engine) Read(ctx context.Context, name string) (v View, err error) {
	err = e.readInto(ctx, name, &v)
	return v, err
}

// read writes its result in place and leaves Read small enough to be inlined,
// because copying a View takes a good part of what reading memory does.
func (e *Engine) readInto(ctx context.Context, name string, v *View) error {
	if err := e.checkOpen(ctx); err != nil {
		return err
	}
	if e.instant != nil {
		content, err := e.readInMemory(name)
		if err == nil {
			v.Content, v.AsOf = content, time.Now()
		}
		return err
	}
	g := e.acquireService(name)
	defer e.releaseService(g)
	give := readDeadline(ctx)
	var failed error // of the last try
	for try := 0; ; try++ {
		f := g.requestRead("", ctx.Done() == nil)
		if over := ctx.Done(); over == nil {
			<-f.done // one channel less to wait for, which all callers share
		} else {
			select {
			case <-f.done:
			case <-over:
				return withLastFailure(ctx.Err(), failed)
			}
		}
		if f.err == nil {
			*v = f.view
			return nil
		}
		failed = f.err
		if err := e.pauseBeforeRetry(ctx, give, try, failed); err != nil {
			return err
		}
	}
}

// pauseMost bounds the pause before a read that failed is tried again, well below
// what restarts the time that an outage must be over (see outage.settle).
const maxReadPause = expiryGrace / 3

// pause waits before a read that failed is tried again. It returns the error to
// give up with when that is of no use or there is no time left.
func (e *Engine) pauseBeforeRetry(ctx context.Context, give time.Time, try int, failed error) error {
	pause := min(maxReadPause, 10*time.Millisecond<<min(try, 5))
	pause = pause/2 + rand.N(pause/2)
	if !errors.Is(failed, store.ErrUnavailable) || errors.Is(failed, store.ErrWritesRefused) || time.Until(give) < pause {
		return failed
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return withLastFailure(ctx.Err(), failed)
	case <-e.ctx.Done():
		return store.ErrClosed
	}
}

// giveUp is when a read stops trying.
func readDeadline(ctx context.Context) time.Time {
	give := time.Now().Add(defaultReadTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(give) {
		return d
	}
	return give
}

// because is the error of an ended context, with why the last try had failed, if one had.
func withLastFailure(ended, failed error) error {
	if failed == nil {
		return ended
	}
	return fmt.Errorf("%w: %w", ended, failed)
}

// ReadLeases returns what lives in a group with the ends of the leases, which
// takes reading all of it. What fails in passing is tried again, as by Read.
func (e *Engine) ReadLeases(ctx context.Context, name string) ([]*Entry, error) {
	if err := e.checkOpen(ctx); err != nil {
		return nil, err
	}
	if e.instant != nil {
		content, err := e.readInMemory(name)
		if err != nil {
			return nil, err
		}
		return content.Entries, nil
	}
	give := readDeadline(ctx)
	var failed error // of the last try
	for try := 0; ; try++ {
		entries, err := e.readLeasesOnce(ctx, name)
		if err == nil {
			return entries, nil
		}
		if ctx.Err() != nil {
			return nil, withLastFailure(ctx.Err(), failed)
		}
		failed = err
		if err := e.pauseBeforeRetry(ctx, give, try, failed); err != nil {
			return nil, err
		}
	}
}

func (e *Engine) readLeasesOnce(ctx context.Context, name string) ([]*Entry, error) {
	type answer struct {
		r   store.Reading
		err error
	}
	g := e.acquireService(name)
	defer e.releaseService(g)
	g.mu.Lock()
	known := store.KnownState{ProveAbsence: g.outage.expected != nil}
	g.mu.Unlock()
	done, start := make(chan answer, 1), time.Now()
	e.store.Read(name, known, func(r store.Reading, err error) { done <- answer{r, err} })
	select {
	case a := <-done:
		if a.err != nil {
			return nil, a.err
		}
		g.mu.Lock()
		defer g.mu.Unlock()
		var t serviceState
		g.outage.applyEvidence(t.applyFull(&service{e: e, name: name}, &a.r))
		return t.live, g.outage.verify(&t, a.r.WritesRefused, start, time.Now())
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-e.ctx.Done():
		return nil, store.ErrClosed
	}
}

func (e *Engine) readInMemory(name string) (*Content, error) {
	r, err := e.instant.Current(name)
	if err != nil {
		return nil, err
	}
	if content, ok := r.Cached.Peek(); ok {
		return content.(*Content), nil
	}
	return r.Cached.Get(func() any {
		c := &Content{Entries: make([]*Entry, len(r.Records)), Revision: revisionNumber(r.Rev)}
		for i, rec := range r.Records {
			c.Entries[i] = &Entry{Record: rec, Value: rec.Decoded}
		}
		return c
	}).(*Content), nil
}

// Watch yields what watchers of a group are shown: at once, and again after
// each change, until ctx ends, the loop breaks or the engine closes.
func (e *Engine) Watch(ctx context.Context, name string) iter.Seq[View] {
	return func(yield func(View) bool) {
		if e.checkOpen(ctx) != nil {
			return
		}
		t := e.acquireHub(name)
		defer e.releaseHub(t)
		r := t.subscribe()
		defer t.unsubscribe(r)
		defer r.wakeWhenDone(ctx)()
		for s := t.awaitState(ctx, r); s != nil; s = t.awaitState(ctx, r) {
			if !yield(s.view(t)) {
				return
			}
			t.acknowledge(r, s.version)
		}
	}
}
