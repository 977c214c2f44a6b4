package registrytest

import (
	"context"
	"errors"
	"testing"

	"github.com/rollcall-sd/rollcall/registry"
)

// Backends that treat an expiry as evidence though no write was accepted since,
// or fail in other ways while writes are refused.
var refuseMutants = []mutant{
	{"while writes are refused Register fails with ErrUnavailable", "want an ErrUnavailable",
		onRegister(func(o *mutated, ctx context.Context, s registry.ServiceInfo) error {
			if err := o.ref.Register(ctx, s); !errors.Is(err, registry.ErrUnavailable) {
				return err
			}
			return nil
		})},
	{"while writes are refused Discover reports no absence", "reports an absence: []", withFault("expires unproven")},
	{"while writes are refused Discover reports no absence", "want an ErrUnavailable", mutate(func(o *mutated) {
		o.discover = func(ctx context.Context, name string) ([]registry.ServiceInfo, error) {
			list, err := o.ref.Discover(ctx, name)
			if errors.Is(err, registry.ErrUnavailable) {
				err = errors.New("no answer")
			}
			return list, err
		}
	})},
	{"while writes are refused a cache lists what it knows", `Discover("api") = []`, func() Harness {
		h := refHarness("expires unproven")
		h.Cached = true
		return h
	}},
	{"while writes are refused a watch keeps the last state and goes stale", "dropped the last known state", withFault("expires unproven")},
	{"while writes are refused a watch keeps the last state and goes stale", "does not show it", skipsStale},
	{"an instance that crashed while writes were refused expires once they are accepted", `Discover("api") = [dies lives]`, withFault("never expires")},
	{"a registry that only reads opens while writes are refused", "open: writes are refused", func() Harness {
		h := refHarness("")
		h.New = func(testing.TB) Universe {
			w := newWorld(testTTL, testBeat, "")
			u := w.universe()
			u.Open = func(tb testing.TB) registry.Registry {
				if w.mu.Lock(); w.refused {
					w.mu.Unlock()
					tb.Fatalf("open: writes are refused")
				}
				w.mu.Unlock()
				return w.open()
			}
			return u
		}
		return h
	}},
}
