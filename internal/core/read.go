package core

import (
	"context"
	"errors"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// Read returns what the backend holds on a group now. Callers at the same time
// share a request, but only one that starts after their call. What fails in
// passing is tried again until ctx ends or patience does.
func (e *Engine) Read(ctx context.Context, name string) (View, error) {
	if err := e.alive(ctx); err != nil {
		return View{}, err
	}
	if e.instant != nil {
		return e.readInstant(name)
	}
	g := e.group(name)
	defer e.release(g)
	give := time.Now().Add(patience)
	for try := 0; ; try++ {
		f := g.fly("", ctx.Done() == nil)
		select {
		case <-f.done:
		case <-ctx.Done():
			return View{}, ctx.Err()
		case <-e.ctx.Done():
			return View{}, store.ErrClosed
		}
		if f.err == nil {
			return f.view, nil
		}
		pause := 10 * time.Millisecond << min(try, 5)
		pause = pause/2 + rand.N(pause/2)
		if !errors.Is(f.err, store.ErrUnavailable) || time.Until(give) < pause {
			return View{}, f.err
		}
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
			return View{}, ctx.Err()
		case <-e.ctx.Done():
			t.Stop()
			return View{}, store.ErrClosed
		}
	}
}

// ReadLeases returns what lives in a group with the ends of the leases, which
// takes reading all of it.
func (e *Engine) ReadLeases(ctx context.Context, name string) ([]*Entry, error) {
	if err := e.alive(ctx); err != nil {
		return nil, err
	}
	if e.instant != nil {
		view, err := e.readInstant(name)
		if err != nil {
			return nil, err
		}
		return view.Entries, nil
	}
	type answer struct {
		r   store.Reading
		err error
	}
	done := make(chan answer, 1)
	e.store.Read(name, store.Known{}, func(r store.Reading, err error) { done <- answer{r, err} })
	select {
	case a := <-done:
		if a.err != nil {
			return nil, a.err
		}
		var t truth
		t.full(&group{e: e, name: name}, &a.r)
		return t.sorted, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (e *Engine) readInstant(name string) (View, error) {
	r, err := e.instant.Current(name)
	if err != nil {
		return View{}, err
	}
	if content, ok := r.Memo.Known(); ok {
		return View{Content: content.(*Content), AsOf: time.Now()}, nil
	}
	content := r.Memo.Get(func() any {
		c := &Content{Entries: make([]*Entry, len(r.Records)), Revision: number(r.Rev)}
		for i, rec := range r.Records {
			c.Entries[i] = &Entry{Record: rec, Value: rec.Value}
		}
		return c
	}).(*Content)
	return View{Content: content, AsOf: time.Now()}, nil
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
		s := t.first(ctx)
		for s != nil {
			if !yield(s.view(t)) {
				return
			}
			t.took(r, s.serial)
			select {
			case <-s.changed:
			case <-ctx.Done():
				return
			case <-e.ctx.Done():
				return
			}
			if e.alive(ctx) != nil {
				return
			}
			s = t.cur.Load()
		}
	}
}

// first waits for the first state, which comes with the first answer or failure.
func (t *topic) first(ctx context.Context) *shown {
	select {
	case <-t.ready:
		return t.cur.Load()
	case <-ctx.Done():
		return nil
	case <-t.g.e.ctx.Done():
		return nil
	}
}
