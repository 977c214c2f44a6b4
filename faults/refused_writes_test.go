package faults

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/registry"
)

// refusal is a way in which Redis refuses writes and answers reads.
type refusal struct {
	name  string
	says  func(error) bool // whether an error is the server's refusal
	begin func(t *testing.T, s *redistest.Server, admin *redis.Client) (end func())
	// opens: a registry that only reads can be opened, and reads, meanwhile.
	opens bool
}

var refusals = []refusal{
	{"disk full", saying("MISCONF"), diskFull, true},
	{"replica away", saying("NOREPLICAS"), func(_ *testing.T, s *redistest.Server, _ *redis.Client) func() {
		s.ConfigSet("min-replicas-to-write", "1")
		return func() { s.ConfigSet("min-replicas-to-write", "0") }
	}, true},
	{"demoted", saying("READONLY"), func(t *testing.T, _ *redistest.Server, admin *redis.Client) func() {
		command(t, admin, "REPLICAOF", "127.0.0.1", "1")
		return func() { command(t, admin, "REPLICAOF", "NO", "ONE") }
	}, false},
	{"right lost", redistest.RightMissing, func(t *testing.T, _ *redistest.Server, admin *redis.Client) func() {
		setUser(t, admin, "-hset -zadd -pexpireat")
		return func() { setUser(t, admin, "+hset +zadd +pexpireat") }
	}, false},
	{"writes paused", saying(""), func(t *testing.T, _ *redistest.Server, admin *redis.Client) func() {
		command(t, admin, "CLIENT", "PAUSE", "60000", "WRITE")
		return func() { command(t, admin, "CLIENT", "UNPAUSE") }
	}, false},
}

// saying returns whether an error has a word.
func saying(word string) func(error) bool {
	return func(err error) bool { return strings.Contains(err.Error(), word) }
}

func command(t *testing.T, admin *redis.Client, words ...any) {
	t.Helper()
	if err := admin.Do(context.Background(), words...).Err(); err != nil {
		t.Fatalf("%v: %v", words, err)
	}
}

// diskFull makes snapshots fail, after which Redis refuses writes.
func diskFull(t *testing.T, s *redistest.Server, admin *redis.Client) (end func()) {
	dir := filepath.Join(t.TempDir(), "full")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	s.ConfigSet("dir", dir)
	s.ConfigSet("save", "3600 1")
	if err := os.Remove(dir); err != nil {
		t.Fatal(err)
	}
	command(t, admin, "BGSAVE")
	within(t, time.Now(), 5*time.Second, "the snapshot has failed", func() error {
		info, err := admin.Info(t.Context(), "persistence").Result()
		if err == nil && !strings.Contains(info, "rdb_last_bgsave_status:err") {
			return errors.New("it has not")
		}
		return err
	})
	return func() {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		s.ConfigSet("dir", dir)
		command(t, admin, "BGSAVE")
		within(t, time.Now(), 5*time.Second, "a snapshot was taken", func() error {
			info, err := admin.Info(t.Context(), "persistence").Result()
			if err == nil && !strings.Contains(info, "rdb_last_bgsave_status:ok") {
				return errors.New("it was not")
			}
			return err
		})
	}
}

// Redis refuses writes for three TTLs and answers reads; all owners live.
//
// Promise 7, no false empty: watches, caches and the list of services keep what
// they know, marked Stale with the server's error; Discover fails instead of
// reporting an absence. Promise 3: all is as before within one heartbeat + 1 s.
func TestRefusedWritesEmptyNothing(t *testing.T) {
	t.Parallel()
	for _, r := range refusals {
		t.Run(r.name, func(t *testing.T) {
			t.Parallel()
			testRefused(t, r)
		})
	}
}

