package balance

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/bench/measure"
	"github.com/rollcall-sd/rollcall/registry"
)

// BenchmarkPickCost sets a pick from 1,000 instances, its Done included, beside
// the least that a lookup of one of 100 services can cost, an atomic pointer's
// load and that of a map, measured in turn: at most 10 times that.
func BenchmarkPickCost(b *testing.B) {
	lb, ctx := thousand(b), context.Background()
	var p atomic.Pointer[map[string]*registry.Snapshot]
	services := map[string]*registry.Snapshot{"api": {}}
	for i := range 99 {
		services[fmt.Sprint("service-", i)] = &registry.Snapshot{}
	}
	p.Store(&services)
	var r *measure.Result
	for b.Loop() {
		r = measure.Interleave(21, 20*time.Millisecond,
			measure.Timed("lookup", func(n int) {
				for range n {
					if (*p.Load())["api"] == nil {
						b.Fatal("missing")
					}
				}
			}),
			measure.Timed("pick", func(n int) {
				for range n {
					p, err := lb.Pick(ctx)
					if err != nil {
						b.Fatal(err)
					}
					p.Done(nil)
				}
			}))
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(r.Ratio("pick", "lookup").Median(), "x-lookup")
	b.ReportMetric(r.Time("pick").Median(), "ns/pick")
	b.ReportMetric(r.Time("lookup").Median(), "ns/lookup")
}

// BenchmarkRequestCost says what a balanced GET adds to a direct one, over kept
// connections to the same server on loopback, measured in turn.
func BenchmarkRequestCost(b *testing.B) {
	r := localRegistry(b)
	s := serve(b, r, "a", nil)
	balanced, _ := client(b, r)
	settings := defaults()
	settings.useDefaultTransport()
	direct := &http.Client{Transport: settings.base}
	b.Cleanup(direct.CloseIdleConnections)
	fetch := func(c *http.Client, url string) func() {
		return func() {
			resp, err := c.Get(url)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				b.Fatal(err)
			}
			resp.Body.Close()
		}
	}
	directly, throughUs := fetch(direct, s.URL), fetch(balanced, "http://api/")
	var result *measure.Result
	for b.Loop() {
		result = measure.Interleave(41, 20*time.Millisecond,
			measure.Each("direct", directly), measure.Each("balanced", throughUs))
	}
	// Each side's best quarter: what else the machine does only adds to both.
	d, t := result.Time("direct").Quantile(0.25), result.Time("balanced").Quantile(0.25)
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(d/1000, "direct-µs")
	b.ReportMetric((t-d)/1000, "added-µs")
	b.ReportMetric(testing.AllocsPerRun(1000, throughUs)-testing.AllocsPerRun(1000, directly), "added-allocs")
}
