package faults

import (
	"fmt"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/stall"
)

// One service has instances with TTLs from 100 ms to 10 s; for each TTL one
// owner is killed and, except for the shortest, one stays alive.
//
// Promise 1, kept alive, whatever happens to other instances and TTLs.
// Promise 2, gone after a crash: each with its own TTL.
func TestKeptAliveAmongMixedTTLs(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	reader := openShort(t, server)
	ttls := []time.Duration{100 * time.Millisecond, time.Second, 3 * time.Second, 10 * time.Second}
	var living, dying []string
	var doomed []*owner
	for _, ttl := range ttls {
		cfg := config(t, server, ttl, ttl/4)
		id := fmt.Sprintf("dies-%s", ttl)
		doomed = append(doomed, startOwner(t, ownerConfig(cfg, [2]string{"web", id})))
		dying = append(dying, id)
		if ttl >= time.Second {
			id := fmt.Sprintf("lives-%s", ttl)
			register(t, open(t, cfg), "web", id)
			living = append(living, id)
		}
	}
	web := watch(t, reader, "web")
	web.await(t, time.Now(), backBy, "the start", with(append(living, dying...)...))
	end := leaseEnds(t, reader, "web")
	for _, o := range doomed {
		o.kill()
	}
	killed := time.Now()
	for id, at := range leaseEnds(t, reader, "web") {
		end[id] = at
	}
	seen := make(map[string]bool)
	for len(seen) < len(dying) {
		all := present(t, reader, "web")
		now := time.Now()
		if err := includes(all, living...); err != nil {
			t.Fatalf("kept alive: %s after the others were killed: %v", now.Sub(killed), err)
		}
		for i, id := range dying {
			if seen[id] {
				continue
			}
			if includes(all, id) == nil {
				if late := now.Sub(end[id]); late > slack && late > slack+stall.Between(t, end[id], now) {
					t.Fatalf("%q shows %s after its TTL of %s, with a stall of %s", id, late, ttls[i], stall.Between(t, end[id], now))
				}
				continue
			}
			seen[id] = true
			if early := end[id].Sub(now); early > 0 {
				t.Errorf("%q was gone %s before its lease ended", id, early)
			}
			figure(t, "mixed TTLs: killed owner gone from Discover, beyond its TTL", now.Sub(end[id]))
		}
		pause(t, 5*time.Millisecond, "between looks")
	}
	for i, id := range dying {
		last := end[id].Add(-ttls[i])
		took := web.await(t, last, ttls[i]+slack, id+" leaves the watch", lacking(id))
		figure(t, "mixed TTLs: killed owner gone from a watch, beyond its TTL", took-ttls[i])
	}
	web.requireKept(t, killed, living...)
}
