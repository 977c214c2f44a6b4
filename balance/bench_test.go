package balance

import (
	"context"
	"fmt"
	"testing"

	"github.com/rollcall-sd/rollcall/registry"
)

func thousand(b *testing.B, options ...Option) *Balancer {
	var services []registry.ServiceInfo
	for i := range 1000 {
		s := weighted(fmt.Sprint("i", i), i%5)
		s.Metadata = map[string]string{registry.MetadataZone: fmt.Sprint("z", i%3)}
		services = append(services, s)
	}
	lb := balancer(b, localRegistry(b, services...), options...)
	pick(b, lb).Done(nil)
	return lb
}

func BenchmarkPick(b *testing.B) {
	for name, options := range map[string][]Option{"of=1000": nil, "of=1000/zone": {WithZone("z1")}} {
		b.Run(name, func(b *testing.B) {
			lb, ctx := thousand(b, options...), context.Background()
			b.ReportAllocs()
			for b.Loop() {
				p, err := lb.Pick(ctx)
				if err != nil {
					b.Fatal(err)
				}
				p.Done(nil)
			}
		})
	}
}

func BenchmarkPickParallel(b *testing.B) {
	lb, ctx := thousand(b), context.Background()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			p, err := lb.Pick(ctx)
			if err != nil {
				b.Error(err)
				return
			}
			p.Done(nil)
		}
	})
}
