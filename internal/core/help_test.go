package core

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

const (
	testTTL  = 10 * time.Second
	testBeat = 3 * time.Second
)

// bubble runs a test in a synctest bubble: time passes when all wait, and a
// goroutine that outlives the engines fails it.
func bubble(t *testing.T, test func(t *testing.T, f *fake)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, &fake{}) })
}

// start returns an engine on the fake, closed at the end of the test.
func start(t *testing.T, f *fake, owner string) *Engine {
	t.Helper()
	return startOn(t, f.open(owner), owner)
}

// startOn returns an engine on any store.
func startOn(t *testing.T, s store.Store, owner string) *Engine {
	t.Helper()
	e := New(Config{
		Store: s, TTL: testTTL, HeartbeatInterval: testBeat, Logger: slog.New(slog.DiscardHandler),
		Decode: func(_ string, r *store.Record) (any, error) { return string(r.Payload), nil },
	})
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return e
}

func register(t *testing.T, e *Engine, group, id, payload string) int64 {
	t.Helper()
	if err := e.Register(t.Context(), RegisterRequest{Service: group, ID: id, Payload: []byte(payload)}); err != nil {
		t.Fatalf("Register %s: %v", id, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if own := e.owned[id]; own != nil {
		return own.registeredAt
	}
	return 0
}

func read(t *testing.T, e *Engine, group string) View {
	t.Helper()
	v, err := e.Read(t.Context(), group)
	if err != nil {
		t.Fatalf("Read %s: %v", group, err)
	}
	return v
}

func names(v View) []string {
	out := []string{}
	for _, e := range v.Entries {
		out = append(out, e.ID)
	}
	slices.Sort(out)
	return out
}

// seen is one state that a watcher was handed.
type seen struct {
	after time.Duration // since the watch began
	ids   []string
	stale error
}

// watching is a watcher that notes all that it is handed.
type watching struct {
	t     *testing.T
	began time.Time
	stop  context.CancelFunc

	mu    sync.Mutex
	all   []seen
	ended bool
}

func watch(t *testing.T, e *Engine, group string) *watching {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	w := &watching{t: t, began: time.Now(), stop: cancel}
	t.Cleanup(cancel)
	go func() {
		for v := range e.Watch(ctx, group) {
			w.mu.Lock()
			w.all = append(w.all, seen{time.Since(w.began), names(v), v.Stale})
			w.mu.Unlock()
		}
		w.mu.Lock()
		w.ended = true
		w.mu.Unlock()
	}()
	synctest.Wait()
	return w
}

// elapsed is the time since the watch began.
func (w *watching) elapsed() time.Duration { return time.Since(w.began) }

func (w *watching) latest() seen {
	w.t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.all) == 0 {
		w.t.Fatal("the watch has yielded nothing")
	}
	return w.all[len(w.all)-1]
}

func (w *watching) count() int {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.all)
}

// want checks the latest state.
func (w *watching) want(stale bool, ids ...string) {
	w.t.Helper()
	if got := w.latest(); !slices.Equal(got.ids, append([]string{}, ids...)) || (got.stale != nil) != stale {
		w.t.Errorf("after %v the watch shows %v, stale: %v; want %v, stale: %v", w.elapsed(), got.ids, got.stale, ids, stale)
	}
}

// first returns when a state of that kind was first seen at or after from, or -1.
func (w *watching) first(from time.Duration, is func(seen) bool) time.Duration {
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.all {
		if s.after >= from && is(s) {
			return s.after
		}
	}
	return -1
}

func lacks(id string) func(seen) bool {
	return func(s seen) bool { return !slices.Contains(s.ids, id) }
}

func isStale(s seen) bool { return s.stale != nil }
func isFresh(s seen) bool { return s.stale == nil }

// pass lets time pass and waits for what happens in it.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
