package faults

import (
	"fmt"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// sentinelConfig is a registry's configuration on Sentinels.
func sentinelConfig(t testing.TB, g *redistest.Sentinels) registry.RedisRegistryConfig {
	cfg := config(t, g.Primary(), shortTTL, shortHeartbeat)
	cfg.RedisAddr, cfg.Addrs, cfg.MasterName = "", g.SentinelAddrs(), g.MasterName()
	return cfg
}

// watched registers three instances of "web" from two registries, a and another. A
// third watches.
func watched(t testing.TB, cfg registry.RedisRegistryConfig) (a, reader *registry.RedisRegistry, web *watchLog, want []registry.ServiceInfo) {
	a, b, reader := open(t, cfg), open(t, cfg), open(t, cfg)
	register(t, a, "web", "a1", "a2")
	register(t, b, "web", "b1")
	want = present(t, reader, "web")
	web = watch(t, reader, "web")
	web.await(t, time.Now(), backBy, "the start", is(want))
	return a, reader, web, want
}

// The primary is killed; the Sentinels make a replica the primary.
//
// Promise 3, comes back; promise 7, no false empty; promise 8, a watch never dies
// silently; promise 12, runs on Sentinel.
func TestRunsWhereSentinelFailsOver(t *testing.T) {
	t.Parallel()
	g := redistest.StartSentinels(t)
	cfg := sentinelConfig(t, g)
	a, reader, web, want := watched(t, cfg)

	began := time.Now()
	old := g.Primary()
	old.Kill()
	at := awaitFailover(t, g, old, began)
	figure(t, "Sentinel: all back after the primary was killed", within(t, at, backBy, "all are back", discoversExactly(reader, "web", want)))
	figure(t, "Sentinel: watch current after the primary was killed", web.await(t, at, 2*backBy, "a current state", is(want)))
	requireWorking(t, a, reader, web, want)
	web.requireKept(t, began, "a1", "a2", "b1")
}

// The primary is frozen until another has replaced it, and thawed. For some seconds
// it still acts as primary.
//
// Promises 3, 7, 8 and 12; and once the Sentinels switched, no process writes to the
// old one.
func TestSentinelFailoverPrimaryFrozen(t *testing.T) {
	t.Parallel()
	g := redistest.StartSentinels(t)
	cfg := sentinelConfig(t, g)
	a, reader, web, want := watched(t, cfg)

	began := time.Now()
	old := g.Primary()
	side := old.Client(t)
	old.Freeze()
	at := awaitFailover(t, g, old, began)
	figure(t, "Sentinel: all back after the primary froze", within(t, at, backBy, "all are back", discoversExactly(reader, "web", want)))
	figure(t, "Sentinel: watch current after the primary froze", web.await(t, at, 2*backBy, "a current state", is(want)))

	old.Thaw()
	thawed := time.Now()
	// What it says as a primary: when it was last written to.
	var last int64
	samples := 0
	within(t, thawed, 30*time.Second, "the old primary is demoted", func() error {
		if err := discoversExactly(reader, "web", want)(); err != nil {
			t.Fatalf("while the old primary was back: %v", err)
		}
		pipe := side.TxPipeline()
		role := pipe.Do(t.Context(), "ROLE")
		seen := pipe.HGet(t.Context(), keyOf(cfg, "web", "h"), "seen")
		if _, err := pipe.Exec(t.Context()); err != nil {
			return err
		}
		if roles, err := role.Slice(); err != nil || roles[0] != "master" {
			return err
		}
		samples++
		n, err := seen.Int64()
		if err != nil {
			t.Fatal(err)
		}
		last = max(last, n)
		return fmt.Errorf("it is a primary")
	})
	if samples == 0 {
		t.Fatal("the old primary was demoted before it could be asked anything")
	}
	if written := time.UnixMicro(last); written.After(at) {
		t.Errorf("the old primary was written to %s after the Sentinels had switched", written.Sub(at))
	}
	t.Logf("the old primary took itself for one for %s, %d samples", time.Since(thawed).Round(time.Millisecond), samples)
	g.WaitDemoted(old)
	requireWorking(t, a, reader, web, want)
	web.requireKept(t, began, "a1", "a2", "b1")
}

// awaitFailover waits until another primary answers and returns when that was.
func awaitFailover(t testing.TB, g *redistest.Sentinels, old *redistest.Server, began time.Time) time.Time {
	t.Helper()
	g.WaitFailover(old)
	at := time.Now()
	t.Logf("another primary answers after %s", at.Sub(began).Round(time.Millisecond))
	return at
}

// requireWorking shows that registering, deregistering and watching work.
func requireWorking(t testing.TB, owner, reader registry.Registry, w *watchLog, want []registry.ServiceInfo) {
	t.Helper()
	at := time.Now()
	must(t, owner.Register(contextFor(t, 5*time.Second), service(w.service, "newcomer")))
	if err := includes(present(t, reader, w.service), "newcomer"); err != nil {
		t.Fatal(err)
	}
	w.await(t, at, time.Since(at)+backBy, "a registration", with("newcomer"))
	at = time.Now()
	must(t, owner.Deregister(contextFor(t, 5*time.Second), "newcomer"))
	must(t, retryStalled(t, shortHeartbeat, discoversExactly(reader, w.service, want)))
	w.await(t, at, time.Since(at)+backBy, "a deregistration", is(want))
}
