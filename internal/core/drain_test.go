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

// leasingFake is a fake that keeps watcher leases, for processes that can be
// disconnected one by one.
type leasingFake struct {
	*fake
	leases map[string]leaseEntry // by owner; the fake's lock guards it
	memory int                   // how often it was lost
	lostAt int64                 // when it was lost last
}

type leaseEntry struct {
	ends int64
	rev  uint64
}

// leased reports whether a process has a watcher lease.
func (w *leasingFake) leased(owner string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	l, ok := w.leases[owner]
	return ok && l.ends >= w.now()
}

// watchingProcess is a leasingFake as one process reaches it.
type watchingProcess struct {
	*fakeStore
	backend      *leasingFake
	disconnected bool // the fake's lock guards it
}

func (p *watchingProcess) isDisconnected() bool {
	p.backend.mu.Lock()
	defer p.backend.mu.Unlock()
	return p.disconnected
}

func (p *watchingProcess) RenewWatcherLeases(ctx context.Context, all []store.WatcherLease) []store.WatcherLeaseResult {
	results := make([]store.WatcherLeaseResult, len(all))
	err := p.request(ctx)
	p.backend.mu.Lock()
	defer p.backend.mu.Unlock()
	for i, a := range all {
		if p.disconnected {
			err = errFake
		}
		if results[i].Err = err; err != nil {
			continue
		}
		was, ok := p.backend.leases[p.owner]
		results[i].Continued = ok && was.ends >= p.backend.now()
		if a.TTL == 0 {
			delete(p.backend.leases, p.owner)
			continue
		}
		rev, _ := strconv.ParseUint(a.Acknowledged, 10, 64)
		p.backend.leases[p.owner] = leaseEntry{p.backend.now() + a.TTL.Microseconds(), rev}
	}
	return results
}

func (p *watchingProcess) LaggingWatchers(ctx context.Context, service, id, rev string) (store.Watchers, error) {
	if err := p.request(ctx); err != nil {
		return store.Watchers{}, err
	}
	p.backend.mu.Lock()
	defer p.backend.mu.Unlock()
	s, now := p.backend.service(service), p.backend.now()
	at, _ := strconv.ParseUint(rev, 10, 64)
	is, _ := strconv.ParseUint(s.rev, 10, 64)
	w := store.Watchers{RemembersRev: is >= at, MemoryID: strconv.Itoa(p.backend.memory), MemoryLostAgo: -1}
	for _, l := range p.backend.leases {
		if l.ends >= now && l.rev < at {
			w.Lagging++
			w.LongestLease = max(w.LongestLease, time.Duration(l.ends-now)*time.Microsecond)
		}
	}
	if p.backend.memory > 0 {
		w.MemoryLostAgo = time.Duration(now-p.backend.lostAt) * time.Microsecond
	}
	return w, nil
}

func (p *watchingProcess) Read(service string, known store.KnownState, done func(store.Reading, error)) {
	p.fakeStore.Read(service, known, func(r store.Reading, err error) {
		if p.isDisconnected() {
			r, err = store.Reading{}, errFake
		}
		done(r, err)
	})
}

func (p *watchingProcess) Watch(service string, notify func(store.Notice)) (stop func()) {
	// Pushes are called with the fake's lock held.
	return p.fakeStore.Watch(service, func(n store.Notice) {
		if !p.disconnected {
			notify(n)
		}
	})
}

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

func playDrain(t *testing.T, order []string, gap time.Duration) error {
	w := &leasingFake{fake: &fake{latency: time.Millisecond}, leases: map[string]leaseEntry{}}
	open := func(owner string) (*Engine, *watchingProcess) {
		p := &watchingProcess{fakeStore: w.open(owner), backend: w}
		e := New(Config{Store: p, TTL: testTTL, HeartbeatInterval: testHeartbeat, Logger: slog.New(slog.DiscardHandler),
			Decode: func(_ string, r *store.Record) (any, error) { return string(r.Payload), nil }})
		return e, p
	}
	drainer, _ := open("drainer")
	watcher, watching := open("watcher")
	defer drainer.Close()
	defer watcher.Close()
	register(t, drainer, "g", "x", "x")
	register(t, drainer, "g", "y", "y")

	var mu sync.Mutex // of holders
	var holders []*holdingLoop
	var stops []context.CancelFunc
	drained := make(chan error, 1)
	step := map[string]func(){
		"watch": func() {
			ctx, cancel := context.WithCancel(t.Context())
			h := &holdingLoop{release: make(chan struct{}), done: make(chan struct{})}
			mu.Lock()
			holders, stops = append(holders, h), append(stops, cancel)
			mu.Unlock()
			go h.run(ctx, watcher)
		},
		"acknowledge": func() { holders[0].releaseOnce.Do(func() { close(holders[0].release) }) },
		"end watch":   func() { stops[0](); await(t, holders[0].done, "the loop to end") },
		"close":       func() { _ = watcher.Close() },
		"memory lost": func() {
			w.set(func() {
				w.model.loseAll()
				w.leases, w.memory, w.lostAt = map[string]leaseEntry{}, w.memory+1, w.now()
			})
		},
		"disconnect": func() { w.set(func() { watching.disconnected = true }) },
		"reconnect":  func() { w.set(func() { watching.disconnected = false }) },
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
				if err == nil && callable(h.current) && !watching.isDisconnected() && !watcher.Closed() {
					h.faults = append(h.faults, "Drain returned while it had the instance")
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
	time.Sleep(2 * time.Second) // while the loops do not acknowledge
	var faults []error
	if !slices.Contains(order, "disconnect") && !slices.Contains(order, "watch again") &&
		(watcher.Closed() || slices.Contains(order, "end watch")) && w.leased("watcher") {
		faults = append(faults, errors.New("a watcher lease outlasts the watches"))
	}
	for i, h := range holders {
		h.releaseOnce.Do(func() { close(h.release) })
		defer func() { stops[i](); await(t, h.done, "the loop to end") }()
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
		await(t, holders[i].done, "the loop to end")
		for _, f := range holders[i].faults {
			faults = append(faults, errors.New(f))
		}
	}
	time.Sleep(2 * time.Second)
	if w.leased("watcher") {
		faults = append(faults, errors.New("a watcher lease outlasts the last watch"))
	}
	return errors.Join(faults...)
}
