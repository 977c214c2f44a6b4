package faults

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/faultnet"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// fill registers count instances of web with this many bytes of metadata each.
func fill(t *testing.T, r registry.Registry, count, bytes int) {
	t.Helper()
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for i := w; i < count; i += 4 {
				s := service("web", fmt.Sprint("i-", i))
				s.Metadata = map[string]string{"k": strings.Repeat("x", bytes)}
				if err := r.Register(context.Background(), s); err != nil {
					t.Errorf("register %d of %d: %v", i, count, err)
					return
				}
			}
		})
	}
	all.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// listsCount fails unless Discover shows so many instances.
func listsCount(r registry.Registry, name string, count int) func() error {
	return func() error {
		all, err := r.Discover(context.Background(), name)
		if err == nil && len(all) != count {
			err = fmt.Errorf("Discover(%q) shows %d, want %d", name, len(all), count)
		}
		return err
	}
}

// What has to be sent again takes its bytes divided by the bandwidth, as
// docs/limits.md says, and holds up neither small registrations nor heartbeats.
//
// Promises 1 and 3: kept alive, comes back.
func TestComesBackOverASlowConnection(t *testing.T) {
	server := redistest.Start(t)
	cfg := config(t, server, 3*time.Second, time.Second)
	reader := open(t, cfg)
	line := faultnet.New(t, server.Addr())
	const count, bytes, rate = 150, 40_000, 2_000_000
	line.Throttle(faultnet.ToServer, rate)
	cfg.RedisAddr = line.Addr()
	owner := open(t, cfg)
	register(t, owner, "tiny", "x")
	fill(t, owner, count, bytes)
	within(t, time.Now(), shortHeartbeat+slack, "all are in Discover", listsCount(reader, "web", count))

	server.Client(t).FlushAll(context.Background())
	lost := time.Now()
	within(t, lost, cfg.HeartbeatInterval+time.Second, "the small one is back", listsCount(reader, "tiny", 1))
	sending := time.Duration(count*bytes) * time.Second / rate
	within(t, lost, cfg.HeartbeatInterval+time.Second+sending*3/2, "all are back", func() error {
		if err := listsCount(reader, "tiny", 1)(); err != nil {
			return err
		}
		return listsCount(reader, "web", count)()
	})
}

// Heartbeats need the bandwidth that docs/limits.md says: they arrive in time over a
// connection that carries their bytes in less than the time of one request.
//
// Promise 1: kept alive.
func TestKeepsAliveOverASlowConnection(t *testing.T) {
	server := redistest.Start(t)
	cfg := config(t, server, 3*time.Second, time.Second)
	reader := open(t, cfg)
	line := faultnet.New(t, server.Addr())
	cfg.RedisAddr = line.Addr()
	var slowest, heartbeats atomic.Int64 // slowest: nanoseconds that a heartbeat took
	cfg.Observer = &registry.Observer{Heartbeat: func(_ int, took time.Duration, err error) {
		if err == nil {
			heartbeats.Add(1)
			slowest.Store(max(slowest.Load(), int64(took)))
		}
	}}
	owner := open(t, cfg)
	const services, perService = 10, 40
	bytes := 0 // of a heartbeat, by the formula
	name := func(s int) string { return fmt.Sprint("web-", s) }
	for s := range services {
		bytes += 200
		for i := range perService {
			id := fmt.Sprintf("%s-%030d", name(s), i)
			bytes += len(id) + 15
			register(t, owner, name(s), id)
		}
	}
	within(t, time.Now(), 3*cfg.HeartbeatInterval, "two heartbeats, after which the server knows their script", func() error {
		if n := heartbeats.Load(); n < 2 {
			return fmt.Errorf("%d heartbeats", n)
		}
		return nil
	})
	line.Throttle(faultnet.ToServer, bytes*5/4) // a heartbeat takes 0.8 s of the 1 s that it may
	line.Cut()                                  // connections that are open have larger buffers
	for throttled := time.Now(); time.Since(throttled) < 4*cfg.TTL; pause(t, 100*time.Millisecond, "between changes") {
		for s := range services {
			if err := listsCount(reader, name(s), perService)(); err != nil {
				t.Fatalf("%v after the connection became slow: %v", round(time.Since(throttled)), err)
			}
		}
	}
	if took := time.Duration(slowest.Load()); took < 500*time.Millisecond {
		t.Errorf("the connection was not slow: no heartbeat took longer than %v", took)
	}
}

