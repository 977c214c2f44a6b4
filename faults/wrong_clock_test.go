package faults

import (
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// Owners and readers whose wall clocks are an hour ahead and an hour behind.
//
// Promise 6, one clock: wrong clocks on clients change nothing.
func TestOneClockWhateverClientsSay(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	reader := openShort(t, server)
	web := watch(t, reader, "web")
	start := func(id string, off time.Duration) *owner {
		task := ownerConfig(config(t, server, shortTTL, shortHeartbeat), [2]string{"web", id})
		task.Clock = off
		o := startOwner(t, task)
		ready, _ := o.find("ready", "")
		if wrong := time.Until(ready.Wall) - off; wrong.Abs() > time.Minute {
			t.Fatalf("the owner's clock is not off by %s but says %s", off, ready.Wall)
		}
		return o
	}
	// Each is registered after the one before, whatever its clock says.
	ahead := start("1-ahead", time.Hour)
	behind := start("2-behind", -time.Hour)
	start("3-right", 0)
	web.await(t, time.Now(), goneBy, "3-right is there", func(s registry.Snapshot) bool { return !lacking("3-right")(s) })
	began := time.Now()
	want := present(t, reader, "web")
	for i, s := range want {
		if s.ID != []string{"1-ahead", "2-behind", "3-right"}[i] {
			t.Fatalf("the order is %s", describeInstances(want))
		}
		if age := time.Since(s.RegisteredAt); age < 0 || age > 20*time.Second {
			t.Fatalf("%q was registered at %s, which is not Redis's time", s.ID, s.RegisteredAt)
		}
	}
	throughout(t, began.Add(2*shortTTL), "kept alive", discoversExactly(reader, "web", want))
	for _, o := range []*owner{ahead, behind} {
		o.send("discover", "web")
		if seen := o.await("done", "discover web", slack); same(seen.Seen, want) != nil {
			t.Fatalf("a reader with a wrong clock sees %s, want %s", describeInstances(seen.Seen), describeInstances(want))
		}
	}
	ends := leaseEnds(t, reader, "web")
	for i, o := range []*owner{ahead, behind} {
		o.kill()
		id := want[i].ID
		at := time.Now()
		figure(t, "wrong clock: gone from Discover after the last heartbeat",
			within(t, at, goneBy, id+" is gone", isGone(reader, "web", id)))
		web.await(t, at, goneBy, id+" is gone", lacking(id))
		requireReason(t, reader, "web", id, expired(o.pid, shortTTL))
	}
	if left := ends["3-right"]; left.Before(time.Now().Add(-time.Hour)) {
		t.Fatalf("the right one's lease ends at %s", left)
	}
	must(t, retryStalled(t, shortHeartbeat, discoversExactly(reader, "web", want[2:])))
	web.requireKept(t, began, "3-right")
}
