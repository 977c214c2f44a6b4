package registry_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/registry"
	"github.com/rollcall-sd/rollcall/registry/registrytest"
)

func TestLookupStartsTheWatchAndNeverBlocks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		local := registry.NewLocalRegistry()
		c := registry.NewCachedRegistry(local)
		defer c.Close()
		must(t, local.Register(t.Context(), instance("api", "a")))
		if s := c.Lookup("api"); !errors.Is(s.Stale, registry.ErrNotReady) || s.Instances == nil || len(s.Instances) != 0 {
			t.Fatalf("first Lookup = %+v", s)
		}
		synctest.Wait()
		if s := c.Lookup("api"); s.Stale != nil || len(s.Instances) != 1 {
			t.Fatalf("second Lookup = %+v", s)
		}
		if s := c.Lookup(""); !errors.Is(s.Stale, registry.ErrInvalidService) {
			t.Errorf("Lookup without a name: %v", s.Stale)
		}
		must(t, c.Close())
		if s := c.Lookup("api"); !errors.Is(s.Stale, registry.ErrClosed) {
			t.Errorf("Lookup after Close: %v", s.Stale)
		}
	})
}

func TestLookupAllocatesNothing(t *testing.T) {
	c := registry.NewCachedRegistry(registry.NewLocalRegistry())
	defer c.Close()
	must(t, c.Register(t.Context(), instance("api", "a")))
	_, err := c.Discover(t.Context(), "api")
	must(t, err)
	if n := testing.AllocsPerRun(100, func() { c.Lookup("api") }); n != 0 {
		t.Errorf("Lookup allocates %v times", n)
	}
}

func TestCacheServesTheLastKnownStateWhileDisconnected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flaky := registrytest.NewFlaky(registry.NewLocalRegistry())
		c := registry.NewCachedRegistry(flaky)
		defer c.Close()
		must(t, c.Register(t.Context(), instance("api", "a")))
		_, err := c.Discover(t.Context(), "api")
		must(t, err)
		flaky.Disconnect(nil)
		synctest.Wait()
		list, err := c.Discover(t.Context(), "api")
		if err != nil || len(list) != 1 {
			t.Errorf("Discover = %v, %v while disconnected", list, err)
		}
		if s := c.Lookup("api"); s.Stale == nil || len(s.Instances) != 1 {
			t.Errorf("Lookup = %+v while disconnected", s)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if list, err := c.Discover(ctx, "web"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Discover of a service never seen = %v, %v", list, err)
		}
		flaky.Reconnect()
		synctest.Wait()
		if s := c.Lookup("api"); s.Stale != nil {
			t.Errorf("stale after Reconnect: %v", s.Stale)
		}
	})
}

func TestCacheDropsIdleServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := registry.NewCachedRegistry(registry.NewLocalRegistry(), registry.WithIdleTimeout(time.Minute))
		defer c.Close()
		c.Lookup("idle")
		c.Lookup("busy")
		for range 10 {
			time.Sleep(30 * time.Second)
			c.Lookup("busy")
		}
		synctest.Wait()
		if s := c.Lookup("busy"); s.Stale != nil {
			t.Errorf("a service in use was dropped: %v", s.Stale)
		}
		if s := c.Lookup("idle"); !errors.Is(s.Stale, registry.ErrNotReady) {
			t.Errorf("an idle service is still cached: %+v", s)
		}
	})
}

// A Discover that waits longer than the idle timeout is answered when the backend is back.
func TestCacheWaitsLongerThanTheIdleTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		flaky := registrytest.NewFlaky(registry.NewLocalRegistry())
		c := registry.NewCachedRegistry(flaky, registry.WithIdleTimeout(time.Second))
		defer c.Close()
		must(t, c.Register(t.Context(), instance("api", "a")))
		flaky.Disconnect(nil)
		time.AfterFunc(10*time.Second, flaky.Reconnect)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if list, err := c.Discover(ctx, "api"); err != nil || len(list) != 1 {
			t.Errorf("Discover = %v, %v", list, err)
		}
	})
}

func TestCacheBoundsItsServices(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := registry.NewCachedRegistry(registry.NewLocalRegistry(), registry.WithMaxServices(3))
		defer c.Close()
		for i := range 5 {
			must(t, c.Register(t.Context(), instance(fmt.Sprint("s", i), fmt.Sprint("i", i))))
			list, err := c.Discover(t.Context(), fmt.Sprint("s", i))
			if err != nil || len(list) != 1 {
				t.Errorf("service %d: Discover = %v, %v", i, list, err)
			}
		}
		synctest.Wait()
		for i := range 5 {
			if ready := c.Lookup(fmt.Sprint("s", i)).Stale == nil; ready != (i < 3) {
				t.Errorf("service %d: ready is %v", i, ready)
			}
		}
	})
}

func TestSnapshotCloneIsTheCallersOwn(t *testing.T) {
	c := registry.NewCachedRegistry(registry.NewLocalRegistry())
	defer c.Close()
	i := instance("api", "a")
	i.Metadata = map[string]string{"zone": "eu-1"}
	must(t, c.Register(t.Context(), i))
	_, err := c.Discover(t.Context(), "api")
	must(t, err)
	mine := c.Lookup("api").Clone()
	mine.Instances[0].Metadata["zone"] = "changed"
	if got := c.Lookup("api").Instances[0].Metadata["zone"]; got != "eu-1" {
		t.Errorf("a change of the clone reached the cache: %q", got)
	}
}
