package faults

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// Two hundred registries start at once, lose their connections at once, and lose
// Redis at once. Every twentieth watches.
//
// Promise 3, comes back; promise 7, no false empty; promise 8, a watch never dies
// silently, with many registries.
//
// Not in parallel, as it uses most of two cores.
func TestTwoHundredRegistriesAtOnce(t *testing.T) {
	const crowd = 200
	const beat = time.Second
	server := redistest.Start(t)
	keys := server.Client(t)
	cfg := config(t, server, 3*beat, beat)
	all := make([]*registry.RedisRegistry, crowd)
	ids := make([]string, crowd)
	errs := make([]error, crowd)
	var starting sync.WaitGroup
	start := time.Now()
	for i := range crowd {
		ids[i] = fmt.Sprintf("i%03d", i)
		starting.Go(func() {
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			defer cancel()
			errs[i] = retryStalled(t, beat, func() (err error) { all[i], err = registry.NewRedisRegistry(ctx, cfg); return err })
			if errs[i] == nil {
				errs[i] = retryStalled(t, beat, func() error { return all[i].Register(ctx, service("web", ids[i])) })
			}
		})
	}
	starting.Wait()
	figure(t, "200 registries at once: opened and registered", checkBound(t, start, 5*time.Second, "all open and register"))
	t.Cleanup(func() {
		var closing sync.WaitGroup
		for _, r := range all {
			if r != nil {
				closing.Go(func() { r.Close() })
			}
		}
		closing.Wait()
	})
	for i, err := range errs {
		if err != nil {
			t.Fatalf("registry %d: %v", i, err)
		}
	}
	want := present(t, all[0], "web")
	if len(want) != crowd {
		t.Fatalf("%d of %d show", len(want), crowd)
	}
	var watches []*watchLog
	for i := 0; i < crowd; i += 20 {
		watches = append(watches, watch(t, all[i], "web"))
	}
	for _, w := range watches {
		w.await(t, time.Now(), beat+slack, "the start", is(want))
	}

	for _, fault := range []struct {
		what string
		do   func()
	}{{"reconnecting", server.CutAll}, {"after a restart", server.Restart}} {
		began := time.Now()
		fault.do()
		at := time.Now()
		took := within(t, at, beat+slack, "all are back "+fault.what, stored(t, keys, len(ids), keyOf(cfg, "web", "z")))
		figure(t, "200 registries at once: all back "+fault.what, took)
		if err := discoversExactly(all[1], "web", want)(); err != nil {
			t.Fatalf("%s: %v", fault.what, err)
		}
		// A change now is seen by all.
		extra := "new " + fault.what
		register(t, all[2], "web", extra)
		now := present(t, all[1], "web")
		var slowest time.Duration
		for _, w := range watches {
			slowest = max(slowest, w.await(t, at, 2*(beat+slack), "a current state", is(now)))
			w.requireKept(t, began, ids...)
		}
		figure(t, "200 registries at once: watches current "+fault.what, slowest)
		want = now
		ids = append(ids, extra)
	}
}
