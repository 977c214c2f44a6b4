package faults

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rollcall-sd/rollcall/internal/faultnet"
	"github.com/rollcall-sd/rollcall/internal/redistest"
	"github.com/rollcall-sd/rollcall/internal/waittest"
	"github.com/rollcall-sd/rollcall/registry"
)

// quiet keeps heartbeats and checks out of a count.
func quiet(cfg *registry.RedisRegistryConfig) {
	cfg.TTL, cfg.HeartbeatInterval = time.Hour, 10*time.Minute
}

// Round trips of each call, whatever the number of instances.
//
// Promise 9, few round trips.
func TestFewRoundTripsOfACall(t *testing.T) {
	t.Parallel()
	for _, instances := range []int{1, 10, 1000} {
		t.Run(fmt.Sprint(instances), func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			line := faultnet.New(t, server.Addr())
			// So that all of a pipeline has passed the connection before the first reply.
			line.Delay(faultnet.ToServer, 20*time.Millisecond)
			writer := openShort(t, server, quiet)
			warmUp(t, writer)
			registerMany(t, writer, "web", instances)

			trips := func(what string, most int, call func() error) {
				t.Helper()
				line.Reset()
				if err := call(); err != nil {
					t.Fatalf("%s: %v", what, err)
				}
				if got := line.RoundTrips(); got > most {
					t.Errorf("%s took %d round trips, want at most %d: %v", what, got, most, line.Commands())
				} else {
					t.Logf("count: %s beside %d instances: %d round trips", what, instances, got)
				}
			}
			var r *registry.RedisRegistry
			trips("open, handshake included", 2, func() error { r = openShort(t, server, throughAddr(line.Addr()), quiet); return nil })
			find := func(want int) func() error {
				return func() error {
					list, err := r.Discover(t.Context(), "web")
					if err == nil && len(list) != want {
						err = fmt.Errorf("%d instances, want %d", len(list), want)
					}
					return err
				}
			}
			generated := registry.ServiceInfo{Name: "web", Address: "127.0.0.1", Port: 80}
			trips("first Discover", 1, find(instances))
			trips("Discover when nothing changed", 1, find(instances))
			trips("Register with a chosen ID", 1, func() error { return r.Register(t.Context(), service("web", "own")) })
			trips("Discover after a change", 2, find(instances+1))
			trips("Register with a generated ID", 1, func() error { return r.Register(t.Context(), generated) })
			trips("Register again, changed", 1, func() error {
				s := service("web", "own")
				s.Version = "v2"
				return r.Register(t.Context(), s)
			})
			trips("Register again, the same", 1, func() error {
				s := service("web", "own")
				s.Version = "v2"
				return r.Register(t.Context(), s)
			})
			trips("Register under another name", 1, func() error { return r.Register(t.Context(), service("db", "own")) })
			trips("Deregister own", 1, func() error { return r.Deregister(t.Context(), "own") })
			register(t, writer, "web", "foreign")
			trips("Deregister by ID alone", 1, func() error { return r.Deregister(t.Context(), "foreign") })
			trips("Discover after changes", 2, find(instances+1))
			trips("Discover when nothing changed", 1, find(instances+1))
			trips("Snapshot when nothing changed", 1, func() error { _, err := r.Snapshot(t.Context(), "web"); return err })
			trips("Instances", 1, func() error { _, err := r.Instances(t.Context(), "web"); return err })
			trips("Services", 1, func() error { _, err := r.Services(t.Context()); return err })
		})
	}
}

