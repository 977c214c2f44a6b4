package core

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/internal/store"
)

// watchedFake is a fake that keeps watcher leases and overlays, for processes
// whose lines can be cut one by one.
type watchedFake struct {
	*fake
	leases map[string]watcherEntry // by owner; guarded by the fake's lock
	memory int                     // lost so often
	lostAt int64                   // when it was last
}

type watcherEntry struct {
	ends int64
	rev  uint64
}

// leased reports whether a process has a watcher lease.
func (w *watchedFake) leased(owner string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	l, ok := w.leases[owner]
	return ok && l.ends >= w.now()
}

// process is a watchedFake as one process reaches it.
type process struct {
	*fakeStore
	w   *watchedFake
	cut bool // guarded by the fake's lock
}

func (p *process) isCut() bool {
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	return p.cut
}

func (p *process) RenewWatcherLeases(ctx context.Context, all []store.WatcherLease) []store.WatcherLeaseResult {
	results := make([]store.WatcherLeaseResult, len(all))
	err := p.request(ctx)
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	for i, a := range all {
		if p.cut {
			err = errFake
		}
		if results[i].Err = err; err != nil {
			continue
		}
		was, ok := p.w.leases[p.owner]
		results[i].Continued = ok && was.ends >= p.w.now()
		if a.TTL == 0 {
			delete(p.w.leases, p.owner)
			continue
		}
		rev, _ := strconv.ParseUint(a.Acknowledged, 10, 64)
		p.w.leases[p.owner] = watcherEntry{p.w.now() + a.TTL.Microseconds(), rev}
	}
	return results
}

func (p *process) LaggingWatchers(ctx context.Context, group, id, rev string) (store.Watchers, error) {
	if err := p.request(ctx); err != nil {
		return store.Watchers{}, err
	}
	p.w.mu.Lock()
	defer p.w.mu.Unlock()
	g, now := p.w.service(group), p.w.now()
	at, _ := strconv.ParseUint(rev, 10, 64)
	is, _ := strconv.ParseUint(g.rev, 10, 64)
	w := store.Watchers{RemembersRev: is >= at, MemoryID: strconv.Itoa(p.w.memory), MemoryLostAgo: -1}
	for _, l := range p.w.leases {
		if l.ends >= now && l.rev < at {
			w.Lagging++
			w.LongestLease = max(w.LongestLease, time.Duration(l.ends-now)*time.Microsecond)
		}
	}
	if p.w.memory > 0 {
		w.MemoryLostAgo = time.Duration(now-p.w.lostAt) * time.Microsecond
	}
	return w, nil
}

func (p *process) Read(group string, known store.KnownState, done func(store.Reading, error)) {
	p.fakeStore.Read(group, known, func(r store.Reading, err error) {
		if p.isCut() {
			r, err = store.Reading{}, errFake
		}
		done(r, err)
	})
}

func (p *process) Watch(group string, notify func(store.Notice)) (stop func()) {
	// Pushes are called with the fake's lock held.
	return p.fakeStore.Watch(group, func(n store.Notice) {
		if !p.cut {
			notify(n)
		}
	})
}

// holder is a loop that keeps each state until it is released.
type holder struct {
	mu      sync.Mutex
	current *View
	drained bool // a Drain has returned nil
	fault   []string
	let     chan struct{}
	letOnce sync.Once
	done    chan struct{}
}

func callable(v *View) bool {
	return v != nil && v.Stale == nil && slices.ContainsFunc(v.Entries, func(e *Entry) bool {
		return e.ID == "x" && !strings.Contains(string(e.Overlay), `"drain":true`)
	})
}

func (h *holder) run(ctx context.Context, e *Engine) {
	defer close(h.done)
	for v := range e.Watch(ctx, "g") {
		h.mu.Lock()
		h.current = &v
		if h.drained && callable(&v) && ctx.Err() == nil && !e.Closed() {
			h.fault = append(h.fault, "it was handed the instance after Drain had returned")
		}
		h.mu.Unlock()
		select {
		case <-h.let:
		case <-ctx.Done():
		case <-e.ctx.Done():
		}
		h.mu.Lock()
		h.current = nil // acknowledged by asking for the next
		h.mu.Unlock()
	}
}

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

