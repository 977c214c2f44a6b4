package peers

import (
	"context"
	"io"
	"testing"
	"time"

	"github.com/go-kit/kit/endpoint"
	"github.com/go-kit/kit/sd"
	"github.com/go-kit/log"
	lru "github.com/hashicorp/golang-lru/v2"
	gocache "github.com/patrickmn/go-cache"

	"github.com/rollcall-sd/rollcall/bench/measure"
	"github.com/rollcall-sd/rollcall/bench/naive"
	"github.com/rollcall-sd/rollcall/registry"
)

// caches: what a process answers from its own memory, 1,000 instances each.
func caches(b testing.TB) []measure.Goal {
	const service, n = "cached", 1000
	local := registry.NewLocalRegistry()
	ours := registry.NewCachedRegistry(local)
	b.Cleanup(func() { ours.Close() })
	var addresses sd.FixedInstancer
	for range n {
		s := naive.Instance(service)
		addresses = append(addresses, s.HostPort()+s.ID)
		check(b, local.Register(ctx, s))
	}
	all, err := ours.Discover(ctx, service)
	check(b, err)

	// go-kit: an Endpointer caches one endpoint per address that its Instancer
	// names, here all from the start; Endpoints returns its shared list.
	factory := func(string) (endpoint.Endpoint, io.Closer, error) {
		return func(context.Context, any) (any, error) { return nil, nil }, nil, nil
	}
	kit := sd.NewEndpointer(addresses, factory, log.NewNopLogger())
	b.Cleanup(kit.Close)
	byName := map[string]*sd.DefaultEndpointer{service: kit} // it has no names; a map that is only read adds them
	if list, err := kit.Endpoints(); err != nil || len(list) != n {
		b.Fatalf("go-kit has %d endpoints: %v", len(list), err)
	}
	// The two general caches hold the finished list under the service's name,
	// without expiry, so that nothing but the lookup is measured.
	plain := gocache.New(gocache.NoExpiration, 0)
	plain.Set(service, all, gocache.NoExpiration)
	bounded, err := lru.New[string, []registry.ServiceInfo](1000)
	check(b, err)
	bounded.Add(service, all)

	r := measure.Interleave(15, 20*time.Millisecond,
		measure.Each("ours", func() { count(b, len(ours.Lookup(service).Instances), n) }),
		measure.Each("go-kit", func() { list, _ := byName[service].Endpoints(); count(b, len(list), n) }),
		measure.Each("go-cache", func() { v, _ := plain.Get(service); count(b, len(v.([]registry.ServiceInfo)), n) }),
		measure.Each("lru", func() { list, _ := bounded.Get(service); count(b, len(list), n) }))
	alone := against(r, "Lookup of 1,000", "go-kit", "go-cache", "lru")
	const workers, burst = 64, 1000
	crowd := func(name string, get func() int) measure.Variant {
		return measure.Concurrent(name, workers, func(int, int) {
			for range burst {
				count(b, get(), n)
			}
		})
	}
	r = measure.Interleave(9, 60*time.Millisecond,
		crowd("ours", func() int { return len(ours.Lookup(service).Instances) }),
		crowd("go-kit", func() int { list, _ := byName[service].Endpoints(); return len(list) }),
		crowd("go-cache", func() int { v, _ := plain.Get(service); return len(v.([]registry.ServiceInfo)) }),
		crowd("lru", func() int { list, _ := bounded.Get(service); return len(list) }))
	return in("from memory", append(alone, against(r, "Lookup of 1,000, 64 goroutines", "go-kit", "go-cache", "lru")...))
}
