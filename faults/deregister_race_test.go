package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// A thousand times an instance is deregistered while heartbeats, every 10 ms,
// renew it and reregister what FLUSHALL removed.
//
// Promise 4, final: once Deregister has returned nil, only a new Register brings
// the instance back. A call that failed as Redis was unavailable promises nothing
// and does not count. With so short a heartbeat a delay of 50 ms causes that.
//
// Not in parallel, as it uses most of two cores.
func TestFinalWhileHeartbeatsAndReregistrationRace(t *testing.T) {
	const rounds, workers = 1000, 8
	server := redistest.Start(t)
	cfg := config(t, server, 300*time.Millisecond, 10*time.Millisecond)
	owner, reader := open(t, cfg), open(t, cfg)
	web := watch(t, reader, "web")
	register(t, owner, "web", "stays")

	ctx, stop := context.WithCancel(t.Context())
	flusher := server.Client(t)
	var flushes atomic.Int32
	var flushing, working sync.WaitGroup
	flushing.Go(func() {
		for ctx.Err() == nil {
			if flusher.FlushAll(ctx).Err() == nil {
				flushes.Add(1)
			}
			pause(t, rand.N(25*time.Millisecond), "between losses of memory")
		}
	})
	var done, unanswered atomic.Int32
	resurrections := make(chan error, workers)
	for w := range workers {
		id := fmt.Sprintf("goes-%d", w)
		working.Go(func() {
			for done.Load() < rounds {
				err := owner.Register(ctx, service("web", id))
				if err == nil {
					pause(t, rand.N(20*time.Millisecond), "lets heartbeats and losses come in between")
					err = owner.Deregister(ctx, id)
				}
				if errors.Is(err, registry.ErrUnavailable) {
					unanswered.Add(1)
					continue
				}
				if err != nil {
					resurrections <- err
					return
				}
				at := time.Now()
				done.Add(1)
				for range 4 {
					all, err := reader.Discover(ctx, "web")
					if errors.Is(err, registry.ErrUnavailable) {
						continue
					}
					if err == nil && slices.Contains(idsOf(all), id) {
						err = fmt.Errorf("%q shows again %s after Deregister returned nil", id, time.Since(at))
					}
					if err != nil {
						resurrections <- err
						return
					}
					pause(t, rand.N(10*time.Millisecond), "between reads")
				}
			}
		})
	}
	working.Wait()
	stop()
	flushing.Wait()
	close(resurrections)
	for err := range resurrections {
		t.Error(err)
	}
	if t.Failed() {
		return
	}
	t.Logf("%d rounds through %d FLUSHALLs, %d more unanswered", done.Load(), flushes.Load(), unanswered.Load())
	at := time.Now()
	within(t, at, 10*time.Millisecond+slack, "the one that stays is back", discovers(reader, "web", "stays"))
	throughout(t, at.Add(slack), "the others stay gone", discovers(reader, "web", "stays"))
	within(t, at, 2*slack+cfg.TTL, "the watch agrees", web.shows("stays"))
}
