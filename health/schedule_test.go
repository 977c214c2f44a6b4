package health_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/health"
	"github.com/rollcall-sd/rollcall/registry"
	"github.com/rollcall-sd/rollcall/registry/registrytest"
)

// pass1 lets time go by in steps shorter than the least pause between two probes.
func pass1() {
	time.Sleep(health.DefaultInterval / 10)
	synctest.Wait()
}

func TestPausesAreJittered(t *testing.T) {
	bubble(t, settings{}, func(t *testing.T, c *health.Checker, w *written, p *patient) {
		start := time.Now()
		must(t, c.Register(t.Context(), asked("a")))
		pass(50)
		times := p.times()
		if !times[0].Equal(start) {
			t.Errorf("first probe %v after registering, want at once", times[0].Sub(start))
		}
		var pauses []time.Duration
		for i := range times[1:] {
			pauses = append(pauses, times[i+1].Sub(times[i]))
		}
		slices.Sort(pauses)
		least, most := pauses[0], pauses[len(pauses)-1]
		if least < health.DefaultInterval*8/10 || most > health.DefaultInterval || most-least < health.DefaultInterval/20 {
			t.Errorf("pauses from %v to %v, want spread over 80 to 100%% of %v", least, most, health.DefaultInterval)
		}
	})
}

func TestConcurrencyIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const instances, most = 100, 4
		var now, peak, probes atomic.Int64
		slow := func(ctx context.Context, _ health.Target) health.Result {
			probes.Add(1)
			for n := now.Add(1); ; {
				if old := peak.Load(); n <= old || peak.CompareAndSwap(old, n) {
					break
				}
			}
			defer now.Add(-1)
			select {
			case <-time.After(100 * time.Millisecond):
			case <-ctx.Done():
			}
			return health.Passing("")
		}
		c := check(t, registry.NewLocalRegistry(), settings{
			Concurrency: most, Logger: quiet, Probes: map[string]health.Probe{"ask": slow},
		})
		defer c.Close()
		for i := range instances {
			must(t, c.Register(t.Context(), asked(fmt.Sprint(i))))
		}
		pass(10)
		if peak.Load() != most {
			t.Errorf("%d probes at a time, want %d", peak.Load(), most)
		}
		if n := probes.Load(); n < 10*instances*9/10 {
			t.Errorf("%d probes of %d instances in 10 intervals", n, instances)
		}
	})
}

func TestTimeoutIsCritical(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hang := func(ctx context.Context, _ health.Target) health.Result {
			<-ctx.Done()
			return health.Critical("no answer")
		}
		c := check(t, registry.NewLocalRegistry(), settings{
			Timeout: time.Second, Fall: 1, Logger: quiet, Probes: map[string]health.Probe{"ask": hang},
		})
		defer c.Close()
		must(t, c.Register(t.Context(), asked("a")))
		time.Sleep(time.Second)
		synctest.Wait()
		if callable(t, c) != 0 {
			t.Error("still callable after Timeout")
		}
	})
}

func TestDeregisterEndsProbing(t *testing.T) {
	bubble(t, settings{}, func(t *testing.T, c *health.Checker, w *written, p *patient) {
		must(t, c.Register(t.Context(), asked("a")))
		pass(2)
		must(t, c.Deregister(t.Context(), "a"))
		p.notAskedAgain(t, "after Deregister")
	})
}

func TestRegisteringAgainReplacesTheProbe(t *testing.T) {
	bubble(t, settings{Fall: 2}, func(t *testing.T, c *health.Checker, w *written, p *patient) {
		ctx := t.Context()
		must(t, c.Register(ctx, asked("a")))
		p.set(health.Critical("down"))
		// Registering over and over is no way around Fall.
		for range 5 {
			must(t, c.Register(ctx, asked("a")))
			pass1()
		}
		if callable(t, c) != 0 {
			t.Fatal("callable although each probe failed")
		}
		moved := asked("a")
		moved.Port = 81
		must(t, c.Register(ctx, moved))
		if callable(t, c) != 0 {
			t.Fatal("callable before a probe succeeded")
		}
		p.set(health.Passing(""))
		pass(1)
		if callable(t, c) != 1 {
			t.Fatal("not back")
		}
		moved.HealthEndpoint = ""
		must(t, c.Register(ctx, moved))
		n := len(p.times())
		pass(3)
		if len(p.times()) != n {
			t.Error("probed although the new registration has no HealthEndpoint")
		}
	})
}

func TestRegisterThatFailsKeepsTheProbe(t *testing.T) {
	bubble(t, settings{}, func(t *testing.T, c *health.Checker, w *written, p *patient) {
		must(t, c.Register(t.Context(), asked("a")))
		bad := asked("a")
		bad.Port = 0
		if c.Register(t.Context(), bad) == nil {
			t.Fatal("port 0 was taken")
		}
		n := len(p.times())
		pass(2)
		if len(p.times()) == n {
			t.Error("probing ended with a registration that was refused")
		}
	})
}

func TestSupersededIsNotProbed(t *testing.T) {
	bubble(t, settings{}, func(t *testing.T, c *health.Checker, w *written, p *patient) {
		m, err := registry.Join(t.Context(), c, asked("a"))
		must(t, err)
		pass(1)
		if !registrytest.NewFlaky(c).Supersede("a") {
			t.Fatal("not superseded")
		}
		<-m.Lost()
		p.notAskedAgain(t, "by the earlier owner")
	})
}

func TestRemovedByAnotherIsNotProbed(t *testing.T) {
	bubble(t, settings{}, func(t *testing.T, c *health.Checker, w *written, p *patient) {
		must(t, c.Register(t.Context(), asked("a")))
		pass(1)
		must(t, w.Deregister(t.Context(), "a"))
		p.notAskedAgain(t, "of what is no longer registered")
	})
}

func TestCloseWaitsForProbes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var started, ended atomic.Int64
		slow := func(ctx context.Context, _ health.Target) health.Result {
			started.Add(1)
			<-ctx.Done()
			time.Sleep(time.Second)
			ended.Add(1)
			return health.Critical("")
		}
		c := check(t, registry.NewLocalRegistry(), settings{Logger: quiet, Probes: map[string]health.Probe{"ask": slow}})
		for i := range 10 {
			must(t, c.Register(t.Context(), asked(fmt.Sprint(i))))
		}
		synctest.Wait()
		must(t, c.Close())
		if started.Load() != 10 || ended.Load() != 10 {
			t.Errorf("%d of %d probes had ended when Close returned", ended.Load(), started.Load())
		}
		must(t, c.Close())
	})
}
