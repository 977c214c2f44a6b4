package bench

import (
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/bench/measure"
	"github.com/rollcall-sd/rollcall/registry"
)

// pointerAndMap is the limit of a cached lookup: an immutable map behind an
// atomic pointer.
type pointerAndMap struct {
	m atomic.Pointer[map[string]*registry.Snapshot]
}

func (p *pointerAndMap) lookup(name string) registry.Snapshot { return *(*p.m.Load())[name] }

// sink keeps the compiler from removing work.
var sink atomic.Int64

// cacheOf caches services of these sizes, and builds the limit of the same content.
func cacheOf(b testing.TB, sizes ...int) (*registry.CachedRegistry, *registry.LocalRegistry, *pointerAndMap) {
	local := registry.NewLocalRegistry()
	cache := registry.NewCachedRegistry(local)
	b.Cleanup(func() { cache.Close() })
	limit := map[string]*registry.Snapshot{}
	for _, n := range sizes {
		for range n {
			if err := local.Register(ctx, instance(serviceOf(n))); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := cache.Discover(ctx, serviceOf(n)); err != nil {
			b.Fatal(err)
		}
		snap := cache.Lookup(serviceOf(n))
		limit[serviceOf(n)] = &snap
	}
	p := &pointerAndMap{}
	p.m.Store(&limit)
	return cache, local, p
}

func loop(name string, lookup func(string) registry.Snapshot, service string) measure.Variant {
	return measure.Timed(name, func(n int) {
		seen := 0
		for range n {
			s := lookup(service)
			seen += len(s.Instances)
		}
		sink.Add(int64(seen))
	})
}

func cachedLookups(b testing.TB) (goals []measure.Goal) {
	sizes := []int{1, 100, 10000}
	cache, local, limit := cacheOf(b, sizes...)
	variants := []measure.Variant{loop("limit", limit.lookup, serviceOf(10000))}
	for _, n := range sizes {
		variants = append(variants, loop(strconv.Itoa(n), cache.Lookup, serviceOf(n)))
	}
	r := measure.Interleave(21, 20*time.Millisecond, variants...)
	hundred := serviceOf(100)
	allocs := testing.AllocsPerRun(1000, func() { sink.Add(int64(len(cache.Lookup(hundred).Instances))) })
	goals = append(goals,
		measure.Goal{Name: "Lookup of 10,000", Unit: "of pointer + map", AtMost: 1.3, Got: r.Ratio("10000", "limit")},
		measure.Goal{Name: "Lookup of 10,000", Unit: "of that of 1", AtMost: 1.1, Got: r.Ratio("10000", "1")},
		measure.Goal{Name: "Lookup", Unit: "allocations", None: true, Got: measure.Sample{allocs}},
		measure.Goal{Name: "Lookup", Unit: "ns", Got: r.Time("100")})

	// A writer at full speed, on the service that is read.
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		s := instance(serviceOf(100))
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			s.Version = fmt.Sprint(i)
			if err := local.Register(ctx, s); err != nil {
				panic(err)
			}
		}
	})
	const burst = 1000
	crowd := func(name string, lookup func(string) registry.Snapshot) measure.Variant {
		return measure.Concurrent(name, workers, func(int, int) {
			seen := 0
			for range burst {
				s := lookup(hundred)
				seen += len(s.Instances)
			}
			sink.Add(int64(seen))
		})
	}
	r = measure.Interleave(11, 60*time.Millisecond, crowd("limit", limit.lookup), crowd("ours", cache.Lookup))
	close(stop)
	writing.Wait()
	goals = append(goals, measure.Goal{Name: "Lookup, 64 readers and a writer", Unit: "of pointer + map", AtMost: 1.3, Got: r.Ratio("ours", "limit")})
	return in("CachedRegistry", goals)
}