func testRefused(t *testing.T, r refusal, opts ...redistest.Option) {
	server, admin, app := withUser(t, append(opts, redistest.WithArgs("--enable-protected-configs", "yes"))...)
	log := new(logs)
	owner := openShort(t, server, app, func(cfg *registry.RedisRegistryConfig) { cfg.Logger = log.logger() })
	reader := openShort(t, server, app)
	cache := registry.NewCachedRegistry(openShort(t, server, app))
	t.Cleanup(func() { _ = cache.Close() })
	register(t, owner, "web", "a1", "a2")
	want := present(t, reader, "web")
	seen := watch(t, reader, "web")
	names := watchNames(t, reader)
	seen.await(t, time.Now(), backBy, "the start", is(want))
	began := time.Now()
	if list, err := cache.Discover(t.Context(), "web"); err != nil || len(list) != 2 {
		t.Fatalf("the cache shows %s, %v", describeInstances(list), err)
	}

	end := r.begin(t, server, admin)
	refused := time.Now()
	for until := refused.Add(3 * shortTTL); time.Now().Before(until); pause(t, 50*time.Millisecond, "between reads") {
		noFalseAbsence(t, reader, want)
		if list, err := cache.Discover(t.Context(), "web"); err != nil || len(list) != 2 {
			t.Fatalf("the cache shows %s, %v", describeInstances(list), err)
		}
	}
	// A timeout may take the place of the server's word until the next try.
	seen.await(t, time.Now(), slack, "stale with the server's word", func(s registry.Snapshot) bool {
		return s.Stale != nil && errors.Is(s.Stale, registry.ErrUnavailable) && r.says(s.Stale)
	})
	if look := cache.Lookup("web"); len(look.Instances) != 2 || look.Stale == nil {
		t.Errorf("the cache's Lookup shows %s, stale: %v", describeInstances(look.Instances), look.Stale)
	}
	if r.opens {
		fresh := watch(t, openShort(t, server, app), "web")
		fresh.await(t, time.Now(), backBy, "what Redis lists, stale", func(s registry.Snapshot) bool {
			return s.Stale != nil && with("a1", "a2")(s)
		})
	}
	end()
	ended := time.Now()
	back := within(t, ended, backBy, "all in Discover", func() error {
		noFalseAbsence(t, reader, want)
		return discoversExactly(reader, "web", want)()
	})
	figure(t, "writes refused ("+r.name+"): all back", back)
	figure(t, "writes refused ("+r.name+"): watch current", seen.await(t, ended, backBy, "a current state", is(want)))
	within(t, ended, backBy+slack, "the list of services is current", func() error {
		if c := names.latest(); c.Stale != nil || !slices.Equal(c.Names, []string{"web"}) {
			return fmt.Errorf("it is %q, stale: %w", c.Names, c.Stale)
		}
		return nil
	})
	seen.requireKept(t, began, "a1", "a2")
	names.requireKept(t, "web")
	within(t, ended, backBy, "the log says that it is over", func() error {
		if n := len(log.lines("backend available again")); n != 1 {
			return errors.New("it does not")
		}
		return nil
	})
	if n := len(log.lines("backend unavailable")); n != 1 {
		t.Errorf("%d lines for one outage:\n%s", n, strings.Join(log.lines("backend"), ""))
	}
}

// noFalseAbsence calls every read method and fails the test if one reports that an
// instance is gone.
func noFalseAbsence(t *testing.T, r registry.Backend, want []registry.ServiceInfo) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	if list, err := r.Discover(ctx, "web"); err == nil && len(list) != len(want) {
		t.Fatalf("Discover reports an absence: %s", describeInstances(list))
	} else if err != nil && !errors.Is(err, registry.ErrUnavailable) && !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Discover: %v", err)
	}
	if s, err := r.Snapshot(ctx, "web"); err == nil && len(s.Instances) != len(want) {
		t.Fatalf("Snapshot reports an absence: %s", describeInstances(s.Instances))
	}
	if list, err := r.Instances(ctx, "web"); err == nil && len(list) != len(want) {
		t.Fatalf("Instances reports an absence: %v", list)
	}
	if list, err := r.Services(ctx); err == nil && len(list) != 1 {
		t.Fatalf("Services reports an absence: %q", list)
	}
}
