package bench

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/bench/measure"
	"github.com/rollcall-sd/rollcall/registry"
)

// localRegistry: 10,000 instances of 100 services, and one service of 1,000, in memory.
func localRegistry(b testing.TB) []measure.Goal {
	check := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	full := func(services int) *registry.LocalRegistry {
		local := registry.NewLocalRegistry()
		b.Cleanup(func() { local.Close() })
		for i := range services {
			for range 100 {
				check(local.Register(ctx, instance(fmt.Sprintf("many-%d", i))))
			}
		}
		return local
	}
	local, alone := full(100), full(0)
	var index sync.Map // of the limit: one lookup and one reading of the clock
	for i := range 100 {
		name := fmt.Sprintf("many-%d", i)
		s, err := local.Snapshot(ctx, name)
		check(err)
		index.Store(name, &s)
	}
	reads := measure.Interleave(15, 20*time.Millisecond,
		measure.Each("limit", func() {
			v, _ := index.Load("many-50")
			s := *v.(*registry.Snapshot)
			s.AsOf = time.Now()
			sink.Add(int64(len(s.Instances)))
		}),
		measure.Each("ours", func() {
			s, err := local.Snapshot(ctx, "many-50")
			if err != nil {
				b.Error(err)
			}
			sink.Add(int64(len(s.Instances)))
		}))

	// Registrations change one instance after the other of a service of 1,000.
	members := make([]registry.ServiceInfo, 1000)
	for i := range members {
		members[i] = instance("of-1000")
		check(local.Register(ctx, members[i]))
		check(alone.Register(ctx, members[i]))
	}
	at := 0
	next := func() registry.ServiceInfo {
		at++
		s := members[at%len(members)]
		s.Port = 1 + at%60000
		return s
	}
	var plain sync.Map
	writes := measure.Interleave(15, 30*time.Millisecond,
		measure.Each("store", func() { s := next(); plain.Store(s.ID, s) }),
		measure.Each("ours", func() { check(local.Register(ctx, next())) }),
		measure.Each("alone", func() { check(alone.Register(ctx, next())) }))
	return in("LocalRegistry", []measure.Goal{
		{Name: "Snapshot", Unit: "of sync.Map lookup + clock", AtMost: 2, Got: reads.Ratio("ours", "limit")},
		{Name: "Register in a service of 1,000", Unit: "of one sync.Map store", AtMost: 50, Got: writes.Ratio("ours", "store")},
		{Name: "the same beside 100 services of 100", Unit: "of that without them", AtMost: 1.3, Got: writes.Ratio("ours", "alone")},
	})
}
