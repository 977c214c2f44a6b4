package core

import (
	"context"
	"iter"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
	"github.com/rollcall-sd/rollcall/internal/waittest"
)

const (
	testTTL       = 10 * time.Second
	testHeartbeat = 3 * time.Second
)

// bubble runs a test in a synctest bubble: time passes while all goroutines wait, and
// a goroutine that outlives the engines fails the test.
func bubble(t *testing.T, test func(t *testing.T, f *fake)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, &fake{}) })
}

// start returns an engine on the fake. It is closed at the end of the test.
func start(t *testing.T, f *fake, owner string) *Engine {
	t.Helper()
	return startOn(t, f.open(owner))
}

// startOn returns an engine on any store.
func startOn(t *testing.T, s store.Store) *Engine {
	t.Helper()
	e := New(Config{
		Store: s, TTL: testTTL, HeartbeatInterval: testHeartbeat, Logger: slog.New(slog.DiscardHandler),
		Decode: func(_ string, r *store.Record) (any, error) { return string(r.Payload), nil },
	})
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return e
}

// register registers an instance and returns its registration time, 0 if it is lost already.
func register(t *testing.T, e *Engine, service, id, payload string) int64 {
	t.Helper()
	if err := e.Register(t.Context(), RegisterRequest{Service: service, ID: id, Payload: []byte(payload)}); err != nil {
		t.Fatalf("Register %s: %v", id, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if own := e.owned[id]; own != nil {
		return own.registeredAt
	}
	return 0
}

func read(t *testing.T, e *Engine, service string) View {
	t.Helper()
	v, err := e.Read(t.Context(), service)
	if err != nil {
		t.Fatalf("Read %s: %v", service, err)
	}
	return v
}

func idsOf(v View) []string {
	out := []string{}
	for _, e := range v.Entries {
		out = append(out, e.ID)
	}
	slices.Sort(out)
	return out
}

// observation is one state that a watch yielded.
type observation struct {
	after time.Duration // since the watch began
	ids   []string
	stale error
}

// recordedWatch is a watch that records what it yields.
type recordedWatch struct {
	t     *testing.T
	began time.Time
	*waittest.Recording[View]
}

// watch starts a recorded watch, which ends with the test.
func watch(t *testing.T, e *Engine, service string) *recordedWatch {
	t.Helper()
	w := &recordedWatch{t: t, began: time.Now()}
	w.Recording = waittest.Record(t, func(ctx context.Context) iter.Seq[View] { return e.Watch(ctx, service) })
	synctest.Wait()
	return w
}

// elapsed is the time since the watch began.
func (w *recordedWatch) elapsed() time.Duration { return time.Since(w.began) }

// observations returns all that was yielded, once all goroutines wait.
func (w *recordedWatch) observations() []observation {
	synctest.Wait()
	all := w.All()
	out := make([]observation, len(all))
	for i, o := range all {
		out[i] = observation{o.At.Sub(w.began), idsOf(o.State), o.State.Stale}
	}
	return out
}

func (w *recordedWatch) latest() observation {
	w.t.Helper()
	all := w.observations()
	if len(all) == 0 {
		w.t.Fatal("the watch has yielded nothing")
	}
	return all[len(all)-1]
}

func (w *recordedWatch) count() int { return len(w.observations()) }

// want checks the last observation.
func (w *recordedWatch) want(stale bool, ids ...string) {
	w.t.Helper()
	if got := w.latest(); !slices.Equal(got.ids, append([]string{}, ids...)) || (got.stale != nil) != stale {
		w.t.Errorf("after %v the watch shows %v, stale: %v; want %v, stale: %v", w.elapsed(), got.ids, got.stale, ids, stale)
	}
}

// first returns the time of the first observation of a kind at or after from, -1 if
// there is none.
func (w *recordedWatch) first(from time.Duration, is func(observation) bool) time.Duration {
	for _, o := range w.observations() {
		if o.after >= from && is(o) {
			return o.after
		}
	}
	return -1
}

func lacks(id string) func(observation) bool {
	return func(s observation) bool { return !slices.Contains(s.ids, id) }
}

func isStale(s observation) bool { return s.stale != nil }
func isFresh(s observation) bool { return s.stale == nil }

// advance lets time pass, and waits until all that happens in it is done.
func advance(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// waitOrDone waits until c is closed or ctx ends.
func waitOrDone(ctx context.Context, c <-chan struct{}) {
	select {
	case <-c:
	case <-ctx.Done():
	}
}
