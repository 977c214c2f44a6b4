package bench

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
)

func stats(w *world) {
	s, _ := w.client.Info(ctx, "commandstats").Result()
	for _, l := range strings.Split(s, "\r\n") {
		if strings.HasPrefix(l, "cmdstat_") {
			l = strings.TrimPrefix(l, "cmdstat_")
			if i := strings.Index(l, ",rejected"); i > 0 {
				l = l[:i]
			}
			fmt.Println("   ", l)
		}
	}
	w.client.ConfigResetStat(ctx)
}

func BenchmarkMicroRegister(b *testing.B) {
	w := newWorld(b)
	w.client.ConfigResetStat(ctx)
	start := time.Now()
	for i := range 5000 {
		s := instance(fmt.Sprint("s", i/100))
		s.ID = ""
		w.check(w.writer.Register(ctx, s))
	}
	fmt.Println("serial", time.Since(start)/5000)
	stats(w)
	start = time.Now()
	for i := range 5000 {
		w.check(w.naive.Register(ctx, instance(fmt.Sprint("s", i/100))))
	}
	fmt.Println("naive", time.Since(start)/5000)
	w.client.ConfigResetStat(ctx)
	r := w.open(func(c *registry.RedisRegistryConfig) { c.TTL, c.HeartbeatInterval = 30*time.Second, time.Second })
	all := make([]registry.ServiceInfo, 1000)
	for i := range all {
		all[i] = instance(fmt.Sprint("t", i/100))
		all[i].ID = ""
	}
	start = time.Now()
	registerAll(w, r, all)
	fmt.Println("batched", time.Since(start)/1000)
	stats(w)
}

func BenchmarkMicroFirst(b *testing.B) {
	w := newWorld(b)
	w.register("of-1000", 1000)
	w.client.ConfigResetStat(ctx)
	var took time.Duration
	for b.Loop() {
		r := w.open(func(c *registry.RedisRegistryConfig) { c.Client, c.RedisAddr = w.client, "" })
		start := time.Now()
		s, err := r.Snapshot(ctx, "of-1000")
		took += time.Since(start)
		w.check(err)
		w.count(len(s.Instances), 1000)
		r.Close()
	}
	b.ReportMetric(float64(took.Microseconds())/float64(b.N), "us/first")
	stats(w)
	start := time.Now()
	for range 20 {
		w.discover(w.naive, "of-1000", 1000)
	}
	b.ReportMetric(float64(time.Since(start).Microseconds())/20, "us/naive")
}

func BenchmarkMicroBeat(b *testing.B) {
	w := newWorld(b)
	r := w.open(func(c *registry.RedisRegistryConfig) { c.TTL, c.HeartbeatInterval = 30*time.Second, time.Second })
	registerAll(w, r, fleet())
	time.Sleep(1500 * time.Millisecond)
	for b.Loop() {
		u := w.during(4 * time.Second)
		fmt.Printf("client %.4f redis %.4f\n", u.client, u.redis)
	}
	stats(w)
}
