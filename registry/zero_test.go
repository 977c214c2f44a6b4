package registry_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"

	"github.com/rollcall-sd/rollcall/registry"
	"github.com/rollcall-sd/rollcall/registry/registrytest"
)

// calls returns every call that can fail.
func calls(b registry.Backend) map[string]func(ctx context.Context) error {
	return map[string]func(ctx context.Context) error{
		"Register":   func(ctx context.Context) error { return b.Register(ctx, instance("api", "a")) },
		"Deregister": func(ctx context.Context) error { return b.Deregister(ctx, "a") },
		"Discover":   func(ctx context.Context) error { _, err := b.Discover(ctx, "api"); return err },
		"Snapshot":   func(ctx context.Context) error { _, err := b.Snapshot(ctx, "api"); return err },
		"Instances":  func(ctx context.Context) error { _, err := b.Instances(ctx, "api"); return err },
		"Services":   func(ctx context.Context) error { _, err := b.Services(ctx); return err },
		"Events":     func(ctx context.Context) error { _, err := b.Events(ctx, "api"); return err },
		"SetStatus":  func(ctx context.Context) error { return b.SetStatus(ctx, "a", registry.StatusWarning, "") },
		"Drain":      func(ctx context.Context) error { return b.Drain(ctx, "a") },
		"Undrain":    func(ctx context.Context) error { return b.Undrain(ctx, "a") },
		"Watch": func(ctx context.Context) (err error) {
			for s := range b.Watch(ctx, "api") {
				err = s.Stale
			}
			return err
		},
		"WatchServices": func(ctx context.Context) (err error) {
			for c := range b.WatchServices(ctx) {
				err = c.Stale
			}
			return err
		},
		"NotifyLost": func(context.Context) (err error) {
			b.NotifyLost("a", func(reason error) { err = reason })()
			return err
		},
		"Serve": func(ctx context.Context) error {
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				return err
			}
			var server http.Server
			return registry.Serve(ctx, b, instance("api", "a"), l, server.Serve, server.Shutdown)
		},
		"Join": func(ctx context.Context) error { _, err := registry.Join(ctx, b, instance("api", "a")); return err },
	}
}

func TestTheZeroValueOfARegistryIsClosed(t *testing.T) {
	for name, b := range map[string]registry.Backend{
		"local": new(registry.LocalRegistry), "redis": new(registry.RedisRegistry),
		"cache": new(registry.CachedRegistry), "cache on nil": registry.NewCachedRegistry(nil),
	} {
		for what, call := range calls(b) {
			if err := call(t.Context()); !errors.Is(err, registry.ErrClosed) {
				t.Errorf("%s: %s = %v, want ErrClosed", name, what, err)
			}
		}
		if err := b.Close(); err != nil {
			t.Errorf("%s: Close = %v", name, err)
		}
	}
}

func TestEveryCallAfterCloseReturnsErrClosed(t *testing.T) {
	b := registry.NewLocalRegistry()
	must(t, b.Close())
	for what, call := range calls(b) {
		if err := call(t.Context()); !errors.Is(err, registry.ErrClosed) {
			t.Errorf("%s = %v, want ErrClosed", what, err)
		}
	}
}

func TestTheZeroValueOfACacheIsClosed(t *testing.T) {
	var c registry.CachedRegistry
	if err := c.Lookup("api").Stale; !errors.Is(err, registry.ErrClosed) {
		t.Errorf("Lookup = %v, want ErrClosed", err)
	}
	if registrytest.NewFlaky(&c).Supersede("a") {
		t.Error("a registration was superseded")
	}
	must(t, c.Close())
}

func TestTheZeroMembershipIsLeft(t *testing.T) {
	var m registry.Membership
	must(t, m.Leave(t.Context()))
	must(t, m.Err())
	select {
	case <-m.Lost():
		t.Error("Lost is closed")
	default:
	}
}

func TestCacheOptionsRefuseNegativeValues(t *testing.T) {
	for name, option := range map[string]func(){
		"WithIdleTimeout": func() { registry.WithIdleTimeout(-1) },
		"WithMaxServices": func() { registry.WithMaxServices(-1) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s accepts -1", name)
				}
			}()
			option()
		}()
	}
}
