package bench

import (
	"runtime"
	"testing"

	"github.com/rollcall-sd/rollcall/bench/measure"
	"github.com/rollcall-sd/rollcall/registry"
)

// memory: what 1,000 instances of a service take.
func memory(b testing.TB) []measure.Goal {
	const n = 1000
	w := newWorld(b)
	all := make([]registry.ServiceInfo, n)
	for i := range all {
		all[i] = instance("stored")
	}
	registerAll(w, w.writer, all)
	stored := 0.0
	keys, err := w.client.Keys(ctx, "*{stored}*").Result()
	w.check(err)
	if len(keys) != 2 {
		b.Fatalf("keys of a service: %q", keys)
	}
	for _, k := range keys {
		size, err := w.client.MemoryUsage(ctx, k, 0).Result()
		w.check(err)
		stored += float64(size)
	}
	var heaps measure.Sample
	for range 5 {
		cache := registry.NewCachedRegistry(w.open())
		cache.Lookup("unknown")
		_, err := cache.Discover(ctx, "unknown")
		w.check(err)
		before := heap()
		found, err := cache.Discover(ctx, "stored")
		w.check(err)
		w.count(len(found), n)
		found = nil
		heaps = append(heaps, (heap()-before)/1e6)
		w.check(cache.Close())
	}
	return in("memory", []measure.Goal{
		{Name: "an instance in Redis", Unit: "bytes", AtMost: 470, Got: measure.Sample{stored / n}},
		{Name: "a cached service of 1,000", Unit: "MB", AtMost: 1, Got: heaps},
	})
}

// heap returns the bytes of the live heap.
func heap() float64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc)
}
