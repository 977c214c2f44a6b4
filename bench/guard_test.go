package bench

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

// Benchmarks measure time, which a busy machine disturbs. The tests of this file
// count instead, and counts are the same on every machine.

func TestLookupAllocatesNothing(t *testing.T) {
	cache, _, _ := cacheOf(t, 1, 1000)
	for _, n := range []int{1, 1000} {
		service, seen := serviceOf(n), 0
		got := testing.AllocsPerRun(100, func() { seen += len(cache.Lookup(service).Instances) })
		if got != 0 || seen != 101*n {
			t.Errorf("Lookup of %d instances: %v allocations, %d seen in 101 calls", n, got, seen)
		}
	}
}

// A Snapshot of an unchanged service allocates as much for a thousand instances
// as for one.
func TestSnapshotAllocatesTheSameForAnyNumber(t *testing.T) {
	w := newWorld(t)
	allocations := func(n int) float64 {
		service := serviceOf(n)
		all := make([]registry.ServiceInfo, n)
		for i := range all {
			all[i] = instance(service)
		}
		registerAll(w, w.writer, all)
		w.snapshot(service, n) // twice: the first read fetches, the second finds that it may stop fetching
		w.snapshot(service, n)
		return testing.AllocsPerRun(50, func() { w.snapshot(service, n) })
	}
	const most = 60
	one, many := allocations(1), allocations(1000)
	if many > one+2 || one > most {
		t.Errorf("a Snapshot of 1 instance allocates %v times, of 1,000 instances %v times; want at most %d and the same", one, many, most)
	}
}

// beats receives the heartbeats of a registry.
type beats struct {
	mu    sync.Mutex
	lost  []string
	taken []string
	ended chan int // instances of each beat
}

func (b *beats) observe(c *registry.RedisRegistryConfig) {
	c.TTL, c.HeartbeatInterval = 30*time.Second, 500*time.Millisecond
	c.Observer = &registry.Observer{
		Heartbeat: func(n int, _ time.Duration, err error) {
			if err == nil {
				b.ended <- n
			}
		},
		Missing:      func(_, id string) { b.note(&b.lost, id) },
		Superseded:   func(_, id string) { b.note(&b.taken, id) },
		Deregistered: func(_, id string) { b.note(&b.taken, id) },
	}
}

// next waits for a heartbeat and returns of how many instances it was.
func (b *beats) next(t testing.TB) int {
	t.Helper()
	select {
	case n := <-b.ended:
		return n
	case <-time.After(30 * time.Second):
		t.Fatal("no heartbeat within 30 s")
		return 0
	}
}

func (b *beats) note(list *[]string, id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	*list = append(*list, id)
}

// Ten thousand instances of a hundred services take one goroutine, and per heartbeat
// and service one script of a few commands, whatever the number of instances.
func TestHeartbeatOfTenThousandInstances(t *testing.T) {
	const services, instances = 100, 10_000
	w := newWorld(t)
	before := runtime.NumGoroutine()
	b := &beats{ended: make(chan int, 1000)}
	r := w.open(b.observe)
	all := fleet()
	for part := range slices.Chunk(all, 500) {
		registerAll(w, r, part)
	}
	for b.next(t) < instances {
	}
	b.next(t) // which learned what the registrations left
	got := atRest(500*time.Millisecond) - before
	for tries := 0; got > 1 && tries < 10; tries++ { // on a busy machine one beat may follow the other
		b.next(t)
		got = min(got, atRest(500*time.Millisecond)-before)
	}
	if got > 1 {
		t.Errorf("%d goroutines keep %d instances alive, want 1", got, instances)
	}

	w.check(w.client.ConfigResetStat(ctx).Err())
	const counted = 2
	for range counted + 1 { // the first may have begun before the count
		b.next(t)
	}
	calls := commands(w)
	const perService = 20
	if got := calls["evalsha"]; got < counted*services || got > (counted+1)*services {
		t.Errorf("%d scripts in %d to %d beats of %d services", got, counted, counted+1, services)
	}
	inside := 0
	for name, n := range calls {
		if name != "evalsha" {
			inside += n
		}
	}
	if most := perService * calls["evalsha"]; inside > most {
		t.Errorf("%d commands in %d scripts, want at most %d each: %v", inside, calls["evalsha"], perService, calls)
	}

	// Each registration that was lost or superseded is noticed nevertheless.
	lost := slices.DeleteFunc(slices.Clone(all), func(s registry.ServiceInfo) bool { return s.Name != "fleet-3" })
	keys, err := w.client.Keys(ctx, "*{fleet-3}*").Result()
	w.check(err)
	taken := all[4:5]
	registerAll(w, w.writer, taken)
	w.check(w.client.Del(ctx, keys...).Err())
	for range 3 {
		b.next(t)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.lost) != len(lost) || !slices.Equal(b.taken, []string{taken[0].ID}) {
		t.Errorf("noticed %d lost of %d, and taken over %q, want %q", len(b.lost), len(lost), b.taken, taken[0].ID)
	}
}

// commands returns how often each command was called since CONFIG RESETSTAT.
func commands(w *world) map[string]int {
	info, err := w.client.Info(ctx, "commandstats").Result()
	w.check(err)
	calls := map[string]int{}
	for _, line := range strings.Split(info, "\r\n") {
		name, rest, ok := strings.Cut(strings.TrimPrefix(line, "cmdstat_"), ":calls=")
		var n int
		if ok && !strings.HasPrefix(name, "config") && name != "info" {
			_, err := fmt.Sscanf(rest, "%d", &n)
			w.check(err)
			calls[name] = n
		}
	}
	return calls
}
