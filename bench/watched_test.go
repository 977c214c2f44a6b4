package bench

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/bench/measure"
	"github.com/rollcall-sd/rollcall/registry"
)

const (
	watchWindow = 3 * time.Second
	watchBeat   = time.Second
	watchTTL    = 30 * time.Second
)

// watched: what it costs Redis that processes watch services which do not change, per
// process and heartbeat. The limit is a pipeline of one HGET per service and a TIME,
// sent by as many processes, each at its own time. An idle server's own cost is
// deducted from both.
func watched(b testing.TB) (goals []measure.Goal) {
	// The fewer services, the more processes, so that the load is well above an idle server's.
	for _, of := range []struct{ services, processes int }{{1, 120}, {10, 60}, {100, 15}} {
		services := of.services
		var ratio, ours, limit measure.Sample
		for range 3 {
			o, l := costOfWatching(b, services, of.processes)
			ours, limit, ratio = append(ours, o), append(limit, l), append(ratio, o/l)
		}
		goals = append(goals,
			measure.Goal{Name: fmt.Sprintf("watching %d services", services), Unit: "of the limit's Redis CPU", AtMost: 1.5, Got: ratio},
			measure.Goal{Name: fmt.Sprintf("watching %d services", services), Unit: "µs of Redis's CPU", Got: ours},
			measure.Goal{Name: fmt.Sprintf("limit: %d HGET and a TIME", services), Unit: "µs of Redis's CPU", Got: limit})
	}
	return in("a process's heartbeat", goals)
}

// costOfWatching returns the processor time of Redis, in µs per process and heartbeat.
func costOfWatching(b testing.TB, services, processes int) (ours, limit float64) {
	w := newWorld(b)
	keys := make([]string, services)
	for i := range keys {
		keys[i] = fmt.Sprintf("limit:%d", i)
		w.check(w.client.HSet(ctx, keys[i], "rev", "1795415901383546.dg3jisis3h:4").Err())
		registerAll(w, w.writer, []registry.ServiceInfo{instance(serviceOf(i))})
	}
	idle := w.during(watchWindow).redis
	perBeat := func(stop func()) float64 {
		defer stop()
		time.Sleep(2 * watchBeat) // until all have begun
		used := w.during(watchWindow).redis - idle
		beats := watchWindow.Seconds() / (watchBeat.Seconds() * 0.95) // jitter takes a twentieth on average
		return used * 1e6 / beats / float64(processes)
	}
	limit = perBeat(w.startLimits(processes, keys))
	ours = perBeat(w.startWatches(processes, services))
	return ours, limit
}

// startLimits starts processes that send the limit's pipeline once per heartbeat.
func (w *world) startLimits(processes int, keys []string) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	for range processes {
		all.Go(func() {
			client := redis.NewClient(&redis.Options{Addr: w.server.Addr()})
			defer client.Close()
			for pause := time.Duration(rand.Int64N(int64(watchBeat))); ; pause = watchBeat - time.Duration(rand.Int64N(int64(watchBeat/10))) {
				select {
				case <-time.After(pause):
				case <-ctx.Done():
					return
				}
				pipe := client.Pipeline()
				for _, key := range keys {
					pipe.HGet(ctx, key, "rev")
				}
				pipe.Time(ctx)
				_, _ = pipe.Exec(ctx) // it fails at the end
			}
		})
	}
	return func() {
		cancel()
		all.Wait()
	}
}

// startWatches starts processes that watch all services, one after the other within
// a heartbeat.
func (w *world) startWatches(processes, services int) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	var open []*registry.RedisRegistry
	for range processes {
		r := w.open(func(c *registry.RedisRegistryConfig) { c.TTL, c.HeartbeatInterval = watchTTL, watchBeat })
		open = append(open, r)
		for i := range services {
			all.Go(func() {
				for range r.Watch(ctx, serviceOf(i)) {
				}
			})
		}
		time.Sleep(watchBeat / time.Duration(processes))
	}
	return func() {
		cancel()
		all.Wait()
		for _, r := range open {
			w.check(r.Close())
		}
	}
}
