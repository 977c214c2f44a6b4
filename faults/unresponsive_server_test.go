package faults

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/faultnet"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// maxReturnDelay is how soon after its context ended a call must return.
const maxReturnDelay = 100 * time.Millisecond

// clientKinds are the library's own client and one of the caller.
var clientKinds = map[string]func(t *testing.T, addr string) func(*registry.RedisRegistryConfig){
	"own client": func(_ *testing.T, addr string) func(*registry.RedisRegistryConfig) { return throughAddr(addr) },
	"caller's client": func(t *testing.T, addr string) func(*registry.RedisRegistryConfig) {
		client := redis.NewClient(&redis.Options{Addr: addr}) // without ContextTimeoutEnabled
		t.Cleanup(func() { client.Close() })
		return func(cfg *registry.RedisRegistryConfig) { cfg.RedisAddr, cfg.Client = "", client }
	},
}

// Every call against a server that accepts and never answers, ended by cancellation and
// by deadline, and Close.
//
// Callers wait on their context, not on the socket; Close within 5 s.
//
// Promise 10: nothing leaks.
func TestCallsOnAnUnresponsiveServer(t *testing.T) {
	for name, reach := range clientKinds {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			line := faultnet.New(t, server.Addr())
			r := openShort(t, server, reach(t, line.Addr()))
			register(t, r, "web", "own1", "own2")
			line.Hold()
			calls := map[string]func(context.Context, int) error{
				"Register": func(ctx context.Context, n int) error {
					return r.Register(ctx, service("web", fmt.Sprint("n", n)))
				},
				"Deregister own": func(ctx context.Context, n int) error { return r.Deregister(ctx, fmt.Sprint("own", n)) },
				"Deregister":     func(ctx context.Context, _ int) error { return r.Deregister(ctx, "other") },
				"Discover":       func(ctx context.Context, _ int) error { _, err := r.Discover(ctx, "web"); return err },
				"Snapshot":       func(ctx context.Context, _ int) error { _, err := r.Snapshot(ctx, "web"); return err },
				"Instances":      func(ctx context.Context, _ int) error { _, err := r.Instances(ctx, "web"); return err },
				"Services":       func(ctx context.Context, _ int) error { _, err := r.Services(ctx); return err },
			}
			var slowest time.Duration
			for n, end := range []func() (context.Context, context.CancelFunc, time.Time){cancelled, deadlineExceeded} {
				for call, do := range calls {
					took := endsWithItsContext(t, call, end, func(ctx context.Context) error { return do(ctx, n+1) })
					slowest = max(slowest, took)
				}
			}
			figure(t, "mute server, "+name+": call ends", slowest)
			began := time.Now()
			if err := r.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			figure(t, "mute server, "+name+": Close", checkBound(t, began, 5*time.Second, "Close"))
			line.Cut() // otherwise the caller's client waits for its own timeout
		})
	}
}

// NewRedisRegistry with such a server.
//
// It fails within its context, or 5 s, with ErrUnavailable.
func TestOpenOnAnUnresponsiveServer(t *testing.T) {
	for name, reach := range clientKinds {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			line := faultnet.New(t, server.Addr())
			line.Hold()
			cfg := config(t, server, shortTTL, shortHeartbeat)
			reach(t, line.Addr())(&cfg)
			opening := func(ctx context.Context) error {
				r, err := registry.NewRedisRegistry(ctx, cfg)
				if err == nil {
					r.Close()
				}
				if !errors.Is(err, registry.ErrUnavailable) {
					t.Errorf("open: %v", err)
				}
				return err
			}
			for _, end := range []func() (context.Context, context.CancelFunc, time.Time){cancelled, deadlineExceeded} {
				figure(t, "mute server, "+name+": open ends", endsWithItsContext(t, "open", end, opening))
			}
			began := time.Now()
			if err := opening(context.Background()); err == nil {
				t.Error("opened")
			}
			figure(t, "mute server, "+name+": open without a deadline ends", checkBound(t, began, 5*time.Second+maxReturnDelay, "open"))
			line.Cut()
		})
	}
}

// cancelled and deadlineExceeded return a context that ends soon, and say when.
func cancelled() (context.Context, context.CancelFunc, time.Time) {
	ctx, cancel := context.WithCancel(context.Background())
	const in = 100 * time.Millisecond
	time.AfterFunc(in, cancel)
	return ctx, cancel, time.Now().Add(in)
}

func deadlineExceeded() (context.Context, context.CancelFunc, time.Time) {
	at := time.Now().Add(100 * time.Millisecond)
	ctx, cancel := context.WithDeadline(context.Background(), at)
	return ctx, cancel, at
}

// endsWithItsContext returns how long after its context's end a call returned.
func endsWithItsContext(t *testing.T, name string, end func() (context.Context, context.CancelFunc, time.Time), call func(context.Context) error) time.Duration {
	t.Helper()
	ctx, cancel, at := end()
	defer cancel()
	err := call(ctx)
	took := checkBound(t, at, maxReturnDelay, name+" after its context ended")
	if !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%s: %v", name, err)
	}
	return took
}