// Drain returns nil only when no loop holds the instance, whatever the order of
// what two processes do and suffer; it ends once all have acknowledged or died;
// and no watcher lease outlasts the watches.
func TestDrainInEveryOrder(t *testing.T) {
	gaps := []time.Duration{0, 500 * time.Microsecond, 1500 * time.Microsecond, 20 * time.Millisecond, testBeat + time.Second}
	played := 0
	for _, steps := range [][]string{
		{"watch", "drain", "acknowledge"},
		{"watch", "drain", "end watch", "close"},
		{"watch", "drain", "memory lost", "acknowledge"},
		{"watch", "drain", "memory lost", "end watch"},
		{"watch", "drain", "cut", "mend", "acknowledge"},
		{"watch", "drain", "cut", "mend", "close"},
		{"watch", "drain", "memory lost", "end watch", "watch again"},
	} {
		for _, order := range orders(steps) {
			at := func(step string) int { return slices.Index(order, step) }
			after := func(later, earlier string) bool { return at(later) < 0 || at(earlier) < 0 || at(later) > at(earlier) }
			if !after("acknowledge", "watch") || !after("end watch", "watch") || !after("close", "watch") ||
				!after("mend", "cut") || !after("watch again", "end watch") || !after("close", "end watch") {
				continue
			}
			for _, gap := range gaps {
				played++
				synctest.Test(t, func(t *testing.T) {
					if err := playDrain(t, order, gap); err != nil {
						t.Errorf("%s, %v apart: %v", strings.Join(order, ", "), gap, err)
					}
				})
			}
		}
	}
	t.Logf("played %d histories", played)
}

func playDrain(t *testing.T, order []string, gap time.Duration) error {
	w := &watchedFake{fake: &fake{latency: time.Millisecond}, leases: map[string]watcherEntry{}}
	open := func(owner string) (*Engine, *process) {
		p := &process{fakeStore: w.open(owner), w: w}
		e := New(Config{Store: p, TTL: testTTL, HeartbeatInterval: testBeat, Logger: slog.New(slog.DiscardHandler),
			Decode: func(_ string, r *store.Record) (any, error) { return string(r.Payload), nil }})
		return e, p
	}
	drainer, _ := open("drainer")
	watcher, line := open("watcher")
	defer drainer.Close()
	defer watcher.Close()
	register(t, drainer, "g", "x", "x")
	register(t, drainer, "g", "y", "y")

	var mu sync.Mutex // of holders
	var holders []*holder
	var stops []context.CancelFunc
	drained := make(chan error, 1)
	step := map[string]func(){
		"watch": func() {
			ctx, cancel := context.WithCancel(t.Context())
			h := &holder{let: make(chan struct{}), done: make(chan struct{})}
			mu.Lock()
			holders, stops = append(holders, h), append(stops, cancel)
			mu.Unlock()
			go h.run(ctx, watcher)
		},
		"acknowledge": func() { holders[0].letOnce.Do(func() { close(holders[0].let) }) },
		"end watch":   func() { stops[0](); <-holders[0].done },
		"close":       func() { _ = watcher.Close() },
		"memory lost": func() {
			w.set(func() {
				w.model.loseAll()
				w.leases, w.memory, w.lostAt = map[string]watcherEntry{}, w.memory+1, w.now()
			})
		},
		"cut":  func() { w.set(func() { line.cut = true }) },
		"mend": func() { w.set(func() { line.cut = false }) },
	}
	step["watch again"] = step["watch"]
	step["drain"] = func() {
		go func() {
			ctx, cancel := context.WithTimeout(t.Context(), 10*testTTL)
			defer cancel()
			_, err := drainer.PatchAndWait(ctx, "x", map[string]string{"drain": "true"})
			mu.Lock()
			defer mu.Unlock()
			for _, h := range holders {
				h.mu.Lock()
				h.drained = err == nil
				if err == nil && callable(h.current) && !line.isCut() && !watcher.Closed() {
					h.fault = append(h.fault, "Drain returned while it held the instance")
				}
				h.mu.Unlock()
			}
			drained <- err
		}()
	}
	for _, s := range order {
		step[s]()
		time.Sleep(gap)
	}
	time.Sleep(2 * time.Second) // and what holds on holds on
	var faults []error
	if !slices.Contains(order, "cut") && !slices.Contains(order, "watch again") &&
		(watcher.Closed() || slices.Contains(order, "end watch")) && w.leased("watcher") {
		faults = append(faults, errors.New("a watcher lease outlasts the watches"))
	}
	for i, h := range holders {
		h.letOnce.Do(func() { close(h.let) })
		defer func() { stops[i](); <-h.done }()
	}
	time.Sleep(3 * testTTL)
	synctest.Wait()
	select {
	case err := <-drained:
		if err != nil {
			faults = append(faults, fmt.Errorf("Drain returned %w", err))
		}
	default:
		faults = append(faults, errors.New("Drain has not returned"))
	}
	for i, stop := range stops {
		stop()
		<-holders[i].done
		for _, f := range holders[i].fault {
			faults = append(faults, errors.New(f))
		}
	}
	time.Sleep(2 * time.Second)
	if w.leased("watcher") {
		faults = append(faults, errors.New("a watcher lease outlasts the last watch"))
	}
	return errors.Join(faults...)
}
