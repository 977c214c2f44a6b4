package registry_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/faultnet"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
	"github.com/rollcall-sd/rollcall/registry/registrytest"
)

func TestLocalRegistryConforms(t *testing.T) {
	registrytest.Run(t, registrytest.Harness{
		Backend: true,
		Bubble:  true,
		New: func(testing.TB) registrytest.Universe {
			return registrytest.Universe{Open: func(testing.TB) registry.Registry { return registry.NewLocalRegistry() }}
		},
	})
}

func TestCachedLocalRegistryConforms(t *testing.T) {
	registrytest.Run(t, registrytest.Harness{
		Backend: true,
		Cached:  true,
		Bubble:  true,
		New: func(testing.TB) registrytest.Universe {
			return registrytest.Universe{Open: func(testing.TB) registry.Registry {
				return registry.NewCachedRegistry(registry.NewLocalRegistry())
			}}
		},
	})
}

const (
	testTTL  = 2 * time.Second
	testBeat = 500 * time.Millisecond
)

// redisHarness is a harness on a real server, reached through a line that can fall mute.
func redisHarness(t *testing.T, wrap func(registry.Backend) registry.Registry) registrytest.Harness {
	server := redistest.Start(t)
	admin := server.Client(t)
	return registrytest.Harness{
		Backend: true, Shared: true, Expiry: true, Mute: true, Refuse: true,
		TTL: testTTL, Heartbeat: testBeat,
		New: func(tb testing.TB) registrytest.Universe {
			line := faultnet.New(tb, server.Addr())
			namespace := uuid.NewString()
			setUser(tb, admin, namespace, "on", ">secret", "~*", "&*", "+@all")
			return registrytest.Universe{
				Open: func(tb testing.TB) registry.Registry {
					r, err := registry.NewRedisRegistry(context.Background(), registry.RedisRegistryConfig{
						RedisAddr: line.Addr(), Username: namespace, Password: "secret", TTL: testTTL, HeartbeatInterval: testBeat, Namespace: namespace,
						Logger: slog.New(slog.DiscardHandler),
					})
					if err != nil {
						tb.Fatalf("open: %v", err)
					}
					return wrap(r)
				},
				Mute: func() { line.Hold() },
				// A right of this universe's own user: others are on the same server.
				Refuse: func() (accept func()) {
					setUser(tb, admin, namespace, "-@write")
					return func() { setUser(tb, admin, namespace, "+@write") }
				},
			}
		},
	}
}

func setUser(tb testing.TB, admin *redis.Client, name string, rules ...any) {
	tb.Helper()
	if err := admin.Do(context.Background(), append([]any{"ACL", "SETUSER", name}, rules...)...).Err(); err != nil {
		tb.Fatalf("ACL SETUSER: %v", err)
	}
}

func TestRedisRegistryConforms(t *testing.T) {
	registrytest.Run(t, redisHarness(t, func(b registry.Backend) registry.Registry { return b }))
}

func TestCachedRedisRegistryConforms(t *testing.T) {
	h := redisHarness(t, func(b registry.Backend) registry.Registry { return registry.NewCachedRegistry(b) })
	h.Cached = true
	registrytest.Run(t, h)
}
