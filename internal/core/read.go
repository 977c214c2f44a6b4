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
	err = e.read(ctx, name, &v)
	return v, err
}

// read writes its result in place and leaves Read small enough to be inlined,
// because copying a View takes a good part of what reading memory does.
func (e *Engine) read(ctx context.Context, name string, v *View) error {
	if err := e.alive(ctx); err != nil {
		return err
	}
	if e.instant != nil {
		content, err := e.readInstant(name)
		if err == nil {
			v.Content, v.AsOf = content, time.Now()
		}
		return err
	}
	g := e.group(name)
	defer e.release(g)
	give := giveUp(ctx)
	var failed error // of the last try
	for try := 0; ; try++ {
		f := g.fly("", ctx.Done() == nil)
		if over := ctx.Done(); over == nil {
			<-f.done // one channel less to wait for, which all callers share
		} else {
			select {
			case <-f.done:
			case <-over:
				return because(ctx.Err(), failed)
			}
		}
		if f.err == nil {
			*v = f.view
			return nil
		}
		failed = f.err
		if err := e.pause(ctx, give, try, failed); err != nil {
			return err
		}
	}
}

// pauseMost bounds the pause before a read that failed is tried again, well below
// what restarts the time that an outage must be over (see outage.settle).
const pauseMost = doubt / 3

// pause waits before a read that failed is tried again. It returns the error to
// give up with when that is of no use or there is no time left.
func (e *Engine) pause(ctx context.Context, give time.Time, try int, failed error) error {
	pause := min(pauseMost, 10*time.Millisecond<<min(try, 5))
	pause = pause/2 + rand.N(pause/2)
	if !errors.Is(failed, store.ErrUnavailable) || errors.Is(failed, store.ErrRefused) || time.Until(give) < pause {
		return failed
	}
	t := time.NewTimer(pause)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return because(ctx.Err(), failed)
	case <-e.ctx.Done():
		return store.ErrClosed
	}
}

// giveUp is when a read stops trying.
func giveUp(ctx context.Context) time.Time {
	give := time.Now().Add(patience)
	if d, ok := ctx.Deadline(); ok && d.Before(give) {
		return d
	}
	return give
}

// because is the error of an ended context, with why the last try had failed, if one had.
func because(ended, failed error) error {
	if failed == nil {
		return ended
	}
	return fmt.Errorf("%w: %w", ended, failed)
}

// ReadLeases returns what lives in a group with the ends of the leases, which
// takes reading all of it. What fails in passing is tried again, as by Read.
func (e *Engine) ReadLeases(ctx context.Context, name string) ([]*Entry, error) {
	if err := e.alive(ctx); err != nil {
		return nil, err
	}
	if e.instant != nil {
		content, err := e.readInstant(name)
		if err != nil {
			return nil, err
		}
		return content.Entries, nil
	}
	give := giveUp(ctx)
	var failed error // of the last try
	for try := 0; ; try++ {
		entries, err := e.tryReadLeases(ctx, name)
		if err == nil {
			return entries, nil
		}
		if ctx.Err() != nil {
			return nil, because(ctx.Err(), failed)
		}
		failed = err
		if err := e.pause(ctx, give, try, failed); err != nil {
			return nil, err
		}
	}
}

func (e *Engine) tryReadLeases(ctx context.Context, name string) ([]*Entry, error) {
	type answer struct {
		r   store.Reading
		err error
	}
	g := e.group(name)
	defer e.release(g)
	g.mu.Lock()
	known := store.Known{Prove: g.outage.unproven != nil}
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
		var t truth
		g.outage.learn(t.full(&group{e: e, name: name}, &a.r))
		return t.sorted, g.outage.settle(&t, a.r.Refused, start, time.Now())
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-e.ctx.Done():
		return nil, store.ErrClosed
	}
}

func (e *Engine) readInstant(name string) (*Content, error) {
	r, err := e.instant.Current(name)
	if err != nil {
		return nil, err
	}
	if content, ok := r.Memo.Known(); ok {
		return content.(*Content), nil
	}
	return r.Memo.Get(func() any {
		c := &Content{Entries: make([]*Entry, len(r.Records)), Revision: number(r.Rev)}
		for i, rec := range r.Records {
			c.Entries[i] = &Entry{Record: rec, Value: rec.Value}
		}
		return c
	}).(*Content), nil
}

// Watch yields what watchers of a group are shown: at once, and again after
// each change, until ctx ends, the loop breaks or the engine closes.
func (e *Engine) Watch(ctx context.Context, name string) iter.Seq[View] {
	return func(yield func(View) bool) {
		if e.alive(ctx) != nil {
			return
		}
		t := e.watch(name)
		defer e.unwatch(t)
		r := t.join()
		defer t.part(r)
		defer r.heed(ctx)()
		for s := t.next(ctx, r); s != nil; s = t.next(ctx, r) {
			if !yield(s.view(t)) {
				return
			}
			t.took(r, s.serial)
		}
	}
}
