package bench

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/bench/measure"
	"github.com/rollcall-sd/rollcall/registry"
)

// cpu is processor time used, in seconds.
type cpu struct{ client, redis float64 }

func (w *world) cpu() (c cpu) {
	var u syscall.Rusage
	w.check(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	c.client = time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
	info, err := w.client.Info(ctx, "cpu").Result()
	w.check(err)
	for _, line := range strings.Split(info, "\r\n") {
		for _, name := range []string{"used_cpu_sys:", "used_cpu_user:"} {
			if text, ok := strings.CutPrefix(line, name); ok {
				v, err := strconv.ParseFloat(text, 64)
				w.check(err)
				c.redis += v
			}
		}
	}
	return c
}

// during returns what is used in d. What was used before is given back to the
// system first: the runtime would go on doing that meanwhile, and an idle process
// would be charged for the busy one it was.
func (w *world) during(d time.Duration) cpu {
	debug.FreeOSMemory()
	before := w.cpu()
	time.Sleep(d)
	after := w.cpu()
	return cpu{after.client - before.client, after.redis - before.redis}
}

// atRest returns the minimum number of goroutines in d: those between two heartbeats.
func atRest(d time.Duration) int {
	fewest := runtime.NumGoroutine()
	for end := time.Now().Add(d); time.Now().Before(end); runtime.Gosched() {
		fewest = min(fewest, runtime.NumGoroutine())
	}
	return fewest
}

// fleet is 10,000 instances of 100 services.
func fleet() []registry.ServiceInfo {
	all := make([]registry.ServiceInfo, 10_000)
	for i := range all {
		all[i] = instance(fmt.Sprintf("fleet-%d", i%100))
	}
	return all
}

// heartbeats: 10,000 instances of 100 services, kept alive with a beat of 1 s.
func heartbeats(b testing.TB) []measure.Goal {
	const (
		rounds = 3
		window = 4 * time.Second
		beat   = time.Second
		ttl    = 30 * time.Second
	)
	w := newWorld(b)
	all := fleet()
	var client, redis, goroutines, naiveGoroutines measure.Sample
	for range rounds {
		before := runtime.NumGoroutine()
		for _, s := range all {
			w.client.Set(ctx, "naive:"+s.Name+":"+s.ID, "x", longTTL)
			w.client.SAdd(ctx, "naive:"+s.Name, s.ID)
		}
		stop := w.naive.Heartbeats(all, beat)
		time.Sleep(beat + beat/2)
		naiveGoroutines = append(naiveGoroutines, float64(atRest(beat/4)-before))
		theirs := w.during(window)
		stop()
		w.check(w.client.FlushAll(ctx).Err())

		before = runtime.NumGoroutine()
		r := w.open(func(c *registry.RedisRegistryConfig) { c.TTL, c.HeartbeatInterval = ttl, beat })
		registerAll(w, r, all)
		time.Sleep(beat + beat/2)
		goroutines = append(goroutines, float64(atRest(beat/4)-before))
		ours := w.during(window)
		w.check(r.Close())
		w.check(w.client.FlushAll(ctx).Err())
		client = append(client, theirs.client/ours.client)
		redis = append(redis, theirs.redis/ours.redis)
	}
	return in("heartbeats of 10,000", []measure.Goal{
		{Name: "client's CPU", Unit: "x less than naive", AtLeast: 100, Got: client},
		{Name: "Redis's CPU", Unit: "x less than naive", AtLeast: 8, Got: redis},
		{Name: "goroutines", Unit: "", AtMost: 1, Got: goroutines},
		{Name: "goroutines of the naive way", Unit: "", Got: naiveGoroutines},
	})
}
