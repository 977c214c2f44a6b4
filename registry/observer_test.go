package registry_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// events counts what an Observer was told, and tells who waits.
type events struct {
	mu     sync.Mutex
	counts map[string]int
	more   chan struct{}
}

func (e *events) note(what string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.counts[what]++
	close(e.more)
	e.more = make(chan struct{})
}

// await waits until each of the events was seen at least once.
func (e *events) await(t *testing.T, what ...string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		e.mu.Lock()
		more, missing := e.more, ""
		for _, w := range what {
			if e.counts[w] == 0 {
				missing = w
			}
		}
		e.mu.Unlock()
		if missing == "" {
			return
		}
		select {
		case <-more:
		case <-deadline:
			t.Fatalf("the observer was never told of %q; it was of %v", missing, e.counts)
		}
	}
}

func TestObserverIsTold(t *testing.T) {
	server := redistest.Start(t)
	seen := &events{counts: make(map[string]int), more: make(chan struct{})}
	r, err := registry.NewRedisRegistry(t.Context(), registry.RedisRegistryConfig{
		RedisAddr: server.Addr(), TTL: 2 * time.Second, HeartbeatInterval: 200 * time.Millisecond,
		Logger: slog.New(slog.DiscardHandler),
		Observer: &registry.Observer{
			Heartbeat: func(n int, took time.Duration, err error) {
				if err != nil {
					seen.note("heartbeat failed")
				} else if n > 0 && took > 0 {
					seen.note("heartbeat")
				}
			},
			HeartbeatLate: func(time.Duration) { seen.note("late") },
			Missing:       func(_, _ string) { seen.note("missing") },
			Reregistered:  func(_, _ string) { seen.note("reregistered") },
			Superseded:    func(_, _ string) { seen.note("superseded") },
			Deregistered:  func(_, _ string) { seen.note("deregistered") },
			Resync:        func(_ string, reason registry.ResyncReason) { seen.note("resync " + string(reason)) },
			Read:          func(_ string, kind registry.ReadKind, _ time.Duration, _ error) { seen.note("read " + string(kind)) },
			SnapshotAge:   func(string, time.Duration) { seen.note("age") },
			BadRecord:     func(_, _ string) { seen.note("bad") },
		},
	})
	must(t, err)
	defer r.Close()
	other, err := registry.Open(t.Context(), server.URL()+"?ttl=2s&heartbeat=200ms")
	must(t, err)
	defer other.Close()

	watching, stop := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for range r.Watch(watching, "api") {
		}
	}()
	defer func() { stop(); <-ended }()

	for _, id := range []string{"a", "b", "c"} {
		must(t, r.Register(t.Context(), instance("api", id)))
	}
	seen.await(t, "heartbeat", "resync start", "read full", "read unchanged", "age")
	must(t, server.Client(t).FlushAll(t.Context()).Err())
	seen.await(t, "missing", "reregistered")
	must(t, other.Register(t.Context(), registry.ServiceInfo{ID: "a", Name: "api", Address: "10.0.0.2", Port: 80}))
	must(t, other.Deregister(t.Context(), "b"))
	seen.await(t, "superseded", "deregistered")
	server.CutSubscriptions()
	seen.await(t, "resync connected")
	must(t, server.Client(t).HSet(t.Context(), "rollcall:default:{api}:h", "+bad", "garbage", "rev", "1.other:1").Err())
	seen.await(t, "bad")
	server.Freeze()
	seen.await(t, "heartbeat failed")
	server.Thaw()
	seen.await(t, "late")
}