// A registration needs a bandwidth at which its bytes arrive within the time of one
// request, as docs/limits.md says.
func TestRegistersOverASlowConnection(t *testing.T) {
	server := redistest.Start(t)
	cfg := config(t, server, 3*time.Second, time.Second)
	reader := open(t, cfg)
	register(t, reader, "tiny", "x") // the server knows the script from now on
	line := faultnet.New(t, server.Addr())
	const bytes = 60_000
	line.Throttle(faultnet.ToServer, bytes*5/4)
	cfg.RedisAddr = line.Addr()
	owner := open(t, cfg)
	began := time.Now()
	fill(t, owner, 1, bytes)
	if took := time.Since(began); took < 500*time.Millisecond {
		t.Errorf("the connection was not slow: Register took %v", took)
	}
	within(t, time.Now(), slack, "the instance is in Discover", listsCount(reader, "web", 1))
}

// A first read takes its bytes divided by the bandwidth, as docs/limits.md says.
//
// Promise 7: no false empty.
func TestReadsABigServiceOverASlowConnection(t *testing.T) {
	server := redistest.Start(t)
	owner := open(t, config(t, server, 10*time.Minute, 2*time.Minute))
	const count, bytes, rate = 200, 20_000, 2_000_000
	fill(t, owner, count, bytes)
	line := faultnet.New(t, server.Addr())
	line.Throttle(faultnet.ToClient, rate)
	cfg := config(t, server, 30*time.Second, 10*time.Second)
	cfg.RedisAddr = line.Addr()
	reader := open(t, cfg)
	began := time.Now()
	reading := time.Duration(count*bytes) * time.Second / rate
	within(t, began, slack+reading*3/2, "the first read", listsCount(reader, "web", count))
	if took := time.Since(began); took < 700*time.Millisecond {
		t.Errorf("the connection was not slow: %v", took)
	}
}

// A slow connection that freezes is noticed as soon as a fast one.
//
// Promise 8: a watch never dies silently.
func TestASlowConnectionThatFreezesIsNoticed(t *testing.T) {
	server := redistest.Start(t)
	owner := open(t, config(t, server, 10*time.Minute, 2*time.Minute))
	const count, bytes, rate = 200, 20_000, 1_000_000
	fill(t, owner, count, bytes)
	line := faultnet.New(t, server.Addr())
	line.Throttle(faultnet.ToClient, rate)
	cfg := config(t, server, 3*time.Second, time.Second)
	cfg.RedisAddr = line.Addr()
	reader := open(t, cfg)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	stale := make(chan time.Time, 1)
	go func() {
		for s := range reader.Watch(ctx, "web") {
			if s.Stale != nil {
				stale <- time.Now()
				return
			}
		}
	}()
	pause(t, time.Second, "amid the first read")
	select {
	case <-stale:
		t.Fatal("a connection that makes progress is called unavailable")
	default:
	}
	line.Hold()
	frozen := time.Now()
	select {
	case <-stale:
		checkBound(t, frozen, cfg.HeartbeatInterval+time.Second, "Stale")
	case <-ctx.Done():
		t.Fatal("the watch did not become Stale within 10 s after the connection froze")
	}
}

// Requests that are lost for a short time affect a client of the caller, with
// go-redis's default settings, no more than the library's own client.
//
// Promise 1: kept alive.
func TestLostRequestsOfACallersClient(t *testing.T) {
	for _, kind := range []string{"own", "handed in", "handed in, ContextTimeoutEnabled"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			line := faultnet.New(t, server.Addr())
			cfg := registry.RedisRegistryConfig{TTL: 3 * time.Second, HeartbeatInterval: time.Second, Namespace: "n",
				Logger: slog.New(slog.DiscardHandler)}
			readerCfg := cfg
			readerCfg.RedisAddr = server.Addr()
			reader := open(t, readerCfg)
			if cfg.RedisAddr = line.Addr(); kind != "own" {
				client := redis.NewClient(&redis.Options{Addr: line.Addr(), ContextTimeoutEnabled: kind != "handed in"})
				t.Cleanup(func() { client.Close() })
				cfg.RedisAddr, cfg.Client = "", client
			}
			owner := open(t, cfg)
			register(t, owner, "web", "x")
			pause(t, 2500*time.Millisecond, "heartbeats succeed")
			line.Drop()
			pause(t, 1100*time.Millisecond, "at least one heartbeat is lost")
			line.Heal()
			for restored := time.Now(); time.Since(restored) < 4*time.Second; pause(t, 10*time.Millisecond, "between reads") {
				if err := discovers(reader, "web", "x")(); err != nil {
					t.Fatalf("%v after the connection worked again: %v", round(time.Since(restored)), err)
				}
			}
		})
	}
}
