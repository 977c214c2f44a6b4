package faults

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// Redis restarts empty under a process with ten thousand instances.
//
// Promise 3, comes back: all of them, with no limit. Promise 7, no false empty.
//
// Not in parallel, as it uses most of two cores.
func TestTenThousandInstancesThroughRestart(t *testing.T) {
	const services, each = 100, 100
	const beat = time.Second
	server := redistest.Start(t)
	cfg := config(t, server, 3*beat, beat)
	owner, reader := open(t, cfg), open(t, cfg)
	name := func(s int) string { return fmt.Sprintf("service-%d", s) }
	var work sync.WaitGroup
	errs := make(chan error, services*each)
	for s := range services {
		work.Go(func() {
			for i := range each {
				if err := owner.Register(t.Context(), service(name(s), fmt.Sprintf("%d-%d", s, i))); err != nil {
					errs <- err
				}
			}
		})
	}
	work.Wait()
	close(errs)
	for err := range errs {
		t.Fatal(err)
	}
	want := make([][]registry.ServiceInfo, services)
	for s := range services {
		if want[s] = present(t, reader, name(s)); len(want[s]) != each {
			t.Fatalf("%q has %d instances", name(s), len(want[s]))
		}
	}
	watched := watch(t, reader, name(7))
	watched.await(t, time.Now(), backBy, "the start", is(want[7]))

	began := time.Now()
	keys := server.Client(t)
	var sets []string
	for s := range services {
		sets = append(sets, keyOf(cfg, name(s), "z"))
	}
	server.Restart()
	at := time.Now()
	took := within(t, at, beat+slack, "all are back in Redis", stored(t, keys, each, sets...))
	figure(t, "promise 3: 10,000 instances back after a restart", took)
	for s := range services {
		if err := discoversExactly(reader, name(s), want[s])(); err != nil {
			t.Fatalf("%q: %v", name(s), err)
		}
	}
	watched.await(t, at, 2*(beat+slack), "a current state", is(want[7]))
	watched.requireKept(t, began, idsOf(want[7])...)
}
