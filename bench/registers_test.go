package bench

import (
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/bench/measure"
	"github.com/rollcall-sd/rollcall/bench/naive"
	"github.com/rollcall-sd/rollcall/registry"
)

// registering makes a variant that registers new instances, a hundred of a
// service, on an empty server. op does one; workers do n of them together.
func registering(w *world, name string, workers int, open func() (op func(registry.ServiceInfo) error, done func())) measure.Variant {
	return measure.Variant{Name: name, Operations: workers, Run: func(n int) time.Duration {
		n *= workers
		all := make([]registry.ServiceInfo, n)
		for i := range all {
			all[i] = instance("s" + strconv.Itoa(i/100))
		}
		op, done := open()
		start := time.Now()
		measure.Together(n, workers, func(_, i int) { w.check(op(all[i])) })
		took := time.Since(start)
		done()
		w.check(w.client.FlushAll(ctx).Err())
		return took
	}}
}

func registers(b testing.TB) (goals []measure.Goal) {
	w := newWorld(b)
	ours := func() (func(registry.ServiceInfo) error, func()) {
		r := w.open()
		return func(s registry.ServiceInfo) error {
			s.ID = "" // both ways generate IDs; the naive way's came with the instances
			return r.Register(ctx, s)
		}, func() { w.check(r.Close()) }
	}
	theirs := func() (func(registry.ServiceInfo) error, func()) {
		return func(s registry.ServiceInfo) error { return w.naive.Register(ctx, s) }, func() {}
	}
	var keys atomic.Int64
	value := make([]byte, naive.PayloadBytes)
	set := func() (func(registry.ServiceInfo) error, func()) {
		return func(registry.ServiceInfo) error {
			return w.client.Set(ctx, "set:"+strconv.FormatInt(keys.Add(1), 10), value, longTTL).Err()
		}, func() {}
	}
	for _, c := range []struct {
		name    string
		workers int
		least   float64
	}{{"Register, serial", 1, 2}, {"Register, 64 goroutines", workers, 2.5}} {
		r := measure.Interleave(13, 80*time.Millisecond,
			registering(w, "ours", c.workers, ours), registering(w, "naive", c.workers, theirs), registering(w, "set", c.workers, set))
		goals = append(goals,
			measure.Goal{Name: c.name, Unit: "x naive", AtLeast: c.least, Got: r.Ratio("naive", "ours")},
			measure.Goal{Name: "limit: a bare SET", Unit: "x naive", Got: r.Ratio("naive", "set")})
	}
	return in("Register", append(goals, startUp(w, ours, theirs)...))
}

// startUp: one process registers 1,000 instances; the naive way in a loop, and
// all at once.
func startUp(w *world, ours, theirs func() (func(registry.ServiceInfo) error, func())) []measure.Goal {
	const n = 1000
	r := &measure.Result{}
	for range 9 {
		r.Add("ours", float64(registering(w, "", n, ours).Run(1)))
		r.Add("naive", float64(registering(w, "", 1, theirs).Run(n)))
		r.Add("naive at once", float64(registering(w, "", n, theirs).Run(1)))
	}
	return []measure.Goal{
		{Name: "1,000 at start-up", Unit: "x naive, one by one", AtLeast: 15, Got: r.Ratio("naive", "ours")},
		{Name: "1,000 at start-up", Unit: "x naive, all at once", Got: r.Ratio("naive at once", "ours")},
	}
}
