package bench

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/bench/measure"
	"github.com/rollcall-sd/rollcall/bench/naive"
	"github.com/rollcall-sd/rollcall/registry"
)

// pushes measures from the call of Register to the watcher of another registry.
func pushes(b testing.TB) []measure.Goal {
	const (
		rounds = 9
		each   = 500
	)
	w := newWorld(b)
	raw := rawPushes(w)
	ours := newPushes(w, "pushed", 1)
	defer ours.stop()
	crowd := newPushes(w, "crowded", 10_000)
	defer crowd.stop()
	var ratio, median, last measure.Sample
	for range rounds {
		var rawTimes, ourTimes, lastTimes measure.Sample
		for i := range each {
			rawTimes = append(rawTimes, raw(i))
			ourTimes = append(ourTimes, ours.next())
			if i%20 == 0 {
				lastTimes = append(lastTimes, crowd.next())
			}
		}
		ratio = append(ratio, ourTimes.Quantile(0.99)/rawTimes.Quantile(0.99))
		median = append(median, ourTimes.Median()/rawTimes.Median())
		last = append(last, lastTimes.Median()/ourTimes.Quantile(0.99))
	}
	return in("Register to watcher", []measure.Goal{
		{Name: "p99", Unit: "of raw PUBLISH's p99", AtMost: 1.6, Got: ratio},
		{Name: "p50", Unit: "of raw PUBLISH's p50", Got: median},
		{Name: "last of 10,000 watches in one process", Unit: "of the p99 of one", AtMost: 5, Got: last},
	})
}

// rawPushes returns a function that times one PUBLISH to a reader with its own connection.
func rawPushes(w *world) func(i int) float64 {
	sub := w.client.Subscribe(ctx, "raw")
	w.b.Cleanup(func() { sub.Close() })
	_, err := sub.Receive(ctx)
	w.check(err)
	arrived := make(chan time.Time, 1)
	go func() {
		for {
			if _, err := sub.ReceiveMessage(ctx); err != nil {
				return
			}
			arrived <- time.Now()
		}
	}()
	message := strings.Repeat("x", naive.PayloadBytes)
	return func(int) float64 {
		start := time.Now()
		w.check(w.client.Publish(ctx, "raw", message).Err())
		return float64((<-arrived).Sub(start))
	}
}

// pusher registers in one service, which readers watch.
type pusher struct {
	w        *world
	instance registry.ServiceInfo
	changes  int
	version  atomic.Value // the Version, a string, that readers are to see
	arrived  atomic.Int64
	last     chan time.Time
	stop     func()
}

func newPushes(w *world, service string, readers int) *pusher {
	p := &pusher{w: w, instance: instance(service), last: make(chan time.Time, 1)}
	p.version.Store("")
	watching, cancel := context.WithCancel(ctx)
	var all sync.WaitGroup
	for range readers {
		all.Go(func() {
			for snap := range w.reader.Watch(watching, service) {
				if len(snap.Instances) == 0 || snap.Instances[0].Version != p.version.Load() {
					continue
				}
				if p.arrived.Add(1) == int64(readers) {
					p.last <- time.Now()
				}
			}
		})
	}
	p.stop = func() { cancel(); all.Wait() }
	// Until all of them wait for the next change.
	for range 3 {
		p.next()
	}
	return p
}

// next changes the instance and returns when the last reader received it, in ns.
func (p *pusher) next() float64 {
	p.changes++
	p.instance.Version = fmt.Sprint(p.changes)
	p.arrived.Store(0)
	p.version.Store(p.instance.Version)
	start := time.Now()
	p.w.check(p.w.writer.Register(ctx, p.instance))
	return float64((<-p.last).Sub(start))
}
