package balance

import (
	"context"
	"io"
	"log"
	"log/slog"
	"math/rand/v2"
	"testing"
	"testing/synctest"

	"github.com/rollcall-sd/rollcall/registry"
)

// seeded makes all draws the same in every run.
func seeded() Option {
	return func(c *config) { c.random = rand.New(rand.NewPCG(1, 2)).Uint64 }
}

// quietly keeps ejections out of the test's output.
func quietly() Option { return WithLogger(slog.New(slog.NewTextHandler(io.Discard, nil))) }

// api is an instance of the service "api", at an address of its own, for tests
// that make no connections.
func api(id string) registry.ServiceInfo {
	return registry.ServiceInfo{ID: id, Name: "api", Address: id + ".example", Port: 8080}
}

func localRegistry(t testing.TB, services ...registry.ServiceInfo) *registry.LocalRegistry {
	t.Helper()
	r := registry.NewLocalRegistry()
	t.Cleanup(func() { r.Close() })
	register(t, r, services...)
	return r
}

func register(t testing.TB, r registry.Registry, services ...registry.ServiceInfo) {
	t.Helper()
	for _, s := range services {
		if err := r.Register(context.Background(), s); err != nil {
			t.Fatal(err)
		}
	}
}

func deregister(t testing.TB, r registry.Registry, id string) {
	t.Helper()
	if err := r.Deregister(context.Background(), id); err != nil {
		t.Fatal(err)
	}
}

func balancer(t testing.TB, w registry.Watcher, options ...Option) *Balancer {
	t.Helper()
	b, err := New(w, "api", append([]Option{quietly()}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func pick(t testing.TB, b *Balancer) *Picked {
	t.Helper()
	p, err := b.Pick(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return &p
}

// shares counts n picks that are done at once, with err.
func shares(t testing.TB, b *Balancer, n int, err error) map[string]int {
	t.Helper()
	count := map[string]int{}
	for range n {
		p := pick(t, b)
		count[p.Instance().ID]++
		p.Done(err)
	}
	return count
}

// near fails the test unless a count is within a tenth of what is wanted, plus ten.
func near(t testing.TB, count map[string]int, id string, want int) {
	t.Helper()
	if got := count[id]; got < want*9/10-10 || got > want*11/10+10 {
		t.Errorf("%s got %d requests, want about %d; all: %v", id, got, want, count)
	}
}

// inBubble runs a test on a registry and a balancer whose time is not the real one.
func inBubble(t *testing.T, options []Option, services []registry.ServiceInfo, test func(*testing.T, *registry.LocalRegistry, *Balancer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := localRegistry(t, services...)
		test(t, r, balancer(t, r, append([]Option{seeded()}, options...)...))
	})
}

// quietLog keeps a server's complaints out of the test's output.
func quietLog() *log.Logger { return log.New(io.Discard, "", 0) }
