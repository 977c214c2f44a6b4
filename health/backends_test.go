package health_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/health"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
	"github.com/rollcall-sd/rollcall/registry/registrytest"
)

func open(t *testing.T, server *redistest.Server, cfg registry.RedisRegistryConfig) registry.Backend {
	t.Helper()
	cfg.RedisAddr, cfg.Logger = server.Addr(), quiet
	if cfg.TTL == 0 {
		cfg.TTL, cfg.HeartbeatInterval = 2*time.Second, 200*time.Millisecond
	}
	b, err := registry.NewRedisRegistry(t.Context(), cfg)
	must(t, err)
	return b
}

// switchable is an HTTP server that is well or not.
func switchable(t *testing.T) (service registry.ServiceInfo, ill *atomic.Bool) {
	ill = new(atomic.Bool)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if ill.Load() {
			http.Error(w, "database away", http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(server.Close)
	return at(t, server.Listener.Addr().String(), "/ready"), ill
}

// A critical instance leaves Discover and the watches of other processes, and
// comes back by itself.
func TestLeavesAndComesBack(t *testing.T) {
	run := func(t *testing.T, owner, reader registry.Backend) {
		options := fast
		options.Fall = 3
		c := check(t, owner, options)
		defer c.Close()
		service, ill := switchable(t)
		service.ID = "a"
		must(t, c.Register(t.Context(), service))
		await(t, reader, "first success", passing(1))
		for range 3 {
			ill.Store(true)
			await(t, reader, "failure", critical(1))
			if callable(t, reader) != 0 {
				t.Fatal("a critical instance is among those to call")
			}
			list, err := reader.Instances(t.Context(), "api")
			must(t, err)
			if want := "HTTP 503 Service Unavailable: database away"; list[0].Note != want {
				t.Fatalf("note %q, want %q", list[0].Note, want)
			}
			ill.Store(false)
			await(t, reader, "recovery", passing(1))
		}
	}
	t.Run("local", func(t *testing.T) {
		b := registry.NewLocalRegistry()
		run(t, b, b)
	})
	t.Run("redis", func(t *testing.T) {
		server := redistest.Start(t)
		reader := open(t, server, registry.RedisRegistryConfig{})
		defer reader.Close()
		run(t, open(t, server, registry.RedisRegistryConfig{}), reader)
	})
	t.Run("cached redis", func(t *testing.T) {
		server := redistest.Start(t)
		b := registry.NewCachedRegistry(open(t, server, registry.RedisRegistryConfig{}))
		run(t, b, b)
	})
}

// A verdict stands when Redis is back, and a status survives its whole memory.
func TestRedisAwayAndEmpty(t *testing.T) {
	server := redistest.Start(t)
	reader := open(t, server, registry.RedisRegistryConfig{})
	defer reader.Close()
	c := check(t, open(t, server, registry.RedisRegistryConfig{}), fast)
	defer c.Close()
	service, ill := switchable(t)
	must(t, c.Register(t.Context(), service))
	await(t, reader, "first success", passing(1))

	server.Kill()
	ill.Store(true)
	server.Restart() // without a memory
	await(t, reader, "verdict of the time when Redis was away", critical(1))

	must(t, server.Client(t).FlushAll(t.Context()).Err())
	await(t, reader, "status after a loss of memory", critical(1))
	ill.Store(false)
	await(t, reader, "recovery", passing(1))
}

func instances(t *testing.T, b registry.Backend) []registry.Instance {
	t.Helper()
	list, err := b.Instances(t.Context(), "api")
	must(t, err)
	return list
}

func TestVerdictIsWrittenWhenTheBackendIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &patient{result: health.Passing("")}
		flaky := registrytest.NewFlaky(registry.NewLocalRegistry())
		c := check(t, flaky, settings{Fall: 1, Logger: quiet, Probes: map[string]health.Probe{"ask": p.probe}})
		defer c.Close()
		must(t, c.Register(t.Context(), asked("a")))
		pass(1)
		flaky.Disconnect(nil)
		p.set(health.Critical("down"))
		pass(5)
		flaky.Reconnect()
		if callable(t, c) != 1 {
			t.Fatal("the verdict was written through an outage")
		}
		pass(1)
		if callable(t, c) != 0 {
			t.Fatal("the verdict was not written after the outage")
		}
	})
}

// The earlier owner of an ID, which does not know of its loss yet, writes nothing
// about the newer owner's instance.
func TestNewerOwnersInstanceIsLeftAlone(t *testing.T) {
	server := redistest.Start(t)
	deaf := registry.RedisRegistryConfig{TTL: time.Minute, HeartbeatInterval: 50 * time.Second}
	p := &patient{result: health.Passing("")}
	options := fast
	options.InitialStatus = ""
	options.Probes = map[string]health.Probe{"ask": p.probe}
	old := check(t, open(t, server, deaf), options)
	defer old.Close()
	must(t, old.Register(t.Context(), asked("a")))

	newer := open(t, server, registry.RedisRegistryConfig{})
	defer newer.Close()
	replacement := asked("a")
	replacement.Address = "10.0.0.2"
	must(t, newer.Register(t.Context(), replacement))
	p.set(health.Critical("I am gone"))

	// The earlier owner's own second instance shows when probing has gone on for long enough.
	must(t, old.Register(t.Context(), asked("b")))
	await(t, newer, "critical instance", critical(1))
	for _, i := range instances(t, newer) {
		if i.ID == "a" && i.Status == cri {
			t.Errorf("the earlier owner made the newer owner's instance critical: %+v", i)
		}
	}
}

func TestServeAndLeave(t *testing.T) {
	c := check(t, registry.NewLocalRegistry(), fast)
	defer c.Close()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	server := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})}
	served := make(chan error, 1)
	go func() {
		service := registry.ServiceInfo{Name: "api", Address: "127.0.0.1", HealthEndpoint: "/"}
		served <- registry.Serve(ctx, c, service, l, server.Serve, server.Shutdown)
	}()
	await(t, c, "instance that proved itself", passing(1))
	stop()
	must(t, <-served)
	if list := instances(t, c); len(list) != 0 {
		t.Errorf("left behind: %+v", list)
	}
}
