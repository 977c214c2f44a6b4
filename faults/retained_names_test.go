package faults

import (
	"fmt"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
)

// The last owner of a service dies with Redis's memory: the list of services
// drops the name when the watch of the service drops the instance.
//
// Promise 2: within max(TTL, heartbeat + 1 s) after Redis answers again.
func TestNameGoesWithItsLastInstance(t *testing.T) {
	t.Parallel()
	for _, lease := range []struct{ ttl, beat time.Duration }{{3 * time.Second, time.Second}, {900 * time.Millisecond, 300 * time.Millisecond}} {
		t.Run(lease.ttl.String(), func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			cfg := config(t, server, lease.ttl, lease.beat)
			doomed, lives, reader := open(t, cfg), open(t, cfg), open(t, cfg)
			register(t, doomed, "web", "x")
			register(t, lives, "api", "y")
			seen, names := watch(t, reader, "web"), watchNames(t, reader)
			within(t, time.Now(), lease.beat+slack, "both names", namesAre(reader, names, "api", "web"))
			doomed.Close()
			command(t, server.Client(t), "FLUSHALL")
			lost := time.Now()
			bound := max(lease.ttl, lease.beat+slack)
			took := within(t, lost, bound+slack/2, "the name is gone", func() error {
				if c := names.latest(); c.Stale != nil || len(c.Names) != 1 {
					return fmt.Errorf("the list of services shows %q, stale: %v", c.Names, c.Stale)
				}
				return nil
			})
			figure(t, "FLUSHALL, last owner dead: name gone, TTL "+lease.ttl.String(), took)
			within(t, lost, bound+slack/2, "the instance is gone", seen.shows())
			names.requireKept(t, "api")
		})
	}
}
