package core

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
	"github.com/rollcall-sd/rollcall/internal/waittest"
)

// holdingLoop is a loop that does not acknowledge a state until it is released.
type holdingLoop struct {
	mu          sync.Mutex
	current     *View
	drained     bool // a Drain has returned nil
	faults      []string
	release     chan struct{}
	releaseOnce sync.Once
	done        chan struct{}
}

func callable(v *View) bool {
	return v != nil && v.Stale == nil && slices.ContainsFunc(v.Entries, func(e *Entry) bool {
		return e.ID == "x" && !strings.Contains(string(e.Overlay), `"drain":true`)
	})
}

func (h *holdingLoop) run(ctx context.Context, e *Engine) {
	defer close(h.done)
	for v := range e.Watch(ctx, "g") {
		h.mu.Lock()
		h.current = &v
		if h.drained && callable(&v) && ctx.Err() == nil && !e.Closed() {
			h.faults = append(h.faults, "it was handed the instance after Drain had returned")
		}
		h.mu.Unlock()
		select {
		case <-h.release:
		case <-ctx.Done():
		case <-e.ctx.Done():
		}
		h.mu.Lock()
		h.current = nil // acknowledged by asking for the next
		h.mu.Unlock()
	}
}

// letGo has the loop acknowledge what it has, and all further states at once.
func (h *holdingLoop) letGo() { h.releaseOnce.Do(func() { close(h.release) }) }

// orders returns all orders of the steps.
func orders(steps []string) [][]string {
	if len(steps) <= 1 {
		return [][]string{slices.Clone(steps)}
	}
	var all [][]string
	for i := range steps {
		rest := slices.Delete(slices.Clone(steps), i, i+1)
		for _, o := range orders(rest) {
			all = append(all, append([]string{steps[i]}, o...))
		}
	}
	return all
}

// Drain returns nil only when no loop has the instance, in whatever order two processes
// act and fail. It returns once all have acknowledged or died. No watcher lease
// outlasts the watches.
func TestDrainInEveryOrder(t *testing.T) {
	gaps := []time.Duration{0, 500 * time.Microsecond, 1500 * time.Microsecond, 20 * time.Millisecond, testHeartbeat + time.Second}
	histories := 0
	for _, steps := range [][]string{
		{"watch", "drain", "acknowledge"},
		{"watch", "drain", "end watch", "close"},
		{"watch", "drain", "memory lost", "acknowledge"},
		{"watch", "drain", "memory lost", "end watch"},
		{"watch", "drain", "disconnect", "reconnect", "acknowledge"},
		{"watch", "drain", "disconnect", "reconnect", "close"},
		{"watch", "drain", "memory lost", "end watch", "watch again"},
	} {
		for _, order := range orders(steps) {
			at := func(step string) int { return slices.Index(order, step) }
			after := func(later, earlier string) bool { return at(later) < 0 || at(earlier) < 0 || at(later) > at(earlier) }
			if !after("acknowledge", "watch") || !after("end watch", "watch") || !after("close", "watch") ||
				!after("reconnect", "disconnect") || !after("watch again", "end watch") || !after("close", "end watch") {
				continue
			}
			for _, gap := range gaps {
				histories++
				synctest.Test(t, func(t *testing.T) {
					if err := playDrain(t, order, gap); err != nil {
						t.Errorf("%s, %v apart: %v", strings.Join(order, ", "), gap, err)
					}
				})
			}
		}
	}
	t.Logf("%d histories", histories)
}

// drainHistory is a drain by one process while another watches.
type drainHistory struct {
	t        *testing.T
	backend  *leasingFake
	drainer  *Engine
	watcher  *Engine
	watching *watchingProcess // the watcher's
	drained  chan error

	mu    sync.Mutex // of the slices
	loops []*holdingLoop
	stops []context.CancelFunc
}

