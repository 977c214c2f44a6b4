package registry_test

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/waittest"
	"github.com/rollcall-sd/rollcall/registry"
	"github.com/rollcall-sd/rollcall/registry/registrytest"
)

// events records the kinds of events that an Observer has reported.
type events struct {
	mu   sync.Mutex
	seen map[string]bool
	more chan struct{} // closed and replaced at each new kind
}

func newEvents() *events { return &events{seen: make(map[string]bool), more: make(chan struct{})} }

func (e *events) add(kind string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.seen[kind] {
		e.seen[kind] = true
		close(e.more)
		e.more = make(chan struct{})
	}
}

// await waits until each kind was reported at least once.
func (e *events) await(t *testing.T, kinds ...string) {
	t.Helper()
	deadline := time.After(waittest.Limit)
	for _, kind := range kinds {
		for {
			e.mu.Lock()
			seen, more := e.seen[kind], e.more
			e.mu.Unlock()
			if seen {
				break
			}
			select {
			case <-more:
			case <-deadline:
				e.mu.Lock()
				defer e.mu.Unlock()
				t.Fatalf("the observer reported no %q within %s, only %v", kind, waittest.Limit, e.seen)
			}
		}
	}
}

func (e *events) observer() *registry.Observer {
	return &registry.Observer{
		Heartbeat: func(n int, took time.Duration, err error) {
			if err != nil {
				e.add("heartbeat failed")
			} else if n > 0 && took > 0 {
				e.add("heartbeat")
			}
		},
		HeartbeatLate: func(time.Duration) { e.add("heartbeat late") },
		Missing:       func(_, id string) { e.add("missing " + id) },
		Reregistered:  func(_, id string) { e.add("reregistered " + id) },
		Superseded:    func(_, id string) { e.add("superseded " + id) },
		Deregistered:  func(_, id string) { e.add("deregistered " + id) },
		Resync:        func(_ string, reason registry.ResyncReason) { e.add("resync " + string(reason)) },
		Read:          func(_ string, kind registry.ReadKind, _ time.Duration, _ error) { e.add("read " + string(kind)) },
		SnapshotAge:   func(string, time.Duration) { e.add("snapshot age") },
	}
}

// observed opens a registry on a server and returns the events of its observer.
func observed(t *testing.T, server *redistest.Server) (*registry.RedisRegistry, *events) {
	t.Helper()
	e := newEvents()
	r, err := registry.NewRedisRegistry(t.Context(), registry.RedisRegistryConfig{
		RedisAddr: server.Addr(), TTL: 2 * time.Second, HeartbeatInterval: 200 * time.Millisecond,
		Logger: slog.New(slog.DiscardHandler), Observer: e.observer(),
	})
	must(t, err)
	t.Cleanup(func() { r.Close() })
	return r, e
}

func TestObserverReportsHeartbeats(t *testing.T) {
	server := redistest.Start(t)
	r, e := observed(t, server)
	must(t, r.Register(t.Context(), instance("api", "a")))
	e.await(t, "heartbeat")
	server.Freeze()
	e.await(t, "heartbeat failed")
	server.Thaw()
	e.await(t, "heartbeat late")
}

func TestObserverReportsTheReadsOfAWatch(t *testing.T) {
	server := redistest.Start(t)
	r, e := observed(t, server)
	must(t, r.Register(t.Context(), instance("api", "a")))
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range r.Watch(ctx, "api") {
		}
	}()
	e.await(t, "resync "+string(registry.ResyncStart), "read "+string(registry.ReadFull), "read "+string(registry.ReadUnchanged), "snapshot age")
	server.CutSubscriptions()
	e.await(t, "resync "+string(registry.ResyncConnected))
	stop()
	waittest.Receive(t, ended, "the watch to end")
}

func TestObserverReportsMissingRegistrations(t *testing.T) {
	server := redistest.Start(t)
	r, e := observed(t, server)
	must(t, r.Register(t.Context(), instance("api", "a")))
	must(t, r.Register(t.Context(), instance("api", "b")))
	must(t, server.Client(t).FlushAll(t.Context()).Err())
	e.await(t, "missing a", "missing b", "reregistered a", "reregistered b")
}

func TestObserverReportsLostRegistrations(t *testing.T) {
	server := redistest.Start(t)
	r, e := observed(t, server)
	other, _ := observed(t, server)
	must(t, r.Register(t.Context(), instance("api", "a")))
	must(t, r.Register(t.Context(), instance("api", "b")))
	newer := instance("api", "a")
	newer.Port = 81
	must(t, other.Register(t.Context(), newer))
	must(t, other.Deregister(t.Context(), "b"))
	e.await(t, "superseded a", "deregistered b")
}

func TestLocalRegistryUsesItsObserverAndLogger(t *testing.T) {
	e := newEvents()
	var log bytes.Buffer
	r := registry.NewLocalRegistryWith(registry.WithObserver(e.observer()), registry.WithLogger(slog.New(slog.NewTextHandler(&log, nil))))
	defer r.Close()
	must(t, r.Register(t.Context(), instance("api", "a")))
	if !registrytest.NewFlaky(r).Supersede("a") {
		t.Fatal("there is no registration to supersede")
	}
	e.await(t, "superseded a")
	if !strings.Contains(log.String(), "instance was superseded") {
		t.Errorf("the log is %q, without the supersession", log.String())
	}
}
