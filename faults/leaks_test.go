package faults

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	"github.com/rollcall-sd/rollcall/internal/faultnet"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/waittest"
	"github.com/rollcall-sd/rollcall/registry"
)

// After Close nothing is left of a registry that registered, read, watched and had
// faults: no goroutine, connection or subscription.
//
// Promise 10, nothing leaks.
func TestNothingLeaks(t *testing.T) {
	faults := map[string]func(*testing.T, *redistest.Server, *faultnet.Proxy){
		"in peace":                func(*testing.T, *redistest.Server, *faultnet.Proxy) {},
		"after cuts":              func(_ *testing.T, _ *redistest.Server, l *faultnet.Proxy) { l.Cut() },
		"while subscriptions cut": func(_ *testing.T, _ *redistest.Server, l *faultnet.Proxy) { l.Subscriptions.CutAlways() },
		"while mute":              func(_ *testing.T, _ *redistest.Server, l *faultnet.Proxy) { l.Hold() },
		"while refused": func(_ *testing.T, _ *redistest.Server, l *faultnet.Proxy) {
			l.Refuse()
			l.Cut()
		},
		"while frozen":    func(_ *testing.T, s *redistest.Server, _ *faultnet.Proxy) { s.Freeze() },
		"while killed":    func(_ *testing.T, s *redistest.Server, _ *faultnet.Proxy) { s.Kill() },
		"after a restart": func(_ *testing.T, s *redistest.Server, _ *faultnet.Proxy) { s.Restart() },
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			server := redistest.Start(t)
			line := faultnet.New(t, server.Addr())
			before := goleak.IgnoreCurrent()
			restarted := goleak.IgnoreAnyFunction("github.com/rollcall-sd/rollcall/internal/redistest.startProcess.func1")
			backend := live(t, server, line.Addr())
			fault(t, server, line)
			pause(t, shortHeartbeat+100*time.Millisecond, "heartbeats, checks and attempts to reconnect happen")
			began := time.Now()
			if err := backend.Close(); err != nil {
				t.Errorf("close: %v", err)
			}
			figure(t, "Close "+name, checkBound(t, began, 5*time.Second, "Close"))
			line.Close() // its own goroutines
			if err := goleak.Find(before, restarted); err != nil {
				t.Errorf("goroutines: %v", err)
			}
			switch name {
			case "while frozen":
				server.Thaw()
			case "while killed":
				return
			}
			within(t, time.Now(), time.Second, "connections and subscriptions are gone", bare(t, server))
		})
	}
}

// A client of the caller stays open and keeps nothing of the registry.
//
// Promise 10.
func TestNothingLeaksIntoACallersClient(t *testing.T) {
	server := redistest.Start(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	defer client.Close()
	before := goleak.IgnoreCurrent()
	r := openShort(t, server, func(cfg *registry.RedisRegistryConfig) { cfg.RedisAddr, cfg.Client = "", client })
	register(t, r, "web", "a1")
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	for snap := range r.Watch(ctx, "web") {
		if snap.Stale == nil {
			break
		}
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if err := goleak.Find(before); err != nil {
		t.Errorf("goroutines: %v", err)
	}
	if err := client.Ping(t.Context()).Err(); err != nil {
		t.Errorf("the client was closed: %v", err)
	}
	within(t, time.Now(), time.Second, "subscriptions are gone", func() error { return unsubscribed(t, server.Client(t)) })
}

// A watch that ends releases its subscription while the registry stays open.
//
// Promise 10.
func TestWatchGivesItsSubscriptionBack(t *testing.T) {
	server := redistest.Start(t)
	admin := server.Client(t)
	r := openShort(t, server)
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan struct{}, 20)
	for n := range 20 {
		go func() {
			for range r.Watch(ctx, fmt.Sprint("web", n%10)) {
			}
			ended <- struct{}{}
		}()
	}
	within(t, time.Now(), time.Second, "ten channels on one connection", func() error {
		channels, err := admin.PubSubChannels(t.Context(), "*").Result()
		if err != nil || len(channels) != 10 {
			return fmt.Errorf("%q, %v", channels, err)
		}
		if list := clients(t, admin, "pubsub"); len(list) != 1 {
			return fmt.Errorf("subscribed: %q", list)
		}
		return nil
	})
	stop()
	for range 20 {
		waittest.Receive(t, ended, "a watch to end")
	}
	within(t, time.Now(), time.Second, "the channels are given back", func() error { return unsubscribed(t, admin) })
}

// live returns a backend with registrations and watches, which the caller closes.
func live(t *testing.T, server *redistest.Server, addr string) registry.Backend {
	t.Helper()
	cfg := config(t, server, shortTTL, shortHeartbeat)
	throughAddr(addr)(&cfg)
	r, err := registry.NewRedisRegistry(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	c := registry.NewCachedRegistry(r)
	for n := range 3 {
		name := fmt.Sprint("web", n)
		if _, err := registry.Join(t.Context(), c, service(name, fmt.Sprint("a", n))); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Discover(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	for names := range c.WatchServices(t.Context()) {
		if len(names.Names) == 3 {
			break
		}
	}
	if _, err := c.Instances(t.Context(), "web1"); err != nil {
		t.Fatal(err)
	}
	return c
}

// bare fails while anything but the caller is connected to the server.
func bare(t *testing.T, server *redistest.Server) func() error {
	admin := server.Client(t)
	return func() error {
		if list := clients(t, admin, "normal"); len(list) != 1 {
			return fmt.Errorf("connected: %q", list)
		}
		if list := clients(t, admin, "pubsub"); len(list) != 0 {
			return fmt.Errorf("subscribed: %q", list)
		}
		return unsubscribed(t, admin)
	}
}

func unsubscribed(t *testing.T, admin *redis.Client) error {
	t.Helper()
	channels, err := admin.PubSubChannels(t.Context(), "*").Result()
	if err != nil || len(channels) != 0 {
		return fmt.Errorf("channels %q, %v", channels, err)
	}
	return nil
}

// clients returns the lines of CLIENT LIST for one type.
func clients(t *testing.T, admin *redis.Client, kind string) []string {
	t.Helper()
	text, err := admin.Do(t.Context(), "CLIENT", "LIST", "TYPE", kind).Text()
	if err != nil {
		t.Fatal(err)
	}
	return strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
}