// playDrain plays one order of steps. It returns the promises that were broken.
func playDrain(t *testing.T, order []string, gap time.Duration) error {
	h := &drainHistory{t: t, drained: make(chan error, 1),
		backend: &leasingFake{fake: &fake{latency: time.Millisecond}, leases: map[string]leaseEntry{}}}
	drainProcess := &watchingProcess{fakeStore: h.backend.open("drainer"), backend: h.backend}
	h.watching = &watchingProcess{fakeStore: h.backend.open("watcher"), backend: h.backend}
	h.drainer, h.watcher = startOn(t, drainProcess), startOn(t, h.watching)
	register(t, h.drainer, "g", "x", "x")
	register(t, h.drainer, "g", "y", "y")
	for _, step := range order {
		h.play(step)
		time.Sleep(gap)
	}
	time.Sleep(2 * time.Second) // while the loops do not acknowledge
	var broken []error
	if !slices.Contains(order, "disconnect") && !slices.Contains(order, "watch again") &&
		(h.watcher.Closed() || slices.Contains(order, "end watch")) && h.backend.leased("watcher") {
		broken = append(broken, errors.New("a watcher lease outlasts the watches"))
	}
	return errors.Join(append(broken, h.finish()...)...)
}

func (h *drainHistory) play(step string) {
	switch step {
	case "watch", "watch again":
		ctx, cancel := context.WithCancel(h.t.Context())
		loop := &holdingLoop{release: make(chan struct{}), done: make(chan struct{})}
		h.mu.Lock()
		h.loops, h.stops = append(h.loops, loop), append(h.stops, cancel)
		h.mu.Unlock()
		go loop.run(ctx, h.watcher)
	case "acknowledge":
		h.loops[0].letGo()
	case "end watch":
		h.stops[0]()
		waittest.Receive(h.t, h.loops[0].done, "the loop to end")
	case "close":
		_ = h.watcher.Close()
	case "memory lost":
		h.backend.loseMemory()
	case "disconnect", "reconnect":
		h.backend.set(func() { h.watching.disconnected = step == "disconnect" })
	case "drain":
		go h.drain()
	default:
		h.t.Fatalf("unknown step %q", step)
	}
}

func (h *drainHistory) drain() {
	ctx, cancel := context.WithTimeout(h.t.Context(), 10*testTTL)
	defer cancel()
	_, err := h.drainer.PatchAndWait(ctx, store.OverlayPatch{ID: "x", Set: map[string]string{"drain": "true"}})
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, loop := range h.loops {
		loop.mu.Lock()
		loop.drained = err == nil
		if err == nil && callable(loop.current) && !h.watching.isDisconnected() && !h.watcher.Closed() {
			loop.faults = append(loop.faults, "Drain returned while it had the instance")
		}
		loop.mu.Unlock()
	}
	h.drained <- err
}

// finish lets the loops acknowledge, and waits for the drain and the watches to end.
func (h *drainHistory) finish() (broken []error) {
	for _, loop := range h.loops {
		loop.letGo()
	}
	time.Sleep(3 * testTTL)
	synctest.Wait()
	select {
	case err := <-h.drained:
		if err != nil {
			broken = append(broken, fmt.Errorf("Drain returned %w", err))
		}
	default:
		broken = append(broken, errors.New("Drain has not returned"))
	}
	for i, stop := range h.stops {
		stop()
		waittest.Receive(h.t, h.loops[i].done, "the loop to end")
		for _, fault := range h.loops[i].faults {
			broken = append(broken, errors.New(fault))
		}
	}
	time.Sleep(2 * time.Second)
	if h.backend.leased("watcher") {
		broken = append(broken, errors.New("a watcher lease outlasts the last watch"))
	}
	return broken
}

// A drain whose context ends during a question says what the last answer was.
func TestADrainThatEndsDuringAQuestionSaysWhoLags(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backend := &leasingFake{fake: &fake{latency: time.Millisecond}, leases: map[string]leaseEntry{}}
		drainer := startOn(t, &watchingProcess{fakeStore: backend.open("drainer"), backend: backend})
		watcher := startOn(t, &watchingProcess{fakeStore: backend.open("watcher"), backend: backend})
		register(t, drainer, "g", "x", "x")
		loop := &holdingLoop{release: make(chan struct{}), done: make(chan struct{})}
		watching, stop := context.WithCancel(t.Context())
		go loop.run(watching, watcher)
		time.Sleep(time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		time.AfterFunc(500*time.Millisecond, func() { backend.set(func() { backend.latency = time.Minute }) })
		_, err := drainer.PatchAndWait(ctx, store.OverlayPatch{ID: "x", Set: map[string]string{"drain": "true"}})
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "1 watching process has") {
			t.Errorf("the drain returned %v", err)
		}
		backend.set(func() { backend.latency = time.Millisecond })
		loop.letGo()
		stop()
		waittest.Receive(t, loop.done, "the loop to end")
	})
}
