package prices

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/balance"
	"github.com/rollcall-sd/rollcall/registry"
	"github.com/rollcall-sd/rollcall/registry/registrytest"
)

// serve runs the service until stop is called, which returns what Serve did.
func serve(t *testing.T, backend registry.Backend, id string, price int) (stop func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() {
		served <- Serve(ctx, backend, id, l, map[string]int{"tea": price})
		close(served)
	}()
	stop = func() error { cancel(); return <-served }
	t.Cleanup(func() { stop() })
	return stop
}

func newClient(t *testing.T, watcher registry.Watcher) *Client {
	t.Helper()
	c, err := NewClient(watcher)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// until waits for a state of the service: no test needs to sleep.
func until(t *testing.T, watcher registry.Watcher, ok func(registry.Snapshot) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	for s := range watcher.Watch(ctx, Service) {
		if ok(s) {
			return
		}
	}
	t.Fatal("the service did not get there")
}

func instances(n int) func(registry.Snapshot) bool {
	return func(s registry.Snapshot) bool { return s.Stale == nil && len(s.Instances) == n }
}

// The local backend behaves like Redis, without a server.
func TestPrice(t *testing.T) {
	backend := registry.NewLocalRegistry()
	defer backend.Close()
	if _, err := newClient(t, backend).Price(t.Context(), "tea"); !errors.Is(err, balance.ErrNoInstances) {
		t.Errorf("without an instance the error is %v", err)
	}
	stop := serve(t, backend, "a", 3)
	until(t, backend, instances(1))
	client := newClient(t, backend)
	if price, err := client.Price(t.Context(), "tea"); price != 3 || err != nil {
		t.Errorf("price %d, %v", price, err)
	}
	if _, err := client.Price(t.Context(), "gold"); err == nil {
		t.Error("gold has a price")
	}
	if err := stop(); err != nil { // which waits until the client knows
		t.Errorf("stopping: %v", err)
	}
	if _, err := client.Price(t.Context(), "tea"); !errors.Is(err, balance.ErrNoInstances) {
		t.Errorf("after the service left the error is %v", err)
	}
}

// While the registry is away, the client goes on with whom it knows.
func TestRegistryAway(t *testing.T) {
	flaky := registrytest.NewFlaky(registry.NewLocalRegistry())
	defer flaky.Close()
	serve(t, flaky, "a", 3)
	until(t, flaky, instances(1))
	client := newClient(t, flaky)
	if _, err := client.Price(t.Context(), "tea"); err != nil {
		t.Fatal(err)
	}
	flaky.Disconnect(errors.New("cable cut"))
	until(t, flaky, func(s registry.Snapshot) bool { return s.Stale != nil })
	if price, err := client.Price(t.Context(), "tea"); price != 3 || err != nil {
		t.Errorf("while the registry is away: price %d, %v", price, err)
	}
	flaky.Reconnect()
}

// The service starts although the registry is away, and is found when that is back.
func TestRegistryAwayAtTheStart(t *testing.T) {
	flaky := registrytest.NewFlaky(registry.NewLocalRegistry())
	defer flaky.Close()
	flaky.Disconnect(nil)
	serve(t, flaky, "a", 3)
	client := newClient(t, flaky)
	if _, err := client.Price(t.Context(), "tea"); !errors.Is(err, registry.ErrUnavailable) {
		t.Errorf("before anything is known the error is %v", err)
	}
	flaky.Reconnect()
	until(t, flaky, instances(1))
}

// When a newer process takes its ID, the service ends and says why.
func TestSuperseded(t *testing.T) {
	flaky := registrytest.NewFlaky(registry.NewLocalRegistry())
	defer flaky.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- Serve(t.Context(), flaky, "a", l, nil) }()
	until(t, flaky, instances(1))
	for !flaky.Supersede("a") { // Join may not have returned yet
		if err := t.Context().Err(); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case err := <-served:
		if !errors.Is(err, registry.ErrSuperseded) {
			t.Errorf("the service ended with %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("the service has not ended within 20 s of its loss")
	}
}
