package peers

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/bench/measure"
	"github.com/rollcall-sd/rollcall/bench/naive"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

var ctx = context.Background()

func check(b testing.TB, err error) {
	if err != nil {
		b.Helper()
		b.Fatal(err)
	}
}

func count(b testing.TB, got, want int) {
	if got != want {
		b.Helper()
		b.Fatalf("saw %d instances of %d", got, want)
	}
}

// BenchmarkPeers measures ours against each peer and prints one table. With
// ROLLCALL_BENCH_PEERS set it also writes it, as JSON, to the file of that name.
func BenchmarkPeers(b *testing.B) {
	var goals []measure.Goal
	for _, group := range []struct {
		name    string
		measure func(testing.TB) []measure.Goal
	}{{"etcd", servers}, {"caches", caches}} {
		b.Run(group.name, func(b *testing.B) { goals = append(goals, group.measure(b)...) })
	}
	fmt.Println()
	measure.Table(os.Stdout, goals)
	if name := os.Getenv("ROLLCALL_BENCH_PEERS"); name != "" {
		data, err := json.MarshalIndent(goals, "", " ")
		check(b, err)
		check(b, os.WriteFile(name, append(data, '\n'), 0o644))
	}
}

// against makes one line per peer: how many times ours is ahead.
func against(r *measure.Result, what string, peers ...string) (goals []measure.Goal) {
	for _, p := range peers {
		goals = append(goals, measure.Goal{Name: what, Unit: "x " + p, AtLeast: 1, Got: r.Ratio(p, "ours")})
	}
	return goals
}

func in(group string, goals []measure.Goal) []measure.Goal {
	for i := range goals {
		goals[i].Group = group
	}
	return goals
}

// servers: the same work through Redis and through etcd.
func servers(b testing.TB) (goals []measure.Goal) {
	server := redistest.Start(b)
	open := func() *registry.RedisRegistry {
		r, err := registry.NewRedisRegistry(ctx, registry.RedisRegistryConfig{
			RedisAddr: server.Addr(), TTL: 30 * time.Minute, HeartbeatInterval: 9 * time.Minute, Logger: slog.New(slog.DiscardHandler),
		})
		check(b, err)
		b.Cleanup(func() { r.Close() })
		return r
	}
	writer, reader, peer := open(), open(), startEtcd(b)
	const workers = 64
	for _, n := range []int{10, 100, 1000} {
		service := fmt.Sprintf("of-%d", n)
		for range n {
			s := naive.Instance(service)
			check(b, writer.Register(ctx, s))
			check(b, peer.Register(ctx, s))
		}
		ours := func(int, int) { s, err := reader.Snapshot(ctx, service); check(b, err); count(b, len(s.Instances), n) }
		theirs := func(int, int) { all, err := peer.Discover(ctx, service); check(b, err); count(b, len(all), n) }
		r := measure.Interleave(7, 60*time.Millisecond,
			measure.Concurrent("ours", 1, ours), measure.Concurrent("etcd", 1, theirs))
		goals = append(goals, against(r, fmt.Sprintf("read of %d", n), "etcd")...)
		r = measure.Interleave(7, 60*time.Millisecond,
			measure.Concurrent("ours", workers, ours), measure.Concurrent("etcd", workers, theirs))
		goals = append(goals, against(r, fmt.Sprintf("read of %d, 64 goroutines", n), "etcd")...)
	}
	for _, w := range []int{1, workers} {
		name := "Register"
		if w > 1 {
			name += ", 64 goroutines"
		}
		r := measure.Interleave(7, 60*time.Millisecond,
			measure.Concurrent("ours", w, func(_, i int) { check(b, writer.Register(ctx, naive.Instance(fmt.Sprint("s", i/100)))) }),
			measure.Concurrent("etcd", w, func(_, i int) { check(b, peer.Register(ctx, naive.Instance(fmt.Sprint("s", i/100)))) }))
		goals = append(goals, against(r, name, "etcd")...)
	}
	return in("etcd 3.7, linearizable, its own client", append(goals, pushes(b, writer, reader, peer)...))
}

// pushes measures from the call of Register to a watcher.
func pushes(b testing.TB, writer, reader *registry.RedisRegistry, peer *etcd) []measure.Goal {
	const service, each = "pushed", 300
	s := naive.Instance(service)
	check(b, writer.Register(ctx, s))
	arrived := make(chan time.Time, 16)
	ready := make(chan struct{})
	watching, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	defer func() { cancel(); <-done }()
	go func() {
		defer close(done)
		first := true
		for range reader.Watch(watching, service) {
			if first {
				close(ready)
				first = false
				continue
			}
			arrived <- time.Now()
		}
	}()
	<-ready
	theirs := peer.watch(service)
	p50, p99 := &measure.Result{}, &measure.Result{}
	for round := range 7 {
		for _, v := range []struct {
			name     string
			register func(context.Context, registry.ServiceInfo) error
			arrived  <-chan time.Time
		}{{"ours", writer.Register, arrived}, {"etcd", peer.Register, theirs}} {
			var times measure.Sample
			for i := range each {
				s.Version = fmt.Sprint(round, ".", i)
				start := time.Now()
				check(b, v.register(ctx, s))
				times = append(times, float64((<-v.arrived).Sub(start)))
			}
			p50.Add(v.name, times.Median())
			p99.Add(v.name, times.Quantile(0.99))
		}
	}
	return append(against(p50, "Register to watcher, p50", "etcd"), against(p99, "Register to watcher, p99", "etcd")...)
}
