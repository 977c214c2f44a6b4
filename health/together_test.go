package health_test

import (
	"context"
	"maps"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rollcall-sd/rollcall/health"
	"github.com/rollcall-sd/rollcall/registry"
)

// held is a backend whose Register of one port returns late: the backend has
// the instance, and the caller does not know it yet.
type held struct {
	registry.Backend
	port    int
	stored  chan struct{} // closed once the backend has it
	release chan struct{}
}

func (h *held) Register(ctx context.Context, service registry.ServiceInfo) error {
	err := h.Backend.Register(ctx, service)
	if service.Port == h.port {
		close(h.stored)
		<-h.release
	}
	return err
}

// ports counts probes by the instance's port.
type ports struct {
	mu    sync.Mutex
	count map[int]int
}

func (p *ports) add(port int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.count[port]++
}

// during returns the counts of the time d from now on.
func (p *ports) during(d time.Duration) map[int]int {
	p.mu.Lock()
	clear(p.count)
	p.mu.Unlock()
	time.Sleep(d)
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.count)
}

// together runs a test with a Checker on a backend whose Register of port 1 is held.
func together(t *testing.T, test func(t *testing.T, c *health.Checker, h *held, first chan error, probed *ports)) {
	synctest.Test(t, func(t *testing.T) {
		h := &held{Backend: registry.NewLocalRegistry(), port: 1, stored: make(chan struct{}), release: make(chan struct{})}
		probed := &ports{count: map[int]int{}}
		c := check(t, h, settings{Interval: time.Second, Logger: quiet, Probes: map[string]health.Probe{
			"ask": func(_ context.Context, target health.Target) health.Result {
				probed.add(target.Instance.Port)
				return health.Passing("fine")
			},
		}})
		defer c.Close()
		first := make(chan error, 1)
		go func() { first <- c.Register(t.Context(), onPort(1)) }()
		<-h.stored
		test(t, c, h, first, probed)
	})
}

func onPort(port int) registry.ServiceInfo {
	service := asked("a")
	service.Port = port
	return service
}

// Of two registrations of one ID at the same time, the one that stands is probed.
func TestTheRegistrationThatStandsIsProbed(t *testing.T) {
	together(t, func(t *testing.T, c *health.Checker, h *held, first chan error, probed *ports) {
		second := make(chan error, 1)
		go func() { second <- c.Register(t.Context(), onPort(2)) }()
		synctest.Wait()
		close(h.release)
		must(t, <-first)
		must(t, <-second)
		synctest.Wait()
		counts := probed.during(5 * time.Second)
		now, err := c.Snapshot(t.Context(), "api")
		must(t, err)
		if len(now.Instances) != 1 {
			t.Fatalf("instances listed: %d, want 1", len(now.Instances))
		}
		if port := now.Instances[0].Port; counts[port] == 0 || len(counts) != 1 {
			t.Errorf("port %d is listed; probes by port: %v", port, counts)
		}
	})
}

// An instance that was deregistered while its Register had not returned is not probed.
func TestADeregistrationMeanwhileEndsTheProbes(t *testing.T) {
	together(t, func(t *testing.T, c *health.Checker, h *held, first chan error, probed *ports) {
		deregistered := make(chan error, 1)
		go func() { deregistered <- c.Deregister(t.Context(), "a") }()
		synctest.Wait()
		close(h.release)
		must(t, <-first)
		must(t, <-deregistered)
		synctest.Wait()
		counts := probed.during(5 * time.Second)
		if len(counts) > 0 {
			t.Errorf("probes by port of an instance that is gone: %v", counts)
		}
	})
}

// A Register that waits for another of the same ID ends with its context.
func TestRegisterWaitsForAnotherWithItsContext(t *testing.T) {
	together(t, func(t *testing.T, c *health.Checker, h *held, first chan error, _ *ports) {
		ctx, cancel := context.WithCancel(t.Context())
		second := make(chan error, 1)
		go func() { second <- c.Register(ctx, onPort(2)) }()
		synctest.Wait()
		cancel()
		synctest.Wait()
		select {
		case <-second:
		default:
			t.Error("Register goes on after its context ended")
		}
		close(h.release)
		must(t, <-first)
	})
}
