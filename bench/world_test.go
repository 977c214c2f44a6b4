package bench

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/bench/naive"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// Leases are longer than every measurement, and heartbeats fall only into their own.
const (
	longTTL  = 30 * time.Minute
	longBeat = 9 * time.Minute
)

// workers is how many goroutines the concurrent measurements use.
const workers = 64

// limitKey holds a value of that size for the bare GET.
const limitKey = "limit"

// world is a server with one writer and one reader of each kind.
type world struct {
	b      testing.TB
	server *redistest.Server
	client *redis.Client // of the naive way and the limits
	naive  *naive.Registry
	writer *registry.RedisRegistry
	reader *registry.RedisRegistry
}

func newWorld(b testing.TB) *world {
	w := &world{b: b, server: redistest.Start(b)}
	w.client = redis.NewClient(&redis.Options{Addr: w.server.Addr()})
	b.Cleanup(func() { w.client.Close() })
	w.naive = &naive.Registry{Client: w.client, TTL: longTTL}
	w.writer, w.reader = w.open(), w.open()
	w.check(w.client.Set(ctx, limitKey, strings.Repeat("x", naive.PayloadBytes), 0).Err())
	return w
}

var ctx = context.Background()

func (w *world) check(err error) {
	if err != nil {
		w.b.Helper()
		w.b.Fatal(err)
	}
}

func (w *world) config() registry.RedisRegistryConfig {
	return registry.RedisRegistryConfig{
		RedisAddr: w.server.Addr(), TTL: longTTL, HeartbeatInterval: longBeat, Logger: slog.New(slog.DiscardHandler),
	}
}

// open opens a registry that is closed at the end, unless that was done before.
func (w *world) open(change ...func(*registry.RedisRegistryConfig)) *registry.RedisRegistry {
	cfg := w.config()
	for _, c := range change {
		c(&cfg)
	}
	r, err := registry.NewRedisRegistry(ctx, cfg)
	w.check(err)
	w.b.Cleanup(func() { r.Close() })
	return r
}

func instance(service string) registry.ServiceInfo { return naive.Instance(service) }

// register puts a service of n instances where the naive way and ours find it.
func (w *world) register(service string, n int) []registry.ServiceInfo {
	all := make([]registry.ServiceInfo, n)
	for i := range all {
		all[i] = instance(service)
	}
	registerAll(w, w.writer, all)
	for _, s := range all {
		w.check(w.naive.Register(ctx, s))
	}
	return all
}

func registerAll(w *world, r registry.Registry, all []registry.ServiceInfo) {
	errs := make(chan error, len(all))
	for _, s := range all {
		go func() { errs <- r.Register(ctx, s) }()
	}
	for range all {
		w.check(<-errs)
	}
}

func (w *world) get() {
	_, err := w.client.Get(ctx, limitKey).Bytes()
	w.check(err)
}

func (w *world) snapshot(service string, want int) {
	s, err := w.reader.Snapshot(ctx, service)
	w.check(err)
	w.count(len(s.Instances), want)
}

func (w *world) discover(r interface {
	Discover(context.Context, string) ([]registry.ServiceInfo, error)
}, service string, want int) {
	all, err := r.Discover(ctx, service)
	w.check(err)
	w.count(len(all), want)
}

func (w *world) count(got, want int) {
	if got != want {
		w.b.Helper()
		w.check(fmt.Errorf("saw %d instances of %d", got, want))
	}
}