// A heartbeat of a thousand instances of ten services is one round trip.
//
// Promise 9.
func TestRoundTripsOfAHeartbeat(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	warmUp(t, openShort(t, server, quiet))
	line := faultnet.New(t, server.Addr())
	type beatOf struct {
		instances int
		err       error
	}
	beats := make(chan beatOf, 100)
	r := openShort(t, server, throughAddr(line.Addr()), func(cfg *registry.RedisRegistryConfig) {
		cfg.TTL, cfg.HeartbeatInterval = 20*time.Second, time.Second
		cfg.Observer = &registry.Observer{Heartbeat: func(n int, _ time.Duration, err error) { beats <- beatOf{n, err} }}
	})
	for n := range 10 {
		registerMany(t, r, fmt.Sprint("web", n), 100)
	}
	for waittest.Receive(t, beats, "a heartbeat of all").instances != 1000 {
	}
	waittest.Receive(t, beats, "a heartbeat") // by now the heartbeats include all registrations
	// As above.
	line.Delay(faultnet.ToServer, 50*time.Millisecond)
	line.Reset()
	const counted = 3
	for range counted {
		if b := waittest.Receive(t, beats, "a heartbeat"); b.instances != 1000 || b.err != nil {
			t.Fatalf("a heartbeat of %d instances: %v", b.instances, b.err)
		}
	}
	commands := line.Commands()
	if got := line.RoundTrips(); got != counted {
		t.Errorf("%d heartbeats took %d round trips: %v", counted, got, commands)
	}
	if got := commands["EVALSHA"]; got != 10*counted || len(commands) != 1 {
		t.Errorf("%d heartbeats of 10 services took %v", counted, commands)
	}
	t.Logf("count: heartbeat of 1000 instances of 10 services: %d round trip, %d commands", line.RoundTrips()/counted, commands["EVALSHA"]/counted)
}

// Commands per idle minute, scaled to the default heartbeat: of one instance, and
// of one watch.
//
// Promise 9: an idle registry sends few commands.
func TestCommandsOfAnIdleMinute(t *testing.T) {
	t.Parallel()
	const shorter = time.Second // the minimum at which the subscription is pinged once per heartbeat
	scale := registry.DefaultHeartbeatInterval.Seconds() / shorter.Seconds()
	for name, use := range map[string]struct {
		start func(*testing.T, *registry.RedisRegistry)
		most  map[string]float64 // per idle minute, by command
	}{
		// Six heartbeats a minute, each up to a tenth early.
		"instance": {func(t *testing.T, r *registry.RedisRegistry) { register(t, r, "web", "a1") },
			map[string]float64{"EVALSHA": 7.5}},
		// A check, a renewal of the watcher lease and a ping of the subscription with every heartbeat.
		// If a stall delays the renewal, the check has a write: once per process with the script's text.
		"watch": {func(t *testing.T, r *registry.RedisRegistry) { watch(t, r, "web") },
			map[string]float64{"EVALSHA": 7.5, "HGET": 7.5, "TIME": 7.5, "PING": 7.5, "EVAL": 1.2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			// So that the watched service exists.
			steady := openShort(t, server, quiet)
			warmUp(t, steady)
			register(t, steady, "web", "steady")
			line := faultnet.New(t, server.Addr())
			r := openShort(t, server, throughAddr(line.Addr()), func(cfg *registry.RedisRegistryConfig) {
				cfg.TTL, cfg.HeartbeatInterval = 4*shorter, shorter
			})
			use.start(t, r)
			within(t, time.Now(), 6*shorter, "three of each", func() error {
				for command := range use.most {
					if n := line.Commands()[command]; n < 3 && command != "EVAL" {
						return fmt.Errorf("%s was sent %d times", command, n)
					}
				}
				return nil
			})
			line.Reset()
			began := time.Now()
			pause(t, 5*time.Second, "the time over which commands are counted")
			commands, minutes := line.Commands(), time.Since(began).Minutes()
			total := 0.0
			var parts []string
			for _, command := range slices.Sorted(maps.Keys(commands)) {
				rate := float64(commands[command]) / minutes / scale
				if rate > use.most[command] {
					t.Errorf("%s: %.1f a minute, want at most %.1f", command, rate, use.most[command])
				}
				total += rate
				parts = append(parts, fmt.Sprintf("%s %.1f", command, rate))
			}
			t.Logf("count: commands per idle minute of one %s: %.1f (%s)", name, total, strings.Join(parts, ", "))
		})
	}
}

// warmUp makes the server know every script.
func warmUp(t *testing.T, r *registry.RedisRegistry) {
	t.Helper()
	register(t, r, "warm", "w1", "w2")
	for range 2 {
		present(t, r, "warm") // what is not known yet, and what is
	}
	if err := r.Deregister(t.Context(), "w1"); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Services(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Instances(t.Context(), "warm"); err != nil {
		t.Fatal(err)
	}
}

// registerMany registers at once, so that registrations are batched.
func registerMany(t *testing.T, r *registry.RedisRegistry, name string, count int) {
	t.Helper()
	errs := make(chan error, count)
	var all sync.WaitGroup
	for n := range count {
		all.Go(func() { errs <- r.Register(context.Background(), service(name, fmt.Sprintf("%s-i%d", name, n))) })
	}
	all.Wait()
	close(errs)
	for err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}
