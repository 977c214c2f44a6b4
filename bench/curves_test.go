package bench

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/bench/measure"
	"github.com/rollcall-sd/rollcall/registry"
)

// BenchmarkCurves measures how figures grow and writes them, as JSON, to the
// file that ROLLCALL_BENCH_CURVES names; see `make bench-full`.
func BenchmarkCurves(b *testing.B) {
	var result struct {
		Machine string
		Curves  []measure.Curve
	}
	result.Machine = measure.Machine()
	for _, curve := range []struct {
		name    string
		measure func(testing.TB) measure.Curve
	}{
		{"instances", byInstances}, {"services", byServices}, {"watchers", byWatchers}, {"churn", byChurn},
	} {
		b.Run(curve.name, func(b *testing.B) { result.Curves = append(result.Curves, curve.measure(b)) })
	}
	writeJSON(b, "ROLLCALL_BENCH_CURVES", result)
}

const micro = 1e-3 // ns to µs

func byInstances(b testing.TB) measure.Curve {
	c := measure.Curve{Name: "instances", Title: "One read of a service that does not change",
		X: "instances of the service", Y: "µs, one caller"}
	w := newWorld(b)
	for _, n := range []int{1, 10, 100, 1000, 10000} {
		service := serviceOf(n)
		w.register(service, n)
		r := measure.Interleave(7, 40*time.Millisecond,
			measure.Each("bare GET", w.get),
			measure.Each("Snapshot", func() { w.snapshot(service, n) }),
			measure.Each("Discover", func() { w.discover(w.reader, service, n) }),
			measure.Each("naive", func() { w.discover(w.naive, service, n) }))
		for _, name := range []string{"naive", "Discover", "Snapshot", "bare GET"} {
			c.Add(name, float64(n), r.Time(name).Scaled(micro))
		}
	}
	return c
}

func byServices(b testing.TB) measure.Curve {
	c := measure.Curve{Name: "services", Title: "Reads by 64 goroutines over many services of 10",
		X: "services", Y: "µs per read"}
	w := newWorld(b)
	names := []string{}
	for _, n := range []int{1, 10, 100, 1000} {
		for len(names) < n {
			name := fmt.Sprintf("many-%d", len(names))
			w.register(name, 10)
			names = append(names, name)
		}
		r := measure.Interleave(7, 60*time.Millisecond,
			measure.Concurrent("bare GET", workers, func(int, int) { w.get() }),
			measure.Concurrent("Snapshot", workers, func(_, i int) { w.snapshot(names[i%n], 10) }),
			measure.Concurrent("naive", workers, func(_, i int) { w.discover(w.naive, names[i%n], 10) }))
		for _, name := range []string{"naive", "Snapshot", "bare GET"} {
			c.Add(name, float64(n), r.Time(name).Scaled(micro))
		}
	}
	return c
}

func byWatchers(b testing.TB) measure.Curve {
	c := measure.Curve{Name: "watchers", Title: "From the call of Register to watching processes",
		X: "watching processes (a subscription each)", Y: "µs"}
	w := newWorld(b)
	const service = "watched"
	s := instance(service)
	s.Version = "0"
	w.check(w.writer.Register(ctx, s))
	arrived := make(chan time.Time, 2000)
	watching, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	defer func() { cancel(); all.Wait() }()
	opened := 0
	for _, n := range []int{1, 10, 100, 1000} {
		for ; opened < n; opened++ {
			r := w.open()
			ready := make(chan struct{})
			all.Go(func() {
				first := true
				for range r.Watch(watching, service) {
					if first {
						close(ready)
						first = false
						continue
					}
					arrived <- time.Now()
				}
			})
			<-ready
		}
		time.Sleep(200 * time.Millisecond) // what the newest subscriptions find out on their own
		for len(arrived) > 0 {
			<-arrived
		}
		var first, last measure.Sample
		for i := range 60 {
			s.Version = fmt.Sprint(n, ".", i)
			start := time.Now()
			w.check(w.writer.Register(ctx, s))
			at := (<-arrived).Sub(start)
			first = append(first, float64(at))
			for range n - 1 {
				at = max(at, (<-arrived).Sub(start))
			}
			last = append(last, float64(at))
		}
		c.Add("the last to see it", float64(n), last.Scaled(micro))
		c.Add("the first to see it", float64(n), first.Scaled(micro))
	}
	return c
}

func byChurn(b testing.TB) measure.Curve {
	c := measure.Curve{Name: "churn", Title: "One read of a service of 100 while others change it",
		X: "changes per second", Y: "µs, one caller"}
	const n = 100
	w := newWorld(b)
	service := serviceOf(n)
	all := w.register(service, n)
	for _, rate := range []int{0, 500, 1000, 2000, 3000, 4000, 5000} {
		changes := 0
		stop := churn(w, all, rate, &changes)
		const lasting = 2 * time.Second
		var ours, naive measure.Sample
		for start := time.Now(); time.Since(start) < lasting; {
			t := time.Now()
			w.snapshot(service, n)
			ours = append(ours, float64(time.Since(t)))
			t = time.Now()
			w.get()
			naive = append(naive, float64(time.Since(t)))
		}
		stop()
		reached := float64(changes) / lasting.Seconds()
		c.Add("Snapshot, p50", reached, ours.Scaled(micro))
		c.Add("Snapshot, p99", reached, measure.Sample{ours.Quantile(0.99) * micro})
		c.Add("bare GET, p50", reached, naive.Scaled(micro))
	}
	return c
}

// churn changes one instance after the other at a rate per second, or as fast as
// the server can, until stop is called.
func churn(w *world, all []registry.ServiceInfo, rate int, changes *int) (stop func()) {
	if rate == 0 {
		return func() {}
	}
	ending := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		start := time.Now()
		for {
			due := int(time.Since(start).Seconds() * float64(rate))
			var some sync.WaitGroup
			for range min(due-*changes, 16) {
				*changes++
				s := all[*changes%len(all)]
				s.Port = 1 + *changes%60000
				some.Go(func() { w.check(w.writer.Register(ctx, s)) })
			}
			some.Wait()
			select {
			case <-ending:
				return
			case <-time.After(time.Millisecond):
			}
		}
	})
	return func() { close(ending); writing.Wait() }
}
