package bench

import (
	"fmt"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/bench/measure"
	"github.com/rollcall-sd/rollcall/registry"
)

func serviceOf(n int) string { return fmt.Sprintf("of-%d", n) }

// serialReads: one caller, one read after the other, nothing changes.
func serialReads(b testing.TB) (goals []measure.Goal) {
	w := newWorld(b)
	naive := map[int]float64{10: 10, 100: 100, 1000: 1000}
	copies := map[int]float64{10: 10, 100: 80, 1000: 250}
	w.register(serviceOf(1), 1)
	serial := &measure.Result{}
	for _, n := range []int{10, 100, 1000} {
		service := serviceOf(n)
		w.register(service, n)
		r := measure.Interleave(15, 40*time.Millisecond,
			measure.Each("get", w.get),
			measure.Each("snapshot", func() { w.snapshot(service, n) }),
			measure.Each("of 1", func() { w.snapshot(serviceOf(1), 1) }),
			measure.Each("discover", func() { w.discover(w.reader, service, n) }),
			measure.Each("naive", func() { w.discover(w.naive, service, n) }))
		goals = append(goals,
			measure.Goal{Name: fmt.Sprintf("Snapshot of %d", n), Unit: "x naive", AtLeast: naive[n], Got: r.Ratio("naive", "snapshot")},
			measure.Goal{Name: fmt.Sprintf("Snapshot of %d", n), Unit: "of a GET's time", AtMost: 1.15, Got: r.Ratio("snapshot", "get")},
			measure.Goal{Name: fmt.Sprintf("Discover of %d", n), Unit: "x naive", AtLeast: copies[n], Got: r.Ratio("naive", "discover")})
		if n == 1000 {
			goals = append(goals, measure.Goal{Name: "Snapshot of 1,000", Unit: "of that of 1", AtMost: 1.2, Got: r.Ratio("snapshot", "of 1")})
		}
		serial = r
	}
	goals = append(goals,
		measure.Goal{Name: "limit: a bare GET", Unit: "x naive of 1,000", Got: serial.Ratio("naive", "get")},
		firstRead(w))
	return in("read, serial", goals)
}

// in names the group of goals.
func in(group string, goals []measure.Goal) []measure.Goal {
	for i := range goals {
		goals[i].Group = group
	}
	return goals
}

// firstRead: a registry that is connected but has never read the service.
func firstRead(w *world) measure.Goal {
	service := serviceOf(1000)
	ours := measure.Variant{Name: "ours", Run: func(n int) (took time.Duration) {
		for range n {
			r := w.open(func(c *registry.RedisRegistryConfig) { c.Client, c.RedisAddr = w.client, "" })
			start := time.Now()
			s, err := r.Snapshot(ctx, service)
			took += time.Since(start)
			w.check(err)
			w.count(len(s.Instances), 1000)
			w.check(r.Close())
		}
		return took
	}}
	r := measure.Interleave(11, 80*time.Millisecond, ours,
		measure.Each("naive", func() { w.discover(w.naive, service, 1000) }))
	return measure.Goal{Name: "first read of 1,000", Unit: "x naive", AtLeast: 13, Got: r.Ratio("naive", "ours")}
}

// concurrentReads: 64 goroutines read without pause.
func concurrentReads(b testing.TB) (goals []measure.Goal) {
	w := newWorld(b)
	least := map[int]float64{10: 80, 100: 900, 1000: 10000}
	for _, n := range []int{10, 100, 1000} {
		service := serviceOf(n)
		w.register(service, n)
		r := measure.Interleave(7, 60*time.Millisecond,
			measure.Concurrent("get", workers, func(int, int) { w.get() }),
			measure.Concurrent("snapshot", workers, func(int, int) { w.snapshot(service, n) }),
			measure.Concurrent("naive", workers, func(int, int) { w.discover(w.naive, service, n) }))
		goals = append(goals,
			measure.Goal{Name: fmt.Sprintf("Snapshot of %d", n), Unit: "x naive", AtLeast: least[n], Got: r.Ratio("naive", "snapshot")})
		if n == 1000 {
			goals = append(goals, measure.Goal{Name: "limit: a bare GET per call", Unit: "x naive of 1,000", Got: r.Ratio("naive", "get")})
		}
	}
	const services = 100
	names := make([]string, services)
	for i := range names {
		names[i] = fmt.Sprintf("many-%d", i)
		w.register(names[i], 10)
	}
	r := measure.Interleave(9, 80*time.Millisecond,
		measure.Concurrent("get", workers, func(int, int) { w.get() }),
		measure.Concurrent("snapshot", workers, func(_, i int) { w.snapshot(names[i%services], 10) }),
		measure.Concurrent("naive", workers, func(_, i int) { w.discover(w.naive, names[i%services], 10) }))
	return in("read, 64 goroutines", append(goals,
		measure.Goal{Name: "Snapshot over 100 services of 10", Unit: "x naive", AtLeast: 50, Got: r.Ratio("naive", "snapshot")},
		measure.Goal{Name: "Snapshot over 100 services of 10", Unit: "x bare GET per call", AtLeast: 1, Got: r.Ratio("get", "snapshot")}))
}

// churnReads: every read follows a change by another process.
func churnReads(b testing.TB) []measure.Goal {
	w := newWorld(b)
	service := serviceOf(1000)
	all := w.register(service, 1000)
	at := 0
	after := func(name string, change func(registry.ServiceInfo) error, read func()) measure.Variant {
		return measure.Variant{Name: name, Run: func(n int) (took time.Duration) {
			for range n {
				at++
				s := all[at%len(all)]
				s.Version = fmt.Sprintf("2.%d", at)
				w.check(change(s))
				start := time.Now()
				read()
				took += time.Since(start)
			}
			return took
		}}
	}
	r := measure.Interleave(11, 60*time.Millisecond,
		after("ours", func(s registry.ServiceInfo) error { return w.writer.Register(ctx, s) }, func() { w.snapshot(service, 1000) }),
		after("naive", func(s registry.ServiceInfo) error { return w.naive.Register(ctx, s) }, func() { w.discover(w.naive, service, 1000) }))
	return in("read after every change", []measure.Goal{
		{Name: "Snapshot of 1,000", Unit: "x naive", AtLeast: 200, Got: r.Ratio("naive", "ours")},
	})
}
