package registry_test

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/rollcall-sd/rollcall/registry"
	"github.com/rollcall-sd/rollcall/registry/registrytest"
)

// lastState returns the last snapshot of a watch that ends by itself.
func lastState(t *testing.T, b registry.Backend, name string) (last registry.Snapshot) {
	t.Helper()
	n := 0
	for last = range b.Watch(t.Context(), name) {
		n++
	}
	if n != 1 {
		t.Errorf("the watch of %q yielded %d snapshots, want one", name, n)
	}
	return last
}

// Errors after which a watch ends match ErrClosed or ErrInvalidService, and those of an
// outage match neither.
func TestStaleDistinguishesFinalErrorsFromOutages(t *testing.T) {
	final := func(err error) bool {
		return errors.Is(err, registry.ErrClosed) || errors.Is(err, registry.ErrInvalidService)
	}
	synctest.Test(t, func(t *testing.T) {
		flaky := registrytest.NewFlaky(registry.NewLocalRegistry())
		must(t, flaky.Register(t.Context(), instance("api", "a")))
		cache := registry.NewCachedRegistry(flaky)
		if err := cache.Lookup("api").Stale; !errors.Is(err, registry.ErrNotReady) || final(err) {
			t.Errorf("Stale of the first Lookup is %v, want ErrNotReady", err)
		}
		flaky.Disconnect(nil)
		for s := range flaky.Watch(t.Context(), "api") {
			if !errors.Is(s.Stale, registry.ErrUnavailable) || final(s.Stale) {
				t.Errorf("Stale while disconnected is %v, want ErrUnavailable", s.Stale)
			}
			break
		}
		for _, b := range []registry.Backend{flaky, cache} {
			if err := lastState(t, b, "").Stale; !errors.Is(err, registry.ErrInvalidService) {
				t.Errorf("Stale of a bad name is %v, want ErrInvalidService", err)
			}
		}
		must(t, cache.Close())
		for _, b := range []registry.Backend{flaky, cache} {
			if err := lastState(t, b, "api").Stale; !errors.Is(err, registry.ErrClosed) {
				t.Errorf("Stale of a closed registry is %v, want ErrClosed", err)
			}
		}
		if err := cache.Lookup("api").Stale; !errors.Is(err, registry.ErrClosed) {
			t.Errorf("Stale of a Lookup after Close is %v, want ErrClosed", err)
		}
	})
}
