package faults

import (
	"context"
	"errors"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/faultnet"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// longLease sets a TTL longer than the test, so that nothing expires during it.
func longLease(cfg *registry.RedisRegistryConfig) {
	cfg.TTL, cfg.HeartbeatInterval = time.Minute, 10*time.Second
}

// A process gets SIGTERM while it starts, Redis 10 ms away: whenever Serve is
// ended while it joins, it returns nil and no instance is left.
func TestServeEndedWhileItJoinsLeavesNothing(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	line := faultnet.New(t, server.Addr())
	line.Delay(faultnet.ToServer, 5*time.Millisecond)
	line.Delay(faultnet.ToClient, 5*time.Millisecond)
	backend, reader := openShort(t, server, throughAddr(line.Addr()), longLease), openShort(t, server, longLease)
	for round := range 30 {
		ctx, cancel := context.WithCancel(t.Context())
		timer := time.AfterFunc(time.Duration(round)*time.Millisecond, cancel)
		s := &http.Server{}
		err := registry.Serve(ctx, backend, registry.ServiceInfo{Name: "web"}, listener(t), s.Serve, s.Shutdown)
		timer.Stop()
		cancel()
		if err != nil {
			t.Errorf("ended after %d ms, Serve returned %v", round, err)
		}
		if left := idsOf(present(t, reader, "web")); len(left) > 0 {
			t.Fatalf("ended after %d ms, Serve returned and left %q registered", round, left)
		}
	}
}

// Promise 10: what a Register whose context ended leaves in Redis is removed in the
// background, and Close waits for that. Another owner's registration of the ID stays.
func TestAbandonedRegisterLeavesNothing(t *testing.T) {
	t.Parallel()
	for name, hold := range map[string]faultnet.Direction{"request": faultnet.ToServer, "reply": faultnet.ToClient} {
		t.Run(name+" held", func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			line := faultnet.New(t, server.Addr())
			caller, owner, reader := openShort(t, server, throughAddr(line.Addr()), longLease), openShort(t, server, longLease), openShort(t, server, longLease)
			register(t, caller, "web", "warm")
			register(t, owner, "api", "theirs")
			line.Hold(hold)
			ids := []string{"x"}
			if hold == faultnet.ToServer {
				ids = append(ids, "theirs") // it never takes effect, so theirs must stay
			}
			for _, id := range ids {
				_, err := registry.Join(contextFor(t, 50*time.Millisecond), caller, service("api", id))
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("join %s on a held connection: %v", id, err)
				}
			}
			line.Heal()
			if err := caller.Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
			throughout(t, time.Now().Add(shortTTL), "only the other owner's instance is there", discovers(reader, "api", "theirs"))
		})
	}
}

// A registration of the same ID right after an abandoned one stays.
func TestRegisterAfterAnAbandonedOneStays(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	line := faultnet.New(t, server.Addr())
	caller, reader := openShort(t, server, throughAddr(line.Addr()), longLease), openShort(t, server, longLease)
	register(t, caller, "web", "warm")
	for round := range 10 {
		line.Delay(faultnet.ToClient, 40*time.Millisecond)
		if err := caller.Register(contextFor(t, 20*time.Millisecond), service("api", "x")); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("round %d: register on a slow connection: %v", round, err)
		}
		line.Heal()
		register(t, caller, "api", "x")
		throughout(t, time.Now().Add(100*time.Millisecond), "the later registration stays", discovers(reader, "api", "x"))
		if err := caller.Deregister(t.Context(), "x"); err != nil {
			t.Fatalf("round %d: deregister: %v", round, err)
		}
	}
}

// listener listens on a free port of the loopback address.
func listener(t *testing.T) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("listen: %v", err)
	}
	return l
}
